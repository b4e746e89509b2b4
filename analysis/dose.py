"""Dose and response: what share would respond had everybody been given a dose, adjusted for who was given which."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import dose_figures
from analysis.adjusted_model import (
    TOO_FEW,
    Covariate,
    Design,
    covariates_for,
    design_of,
    enough,
    fit_pieces,
    lacking,
    not_modelled_notes,
    observed_rows,
    row_of_alike,
    told_days,
    watched_to,
)
from analysis.cohort import (
    By,
    Days,
    Stratum,
    allowed,
    check_confidence,
    check_days,
    common_settings,
    definition_of,
    place,
    reduce,
    several,
)
from analysis.dose_given import doses_given
from analysis.dose_rows import Curve, band_rows, curve_rows, fitted_curve, no_design
from analysis.exposure import exposure_note
from analysis.given import is_number
from analysis.numerics.interval_likelihood import IntervalFit
from analysis.numerics.interval_regression import standardised_risk, wald_test
from analysis.numerics.weighting import e_value
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]
Dose = Literal["first_session", "series"]

_COLUMN = {"first_session": "dose_million", "series": "series_dose_million"}
# If covariates tell so much of the dose, like courses with another dose hardly exist.
_MOST_TOLD = 0.5


def dose_response(
    courses: Courses,
    *,
    dose: Dose = "first_session",
    at_million: tuple[float, ...] | float | None = None,
    covariates: Covariate | tuple[Covariate, ...] | None = None,
    definition: str | None = None,
    by: By = "stage",
    horizon_day: Days = (365,),
    confidence: float = 0.95,
) -> Result:
    """Estimate the probability of response by stratum had every course been given a dose, for several doses.

    Proportional hazards for interval-censored times with a restricted cubic spline of log10 viable cells, a baseline of
    its own in each stratum, and covariates; risks are standardised over the courses of the stratum. Whoever chose the
    dose had reasons: what was not recorded of them is not adjusted for.

    Parameters
    ----------
    courses, definition, by, horizon_day
        As :func:`analysis.time_to_response`.
    dose
        ``first_session``: viable cells of the first session; ``series``: of the planned series. Courses of unknown dose
        leave, with the reason.
    at_million
        Doses to report, in millions of viable cells; default: the 10th, 50th and 90th percentile. The second of them
        (the only one, if it is one) is compared with the first.
    covariates
        As :func:`analysis.adjusted_response`; the reasons for choosing a dose belong here.

    Returns
    -------
    Result
        By stratum: ``response at <dose> million`` (standardised), ``difference <dose> - <dose> million`` to the first,
        ``unadjusted at <dose> million`` for comparison only, ``response <band>`` for the published bands. For `dose`:
        the ``test`` that it does not matter, that it is straight in log10 dose, that it acts alike in all strata.

    Raises
    ------
    NotEstimable
        When the dose is not recorded or does not vary, or no stratum has twenty courses with three responses.

    References
    ----------
    Harrell 2015 (splines). Bands of the dose: data dictionary. Robins 1986 (standardisation).

    Examples
    --------
    >>> curve = dose_response(knees, covariates=("age", "stage"), by="all", horizon_day=(365,))
    >>> curve.settings["question"]
    'dose_response'
    """
    choose(dose, allowed(Dose), "dose =")
    # None at all is a curve as the doses were given.
    covariates = () if covariates is not None and several(covariates) == () else covariates_for(covariates, by)
    days = np.array(check_days(horizon_day, "horizon_day"), dtype=float)
    if by == "dose_band" or "dose_band" in covariates:
        raise UsageError("The dose is the question: it separates no strata, and is no covariate.")
    at_million = (at_million,) if isinstance(at_million, Real) else at_million
    if at_million is not None and not (
        isinstance(at_million, tuple | list) and at_million and all(is_number(d) and d > 0 for d in at_million)
    ):
        raise UsageError("at_million are doses in millions of viable cells, above 0, e.g. (25, 50, 100).")
    check_confidence(confidence)
    chosen = definition_of(courses, definition)
    strata, kept = place(courses, by, chosen, confirmation="confirmed", early_visits="ignored", end_policy="censor",
                         booster_policy="treatment_policy")  # fmt: skip
    (rows,) = reduce(kept, "reduction.response_covariate")
    rows = rows.with_columns(pl.col(_COLUMN[dose]).alias("dose"))
    kept = kept.exclude(lacking(kept, rows, ("dose", *covariates)))
    kept = kept.exclude(rows.filter(pl.col("dose") <= 0).select("course_id", reason=pl.lit("dose is 0")))
    rows = rows.filter(pl.col("dose") > 0).drop_nulls(["dose", *covariates]).sort("course_id")
    if rows.height == 0 or rows["dose"].n_unique() < 2:
        raise NotEstimable("No dose is recorded, or all are the same: see doses in sessions (dose_viable_million).")
    everybody = rows
    used, small = enough(rows, strata)
    rows = rows.filter(pl.col("stratum").is_in([s.code for s in used]))
    alone = everybody.select("course_id").join(rows, on="course_id", how="anti")
    kept = kept.exclude(alone.with_columns(reason=pl.lit(f"stratum has {TOO_FEW}")))
    doses = _doses(rows, at_million)
    design = design_of(rows, covariates) if covariates else no_design(rows)
    curve = fitted_curve(rows, design)
    told = np.vstack(list(told_days(rows, used, days).values()))
    known = ~np.isnan(told).all(axis=0)
    late, days = days[~known], days[known]
    if not len(days):
        last = max(watched_to(rows, s.code) for s in used)
        raise NotEstimable(f"Nobody was watched to day {late[0]:.0f}; the last is {last:.0f}.")
    plain = fitted_curve(rows, no_design(rows))
    frame = [
        *curve_rows(curve, rows, used, doses, days, confidence),
        *curve_rows(plain, rows, used, doses, days, confidence, unadjusted=True),
        *band_rows(rows, design, used, days, confidence),
        *_tests(curve, rows, design, used),
        *(row(c, f"response at {d:g} million", time_day=t, note=why)
          for c, why in small.items() for d in doses for t in days.tolist()),
        *observed_rows(everybody, small, days.tolist(), confidence),
    ]  # fmt: skip
    low, high = (float(rows["dose"].quantile(q)) for q in (0.05, 0.95))  # type: ignore[arg-type]
    grid = np.geomspace(low, high, 41).tolist()
    drawn = curve_rows(curve, rows, used, grid, days[-1:], confidence, contrasts=False)
    drawn += curve_rows(plain, rows, used, grid, days[-1:], confidence, unadjusted=True)
    drawn += doses_given(rows, low, high)
    settings = {
        **common_settings(kept, strata, "dose_response", by),
        **chosen.settings,
        "confirmation": "confirmed",
        "early_visits": "ignored",
        "booster_policy": "treatment_policy",
        "end_policy": "censor",
        "dose": dose,
        "at_million": doses,
        "covariates": list(covariates),
        "knots_million": [round(float(k), 1) for k in 10**curve.knots],
        "horizon_day": [int(d) for d in days],
        "confidence": confidence,
        "variance": "sandwich clustered by patient",
        "not_modelled": list(small),
    }
    return Result(
        question="dose_response",
        title=f"Response by dose and {by}: {chosen.label}",
        frame=frame_of(frame),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=_checks(curve, rows, design, used, doses, float(days[-1])),
        curves=frame_of(drawn),
        notes=(
            *exposure_note("dose", by, *covariates),
            f"Doses from {low:,.0f} to {high:,.0f} million are drawn, the 5th to the 95th percentile.",
            "Ends of the target censor: the risk is that of responding had nothing ended it.",
            *not_modelled_notes(everybody, small, strata),
            *design.notes,
            *(f"Nobody was watched to day {d:.0f}: left out." for d in late),
        ),
        draw=dose_figures.dose_curve,
    )


def _doses(rows: pl.DataFrame, asked: tuple[float, ...] | None) -> list[float]:
    if asked is not None:
        return [float(d) for d in dict.fromkeys(asked)]
    found = (float(rows["dose"].quantile(q)) for q in (0.1, 0.5, 0.9))  # type: ignore[arg-type]
    return list(dict.fromkeys(float(f"{d:.2g}") for d in found))


def _tests(curve: Curve, rows: pl.DataFrame, design: Design, used: list[Stratum]) -> list[dict[str, Any]]:
    def told(what: str, fit: IntervalFit, names: list[str]) -> dict[str, Any]:
        found = wald_test(fit, names)
        note = f"{what}: Wald chi-squared {found.statistic:.2f} on {found.df} df"
        return row("dose", "test", estimate=found.p_value, denominator=rows.height, note=note)

    out = [told("dose does not matter", curve.fit, list(curve.names))]
    if len(curve.names) > 1:
        out.append(told("straight in log10 dose", curve.fit, list(curve.names[1:])))
    if len(used) > 1:
        basis = curve.x[:, -len(curve.names) :]
        parts, names = [curve.x], []
        for s in used[1:]:
            parts.append(basis * (rows["stratum"] == s.code).to_numpy()[:, None])
            names += [f"{s.code} × {n}" for n in curve.names]
        try:
            labels = (*design.names, *curve.names, *names)
            made = fit_pieces(rows, np.hstack(parts), labels, curve.cuts)
            out.append(row_of_alike("dose", "dose acts alike in all strata", made, names, rows))
        except (ValueError, NotEstimable, np.linalg.LinAlgError) as error:
            out.append(row("dose", "test", note=f"dose by stratum not estimable: {error}"))
    return out


def _checks(
    curve: Curve, rows: pl.DataFrame, design: Design, used: list[Stratum], doses: list[float], day: float
) -> pl.DataFrame:
    log = np.log10(rows["dose"].to_numpy())
    strata = np.column_stack([(rows["stratum"] == s.code).to_numpy().astype(float) for s in used])
    x = np.column_stack([strata, design.x])
    left = log - x @ np.linalg.lstsq(x, log, rcond=None)[0]
    told = 1 - float(left.var() / log.var())
    responses = rows.filter(pl.col("kind") == "response").height
    per = responses / max(len(curve.fit.parameters), 1)
    ends, at = sorted((doses[0], doses[-1])), told_days(rows, used, np.array([day]))
    # Of the strata that were watched, all on the day that each of them was.
    watched = [s.code for s in used if not np.isnan(at[s.code][0])]
    here = rows["stratum"].is_in(watched).to_numpy()
    risk = standardised_risk(
        curve.fit, [curve.at(d)[here] for d in ends], [min(float(at[code][0]) for code in watched)],
        strata=[rows["stratum"].to_numpy()[here]] * 2,
    ).estimate[:, 0]  # fmt: skip
    ratio = float(risk[1] / risk[0]) if risk[0] > 0 else 1.0
    return diagnostics_of(
        [
            check("dose told by covariates (R²)", told, f"<= {_MOST_TOLD:g}", told <= _MOST_TOLD,
                  "where covariates tell the dose, like courses with another dose hardly exist"),
            check("responses per parameter", per, "at least 5", per >= 5, f"{responses} responses"),
            check("Newton decrement", curve.fit.convergence.decrement, "<= 1e-8",
                  curve.fit.convergence.decrement <= 1e-8, ""),
            check("E-value", e_value(ratio), "information", True,
                  f"of {ends[1]:g} against {ends[0]:g} million, risk ratio {ratio:.2f} over all strata"),
        ]
    )  # fmt: skip
