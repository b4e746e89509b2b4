"""The worlds of the outlook and of safety: their truths in closed form, who leaves, and the rows that are made."""

import numpy as np
import pytest

from synthetic import harm_world, outlook_world
from synthetic.harm_world import PRODUCTS, SCENARIOS, mean_by, tables
from synthetic.outlook_world import AT_RANDOM, sample
from synthetic.trajectory_world import BASELINES, CENTRE, MEANS, SLOPES, VISITS

ALIKE, PRONE, AFTER_EVENTS, UNSEEN = SCENARIOS


def test_changes_of_a_stage_are_its_means_at_its_baseline_and_ends_come_at_their_rate():
    world = outlook_world.make(AT_RANDOM, 60_000, 1, stage=0)
    expected = MEANS[0] + (BASELINES[0] - CENTRE) * SLOPES - 4.0 * 0.35
    # Spread 16 points in 60,000: three errors are 0.2; mean age is that of the law.
    assert np.abs(world.change.mean(axis=0) - expected).max() < 0.25
    year = next(k for k, (name, _, _) in enumerate(VISITS) if name == "12 months")
    closes = VISITS[year][1] + VISITS[year][2]
    # A rate of 0.03 a year, lognormal over ages with exponent 0.03 and standard deviation 9: mean factor exp(0.036).
    assert world.over[:, year].mean() == pytest.approx(1 - np.exp(-0.03 * np.exp(0.0365) * closes / 365.25), abs=0.003)


def test_who_gained_little_leaves_and_rows_hide_what_was_not_seen():
    world, rows, profile = sample(AT_RANDOM, 4000, 2)
    going = ~world.over[:, 4] & world.due[:, 4]
    assert world.change[going & world.seen[:, 4], 4].mean() > world.change[going & ~world.seen[:, 4], 4].mean() + 3
    assert rows.height == int(world.due.sum()) and profile.height == len(world.stage)
    at = rows.filter(position=5)
    assert at["improvement"].is_not_null().sum() == int(world.seen[:, 4].sum())
    assert set(at["state"].drop_nulls()) == {"in_response", "response_lost", "no_response", "ended"}
    lost = at.filter(state="response_lost")
    assert (lost["improvement"] < 20).all() and lost.height > 20


@pytest.mark.parametrize("scenario", [ALIKE, PRONE], ids=["all alike", "prone"])
def test_mean_numbers_of_events_are_the_integral_of_the_rate(scenario):
    world = harm_world.make(scenario, 120_000, 3)
    for i, rate in enumerate((0.9, 0.4, 0.03)):
        events = world.events_by(364)[world.product == i]
        # Days are whole: by day 364 means before 365.
        assert events.mean() == pytest.approx(rate * mean_by(365.0), abs=4 * events.std() / np.sqrt(len(events)))
        # Poisson, or gamma-mixed: variance m + m² times the variance of being prone.
        assert events.var() == pytest.approx(events.mean() + scenario.prone * events.mean() ** 2, rel=0.1)


def test_events_make_some_leave_and_what_is_not_told_is_in_no_table():
    for scenario, sooner in ((PRONE, False), (AFTER_EVENTS, True), (UNSEEN, True)):
        world = harm_world.make(scenario, 20_000, 4)
        early = world.events_by(60) > 1
        gap = world.watched[~early].mean() - world.watched[early].mean()
        assert (gap > 40) == sooner
    made = tables(world)
    assert made["course.harm"].height == int((world.day <= world.watched[world.course]).sum()) < len(world.day)
    ended = made["endpoint.end_event"].join(made["course.follow_up"], on="course_id")
    assert (ended["day"] <= ended["last_contact_day"]).all()
    assert set(made["cohort.course"]["stratum"]) == set(PRODUCTS)
