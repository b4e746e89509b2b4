"""Likelihood of interval-censored times under a parametric model, its exact derivatives, and its certified maximum.

A model says that the event has happened by time t with probability G(u(t)), u a smooth function of the parameters.
A row contributes ``1 - G(u(left))``, ``G(u(right)) - G(u(left))`` or, for an exact time, ``g(u) du/dt``. Where u is
linear in the parameters and log g concave, so is the log-likelihood (Burridge 1981 JRSS B 43:41; Pratt 1981 JASA
76:103), and a point without slope is the maximum. The two models are in `interval_regression` and `interval_aft`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.interval import IntervalData

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Labels = NDArray[np.generic]

# A Newton step from here changes the log-likelihood by half of it; one more full step squares what is left.
_DECREMENT = 1e-10
# Information along a diverging direction falls without bound; data that only say little keep a share of it.
_COLLAPSE = 1e-6


@dataclass(frozen=True, slots=True)
class Distribution:
    """G on the scale of u, each function (k,) -> (k,): log(1 - G), log g, g'/g and the derivative of g'/g."""

    log_survival: Callable[[Floats], Floats]
    log_density: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    bend: Callable[[Floats], Floats]


EXTREME = Distribution(
    lambda u: -np.exp(u), lambda u: np.asarray(u - np.exp(u)), lambda u: -np.expm1(u), lambda u: -np.exp(u)
)


class Term(Protocol):
    """A quantity of k rows that depends on the parameters (q,)."""

    def value(self, theta: Floats) -> Floats:
        """Return it, (k,)."""

    def jacobian(self, theta: Floats) -> Floats:
        """Return its derivatives, (k, q)."""

    def bend(self, theta: Floats, weight: Floats) -> Floats:
        """Return the second derivatives summed over rows with weight (k,): (q, q)."""


class Model(Protocol):
    """What the likelihood needs to know; rows have times (k,) > 0, covariates (k, p) and stratum codes (k,)."""

    @property
    def distribution(self) -> Distribution:
        """Return G."""

    @property
    def first(self) -> int:
        """Return the position of the first coefficient among the parameters."""

    def predictor(self, time: Floats, x: Floats, code: Ints) -> Term:
        """Return u at each row's time."""

    def log_slope(self, time: Floats, x: Floats, code: Ints) -> Term:
        """Return log(du / d log t) at each row's time."""

    def start(self, middle: Floats, happened: Floats, count: Floats) -> Floats:
        """Return parameters without covariates from (k,) middles of intervals or last times, and event indicators."""

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return a name for each parameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Checked input: covariates x (n, p) named `columns`, stratum codes (n,) of `strata` (S,), clusters (n,) or None."""

    data: IntervalData
    x: Floats
    columns: tuple[str, ...]
    code: Ints
    strata: Labels
    cluster: Labels | None


@dataclass(frozen=True, slots=True)
class Linear:
    """``design @ theta``, design (k, q)."""

    design: Floats

    def value(self, theta: Floats) -> Floats:
        """Return it, (k,)."""
        return self.design @ theta

    def jacobian(self, theta: Floats) -> Floats:
        """Return the design, (k, q)."""
        return self.design

    def bend(self, theta: Floats, weight: Floats) -> Floats:
        """Return zeros (q, q)."""
        return np.zeros((theta.size, theta.size))


@dataclass(frozen=True, slots=True)
class Convergence:
    """Certificate of a maximum.

    Attributes
    ----------
    iterations : Newton steps taken.
    decrement : score' information^-1 score at the end; the log-likelihood lies within half of it of its maximum.
    smallest_eigenvalue : of the information scaled to a unit diagonal; positive at a strict maximum.
    """

    iterations: int
    decrement: float
    smallest_eigenvalue: float


@dataclass(frozen=True, slots=True, eq=False)
class IntervalFit:
    """Maximum likelihood estimate of q parameters, of them p coefficients of covariates.

    Attributes
    ----------
    model : what was fitted, with its knots, cut points or distribution.
    names, columns : of the q parameters and of the p covariates.
    parameters : (q,) in the order of `names`.
    covariance : (q, q) inverse of the observed information.
    robust_covariance : (q, q) sandwich of scores summed by cluster; None without clusters.
    loglik, loglik_null : at the estimate, and at the best fit without covariates (same strata).
    convergence : certificate of the maximum.
    n, n_events : observations and those with an event, counted.
    strata : (S,) labels in the order of their parameters.
    horizon : last time known to any row; there is no support for predictions after it.
    """

    model: Model
    names: tuple[str, ...]
    columns: tuple[str, ...]
    parameters: Floats
    covariance: Floats
    robust_covariance: Floats | None
    loglik: float
    loglik_null: float
    convergence: Convergence
    n: float
    n_events: float
    strata: Labels
    horizon: float

    @property
    def coefficients(self) -> Floats:
        """Coefficients of the covariates, (p,)."""
        return self.parameters[self.model.first : self.model.first + len(self.columns)]

    @property
    def variance(self) -> Floats:
        """Covariance (q, q) that inference uses: the sandwich when clusters were given."""
        return self.covariance if self.robust_covariance is None else self.robust_covariance

    @property
    def std_error(self) -> Floats:
        """Standard errors of all parameters, (q,), from `variance`."""
        return np.sqrt(np.diag(self.variance))


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Rows split once by what is known; c censored, b between, e exact, in the order of `position`.

    Attributes
    ----------
    distribution : G.
    censored : u at the last time of c rows without the event.
    low, high : u at both ends of b intervals; `unbounded` (b,) marks those with nothing known before the right end.
    exact, log_slope : u and log(du / d log t) at e exact times, whose logs are `log_time` (e,).
    weight : (c + b + e,) counts.
    position : (c + b + e,) index of the caller's rows.
    """

    distribution: Distribution
    censored: Term
    low: Term
    high: Term
    unbounded: NDArray[np.bool_]
    exact: Term
    log_slope: Term
    log_time: Floats
    weight: Floats
    position: Ints

    @property
    def splits(self) -> list[int]:
        """Where the second and the third kind of row begin."""
        return [self.weight.size - self.unbounded.size - self.log_time.size, self.weight.size - self.log_time.size]

    def log_probabilities(self, theta: Floats) -> list[Floats]:
        """Return the log-likelihood of each row, (c,), (b,), (e,); nan or -inf where the parameters forbid it."""
        g = self.distribution
        with np.errstate(all="ignore"):
            before = np.where(self.unbounded, 0.0, g.log_survival(self.low.value(theta)))
            # Exact in both tails, because log(1 - G) is: never the difference of two numbers near one.
            between = before + np.log(-np.expm1(g.log_survival(self.high.value(theta)) - before))
            exact = g.log_density(self.exact.value(theta)) + self.log_slope.value(theta) - self.log_time
            return [g.log_survival(self.censored.value(theta)), between, exact]

    def loglik(self, theta: Floats) -> float:
        """Return the log-likelihood, -inf where it is not defined."""
        with np.errstate(all="ignore"):
            total = float(self.weight @ np.concatenate(self.log_probabilities(theta)))
        return total if np.isfinite(total) else float("-inf")

    def derivatives(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return score rows (c + b + e, q), without their counts, and the Hessian (q, q)."""
        logs, weights = self.log_probabilities(theta), np.split(self.weight, self.splits)
        with np.errstate(all="ignore"):
            kinds = (self._censored, self._between, self._exact)
            parts = [kind(theta, log, weight) for kind, log, weight in zip(kinds, logs, weights, strict=True)]
        return np.concatenate([rows for rows, _ in parts]), np.sum([hessian for _, hessian in parts], axis=0)

    def _censored(self, theta: Floats, log: Floats, weight: Floats) -> tuple[Floats, Floats]:
        u, design = self.censored.value(theta), self.censored.jacobian(theta)
        hazard = np.exp(self.distribution.log_density(u) - log)
        second = -weight * hazard * (self.distribution.slope(u) + hazard)
        hessian = design.T @ (second[:, None] * design) + self.censored.bend(theta, -weight * hazard)
        return -hazard[:, None] * design, hessian

    def _between(self, theta: Floats, log: Floats, weight: Floats) -> tuple[Floats, Floats]:
        g, hessian = self.distribution, np.zeros((theta.size, theta.size))
        rows = np.zeros((log.size, theta.size))
        for term, sign in ((self.high, 1.0), (self.low, -1.0)):
            u, design = term.value(theta), term.jacobian(theta)
            share = sign * np.exp(g.log_density(u) - log)
            share = np.where(self.unbounded, 0.0, share) if sign < 0 else share
            second = weight * np.where(share != 0, share * g.slope(u), 0.0)
            hessian += design.T @ (second[:, None] * design) + term.bend(theta, weight * share)
            rows += share[:, None] * design
        # The score's outer product keeps digits that (g/P)^2 of each end alone would lose in a narrow interval.
        return rows, hessian - rows.T @ (weight[:, None] * rows)

    def _exact(self, theta: Floats, log: Floats, weight: Floats) -> tuple[Floats, Floats]:
        u, design = self.exact.value(theta), self.exact.jacobian(theta)
        slope, bend = self.distribution.slope(u), weight * self.distribution.bend(u)
        hessian = design.T @ (bend[:, None] * design) + self.exact.bend(theta, weight * slope)
        return slope[:, None] * design + self.log_slope.jacobian(theta), hessian + self.log_slope.bend(theta, weight)


def split_rows(model: Model, data: IntervalData, x: Floats, code: Ints) -> Likelihood:
    """Split rows by what is known of their times; rows never seen after time 0 say nothing and are left out."""
    event = (data.kind == 0) & np.isfinite(data.right) & (data.count > 0)
    exact = np.flatnonzero(event & (data.left == data.right))
    between = np.flatnonzero(event & (data.left < data.right))
    censored = np.flatnonzero(~event & (data.count > 0) & (data.left > 0))
    unbounded = data.left[between] <= 0

    def at(rows: Ints, time: Floats) -> tuple[Floats, Floats, Ints]:
        return time[rows], x[rows], code[rows]

    position = np.concatenate([censored, between, exact])
    return Likelihood(
        distribution=model.distribution,
        censored=model.predictor(*at(censored, data.left)),
        # Any time serves where nothing is known before the right end: its share is set to zero.
        low=model.predictor(np.where(unbounded, data.right[between], data.left[between]), x[between], code[between]),
        high=model.predictor(*at(between, data.right)),
        unbounded=unbounded,
        exact=model.predictor(*at(exact, data.right)),
        log_slope=model.log_slope(*at(exact, data.right)),
        log_time=np.log(data.right[exact]),
        weight=data.count[position],
        position=position,
    )


def maximise(
    rows: Likelihood, theta: Floats, names: Sequence[str], *, max_steps: int = 100
) -> tuple[Floats, Floats, Convergence]:
    """Newton steps with halving from theta (q,): estimate, inverse information (q, q), certificate.

    Raises
    ------
    ValueError
        When a parameter diverges (named), or the steps do not converge.
    """
    here, scale, reference, done = rows.loglik(theta), np.ones(theta.size), 0.0, False
    for iteration in range(max_steps + 1):
        scores, hessian = rows.derivatives(theta)
        score = rows.weight @ scores
        scale = scale if reference else np.sqrt(np.abs(np.diag(hessian))) + 1e-300
        values, vectors = np.linalg.eigh(-hessian / np.outer(scale, scale))
        if reference and values[0] < _COLLAPSE * reference:
            raise ValueError(_diverging(vectors[:, 0] / scale, names))
        reference = reference or max(float(values[0]), 0.0)
        # Curvature of the wrong sign, possible far from the maximum, is walked down instead of up.
        safe = np.maximum(np.abs(values), 1e-14 * np.abs(values).max())
        step = (vectors @ ((vectors.T @ (score / scale)) / safe)) / scale
        decrement = float(score @ step)
        if done and values[0] > 0:
            inverse = np.linalg.inv(-hessian / np.outer(scale, scale)) / np.outer(scale, scale)
            diagonal = np.sqrt(np.diag(-hessian))
            smallest = float(np.linalg.eigvalsh(-hessian / np.outer(diagonal, diagonal))[0])
            return theta, inverse, Convergence(iteration, decrement, smallest)
        done = decrement < _DECREMENT
        theta, here = _ascend(rows, theta, step, here)
    raise ValueError(f"No convergence after {max_steps} Newton steps: the last decrement is {decrement:.1e}.")


def _ascend(rows: Likelihood, theta: Floats, step: Floats, here: float) -> tuple[Floats, float]:
    """Halve the step until the log-likelihood does not fall by more than rounding."""
    for _ in range(60):
        value = rows.loglik(theta + step)
        if value >= here - 1e-13 * (1 + abs(here)):
            return theta + step, value
        step = step / 2
    return theta, here


def _diverging(direction: Floats, names: Sequence[str]) -> str:
    moving = np.abs(direction) > 0.3 * np.abs(direction).max()
    listed = ", ".join(name for name, moves in zip(names, moving, strict=True) if moves)
    return (
        f"The likelihood has no maximum: it rises for ever along {listed}, which separates rows with the event from "
        "rows without. Merge the levels or pieces in which nothing (or everything) happened, or drop the column."
    )


def estimate(model: Model, sample: Sample) -> IntervalFit:
    """Fit without and with covariates, and the sandwich over clusters.

    Raises
    ------
    ValueError
        When a parameter diverges (named), or the steps do not converge.
    """
    data, x, columns = sample.data, sample.x, sample.columns
    event, middle, last = middles(data)
    seen = (middle > 0) & (data.count > 0)
    theta = model.start(middle[seen], event[seen].astype(float), data.count[seen])
    rows = split_rows(model, data, x[:, :0], sample.code)
    theta, inverse, proof = maximise(rows, theta, model.labels(()))
    null = rows.loglik(theta)
    if columns:
        rows = split_rows(model, data, x, sample.code)
        theta = np.concatenate([theta[: model.first], np.zeros(len(columns)), theta[model.first :]])
        theta, inverse, proof = maximise(rows, theta, model.labels(columns))
    robust = None if sample.cluster is None else inverse @ _meat(rows, theta, sample.cluster) @ inverse
    n, happened, horizon = float(data.count.sum()), float(data.count @ event), float(last.max())
    fitted = (theta, inverse, robust, rows.loglik(theta), null, proof, n, happened, sample.strata, horizon)
    return IntervalFit(model, model.labels(columns), columns, *fitted)


def middles(data: IntervalData) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return which rows have an event, the middle of their interval and the last time known; else both are left."""
    event = (data.kind == 0) & np.isfinite(data.right)
    last = np.where(event, data.right, data.left)
    return event, np.where(event, (np.maximum(data.left, 0.0) + last) / 2, last), last


def _meat(rows: Likelihood, theta: Floats, cluster: Labels) -> Floats:
    """Sum of outer products (q, q) of counted scores, added first within cluster (Liang & Zeger 1986)."""
    _, code = np.unique(cluster[rows.position], return_inverse=True)
    scores = rows.weight[:, None] * rows.derivatives(theta)[0]
    sums = np.stack([np.bincount(code, column) for column in scores.T], axis=1)
    return np.asarray(sums.T @ sums)
