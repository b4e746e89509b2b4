"""Limits of a model's share from its resamples, against Wilson's limits of statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from analysis.numerics.share_limits import limits_of_replicates


def _varying(share: float, n: float, times: int = 40) -> np.ndarray:
    """Return resamples about `share` that vary just as a share seen in `n` does (divisor times - 1)."""
    signs = np.tile([1.0, -1.0], times // 2)
    return share + signs * np.sqrt(share * (1 - share) / n * (times - 1) / times)


def _wilson(share: float, n: float) -> tuple[float, float]:
    return proportion_confint(share * n, n, alpha=0.05, method="wilson")


def test_a_share_that_varies_as_one_of_eighty_has_wilsons_limits_of_eighty():
    assert limits_of_replicates(0.3, _varying(0.3, 80), 1.0, 500, 0.95) == pytest.approx(_wilson(0.3, 80))


def test_a_small_samples_factor_counts_as_fewer_courses():
    assert limits_of_replicates(0.3, _varying(0.3, 80), 1.25, 500, 0.95) == pytest.approx(_wilson(0.3, 80 / 1.25**2))


def test_resamples_that_hardly_vary_say_no_more_than_the_courses_there_are():
    hardly = 0.01 + 1e-7 * np.tile([1.0, -1.0], 20)
    assert limits_of_replicates(0.01, hardly, 1.0, 90, 0.95) == pytest.approx(_wilson(0.01, 90))
    # A mean of days may be told better than a share: it asks for no such floor.
    low, high = limits_of_replicates(0.01, hardly, 1.0, np.inf, 0.95)
    assert high - low < 1e-6


def test_a_resample_without_an_answer_says_nothing():
    drawn = np.r_[_varying(0.6, 50), np.nan, np.nan]
    assert limits_of_replicates(0.6, drawn, 1.0, 500, 0.95) == pytest.approx(_wilson(0.6, 50))


def test_limits_hold_the_share_where_nothing_happened():
    low, high = limits_of_replicates(0.0, np.zeros(40), 1.0, 60, 0.95)
    assert low == 0.0
    assert high == pytest.approx(_wilson(0.0, 60)[1])
