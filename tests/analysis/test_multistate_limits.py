"""Limits of probabilities from a multi-state model where few were seen, and of their differences."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.testing import assert_allclose
from statsmodels.stats.proportion import proportion_confint

from analysis.multistate_limits import followed, share_limits
from analysis.numerics.share_limits import difference_limits, logit_interval, wilson

MOVES = pl.DataFrame(
    {
        "from_state": ["in_response", "in_response", "in_response", "no_response_yet"],
        "to_state": ["in_response", "response_lost", "alive", "dead"],
        "start_day": [300, 365, 365, 0],
        "stop_day": [465, 465, 415, 500],
        "n": [1.0, 2.0, 4.0, 8.0],
    }
)


def test_who_is_followed_half_of_the_time_counts_a_half_and_who_left_the_state_counts_to_the_end():
    # To day 565: 100 of 200 days; two lost, known to the end; four for 50 of 200 days.
    assert_allclose(followed(MOVES, np.array([200.0]), 365.0, origin="in_response"), [0.5 + 2 + 1])
    # Of all to day 500: 165, 2 x 100, 4 x 50 days, and eight known to be dead then.
    assert_allclose(followed(MOVES, np.array([500.0])), [(165 + 200 + 200) / 500 + 8])


def test_wilson_limits_are_those_of_statsmodels():
    for x, n in ((0, 10), (3, 10), (56, 70), (20, 20)):
        assert_allclose(wilson(np.array([x / n]), np.array([n]), 0.95), np.array(
            proportion_confint(x, n, method="wilson")).reshape(2, 1), atol=1e-12)  # fmt: skip


def test_a_curvature_that_says_too_much_is_not_believed_and_one_that_says_less_is_kept():
    low, high = share_limits(np.array([0.997]), np.array([0.004]), np.array([8.0]), 0.95)
    assert_allclose(low, wilson(np.array([0.997]), np.array([8.0]), 0.95)[0])
    assert high > 0.999
    wide = np.array([0.4]), np.array([0.2])
    assert_allclose(share_limits(*wide, np.array([500.0]), 0.95, 40), logit_interval(*wide, 1.0, 0.95, 40))


def test_of_few_courses_an_error_is_itself_an_estimate_and_its_limits_reach_further():
    # t on 9 degrees of freedom is 2.262157; sqrt(10 / 9) for the divisor: on the logit scale, error 0.1 / (0.4 x 0.6).
    low, high = logit_interval(np.array([0.4]), np.array([0.1]), 1.0, 0.95, 10.0)
    width = 2.262157 * np.sqrt(10 / 9) * 0.1 / 0.24
    assert_allclose(np.log(high / (1 - high)), np.log(0.4 / 0.6) + width, rtol=1e-6)
    assert_allclose(np.log(low / (1 - low)), np.log(0.4 / 0.6) - width, rtol=1e-6)


def test_where_nothing_happened_or_all_the_limit_is_exact():
    # Of ten, none: 1 - 0.025 ** (1 / 10) (Clopper & Pearson 1934).
    assert_allclose(share_limits(np.zeros(1), np.zeros(1), np.array([10.0]), 0.95), [[0.0], [0.3084971]], atol=1e-7)
    assert_allclose(share_limits(np.ones(1), np.zeros(1), np.array([10.0]), 0.95), [[0.6915029], [1.0]], atol=1e-7)


def test_limits_of_a_difference_are_those_that_newcombe_published():
    # 56 of 70 against 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, table II, case a, method 10).
    sides = [(np.array([x / n]), *wilson(np.array([x / n]), np.array([n]), 0.95)) for x, n in ((56, 70), (48, 80))]
    assert_allclose(difference_limits(*sides, np.zeros(1)), [[0.0524], [0.3339]], atol=5e-5)


def test_two_estimates_that_move_together_differ_by_less():
    side = np.array([0.5]), np.array([0.3]), np.array([0.7])
    apart, alike = (difference_limits(side, side, np.array([r])) for r in (0.0, 0.9))
    assert alike[1] - alike[0] < apart[1] - apart[0]
    assert_allclose(difference_limits(side, side, np.ones(1)), [[0.0], [0.0]], atol=1e-12)
