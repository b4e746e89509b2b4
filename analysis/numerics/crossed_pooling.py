"""Partial pooling over crossed factors: cells drawn together by what they share, as far as the data bear it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.stats import qmc, t

from analysis.numerics.pooling import mixture_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Half-normal, on the scale of log hazards: of groups that differ by as much, one in six has more than 2.7 times the
# hazard of the middle. Few levels hardly tell how much they differ, and under a flat prior anything would be possible.
PRIOR_SCALE = 1.0
_POINTS, _MEMORY = 512, 4e7
_BOUNDS = (-12.0, 3.0)
# Student's degrees of freedom of the law that points are drawn from: tails no shorter than the posterior's.
_TAIL = 5


@dataclass(frozen=True, slots=True, eq=False)
class Crossed:
    """Posterior of the effects of K cells: a mixture of normals over P values of the standard deviations.

    Attributes
    ----------
    weight : (P,), sum to 1; spread : (P, F + 1), a standard deviation for each factor, then for what is left
    mean, covariance : (P, K) and (P, K, K) of the effects of cells given the standard deviations
    residual : (P, K) what the information says beyond the mean, h - S mean
    information : (K, K); levels : by factor, (K,)
    """

    weight: Floats
    spread: Floats
    mean: Floats
    covariance: Floats
    residual: Floats
    information: Floats
    levels: tuple[Ints, ...]

    @property
    def expected(self) -> Floats:
        """Mean effect of each cell, (K,)."""
        return np.asarray(self.weight @ self.mean)

    @property
    def keep(self) -> Floats:
        """Share of its own estimate, all others held, that a cell keeps, (K,)."""
        return np.asarray(self.weight @ np.einsum("pij,ji->pi", self.covariance, self.information))

    def linear(self, start: Floats, rows: Floats, variance: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
        """Return median and limits of ``start + rows @ effects`` with `variance` of its own; (m,), (m, K), (m,)."""
        centre = start[None, :] + self.mean @ rows.T
        error = np.sqrt(np.einsum("mi,pij,mj->pm", rows, self.covariance, rows) + variance[None, :])
        return self._told(centre, error, confidence)

    def level(self, factor: int, confidence: float) -> tuple[Floats, Floats, Floats]:
        """Return median and limits of the effects of a factor's levels against the mean of them, what is left apart."""
        z = np.eye(int(self.levels[factor].max()) + 1)[self.levels[factor]]
        tau = self.spread[:, factor]
        s = self.information
        # Of u ~ N(0, tau²) in effects z u + rest: E u = tau² z' K⁻¹ m, and K⁻¹ m is what the information says beyond m.
        against = np.eye(z.shape[1]) - 1 / z.shape[1]
        centre = tau[:, None] ** 2 * (self.residual @ z) @ against
        inner = z.T @ s @ z - np.einsum("li,pij,jk->plk", z.T @ s, self.covariance, s @ z)
        varies = tau[:, None, None] ** 2 * np.eye(z.shape[1]) - tau[:, None, None] ** 4 * inner
        varies = np.einsum("li,pij,lj->pl", against, varies, against)
        return self._told(centre, np.sqrt(np.maximum(varies, 0.0)), confidence)

    def spreads(self, confidence: float) -> Floats:
        """Return median and limits of the standard deviations, (F + 1, 3)."""
        tail = (1 - confidence) / 2
        out = np.empty((self.spread.shape[1], 3))
        for f, tau in enumerate(self.spread.T):
            order = np.argsort(tau)
            total = np.cumsum(self.weight[order]) - self.weight[order] / 2
            out[f] = np.interp([0.5, tail, 1 - tail], total, tau[order])
        return out

    def _told(self, centre: Floats, error: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
        shares = (0.5, (1 - confidence) / 2, (1 + confidence) / 2)
        columns = range(centre.shape[1])
        made = [[mixture_quantile(q, centre[:, j], error[:, j], self.weight) for j in columns] for q in shares]
        return np.array(made[0]), np.array(made[1]), np.array(made[2])


def crossed_pooling(information: Floats, said: Floats, levels: Sequence[Ints], seed: int = 0) -> Crossed:
    """Return the effects of cells given what each factor's levels have in common.

    The likelihood of the effects b is ``exp(b' h - b' S b / 2)``; a priori ``b = sum of Z_f u_f + e`` with u_f and e
    normal about 0, each with a standard deviation of its own that is half-normal of scale 1. These are integrated out
    at points drawn about their mode and weighed (importance sampling with Sobol points, always the same ones).

    Parameters
    ----------
    information, said
        S (K, K), which may be singular, and h (K,): cells about which nothing is known are drawn to what they share.
    levels
        For each factor the level of each cell from 0, (K,).

    Raises
    ------
    ValueError
        With fewer than three cells: they cannot say how much cells differ.

    References
    ----------
    Gelman 2006 Bayesian Analysis 1:515 (the prior of few groups); Gelman & Hill 2007, chapter 13 (factors that cross).
    """
    cells = len(said)
    if cells < 3:
        raise ValueError(f"{cells} cells cannot say how much cells differ: three or more are needed.")
    shared = [np.equal.outer(z, z).astype(float) for z in (*levels, np.arange(cells))]

    def given(tau: Floats) -> tuple[float, Floats]:
        prior = np.einsum("f,fij->ij", tau**2, np.array(shared))
        within = np.eye(cells) + information @ prior
        covariance = np.linalg.solve(within.T, prior).T
        covariance = (covariance + covariance.T) / 2
        log = 0.5 * float(said @ covariance @ said) - 0.5 * float(np.linalg.slogdet(within)[1])
        return log - 0.5 * float((tau**2).sum()) / PRIOR_SCALE**2, covariance

    def density(log_tau: Floats) -> float:
        # Of the logarithm: its mode is inside even where the standard deviation may be none.
        return given(np.exp(log_tau))[0] + float(log_tau.sum())

    mode = optimize.minimize(
        lambda x: -density(np.clip(x, *_BOUNDS)), np.full(len(shared), -1.5), method="Nelder-Mead",
        options={"xatol": 1e-3, "fatol": 1e-4, "maxiter": 4000},
    ).x  # fmt: skip
    root = np.linalg.cholesky(_spread_at(density, mode))
    points = int(min(_POINTS, 2 ** int(np.log2(max(_MEMORY / cells**2, 64)))))
    uniform = qmc.Sobol(len(shared), seed=seed).random(points)
    drawn = t.ppf(np.clip(uniform, 1e-9, 1 - 1e-9), _TAIL)
    places = mode + drawn @ root.T
    # Where a standard deviation is beyond all bounds the prior leaves nothing.
    found = [given(np.exp(np.clip(x, *_BOUNDS))) for x in places]
    log = np.array([value for value, _ in found]) + places.sum(axis=1) - t.logpdf(drawn, _TAIL).sum(axis=1)
    weight = np.exp(log - log.max())
    covariance = np.array([c for _, c in found])
    mean = covariance @ said
    residual = said - mean @ information
    return Crossed(
        weight / weight.sum(), np.exp(np.clip(places, *_BOUNDS)), mean, covariance, residual, information, tuple(levels)
    )  # fmt: skip


def _spread_at(density: object, mode: Floats, step: float = 0.15) -> Floats:
    """Return the inverse of minus the Hessian at the mode, by differences, each direction's deviation in bounds."""
    assert callable(density)
    n = len(mode)
    hessian, unit = np.empty((n, n)), step * np.eye(n)
    for i in range(n):
        for j in range(i + 1):
            corners = [a * b * density(mode + a * unit[i] + b * unit[j]) for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = hessian[j, i] = sum(corners) / (4 * step**2)
    values, vectors = np.linalg.eigh(-hessian)
    # A direction that is flat or bends the wrong way is drawn from widely: weights set it right.
    return np.asarray((vectors / np.clip(values, 0.25, 400.0)) @ vectors.T)
