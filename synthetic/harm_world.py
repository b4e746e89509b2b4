"""Courses whose adverse events are known, told or not, some prone to many, with ends that compete and who leaves.

For studies of rates, mean numbers and first events over many samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRODUCTS = ("common", "less", "rare")
_SHARES, _PER_YEAR = np.array([0.55, 0.3, 0.15]), np.array([0.9, 0.4, 0.03])
# Of the events of a year without end this share belongs to the first weeks, and fades with such a half time (days).
_EARLY, _FADES = 0.4, 30.0
_END_A_YEAR, _BILATERAL = 0.15, 0.16
_FOLLOW_UP = (120.0, 1461.0)
_VISITS = np.array([30.0, 91, 183, 274, 365, 548, 730, 1095, 1461])
_LAST = 1461.0


@dataclass(frozen=True)
class Scenario:
    """Who has many events, and who leaves.

    Attributes
    ----------
    prone
        Variance of how prone a patient is to events, gamma with mean 1; zero: all alike.
    after_events
        By how much the odds of leaving before a visit rise with each event up to the visit before.
    unseen
        By which power of being prone they rise besides; zero: unrelated to it.
    """

    name: str
    prone: float = 1.0
    after_events: float = 0.0
    unseen: float = 0.0


SCENARIOS = (
    Scenario("all_alike", prone=0.0),
    Scenario("prone"),
    Scenario("at_random", after_events=0.7),
    Scenario("not_at_random", unseen=0.7),
)


@dataclass(frozen=True)
class World:
    """Courses of a sample; arrays over n courses, and over e events (`course`, `day`), told of or not.

    Attributes
    ----------
    patient, product, sessions
        Shape (n,).
    end, watched
        Day of the end of the target (infinite: never) and of the last contact, (n,).
    course, day
        Whose each event was, and when, (e,).
    """

    patient: Ints
    product: Ints
    sessions: Ints
    end: Floats
    watched: Floats
    course: Ints
    day: Floats

    def events_by(self, day: Floats | float) -> Ints:
        """Return how many events each course had by a day, (n,)."""
        limit = np.broadcast_to(day, self.patient.shape)[self.course]
        return np.bincount(self.course[self.day <= limit], minlength=len(self.patient))

    def first(self) -> Floats:
        """Return the day of the first event of each course, infinite if none, (n,)."""
        out = np.full(len(self.patient), np.inf)
        np.minimum.at(out, self.course, self.day)
        return out


def mean_by(day: Floats | float) -> Floats:
    """Return the mean number of events of a course by a day for a rate of one a year."""
    fading = np.log(2) / _FADES
    early = _EARLY * -np.expm1(-fading * np.asarray(day, dtype=float))
    return np.asarray(early + (1 - _EARLY) * np.asarray(day) / 365.25)


def make(scenario: Scenario, courses: int, seed: int) -> World:
    """Draw about `courses` courses and watch them."""
    rng = np.random.default_rng(seed)
    people = round(courses / (1 + _BILATERAL))
    patient = np.sort(np.concatenate([np.arange(people), np.flatnonzero(rng.random(people) < _BILATERAL)]))
    n = len(patient)
    product = rng.choice(len(PRODUCTS), size=people, p=_SHARES)[patient].astype(np.int64)
    prone = rng.gamma(1 / scenario.prone, scenario.prone, people)[patient] if scenario.prone else np.ones(n)
    rate = prone * _PER_YEAR[product]
    course = np.repeat(np.arange(n), rng.poisson(rate * mean_by(_LAST)))
    grid = np.linspace(0, _LAST, 4 * int(_LAST) + 1)
    day = np.floor(np.interp(rng.random(len(course)) * mean_by(_LAST), mean_by(grid), grid))
    end = np.ceil(rng.exponential(365.25 / _END_A_YEAR, n))
    world = World(patient, product, rng.integers(1, 4, n), end, np.zeros(n), course, day)
    watched = _watch(scenario, world, prone, rng)
    return World(patient, product, world.sessions, end, watched, course, day)


def _watch(scenario: Scenario, world: World, prone: Floats, rng: np.random.Generator) -> Floats:
    """Return the last contact: the last visit before leaving or the data cut."""
    n = len(world.patient)
    cut = rng.uniform(*_FOLLOW_UP, world.patient[-1] + 1)[world.patient]
    last, here = np.ones(n), np.ones(n, dtype=bool)
    for visit in _VISITS:
        day = np.round(visit + np.clip(rng.normal(0, 5, n), -14, 14))
        events = world.events_by(last)
        odds = 0.04 * np.exp(scenario.after_events * events) * np.maximum(prone, 0.05) ** scenario.unseen
        here = here & (rng.random(n) >= odds / (1 + odds)) & (day <= cut)
        last = np.where(here, day, last)
    return np.floor(last)


def tables(world: World) -> dict[str, pl.DataFrame]:
    """Return what the reductions of harm read: ``course.harm``, ``session``, ``follow_up``, ``endpoint.end_event`` and
    ``cohort.course``, of the events that were told of.
    """
    n = len(world.patient)
    told = world.day <= world.watched[world.course]
    e = int(told.sum())
    harm = pl.DataFrame({"course_id": world.course[told], "day": world.day[told].astype(int)}).with_columns(
        adverse_event_id=pl.int_range(e), category=pl.lit("pain_flare"), ctcae_grade=pl.lit(2), serious=pl.lit(False),
        related_product=pl.lit("possible"), related_procedure=pl.lit("not"), related_harvest=pl.lit("not"),
    )  # fmt: skip
    sessions = pl.DataFrame({"course_id": np.repeat(np.arange(n), world.sessions)})
    ended = world.end <= world.watched
    return {
        "course.harm": harm, "course.session": sessions,
        "course.follow_up": pl.DataFrame({"course_id": np.arange(n), "last_contact_day": world.watched.astype(int)}),
        "endpoint.end_event": pl.DataFrame({"course_id": np.flatnonzero(ended), "day": world.end[ended].astype(int)}),
        "cohort.course": pl.DataFrame({"course_id": np.arange(n), "patient_id": world.patient,
                                       "stratum": np.array(PRODUCTS)[world.product]}),
    }  # fmt: skip
