"""Cox regression on (start, stop] rows: strata, Efron and Breslow ties, weights, clustered variance, proportionality.

`risk_sets` sorts the rows once for all that follows. No Hessian is formed at each time: second moments summed over
event times are one product X' diag(exposure) X. For a cause-specific hazard pass `event = (cause == k)`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from analysis.numerics.laws import chi2_above, mid_ranks
from analysis.numerics.survival_counts import (
    Floats,
    as_labels,
    check_codes,
    check_rows,
    count_events,
    kaplan_meier,
    step_values,
)

Ints = NDArray[np.intp]
Ties = Literal["efron", "breslow"]
TimeTransform = Literal["km", "log", "rank", "identity"]


@dataclass(frozen=True, slots=True)
class RiskSets:
    """Rows and the distinct event times at which each is at risk; n rows, p covariates, T times over all strata.

    Attributes
    ----------
    x, center : (n, p) covariates minus their weighted means, and those means (p,).
    start, stop, weight : (n,) the rows' time at risk (start, stop] and positive case weights.
    time, stratum : (T,) event times in order within stratum, and stratum label of each.
    segments : (S + 1,) where each stratum begins among the T times.
    enter, leave : (n,) the row is at risk at time indices enter <= k < leave.
    membership : (T, n) sparse; its reverse cumulative sum within strata says who is at risk.
    dead, dead_at : (D,) rows that end in an event, and their time index, in order of time.
    tie : (D,) share of the tied deaths already removed from the risk set, l / d for Efron and 0 for Breslow.
    kept : (n,) positions of the rows in the caller's arrays.
    """

    x: Floats
    center: Floats
    start: Floats
    stop: Floats
    weight: Floats
    time: Floats
    stratum: NDArray[np.generic]
    segments: Ints
    enter: Ints
    leave: Ints
    membership: csr_matrix
    dead: Ints
    dead_at: Ints
    tie: Floats
    kept: Ints

    def total(self, values: Floats) -> Floats:
        """Sum (T, c) of values (n, c) over those at risk at each event time."""
        sums = np.asarray(self.membership @ values)
        for a, b in zip(self.segments[:-1], self.segments[1:], strict=True):
            sums[a:b] = np.cumsum(sums[a:b][::-1], axis=0)[::-1]
        return sums

    def exposure(self, increments: Floats) -> Floats:
        """Sum (n, c) of increments (T, c) over the times at which each row is at risk: the adjoint of `total`."""
        sums = np.vstack([np.zeros(increments.shape[1]), np.cumsum(increments, axis=0)])
        return np.asarray(sums[self.leave] - sums[self.enter])


@dataclass(frozen=True, slots=True)
class CoxFit:
    """Maximum partial likelihood estimate.

    Attributes
    ----------
    coefficients : (p,) log hazard ratios.
    covariance : (p, p) inverse information.
    robust_covariance : (p, p) sandwich of score residuals summed by cluster (by row without clusters).
    loglik_null, loglik : log partial likelihood at 0 and at the estimate.
    score_statistic : score test of all coefficients being 0, chi-squared on p degrees of freedom.
    n_rows, n_events, iterations : rows with positive weight, of them ending in an event, Newton steps.
    """

    coefficients: Floats
    covariance: Floats
    robust_covariance: Floats
    loglik_null: float
    loglik: float
    score_statistic: float
    n_rows: int
    n_events: int
    iterations: int

    @property
    def std_error(self) -> Floats:
        """Model-based standard errors (p,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def robust_std_error(self) -> Floats:
        """Sandwich standard errors (p,)."""
        return np.sqrt(np.diag(self.robust_covariance))


@dataclass(frozen=True, slots=True)
class ProportionalHazardsTest:
    """Score tests that a coefficient does not change with time: (p,) per covariate, and all p together."""

    statistic: Floats
    p_value: Floats
    global_statistic: float
    global_p_value: float


@dataclass(frozen=True, slots=True)
class State:
    """Partial likelihood at one coefficient vector; T times, tie terms summed within each.

    Attributes
    ----------
    risk : (n,) exp(linear predictor), without weight.
    s1, d1 : (T, p) weighted covariate totals over those at risk, and over the deaths.
    a : (2, T) sums over tie terms of w / S0 and f w / S0, w the mean weight of the deaths, f the share removed.
    b : (3, T) sums of w / S0^2, f w / S0^2, f^2 w / S0^2.
    """

    loglik: float
    risk: Floats
    s1: Floats
    d1: Floats
    a: Floats
    b: Floats


def risk_sets(
    covariates: ArrayLike,
    stop: ArrayLike,
    event: ArrayLike,
    *,
    start: ArrayLike | None = None,
    stratum: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    ties: Ties = "efron",
) -> RiskSets:
    """Sort rows (start, stop] with covariates (n, p) and event (n,) of 0 or 1; rows of weight 0 are dropped.

    Raises ValueError as `check_rows`, for missing covariates, or when nothing happened.
    """
    leave_time, weights, enter_time = check_rows(stop, weight, start)
    x = np.asarray(covariates, dtype=float).reshape(len(np.asarray(covariates)), -1)
    died = check_codes(event, leave_time.size, largest=1).astype(bool)
    labels, code = as_labels(stratum, leave_time.size)
    if len(x) != leave_time.size or not x.size or not np.isfinite(x).all():
        raise ValueError("covariates must have a row for each stop and none missing")
    kept = np.flatnonzero(weights > 0)
    x, died, leave_time, enter_time, code = x[kept], died[kept], leave_time[kept], enter_time[kept], code[kept]
    if not died.any():
        raise ValueError("no event: the partial likelihood is constant and no coefficient can be estimated")
    event_times = np.unique(leave_time[died])
    # One sorted key of (stratum, rank of time) replaces a search in every stratum.
    width = event_times.size + 1
    last, first = (code * width + np.searchsorted(event_times, t, side="right") for t in (leave_time, enter_time))
    keys = np.unique(last[died])
    leave, enter = np.searchsorted(keys, last, side="right"), np.searchsorted(keys, first, side="right")
    segments = np.searchsorted(keys, np.arange(labels.size + 1) * width)
    dead = np.flatnonzero(died)[np.argsort(last[died], kind="stable")]
    center = np.average(x, axis=0, weights=weights[kept])
    people = x - center, center, enter_time, leave_time, weights[kept]
    times = event_times[keys % width - 1], labels[keys // width], segments
    at_risk = enter, leave, _membership(enter, leave, segments[code], keys.size)
    return RiskSets(*people, *times, *at_risk, dead, leave[dead] - 1, _tie_shares(leave[dead] - 1, ties), kept)


def _membership(enter: Ints, leave: Ints, begin: Ints, times: int) -> csr_matrix:
    """Sparse (T, n): +1 at the last time at risk, -1 before the first for late entries."""
    ever, late = np.flatnonzero(leave > enter), np.flatnonzero((leave > enter) & (enter > begin))
    signs = np.append(np.ones(ever.size), -np.ones(late.size))
    places = (np.append(leave[ever] - 1, enter[late] - 1), np.append(ever, late))
    return csr_matrix((signs, places), shape=(times, enter.size))


def _tie_shares(dead_at: Ints, ties: Ties) -> Floats:
    if ties not in ("efron", "breslow"):
        raise ValueError(f"ties must be efron or breslow, not {ties!r}")
    order = np.arange(dead_at.size) - np.searchsorted(dead_at, dead_at)
    return np.asarray(order / np.bincount(dead_at)[dead_at] * (ties == "efron"))


def likelihood_state(rows: RiskSets, beta: Floats) -> State:
    """Partial likelihood and its tie sums at beta (p,) (Therneau and Grambsch 2000, section 3.3)."""
    eta = rows.x @ beta
    risk = np.exp(eta)
    burden = rows.weight * risk
    totals = rows.total(burden[:, None] * np.column_stack([np.ones(eta.size), rows.x]))
    size, at, f = rows.time.size, rows.dead_at, rows.tie
    of_dead = csr_matrix((burden[rows.dead], (at, np.arange(at.size))), shape=(size, at.size))
    d0, d1 = np.asarray(of_dead.sum(axis=1)).ravel(), np.asarray(of_dead @ rows.x[rows.dead])
    mean_weight = np.bincount(at, rows.weight[rows.dead], size) / np.bincount(at, minlength=size)
    s0 = np.maximum(totals[at, 0], d0[at]) - f * d0[at]  # those who die are at risk, whatever rounding says
    loglik = float(rows.weight[rows.dead] @ eta[rows.dead] - mean_weight[at] @ np.log(s0))
    first, second = mean_weight[at] / s0, mean_weight[at] / s0**2
    a = [np.bincount(at, value, size) for value in (first, f * first)]
    b = [np.bincount(at, value, size) for value in (second, f * second, f**2 * second)]
    return State(loglik, risk, totals[:, 1:], d1, np.array(a), np.array(b))


def score_vector(rows: RiskSets, state: State, by_time: Floats) -> Floats:
    """Score (p,) with each event time multiplied by by_time (T,)."""
    observed = (rows.weight[rows.dead] * by_time[rows.dead_at]) @ rows.x[rows.dead]
    return np.asarray(observed - (by_time * state.a[0]) @ state.s1 + (by_time * state.a[1]) @ state.d1)


def information_matrix(rows: RiskSets, state: State, by_time: Floats) -> Floats:
    """Information (p, p) with each event time multiplied by by_time (T,)."""
    burden = rows.weight * state.risk
    mass = burden * rows.exposure((by_time * state.a[0])[:, None])[:, 0]
    mass[rows.dead] -= burden[rows.dead] * (by_time * state.a[1])[rows.dead_at]
    b, s1, d1 = by_time * state.b, state.s1, state.d1
    cross = s1.T @ (b[1][:, None] * d1)
    means = s1.T @ (b[0][:, None] * s1) - cross - cross.T + d1.T @ (b[2][:, None] * d1)
    return np.asarray(rows.x.T @ (mass[:, None] * rows.x) - means)


def score_residuals(rows: RiskSets, state: State) -> tuple[Floats, Floats]:
    """Martingale (n,) and score (n, p) residuals, unweighted (Therneau and Grambsch 2000, sections 4.6 and 7.2)."""
    a, b, s1, d1 = state.a[:, :, None], state.b[:, :, None], state.s1, state.d1
    at, dead = rows.dead_at, rows.dead
    hazard = rows.exposure(np.hstack([a[0], s1 * b[0] - d1 * b[1]]))
    martingale = -state.risk * hazard[:, 0]
    score = -state.risk[:, None] * (rows.x * hazard[:, :1] - hazard[:, 1:])
    mean = (s1 * a[0] - d1 * a[1]) / np.bincount(at, rows.weight[dead], rows.time.size)[:, None]
    own = state.risk[dead, None]
    martingale[dead] += 1.0 + own[:, 0] * state.a[1][at]
    score[dead] += rows.x[dead] - mean[at] + own * (rows.x[dead] * a[1][at] - (s1 * b[1] - d1 * b[2])[at])
    return martingale, score


def maximise(rows: RiskSets, *, max_iterations: int = 40) -> tuple[Floats, State, State, int]:
    """Newton steps from 0, halved while the likelihood falls: estimate (p,), states at 0 and at it, steps taken.

    Raises ValueError for collinear covariates and for an estimate at infinity, where the steps do not converge.
    """
    ones, beta = np.ones(rows.time.size), np.zeros(rows.x.shape[1])
    null = state = likelihood_state(rows, beta)
    information = information_matrix(rows, null, ones)
    scale = np.sqrt(np.clip(np.diag(information), 0.0, None))
    spread = rows.x.std(axis=0) * np.sqrt(rows.weight.sum())
    if (scale <= 1e-9 * spread).any() or (smallest := _smallest(information, scale)) < 1e-10:
        raise ValueError("covariates are collinear or do not vary within the risk sets: drop one")
    for iteration in range(1, max_iterations + 1):
        score = score_vector(rows, state, ones)
        step = np.linalg.solve(information, score)
        decrement = float(score @ step)
        floor = state.loglik - 1e-9 * abs(state.loglik)
        while (
            np.abs(rows.x @ (beta + step)).max() > 30 or (trial := likelihood_state(rows, beta + step)).loglik < floor
        ):
            step = step / 2
        beta, state = beta + step, trial
        information = information_matrix(rows, state, ones)
        if _smallest(information, scale) < 1e-6 * smallest:
            raise ValueError("a covariate separates events from non-events: its coefficient is infinite")
        if decrement < 1e-11:
            return beta, null, state, iteration
    raise ValueError(f"no finite estimate in {max_iterations} steps: covariates all but separate the events")


def _smallest(information: Floats, scale: Floats) -> float:
    return float(np.linalg.eigvalsh(information / np.outer(scale, scale))[0])


def clustered(rows: RiskSets, residuals: Floats, cluster: ArrayLike | None) -> Floats:
    """Sum of outer products (p, p) of residuals (n, p), added first within cluster, labels of the caller's rows."""
    if cluster is None:
        return np.asarray(residuals.T @ residuals)
    code = as_labels(np.asarray(cluster)[rows.kept], rows.kept.size)[1]
    sums = np.stack([np.bincount(code, column) for column in residuals.T], axis=1)
    return np.asarray(sums.T @ sums)


def fit_cox(rows: RiskSets, *, cluster: ArrayLike | None = None) -> CoxFit:
    """Fit the Cox model; clusters (n,) are labels of the caller's rows, for the sandwich of Lin and Wei 1989.

    Raises ValueError as `maximise`.
    """
    beta, null, state, iterations = maximise(rows)
    ones = np.ones(rows.time.size)
    covariance = np.asarray(np.linalg.inv(information_matrix(rows, state, ones)))
    residuals = rows.weight[:, None] * score_residuals(rows, state)[1]
    robust = covariance @ clustered(rows, residuals, cluster) @ covariance
    start = score_vector(rows, null, ones)
    statistic = float(start @ np.linalg.solve(information_matrix(rows, null, ones), start))
    sizes = rows.weight.size, rows.dead.size
    return CoxFit(beta, covariance, robust, null.loglik, state.loglik, statistic, *sizes, iterations)


def baseline_hazard(rows: RiskSets, fit: CoxFit) -> Floats:
    """Cumulative hazard (T,) at covariates 0, at `rows.time` within `rows.stratum`, with the ties of the fit."""
    jumps = likelihood_state(rows, fit.coefficients).a[0] * np.exp(-rows.center @ fit.coefficients)
    return np.concatenate([np.cumsum(jumps[a:b]) for a, b in zip(rows.segments[:-1], rows.segments[1:], strict=True)])


def predict_survival(
    rows: RiskSets, fit: CoxFit, covariates: ArrayLike, times: ArrayLike, *, stratum: int = 0
) -> tuple[Floats, Floats]:
    """Survival and error (j, k) of covariates (j, p) at times (k,) in the stratum of that position (Tsiatis 1981)."""
    a, b = rows.segments[stratum], rows.segments[stratum + 1]
    state = likelihood_state(rows, fit.coefficients)
    x = np.atleast_2d(np.asarray(covariates, dtype=float)) - rows.center
    risk = np.exp(x @ fit.coefficients)[:, None]
    mean = np.cumsum((state.s1 * state.b[0][:, None] - state.d1 * state.b[1][:, None])[a:b], axis=0)
    sums = np.column_stack([np.cumsum(state.a[0][a:b]), np.cumsum(state.b[0][a:b]), mean])
    index = np.searchsorted(rows.time[a:b], np.asarray(times, dtype=float), side="right")
    sums = np.vstack([np.zeros(sums.shape[1]), sums])[index]
    drift = x[:, None, :] * sums[None, :, :1] - sums[None, :, 2:]
    variance = risk**2 * (sums[:, 1] + np.einsum("jkp,pq,jkq->jk", drift, fit.covariance, drift))
    survival = np.exp(-risk * sums[:, 0])
    return survival, survival * np.sqrt(variance)


def proportional_hazards_test(
    rows: RiskSets, fit: CoxFit, *, transform: TimeTransform = "km"
) -> ProportionalHazardsTest:
    """Score test of x * g(t) added to the model, g(t) being 1 - S(t-) ("km"), its rank among exits, log t or t.

    Grambsch and Therneau 1994, with the exact information in place of its mean over events.
    """
    g = _event_time_transform(rows, transform)
    g = g - np.average(g, weights=np.bincount(rows.dead_at))
    state = likelihood_state(rows, fit.coefficients)
    score = score_vector(rows, state, g)
    i0, i1, i2 = (information_matrix(rows, state, g**power) for power in (0, 1, 2))
    variance = i2 - i1 @ np.linalg.solve(i0, i1)
    scale = np.sqrt(np.clip(np.diag(i2), 0.0, None))
    if not scale.all() or _smallest(variance, scale) < 1e-10:
        raise ValueError("too few distinct event times to tell whether a coefficient changes with time")
    each = score**2 / np.diag(variance)
    together = float(score @ np.linalg.solve(variance, score))
    return ProportionalHazardsTest(each, chi2_above(each, 1), together, float(chi2_above(together, score.size)))


def _event_time_transform(rows: RiskSets, transform: TimeTransform) -> Floats:
    """g(t) at each event time (T,)."""
    if transform == "km":
        died = np.isin(np.arange(rows.stop.size), rows.dead)
        curve = kaplan_meier(count_events(rows.stop, died, count=rows.weight, entry=rows.start))
        return 1.0 - step_values(curve.time, curve.estimate, np.nextafter(rows.time, -np.inf), before=1.0)
    if transform == "rank":
        return np.asarray(mid_ranks(rows.stop)[rows.dead[np.unique(rows.dead_at, return_index=True)[1]]])
    if transform not in ("log", "identity"):
        raise ValueError(f"transform must be km, log, rank or identity, not {transform!r}")
    return np.log(rows.time) if transform == "log" else rows.time
