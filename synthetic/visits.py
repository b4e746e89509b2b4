"""Looks at the patients as clinics do: on jittered days, sometimes not at all, with error, and with consequences.

What is seen decides what is done: boosters are offered because the benefit fades or never came, and the decision is
logged also when the answer is no.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from registry import catalogue
from synthetic.cohort import LOADING, Design, Drawn, data_cut
from synthetic.latent import Floats, boosted, native


@dataclass(frozen=True)
class Seen:
    """What the clinics recorded of one programme's courses; `course` indexes its rows.

    Attributes
    ----------
    visits
        ``course, planned_visit, day, status``.
    scores
        ``course, scale, day, value`` on the scale itself.
    sessions
        ``course, session_no, day, intent``.
    decisions
        ``course, day, trigger, state_at_decision, decision, deciding_factor, cost_barrier``.
    events
        ``course, day, kind``.
    """

    visits: pl.DataFrame
    scores: pl.DataFrame
    sessions: pl.DataFrame
    decisions: pl.DataFrame
    events: pl.DataFrame


def look(drawn: Drawn, design: Design, rng: np.random.Generator) -> Seen:
    """Follow every course from baseline to its end, the data cut or its leaving."""
    law, n = drawn.law, drawn.courses.height
    index = drawn.courses["index_date"].to_numpy().astype("datetime64[D]")
    cut_day = (data_cut(design) - index).astype(float)
    next_course = _next_course_day(drawn.courses)
    # The first session of the next course comes before the visit of that day is written down.
    last = np.minimum.reduce([cut_day, drawn.end_day, drawn.death_day, next_course - 1])
    planned = schedule(law.programme, law.extra_days)
    person = rng.normal(0, 1, n) * design.noise * 0.5
    boost_day = np.full((n, 3), np.inf)
    boost_size = np.array([s.booster_points for s in law.stages.values()])[drawn.courses["stage_index"].to_numpy()]
    n_boosts = np.zeros(n, dtype=int)
    gone = np.full(n, np.inf)
    ever = np.zeros(n, dtype=bool)
    cost = rng.random(n) < 0.3
    visits, scores, decisions = [], [], []
    previous_day = np.zeros(n)
    for name, target, half_width in planned:
        day = np.zeros(n) if target == 0 else np.round(target + rng.normal(0, design.visit_jitter, n) * half_width)
        day = np.maximum(day, previous_day + (target > 0))
        truth = _improvement(drawn, day, boost_day, boost_size)
        responding = truth >= drawn.benefit.threshold
        factor = np.where(responding, 1.0, design.informative)
        months = (day - previous_day) / 30.4
        leaves = rng.random(n) < -np.expm1(-design.dropout * factor * months)
        gone = np.where(np.isinf(gone) & leaves & (target > 0), previous_day, gone)
        possible = (day <= last) & (day <= gone)
        seen = possible & ((target == 0) | (rng.random(n) >= design.missed * factor))
        visits.append(_visits(name, day, possible, seen))
        scores.append(_scores(drawn, design, day, truth + person, seen, target, rng))
        noisy = truth + rng.normal(0, design.noise, n) >= drawn.benefit.threshold
        ever |= noisy & seen
        if design.boosters and law.boosters and target >= 90:
            asked = seen & (n_boosts < 2) & ~noisy & (day - previous_day > 20) & ((target >= 180) | ever)
            given, made = _decide(drawn, day, asked, ever, truth, cost, rng)
            decisions.append(made)
            boost_day[np.flatnonzero(given), n_boosts[given]] = day[given] + rng.integers(3, 21, int(given.sum()))
            n_boosts = n_boosts + given
        previous_day = day
    boost_day = np.where(boost_day <= last[:, None], boost_day, np.inf)
    return Seen(
        pl.concat(visits),
        pl.concat(scores).sort("course", "scale", "day"),
        _sessions(drawn, boost_day, ever, decisions, last),
        pl.concat(decisions) if decisions else _decisions([], [], [], [], [], [], []),
        _events(drawn, gone, last, cut_day),
    )


def _improvement(drawn: Drawn, day: Floats, boost_day: Floats, boost_size: Floats) -> Floats:
    gain = boosted(day[:, None] - boost_day).sum(axis=1) * boost_size
    return np.asarray(drawn.benefit.at(day) + gain)


def schedule(programme: str, extra_days: tuple[int, ...]) -> list[tuple[str, int, float]]:
    """Return name, day and half width of the window of each planned visit and extra day, by day."""
    planned = catalogue.read("programme_visit").filter(pl.col("programme") == programme)
    rows = [
        (str(name), int(target), (int(high) - int(low)) / 2)
        for name, target, low, high in planned.select(
            "planned_visit", "target_day", "window_low_day", "window_high_day"
        ).iter_rows()
    ]
    rows += [(f"day {d}", d, 0.8) for d in extra_days]
    return sorted(rows, key=lambda row: row[1])


def _next_course_day(courses: pl.DataFrame) -> Floats:
    day = (pl.col("index_date").shift(-1) - pl.col("index_date")).dt.total_days().over("patient", "target_no")
    return courses.select(day.cast(pl.Float64).fill_null(np.inf)).to_series().to_numpy()


def _visits(name: str, day: Floats, possible: NDArray[np.bool_], seen: NDArray[np.bool_]) -> pl.DataFrame:
    course = np.flatnonzero(possible)
    # Days between the planned visits, as blood counts are taken, have no name in the schedule.
    planned = None if name.startswith("day ") else name
    return pl.DataFrame(
        {
            "course": course,
            "planned_visit": pl.Series([planned] * len(course), dtype=pl.String),
            "day": day[course].astype(np.int64),
            "status": np.where(seen[course], "done", "missed"),
        }
    )


def _scores(
    drawn: Drawn,
    design: Design,
    day: Floats,
    improvement: Floats,
    seen: NDArray[np.bool_],
    target: int,
    rng: np.random.Generator,
) -> pl.DataFrame:
    course = np.flatnonzero(seen)
    wanted = drawn.law.scales + (drawn.law.extra_scales if design.extra_scales else ())
    parts = []
    for scale in wanted:
        if scale == "minJSW" and target not in (0, 365, 730):
            continue
        if scale == "hsCRP" and target not in (0, 180, 365):
            continue
        gain = LOADING[scale] * improvement[course]
        error = rng.normal(0, 1, len(course)) * (0.02 if scale == "ANC" else design.noise)
        worse = np.clip(drawn.baselines[scale][course] - gain + error * (design.noise > 0), 0, 100)
        value = native(scale, worse)
        parts.append(
            pl.DataFrame(
                {
                    "course": course,
                    "scale": pl.Series([scale]).new_from_index(0, len(course)),
                    "day": day[course].astype(np.int64),
                    "value": np.round(value, 4 if design.noise == 0 else _digits(scale)),
                }
            )
        )
    return pl.concat(parts)


def _digits(scale: str) -> int:
    return {"PtGA": 0, "VAS-pain": 0, "NPS": 0, "EQ5D5L/vas": 0, "VISA-A": 0, "mTNS": 0, "ANC": 2}.get(scale, 1)


def _decide(
    drawn: Drawn, day: Floats, asked: NDArray[np.bool_], ever: NDArray[np.bool_], truth: Floats,
    cost: NDArray[np.bool_], rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], pl.DataFrame]:  # fmt: skip
    """Decide on a booster: likelier the worse the pain and the more is lost, less likely where cost is in the way."""
    first_scale = drawn.law.scales[0]
    worse = drawn.baselines[first_scale] - truth
    late = drawn.courses["stage_index"].to_numpy() == len(drawn.law.stages) - 1
    logit = -0.9 + 0.05 * (worse - 45) + 0.6 * ever - 1.6 * cost - 0.4 * late
    given = asked & (rng.random(len(day)) < 1 / (1 + np.exp(-logit)))
    course = np.flatnonzero(asked)
    boost = given[course]
    return given, _decisions(
        course,
        day[course].astype(np.int64),
        np.where(ever[course], "regression", "insufficient"),
        np.where(ever[course], "lost_response", "no_response_yet"),
        np.where(boost, "booster", np.where(rng.random(len(course)) < 0.75, "wait", "conservative")),
        np.where(cost[course] & ~boost, "cost", _reason(rng.random(len(course)))),
        cost[course],
    )


def _reason(u: Floats) -> NDArray[np.str_]:
    return np.where(u < 0.6, "clinical", "patient_preference")


def _decisions(course, day, trigger, state, decision, factor, barrier) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    return pl.DataFrame(
        {
            "course": pl.Series(course, dtype=pl.Int64),
            "day": pl.Series(day, dtype=pl.Int64),
            "trigger": pl.Series(trigger, dtype=pl.String),
            "state_at_decision": pl.Series(state, dtype=pl.String),
            "decision": pl.Series(decision, dtype=pl.String),
            "deciding_factor": pl.Series(factor, dtype=pl.String),
            "cost_barrier": pl.Series(barrier, dtype=pl.Boolean),
        }
    )


def _sessions(
    drawn: Drawn, boost_day: Floats, ever: NDArray[np.bool_], decisions: list[pl.DataFrame], last: Floats
) -> pl.DataFrame:
    planned = drawn.courses["planned_sessions"].to_numpy()
    parts = []
    for k in range(int(planned.max())):
        day = float(k * drawn.law.session_interval_day)
        course = np.flatnonzero((planned > k) & (last >= day))
        parts.append(_session_rows(course, np.full(len(course), day), "initial" if k == 0 else "planned_series"))
    for k in range(boost_day.shape[1]):
        course = np.flatnonzero(np.isfinite(boost_day[:, k]))
        parts.append(_session_rows(course, boost_day[course, k], "booster"))
    sessions = pl.concat(parts).sort("course", "day")
    made = pl.concat(decisions).filter(pl.col("decision") == "booster") if decisions else None
    if made is not None and made.height:
        why = made.select("course", pl.col("day").alias("decided"), "trigger").sort("decided")
        sessions = sessions.sort("day").join_asof(
            why, left_on="day", right_on="decided", by="course", check_sortedness=False
        )
        intent = pl.when(pl.col("intent") == "booster").then(pl.lit("booster_") + pl.col("trigger")).otherwise("intent")
        sessions = sessions.with_columns(intent=intent).drop("trigger", "decided").sort("course", "day")
    return sessions.with_columns(session_no=pl.int_range(1, pl.len() + 1).over("course"))


def _session_rows(course: NDArray[np.int64], day: Floats, intent: str) -> pl.DataFrame:
    return pl.DataFrame({"course": course, "day": day.astype(np.int64)}).with_columns(intent=pl.lit(intent))


def _events(drawn: Drawn, gone: Floats, last: Floats, cut_day: Floats) -> pl.DataFrame:
    site = drawn.courses["site"].to_numpy()
    next_course = _next_course_day(drawn.courses)
    kinds = np.array([drawn.law.end_kinds.get(s, "") for s in site])
    parts = []
    ended = (drawn.end_day <= np.minimum.reduce([cut_day, drawn.death_day, next_course])) & (kinds != "")
    parts.append(_event_rows(np.flatnonzero(ended), drawn.end_day, kinds))
    dead = drawn.death_day <= cut_day
    # One row a patient: the death is reported once, with the first course.
    first = drawn.courses.select(pl.int_range(pl.len()).over("patient") == 0).to_series().to_numpy()
    parts.append(_event_rows(np.flatnonzero(dead & first), drawn.death_day, np.full(len(site), "death")))
    left = np.isfinite(gone) & (gone < last) & (gone + 60 < np.minimum(cut_day, drawn.death_day))
    parts.append(_event_rows(np.flatnonzero(left), gone + 60, np.full(len(site), "lost_to_followup")))
    return pl.concat(parts).sort("course", "day", "kind")


def _event_rows(course: NDArray[np.int64], day: Floats, kind: NDArray[np.str_]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "course": pl.Series(course, dtype=pl.Int64),
            "day": pl.Series(np.ceil(day[course]).astype(np.int64), dtype=pl.Int64),
            "kind": pl.Series(kind[course].astype(str), dtype=pl.String),
        }
    )
