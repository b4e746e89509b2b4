"""What to expect: percentiles and chances of similar courses, validated, and refused without support."""

import dataclasses
import itertools

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis import outlook
from analysis.numerics import resampling
from analysis.outlook import quantile_limits, rows_of, share_limits
from analysis.outlook_likeness import Seen, alike, weighted_quantile
from analysis.outlook_seen import weighted_for_observation
from analysis.outlook_support import quality_note, why_too_few
from analysis.outlook_validation import (
    GAP,
    INSIDE,
    PREDICTED,
    _within_folds,
    auc,
    calibration,
    chances,
    discrimination,
    validate,
)
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


def test_where_all_came_the_cases_are_the_percentiles_of_those_due():
    """Hazen's, as numpy has them; nobody stands for another."""
    change = np.random.default_rng(3).normal(15, 18, 90)
    rows = {r["quantity"]: r for r in rows_of(at_visit(change), 12.68, 0.95, 20, np.random.default_rng(1))}
    found = [rows[c]["estimate"] for c in ("failure_case", "typical_case", "best_case")]
    assert found == pytest.approx(np.quantile(change, [0.1, 0.5, 0.9], method="hazen"))
    assert rows["similar"]["estimate"] == 90


def at_visit(change):
    i = np.arange(len(change))
    state = np.where(change >= 20, "in_response", "no_response")
    return Seen(365.0, "12 months", change, state, i, np.ones(len(i)), i, np.full(len(i), np.nan), i, np.ones(len(i)))


def test_bags_of_many_patients_leave_the_limits_where_they_are(monkeypatch):
    """Resamples of bags of 400, moved to the whole of 3,000: Monte-Carlo error of a limit of 400 resamples, a tenth."""
    at = at_visit(np.random.default_rng(5).normal(15, 18, 3000))

    def limits():
        found = rows_of(at, 12.68, 0.95, 400, np.random.default_rng(2))
        held = [r for r in found if r["quantity"] in ("failure_case", "typical_case", "share_in_response")]
        return np.array([[r["estimate"], r["low"], r["high"]] for r in held]).T

    estimate, low, high = limits()
    monkeypatch.setattr(resampling, "BAG", 400)
    same, lower, upper = limits()
    assert (same == estimate).all() and not np.array_equal(low, lower)
    np.testing.assert_allclose(upper - lower, high - low, rtol=0.25)


def test_who_was_seen_stands_for_those_alike_in_what_was_last_seen_who_were_not():
    """By hand: all 80 came first; of 40 at 0 then 10 came, of 40 at 30 all 40 but 8: four for each, and 1.25."""
    first, then = np.repeat([0.0, 30.0], 40), np.repeat([5.0, 25.0], 40)
    came = np.concatenate([np.arange(40) < 10, np.arange(40) < 32])
    visits = [at_visit(first), at_visit(np.where(came, then, np.nan))]
    weighted = weighted_for_observation(visits)[1]
    # The model has a slope and an intercept, so it fits both groups but for a prior that is nothing beside 38 who left.
    assert weighted.stands_for[came & (first == 0)] == pytest.approx(4, rel=0.02)
    assert weighted.stands_for[came & (first == 30)] == pytest.approx(1.25, rel=0.02)
    assert (weighted.stands_for[~came] == 0).all()
    rows = {r["quantity"]: r for r in rows_of(weighted, 12.68, 0.95, 20, np.random.default_rng(1))}
    assert rows["share_in_response"]["estimate"] == pytest.approx(0.5, abs=0.01)  # of those who came: 32 of 42
    assert rows["failure_case"]["estimate"] == 5 and rows["similar"]["estimate"] == 42


def test_where_nobody_was_judged_the_range_is_validated_and_response_is_not():
    """Scores of pain alone, and a definition that asks for function too: no course has a state at the visit."""
    rng = np.random.default_rng(3)
    seen = at_visit(rng.normal(15, 18, 200))
    unjudged = dataclasses.replace(seen, state=np.full(200, "not_seen"))
    known = {"baseline": rng.normal(60, 10, 200)}
    for at, judged in ((seen, True), (unjudged, False)):
        checks = validate(known, [at], 12.68, 0.95)
        names = {c["check"] for c in checks}
        assert {PREDICTED, INSIDE} <= names and (GAP in names) == judged
        assert ("response was predicted within" in quality_note([200.0], checks)) == judged
        assert ("of too few is it known whether they respond" in quality_note([200.0], checks)) != judged


def test_limits_of_a_case_are_at_the_exact_limits_of_its_share():
    """Woodruff 1952, of 40 in order: the exact limits of 4 of 40 are 2.79 and 23.66 % (Clopper & Pearson)."""
    change = np.arange(40.0)
    low, high = quantile_limits(change, np.ones(40), np.arange(40), np.array([3.5, 19.5, 35.5]), 0.95)
    # A share p lies at 40 p - 0.5 in the middles of 40 equal weights.
    assert [low[0], high[0]] == pytest.approx([40 * 0.0279 - 0.5, 40 * 0.2366 - 0.5], abs=5e-3)
    twice = quantile_limits(change, np.ones(40), np.arange(40) // 2, np.array([3.5, 19.5, 35.5]), 0.95)
    assert twice[0][1] < low[1] and twice[1][1] > high[1]


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


def test_a_product_a_diagnosis_and_a_baseline_are_named_like_the_rest(knees):
    """Weights as told: 1 for the same product, a quarter for another; of the baseline a normal kernel of ten points."""
    result = outlook(knees, stage="moderate", product="SVF", resamples=20)
    like, all_alike = number(result, "similar"), number(outlook(knees, stage="moderate", resamples=20), "similar")
    assert 0.25 * all_alike["estimate"] < like["estimate"] < 0.7 * all_alike["estimate"]
    assert result.title.endswith("product SVF") and result.settings["profile"]["product"] == "SVF"
    gone = knees.registry.con.sql(
        "select course_id, 'taken out' as reason from course.profile where stage = 'moderate' and product = 'SVF'"
    ).pl()
    with pytest.raises(NotEstimable, match="have product SVF; at least 10 have AD-MSC, BMAC, UC-MSC"):
        outlook(knees.exclude(gone), stage="moderate", product="SVF", resamples=20)
    # A single diagnosis is shared by all.
    same = outlook(knees, stage="moderate", diagnosis="primary_OA", resamples=20)
    assert number(same, "similar")["estimate"] == all_alike["estimate"]
    low, high = (outlook(knees, stage="moderate", baseline=b, resamples=20) for b in (45, 65))
    # Who begins worse has more to gain.
    assert number(high, "typical_case")["estimate"] > number(low, "typical_case")["estimate"]
    with pytest.raises(
        NotEstimable, match=r"began within 10 points of 2; of all nine in ten began at \d+ to \d+ of 100"
    ):
        outlook(knees, stage="moderate", baseline=2, resamples=20)


def test_how_alike_a_baseline_is_goes_by_points():
    near = alike({"baseline": np.array([60.0, 70.0, 40.0])}, {"baseline": 60.0})
    assert near == pytest.approx([1.0, np.exp(-0.5), np.exp(-2.0)])


def test_calibration_by_thirds_by_hand():
    """Thirty of one fold: predicted 10, 50 and 90 % by third; seen 5, 5 and 5 of ten."""
    score, half = np.repeat([0.1, 0.5, 0.9], 10), np.tile([0.0, 1.0], 15)
    one = np.zeros(30, dtype=int)
    off = calibration("worse", score, half, np.ones(30), one)
    assert off["value"] == pytest.approx(0.4) and not off["passed"]
    assert off["note"] == "predicted 10, 50, 90 %, seen 50, 50, 50 %, from the lowest third"
    # Five in ten where four are expected is what chance leaves; that of a hundred times as many is not.
    near = np.repeat([0.4, 0.5, 0.6], 10)
    assert calibration("worse", near, half, np.ones(30), one)["passed"]
    many = [np.repeat(v, 100) for v in (near, half)]
    assert not calibration("worse", *many, np.ones(3000), np.zeros(3000, dtype=int))["passed"]
    few = calibration("worse", score, np.r_[half[:26], np.zeros(4)], np.ones(30), one)
    assert few["value"] is None and few["passed"] and "not told" in few["note"]


def test_thirds_are_of_each_fold_since_folds_differ_by_what_was_left_out():
    """Two folds with the same thirds, all of one predicted ten points above the other: each third has both."""
    half = np.tile([0.0, 1.0], 30)
    score = np.r_[np.repeat([0.3, 0.5, 0.7], 10), np.repeat([0.4, 0.6, 0.8], 10)]
    found = calibration("worse", score, half, np.ones(60), np.repeat([0, 1], 30))
    assert found["note"].startswith("predicted 35, 55, 75 %")


def test_whose_each_chance_is_and_who_has_it():
    at = at_visit(np.array([30.0, -20.0, np.nan, np.nan]))
    at = dataclasses.replace(at, state=np.array(["in_response", "no_response", "ended", "not_seen"]),
                             sustained=np.array([1.0, 0.0, np.nan, np.nan]), stands_for=np.array([2.0, 1.0, 1.0, 0.0]))  # fmt: skip
    held = [(t.event.tolist(), t.stands.tolist()) for t in chances(at, 12.68)]
    yes, no = [True, False, False, False], [2.0, 1.0, 0.0, 0.0]
    assert held[0] == held[1] == (yes, no)
    assert held[3] == ([False, True, False, False], no)
    assert held[4] == ([False, False, True, False], [1.0] * 4)


def test_discrimination_no_better_than_chance_is_said_and_does_not_pass():
    """Hanley & McNeil 1982, eq. 2: an area of one half of 20 and 20 has a standard error of 0.0924."""
    event, fold = np.tile([True, False], 20), np.zeros(40, dtype=int)
    area, error = _within_folds(np.zeros(40), event, fold)
    # 0.25 + 19 (1/3 - 1/4) twice, over 400.
    assert (area, error) == (0.5, pytest.approx(np.sqrt((0.25 + 2 * 19 * (1 / 3 - 1 / 4)) / 400)))
    (none,) = discrimination(np.zeros(40), event, fold, 0.95)
    assert not none["passed"] and "no better than chance" in none["note"]
    (all_told,) = discrimination(event.astype(float), event, fold, 0.95)
    assert all_told["passed"] and all_told["value"] == 1.0 and ": better than chance" in all_told["note"]
    (against,) = discrimination(1 - event.astype(float), event, fold, 0.95)
    assert not against["passed"]


def test_an_outlook_says_plainly_where_what_is_named_hardly_tells(knees):
    result = outlook(knees, stage="moderate", age=62, resamples=20)
    apart = result.diagnostics.filter(check="discrimination within the stage").row(0, named=True)
    assert not apart["passed"]
    (told,) = (n for n in result.notes if n.startswith("Rests on"))
    assert "it tells no better than chance" in told and f"curve {apart['value']:.2f}" in told
    thirds = result.diagnostics.filter(pl.col("check").str.starts_with("calibration by thirds: "))
    shares = ["in response", "sustained", "response lost", "worse", "ended"]
    assert [c.split(": ")[1] for c in thirds["check"]] == shares
    assert thirds["value"][0] is not None


def test_it_refuses_where_nobody_is_alike(knees):
    with pytest.raises(NotEstimable, match=r"none of .* within 10 years of age 119; of all nine in ten are"):
        outlook(knees, stage="moderate", age=119, dose_million=900_000, resamples=20)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"dose_million": 6}, r"had half to twice 6 million cells; of all nine in ten had \d+ to \d+ million"),
        ({"dose_million": 10_000}, "none of the courses of its stage seen had half to twice 10000 million"),
        ({"age": 22}, r"within 10 years of age 22; of all nine in ten are \d+ to \d+ years old"),
        ({"tissue": "umbilical_cord_tissue", "donor": "autologous"}, "10 .* share all that is named at once"),
    ],
)
def test_the_scale_of_weights_counts_so_that_far_courses_do_not_stand_for_near_ones(knees, named, says):
    with pytest.raises(NotEstimable, match=says):
        outlook(knees, stage="moderate", resamples=20, **named)


def test_a_value_that_nobody_shares_is_told_with_those_that_are_shared(knees):
    osseous = knees.registry.con.sql(
        "select course_id, 'taken out' as reason from course.profile where stage = 'early' and route = 'intra_osseous'"
    ).pl()
    says = "none of the courses of its stage seen have route intra_osseous; at least 10 have intra_articular"
    with pytest.raises(NotEstimable, match=says):
        outlook(knees.exclude(osseous), stage="early", route="intra_osseous", resamples=20)


def seen_at(likeness: float, courses: int) -> Seen:
    """Return courses at a visit, all seen, all as alike."""
    known, i = np.zeros(courses), np.arange(courses)
    return Seen(365.0, "12 months", known, np.full(courses, "in_response"), i, known + likeness, i, known, i, known + 1)


def test_support_is_the_sum_of_weights_and_not_only_how_even_they_are():
    """A hundred courses of weight 0.25 have an effective size of 100, and are the like of 25."""
    known, one = {"route": np.full(200, "a")}, {"route": "a"}
    assert "fewer than 30 courses are like" in why_too_few(seen_at(0.25, 100), known, one)
    assert why_too_few(seen_at(0.25, 120), known, one) is None
    known["route"][9:] = "b"
    assert "fewer than 10 of the courses" in why_too_few(seen_at(1.0, 120), known, one)


def test_where_nobody_is_near_a_number_those_without_one_are_not_near_either():
    dose = np.array([100.0, 100.0, np.nan])
    near, far = (alike({"dose_million": dose}, {"dose_million": d}) for d in (100.0, 10_000.0))
    assert near.tolist() == [1.0, 1.0, 0.25]
    # Two powers of ten are 6.7 widths: exp(-22.2).
    assert far == pytest.approx([np.exp(-0.5 * (2 / 0.3) ** 2)] * 3)


def test_one_event_of_little_weight_leaves_no_less_open_than_none_would():
    """Of 40 without an event the exact upper limit is 1 - 0.025 ** (1 / 40) = 8.81 % (Clopper & Pearson 1934)."""
    rare = np.where(np.arange(200) % 2, 0.0, 0.0002)[:, None]
    low, high = share_limits(0.0001, rare, 0.95, 40)
    assert low == 0 and high == pytest.approx(0.0881, abs=5e-5)
    low, high = share_limits(0.9999, 1 - rare, 0.95, 40)
    assert high == 1 and low == pytest.approx(1 - 0.0881, abs=5e-5)


def test_limits_of_a_share_go_by_the_courses_it_is_of(knees):
    """Nobody had ended by a month: Wilson's limit 1.96² / (n + 1.96²) of all n who were due, not of those seen."""
    result = outlook(knees, stage="early", resamples=20)
    row, z2 = number(result, "end", 30.0), 1.959964**2
    assert row["n"] == 0 and number(result, "similar", 30.0)["n"] < row["denominator"]
    assert row["high"] == pytest.approx(z2 / (row["denominator"] + z2), rel=1e-6)


def test_it_says_how_many_it_rests_on_and_how_well_it_predicts(knees):
    result = outlook(knees, stage="moderate", age=62, resamples=20)
    checks = {r["check"]: r["value"] for r in result.diagnostics.to_dicts()}
    inside, gap = checks["share within the 10-90 % range"], checks["calibration in the large"]
    (told,) = (n for n in result.notes if n.startswith("Rests on the like of"))
    assert f"to {number(result, 'similar', 30.0)['estimate']:.0f} courses a visit. Of " in told
    assert f"{100 * inside:.0f} % were between" in told and f"within {100 * gap:.1f} points" in told


def test_its_figure_hides_what_is_of_few_and_nothing_else(knees):
    """One course ended early: its share alone is hidden, and stands as hidden and not as none."""
    result = outlook(knees, stage="early", resamples=20)
    assert 0 < result.frame.filter(quantity="end")["n"].max() < 5
    right = result.suppress().plot().axes[1]
    like = {r["time_day"]: r["estimate"] for r in result.frame.filter(quantity="similar").iter_rows(named=True)}
    key = right.get_legend()
    assert key.get_title().get_text() == "Courses like it" and f"12 months: {like[365.0]:.0f}" in [
        t.get_text() for t in key.get_texts()
    ]
    assert "–" in [t.get_text() for t in right.texts]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stage": "moderat"}, "Did you mean 'moderate'"),
        ({"stage": "early", "tissue": "adipos"}, "Did you mean 'adipose'"),
        ({"stage": "early", "age": 620}, "in years"),
        ({"stage": "early", "dose_million": 0}, "more than 0"),
        ({"stage": "early", "resamples": 3}, "give 20 or more"),
        ({"stage": "early", "age": True}, "age = True must be in years"),
        ({"stage": "early", "baseline": 101}, "0 best to 100 worst"),
        ({"stage": "early", "product": "SFV"}, "product = 'SFV' is not known. Did you mean 'SVF'"),
        ({"stage": "early", "diagnosis": "primary_AO"}, "Did you mean 'primary_OA'"),
        ({"stage": "early", "prodct": "SVF"}, "the profile field 'prodct' is not known. Did you mean 'product'"),
    ],
)
def test_a_wrong_value_is_told_with_those_there_are(knees, options, says):
    with pytest.raises(UsageError, match=says):
        outlook(knees, **options)


def test_it_says_that_it_recommends_nothing_and_its_figure_says_its_numbers(knees):
    result = outlook(knees, stage="early", age=55, resamples=20)
    assert "not a recommendation" in result.notes[0]
    assert "best case" in result.plot().alt_text


def test_its_figure_names_the_profile_and_its_names_stand_clear_of_the_line_at_none(knees):
    figure = outlook(knees, stage="early", age=55, product="SVF", resamples=20).plot()
    assert figure._suptitle.get_text() == "What became of courses like this one: Early, age 55, product SVF"
    assert figure._supxlabel.get_text() == "Bands and bars: 95 % CI"
    FigureCanvasAgg(figure).draw()
    left = figure.axes[0]
    names = [t for t in left.texts if t.get_text().endswith("case")]
    assert len(names) == 3 and all(super(type(t), t).get_window_extent().x0 >= left.bbox.x1 for t in names)


def test_its_figure_has_its_ticks_at_the_visits_and_labels_that_do_not_touch(knees):
    result = outlook(knees, stage="early", age=55, resamples=20)
    figure = result.plot()
    left, right = figure.axes
    days = result.frame.filter(pl.col("estimate").is_not_null(), quantity="typical_case")["time_day"].sort()
    assert [t.get_text() for t in left.get_xticklabels()] == [f"{d / 30.4375:.0f}" for d in days]
    assert [t.get_text().split(":")[0] for t in right.get_legend().get_texts()][:2] == ["1 month", "3 months"]
    FigureCanvasAgg(figure).draw()
    boxes = [t.get_window_extent() for t in right.get_xticklabels()]
    assert all(a.x1 + 3 < b.x0 for a, b in itertools.pairwise(boxes))
