"""Weights of those seen: shares by hand, a logistic model of statsmodels, and a truth that the observed cases miss."""

import numpy as np
import pytest
import statsmodels.api as sm

from analysis.numerics.observation import observation_weights, weighted_contrasts


def test_one_visit_and_two_groups_are_weighted_by_the_share_seen_of_each():
    """60 of 80 and 10 of 20 came: each of those seen stands for 4/3 and for 2 courses."""
    group = np.repeat([0.0, 1.0], [80, 20])
    y = np.full((100, 1), np.nan)
    y[:60], y[80:90] = 10.0, 4.0
    made = observation_weights(np.column_stack([np.ones(100), group]), y, np.zeros(100, dtype=bool))
    # The prior of the coefficients moves the smaller group by half a per cent.
    assert made.weight[:60] == pytest.approx(80 / 60, rel=2e-3)
    assert made.weight[80:90] == pytest.approx(2.0, rel=1e-2)
    assert (made.weight[60:80] == 0).all() and made.weight.sum() == pytest.approx(100, rel=2e-3)


def test_staying_is_modelled_as_by_statsmodels_from_the_change_last_seen():
    rng = np.random.default_rng(5)
    n = 3000
    first = rng.normal(10, 10, n)
    stays = rng.random(n) < 1 / (1 + np.exp(-(0.5 + 0.08 * (first - 10))))
    y = np.column_stack([first, np.where(stays, first + rng.normal(size=n), np.nan)])
    made = observation_weights(np.ones((n, 1)), y, np.zeros(n, dtype=bool))
    theirs = sm.Logit(stays.astype(float), sm.add_constant(first)).fit(disp=0)
    assert 1 / made.weight[stays] == pytest.approx(theirs.predict()[stays], abs=2e-3)


def test_who_was_seen_later_had_not_left_but_missed_the_visit():
    y = np.full((40, 1), np.nan)
    y[:20] = np.arange(20.0)[:, None]
    returned = np.arange(40) >= 20
    made = observation_weights(np.ones((40, 1)), y, returned)
    assert made.weight[:20] == pytest.approx(2.0, rel=1e-6)


def test_the_weighted_mean_finds_the_truth_that_the_observed_cases_miss():
    """Truth: mean change 10. Whoever had gained less at the first visit leaves more often; twenty samples."""
    gaps, naive, covered = [], [], 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n = 600
        patient = np.repeat(np.arange(n // 2), 2)
        y = 10 + 10 * (np.sqrt(0.5) * rng.normal(size=(n // 2, 1))[patient] + np.sqrt(0.5) * rng.normal(size=(n, 1)))
        y = np.column_stack([y, 10 + 0.8 * (y - 10) + rng.normal(0, 6, (n, 1))])
        y[rng.random(n) < 1 / (1 + np.exp(0.4 + 0.12 * (y[:, 0] - 10))), 1] = np.nan
        z = np.ones((n, 1))
        made = observation_weights(z, y, np.zeros(n, dtype=bool))
        value, error, _ = weighted_contrasts(z, y[:, 1], np.array([0]), np.ones((1, 1)), patient, made)
        gaps.append(value[0] - 10)
        naive.append(np.nanmean(y[:, 1]) - 10)
        covered += abs(gaps[-1]) < 1.96 * error[0]
    assert abs(np.mean(gaps)) < 0.35  # three Monte-Carlo errors
    assert np.mean(naive) > 2.5
    assert covered >= 16
