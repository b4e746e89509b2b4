"""Hazard of an event that is seen at visits only: known to an interval, an end of the target to the day.

The hazard is constant within bands of time since the decision. An interval that spans several bands contributes what is
left of its survival over all of them, so that neither the day of the visit nor a midpoint is taken for the day of the
event, and courses seen rarely are not taken for courses that fared better.

References
----------
Finkelstein 1986 Biometrics 42:845 (interval-censored proportional hazards); Friedman 1982 Ann Stat 10:101 (pieces).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.arm_weights import ArmWeights, weights
from analysis.numerics.emulation import Chances, Estimand, Trials, Visits
from analysis.numerics.structural import Curves, Spells, spell_weights
from analysis.numerics.weighting import solve

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Exposure is counted in pieces of so many days: log-hazards stay near zero, where a weak prior does nothing.
_UNIT_DAY = 100.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Intervals between looks at a trial: free of the event at `left`, and with or without it at `right`.

    Attributes
    ----------
    visits
        Follow-up records up to the first with the event, r of them.
    ends
        Exact ends of the target before any such record, and the time after a competing death, e of them.
    trial, arm, left, right, event
        Of the visits, then of the ends, shape (r + e,); days since the decision.
    """

    visits: Trials
    ends: Spells
    trial: Ints
    arm: Ints
    left: Floats
    right: Floats
    event: Bools


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of bands that intervals span: design (p, q), days in pieces (p,), and the first piece of each (i,)."""

    design: Floats
    exposure: Floats
    first: Ints


@dataclass(frozen=True, slots=True)
class Hazard:
    """A fitted hazard: coefficients (q,), steps taken and whether the likelihood settled."""

    coefficients: Floats
    steps: int
    converged: bool


def watch(records: Trials, lost: Bools, ends: Spells) -> Watched:
    """Cut the follow-up of trials into intervals up to the first event.

    Parameters
    ----------
    records
        Follow-up records in order of trial and time, each trial in one arm.
    lost
        Whether a record shows the event, shape (r,).
    ends
        One interval from the decision to the last day: with an end on its day, or free of one.
        Free ones count where a death settled for good that there will be none.
    """
    trial, time = records.trial, records.time
    first = np.append(True, trial[1:] != trial[:-1]) if len(trial) else np.zeros(0, dtype=bool)
    left = np.where(first, 0.0, np.append(0.0, time[:-1])) if len(trial) else time
    before: Ints = np.cumsum(lost) - lost
    group = np.cumsum(first) - 1
    clear = before == before[first][group] if len(trial) else first
    kept = Trials(records.start, trial[clear], records.row[clear], records.arm[clear], time[clear])
    event = lost[clear]
    # The last look at each trial before its end, and whether it already showed the event.
    n = len(records.start)
    seen, gone = np.zeros((2, n)), np.zeros((2, n), dtype=bool)
    np.maximum.at(seen, (kept.arm, kept.trial), kept.time)
    np.logical_or.at(gone, (kept.arm, kept.trial), event)
    open_end = ~gone[ends.arm, ends.trial] & (ends.until > seen[ends.arm, ends.trial])
    ends = ends.at(open_end)
    return Watched(
        kept, ends, np.r_[kept.trial, ends.trial], np.r_[kept.arm, ends.arm],
        np.r_[left[clear], seen[ends.arm, ends.trial]], np.r_[kept.time, ends.until], np.r_[event, ends.event],
    )  # fmt: skip


def watched_weights(
    made: Watched, start: Ints, visits: Visits, chances: Chances, decision: ArmWeights, *, estimand: Estimand
) -> Floats:
    """Return the weights of the intervals: those of a record, and of an end, as elsewhere; shape (i,)."""
    of_visits = weights(made.visits, chances, decision, estimand=estimand)
    of_ends = spell_weights(made.ends, start, visits, chances, decision, estimand=estimand)
    return np.concatenate([of_visits, of_ends])


def pieces(made: Watched, start: Ints, visits: Visits, bounds: Floats, asked: int, *, interact: bool) -> Pieces:
    """Split intervals at the `bounds` of bands; the effect has a value in each of the first `asked` bands.

    Log-hazards are additive: stratum, band, treatment by stratum, treatment by band, covariates at the decision.
    """
    last = np.minimum(made.right, bounds[-1])
    inside = np.minimum(last[:, None], bounds[1:]) - np.maximum(made.left[:, None], bounds[:-1])
    interval, band = np.nonzero(inside > 0)
    row = start[made.trial[interval]]
    design = _design(
        band, made.arm[interval].astype(float), visits.dummies[row], visits.x[row], len(bounds) - 1, asked, interact
    )
    first = np.flatnonzero(np.append(True, interval[1:] != interval[:-1])) if len(interval) else interval
    return Pieces(design, inside[interval, band] / _UNIT_DAY, first)


def fit_hazard(
    made: Pieces, event: Bools, weight: Floats, penalty: Floats, start: Floats | None = None, *,
    tolerance: float = 1e-9, max_steps: int = 50,
) -> Hazard:  # fmt: skip
    """Maximise the weighted likelihood of intervals, log(1 - exp(-mu)) with the event and -mu without, by scoring.

    Parameters
    ----------
    event, weight
        Of the intervals, shape (i,).
    penalty
        Precision of a normal prior at zero, shape (q,).
    start
        Coefficients to start from, e.g. those of the whole sample in a resample.

    Raises
    ------
    ValueError
        When nothing was watched.
    """
    if not len(made.first) or not weight.sum() > 0:
        raise ValueError("No course was watched: there is no hazard to fit.")
    made, y, weight = _drawn(made, event.astype(float), weight)
    b = np.zeros(made.design.shape[1]) if start is None else start
    part, mu = _expected(made, b)
    value = _likelihood(mu, y, weight, penalty, b)
    step, done = 0, False
    while step < max_steps and not done:
        step += 1
        gradient = np.add.reduceat(part[:, None] * made.design, made.first, axis=0)
        p = -np.expm1(-mu)
        score = gradient.T @ (weight * (y / p - 1)) - penalty * b
        information = gradient.T @ ((weight * (1 - p) / p)[:, None] * gradient) + np.diag(penalty)
        move = solve(information, score)
        for _ in range(20):
            part, mu = _expected(made, b + move)
            new = _likelihood(mu, y, weight, penalty, b + move)
            if new >= value - 1e-9 * (abs(value) + 0.1):
                break
            move = move / 2
        done = abs(new - value) <= tolerance * (abs(value) + 0.1)
        b, value = b + move, new
    return Hazard(b, step, done)


def standardise_hazard(
    fit: Hazard,
    start: Ints,
    visits: Visits,
    weight: Floats,
    bounds: Floats,
    asked: int,
    days: Floats,
    *,
    interact: bool,
) -> Curves:
    """Return the risk of the event by each of `days` (d,) over all trials of a stratum, by strategy."""
    strata, x, mass = visits.dummies[start], visits.x[start], weight[start]
    s, p, bands = strata.shape[1], x.shape[1], len(bounds) - 1
    size = np.maximum(strata.T @ mass, 1e-300)
    exposure = np.maximum(np.minimum(days, bounds[1:, None]) - bounds[:-1, None], 0) / _UNIT_DAY
    b = fit.coefficients
    of_x = b[-p * (1 + interact) :] if p else np.zeros(0)
    arms = []
    for arm in (1.0, 0.0):
        rows = _design(
            np.tile(np.arange(bands), s), np.full(s * bands, arm), np.repeat(np.eye(s), bands, axis=0),
            np.zeros((s * bands, p)), bands, asked, interact,
        )  # fmt: skip
        total = np.exp(np.minimum(rows @ b, 50)).reshape(s, bands) @ exposure
        own = x @ of_x[:p] + (arm * (x @ of_x[p:]) if interact else 0.0)
        free = np.exp(-np.exp(np.minimum(own, 50))[:, None] * total[visits.stratum[start]])
        value = (strata.T @ (mass[:, None] * (1 - free))) / size[:, None]
        value[strata.T @ mass <= 0] = np.nan
        arms.append(np.asarray(value))
    return Curves(arms[0], arms[1])


def _drawn(made: Pieces, y: Floats, weight: Floats) -> tuple[Pieces, Floats, Floats]:
    """Leave out intervals without weight: in a resample those of the third of patients that was not drawn."""
    held = weight > 0
    if held.all():
        return made, y, weight
    length = np.diff(np.append(made.first, len(made.exposure)))
    pieces_held, length = np.repeat(held, length), length[held]
    part = Pieces(made.design[pieces_held], made.exposure[pieces_held], np.cumsum(length) - length)
    return part, y[held], weight[held]


def _expected(made: Pieces, b: Floats) -> tuple[Floats, Floats]:
    """Return the cumulative hazard of each piece (p,) and of each interval (i,)."""
    part = made.exposure * np.exp(np.minimum(made.design @ b, 50))
    return part, np.maximum(np.add.reduceat(part, made.first), 1e-12)


def _likelihood(mu: Floats, y: Floats, weight: Floats, penalty: Floats, b: Floats) -> float:
    return float(weight @ np.where(y > 0, np.log(-np.expm1(-mu)), -mu) - 0.5 * penalty @ b**2)


def _design(band: Ints, arm: Floats, strata: Floats, x: Floats, bands: int, asked: int, interact: bool) -> Floats:
    later = (band[:, None] == np.arange(1, bands)).astype(float)
    # Beyond the last day asked for the effect is that of the last band before it.
    effect = np.minimum(band, asked - 1)[:, None] == np.arange(1, asked)
    parts = [strata, later, strata * arm[:, None]]
    parts += [
        (strata[:, :, None] * columns[:, None, :]).reshape(len(band), -1) for columns in (later, effect * arm[:, None])
    ]
    parts.append(x)
    if interact:
        parts.append(arm[:, None] * x)
    return np.column_stack(parts)
