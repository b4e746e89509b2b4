"""Probabilities and mean times from a fitted panel model, with intervals by delta method or simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.numerics.laws import normal_quantile
from analysis.numerics.panel_markov import PanelFit
from analysis.numerics.panel_markov_numerics import exponential

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """Coverage, and 0 draws for the delta method (log or logit scale) or percentiles of seeded draws of theta."""

    level: float = 0.95
    draws: int = 0
    seed: int = 0


DELTA_95 = Interval()


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Estimates with intervals; all arrays but `gradient` have the same shape (...), stated by the function.

    Attributes
    ----------
    estimate, std_error, lower, upper : (...); nan where the fit says a parameter they rest on is undetermined
    gradient : (..., p) derivative of the estimate with respect to theta, for contrasts
    """

    estimate: Floats
    std_error: Floats
    lower: Floats
    upper: Floats
    gradient: Floats


def _estimate(
    fit: PanelFit, quantity: Callable[[Floats, bool], tuple[Floats, Floats]], top: float, interval: Interval
) -> Estimate:
    """Interval for a quantity in (0, top): logit of value / top, or log if top is infinite, keeps it inside."""
    value, gradient = quantity(fit.theta, True)
    error = np.sqrt(np.einsum("...p,pq,...q->...", gradient, fit.variance, gradient))
    if interval.draws:
        generator = np.random.default_rng(interval.seed)
        thetas = generator.multivariate_normal(fit.theta, fit.variance, size=interval.draws)
        sample = np.array([quantity(theta, False)[0] for theta in thetas])
        tail = (1 - interval.level) / 2
        lower, upper = np.quantile(sample, [tail, 1 - tail], axis=0)
        return Estimate(value, sample.std(axis=0, ddof=1), lower, upper, gradient)
    inside = (value > 0) & (value < top)
    safe, z = np.where(inside, value, min(top, 2.0) / 2), normal_quantile(0.5 + interval.level / 2)
    odds, width = safe / (1 - safe / top), z * np.where(inside, error, 0.0) / (safe * (1 - safe / top))
    with np.errstate(over="ignore"):
        bounds = [1 / (1 / (odds * np.exp(sign * width)) + 1 / top) for sign in (-1, 1)]
    lower, upper = (np.where(inside, bound, value) for bound in bounds)
    return Estimate(value, error, lower, upper, gradient)


def row_probabilities(
    fit: PanelFit, covariates: Floats, start: float, times: Floats, final: int | None = None
) -> Callable[[Floats, bool], tuple[Floats, Floats]]:
    """P(start, t), (T, K, K), and its derivatives (T, K, K, p), as a function of theta; nothing leaves `final`."""
    model, design = fit.model, fit.model.design(np.reshape(covariates, (1, -1)))[0]
    if start < 0 or not bool(np.all(np.isfinite(times) & (np.asarray(times) >= start))):
        raise ValueError(f"times must be finite and not before the start {start:g}, which must not be negative")
    inner = model.change_points[(model.change_points > start) & (model.change_points < np.max(times))]
    knots = np.unique(np.concatenate([[start], inner, times]))
    length, band = np.diff(knots), np.searchsorted(model.change_points, knots[:-1], side="right")
    open_rows = model.transitions[:, 0] != (-1 if final is None else final)

    def quantity(theta: Floats, derivatives: bool) -> tuple[Floats, Floats]:
        q = (model.intensities(design[None], theta)[0] * open_rows)[band]
        edges = model.transitions if derivatives else model.transitions[:0]
        step, slope = exponential(model.generator(q) * length[:, None, None], length, edges)
        rows = np.empty((len(knots), model.n_states, model.n_states))
        drows = np.zeros((*rows.shape, len(theta)))
        rows[0] = np.eye(model.n_states)
        for i, b in enumerate(band):
            rows[i + 1] = rows[i] @ step[i]
            if derivatives:
                along = np.tensordot(rows[i], slope[i], (1, 0)).transpose(0, 2, 1) @ (q[i][:, None] * design[b])
                drows[i + 1] = np.einsum("aip,ij->ajp", drows[i], step[i]) + along
        at = np.searchsorted(knots, times)
        return rows[at], drows[at]

    return quantity


def mix(
    weights: Floats, initial: Floats, inner: Callable[[Floats, bool], tuple[Floats, Floats]]
) -> Callable[[Floats, bool], tuple[Floats, Floats]]:
    """Mix rows by the initial distribution (K,) and times by weights (R, T): values (R, K)."""
    if abs(float(np.sum(initial)) - 1) > 1e-9 or float(np.min(initial)) < 0:
        raise ValueError(f"the initial distribution must be probabilities that add up to 1: {np.asarray(initial)}")

    def quantity(theta: Floats, derivatives: bool) -> tuple[Floats, Floats]:
        rows, drows = inner(theta, derivatives)
        mixed = np.einsum("a,tajp->tjp", initial, drows)
        return weights @ np.einsum("a,taj->tj", initial, rows), np.einsum("rt,tjp->rjp", weights, mixed)

    return quantity


def intensities(fit: PanelFit, covariates: Floats, *, interval: Interval = DELTA_95) -> Estimate:
    """Intensity of each transition in each band, (B, m), for covariates (k,); Q is `fit.model.generator` of it."""
    design = fit.model.design(np.reshape(covariates, (1, -1)))

    def quantity(theta: Floats, _: bool) -> tuple[Floats, Floats]:
        q = fit.model.intensities(design, theta)[0]
        return q, q[..., None] * design[0]

    return _estimate(fit, quantity, np.inf, interval)


def transition_probabilities(
    fit: PanelFit, covariates: Floats, start: float, stop: float, *, interval: Interval = DELTA_95
) -> Estimate:
    """P(start, stop), (K, K), for covariates (k,): the product of the exponentials of the bands between.

    Raises ValueError if `stop` is before `start`. Source: Kalbfleisch & Lawless (1985), section 3.
    """
    inner = row_probabilities(fit, covariates, start, np.array([stop]))

    def quantity(theta: Floats, derivatives: bool) -> tuple[Floats, Floats]:
        rows, drows = inner(theta, derivatives)
        return rows[0], drows[0]

    return _estimate(fit, quantity, 1.0, interval)


def state_occupation(
    fit: PanelFit,
    covariates: Floats,
    times: Floats,
    initial: Floats,
    *,
    start: float = 0.0,
    interval: Interval = DELTA_95,
) -> Estimate:
    """Probability of being in each state at each time, (T, K), from `initial` (K,) at `start`.

    Raises ValueError for times before the start or an initial distribution that is none.
    """
    inner = row_probabilities(fit, covariates, start, times)
    return _estimate(fit, mix(np.eye(len(times)), initial, inner), 1.0, interval)


def cumulative_incidence(
    fit: PanelFit,
    covariates: Floats,
    times: Floats,
    initial: Floats,
    state: int,
    *,
    start: float = 0.0,
    interval: Interval = DELTA_95,
) -> Estimate:
    """Probability of having entered `state` by each time, (T,), other ends competing.

    For an absorbing state this is its occupation; for any other it is the first passage, nothing leaving `state`.
    """
    mixed = mix(np.eye(len(times)), initial, row_probabilities(fit, covariates, start, times, state))

    def quantity(theta: Floats, derivatives: bool) -> tuple[Floats, Floats]:
        value, gradient = mixed(theta, derivatives)
        return value[:, state], gradient[:, state]

    return _estimate(fit, quantity, 1.0, interval)


def restricted_mean_time(
    fit: PanelFit,
    covariates: Floats,
    horizon: float,
    initial: Floats,
    *,
    start: float = 0.0,
    interval: Interval = DELTA_95,
) -> Estimate:
    """Mean time spent in each state between `start` and `horizon`, (K,), in the unit of the moves; sums to their gap.

    The integral of the occupation by 8-point Gauss–Legendre panels within bands, short enough (at most half a move
    expected in any) for an error below rounding. Raises ValueError if `horizon` is not after `start`.
    """
    if not horizon > start:
        raise ValueError(f"the horizon {horizon:g} must be after the start {start:g}")
    q = fit.model.generator(fit.model.intensities(fit.model.design(np.reshape(covariates, (1, -1))), fit.theta))
    n_panels = min(200, int(np.ceil(2 * np.abs(q).max() * (horizon - start))))
    inside = fit.model.change_points[(fit.model.change_points > start) & (fit.model.change_points < horizon)]
    edges = np.unique(np.concatenate([np.linspace(start, horizon, n_panels + 1), inside]))
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2
    times = (edges[:-1, None] + half * (1 + nodes)).ravel()
    mixed = mix((half * weights).reshape(1, -1), initial, row_probabilities(fit, covariates, start, times))

    def quantity(theta: Floats, derivatives: bool) -> tuple[Floats, Floats]:
        value, gradient = mixed(theta, derivatives)
        return value[0], gradient[0]

    return _estimate(fit, quantity, horizon - start, interval)


def difference(fit: PanelFit, first: Estimate, second: Estimate, *, level: float = 0.95) -> Estimate:
    """First minus second, any (...) shape they share, with the covariance both have through theta (plain scale)."""
    gradient, value = first.gradient - second.gradient, first.estimate - second.estimate
    error = np.sqrt(np.einsum("...p,pq,...q->...", gradient, fit.variance, gradient))
    width = normal_quantile(0.5 + level / 2) * error
    return Estimate(value, error, value - width, value + width, gradient)
