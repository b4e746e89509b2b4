"""Joint replacement adjusted for who was treated and how: standardised incidence by stage, and what goes with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import figures
from analysis.adjusted_model import Covariate, Design, covariates_for, design_of, lacking, ratio_row
from analysis.cohort import (
    By,
    Days,
    Stratum,
    check_confidence,
    check_days,
    check_one,
    common_settings,
    end_label,
    place_courses,
    reduce,
)
from analysis.exposure import exposure_note
from analysis.follow_up import followed_through, settled_to
from analysis.numerics.cox import fit_cox, proportional_hazards_test, risk_sets
from analysis.numerics.laws import hotelling_above, normal_quantile
from analysis.numerics.share_limits import difference_limits, unfollowed
from analysis.numerics.standardised_incidence import Hazard, Standardised, standardised_incidence
from analysis.numerics.varying import UNVARYING_ALL, wald
from analysis.response import HORIZON_DAYS
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable

Floats = NDArray[np.float64]

# A stratum with fewer ends has no hazard of its own; a coefficient wants as many.
FEWEST_ENDS, ENDS_A_COVARIATE = 3, 5


def adjusted_replacement(
    courses: Courses,
    *,
    covariates: Covariate | tuple[Covariate, ...] | None = None,
    by: By = "stage",
    horizon_day: Days = HORIZON_DAYS,
    confidence: float = 0.95,
) -> Result:
    """Estimate the incidence of the programme's end event by stage, standardised over the covariates of the cohort.

    Cause-specific proportional hazards with a baseline of its own in each stratum, of the end and of what competes
    (death, another treatment); the incidence is the mean over the courses of the strata fitted of what each would have.

    Parameters
    ----------
    courses, by, horizon_day
        As :func:`analysis.joint_replacement`.
    covariates
        As :func:`analysis.adjusted_response`.

    Returns
    -------
    Result
        ``end`` by stratum and day (standardised), ``difference`` between strata, ``hazard_ratio`` of each covariate
        (above 1: sooner replaced), and the ``test`` that covariates act alike in all strata. A stratum with fewer than
        three ends has no hazard of its own and is counted, not modelled.

    Raises
    ------
    NotEstimable
        When no stratum has three ends, or the model cannot be fitted; the message says why.
    UsageError
        When an option is not known, or the courses are of programmes with different ends.

    References
    ----------
    Cheng, Fine & Wei 1998 Biometrics 54:219; Lin & Wei 1989 JASA 84:1074 for the variance clustered by patient.

    Examples
    --------
    >>> adjusted = adjusted_replacement(knees, covariates=("age", "sex"), horizon_day=(730,))
    >>> adjusted.frame.filter(quantity="hazard_ratio")["stratum"].to_list()
    ['age, per 10 years', 'sex: ...']
    """
    covariates = covariates_for(covariates, by)
    check_confidence(confidence)
    days = np.array(check_days(horizon_day, "horizon_day"), dtype=float)
    strata, kept = place_courses(courses, by)
    check_one(kept, "end_label")
    if end_label(kept) == "none":
        raise NotEstimable("No event ends the target of this programme, so that there is no incidence of one.")
    (rows,) = reduce(kept, "reduction.end_covariate")
    kept = kept.exclude(lacking(kept, rows, covariates, "no contact after treatment"))
    rows = rows.drop_nulls(list(covariates)).sort("course_id")
    used = _used(rows, strata, kept)
    alone = rows.filter(~pl.col("stratum").is_in([s.code for s in used]))
    why = f"stratum has fewer than {FEWEST_ENDS} ends"
    kept = kept.exclude(alone.select("course_id", reason=pl.lit(why)))
    rows = rows.filter(pl.col("stratum").is_in([s.code for s in used]))
    design = design_of(rows, covariates)
    event, other, competing = _fit(rows, design)
    grid = np.unique(np.r_[days, np.arange(15.0, days.max() + 1, 15.0)])
    found = standardised_incidence(
        event, other, design.x, grid, [s.code for s in used], rows["patient_id"].to_numpy()
    )  # fmt: skip
    told = _Told(found, rows, used, grid, confidence)
    assert event.fit is not None
    frame = [r for s in used for r in told.levels(s, days)] + told.contrasts(days)
    frame += [row(s.code, "end", time_day=float(d), n=alone.filter(stratum=s.code, cause="end").height,
                  denominator=alone.filter(stratum=s.code).height, note=why if alone.filter(stratum=s.code).height
                  else "nobody in this stratum") for s in strata if s not in used for d in days]  # fmt: skip
    told_of = zip(design.names, event.fit.coefficients, event.fit.robust_std_error, design.having, strict=True)
    ratios = [ratio_row(name, float(b), float(e), rows.height, confidence, having=n) for name, b, e, n in told_of]
    frame += [*ratios, _alike(rows, design, used)]
    proportional = proportional_hazards_test(event.rows, event.fit)
    p = proportional.global_p_value
    return Result(
        question="adjusted_replacement",
        title=f"Cumulative incidence of {end_label(kept)} by {by}, standardised for {', '.join(covariates)}",
        frame=frame_of(frame),
        settings={
            **common_settings(kept, strata, "adjusted_replacement", by),
            "end_label": end_label(kept),
            "covariates": list(covariates),
            "competing": competing,
            "horizon_day": [int(d) for d in days],
            "confidence": confidence,
            "variance": "influence of patients",
            "not_modelled": [s.code for s in strata if s not in used],
        },
        attrition=kept.flow(),
        diagnostics=diagnostics_of(
            [
                check(
                    "ends a coefficient",
                    event.fit.n_events / len(event.fit.coefficients),
                    f">= {ENDS_A_COVARIATE}",
                    event.fit.n_events >= ENDS_A_COVARIATE * len(event.fit.coefficients),
                    "fewer: wide and unsteady",
                ),
                check(
                    "proportional hazards",
                    p,
                    ">= 0.01",
                    p >= 0.01,
                    "a small value: a covariate's hazard ratio changes over time",
                ),
            ]
        ),
        curves=frame_of([r for s in used for r in told.levels(s, grid)]),
        at_risk=frame_of(_at_risk(rows, used, days)),
        notes=(
            *exposure_note(by, *covariates),
            "Incidences are standardised over the courses of the strata fitted, taken as given: what each stage would "
            "have, had it the others' covariates too. What competes may differ between stages as it does.",
            *design.notes,
        ),
        draw=figures.cumulative_incidence,
    )


class _Told:
    """Standardised incidences as rows."""

    def __init__(self, found: Standardised, rows: pl.DataFrame, used: list[Stratum], grid: Floats, confidence: float):
        self.found, self.rows, self.used, self.grid, self.confidence = found, rows, used, grid, confidence
        self.z = float(normal_quantile(0.5 + confidence / 2))

    def _stratum(self, s: Stratum) -> tuple[pl.DataFrame, Floats, NDArray[np.bool_]]:
        mine = self.rows.filter(stratum=s.code)
        return mine, mine["day"].cast(pl.Float64).to_numpy(), (mine["cause"] == "censored").to_numpy()

    def levels(self, s: Stratum, days: Floats) -> list[dict[str, Any]]:
        """Return the incidence of a stratum by day, with limits on the complementary log-log scale."""
        mine, last, lost = self._stratum(s)
        ones, i, at = np.ones(len(last)), self.used.index(s), np.searchsorted(self.grid, days)
        value = self.found.estimate[i, at]
        error = self.found.error(np.eye(len(self.used))[i])[at]
        inside = np.clip(value, 1e-12, 1 - 1e-12)
        width = self.z * error / ((1 - inside) * -np.log1p(-inside))
        centre = np.log(-np.log1p(-inside))
        low, high = -np.expm1(-np.exp(centre - width)), -np.expm1(-np.exp(centre + width))
        told_by = followed_through(last, lost, ones, days)
        # Before the first end nothing is told but how much is possible.
        most = 1 - ((1 - self.confidence) / 2) ** (1 / told_by)
        high = np.where(value > 0, unfollowed(value, high, told_by, len(last), self.confidence), most)
        low, settled = np.where(value > 0, low, 0.0), min(settled_to(last, lost, ones), last.max())
        ends = mine.filter(cause="end")
        out = []
        for k, day in enumerate(days):
            told: dict[str, Any] = {"estimate": float(value[k]), "low": float(low[k]), "high": float(high[k])}
            if day > settled:
                told = {"note": f"settled up to day {settled:.0f} only"}
            n = ends.filter(pl.col("day") <= day).height
            out.append(row(s.code, "end", time_day=float(day), n=n, denominator=mine.height, **told))
        return out

    def contrasts(self, days: Floats) -> list[dict[str, Any]]:
        """Return differences from the first stratum, with limits from those of the two; patients may be in both."""
        out, at, one = [], np.searchsorted(self.grid, days), np.eye(len(self.used))
        levels = [self.levels(s, days) for s in self.used]
        errors = [self.found.error(weights)[at] for weights in one]
        for i, s in enumerate(self.used[1:], 1):
            apart = self.found.error(one[i] - one[0])[at]
            alike = (errors[i] ** 2 + errors[0] ** 2 - apart**2) / np.maximum(2 * errors[i] * errors[0], 1e-300)
            for k, day in enumerate(days):
                sides = [levels[i][k], levels[0][k]]
                told: dict[str, Any] = {"note": "not known in both"}
                if all(side["estimate"] is not None for side in sides):
                    a, b = ([np.array(side[c]) for c in ("estimate", "low", "high")] for side in sides)
                    low, high = difference_limits(
                        (a[0], a[1], a[2]), (b[0], b[1], b[2]), float(np.clip(alike[k], -1, 1))
                    )
                    told = {"estimate": float(a[0] - b[0]), "low": float(low), "high": float(high)}
                of = sum(side["denominator"] for side in sides)
                name = f"{s.code} - {self.used[0].code}"
                out.append(row(name, "difference", time_day=float(day), denominator=of, **told))
        return out


def _used(rows: pl.DataFrame, strata: list[Stratum], kept: Courses) -> list[Stratum]:
    ends = rows.filter(cause="end").group_by("stratum").len().filter(pl.col("len") >= FEWEST_ENDS)["stratum"].to_list()
    used = [s for s in strata if s.code in ends]
    if not used:
        left = kept.flow()[1:-1].sort("n", descending=True, maintain_order=True)
        reasons = "; ".join(f"{n} {reason}" for reason, n in left.iter_rows()) or "None was left out."
        raise NotEstimable(
            f"No stratum has {FEWEST_ENDS} ends: an adjusted incidence cannot be fitted. {reasons}"
            if rows.height else f"No course is left to analyse. {reasons}"
        )  # fmt: skip
    return used


def _fit(rows: pl.DataFrame, design: Design) -> tuple[Hazard, Hazard | None, str]:
    """Return the hazards of the end and of what competes, None where nothing does, and how the second was fitted."""
    patient = rows["patient_id"].to_numpy()
    # An event on the first day happened just after it began.
    day, stratum = rows["day"].cast(pl.Float64).clip(0.5).to_numpy(), rows["stratum"].to_numpy()

    def sets(event: NDArray[np.bool_]) -> Any:
        return risk_sets(design.x, day, event.astype(int), stratum=stratum, ties="breslow")

    ended = (rows["cause"] == "end").to_numpy()
    competes = ~ended & (rows["cause"] != "censored").to_numpy()
    try:
        event = sets(ended)
        first = Hazard(event, fit_cox(event, cluster=patient))
    except ValueError as error:
        raise NotEstimable(f"The adjusted model cannot be fitted: {error}. Fewer covariates may help.") from None
    if not competes.any():
        return first, None, "nothing competed"
    other = sets(competes)
    if competes.sum() >= ENDS_A_COVARIATE * design.x.shape[1]:
        try:
            return first, Hazard(other, fit_cox(other, cluster=patient)), "with the covariates"
        except ValueError:
            pass
    return first, Hazard(other, None), "without covariates: too few"


def _alike(rows: pl.DataFrame, design: Design, used: list[Stratum]) -> dict[str, Any]:
    """Return the test that covariates act alike in all strata, by Hotelling's law of the ends of the fewest."""
    if len(used) < 2:
        return row("all", "test", note="one stratum: nothing to compare")
    stratum, p = rows["stratum"].to_numpy(), design.x.shape[1]
    x = np.hstack([design.x, *(design.x * (stratum == s.code)[:, None] for s in used[1:])])
    day, event = rows["day"].cast(pl.Float64).clip(0.5).to_numpy(), (rows["cause"] == "end").to_numpy().astype(int)
    try:
        made = fit_cox(risk_sets(x, day, event, stratum=stratum, ties="breslow"), cluster=rows["patient_id"].to_numpy())
    except ValueError as error:
        return row("all", "test", note=f"interaction not estimable: {error}")
    apart, spread = made.coefficients[p:], made.robust_covariance
    statistic, df = wald(apart, spread[p:, p:], float(np.diag(spread).mean()))
    if not df:
        return row("all", "test", denominator=rows.height, note=UNVARYING_ALL)
    fewest = min(rows.filter(cause="end").group_by("stratum").len()["len"])
    note = f"covariates act alike in all strata: Wald chi-squared {statistic:.2f} on {df} df, by Hotelling's law"
    tail = hotelling_above(statistic, df, fewest - 1)
    if np.isnan(tail):
        return row("all", "test", denominator=rows.height, note=f"{note} of {fewest}: too few for so many at once")
    return row("all", "test", estimate=tail, denominator=rows.height, note=f"{note} of {fewest}")


def _at_risk(rows: pl.DataFrame, used: list[Stratum], days: Floats) -> list[dict[str, Any]]:
    out = []
    for s in used:
        mine = rows.filter(stratum=s.code)
        for day in (0.0, *days.tolist()):
            n = mine.filter(pl.col("day") >= day).height
            out.append(row(s.code, "at_risk", time_day=day, n=n, denominator=mine.height))
    return out
