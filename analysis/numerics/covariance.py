"""Covariance structures over planned visits, with exact first and second derivatives.

Every structure is written as ``Sigma[s, t] = exp(scale[:, s, t] @ a) * M[s, t](c)``: ``a`` holds logarithms of
standard deviations (one, or one per visit) and ``c`` what is left, a Cholesky factor (unstructured) or correlations.
The correlation of all other structures is a product of powers ``prod_k rho_k ** exponent[k, s, t]``, so that one
piece of code differentiates all of them.

References
----------
Jennrich RI, Schluchter MD (1986). Unbalanced repeated-measures models with structured covariance matrices. Biometrics.
Gabriel KR (1962). Ante-dependence analysis of an ordered set of variables. Annals of Mathematical Statistics.
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

StructureName = Literal[
    "unstructured",
    "compound symmetry",
    "heterogeneous compound symmetry",
    "ar1",
    "heterogeneous ar1",
    "toeplitz",
    "heterogeneous toeplitz",
    "antedependence",
    "heterogeneous antedependence",
]


@dataclass(frozen=True, slots=True)
class Structure:
    """A covariance structure for T visits with k = h + K parameters.

    Attributes
    ----------
    name : str
        One of `StructureName`.
    n_visits : int
        T.
    scale : (h, T, T)
        How often the logarithm of each standard deviation enters each cell (0, 1 or 2).
    exponent : (K, T, T)
        Power of each correlation in each cell; for the unstructured matrix, empty.
    """

    name: StructureName
    n_visits: int
    scale: FloatArray
    exponent: IntArray

    @property
    def n_parameters(self) -> int:
        """k: standard deviations plus correlations (or Cholesky multipliers)."""
        t = self.n_visits
        free = t * (t - 1) // 2 if self.name == "unstructured" else self.exponent.shape[0]
        return int(self.scale.shape[0]) + free


def covariance_structure(name: str, n_visits: int) -> Structure:
    """Look up a structure.

    Parameters
    ----------
    name : str
        One of `StructureName`; the homogeneous ones have one variance for all visits.
    n_visits : int
        T >= 1; with one visit every structure is a single variance.

    Raises
    ------
    ValueError
        If the name is unknown (the message lists the known ones) or there is no visit.
    """
    known = get_args(StructureName)
    if name not in known:
        raise ValueError(f"Unknown covariance structure {name!r}; choose one of: {', '.join(known)}.")
    if n_visits < 1:
        raise ValueError("A covariance structure needs at least one visit.")
    heterogeneous = name == "unstructured" or name.startswith("heterogeneous")
    eye = np.eye(n_visits)
    per_visit = eye[:, :, None] + eye[:, None, :]
    scale = per_visit if heterogeneous else np.full((1, n_visits, n_visits), 2.0)
    kind = "unstructured" if name == "unstructured" else name.removeprefix("heterogeneous ")
    return Structure(
        name=cast(StructureName, name), n_visits=n_visits, scale=scale, exponent=_exponents(kind, n_visits)
    )


def _exponents(kind: str, n_visits: int) -> IntArray:
    """Powers of the correlations per cell, (K, T, T)."""
    if kind == "unstructured" or n_visits == 1:
        return np.zeros((0, n_visits, n_visits), dtype=np.int64)
    visit = np.arange(n_visits)
    lag = np.abs(visit[:, None] - visit[None, :])
    if kind == "compound symmetry":
        powers = [lag > 0]
    elif kind == "ar1":
        powers = [lag]
    elif kind == "toeplitz":
        powers = [lag == k for k in range(1, n_visits)]
    else:
        first, last = np.minimum.outer(visit, visit), np.maximum.outer(visit, visit)
        powers = [(first <= k) & (k < last) for k in range(n_visits - 1)]
    return np.stack(powers).astype(np.int64)


def _correlations(structure: Structure, c: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Correlations and their two derivatives from unbounded parameters, each (K,).

    Compound symmetry is positive definite only above -1/(T-1), hence its own link; for the others
    ``rho = c / sqrt(1 + c**2)``. The links are those of R mmrm, on which its full Kenward-Roger term depends.
    """
    if structure.name.endswith("compound symmetry"):
        low = 1.0 / (structure.n_visits - 1)
        s = np.asarray(0.5 * (1.0 + np.tanh(0.5 * c)), dtype=np.float64)  # a logistic function that cannot overflow
        slope = (1.0 + low) * s * (1.0 - s)
        return (1.0 + low) * s - low, slope, slope * (1.0 - 2.0 * s)
    root = np.sqrt(1.0 + c**2)
    return c / root, root**-3, -3.0 * c * root**-5


def _monomial(rho: FloatArray, power: IntArray) -> FloatArray:
    """Product over k of rho_k ** power[k], (T, T); negative powers stand for a zero coefficient and count as 0."""
    return np.asarray(np.prod(rho[:, None, None] ** np.maximum(power, 0), axis=0), dtype=np.float64)


def _shape_from_correlations(structure: Structure, c: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """M (T, T), dM (K, T, T), d2M (K, K, T, T) of the correlation matrix."""
    rho, slope, bend = _correlations(structure, c) if c.size else (c, c, c)
    power, size, t = structure.exponent, c.size, structure.n_visits
    first, second = np.zeros((size, t, t)), np.zeros((size, size, t, t))
    unit = np.eye(size, dtype=np.int64)[:, :, None, None]
    for k in range(size):
        raw = power[k] * _monomial(rho, power - unit[k])
        first[k] = slope[k] * raw
        for j in range(k, size):
            coefficient = power[k] * (power[j] - (j == k))
            cell = slope[k] * slope[j] * coefficient * _monomial(rho, power - unit[k] - unit[j])
            second[k, j] = second[j, k] = cell + (bend[k] * raw if j == k else 0.0)
    return _monomial(rho, power), first, second


def _shape_from_cholesky(n_visits: int, c: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """M = C C' (T, T) with unit lower triangular C, dM (K, T, T), d2M (K, K, T, T)."""
    rows, columns = np.tril_indices(n_visits, -1)
    factor = np.eye(n_visits)
    factor[rows, columns] = c
    size = c.size
    unit = np.zeros((size, n_visits, n_visits))
    unit[np.arange(size), rows, columns] = 1.0
    first = unit @ factor.T
    second = np.einsum("kij,lmj->klim", unit, unit)
    return factor @ factor.T, first + first.swapaxes(1, 2), second + second.swapaxes(2, 3)


def _shape(structure: Structure, c: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    if structure.name == "unstructured":
        return _shape_from_cholesky(structure.n_visits, c)
    return _shape_from_correlations(structure, c)


def covariance_matrix(structure: Structure, theta: FloatArray) -> FloatArray:
    """Sigma (T, T) at theta (k,): logarithms of standard deviations, then the rest."""
    return covariance_derivatives(structure, theta)[0]


def covariance_derivatives(structure: Structure, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sigma and its exact derivatives.

    Parameters
    ----------
    structure : Structure
        From `covariance_structure`.
    theta : (k,)
        Unbounded parameters. Any value gives a positive definite matrix, except for Toeplitz.

    Returns
    -------
    sigma : (T, T)
    first : (k, T, T)
    second : (k, k, T, T)
    """
    h = structure.scale.shape[0]
    factor = np.exp(np.tensordot(theta[:h], structure.scale, axes=1))
    shape, d_shape, dd_shape = _shape(structure, theta[h:])
    sigma, scale = factor * shape, structure.scale
    tail = factor * d_shape
    first = np.concatenate([scale * sigma, tail])
    second = np.empty((theta.size, theta.size, *sigma.shape))
    second[:h, :h] = scale[:, None] * scale[None, :] * sigma
    second[:h, h:] = scale[:, None] * tail[None, :]
    second[h:, :h] = second[:h, h:].swapaxes(0, 1)
    second[h:, h:] = factor * dd_shape
    return sigma, first, second


def start_parameters(structure: Structure, moment: FloatArray) -> FloatArray:
    """Starting theta (k,) from a moment estimate of the covariance.

    Parameters
    ----------
    structure : Structure
        From `covariance_structure`.
    moment : (T, T)
        Pairwise mean residual products, positive on the diagonal; NaN where two visits never met.
        Correlations are shrunk until the matrix is positive definite, as pairwise moments need not be.
    """
    sd = np.sqrt(np.diag(moment))
    correlation = np.nan_to_num(np.clip(moment / np.outer(sd, sd), -0.999, 0.999), nan=0.0)
    np.fill_diagonal(correlation, 1.0)
    if structure.name == "unstructured":
        values, vectors = np.linalg.eigh(correlation)
        coherent = (vectors * np.maximum(values, 1e-3)) @ vectors.T
        return unstructured_parameters(coherent * np.outer(sd, sd))
    if structure.scale.shape[0] == 1:
        sd = np.array([np.sqrt(np.mean(sd**2))])
    shrink = 1.0
    while shrink > 1e-3:
        theta = np.concatenate([np.log(sd), _start_shape(structure, shrink * correlation)])
        if np.linalg.eigvalsh(covariance_matrix(structure, theta))[0] > 1e-4 * np.exp(2 * theta[0]):
            break
        shrink *= 0.8
    return theta


def unstructured_parameters(sigma: FloatArray) -> FloatArray:
    """Theta (k,) of an unstructured Sigma (T, T).

    Raises
    ------
    numpy.linalg.LinAlgError
        If Sigma is not positive definite.
    """
    lower = np.linalg.cholesky(sigma)
    sd = np.diag(lower)
    multipliers = (lower / sd[:, None])[np.tril_indices(len(sd), -1)]
    return np.concatenate([np.log(sd), multipliers])


def _start_shape(structure: Structure, correlation: FloatArray) -> FloatArray:
    """Starting values of c (K,): the mean correlation of the cells that hold rho_k alone."""
    alone = (structure.exponent == 1) & (structure.exponent.sum(axis=0) == 1)
    rho = np.array([correlation[cell].mean() for cell in alone])
    if structure.name.endswith("compound symmetry") and rho.size:
        low = 1.0 / (structure.n_visits - 1)
        share = np.clip((rho + low) / (1.0 + low), 0.001, 0.999)
        return np.asarray(np.log(share / (1.0 - share)))
    return np.asarray(rho / np.sqrt(1.0 - np.clip(rho, -0.999, 0.999) ** 2))
