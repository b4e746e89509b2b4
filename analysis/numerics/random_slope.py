"""Mixed model with a random intercept and slope in actual time, fitted from cross-products per course.

A course has covariates c that do not change and a basis b(t) of time, b = (1, t, curved columns): the mean is a
choice of columns of c ⊗ b, and the course deviates by its own intercept and slope. Given G and the residual variance,
the normal likelihood depends on the measurements of a course only through its sums of b b', b y and y². No step looks
at a measurement again, and all courses are handled as arrays.

References
----------
Laird & Ware 1982 Biometrics 38:963; Bates et al. 2015 J Stat Softw 67(1) (profiled deviance in the relative factor);
Liang & Zeger 1986 Biometrika 73:13 (sandwich).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Smallest singular value of the relative factor, in units where the slope is that over the spread of time, below which
# the variance it stands for cannot be told from none.
DEGENERATE = 1e-3


@dataclass(frozen=True, slots=True)
class CourseSums:
    """Sums over the measurements of each of n courses, K basis columns, q covariates.

    Attributes
    ----------
    c : (n, q)
    count : (n,)
        Measurements.
    bb : (n, K, K); by : (n, K); yy : (n,)
    """

    c: Floats
    count: Floats
    bb: Floats
    by: Floats
    yy: Floats


@dataclass(frozen=True, slots=True)
class SlopeFit:
    """A fitted model with p coefficients, the pairs (covariate, basis column) of `columns`.

    Attributes
    ----------
    beta : (p,)
    covariance : (p, p)
        Of beta, by the model.
    factor : (r, r)
        Lower factor of the random effects' covariance, relative to the residual standard deviation.
    residual : float
        Residual variance.
    loglik : float
        Restricted, or full, log-likelihood.
    newton_decrement : float
        Twice the rise in log-likelihood that another Newton step promises.
    degenerate : bool
        Whether the random effects' covariance is singular: a variance of nought, or a correlation of one.
    scores : (n, p)
        Score of each course at the estimate.
    """

    beta: Floats
    covariance: Floats
    factor: Floats
    residual: float
    loglik: float
    newton_decrement: float
    degenerate: bool
    scores: Floats
    columns: Ints
    sums: CourseSums
    reml: bool

    @property
    def random(self) -> Floats:
        """Covariance of the random effects, (r, r), in units of the outcome squared."""
        return np.asarray(self.residual * self.factor @ self.factor.T)

    def clustered(self, cluster: Ints) -> Floats:
        """Return the covariance (p, p) clustered by `cluster` (n,), times m / (m - p) for m clusters."""
        p, m = len(self.beta), len(np.unique(cluster))
        together = np.zeros((int(cluster.max()) + 1, p))
        np.add.at(together, cluster, self.scores)
        return np.asarray(self.covariance @ (together.T @ together) @ self.covariance * m / (m - p))


def course_sums(c: Floats, course: Ints, basis: Floats, y: Floats) -> CourseSums:
    """Reduce measurements: basis (N, K) and y (N,) of the course (N,) they belong to, an index into c (n, q).

    Raises
    ------
    ValueError
        When something is not finite, or a course has no measurement.
    """
    if not (np.isfinite(c).all() and np.isfinite(basis).all() and np.isfinite(y).all()):
        raise ValueError("Covariates, times and outcomes must be finite.")
    n, k = len(c), basis.shape[1]
    count = np.bincount(course, minlength=n).astype(float)
    if (count == 0).any():
        raise ValueError(f"{int((count == 0).sum())} courses have no measurement; leave them out.")

    def added(values: Floats) -> Floats:
        return np.bincount(course, weights=values, minlength=n).astype(np.float64)

    bb = np.stack([added(basis[:, i] * basis[:, j]) for i in range(k) for j in range(k)], axis=1).reshape(n, k, k)
    by = np.stack([added(basis[:, i] * y) for i in range(k)], axis=1)
    return CourseSums(np.asarray(c, dtype=float), count, bb, by, added(y * y))


def fit_random_slope(sums: CourseSums, columns: Ints, effects: int = 2, reml: bool = True) -> SlopeFit:
    """Fit by restricted or full maximum likelihood.

    Parameters
    ----------
    columns : (p, 2)
        Covariate and basis column of each coefficient.
    effects
        Random effects: 2, intercept and slope on the second basis column; 1, intercept; 0, none.

    Raises
    ------
    ValueError
        When a coefficient is not determined by the data.
    """
    model = _Model(sums, np.asarray(columns), effects, reml)
    theta = np.zeros(0) if effects == 0 else model.search()
    at = model.profile(theta)
    # Of the factor, measured over the spread of time so that a slope and an intercept are alike.
    spread = model.factor(theta) * np.array([1.0, model.time_scale])[:effects, None]
    degenerate = bool(effects) and float(np.linalg.svd(spread, compute_uv=False)[-1]) < DEGENERATE
    decrement = 0.0 if effects == 0 or degenerate else model.decrement(theta)
    return SlopeFit(
        beta=at.beta, covariance=at.variance * at.bread, factor=model.factor(theta), residual=at.variance,
        loglik=-at.deviance / 2, newton_decrement=decrement, degenerate=degenerate,
        scores=model.scores(at), columns=model.columns, sums=sums, reml=reml,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Parts:
    """Quantities at a factor: bread (p, p), right (p,), yy, log determinant, and the courses' own R (n, K, K), r."""

    bread: Floats
    right: Floats
    yy: float
    logdet: float
    logdet_bread: float
    inner: Floats
    outcome: Floats


@dataclass(frozen=True, slots=True)
class _Point:
    beta: Floats
    bread: Floats
    variance: float
    deviance: float
    parts: _Parts


class _Model:
    """The profiled deviance of one model as a function of the relative factor of the random effects."""

    def __init__(self, sums: CourseSums, columns: Ints, effects: int, reml: bool) -> None:
        self.sums, self.columns, self.effects, self.reml = sums, columns, effects, reml
        n, q = sums.c.shape
        self.cc = np.einsum("nq,nr->nqr", sums.c, sums.c).reshape(n, q * q)
        self.n = float(sums.count.sum())
        self.time_scale = self._time_scale()

    def _time_scale(self) -> float:
        if self.effects < 2:
            return 1.0
        mean = self.sums.bb[:, 0, 1].sum() / self.n
        return float(np.sqrt(max(self.sums.bb[:, 1, 1].sum() / self.n - mean**2, 1e-12)))

    def factor(self, theta: Floats) -> Floats:
        out = np.zeros((self.effects, self.effects))
        out[np.tril_indices(self.effects)] = theta
        return out

    def parts(self, theta: Floats) -> _Parts:
        """Everything the likelihood needs: V = s² (I + Z L L' Z'), with Z the first basis columns of a course."""
        sums, e = self.sums, self.effects
        factor = self.factor(theta)
        bz = sums.bb[:, :, :e] @ factor
        inside = np.eye(e) + factor.T @ bz[:, :e, :] if e else np.zeros((len(sums.count), 0, 0))
        solved = np.linalg.solve(inside, np.swapaxes(bz, 1, 2)) if e else np.zeros((len(sums.count), 0, bz.shape[1]))
        zy = sums.by[:, :e] @ factor
        inner = sums.bb - bz @ solved
        # b'V^-1 y; the factor's part of it is A^-1 L'Z'y.
        back = np.linalg.solve(inside, zy[:, :, None])[:, :, 0] if e else zy
        outcome = sums.by - np.einsum("nke,ne->nk", bz, back)
        yy = float(sums.yy.sum() - (zy * back).sum())
        logdet = float(np.linalg.slogdet(inside)[1].sum()) if e else 0.0
        gram, right = self._gram(inner, outcome)
        try:
            lower = linalg.cholesky(gram, lower=True)
        except linalg.LinAlgError:
            raise ValueError("A coefficient of the mean is not determined by the data.") from None
        bread = np.asarray(linalg.cho_solve((lower, True), np.eye(len(gram))))
        return _Parts(bread, right, yy, logdet, float(2 * np.log(np.diag(lower)).sum()), inner, outcome)

    def _gram(self, inner: Floats, outcome: Floats) -> tuple[Floats, Floats]:
        """X'V^-1 X (p, p) and X'V^-1 y (p,) for the coefficients chosen, in units of the residual variance."""
        n, q, k = len(outcome), self.sums.c.shape[1], outcome.shape[1]
        whole = (self.cc.T @ inner.reshape(n, k * k)).reshape(q, q, k, k)
        one, two = self.columns.T
        return whole[one[:, None], one[None, :], two[:, None], two[None, :]], (self.sums.c.T @ outcome)[one, two]

    def profile(self, theta: Floats) -> _Point:
        parts = self.parts(theta)
        beta = parts.bread @ parts.right
        left = self.n - (len(beta) if self.reml else 0)
        square = max(parts.yy - float(beta @ parts.right), 1e-300)
        deviance = parts.logdet + left * (1 + np.log(2 * np.pi * square / left))
        deviance += parts.logdet_bread if self.reml else 0.0
        return _Point(beta, parts.bread, square / left, deviance, parts)

    def deviance(self, theta: Floats) -> float:
        return self.profile(theta).deviance

    def search(self) -> Floats:
        """Minimise the deviance from one start, or two where it can have two minima, and polish the better."""
        scale = np.ones(3) if self.effects == 2 else np.ones(1)
        if self.effects == 2:
            scale[1:] = 1 / self.time_scale
        low = [(0.0, None)] if self.effects == 1 else [(0.0, None), (None, None), (0.0, None)]
        found = [
            optimize.minimize(
                lambda x: self.deviance(x * scale), start, method="L-BFGS-B", bounds=low, jac="3-point",
                options={"ftol": 1e-14, "gtol": 1e-7, "maxiter": 200},
            )
            for start in np.array([[1.0, 0.0, 0.5], [0.3, 0.0, 0.1]])[: self.effects, : len(scale)]
        ]  # fmt: skip
        best = min(found, key=lambda f: float(f.fun))
        return np.asarray(self._polished(best.x * scale, scale))

    def _polished(self, theta: Floats, scale: Floats) -> Floats:
        """Take Newton steps with numeric derivatives, as long as they help: the optimiser stops a little short."""
        step = 1e-3 * scale
        for _ in range(4):
            gradient, curvature = _gradient(self.deviance, theta, step), _hessian(self.deviance, theta, step)
            if np.linalg.eigvalsh(curvature)[0] <= 0:
                break
            moved = theta - np.linalg.solve(curvature, gradient)
            if not self.deviance(moved) < self.deviance(theta):
                break
            theta = moved
        return theta

    def decrement(self, theta: Floats) -> float:
        scale = np.ones(1) if self.effects == 1 else np.array([1.0, 1 / self.time_scale, 1 / self.time_scale])
        step = 1e-3 * scale
        gradient, curvature = _gradient(self.deviance, theta, step), _hessian(self.deviance, theta, step)
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            return float("inf")
        return float(gradient @ np.linalg.solve(curvature, gradient) / 2)

    def scores(self, at: _Point) -> Floats:
        """X'V^-1 (y - X beta) of each course, (n, p)."""
        coefficients = np.zeros((self.sums.c.shape[1], at.parts.outcome.shape[1]))
        one, two = self.columns.T
        coefficients[one, two] = at.beta
        left = at.parts.outcome - np.einsum("nkl,nl->nk", at.parts.inner, self.sums.c @ coefficients)
        return np.asarray(self.sums.c[:, one] * left[:, two] / at.variance)


def _gradient(function: Callable[[Floats], float], x: Floats, step: Floats) -> Floats:
    return np.array([(function(x + e) - function(x - e)) / (2 * s) for e, s in zip(np.diag(step), step, strict=True)])


def _hessian(function: Callable[[Floats], float], x: Floats, step: Floats) -> Floats:
    moves = np.diag(step)
    out = np.zeros((len(x), len(x)))
    for i, a in enumerate(moves):
        for j, b in enumerate(moves[: i + 1]):
            four = [function(x + s * a + t * b) for s, t in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
            out[i, j] = out[j, i] = (four[0] - four[1] - four[2] + four[3]) / (4 * step[i] * step[j])
    return out
