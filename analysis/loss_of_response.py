"""Loss of response: whether the benefit is held, how long, and for how many of those who have it it is lost again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from analysis import multistate_figures as figures
from analysis.cohort import (
    BoosterPolicy,
    By,
    Confirmation,
    Days,
    RescuePolicy,
    check_confidence,
    check_day,
    check_days,
    common_settings,
    definition_of,
    end_label,
    place,
    programmes_of,
    reduce,
)
from analysis.exposure import exposure_note
from analysis.loss_rows import (
    curve_days,
    loss_contrasts,
    loss_rows,
    mean_rows,
    note_between_visits,
    observed_rows,
    proportional_check,
    share_contrasts,
    share_rows,
)
from analysis.multistate_checks import checks_of
from analysis.multistate_rows import Fitted, fit_cohort, under_observation, weighed
from analysis.reduction import Reduction
from analysis.result import Result, diagnostics_of, frame_of
from registry import Courses
from registry.errors import NotEstimable, choose

HORIZON_DAYS = (91, 183, 365, 730)
# About the planned visits of two years: what lies between two visits cannot be told apart.
CHANGE_DAYS = (91, 183, 365, 730)
# Reductions of the model, in the order of :func:`weighed`.
PANEL = ("panel_cell", "panel_cluster", "panel_share", "panel_agreement")


def loss_of_response(
    courses: Courses,
    *,
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
    """Estimate how many of those in response lose it, by stage, with the end of the target and death competing.

    States are seen at visits only, so that both the beginning and the end of a response are hidden between two of them:
    a Markov model in continuous time is fitted to what the visits show (see docs/methods/loss-of-response.md).

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    definition
        Response definition of the catalogue; default: the programme's own.
    loss
        Rule of loss of ``catalogue.loss_definition``: ``L1`` criterion no longer met, ``L2`` half of the peak gain
        lost, ``L3`` pain back near baseline, ``L4`` acceptable state lost, ``L5`` worse than at best.
    by
        What separates the strata; ``stage`` is the severity at baseline.
    confirmation
        ``confirmed``: a change of state holds when the next visit shows it too; ``first``: as each visit shows.
    booster_policy
        ``treatment_policy``: whatever boosters were given; ``censor``: stop at the first booster.
    rescue_policy
        The same of rescue treatments; ``composite``: rescue is a failure, and counts as an end of the target.
    landmark_day
        Day since treatment on which the course is in response; the clock of the loss starts there.
    after_day
        Days since the landmark at which the incidence is reported.
    change_day
        Days since treatment on which the intensities may change.

    Returns
    -------
    Result
        Quantities ``response_lost``, ``end_before_loss``, ``share_dead_before_loss`` (shares of 1, ``time_day`` counts
        from the landmark), ``difference`` of the first between strata, ``loss_intensity_ratio``, and the ``test`` of
        equal loss intensities. `n` counts losses seen by then, `denominator` the courses ever seen in response; in
        ``at_risk``, `n` is who was last seen in response on the day: who responds after the landmark tells of later
        days too, so that it may rise.

    Raises
    ------
    NotEstimable
        When no stratum shows enough, or the programme has no such rule of loss.

    References
    ----------
    Kalbfleisch & Lawless 1985; Jackson 2011; Titman 2009.

    Examples
    --------
    >>> loss = loss_of_response(knees, landmark_day=183, after_day=(365,))
    >>> loss.say("response_lost", "early", 365)  # of those in response on day 183, lost a year later
    '... % (95 % CI ... to ...)'
    """
    reduction = reduce_states(
        courses, question="loss_of_response", definition=definition, loss=loss, by=by, confirmation=confirmation,
        booster_policy=booster_policy, rescue_policy=rescue_policy,
    )  # fmt: skip
    return answer_loss(
        reduction, landmark_day=landmark_day, after_day=after_day, change_day=change_day, confidence=confidence
    )


def answer_loss(
    reduction: Reduction,
    *,
    landmark_day: int = 183,
    after_day: Days = (183, 365),
    change_day: Days = CHANGE_DAYS,
    confidence: float = 0.95,
) -> Result:
    """Estimate the incidence of loss from counted moves; arguments as :func:`loss_of_response`."""
    check_day(landmark_day, "landmark_day")
    after = check_days(after_day, "after_day", "the landmark")
    fitted, settings, notes = fit_states(reduction, change_day, confidence)
    return loss_result(fitted, reduction, settings, notes, landmark_day, after)


def loss_result(
    fitted: Fitted, reduction: Reduction, settings: dict[str, Any], notes: tuple[str, ...], landmark_day: int,
    after: tuple[int, ...],
) -> Result:  # fmt: skip
    """Return what fitted strata say of loss on the days `after` the landmark."""
    days = np.array(after, dtype=float)
    settings |= {"landmark_day": landmark_day, "after_day": list(after), "horizon_day": [max(after)]}
    rows = [r for s in fitted.strata for r in loss_rows(fitted, s.code, days, landmark_day)]
    visits = sorted(fitted.shares["target_day"].unique().to_list())
    rows = note_between_visits(rows + loss_contrasts(fitted, days, landmark_day), visits, landmark_day)
    curves = [r for c in fitted.fits for r in loss_rows(fitted, c, curve_days(days), landmark_day)]
    return Result(
        question="loss_of_response",
        title=f"Loss of response by {reduction.by}: {settings['loss_label']}, after response on day {landmark_day}",
        frame=frame_of(rows),
        settings=settings,
        attrition=reduction.flow,
        diagnostics=diagnostics_of([*checks_of(fitted), *proportional_check(fitted)]),
        curves=frame_of(curves),
        at_risk=frame_of(under_observation(fitted, [0.0, *days.tolist()], since=landmark_day, state="in_response")),
        notes=(*exposure_note(settings["by"]), *notes),
        draw=figures.loss_after_response,
    )


def time_in_response(
    courses: Courses,
    *,
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
    """Estimate the probability of being in response by day, and the mean time in response, by stage.

    Parameters
    ----------
    courses, definition, loss, by, confirmation, booster_policy, rescue_policy, change_day, confidence
        As :func:`loss_of_response`.
    horizon_day
        Days since treatment at which the probabilities are reported; the mean time runs to the last of them.

    Returns
    -------
    Result
        Quantities ``share_in_response``, ``share_response_lost``, ``end``, ``share_dead`` by day (shares of 1),
        ``ever_in_response`` (responded by that day, also where the response came and went between two visits),
        ``mean_days_in_response`` (days), ``difference`` and ``difference_mean_days`` between strata, the ``test`` of
        equal mean times, and ``share_in_response_observed`` at planned visits as seen, without a model.

    Raises
    ------
    NotEstimable
        When no stratum shows enough, or the programme has no such rule of loss.

    References
    ----------
    Kalbfleisch & Lawless 1985; Jackson 2011; Datta & Satten 2001 for occupation without the Markov property.

    Examples
    --------
    >>> held = time_in_response(knees, horizon_day=(365,))
    >>> held.say("mean_days_in_response", "early", 365)
    '... (95 % CI ... to ...)'
    """
    reduction = reduce_states(
        courses, question="time_in_response", definition=definition, loss=loss, by=by, confirmation=confirmation,
        booster_policy=booster_policy, rescue_policy=rescue_policy,
    )  # fmt: skip
    return answer_time(reduction, horizon_day=horizon_day, change_day=change_day, confidence=confidence)


def answer_time(
    reduction: Reduction,
    *,
    horizon_day: Days = HORIZON_DAYS,
    change_day: Days = CHANGE_DAYS,
    confidence: float = 0.95,
) -> Result:
    """Estimate the time in response from counted moves; arguments as :func:`time_in_response`."""
    until = check_days(horizon_day, "horizon_day")
    fitted, settings, notes = fit_states(reduction, change_day, confidence)
    seen = "share_in_response_observed is of those who came: biased where those without benefit stay away."
    return time_result(fitted, reduction, settings, (*notes, seen), until, observed_rows)


def time_result(
    fitted: Fitted, reduction: Reduction, settings: dict[str, Any], notes: tuple[str, ...], until: tuple[int, ...],
    observed: Callable[[Fitted, str], list[dict[str, Any]]],
) -> Result:  # fmt: skip
    """Return what fitted strata say of the time in response by the days `until`, with what was `observed` of each."""
    days = np.array(until, dtype=float)
    settings |= {"horizon_day": list(until)}
    rows = [r for s in fitted.strata for r in share_rows(fitted, s.code, days)]
    rows += [r for s in fitted.strata for r in [*mean_rows(fitted, s.code, days.max()), *observed(fitted, s.code)]]
    visits = sorted(fitted.shares["target_day"].unique().to_list())
    curves = [r for c in fitted.fits for r in [*share_rows(fitted, c, curve_days(days)), *observed(fitted, c)]]
    return Result(
        question="time_in_response",
        title=f"Time in response by {reduction.by}: {settings['definition_label']}, loss: {settings['loss_label']}",
        frame=frame_of(note_between_visits(rows + share_contrasts(fitted, days), visits)),
        settings=settings,
        attrition=reduction.flow,
        diagnostics=diagnostics_of(checks_of(fitted)),
        curves=frame_of(curves),
        at_risk=frame_of(under_observation(fitted, [0.0, *days.tolist()])),
        notes=(*exposure_note(settings["by"]), *notes),
        draw=figures.share_in_response,
    )


def fit_states(
    reduction: Reduction, change_day: Days, confidence: float
) -> tuple[Fitted, dict[str, Any], tuple[str, ...]]:
    """Fit each stratum to the counted moves; return with it the settings, and what must be noted of thresholds."""
    check_confidence(confidence)
    # No day: intensities that never change.
    points = np.array([] if change_day == () else check_days(change_day, "change_day"), dtype=float)
    if not reduction.strata:
        raise NotEstimable(f"No course is left to analyse. {reduction.why_nobody()}")
    moves, patterns, shares = weighed(*(reduction.frames[name] for name in PANEL))
    if not (moves["kind"] == "visit").any():
        watched = int(moves.filter(pl.col("start_day") == 0)["n"].sum())
        left = [f"{watched} without a visit that could be judged"] * (watched > 0) + [reduction.why_nobody()]
        raise NotEstimable(
            f"No course can be judged by {reduction.settings['definition']}. {'; '.join(filter(None, left))}"
        )
    fitted = fit_cohort(list(reduction.strata), moves, patterns, shares, points, confidence)
    settings = {
        **reduction.settings,
        "change_day": [int(d) for d in points],
        "confidence": confidence,
        "time_unit": "day, small cells joined" if reduction.coarse else "day, not coarsened",
        "variance": "sandwich, clustered by patient across strata",
    }
    return fitted, settings, (*_notes(settings, fitted), *reduction.notes)


def reduce_states(
    courses: Courses,
    *names: str,
    question: str = "time_in_response",
    definition: str | None = None,
    loss: str = "L1",
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
) -> Reduction:
    """Count the moves between states that visits and ends show, or run the reductions `names` over these states.

    Arguments as :func:`loss_of_response`.
    """
    chosen = definition_of(courses, definition)
    policies = {"confirmation": confirmation, "booster_policy": booster_policy, "rescue_policy": rescue_policy}
    strata, kept = place(courses, by, chosen, **policies)
    rule = _rule(kept, loss)
    wanted = names or PANEL
    found = reduce(kept, *(f"reduction.{name}" for name in wanted))
    kept = kept.exclude(_not_followed(kept))
    settings = {
        **common_settings(kept, strata, question, by),
        **chosen.settings,
        **rule,
        **policies,
        "end_label": end_label(kept),
    }
    return Reduction(
        question=question,
        placed={"definition": chosen.definition, "loss": loss, "by": by, **policies},
        strata=tuple(strata),
        frames=dict(zip(wanted, found, strict=True)),
        flow=kept.flow(),
        settings=settings,
    )


def _rule(courses: Courses, loss: str) -> dict[str, Any]:
    """Return what the catalogue says of rule `loss` for the programmes of the cohort; put it before the reductions."""
    con = courses.registry.con
    held = [r[0] for r in con.sql("select distinct loss from catalogue.loss_definition order by 1").fetchall()]
    choose(loss, held, "loss =")
    rows = con.execute(
        "select programme, label, version, source, verified from catalogue.loss_definition where loss = ? "
        "and list_contains(?, programme) order by programme", [loss, programmes_of(courses)],
    ).fetchall()  # fmt: skip
    lacking = sorted(set(programmes_of(courses)) - {r[0] for r in rows})
    if lacking:
        other = con.execute(
            "select string_agg(distinct loss, ', ' order by loss) from catalogue.loss_definition where programme = ?",
            [lacking[0]],
        ).fetchone()
        raise NotEstimable(f"There is no rule {loss} for {', '.join(lacking)}: no threshold has a source. "
                           f"Rules of {lacking[0]}: {(other or ('none',))[0] or 'none'}.")  # fmt: skip
    con.execute("create or replace table cohort.loss as select ? as loss", [loss])
    labels, versions, sources = (" / ".join(dict.fromkeys(str(r[i]) for r in rows)) for i in (1, 2, 3))
    return {"loss": loss, "loss_label": labels, "loss_version": versions, "loss_source": sources,
            "loss_verified": all(r[4] for r in rows)}  # fmt: skip


def _not_followed(courses: Courses) -> pl.DataFrame:
    return courses.registry.con.sql(
        "select course_id, case when course.index_date is null then 'no treatment session' "
        "when not exists (select 1 from course.baseline b where b.course_id = cohort.course_id) "
        "then 'no baseline score' "
        "else 'not followed for a day' end as reason "
        "from cohort.course as cohort join course.course as course using (course_id) "
        "where not exists (select 1 from reduction.panel_watch w where w.course_id = cohort.course_id)"
    ).pl()


def _notes(settings: dict[str, Any], fitted: Fitted) -> tuple[str, ...]:
    notes = []
    if not settings["definition_verified"]:
        notes.append(
            f"Thresholds of {settings['definition']} are not verified against their source: "
            f"{settings['definition_source']}."
        )
    if not settings["loss_verified"]:
        notes.append(f"Rule {settings['loss']} is not verified against a source: {settings['loss_source']}.")
    if settings["confirmation"] == "first":
        notes.append("Each visit counts as it shows: measurement error makes losses and returns that are none.")
    else:
        notes.append(
            "Confirmed states are those that the next visit shows too: with visits a year apart a shorter response is "
            "not counted, so that the share in response is lower than visit by visit (confirmation='first')."
        )
    left = {f"{code}: {note}" for code, f in fitted.fits.items() for note in f.notes if "left out" in note}
    return (*notes, *sorted(left))
