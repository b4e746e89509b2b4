"""The world of trajectories: its truth in closed form, two knees that are alike, and who leaves."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from synthetic.trajectory_world import (
    _SD,
    BASELINE_SD,
    BASELINES,
    CENTRE,
    ENOUGH,
    MEANS,
    SCENARIOS,
    SLOPES,
    STAGES,
    growth_scores,
    make,
    reductions,
    response_states,
    truth,
)

AT_RANDOM, NOT_AT_RANDOM, MIXTURE = SCENARIOS
COURSES = 60_000


def test_the_truth_of_the_normal_law_is_its_means_at_the_baselines():
    known = truth(AT_RANDOM, COURSES)
    expected = MEANS + (BASELINES - CENTRE)[:, None] * SLOPES
    # Of 15,000 to 24,000 courses a stage with a spread of 16 points: three errors are 0.4.
    assert np.abs(known["mean_change"] - expected).max() < 0.4
    gaps = known["adjusted_change"] - known["adjusted_change"][0]
    assert np.abs(gaps - (MEANS - MEANS[0])).max() < 1e-9  # the same noise in every stage


def test_two_knees_of_a_patient_correlate_at_a_half():
    world = make(AT_RANDOM, COURSES, 1)
    left = np.flatnonzero(np.diff(world.patient) == 0)
    rest = world.change - MEANS[world.stage] - (world.baseline - CENTRE)[:, None] * SLOPES
    for k in range(rest.shape[1]):
        assert np.corrcoef(rest[left, k], rest[left + 1, k])[0, 1] == pytest.approx(0.5, abs=0.03)


def test_who_leaves_had_gained_less_and_where_it_is_not_at_random_loses_ten_points_more():
    plain, shifted = make(AT_RANDOM, COURSES, 1), make(NOT_AT_RANDOM, COURSES, 1)
    stayed = plain.due[:, 4] & plain.seen[:, 3]
    assert plain.change[stayed & plain.seen[:, 4], 3].mean() > plain.change[stayed & ~plain.seen[:, 4], 3].mean() + 3
    unseen = shifted.due[:, 3] & ~shifted.seen[:, 3]
    # Nobody misses a visit by chance there, so that whoever is not seen has left.
    assert 0.2 < unseen.sum() / shifted.due[:, 3].sum() < 0.4
    before = truth(AT_RANDOM, COURSES)["mean_change"] - truth(NOT_AT_RANDOM, COURSES)["mean_change"]
    assert before[:, 3] == pytest.approx(10 * np.array([unseen[shifted.stage == s].sum() for s in range(3)])
                                         / np.array([shifted.due[shifted.stage == s, 3].sum() for s in range(3)]),
                                         abs=0.5)  # fmt: skip


def test_scores_of_the_mixture_stay_on_their_scale():
    world = make(MIXTURE, 2000, 3)
    after = world.baseline[:, None] - world.change
    assert after.min() >= -1e-9 and after.max() <= 100 + 1e-9


def test_the_rows_are_what_the_visits_show():
    world = make(AT_RANDOM, 500, 2)
    rows = reductions(world)
    assert rows["trajectory_value"].height == world.seen.sum()
    assert rows["trajectory_due"]["n_seen"].sum() == world.seen.sum() < rows["trajectory_due"]["n_due"].sum()
    assert set(rows["trajectory_course"]["stratum"]) == set(STAGES)


def test_the_share_in_response_is_that_of_the_normal_law():
    known = truth(AT_RANDOM, COURSES)["in_response"]
    mean = MEANS + (BASELINES - CENTRE)[:, None] * SLOPES
    spread = np.sqrt(_SD**2 + (SLOPES * BASELINE_SD) ** 2)
    # Of 15,000 to 24,000 courses a stage: three errors of a share are 0.012.
    assert np.abs(known - stats.norm.sf((ENOUGH - mean) / spread)).max() < 0.012


def test_scores_on_their_own_day_keep_to_the_window_and_to_the_curve_of_their_stage():
    world = make(AT_RANDOM, COURSES, 4)
    rows = growth_scores(AT_RANDOM, world, 4)
    assert rows.height == world.seen.sum() and rows["day"].min() >= 20
    early = rows.filter(stratum="early").with_columns(pl.col("change", "baseline").cast(pl.Float64))
    # Between the visits of six and twelve months the curve of the early falls from 20 to 18 points.
    for low, high, least, most in ((150, 210, 19.0, 20.5), (320, 410, 17.3, 19.5)):
        near = early.filter(pl.col("day").is_between(low, high))
        seen = (near["change"] - 0.3 * (near["baseline"] - CENTRE)).mean()
        gain = {180: 1.9, 365: 2.4}[180 if low < 200 else 365]  # who came had gained more
        assert least < seen - gain < most
    assert rows.equals(growth_scores(AT_RANDOM, world, 4)) and not rows.equals(growth_scores(AT_RANDOM, world, 5))


def test_states_are_of_the_visits_due_and_null_where_nobody_came():
    world = make(AT_RANDOM, 500, 2)
    rows = response_states(world)
    assert rows.height == world.due.sum() and rows["in_response"].null_count() == (world.due & ~world.seen).sum()
    assert rows["in_response"].sum() == ((world.change >= ENOUGH) & world.seen).sum()
