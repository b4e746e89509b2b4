"""Likelihood of interval-censored times under a parametric model, its exact derivatives, and its certified maximum.

A model says that the event has happened by time t with probability G(u(t)), u a smooth function of the parameters.
A row contributes ``1 - G(u(left))``, ``G(u(right)) - G(u(left))`` or, for an exact time, ``g(u) du/dt``. Where u is
linear in the parameters and log g concave, so is the log-likelihood (Burridge 1981 JRSS B 43:41), and a point without
slope is the maximum. The two models are in `interval_regression` and `interval_aft`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.interval import IntervalData

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Labels = NDArray[np.generic]

# A quantity of k rows: parameters (q,) -> value (k,), jacobian (k, q), and weights (k,) -> weighted Hessian (q, q).
Bend = Callable[[Floats], Floats]
Term = Callable[[Floats], tuple[Floats, Floats, Bend]]

# A Newton step from here changes the log-likelihood by half of it; one more full step squares what is left.
_DECREMENT = 1e-8
# Information along a diverging direction falls without bound; data that only say little keep a share of it.
_COLLAPSE = 1e-6
# Columns this close to a combination of others leave fewer than half of the digits of a coefficient.
_COLLINEAR = 1e-12
# A parameter with less than this share of its own information left, given the others, is a matter of rounding.
_FLAT = 1e-12
_DIVERGES = "No maximum: rows with and without the event are separated (merge levels or pieces, or drop one) along "
# Log-likelihood of a row below which it is predicted with certainty; at a decrement of 1e-8 nothing is left to gain.
_CERTAIN = -1e-6
# Near a maximum a step squares the decrement; along a direction without end it falls by about e a step, for ever.
_LINEAR, _ROUNDING = 1e-3, 1e-13
_BOUND = (
    "No maximum: every interval can be predicted with certainty, as when all hold a time in common or a covariate "
    "separates them. The likelihood comes ever closer to 1 along "
)
_ENDLESS = "No maximum: the likelihood grows without end, as when exact times are all alike."
_VAGUE = "The data do not determine (there must be fewer knots or pieces than different visit times): "


@dataclass(frozen=True, slots=True)
class Distribution:
    """G on the scale of u, each function (k,) -> (k,): log(1 - G), log g, g'/g and the derivative of g'/g."""

    log_survival: Callable[[Floats], Floats]
    log_density: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    bend: Callable[[Floats], Floats]


EXTREME = Distribution(lambda u: -np.exp(u), lambda u: u - np.exp(u), lambda u: -np.expm1(u), lambda u: -np.exp(u))


def linear(design: Floats) -> Term:
    """Return the term ``design @ theta`` of a design (k, q)."""
    return lambda theta: (design @ theta, design, lambda _: np.zeros((theta.size, theta.size)))


class Model(Protocol):
    """What the likelihood needs to know; rows have times (k,) > 0, covariates (k, p) and stratum codes (k,)."""

    @property
    def distribution(self) -> Distribution:
        """G."""

    @property
    def first(self) -> int:
        """Position of the first coefficient among the parameters."""

    def predictor(self, time: Floats, x: Floats, code: Ints) -> tuple[Term, Term]:
        """Return u and log(du / d log t) at each row's time."""

    def start(self, middle: Floats, happened: Floats, count: Floats) -> Floats:
        """Return parameters without covariates from (k,) middles of intervals or last times, and event indicators."""

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return a name for each parameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows with a positive count: covariates (n, p), stratum codes (n,) of labels (S,), cluster labels (n,) or None."""

    data: IntervalData
    x: Floats
    columns: tuple[str, ...]
    code: Ints
    strata: Labels
    cluster: Labels | None


@dataclass(frozen=True, slots=True)
class Convergence:
    """Newton steps; log-likelihood within decrement / 2 of a maximum, strict as information / its diagonal is > 0."""

    iterations: int
    decrement: float
    smallest_eigenvalue: float


@dataclass(frozen=True, slots=True, eq=False)
class IntervalFit:
    """Maximum likelihood estimate of q parameters, of them p coefficients of covariates.

    Attributes
    ----------
    model : what was fitted, with its knots, cut points or distribution.
    names, columns, parameters : names of the q parameters and of the p covariates, and the estimate (q,).
    covariance, robust_covariance : (q, q) inverse observed information; sandwich of scores summed by cluster, or None.
    loglik, loglik_null : at the estimate, and at the best fit without covariates (same strata).
    n, n_events, strata : counts of observations and of events; labels (S,) in the order of their parameters.
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


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """Rows split once by what is known: b between two ends, either of which may be open, and e exact.

    Attributes
    ----------
    low, high : u at both ends of b rows, anything where `open_low` or `open_high` (b,) says that the end is not known.
    exact, log_slope : u and log(du / d log t) at e exact times, whose logs are `log_time` (e,).
    weight : counts of b and of e rows.
    position : (b + e,) index of the caller's rows.
    """

    distribution: Distribution
    low: Term
    high: Term
    open_low: NDArray[np.bool_]
    open_high: NDArray[np.bool_]
    exact: Term
    log_slope: Term
    log_time: Floats
    weight: tuple[Floats, Floats]
    position: Ints

    def loglik(self, theta: Floats) -> float:
        """Return the log-likelihood, -inf where the parameters forbid a row."""
        with np.errstate(all="ignore"):
            between = self._log_between(self.low(theta)[0], self.high(theta)[0])
            exact = self.distribution.log_density(self.exact(theta)[0]) + self.log_slope(theta)[0] - self.log_time
            total = float(self.weight[0] @ between + self.weight[1] @ exact)
        return total if np.isfinite(total) else float("-inf")

    def derivatives(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return score rows (b + e, q), multiplied by their counts, and the Hessian (q, q)."""
        with np.errstate(all="ignore"):
            (between, curved), (exact, bent) = self._between(theta), self._exact(theta)
        return np.concatenate([between, exact]), curved + bent

    def _log_between(self, low: Floats, high: Floats) -> Floats:
        before = np.where(self.open_low, 0.0, self.distribution.log_survival(low))
        after = np.where(self.open_high, -np.inf, self.distribution.log_survival(high))
        # Exact in both tails, because log(1 - G) is: never the difference of two numbers near one.
        return np.asarray(before + np.log(-np.expm1(after - before)))

    def _between(self, theta: Floats) -> tuple[Floats, Floats]:
        low, high, weight = self.low(theta), self.high(theta), self.weight[0]
        log = self._log_between(low[0], high[0])
        rows, hessian = np.zeros((log.size, theta.size)), np.zeros((theta.size, theta.size))
        for (u, design, bend), unknown, sign in ((high, self.open_high, 1.0), (low, self.open_low, -1.0)):
            share = np.where(unknown, 0.0, sign * np.exp(self.distribution.log_density(u) - log))
            second = weight * np.where(share != 0, share * self.distribution.slope(u), 0.0)
            hessian += design.T @ (second[:, None] * design) + bend(weight * share)
            rows += share[:, None] * design
        # The score's outer product keeps digits that (g/P)^2 of each end alone would lose in a narrow interval.
        counted = weight[:, None] * rows
        return counted, hessian - rows.T @ counted

    def _exact(self, theta: Floats) -> tuple[Floats, Floats]:
        (u, design, bend), (_, log_slope, bend_slope) = self.exact(theta), self.log_slope(theta)
        weight, slope = self.weight[1], self.distribution.slope(u)
        second = weight * self.distribution.bend(u)
        hessian = design.T @ (second[:, None] * design) + bend(weight * slope) + bend_slope(weight)
        return weight[:, None] * (slope[:, None] * design + log_slope), hessian


def split_rows(model: Model, data: IntervalData, x: Floats, code: Ints) -> Likelihood:
    """Split rows by what is known of their times; rows never seen after time 0 say nothing and are left out."""
    event, exactly = middles(data)[0], data.left == data.right
    exact, between = np.flatnonzero(event & exactly), np.flatnonzero(event & ~exactly | ~event & (data.left > 0))
    left, open_low, open_high = data.left[between], data.left[between] <= 0, ~event[between]
    right = np.where(open_high, left, data.right[between])
    # An unknown end takes the time of the other: any would do, as its share is set to zero.
    low, high = (model.predictor(t, x[between], code[between])[0] for t in (np.where(open_low, right, left), right))
    at_exact = model.predictor(data.right[exact], x[exact], code[exact])
    counts, position = (data.count[between], data.count[exact]), np.concatenate([between, exact])
    log_time = np.log(data.right[exact])
    return Likelihood(model.distribution, low, high, open_low, open_high, *at_exact, log_time, counts, position)


def maximise(
    rows: Likelihood, theta: Floats, names: Sequence[str], *, max_steps: int = 100
) -> tuple[Floats, Floats, Convergence]:
    """Estimate, inverse information (q, q), certificate; ValueError if a parameter diverges or steps do not settle."""
    here, scale, reference, done, decrement = rows.loglik(theta), np.ones(theta.size), 0.0, False, np.inf
    certain = _CERTAIN * float(rows.weight[0].sum()) if rows.weight[1].sum() == 0 else np.inf
    for iteration in range(max_steps + 1):
        scores, hessian = rows.derivatives(theta)
        diagonal = np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-300))
        scale = scale if reference and not done else diagonal
        values, vectors = np.linalg.eigh(-hessian / np.outer(scale, scale))
        flat = int(np.abs(values).argmin())
        listed = _listed(names, np.abs(vectors[:, flat]) / scale)
        refuse(not done and abs(values[flat]) < _COLLAPSE * reference, _DIVERGES + listed)
        refuse(done and here > certain, _BOUND + listed)
        refuse(done and values[0] < _FLAT, _VAGUE + listed)
        reference = reference or max(float(values[0]), 0.0)
        # Curvature of the wrong sign, possible far from the maximum, is walked down instead of up.
        with np.errstate(all="ignore"):
            inverse = (vectors / np.maximum(np.abs(values), 1e-14 * np.abs(values).max())) @ vectors.T
            inverse, score = inverse / np.outer(scale, scale), scores.sum(axis=0)
            step = inverse @ score
        refuse(not np.isfinite(step).all(), _ENDLESS)
        before, decrement = decrement, float(score @ step)
        if done:
            endless = decrement > max(_LINEAR * before, _ROUNDING)
            refuse(endless, _DIVERGES + _listed(names, np.abs(step)))
            return theta, inverse, Convergence(iteration, decrement, float(values[0]))
        done = decrement < _DECREMENT
        theta, here = _ascend(rows, theta, step, here)
    refuse(
        not np.isfinite(decrement), "No maximum: the likelihood grows without end, as when exact times are all alike."
    )
    raise ValueError(f"No convergence after {max_steps} Newton steps: the last decrement is {decrement:.1e}.")


def _ascend(rows: Likelihood, theta: Floats, step: Floats, here: float) -> tuple[Floats, float]:
    """Halve the step until the log-likelihood does not fall by more than rounding."""
    for _ in range(60):
        value = rows.loglik(theta + step)
        if value >= here - 1e-12 * (1 + abs(here)):
            return theta + step, value
        step = step / 2
    return theta, here


def refuse(when: bool | np.bool_, reason: str) -> None:
    """Raise ValueError with the reason."""
    if when:
        raise ValueError(reason)


def _listed(names: Sequence[str], part: Floats) -> str:
    """Name those with a share of the largest part that rounding or other columns could not give."""
    return ", ".join(name for name, size in zip(names, part, strict=True) if size > 0.3 * max(part))


def middles(data: IntervalData) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return which rows have an event, the middle of their interval and the last time known; else both are left."""
    event = (data.kind == 0) & np.isfinite(data.right)
    last = np.where(event, data.right, data.left)
    return event, np.where(event, (np.maximum(data.left, 0.0) + last) / 2, last), last


def estimate(model: Model, sample: Sample) -> IntervalFit:
    """Fit without and with covariates, and the sandwich over clusters (Liang & Zeger 1986); errors as `maximise`."""
    data, x, columns = sample.data, sample.x, sample.columns
    event, middle, last = middles(data)
    theta = model.start(middle[middle > 0], event[middle > 0].astype(float), data.count[middle > 0])
    rows = split_rows(model, data, x[:, :0], sample.code)
    theta, inverse, proof = maximise(rows, theta, model.labels(()))
    null = rows.loglik(theta)
    if columns:
        rows = split_rows(model, data, x, sample.code)
        theta = np.concatenate([theta[: model.first], np.zeros(len(columns)), theta[model.first :]])
        theta, inverse, proof = maximise(rows, theta, model.labels(columns))
    robust = None
    if sample.cluster is not None:
        _, group = np.unique(sample.cluster[rows.position], return_inverse=True)
        sums = np.stack([np.bincount(group, column) for column in rows.derivatives(theta)[0].T], axis=1)
        robust = inverse @ (sums.T @ sums) @ inverse
    size = float(data.count.sum()), float(data.count @ event)
    fitted = model.labels(columns), columns, theta, inverse, robust, rows.loglik(theta), null, proof
    return IntervalFit(model, *fitted, *size, sample.strata, float(last.max()))


def checked(
    data: IntervalData, x: ArrayLike, stratum: ArrayLike | None, cluster: ArrayLike | None, names: Sequence[str] | None
) -> Sample:
    """Check and convert what a fit is given; rows counted 0 are dropped.

    Raises ValueError for lengths that differ, a missing covariate or label, a kind other than 0 and 2, an empty
    interval, an event at or before time 0, a negative count, names that do not fit, or no event at all.
    """
    left, right, kind, count = (np.asarray(v, float) for v in (data.left, data.right, data.kind, data.count))
    design = np.asarray(x, dtype=float)
    design = design[:, None] if design.ndim == 1 else design
    columns = tuple(names) if names is not None else tuple(f"x{j + 1}" for j in range(design.shape[1]))
    labels = [np.zeros(left.size, int) if item is None else np.asarray(item) for item in (stratum, cluster)]
    odd = {item.shape for item in (left, right, kind, count, *labels, design.sum(axis=1))} != {(left.size,)}
    missing = not np.isfinite(design).all() or any(v is None or v != v for item in labels for v in item.tolist())
    refuse(odd or missing, "Every row needs left, right, kind, count, all covariates and any labels.")
    misnamed = not len(set(columns)) == len(columns) == design.shape[1]
    refuse(misnamed, f"{design.shape[1]} columns need as many different names, not {', '.join(columns)}.")
    refuse(not (np.isfinite(count) & (count >= 0)).all(), "A count is negative or missing.")
    kept = count > 0
    left, right, kind, event = np.maximum(left, 0.0)[kept], right[kept], kind[kept], kind[kept] == 0
    refuse(not np.isin(kind, (0, 2)).all(), "kind must be 0 or 2: censor a competing end (1) at its last visit before.")
    empty = not np.isfinite(left).all() or not (right[event] >= left[event]).all()
    refuse(empty, "An interval (left, right] is empty or an end is missing: right must not be before left.")
    early = "An event at or before time 0 has no logarithm: start the clock earlier, or drop the row."
    refuse((right[event] <= 0).any(), early)
    refuse(not np.isfinite(right[event]).any(), "No event: an interval with a finite right end is needed.")
    strata, code = np.unique(labels[0][kept], return_inverse=True)
    rows = IntervalData(left, right, kind.astype(np.int64), count[kept])
    return Sample(rows, design[kept], columns, code, strata, None if cluster is None else labels[1][kept])


def check_support(sample: Sample, n_parameters: int, within: Ints) -> None:
    """Raise ValueError for a stratum without event, too few events, or collinear columns within codes (n,), named."""
    data, event = sample.data, middles(sample.data)[0]
    happened = np.bincount(sample.code, data.count * event, sample.strata.size)
    empty = ", ".join(str(label) for label in sample.strata[happened == 0])
    refuse(empty != "", f"No event in stratum {empty}: merge it with another or leave it out.")
    few = f"{happened.sum():g} events cannot support {n_parameters} parameters: at least as many are needed."
    refuse(happened.sum() < n_parameters, few)
    columns = (*sample.x.T, np.ones(within.size))
    sums = np.stack([np.bincount(within, data.count * column) for column in columns], axis=1)
    x = np.sqrt(data.count)[:, None] * (sample.x - (sums / sums[:, -1:])[within, :-1])
    length = np.sqrt((x**2).sum(axis=0))
    constant = length <= 1e-12 * np.sqrt(data.count @ sample.x**2) + 1e-300
    # A constant column stays as zeros: the baseline already holds it, so that it is collinear by itself.
    x = x / np.where(constant, np.inf, length)
    values, vectors = np.linalg.eigh(x.T @ x)
    involved = np.abs(vectors[:, values < _COLLINEAR]).max(axis=1, initial=0.0) > 1e-3
    listed = ", ".join(name for name, odd in zip(sample.columns, involved, strict=True) if odd)
    refuse(listed != "", f"Constant or collinear (within strata): drop one of {listed}.")
