"""Errors and tests of contrasts some of which may not vary: under a clustered variance both sides may be the same.

Where each patient has the same course in two strata, their difference is nought in every sample: its variance is
rounding, of either sign. It has no error, and a test counts what varies only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# What varies by less than this of the variances it is made of is rounding.
_ROUNDING = 1e-9
# What a number without limits, and a test of nothing, say.
UNVARYING = "patients have the same course in both: nothing varies between them, so that there are no limits"
UNVARYING_ALL = "patients have the same course in all strata: nothing varies between them"


def errors_of(rows: Floats, covariance: Floats) -> Floats:
    """Return the standard errors (r,) of contrasts (r, p) under a covariance (p, p); nan where nothing varies."""
    variance = np.einsum("rp,pq,rq->r", rows, covariance, rows)
    varies = variance > _ROUNDING * (rows**2 @ np.diag(covariance))
    return np.asarray(np.sqrt(np.where(varies, variance, np.nan)))


def varying_rows(rows: Floats, covariance: Floats, scale: float) -> Floats:
    """Return contrasts (k, p) that span those of the rows (r, p) that vary: the rows as they are, if all do."""
    variances, directions = np.linalg.eigh(rows @ covariance @ rows.T)
    vary = variances > _ROUNDING * scale
    return rows if vary.all() else np.asarray(directions[:, vary].T @ rows)


def wald(value: Floats, covariance: Floats, scale: float) -> tuple[float, int]:
    """Return chi-squared of `value` (k,) being zero and its degrees of freedom: directions that vary.

    `scale` is a variance of what the values are made of.
    """
    variances, directions = np.linalg.eigh(covariance)
    vary = variances > _ROUNDING * scale
    return float(((value @ directions[:, vary]) ** 2 / variances[vary]).sum()), int(vary.sum())
