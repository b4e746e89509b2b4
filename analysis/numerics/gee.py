"""Generalised estimating equations for yes or no, from counts of clusters that are alike.

The marginal model is logit P(y = 1) = x'b; answers of one cluster may correlate. Clusters with the same rows enter
once, with their number: estimating equations, moments of the correlation and sandwich are sums over clusters, so that
nothing is lost.

References
----------
Liang & Zeger 1986 Biometrika 73:13; Zeger, Liang & Albert 1988 Biometrics 44:1049; Mancl & DeRouen 2001 Biometrics
57:126 (bias of the sandwich in few clusters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Working = Literal["independence", "exchangeable"]


@dataclass(frozen=True, slots=True)
class GeeFit:
    """A fitted marginal model of p coefficients.

    Attributes
    ----------
    beta : (p,)
    robust : (p, p)
        Sandwich covariance (Liang & Zeger).
    naive : (p, p)
        Covariance if the working correlation were right.
    correlation : float
        Of two answers of a cluster, by moments; 0 under independence.
    scale : float
        Mean square of the Pearson residuals.
    n_clusters : float
    converged : bool
        False where the moments want a correlation of one or more: estimates are no numbers to show then.
    """

    beta: Floats
    robust: Floats
    naive: Floats
    correlation: float
    scale: float
    n_clusters: float
    converged: bool


def fit_gee(
    x: Floats,
    y: Floats,
    cluster: Ints,
    count: Floats,
    working: str = "exchangeable",
    *,
    tolerance: float = 1e-10,
    max_steps: int = 100,
) -> GeeFit:
    """Fit by Fisher scoring, the correlation by moments in between.

    Parameters
    ----------
    x : (n, p)
    y : (n,)
        0 or 1.
    cluster : (n,)
        Index 0..m-1 of the kind of cluster a row belongs to.
    count : (m,)
        How many clusters of each kind there are.
    working
        ``independence`` or ``exchangeable``.

    Raises
    ------
    ValueError
        When the working correlation is unknown, y is not 0 or 1, or a coefficient is not determined.
    """
    if working not in get_args(Working):
        raise ValueError(f"Unknown working correlation {working!r}; choose one of: {', '.join(get_args(Working))}.")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("Outcomes must be 0 or 1.")
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError("A coefficient is not determined: a covariate follows from the others.")
    size = np.bincount(cluster, minlength=len(count)).astype(float)
    beta, alpha, converged = np.zeros(x.shape[1]), 0.0, False
    for _ in range(max_steps):
        at = _at(x, y, cluster, count, size, beta, alpha)
        step = np.linalg.solve(at.information, count @ at.scores)
        beta = beta + step
        if working == "exchangeable":
            at = _at(x, y, cluster, count, size, beta, alpha)
            before, alpha = alpha, at.moment
            if not np.isfinite(alpha) or alpha >= 1:
                # No such correlation exists: few clusters, or who answers depends on the answer.
                beta, alpha = beta - step, before
                break
            moved = max(float(np.abs(step).max()), abs(alpha - before))
        else:
            moved = float(np.abs(step).max())
        if moved < tolerance:
            converged = True
            break
    at = _at(x, y, cluster, count, size, beta, alpha)
    bread = np.linalg.inv(at.information)
    meat = (at.scores * count[:, None]).T @ at.scores
    robust, naive = np.asarray(bread @ meat @ bread), np.asarray(at.scale * bread)
    return GeeFit(beta, robust, naive, alpha, at.scale, float(count.sum()), converged)


@dataclass(frozen=True, slots=True)
class _At:
    """Scores (m, p) of one cluster of each kind, information (p, p), and moments of the residuals."""

    scores: Floats
    information: Floats
    scale: float
    moment: float


def _at(x: Floats, y: Floats, cluster: Ints, count: Floats, size: Floats, beta: Floats, alpha: float) -> _At:
    mean = special.expit(x @ beta)
    root = np.sqrt(np.maximum(mean * (1 - mean), 1e-300))
    e, u, m = (y - mean) / root, x * root[:, None], len(count)
    sum_e, sum_u = np.bincount(cluster, weights=e, minlength=m), np.zeros((m, x.shape[1]))
    np.add.at(sum_u, cluster, u)
    ue = np.zeros_like(sum_u)
    np.add.at(ue, cluster, u * e[:, None])
    # The inverse of an exchangeable correlation: (I - k J) / (1 - a) with k = a / (1 + (n - 1) a).
    k = alpha / (1 + (size - 1) * alpha)
    scores = (ue - k[:, None] * sum_u * sum_e[:, None]) / (1 - alpha)
    weight = count[cluster]
    information = (u * weight[:, None]).T @ u - (sum_u * (k * count)[:, None]).T @ sum_u
    p, n = x.shape[1], float(weight.sum())
    square = np.bincount(cluster, weights=e * e, minlength=m)
    scale = float(count @ square) / (n - p)
    pairs = float(count @ (size * (size - 1) / 2)) - p
    products = float(count @ ((sum_e**2 - square) / 2))
    return _At(scores, information / (1 - alpha), scale, products / pairs / scale if pairs > 0 else 0.0)
