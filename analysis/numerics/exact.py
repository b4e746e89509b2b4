"""Exact limits of counts: of a share (Clopper & Pearson), and of a Poisson rate (Garwood); alone, or of clusters.

Where a few patients have many events, as many events say less than as many of different patients. Counts and
exposures are then divided by the design effect, the clustered variance over that of independent events, where it is
above 1 (Rao & Scott); where each patient has one at most, the limits are the exact ones. A weighted share is of as many
courses as would leave it as open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.laws import beta_quantile, chi2_quantile
from analysis.numerics.weighting import effective_sample_size

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def exact_rate(events: float, exposure: float, confidence: float) -> tuple[float, float, float]:
    """Return a Poisson rate with exact limits (Garwood 1936); with no event the lower limit is 0.

    ``low = chi2(alpha / 2, 2 x) / 2 t`` and ``high = chi2(1 - alpha / 2, 2 x + 2) / 2 t``.
    """
    alpha = 1 - confidence
    low = chi2_quantile(alpha / 2, 2 * events) / 2 if events > 0 else 0.0
    high = chi2_quantile(1 - alpha / 2, 2 * events + 2) / 2
    return events / exposure, float(low) / exposure, float(high) / exposure


def exact_share(part: float, whole: float, confidence: float) -> tuple[float, float, float]:
    """Return a share with exact limits (Clopper & Pearson 1934); of none the upper is ``1 - (alpha / 2)^(1 / n)``."""
    alpha = 1 - confidence
    low = float(beta_quantile(alpha / 2, part, whole - part + 1)) if part > 0 else 0.0
    high = float(beta_quantile(1 - alpha / 2, part + 1, whole - part)) if part < whole else 1.0
    return part / whole, low, high


@dataclass(frozen=True, slots=True)
class Clustered:
    """Sums over clusters (patients) of what each has: a number x (events) and an exposure t (years, sessions, courses).

    Attributes: `number` and `exposure`, the sums of x and t; `squares` of x², `cross` of x t, `exposure_squares` of t².
    """

    number: float
    exposure: float
    squares: float
    cross: float
    exposure_squares: float

    @classmethod
    def of(cls, number: ArrayLike, exposure: ArrayLike) -> Clustered:
        """Return the sums of clusters with numbers and exposures (g,)."""
        x, t = np.asarray(number, dtype=float), np.asarray(exposure, dtype=float)
        return cls(float(x.sum()), float(t.sum()), float(x @ x), float(x @ t), float(t @ t))

    def effect(self, independent: float) -> float:
        """Return the clustered variance of the number over `independent`, that of independent ones; at least 1."""
        if independent <= 0:
            return 1.0
        rate = self.number / self.exposure
        residual = self.squares - 2 * rate * self.cross + rate**2 * self.exposure_squares
        # A rounding error above 1 is 1: of one course a patient the limits are the exact ones.
        return effect if (effect := residual / independent) > 1 + 1e-9 else 1.0


def clustered_rate(of: Clustered, confidence: float) -> tuple[float, float, float]:
    """Return a rate with exact limits of the effective number of events (Rao & Scott 1999 Stat Med 18:1373)."""
    effect = of.effect(of.number)
    return exact_rate(of.number / effect, of.exposure / effect, confidence)


def clustered_share(of: Clustered, confidence: float) -> tuple[float, float, float]:
    """Return a share with exact limits of the effective size (Rao & Scott 1992 Biometrics 48:577).

    `of` has as number those of a cluster that have what is counted, as exposure all of the cluster.
    """
    share = of.number / of.exposure
    effect = of.effect(of.exposure * share * (1 - share))
    return exact_share(of.number / effect, of.exposure / effect, confidence)


def effective_size(has: ArrayLike, share: float, weight: Floats, cluster: Ints) -> float:
    """Return of how many a weighted share is as open as of these (n,), by its clustered variance (Korn & Graubard).

    Never of more than the weights leave (Kish): where none or all have it nothing varies.
    """
    off = np.bincount(cluster, weight * (np.asarray(has, dtype=float) - share)) / weight.sum()
    return min(share * (1 - share) / max(float(off @ off), 1e-12), effective_sample_size(weight))


def weighted_share(has: ArrayLike, weight: Floats, cluster: Ints, confidence: float) -> tuple[float, float, float]:
    """Return the weighted share of those who have it, 1 or 0 (n,), with exact limits of its effective size.

    With weights of one, each alone in its cluster, it is :func:`exact_share`. Where none or all have it, it is that of
    as many independent ones as the weights leave.
    """
    x = np.asarray(has, dtype=float)
    if x.min() == x.max():
        share, effective = float(x[0]), effective_sample_size(weight)
    else:
        share = float(np.average(x, weights=weight))
        effective = effective_size(x, share, weight, cluster)
    return (share, *exact_share(share * effective, effective, confidence)[1:])
