"""Loss of response and time in response, adjusted for who was treated and how."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from analysis.adjusted_model import Covariate, covariates_for, design_of, lacking
from analysis.adjusted_states import Adjusted, adjust
from analysis.cohort import (
    BoosterPolicy,
    By,
    Confirmation,
    Days,
    RescuePolicy,
    check_day,
    check_days,
    place_courses,
    reduce,
)
from analysis.exposure import exposure_note
from analysis.loss_of_response import (
    CHANGE_DAYS,
    HORIZON_DAYS,
    PANEL,
    fit_states,
    loss_result,
    reduce_states,
    time_result,
)
from analysis.multistate_rows import moves_of_courses
from analysis.reduction import Reduction
from analysis.result import Result, diagnostics_of, frame_of
from registry import Courses


def adjusted_loss(
    courses: Courses,
    *,
    covariates: Covariate | tuple[Covariate, ...] | None = None,
    definition: str | None = None,
    loss: str = "L1",
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
    landmark_day: int = 183,
    after_day: Days = (183, 365),
    change_day: Days = CHANGE_DAYS,
    confidence: float = 0.95,
) -> Result:
    """Estimate how many of those in response lose it, by stage, standardised over covariates of those who responded.

    The Markov model of :func:`loss_of_response` with covariates: intensities of response, loss and return (of ends and
    death where these are many) are multiplied by effects that the strata share; the intensities are each stratum's own.

    Parameters
    ----------
    courses, definition, loss, by, confirmation, booster_policy, rescue_policy, landmark_day, after_day, change_day
        As :func:`loss_of_response`.
    covariates
        As :func:`analysis.adjusted_response`.

    Returns
    -------
    Result
        The quantities of :func:`loss_of_response`, standardised; ``response_intensity_ratio``, ``loss_intensity_ratio``
        and ``return_intensity_ratio`` of each covariate (of loss: above 1, sooner lost), and the ``test`` that
        covariates act alike on the loss in all strata.

    Raises
    ------
    NotEstimable
        When fewer than five losses a coefficient were seen, or no stratum shows enough.
    UsageError
        When an option is not known.

    References
    ----------
    Kalbfleisch & Lawless 1985 JASA 80:863; Jackson 2011 J Stat Softw 38(8).

    Examples
    --------
    >>> adjusted = adjusted_loss(knees, covariates=("age", "sex"), after_day=(365,))
    >>> adjusted.frame.filter(quantity="loss_intensity_ratio")["stratum"].to_list()
    ['moderate - early', ..., 'age, per 10 years', 'sex: ...']
    """
    check_day(landmark_day, "landmark_day")
    after, wanted = check_days(after_day, "after_day", "the landmark"), "in_response → response_lost"
    adjusted, reduction, settings, notes = _adjusted(
        courses, "adjusted_loss", covariates, wanted, change_day, confidence, definition=definition, loss=loss, by=by,
        confirmation=confirmation, booster_policy=booster_policy, rescue_policy=rescue_policy,
    )  # fmt: skip
    found = loss_result(
        adjusted.fitted,
        reduction,
        settings,
        (_taken(by, "ever seen in response, ", "lose"), *notes),
        landmark_day,
        after,
    )
    return _told(found, adjusted, "adjusted_loss")


def adjusted_time_in_response(
    courses: Courses,
    *,
    covariates: Covariate | tuple[Covariate, ...] | None = None,
    definition: str | None = None,
    loss: str = "L1",
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
    horizon_day: Days = HORIZON_DAYS,
    change_day: Days = CHANGE_DAYS,
    confidence: float = 0.95,
) -> Result:
    """Estimate the probability of being in response by day, and the mean time in it, standardised over covariates.

    Parameters
    ----------
    courses, definition, loss, by, confirmation, booster_policy, rescue_policy, horizon_day, change_day
        As :func:`time_in_response`.
    covariates
        As :func:`analysis.adjusted_response`.

    Returns
    -------
    Result
        The quantities of :func:`time_in_response`, standardised, but for what was seen at visits; and the ratios of
        intensities of each covariate as of :func:`adjusted_loss`, with the ``test`` that covariates act alike on the
        response in all strata.

    Raises
    ------
    NotEstimable
        When fewer than five responses a coefficient were seen, or no stratum shows enough.
    UsageError
        When an option is not known.

    References
    ----------
    Kalbfleisch & Lawless 1985 JASA 80:863; Van Loan 1978 IEEE Trans Automat Contr 23:395 for the mean time.

    Examples
    --------
    >>> adjusted = adjusted_time_in_response(knees, covariates="baseline", horizon_day=(730,))
    >>> adjusted.say("mean_days_in_response", "early", 730)
    '... (95 % CI ... to ...)'
    """
    until, wanted = check_days(horizon_day, "horizon_day"), "no_response_yet → in_response"
    adjusted, reduction, settings, notes = _adjusted(
        courses, "adjusted_time_in_response", covariates, wanted, change_day, confidence, definition=definition,
        loss=loss, by=by, confirmation=confirmation, booster_policy=booster_policy, rescue_policy=rescue_policy,
    )  # fmt: skip
    # What was seen is of each stratum's own patients: no fellow of a standardised number.
    found = time_result(adjusted.fitted, reduction, settings, (_taken(by, "", "have"), *notes), until, lambda *_: [])
    return _told(found, adjusted, "adjusted_time_in_response")


def _adjusted(
    courses: Courses, question: str, covariates: Covariate | tuple[Covariate, ...] | None, wanted: str,
    change_day: Days, confidence: float, *, by: By, **how: Any,
) -> tuple[Adjusted, Reduction, dict[str, Any], tuple[str, ...]]:  # fmt: skip
    chosen = covariates_for(covariates, by)
    _, placed = place_courses(courses, by)
    (known,) = reduce(placed, "reduction.covariate")
    kept = courses.exclude(lacking(placed, known, chosen))
    reduction = reduce_states(kept, *PANEL, "panel_move", "covariate", question=question, by=by, **how)
    fitted, settings, notes = fit_states(reduction, change_day, confidence)
    moves = moves_of_courses(reduction.frames["panel_move"], reduction.frames["panel_agreement"])
    fits = [code for code, f in fitted.fits.items() if f.fit is not None]
    of = moves.filter(pl.col("stratum").is_in(fits)).select("course_id", "stratum").unique()
    known = reduction.frames["covariate"].join(of, on="course_id").sort("course_id")
    adjusted = adjust(fitted, moves, known, design_of(known, chosen), wanted)
    settings |= {"covariates": list(chosen)}
    return adjusted, reduction, settings, (*exposure_note(*chosen), *notes, *adjusted.notes)


def _taken(by: By, whose: str, what: str) -> str:
    """Return over whom numbers are standardised."""
    each = "stage" if by == "stage" else "stratum"
    had = "" if by == "all" else f": what each {each} would {what}, had it the others' covariates too"
    return f"Standardised over the courses fitted, {whose}taken as given{had}."


def _told(found: Result, adjusted: Adjusted, question: str) -> Result:
    """Return the answer with what the covariates do, under its own name."""
    return replace(
        found,
        question=question,
        title=f"{found.title}; standardised for {', '.join(found.settings['covariates'])}",
        frame=pl.concat([found.frame, frame_of(adjusted.rows)]),
        diagnostics=pl.concat([found.diagnostics, diagnostics_of(adjusted.checks)]),
    )
