"""Response adjusted for who was treated and how: standardised risks by stage, and what goes with a quicker response."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import figures
from analysis.adjusted_model import (
    TOO_FEW,
    TRACE,
    Covariate,
    Design,
    covariates_for,
    design_of,
    enough,
    fit_model,
    fit_pieces,
    lacking,
    not_modelled_notes,
    observed_rows,
    ratio_row,
    row_of_alike,
    shown_at,
    told_days,
    watched_to,
)
from analysis.cohort import (
    BoosterPolicy,
    By,
    Confirmation,
    Days,
    EarlyVisits,
    RescuePolicy,
    Stratum,
    check_confidence,
    check_days,
    common_settings,
    definition_of,
    place,
    reduce,
)
from analysis.exposure import exposure_note
from analysis.numerics.interval_likelihood import IntervalFit
from analysis.numerics.interval_regression import contrast, standardised_risk
from analysis.response import HORIZON_DAYS
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses

Floats = NDArray[np.float64]


def adjusted_response(
    courses: Courses,
    *,
    covariates: Covariate | tuple[Covariate, ...] | None = None,
    definition: str | None = None,
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    early_visits: EarlyVisits = "ignored",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
    horizon_day: Days = HORIZON_DAYS,
    confidence: float = 0.95,
) -> Result:
    """Estimate the probability of response by stage, standardised over the covariates of the whole cohort.

    Proportional hazards for interval-censored times with a baseline of its own in each stratum, constant in pieces, so
    that stages need not be proportional. Ends censor: the risk is that of responding had nothing ended the target, and
    ends were unrelated to response given the covariates.

    Parameters
    ----------
    courses, definition, by, confirmation, early_visits, booster_policy, rescue_policy, horizon_day
        As :func:`analysis.time_to_response`.
    covariates
        What was known at the first session, one or several; default: age, sex and baseline. Courses lacking one
        leave, with the reason. `baseline` is that of pain, or of the programme's first domain, in points of 100, higher
        worse.

    Returns
    -------
    Result
        ``response`` by stratum and day (standardised), ``difference`` between strata, ``hazard_ratio`` of each
        covariate (`stratum` names it; above 1: a quicker response), and the ``test`` that covariates act alike in all
        strata. A stratum too small to be modelled has its ``observed_share``, with exact limits.

    Raises
    ------
    NotEstimable
        When no stratum has twenty courses with three responses, or the model cannot be fitted; the message says why.

    References
    ----------
    Farrington 1996 Stat Med 15:283; Lin & Wei 1989 JASA 84:1074 for the variance clustered by patient.

    Examples
    --------
    >>> adjusted = adjusted_response(knees, covariates=("age", "sex"), horizon_day=(365,))
    >>> adjusted.say("response", "early", 365)  # had all stages the same age and sex
    '... % (95 % CI ... to ...)'
    """
    covariates = covariates_for(covariates, by)
    days = np.array(check_days(horizon_day, "horizon_day"), dtype=float)
    check_confidence(confidence)
    chosen = definition_of(courses, definition)
    strata, kept = place(
        courses, by, chosen, confirmation=confirmation, early_visits=early_visits, end_policy="censor",
        booster_policy=booster_policy, rescue_policy=rescue_policy,
    )  # fmt: skip
    (rows,) = reduce(kept, "reduction.response_covariate")
    kept = kept.exclude(lacking(kept, rows, covariates))
    rows = rows.drop_nulls(list(covariates)).sort("course_id")
    used, small = enough(rows, strata)
    seen = observed_rows(rows, small, days.tolist(), confidence)
    unmodelled = not_modelled_notes(rows, small, strata)
    alone = rows.filter(~pl.col("stratum").is_in([s.code for s in used])).select("course_id")
    kept = kept.exclude(alone.with_columns(reason=pl.lit(f"stratum has {TOO_FEW}")))
    rows = rows.join(alone, on="course_id", how="anti").sort("course_id")
    design = design_of(rows, covariates)
    fit, cuts = fit_model(rows, design)
    frame = [
        *risk_rows(fit, design, rows, used, days, confidence),
        *_ratio_rows(fit, design, rows, confidence),
        _interaction(rows, design, used, cuts),
    ]
    grid = np.unique(np.r_[np.arange(15.0, min(days.max(), fit.horizon) + 1, 15.0), days[days <= fit.horizon]])
    settings = {
        **common_settings(kept, strata, "adjusted_response", by),
        **chosen.settings,
        "confirmation": confirmation,
        "early_visits": early_visits,
        "booster_policy": booster_policy,
        "rescue_policy": rescue_policy,
        "end_policy": "censor",
        "covariates": list(covariates),
        "cut_day": [round(k, 1) for k in cuts],
        "horizon_day": [int(d) for d in days],
        "confidence": confidence,
        "variance": "sandwich clustered by patient",
        "not_modelled": list(small),
    }
    return Result(
        question="adjusted_response",
        title=f"Response by {by}, standardised for {', '.join(covariates)}: {chosen.label}",
        frame=frame_of([*frame, *seen]),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=diagnostics_of(
            [
                check("Newton decrement", fit.convergence.decrement, "<= 1e-8", fit.convergence.decrement <= 1e-8, ""),
                check(
                    "parameters",
                    len(fit.parameters),
                    "information",
                    True,
                    f"hazard in pieces cut at days {settings['cut_day']}",
                ),
            ]
        ),
        curves=frame_of(risk_rows(fit, design, rows, used, grid, confidence, contrasts=False)),
        at_risk=frame_of(_at_risk(rows, used, days)),
        notes=(
            *exposure_note(by, *covariates),
            "Ends of the target censor: the risk is that of responding had nothing ended it (time_to_response counts "
            "what happened). Risks are standardised over the courses of the strata fitted, taken as given.",
            *unmodelled,
            f"{TRACE} of a response was added in each piece of the hazard of each stratum modelled, so that a piece "
            "without any has an estimate.",
            *design.notes,
        ),
        draw=figures.cumulative_incidence,
    )


def risk_rows(
    fit: IntervalFit, design: Design, rows: pl.DataFrame, used: list[Stratum], days: Floats, confidence: float, *,
    contrasts: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the standardised risks of the strata by day, and their differences from the first."""
    at = told_days(rows, used, days, near=contrasts)
    held = np.concatenate(list(at.values()))
    wanted = np.unique(held[~np.isnan(held)])
    settings, labels = [design.x] * len(used), [s.code for s in used]
    risk = standardised_risk(fit, settings, wanted, strata=labels, level=confidence)
    out = []
    counts = {s.code: rows.filter(pl.col("stratum") == s.code) for s in used}
    for i, s in enumerate(used):
        mine, until = counts[s.code], watched_to(rows, s.code)
        for d, day in enumerate(days.tolist()):
            n = mine.filter(pl.col("kind") == "response", pl.col("right_day") <= day).height
            known = shown_at(risk, i, wanted, day, at[s.code][d], until)
            out.append(row(s.code, "response", time_day=day, n=n, denominator=mine.height, **known))
    for i, s in enumerate(used[1:] if contrasts else [], 1):
        found = contrast(fit, risk, i, 0, level=confidence)
        both = counts[s.code].height + counts[used[0].code].height
        for d, day in enumerate(days.tolist()):
            common = min(at[s.code][d], at[used[0].code][d])
            shown: dict[str, Any] = {"note": "not known in both"}
            if not np.isnan(at[s.code][d] + at[used[0].code][d]):
                t = int(np.searchsorted(wanted, common))
                shown = {"estimate": float(found.estimate[t]), "low": float(found.lower[t]),
                         "high": float(found.upper[t])}  # fmt: skip
                if common < day:
                    shown["note"] = f"both as of day {common:.0f}, the last on which anybody of one was watched"
            out.append(row(f"{s.code} - {used[0].code}", "difference", time_day=day, denominator=both, **shown))
    return out


def _ratio_rows(fit: IntervalFit, design: Design, rows: pl.DataFrame, confidence: float) -> list[dict[str, Any]]:
    at = [fit.names.index(name) for name in design.names]
    told = zip(design.names, at, design.having, strict=True)
    return [ratio_row(name, float(fit.parameters[k]), float(np.sqrt(fit.variance[k, k])), rows.height, confidence,
                      having=having) for name, k, having in told]  # fmt: skip


def _interaction(rows: pl.DataFrame, design: Design, used: list[Stratum], cuts: tuple[float, ...]) -> dict[str, Any]:
    """Return the Wald test that covariates act alike in all strata."""
    if len(used) < 2:
        return row("all", "test", note="one stratum: nothing to compare")
    parts, names = [design.x], list(design.names)
    for s in used[1:]:
        here = (rows["stratum"] == s.code).to_numpy().astype(float)
        parts.append(design.x * here[:, None])
        names += [f"{s.code} × {n}" for n in design.names]
    try:
        fit = fit_pieces(rows, np.hstack(parts), tuple(names), cuts)
        return row_of_alike("all", "covariates act alike in all strata", fit, names[len(design.names) :], rows)
    except (ValueError, np.linalg.LinAlgError) as error:
        return row("all", "test", note=f"interaction not estimable: {error}")


def _at_risk(rows: pl.DataFrame, used: list[Stratum], days: Floats) -> list[dict[str, Any]]:
    out = []
    last = pl.when(pl.col("kind") == "response").then("right_day").otherwise("left_day")
    for s in used:
        mine = rows.filter(pl.col("stratum") == s.code)
        for day in (0.0, *days.tolist()):
            out.append(row(s.code, "at_risk", time_day=day, n=mine.filter(last >= day).height, denominator=mine.height))
    return out
