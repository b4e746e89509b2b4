"""At which visits scores were seen: counted by hand, and against the rows they are made from."""

import polars as pl
import pytest

from analysis import score_patterns, trajectories
from analysis.patterns import _of_stratum
from analysis.result import Result, diagnostics_of, frame_of
from analysis.trajectory_sums import Visit
from registry.errors import NotEstimable, UsageError

VISITS = [Visit("3 months", 1, 90.0), Visit("6 months", 2, 180.0), Visit("12 months", 3, 365.0)]
# Visits as sums of two to the power of their positions.
ONE, TWO, THREE = 2, 4, 8


def test_patterns_are_counted_and_their_last_change_is_told():
    """By hand: changes 10, 20, 30, 40, 50 at visit 1 of five who left; mean 30, standard error √50 = 7.071, t(4) 2.776."""
    all_due = ONE + TWO + THREE
    patterns = pl.DataFrame(
        [(all_due, 0, 0, 3, 0, 0), (all_due, ONE, 0, 5, 0, 0), (all_due, ONE, 1, 5, 150, 5500),
         (all_due, TWO, 0, 2, 0, 0), (all_due, TWO, 2, 2, 9, 41), (ONE, ONE, 0, 4, 0, 0), (ONE, ONE, 1, 4, 40, 500),
         (0, 0, 0, 6, 0, 0)],
        schema=["visits_due", "visits_seen", "position", "n", "total", "square"], orient="row",
    )  # fmt: skip
    rows = _of_stratum("early", patterns, VISITS, 0.95)
    told = {r["quantity"]: r for r in rows}
    assert [(r["quantity"], r["n"], r["note"]) for r in rows if r["quantity"].startswith("seen")] == [
        ("seen: nothing was due", 6, "no visit was due"),
        ("seen: 3 months", 5, "monotone"),
        ("seen: 3 months; not due: 6 months, 12 months", 4, "complete: every visit that was due"),
        ("seen: never", 3, "monotone"),
        ("seen: 6 months", 2, "with gaps"),
    ]
    assert {r["denominator"] for r in rows} == {20}
    last = told["last change, seen: 3 months"]
    assert (last["time_day"], last["estimate"], last["n"]) == (90.0, 30.0, 5)
    assert last["high"] == pytest.approx(30 + 2.776 * 50**0.5, abs=0.01)
    assert "last change, seen: 6 months" not in told, "of fewer than five"


def test_patterns_add_up_to_the_courses_with_a_baseline_and_visits_due_to_those_of_the_trajectories(six_programmes):
    courses = six_programmes.courses(programme="osteoarthritis")
    asked = ("3 months", "12 months", "24 months")
    found = score_patterns(courses, visits=asked)
    shares = found.frame.filter(pl.col("quantity").str.starts_with("seen"), pl.col("n") > 0)
    total = shares.group_by("stratum").agg(pl.col("n").sum(), pl.col("denominator").first(), pl.col("estimate").sum())
    assert total["n"].to_list() == total["denominator"].to_list()
    assert total["estimate"].to_list() == pytest.approx([1.0] * total.height)
    assert shares["quantity"].str.contains("; not due: .*24 months").any()
    seen = trajectories(courses, visits=asked, structure="compound symmetry").frame.filter(quantity="seen")
    days = {90.0: "3 months", 365.0: "12 months", 730.0: "24 months"}
    for code, day, n, of in (
        seen.filter(pl.col("denominator") > 0).select("stratum", "time_day", "n", "denominator").rows()
    ):
        mine = shares.filter(stratum=code).with_columns(
            pl.col("quantity").str.split("; not due: ").list.to_struct(fields=["came", "later"])
        ).unnest("quantity")  # fmt: skip
        later = pl.col("later").fill_null("").str.split(", ").list.contains(days[day]) | (
            pl.col("came") == "seen: nothing was due"
        )
        came = pl.col("came").str.strip_prefix("seen: ").str.split(", ").list.contains(days[day])
        assert (mine.filter(came)["n"].sum(), mine.filter(~later)["n"].sum()) == (n, of)


def test_complete_cases_have_every_visit_that_was_due_and_those_not_due_are_not_missing(six_programmes):
    courses = six_programmes.courses(programme="osteoarthritis")
    result = trajectories(courses, structure="compound symmetry")
    rows = six_programmes.sql(
        "select course.course_id, stratum, visit.position, change::double as change, "
        "change is not null as seen, coalesce(due, false) or change is not null as due "
        "from reduction.trajectory_course as course cross join cohort.trajectory_visit as visit "
        "left join summary.visit_window as w on w.course_id = course.course_id and w.planned_visit = visit.planned_visit "
        "left join reduction.trajectory_value as value on value.course_id = course.course_id "
        "and value.position = visit.position where course.reason is null"
    )
    whole = rows.filter((pl.col("seen") == pl.col("due")).all().over("course_id"), "seen")
    by_hand = whole.filter(pl.col("position") == 1).group_by("stratum").agg(pl.len(), pl.col("change").mean())
    first = (
        result.frame.filter(quantity="complete_case").sort("time_day").group_by("stratum", maintain_order=True).first()
    )
    told = {r["stratum"]: (r["denominator"], r["estimate"]) for r in first.to_dicts() if r["estimate"] is not None}
    assert told == {s: (n, pytest.approx(m)) for s, n, m in by_hand.rows() if n >= 5} and told
    at_all = rows.filter(pl.col("seen").all().over("course_id"))["course_id"].n_unique()
    assert whole["course_id"].n_unique() > at_all, "somebody was not due for all visits"


def test_a_hidden_pattern_is_not_the_rest_of_the_others_and_its_change_goes_with_it():
    patterns = pl.DataFrame(
        [(ONE, ONE, 0, 40, 0, 0), (ONE, ONE, 1, 40, 400, 9000), (ONE, 0, 0, 3, 0, 0), (0, 0, 0, 9, 0, 0),
         (ONE + TWO, ONE, 0, 7, 0, 0), (ONE + TWO, ONE, 1, 7, 70, 900)],
        schema=["visits_due", "visits_seen", "position", "n", "total", "square"], orient="row",
    )  # fmt: skip
    made = frame_of(_of_stratum("early", patterns, VISITS[:2], 0.95))
    flow = pl.DataFrame({"reason": ["all", "used"], "n": [59, 59]})
    result = Result("score_patterns", "", made, {"strata": []}, flow, diagnostics_of([]))
    shown = {r["quantity"]: r for r in result.suppress().frame.to_dicts()}
    hidden = {q for q, r in shown.items() if r["n"] is None}
    # Three were never seen; with them go the next fewest, who left after the first visit, and their change.
    assert hidden == {"seen: never; not due: 6 months", "seen: 3 months", "last change, seen: 3 months"}
    assert shown["last change, seen: 3 months"]["estimate"] is None


def test_a_visit_that_is_not_planned_is_refused(six_programmes):
    with pytest.raises(UsageError, match="visits ="):
        score_patterns(six_programmes.courses(programme="osteoarthritis"), visits=("7 months",))


def test_where_nobody_is_left_the_reasons_are_said(six_programmes):
    courses = six_programmes.courses(programme="osteoarthritis")
    nobody = courses.exclude(courses.ids.to_frame().with_columns(reason=pl.lit("of another study")))
    with pytest.raises(NotEstimable, match=r"No course is left to analyse\. .*of another study"):
        score_patterns(nobody)
