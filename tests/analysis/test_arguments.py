"""What researchers type: one in place of several is taken as they mean it, and a mistake is answered by a sentence."""

import numpy as np
import pytest

import analysis
from analysis import adjusted_response, booster_effect, outlook, trajectories
from analysis.cohort import check_days, several
from registry.errors import UsageError

ASKED_OF_COURSES = (
    "time_to_response", "loss_of_response", "time_in_response", "states_by_visit", "response_at_visits",
    "adjusted_response", "dose_response", "subgroups", "specifications", "booster_effect", "safety", "goals",
    "joint_replacement", "trajectories", "growth", "imputed_change", "score_patterns", "describe", "seen_weights",
    "safety_by_grade", "adjusted_loss", "adjusted_time_in_response", "adjusted_replacement",
)  # fmt: skip
IN_DAYS = (
    ("time_to_response", "horizon_day"), ("time_in_response", "horizon_day"), ("time_in_response", "change_day"),
    ("loss_of_response", "after_day"), ("loss_of_response", "landmark_day"), ("states_by_visit", "until_day"),
    ("adjusted_response", "horizon_day"), ("dose_response", "horizon_day"), ("subgroups", "horizon_day"),
    ("specifications", "horizon_day"), ("booster_effect", "horizon_day"), ("safety", "horizon_day"),
    ("joint_replacement", "horizon_day"), ("growth", "horizon_day"), ("adjusted_replacement", "horizon_day"),
    ("adjusted_loss", "after_day"), ("adjusted_loss", "landmark_day"), ("adjusted_time_in_response", "horizon_day"),
)  # fmt: skip


@pytest.fixture
def knees(six_programmes):
    return six_programmes.courses(programme="osteoarthritis")


@pytest.mark.parametrize("question", ASKED_OF_COURSES)
def test_a_registry_in_the_place_of_courses_is_told_how_to_select(six_programmes, question):
    with pytest.raises(UsageError, match=r"this is a Registry. Select them first"):
        getattr(analysis, question)(six_programmes)


@pytest.mark.parametrize(("question", "name"), IN_DAYS)
def test_what_is_no_day_after_treatment_is_refused(knees, question, name):
    for day in (-1, 12.5, "a year"):
        with pytest.raises(UsageError, match=f"{name} = .* 1 or more"):
            getattr(analysis, question)(knees, **{name: day})


@pytest.mark.parametrize("question", ["time_to_response", "joint_replacement", "time_in_response", "safety"])
def test_one_day_by_itself_is_that_day(knees, question):
    one, several_days = (getattr(analysis, question)(knees, horizon_day=d) for d in (365, (365,)))
    assert one.frame.equals(several_days.frame) and one.settings["horizon_day"] == [365]


def test_days_come_once_and_in_order_whatever_holds_them():
    assert check_days(365, "horizon_day") == (365,)
    assert check_days(np.array([183.0, 91, 183]), "horizon_day") == (91, 183)
    for none in ((), (91, float("inf")), ("91",), None):
        with pytest.raises(UsageError, match="horizon_day"):
            check_days(none, "horizon_day")


def test_one_name_by_itself_is_that_name(knees):
    assert several("age") == ("age",)
    assert adjusted_response(knees, covariates="age", horizon_day=365).settings["covariates"] == ["age"]
    change = trajectories(knees, adjust="age", visits="12 months")
    assert change.settings["adjust"] == ["age"] and [v["visit"] for v in change.settings["visits"]] == ["12 months"]


@pytest.mark.parametrize("named", [{"age": "sixty"}, {"age": 200}, {"dose_million": "much"}])
def test_an_outlook_is_asked_in_numbers(knees, named):
    with pytest.raises(UsageError, match=f"{next(iter(named))} = .* must be"):
        outlook(knees, stage="early", **named)


@pytest.mark.parametrize("dose", [True, float("inf"), (25, True), (25, float("nan")), "50", 0])
def test_what_is_no_dose_is_refused(knees, dose):
    with pytest.raises(UsageError, match="at_million are doses in millions of viable cells, above 0"):
        analysis.dose_response(knees, at_million=dose)


@pytest.mark.parametrize(
    ("question", "given", "told"),
    [
        ("time_to_response", {"resamples": "200"}, "resamples = '200' must be a whole number"),
        ("time_to_response", {"seed": 1.5}, r"seed = 1\.5 must be a whole number"),
        ("time_to_response", {"horizon_day": True}, "horizon_day = True must be days"),
        ("time_to_response", {"confidence": True}, r"between 0\.5 and 1"),
        (
            "safety_by_grade",
            {"related_to": None},
            "related_to = None is not known. Allowed: product, procedure, harvest",
        ),
        ("subgroups", {"by": ()}, r"by = \(\) names nothing that separates groups: name one, e\.g\. by='origin'"),
    ],
)
def test_what_is_no_answer_to_what_is_asked_for_is_refused_in_a_sentence(knees, question, given, told):
    with pytest.raises(UsageError, match=told):
        getattr(analysis, question)(knees, **given)


def test_confidence_in_words_is_refused(knees):
    with pytest.raises(UsageError, match=r"between 0\.5 and 1"):
        analysis.time_to_response(knees, confidence="95 %")


@pytest.mark.parametrize("question", [analysis.joint_replacement, analysis.specifications, analysis.time_to_response])
def test_programmes_that_differ_in_what_is_asked_are_not_one_question(six_programmes, question):
    with pytest.raises(UsageError, match=r"each with its own .*osteoarthritis, .*--programme on the command line"):
        question(six_programmes.courses())


def test_the_end_of_several_programmes_is_no_outcome_of_a_booster(six_programmes):
    courses = six_programmes.courses(programme=["osteoarthritis", "tendon"])
    with pytest.raises(UsageError, match="each with its own end of the target: osteoarthritis, tendon"):
        booster_effect(courses, outcome="end", definition="OO-2004")
