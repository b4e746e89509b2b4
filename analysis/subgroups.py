"""Subgroups and centres: adjusted shares drawn together as far as chance explains their differences."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import subgroup_figures
from analysis.adjusted_model import Covariate
from analysis.adjusted_response import adjusted_response
from analysis.cohort import By, Stratum, check_day, label_of, several, strata_of
from analysis.crossed_subgroups import FACTORS, crossed
from analysis.numerics.laws import normal_quantile
from analysis.numerics.pooling import Funnel, Pooled, funnel, partial_pooling
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError

Floats = NDArray[np.float64]

_FEWEST_GROUPS = 3
# A share so near 0 or 1 has no place on the scale log(-log(1 - share)).
_NONE = 1e-12
_NO_VERDICT = "Outside the funnel is a reason to look at the data and the case mix, and no verdict."
_DEFAULT: tuple[Covariate, ...] = ("stage", "age", "sex", "baseline")


def subgroups(
    courses: Courses,
    *,
    by: By | tuple[str, ...] = "origin",
    covariates: Covariate | tuple[Covariate, ...] | None = None,
    definition: str | None = None,
    horizon_day: int = 365,
    confidence: float = 0.95,
) -> Result:
    """Compare the groups of `by` by the share that responded by a day, adjusted and partially pooled.

    Each group's share is standardised over the covariates of all courses (:func:`analysis.adjusted_response`); then the
    groups are taken as drawn from one distribution whose spread is estimated with them, so that a striking number of a
    small group shrinks as far as chance explains it. A group in which too few responded to be modelled stands beside
    them with what was seen of it.

    Parameters
    ----------
    courses, definition
        As :func:`analysis.time_to_response`.
    by
        What separates the groups: ``origin``, ``product``, ``route``, ``guidance``, ``centre`` and others;
        ``origin_by_stage``: cell sources within each severity stage, drawn together within it only. Several, as
        ``("origin", "expanded", "centre", "stage")``: each combination that occurs, drawn to what its factors share
        and, as far as the data bear it, to itself; stages have hazards of their own and are drawn to nothing.
    covariates
        As :func:`analysis.adjusted_response`; default: stage, age, sex and baseline.
    horizon_day
        The day by which responses count.

    Returns
    -------
    Result
        By group: ``response`` (adjusted), ``pooled_response``, of one that is not modelled ``observed_share`` with
        exact limits, and, for centres, ``funnel_z`` (beyond ±1.96 outside 95 %
        of like centres). For `all`: ``pooled_response`` of the distribution's middle, ``spread``, its standard
        deviation on the scale log(-log(1 - share)) (by stage: ``pooled_response in early``, ``spread in early``), and
        for centres ``funnel_target``, their common share. Of several factors: ``spread`` of each and of what
        combinations have of their own, and ``pooled_hazard_ratio`` of each level against the mean of its factor.

    Raises
    ------
    NotEstimable
        When fewer than three groups (of a stage) have twenty courses with three responses; of several factors when
        fewer than three combinations occur, or no stage has as many.

    References
    ----------
    Rubin 1981; Gelman 2006; Spiegelhalter 2005; several factors: Gelman & Hill 2007, chapter 13. See
    docs/methods/dose.md.

    Examples
    --------
    >>> who = subgroups(knees, by="centre", horizon_day=365)
    >>> who.settings["question"]
    'subgroups'
    >>> each = subgroups(knees, by=("origin", "expanded", "centre"))  # combinations, small ones too
    >>> each.frame.filter(pl.col("quantity") == "spread")["stratum"].to_list()
    ['origin', 'expanded', 'centre', 'each combination']
    """
    if not isinstance(by, str):
        names = tuple(by)
        if not names:
            raise UsageError("by = () names nothing that separates groups: name one, e.g. by='origin', or several.")
        if len(names) != 1:
            held = tuple(c for c in _DEFAULT if c not in names) if covariates is None else several(covariates)
            _apart(held, names)
            return crossed(courses, names, held, definition, horizon_day, confidence)
        by = cast("By", names[0])
    if by == "stage":
        raise UsageError("Stages are an order, not draws of one distribution: use adjusted_response(by='stage').")
    check_day(horizon_day, "horizon_day")
    parts = by.split("_by_")
    chosen = tuple(c for c in _DEFAULT if c not in parts) if covariates is None else several(covariates)
    _apart(chosen, tuple(parts))
    made = adjusted_response(
        courses, covariates=chosen, definition=definition, by=by, horizon_day=(horizon_day,), confidence=confidence
    )
    rows = made.frame.filter(pl.col("quantity") == "response")
    seen = made.frame.filter(pl.col("quantity") == "observed_share")
    frame, checks, known = drawn_together(rows, by, horizon_day, confidence)
    compared = by == "centre"
    settings = {**made.settings, "question": "subgroups", "horizon_day": [horizon_day]}
    if len(parts) > 1:
        settings["blocks"] = _by_stage(made.settings["strata"], strata_of(courses, "stage"))
    return Result(
        question="subgroups",
        title=f"Response by day {horizon_day} by {by}, adjusted for {', '.join(chosen)}, partially pooled",
        frame=frame_of([*rows.to_dicts(), *seen.to_dicts(), *frame]),
        settings=settings,
        attrition=made.attrition,
        diagnostics=pl.concat([made.diagnostics, *checks]),
        notes=(
            f"{known} groups are compared: read the pooled numbers. Unpooled, the extremes of many groups are "
            "further out than the truth.",
            *((_NO_VERDICT,) if compared else ()),
            *made.notes,
            *_without_number(rows.filter(~pl.col("stratum").is_in(settings["not_modelled"])), settings["strata"]),
            *_drawn_by_others(seen, by),
        ),
        draw=subgroup_figures.funnel_plot if compared else subgroup_figures.forest,
    )


def _without_number(rows: pl.DataFrame, strata: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the note on groups that are modelled and not compared; none where all are. Their rows tell why."""
    label = {s["code"]: s["label"] for s in strata}
    known = pl.col("estimate").is_between(_NONE, 1 - _NONE).fill_null(value=False)
    left = rows.filter(pl.col("denominator") > 0, ~known)["stratum"].to_list()
    return (f"In no pooled number: {', '.join(label[code] for code in left)}.",) if left else ()


def _apart(covariates: tuple[str, ...], groups: tuple[str, ...]) -> None:
    if set(covariates) & set(groups):
        raise UsageError(f"covariates = {covariates} must not name what separates the groups: {' and '.join(groups)}.")


def _drawn_by_others(seen: pl.DataFrame, by: str) -> tuple[str, ...]:
    """Return the note on how groups that are not modelled get a pooled number; none where there are none, or no way."""
    if seen["estimate"].is_null().all() or not set(by.split("_by_")) <= {*FACTORS}:
        return ()
    names = [*by.split("_by_"), *([] if "stage" in by.split("_by_") else ["stage"])]
    return (
        "The middle and the spread are of the groups modelled, so that they say nothing of the others. "
        f"by={tuple(names)} has a pooled number of each combination, of those in which nobody responded too.",
    )


def _by_stage(strata: list[dict[str, Any]], stages: list[Stratum]) -> list[dict[str, Any]]:
    """Return by stage, in their order, the groups that stand together in a figure: label by code."""
    made = []
    for stage in stages:
        mine = {s["code"]: s["label"] for s in strata if s["code"].endswith(f" in {stage.code}")}
        if mine:
            end = f" in {label_of(stage.code, 'stage')}"
            held = {code: label.removesuffix(end) for code, label in mine.items()}
            made.append({"code": stage.code, "label": stage.label, "strata": held})
    return made


def drawn_together(
    rows: pl.DataFrame, by: str, day: int, confidence: float
) -> tuple[list[dict[str, Any]], list[pl.DataFrame], int]:
    """Pool the adjusted shares of groups: rows of the answer, checks, and how many groups have a number.

    Parameters
    ----------
    rows
        ``stratum, estimate, low, high, n, denominator`` of the adjusted shares at `day`.

    Raises
    ------
    NotEstimable
        When fewer than three groups (of a stage, where `by` names one) have a number.
    """
    parts = by.split("_by_")
    known = rows.filter(pl.col("estimate").is_between(_NONE, 1 - _NONE))
    within = pl.col("stratum").str.split(" in ").list.last() if len(parts) > 1 else pl.lit("")
    sets = [g for _, g in known.group_by(within.alias("within"), maintain_order=True) if g.height >= _FEWEST_GROUPS]
    if not sets:
        raise NotEstimable(
            f"{known.height} groups of {by} have a number: three or more{' in a stage' if len(parts) > 1 else ''} are "
            f"needed to say how much groups differ. adjusted_response(by='{by}') compares them as they are."
        )
    z = float(normal_quantile(0.5 + confidence / 2))
    frame: list[dict[str, Any]] = []
    checks = []
    for mine in sets:
        shares, low, high = (mine[c].to_numpy() for c in ("estimate", "low", "high"))
        # Limits lie alike about the share on this scale; near 1 the upper one is beyond what a number can hold.
        y = _scale(shares)
        error = np.where(high < 1 - _NONE, _scale(high) - _scale(low), 2 * (y - _scale(low))) / (2 * z)
        pooled = partial_pooling(y, error, confidence)
        compared = funnel(y, error) if by == "centre" else None
        where = f" in {mine['stratum'][0].split(' in ')[-1]}" if len(parts) > 1 else ""
        frame += _rows(mine, pooled, compared, day, where)
        checks.append(_checks(compared, mine.height, where))
    return frame, checks, known.height


def _scale(share: Floats) -> Floats:
    return np.asarray(np.log(-np.log1p(-np.clip(share, _NONE, 1 - _NONE))))


def share_of(y: Any) -> Any:
    """Return the share of a value on the scale log(-log(1 - share))."""
    return -np.expm1(-np.exp(y))


def _rows(known: pl.DataFrame, pooled: Pooled, compared: Funnel | None, day: int, where: str) -> list[dict[str, Any]]:
    """Return the rows of groups drawn together; `where` names the stage in the rows of all, if they are of one."""
    out = []
    for g, r in enumerate(known.iter_rows(named=True)):
        counts = {"n": r["n"], "denominator": r["denominator"], "time_day": float(day)}
        limits = (share_of(pooled.estimate[g]), share_of(pooled.low[g]), share_of(pooled.high[g]))
        shown: dict[str, Any] = dict(zip(("estimate", "low", "high"), map(float, limits), strict=True))
        note = "; ".join(filter(None, (f"keeps {100 * pooled.weight[g]:.0f} % of its own number", r.get("note"))))
        out.append(row(r["stratum"], "pooled_response", **counts, **shown, note=note))
        if compared is not None:
            out.append(row(r["stratum"], "funnel_z", **counts, estimate=float(compared.z[g])))
    n, of = int(known["n"].sum()), int(known["denominator"].sum())
    middle = (share_of(pooled.overall), share_of(pooled.overall_low), share_of(pooled.overall_high))
    shown = dict(zip(("estimate", "low", "high"), map(float, middle), strict=True))
    out.append(row("all", f"pooled_response{where}", time_day=float(day), n=n, denominator=of, **shown))
    spread = {"estimate": pooled.spread, "low": pooled.spread_low, "high": pooled.spread_high, "denominator": of}
    note = "standard deviation between groups, on the scale log(-log(1 - share))"
    out.append(row("all", f"spread{where}", **spread, note=note))
    if compared is not None:
        out.append(row("all", "funnel_target", time_day=float(day), estimate=float(share_of(compared.target)), n=n,
                       denominator=of))  # fmt: skip
    return out


def _checks(compared: Funnel | None, groups: int, where: str) -> pl.DataFrame:
    name, why = f"groups compared{where}", "multiplicity: hence partial pooling"
    rows = [check(name, groups, f">= {_FEWEST_GROUPS}", True, why)]
    if compared is not None:
        outside = int((np.abs(compared.z) > normal_quantile(0.999)).sum())
        rows.append(check("overdispersion of centres", compared.overdispersion, "information", True,
                          "1: centres differ as chance has it"))  # fmt: skip
        rows.append(check("centres outside 99.8 % limits", outside, "information", True, "look at the data first"))
    return diagnostics_of(rows)
