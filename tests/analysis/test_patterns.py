"""At which visits scores were seen: counted by hand, and against the rows they are made from."""

import polars as pl
import pytest

from analysis import score_patterns
from analysis.patterns import _of_stratum
from analysis.trajectory_sums import Visit
from registry.errors import NotEstimable, UsageError


def test_patterns_are_counted_and_their_last_change_is_told():
    """By hand: changes 10, 20, 30, 40, 50 at visit 1 of five who left; mean 30, standard error √50 = 7.071, t(4) 2.776."""
    products = pl.DataFrame(
        [("", "intercept", "intercept", 3, 3), ("1", "intercept", "intercept", 5, 5),
         ("1", "intercept", "visit 1", 5, 150), ("1", "visit 1", "visit 1", 5, 5500),
         ("2", "intercept", "intercept", 2, 2)],
        schema=["pattern", "left_variable", "right_variable", "n", "total"], orient="row",
    )  # fmt: skip
    rows = _of_stratum("early", products, [Visit("3 months", 1, 90.0), Visit("6 months", 2, 180.0)], 0.95)
    told = {r["quantity"]: r for r in rows}
    assert [r["quantity"] for r in rows if r["quantity"].startswith("seen")] == [
        "seen: 3 months", "seen: never", "seen: 6 months",
    ]  # fmt: skip
    assert (told["seen: 3 months"]["n"], told["seen: 3 months"]["denominator"]) == (5, 10)
    assert told["seen: 6 months"]["note"] == "with gaps" and told["seen: never"]["note"] == "monotone"
    last = told["last change, seen: 3 months"]
    assert (last["time_day"], last["estimate"]) == (90.0, 30.0)
    assert last["high"] == pytest.approx(30 + 2.776 * 50**0.5, abs=0.01)
    assert "last change, seen: 6 months" not in told, "of fewer than five"


def test_patterns_add_up_to_the_courses_with_a_baseline(six_programmes):
    courses = six_programmes.courses(programme="osteoarthritis")
    found = score_patterns(courses, visits=("3 months", "12 months"))
    shares = found.frame.filter(pl.col("quantity").str.starts_with("seen"), pl.col("n") > 0)
    total = shares.group_by("stratum").agg(pl.col("n").sum(), pl.col("denominator").first(), pl.col("estimate").sum())
    assert total["n"].to_list() == total["denominator"].to_list()
    assert total["estimate"].to_list() == pytest.approx([1.0] * total.height)
    (position,) = six_programmes.con.sql(
        "select position from cohort.trajectory_visit where planned_visit = '12 months'"
    ).fetchone()
    (counted,) = six_programmes.con.execute(
        "select count(*) from reduction.trajectory_value where position = ?", [position]
    ).fetchone()
    assert counted == shares.filter(pl.col("quantity").str.contains("12 months"))["n"].sum()


def test_a_visit_that_is_not_planned_is_refused(six_programmes):
    with pytest.raises(UsageError, match="visits ="):
        score_patterns(six_programmes.courses(programme="osteoarthritis"), visits=("7 months",))


def test_where_nobody_is_left_the_reasons_are_said(six_programmes):
    courses = six_programmes.courses(programme="osteoarthritis")
    nobody = courses.exclude(courses.ids.to_frame().with_columns(reason=pl.lit("of another study")))
    with pytest.raises(NotEstimable, match=r"No course is left to analyse\. .*of another study"):
        score_patterns(nobody)
