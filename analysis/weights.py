"""Weights of courses and of decisions, as the questions make them: what `describe` shows them to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analysis.booster import Asked, trial_of
from analysis.booster_gate import standing_weights
from analysis.cohort import By, check_left, place_courses, reduce
from analysis.imputed_change import not_due
from analysis.numerics.emulation import chances
from analysis.numerics.observation import observation_weights
from analysis.result import Result
from analysis.trajectory_question import ask
from analysis.trajectory_sums import enough_visits, returned_of, rows_of
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

# What is known on the day of a decision and is no characteristic of the first session.
_AT_DECISION = {
    "improvement": "improvement on the day of the decision",
    "previous": "improvement at the visit before",
    "best": "best improvement so far",
    "zero_day": "days since treatment",
    "since_session_day": "days since the last session",
    "regression": "response was lost, %",
}


def seen_weights(
    courses: Courses, *, scale: str | None = None, by: By = "stage", visit: str = "12 months"
) -> pl.DataFrame:
    """Return the weights by which those seen at a visit stand for everybody due at it.

    The inverse of the probability of having been seen, from stratum, baseline and the change last seen: the weights of
    ``weighted_for_observation`` in :func:`analysis.imputed_change`. Rows of single courses: they stay in the room.

    Parameters
    ----------
    courses, scale, by, visit
        As :func:`analysis.imputed_change`; `by` is what the model of having been seen knows of a course.

    Returns
    -------
    polars.DataFrame
        ``course_id, group, weight``: each course that was due in the group ``everybody due``, of weight one, and again,
        if it was seen, in the group ``seen``. :func:`analysis.describe` takes it as `weights`.

    Raises
    ------
    NotEstimable
        When the visit was not due for anybody, or too few were seen at it.
    UsageError
        When the visit or an option is not known.

    Examples
    --------
    >>> seen = seen_weights(knees, visit="6 months")
    >>> seen["group"].unique(maintain_order=True).to_list()
    ['everybody due', 'seen']
    """
    _, kept = place_courses(courses, by)
    check_left(kept)
    kept = kept.exclude(not_due(kept, visit))
    if len(kept) == 0:
        raise NotEstimable(f"{visit} was not due for any course by the data cut.")
    strata, kept = place_courses(kept, by)
    measured = ask(kept, scale, None, (), unit="points_of_100", end_policy="hypothetical",
                   booster_policy="treatment_policy")  # fmt: skip
    planned = [v.name for v in measured.visits]
    choose(visit, planned, "visit =")
    products, people, values = reduce(kept, *(f"reduction.trajectory_{n}" for n in ("product", "course", "value")))
    upto = measured.visits[: planned.index(visit) + 1]
    data, _ = enough_visits(products, strata, upto, (), measured.label)
    if data.visits[-1].name != visit:
        raise NotEstimable(f"Too few courses were seen at {visit} for weights.")
    used = people.filter(pl.col("reason").is_null(), pl.col("stratum").is_in(data.strata)).sort("course_id")
    z, y, _ = rows_of(values, used, data)
    weight = observation_weights(z, y, returned_of(values, used, data)).weight
    whole = used.select("course_id", group=pl.lit("everybody due"), weight=pl.lit(1.0))
    seen = used.select("course_id", group=pl.lit("seen"), weight=pl.Series(weight)).filter(pl.col("weight") > 0)
    return pl.concat([whole, seen])


def booster_weights(courses: Courses, effect: Result) -> pl.DataFrame:
    """Return the weights by which boosted and waiting decisions of a trial each stand for all eligible decisions.

    The inverse of the probability of the decision taken, calibrated: the weights by which the balance of the trial is
    judged. Rows of single decisions: they stay in the room.

    Parameters
    ----------
    courses
        Those that `effect` was asked of.
    effect
        From :func:`analysis.booster_effect`, shown or withheld.

    Returns
    -------
    polars.DataFrame
        A row for each eligible decision: ``course_id, group`` (boosted, waiting), ``weight``, and what was known on
        its day. :func:`analysis.describe` takes it as `weights`.

    Raises
    ------
    UsageError
        When `effect` answers another question, or is of other courses or data.

    Examples
    --------
    >>> effect = booster_effect(knees, outcome="response", horizon_day=(182,), resamples=20)
    >>> booster_weights(knees, effect).columns[:3]
    ['course_id', 'group', 'weight']
    """
    if effect.question != "booster_effect":
        raise UsageError(f"effect answers {effect.question}; give the result of booster_effect().")
    s: dict[str, Any] = effect.settings
    trial = trial_of(
        courses,
        Asked(
            s["outcome"], s["estimand"], s["situation"], s["design"], s["by"], s["definition"], s["grace_day"],
            tuple(s["horizon_day"]), tuple(s["adjusted_for"]),
        ),
    )  # fmt: skip
    data = trial.data
    if sum(s["risk_set"].values()) != len(data.start) or s["data_cut"] != str(courses.registry.data_cut):
        raise UsageError("effect was asked of other courses or data than these: ask booster_effect() of them again.")
    made = chances(data.visits, np.ones(len(data.visits.day)), ends_count=data.plan.outcome != "mean")
    rows = trial.rows.sort("course_id", "visit_day")[data.start]
    known = {
        label: rows.select(
            (pl.col("situation") == "regression").fill_null(False).cast(pl.Float64) * 100
            if name == "regression" else pl.col(name).cast(pl.Float64)
        ).to_series()
        for name, label in _AT_DECISION.items()
    }  # fmt: skip
    group = np.where(data.arm, "boosted", "waiting")
    made_of = pl.DataFrame({"course_id": rows["course_id"], "group": group, "weight": standing_weights(data, made)})
    return made_of.with_columns(pl.Series(name, values) for name, values in known.items()).sort(
        "group", "course_id", maintain_order=True
    )
