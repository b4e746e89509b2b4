"""Logistic models for weights, and what weights do: balance, effective sample size, clustered variance, E-value.

The logistic regression is fitted by iteratively reweighted least squares with case weights. Rows that are alike may be
gathered first (:func:`gather`): a likelihood depends on nothing but the weighted counts of distinct rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, special

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows without weight are left out where at least so large a share of the rows has none.
_MOST_HELD = 0.8
# Steps of a calibration within which its gap must fall by half.
_PATIENCE = 6


@dataclass(frozen=True, slots=True)
class Logistic:
    """A fitted logistic regression.

    Attributes
    ----------
    coefficients
        Shape (p,).
    bread
        Inverse of the information (p, p); the covariance where rows are independent and weights are counts. Empty
        where it was not asked for.
    fitted
        Probabilities, shape (n,).
    deviance
        Minus twice the log-likelihood of 0/1 outcomes.
    steps
        Steps taken.
    converged
        Whether the deviance settled; False under separation without a penalty.
    """

    coefficients: Floats
    bread: Floats
    fitted: Floats
    deviance: float
    steps: int
    converged: bool

    def predict(self, design: Floats) -> Floats:
        """Return probabilities for the rows of `design` (m, p)."""
        return np.asarray(special.expit(design @ self.coefficients))


def logistic(
    design: Floats,
    outcome: Floats,
    weight: Floats | None = None,
    *,
    penalty: Floats | float = 0.0,
    start: Floats | None = None,
    tolerance: float = 1e-10,
    max_steps: int = 50,
    covariance: bool = True,
) -> Logistic:
    """Fit P(outcome = 1) = expit(design @ b) by iteratively reweighted least squares.

    Parameters
    ----------
    design
        Shape (n, p), with a column of ones where an intercept is wanted.
    outcome
        0, 1 or a share in between, shape (n,).
    weight
        Case weights, shape (n,), not negative; default one each.
    penalty
        Precision of a normal prior at zero, one number or shape (p,); zero is maximum likelihood. A small one keeps
        coefficients finite when a covariate separates the outcomes.
    start
        Coefficients to start from, e.g. those of the whole sample in a bootstrap.
    tolerance
        Relative change of the deviance at which to stop, as ``glm`` in R does (1e-8 there).
    covariance
        Whether `bread` is wanted; a resample needs none.

    Raises
    ------
    ValueError
        When there is no row with weight.

    References
    ----------
    McCullagh & Nelder 1989, Generalized Linear Models, section 2.5.
    """
    n, p = design.shape
    weight = np.ones(n) if weight is None else weight
    if not weight.sum() > 0:
        raise ValueError("There is no observation to fit a logistic model to.")
    # A third of a resample was not drawn: rows without weight say nothing, and are left out of the sums.
    everybody, held = design, np.flatnonzero(weight > 0)
    if few := len(held) < _MOST_HELD * n:
        design, outcome, weight = design[held], outcome[held], weight[held]
    prior = np.broadcast_to(np.asarray(penalty, dtype=float), (p,))
    if start is None:
        mean = (weight * outcome + 0.5) / (weight + 1)
        eta = special.logit(np.where(weight > 0, mean, 0.5))
        b = np.zeros(p)
    else:
        b = start
        eta = design @ b
        mean = special.expit(eta)
    before = _deviance(outcome, mean, weight) + float(prior @ b**2)
    step, done = 0, False
    for step in range(1, max_steps + 1):
        curvature = weight * np.maximum(mean * (1 - mean), 1e-12)
        target = eta + (outcome - mean) / np.maximum(mean * (1 - mean), 1e-12)
        information = design.T @ (curvature[:, None] * design) + np.diag(prior)
        new = solve(information, design.T @ (curvature * target))
        # Halve a step that makes things worse.
        for _ in range(20):
            eta = design @ new
            mean = special.expit(eta)
            deviance = _deviance(outcome, mean, weight) + float(prior @ new**2)
            if deviance <= before + 1e-8 * (abs(before) + 0.1) or step == 1:
                break
            new = (new + b) / 2
        b = new
        done = abs(deviance - before) <= tolerance * (abs(deviance) + 0.1)
        before = deviance
        if done:
            break
    bread = np.zeros((0, 0))
    if covariance:
        curvature = weight * mean * (1 - mean)
        bread = solve(design.T @ (curvature[:, None] * design) + np.diag(prior), np.eye(p))
    if few:
        mean = special.expit(everybody @ b)
    return Logistic(b, bread, mean, before - float(prior @ b**2), step, done)


@dataclass(frozen=True, slots=True)
class Linear:
    """A fitted weighted least-squares regression: coefficients (p,), bread (p, p), fitted values (n,)."""

    coefficients: Floats
    bread: Floats
    fitted: Floats

    def predict(self, design: Floats) -> Floats:
        """Return means for the rows of `design` (m, p)."""
        return np.asarray(design @ self.coefficients)


def linear(design: Floats, outcome: Floats, weight: Floats, penalty: Floats | None = None) -> Linear:
    """Fit outcome = design @ b by least squares with weights; arrays as in :func:`logistic`.

    A `penalty` (p,) on the squares of coefficients is as so many records that say these are zero.
    """
    prior = np.zeros(design.shape[1]) if penalty is None else penalty
    bread = solve(design.T @ (weight[:, None] * design) + np.diag(prior), np.eye(design.shape[1]))
    b = bread @ (design.T @ (weight * outcome))
    return Linear(b, bread, design @ b)


def sandwich(
    design: Floats, residual: Floats, weight: Floats, bread: Floats, cluster: Ints, *, small_sample: bool = False
) -> Floats:
    """Return the covariance (p, p) clustered by `cluster` (n,) of a logistic or linear fit.

    Scores ``weight × residual × design`` are added up within clusters before they are squared. With `small_sample`,
    times G / (G - 1), as ``sandwich::vcovCL`` of R does for a generalised linear model.

    References
    ----------
    Liang & Zeger 1986 Biometrika 73:13.
    """
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=cluster[order][0] - 1))
    total = np.add.reduceat(((weight * residual)[:, None] * design)[order], starts, axis=0)
    covariance = bread @ (total.T @ total) @ bread
    if small_sample:
        covariance *= len(starts) / (len(starts) - 1)
    return np.asarray(covariance)


@dataclass(frozen=True, slots=True)
class Cells:
    """Distinct rows with the sum of their weights.

    Attributes
    ----------
    design, outcome
        Distinct rows (m, p) and the weighted mean of their outcomes (m,).
    weight
        Sum of the weights, shape (m,).
    cell
        Which distinct row each row is, shape (n,).
    """

    design: Floats
    outcome: Floats
    weight: Floats
    cell: Ints


def gather(design: Floats, outcome: Floats, weight: Floats) -> Cells:
    """Gather rows of `design` (n, p) that are alike; fits to the cells are those to the rows, exactly."""
    distinct, cell = np.unique(design, axis=0, return_inverse=True)
    cell = cell.ravel()
    total = np.bincount(cell, weight, len(distinct))
    mean = np.bincount(cell, weight * outcome, len(distinct)) / np.where(total > 0, total, 1.0)
    return Cells(distinct, np.asarray(mean, dtype=float), np.asarray(total, dtype=float), cell.astype(np.int64))


def calibrate(
    base: Floats, x: Floats, total: Floats, *, start: Floats | None = None, max_steps: int = 50
) -> tuple[Floats, Floats | None]:
    """Return the weights nearest to `base` (n,) under which the columns of `x` (n, p) add up to `total` (p,), and b.

    Nearest in relative entropy: each weight is multiplied by ``exp(x @ b)``. Inverse-probability weights calibrated so
    balance exactly what they balance on average, and lose less to chance. Where no such weights exist (nobody to
    represent the others) `base` is returned as it is, without b, and the imbalance stays to be seen. The search begins
    at `start` (p,), the b of similar weights: there is one solution, and it is found sooner.

    References
    ----------
    Deville & Särndal 1992 JASA 87:376 (raking); Hainmueller 2012 Political Analysis 20:25 (entropy balancing).
    """
    if not base.sum() > 0:
        return base, None
    scale = np.maximum(base.sum(), 1e-300)
    b = np.zeros(x.shape[1]) if start is None else start
    w = base * np.exp(np.minimum(x @ b, 20.0))
    gap = (w @ x - total) / scale
    before = [np.inf] * _PATIENCE
    for _ in range(max_steps):
        if np.abs(gap).max() < 1e-9:
            return np.asarray(w), b
        # Steps halve the gap many times over where there is a solution, and ever less of it where there is none.
        before.append(float(np.linalg.norm(gap)))
        if before[-1] > before[-1 - _PATIENCE] / 2:
            break
        hessian = x.T @ (w[:, None] * x) / scale
        step = solve(hessian + 1e-10 * np.trace(hessian) / len(b) * np.eye(len(b)), gap)
        length = 1.0
        for _ in range(30):
            tilt = x @ (b - length * step)
            if tilt.max() < 20:
                trial = base * np.exp(tilt)
                new = (trial @ x - total) / scale
                if np.linalg.norm(new) < np.linalg.norm(gap):
                    break
            length /= 2
        else:
            break
        b, w, gap = b - length * step, trial, new
    if np.abs(gap).max() < 1e-6:
        return np.asarray(w), b
    return (base, None) if start is None else calibrate(base, x, total, max_steps=max_steps)


def standardised_difference(x: Floats, treated: NDArray[np.bool_], weight: Floats | None = None) -> Floats:
    """Return standardised mean differences of the columns of `x` (n, p), treated minus not, shape (p,).

    The scale is the root mean of both unweighted variances, the same before and after weighting (Austin 2009 Stat Med
    28:3083). A column that does not vary has difference zero.
    """
    weight = np.ones(len(x)) if weight is None else weight
    one, other = (np.average(x[g], axis=0, weights=weight[g]) for g in (treated, ~treated))
    spread = np.sqrt((x[treated].var(axis=0, ddof=1) + x[~treated].var(axis=0, ddof=1)) / 2)
    return np.asarray(np.where(spread > 1e-12, (one - other) / np.where(spread > 1e-12, spread, 1.0), 0.0))


def effective_sample_size(weight: Floats) -> float:
    """Return (sum w)^2 / sum w^2 (Kish 1965): how many equally weighted observations would say as much."""
    total = float(weight.sum())
    return total**2 / float((weight**2).sum()) if total > 0 else 0.0


def effective_clusters(weight: Floats, cluster: Ints) -> float:
    """Return how many clusters carry the weights (n,), added up by `cluster` (n,): two knees are one person."""
    total = np.bincount(np.unique(cluster, return_inverse=True)[1], weight)
    return effective_sample_size(np.asarray(total, dtype=float))


def e_value(ratio: float) -> float:
    """Return the E-value of a risk ratio: how strong unmeasured confounding would have to be to explain it away.

    A difference d in standard deviations counts as the ratio exp(0.91 d).

    References
    ----------
    VanderWeele & Ding 2017 Ann Intern Med 167:268.
    """
    ratio = 1 / ratio if ratio < 1 else ratio
    return float(ratio + np.sqrt(ratio * (ratio - 1)))


def _deviance(outcome: Floats, mean: Floats, weight: Floats) -> float:
    mean = np.clip(mean, 1e-300, 1 - 1e-16)
    return float(-2 * (weight @ (outcome * np.log(mean) + (1 - outcome) * np.log(1 - mean))))


def solve(matrix: Floats, right: Floats) -> Floats:
    """Solve a symmetric positive system; where columns depend on each other, one of the shortest solutions.

    On the scale of unit diagonal 1e-12 is added to it: below rounding where the system is sound.
    """
    diagonal = np.diag(matrix)
    scale = np.sqrt(np.where(diagonal > 1e-200, diagonal, 1.0))
    unit = matrix / np.outer(scale, scale)
    unit[np.diag_indices_from(unit)] += 1e-12
    right = (right.T / scale).T
    try:
        solution = linalg.cho_solve(linalg.cho_factor(unit, check_finite=False), right, check_finite=False)
    except linalg.LinAlgError:
        solution = linalg.pinvh(unit, rtol=1e-10) @ right
    return np.asarray((solution.T / scale).T)
