"""Limits of shares from what is known of their precision, and of differences from the limits of the two sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.laws import normal_quantile, t_quantile

Floats = NDArray[np.float64]


def wilson(share: Floats, n: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return Wilson's (1927) limits of shares seen in `n`, which need not be whole; shapes alike."""
    z = normal_quantile(0.5 + confidence / 2)
    n = np.maximum(n, 1e-9)
    centre, scale = share + z**2 / (2 * n), 1 + z**2 / n
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (centre - reach) / scale, (centre + reach) / scale


def limits_of_replicates(
    share: float, replicates: Floats, wider: float, n: float, confidence: float
) -> tuple[float, float]:
    """Return Wilson's limits of a model's share that varies as its resamples do, as if seen in `n` courses at most.

    For curves that are smooth in the data: of a few dozen resamples the variance is told well, a percentile is not.
    Where hardly anything happened resamples hardly vary, and `n` courses say no more than `n` courses do.

    Parameters
    ----------
    share
        Estimate, from 0 to 1.
    replicates
        Shape (times,); nan where a resample had no answer.
    wider
        What the resampled error is multiplied by: a small sample's.
    n
        Courses behind the estimate.
    """
    # Resamples of a share that is nearly nothing vary as theirs, not as one of nothing.
    mean = float(np.nanmean(replicates))
    spread, variance = max(share * (1 - share), mean * (1 - mean)), float(np.nanvar(replicates, ddof=1))
    told_by = spread / variance if variance > 0 else np.inf
    low, high = wilson(np.array(share), np.array(min(told_by, max(n, 1)) / wider**2), confidence)
    return min(float(low), share), max(float(high), share)


def unfollowed(estimate: Floats, high: Floats, followed: Floats, n: float, confidence: float) -> Floats:
    """Return upper limits of incidences that allow for what those lost from sight may have had; (T,).

    A curve stays flat after its last event, and so does its error, however few are left. Of `followed` courses without
    an event so much is possible as their exact limit says; its distance is added in squares to that of `high`, on the
    scale of the log of what is free of the event (the last factor of the product of Fay, Brittain & Proschan 2013
    Biostatistics 14:723). Where all `n` were followed nothing is added.
    """
    safe = np.minimum(estimate, 1 - 1e-12)
    reach = np.log1p(-safe) - np.log1p(-np.clip(high, safe, 1 - 1e-12))
    lost = np.log(2 / (1 - confidence)) ** 2 * np.maximum(1 / followed**2 - 1 / max(n, 1) ** 2, 0.0)
    return np.where((estimate <= 0) | (estimate >= 1), high, -np.expm1(np.log1p(-safe) - np.sqrt(reach**2 + lost)))


def difference_limits(
    one: tuple[Floats, Floats, Floats], other: tuple[Floats, Floats, Floats], correlation: Floats | float = 0.0
) -> tuple[Floats, Floats]:
    """Return limits of `one` minus `other` from the limits of each (MOVER: Newcombe 1998; Zou & Donner 2008).

    They stay within -1 and 1, and do not vanish where nothing happened on one side.

    Parameters
    ----------
    one, other
        Estimate, low and high, (T,).
    correlation
        Of the two estimates, (T,): a patient's two targets may be in two strata.
    """
    (a, a_low, a_high), (b, b_low, b_high) = one, other
    difference = a - b

    def reach(x: Floats, y: Floats) -> Floats:
        return np.asarray(np.sqrt(np.maximum(x**2 + y**2 - 2 * correlation * x * y, 0.0)))

    return difference - reach(a - a_low, b_high - b), difference + reach(a_high - a, b - b_low)


def logit_interval(
    value: Floats, error: Floats, top: float, level: float, n: Floats | float = np.inf
) -> tuple[Floats, Floats]:
    """Limits in (0, top) from standard errors on the logit scale of value / top; nan at 0 and top. Shapes alike.

    From `n` courses a standard error is itself an estimate, and a sandwich a little short: its limits reach as far as
    t on n - 1 degrees of freedom times sqrt(n / (n - 1)) does (Hesterberg 2015 Am Stat 69:371, section 5.2).
    """
    inside = (value > 0) & (value < top)
    share = np.where(inside, value, top / 2) / top
    left = np.clip(np.asarray(n, dtype=float) - 1, 1.0, 1e9)
    width = t_quantile(0.5 + level / 2, left) * np.sqrt(1 + 1 / left) * error / top / (share * (1 - share))
    with np.errstate(over="ignore"):
        low, high = (top / (1 + np.exp(-(np.log(share / (1 - share)) + s * width))) for s in (-1, 1))
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)
