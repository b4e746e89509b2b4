"""Cumulative incidence by stratum, standardised over covariates: two cause-specific Cox models, stratified.

What is asked is the mean over a population of covariates of what each would have in a stratum. Its variance is that of
influences: how much a course moves the coefficients and the jumps of its stratum's hazards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.cox import CoxFit, RiskSets, likelihood_state, score_residuals
from analysis.numerics.survival_counts import as_labels

Floats = NDArray[np.float64]

# Courses of the population at a time: a block of them by all event times of a stratum is held in memory.
_BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class Hazard:
    """A fitted cause-specific hazard; `fit` is None where covariates have no coefficients: one hazard a stratum.

    `rows` are risk sets with the ties of Breslow, rows and strata in the caller's order for both hazards.
    """

    rows: RiskSets
    fit: CoxFit | None

    @property
    def coefficients(self) -> Floats:
        """Log hazard ratios (p,), zero without a fit."""
        return np.zeros(self.rows.x.shape[1]) if self.fit is None else self.fit.coefficients


@dataclass(frozen=True, slots=True)
class Standardised:
    """Incidences (S, D) by stratum and day, and the influence of each cluster on them, (clusters, S, D).

    The variance of any combination is the sum over clusters of its squared influence; the population is taken as given.
    """

    estimate: Floats
    influence: Floats

    def error(self, weights: Floats) -> Floats:
        """Standard error (D,) of a combination of the strata with weights (S,)."""
        return np.asarray(np.sqrt(np.square(np.einsum("s,csd->cd", weights, self.influence)).sum(axis=0)))


@dataclass(frozen=True, slots=True)
class _Jumps:
    """Jumps of a hazard in a stratum: times, sizes and sizes over the weight at risk (K,), mean covariates (K, p)."""

    time: Floats
    size: Floats
    per_risk: Floats
    mean: Floats
    at: slice


def standardised_incidence(
    event: Hazard, other: Hazard | None, population: ArrayLike, days: Floats, strata: list[str], cluster: ArrayLike
) -> Standardised:
    """Return the incidence of `event` by stratum and day, with `other` competing, over a population of covariates.

    Parameters
    ----------
    event, other
        Cause-specific hazards of the same rows; `other` is None where nothing competed.
    population
        Covariates (n, p) as they were fitted.
    days
        Shape (D,).
    strata
        Labels of the strata asked for.
    cluster
        Of each row, (rows,).

    References
    ----------
    Cheng, Fine & Wei 1998 Biometrics 54:219 (incidence from cause-specific Cox models); Lin & Wei 1989 JASA 84:1074.
    """
    x = np.asarray(population, dtype=float)
    code = as_labels(np.asarray(cluster), len(np.asarray(cluster)))[1]
    estimate = np.zeros((len(strata), len(days)))
    influence = np.zeros((int(code.max()) + 1, len(strata), len(days)))
    hazards = [event] if other is None else [event, other]
    for s, label in enumerate(strata):
        jumps = [_jumps(h, label) for h in hazards]
        for d, day in enumerate(days):
            value, slopes, direct = _mean(hazards, jumps, x, float(day))
            estimate[s, d] = value
            for h, j, slope, own in zip(hazards, jumps, slopes, direct, strict=True):
                each = _influence(h, j, slope, own)
                influence[:, s, d] += np.bincount(code[h.rows.kept], each, len(influence))
    return Standardised(estimate, influence)


def _jumps(hazard: Hazard, label: str) -> _Jumps:
    rows, state = hazard.rows, likelihood_state(hazard.rows, hazard.coefficients)
    mine = np.flatnonzero(rows.stratum == label)
    at = slice(int(mine[0]), int(mine[-1]) + 1) if len(mine) else slice(0, 0)
    size, per_risk = state.a[0][at], state.b[0][at]
    # What all at risk have in the mean, from totals over events: d x S1 / S0.
    mean = (state.s1 * (state.b[0] / np.maximum(state.a[0], 1e-300))[:, None])[at]
    return _Jumps(rows.time[at], size, per_risk, mean, at)


def _mean(
    hazards: list[Hazard], jumps: list[_Jumps], x: Floats, day: float
) -> tuple[float, list[Floats], list[Floats]]:
    """Return the mean incidence by `day`, and by hazard its slopes by the jumps (K,) and by the coefficients (p,)."""
    first, rest = jumps[0], jumps[1:]
    until = [int(np.searchsorted(j.time, day, side="right")) for j in jumps]
    k = until[0]
    slopes = [np.zeros(len(j.time)) for j in jumps]
    direct = [np.zeros(x.shape[1]) for _ in jumps]
    value, n = 0.0, len(x)
    size = first.size[:k]
    before = np.cumsum(size) - size
    # The other hazard just before each event of the first: on one day, the event came first.
    under = [np.append(0.0, np.cumsum(j.size))[np.searchsorted(j.time, first.time[:k], side="left")] for j in rest]
    for start in range(0, n, _BLOCK):
        part = x[start : start + _BLOCK] - hazards[0].rows.center
        risk = [np.exp(part @ h.coefficients)[:, None] for h in hazards]
        free = np.exp(-risk[0] * before - sum(r * u for r, u in zip(risk[1:], under, strict=True)))
        each = free * risk[0] * size
        done = np.cumsum(each, axis=1)
        total = done[:, -1:] if k else np.zeros((len(part), 1))
        value += float(total.sum())
        slopes[0][:k] += (risk[0] * (free - (total - done))).sum(axis=0)
        direct[0] += part.T @ (each * (1 - risk[0] * before)).sum(axis=1)
        for i, (r, u) in enumerate(zip(risk[1:], under, strict=True), 1):
            # A competing jump takes from all that comes on its day or later.
            through = np.hstack([np.zeros((len(part), 1)), done])
            later = np.searchsorted(first.time[:k], jumps[i].time[: until[i]], side="right")
            slopes[i][: until[i]] -= (r * (total - through[:, later])).sum(axis=0)
            direct[i] -= part.T @ (each * r * u).sum(axis=1)
    return value / n, [s / n for s in slopes], [d / n for d in direct]


def _influence(hazard: Hazard, jumps: _Jumps, slope: Floats, direct: Floats) -> Floats:
    """Return what each row moves an estimate with these slopes by the jumps and by the coefficients, (rows,)."""
    rows, state = hazard.rows, likelihood_state(hazard.rows, hazard.coefficients)
    increments = np.zeros((len(rows.time), 1))
    increments[jumps.at, 0] = slope * jumps.per_risk
    each = -rows.weight * state.risk * rows.exposure(increments)[:, 0]
    own = np.zeros(len(rows.time))
    own[jumps.at] = slope * jumps.per_risk / np.maximum(jumps.size, 1e-300)
    each[rows.dead] += rows.weight[rows.dead] * own[rows.dead_at]
    if hazard.fit is not None:
        # Jumps fall as coefficients rise: by the mean covariates of those at risk.
        along = direct - (slope * jumps.size) @ jumps.mean
        residuals = rows.weight[:, None] * score_residuals(rows, state)[1]
        each = each + residuals @ hazard.fit.covariance @ along
    return each
