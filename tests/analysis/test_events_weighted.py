"""Numbers of adverse events weighted for leaving: against R survival, written out, and where leaving depends on events."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import safety
from analysis.events_weighted import weighted_rows
from analysis.numerics.exact import exact_rate
from analysis.numerics.recurrent_weighted import weighted_events

REFERENCE = Path(__file__).parents[1] / "reference"
DATA = json.loads((REFERENCE / "harm.json").read_text(encoding="utf-8"))
R = json.loads((REFERENCE / "harm_weighted.json").read_text(encoding="utf-8"))
DAYS = np.array([91.0, 365.0])


def weighed(watched, course, time, events, days=DAYS, cluster=None):
    watched = np.asarray(watched, dtype=float)
    cluster = np.arange(len(watched)) if cluster is None else cluster
    course, time, events = np.asarray(course), np.asarray(time, dtype=float), np.asarray(events, dtype=float)
    return weighted_events(cluster, watched, course, time, events, np.asarray(days, dtype=float))


def test_weighted_numbers_and_errors_by_patient_are_those_of_survfit_on_rows_cut_at_each_leaving():
    """R survival 3.5-3: Kaplan-Meier by class with late entry, pieces weighted, infinitesimal jackknife by patient."""
    courses, events = DATA["courses"], DATA["events"]
    made = weighed(
        courses["watched"], np.array(events["course"]) - 1, events["day"], np.ones(len(events["day"])),
        cluster=np.unique(courses["patient"], return_inverse=True)[1],
    )  # fmt: skip
    assert made.classes == R["classes"] > 1 and made.largest > 1.2
    assert made.mean == pytest.approx(R["mean"], rel=1e-12)
    assert np.sqrt(made.mean_variance) == pytest.approx(R["se"], rel=1e-10)
    assert made.rate == pytest.approx(R["rate"], rel=1e-12)
    assert np.sqrt(made.rate_variance) == pytest.approx(R["rate_se"], rel=1e-10)
    assert made.left_after_events == pytest.approx(R["left"], rel=1e-12)


def test_those_who_left_with_an_event_are_stood_for_by_those_who_stayed_with_one():
    """Eighty courses; forty have an event on day 10, of whom twenty leave on day 50; the others have one on day 60.

    Had the twenty stayed they would have had one too: 40 / 80 + 40 / 80 in all. Of those watched it is 20 of 60.
    """
    watched = np.r_[np.full(20, 50), np.full(60, 100)]
    course, time = np.r_[np.arange(40), np.arange(20, 40)], np.r_[np.full(40, 10), np.full(20, 60)]
    made = weighed(watched, course, time, np.ones(60), days=[50, 100])
    assert made.mean == pytest.approx([0.5, 1.0], rel=1e-12)
    # Twenty left on day 50, of whom half were expected to have had an event; on day 100 all who were still there.
    assert made.left_after_events == pytest.approx((20 + 20) / (20 * 40 / 80 + 60 * 20 / 60), rel=1e-12)


def test_where_nobody_leaves_before_the_last_day_weights_change_nothing():
    rng = np.random.default_rng(4)
    course = np.repeat(np.arange(50), rng.poisson(1.5, 50))
    time = rng.permutation(np.arange(1, 400))[: len(course)]
    made = weighed(np.full(50, 400), course, time, np.ones(len(course)), days=[200, 400])
    assert made.mean == pytest.approx([(time <= 200).sum() / 50, len(time) / 50], rel=1e-12)
    assert made.rate == pytest.approx(len(time) / (50 * 400), rel=1e-12)
    assert made.largest == pytest.approx(1.0)
    counts = np.bincount(course, minlength=50)
    assert made.mean_variance[1] == pytest.approx(np.square(counts - counts.mean()).sum() / 50**2, rel=1e-9)


def test_a_class_of_which_all_leave_at_once_makes_no_weight_infinite():
    watched = np.r_[np.full(12, 50), np.full(20, 300)]
    made = weighed(watched, np.r_[np.arange(12), 12], np.r_[np.full(12, 10), 200], np.ones(13), days=[300])
    assert made.classes == 2 and np.isfinite(made.mean).all() and np.isfinite(made.mean_variance).all()


@pytest.fixture
def rows():
    """Return two hundred courses of whom those with an event leave sooner, and their events, as reductions are."""
    rng = np.random.default_rng(8)
    watched = rng.integers(30, 700, 200)
    course = np.repeat(np.arange(200), rng.poisson(0.8, 200))
    day = (rng.random(len(course)) * watched[course]).astype(int)
    mine = pl.DataFrame({"course_id": np.arange(200), "patient_id": np.arange(200) // 2, "watched_day": watched})
    happened = pl.DataFrame({"course_id": course, "day": day}).group_by("course_id", "day").len("n")
    return mine, happened.with_columns(pl.col("n").cast(pl.Int64))


def test_limits_are_exact_of_the_events_that_the_variance_counts_and_of_no_more_than_were_seen(rows):
    mine, happened = rows
    found = pl.DataFrame(weighted_rows(mine, happened, "all", DAYS, 0.95), infer_schema_length=None)
    assert found["quantity"].to_list() == [
        "events_per_100_course_years_weighted", "left_after_event", "mean_events_weighted", "mean_events_weighted",
    ]  # fmt: skip
    # No design effect below 1: of so many independent events limits are not narrower.
    for r in found.filter(pl.col("low").is_not_null()).iter_rows(named=True):
        _, low, high = exact_rate(r["n"], r["n"] / r["estimate"], 0.95)
        assert r["low"] <= low * (1 + 1e-9) < r["estimate"] < high * (1 - 1e-9) <= r["high"]
    few = happened.filter(pl.col("day") == happened["day"].min()).head(1)
    one = weighted_rows(mine, few, "all", DAYS, 0.95)[-1]
    assert (one["low"] / one["estimate"], one["high"] / one["estimate"]) == pytest.approx(exact_rate(1, 1, 0.95)[1:])


def test_the_order_of_rows_changes_nothing(rows):
    mine, happened = rows
    asked = (happened, "all", DAYS, 0.95)
    shuffled = weighted_rows(mine.sample(fraction=1, shuffle=True, seed=2), *asked)
    assert shuffled == weighted_rows(mine, happened.reverse(), "all", DAYS, 0.95)


def test_where_nothing_was_seen_there_is_nothing_to_weigh(rows):
    mine, happened = rows
    assert weighted_rows(mine, happened.clear(), "all", DAYS, 0.95) == []


def test_safety_tells_weighted_numbers_beside_the_others(six_programmes):
    result = safety(six_programmes.courses(), by="all", horizon_day=(91, 365))
    weighted = result.frame.filter(quantity="mean_events_weighted")
    assert weighted["time_day"].to_list() == [91.0, 365.0]
    plain = result.frame.filter(quantity="mean_events")
    assert weighted["n"].to_list() == plain["n"].to_list()
    assert weighted["estimate"].to_numpy() == pytest.approx(plain["estimate"].to_numpy(), rel=0.2)


@pytest.mark.slow
def test_limits_hold_what_all_would_show_where_each_event_doubles_the_odds_of_leaving():
    """120 samples of 1,500 courses of `synthetic/harm_world.py`, seed fixed; Monte-Carlo error of a coverage 2 points."""
    from synthetic.harm_world import SCENARIOS, make

    leaving = next(s for s in SCENARIOS if s.name == "at_random")
    truth = make(leaving, 600_000, 5)
    common = truth.product == 0
    true = truth.events_by(365.0)[common].mean()
    z, naive = [], []
    for seed in range(120):
        world = make(leaving, 1500, 100 + seed)
        at = np.full(len(world.patient), -1)
        here = np.flatnonzero(world.product == 0)
        at[here] = np.arange(len(here))
        told = (world.day <= world.watched[world.course]) & (at[world.course] >= 0)
        pairs, n = np.unique(
            np.stack([at[world.course[told]], np.maximum(world.day[told], 0.5)]), axis=1, return_counts=True
        )
        cluster = np.unique(world.patient[here], return_inverse=True)[1]
        made = weighed(np.maximum(world.watched[here], 1), pairs[0].astype(int), pairs[1], n, cluster=cluster)
        z.append((made.mean[1] - true) / np.sqrt(made.mean_variance[1]))
        whole = here[world.watched[here] >= 365]
        naive.append(world.events_by(365.0)[whole].mean() - true)
    assert 0.89 <= np.mean(np.abs(z) < 1.96) <= 0.99
    assert abs(np.mean(z)) < 0.4 and np.mean(naive) < -0.15
