"""Restricted cubic splines: smooth between knots, straight beyond the outer ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Where knots stand, as quantiles of the covariate, by their number (Harrell 2015, Table 2.3).
KNOT_SHARES = {3: (0.10, 0.50, 0.90), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.50, 0.725, 0.95)}


def restricted_cubic(x: Floats, knots: Floats) -> Floats:
    """Return the basis of a restricted cubic spline, shape (n, k - 1): x itself, then k - 2 curved columns.

    Parameters
    ----------
    x
        Shape (n,).
    knots
        Shape (k,), increasing; with two the only column is x.

    Raises
    ------
    ValueError
        With fewer than two knots, or knots that do not increase.

    References
    ----------
    Harrell 2015, Regression Modeling Strategies, 2nd ed., section 2.4.5, eq. 2.25 (scaled by the squared span).
    """
    if len(knots) < 2 or np.any(np.diff(knots) <= 0):
        raise ValueError(f"A spline needs two or more increasing knots, not {np.asarray(knots).tolist()}.")
    x = np.asarray(x, dtype=float)
    last, before = knots[-1], knots[-2]
    columns = [x]
    for t in knots[:-2]:
        cubes = _cube(x - t)
        cubes -= _cube(x - before) * (last - t) / (last - before)
        cubes += _cube(x - last) * (before - t) / (last - before)
        columns.append(cubes / (last - knots[0]) ** 2)
    return np.column_stack(columns)


def _cube(x: Floats) -> Floats:
    return np.asarray(np.maximum(x, 0.0) ** 3)
