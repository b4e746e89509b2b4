"""Proportional hazards for interval-censored times; absolute and standardised risk, contrasts and tests of any fit.

The cumulative hazard is ``H0(t) exp(x' beta)``, log H0 a natural cubic spline of log t (Royston & Parmar 2002 Stat Med
21:2175) or H0 piecewise linear, one for each stratum. Predictions and tests serve fits of `interval_aft` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from analysis.numerics import interval_likelihood as kernel
from analysis.numerics.interval import IntervalData
from analysis.numerics.interval_likelihood import Bend, Floats, IntervalFit, Ints, Term, refuse
from analysis.numerics.laws import chi2_above, hotelling_above, normal_quantile


@dataclass(frozen=True, slots=True)
class SplineBaseline:
    """Natural cubic spline of log time with K knots in units of time, the boundary ones included.

    ``log H0 = gamma0 + gamma1 x + sum_j gamma_(j+1) v_j(x)``, x = log t, linear outside the boundary knots.
    Two knots make a Weibull model.
    """

    knots: tuple[float, ...]

    def __post_init__(self) -> None:
        wrong = len(self.knots) < 2 or not (np.diff([0.0, *self.knots]) > 0).all()
        refuse(wrong, f"A spline needs two or more knots, positive and increasing, not {self.knots}.")

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
        cubes = (1.0, 3.0, 6.0)[order] * np.maximum(x - knots, 0.0) ** (3 - order)
        inner = cubes - weight * cubes[:, :1] - (1 - weight) * cubes[:, -1:]
        ones, zeros = np.ones_like(x), np.zeros_like(x)
        line = ([ones, x], [zeros, ones], [zeros, zeros])[order]
        return np.hstack([*line, inner[:, 1:-1]])

    def predictor(self, time: Floats, x: Floats, code: Ints, strata: int) -> tuple[Term, Term]:
        """Return log H and log(d log H / d log t) at (k,) times."""
        rise = np.hstack([_by_stratum(self.basis(time, 1), code, strata), np.zeros_like(x)])

        def log_slope(theta: Floats) -> tuple[Floats, Floats, Bend]:
            slope = rise @ theta
            rows = rise / slope[:, None]
            return np.log(slope), rows, lambda weight: -rows.T @ (weight[:, None] * rows)

        return kernel.linear(np.hstack([_by_stratum(self.basis(time), code, strata), x])), log_slope

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

    def __post_init__(self) -> None:
        wrong = not (np.diff([0.0, *self.cuts]) > 0).all()
        refuse(wrong, f"Cut points must be positive and increasing, not {self.cuts}.")

    def names(self) -> list[str]:
        """Return a name for the log hazard of each piece."""
        edges = [0.0, *self.cuts, np.inf]
        return [f"log hazard ({a:g}, {b:g}]" for a, b in pairwise(edges)]

    def start(self, rate: float) -> Floats:
        """Return a constant hazard, (m,)."""
        return np.full(len(self.cuts) + 1, np.log(rate))

    def predictor(self, time: Floats, x: Floats, code: Ints, strata: int) -> tuple[Term, Term]:
        """Return log H and log(d log H / d log t) at (k,) times; a time on a cut point is in the piece that ends."""
        edges = np.array([0.0, *self.cuts, np.inf])
        exposure = _by_stratum(np.clip(time[:, None] - edges[:-1], 0.0, np.diff(edges)), code, strata)
        piece = np.eye(edges.size - 1)[np.searchsorted(edges[1:-1], time, side="left")]
        piece = np.hstack([_by_stratum(piece, code, strata), np.zeros_like(x)])
        m = exposure.shape[1]

        def log_hazard_sum(theta: Floats) -> tuple[Floats, Floats, Bend]:
            part = exposure * np.exp(theta[:m])
            total = part.sum(axis=1)
            share = np.hstack([part / total[:, None], np.zeros_like(x)])

            def bend(weight: Floats) -> Floats:
                return np.asarray(np.diag(weight @ share) - share.T @ (weight[:, None] * share))

            return np.log(total) + x @ theta[m:], np.hstack([share[:, :m], x]), bend

        def log_slope(theta: Floats) -> tuple[Floats, Floats, Bend]:
            value, rows, bend = log_hazard_sum(theta)
            rows = np.hstack([rows[:, :m], np.zeros_like(x)])
            return piece @ theta + np.log(time) - value + x @ theta[m:], piece - rows, lambda weight: -bend(weight)

        return log_hazard_sum, log_slope


@dataclass(frozen=True, slots=True)
class HazardModel:
    """Proportional hazards with one baseline for each of the named strata."""

    baseline: SplineBaseline | PiecewiseBaseline
    strata: tuple[str, ...]

    @property
    def distribution(self) -> kernel.Distribution:
        """1 - exp(-exp(u))."""
        return kernel.EXTREME

    @property
    def first(self) -> int:
        """Number of baseline parameters, which come first, stratum by stratum."""
        return len(self.strata) * len(self.baseline.names())

    def predictor(self, time: Floats, x: Floats, code: Ints) -> tuple[Term, Term]:
        """Return log H and log(d log H / d log t) at (k,) times."""
        return self.baseline.predictor(time, x, code, len(self.strata))

    def start(self, middle: Floats, happened: Floats, count: Floats) -> Floats:
        """Return the same constant hazard everywhere, events by time at risk."""
        return np.tile(self.baseline.start(float(count @ happened / (count @ middle))), len(self.strata))

    def labels(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return a name for each parameter."""
        marks = [""] if len(self.strata) == 1 else [f" [{label}]" for label in self.strata]
        return (*(name + mark for mark in marks for name in self.baseline.names()), *columns)


def _by_stratum(basis: Floats, code: Ints, strata: int) -> Floats:
    """Repeat the columns (k, m) once for each stratum, zero outside the row's own: (k, S m)."""
    return np.hstack([basis * (code == stratum)[:, None] for stratum in range(strata)])


def event_quantiles(data: IntervalData, shares: Sequence[float]) -> tuple[float, ...]:
    """Quantiles of the middles of event intervals at shares in [0, 1]; ValueError with fewer middles than shares."""
    event, middle, _ = kernel.middles(data)
    event &= data.count > 0
    time, code = np.unique(middle[event], return_inverse=True)
    few = time.size < max(len(shares), 2)
    refuse(few, f"{time.size} different event times cannot place {len(shares)} points: give them, or fewer.")
    count = np.bincount(code, data.count[event])
    # Linear between middles, each in the middle of its count: visits that all share must not make two knots one.
    place = np.cumsum(count) - count / 2
    return tuple(np.interp(shares, (place - place[0]) / (place[-1] - place[0]), time).tolist())


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
    x, names
        Covariates (n, p), p may be 0, and names (p,) for messages and tests.
    baseline
        Knots or cut points; by default a spline with knots at the 0, 33, 67 and 100 % `event_quantiles`.
    stratum
        Labels (n,) with a baseline each, all with the same knots or cut points.
    cluster
        Labels (n,), usually the patient, for the sandwich covariance; a row must not mix patients then.

    Raises
    ------
    ValueError
        As `checked` and `check_support`; when a parameter diverges (named); when the fitted cumulative hazard falls.
    """
    sample = kernel.checked(data, x, stratum, cluster, names)
    chosen = baseline or SplineBaseline(event_quantiles(sample.data, (0, 1 / 3, 2 / 3, 1)))
    model = HazardModel(chosen, tuple(map(str, sample.strata)))
    kernel.check_support(sample, model.first + len(sample.columns), sample.code)
    fit = kernel.estimate(model, sample)
    if isinstance(chosen, SplineBaseline):
        gammas = fit.parameters[: model.first].reshape(len(model.strata), -1)
        for label, (slope, time) in zip(model.strata, map(chosen.lowest_slope, gammas), strict=True):
            refuse(slope < 0, f"The cumulative hazard of stratum {label} falls at {time:g}: use fewer knots.")
    return fit


@dataclass(frozen=True, slots=True, eq=False)
class RiskEstimate:
    """Risks or contrasts with delta-method intervals, (...) as stated, and derivatives by parameter, (..., q)."""

    estimate: Floats
    std_error: Floats
    lower: Floats
    upper: Floats
    gradient: Floats


def _spread(fit: IntervalFit, gradient: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("...p,pq,...q->...", gradient, fit.variance, gradient)))


def _risk_estimate(fit: IntervalFit, risk: Floats, gradient: Floats, level: float) -> RiskEstimate:
    """Interval on the scale log(-log(1 - risk)), which keeps it within 0 and 1."""
    error, inside = _spread(fit, gradient), (risk > 0) & (risk < 1)
    hazard = -np.log1p(-np.where(inside, risk, 0.5))
    width = normal_quantile(0.5 + level / 2) * error / (hazard * np.exp(-hazard))
    with np.errstate(over="ignore"):
        bounds = [np.where(inside, -np.expm1(-hazard * np.exp(sign * width)), risk) for sign in (-1.0, 1.0)]
    return RiskEstimate(risk, error, bounds[0], bounds[1], gradient)


def _risk(fit: IntervalFit, x: Floats, stratum: ArrayLike | None, time: float) -> tuple[Floats, Floats]:
    """Risk (k,) of covariates (k, p) by one time, and its derivatives (k, q)."""
    labels = np.full(len(x), fit.strata[0]) if stratum is None else np.broadcast_to(np.asarray(stratum), len(x))
    unknown = (stratum is None and fit.strata.size > 1) or not np.isin(labels, fit.strata).all()
    refuse(unknown, f"Every row needs one of the strata {', '.join(str(label) for label in fit.strata)}.")
    odd = x.shape[1:] != (len(fit.columns),) or not np.isfinite(x).all()
    refuse(odd, f"Every row needs the columns {', '.join(fit.columns)}, none missing.")
    outside = not 0 < time <= fit.horizon
    refuse(outside, f"Times must be after 0 and, as nothing is known later, not after {fit.horizon:g}: {time:g}.")
    code = np.searchsorted(fit.strata, labels)
    u, rows, _ = fit.model.predictor(np.full(len(x), time), x, code)[0](fit.parameters)
    distribution = fit.model.distribution
    density = np.exp(distribution.log_density(u))
    return -np.expm1(distribution.log_survival(u)), density[:, None] * rows


def absolute_risk(
    fit: IntervalFit, x: ArrayLike, times: ArrayLike, *, stratum: ArrayLike | None = None, level: float = 0.95
) -> RiskEstimate:
    """Probability of the event by each time (T,) for each row of covariates (k, p): (k, T).

    Raises ValueError for a time without support, an unknown stratum, or columns that are not those of the fit.
    """
    design = np.atleast_2d(np.asarray(x, dtype=float))
    risks, rows = zip(*(_risk(fit, design, stratum, time) for time in np.atleast_1d(times)), strict=True)
    return _risk_estimate(fit, np.stack(risks, axis=1), np.stack(rows, axis=1), level)


def standardised_risk(
    fit: IntervalFit,
    settings: Sequence[ArrayLike],
    times: ArrayLike,
    *,
    strata: Sequence[ArrayLike] | None = None,
    count: ArrayLike | None = None,
    level: float = 0.95,
) -> RiskEstimate:
    """Mean risk of a cohort by each time (T,), under each of A settings of its covariates: (A, T).

    Settings are matrices (n, p), the cohort with, say, stage set to one value; strata are their labels, one or (n,)
    each; count (n,) says how many each row stands for. The cohort is taken as given: its sampling adds no variance.

    Raises ValueError as `absolute_risk`.
    """
    wanted = np.atleast_1d(times)
    labels = [None] * len(settings) if strata is None else list(strata)
    risks = np.empty((len(settings), wanted.size))
    rows = np.empty((*risks.shape, fit.parameters.size))
    for a, (setting, label) in enumerate(zip(settings, labels, strict=True)):
        design = np.asarray(setting, dtype=float)
        share = np.ones(len(design)) if count is None else np.asarray(count, dtype=float)
        for t, time in enumerate(wanted):
            risk, gradient = _risk(fit, design, label, time)
            risks[a, t], rows[a, t] = share @ risk / share.sum(), share @ gradient / share.sum()
    return _risk_estimate(fit, risks, rows, level)


def contrast(
    fit: IntervalFit,
    risk: RiskEstimate,
    setting: int,
    reference: int,
    *,
    measure: Literal["difference", "ratio"] = "difference",
    level: float = 0.95,
) -> RiskEstimate:
    """Difference or ratio (interval on the log scale) of two settings, the first axis of risks of this fit: (T,)."""
    refuse(measure not in ("difference", "ratio"), f"measure must be difference or ratio, not {measure!r}")
    (a, b), (da, db) = risk.estimate[[setting, reference]], risk.gradient[[setting, reference]]
    z = normal_quantile(0.5 + level / 2)
    if measure == "difference":
        error = _spread(fit, da - db)
        return RiskEstimate(a - b, error, a - b - z * error, a - b + z * error, da - db)
    rows = (da - (a / b)[:, None] * db) / b[:, None]
    error = _spread(fit, rows)
    factor = np.exp(z * error * b / a)
    return RiskEstimate(a / b, error, a / b / factor, a / b * factor, rows)


@dataclass(frozen=True, slots=True)
class ChiSquaredTest:
    """Statistic, degrees of freedom and p value."""

    statistic: float
    df: int
    p_value: float


def wald_test(fit: IntervalFit, names: Sequence[str], freedom: float = np.inf) -> ChiSquaredTest:
    """Test that the named parameters are 0 together, with the sandwich when clusters were given.

    A sandwich is itself an estimate: with `freedom`, from how many its variances are known, the p value is that of
    Hotelling's T².

    Raises ValueError for a name that is not in the fit.
    """
    unknown = ", ".join(name for name in names if name not in fit.names)
    refuse(unknown != "", f"{unknown} is not among the parameters {', '.join(fit.names)}.")
    at = [fit.names.index(name) for name in names]
    value = fit.parameters[at]
    statistic = float(value @ np.linalg.solve(fit.variance[np.ix_(at, at)], value))
    return ChiSquaredTest(statistic, len(at), hotelling_above(statistic, len(at), freedom))


def likelihood_ratio_test(full: IntervalFit, reduced: IntervalFit) -> ChiSquaredTest:
    """Test of the columns that the reduced fit leaves out.

    Raises ValueError when the fits are not nested, rest on other rows, or have clusters, which the test ignores.
    """
    clustered = full.robust_covariance is not None or reduced.robust_covariance is not None
    refuse(clustered, "The likelihood ratio takes rows as independent: use wald_test for clustered rows.")
    nested = set(reduced.columns) < set(full.columns) and full.model == reduced.model
    same = (full.n, full.n_events, full.horizon) == (reduced.n, reduced.n_events, reduced.horizon)
    refuse(not (nested and same), "The reduced fit must have the rows and baseline of the full one, and fewer columns.")
    statistic, df = 2 * (full.loglik - reduced.loglik), len(full.columns) - len(reduced.columns)
    return ChiSquaredTest(statistic, df, float(chi2_above(statistic, df)))
