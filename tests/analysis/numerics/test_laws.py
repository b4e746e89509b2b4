"""Quantiles and tails of the laws, against scipy.stats."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.numerics import laws

P = np.array([1e-12, 1e-4, 0.025, 0.5, 0.975, 1 - 1e-9])
X = np.array([0.0, 1e-3, 0.7, 1.96, 9.0, 38.0])
DF = np.array([0.7, 1.0, 2.5, 30.0, 1e6])[:, None]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (laws.normal_quantile(P), stats.norm.ppf(P)),
        (laws.normal_below(-X), stats.norm.cdf(-X)),
        (laws.normal_above(X), stats.norm.sf(X)),
        (laws.t_quantile(P, DF), stats.t.ppf(P, DF)),
        (laws.t_above(X, DF), stats.t.sf(X, DF)),
        (laws.chi2_above(X, DF), stats.chi2.sf(X, DF)),
        (laws.chi2_quantile(P, DF), stats.chi2.ppf(P, DF)),
        (laws.f_above(X, 3, DF), stats.f.sf(X, 3, DF)),
        (laws.beta_quantile(P, 3, DF), stats.beta.ppf(P, 3, DF)),
        (laws.mid_ranks([3.0, 1.0, 3.0, 2.0, 3.0]), stats.rankdata([3.0, 1.0, 3.0, 2.0, 3.0])),
    ],
    ids=["normal quantile", "normal below", "normal above", "t quantile", "t above", "chi2 above", "chi2 quantile",
         "F above", "beta quantile", "ranks"],
)  # fmt: skip
def test_every_law_is_that_of_scipy_stats(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-300)


def test_with_infinite_degrees_of_freedom_t_is_normal():
    assert laws.t_quantile(0.975, np.inf) == stats.norm.ppf(0.975)
    np.testing.assert_array_equal(laws.t_above([1.0, 2.0], [np.inf, np.inf]), stats.norm.sf([1.0, 2.0]))


def test_hotellings_law_is_f_and_chi_square_where_the_variance_is_known():
    # Anderson 2003, An Introduction to Multivariate Statistical Analysis, 3rd ed., theorem 5.2.2: T² (n - p + 1) / (n p).
    assert laws.hotelling_above(12.3, 4, 20.0) == pytest.approx(stats.f.sf(12.3 * 17 / 80, 4, 17))
    assert laws.hotelling_above(12.3, 4, np.inf) == pytest.approx(stats.chi2.sf(12.3, 4))
    assert np.isnan(laws.hotelling_above(12.3, 4, 4.0))
