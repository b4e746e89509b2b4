"""A world in which boosters are given because the benefit fades, and in which their true effect is known.

Pain is seen every 91 days, or some days before or after, with error. Who hurts more, and more than before, is boosted
more often, is replaced more often and stays away more often: measured values only, so that the truth can be had from
what was measured, unless a switch breaks that. The same noise replayed with the booster forced, or withheld, gives what
would have happened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

STAGES = ("early", "moderate", "bone_on_bone")
GRADES = ("2", "3", "4")
STEP_DAY = 91
LAST = 8
# Improvement of KOOS pain that counts as response: definition KOOS-pain-physio of the catalogue.
RESPONSE_POINTS = 15.0
# Worsening of pain since the decision that counts as loss: rule L5 of the catalogue.
LOSS_POINTS = 12.68
DEFINITION = "KOOS-pain-physio"
CUT_DAY = 800
_SHARES = (0.40, 0.35, 0.25)
_BASE, _RESPONSE, _DECAY = (58.0, 61.0, 64.0), (30.0, 22.0, 10.0), (0.03, 0.06, 0.12)
# What a booster gives 0, 3, ... 24 months after it, as a share of its full effect.
_GAIN = np.array([0.0, 0.6, 1.0, 0.9, 0.7, 0.5, 0.3, 0.1, 0.0])
_AR, _AR_SD, _ERROR_SD = 0.6, 7.0, 6.0


@dataclass(frozen=True)
class Scenario:
    """What is true, and what makes it hard to see.

    Attributes
    ----------
    name
        For tables.
    effect
        Points of pain that a booster takes away at its peak, by stage; negative is harm.
    booster
        Logit of being boosted: intercept, pain above 45, pain above that of the last visit, bone-on-bone, body-mass
        index above 28, cost in the way.
    dropout
        Logit of never coming again: intercept, pain above 45, age above 60.
    replaced
        Logit of replacement within three months: intercept, pain above 45, bone-on-bone, age above 60.
    cost_share
        Share of patients for whom cost is in the way.
    deterministic
        Boosted exactly when pain is above 58: no comparison is possible (positivity broken).
    unmeasured
        Points by which a trait nobody records worsens later pain, and logits by which it makes a booster likelier.
    delay_day
        First and last day after the visit on which a booster that was decided on is given; who is replaced before that
        day gets none.
    missed
        Probability that a visit is missed although the patient comes again.
    jitter_day
        Most days by which a visit comes early or late; at most 18, so that the decisions that the data cut leaves time
        for are those of the truth.
    """

    name: str
    effect: tuple[float, float, float]
    booster: tuple[float, ...] = (-1.6, 0.05, 0.04, -0.25, 0.02, 0.0)
    dropout: tuple[float, float, float] = (-3.6, 0.015, 0.02)
    replaced: tuple[float, float, float, float] = (-5.2, 0.06, 0.9, 0.03)
    cost_share: float = 0.3
    deterministic: bool = False
    unmeasured: tuple[float, float] = (0.0, 0.0)
    delay_day: tuple[int, int] = (1, 28)
    missed: float = 0.08
    jitter_day: int = 0


SCENARIOS = (
    Scenario("no effect", (0.0, 0.0, 0.0)),
    Scenario("early and moderate only", (15.0, 10.0, 0.0)),
    Scenario("harm", (-8.0, -8.0, -8.0)),
    Scenario(
        "strong confounding, cost barrier, informative dropout",
        (15.0, 10.0, 2.0),
        booster=(-1.9, 0.09, 0.06, -0.25, 0.02, -1.2),
        dropout=(-3.6, 0.045, 0.02),
    ),
)
# Visits come up to 18 days early or late: nothing stands on a grid.
JITTERED = replace(SCENARIOS[3], name=f"{SCENARIOS[3].name}; visits off the grid", jitter_day=18)
NO_OVERLAP = Scenario("positivity broken", (15.0, 10.0, 2.0), deterministic=True)
UNMEASURED = Scenario("unmeasured confounding", (15.0, 10.0, 2.0), unmeasured=(8.0, 1.2))


@dataclass(frozen=True)
class World:
    """Patients of one scenario; n patients, visits 0 to 8.

    Attributes
    ----------
    stage, age, bmi, cost
        Shape (n,).
    pain
        As measured, 0 (best) to 100 (worst), shape (n, 9).
    boosted_at
        Visit at which the booster was given, 99 if never, shape (n,).
    end_after
        Visit after which the target was replaced, 99 if never, shape (n,).
    gone_after
        Last visit attended, 99 if all, shape (n,).
    seen
        Whether a visit took place, shape (n, 9).
    delay, end_offset
        Days from the visit to a booster, and to a replacement, that follow it, shape (n,); a replacement comes before
        the next visit, whose distance the offset is a share of.
    day
        Day of each visit, shape (n, 9).
    """

    scenario: Scenario
    stage: Ints
    age: Floats
    bmi: Floats
    cost: Bools
    pain: Floats
    boosted_at: Ints
    end_after: Ints
    gone_after: Ints
    seen: Bools
    delay: Ints
    end_offset: Ints
    day: Ints
    noise: dict[str, Floats]


def make(scenario: Scenario, patients: int, seed: int) -> World:
    """Draw `patients` of `scenario`; same seed, same patients."""
    rng = np.random.default_rng(seed)
    n, size = patients, (patients, LAST + 1)
    stage = rng.choice(3, n, p=_SHARES)
    u = rng.normal(size=n)
    ar = np.empty(size)
    ar[:, 0] = rng.normal(0, _AR_SD, n)
    for k in range(1, LAST + 1):
        ar[:, k] = _AR * ar[:, k - 1] + rng.normal(0, _AR_SD * np.sqrt(1 - _AR**2), n)
    noise = {
        "base": rng.normal(np.array(_BASE)[stage], 8),
        "response": rng.normal(np.array(_RESPONSE)[stage], 8),
        "decay": np.array(_DECAY)[stage] * rng.lognormal(0, 0.3, n),
        "wander": ar + rng.normal(0, _ERROR_SD, size),
        "u": u,
        "u_boost": rng.random(size),
        "u_end": rng.random(size),
        "u_gone": rng.random(size),
        "u_missed": rng.random(size),
    }
    low, high = scenario.delay_day
    world = World(
        scenario, stage, np.clip(rng.normal(62, 9, n), 35, 88), np.clip(rng.normal(28, 4, n), 18, 45),
        rng.random(n) < scenario.cost_share, np.empty(size), np.full(n, 99), np.full(n, 99), np.full(n, 99),
        np.ones(size, dtype=bool), rng.integers(low, high + 1, n), rng.integers(1, STEP_DAY, n),
        np.broadcast_to(STEP_DAY * np.arange(LAST + 1), size), noise,
    )  # fmt: skip
    if scenario.jitter_day:
        early = rng.integers(-scenario.jitter_day, scenario.jitter_day + 1, size)
        early[:, 0] = 0
        world = replace(world, day=world.day + early)
    return _live(world)


def _pain(world: World, k: int, boosted_at: Ints, day: Ints | None = None) -> Floats:
    """Return pain at visit `k` with its noise, on the day of the visit or on `day` (n,)."""
    noise, when = world.noise, world.day[:, k] if day is None else day
    steps = when / STEP_DAY
    shape = np.where(steps < 2, steps / 2, np.exp(-noise["decay"] * 3.0 * np.maximum(steps - 2, 0)))
    given = world.day[np.arange(len(when)), np.minimum(boosted_at, LAST)]
    gain = np.interp((when - given) / STEP_DAY, np.arange(len(_GAIN)), _GAIN)
    gain = np.where(boosted_at <= k, gain, 0.0) * np.array(world.scenario.effect)[world.stage]
    trait = world.scenario.unmeasured[0] * noise["u"] * (k > 0)
    pain = noise["base"] - noise["response"] * shape + noise["wander"][:, k] - gain + trait
    return np.asarray(np.round(np.clip(pain, 0, 100), 1))


def _live(world: World) -> World:
    s, n = world.scenario, len(world.stage)
    pain = np.empty((n, LAST + 1))
    seen = np.ones((n, LAST + 1), dtype=bool)
    boosted, end, gone = (np.full(n, 99) for _ in range(3))
    before = np.zeros(n)
    for k in range(LAST + 1):
        pain[:, k] = _pain(world, k, boosted)
        there = (end >= k) & (gone >= k)
        seen[:, k] = there & ((k == 0) | (world.noise["u_missed"][:, k] >= s.missed))
        ends = (end == 99) & (world.noise["u_end"][:, k] < _end_chance(world, pain[:, k]))
        if k >= 1:
            asked = seen[:, k] & (boosted == 99) & ~met(pain[:, 0], pain[:, k])
            given = asked & (world.noise["u_boost"][:, k] < _booster_chance(world, pain[:, k], before))
            # Who is replaced before the day of the booster gets none.
            boosted = np.where(given & ~(ends & (_until_end(world, k) <= world.delay)), k, boosted)
        end = np.where(ends, k, end)
        leaves = special.expit(s.dropout[0] + s.dropout[1] * (pain[:, k] - 45) + s.dropout[2] * (world.age - 60))
        gone = np.where((gone == 99) & (k >= 1) & (world.noise["u_gone"][:, k] < leaves), k, gone)
        before = np.where(seen[:, k], pain[:, k], before)
    return replace(world, pain=pain, boosted_at=boosted, end_after=end, gone_after=gone, seen=seen)


def _booster_chance(world: World, now: Floats, before: Floats) -> Floats:
    """Return the chance of a booster from pain now and at the last visit that took place."""
    b = world.scenario.booster
    if world.scenario.deterministic:
        return (now > 58).astype(float)
    logit = b[0] + b[1] * (now - 45) + b[2] * (now - before) + b[3] * (world.stage == 2)
    logit = logit + b[4] * (world.bmi - 28) + b[5] * world.cost + world.scenario.unmeasured[1] * world.noise["u"]
    return np.asarray(special.expit(logit))


def _end_chance(world: World, now: Floats) -> Floats:
    r = world.scenario.replaced
    return np.asarray(special.expit(r[0] + r[1] * (now - 45) + r[2] * (world.stage == 2) + r[3] * (world.age - 60)))


def _until_end(world: World, k: int) -> Ints:
    """Return the days from visit `k` to a replacement that follows it, before the next visit, shape (n,)."""
    gap = world.day[:, k + 1] - world.day[:, k] if k < LAST else STEP_DAY
    return np.asarray(1 + (world.end_offset - 1) * (gap - 1) // (STEP_DAY - 1))


def end_day(world: World) -> Floats:
    """Return the day of replacement, between two visits; infinite if none by the data cut, shape (n,)."""
    day = np.full(len(world.stage), np.inf)
    for k in range(LAST + 1):
        day = np.where(world.end_after == k, world.day[:, k] + _until_end(world, k), day)
    return np.where(day <= CUT_DAY, day, np.inf)


def met(baseline: Floats, now: Floats) -> Bools:
    """Return whether pain `now` meets the definition; shapes as given. Pain has one decimal, and ties count."""
    return np.asarray(np.round(baseline - now, 1) >= RESPONSE_POINTS)


def eligible(world: World, k: int) -> Bools:
    """Return who could be decided on at visit `k`: there, without response, not boosted before; shape (n,)."""
    return np.asarray(world.seen[:, k] & (world.boosted_at >= k) & ~met(world.pain[:, 0], world.pain[:, k]))


@dataclass(frozen=True)
class Truth:
    """Mean outcomes of all eligible decisions had each been boosted then and never again, and had none ever been.

    Attributes
    ----------
    improvement, response, ended
        Shape (3 stages, 2 strategies: boosted, waiting; visits 0 to 4 after the decision): mean improvement of pain
        since the decision had nobody been replaced; share in response and not replaced; share replaced.
    lost
        Share seen worse by 12.68 points than at the decision at one of the visits so far, or replaced; same shape.
    """

    improvement: Floats
    response: Floats
    ended: Floats
    lost: Floats


def truth(scenario: Scenario, patients: int = 200_000, seed: int = 1, situation: str = "any") -> Truth:
    """Replay the world under both strategies from every eligible decision of it."""
    world = make(scenario, patients, seed)
    total = np.zeros((4, 3, 2, 5))
    count = np.zeros(3)
    before = np.zeros(patients, dtype=bool)
    for k in range(1, LAST + 1):
        here = eligible(world, k)
        asked = here & (before if situation == "regression" else ~before if situation == "insufficient" else here)
        before |= met(world.pain[:, 0], world.pain[:, k]) & world.seen[:, k]
        if k + 4 > LAST:
            continue
        count += np.bincount(world.stage[asked], minlength=3)
        for arm, when in enumerate((k, 99)):
            worse = np.zeros(patients, dtype=bool)
            boosted, gone = np.full(patients, when), np.full(patients, np.inf)
            for h in range(5):
                # Ends follow what the visit shows on its own day; outcomes are those of the days after the decision.
                ends = world.noise["u_end"][:, k + h] < _end_chance(world, _pain(world, k + h, boosted))
                gone = np.where(ends, np.minimum(gone, world.day[:, k + h] + _until_end(world, k + h)), gone)
                now = world.day[:, k] + h * STEP_DAY
                ended = gone <= now
                pain = _pain(world, k + h, boosted, now)
                worse |= np.round(pain - world.pain[:, k], 1) >= LOSS_POINTS
                values = (world.pain[:, k] - pain, met(world.pain[:, 0], pain) & ~ended, ended, worse | ended)
                for q, value in enumerate(values):
                    total[q, :, arm, h] += np.bincount(world.stage[asked], value[asked], minlength=3)
    mean = total / count[:, None, None]
    return Truth(*mean)
