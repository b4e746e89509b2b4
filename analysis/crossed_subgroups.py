"""Groups by several things at once: each combination drawn to what its factors share, as far as the data bear it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import subgroup_figures
from analysis.adjusted_model import (
    FEWEST_COURSES,
    FEWEST_RESPONSES,
    TOO_FEW,
    Covariate,
    as_of,
    design_of,
    enough,
    fit_model,
    interval_data,
    lacking,
    not_modelled_notes,
    observed_rows,
    told_days,
    trace_of,
)
from analysis.cohort import (
    Stratum,
    check_confidence,
    check_day,
    colour_of,
    common_settings,
    definition_of,
    label_of,
    place,
    reduce,
)
from analysis.exposure import exposure_note
from analysis.numerics.cell_effects import CellInformation, cell_information
from analysis.numerics.crossed_pooling import Crossed, crossed_pooling
from analysis.numerics.interval_likelihood import Model, split_rows
from analysis.numerics.laws import normal_quantile
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FACTORS = ("origin", "donor", "separation", "expanded", "same_day", "route", "guidance", "dose_band", "site", "sex",
           "centre", "stage")  # fmt: skip
_MOST_CELLS = 400
# Where to expand at first: groups that differ by a third or so.
_FIRST_SPREAD, _SMALLEST_SPREAD = 0.3, 0.05


def crossed(
    courses: Courses, by: tuple[str, ...], covariates: tuple[Covariate, ...], definition: str | None, horizon_day: int,
    confidence: float,
) -> Result:  # fmt: skip
    """Answer :func:`analysis.subgroups` for combinations of several factors."""
    for name in by:
        choose(name, FACTORS, "by =")
    if len(set(by)) < len(by):
        raise UsageError(f"by = {by} names one twice.")
    factors = tuple(name for name in by if name != "stage")
    if not factors:
        raise UsageError("Stages are an order, not draws of one distribution: name a factor beside them.")
    check_confidence(confidence)
    check_day(horizon_day, "horizon_day")
    chosen = definition_of(courses, definition)
    # Stages are an order: they have hazards of their own and are drawn to nothing.
    strata, kept = place(courses, "stage" if "stage" in (*by, *covariates) else "all", chosen, end_policy="censor")
    others = tuple(c for c in covariates if c != "stage")
    (rows,) = reduce(kept, "reduction.response_covariate")
    needed = (*others, *factors)
    kept = kept.exclude(lacking(kept, rows, needed))
    rows = rows.drop_nulls(list(needed)).sort("course_id")
    used, small = enough(rows, strata)
    # Combinations have codes of their own: a stage that is left out is named as one.
    labels = {s.code: f"stage: {s.label}" for s in strata}
    left = observed_rows(rows, small, [float(horizon_day)], confidence)
    seen = [{**r, "stratum": labels[r["stratum"]]} for r in left if r["denominator"]]
    unmodelled = not_modelled_notes(rows, small, strata)
    alone = rows.filter(pl.col("stratum").is_in(list(small))).select("course_id")
    kept = kept.exclude(alone.with_columns(reason=pl.lit(f"stratum has {TOO_FEW}")))
    rows = rows.join(alone, on="course_id", how="anti").sort("course_id")
    frame, checks, cells, cuts, told = drawn_across(rows, by, used, others, horizon_day, confidence)
    settings = {
        **common_settings(kept, cells.strata, "subgroups", " × ".join(by)), **chosen.settings,
        "confirmation": "confirmed", "early_visits": "ignored", "booster_policy": "treatment_policy",
        "end_policy": "censor", "covariates": list(covariates), "factors": list(by), "horizon_day": [horizon_day],
        "cut_day": [round(k, 1) for k in cuts], "confidence": confidence,
        "not_modelled": [labels[code] for code in small],
        **({"blocks": _by_stage(cells, by, used)} if "stage" in by else {}),
    }  # fmt: skip
    return Result(
        question="subgroups",
        title=f"Response by day {horizon_day} by {', '.join(by)}, adjusted for {', '.join(covariates)}, drawn to what "
        "combinations share",
        frame=frame_of([*frame, *seen]),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=checks,
        notes=(
            f"{len(cells.of)} combinations are compared: read the pooled numbers. Each is drawn to what its factors "
            f"({', '.join(label_of(f, 'factor') for f in factors)}) show in others, the more so the less it tells.",
            *exposure_note(*by, *covariates),
            "How much groups differ has a prior, half-normal with scale 1 on log hazards: few groups hardly tell it.",
            *unmodelled,
            *told,
        ),
        draw=subgroup_figures.forest,
    )  # fmt: skip


def _by_stage(cells: _Cells, by: tuple[str, ...], stages: list[Stratum]) -> list[dict[str, Any]]:
    """Return by stage the combinations that stand together in a figure: label, without the stage, by code."""
    at = by.index("stage")
    made = []
    for stage in stages:
        mine = [(s.code, levels) for s, levels in zip(cells.strata, cells.of, strict=True) if levels[at] == stage.code]
        held = {
            code: ", ".join(label_of(v, n) for v, n in zip(levels, by, strict=True) if n != "stage")
            for code, levels in mine
        }
        made.append({"code": stage.code, "label": stage.label, "strata": held})
    return made


def drawn_across(
    rows: pl.DataFrame, by: tuple[str, ...], used: list[Stratum], covariates: tuple[str, ...], day: int,
    confidence: float,
) -> tuple[list[dict[str, Any]], pl.DataFrame, _Cells, tuple[float, ...], tuple[str, ...]]:  # fmt: skip
    """Draw combinations of factors together: rows of the answer, checks, combinations, cut days and notes.

    Parameters
    ----------
    rows
        As ``reduction.response_covariate``; `stratum`, the stage, says whose baseline hazard.
    used
        The strata of the rows, in order.

    Raises
    ------
    NotEstimable
        When nobody was watched to that day, or there is too little to fit.
    """
    cells = _Cells(rows, by, used)
    design = design_of(rows, covariates)
    fit, cuts = fit_model(rows, design)
    at = {code: float(t[0]) for code, t in told_days(rows, used, np.array([float(day)])).items()}
    if all(np.isnan(t) for t in at.values()):
        raise NotEstimable(f"Nobody was watched to day {day}: the last day known is {fit.horizon:.0f}.")
    try:
        found, pooled = _drawn(fit.model, fit.parameters, cells, rows, design.x, cuts)
    except ValueError as error:
        raise NotEstimable(str(error)) from None
    frame = [
        *_cell_rows(fit.model, cells, rows, design.x, found, pooled, day, confidence, at),
        *_level_rows(cells, rows, pooled, confidence),
    ]
    early = [s.label for s in used if np.isnan(at[s.code])]
    notes = (f"Nobody was watched to day {day} in {', '.join(early)}: not told, and not in what is standardised.",)
    return frame, _checks(cells, found, pooled), cells, cuts, (*design.notes, *notes * bool(early))


class _Cells:
    """Combinations that occur: their order, names and rows.

    Attributes
    ----------
    strata, of : by cell, and its levels
    cell : (n,) of the rows; stratum : (n,) code of the hazard, in the order of the model's strata
    factors, names, levels : apart from stage: names; by factor its levels' codes, and the level of each cell (K,)
    fixed : for each cell the code of its stage's hazard where cells are of one stage, or None
    """

    def __init__(self, rows: pl.DataFrame, by: tuple[str, ...], used: list[Stratum]):
        order = {s.code: i for i, s in enumerate(used)}
        columns = [pl.col("stratum" if name == "stage" else name).alias(name) for name in by]
        marked = rows.select(columns).with_row_index("row")
        held = marked.select(by).unique(maintain_order=True)
        places = [pl.col("stage").replace_strict(order).alias("stage") if n == "stage" else pl.col(n) for n in by]
        held = held.select(*by, pl.struct(places).alias("place")).sort("place").drop("place").with_row_index("cell")
        if held.height > _MOST_CELLS:
            raise UsageError(
                f"{held.height} combinations of {', '.join(by)} occur: at most {_MOST_CELLS} can be compared."
            )
        joined = marked.join(held, on=list(by), how="left", maintain_order="left")
        self.cell = joined["cell"].to_numpy().astype(np.int64)
        words = {s.code: s.label for s in used}
        self.strata: list[Stratum] = []
        self.of: list[tuple[str, ...]] = held.select(by).rows()
        for i, levels in enumerate(self.of):
            said = [words[v] if n == "stage" else label_of(v, n) for n, v in zip(by, levels, strict=True)]
            self.strata.append(Stratum(", ".join(levels), ", ".join(said), colour_of(i)))
        self.factors = tuple(name for name in by if name != "stage")
        self.names = [held[name].unique().sort().to_list() for name in self.factors]
        self.levels = [
            np.searchsorted(np.array(names), held[f].to_numpy()).astype(np.int64)
            for f, names in zip(self.factors, self.names, strict=True)
        ]
        codes = sorted(s.code for s in used)
        self.stratum = np.searchsorted(np.array(codes), rows["stratum"].to_numpy()).astype(np.int64)
        self.fixed = np.searchsorted(np.array(codes), held["stage"].to_numpy()) if "stage" in by else None


def _drawn(
    model: Model, theta: Floats, cells: _Cells, rows: pl.DataFrame, x: Floats, cuts: tuple[float, ...]
) -> tuple[CellInformation, Crossed]:
    """Return what the data say of the cells, and the cells drawn together; expanded where they come to lie."""
    data, patient = interval_data(rows), rows["patient_id"].to_numpy()
    own = [np.flatnonzero(cells.cell == k) for k in range(len(cells.strata))]
    parts = [(data.take(i), x[i], cells.stratum[i]) for i in own]
    trace, stratum = trace_of(rows, cuts)
    codes = np.searchsorted(np.unique(rows["stratum"].to_numpy()), stratum)
    rest = split_rows(model, trace, np.zeros((len(stratum), x.shape[1])), codes)
    spread = np.full(len(cells.levels) + 1, _FIRST_SPREAD)
    start = theta
    for last in (False, True):
        found = cell_information(model, parts, [patient[i] for i in own], rest, start, _precision(cells, spread))
        pooled = crossed_pooling(found.information, found.said, cells.levels)
        if not last:
            spread, start = np.maximum(pooled.weight @ pooled.spread, _SMALLEST_SPREAD), found.theta
    return found, pooled


def _precision(cells: _Cells, spread: Floats) -> Floats:
    shared = [np.equal.outer(z, z) for z in (*cells.levels, np.arange(len(cells.strata)))]
    return np.asarray(np.linalg.inv(sum(s**2 * z for s, z in zip(spread, shared, strict=True))))


def _cell_rows(
    model: Model, cells: _Cells, rows: pl.DataFrame, x: Floats, found: CellInformation, pooled: Crossed, day: int,
    confidence: float, at: dict[str, float],
) -> list[dict[str, Any]]:  # fmt: skip
    """Return by combination the share that responds, by itself where enough did, and drawn to what is shared.

    `at` is the day told of each stratum, nan where nobody was watched so long (:func:`told_days`).
    """
    told_at = np.array([at[code] for code in sorted(at)])
    k, q = len(cells.strata), len(found.theta)
    y, slope = np.empty(k), np.empty((k, q + 1))
    information, says = found.information, np.diag(found.information)
    expected = pooled.expected
    response = (rows["kind"] == "response").to_numpy()
    by_day = response & (rows["right_day"].fill_null(0).to_numpy() <= day)
    of, responded, n = (np.bincount(cells.cell, w, k).astype(int) for w in (np.ones(len(x)), response, by_day))
    own = np.full(k, np.nan)
    for c in range(k):
        code = cells.stratum if cells.fixed is None else np.full(len(x), cells.fixed[c])
        when = told_at[code]
        known = ~np.isnan(when)
        if not known.any():
            # Its stage was not watched so long: there is nothing to tell, by itself or pooled.
            y[c], slope[c] = 0.0, 0.0
            continue
        asked = (x[known], code[known], when[known])
        y[c], slope[c] = _risk(model, found.theta, found.effects[c], *asked)
        if of[c] >= FEWEST_COURSES and responded[c] >= FEWEST_RESPONSES:
            alone = expected[c] + (found.said[c] - information[c] @ expected) / says[c]
            own[c] = _risk(model, found.theta, alone, *asked)[0]
    # The model's parameters go with the effects, and are themselves uncertain given them.
    along = slope[:, :q] @ found.moves + np.diag(slope[:, q])
    still = np.einsum("kq,qr,kr->k", slope[:, :q], found.covariance, slope[:, :q])
    middle, low, high = pooled.linear(y - along @ found.effects, along, still, confidence)
    z, keep = float(normal_quantile(0.5 + confidence / 2)), pooled.keep
    told, by_itself = [], []
    for c, s in enumerate(cells.strata):
        counts: dict[str, Any] = {"time_day": float(day), "n": int(n[c]), "denominator": int(of[c])}
        shown: dict[str, Any] = {"note": f"{TOO_FEW}: no number by itself"}
        if cells.fixed is not None and np.isnan(told_at[cells.fixed[c]]):
            none = {"note": f"nobody was watched to day {day} in this stage"}
            told.append(row(s.code, "pooled_response", **counts, **none))
            by_itself.append(row(s.code, "response", **counts, **none))
            continue
        if np.isfinite(own[c]):
            reach = z * abs(slope[c, q]) / np.sqrt(says[c])
            shown = _shares(own[c], own[c] - reach, own[c] + reach)
        by_itself.append(row(s.code, "response", **counts, **shown))
        near = "" if cells.fixed is None else as_of(day, float(told_at[cells.fixed[c]]))
        told.append(row(s.code, "pooled_response", **counts, **_shares(middle[c], low[c], high[c]),
                        note=f"keeps {100 * min(max(keep[c], 0), 1):.0f} % of its own number{near}"))  # fmt: skip
    return [*told, *by_itself]


def _shares(*y: float) -> dict[str, Any]:
    return dict(zip(("estimate", "low", "high"), (float(-np.expm1(-np.exp(v))) for v in y), strict=True))


def _risk(model: Model, theta: Floats, effect: float, x: Floats, code: Ints, day: Floats) -> tuple[float, Floats]:
    """Return the risk by each one's day were all in a cell, on the scale log(-log(1 - share)), and its derivatives."""
    design = np.column_stack([x, np.ones(len(x))])
    u, rows, _ = model.predictor(day, design, code)[0](np.append(theta, effect))
    hazard = np.exp(u)
    free = float(np.mean(np.exp(-hazard)))
    gradient = (hazard * np.exp(-hazard)) @ rows / len(x)
    # As many as one in 10^15 may be free of it, not none: the mean hazard is then no longer told by them.
    total = -np.log(max(free, 1e-15))
    return float(np.log(total)), gradient / (max(free, 1e-15) * total)


def _level_rows(cells: _Cells, rows: pl.DataFrame, pooled: Crossed, confidence: float) -> list[dict[str, Any]]:
    """Return how much each factor's levels differ, and each level's hazard against the mean of its factor's levels."""
    out, spreads = [], pooled.spreads(confidence)
    note = "standard deviation between levels, on the scale of log hazards, all other factors held"
    for f, (name, codes) in enumerate(zip(cells.factors, cells.names, strict=True)):
        told = dict(zip(("estimate", "low", "high"), map(float, spreads[f]), strict=True))
        out.append(row(name, "spread", **told, denominator=rows.height, note=note))
        middle, low, high = pooled.level(f, confidence)
        for j, code in enumerate(codes):
            mine = rows.filter(pl.col(name) == code)
            out.append(
                row(f"{name}: {label_of(str(code), name)}", "pooled_hazard_ratio", estimate=float(np.exp(middle[j])),
                    low=float(np.exp(low[j])), high=float(np.exp(high[j])),
                    n=mine.filter(pl.col("kind") == "response").height, denominator=mine.height)
            )  # fmt: skip
    told = dict(zip(("estimate", "low", "high"), map(float, spreads[-1]), strict=True))
    out.append(row("each combination", "spread", **told, denominator=rows.height,
                   note="of what combinations have of their own, beyond their factors"))  # fmt: skip
    return out


def _checks(cells: _Cells, found: CellInformation, pooled: Crossed) -> pl.DataFrame:
    told = 1 / float((pooled.weight**2).sum())
    return diagnostics_of(
        [
            check("combinations compared", len(cells.strata), "information", True, "hence partial pooling"),
            check("points that carry the spreads", told, ">= 50", told >= 50, f"effective, of {len(pooled.weight)}"),
            check("scores of a patient together", found.inflation, "information", True,
                  "variance against that of courses on their own; limits allow for it"),
        ]
    )  # fmt: skip
