"""Planned visits of small registries made by hand: states that never change, few in response, few seen."""

import numpy as np
import polars as pl
import pytest
from knee_files import KNEE_PAIN_10, Knee
from scipy import stats

from analysis import growth, imputed_change, response_at_visits, trajectories
from analysis.numerics.exact import exact_share, weighted_share

YES, NO = 76, 43  # KOOS pain 36 points and 3 points above baseline


def of(result, quantity, stratum, day=None):
    mine = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    return mine.filter(pl.col("time_day") == day).row(0, named=True) if day else mine.row(0, named=True)


def stays(held, days):
    return dict.fromkeys(days, YES if held else NO)


class TestStatesThatNeverChange:
    @pytest.mark.parametrize("option", [{}, {"unseen": "alike"}, {"working": "exchangeable"}])
    def test_two_visits_are_one_contrast_and_the_test_that_of_one(self, made, option):
        knees = [Knee(stays(i % 2, (91, 183))) for i in range(12)]
        knees += [Knee(stays(i % 3, (91, 183)), "moderate") for i in range(12)]
        test = of(response_at_visits(made(knees), definition=KNEE_PAIN_10, **option), "test", "all")
        # Log odds 0 and ln 2 of twelve each, 1 / (n p (1 - p)), times m / (m - p) for 24 patients and four shares.
        statistic = np.log(2) ** 2 / ((4 / 12 + 9 / 24) * 24 / 20)
        assert test["note"].startswith(f"strata at all visits: F(1, 20) = {statistic:.3f}")
        assert test["estimate"] == pytest.approx(stats.f.sf(statistic, 1, 20), rel=1e-6)

    def test_where_both_knees_are_the_same_nothing_varies_and_it_is_said(self, made):
        knees = [Knee(stays(i % 2, (91, 183)), stage, f"Q{i}", side)
                 for i in range(12) for stage, side in (("early", "left"), ("moderate", "right"))]  # fmt: skip
        test = of(response_at_visits(made(knees), definition=KNEE_PAIN_10), "test", "all")
        assert test["estimate"] is None and "nothing varies between them" in test["note"]


class TestBothKneesOfAllPatientsAreTheSame:
    @pytest.fixture
    def pairs(self, made):
        rng, knees = np.random.default_rng(1), []
        for i in range(24):
            seen = {day: float(50 + rng.integers(0, 25)) for day in (91, 183, 365)}
            if i % 4 == 0:
                del seen[365]
            knees += [Knee(seen, stage, f"Q{i}", side, baseline=40 + i % 5)
                      for stage, side in (("early", "left"), ("moderate", "right"))]  # fmt: skip
        return made(knees)

    @pytest.mark.parametrize("question", [trajectories, growth])
    def test_a_difference_that_varies_in_no_sample_has_no_limits_and_says_why(self, pairs, question):
        result = question(pairs, **({"knots": 3} if question is growth else {}))
        gaps = result.frame.filter(pl.col("quantity") == "difference", pl.col("estimate").is_not_null())
        assert gaps.height >= 3 and gaps["estimate"].to_numpy() == pytest.approx(0, abs=1e-9)
        assert gaps["low"].is_null().all() and gaps["note"].str.contains("nothing varies between them").all()
        test = of(result, "test", "all")
        assert test["estimate"] is None and "nothing varies between them" in test["note"]
        assert "e-1" not in str(result)

    def test_what_is_imputed_varies_and_its_limits_are_the_models(self, pairs):
        result = imputed_change(pairs, imputations=20)
        gap = of(result, "missing_at_random", "moderate - early")
        assert gap["low"] < 0 < gap["high"]
        weighted = of(result, "weighted_for_observation", "moderate - early")
        assert weighted["low"] is None and "nothing varies between them" in weighted["note"]

    def test_means_of_single_strata_keep_theirs(self, pairs):
        means = trajectories(pairs).frame.filter(pl.col("quantity") == "mean_change", pl.col("estimate").is_not_null())
        assert means.height == 6 and (means["low"] < means["high"]).all()


def test_a_share_weighted_for_observation_of_few_has_no_number_and_says_why(made):
    rng = np.random.default_rng(2)

    def seen(last):
        return {day: float(50 + rng.integers(0, 25)) for day in ((91, 183, 365) if last else (91, 183))}

    knees = [Knee(seen(i % 5), "early") for i in range(30)] + [Knee(seen(i < 3), "moderate") for i in range(20)]
    result = imputed_change(made(knees), imputations=10)
    found = of(result, "weighted_for_observation", "moderate")
    assert found["estimate"] is None and found["note"] == "fewer than 5 courses were seen"


class TestWhoStaysAwayIsNotInResponse:
    """Of 45 early courses 15 are in response at 6 months; at 12 months these come, and of the 30 others only `few`."""

    def result(self, made, few, **option):
        knees = []
        for i in range(45):
            good, flips = i < 15, i % 7 == 0
            seen = {91: (YES if good != flips else NO), 183: YES if good else NO}
            knees.append(Knee(seen | ({365: seen[183]} if good or i in few else {})))
        knees += [Knee({91: YES if i % 3 else NO, 183: YES if i % 5 < 3 else NO, 365: YES if i % 2 else NO}, "moderate")
                  for i in range(41)]  # fmt: skip
        return response_at_visits(made(knees), definition=KNEE_PAIN_10, **option)

    def test_two_stand_for_the_thirty_with_exact_limits_of_as_many_as_the_weights_leave(self, made):
        found = of(self.result(made, (20, 30)), "share_in_response", "early", 365)
        assert (found["n"], found["denominator"]) == (15, 17)
        # The prior on the slope of leaving keeps the two from standing for all thirty.
        assert found["estimate"] == pytest.approx(1 / 3, abs=0.05)
        assert found["low"] < 0.1 and 0.7 < found["high"] < 0.95
        assert "weighted" in found["note"] and "four fifths" not in found["note"]

    def test_where_none_of_them_came_the_note_says_that_nobody_like_them_was_seen(self, made):
        found = of(self.result(made, ()), "share_in_response", "early", 365)
        assert found["estimate"] == 1 and "hardly anybody like the others was seen" in found["note"]

    def test_alike_is_whoever_came(self, made):
        found = of(self.result(made, (20, 30), unseen="alike"), "share_in_response", "early", 365)
        assert [found[c] for c in ("estimate", "low", "high")] == pytest.approx(exact_share(15, 17, 0.95))


def test_where_only_ends_are_known_nobody_can_be_weighted_and_it_is_said(made):
    gone = [Knee({91: NO}, end=200) for _ in range(6)] + [Knee({91: NO}) for _ in range(10)]
    others = [Knee(stays(i % 2, (91, 365)), "moderate") for i in range(12)]
    result = response_at_visits(made(gone + others), definition=KNEE_PAIN_10)
    found = of(result, "share_in_response", "early", 365)
    assert (found["estimate"], found["n"], found["denominator"]) == (0, 0, 6)
    assert found["note"].startswith("not weighted, since nobody was seen whose target goes on")
    assert any("but where a note says that a share is not weighted" in n for n in result.notes)


def test_where_all_have_ended_nobody_stands_for_anybody(made):
    gone = [Knee({91: YES if i % 2 else NO}, end=200) for i in range(12)]
    found = of(response_at_visits(made(gone), definition=KNEE_PAIN_10), "share_in_response", "early", 365)
    assert [found[c] for c in ("estimate", "low", "high")] == pytest.approx(exact_share(0, 12, 0.95))


class TestWeightedShare:
    def test_with_weights_of_one_it_is_that_of_clopper_and_pearson(self):
        has, each = np.arange(20) < 3, np.arange(20)
        assert weighted_share(has, np.ones(20), each, 0.95) == pytest.approx(exact_share(3, 20, 0.95))

    def test_both_knees_alike_are_half_as_many(self):
        has = np.arange(40) < 6
        assert weighted_share(has, np.ones(40), np.arange(40) // 2, 0.95) == pytest.approx(exact_share(3, 20, 0.95))

    def test_one_that_stands_for_many_tells_no_more_than_one(self):
        has, weight = np.arange(20) < 19, np.append(np.ones(19), 19.0)
        share, low, high = weighted_share(has, weight, np.arange(20), 0.95)
        # Kish: 38² / (19 + 19²) courses.
        size = 38**2 / (19 + 19**2)
        assert (share, low, high) == pytest.approx((0.5, *exact_share(size / 2, size, 0.95)[1:]))
        assert low < 0.1 and high > 0.9

    def test_none_of_weighted_courses_leaves_open_what_none_of_as_many_as_they_leave_does(self):
        share, low, high = weighted_share(np.zeros(12), np.append(np.ones(10), [5.0, 5.0]), np.arange(12), 0.95)
        assert (share, low, high) == pytest.approx((0, 0, 1 - 0.025 ** (60 / 400)))
