"""Safety: rates and limits against the definitions of their papers, and what is said where nothing was seen."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import optimize, stats

from analysis import goals, safety, safety_by_grade
from analysis.disclosure.complementary import given_away
from analysis.numerics.exact import exact_rate, exact_share
from analysis.numerics.recurrent import mean_cumulative_function
from registry.errors import NotEstimable, UsageError


@pytest.mark.parametrize(("events", "exposure"), [(1, 10.0), (7, 120.0), (40, 33.0)])
def test_limits_of_a_rate_are_the_rates_under_which_so_many_or_so_few_have_a_chance_of_one_in_forty(events, exposure):
    """The definition of Garwood's limits, solved by root finding rather than by the chi-squared identity."""
    _, low, high = exact_rate(events, exposure, 0.95)
    lowest = optimize.brentq(lambda m: stats.poisson.sf(events - 1, m) - 0.025, 1e-9, 200)
    highest = optimize.brentq(lambda m: stats.poisson.cdf(events, m) - 0.025, 1e-9, 200)
    assert (low * exposure, high * exposure) == (pytest.approx(lowest, rel=1e-6), pytest.approx(highest, rel=1e-6))


def test_of_no_event_the_upper_limit_is_that_of_the_rule_of_three_made_exact():
    """Hanley & Lippman-Hand 1983: nothing in n, a one-sided 95 % limit near 3 / n; ours at 90 % is that limit."""
    rate, low, high = exact_rate(0, 300.0, 0.90)
    assert (rate, low) == (0.0, 0.0) and high == pytest.approx(2.9957 / 300, rel=1e-4)
    share, low, high = exact_share(0, 300, 0.90)
    assert (share, low) == (0.0, 0.0) and high == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-9)


def test_limits_of_a_share_are_those_published_by_clopper_and_pearson():
    """1 of 10: 0.0025 to 0.4450 (their chart; tables of the binomial)."""
    assert exact_share(1, 10, 0.95) == (0.1, pytest.approx(0.0025, abs=5e-5), pytest.approx(0.4450, abs=5e-5))


@pytest.fixture
def everybody(six_programmes):
    return six_programmes.courses()


def test_every_event_of_a_treated_target_is_counted_once(everybody):
    result = safety(everybody, by="programme")
    counted = result.frame.filter(quantity="events_per_100_sessions")["n"].sum()
    assert counted == everybody.registry.con.sql("select count(*) from course.harm").fetchone()[0] > 20


def test_grades_add_up_and_fewer_are_serious(everybody):
    def events(**options):
        return safety(everybody, by="all", **options).frame.filter(quantity="events_per_100_course_years")["n"].item()

    severe = everybody.registry.con.sql("select count(*) from course.harm where ctcae_grade >= 2").fetchone()[0]
    assert events(least_grade=2) == severe < events()
    assert events(serious=True) <= events()
    assert events(related_to="product") < events()


def test_the_mean_number_by_the_horizon_is_events_per_course_when_nobody_leaves_before(everybody):
    """Day 0 is watched by all: the mean by day 1 is the events of the first day over the courses."""
    result = safety(everybody, by="all", horizon_day=(1,))
    n, of = result.frame.filter(quantity="mean_events").select("n", "denominator").row(0)
    assert result.frame.filter(quantity="mean_events")["estimate"].item() == pytest.approx(n / of, rel=0.02)


def test_a_death_censors_the_mean_number_and_the_answer_says_so(everybody):
    """Of two courses one dies without an event on day 1, the other has one on day 2: 1 of those alive, 1/2 until death."""
    curve = mean_cumulative_function([1, 2], [0.0, 0.0], [1.0, 2.0], [0, 1])
    assert curve.mean.tolist() == [1.0]
    assert any("a death takes a course out of the count as leaving does" in n for n in safety(everybody).notes)


def test_where_nothing_was_seen_the_answer_is_an_upper_limit_not_silence(everybody):
    frame = safety(everybody, by="all", category="ectopic_tissue").frame.filter(
        pl.col("quantity") != "end_before_event"
    )
    assert frame["estimate"].to_list() == [0] * 9
    assert (frame["high"] > 0).all() and frame["note"].str.contains("none seen").all()
    with pytest.raises(NotEstimable, match="No event was seen"):
        safety(everybody, by="all", category="ectopic_tissue").plot()


def test_what_leaves_hides_few_events_and_shows_none_as_none(everybody):
    shown = safety(everybody, by="all", category="ectopic_tissue").suppress().frame
    assert shown.filter(pl.col("quantity") != "end_before_event")["estimate"].to_list() == [0] * 9
    few = safety(everybody, by="product", least_grade=3).suppress().frame
    assert few.filter(pl.col("n").is_between(1, 4)).height == 0


def test_beyond_the_last_course_watched_nothing_is_said(everybody):
    last = safety(everybody, by="all", horizon_day=(30, 40_000)).frame.filter(quantity="mean_events")
    assert last["estimate"].is_null().to_list() == [False, True]
    assert last["note"][1] == "nobody is watched to day 40000"


def test_events_after_the_last_contact_count_per_session_and_not_per_year(everybody):
    frame = safety(everybody, by="all").frame
    n = {q: frame.filter(quantity=f"events_per_100_{q}")["n"].item() for q in ("sessions", "course_years")}
    sql = "select count(*) from course.harm join course.follow_up using (course_id) where day > last_contact_day"
    assert n["sessions"] - n["course_years"] == everybody.registry.con.sql(sql).fetchone()[0]


def test_a_figure_that_is_hidden_does_not_say_that_nothing_was_seen(everybody):
    few = safety(everybody, by="all", least_grade=3)
    assert 0 < few.frame.filter(quantity="courses_with_event")["n"].item() < 5
    with pytest.raises(NotEstimable, match="Too few events to show"):
        few.suppress().plot()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"category": "pain_flair"}, "Did you mean 'pain_flare'"),
        ({"least_grade": 6}, "1 to 5"),
        ({"related_to": "clinic"}, "product"),
        ({"least_grade": "3"}, "a CTCAE grade as a number"),
        ({"serious": "yes"}, "True or False"),
    ],
)
def test_a_wrong_option_is_told(everybody, options, says):
    with pytest.raises(UsageError, match=says):
        safety(everybody, **options)


def test_the_figure_says_its_numbers_in_words(everybody):
    assert "Mean number per course" in safety(everybody, by="programme").plot().alt_text


def test_first_events_are_counted_with_ends_competing_as_written_out_by_hand(everybody):
    """Aalen and Johansen's sum over days, from the rows of courses and without any of ours."""
    made = safety(everybody, by="all", horizon_day=(91, 365)).frame
    rows = everybody.registry.con.sql(
        "select course_id, greatest(coalesce(f.last_contact_day, 0), 1) as watched, "
        "(select min(day) from course.harm h where h.course_id = f.course_id and h.day <= f.last_contact_day) as harm, "
        "(select min(day) from endpoint.end_event e where e.course_id = f.course_id) as over "
        "from course.follow_up f where exists (select 1 from course.session s where s.course_id = f.course_id)"
    ).fetchall()
    exits = []
    for _, watched, harm, over in rows:
        if harm is not None and harm <= (over if over is not None else harm):
            exits.append((harm, "event"))
        else:
            exits.append((over, "over") if over is not None and over <= watched else (watched, "none"))
    free, reached, ended = 1.0, 0.0, 0.0
    for day in range(366):
        at_risk = sum(1 for d, _ in exits if d >= day)
        here = [what for d, what in exits if d == day]
        reached += free * here.count("event") / at_risk
        ended += free * here.count("over") / at_risk
        free *= 1 - (here.count("event") + here.count("over")) / at_risk
        if day in (91, 365):
            first = made.filter(quantity="first_event", time_day=float(day)).row(0, named=True)
            assert first["estimate"] == pytest.approx(reached, rel=1e-9)
            assert first["n"] == sum(1 for d, what in exits if what == "event" and d <= day)
            assert first["low"] < first["estimate"] < first["high"]
    assert made.filter(quantity="end_before_event", time_day=365.0)["estimate"].item() == pytest.approx(ended, rel=1e-9)


def test_of_no_first_event_the_limit_is_that_of_those_watched_so_long(everybody):
    made = safety(everybody, by="all", category="ectopic_tissue", horizon_day=(365,)).frame
    none = made.filter(quantity="first_event").row(0, named=True)
    watched = int(none["note"].split("; ")[1].split(" ")[0].replace(",", ""))
    assert none["estimate"] == 0 and none["high"] == pytest.approx(1 - 0.025 ** (1 / watched))
    assert watched < none["denominator"]


def test_limits_of_strata_stand_apart_in_the_figure_with_marks_that_need_no_colour(everybody):
    figure = safety(everybody, by="programme", confidence=0.9).plot()
    assert figure._supxlabel.get_text() == "Bars: 90 % CI"
    first = figure.axes[0]
    marks = [line for line in first.lines if line.get_marker() not in ("None", None, "")]
    assert len(marks) > 1 and len({m.get_marker() for m in marks}) == len(marks)
    ends = [float(m.get_xdata()[-1]) for m in marks]
    assert len({round(x, 6) for x in ends}) == len(ends)


def test_the_figure_tells_first_events_and_means(everybody):
    assert "With a first event by 12 months: " in safety(everybody, by="all").plot().alt_text


def test_by_grade_and_relation_events_add_up_to_those_of_safety_and_of_the_record(everybody):
    made, plain = (ask(everybody, by="programme") for ask in (safety_by_grade, safety))
    total = made.frame.filter(quantity="events_per_100_sessions: any grade, any relation")
    assert_frame_equal(total.drop("quantity", "note"), plain.frame.filter(quantity="events_per_100_sessions").drop("quantity", "note"))  # fmt: skip
    sql = (
        "select programme, count(*) from course.harm join course.course using (course_id) where ctcae_grade = 2 "
        "and related_product in ('possible', 'probable', 'definite') group by 1"
    )
    n = dict(made.frame.filter(quantity="events_per_100_sessions: grade 2, related").select("stratum", "n").iter_rows())
    assert {k: v for k, v in n.items() if v} == dict(everybody.registry.con.sql(sql).fetchall()) != {}
    parts = made.frame.filter(pl.col("quantity").str.contains(r"100_sessions: grade \d, (related|not)"))
    assert parts["n"].sum() == total["n"].sum() and made.table().columns[:2] == ["grade", "relation"]


def test_cells_of_few_events_are_hidden_with_what_would_give_them_away():
    """By hand: 3 of 20 related, so the other 17 go as well; the totals of all grades then give away neither."""
    events = np.array([[3, 17, 0], [30, 40, 0], [0, 0, 0], [33, 57, 0]])
    table = np.c_[events, events.sum(axis=1)]
    hidden = given_away(table, table, 5)
    assert hidden.tolist() == [[True, True, False, False], [True, True, False, False], [False] * 4, [False] * 4]
    assert not given_away(table + 0 * table, np.where(table > 0, 99, 0), 2).any()


def test_the_total_that_other_tables_show_is_hidden_only_if_it_is_of_few():
    """In 500 random tables: if the sum of all had to go, all within would go instead."""
    rng = np.random.default_rng(5)
    for _ in range(500):
        inner = rng.integers(0, 9, (5, 3)) * (rng.random((5, 3)) < 0.3)
        events = np.block([[inner, inner.sum(1, keepdims=True)], [inner.sum(0, keepdims=True), inner.sum()]])
        courses = np.minimum(events, rng.integers(1, 10, events.shape))
        few = 0 < events[-1, -1] < 5 or 0 < courses[-1, -1] < 5
        hidden = given_away(events, courses, 5)
        assert hidden[-1, -1] == few or not hidden[-1, -1]
        assert hidden[:-1, :-1][(inner > 0) & (inner < 5)].all()


def test_what_leaves_of_a_table_by_grade_has_no_cell_that_is_small_or_the_rest_of_a_sum(everybody):
    shown = safety_by_grade(everybody, by="all").suppress().frame.filter(pl.col("quantity").str.contains("sessions"))
    n = {q.split(": ")[1]: v for q, v in shown.select("quantity", "n").iter_rows()}
    grades, relations = [f"grade {k}" for k in range(1, 6)], ["related", "not related", "not stated"]
    assert not [v for v in n.values() if v is not None and 0 < v < 5] and None in n.values()
    sums = [(f"{g}, any relation", [f"{g}, {r}" for r in relations]) for g in [*grades, "any grade"]]
    sums += [(f"any grade, {r}", [f"{g}, {r}" for g in grades]) for r in [*relations, "any relation"]]
    for total, parts in sums:
        gone = [p for p in parts if n[p] is None]
        if n[total] is not None and gone:
            assert len(gone) > 1 and n[total] - sum(n[p] or 0 for p in parts) >= 5


def test_of_nobody_safety_and_goals_say_why_nobody_is_left(six_programmes):
    nobody = six_programmes.courses(programme="osteoarthritis", min_age=200)
    for ask in (safety, safety_by_grade, goals):
        with pytest.raises(
            NotEstimable, match=r"No course is left to analyse\. \d+ younger than 200; \d+ another prog"
        ):
            ask(nobody)
