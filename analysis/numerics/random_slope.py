"""Mixed model with a random intercept, slope and curve in actual time, fitted from cross-products per course.

A course has covariates c that do not change and a basis b(t) of time, b = (1, t, curved columns): the mean is a
choice of columns of c ⊗ b, and the course deviates by its own part of b, its first columns. Given G and the residual
variance, the normal likelihood depends on the measurements of a course only through its sums of b b', b y and y². No
step looks at a measurement again, and all courses are handled as arrays.

References
----------
Laird & Ware 1982 Biometrics 38:963; Bates et al. 2015 J Stat Softw 67(1) (profiled deviance in the relative factor);
Liang & Zeger 1986 Biometrika 73:13 (sandwich).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Smallest singular value of the relative factor, in units where the random effects' columns are orthonormal over the
# measurements, below which the variance it stands for cannot be told from none.
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
    theta : (r (r + 1) / 2,)
        The factor in the units of the search: where a model with one random effect more may start.
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
    theta: Floats
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


def fit_random_slope(
    sums: CourseSums, columns: Ints, effects: int = 2, reml: bool = True, begin: SlopeFit | None = None
) -> SlopeFit:
    """Fit by restricted or full maximum likelihood.

    Parameters
    ----------
    columns : (p, 2)
        Covariate and basis column of each coefficient.
    effects
        Random effects, one on each of the first columns of the basis: 0, none; 1, intercept; 2, slope too; up to K.
    begin
        The same with one random effect less, to start from.

    Raises
    ------
    ValueError
        When a coefficient is not determined by the data.
    """
    model = _Model(sums, np.asarray(columns), effects, reml)
    theta = np.zeros(0) if effects == 0 else model.search(None if begin is None else begin.theta)
    at = model.profile(theta)
    degenerate = bool(effects) and float(np.linalg.svd(_lower(theta), compute_uv=False)[-1]) < DEGENERATE
    decrement = 0.0 if effects == 0 or degenerate else model.decrement(theta)
    return SlopeFit(
        beta=at.beta, covariance=at.variance * at.bread, theta=theta, factor=_triangular(model.factor(theta)),
        residual=at.variance, loglik=-at.deviance / 2, newton_decrement=decrement, degenerate=degenerate,
        scores=model.scores(at), columns=model.columns, sums=sums, reml=reml,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Parts:
    """Quantities at a factor: bread (p, p), right (p,), yy, log determinant, and the courses' own R (n, K, K), r.

    ``inside_bz`` is Z'Z L (I + L'Z'Z L)^-1 of each course, (n, r, r).
    """

    bread: Floats
    right: Floats
    yy: float
    logdet: float
    logdet_bread: float
    inner: Floats
    outcome: Floats
    inside_bz: Floats


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
        self.white = self._white()

    def _white(self) -> Floats:
        """Return W (r, r) such that the random effects' columns times W are orthonormal over the measurements.

        In these units the factor has no size of its own, and the search finds its way: curved columns are much alike.
        """
        e = self.effects
        gram = self.sums.bb[:, :e, :e].sum(axis=0) / self.n
        return np.asarray(np.linalg.inv(linalg.cholesky(gram + 1e-12 * np.diag(np.diag(gram))))) if e else gram

    def factor(self, theta: Floats) -> Floats:
        return np.asarray(self.white @ _lower(theta))

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
        return _Parts(bread, right, yy, logdet, float(2 * np.log(np.diag(lower)).sum()), inner, outcome,
                      np.swapaxes(solved[:, :, :e], 1, 2))  # fmt: skip

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

    def search(self, start: Floats | None) -> Floats:
        """Minimise the deviance from `start`, or two others where it can have two minima, and polish the better."""
        e = self.effects
        begun = [size * np.eye(e) for size in (0.5, 0.15)[:e]]
        if start is not None:
            begun = [np.pad(_lower(start), (0, 1)) + np.diag(0.2 * np.eye(e)[-1])]
        found = [
            optimize.minimize(
                self.with_gradient, one[np.tril_indices(e)], method="L-BFGS-B", jac=True,
                bounds=[(0.0 if d else None, None) for d in np.equal(*np.tril_indices(e))],
                options={"ftol": 1e-14, "gtol": 1e-7, "maxiter": 500},
            )
            for one in begun
        ]  # fmt: skip
        return np.asarray(self._polished(min(found, key=lambda f: float(f.fun)).x))

    def with_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """Return the deviance and its gradient in `theta`, by the derivative of V = I + Z L L' Z'."""
        at, factor, e = self.profile(theta), self.factor(theta), self.effects
        residual = self._residual(at)[:, :e]
        moved = at.parts.inside_bz.sum(axis=0) - residual.T @ residual / at.variance @ factor
        if self.reml:
            one, two = self.columns.T
            moved = moved - self._spread_of_mean(at, one, two) @ factor
        return at.deviance, np.asarray(2 * (self.white.T @ moved)[np.tril_indices(e)])

    def _spread_of_mean(self, at: _Point, one: Ints, two: Ints) -> Floats:
        """Return the sum over courses of Z'V^-1 X (X'V^-1 X)^-1 X'V^-1 Z, (r, r)."""
        q, k, e = self.sums.c.shape[1], at.parts.inner.shape[1], self.effects
        bread = np.zeros((q, k, q, k))
        bread[one[:, None], two[:, None], one[None, :], two[None, :]] = at.bread
        # Of a course, first its covariates: (K, K) a course instead of (p, p).
        own = (self.cc @ bread.transpose(0, 2, 1, 3).reshape(q * q, k * k)).reshape(-1, k, k)
        rows = at.parts.inner[:, :e, :]
        return np.asarray(np.einsum("nek,nfk->ef", rows @ own, rows))

    def _polished(self, theta: Floats) -> Floats:
        """Take Newton steps as long as they help: the optimiser stops a little short."""
        for _ in range(4):
            gradient, curvature = self._second(theta)
            if np.linalg.eigvalsh(curvature)[0] <= 0:
                break
            moved = theta - np.linalg.solve(curvature, gradient)
            if not self.deviance(moved) < self.deviance(theta):
                break
            theta = moved
        return theta

    def _second(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return gradient and curvature of the deviance in `theta`, the latter by differences."""
        step = 1e-4 * np.eye(len(theta))
        curvature = np.array([self.with_gradient(theta + d)[1] - self.with_gradient(theta - d)[1] for d in step]) / 2e-4
        return self.with_gradient(theta)[1], (curvature + curvature.T) / 2

    def decrement(self, theta: Floats) -> float:
        gradient, curvature = self._second(theta)
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            return float("inf")
        return float(gradient @ np.linalg.solve(curvature, gradient) / 2)

    def _residual(self, at: _Point) -> Floats:
        """B'V^-1 (y - X beta) of each course, (n, K), in units of the residual variance."""
        coefficients = np.zeros((self.sums.c.shape[1], at.parts.outcome.shape[1]))
        one, two = self.columns.T
        coefficients[one, two] = at.beta
        return np.asarray(at.parts.outcome - np.einsum("nkl,nl->nk", at.parts.inner, self.sums.c @ coefficients))

    def scores(self, at: _Point) -> Floats:
        """X'V^-1 (y - X beta) of each course, (n, p)."""
        one, two = self.columns.T
        return np.asarray(self.sums.c[:, one] * self._residual(at)[:, two] / at.variance)


def _lower(theta: Floats) -> Floats:
    """Return the lower triangular matrix whose entries are `theta`, by rows."""
    size = int(np.sqrt(2 * len(theta)))
    out = np.zeros((size, size))
    out[np.tril_indices(size)] = theta
    return out


def _triangular(factor: Floats) -> Floats:
    """Return the lower triangular matrix with the same product L L', its diagonal not negative."""
    lower = np.linalg.qr(factor.T)[1].T if len(factor) else factor
    return np.asarray(lower * np.where(np.diag(lower) < 0, -1.0, 1.0))
