"""Table 1 before and after weighting: numpy and hand calculation, the trial's own balance, and what is refused."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from scipy.spatial.distance import mahalanobis

from analysis import booster_effect, booster_weights, describe, imputed_change, seen_weights, time_to_response
from analysis.describe import level_difference, number_difference
from analysis.disclosure.complementary import hide_between
from analysis.weighted_description import number_moments
from registry import Registry
from registry.errors import NotEstimable, UsageError


@pytest.fixture(scope="module")
def knees(synthetic_file):
    with Registry.open(synthetic_file) as registry:
        yield registry.courses(programme="osteoarthritis")


@pytest.fixture(scope="module")
def profile(knees):
    rows = knees.registry.sql("select * from course.profile").join(knees.ids.to_frame(), on="course_id")
    return rows.filter(pl.col("stage").is_not_null()).with_columns(pl.col("bmi", "age_year").cast(pl.Float64))


def given(profile):
    """Weights of three sizes, of everybody, as another program may have made them."""
    return profile.select("course_id", weight=0.5 + (pl.col("course_id") % 3) * 0.75)


def numbers(result):
    return {(r["stratum"], r["quantity"]): r for r in result.frame.to_dicts()}


def test_weighted_means_and_deviations_are_those_of_numpy_and_denominators_count_courses(knees, profile):
    found = numbers(describe(knees, weights=given(profile)))
    for (stage,), rows in profile.join(given(profile), on="course_id").group_by("stage"):
        known = rows.drop_nulls("bmi")
        x, w = known["bmi"].to_numpy(), known["weight"].to_numpy()
        mean, sd = found[stage, "bmi: weighted mean"], found[stage, "bmi: weighted sd"]
        # numpy's `aweights` is the variance of Austin & Stuart: over W - sum of squares / W.
        assert mean["estimate"] == pytest.approx(np.average(x, weights=w), rel=1e-9)
        assert sd["estimate"] == pytest.approx(np.sqrt(np.cov(x, aweights=w)), rel=1e-9)
        assert mean["denominator"] == known.height
        women = found[stage, "sex = female: weighted share"]
        share = rows.filter(sex="female")["weight"].sum() / rows.drop_nulls("sex")["weight"].sum()
        assert women["estimate"] == pytest.approx(share, rel=1e-9)
        assert (women["n"], women["denominator"]) == (rows.filter(sex="female").height, rows.drop_nulls("sex").height)
        assert found[stage, "bmi: weighted missing"]["estimate"] == pytest.approx(1 - w.sum() / rows["weight"].sum())
        kish = rows["weight"].sum() ** 2 / (rows["weight"] ** 2).sum()
        assert found[stage, "effective_sample_size"]["estimate"] == pytest.approx(kish, rel=1e-9)


def test_weights_of_one_change_nothing_and_the_plain_half_is_the_plain_table(knees, profile):
    plain, ones = numbers(describe(knees)), numbers(describe(knees, weights=given(profile).with_columns(weight=1)))
    for (stratum, quantity), r in ones.items():
        if "weight" not in quantity and quantity != "effective_sample_size":
            assert r["estimate"] == pytest.approx(plain[stratum, quantity]["estimate"], rel=1e-12), quantity
        if "weighted" in quantity and r["estimate"] is not None:
            twin = ones[stratum, quantity.replace("weighted ", "")]["estimate"]
            assert r["estimate"] == pytest.approx(twin, rel=1e-12, abs=1e-12), quantity


def test_the_weighted_variance_is_the_one_worked_out_by_hand():
    # Values 1, 2, 4 with weights 1, 1, 2: W = 4, mean 11/4, sum w (x - mean)^2 = 6.75, W^2 - sum w^2 = 10, so that the
    # variance is 4 / 10 * 6.75 = 2.7. Without weights: mean 7/3, variance 7/3.
    sums = {"n_known": 3, "total": Decimal(7), "square": Decimal(21), "known_weight": Decimal(4),
            "known_weight_square": Decimal(6), "weighted_total": Decimal(11), "weighted_square": Decimal(37)}  # fmt: skip
    assert number_moments(sums, "weighted ") == pytest.approx((2.75, 2.7**0.5))
    assert number_moments(sums, "") == pytest.approx((7 / 3, (7 / 3) ** 0.5))
    # |2.75 - 1| / sqrt((2.7 + 0.3) / 2) = 1.75 / 1.224745
    assert number_difference((2.75, 2.7**0.5), (1.0, 0.3**0.5)) == pytest.approx(1.428869, abs=1e-6)


def test_the_weighted_difference_of_categories_is_a_mahalanobis_distance_of_weighted_shares():
    # Sums of weights (6, 3, 1) and (2, 5, 3): shares (.6, .3, .1) and (.2, .5, .3). The last two levels differ by
    # (-.2, -.2); their mean covariance is [[.23, -.09], [-.09, .15]], of determinant .0264, and
    # (.04 * (.15 + .23 + 2 * .09)) / .0264 = .848485, whose root is .921132.
    one, other = np.array([6.0, 3, 1]), np.array([2.0, 5, 3])
    assert level_difference(one, other) == pytest.approx(0.921132, abs=1e-6)
    p, q = one / 10, other / 10
    inverse = np.linalg.inv(sum(np.diag(s) - np.outer(s, s) for s in (p, q))[:2, :2] / 2)
    assert level_difference(one, other) == pytest.approx(mahalanobis(p[:2], q[:2], inverse), rel=1e-9)


def test_those_seen_stand_for_everybody_due_as_the_mean_change_weighted_for_observation_has_it(knees):
    weights = seen_weights(knees, visit="12 months")
    assert set(weights.filter(group="everybody due")["weight"]) == {1.0}
    said = imputed_change(knees, visit="12 months", imputations=10).frame
    counts = said.filter(pl.col("quantity") == "weighted_for_observation", ~pl.col("stratum").str.contains(" - "))
    found = numbers(describe(knees, weights=weights))
    assert found["seen", "courses"]["denominator"] == counts["n"].sum() == weights.filter(group="seen").height
    assert found["everybody due", "courses"]["denominator"] == counts["denominator"].sum()
    # The model knows the baseline of pain: weighted, those seen have the baseline of everybody.
    total = found["seen", "sum_of_weights"]["estimate"]
    assert total == pytest.approx(found["everybody due", "courses"]["denominator"], rel=0.02)
    table = describe(knees, weights=weights).table()
    assert table.columns[2:] == ["Everybody due", "Seen", "Seen, weighted", "smd", "smd, weighted"]


def test_the_balance_of_a_trial_is_that_of_its_love_plot(knees):
    effect = booster_effect(knees, resamples=20, show_anyway=True)
    weights = booster_weights(knees, effect)
    found = numbers(describe(knees, weights=weights))
    love = {(r["quantity"], r["note"]): r["estimate"] for r in effect.curves.to_dicts()}
    for name, ours in (("age", "age_year"), ("baseline", "baseline_pain"), ("best", "best improvement so far"),
                       ("regression", "response was lost, %")):  # fmt: skip
        assert found["all", f"{ours}: smd"]["estimate"] == pytest.approx(abs(love["balance_before", name]), rel=1e-6)
        # After weighting the love plot keeps the variances before it, the table takes those under the weights.
        gap = np.diff([found[g, f"{ours}: weighted mean"]["estimate"] for g in ("boosted", "waiting")])[0]
        sds = [found[g, f"{ours}: sd"]["estimate"] for g in ("boosted", "waiting")]
        assert abs(gap) / np.sqrt(np.mean(np.square(sds))) == pytest.approx(abs(love["balance_after", name]), abs=1e-5)
    assert found["boosted", "courses"]["denominator"] == weights.filter(group="boosted").height
    with pytest.raises(UsageError, match="other courses or data"):
        booster_weights(knees.registry.courses(programme="osteoarthritis", site="hip"), effect)
    with pytest.raises(UsageError, match="effect answers time_to_response"):
        booster_weights(knees, time_to_response(knees))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.drop("weight"), "with the columns course_id and weight"),
        (lambda w: w.head(w.height - 2), "2 of .* courses have none"),
        (lambda w: w.with_columns(weight=-pl.col("weight")), "are negative"),
        (lambda w: w.with_columns(weight=pl.lit(None, dtype=pl.Float64)), "missing or not finite"),
        (lambda w: w.with_columns(pl.lit(float("inf")).alias("weight")), "missing or not finite"),
        (lambda w: w.with_columns(weight=pl.col("weight") * 1e7), "divide all by their mean"),
        (lambda w: w.with_columns(weight=pl.lit("much")), "weight must be numbers"),
        (lambda w: pl.concat([w, w.head(3)]), "3 rows are of a course that has one already"),
        (lambda w: w.with_columns(weight=pl.lit(0.0)), "add up to nothing"),
        (lambda w: w.with_columns(course_id=pl.col("course_id") + 1), "are not among the .* selected"),
        (lambda w: w.head(0), "weights has no row"),
        (lambda w: w.with_columns(group=pl.lit("a")).head(0), "weights has no row"),
        (lambda w: pl.concat([w, w.head(2)]).with_columns(group=pl.lit("a")), "2 rows repeat another in every column"),
        (lambda w: pl.concat([w, w.head(1)]).with_columns(group=pl.lit("a")), "1 row repeats another"),
    ],
)
def test_what_is_no_weight_is_refused_with_what_to_do(knees, profile, change, said):
    with pytest.raises(UsageError, match=said):
        describe(knees, weights=change(given(profile)))


def test_a_course_may_be_in_a_group_twice_where_a_column_tells_its_rows_apart(knees, profile):
    once = given(profile).with_columns(group=pl.lit("decisions"), day=pl.lit(180.0))
    both = pl.concat([once, once.head(2).with_columns(day=pl.lit(365.0))])
    found = describe(knees, weights=both).frame.filter(quantity="courses", stratum="decisions")
    assert found["estimate"].item() == once.height + 2


def test_groups_may_be_numbers_and_courses_text_as_another_program_wrote_them(knees, profile):
    from_text = given(profile).with_columns(
        group=pl.col("course_id") % 2, course_id=pl.col("course_id").cast(pl.String)
    )
    assert {"0", "1"} < set(describe(knees, weights=from_text).table().columns)


def test_a_visit_that_is_not_planned_is_refused_and_so_is_nobody(knees):
    with pytest.raises(UsageError, match=r"10 years.*Allowed: 1 month"):
        seen_weights(knees, visit="10 years")
    nobody = knees.exclude(knees.ids.to_frame().with_columns(reason=pl.lit("none")))
    with pytest.raises(NotEstimable, match=r"No course is left to analyse\. \d+ none"):
        seen_weights(nobody, visit="12 months")


def test_few_between_a_group_and_the_group_that_holds_it_are_hidden():
    held = {"quantity": "sex = female: share", "estimate": 0.5, "n": 40, "denominator": 80, "note": None}
    frame = pl.DataFrame([{"stratum": "everybody due", **held}, {"stratum": "seen", **held, "n": 38}],
                         schema_overrides={"note": pl.String})  # fmt: skip
    outer, inner = hide_between(frame, [("everybody due", "seen")], 5).to_dicts()
    assert outer["n"] == 40
    assert inner["n"] is None and inner["estimate"] is None and "suppressed" in inner["note"]
    assert hide_between(frame, [("everybody due", "seen")], 2)["n"].to_list() == [40, 38]
