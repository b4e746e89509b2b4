"""The same question under every definition, and what each number estimates."""

import numpy as np
import polars as pl
import pytest

from analysis import (
    booster_effect,
    describe,
    estimand,
    growth,
    imputed_change,
    joint_replacement,
    loss_of_response,
    specifications,
    time_in_response,
    time_to_response,
    trajectories,
)
from analysis.numerics.repeated import fit_mmrm
from analysis.numerics.repeated_design import visit_design
from analysis.numerics.repeated_sums import pattern_sums
from analysis.specifications import at_day
from registry.errors import NotEstimable, UsageError


@pytest.fixture
def knees(six_programmes):
    return six_programmes.courses(programme="osteoarthritis")


@pytest.fixture
def result(knees):
    return specifications(knees, definitions=("OO-2004", "OO-2004-strict", "KOOS-pain-10"), resamples=20)


def test_each_specification_is_the_whole_analysis_under_that_definition(knees, result):
    alone = time_to_response(
        knees, definition="OO-2004-strict", confirmation="first", horizon_day=(91, 183, 365), resamples=20
    )
    ours = result.frame.filter(pl.col("note") == "OO-2004-strict | first")
    theirs = alone.frame.filter(pl.col("quantity") == "response", pl.col("denominator") > 0)
    assert ours["estimate"].to_list() == theirs["estimate"].to_list()
    assert ours["low"].to_list() == theirs["low"].to_list()


def test_a_stricter_definition_is_met_by_no_more(result):
    """OO-2004-strict is one of the two arms of OO-2004."""
    table = result.frame.filter(quantity="response", time_day=365.0).pivot("note", index="stratum", values="estimate")
    for rule in ("first", "confirmed"):
        assert (table[f"OO-2004-strict | {rule}"] <= table[f"OO-2004 | {rule}"] + 1e-9).all()


def test_the_range_is_that_of_the_analyses(result):
    mine = result.frame.filter(stratum="early", time_day=365.0)
    found = mine.filter(quantity="response")["estimate"]
    spread = mine.filter(quantity="range").row(0, named=True)
    assert (spread["low"], spread["high"]) == (found.min(), found.max())
    assert at_day(result, 183).frame["time_day"].unique().to_list() == [183.0]


def test_by_default_definitions_of_another_joint_or_scale_are_no_specifications(six_programmes):
    knees = six_programmes.courses(programme="osteoarthritis", site="knee")
    used = set(specifications(knees, confirmations=("first",), resamples=20).settings["definitions"])
    assert "OO-2004" in used
    assert not used & {"MCII-Tubach-hip-pain", "PLATELETS-20", "IKDC-11.5", "NRS-Farrar"}


def test_a_definition_nobody_can_be_judged_by_is_said_and_alone_refused(knees):
    with pytest.raises(NotEstimable, match="ANC-500"):
        specifications(knees, definitions=("ANC-500",))
    both = specifications(knees, definitions=("ANC-500", "OO-2004"), resamples=20)
    assert any("ANC-500" in note for note in both.notes)


def test_a_wrong_definition_or_day_is_told(knees):
    with pytest.raises(UsageError, match="Did you mean"):
        specifications(knees, definitions=("OO-2005",))
    with pytest.raises(UsageError, match="horizon_day"):
        specifications(knees, horizon_day=(0,))


def test_the_curve_is_described_in_words(result):
    assert "6 specifications" in result.plot().alt_text


@pytest.mark.parametrize(
    "question", [time_to_response, loss_of_response, time_in_response, joint_replacement, trajectories]
)
def test_every_question_says_its_estimand_in_five_attributes(knees, question):
    attributes = estimand(question(knees))["attribute"].to_list()
    assert {"Treatment", "Population", "Variable", "Summary measure"} <= set(attributes)
    assert any(a.startswith("Intercurrent event") for a in attributes)


def test_the_booster_has_an_estimand_and_a_specification_curve_has_none(knees, result):
    rows = dict(estimand(booster_effect(knees, resamples=20, horizon_day=(183,))).iter_rows())
    assert "hypothetical: as if the strategy had been followed" in rows.values()
    with pytest.raises(UsageError, match="no estimand"):
        estimand(result)
    assert describe(knees) is not None


@pytest.mark.parametrize("question", [trajectories, growth, imputed_change])
@pytest.mark.parametrize("policy", ["hypothetical", "treatment_policy"])
def test_no_policy_for_ends_gives_the_dead_a_score(knees, question, policy):
    """ICH E9(R1) names death apart from other intercurrent events: after it the variable does not exist."""
    result = question(knees, end_policy=policy)
    rows = dict(estimand(result).iter_rows())
    assert rows["Intercurrent event: Death"].startswith("hypothetical: as if nobody had died")
    assert "had nobody died" in result.settings.get("estimand", "had nobody died")
    (ending,) = [v for a, v in rows.items() if a.startswith("Intercurrent event: End of the target")]
    assert ending.startswith(policy.replace("_", " "))


def test_a_later_mean_is_that_of_all_courses_not_of_those_still_alive():
    """Simulated: changes stay as they are, and whoever has less than 5 of 10 dies. Alive: 7.5; had nobody died: 5."""
    rng = np.random.default_rng(1)
    first = np.linspace(0, 10, 400)
    second = np.where(first < 5, np.nan, first + rng.normal(0, 0.5, 400))
    sums = pattern_sums(np.ones((400, 1)), np.column_stack([first, second]))
    fit = fit_mmrm(sums, visit_design(["intercept"], ["first", "second"], ["intercept"], coding="cell"))
    assert np.nanmean(second) == pytest.approx(7.5, abs=0.1)
    # The straight line through the survivors is known to 0.03 a point, and reaches 5 points beyond their mean.
    assert fit.beta[1] == pytest.approx(5, abs=0.2)
