"""Courses whose change at every planned visit is known, seen or not, as the rows that the trajectory reductions make.

For studies of bias and coverage over many samples: no files, and two knees of a patient that are alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import interpolate, special

from synthetic.response_world import STAGES
from synthetic.truth import OA
from synthetic.visits import schedule

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Name, day and half width of the window of each planned visit after baseline.
VISITS = tuple(v for v in schedule(OA.programme, ()) if v[1] > 0)
_FOLLOW_UP = (60.0, 1461.0)
_BILATERAL, _SAME_STAGE = 0.16, 0.7
# Points of improvement by stage and visit at a baseline of 55 in the normal law, and what a point of baseline adds.
MEANS = np.array([[8.0, 16, 20, 18, 14, 11], [6.0, 11, 13, 10, 7, 5], [3.0, 5, 5, 3, 1, 0]])
SLOPES = np.array([0.15, 0.25, 0.3, 0.3, 0.3, 0.3])
BASELINES, BASELINE_SD, CENTRE = np.array([50.0, 55, 61]), 14.0, 55.0
_SD = np.array([10.0, 13, 14, 15, 16, 16])
# In the mixture law: the share who respond by stage, what of a response is left at each visit, and its size.
_RESPOND, _SIZE = np.array([0.65, 0.45, 0.2]), 30.0
_LEFT = np.array([0.4, 0.85, 1.0, 0.9, 0.7, 0.6])
# In response at a visit: so many points better than at baseline.
ENOUGH = 20.0


@dataclass(frozen=True)
class Scenario:
    """How scores change, and who leaves.

    Attributes
    ----------
    law
        ``normal``: the mixed model's own; ``mixture``: responders and others, between 0 and 100 points, as in the
        synthetic registry: what is missing is not a straight line of what was seen.
    leaving
        How the odds of leaving before a visit rise a ten points that the change last seen is lower.
    shift
        Points that are lost from then on by who leaves, unseen; zero: missing at random.
    missed
        Probability that a visit is missed by who has not left.
    likeness
        Correlation between the two knees of a patient.
    """

    name: str
    law: str = "normal"
    leaving: float = 0.8
    shift: float = 0.0
    missed: float = 0.06
    likeness: float = 0.5


SCENARIOS = (
    Scenario("at_random"),
    # Without chance misses: who missed the last visit by chance could not be told from who left.
    Scenario("not_at_random", shift=10.0, missed=0.0),
    Scenario("mixture", law="mixture"),
)


@dataclass(frozen=True)
class World:
    """Courses of a sample; arrays over n courses and v planned visits.

    Attributes
    ----------
    patient, stage, baseline
        Shape (n,); the baseline is worse the higher it is.
    change
        Improvement in points, whether seen or not, (n, v).
    seen, due
        Whether the score was seen, and whether the visit's window had closed by the data cut, (n, v).
    """

    patient: Ints
    stage: Ints
    baseline: Floats
    change: Floats
    seen: Bools
    due: Bools

    def of(self, chosen: Bools) -> World:
        """Return the courses `chosen` (n,) alone."""
        return World(*(getattr(self, f)[chosen] for f in ("patient", "stage", "baseline", "change", "seen", "due")))


def make(scenario: Scenario, courses: int, seed: int, stage: int | None = None) -> World:
    """Draw about `courses` courses of one registry and look at them; with `stage`, all as they would be in it.

    With `stage` the baselines stay those of the whole registry, so that means are those at the covariates of all.
    """
    rng = np.random.default_rng(seed)
    people = round(courses / (1 + _BILATERAL))
    patient = np.sort(np.concatenate([np.arange(people), np.flatnonzero(rng.random(people) < _BILATERAL)]))
    share = np.array([s.share for s in OA.stages.values()])
    own, first = (rng.choice(len(STAGES), size=k, p=share / share.sum()) for k in (len(patient), people))
    drawn = np.where(rng.random(len(patient)) < _SAME_STAGE, first[patient], own).astype(np.int64)
    baseline = BASELINES[drawn] + BASELINE_SD * _alike(scenario, patient, 1, rng)[:, 0]
    if scenario.law == "mixture":
        baseline = np.clip(baseline, 0, 100)
    here = drawn if stage is None else np.full_like(drawn, stage)
    change = _change(scenario, patient, here, baseline, rng)
    cut = rng.uniform(*_FOLLOW_UP, people)[patient]
    due = np.array([day + half for _, day, half in VISITS]) <= cut[:, None]
    gone, came = look(scenario, change, rng)
    return World(patient, here, baseline, change - scenario.shift * gone, came & due, due)


def _alike(scenario: Scenario, patient: Ints, k: int, rng: np.random.Generator) -> Floats:
    """Return k standard normals a course (n, k), correlated between the courses of a patient."""
    shared = rng.normal(size=(patient[-1] + 1, k))[patient]
    return np.asarray(
        np.sqrt(scenario.likeness) * shared + np.sqrt(1 - scenario.likeness) * rng.normal(size=shared.shape)
    )


def correlation() -> Floats:
    """Return the correlation between visits, (v, v): a part that stays, and one that fades."""
    gap = np.abs(np.subtract.outer(np.arange(len(VISITS)), np.arange(len(VISITS))))
    return np.asarray(0.3 + 0.7 * 0.75**gap)


def _change(scenario: Scenario, patient: Ints, stage: Ints, baseline: Floats, rng: np.random.Generator) -> Floats:
    noise = _alike(scenario, patient, len(VISITS), rng) @ np.linalg.cholesky(correlation()).T
    if scenario.law == "normal":
        return np.asarray(MEANS[stage] + (baseline - CENTRE)[:, None] * SLOPES + noise * _SD)
    responds = special.ndtr(_alike(scenario, patient, 1, rng)) < _RESPOND[stage][:, None]
    change = 2 + (baseline - CENTRE)[:, None] * 0.2 + responds * _SIZE * _LEFT + noise * 0.6 * _SD
    return np.asarray(baseline[:, None] - np.clip(baseline[:, None] - change, 0, 100))


def look(scenario: Scenario, change: Floats, rng: np.random.Generator) -> tuple[Bools, Bools]:
    """Return who has left by each visit and who came to it; leaving depends on the change last seen, and no other."""
    last, gone = np.full(len(change), 10.0), np.zeros(len(change), dtype=bool)
    left, came = np.zeros(change.shape, dtype=bool), np.zeros(change.shape, dtype=bool)
    for k in range(change.shape[1]):
        odds = np.exp(-2.6 + scenario.leaving * (10 - last) / 10)
        gone = gone | (rng.random(len(change)) < odds / (1 + odds))
        left[:, k], came[:, k] = gone, ~gone & (rng.random(len(change)) >= scenario.missed)
        last = np.where(came[:, k], change[:, k], last)
    return left, came


def truth(scenario: Scenario, courses: int = 500_000) -> dict[str, Floats]:
    """Return the estimands by stage and visit, each (3, v), from registries so large that chance is 0.05 points.

    ``mean_change``: of the courses of a stage; ``adjusted_change``: had all courses been of the stage, with the
    baselines they have; ``in_response``: the share of a stage, its chance 0.1 per cent. Nobody is lost to the data cut.
    """
    whole = make(scenario, courses, 987_654_321)
    forced = [make(scenario, courses, 987_654_321, stage=s) for s in range(len(STAGES))]
    return {
        "mean_change": np.array([whole.change[whole.stage == s].mean(axis=0) for s in range(len(STAGES))]),
        "in_response": np.array([(whole.change[whole.stage == s] >= ENOUGH).mean(axis=0) for s in range(len(STAGES))]),
        "adjusted_change": np.array([f.change.mean(axis=0) for f in forced]),
    }


def reductions(world: World) -> dict[str, pl.DataFrame]:
    """Return the rows of ``reduction.trajectory_course``, ``trajectory_value`` and ``trajectory_due``."""
    course, visit = np.nonzero(world.seen)
    exact = pl.Decimal(12, 4)
    nothing = {c: pl.lit(None, dtype=exact) for c in ("age", "female", "bmi")}
    people = (
        pl.DataFrame(
            {
                "course_id": np.arange(len(world.stage)),
                "patient_id": world.patient,
                "stratum": np.array(STAGES)[world.stage],
                "scale": ["points"] * len(world.stage),
                "baseline": world.baseline.round(4),
            }
        )
        .with_columns(pl.col("baseline").cast(exact), **nothing)
        .with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in ("reason", "stage"))
    )
    values = pl.DataFrame(
        {"course_id": course, "position": visit + 1, "change": world.change[course, visit].round(4)}
    ).with_columns(pl.col("change").cast(exact))
    due = pl.DataFrame(
        [
            {"stratum": s, "position": k + 1, "n_due": int(world.due[here, k].sum()),
             "n_seen": int(world.seen[here, k].sum())}
            for i, s in enumerate(STAGES) for here in [world.stage == i] for k in range(world.due.shape[1])
        ]
    )  # fmt: skip
    return {"trajectory_course": people, "trajectory_value": values, "trajectory_due": due}


def growth_scores(scenario: Scenario, world: World, seed: int) -> pl.DataFrame:
    """Return the rows of ``reduction.growth_score``: the scores seen, each on a day about the visit's.

    From the visit's day to its own a score moves as the mean of its stage does, on a smooth curve through the means of
    the visits; so the truth at a planned day is that of the visit, and no other day has a truth of its own.
    """
    course, visit = np.nonzero(world.seen)
    planned = np.array([day for _, day, _ in VISITS])
    away = np.clip(np.random.default_rng([seed, 1]).normal(0, 0.45, len(visit)), -1, 1)
    day = np.round(planned[visit] + away * np.array([half for _, _, half in VISITS])[visit])
    stage, above = world.stage[course], world.baseline[course] - CENTRE
    normal = scenario.law == "normal"
    means = MEANS if normal else 2 + _RESPOND[:, None] * _SIZE * _LEFT
    curve = _smooth(np.column_stack([means.T, SLOPES if normal else np.full(len(SLOPES), 0.2)]))
    moved = curve(day) - curve(planned[visit])
    change = world.change[course, visit] + moved[np.arange(len(day)), stage] + above * moved[:, -1]
    exact = pl.Decimal(12, 4)
    return pl.DataFrame(
        {
            "course_id": course, "patient_id": world.patient[course], "stratum": np.array(STAGES)[stage],
            "day": day.astype(int), "change": change.round(4), "baseline": world.baseline[course].round(4),
        }
    ).with_columns(pl.col("change", "baseline").cast(exact))  # fmt: skip


def _smooth(at_visits: Floats) -> interpolate.PchipInterpolator:
    """Return a curve through nothing on day 0 and values (v, k) on the planned days, that turns where they do."""
    days = [0.0, *(float(day) for _, day, _ in VISITS)]
    return interpolate.PchipInterpolator(days, np.vstack([np.zeros(at_visits.shape[1]), at_visits]), extrapolate=True)


def response_states(world: World) -> pl.DataFrame:
    """Return the rows of ``reduction.state_visit``: in response or not at the visits due; null: not seen."""
    course, visit = np.nonzero(world.due)
    held = (world.change[course, visit] >= ENOUGH).astype(int)
    return pl.DataFrame(
        {
            "course_id": course, "patient_id": world.patient[course],
            "stratum": np.array(STAGES)[world.stage[course]], "position": visit + 1,
            "planned_visit": np.array([name for name, _, _ in VISITS])[visit],
            "target_day": np.array([day for _, day, _ in VISITS])[visit],
            "in_response": np.where(world.seen[course, visit], held, -1),
            "over": 0,
            "improvement": np.where(world.seen[course, visit], world.change[course, visit], np.nan),
        }
    ).with_columns(pl.col("in_response").replace(-1, None), pl.col("improvement").fill_nan(None))  # fmt: skip
