"""Loss of response: whether the benefit is held, how long, and for how many of those who have it it is lost again."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from analysis import multistate_figures as figures
from analysis.cohort import (
    BoosterPolicy,
    By,
    Confirmation,
    Definition,
    common_settings,
    definition_of,
    place,
    programmes_of,
    reduce,
)
from analysis.multistate import DEAD, ENDED, LOST, RESPONSE, STATES, proportional_loss
from analysis.multistate_rows import (
    Fitted,
    after_response,
    checks_of,
    count_of,
    difference_rows,
    fit_cohort,
    limits,
    mean_days,
    occupation,
    state_rows,
    under_observation,
)
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]

HORIZON_DAYS = (91, 183, 365, 730)
# About the planned visits of the first year: what lies between two visits cannot be told apart.
CHANGE_DAYS = (91, 183, 365)


def loss_of_response(
    courses: Courses,
    *,
    definition: str | None = None,
    loss: str = "L1",
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    booster_policy: BoosterPolicy = "treatment_policy",
    landmark_day: int = 183,
    after_day: tuple[int, ...] = (183, 365),
    change_day: tuple[int, ...] = CHANGE_DAYS,
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
        equal loss intensities. `n` counts losses seen by then, `denominator` the courses seen in response.

    Raises
    ------
    NotEstimable
        When no stratum shows enough, or the programme has no such rule of loss.

    References
    ----------
    Kalbfleisch & Lawless 1985; Jackson 2011; Titman 2009.
    """
    if landmark_day < 1 or min(after_day, default=0) < 1:
        raise UsageError("landmark_day and after_day are days, 1 or more; after_day counts from the landmark.")
    fitted, settings, kept, notes = _fitted(
        courses, "loss_of_response", definition, loss, by, confirmation, booster_policy, change_day, confidence
    )
    days = np.array(sorted(set(after_day)), dtype=float)
    settings |= {"landmark_day": landmark_day, "after_day": [int(d) for d in days], "horizon_day": [int(days.max())]}
    rows = [r for s in fitted.strata for r in _loss_rows(fitted, s.code, days, landmark_day)]
    curves = [r for c in fitted.fits for r in _loss_rows(fitted, c, _grid(days), landmark_day)]
    return Result(
        question="loss_of_response",
        title=f"Loss of response by {by}: {settings['loss_label']}, after response on day {landmark_day}",
        frame=frame_of(rows + _loss_contrasts(fitted, days, landmark_day)),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=diagnostics_of([*checks_of(fitted), *_proportional_check(fitted)]),
        curves=frame_of(curves),
        at_risk=frame_of(under_observation(fitted, [landmark_day, *(landmark_day + d for d in days)])),
        notes=notes,
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
    horizon_day: tuple[int, ...] = HORIZON_DAYS,
    change_day: tuple[int, ...] = CHANGE_DAYS,
    confidence: float = 0.95,
) -> Result:
    """Estimate the probability of being in response by day, and the mean time in response, by stage.

    Parameters
    ----------
    courses, definition, loss, by, confirmation, booster_policy, change_day, confidence
        As :func:`loss_of_response`.
    horizon_day
        Days since treatment at which the probabilities are reported; the mean time runs to the last of them.

    Returns
    -------
    Result
        Quantities ``share_in_response``, ``share_response_lost``, ``end``, ``share_dead`` by day (shares of 1),
        ``mean_days_in_response`` (days), ``difference`` and ``difference_mean_days`` between strata, the ``test`` of
        equal mean times, and ``share_in_response_observed`` at planned visits as seen, without a model.

    Raises
    ------
    NotEstimable
        When no stratum shows enough, or the programme has no such rule of loss.

    References
    ----------
    Kalbfleisch & Lawless 1985; Jackson 2011; Datta & Satten 2001 for occupation without the Markov property.
    """
    if min(horizon_day, default=0) < 1:
        raise UsageError("horizon_day are days since treatment, 1 or more.")
    fitted, settings, kept, notes = _fitted(
        courses, "time_in_response", definition, loss, by, confirmation, booster_policy, change_day, confidence
    )
    days = np.array(sorted(set(horizon_day)), dtype=float)
    settings |= {"horizon_day": [int(d) for d in days]}
    rows = [r for s in fitted.strata for r in _share_rows(fitted, s.code, days)]
    rows += [r for s in fitted.strata for r in [*_mean_rows(fitted, s.code, days.max()), *_observed(fitted, s.code)]]
    curves = [r for c in fitted.fits for r in _share_rows(fitted, c, _grid(days))]
    curves += [r for c in fitted.fits for r in _observed(fitted, c)]
    return Result(
        question="time_in_response",
        title=f"Time in response by {by}: {settings['definition_label']}, loss: {settings['loss_label']}",
        frame=frame_of(rows + _share_contrasts(fitted, days)),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=diagnostics_of(checks_of(fitted)),
        curves=frame_of(curves),
        at_risk=frame_of(under_observation(fitted, [0.0, *days.tolist()])),
        notes=(*notes, "share_in_response_observed is of those who came: biased where those without benefit stay away."),
        draw=figures.share_in_response,
    )


def _fitted(
    courses: Courses, question: str, definition: str | None, loss: str, by: By, confirmation: Confirmation,
    booster_policy: BoosterPolicy, change_day: tuple[int, ...], confidence: float,
) -> tuple[Fitted, dict[str, Any], Courses, tuple[str, ...]]:  # fmt: skip
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence = {confidence} must lie between 0.5 and 1, e.g. 0.95.")
    points = np.array(change_day, dtype=float)
    if (np.diff(points, prepend=0.0) <= 0).any():
        raise UsageError(f"change_day = {change_day} must be days after treatment, each later than the one before.")
    chosen = definition_of(courses, definition)
    strata, kept = place(courses, by, chosen, confirmation=confirmation, booster_policy=booster_policy)
    rule = _rule(kept, loss)
    cells, patterns, shares = reduce(
        kept, "reduction.panel_cell", "reduction.panel_cluster", "reduction.panel_share"
    )
    kept = kept.exclude(_not_followed(kept))
    fitted = fit_cohort(strata, cells, patterns, shares, points, confidence)
    settings = {
        **common_settings(kept, strata, question, by),
        "definition": chosen.definition,
        "definition_version": chosen.version,
        "definition_label": chosen.label,
        "definition_source": chosen.source,
        "definition_verified": chosen.verified,
        **rule,
        "confirmation": confirmation,
        "booster_policy": booster_policy,
        "change_day": [int(d) for d in points],
        "confidence": confidence,
        "time_unit": "day, not coarsened",
        "variance": "sandwich, clustered by patient across strata",
        "end_label": _end_label(kept),
    }
    return fitted, settings, kept, _notes(chosen, rule, confirmation, fitted)


def _rule(courses: Courses, loss: str) -> dict[str, Any]:
    """Return what the catalogue says of rule `loss` for the programmes of the cohort, and put it before the reductions."""
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


def _loss_rows(fitted: Fitted, code: str, days: Floats, landmark: float) -> list[dict[str, Any]]:
    quantities = {"response_lost": LOST, "end_before_loss": ENDED, "share_dead_before_loss": DEAD}
    moves = fitted.of(code)
    responded = count_of(
        moves.filter(pl.col("from_state") == "no_response_yet", pl.col("to_state").is_in(["in_response", "response_lost"]))
    )
    why = fitted.why_not.get(code)
    if why is None and responded == 0:
        why = "no response was seen: there is nothing to lose"
    if why is not None:
        return [row(code, "response_lost", time_day=d, n=0, denominator=responded, note=why) for d in days.tolist()]
    of = {
        "response_lost": (pl.col("to_state") == "response_lost") & (pl.col("from_state") != "response_lost"),
        "end_before_loss": (pl.col("to_state") == "ended") & (pl.col("from_state") == "in_response"),
        "share_dead_before_loss": (pl.col("to_state") == "dead") & (pl.col("from_state") == "in_response"),
    }
    happened = {
        name: [count_of(moves.filter(what, pl.col("stop_day") <= landmark + d)) for d in days] for name, what in of.items()
    }
    return state_rows(
        fitted, code, quantities, days, lambda fit, d: after_response(fit, d, landmark), happened=happened,
        of=responded, beyond=fitted.last_day(code) - landmark,
    )  # fmt: skip


def _loss_contrasts(fitted: Fitted, days: Floats, landmark: float) -> list[dict[str, Any]]:
    def of(code: str) -> tuple[Floats, Floats]:
        value, gradient = after_response(fitted.fits[code].fit, days, landmark)
        return value[:, LOST], gradient[:, LOST]

    def unknown(code: str, day: float | None) -> bool:
        enters = fitted.of(code).filter(pl.col("to_state") == "in_response").height > 0
        return not enters or landmark + (day or 0) > fitted.last_day(code)

    return difference_rows(fitted, "difference", days.tolist(), of, unknown) + _intensities(fitted)


def _with_loss(fitted: Fitted) -> list[str]:
    return [code for code, f in fitted.fits.items() if (f.bands >= 0).any()]


def _intensities(fitted: Fitted) -> list[dict[str, Any]]:
    codes = _with_loss(fitted)
    try:
        found = _proportional(fitted)
    except ValueError as error:
        return [row("all", "test", note=f"loss intensities cannot be compared: {error}")]
    z = stats.norm.ppf(0.5 + fitted.confidence / 2)
    rows = []
    for code, log, error in zip(codes[1:], found.log_ratio, np.sqrt(np.diag(found.covariance)), strict=True):
        low, high = np.exp(log - z * error), np.exp(log + z * error)
        n = fitted.courses(code) + fitted.courses(codes[0])
        rows.append(row(f"{code} - {codes[0]}", "loss_intensity_ratio", estimate=float(np.exp(log)), low=float(low),
                        high=float(high), denominator=n, note=f"ratio of {code} to {codes[0]}, one for all time"))  # fmt: skip
    note = f"Wald test of equal loss intensities on {found.df} df, chi-squared {found.statistic:.2f}, clustered by patient"
    if len(codes) < len(fitted.strata):
        note += f"; only strata with losses: {', '.join(codes)}"
    return [*rows, row("all", "test", estimate=found.p, denominator=sum(map(fitted.courses, codes)), note=note)]


def _proportional(fitted: Fitted) -> Any:
    codes = _with_loss(fitted)
    index = np.concatenate([fitted.at[c] + np.arange(fitted.fits[c].n_parameters) for c in codes or list(fitted.fits)[:1]])
    return proportional_loss([fitted.fits[c] for c in codes], fitted.variance[np.ix_(index, index)])


def _proportional_check(fitted: Fitted) -> list[dict[str, Any]]:
    try:
        found = _proportional(fitted)
    except ValueError:
        return []
    p = float(stats.chi2.sf(found.lack_of_fit, found.lack_df)) if found.lack_df else 1.0
    note = "a small value: the ratio of loss intensities changes over time, read the incidences instead"
    return [check("one loss intensity ratio for all time", p, ">= 0.01", p >= 0.01, note)]


def _share_rows(fitted: Fitted, code: str, days: Floats) -> list[dict[str, Any]]:
    quantities = {"share_in_response": RESPONSE, "share_response_lost": LOST, "end": ENDED, "share_dead": DEAD}
    if code in fitted.why_not:
        n, why = fitted.courses(code), fitted.why_not[code]
        return [row(code, "share_in_response", time_day=d, denominator=n, note=why) for d in days.tolist()]
    moves = fitted.of(code)
    happened = {}
    for name, state in quantities.items():
        entered = moves.filter(pl.col("to_state") == STATES[state], pl.col("from_state") != STATES[state])
        first = entered.filter(pl.col("from_state") == "no_response_yet") if state == RESPONSE else entered
        happened[name] = [count_of(first.filter(pl.col("stop_day") <= d)) for d in days]
    return state_rows(fitted, code, quantities, days, occupation, happened=happened, of=fitted.courses(code),
                      beyond=fitted.last_day(code))  # fmt: skip


def _mean_rows(fitted: Fitted, code: str, horizon: float) -> list[dict[str, Any]]:
    n = fitted.courses(code)
    if code in fitted.why_not or horizon > fitted.last_day(code):
        why = fitted.why_not.get(code, f"nobody was followed beyond day {fitted.last_day(code):.0f}")
        return [row(code, "mean_days_in_response", time_day=horizon, denominator=n, note=why)]
    value, gradient = mean_days(fitted.fits[code].fit, horizon)
    low, high = limits(fitted, code, value[[RESPONSE]], gradient[[RESPONSE]], n, horizon)
    return [row(code, "mean_days_in_response", time_day=horizon, estimate=float(value[RESPONSE]), low=float(low[0]),
                high=float(high[0]), denominator=n)]  # fmt: skip


def _observed(fitted: Fitted, code: str) -> list[dict[str, Any]]:
    """Shares in response as seen at each planned visit, those ended counted, with exact binomial limits."""
    mine = fitted.shares.filter(pl.col("stratum") == code).with_columns(pl.col("n").cast(pl.Float64))
    tail = (1 - fitted.confidence) / 2
    rows = []
    for (day, visit), group in mine.sort("target_day").group_by(["target_day", "planned_visit"], maintain_order=True):
        total = round(float(group["n"].sum()))
        if not group["state"].is_in(STATES[:3]).any() or total == 0:
            continue
        x = min(float(group.filter(pl.col("state") == "in_response")["n"].sum()), total)
        low = float(stats.beta.ppf(tail, x, total - x + 1)) if x > 0 else 0.0
        high = float(stats.beta.ppf(1 - tail, x + 1, total - x)) if x < total else 1.0
        rows.append(row(code, "share_in_response_observed", time_day=float(str(day)), estimate=x / total, low=low,
                        high=high, n=round(x), denominator=total, note=f"as seen at the visit of {visit}"))  # fmt: skip
    return rows


def _share_contrasts(fitted: Fitted, days: Floats) -> list[dict[str, Any]]:
    horizon = float(days.max())

    def share(code: str) -> tuple[Floats, Floats]:
        value, gradient = occupation(fitted.fits[code].fit, days)
        return value[:, RESPONSE], gradient[:, RESPONSE]

    def mean(code: str) -> tuple[Floats, Floats]:
        value, gradient = mean_days(fitted.fits[code].fit, horizon)
        return value[[RESPONSE]], gradient[[RESPONSE]]

    def unknown(code: str, day: float | None) -> bool:
        return (day or horizon) > fitted.last_day(code)

    rows = difference_rows(fitted, "difference", days.tolist(), share, unknown)
    rows += difference_rows(fitted, "difference_mean_days", [horizon], mean, unknown)
    return [*rows, _mean_test(fitted, horizon)]


def _mean_test(fitted: Fitted, horizon: float) -> dict[str, Any]:
    """Wald test that the mean times in response are the same in all strata fitted."""
    codes = [c for c in fitted.fits if fitted.fits[c].fit is not None and horizon <= fitted.last_day(c)]
    value, gradients = np.zeros(len(codes)), np.zeros((len(codes), len(fitted.variance)))
    for i, code in enumerate(codes):
        found, gradient = mean_days(fitted.fits[code].fit, horizon)
        value[i] = found[RESPONSE]
        gradients[i, fitted.at[code] : fitted.at[code] + gradient.shape[1]] = gradient[RESPONSE]
    spread = gradients @ fitted.variance @ gradients.T
    if len(codes) < 2 or not np.isfinite(spread).all() or (np.diag(spread) <= 0).sum() > 1:
        return row("all", "test", note="mean times can be compared between two strata that have them")
    contrast = np.column_stack([-np.ones(len(codes) - 1), np.eye(len(codes) - 1)])
    d = contrast @ value
    statistic = float(d @ np.linalg.solve(contrast @ spread @ contrast.T, d))
    note = f"Wald test of equal mean days in response on {len(d)} df, chi-squared {statistic:.2f}, clustered by patient"
    p = float(stats.chi2.sf(statistic, len(d)))
    return row("all", "test", estimate=p, denominator=sum(map(fitted.courses, codes)), note=note)


def _grid(days: Floats) -> Floats:
    return np.unique(np.concatenate([days, np.arange(0, days.max() + 1, 10.0)]))


def _not_followed(courses: Courses) -> pl.DataFrame:
    return courses.registry.con.sql(
        "select course_id, case when course.index_date is null then 'no treatment session' "
        "when not exists (select 1 from course.baseline b where b.course_id = cohort.course_id) then 'no baseline score' "
        "else 'not followed for a day' end as reason "
        "from cohort.course as cohort join course.course as course using (course_id) "
        "where not exists (select 1 from reduction.panel_watch w where w.course_id = cohort.course_id)"
    ).pl()


def _end_label(courses: Courses) -> str:
    found = courses.registry.con.execute(
        "select distinct end_label from catalogue.programme where list_contains(?, programme) order by 1",
        [programmes_of(courses)],
    ).fetchall()
    return " or ".join(str(label) for (label,) in found)


def _notes(definition: Definition, rule: dict[str, Any], confirmation: str, fitted: Fitted) -> tuple[str, ...]:
    notes = []
    if not definition.verified:
        notes.append(
            f"Thresholds of {definition.definition} are not verified against their source: {definition.source}."
        )
    if not rule["loss_verified"]:
        notes.append(f"Rule {rule['loss']} is not verified against a source: {rule['loss_source']}.")
    if confirmation == "first":
        notes.append("Each visit counts as it shows: measurement error makes losses and returns that are none.")
    else:
        notes.append("Confirmed states are those that the next visit shows too: with visits a year apart a response "
                     "shorter than that is not counted, and the share in response is lower than at each visit.")  # fmt: skip
    left = {f"{code}: {note}" for code, f in fitted.fits.items() for note in f.notes if "left out" in note}
    return (*notes, *sorted(left))
