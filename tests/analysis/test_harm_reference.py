"""Adverse events against R: survival for mean numbers, poisson.test and binom.test for limits, geepack for clusters."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.cohort import Stratum
from analysis.numerics.exact import Clustered, clustered_rate, clustered_share, exact_rate, exact_share
from analysis.safety import harm_rows

R = json.loads((Path(__file__).parents[1] / "reference" / "harm.json").read_text(encoding="utf-8"))
COURSES = pl.DataFrame(R["courses"])
EVENTS = pl.DataFrame(R["events"])
EMPTY = pl.DataFrame(
    schema={"cell": pl.Int64, "stratum": pl.String, "cause": pl.String, "day": pl.Int64, "n": pl.Int64}
)
NOBODY = pl.DataFrame(
    schema={"pattern": pl.String, "cell": pl.Int64, "n_courses": pl.Int64, "n_patients": pl.Int64}
)  # fmt: skip


@pytest.fixture(scope="module")
def ours():
    counted = EVENTS.group_by("course").agg(n_events=pl.len().cast(pl.Int64))
    rows = COURSES.join(counted, on="course", how="left").select(
        course_id="course", patient_id="patient", stratum=pl.lit("all"), n_sessions="sessions", watched_day="watched",
        n_events=pl.col("n_events").fill_null(0), n_watched_events=pl.col("n_events").fill_null(0),
    )  # fmt: skip
    happened = EVENTS.select(course_id="course", day="day", watched=pl.lit(True), n=pl.lit(1, pl.Int64))
    everybody = [Stratum("all", "all", "#000000")]
    frame, _ = harm_rows(rows, happened, EMPTY, NOBODY, everybody, np.array([91.0, 365.0]), 0.95, 1)
    return pl.DataFrame(frame, infer_schema_length=None)


@pytest.mark.parametrize(("events", "theirs"), list(zip((0, 1, 7), R["alone"], strict=True)))
def test_exact_limits_are_those_of_poisson_test_and_binom_test(events, theirs):
    # Both invert the same tails; R writes 15 digits.
    assert exact_rate(events, 65, 0.95) == pytest.approx((theirs["rate"], *theirs["rate_limits"]), rel=1e-9)
    assert exact_share(events, 40, 0.95) == pytest.approx((theirs["share"], *theirs["share_limits"]), rel=1e-9)


def test_mean_numbers_and_their_limits_by_patient_are_those_of_survfit_with_a_cluster(ours):
    found, z = ours.filter(quantity="mean_events").sort("time_day"), 1.959963984540054
    for r, mean, error in zip(
        found.iter_rows(named=True), R["mean_events"]["mean"], R["mean_events"]["se"], strict=True
    ):
        assert r["estimate"] == pytest.approx(mean, rel=1e-12)
        # Limits on the log scale: exp(z se / mean); the variance is a running sum.
        assert r["high"] / r["estimate"] == pytest.approx(np.exp(z * error / mean), rel=1e-9)


def test_limits_where_some_have_many_are_those_of_the_design_effect_of_geepack(ours):
    theirs = R["clustered"]
    assert min(theirs["effect"]) > 1
    for quantity, limits, unit in (
        ("events_per_100_sessions", "rate_limits", 100), ("courses_with_event", "share_limits", 1)
    ):  # fmt: skip
        row = ours.filter(quantity=quantity).row(0, named=True)
        # geepack iterates to a tolerance of 1e-4 of its scale.
        assert [row["low"] / unit, row["high"] / unit] == pytest.approx(theirs[limits], rel=1e-5)


def test_where_each_patient_has_one_at_most_limits_are_exact():
    one, of = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0]), np.full(10, 2.0)
    assert clustered_rate(Clustered.of(one, of), 0.95) == exact_rate(2, 20.0, 0.95)
    assert clustered_rate(Clustered.of(0 * one, of), 0.95) == exact_rate(0, 20.0, 0.95)
    assert clustered_share(Clustered.of(one, np.ones(10)), 0.95) == exact_share(2, 10, 0.95)


def test_events_of_one_patient_are_as_many_as_one():
    """All four of one of many: 4² over 4 is an effect of 4, and one event in a quarter of the sessions is left."""
    events = np.zeros(10_000)
    events[0] = 4
    low, high = clustered_rate(Clustered.of(events, np.ones(10_000)), 0.95)[1:]
    assert [low, high] == pytest.approx(exact_rate(1, 2500, 0.95)[1:], rel=1e-3)
