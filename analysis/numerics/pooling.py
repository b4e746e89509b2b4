"""Partial pooling of group estimates, and funnel limits with overdispersion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from analysis.numerics.laws import normal_below, normal_quantile

Floats = NDArray[np.float64]

_POINTS = 400


@dataclass(frozen=True, slots=True)
class Pooled:
    """Groups that share a normal distribution.

    Attributes
    ----------
    estimate, low, high
        Median and limits of each group after pooling, shape (g,).
    overall, overall_low, overall_high
        Median and limits of the mean of the distribution.
    spread, spread_low, spread_high
        Its standard deviation tau: median and limits.
    weight
        Share of its own estimate that a group keeps, averaged over tau, shape (g,).
    """

    estimate: Floats
    low: Floats
    high: Floats
    overall: float
    overall_low: float
    overall_high: float
    spread: float
    spread_low: float
    spread_high: float
    weight: Floats


def partial_pooling(estimate: Floats, error: Floats, confidence: float = 0.95) -> Pooled:
    """Return group estimates drawn together as far as chance explains their differences.

    ``estimate_g ~ N(theta_g, error_g²)``, ``theta_g ~ N(mu, tau²)``, flat priors on mu and tau: the posterior is a
    mixture of normals over tau, integrated on a grid, so that the uncertainty of tau is in the limits.

    Parameters
    ----------
    estimate, error
        Shape (g,), errors positive.

    Raises
    ------
    ValueError
        With fewer than three groups (tau has no posterior under a flat prior), or an error that is not positive.

    References
    ----------
    Rubin 1981 J Educ Stat 6:377; Gelman 2006 Bayesian Analysis 1:515; Gelman et al. 2013, Bayesian Data Analysis, 3rd
    ed., section 5.4.
    """
    y, s = np.asarray(estimate, dtype=float), np.asarray(error, dtype=float)
    if len(y) < 3:
        raise ValueError(f"{len(y)} groups cannot say how much groups differ: three or more are needed.")
    if not (np.all(s > 0) and np.all(np.isfinite(y)) and np.all(np.isfinite(s))):
        raise ValueError("Every group needs a finite estimate with a positive error.")
    # Beyond this tau the posterior is next to nothing: its tail falls as tau**(1 - g).
    top = 20 * (y.std() + s.max())
    tau = top * (np.arange(_POINTS) / (_POINTS - 1)) ** 2
    variance = s**2 + tau[:, None] ** 2
    of_mean = 1 / (1 / variance).sum(axis=1)
    mean = of_mean * (y / variance).sum(axis=1)
    log = 0.5 * np.log(of_mean) - 0.5 * (np.log(variance) + (y - mean[:, None]) ** 2 / variance).sum(axis=1)
    # Trapezoids on the uneven grid.
    width = np.gradient(tau)
    weight = np.exp(log - log.max()) * width
    weight /= weight.sum()
    keep = tau[:, None] ** 2 / variance
    centre = keep * y + (1 - keep) * mean[:, None]
    spread = np.sqrt(keep * s**2 + (1 - keep) ** 2 * of_mean[:, None])
    tail = (1 - confidence) / 2
    shares = (tail, 0.5, 1 - tail)
    groups = np.array(
        [[mixture_quantile(q, centre[:, g], spread[:, g], weight) for q in shares] for g in range(len(y))]
    )
    middle = [mixture_quantile(q, mean, np.sqrt(of_mean), weight) for q in shares]
    total = np.cumsum(weight)
    taus = [float(tau[min(int(np.searchsorted(total, q)), _POINTS - 1)]) for q in shares]
    return Pooled(
        groups[:, 1], groups[:, 0], groups[:, 2], middle[1], middle[0], middle[2], taus[1], taus[0], taus[2],
        weight @ keep,
    )  # fmt: skip


def mixture_quantile(share: float, centre: Floats, spread: Floats, weight: Floats) -> float:
    """Return a quantile of a mixture of normals; a component without spread is a step."""
    safe = np.maximum(spread, 1e-12)

    def below(x: float) -> float:
        return float(weight @ normal_below((x - centre) / safe)) - share

    low, high = float((centre - 12 * safe).min()), float((centre + 12 * safe).max())
    return float(optimize.brentq(below, low, high, xtol=1e-10))


@dataclass(frozen=True, slots=True)
class Funnel:
    """Where groups would lie if all were alike but for chance and the overdispersion that they show.

    Attributes
    ----------
    target
        The common value.
    z
        How far each group is from it in widened standard errors, shape (g,).
    overdispersion
        Factor of the variance beyond chance, 1 or more; winsorised.
    """

    target: float
    z: Floats
    overdispersion: float

    def limits(self, error: Floats, confidence: float) -> tuple[Floats, Floats]:
        """Return the limits for groups with such standard errors."""
        width = normal_quantile(0.5 + confidence / 2) * np.sqrt(self.overdispersion) * np.asarray(error, dtype=float)
        return self.target - width, self.target + width


def funnel(estimate: Floats, error: Floats, *, trim: float = 0.1) -> Funnel:
    """Return how groups compare with their precision-weighted mean, allowing for overdispersion.

    The variance of the z scores, those beyond the `trim` quantiles set to them, widens the limits if it is above 1.

    References
    ----------
    Spiegelhalter 2005 Stat Med 24:1185, section 4 (multiplicative, winsorised).
    """
    y, s = np.asarray(estimate, dtype=float), np.asarray(error, dtype=float)
    target = float((y / s**2).sum() / (1 / s**2).sum())
    z = (y - target) / s
    low, high = np.quantile(z, [trim, 1 - trim])
    phi = max(float(np.mean(np.clip(z, low, high) ** 2)), 1.0)
    return Funnel(target, z / np.sqrt(phi), phi)
