"""Time to response, from files to the number: the truth is recovered, and by the naive reading it is not."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from analysis import time_to_response
from analysis.numerics.competing import cumulative_incidence
from analysis.numerics.survival_counts import count_events
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources

STAGES = ("early", "moderate", "bone_on_bone")
TRUE_VISITS = {"noise": 0.0, "losses": False, "boosters": False, "informative": 1.0, "item_share": 0.0}


def registry_of(folder, design):
    made = simulate(design)
    sources.write_template(made, folder / "files")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    assert load(folder / "r.duckdb", [folder / "files"]).rejected == 0
    derive(folder / "r.duckdb")
    return made, Registry.open(folder / "r.duckdb")


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """Patients whose visits show the truth: no measurement error, no loss of response, visits unrelated to benefit."""
    design = Design(patients=1500, seed=11, missed=0.2, dropout=0.004, extra_scales=False, **TRUE_VISITS)
    return registry_of(tmp_path_factory.mktemp("exact"), design)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A registry as clinics have it, of two programmes."""
    design = Design(patients=260, seed=5, programmes={"osteoarthritis": 0.8, "wellness": 0.2})
    return registry_of(tmp_path_factory.mktemp("demo"), design)[1]


def realised(made, stage, day):
    """Share of the courses of a stage that responded by `day` before their end: what perfect watching would have seen."""
    mine = made.truth.filter(pl.col("stage") == stage)
    stop = mine["response_day"].to_numpy()
    return np.mean((stop <= day) & (stop <= mine["end_day"].to_numpy()) & (stop <= mine["death_day"].to_numpy()))


def estimates(result, quantity="response"):
    rows = result.frame.filter(pl.col("quantity") == quantity)
    return {(r["stratum"], int(r["time_day"])): r for r in rows.to_dicts()}


@pytest.mark.parametrize("confirmation", ["first", "confirmed"])
def test_the_true_incidence_is_recovered_in_every_stage(exact, confirmation):
    made, registry = exact
    result = time_to_response(registry.courses(), confirmation=confirmation, early_visits="counted", resamples=20)
    found = estimates(result)
    for stage in STAGES:
        for day in (183, 365):
            # About 450 courses a stage: a standard error near 0.025, and three of them for six comparisons.
            assert found[stage, day]["estimate"] == pytest.approx(realised(made, stage, day), abs=0.075)


def test_taking_the_visit_for_the_event_does_not_recover_it(exact):
    made, registry = exact
    rows = registry.sql(
        "select stage, coalesce(right_day, last_assessed_day) as day, (right_day is not null)::int as event "
        "from endpoint.response join course.profile using (course_id) "
        "where confirmation = 'first' and early_visits = 'counted' and last_assessed_day is not null"
    )
    early = rows.filter(pl.col("stage") == "early")
    naive = cumulative_incidence(count_events(early["day"].to_numpy(), early["event"].to_numpy())).at([80.0])[0][0, 1]
    ours = time_to_response(
        registry.courses(), confirmation="first", early_visits="counted", horizon_day=(80,), resamples=20
    )
    truth = realised(made, "early", 80)
    # On day 80 most three-month visits are still to come: dated by the visit, most responses are not there yet.
    assert naive < truth - 0.15
    assert abs(estimates(ours)["early", 80]["estimate"] - truth) < 0.1


def test_stages_differ_and_the_test_says_so(exact):
    result = time_to_response(exact[1].courses(), resamples=20)
    test = result.frame.filter(pl.col("quantity") == "test")
    assert test["estimate"][0] < 1e-6
    difference = estimates(result, "difference")["bone_on_bone - early", 365]
    assert difference["high"] < 0


def test_a_stage_with_nobody_in_it_is_a_row_of_its_own(demo):
    result = time_to_response(demo.courses(programme="osteoarthritis"), resamples=20)
    empty = result.frame.filter(pl.col("stratum") == "pre_radiographic")
    assert empty["denominator"].to_list() == [0] * 4
    assert set(empty["note"]) == {"nobody in this stratum"}
    assert empty["estimate"].is_null().all()


def test_every_course_is_used_or_has_left_with_a_reason(demo):
    result = time_to_response(demo.courses(programme="osteoarthritis"), resamples=20)
    flow = result.attrition
    assert flow["n"][0] - flow["n"][1:-1].sum() == flow["n"][-1]
    used = result.frame.filter(pl.col("quantity") == "response").group_by("stratum").agg(pl.col("denominator").max())
    assert used["denominator"].sum() == flow["n"][-1]


def test_the_same_seed_gives_the_same_numbers(demo):
    courses = demo.courses(programme="osteoarthritis")
    one, two = (time_to_response(courses, resamples=25, seed=4) for _ in range(2))
    assert one.frame.equals(two.frame)


def test_a_definition_not_yet_derived_is_derived_for_the_question(demo):
    result = time_to_response(demo.courses(programme="osteoarthritis"), definition="KOOS-pain-10", resamples=20)
    assert result.settings["definition"] == "KOOS-pain-10"
    assert result.frame.filter(pl.col("stratum") == "early", pl.col("time_day") == 365)["estimate"][0] > 0.2


def test_a_first_crossing_counts_more_than_a_confirmed_one(demo):
    courses = demo.courses(programme="osteoarthritis")
    first, confirmed = (
        estimates(time_to_response(courses, confirmation=c, resamples=20))["early", 365] for c in ("first", "confirmed")
    )
    assert first["estimate"] > confirmed["estimate"]


def test_censoring_at_the_end_gives_at_least_the_competing_incidence(exact):
    courses = exact[1].courses()
    competing, censored = (
        estimates(time_to_response(courses, end_policy=p, resamples=20))["bone_on_bone", 730]["estimate"]
        for p in ("competing", "censor")
    )
    assert censored >= competing - 1e-9


def test_a_programme_without_a_definition_is_refused_with_the_reason(demo):
    with pytest.raises(NotEstimable, match="described only, never judged"):
        time_to_response(demo.courses(programme="wellness"))


def test_a_definition_whose_scale_nobody_has_is_refused_with_the_reason(demo):
    with pytest.raises(NotEstimable, match=r"IKDC-11\.5\. "):
        time_to_response(demo.courses(programme="osteoarthritis"), definition="IKDC-11.5")


def test_several_programmes_at_once_need_a_choice(demo):
    with pytest.raises(UsageError, match="Select one"):
        time_to_response(demo.courses())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "stages"}, "Did you mean 'stage'"),
        ({"confirmation": "twice"}, "Allowed: confirmed, first"),
        ({"definition": "OO-2003"}, "Did you mean 'OO-2004'"),
        ({"confidence": 95}, "between 0.5 and 1"),
        ({"resamples": 3}, "too few"),
    ],
)
def test_a_wrong_option_is_answered_with_the_allowed_ones(demo, options, words):
    with pytest.raises(UsageError, match=words):
        time_to_response(demo.courses(programme="osteoarthritis"), **options)


def test_small_cells_are_marked_suppressed_and_never_zero(demo):
    shown = time_to_response(demo.courses(programme="osteoarthritis"), resamples=20).suppress(12).frame
    hidden = shown.filter(pl.col("note") == "suppressed: fewer than 12")
    assert hidden.height > 0
    assert hidden["estimate"].is_null().all() and hidden["n"].is_null().all()


def test_the_result_reads_itself_out(demo):
    result = time_to_response(demo.courses(programme="osteoarthritis"), resamples=20)
    text = repr(result).splitlines()
    assert text[1].startswith("used ") and "OO-2004" in repr(result)
    assert "%" in result.say("response", "early", 365)
    assert "<table>" in result._repr_html_()
    assert "12 months" in result.plot().alt_text or "24 months" in result.plot().alt_text


def test_a_programme_without_a_response_definition_says_so_once(six_programmes):
    with pytest.raises(NotEstimable, match=r"^No response definition is agreed and the evidence is thin") as told:
        time_to_response(six_programmes.courses(programme="wellness"))
    assert str(told.value).count("No response definition") == 1


def test_a_selection_that_nobody_is_left_of_says_why_each_course_left(six_programmes):
    with pytest.raises(
        NotEstimable, match=r"No course is left to analyse\. \d+ younger than 119; \d+ another programme"
    ):
        time_to_response(six_programmes.courses(programme="osteoarthritis", min_age=119))


def test_a_figure_whose_end_is_hidden_says_the_last_that_is_known_and_of_whom_nothing_is_shown(demo):
    found = time_to_response(demo.courses(programme="osteoarthritis"), by="stage", resamples=20)
    late = pl.col("time_day") == found.frame["time_day"].max()
    early, moderate = (pl.col("stratum") == s for s in ("early", "moderate"))
    hidden = pl.when((early & late) | moderate).then(None).otherwise(pl.col("estimate")).alias("estimate")
    told = replace(found, frame=found.frame.with_columns(hidden)).plot().alt_text
    year = found.frame.filter(early, quantity="response", time_day=365.0)["estimate"][0]
    assert f"At its end: Early {100 * year:.0f} % at 12 months, Moderate not shown, Bone-on-bone" in told
