"""Proportional hazards for interval-censored times, absolute and standardised risk, contrasts and tests.

The cumulative hazard is ``H0(t) exp(x' beta)``, log H0 a natural cubic spline of log t (Royston & Parmar 2002 Stat Med
21:2175) or H0 piecewise linear, one for each stratum. Predictions and tests serve `interval_aft` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from analysis.interval import IntervalData
from analysis.interval_likelihood import (
    EXTREME,
    Distribution,
    Floats,
    IntervalFit,
    Ints,
    Linear,
    Sample,
    Term,
    checked,
    estimate,
    middles,
)


@dataclass(frozen=True, slots=True)
class LogLinear:
    """``log(design @ theta)``, design (k, q)."""

    design: Floats

    def value(self, theta: Floats) -> Floats:
        """Return it, (k,); nan where the spline falls, which the line search then refuses."""
        return np.log(self.design @ theta)

    def jacobian(self, theta: Floats) -> Floats:
        """Return its derivatives, (k, q)."""
        return np.asarray(self.design / (self.design @ theta)[:, None])

    def bend(self, theta: Floats, weight: Floats) -> Floats:
        """Return the weighted second derivatives, (q, q)."""
        rows = self.jacobian(theta)
        return -rows.T @ (weight[:, None] * rows)


@dataclass(frozen=True, slots=True)
class LogHazardSum:
    """``log(sum_j exposure_j exp(alpha_j)) + x' beta``, exposure (k, m) time spent in each piece, x (k, p)."""

    exposure: Floats
    x: Floats

    def value(self, theta: Floats) -> Floats:
        """Return it, (k,)."""
        pieces = self.exposure.shape[1]
        return np.asarray(np.log(self.exposure @ np.exp(theta[:pieces])) + self.x @ theta[pieces:])

    def jacobian(self, theta: Floats) -> Floats:
        """Return the share of each piece and x, (k, m + p)."""
        part = self.exposure * np.exp(theta[: self.exposure.shape[1]])
        return np.hstack([part / part.sum(axis=1, keepdims=True), self.x])

    def bend(self, theta: Floats, weight: Floats) -> Floats:
        """Return the weighted second derivatives, (m + p, m + p)."""
        share = self.jacobian(theta)
        share[:, self.exposure.shape[1] :] = 0.0
        return np.asarray(np.diag(weight @ share) - share.T @ (weight[:, None] * share))


@dataclass(frozen=True, slots=True)
class LogShare:
    """``log(t h0(t) / H0(t))``: log hazard of the piece (one-hot, (k, q)) plus log t (k,) less the log of H0."""

    piece: Floats
    log_time: Floats
    total: LogHazardSum

    def value(self, theta: Floats) -> Floats:
        """Return it, (k,)."""
        return np.asarray(self.piece @ theta + self.log_time - self.total.value(theta))

    def jacobian(self, theta: Floats) -> Floats:
        """Return its derivatives, (k, q)."""
        return np.asarray(self.piece - self.total.jacobian(theta))

    def bend(self, theta: Floats, weight: Floats) -> Floats:
        """Return the weighted second derivatives, (q, q)."""
        return -self.total.bend(theta, weight)


@dataclass(frozen=True, slots=True)
class SplineBaseline:
    """Natural cubic spline of log time with K knots in units of time, the boundary ones included.

    ``log H0 = gamma0 + gamma1 x + sum_j gamma_(j+1) v_j(x)``, x = log t, linear outside the boundary knots.
    Two knots make a Weibull model.
    """

    knots: tuple[float, ...]

    def names(self) -> list[str]:
        """Return gamma0 ... gamma(K-1)."""
        return [f"gamma{j}" for j in range(len(self.knots))]

    def start(self, rate: float) -> Floats:
        """Return a constant hazard, (K,)."""
        return np.concatenate([[np.log(rate), 1.0], np.zeros(len(self.knots) - 2)])

    def basis(self, time: Floats, order: int = 0) -> Floats:
        """Return (1, x, v_1, ...) or, for order 1 and 2, its derivatives with respect to x = log t: (k, K)."""
        x, knots = np.log(time)[:, None], np.log(self.knots)
        weight = (knots[-1] - knots) / (knots[-1] - knots[0])
        power, factor = 3 - order, (1.0, 3.0, 6.0)[order]
        cubes = factor * np.maximum(x - knots, 0.0) ** power
        inner = cubes - weight * cubes[:, :1] - (1 - weight) * cubes[:, -1:]
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        line = ([ones, x], [zeros, ones], [zeros, zeros])[order]
        return np.hstack([*line, inner[:, 1:-1]])

    def predictor(self, time: Floats, x: Floats, code: Ints, strata: int) -> Term:
        """Return log H at (k,) times."""
        return Linear(np.hstack([_by_stratum(self.basis(time), code, strata), x]))

    def log_slope(self, time: Floats, x: Floats, code: Ints, strata: int) -> Term:
        """Return log(d log H / d log t) at (k,) times."""
        return LogLinear(np.hstack([_by_stratum(self.basis(time, 1), code, strata), np.zeros_like(x)]))

    def lowest_slope(self, gamma: Floats) -> tuple[float, float]:
        """Return the smallest d log H0 / d log t, and its time: at a knot, or where the second derivative crosses 0."""
        knots = np.log(self.knots)
        second = self.basis(np.exp(knots), 2) @ gamma
        crossing = np.flatnonzero(second[:-1] * second[1:] < 0)
        along = second[crossing] / (second[crossing] - second[crossing + 1])
        time = np.exp(np.concatenate([knots, knots[crossing] + along * np.diff(knots)[crossing]]))
        slope = self.basis(time, 1) @ gamma
        return float(slope.min()), float(time[slope.argmin()])


@dataclass(frozen=True, slots=True)
class PiecewiseBaseline:
    """Constant hazard between m - 1 increasing cut points in units of time; m = 1 makes an exponential model."""

    cuts: tuple[float, ...]

    def names(self) -> list[str]:
        """Return a name for the log hazard of each piece."""
        edges = [0.0, *self.cuts, np.inf]
        return [f"log hazard ({a:g}, {b:g}]" for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def start(self, rate: float) -> Floats:
        """Return a constant hazard, (m,)."""
        return np.full(len(self.cuts) + 1, np.log(rate))

    def exposure(self, time: Floats) -> Floats:
        """Return time spent in each piece, (k, m)."""
        edges = np.array([0.0, *self.cuts, np.inf])
        return np.clip(time[:, None] - edges[:-1], 0.0, np.diff(edges))

    def predictor(self, time: Floats, x: Floats, code: Ints, strata: int) -> LogHazardSum:
        """Return log H at (k,) times."""
        return LogHazardSum(_by_stratum(self.exposure(time), code, strata), x)

    def log_slope(self, time: Floats, x: Floats, code: Ints, strata: int) -> Term:
        """Return log(d log H / d log t) at (k,) times."""
        # A time on a cut point belongs to the piece that ends there.
        piece = np.eye(len(self.cuts) + 1)[np.searchsorted(self.cuts, time, side="left")]
        none = np.zeros_like(x)
        total = self.predictor(time, none, code, strata)
        return LogShare(np.hstack([_by_stratum(piece, code, strata), none]), np.log(time), total)


@dataclass(frozen=True, slots=True)
class HazardModel:
    """Proportional hazards with one baseline for each of the named strata."""

    baseline: SplineBaseline | PiecewiseBaseline
    strata: tuple[str, ...]

    @property
    def distribution(self) -> Distribution:
        """Return 1 - exp(-exp(u))."""
        return EXTREME

    @property
    def first(self) -> int:
        """Return the number of baseline parameters, which come first, stratum by stratum."""
        return len(self.strata) * len(self.baseline.names())

    def predictor(self, time: Floats, x: Floats, code: Ints) -> Term:
        """Return log H at (k,) times."""
        return self.baseline.predictor(time, x, code, len(self.strata))

    def log_slope(self, time: Floats, x: Floats, code: Ints) -> Term:
        """Return log(d log H / d log t) at (k,) times."""
        return self.baseline.log_slope(time, x, code, len(self.strata))

    def start(self, middle: Floats, happened: Floats, count: Floats) -> Floats:
        """Return the same constant hazard everywhere, events by time at risk."""
        return np.tile(self.baseline.start(float(count @ happened / (count @ middle))), len(self.strata))

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return a name for each parameter."""
        marks = [""] if len(self.strata) == 1 else [f" [{label}]" for label in self.strata]
        return (*(name + mark for mark in marks for name in self.baseline.names()), *columns)


def _by_stratum(basis: Floats, code: Ints, strata: int) -> Floats:
    """Repeat the columns (k, m) once for each stratum, zero outside the row's own: (k, S m)."""
    if strata == 1:
        return basis
    spread = np.zeros((basis.shape[0], strata, basis.shape[1]))
    spread[np.arange(basis.shape[0]), code] = basis
    return spread.reshape(basis.shape[0], -1)


def spline_baseline(data: IntervalData, *, inner: int = 2) -> SplineBaseline:
    """Place `inner` knots at quantiles of the middles of event intervals, boundary knots at the first and last.

    Raises ValueError when there are too few distinct middles for as many knots.
    """
    return SplineBaseline(_quantiles(data, np.linspace(0.0, 1.0, inner + 2)))


def piecewise_baseline(data: IntervalData, *, pieces: int = 4) -> PiecewiseBaseline:
    """Place cut points at quantiles of the middles of event intervals, so that pieces hold about as many events.

    Raises ValueError when there are too few distinct middles for as many pieces.
    """
    return PiecewiseBaseline(_quantiles(data, np.linspace(0.0, 1.0, pieces + 1)[1:-1]))


def _quantiles(data: IntervalData, share: Floats) -> tuple[float, ...]:
    event, middle, _ = middles(data)
    time, code = np.unique(middle[event & (data.count > 0)], return_inverse=True)
    total = np.cumsum(np.bincount(code, data.count[event & (data.count > 0)]))
    points = time[np.searchsorted(total, share * total[-1] * (1 - 1e-12))] if time.size else time
    if np.unique(points).size < share.size:
        raise ValueError(f"{time.size} distinct event times cannot place {share.size} points: ask for fewer, or give them")
    return tuple(float(point) for point in points)


def fit_proportional_hazards(
    data: IntervalData,
    x: ArrayLike,
    *,
    baseline: SplineBaseline | PiecewiseBaseline | None = None,
    stratum: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> IntervalFit:
    """Fit proportional hazards by maximum likelihood.

    Parameters
    ----------
    data
        Counts of distinct observations, n rows: kind 0 event in (left, right], or exactly there where both are equal;
        kind 2 without the event up to left. Left 0 says that nothing is known before right.
    x
        Covariates (n, p); p may be 0.
    baseline
        Knots or cut points; by default `spline_baseline` with two inner knots.
    stratum
        Labels (n,) with a baseline each, all with the same knots or cut points.
    cluster
        Labels (n,), usually the patient, for the sandwich covariance; rows must then not mix patients.
    names
        Names of the p columns, for messages and tests.

    Raises
    ------
    ValueError
        As `checked`; when a parameter diverges (named); when the fitted cumulative hazard falls; without convergence.

    References
    ----------
    Royston & Parmar (2002) Statistics in Medicine 21:2175; Lindsey & Ryan (1998) Statistics in Medicine 17:219.
    """
    baseline = spline_baseline(data) if baseline is None else baseline
    points = baseline.knots if isinstance(baseline, SplineBaseline) else baseline.cuts
    if not (np.diff([0.0, *points]) > 0).all() or (isinstance(baseline, SplineBaseline) and len(points) < 2):
        raise ValueError(f"Knots (two or more) and cut points must be positive and increase, not {points}.")
    each = len(baseline.names())
    sample = checked(data, x, stratum, cluster, names, (each, 0))
    fit = estimate(HazardModel(baseline, tuple(str(label) for label in sample.strata)), sample)
    if isinstance(baseline, SplineBaseline):
        for label, gamma in zip(sample.strata, fit.parameters[: fit.model.first].reshape(-1, each), strict=True):
            slope, time = baseline.lowest_slope(gamma)
            if slope < 0:
                raise ValueError(f"The cumulative hazard of stratum {label} falls at {time:g}: use fewer knots.")
    return fit
