"""Partial pooling against the eight schools of Rubin 1981, and funnels by hand."""

import numpy as np
import pytest

from analysis.numerics.pooling import funnel, partial_pooling

SCHOOLS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
# Gelman et al., Bayesian Data Analysis, 3rd ed., table 5.3: posterior medians of the schools from 200 draws.
MEDIANS = [10, 8, 7, 8, 5, 6, 10, 8]


def test_the_eight_schools_are_those_of_bayesian_data_analysis():
    made = partial_pooling(*SCHOOLS)
    # Medians of 200 draws have an error of about 0.7, and are printed without decimals.
    np.testing.assert_allclose(made.estimate, MEDIANS, atol=1.5)
    # The order of the schools is kept, everything between the extremes of the data.
    assert np.array_equal(np.argsort(made.estimate)[[0, -1]], [4, 0])
    assert made.overall == pytest.approx(8, abs=0.5) and 3 < made.spread < 9


def test_it_agrees_with_draws_from_the_posterior_made_another_way():
    # Sampled: tau from its own density on a fine even grid, then mu, then the groups (BDA, section 5.4).
    y, s = SCHOOLS
    rng = np.random.default_rng(1)
    grid = np.linspace(1e-4, 120, 60_000)
    v = s**2 + grid[:, None] ** 2
    of_mean = 1 / (1 / v).sum(axis=1)
    mean = of_mean * (y / v).sum(axis=1)
    log = 0.5 * np.log(of_mean) - 0.5 * (np.log(v) + (y - mean[:, None]) ** 2 / v).sum(axis=1)
    at = rng.choice(len(grid), 200_000, p=np.exp(log - log.max()) / np.exp(log - log.max()).sum())
    mu = rng.normal(mean[at], np.sqrt(of_mean[at]))
    precision = 1 / s**2 + 1 / grid[at][:, None] ** 2
    theta = rng.normal((y / s**2 + (mu / grid[at] ** 2)[:, None]) / precision, 1 / np.sqrt(precision))
    made = partial_pooling(y, s)
    np.testing.assert_allclose(made.estimate, np.median(theta, axis=0), atol=0.1)
    np.testing.assert_allclose(made.low, np.quantile(theta, 0.025, axis=0), atol=0.35)
    np.testing.assert_allclose(made.high, np.quantile(theta, 0.975, axis=0), atol=0.35)
    np.testing.assert_allclose(made.spread, np.median(grid[at]), rtol=0.02)


def test_precise_groups_that_differ_keep_their_own_numbers_and_vague_ones_do_not():
    made = partial_pooling(np.array([0.0, 5.0, 10.0, 15.0]), np.array([0.1, 0.1, 0.1, 30.0]))
    np.testing.assert_allclose(made.estimate[:3], [0, 5, 10], atol=0.05)
    assert made.weight[:3].min() > 0.98 and made.weight[3] < 0.2


def test_fewer_than_three_groups_or_no_error_is_refused():
    with pytest.raises(ValueError, match="three or more are needed"):
        partial_pooling(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="positive error"):
        partial_pooling(np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 1.0]))


def test_a_funnel_by_hand():
    made = funnel(np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert made.target == pytest.approx(1) and made.overdispersion == 1 and np.abs(made.z).max() < 1e-9
    low, high = made.limits(np.array([0.5]), 0.95)
    np.testing.assert_allclose([low[0], high[0]], [1 - 1.959964 * 0.5, 1 + 1.959964 * 0.5], rtol=1e-6)
    wide = funnel(np.array([0.0, 2.0, 0.0, 2.0, 1.0]), np.full(5, 0.2))
    # z of ±5, none beyond the 10 % quantiles but themselves: the mean square without the middle one is 25.
    assert wide.overdispersion == pytest.approx(20, abs=2)
    assert np.abs(wide.z).max() < 1.2
