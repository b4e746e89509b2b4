"""Courses whose time of response under every dose is known, with the reasons for the dose, and groups that differ.

For studies of bias and coverage over many samples: the sicker get more cells, cells help, and severity hinders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from synthetic.response_world import STAGES, VISITS
from synthetic.truth import OA

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The day by which responses count.
HORIZON = 365.0
GROUPS = tuple("ABCDEFGH")
# Where groups are combinations: the origin and the way of processing of each.
ORIGIN_OF, WAY_OF = np.repeat(np.arange(4), 2), np.tile(np.arange(2), 4)
_FOLLOW_UP, _BILATERAL, _LIKENESS, _MISSED = (120.0, 1461.0), 0.16, 0.5, 0.08
_BASELINES, _BASELINE_SD, _AGE = np.array([52.0, 58, 66]), 12.0, (62.0, 9.0)
# Effects on the logarithm of the hazard of response: of ten years, of ten points of baseline, of a reason unrecorded.
_AGED, _WORSE, _HIDDEN = -0.15, -0.25, -0.5
# Cells help up to a point: so much at most, half of it at 50 million.
_MOST_HELP, _HALF_DOSE = 1.2, 50.0
# Logarithm (10) of the dose: of a stage more, of ten points of baseline more, of the unrecorded reason; and its spread.
_STAGE_MORE, _WORSE_MORE, _HIDDEN_MORE, _DOSE_SD = 0.12, 0.08, 0.12, 0.22
# In the world of groups stages share one baseline hazard and differ by factors of it; groups are unequal and the
# first ones see sicker patients.
_STAGE_EFFECT = np.array([0.0, -0.5, -1.2])
_SIZES = np.array([8.0, 6, 4, 3, 3, 2, 2, 2])
_BASE = OA.stages["early"]


@dataclass(frozen=True)
class Scenario:
    """How doses are chosen, how groups differ, and who leaves.

    Attributes
    ----------
    leaving
        Monthly hazard of leaving in the mildest stage; half as much again in each further one.
    unseen
        By how much it is larger before a response, seen or not; one: unrelated to it.
    hidden
        Whether a reason for the dose that also hinders response goes unrecorded.
    spread
        Standard deviation between groups on the scale log(-log(1 - share)); none: the world of doses, without groups.
    crossed
        Groups are the combinations of four origins and two ways of processing: standard deviations of the origins' and
        the ways' effects, and of what a combination has of its own.
    """

    name: str
    leaving: float = 0.01
    unseen: float = 1.0
    hidden: bool = False
    spread: float | None = None
    crossed: tuple[float, float, float] | None = None


DOSES = (
    Scenario("at_random"),
    Scenario("not_at_random", leaving=0.007, unseen=3.0),
    Scenario("unrecorded_reason", hidden=True),
)
SUBGROUPS = (
    Scenario("groups_alike", spread=0.0),
    Scenario("groups_differ", spread=0.35),
    Scenario("groups_not_at_random", leaving=0.007, unseen=3.0, spread=0.35),
    Scenario("combinations", spread=0.35, crossed=(0.35, 0.35, 0.2)),
)


@dataclass(frozen=True)
class World:
    """Courses of a sample; arrays over n courses, `effect` (groups,) on the log hazard."""

    patient: Ints
    stage: Ints
    group: Ints
    age: Floats
    female: Ints
    baseline: Floats
    hidden: Floats
    dose: Floats
    effect: Floats


def people(scenario: Scenario, courses: int, rng: np.random.Generator) -> World:
    """Draw who is treated with which dose in which group."""
    n = round(courses / (1 + _BILATERAL))
    patient = np.sort(np.concatenate([np.arange(n), np.flatnonzero(rng.random(n) < _BILATERAL)]))
    share = np.array([s.share for s in OA.stages.values()])
    by_patient = rng.choice(len(STAGES), size=n, p=share / share.sum())
    stage = by_patient[patient]
    # The first groups see sicker patients.
    sicker = np.outer(np.arange(len(STAGES)) - 1.0, 3.5 - np.arange(len(GROUPS)))
    odds = _SIZES * np.exp(0.2 * sicker)
    above = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)[by_patient]
    group = (rng.random(n)[:, None] > above[:, :-1]).sum(axis=1)[patient]
    age = rng.normal(*_AGE, n)[patient]
    female = rng.integers(0, 2, n)[patient]
    baseline = np.clip(_BASELINES[stage] + _BASELINE_SD * _normal(patient, rng), 20, 95)
    hidden = rng.normal(size=n)[patient] * scenario.hidden
    log = np.log10(50) + _STAGE_MORE * (stage - 1) + _WORSE_MORE * (baseline - 58) / 10 + _HIDDEN_MORE * hidden
    dose = np.round(10 ** (log + _DOSE_SD * rng.normal(size=len(patient))), 1)
    effect = rng.normal(size=len(GROUPS)) * (scenario.spread or 0.0)
    if scenario.crossed:
        origins, ways, own = scenario.crossed
        effect = (
            own * rng.normal(size=8) + (origins * rng.normal(size=4))[ORIGIN_OF] + (ways * rng.normal(size=2))[WAY_OF]
        )
    return World(patient, stage, group, age, female, baseline, hidden, dose, effect)


def _normal(patient: Ints, rng: np.random.Generator) -> Floats:
    """Return a standard normal a course, alike between the courses of a patient."""
    shared = rng.normal(size=patient[-1] + 1)[patient]
    return np.asarray(np.sqrt(_LIKENESS) * shared + np.sqrt(1 - _LIKENESS) * rng.normal(size=len(patient)))


def helped(dose: Floats | float) -> Floats:
    """Return the effect of a dose on the log hazard, against 50 million."""
    return np.asarray(_MOST_HELP * (dose / (dose + _HALF_DOSE) - 0.5))


def _log_hazard(world: World, scenario: Scenario, dose: Floats | float | None, group: int | None) -> Floats:
    """Return the log hazard ratios (n,), had all got `dose` or been of `group`, or as they are."""
    out = _AGED * (world.age - _AGE[0]) / 10 + _WORSE * (world.baseline - 58) / 10
    if scenario.spread is None:
        return np.asarray(out + helped(world.dose if dose is None else dose) + _HIDDEN * world.hidden)
    theirs = world.effect[world.group] if group is None else world.effect[group]
    return np.asarray(out + _STAGE_EFFECT[world.stage] + theirs)


def _law(scenario: Scenario, stage: Ints) -> tuple[Floats, Floats, Floats]:
    """Return by course who ever responds at a hazard ratio of 1, and scale and shape of the Weibull time."""
    laws = [_BASE] * len(STAGES) if scenario.spread is not None else list(OA.stages.values())
    names = ("respond", "response_median_day", "response_shape")
    respond, median, shape = (np.array([getattr(law, name) for law in laws])[stage] for name in names)
    return respond, median / np.log(2) ** (1 / shape), shape


def risk(
    world: World, scenario: Scenario, *, dose: Floats | float | None = None, group: int | None = None,
    day: float = HORIZON,
) -> Floats:  # fmt: skip
    """Return the probability of response by a day, (n,), had all got `dose` or been of `group`, and nothing ended."""
    respond, scale, shape = _law(scenario, world.stage)
    alone = 1 - respond * -np.expm1(-((day / scale) ** shape))
    return np.asarray(1 - alone ** np.exp(_log_hazard(world, scenario, dose, group)))


def sample(scenario: Scenario, courses: int, seed: int) -> tuple[World, pl.DataFrame]:
    """Draw a registry and look at it: courses, and the rows of ``reduction.response_covariate`` that visits make.

    Column `stratum` is the stage; `dose` the dose in millions; `origin` the group.
    """
    rng = np.random.default_rng(seed)
    world = people(scenario, courses, rng)
    respond, scale, shape = _law(scenario, world.stage)
    u = np.clip(special.ndtr(_normal(world.patient, rng)), 1e-12, 1 - 1e-12)
    # The hazard ratio acts on the law in which some never respond: S(t) = S0(t) ** ratio.
    reached = (1 - u ** np.exp(-_log_hazard(world, scenario, None, None))) / respond
    with np.errstate(divide="ignore"):
        response = np.where(reached < 1, scale * (-np.log1p(-np.minimum(reached, 1))) ** (1 / shape), np.inf)
    rate = np.array([s.end_per_year for s in OA.stages.values()])[world.stage] + OA.death_per_year
    end = rng.exponential(365.25 / rate)
    cut = rng.uniform(*_FOLLOW_UP, world.patient[-1] + 1)[world.patient]
    return world, _rows(scenario, world, response, end, cut, rng)


def _rows(
    scenario: Scenario, world: World, response: Floats, end: Floats, cut: Floats, rng: np.random.Generator
) -> pl.DataFrame:
    n = len(world.patient)
    target, half = np.array(VISITS, dtype=float).T
    visit = np.round(target + np.clip(rng.normal(0, 0.45, (n, len(target))), -1, 1) * half)
    months = np.diff(visit, axis=1, prepend=0) / 30.4
    before = np.concatenate([np.zeros((n, 1)), visit[:, :-1]], axis=1)
    factor = np.where(response[:, None] <= before, 1.0, scenario.unseen) * 1.5 ** world.stage[:, None]
    stays = np.cumsum(rng.random(visit.shape) < -np.expm1(-scenario.leaving * factor * months), axis=1) == 0
    came = rng.random(visit.shape) >= _MISSED
    seen = stays & came & (visit < np.ceil(end)[:, None]) & (visit <= cut[:, None])
    right = np.where(seen & (visit >= response[:, None]), visit, np.inf).min(axis=1)
    left = np.where(seen & (visit < right[:, None]), visit, 0.0).max(axis=1)
    over = (np.ceil(end) <= cut) & np.isinf(right)
    kind = np.where(np.isfinite(right), "response", np.where(over, "end", "censored"))
    # Known at every visit up to 12 months, or its response seen by then.
    whole = seen[:, :4].all(axis=1) | ((right <= HORIZON) & (seen | (visit > right[:, None]))[:, :4].all(axis=1))
    judged = np.isfinite(right) | (left > 0) | over
    return pl.DataFrame(
        {
            "course_id": np.arange(n), "patient_id": world.patient, "stratum": np.array(STAGES)[world.stage],
            "kind": kind, "left_day": left.astype(int),
            "right_day": np.where(np.isfinite(right), right, np.where(over, np.ceil(end), cut)).astype(int),
            "age": world.age, "sex": np.array(["male", "female"])[world.female], "baseline": world.baseline,
            "stage": np.array(STAGES)[world.stage], "origin": np.array(GROUPS)[world.group], "dose": world.dose,
            "whole": whole,
        }
    ).filter(pl.Series(judged))  # fmt: skip
