"""What each trial weighs in its arm, and what each record of its follow-up does.

References
----------
Robins, Hernán & Brumback 2000 Epidemiology 11:550; calibration: Deville & Särndal 1992 JASA 87:376.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.emulation import PRECISION, Chances, Estimand, Trials, Visits, between
from analysis.numerics.weighting import calibrate, logistic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A stratum is calibrated by itself where an arm has so many patients for each covariate: with fewer, to balance its
# chance differences costs more precision than it saves bias. From half as many on, to find no such weights means that
# nobody represents the others.
_PATIENTS_A_COVARIATE = 10
_PATIENTS_THAT_TELL = 5


def own_chance(visits: Visits, rows: Ints) -> Floats:
    """Return the probability of being treated at `rows` (r,) by a model of these rows alone, shape (r,)."""
    design = np.column_stack([np.ones(len(rows)), visits.x[rows]])
    prior = np.r_[1e-6, np.full(visits.x.shape[1], PRECISION)]
    event = visits.treated[rows].astype(float)
    return logistic(design, event, penalty=prior, tolerance=1e-6, covariance=False).fitted


class ArmWeights(NamedTuple):
    """Weights of the trials in the treated and in the waiting arm, each (t,), and what each was calibrated with.

    `tilts` are by arm: of all trials, then of each stratum; None where there was no calibration, empty where a stratum
    has nobody who could represent the others.
    """

    treated: Floats
    waiting: Floats
    tilts: tuple[tuple[Floats | None, ...], ...] = ()


def decision_weights(
    start: Ints, visits: Visits, chances: Chances, weight: Floats, begin: ArmWeights | None = None
) -> ArmWeights:
    """Return the weight of each trial in the treated and in the waiting arm.

    The inverse of the probability of the arm, calibrated so that in each arm the strata and covariates of the decision
    have the totals of all trials, within each stratum that has enough in the arm and overall, then stabilised by the
    share of the arm in the stratum. A trial not in an arm has the share alone: the weight of a clone that has not
    deviated yet.

    `weight` (n,) are case weights of the visits; they enter the shares, not the result. From the weights of the whole
    sample, `begin`, a resample finds its own sooner.
    """
    p, treated, mass = chances.treated[start], visits.treated[start], weight[start]
    strata, decided = visits.dummies_of(start), ~visits.ended_early[start]
    size = np.maximum(strata.T @ (mass * decided), 1e-300)
    share = np.clip(strata @ ((strata.T @ (mass * treated)) / size), 1e-9, 1 - 1e-9)
    sides = ((treated, p, share), (~treated & decided, 1 - p, 1 - share))
    arms: list[Floats] = []
    tilts: list[tuple[Floats | None, ...]] = []
    for side, (member, chance, part) in enumerate(sides):
        held = np.flatnonzero(member & (mass > 0))
        inverse = 1 / np.maximum(chance, 1e-9)
        known = begin.tilts[side] if begin and begin.tilts else None
        told, found = _raked(mass[held] * inverse[held], held, start, visits, mass * decided, known)
        inverse[held] = told / mass[held]
        arms.append(np.where(member, part * inverse, part))
        tilts.append(found)
    return ArmWeights(arms[0], arms[1], tuple(tilts))


def _raked(
    base: Floats, held: Ints, start: Ints, visits: Visits, mass: Floats, known: tuple[Floats | None, ...] | None
) -> tuple[Floats, tuple[Floats | None, ...]]:
    """Return `base`, the weights of the trials `held` (m,), calibrated to the totals of all trials, and the tilts.

    Within each stratum with enough patients in the arm for its covariates first, then overall: where every stratum was
    calibrated nothing is left to do. A stratum in which nobody represents the others is left out of what is overall:
    the rest would have to make good what is missing in it. A resample does with each stratum what the whole sample did.
    """
    stratum, x, w = visits.stratum[start], visits.x[start], base.copy()
    every = np.column_stack([visits.dummies_of(start), x])
    tilts: list[Floats | None] = []
    who = (visits.course if visits.patient is None else visits.patient)[start]
    lost = np.zeros(len(start), dtype=bool)
    for s in range(visits.n_strata):
        mine, here = np.flatnonzero(stratum[held] == s), stratum == s
        rows, begin = held[mine], known[1 + s] if known else None
        ratio = len(np.unique(who[rows])) / max(x.shape[1], 1)
        if begin is None if known else (len(rows) == 0 or ratio < _PATIENTS_THAT_TELL):
            tilts.append(None)
            continue
        told, tilt = base[mine], None
        if begin is None or len(begin):
            own, total = np.column_stack([np.ones(len(rows)), x[rows]]), np.r_[mass[here].sum(), mass[here] @ x[here]]
            told, tilt = calibrate(told, own, total, start=begin)
        if tilt is None:
            lost |= here
            tilts.append(np.empty(0))
        elif known or ratio >= _PATIENTS_A_COVARIATE:
            w[mine] = told
            tilts.append(tilt)
        else:
            tilts.append(None)
    kept = np.flatnonzero(~lost[held])
    w[kept], tilt = calibrate(
        w[kept], every[held[kept]], (mass * ~lost) @ every, start=known[0] if known else None
    )  # fmt: skip
    return w, (tilt, *tilts)


def weights(trials: Trials, chances: Chances, decision: ArmWeights, *, estimand: Estimand) -> Floats:
    """Return the weight of each follow-up record, shape (r,).

    The weight of the decision, from :func:`decision_weights`; times, per protocol, the inverse of the probability of no
    further booster before the record; times the inverse of the probability of having been seen again at each visit up
    to it.
    """
    first, before = trials.start[trials.trial], trials.row - 1
    log = between(chances.unseen, first - 1, before)
    if estimand == "per_protocol":
        log = log + between(chances.deviation, first, before)
    base = np.where(trials.arm == 1, decision[0][trials.trial], decision[1][trials.trial])
    return np.asarray(base * np.exp(log))
