"""Adjusted response: right where it can be checked, refused where it cannot be fitted."""

import numpy as np
import polars as pl
import pytest

from analysis import adjusted_response, estimand, time_to_response
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources
from synthetic.truth import OA

KEY = b"an open secret of the test suite"


@pytest.fixture(scope="module")
def knees(tmp_path_factory):
    """900 patients whose response depends on their stage and, by design, on nothing else we adjust for."""
    folder = tmp_path_factory.mktemp("adjusted")
    made = simulate(
        Design(
            patients=900,
            seed=21,
            noise=0.0,
            losses=False,
            boosters=False,
            ends=False,
            missed=0,
            dropout=0,
            details=True,
        )
    )
    sources.write_template(made, folder / "files")
    Registry.create(folder / "a.duckdb", key=KEY).close()
    load(folder / "a.duckdb", [folder / "files"])
    derive(folder / "a.duckdb")
    with Registry.open(folder / "a.duckdb") as registry:
        yield registry.courses(programme="osteoarthritis")


def test_what_response_does_not_depend_on_has_a_hazard_ratio_near_one(knees):
    """Synthetic truth: response depends on stage alone; four ratios, each within its 99.9 % limits of one."""
    result = adjusted_response(knees, covariates=("age", "sex", "route"), confirmation="first", confidence=0.999)
    ratios = result.frame.filter(pl.col("quantity") == "hazard_ratio")
    assert ratios.height == 3
    assert (ratios["low"] < 1).all() and (ratios["high"] > 1).all()


def test_standardised_risks_are_those_of_the_synthetic_truth(knees):
    result = adjusted_response(knees, covariates=("age", "sex"), confirmation="first", horizon_day=(183, 365))
    for stage, law in OA.stages.items():
        for day in (183, 365):
            found = result.frame.filter(quantity="response", stratum=stage, time_day=float(day)).row(0, named=True)
            # Visits at 6 and 12 months are spread over their windows; three standard errors and two points of model.
            error = (found["high"] - found["low"]) / 4
            assert abs(found["estimate"] - float(law.responded(np.array([float(day)]))[0])) < 3 * error + 0.02


def test_with_covariates_that_do_nothing_the_model_agrees_with_the_nonparametric_estimate(knees):
    """At 12 months, between visits of 6 and 24 months, both lie on the same plateau to three points."""
    ours = adjusted_response(knees, covariates=("age",), confirmation="first")
    plain = time_to_response(knees, confirmation="first", end_policy="censor", resamples=20)
    for stage in OA.stages:
        one, other = (
            r.frame.filter(quantity="response", stratum=stage, time_day=365.0)["estimate"][0] for r in (ours, plain)
        )
        assert one == pytest.approx(other, abs=0.03)


def test_differences_are_those_of_the_standardised_risks_and_the_interaction_is_tested(knees):
    frame = adjusted_response(knees, confirmation="first").frame
    risk = {r["stratum"]: r["estimate"] for r in frame.filter(quantity="response", time_day=365.0).to_dicts()}
    difference = frame.filter(quantity="difference", stratum="moderate - early", time_day=365.0)["estimate"][0]
    assert difference == pytest.approx(risk["moderate"] - risk["early"])
    test = frame.filter(quantity="test").row(0, named=True)
    assert test["estimate"] > 0.001 and "df" in test["note"]


def test_a_stage_of_few_courses_is_left_out_with_the_reason(knees):
    frame = adjusted_response(knees, confirmation="first").frame
    empty = frame.filter(quantity="response", stratum="pre_radiographic")
    assert empty["estimate"].is_null().all() and (empty["note"] == "fewer than 20 courses, or 3 responses").all()


def test_the_courses_standardised_over_are_those_of_the_strata_fitted(knees):
    result = adjusted_response(knees, confirmation="first", horizon_day=(365, 5000))
    response = result.frame.filter(quantity="response", time_day=365.0)
    assert response["denominator"].sum() == result.attrition["n"][-1]
    late = result.frame.filter(quantity="response", time_day=5000.0, stratum="early")
    assert late["estimate"][0] is None and late["note"][0].startswith("nobody was watched beyond day")


def test_courses_lacking_a_covariate_leave_with_the_reason_and_are_counted(knees):
    few = adjusted_response(knees, covariates=("age", "bmi"), confirmation="first")
    left = dict(few.attrition.iter_rows())
    assert (
        left["selected"] + sum(n for reason, n in left.items() if reason not in ("courses", "selected"))
        == left["courses"]
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"covariates": ("pain",)}, "covariates ="),
        ({"covariates": ()}, "must name one or more"),
        ({"covariates": ("stage",)}, "separates the strata"),
        ({"confidence": 95}, "between 0.5 and 1"),
    ],
)
def test_a_wrong_option_is_told(knees, options, says):
    with pytest.raises(UsageError, match=says):
        adjusted_response(knees, **options)


def test_covariates_that_are_the_same_in_everybody_cannot_be_adjusted_for(knees):
    one_sex = knees.registry.courses(programme="osteoarthritis", sex="female")
    with pytest.raises(NotEstimable, match="same in all courses"):
        adjusted_response(one_sex, covariates=("sex",))


def test_the_estimand_says_what_is_done_about_ends_and_boosters(knees):
    rows = dict(estimand(adjusted_response(knees, confirmation="first")).iter_rows())
    assert "hypothetical" in rows["Intercurrent event: End of the target, death, another treatment in its place"]
    assert "standardised over the cohort for age, sex, baseline" in rows["Summary measure"]


def test_processing_separates_strata_and_is_a_covariate(knees):
    """Synthetic response depends on the stage alone: processing has no effect, within 99.9 % limits."""
    made = adjusted_response(knees, by="expanded", covariates=("age",), confirmation="first", confidence=0.999)
    assert [s["code"] for s in made.settings["strata"]] == ["expanded", "not expanded"]
    courses = made.frame.filter(quantity="response", time_day=365.0)["denominator"].sum()
    assert courses == made.attrition["n"][-1] > 400
    apart = made.frame.filter(quantity="difference", time_day=365.0).row(0, named=True)
    assert apart["low"] < 0 < apart["high"]
    by_cells = adjusted_response(knees, covariates=("separation",), confirmation="first", confidence=0.999)
    ratios = by_cells.frame.filter(quantity="hazard_ratio")
    assert ratios.height == 2 and (ratios["low"] < 1).all() and (ratios["high"] > 1).all()
    made = adjusted_response(knees, covariates=("same_day", "viability"), confirmation="first", confidence=0.999)
    ratios = made.frame.filter(quantity="hazard_ratio")
    assert ratios["stratum"].to_list() == ["same_day: same day against another day", "viability, per 10 % of cells"]
    assert (ratios["low"] < 1).all() and (ratios["high"] > 1).all()
    assert [n for n in made.notes if "processing on the day of use" in n] and [
        n for n in made.notes if "viability" in n
    ]
    with pytest.raises(UsageError, match="which separates the strata"):
        adjusted_response(knees, by="separation", covariates=("separation",))
