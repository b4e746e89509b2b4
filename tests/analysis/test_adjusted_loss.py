"""Loss and time in response standardised for covariates: what they recover, who is in them, and what they refuse."""

import warnings

import numpy as np
import polars as pl
import pytest
from knee_files import KNEE_PAIN_10, Knee, hand_made

from analysis import adjusted_loss, adjusted_time_in_response, estimand, loss_of_response, time_in_response
from registry.errors import NotEstimable, UsageError

VISITS = (91, 183, 274, 365, 456, 548, 639, 730)


def _course(responds: bool, lost_at: int | None, baseline: float) -> dict[int, float]:
    """KOOS pain at the visits: up by 20 once in response, from the first visit on, and down again at a loss."""
    up = {day: baseline + (20 if responds and (lost_at is None or day < lost_at) else 0) for day in VISITS}
    return {day: min(value, 100.0) for day, value in up.items()}


@pytest.fixture(scope="module")
def knees(tmp_path_factory):
    """Lost more often the worse the baseline (30 against 50 of 100), of which moderate stages have more.

    Sixty knees a stage, a quarter of the early and three quarters of the moderate ones bad; four of five respond. Of
    the bad responders half have lost it by day 456, of the others a tenth, whatever the stage.
    """
    made = []
    for stage, bad in (("early", 15), ("moderate", 45)):
        for i in range(60):
            worse = i < bad
            loses = i % 2 == 0 if worse else i % 10 == 0
            lost_at = (365, 456)[i % 4 // 2] if loses else None
            baseline = 30 if worse else 50
            made.append(Knee(_course(i % 5 != 4, lost_at, baseline), stage, baseline=baseline))
    with hand_made(tmp_path_factory.mktemp("knees"), made) as registry:
        yield registry.courses()


def value(result, quantity, stratum, day=None):
    mine = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    return (mine if day is None else mine.filter(pl.col("time_day") == day)).row(0, named=True)


HOW = {"definition": KNEE_PAIN_10, "change_day": (183, 274, 456)}


def test_stages_that_differ_in_who_was_treated_lose_alike_once_standardised(knees):
    crude = value(loss_of_response(knees, **HOW, after_day=(365,)), "difference", "moderate - early", 365)
    found = adjusted_loss(knees, covariates="baseline", after_day=(365,), **HOW)
    apart = value(found, "difference", "moderate - early", 365)
    # Early 0.2, moderate 0.4 as they are; 0.3 in both, had both half of each kind.
    assert crude["estimate"] == pytest.approx(0.2, abs=0.05)
    assert abs(apart["estimate"]) < 0.06 and apart["low"] < 0 < apart["high"]
    for stage in ("early", "moderate"):
        assert value(found, "response_lost", stage, 365)["estimate"] == pytest.approx(0.3, abs=0.05)
    ratio = value(found, "loss_intensity_ratio", "baseline, per 10 points worse")
    # Five times as many in two steps of 10, and more in intensity.
    assert ratio["low"] > 1.3 and ratio["low"] < np.sqrt(6.6) < ratio["high"]
    assert value(found, "test", "covariates")["estimate"] is not None
    assert found.say("test", "covariates") != found.say("test", "all")


def test_the_time_in_response_is_standardised_over_all_and_shows_nothing_as_seen(knees):
    crude = value(time_in_response(knees, **HOW, horizon_day=(730,)), "difference_mean_days", "moderate - early")
    found = adjusted_time_in_response(knees, covariates="baseline", horizon_day=(730,), **HOW)
    apart = value(found, "difference_mean_days", "moderate - early")
    assert crude["estimate"] < -25 and abs(apart["estimate"]) < 15
    assert "share_in_response_observed" not in found.frame["quantity"].to_list()
    assert "share_in_response_observed" not in found.curves["quantity"].to_list()
    days = value(found, "mean_days_in_response", "early", 730)
    assert days["low"] < days["estimate"] < days["high"]


def test_it_says_what_it_estimates_and_draws_it(knees):
    loss = adjusted_loss(knees, covariates="baseline", after_day=(365,), **HOW)
    time = adjusted_time_in_response(knees, covariates="baseline", horizon_day=(365,), **HOW)
    assert (
        "standardised over those ever seen in response for baseline"
        in dict(estimand(loss).iter_rows())["Summary measure"]
    )
    assert "standardised over the courses fitted for baseline" in dict(estimand(time).iter_rows())["Summary measure"]
    assert "Early" in loss.plot().alt_text and "Early" in time.plot().alt_text
    assert "percentage points" in loss.say("difference", "moderate - early", 365)
    assert "%" not in loss.say("response_intensity_ratio", "baseline, per 10 points worse").split()[0]


def test_what_is_fitted_is_held_against_what_was_seen_of_the_same_patients(knees):
    """Of each stage with its own covariates: as near as without covariates, not as far as stages are standardised."""
    near = [
        ask(knees, horizon_day=(365,), **HOW, **more).diagnostics.filter(pl.col("check").str.starts_with("prevalence"))
        for ask, more in ((time_in_response, {}), (adjusted_time_in_response, {"covariates": "baseline"}))
    ]
    np.testing.assert_allclose(near[1]["value"], near[0]["value"], atol=0.01)


def test_without_an_effect_the_numbers_are_those_without_covariates(tmp_path):
    """Ages are all alike but for two: next to nothing to adjust for."""
    made = [Knee(_course(i % 5 != 4, 456 if i % 3 == 0 else None, 40 + (i % 2)), "early", baseline=40 + (i % 2))
            for i in range(60)]  # fmt: skip
    with hand_made(tmp_path, made) as registry:
        crude = loss_of_response(registry.courses(), **HOW, after_day=(365,))
        found = adjusted_loss(registry.courses(), covariates="baseline", after_day=(365,), **HOW)
    one, other = (value(r, "response_lost", "early", 365) for r in (crude, found))
    assert other["estimate"] == pytest.approx(one["estimate"], abs=0.01)
    assert other["high"] - other["low"] == pytest.approx(one["high"] - one["low"], rel=0.05)
    assert other["n"] == one["n"] and other["denominator"] == one["denominator"]


def test_too_few_losses_are_refused_with_their_number(tmp_path):
    made = [Knee(_course(True, 456 if i < 3 else None, 30 + i), "early", baseline=30 + i) for i in range(20)]
    with hand_made(tmp_path, made) as registry:
        with pytest.raises(NotEstimable, match="3 moves in_response → response_lost are too few for 1 coefficient:"):
            adjusted_loss(registry.courses(), covariates="baseline", **HOW)
        assert adjusted_time_in_response(registry.courses(), covariates="baseline", **HOW).frame.height


def test_who_lacks_a_covariate_leaves_with_that_reason(knees):
    with pytest.raises(NotEstimable, match="bmi not recorded"):
        adjusted_loss(knees, covariates="bmi", **HOW)


@pytest.mark.parametrize("covariates", [(), ("stage",), ("age", "age"), ("hair",)])
def test_covariates_that_cannot_be_are_refused(knees, covariates):
    with pytest.raises(UsageError, match="covariates = "):
        adjusted_loss(knees, covariates=covariates)


def test_where_all_respond_at_once_the_loss_has_its_effects_and_the_response_none(tmp_path):
    made = [Knee(_course(True, 456 if i % 3 else None, 30 + i % 7), "early", baseline=30 + i % 7) for i in range(60)]
    with hand_made(tmp_path, made) as registry:
        found = adjusted_loss(registry.courses(), covariates="baseline", **HOW)
        with pytest.raises(NotEstimable, match=r"does not tell the effect of baseline.* on no_response_yet"):
            adjusted_time_in_response(registry.courses(), covariates="baseline", **HOW)
    assert value(found, "loss_intensity_ratio", "baseline, per 10 points worse")["estimate"] is not None
    assert any("does not tell effects" in note and "no_response_yet → in_response" in note for note in found.notes)


def test_stages_with_the_same_patients_have_no_test_and_no_limits_of_a_ratio(tmp_path):
    made = [
        Knee(_course(i % 3 != 0, 456 if i % 4 == 0 else None, 30 + i % 20), stage, f"Q{i}", side, 30 + i % 20)
        for i in range(60) for side, stage in (("left", "early"), ("right", "moderate"))
    ]  # fmt: skip
    with hand_made(tmp_path, made) as registry:
        for ask in (adjusted_loss, adjusted_time_in_response):
            found = ask(registry.courses(), covariates="baseline", **HOW)
            tests = found.frame.filter(pl.col("quantity") == "test")
            assert tests["estimate"].null_count() == 2 and tests["stratum"].to_list() == ["all", "covariates"]
            difference = found.frame.filter(pl.col("quantity") == "difference")["estimate"].drop_nulls()
            assert difference.abs().max() < 1e-9


def test_a_way_that_one_stage_never_goes_leaves_the_test_of_the_others(tmp_path):
    """Returns in the early stage only: effects on them are of that stage, and nothing is divided by them elsewhere."""
    made = []
    for stage in ("early", "moderate"):
        for i in range(60):
            scores = _course(i % 5 != 4, 365 if i % 3 == 0 else None, 30 + i % 20)
            if stage == "early" and i % 3 == 0:
                scores |= dict.fromkeys(((548, 639, 730), (639, 730), ())[i % 9 // 3], 50 + i % 20)
            made.append(Knee(scores, stage, baseline=30 + i % 20))
    with hand_made(tmp_path, made) as registry, warnings.catch_warnings():
        warnings.simplefilter("error")
        found = adjusted_loss(registry.courses(), covariates="baseline", **HOW)
    assert value(found, "return_intensity_ratio", "baseline, per 10 points worse")["estimate"] is not None
    assert value(found, "test", "covariates")["estimate"] is not None


def test_a_covariate_that_varies_within_patients_alone_has_a_ratio_without_limits(tmp_path):
    """The left knee early, the right moderate, with the same scores: stage as a covariate has no error."""
    made = [
        Knee(_course(i % 3 != 0, 456 if i % 4 == 0 else None, 40), stage, f"Q{i}", side, 40)
        for i in range(60) for side, stage in (("left", "early"), ("right", "moderate"))
    ]  # fmt: skip
    with hand_made(tmp_path, made) as registry:
        found = adjusted_loss(registry.courses(), covariates="stage", by="all", **HOW)
    ratio = found.frame.filter(pl.col("quantity") == "loss_intensity_ratio").row(0, named=True)
    assert ratio["estimate"] == pytest.approx(1) and ratio["low"] is None and "nothing varies" in ratio["note"]
    assert value(found, "test", "covariates")["note"] == "one stratum: nothing to compare"
    assert found.notes[0] == "Standardised over the courses fitted, ever seen in response, taken as given."


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Sixty early knees, and fourteen bone-on-bone ones of which nine responded and three lost it."""
    made = [
        Knee(_course(i % 5 != 0, 365 if i % 3 == 0 else None, 30 + i % 20), "early", baseline=30 + i % 20)
        for i in range(60)
    ] + [
        Knee(_course(i < 9, (365, 456, 548)[i % 3] if i < 3 else None, 30 + i), "bone_on_bone", baseline=30 + i)
        for i in range(14)
    ]
    with hand_made(tmp_path_factory.mktemp("few"), made) as registry:
        yield registry.courses()


@pytest.mark.parametrize("ask", [loss_of_response, adjusted_loss])
def test_how_few_lost_it_is_not_told_by_what_stands_beside(few, ask):
    more = {} if ask is loss_of_response else {"covariates": "baseline"}
    shown = ask(few, **HOW, **more).suppress()
    mine = shown.frame.filter(pl.col("stratum") == "bone_on_bone", pl.col("quantity") == "response_lost")
    assert mine["estimate"].is_null().all() and mine["n"].is_null().all()
    beside = shown.frame.filter(pl.col("stratum").is_in(["bone_on_bone - early", "all", "covariates"]))
    assert beside.height >= 3 and beside["estimate"].is_null().all()
    assert not beside["note"].str.contains("law of 3").any()
    assert shown.diagnostics.filter(pl.col("check").str.ends_with("coefficient"))["value"].is_null().all()


def test_a_ratio_of_a_level_that_few_have_does_not_leave(few):
    """Three bone-on-bone courses among the early ones: whether one of them lost it is in the ratio of their level."""
    gone = few.registry.con.sql(
        "select course_id, 'left out' as reason from course.profile where stage = 'bone_on_bone' order by 1 offset 3"
    ).pl()
    some = few.exclude(gone)
    found = adjusted_time_in_response(some, covariates=("stage", "baseline"), by="all", **HOW)
    name = "stage: bone on bone against early"
    ratio = value(found, "response_intensity_ratio", name)
    assert ratio["n"] == 3 and ratio["estimate"] is not None
    shown = value(found.suppress(), "response_intensity_ratio", name)
    assert shown["estimate"] is None and shown["n"] is None
    assert value(found.suppress(), "response_intensity_ratio", "baseline, per 10 points worse")["estimate"] is not None
