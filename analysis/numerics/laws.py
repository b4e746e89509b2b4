"""Quantiles and tails of the laws that limits and tests need, and ranks, from :mod:`scipy.special`.

The same numbers as :mod:`scipy.stats` gives (a test compares them): that module takes most of a second to import,
which a short command would wait for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

# Arrays or numbers, broadcast against each other.
Numbers = Any


def normal_quantile(p: Numbers) -> Any:
    """Return the value that a standard normal variable stays below with probability `p`."""
    return special.ndtri(p)


def normal_below(x: Numbers) -> Any:
    """Return the probability that a standard normal variable is at most `x`."""
    return special.ndtr(x)


def normal_above(x: Numbers) -> Any:
    """Return the probability that a standard normal variable is more than `x`."""
    return special.ndtr(-np.asarray(x, dtype=float))


def t_quantile(p: Numbers, df: Numbers) -> Any:
    """Return the value that Student's t with `df` degrees of freedom (infinite: normal) is below in a share `p`."""
    df = np.asarray(df, dtype=float)
    return np.where(np.isinf(df), special.ndtri(p), special.stdtrit(np.where(np.isinf(df), 1.0, df), p))[()]


def t_above(x: Numbers, df: Numbers) -> Any:
    """Return the probability that Student's t with `df` degrees of freedom (infinite: normal) is more than `x`."""
    x, df = -np.asarray(x, dtype=float), np.asarray(df, dtype=float)
    return np.where(np.isinf(df), special.ndtr(x), special.stdtr(np.where(np.isinf(df), 1.0, df), x))[()]


def chi2_above(x: Numbers, df: Numbers) -> Any:
    """Return the probability that chi-square with `df` degrees of freedom is more than `x`."""
    return special.chdtrc(df, x)


def chi2_quantile(p: Numbers, df: Numbers) -> Any:
    """Return the value that chi-square with `df` degrees of freedom stays below with probability `p`."""
    return 2 * special.gammaincinv(np.asarray(df, dtype=float) / 2, p)


def f_above(x: Numbers, over: Numbers, under: Numbers) -> Any:
    """Return the probability that F with `over` and `under` degrees of freedom is more than `x`."""
    return special.fdtrc(over, under, x)


def hotelling_above(x: float, q: int, freedom: float) -> float:
    """Return the probability that Hotelling's T² of q contrasts, their variance known as from `freedom`, is above `x`.

    Chi-square on q where `freedom` is infinite; nan where it is not above q: so many cannot be tested at once.
    """
    if np.isinf(freedom):
        return float(chi2_above(x, q))
    left = freedom - q + 1
    return float(f_above(x * left / (freedom * q), q, left)) if left > 1 else float("nan")


def beta_quantile(p: Numbers, a: Numbers, b: Numbers) -> Any:
    """Return the value that a beta variable with shapes `a` and `b` stays below with probability `p`."""
    return special.betaincinv(a, b, p)


def mid_ranks(x: Numbers) -> Any:
    """Return the rank of each of `x` from 1, ties at the mean of theirs."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
