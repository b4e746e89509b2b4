"""One ratio of loss intensities between strata: by hand, in any unit of time, and none where none is told."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from analysis.multistate import StratumFit
from analysis.proportional_loss import proportional_loss


class Told:
    """A fit of which only the log intensities are asked."""

    def __init__(self, theta):
        self.theta = np.array(theta, dtype=float)
        self.covariance = np.eye(len(theta))


def stratum(bands, theta):
    return StratumFit(Told(theta), None, np.array(bands), ())


def test_of_two_strata_with_the_same_bands_it_is_the_weighted_mean_of_the_differences():
    fits = [stratum([0, 1, 2], [-6.0, -5.5, -5.0]), stratum([0, 1, 2], [-5.0, -4.9, -4.2])]
    variance = np.diag([0.1, 0.2, 0.3, 0.1, 0.2, 0.7])
    found = proportional_loss(fits, variance)
    weight = 1 / np.array([0.2, 0.4, 1.0])
    assert_allclose(found.log_ratio, weight @ np.array([1.0, 0.6, 0.8]) / weight.sum())
    assert_allclose(found.covariance, 1 / weight.sum())
    assert (found.df, found.lack_df) == (1, 2)


@pytest.mark.parametrize("bands", [[-1, -1, 0, 1, 2], [-1, 0, 0, 1, 2]])
def test_one_intensity_for_days_in_which_the_others_show_no_loss_tells_no_ratio_and_the_unit_of_time_no_other(bands):
    # The first two strata lose late, the third has one intensity for all days.
    early, moderate = stratum(bands, [-6.0, -5.5, -5.0]), stratum(bands, [-5.2, -4.9, -4.4])
    late = stratum([0, 0, 0, 0, 0], [-6.5])
    found = [proportional_loss([stratum(f.bands, f.fit.theta + unit) for f in (early, moderate, late)], np.eye(7) / 10)
             for unit in (0.0, np.log(30), np.log(365))]  # fmt: skip
    for one in found:
        assert_allclose(one.log_ratio[0], found[0].log_ratio[0])
        assert np.isnan(one.log_ratio[1]) and one.df == 1
        assert one.p == pytest.approx(found[0].p)
    assert found[0].log_ratio[0] == pytest.approx((0.8 + 0.6 + 0.6) / 3)


def test_strata_that_lose_in_different_days_are_refused():
    with pytest.raises(ValueError, match="losses in different days"):
        proportional_loss([stratum([0, -1], [-5.0]), stratum([-1, 0], [-5.0])], np.eye(2))
