"""Empirical (sandwich) covariance of MMRM coefficients, clustered by patient, and its degrees of freedom.

It needs the patient rows, as the products of residuals with covariates do not reduce to pattern sums.

References
----------
Liang KY, Zeger SL (1986). Longitudinal data analysis using generalized linear models. Biometrika (CR0).
Bell RM, McCaffrey DF (2002). Bias reduction in standard errors for linear regression. Survey Methodology (CR2, CR3).
Pustejovsky JE, Tipton E (2018). Small-sample methods for cluster-robust variance estimation. JBES 36.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.covariance import FloatArray, IntArray
from analysis.numerics.degrees_of_freedom import contrast_matrix
from analysis.numerics.repeated import MmrmFit
from analysis.numerics.repeated_sums import pattern_keys, subject_arrays

SandwichKind = Literal["CR0", "CR2", "CR3"]
# Patients whose products stay in cache together.
_PART = 500


@dataclass(frozen=True, slots=True)
class Sandwich:
    """Empirical covariance of p coefficients from n observed patients.

    Attributes
    ----------
    covariance : (p, p)
        phi (sum s_i s_i') phi.
    scores : (n, p)
        Score s_i of each patient at the estimate, in the order of the arrays, zero where never observed.
    kind : {"CR0", "CR2", "CR3"}
        Residuals as they are; adjusted to be unbiased if the model holds; as if the patient were left out (jackknife).
    """

    covariance: FloatArray
    scores: FloatArray
    kind: SandwichKind


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Patients of one pattern with m observed visits: X (n, m, p), residuals (n, m), V^-1/2 L: V^-1 = L L'.

    `rows` (n,) are their places in the arrays; each stands for `count` (n,) that are alike.
    """

    rows: IntArray
    x: FloatArray
    residual: FloatArray
    lower: FloatArray
    count: FloatArray

    def parts(self, size: int) -> "Iterator[_Cluster]":
        """Yield at most `size` patients at a time."""
        for i in range(0, len(self.rows), size):
            at = slice(i, i + size)
            yield _Cluster(self.rows[at], self.x[at], self.residual[at], self.lower[at], self.count[at])


def sandwich(
    fit: MmrmFit,
    z: ArrayLike,
    y: ArrayLike,
    group: Sequence[object] | NDArray[np.generic] | None = None,
    weights: ArrayLike | None = None,
    kind: str = "CR0",
) -> Sandwich:
    """Empirical covariance of the coefficients.

    Parameters
    ----------
    fit : MmrmFit
        Fitted to the sums of these arrays.
    z : (n, q)
    y : (n, T)
    group : (n,), optional
    weights : (n,), optional
        As for `analysis.numerics.repeated_sums.pattern_sums`.
    kind : {"CR0", "CR2", "CR3"}
        R mmrm calls them "Empirical", "Empirical-Bias-Reduced" and "Empirical-Jackknife".

    Raises
    ------
    ValueError
        If the kind is unknown or the arrays are not those that were fitted.
    """
    chosen = _kind(kind)
    scores = np.zeros((len(np.asarray(y)), fit.beta.size))
    for cluster in _clusters(fit, z, y, group, weights):
        half = np.swapaxes(cluster.lower, 1, 2)
        inner = (_adjustment(fit, cluster, chosen) @ half @ cluster.residual[:, :, None])[:, :, 0]
        scores[cluster.rows] = np.einsum("nmp,nml,nl->np", cluster.x, cluster.lower, inner, optimize=True)
    meat = scores.T @ scores
    return Sandwich(covariance=fit.covariance @ meat @ fit.covariance, scores=scores, kind=chosen)


def sandwich_degrees_of_freedom(
    fit: MmrmFit,
    rows: ArrayLike,
    z: ArrayLike,
    y: ArrayLike,
    group: Sequence[object] | NDArray[np.generic] | None = None,
    weights: ArrayLike | None = None,
    kind: str = "CR0",
) -> FloatArray:
    """Satterthwaite degrees of freedom (r,) of contrasts (r, p) under the sandwich; Pustejovsky & Tipton (2018).

    tr(G)^2 / tr(G^2) for the n x n matrix G of the quadratic form under the working model. G is diagonal minus a
    matrix of rank p, so that it is never formed; outcomes do not enter, so that patients of the same covariates, weight
    and visits count together. Arguments and errors as for `sandwich`.
    """
    chosen, matrix = _kind(kind), contrast_matrix(fit, rows)
    (r, p), phi = matrix.shape, fit.covariance
    trace, square, cross, inner = np.zeros(r), np.zeros(r), np.zeros(r), np.zeros((r, p, p))
    for whole in _clusters(fit, z, y, group, weights, alike=True):
        for cluster in whole.parts(_PART):
            n, m = cluster.residual.shape
            scaled = np.swapaxes(cluster.lower, 1, 2) @ cluster.x
            u = _adjustment(fit, cluster, chosen) @ (scaled.reshape(n * m, p) @ (phi @ matrix.T)).reshape(n, m, r)
            d, v = np.einsum("nmr,nmr->rn", u, u), (np.swapaxes(u, 1, 2) @ scaled).transpose(1, 0, 2)
            counted = np.swapaxes(v * cluster.count[:, None], 1, 2)
            trace += d @ cluster.count
            square += d**2 @ cluster.count
            inner += counted @ v
            cross += np.einsum("rpq,pq->r", (counted * d[:, None]) @ v, phi)
    inner = inner @ phi
    trace -= np.trace(inner, axis1=1, axis2=2)
    return np.asarray(trace**2 / (square - 2 * cross + np.einsum("rpq,rqp->r", inner, inner)))


def hotelling_degrees_of_freedom(
    fit: MmrmFit,
    rows: ArrayLike,
    z: ArrayLike,
    y: ArrayLike,
    group: Sequence[object] | NDArray[np.generic] | None = None,
    weights: ArrayLike | None = None,
    kind: str = "CR0",
) -> float:
    """Degrees of freedom eta of the Wishart law that the sandwich of q contrasts (q, p) is nearest to.

    A test of many contrasts as if the sandwich were known rejects far too often. With the statistic Q, ``(eta - q + 1)
    / (eta q) Q`` is about F on q and eta - q + 1 (HTZ: Tipton & Pustejovsky 2015 J Educ Behav Stat 40:604; 2018,
    section 3.2): eta = q (q + 1) / sum of the variances of all elements of the sandwich under the working model,
    standardised to have the unit matrix as its mean. Of one contrast it is `sandwich_degrees_of_freedom`. Arguments
    and errors as for `sandwich`; rows must be independent.
    """
    chosen, matrix = _kind(kind), contrast_matrix(fit, rows)
    (q, p), phi = matrix.shape, fit.covariance
    values, vectors = np.linalg.eigh(matrix @ phi @ matrix.T)
    unit = (vectors / np.sqrt(values)).T @ matrix
    alone, shared, own, mean = (np.zeros((q, q)) for _ in range(4))
    # Some contrasts at a time, so that their p x p matrices with all others are no burden.
    for first in range(0, q, most := max(1, int(2e7) // (q * p**2))):
        some = slice(first, first + most)
        both = np.zeros((len(range(q)[some]), q, p, p))
        for whole in _clusters(fit, z, y, group, weights, alike=True):
            for cluster in whole.parts(_PART):
                n, m = cluster.residual.shape
                scaled = np.swapaxes(cluster.lower, 1, 2) @ cluster.x
                u = _adjustment(fit, cluster, chosen) @ (scaled.reshape(n * m, p) @ (phi @ unit.T)).reshape(n, m, q)
                # Of a patient's own terms, E x_s x_t = d_st less what the fitted coefficients take, h_st.
                v = np.swapaxes(u, 1, 2) @ scaled
                both += np.einsum("nsp,ntq,n->stpq", v[:, some], v, cluster.count, optimize=True)
                if first:
                    continue
                d, h = np.swapaxes(u, 1, 2) @ u, v @ phi @ np.swapaxes(v, 1, 2)
                weight = cluster.count[:, None, None]
                square, taken = np.einsum("nss->ns", d), np.einsum("nss->ns", h)
                alone += (square * cluster.count[:, None]).T @ square + (weight * d**2).sum(axis=0)
                crossing = (square * cluster.count[:, None]).T @ taken
                shared += crossing + crossing.T + 2 * (weight * d * h).sum(axis=0)
                mean += (weight * d).sum(axis=0)
        turned, back = both @ phi, np.swapaxes(both, 2, 3) @ phi
        own[some] = np.einsum("stab,stba->st", turned, back) + np.einsum("stab,stba->st", back, back)
        mean[some] -= np.einsum("stpp->st", turned)
    # CR2 has the unit matrix as its mean if the model holds; others are brought to it.
    level = np.sqrt(np.outer(np.diag(mean), np.diag(mean)))
    return float(q * (q + 1) / ((alone - shared + own) / level**2).sum())


def _kind(kind: str) -> SandwichKind:
    if kind not in get_args(SandwichKind):
        raise ValueError(f"Unknown sandwich {kind!r}; choose one of: {', '.join(get_args(SandwichKind))}.")
    return cast(SandwichKind, kind)


def _clusters(
    fit: MmrmFit,
    z: ArrayLike,
    y: ArrayLike,
    group: Sequence[object] | NDArray[np.generic] | None,
    weights: ArrayLike | None,
    alike: bool = False,
) -> Iterator[_Cluster]:
    """Patients pattern by pattern; with `alike` one of each covariates and weight, with how many they are."""
    patients = subject_arrays(z, y, group, weights)
    y_, labels = patients.y, patients.labels
    if int((~np.isnan(y_)).sum()) != fit.sums.n_observations or not set(labels) <= set(fit.sums.groups):
        raise ValueError("These arrays are not the data that were fitted: observations or covariance groups differ.")
    observed, codes = ~np.isnan(y_), np.array([fit.sums.groups.index(label) for label in labels])
    seen = np.flatnonzero(observed.any(axis=1))
    _, cell = np.unique(pattern_keys(observed, codes)[seen], return_inverse=True)
    order = np.argsort(cell, kind="stable")
    for part in np.split(seen[order], np.flatnonzero(np.diff(cell[order])) + 1):
        count = np.ones(len(part))
        if alike:
            part, count = _distinct(part, np.column_stack([patients.weights[part], patients.z[part]]))
        at = np.flatnonzero(observed[part[0]])
        x = np.einsum("nq,tqp->ntp", patients.z[part], fit.design.maps[at])
        lower = np.linalg.cholesky(np.linalg.inv(fit.sigma[codes[part[0]]][np.ix_(at, at)]))
        root = np.sqrt(patients.weights[part])[:, None, None]
        yield _Cluster(part, x, y_[part][:, at] - x @ fit.beta, root * lower, count)


def _distinct(rows: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return one of the `rows` (n,) for each distinct row of `values` (n, k), and how many there are of it."""
    key = np.zeros(len(rows), dtype=np.int64)
    # Column by column: sorting numbers is quicker than sorting rows.
    for column in values.T:
        _, place = np.unique(column, return_inverse=True)
        _, key = np.unique(key * (int(place.max()) + 1) + place, return_inverse=True)
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    return rows[first], count.astype(float)


def _adjustment(fit: MmrmFit, cluster: _Cluster, kind: SandwichKind) -> FloatArray:
    """(I - H_ii)^-d of whitened residuals, (n, m, m), with d = 0, 1/2, 1 for CR0, CR2, CR3."""
    scaled = np.swapaxes(cluster.lower, 1, 2) @ cluster.x
    m = scaled.shape[1]
    if kind == "CR0":
        return np.broadcast_to(np.eye(m), (len(scaled), m, m))
    values, vectors = np.linalg.eigh(np.eye(m) - scaled @ fit.covariance @ np.swapaxes(scaled, 1, 2))
    # A patient who alone determines a coefficient leaves no residual there: the generalised inverse drops it.
    safe = np.where(values > 1e-10, values, np.inf)
    power = safe ** (-0.5 if kind == "CR2" else -1.0)
    return np.asarray((vectors * power[:, None, :]) @ np.swapaxes(vectors, 1, 2))
