"""Limits from resamples."""

import numpy as np
import pytest

from analysis.numerics.resampling import interval_of_probability


def test_limits_are_the_ordered_replicates_that_cover_what_they_should():
    # Of 19 replicates a twentieth of all further ones lies below the least (Davison & Hinkley 1997, section 5.2.1).
    replicates = np.r_[0.30, np.linspace(0.46, 0.54, 17), 0.70][:, None]
    low, high = interval_of_probability(np.array([0.5]), replicates, 0.90, 100)
    assert (low[0], high[0]) == pytest.approx((0.30, 0.70))
