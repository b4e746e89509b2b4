"""What to expect: percentiles and chances of similar courses, validated, and refused without support."""

import itertools

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import outlook
from analysis.outlook_likeness import weighted_quantile
from analysis.outlook_validation import auc
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources

KEY = b"an open secret of the test suite"


@pytest.fixture(scope="module")
def knees(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outlook")
    sources.write_template(simulate(Design(patients=900, seed=31)), folder / "files")
    Registry.create(folder / "a.duckdb", key=KEY).close()
    load(folder / "a.duckdb", [folder / "files"])
    derive(folder / "a.duckdb")
    with Registry.open(folder / "a.duckdb") as registry:
        yield registry.courses(programme="osteoarthritis")


def number(result, quantity: str, day: float = 365.0) -> dict:
    return result.frame.filter(quantity=quantity, time_day=day).row(0, named=True)


def test_with_equal_weights_a_quantile_is_that_of_hazen():
    """Hazen 1914: the middle of each weight; the same as numpy's method of that name."""
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    shares = np.array([0.1, 0.25, 0.5, 0.9])
    assert weighted_quantile(values, np.ones(5), shares) == pytest.approx(np.quantile(values, shares, method="hazen"))
    doubled = weighted_quantile(np.array([1.0, 2.0, 2.0, 3.0]), np.ones(4), shares)
    assert weighted_quantile(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 1.0]), np.array([0.5])) == doubled[2]


def test_the_area_under_the_curve_by_hand():
    """Of four pairs three are in order and one is tied: 3.5 / 4."""
    assert auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])) == 3.5 / 4


def test_without_a_profile_the_cases_are_the_percentiles_of_the_stage(knees):
    result = outlook(knees, stage="moderate", resamples=20)
    rows = knees.registry.con.sql("from reduction.outlook_visit").pl()
    stage = knees.registry.con.sql("select course_id from course.profile where stage = 'moderate'").pl()
    scores = rows.filter(pl.col("position") == 5).join(stage, on="course_id")["improvement"].drop_nulls()
    by_hand = np.quantile(scores.cast(pl.Float64).to_numpy(), [0.1, 0.5, 0.9], method="hazen")
    found = [number(result, c)["estimate"] for c in ("failure_case", "typical_case", "best_case")]
    assert found == pytest.approx(by_hand)
    assert number(result, "similar")["estimate"] == pytest.approx(len(scores))


def test_states_that_go_on_and_ends_fill_the_whole(knees):
    result = outlook(knees, stage="bone_on_bone", resamples=20)
    parts = [number(result, q)["estimate"] for q in ("share_in_response", "share_response_lost", "end")]
    assert 0 < sum(parts) < 1 and parts[2] > 0


def test_a_sustained_response_is_one_that_two_visits_in_turn_showed(knees):
    result = outlook(knees, stage="early", resamples=20)
    held, kept = (number(result, q, 730.0) for q in ("share_in_response", "share_sustained"))
    assert 0 < kept["estimate"] <= held["estimate"] and kept["n"] <= held["n"]
    assert kept["low"] < kept["estimate"] < kept["high"]
    first = number(result, "share_sustained", 30.0)
    assert first["estimate"] is None and "no visit before" in first["note"]


def test_a_worse_stage_is_in_response_less_often(knees):
    early, late = (outlook(knees, stage=s, resamples=20) for s in ("early", "bone_on_bone"))
    assert number(early, "share_in_response")["low"] > number(late, "share_in_response")["high"]
    assert number(early, "typical_case")["estimate"] > number(late, "typical_case")["estimate"]


def test_naming_more_leaves_fewer_courses_behind_the_numbers(knees):
    broad = outlook(knees, stage="moderate", resamples=20)
    narrow = outlook(knees, stage="moderate", age=62, tissue="adipose", dose_million=60, resamples=20)
    assert number(narrow, "similar")["estimate"] < number(broad, "similar")["estimate"]
    span = [r["high"] - r["low"] for r in (number(broad, "typical_case"), number(narrow, "typical_case"))]
    assert span[1] > span[0]


def test_the_range_holds_eight_in_ten_of_courses_it_was_not_made_from(knees):
    checks = outlook(knees, stage="moderate", age=62, resamples=20).diagnostics
    covered = checks.filter(check="share within the 10-90 % range").row(0, named=True)
    assert covered["passed"] and abs(covered["value"] - 0.8) < 0.08
    assert checks.filter(check="calibration in the large")["passed"].item()


def test_it_refuses_where_nobody_is_alike(knees):
    with pytest.raises(NotEstimable, match="Fewer than 30 effective courses"):
        outlook(knees, stage="moderate", age=119, dose_million=900_000, resamples=20)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stage": "moderat"}, "Did you mean 'moderate'"),
        ({"stage": "early", "tissue": "adipos"}, "Did you mean 'adipose'"),
        ({"stage": "early", "age": 620}, "in years"),
        ({"stage": "early", "dose_million": 0}, "more than 0"),
        ({"stage": "early", "resamples": 3}, "at least 20"),
    ],
)
def test_a_wrong_value_is_told_with_those_there_are(knees, options, says):
    with pytest.raises(UsageError, match=says):
        outlook(knees, **options)


def test_it_says_that_it_recommends_nothing_and_its_figure_says_its_numbers(knees):
    result = outlook(knees, stage="early", age=55, resamples=20)
    assert "not a recommendation" in result.notes[0]
    assert "best case" in result.plot().alt_text


def test_its_figure_has_its_ticks_at_the_visits_and_labels_that_do_not_touch(knees):
    result = outlook(knees, stage="early", age=55, resamples=20)
    figure = result.plot()
    left, right = figure.axes
    days = result.frame.filter(pl.col("estimate").is_not_null(), quantity="typical_case")["time_day"].sort()
    assert [t.get_text() for t in left.get_xticklabels()] == [f"{d / 30.4375:.0f}" for d in days]
    assert "1 month" in [t.get_text() for t in right.get_legend().get_texts()]
    FigureCanvasAgg(figure).draw()
    boxes = [t.get_window_extent() for t in right.get_xticklabels()]
    assert all(a.x1 + 3 < b.x0 for a, b in itertools.pairwise(boxes))
