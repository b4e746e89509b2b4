"""The design of a study: its intervals and its power agree with closed forms where there are any."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from registry.errors import UsageError
from reports.design import booster_design, response_design
from synthetic.booster_world import NO_OVERLAP, SCENARIOS
from synthetic.planned import PlannedStudy

# Everybody seen once, on the same day, nobody lost, replaced or dead: response on that day is a binomial share.
ONE_VISIT = PlannedStudy(
    courses=600, response=(0.65, 0.45, 0.2), mix=(1, 1, 1), visit_day=(365.0,), window_day=(0.0,), dropout=0.0,
    missed=0.0, bilateral=0.0, end_per_year=(0.0, 0.0, 0.0), death_per_year=0.0, follow_up_day=(366.0, 366.0),
)  # fmt: skip
ORDINARY = PlannedStudy(courses=300, response=(0.65, 0.45, 0.2))


def test_with_one_visit_and_nobody_lost_the_width_is_that_of_a_binomial_share():
    found = response_design(ONE_VISIT, samples=8, resamples=120)[:3]
    p, n = found["mean"].to_numpy(), found["courses"].to_numpy()
    # Wald; percentiles of 120 resamples are a few per cent narrower, eight studies scatter by about three.
    assert found["width"].to_numpy() == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / n), rel=0.1)
    assert found["not_estimable"].to_list() == [0, 0, 0]


@pytest.mark.slow
def test_the_power_of_a_contrast_is_that_of_two_shares_where_nobody_is_lost():
    small = PlannedStudy(**{**vars(ONE_VISIT), "courses": 150})
    found = response_design(small, samples=60, resamples=40)
    shares = dict(found.select("stratum", "mean").iter_rows())
    p, q = shares["moderate"], shares["early"]
    error = np.sqrt((p * (1 - p) + q * (1 - q)) / 50)
    expected = stats.norm.cdf(abs(p - q) / error - 1.96)
    # Monte-Carlo error of 60 studies: 0.065.
    assert found.filter(stratum="moderate - early")["power"][0] == pytest.approx(expected, abs=0.2)


@pytest.mark.slow
def test_the_response_planned_is_the_response_drawn_and_missed_visits_cost_width():
    full, half = (
        response_design(PlannedStudy(**{**vars(ORDINARY), "missed": m}), samples=10, resamples=40) for m in (0.0, 0.5)
    )
    assert full["mean"][:3].to_list() == pytest.approx([0.65, 0.45, 0.2], abs=0.06)
    assert half["width"][:3].mean() > 1.05 * full["width"][:3].mean()


def test_the_effect_of_a_booster_is_withheld_where_nothing_can_be_compared():
    shown = booster_design(SCENARIOS[1], 500, samples=2, resamples=20)
    broken = booster_design(NO_OVERLAP, 500, samples=2, resamples=20)
    assert shown["withheld"].to_list() == [0, 0, 0] and broken["withheld"].to_list() == [1, 1, 1]
    assert shown["mean"][0] == pytest.approx(shown["truth"][0], abs=5)
    assert broken["shown_power"].sum() == 0 and broken["mean"].null_count() == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"response": (65, 45, 20)}, "not 65"),
        ({"window_day": (1.0,)}, "one entry for each visit"),
        ({"at_day": 20.0}, "more responders than courses"),
    ],
)
def test_a_plan_that_cannot_be_is_said_in_a_sentence(wrong, said):
    with pytest.raises(UsageError, match=said):
        PlannedStudy(**{**vars(ORDINARY), **wrong}).sample(1)


def test_the_same_seed_draws_the_same_study():
    one, two = (ORDINARY.sample(seed=4) for _ in range(2))
    assert all(one[name].equals(two[name]) for name in one) and isinstance(one["reduction.response_cell"], pl.DataFrame)
