"""Strata of panel-observed Markov models with effects in common: against one model for all, and a simulated truth."""

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import expm

from analysis.numerics.panel_markov import fit_panel_markov
from analysis.numerics.panel_markov_likelihood import Kind, PanelModel, PanelMoves, arrange
from analysis.numerics.panel_markov_prediction import cumulative_incidence, restricted_mean_time, state_occupation
from analysis.numerics.panel_markov_strata import fit_strata, influences, one_step, standardised_law

# Waiting, in response, lost, ended: the effects of two covariates on response and loss, none on return and end.
WAYS = np.array([(0, 1), (1, 2), (2, 1), (0, 3), (1, 3), (2, 3)])
EFFECTS = np.array([[0, 1], [2, 3], [-1, -1], [-1, -1], [-1, -1], [-1, -1]])
VISITS = (60.0, 120.0, 240.0, 400.0)
BETA, GAMMA = 0.4, 0.6


def model(points=(150.0,), effects=EFFECTS):
    base = np.array([[0, 1], [2, 3], [4, 4], [5, 5], [5, 5], [5, 5]])[:, : len(points) + 1]
    if len(points) == 0:
        base = np.array([[0], [1], [2], [3], [3], [3]])
    return PanelModel(("w", "r", "l", "e"), WAYS, base, effects, np.array(points))


def world(seed, n, late_share=0.5, loss=(0.002, 0.004)):
    """Courses of two stages: late ones have a worse covariate, and lose sooner. Returns moves of single courses."""
    rng = np.random.default_rng(seed)
    late = rng.random(n) < late_share
    x = np.column_stack([rng.normal(0, 1, n) + 0.5 * late, (rng.random(n) < 0.4).astype(float)])
    rows = []
    for i in range(n):
        q = np.array([0.008 * np.exp(BETA * x[i, 0]), loss[int(late[i])] * np.exp(GAMMA * x[i, 0]), 0.002, 0.0004,
                      0.0004, 0.0004])  # fmt: skip
        state, now, at = 0, 0.0, 0.0
        path = [(0.0, 0)]
        while now < VISITS[-1] and state != 3:
            out = np.flatnonzero(WAYS[:, 0] == state)
            now += rng.exponential(1 / q[out].sum())
            state = int(WAYS[rng.choice(out, p=q[out] / q[out].sum()), 1])
            path.append((now, state))
        seen = 0
        for visit in (v + rng.uniform(-10, 10) for v in VISITS):
            there = [s for t, s in path if t <= visit][-1]
            if there == 3:
                rows.append((i, seen, 3, at, path[-1][0], Kind.DEATH))
                break
            rows.append((i, seen, there, at, visit, Kind.PANEL))
            seen, at = there, visit
    table = np.array(rows, dtype=float)
    return late, x, table


def stratum(table, keep, of=None):
    """Return the moves of the courses of a stratum, each with the covariates of its course, and who made which."""
    mine = table[keep[table[:, 0].astype(int)]]
    course, origin, to, kind = (mine[:, j].astype(np.int64) for j in (0, 1, 2, 5))
    moves = PanelMoves(course, origin, to, mine[:, 3], mine[:, 4], kind, np.ones(len(mine)))
    made = sparse.csr_matrix((np.ones(len(mine)), (course if of is None else of[course], np.arange(len(mine)))),
                             shape=(len(keep) if of is None else of.max() + 1, len(mine)))  # fmt: skip
    return moves, made


@pytest.fixture(scope="module")
def seen():
    return world(3, 250)


def test_one_stratum_is_the_model_with_covariates_and_its_sandwich(seen):
    _, x, table = seen
    moves, made = stratum(table, np.ones(250, bool))
    alone = fit_panel_markov(model(), moves, x, clusters=made)
    problem, index = arrange(model(), moves, x), [np.arange(10)]
    found = fit_strata([problem], index, np.r_[np.full(6, -6.0), np.zeros(4)])
    assert found.converged and not len(found.undetermined)
    np.testing.assert_allclose(found.theta, alone.theta, atol=1e-5)
    np.testing.assert_allclose(found.covariance, alone.covariance, rtol=1e-3, atol=1e-8)
    moved = influences(found, [problem], index, [made])
    np.testing.assert_allclose(moved.T @ moved, alone.robust, rtol=1e-3, atol=1e-8)


def test_strata_are_the_model_in_which_the_stratum_is_a_covariate_of_every_way(seen):
    """With one band, an intensity of its own for each stratum is an effect of the stratum on each way."""
    late, x, table = seen
    parts = [stratum(table, keep) for keep in (~late, late)]
    problems = [arrange(model(()), moves, x) for moves, _ in parts]
    found = fit_strata(problems, [np.r_[0:4, 8:12], np.r_[4:12]], np.r_[np.full(8, -6.0), np.zeros(4)])
    # Ends share an intensity over the states, so that they share the effect of the stratum too.
    effects = np.column_stack([EFFECTS, [4, 5, 6, 7, 7, 7]])
    whole = fit_panel_markov(model((), effects), stratum(table, np.ones(250, bool))[0], np.column_stack([x, late]))
    np.testing.assert_allclose(found.loglik, whole.loglik, atol=1e-7)
    np.testing.assert_allclose(found.theta[8:], whole.theta[4:8], atol=1e-4)
    np.testing.assert_allclose(found.theta[4:8] - found.theta[:4], whole.theta[8:], atol=1e-4)
    np.testing.assert_allclose(np.diag(found.covariance)[8:], np.diag(whole.covariance)[4:8], rtol=1e-3)


def test_the_law_of_a_population_is_the_mean_of_the_laws_of_its_people(seen):
    _, x, table = seen
    fit = fit_panel_markov(model(), stratum(table, np.ones(250, bool))[0], x)
    people, days = x[:7], np.array([0.0, 30.0, 150.0, 365.0])
    chance, slope, stay, stay_slope = standardised_law(fit.model, fit.theta, people, 0, 0.0, days, clocked=1)
    each = [state_occupation(fit, one, days, np.eye(4)[0]) for one in people]
    np.testing.assert_allclose(chance, np.mean([e.estimate for e in each], axis=0), atol=1e-12)
    np.testing.assert_allclose(slope, np.mean([e.gradient for e in each], axis=0), atol=1e-10)
    mean = [restricted_mean_time(fit, one, 365.0, np.eye(4)[0]) for one in people]
    np.testing.assert_allclose(stay[-1], np.mean([m.estimate[1] for m in mean]), rtol=1e-10)
    np.testing.assert_allclose(stay_slope[-1], np.mean([m.gradient[1] for m in mean], axis=0), rtol=1e-8, atol=1e-8)
    # First loss after day 100 in response: nothing leaves the lost state.
    after = standardised_law(fit.model, fit.theta, people, 1, 100.0, np.array([465.0]), final=2)[0]
    lost = [cumulative_incidence(fit, one, np.array([465.0]), np.eye(4)[1], 2, start=100.0) for one in people]
    np.testing.assert_allclose(after[0, 2], np.mean([e.estimate for e in lost]), atol=1e-12)


def test_people_alike_are_computed_once_and_count_each(seen):
    _, x, table = seen
    fit = fit_panel_markov(model(), stratum(table, np.ones(250, bool))[0], x)
    one, other = x[:1], x[1:2]
    law = [standardised_law(fit.model, fit.theta, p, 0, 0.0, np.array([200.0]))[0] for p in (one, other)]
    both = standardised_law(fit.model, fit.theta, np.vstack([one, one, one, other]), 0, 0.0, np.array([200.0]))[0]
    np.testing.assert_allclose(both, (3 * law[0] + law[1]) / 4, atol=1e-13)
    half = standardised_law(fit.model, fit.theta, np.vstack([one, other]), 0, 0.0, np.array([200.0]),
                            weights=np.array([1.5, 0.5]))[0]  # fmt: skip
    np.testing.assert_allclose(half, both, atol=1e-13)


def test_one_step_from_the_smaller_model_lands_near_the_larger_one(seen):
    """Each stratum with effects of its own, from the fit with effects in common; a quarter of an error at most off."""
    late, x, table = seen
    parts = [stratum(table, keep) for keep in (~late, late)]
    problems = [arrange(model(()), moves, x) for moves, _ in parts]
    common = fit_strata(problems, [np.r_[0:4, 8:12], np.r_[4:12]], np.r_[np.full(8, -6.0), np.zeros(4)])
    start, index = np.r_[common.theta, common.theta[8:]], [np.r_[0:4, 8:12], np.r_[4:8, 12:16]]
    step, influence, loose = one_step(problems, index, start, [made for _, made in parts])
    larger = fit_strata(problems, index, start)
    error = np.sqrt(np.diag(larger.covariance))
    assert not len(loose)
    assert (np.abs(start + step - larger.theta) < 0.25 * error).all()
    np.testing.assert_allclose(influence.sum(axis=0), step, atol=1e-12)


def test_covariates_that_say_the_same_are_told_and_one_that_never_varies_is_refused(seen):
    _, x, table = seen
    moves, start = stratum(table, np.ones(250, bool))[0], np.r_[np.full(4, -6.0), np.zeros(4)]
    twice = arrange(model(()), moves, np.column_stack([x[:, 0], 2 * x[:, 0]]))
    assert set(fit_strata([twice], [np.arange(8)], start).undetermined) == {4, 5, 6, 7}
    flat = arrange(model(()), moves, np.column_stack([x[:, 0], np.zeros(len(x))]))
    with pytest.raises(ValueError, match="the same in every course"):
        fit_strata([flat], [np.arange(8)], start)


def test_moves_that_the_model_gives_no_way_to_make_are_refused(seen):
    _, x, table = seen
    moves = stratum(table, np.ones(250, bool))[0]
    none = PanelModel(("w", "r", "l", "e"), WAYS[:2], np.array([[0], [1]]), np.full((2, 2), -1), np.empty(0))
    with pytest.raises(ValueError, match="no way to make some of the moves"):
        fit_strata([arrange(none, moves, x)], [np.arange(2)], np.full(2, -6.0))


@pytest.mark.slow
def test_limits_hold_the_standardised_truth_in_simulated_courses():
    """150 samples of 400 courses of two stages that differ in a covariate, seed fixed; a covariate is a confounder of
    the stage. Loss within 200 days of response on day 100: Monte-Carlo error of the coverage 1.8 points."""
    late, x, _ = world(11, 60_000)
    people = x[:4_000] if len(x) > 4_000 else x
    truth = []
    for loss in (0.002, 0.004):
        total = 0.0
        for row in people:
            q = np.zeros((4, 4))
            values = (0.008 * np.exp(BETA * row[0]), loss * np.exp(GAMMA * row[0]), 0.0, 0.0004, 0.0004, 0.0)
            for (r, s), v in zip(WAYS, values, strict=True):
                q[r, s] = v
            q -= np.diag(q.sum(axis=1))
            total += expm(q * 200)[1, 2]
        truth.append(total / len(people))
    hold, off = [], []
    for seed in range(150):
        late, x, table = world(1_000 + seed, 400)
        parts = [stratum(table, keep) for keep in (~late, late)]
        problems = [arrange(model(()), moves, x) for moves, _ in parts]
        index = [np.r_[0:4, 8:12], np.r_[4:12]]
        fit = fit_strata(problems, index, np.r_[np.full(8, -6.0), np.zeros(4)])
        moved = influences(fit, problems, index, [made for _, made in parts])
        variance = moved.T @ moved
        value, gradient = np.zeros(2), np.zeros((3, 12))
        for s, of in enumerate(index):
            law = standardised_law(problems[s].model, fit.theta[of], people, 1, 100.0, np.array([300.0]), final=2)
            value[s], gradient[s, of] = law[0][0, 2], law[1][0, 2]
        gradient[2] = gradient[1] - gradient[0]
        error = np.sqrt(np.einsum("sp,pq,sq->s", gradient, variance, gradient))
        miss = np.r_[value - truth, (value[1] - value[0]) - (truth[1] - truth[0])]
        off.append(miss)
        hold.append(np.abs(miss) < 1.96 * error)
    mean, spread = np.mean(off, axis=0), np.std(off, axis=0) / np.sqrt(len(off))
    assert (np.abs(mean) < 3 * spread + 0.003).all(), mean
    assert (np.mean(hold, axis=0) > 0.90).all() and (np.mean(hold, axis=0) < 0.99).all(), np.mean(hold, axis=0)
