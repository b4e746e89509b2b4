"""Sufficient statistics of a repeated-measures model: cross-products per missingness pattern.

A patient enters as a row of covariates `z` that do not change over visits and a row of outcomes `y`, one column per
planned visit, NaN where missing. Given the pattern of observed visits, the normal likelihood depends on the patients
only through counts and cross-products, which add up over patients and over centres.

References
----------
Jennrich RI, Schluchter MD (1986). Unbalanced repeated-measures models with structured covariance matrices. Biometrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.covariance import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

# Patterns are coded as the bits of one 64-bit integer, with room for the group.
MAX_VISITS = 50


@dataclass(frozen=True, slots=True)
class PatternSums:
    """Cross-products of patients by pattern of observed visits and covariance group.

    Attributes
    ----------
    observed : (P, T) bool
        Which visits the patients of a pattern attended.
    group : (P,) int
        Index into `groups`: patients of a group share one covariance matrix.
    groups : tuple of str
        Labels of the G covariance groups.
    n : (P,)
        Number of patients.
    zz : (P, q, q)
        Sum of w z z'.
    zy : (P, q, T)
        Sum of w z y', zero at visits not observed.
    yy : (P, T, T)
        Sum of w y y', zero at visits not observed.
    log_weight : (P,)
        Sum over observed values of log w, a constant of the likelihood (zero without weights).
    n_unobserved : int
        Patients without any observed visit: they say nothing here, but are counted.
    """

    observed: BoolArray
    group: IntArray
    groups: tuple[str, ...]
    n: FloatArray
    zz: FloatArray
    zy: FloatArray
    yy: FloatArray
    log_weight: FloatArray
    n_unobserved: int

    @property
    def n_visits(self) -> int:
        """T, the number of planned visits."""
        return int(self.observed.shape[1])

    @property
    def n_covariates(self) -> int:
        """q, the length of z."""
        return int(self.zz.shape[1])

    @property
    def n_subjects(self) -> int:
        """Patients with at least one observed visit."""
        return int(self.n.sum())

    @property
    def n_observations(self) -> int:
        """Observed outcomes over all patients and visits."""
        return int((self.n @ self.observed).sum())


@dataclass(frozen=True, slots=True)
class SubjectArrays:
    """Rows of n patients: z (n, q), y (n, T) with NaN where missing, group labels (n,), weights (n,)."""

    z: FloatArray
    y: FloatArray
    labels: NDArray[np.str_]
    weights: FloatArray


def pattern_sums(
    z: ArrayLike,
    y: ArrayLike,
    group: Sequence[object] | NDArray[np.generic] | None = None,
    weights: ArrayLike | None = None,
) -> PatternSums:
    """Reduce patients to sufficient statistics.

    Parameters
    ----------
    z : (n, q)
        Covariates per patient, the intercept included as a column of ones.
    y : (n, T)
        Outcomes, NaN where missing.
    group : (n,), optional
        Covariance group of each patient, compared as text; default one group.
    weights : (n,), optional
        Precision weights: the covariance of patient i is Sigma / w_i (as in R mmrm). With probability weights
        the model-based variance does not hold; use `analysis.numerics.repeated_sandwich`.

    Raises
    ------
    ValueError
        If shapes disagree, a covariate or weight is not finite, a weight is not positive, an outcome is infinite,
        or nobody was observed.
    """
    return _reduce(subject_arrays(z, y, group, weights))


def _reduce(patients: SubjectArrays) -> PatternSums:
    observed = ~np.isnan(patients.y)
    groups, code = np.unique(patients.labels, return_inverse=True)
    seen = observed.any(axis=1)
    key = pattern_keys(observed, code)[seen]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    rows = np.flatnonzero(seen)[order]
    n, zz, zy, yy, log_weight = zip(*(_block_sums(patients, i) for i in np.split(rows, starts[1:])), strict=True)
    first = rows[starts]
    return PatternSums(
        observed=observed[first],
        group=code[first].astype(np.int64),
        groups=tuple(str(g) for g in groups),
        n=np.array(n),
        zz=np.stack(zz),
        zy=np.stack(zy),
        yy=np.stack(yy),
        log_weight=np.array(log_weight),
        n_unobserved=int((~seen).sum()),
    )


def pattern_keys(observed: BoolArray, group: NDArray[np.integer]) -> IntArray:
    """One integer per row of `observed` (n, T) and `group` (n,): equal if and only if the pattern is."""
    bits = np.left_shift(np.int64(1), np.arange(observed.shape[1], dtype=np.int64))
    return np.asarray(observed @ bits + (np.asarray(group, dtype=np.int64) << observed.shape[1]), dtype=np.int64)


def subject_arrays(
    z: ArrayLike,
    y: ArrayLike,
    group: Sequence[object] | NDArray[np.generic] | None,
    weights: ArrayLike | None,
) -> SubjectArrays:
    """Patients as arrays, refusing what does not describe patients; arguments and errors as for `pattern_sums`."""
    outcome = np.asarray(y, dtype=np.float64)
    patients = SubjectArrays(
        z=np.asarray(z, dtype=np.float64),
        y=outcome,
        labels=np.array([str(g) for g in group] if group is not None else ["all"] * len(outcome)),
        weights=np.ones(len(outcome)) if weights is None else np.asarray(weights, dtype=np.float64),
    )
    _check_subjects(patients.z, patients.y, patients.labels, patients.weights)
    return patients


def _check_subjects(z: FloatArray, y: FloatArray, labels: NDArray[np.str_], weights: FloatArray) -> None:
    if z.ndim != 2 or y.ndim != 2 or len(z) != len(y):
        raise ValueError(f"z must be (n, q) and y (n, T) with the same n; got {z.shape} and {y.shape}.")
    if labels.shape != (len(y),) or weights.shape != (len(y),):
        raise ValueError("group and weights need one value per patient.")
    if not 1 <= y.shape[1] <= MAX_VISITS:
        raise ValueError(f"Between 1 and {MAX_VISITS} visits are possible; got {y.shape[1]}.")
    bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
    if bad.size:
        raise ValueError(f"Covariates must be finite; {bad.size} patients have a missing one, first row {bad[0]}.")
    if np.isinf(y).any():
        raise ValueError("Outcomes must be finite, or NaN where missing.")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("Weights must be positive and finite; leave out patients of weight zero.")
    if not (~np.isnan(y)).any():
        raise ValueError("No outcome was observed at any visit.")


def _block_sums(patients: SubjectArrays, rows: IntArray) -> tuple[float, FloatArray, FloatArray, FloatArray, float]:
    """Sums of the patients of one pattern: n, zz, zy, yy, log weight."""
    z, y, w = patients.z[rows], np.nan_to_num(patients.y[rows], nan=0.0), patients.weights[rows]
    visits = int((~np.isnan(patients.y[rows[0]])).sum())
    weighted = z * w[:, None]
    return float(len(rows)), weighted.T @ z, weighted.T @ y, (y * w[:, None]).T @ y, visits * float(np.log(w).sum())


def combine(parts: Sequence[PatternSums]) -> PatternSums:
    """Add the sums of several centres; no patient row is needed.

    Raises
    ------
    ValueError
        If there is nothing to add, or the centres differ in the number of visits or covariates.
    """
    if not parts:
        raise ValueError("There are no sums to combine.")
    shapes = {(part.n_visits, part.n_covariates) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"Centres must share visits and covariates; got (visits, covariates) {sorted(shapes)}.")
    groups = sorted({label for part in parts for label in part.groups})
    observed = np.concatenate([part.observed for part in parts])
    codes = [np.array([groups.index(g) for g in part.groups])[part.group] for part in parts]
    group = np.concatenate(codes)
    _, first, cell = np.unique(pattern_keys(observed, group), return_index=True, return_inverse=True)

    def add(name: str) -> FloatArray:
        stacked = np.concatenate([getattr(part, name) for part in parts])
        total = np.zeros((len(first), *stacked.shape[1:]))
        np.add.at(total, cell, stacked)
        return total

    return PatternSums(
        observed=observed[first],
        group=group[first].astype(np.int64),
        groups=tuple(groups),
        n=add("n"),
        zz=add("zz"),
        zy=add("zy"),
        yy=add("yy"),
        log_weight=add("log_weight"),
        n_unobserved=sum(part.n_unobserved for part in parts),
    )
