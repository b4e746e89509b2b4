"""Courses with an age, a route and an end, whose change at every planned visit is known, seen or not.

For studies of the outlook over many samples: what those like one would show had all come, beside who came.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthetic.response_world import STAGES
from synthetic.trajectory_world import (
    BASELINE_SD,
    BASELINES,
    CENTRE,
    ENOUGH,
    MEANS,
    SCENARIOS,
    SLOPES,
    VISITS,
    Scenario,
    correlation,
    look,
)
from synthetic.truth import OA

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

AT_RANDOM, NOT_AT_RANDOM = SCENARIOS[:2]
ROUTES = ("intra_articular", "intra_osseous")
_FOLLOW_UP, _BILATERAL, _LIKENESS = (60.0, 1461.0), 0.16, 0.5
_SD = np.array([10.0, 13, 14, 15, 16, 16])
_AGE, _OLDER, _OTHER_ROUTE = (62.0, 9.0), -0.25, -4.0
# Ends a year by stage at the mean age, and how they rise with a year of it.
_ENDS, _ENDS_OLDER = np.array([0.03, 0.06, 0.12]), 0.03


@dataclass(frozen=True)
class World:
    """Courses of a sample; arrays over n courses and v planned visits.

    Attributes
    ----------
    patient, stage, age, route
        Shape (n,); the route is a place in ``ROUTES``.
    change
        Improvement in points had the target gone on, (n, v).
    over, seen, due
        Whether the target had ended by the close of the visit's window, whether the score was seen, and whether the
        window had closed by the data cut, (n, v).
    """

    patient: Ints
    stage: Ints
    age: Floats
    route: Ints
    change: Floats
    over: Bools
    seen: Bools
    due: Bools


def make(scenario: Scenario, courses: int, seed: int, stage: int | None = None) -> World:
    """Draw about `courses` courses of one registry, or of one `stage`, and look at them."""
    rng = np.random.default_rng(seed)
    people = round(courses / (1 + _BILATERAL))
    patient = np.sort(np.concatenate([np.arange(people), np.flatnonzero(rng.random(people) < _BILATERAL)]))
    n = len(patient)
    share = np.array([s.share for s in OA.stages.values()])
    drawn = rng.choice(len(STAGES), size=people, p=share / share.sum())[patient]
    stages = (drawn if stage is None else np.full(n, stage)).astype(np.int64)
    age, route = rng.normal(*_AGE, people)[patient], (rng.random(n) < 0.35).astype(np.int64)
    shared, own = rng.normal(size=(people, 7))[patient], rng.normal(size=(n, 7))
    noise = np.sqrt(_LIKENESS) * shared + np.sqrt(1 - _LIKENESS) * own
    above = BASELINES[stages] + BASELINE_SD * noise[:, 0] - CENTRE
    moved = noise[:, 1:] @ np.linalg.cholesky(correlation()).T * _SD
    change = MEANS[stages] + above[:, None] * SLOPES + moved
    change += (_OLDER * (age - _AGE[0]) + _OTHER_ROUTE * route)[:, None]
    end = rng.exponential(365.25 / (_ENDS[stages] * np.exp(_ENDS_OLDER * (age - _AGE[0]))))
    closes = np.array([day + half for _, day, half in VISITS])
    due = closes <= rng.uniform(*_FOLLOW_UP, people)[patient][:, None]
    gone, came = look(scenario, change, rng)
    over = end[:, None] <= closes
    return World(patient, stages, age, route, change - scenario.shift * gone, over, came & due & ~over, due)


def sample(scenario: Scenario, courses: int, seed: int) -> tuple[World, pl.DataFrame, pl.DataFrame]:
    """Return a sample with its rows of ``reduction.outlook_visit`` and the profiles of its courses."""
    world = make(scenario, courses, seed)
    held, before, last = world.change >= ENOUGH, np.zeros(len(world.stage), dtype=bool), np.full(len(world.stage), -1)
    state, sustained = np.full(held.shape, "not_seen", dtype="U16"), np.full(held.shape, -1)
    for k in range(held.shape[1]):
        seen, now = world.seen[:, k], held[:, k]
        state[seen, k] = np.where(now, "in_response", np.where(before, "response_lost", "no_response"))[seen]
        sustained[:, k] = np.where(seen & (last >= 0), now & (last == 1), -1)
        before |= seen & now
        last = np.where(seen, now, last)
    state[world.over] = "ended"
    course, visit = np.nonzero(world.due)
    rows = pl.DataFrame(
        {
            "course_id": course, "patient_id": world.patient[course],
            "planned_visit": np.array([name for name, _, _ in VISITS])[visit], "position": visit + 1,
            "target_day": np.array([day for _, day, _ in VISITS])[visit],
            "improvement": np.where(world.seen[course, visit], world.change[course, visit], np.nan),
            "state": state[course, visit], "sustained": sustained[course, visit],
        }
    ).with_columns(
        pl.col("improvement").fill_nan(None), pl.col("state").replace("not_seen", None),
        pl.col("sustained").replace(-1, None),
    )  # fmt: skip
    profile = pl.DataFrame(
        {
            "course_id": np.arange(len(world.stage)), "stage": np.array(STAGES)[world.stage],
            "age_year": world.age, "route": np.array(ROUTES)[world.route],
        }
    ).with_columns(
        sex=pl.lit("female"), origin=pl.lit("adipose"), donor=pl.lit("autologous"), dose=pl.lit(50.0)
    )  # fmt: skip
    return world, rows, profile
