"""Exact limits of counts: of a share (Clopper & Pearson), and of a Poisson rate (Garwood)."""

from __future__ import annotations

from analysis.numerics.laws import beta_quantile, chi2_quantile


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
