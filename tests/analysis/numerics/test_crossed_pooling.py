"""Partial pooling over crossed factors against the integral done by brute force, and what it must collapse to."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from analysis.numerics.crossed_pooling import PRIOR_SCALE, crossed_pooling
from analysis.numerics.pooling import partial_pooling

# Two factors of three and two levels; one combination does not occur.
ONE, TWO = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])
Y = np.array([0.9, 0.2, -0.1, -0.7, 0.4])
# Neighbours are told with each other: errors that correlate.
ERROR = 0.09 * (np.eye(5) + 0.3 * np.eye(5, k=1) + 0.3 * np.eye(5, k=-1))


def by_brute_force(nodes: int = 16):
    """Return means of the effects, of the levels of the first factor, and of the three standard deviations.

    Independent of the code: densities of the observations and regression on them, on a grid of standard deviations.
    """
    # Finer near none, where most of the posterior is.
    places = (np.arange(nodes) + 0.5) / nodes
    grid, width = 3.5 * places**2, 2 * places
    z1, z2 = np.eye(3)[ONE], np.eye(2)[TWO]
    total, effects, levels, spread = 0.0, np.zeros(5), np.zeros(3), np.zeros(3)
    for a, wa in zip(grid, width, strict=True):
        for b, wb in zip(grid, width, strict=True):
            for c, wc in zip(grid, width, strict=True):
                prior = a**2 * z1 @ z1.T + b**2 * z2 @ z2.T + c**2 * np.eye(5)
                density = multivariate_normal.pdf(Y, np.zeros(5), prior + ERROR)
                weight = (
                    wa
                    * wb
                    * wc
                    * density
                    * norm.pdf(a / PRIOR_SCALE)
                    * norm.pdf(b / PRIOR_SCALE)
                    * norm.pdf(c / PRIOR_SCALE)
                )
                told = np.linalg.solve(prior + ERROR, Y)
                u = a**2 * z1.T @ told
                total += weight
                effects += weight * (prior @ told)
                levels += weight * (u - u.mean())
                spread += weight * np.array([a, b, c])
    return effects / total, levels / total, spread / total


@pytest.fixture(scope="module")
def found():
    information = np.linalg.inv(ERROR)
    return crossed_pooling(information, information @ Y, [ONE, TWO])


def test_effects_levels_and_spreads_are_those_of_the_integral_by_brute_force(found):
    effects, levels, spread = by_brute_force()
    # Of 512 points some 200 count: a hundredth or two of the posterior's deviations of 0.2 to 0.5.
    np.testing.assert_allclose(found.expected, effects, atol=0.01)
    np.testing.assert_allclose(found.weight @ found.spread, spread, atol=0.03)
    middle, low, high = found.level(0, 0.95)
    np.testing.assert_allclose(middle, levels, atol=0.03)
    assert (low < middle).all() and (middle < high).all()


def test_the_points_carry_the_integral(found):
    assert 1 / (found.weight**2).sum() > 100


def test_of_many_groups_of_one_factor_it_is_partial_pooling_of_one_factor():
    """Each level one cell: its two spreads add up, and what forty groups say outweighs both priors."""
    rng = np.random.default_rng(5)
    truth = rng.normal(0, 0.4, 40)
    error = rng.uniform(0.1, 0.4, 40)
    y = truth + error * rng.normal(size=40)
    other = partial_pooling(y - y.mean(), error)
    information = np.diag(1 / error**2)
    mine = crossed_pooling(information, information @ (y - y.mean()), [np.arange(40)])
    # Priors differ, and the other's middle is estimated: a twentieth of what the groups differ.
    np.testing.assert_allclose(mine.expected, other.estimate, atol=0.04)
    assert np.sqrt((mine.weight @ mine.spread**2).sum()) == pytest.approx(other.spread, rel=0.15)
    low, high = mine.linear(np.zeros(40), np.eye(40), np.zeros(40), 0.95)[1:]
    np.testing.assert_allclose(high - low, other.high - other.low, rtol=0.12)


def test_a_cell_of_which_nothing_is_known_is_drawn_to_what_its_levels_share():
    information = np.linalg.inv(ERROR)
    known = np.array([0, 1, 2, 3])
    without = np.zeros((5, 5))
    without[np.ix_(known, known)] = np.linalg.inv(ERROR[np.ix_(known, known)])
    said = without @ Y
    made = crossed_pooling(without, said, [ONE, TWO])
    assert made.keep[4] == pytest.approx(0.0, abs=1e-12)
    full = crossed_pooling(information, information @ Y, [ONE, TWO])
    # It lies between nothing and the first level of the second factor, which it shares with two cells that are known.
    assert abs(made.expected[4]) < abs(full.expected[4])
    low, high = (v[4] for v in made.linear(np.zeros(5), np.eye(5), np.zeros(5), 0.95)[1:])
    narrow = [v[4] for v in full.linear(np.zeros(5), np.eye(5), np.zeros(5), 0.95)[1:]]
    assert high - low > narrow[1] - narrow[0]


def test_two_cells_are_refused():
    with pytest.raises(ValueError, match="three or more"):
        crossed_pooling(np.eye(2), np.zeros(2), [np.arange(2)])
