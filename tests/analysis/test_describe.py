"""Table 1: its numbers against a direct computation, its differences against figures worked out by hand."""

import math

import numpy as np
import polars as pl
import pytest

from analysis.describe import describe, level_difference, number_difference
from registry import Registry, derive
from registry.errors import NotEstimable
from registry.ingest import load
from synthetic import Design, simulate, sources

KNOWN = {"age_year", "bmi", "symptom_months", "dose_viable_million"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A registry of two programmes; only read."""
    folder = tmp_path_factory.mktemp("demo")
    design = Design(patients=140, seed=9, programmes={"osteoarthritis": 0.8, "wellness": 0.2}, item_share=0.0)
    sources.write_template(simulate(design), folder / "files")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    assert load(folder / "r.duckdb", [folder / "files"]).rejected == 0
    derive(folder / "r.duckdb")
    return Registry.open(folder / "r.duckdb")


def numbers(result):
    return {(r["stratum"], r["quantity"]): r for r in result.frame.to_dicts()}


@pytest.fixture(scope="module")
def knees(demo):
    return describe(demo.courses(programme="osteoarthritis"))


@pytest.fixture(scope="module")
def profile(demo):
    rows = demo.sql("select * from course.profile where programme = 'osteoarthritis' and stage is not null")
    return rows.with_columns(pl.col(*KNOWN).cast(pl.Float64))


@pytest.mark.parametrize("variable", sorted(KNOWN))
def test_means_and_quartiles_are_those_of_the_rows(knees, profile, variable):
    found = numbers(knees)
    for stage in ("early", "moderate", "bone_on_bone"):
        x = profile.filter(stage=stage)[variable]
        expected = {"mean": x.mean(), "sd": x.std(), "median": x.median()}
        expected["lower quartile"], expected["upper quartile"] = np.quantile(x.drop_nulls(), [0.25, 0.75])
        for statistic, value in expected.items():
            held = found[stage, f"{variable}: {statistic}"]
            assert held["estimate"] == pytest.approx(value, rel=1e-12)  # the same rows, so rounding only
            assert held["denominator"] == x.drop_nulls().len()
        missing = found[stage, f"{variable}: missing"]
        assert (missing["n"], missing["denominator"]) == (x.null_count(), x.len())


@pytest.mark.parametrize("variable", ["sex", "site", "origin", "product", "guidance"])
def test_shares_are_of_the_courses_for_which_the_characteristic_is_known(knees, profile, variable):
    found = numbers(knees)
    counted = profile.group_by("stage", variable).len().drop_nulls()
    for stage, level, n in counted.iter_rows():
        known = profile.filter(stage=stage)[variable].drop_nulls().len()
        held = found[stage, f"{variable} = {level}: share"]
        assert (held["n"], held["denominator"], held["estimate"]) == (n, known, n / known)


def test_the_whole_cohort_is_described_beside_its_strata(knees, profile):
    found = numbers(knees)
    assert found["all", "courses"]["denominator"] == profile.height
    assert found["all", "age_year: mean"]["estimate"] == pytest.approx(profile["age_year"].mean(), rel=1e-12)


def test_the_difference_of_means_is_in_standard_deviations():
    # |10 - 14| / sqrt((9 + 16) / 2) = 4 / 3.5355 = 1.1314
    assert number_difference((10.0, 3.0), (14.0, 4.0)) == pytest.approx(1.1314, abs=5e-5)
    assert number_difference((5.0, 0.0), (5.0, 0.0)) == 0.0
    assert number_difference((5.0, None), (6.0, 1.0)) is None


def test_a_difference_of_two_levels_is_that_of_a_binary_variable():
    p, q = 0.6, 0.4
    by_hand = abs(p - q) / math.sqrt((p * (1 - p) + q * (1 - q)) / 2)
    assert level_difference(np.array([60.0, 40.0]), np.array([40.0, 60.0])) == pytest.approx(by_hand, rel=1e-12)


def test_a_difference_of_three_levels_is_the_multinomial_distance_worked_out_by_hand():
    # Shares (.5, .3, .2) and (.2, .3, .5). Without the first level the gap is (0, -.3); the mean covariance is
    # [[.21, -.105], [-.105, .205]], of determinant .032025, and its inverse has .21 / .032025 in the last cell:
    # .3^2 * 6.557377 = .590164, whose root is .768221.
    found = level_difference(np.array([50.0, 30.0, 20.0]), np.array([20.0, 30.0, 50.0]))
    assert found == pytest.approx(0.768221, abs=1e-6)


def test_a_level_that_nobody_has_changes_nothing_and_no_common_level_is_no_finite_difference():
    one, other = np.array([50.0, 0.0, 50.0]), np.array([20.0, 0.0, 80.0])
    assert level_difference(one, other) == pytest.approx(level_difference(one[[0, 2]], other[[0, 2]]), rel=1e-12)
    assert level_difference(np.array([10.0, 0.0]), np.array([0.0, 10.0])) == math.inf


def test_the_difference_reported_is_the_largest_of_all_pairs(knees, profile):
    moments = {s: (x["age_year"].mean(), x["age_year"].std()) for (s,), x in profile.group_by("stage")}
    pairs = [number_difference(a, b) for a in moments.values() for b in moments.values()]
    assert numbers(knees)["all", "age_year: smd"]["estimate"] == pytest.approx(max(pairs), rel=1e-9)


def test_baseline_scores_are_those_of_the_scale_that_stands_for_the_domain(demo, knees):
    mean = demo.sql(
        "select avg(worse100) as m from course.baseline join course.domain_scale using (course_id, scale) "
        "join course.profile as p using (course_id) "
        "where domain = 'pain' and stage = 'early' and p.programme = 'osteoarthritis'"
    )["m"][0]
    assert numbers(knees)["early", "baseline_pain: mean"]["estimate"] == pytest.approx(mean, rel=1e-12)


def test_a_stage_without_courses_has_a_row_that_says_so(knees):
    empty = numbers(knees)["pre_radiographic", "courses"]
    assert (empty["denominator"], empty["note"]) == (0, "nobody in this stratum")
    # Printed it has no column, and the reader is told why.
    assert "Pre-radiographic" not in knees.table().columns
    assert "Nobody is in: Pre-radiographic." in repr(knees) and "Nobody is in: Pre-radiographic." in knees._repr_html_()


def test_what_is_not_known_is_one_dash_and_what_is_hidden_is_marked_as_that(knees):
    about = (pl.col("stratum") == "early") & pl.col("quantity").str.starts_with("bmi")
    blank = [pl.when(about).then(None).otherwise(pl.col(c)).alias(c) for c in ("estimate", "low", "high")]
    for note, mark in (("not known", "–"), ("suppressed: fewer than 5", "[c]")):
        frame = knees.frame.with_columns(*blank, note=pl.when(about).then(pl.lit(note)).otherwise("note"))
        table = type(knees)(**{**vars(knees), "frame": frame}).table()
        at = table["characteristic"].to_list().index("Body-mass index")
        assert table["Early"][at : at + 2].to_list() == [mark, mark] and table["Moderate"][at] not in ("–", "[c]")


def test_wellness_is_described_in_its_single_stage_with_nothing_to_compare(demo):
    result = describe(demo.courses(programme="wellness"))
    found = numbers(result)
    assert found["all", "age_year: smd"]["note"] == "one stratum: nothing to compare"
    assert ("all", "baseline_pain: mean") not in found
    assert found["all", "baseline_qol: mean"]["denominator"] > 0
    assert result.table().columns == ["characteristic", "level", "All", "smd"]


def test_one_patient_has_a_mean_and_no_spread(demo):
    first = demo.courses().attrition["course_id"][0]
    others = demo.courses().attrition.filter(pl.col("course_id") != first)
    found = numbers(describe(demo.courses().exclude(others.select("course_id", reason=pl.lit("another"))), by="all"))
    assert found["all", "age_year: mean"]["estimate"] == found["all", "age_year: upper quartile"]["estimate"]
    assert ("all", "age_year: sd") not in found
    with pytest.raises(NotEstimable, match=r"No course is left to analyse\. \d+ all"):
        describe(demo.courses().exclude(demo.courses().attrition.select("course_id", reason=pl.lit("all"))))


def test_the_table_prints_strata_beside_each_other_with_their_difference(knees, profile):
    table = knees.table()
    women = table.row(by_predicate=pl.col("level") == "female", named=True)
    n, of = profile.filter(stage="early", sex="female").height, profile.filter(stage="early").height
    assert women["Early"] == f"{n}/{of} ({100 * n / of:.0f} %)"
    assert table.filter(characteristic="Sex")["smd"][0] == f"{numbers(knees)['all', 'sex: smd']['estimate']:.2f}"


def test_a_small_cell_is_withheld_with_a_second_one_and_the_rest_of_its_stratum_stays(knees):
    frame = knees.frame.with_columns(
        n=pl.when(stratum="early", quantity="origin = bone_marrow: share").then(2).otherwise("n")
    )
    hidden = numbers(type(knees)(**{**vars(knees), "frame": frame}).suppress())
    withheld = [k for k, r in hidden.items() if k[0] == "early" and k[1].startswith("origin =") and r["n"] is None]
    assert len(withheld) == 2
    assert hidden["early", "age_year: mean"]["estimate"] is not None
