"""Estimated marginal means of an MMRM, contrasts between them, and joint tests.

A mean is the prediction at a visit for a profile of covariates z (q,). Averaging a factor over its levels with equal
weights (as R emmeans does) or over the patients is averaging the profile, as predictions are linear in z.

References
----------
Searle SR, Speed FM, Milliken GA (1980). Population marginal means in the linear model. American Statistician 34.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike

from analysis.numerics.covariance import FloatArray
from analysis.numerics.degrees_of_freedom import (
    between_within,
    contrast_matrix,
    independent_rows,
    kenward_roger_covariance,
    kenward_roger_joint,
    pooled_degrees_of_freedom,
    satterthwaite,
)
from analysis.numerics.laws import chi2_above, f_above, t_above, t_quantile
from analysis.numerics.repeated import MmrmFit
from analysis.numerics.repeated_design import INTERCEPT, VisitDesign
from analysis.numerics.repeated_sums import PatternSums
from analysis.numerics.varying import errors_of

Method = Literal["satterthwaite", "kenward-roger", "kenward-roger-linear", "between-within", "normal"]


@dataclass(frozen=True, slots=True)
class Estimates:
    """Linear combinations of coefficients; every array has the shape of the leading axes of the rows given.

    Attributes
    ----------
    estimate, se : (...)
        In outcome units.
    df : (...)
        Degrees of freedom, infinite for "normal".
    statistic, p_value : (...)
        t statistic against zero, two-sided.
    lower, upper : (...)
        Limits of the interval of the level asked for.
    """

    estimate: FloatArray
    se: FloatArray
    df: FloatArray
    statistic: FloatArray
    p_value: FloatArray
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, slots=True)
class JointTest:
    """F test that several contrasts are zero.

    Attributes
    ----------
    statistic : float
        F, scaled by lambda under Kenward-Roger.
    df_numerator, df_denominator : float
    p_value : float
    """

    statistic: float
    df_numerator: float
    df_denominator: float
    p_value: float


def mean_rows(design: VisitDesign, profiles: ArrayLike) -> FloatArray:
    """Contrast rows of the mean at every visit, (g, T, p), for profiles of covariates (g, q).

    Raises
    ------
    ValueError
        If a profile does not give q finite values.
    """
    z = np.atleast_2d(np.asarray(profiles, dtype=np.float64))
    if z.ndim != 2 or z.shape[1] != len(design.covariates) or not np.isfinite(z).all():
        raise ValueError(f"A profile needs finite values of: {', '.join(design.covariates)}; got shape {z.shape}.")
    return np.asarray(np.einsum("gq,tqp->gtp", z, design.maps))


def difference_to_reference(rows: FloatArray, reference: int = 0) -> FloatArray:
    """Differences of groups to a reference group along the first axis, (g - 1, ...).

    Raises
    ------
    ValueError
        If there is no such group or nothing to compare it with.
    """
    if len(rows) < 2 or not 0 <= reference < len(rows):
        raise ValueError(f"Group {reference} cannot be the reference among {len(rows)}.")
    return np.asarray(np.delete(rows, reference, axis=0) - rows[reference])


def pairwise_differences(rows: FloatArray) -> tuple[list[tuple[int, int]], FloatArray]:
    """All differences of groups: pairs (i, j) and rows[j] - rows[i] along the first axis."""
    pairs = [(i, j) for i in range(len(rows)) for j in range(i + 1, len(rows))]
    return pairs, np.asarray(np.array([rows[j] - rows[i] for i, j in pairs]))


def covariate_means(
    sums: PatternSums, covariates: Sequence[str], over: Literal["patients", "observations"] = "patients"
) -> FloatArray:
    """Means of the covariates, (q,), over patients or over observed outcomes (as R emmeans takes them).

    Raises
    ------
    ValueError
        If z has no column of ones named "intercept", without which sums of z are not in the cross-products.
    """
    if INTERCEPT not in covariates:
        raise ValueError("Means of covariates need the column 'intercept' among them.")
    times = sums.observed.sum(axis=1) if over == "observations" else np.ones(len(sums.n))
    totals = times @ sums.zz[:, list(covariates).index(INTERCEPT), :]
    return np.asarray(totals / totals[list(covariates).index(INTERCEPT)])


def linear_estimates(
    fit: MmrmFit,
    rows: ArrayLike,
    method: str = "satterthwaite",
    level: float = 0.95,
    covariance: FloatArray | None = None,
    df: ArrayLike | None = None,
) -> Estimates:
    """Estimate, standard error, interval, and test of linear combinations.

    Parameters
    ----------
    fit : MmrmFit
    rows : (..., p)
        Contrast rows, for instance from `mean_rows` or differences of them.
    method : str
        One of `Method`.
    level : float
        Coverage of the intervals.
    covariance : (p, p), optional
        In place of that of the method, for instance of `analysis.numerics.repeated_sandwich.sandwich`.
    df : (...), optional
        In place of those of the method.

    Raises
    ------
    ValueError
        If the method is unknown, the level is not between 0 and 1, the rows do not fit, or Kenward-Roger is asked of
        a fit by full likelihood.
    """
    if not 0 < level < 1:
        raise ValueError(f"The level of an interval lies between 0 and 1; got {level}.")
    given = np.asarray(rows, dtype=np.float64)
    shape = given.shape[:-1]
    matrix = contrast_matrix(fit, given.reshape(-1, given.shape[-1]))
    spread = _covariance(fit, _method(method)) if covariance is None else covariance
    freedom = _degrees(fit, matrix, _method(method)) if df is None else np.asarray(df, dtype=np.float64).ravel()
    se = errors_of(matrix, spread)
    return _summary((matrix @ fit.beta).reshape(shape), se.reshape(shape), freedom.reshape(shape), level)


def _summary(estimate: FloatArray, se: FloatArray, df: FloatArray, level: float) -> Estimates:
    statistic, reach = estimate / se, se * t_quantile(0.5 + level / 2, df)
    p_value = np.asarray(2 * t_above(np.abs(statistic), df))
    return Estimates(estimate, se, df, np.asarray(statistic), p_value, estimate - reach, estimate + reach)


def joint_test(
    fit: MmrmFit, rows: ArrayLike, method: str = "satterthwaite", covariance: FloatArray | None = None
) -> JointTest:
    """F test that all rows (r, p) are zero.

    Redundant rows are dropped, except under Kenward-Roger, which refuses them. `covariance` replaces that of the
    method. Errors as for `linear_estimates`.
    """
    chosen, matrix = _method(method), contrast_matrix(fit, rows)
    spread = _covariance(fit, chosen) if covariance is None else covariance
    turned, variances = independent_rows(matrix, spread)
    statistic, size = float(((turned @ fit.beta) ** 2 / variances).mean()), len(turned)
    if chosen in ("kenward-roger", "kenward-roger-linear"):
        size, denominator, scaling = kenward_roger_joint(fit, matrix)
        statistic *= scaling
    elif chosen == "satterthwaite":
        own = independent_rows(matrix, fit.covariance)[0]
        denominator = pooled_degrees_of_freedom(satterthwaite(fit, own))
    else:
        denominator = float(_degrees(fit, matrix, chosen).min())
    # scipy has no F distribution of infinite denominator, which is chi-square over its degrees of freedom.
    tail = f_above(statistic, size, denominator) if np.isfinite(denominator) else chi2_above(statistic * size, size)
    return JointTest(statistic, float(size), denominator, float(tail))


def coefficient_rows(design: VisitDesign, columns: Sequence[str]) -> FloatArray:
    """Rows (r, p) that pick coefficients by label, for instance all of an interaction.

    Raises
    ------
    ValueError
        If a label is unknown.
    """
    unknown = sorted(set(columns) - set(design.columns))
    if unknown:
        raise ValueError(f"Unknown coefficients {', '.join(unknown)}; there are: {', '.join(design.columns)}.")
    return np.eye(len(design.columns))[[design.columns.index(label) for label in columns]]


def _method(method: str) -> Method:
    if method not in get_args(Method):
        raise ValueError(f"Unknown method {method!r}; choose one of: {', '.join(get_args(Method))}.")
    return cast(Method, method)


def _covariance(fit: MmrmFit, method: Method) -> FloatArray:
    if method in ("kenward-roger", "kenward-roger-linear"):
        return kenward_roger_covariance(fit, linear=method == "kenward-roger-linear")
    return fit.covariance


def _degrees(fit: MmrmFit, matrix: FloatArray, method: Method) -> FloatArray:
    """Degrees of freedom of each row (r,); those of Kenward-Roger and Satterthwaite agree for a single contrast."""
    if method == "normal":
        return np.full(len(matrix), np.inf)
    return between_within(fit, matrix) if method == "between-within" else satterthwaite(fit, matrix)
