"""Marginal structural models of an outcome after a decision: means or shares in actual time, and risks of an end.

Time is that of the visit, not of the nearest planned one: curves are linear between nodes, so that a visit nine months
after the decision informs the effect at six and at twelve. The effect begins at zero on the day of the decision.

References
----------
Robins, Hernán & Brumback 2000 Epidemiology 11:550. Standardisation: Hernán & Robins 2020, What If, chapters 12-15, 17.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.numerics.arm_weights import ArmWeights
from analysis.numerics.emulation import Chances, Design, Estimand, Trials, Visits, between, last_rows
from analysis.numerics.weighting import Linear, Logistic, linear, logistic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Family = Literal["mean", "share"]
# A weak prior on the logit scale: where nobody, or everybody, is in response a share stays inside 0 and 1.
_PRECISION = 0.05


@dataclass(frozen=True, slots=True)
class Curves:
    """Standardised outcomes of both strategies.

    Attributes
    ----------
    treated, waiting
        By stratum and day asked for, shape (s, d); nan where the stratum has no trial.
    """

    treated: Floats
    waiting: Floats


@dataclass(frozen=True, slots=True)
class OutcomeModel:
    """A fitted outcome model.

    Attributes
    ----------
    fit
        Coefficients in the order: curve while waiting by stratum (s × (k + 1)), effect by stratum (s × k), covariates
        at the decision (p), and for the g-formula covariates × treatment (p).
    nodes
        Days after the decision between which curves are linear, shape (k,).
    """

    fit: Linear | Logistic
    nodes: Floats


def hats(time: Floats, nodes: Floats) -> Floats:
    """Return the weights of linear interpolation at `time` (r,) between `nodes` (k,) in order, shape (r, k).

    Beyond the last node the curve stays; before the first it stays too.
    """
    time = np.clip(np.asarray(time, dtype=float), nodes[0], nodes[-1])
    right = np.clip(np.searchsorted(nodes, time, "left"), 1, len(nodes) - 1)
    share = (time - nodes[right - 1]) / (nodes[right] - nodes[right - 1])
    out = np.zeros((len(time), len(nodes)))
    rows = np.arange(len(time))
    out[rows, right - 1] = 1 - share
    out[rows, right] = share
    return out


def outcome_design(trials: Trials, visits: Visits, nodes: Floats, *, interact: bool) -> Floats:
    """Return the design of the outcome model for the follow-up records of `trials`, shape (r, q)."""
    first = trials.start[trials.trial]
    return _design(trials.time, trials.arm.astype(float), visits.dummies[first], visits.x[first], nodes, interact)


def outcome_model(
    design: Floats, nodes: Floats, outcome: Floats, weight: Floats, family: Family, start: Floats | None = None, *,
    strata: int = 0,
) -> OutcomeModel:  # fmt: skip
    """Fit the outcome (r,) of the records on `design` (r, q) with weights (r,); see :class:`OutcomeModel`.

    Of `strata` a record on the day of the decision is added that says that nothing has changed: where all visits fall
    on the nodes, nobody else tells that level, and it would run wild.
    """
    if family == "mean":
        penalty = np.zeros(design.shape[1])
        penalty[: strata * (len(nodes) + 1) : len(nodes) + 1] = 1.0
        return OutcomeModel(linear(design, outcome, weight, penalty), nodes)
    penalty = np.full(design.shape[1], _PRECISION)
    return OutcomeModel(
        logistic(design, outcome, weight, penalty=penalty, tolerance=1e-8, start=start, covariance=start is None), nodes
    )


def standardise(
    model: OutcomeModel, start: Ints, visits: Visits, weight: Floats, days: Floats, *, interact: bool,
    alive: tuple[Floats, Floats] | None = None,
) -> Curves:  # fmt: skip
    """Return the mean outcome over all trials of a stratum, had each been treated, and had none; by day.

    Parameters
    ----------
    start
        Rows at which the trials start, shape (t,).
    weight
        Case weights of the visits, shape (n,).
    days
        Days since the decision, shape (d,).
    alive
        Probability of no end by each day for each trial, treated and waiting, each (t, d): a share is of all trials,
        and a target that ended is not in response.
    """
    nodes = model.nodes
    stratum, strata, x, mass = visits.stratum[start], visits.dummies_of(start), visits.x[start], weight[start]
    s, k, p = strata.shape[1], len(nodes), x.shape[1]
    size = np.maximum(strata.T @ mass, 1e-300)
    b = model.fit.coefficients
    here = hats(days, np.r_[0.0, nodes])
    curve = b[: s * (k + 1)].reshape(s, k + 1) @ here.T
    effect = b[s * (k + 1) : s * (2 * k + 1)].reshape(s, k) @ here[:, 1:].T
    of_x = b[s * (2 * k + 1) : s * (2 * k + 1) + p]
    arms = []
    for i, arm in enumerate((1.0, 0.0)):
        own = x @ (of_x + arm * b[s * (2 * k + 1) + p :] if interact else of_x)
        level = curve + arm * effect
        if isinstance(model.fit, Linear):
            value = level + ((strata.T @ (mass * own)) / size)[:, None]
        else:
            share = special.expit(own[:, None] + level[stratum])
            share = share if alive is None else share * alive[i]
            value = (strata.T @ (mass[:, None] * share)) / size[:, None]
        value[strata.T @ mass <= 0] = np.nan
        arms.append(np.asarray(value))
    return Curves(arms[0], arms[1])


@dataclass(frozen=True, slots=True)
class Spells:
    """Intervals of follow-up after a decision, for the risk of an end.

    Attributes
    ----------
    trial, interval, arm
        Trial, number of the interval and arm of each record, shape (r,).
    event
        Whether the end came in the interval, shape (r,).
    last
        Last visit before the interval closed or the end came, shape (r,).
    early
        Whether the end came while the trial still stood in both arms, shape (r,): within the grace period, before a
        booster. It counts in both.
    until
        Days from the decision to the end, or to the close of the interval, shape (r,).
    bounds
        Days since the decision that bound the intervals, shape (m + 1,).
    """

    trial: Ints
    interval: Ints
    arm: Ints
    event: NDArray[np.bool_]
    last: Ints
    early: NDArray[np.bool_]
    until: Floats
    bounds: Floats

    def at(self, rows: NDArray[np.bool_]) -> Spells:
        """Return some of the intervals, `rows` of shape (r,)."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return Spells(**{name: value if name == "bounds" else value[rows] for name, value in held.items()})


def spells(
    visits: Visits, start: Ints, end: Floats, known: Floats, bounds: Floats, *, estimand: Estimand, design: Design,
    grace_day: float,
) -> Spells:  # fmt: skip
    """Cut the follow-up of the trials that begin at rows `start` (t,) into intervals.

    An interval counts when its trial was followed, in its arm, until the end of the target or to the last day of it.

    Parameters
    ----------
    end
        Day of the end by visit row, since the first session, infinite if none, shape (n,).
    known
        Day up to which it is known whether the target ended, shape (n,); infinite after a competing death.
    """
    zero = visits.zero[start]
    until_end, until_known = end[start] - zero, known[start] - zero
    one, two = next_boosters(visits, start)
    one, two = one - zero, two - zero
    treated = visits.treated[start]
    never, gone = np.full(len(start), np.inf), visits.ended_early[start]
    arms: list[tuple[NDArray[np.bool_], int, Floats]] = []
    if estimand == "intention_to_treat":
        arms = [(treated, 1, never), (~treated, 0, never)]
    elif design == "clone_censor":
        arms = [
            (np.ones(len(start), bool), 1, np.where(treated, two, np.where(gone, never, np.minimum(one, grace_day)))),
            (np.ones(len(start), bool), 0, one),
        ]
    else:
        arms = [(treated, 1, two), (~treated, 0, one)]
    key = visits.course * 1e6 + visits.day
    columns = []
    for mask, arm, censored in arms:
        trial = np.flatnonzero(mask)
        for m in range(len(bounds) - 1):
            low, high = bounds[m], bounds[m + 1]
            e, c, k = until_end[trial], censored[trial], until_known[trial]
            happened = (e > low) & (e <= high) & (e <= c) & (e <= k)
            free = (e > high) & (c >= high) & (k >= high)
            here = trial[happened | free]
            stop = np.minimum(until_end[here], high)
            early = gone[here]
            last = np.searchsorted(key, visits.course[start[here]] * 1e6 + zero[here] + stop, "left") - 1
            last = np.maximum(last, start[here])
            columns.append(
                (here, np.full(len(here), m), np.full(len(here), arm), happened[happened | free], last, early, stop)
            )
    joined = [np.concatenate(c) for c in zip(*columns, strict=True)]
    return Spells(
        joined[0].astype(np.int64), joined[1].astype(np.int64), joined[2].astype(np.int64), joined[3].astype(bool),
        joined[4].astype(np.int64), joined[5].astype(bool), joined[6], bounds,
    )  # fmt: skip


def spell_weights(
    spells: Spells,
    start: Ints,
    visits: Visits,
    chances: Chances,
    decision: ArmWeights,
    *,
    estimand: Estimand,
) -> Floats:
    """Return the weights of the spells (r,): of the decision, and of what followed up to the last visit before the end.

    An end within the grace period, before a booster, counts in both arms. Whoever waits stands for all who might have
    been boosted by then: the inverse probability of no booster by then. In the arm of the booster those boosted by then
    stand for all, by the inverse of the probability of a booster; the others have what is left. So it is after a later
    visit: a booster decided on there takes days, and whoever ended before that day had not been boosted yet, whatever
    was decided.
    """
    first, last = start[spells.trial], spells.last
    base = np.where(spells.arm == 1, decision[0][spells.trial], decision[1][spells.trial])
    delays = np.sort((visits.booster_day - visits.zero)[visits.treated])
    by_then = np.searchsorted(delays, spells.until, "right") / max(len(delays), 1)
    still = np.where(spells.arm == 1, 1 - by_then, 1.0) / (1 - np.minimum(chances.treated[first] * by_then, 0.99))
    base = base * np.where(spells.early, still, 1.0)
    # Who was last seen at visit k had to be seen again at the visits before it, and not be boosted at any up to it.
    log = np.where(last > first, between(chances.unseen, first - 1, np.maximum(last - 1, 0)), 0.0)
    if estimand == "per_protocol":
        log = log + between(chances.deviation, first, np.maximum(last - 1, first))
        chance = 1 - np.exp(-between(chances.deviation, np.maximum(last - 1, first), last))
        delays = np.sort((visits.booster_day - visits.zero)[~np.isnan(visits.booster_day)])
        since = visits.zero[first] + spells.until - visits.zero[last]
        log = log - np.log1p(-chance * np.searchsorted(delays, since, "right") / max(len(delays), 1))
    return np.asarray(base * np.exp(log))


def spell_design(spells: Spells, start: Ints, visits: Visits, *, interact: bool) -> Floats:
    """Return the design of the hazard: stratum, interval, effect by stratum and its trend, covariates; (r, q)."""
    first = start[spells.trial]
    return _hazard_design(
        spells.interval,
        spells.arm.astype(float),
        visits.dummies[first],
        visits.x[first],
        len(spells.bounds) - 1,
        interact,
    )


def end_free(
    fit: Logistic, start: Ints, visits: Visits, bounds: Floats, days: Floats, *, interact: bool
) -> tuple[Floats, Floats]:
    """Return the probability of no end by each of `days` (d,) for each trial, treated and waiting, each (t, d).

    Between the bounds of intervals the survival is linear.
    """
    strata, x = visits.dummies_of(start), visits.x[start]
    between_bounds = hats(days, bounds)
    arms = []
    for arm in (1.0, 0.0):
        free = [np.ones(len(start))]
        for m in range(len(bounds) - 1):
            rows = _hazard_design(
                np.full(len(start), m), np.full(len(start), arm), strata, x, len(bounds) - 1, interact
            )
            free.append(free[-1] * (1 - fit.predict(rows)))
        arms.append(np.column_stack(free) @ between_bounds.T)
    return arms[0], arms[1]


def standardise_risk(
    fit: Logistic, start: Ints, visits: Visits, weight: Floats, bounds: Floats, *, interact: bool
) -> Curves:
    """Return the cumulative risk of the end at each bound after 0 over all trials of a stratum, by strategy."""
    strata, mass = visits.dummies_of(start), weight[start]
    size = np.maximum(strata.T @ mass, 1e-300)
    arms = []
    for free in end_free(fit, start, visits, bounds, bounds[1:], interact=interact):
        value = (strata.T @ (mass[:, None] * (1 - free))) / size[:, None]
        value[strata.T @ mass <= 0] = np.nan
        arms.append(np.asarray(value))
    return Curves(arms[0], arms[1])


def _design(time: Floats, arm: Floats, strata: Floats, x: Floats, nodes: Floats, interact: bool) -> Floats:
    with_zero = hats(time, np.r_[0.0, nodes])
    curve = (strata[:, :, None] * with_zero[:, None, :]).reshape(len(time), -1)
    effect = (strata[:, :, None] * (arm[:, None] * with_zero[:, 1:])[:, None, :]).reshape(len(time), -1)
    parts = [curve, effect, x]
    if interact:
        parts.append(arm[:, None] * x)
    return np.column_stack(parts)


def _hazard_design(interval: Ints, arm: Floats, strata: Floats, x: Floats, m: int, interact: bool) -> Floats:
    later = (interval[:, None] == np.arange(1, m)).astype(float)
    # A treatment takes time to work: its effect by stratum, and a trend of it over the intervals.
    trend = arm * (interval / max(m - 1, 1) - 0.5)
    parts = [strata, later, strata * arm[:, None], trend[:, None], x]
    if interact:
        parts.append(arm[:, None] * x)
    return np.column_stack(parts)


def next_boosters(visits: Visits, start: Ints) -> tuple[Floats, Floats]:
    """Return the days of the first and second booster at or after each row of `start`, infinite if none."""
    given = np.flatnonzero(~np.isnan(visits.booster_day))
    last = last_rows(visits.course)

    def following(row: Ints) -> Ints:
        at = np.searchsorted(given, row)
        found = np.append(given, len(visits.day))[np.minimum(at, len(given))]
        return np.where(found <= last[start], found, -1)

    first = following(start)
    second = np.where(first >= 0, following(np.maximum(first, 0) + 1), -1)
    one, two = (np.where(r >= 0, visits.booster_day[np.maximum(r, 0)], np.inf) for r in (first, second))
    return one, two
