"""The explorer without a browser: the same numbers as the questions themselves, the cell that makes them, sentences."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from analysis import explore, states_by_visit, time_to_response, trajectories
from analysis.explorer import Choice, Explorer
from analysis.held import hold, is_held
from registry import Registry
from registry.errors import NotEstimable, UsageError

OA = Choice("osteoarthritis")
KNEES = replace(OA, site="knee", min_potential_follow_up_day=200, horizon_day=365)
SAME = ["stratum", "quantity", "time_day", "estimate", "n", "denominator"]


@pytest.fixture(scope="module")
def reg(synthetic_file):
    with Registry.open(synthetic_file) as registry:
        yield registry


@pytest.fixture(scope="module")
def model(reg):
    return Explorer(reg)


def estimates(result) -> pl.DataFrame:
    return result.frame.filter(pl.col("quantity") != "test").select(SAME)


@pytest.fixture(scope="module")
def fresh(synthetic_file):
    """The same registry, of which nothing is held."""
    with Registry.open(synthetic_file) as registry:
        yield registry


@pytest.mark.parametrize("choice", [replace(OA, by="origin"), replace(KNEES, confirmation="first")])
@pytest.mark.parametrize("view", ["response", "states", "trajectories"])
def test_rows_held_for_everybody_give_the_numbers_of_a_registry_asked_afresh(model, fresh, choice, view):
    model.look(OA, view)
    shown = model.look(choice, view)
    courses = fresh.courses(**choice.selection)
    question = {"response": time_to_response, "states": states_by_visit, "trajectories": trajectories}[view]
    options = {"resamples": 20} if view == "response" else {}
    alone = question(courses, **choice.arguments(view), **options)
    assert len(shown.courses) == len(courses) < 112
    assert estimates(shown.result).equals(estimates(alone))
    assert shown.result.attrition.equals(alone.attrition)


@pytest.mark.parametrize("view", ["response", "states", "trajectories"])
def test_the_cell_of_a_choice_makes_its_numbers_when_it_is_run(model, view):
    look = model.look(KNEES, view)
    scope: dict = {}
    exec(look.code, scope)
    assert estimates(scope["result"]).equals(estimates(look.result))
    scope["reg"].close()


def test_few_courses_have_limits_at_once_and_the_figure_says_from_how_many_resamples(model, monkeypatch):
    look = model.look(KNEES)
    assert look.result.frame["low"].drop_nulls().len() > 3
    assert "60 resamples" in look.figure.get_supxlabel()
    monkeypatch.setattr("analysis.explorer.FEW_COURSES", 10)
    quick = model.look(KNEES)
    assert quick.result.frame["low"].null_count() == quick.result.frame.height
    assert "Without 95 % limits" in quick.figure.get_supxlabel()
    assert model.look(replace(KNEES, limits=True)).result.frame["low"].drop_nulls().len() > 3


def test_lists_show_what_the_programme_has_with_courses_counted_by_another_query(model, reg):
    sites = dict(model.values("osteoarthritis")["site"])
    counted = reg.sql("select site, count(*) from course.profile where programme = 'osteoarthritis' and not "
                      "withdrawn_all and index_date is not null group by 1")  # fmt: skip
    assert sites == dict(counted.iter_rows())
    assert [v for v, _ in model.values("osteoarthritis")["stage"]] == ["early", "moderate", "bone_on_bone"]
    definitions = list(model.definitions("osteoarthritis"))
    assert definitions[0] == "OO-2004" and "ANC-500" not in definitions


def test_rows_of_another_definition_are_not_taken_for_those_of_this_one(model):
    own, strict = model.look(KNEES), model.look(replace(KNEES, definition="OO-2004-strict"))
    at = (pl.col("quantity") == "response") & (pl.col("time_day") == 365) & (pl.col("stratum") == "early")
    assert strict.result.frame.filter(at)["n"][0] <= own.result.frame.filter(at)["n"][0]
    assert estimates(model.look(KNEES).result).equals(estimates(own.result))


def test_only_rows_of_single_courses_can_be_held(model, reg):
    with pytest.raises(UsageError, match="no row of its own for a course"):
        hold(reg.courses(programme="osteoarthritis"), "reduction.response_cell")
    model.look(KNEES)
    reg.con.execute("insert into cohort.course select max(course_id) + 1, 1, 'x' from cohort.course")
    assert not is_held(reg.con, "reduction.response_course")


def test_the_view_says_in_a_sentence_what_cannot_be_shown_and_offers_what_another_programme_has(reg):
    ex = explore(reg)
    assert "courses chosen" in ex._status.value and "<svg" in ex._shown.value
    ex._lists["site"].value = "knee"
    assert ex.courses.selection == {"programme": "osteoarthritis", "site": "knee"}
    ex._follow_up.value = 30_000
    assert "role='alert'" in ex._status.value and "No course is left" in ex._status.value and ex._shown.value == ""
    with pytest.raises(UsageError, match="no answer"):
        _ = ex.result
    ex._follow_up.value = 0
    ex._programme.value = "wellness"
    assert "No response definition is agreed" in ex._status.value and ex.choice.site is None


def test_a_registry_without_a_course_says_so(tmp_path):
    with Registry.create(tmp_path / "empty.duckdb") as empty, pytest.raises(NotEstimable, match="no course yet"):
        explore(empty)
