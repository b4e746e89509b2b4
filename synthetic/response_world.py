"""Courses whose response, loss and end are known to the moment, as the rows that reductions make of their visits.

For studies of bias and coverage over many samples: no files and no scores, only what visits can see of a known path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from synthetic.truth import OA, StageTruth
from synthetic.visits import schedule

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STAGES = tuple(OA.stages)
# Day and half width of the window of each planned visit after baseline.
VISITS = tuple((day, half) for _, day, half in schedule(OA.programme, ()) if day > 0)
# Responded by day RESPONSE; lost within AFTER days of being in response on day LANDMARK; in response on day HORIZON,
# and mean time up to it.
RESPONSE, LANDMARK, AFTER, HORIZON = 365.0, 365.0, 365.0, 730.0
_FOLLOW_UP = (60.0, 1461.0)
_BILATERAL = 0.16
_BANDS = np.array([91.0, 183.0, 365.0])


@dataclass(frozen=True)
class Scenario:
    """How courses go on and how they are looked at.

    Attributes
    ----------
    law
        ``renewal``: the law of the synthetic registry, where loss depends on the time since response; ``markov``: the
        intensities of the multi-state model, with returns.
    likeness
        Correlation of the normal scores behind the times of a patient's two targets.
    missed, dropout
        Probability that a visit is missed, and the monthly hazard of leaving, for those in response.
    informative
        By how much both are larger without response; one: unrelated to it.
    laws
        The law of each stage of ``STAGES``, for ``renewal``; its shares say who is drawn.
    visits
        Day and half width of the window of each planned visit.
    follow_up
        Days from the first session to the data cut, from and to, evenly.
    bilateral
        Share of patients with two targets.
    death_per_year
        Rate of death.
    """

    name: str
    law: str
    likeness: float = 0.5
    missed: float = 0.08
    dropout: float = 0.008
    informative: float = 1.0
    laws: tuple[StageTruth, ...] = tuple(OA.stages.values())
    visits: tuple[tuple[float, float], ...] = VISITS
    follow_up: tuple[float, float] = _FOLLOW_UP
    bilateral: float = _BILATERAL
    death_per_year: float = OA.death_per_year


SCENARIOS = (
    Scenario("renewal", "renewal"),
    Scenario("markov", "markov", likeness=0.0),
    Scenario("staying_away", "renewal", informative=2.0),
)

# Intensities a day of the Markov law by stage: response and loss by band of time since treatment, return, end a year.
_MARKOV = {
    "early": ((0.006, 0.007, 0.003, 0.001), (0.0002, 0.0008, 0.0014, 0.0012), 0.0004, 0.005),
    "moderate": ((0.003, 0.004, 0.002, 0.0006), (0.0004, 0.0014, 0.0022, 0.0018), 0.0003, 0.025),
    "bone_on_bone": ((0.001, 0.0016, 0.0008, 0.0003), (0.0006, 0.0024, 0.0034, 0.003), 0.0002, 0.09),
}


@dataclass(frozen=True)
class World:
    """Courses of a sample; arrays over courses, days since treatment.

    Attributes
    ----------
    patient, stage
        Shape (n,).
    switch
        Days at which response begins, is lost, returns, ...; infinite when no more; shape (n, k).
    end, death
        Day of the end of the target and of death, shape (n,).
    visit, seen
        Day of each planned visit and whether it took place, shape (n, v).
    watched
        Day up to which an end would be known, shape (n,).
    """

    patient: NDArray[np.int64]
    stage: NDArray[np.int64]
    switch: Floats
    end: Floats
    death: Floats
    visit: Floats
    seen: Bools
    watched: Floats

    def state(self, day: Floats) -> NDArray[np.int64]:
        """Return 0 waiting, 1 in response, 2 lost, 3 ended, 4 dead at `day` (n, t)."""
        made = (self.switch[:, None, :] <= day[..., None]).sum(axis=2)
        live = np.where(made == 0, 0, np.where(made % 2 == 1, 1, 2))
        over = (np.minimum(self.end, self.death)[:, None] <= day).astype(bool)
        return np.where(over, np.where(self.end <= self.death, 3, 4)[:, None], live)


def make(scenario: Scenario, courses: int, seed: int) -> World:
    """Draw about `courses` courses of one registry and look at them."""
    rng = np.random.default_rng(seed)
    patient = np.arange(round(courses / (1 + scenario.bilateral)))
    patient = np.sort(np.concatenate([patient, patient[rng.random(len(patient)) < scenario.bilateral]]))
    n = len(patient)
    share = np.array([law.share for law in scenario.laws])
    by_patient = rng.choice(len(STAGES), size=patient[-1] + 1, p=share / share.sum())
    stage = by_patient[patient]
    draw = _renewal if scenario.law == "renewal" else _markov
    switch, end = draw(scenario, patient, stage, rng)
    death = rng.exponential(365.25 / max(scenario.death_per_year, 1e-9), patient[-1] + 1)[patient]
    cut = rng.uniform(*scenario.follow_up, patient[-1] + 1)[patient]
    target, half = np.array(scenario.visits, dtype=float).T
    visit = np.maximum.accumulate(np.round(target + rng.normal(0, 0.45, (n, len(target))) * half), axis=1)
    visit += np.arange(len(target)) * (np.diff(visit, axis=1, prepend=0) <= 0)
    world = World(patient, stage, switch, end, death, visit, np.ones(visit.shape, dtype=bool), np.floor(cut))
    return _look(scenario, world, rng)


def _look(scenario: Scenario, world: World, rng: np.random.Generator) -> World:
    """Drop the visits that are missed, after leaving, or after the end; end the watch of those who left."""
    factor = np.where(world.state(world.visit) == 1, 1.0, scenario.informative)
    months = np.diff(world.visit, axis=1, prepend=0) / 30.4
    leaves = rng.random(world.visit.shape) < -np.expm1(-scenario.dropout * factor * months)
    missed = rng.random(world.visit.shape) < scenario.missed * factor
    stays = np.cumsum(leaves, axis=1) == 0
    last = np.minimum(np.minimum(world.end, world.death), world.watched)
    # Leaving happens after the visit before: until then, ends are known.
    before = np.concatenate([np.zeros((len(world.visit), 1)), world.visit[:, :-1]], axis=1)
    gone = np.where(leaves, before + rng.random(leaves.shape) * (world.visit - before), np.inf).min(axis=1)
    seen = stays & ~missed & (world.visit < np.ceil(last)[:, None]) & (world.visit <= world.watched[:, None])
    watched = np.minimum(world.watched, np.floor(gone))
    return World(world.patient, world.stage, world.switch, world.end, world.death, world.visit, seen, watched)


def _scores(scenario: Scenario, patient: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return a uniform a course whose normal scores are alike within a patient."""
    shared = rng.normal(size=patient[-1] + 1)[patient]
    own = rng.normal(size=len(patient))
    return np.asarray(special.ndtr(np.sqrt(scenario.likeness) * shared + np.sqrt(1 - scenario.likeness) * own))


def _renewal(
    scenario: Scenario, patient: NDArray[np.int64], stage: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    laws = scenario.laws

    def of(name: str) -> Floats:
        return np.array([getattr(law, name) for law in laws], dtype=float)[stage]

    def weibull(median: str, shape: str) -> Floats:
        u = np.clip(_scores(scenario, patient, rng), 1e-12, 1 - 1e-12)
        return np.asarray(of(median) * (np.log1p(-u) / -np.log(2)) ** (1 / of(shape)))

    responds = _scores(scenario, patient, rng) < of("respond")
    response = np.where(responds, weibull("response_median_day", "response_shape"), np.inf)
    keeps = _scores(scenario, patient, rng) < of("keep")
    loss = np.where(keeps, np.inf, response + 45 + weibull("loss_median_day", "loss_shape"))
    switch = np.stack([response, loss], axis=1)
    return switch, _ends(switch, of("end_per_year") / 365.25, rng)


def _markov(
    _: Scenario, patient: NDArray[np.int64], stage: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    n = len(patient)
    switch = np.full((n, 9), np.inf)
    rate = np.zeros(n)
    for s, name in enumerate(STAGES):
        here = stage == s
        respond, lose, back, end_a_year = _MARKOV[name]
        rate[here] = end_a_year / 365.25
        clock = np.zeros(int(here.sum()))
        for k in range(switch.shape[1]):
            bands = np.array(respond if k == 0 else lose if k % 2 else (back,) * 4)
            clock = _later(clock, bands, rng)
            switch[here, k] = clock
    switch[switch > 3000] = np.inf
    return switch, _ends(switch, rate, rng)


def _later(start: Floats, rates: Floats, rng: np.random.Generator) -> Floats:
    """Return the time of the next event after `start` under a hazard constant in bands, by inverting its integral."""
    knots = np.concatenate([[0.0], _BANDS, [1e6]])
    total = np.concatenate([[0.0], np.cumsum(np.diff(knots) * rates)])
    reached = np.interp(np.minimum(start, 1e6), knots, total) + rng.exponential(size=len(start))
    return np.asarray(np.interp(reached, total, knots, right=np.inf))


def _ends(switch: Floats, rate: Floats, rng: np.random.Generator) -> Floats:
    """Return the day of the end: at `rate` a day outside response, at a third of it in response."""
    left = rng.exponential(size=len(rate))
    end = np.full(len(rate), np.inf)
    start = np.zeros(len(rate))
    for k in range(switch.shape[1] + 1):
        here = rate / 3 if k % 2 else rate
        stop = switch[:, k] if k < switch.shape[1] else np.full(len(rate), np.inf)
        with np.errstate(invalid="ignore"):
            used = np.where(stop > start, here * (stop - start), 0.0)
        found = np.isinf(end) & (left < used)
        end[found] = start[found] + left[found] / here[found]
        left, start = left - np.where(np.isfinite(used), used, np.inf), np.minimum(stop, 1e9)
    return end


def truth(scenario: Scenario, courses: int = 2_000_000) -> dict[str, Floats]:
    """Return the estimands by stage, each (3,), from a registry so large that chance is about a thousandth.

    ``response``: has responded by day 365; ``shown``: a visit on that day or a planned one before it would have shown a
    response, had nobody missed any; ``loss``: of those in response on day LANDMARK, lost within AFTER days, ends
    competing; ``share``: in response on day HORIZON; ``mean_days``: mean days in response up to HORIZON; ``end``: ended
    by then, deaths competing.
    """
    world = make(scenario, courses, 987_654_321)
    over = np.minimum(world.end, world.death)
    first = world.switch[:, 0]
    begins, stops = world.switch[:, 0::2], world.switch[:, 1::2]
    if begins.shape[1] > stops.shape[1]:
        stops = np.concatenate([stops, np.full((len(stops), 1), np.inf)], axis=1)
    limit = np.minimum(over, HORIZON)[:, None]
    held = np.clip(np.minimum(stops, limit) - np.minimum(begins, limit), 0, None)
    at, then = (world.state(np.full((len(first), 1), d))[:, 0] for d in (LANDMARK, HORIZON))
    lost = np.where(stops > LANDMARK, stops, np.inf).min(axis=1)
    looks = np.where(world.visit < RESPONSE, world.visit, RESPONSE)
    values = {
        "response": (first <= RESPONSE) & (first < over),
        "shown": (world.state(looks) == 1).any(axis=1),
        "loss": (lost <= LANDMARK + AFTER) & (lost < over),
        "share": then == 1,
        "mean_days": np.where(np.isfinite(held), held, 0.0).sum(axis=1),
        "end": then == 3,
    }
    groups = [world.stage == s for s in range(len(STAGES))]
    return {
        name: np.array([v[g & (at == 1)].mean() if name == "loss" else v[g].mean() for g in groups])
        for name, v in values.items()
    }


def reductions(world: World) -> dict[str, pl.DataFrame]:
    """Return the rows of ``reduction.response_course``, ``panel_visit``, ``panel_watch`` and ``end_course``."""
    course, number = np.nonzero(world.seen)
    state = world.state(world.visit)[course, number]
    visits = pl.DataFrame({"course_id": course, "day": world.visit[course, number].astype(int), "now": state})
    over = np.ceil(np.minimum(world.end, world.death))
    ended = over <= world.watched
    who = pl.DataFrame(
        {
            "course_id": np.arange(len(world.stage)),
            "patient_id": world.patient,
            "stratum": np.array(STAGES)[world.stage],
            "watched_to_day": world.watched.astype(int),
            "ended_as": pl.Series(np.where(world.end <= world.death, "ended", "dead")),
            "over": np.where(ended, over, 0).astype(int),
            "is_over": ended,
        }
    ).with_columns(ended_as=pl.when("is_over").then("ended_as"))
    watch = who.with_columns(last_day=pl.when("is_over").then("over").otherwise("watched_to_day")).filter(
        (pl.col("watched_to_day") > 0) | pl.col("is_over")
    )
    responded = visits.filter(pl.col("now") == 1).group_by("course_id").agg(right=pl.col("day").min())
    judged = visits.join(responded, on="course_id", how="left").filter(
        pl.col("right").is_null() | (pl.col("day") < pl.col("right"))
    )
    left = judged.group_by("course_id").agg(left=pl.col("day").max())
    rows = watch.join(responded, on="course_id", how="left").join(left, on="course_id", how="left")
    rows = rows.with_columns(pl.col("left").fill_null(0)).filter(
        pl.col("right").is_not_null() | (pl.col("left") > 0) | pl.col("is_over")
    )
    response = rows.select(
        "course_id",
        "patient_id",
        "stratum",
        kind=pl.when(pl.col("right").is_not_null())
        .then(pl.lit("response"))
        .when("is_over")
        .then(pl.lit("end"))
        .otherwise(pl.lit("censored")),
        left_day="left",
        right_day=pl.coalesce(pl.col("right"), pl.when("is_over").then("over"), "watched_to_day"),
    )
    # A visit without response is without response yet as long as no visit before it has shown one.
    yet = pl.col("ever").fill_null(False)
    shown = (
        visits.sort("course_id", "day")
        .with_columns(ever=(pl.col("now") == 1).cum_max().over("course_id"))
        .with_columns(
            state=pl.when(pl.col("now") == 1)
            .then(pl.lit("in_response"))
            .when(yet)
            .then(pl.lit("response_lost"))
            .otherwise(pl.lit("no_response_yet"))
        )
    )
    panel = shown.join(who.select("course_id", "patient_id", "stratum"), on="course_id").select(
        "course_id",
        "patient_id",
        "stratum",
        "day",
        "state",
        open_state=pl.lit(None, dtype=pl.String),
    )
    return {
        "response_course": response,
        "panel_visit": panel,
        "panel_watch": watch.select("course_id", "patient_id", "stratum", "watched_to_day", "ended_as", "last_day"),
        "end_course": watch.select(
            "course_id", "patient_id", "stratum", day="last_day",
            cause=pl.col("ended_as").replace({"ended": "end", "dead": "death"}).fill_null("censored"),
        ),
    }  # fmt: skip
