"""Small registries made by hand: strata whose patients are the same, few followed, all known, nothing to be told."""

import numpy as np
import polars as pl
import pytest
from knee_files import KNEE_PAIN_10, Knee, hand_made

from analysis import estimand, joint_replacement, loss_of_response, time_in_response, time_to_response
from analysis.figures import png
from analysis.replacement import incidence_rows
from registry.errors import NotEstimable, UsageError

YES, NO = 60, 41  # KOOS pain 20 points and 1 point above baseline


def value(result, quantity, stratum="early", day=None):
    mine = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    return mine.filter(pl.col("time_day") == day).row(0, named=True) if day else mine.row(0, named=True)


class TestBothKneesOfAllPatientsHaveTheSameCourse:
    @pytest.fixture
    def pairs(self, made):
        rng, knees = np.random.default_rng(3), []
        for i in range(40):
            lost = rng.choice([0, 365, 730], p=[0.5, 0.2, 0.3])
            seen = {d: YES if i % 4 and (lost == 0 or d < lost) else NO for d in (90, 180, 365, 730, 1095)}
            knees += [Knee(seen, "early", f"Q{i}", "left"), Knee(seen, "moderate", f"Q{i}", "right")]
        return made(knees)

    def test_nothing_varies_between_the_strata_and_no_test_says_that_they_differ(self, pairs):
        time = time_in_response(pairs, definition=KNEE_PAIN_10)
        assert value(time, "difference_mean_days", "moderate - early")["estimate"] == pytest.approx(0, abs=1e-6)
        test = value(time, "test", "all")
        assert test["estimate"] is None and "nothing varies between them" in test["note"]
        loss = loss_of_response(pairs, definition=KNEE_PAIN_10)
        ratio = value(loss, "loss_intensity_ratio", "moderate - early")
        assert ratio["estimate"] == pytest.approx(1) and ratio["low"] is None and "no error" in ratio["note"]
        assert value(loss, "test", "all")["estimate"] is None


def test_of_sixty_lost_from_sight_nothing_is_said_of_two_years(made):
    """Sixty-five courses, five of them followed: 0 of 5 leaves 52 % possible (Clopper & Pearson 1934), not 5.5 %."""
    knees = [Knee({90: YES})] * 60 + [Knee({90: YES, 365: YES, 730: YES})] * 5
    found = value(joint_replacement(made(knees), horizon_day=(730,)), "end", day=730)
    assert (found["estimate"], found["n"], found["denominator"]) == (0, 0, 65)
    assert found["high"] == pytest.approx(0.5218, abs=1e-3)


@pytest.fixture(scope="module")
def response(tmp_path_factory):
    knees = [Knee({90: NO})] * 60 + [Knee({90: YES, 365: YES, 730: YES})] * 5
    with hand_made(tmp_path_factory.mktemp("five"), knees) as registry:
        yield time_to_response(registry.courses(), definition=KNEE_PAIN_10, horizon_day=(90, 730), resamples=40)


class TestFiveOfSixtyFiveTellSomething:
    """Sixty were judged once, without response; a last visit alone settles nothing."""

    def test_limits_are_of_the_five_and_a_check_says_that_the_others_tell_nothing(self, response):
        found = value(response, "response", day=90)
        assert found["low"] == pytest.approx(0.4782, abs=1e-3)  # 5 of 5
        check = response.diagnostics.filter(check="courses without a settled visit in early").row(0, named=True)
        assert check["value"] == pytest.approx(60 / 65) and not check["passed"]

    def test_no_line_goes_on_where_no_number_is_given(self, response):
        assert value(response, "response", day=730)["estimate"] is None
        assert response.curves["time_day"].max() == 90
        figure = response.plot()
        drawn = [line.get_xdata() for line in figure.axes[0].get_lines()]
        assert max(float(np.nanmax(x)) for x in drawn if len(x)) <= 90 / 30.4375 + 1e-9
        assert png(figure)


@pytest.mark.parametrize("late", [False, True], ids=["at a constant hazard", "all in the second year"])
@pytest.mark.parametrize(("n", "risk", "leave"), [(60, 0.08, 0.7), (60, 0.12, 0.7), (200, 0.05, 0.5)])
def test_limits_of_rare_ends_hold_the_truth_where_most_leave_early(n, risk, leave, late):
    """400 samples, seed fixed; without what those no longer followed may have had limits held 8 % in 73 %."""
    rng, hold = np.random.default_rng(3), []
    for _ in range(400):
        second = np.where(rng.random(n) < risk, 365 + 365 * rng.random(n), 9999)
        end = second if late else rng.exponential(-730 / np.log(1 - risk), n)
        left = np.where(rng.random(n) < leave, 200 * rng.random(n), 740)
        cells = pl.DataFrame({"day": np.ceil(np.minimum(end, left)), "cause": np.where(end <= left, "end", "censored")})
        cells = cells.group_by("day", "cause").len("n").sort("day", "cause")
        found = incidence_rows("all", cells, None, np.array([730.0]), 0.95, {"end": "end"})[0]
        hold.append(found["low"] <= risk <= found["high"])
    assert 0.93 <= np.mean(hold) <= 0.995


def test_ends_that_come_late_are_not_spread_over_the_days_before(made):
    rng = np.random.default_rng(4)
    knees = [
        Knee({d: YES if rng.random() < 0.6 else NO for d in (90, 180, 365)}, end=int(rng.integers(400, 690)) if i % 2 else None)
        for i in range(200)
    ]  # fmt: skip
    courses = made(knees)
    fitted = time_in_response(courses, definition=KNEE_PAIN_10, horizon_day=(365,))
    assert value(fitted, "end", day=365)["estimate"] == pytest.approx(0, abs=1e-6)
    assert value(joint_replacement(courses, horizon_day=(365,)), "end", day=365)["estimate"] == 0
    assert fitted.diagnostics.filter(check="ends of early")["passed"].item()


def test_deaths_within_a_few_weeks_that_no_intensity_by_band_can_follow_are_said_by_a_check(made):
    deaths = made([Knee({90: YES, 180: YES}, death=200 + i) for i in range(20)])
    found = time_in_response(deaths, definition=KNEE_PAIN_10, horizon_day=(190,))
    check = found.diagnostics.filter(check="ends of early").row(0, named=True)
    # One hazard from day 183: on day 200, before anybody died, it has killed 17 of the 27 days' share.
    assert check["value"] > 0.3 and not check["passed"]


def test_where_all_respond_by_the_first_visit_and_none_is_lost_the_mean_time_has_wide_limits(made):
    knees = [Knee(dict.fromkeys((90, 180, 365, 730), YES), "early" if i % 2 else "moderate") for i in range(60)]
    found = time_in_response(made(knees), definition=KNEE_PAIN_10)
    mean = value(found, "mean_days_in_response", day=730)
    # 30 of 30 in response: nobody saw when it came, and as much is possible as of a share.
    assert mean["low"] == pytest.approx(730 * 0.025 ** (1 / 30), rel=3e-3) and "not determined" in mean["note"]
    assert value(found, "test", "all")["estimate"] is None


def test_an_intensity_that_is_not_determined_leaves_the_others_their_errors(made):
    """All respond by the first visit; some lose it later: how many days they were in response has limits."""
    knees = [
        Knee(
            {90: YES, 180: YES, 365: YES if i % 5 else NO, 730: YES if i % 4 else NO}, "early" if i % 2 else "moderate"
        )
        for i in range(60)
    ]
    found = time_in_response(made(knees), definition=KNEE_PAIN_10)
    for stratum in ("early", "moderate"):
        mean = value(found, "mean_days_in_response", stratum, 730)
        assert mean["low"] < mean["estimate"] - 10 and mean["high"] > mean["estimate"]


@pytest.mark.parametrize(
    ("knee", "definition", "why"),
    [
        (Knee({90: YES, 180: YES}), "OO-2004", r"OO-2004\. 12 "),
        (Knee({90: YES, 180: YES}, baseline=None), KNEE_PAIN_10, "12 no baseline score"),
        (Knee({90: YES, 180: YES}, stage=None), KNEE_PAIN_10, "12 no stage recorded"),
    ],
    ids=["no function score", "no baseline", "no stage"],
)
def test_a_refusal_names_what_courses_lack(made, knee, definition, why):
    courses = made([knee] * 12)
    for question in (time_to_response, loss_of_response, time_in_response):
        with pytest.raises(NotEstimable, match=why) as caught:
            question(courses, definition=definition)
        assert "0 courses were seen" not in str(caught.value) and "not measured" not in str(caught.value)


def test_where_every_fate_is_known_no_day_is_beyond_what_was_followed(made):
    knees = [Knee({90: YES if i % 3 else NO, 180: YES if i % 3 else NO}, end=200 + 5 * i) for i in range(40)]
    found = time_in_response(made(knees), definition=KNEE_PAIN_10, horizon_day=(730,))
    assert value(found, "end", day=730)["estimate"] == pytest.approx(1, abs=1e-6)
    assert value(found, "share_in_response", day=730)["estimate"] == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    knees = [Knee({90: YES, 730: YES}, end=100 + 20 * i if i < 5 else None) for i in range(20)]
    knees += [Knee({90: YES, 730: YES}, "moderate", end=100 + 20 * i if i < 12 else None) for i in range(20)]
    with hand_made(tmp_path_factory.mktemp("ends"), knees) as registry:
        yield registry.courses()


class TestRescue:
    """Ten of forty knees are rescued on day 200, in response at 6 months and at 12."""

    @pytest.fixture
    def rescued(self, made):
        seen = dict.fromkeys((90, 180, 365, 730), YES)
        return made([Knee(seen, rescue=200 if i < 10 else None) for i in range(40)])

    @pytest.mark.parametrize(
        ("policy", "ended", "held"), [("treatment_policy", 0, 1), ("censor", 0, 1), ("composite", 0.25, 0.75)]
    )
    def test_it_counts_as_the_question_says(self, rescued, policy, ended, held):
        found = time_in_response(rescued, definition=KNEE_PAIN_10, rescue_policy=policy, horizon_day=(365,))
        assert value(found, "end", day=365)["estimate"] == pytest.approx(ended, abs=0.01)
        assert value(found, "share_in_response", day=365)["estimate"] == pytest.approx(held, abs=0.01)
        watched = found.at_risk.filter(stratum="early", time_day=365)["n"].item()
        assert watched == (40 if policy == "treatment_policy" else 30)
        said = dict(estimand(found).iter_rows())["Intercurrent event: Rescue treatment"]
        assert said.startswith(policy.replace("_", " ") if policy != "censor" else "hypothetical")

    def test_of_a_response_before_it_nothing_changes(self, rescued):
        for policy in ("censor", "composite"):
            found = time_to_response(
                rescued, definition=KNEE_PAIN_10, rescue_policy=policy, horizon_day=(365,), resamples=0
            )
            assert value(found, "response", day=365)["estimate"] == 1
        with pytest.raises(UsageError, match="rescue_policy = "):
            time_to_response(rescued, definition=KNEE_PAIN_10, rescue_policy="ignored")


class TestJointReplacement:
    def test_stages_are_compared_with_limits_from_those_of_the_two_sides(self, ends):
        found = joint_replacement(ends, horizon_day=(365,))
        one, other = value(found, "end", "moderate", 365), value(found, "end", "early", 365)
        apart = value(found, "difference", "moderate - early", 365)
        assert (one["estimate"], other["estimate"]) == (pytest.approx(0.6), pytest.approx(0.25))
        assert apart["estimate"] == pytest.approx(0.35)
        # Newcombe 1998: the distances of the near limits, added in squares.
        low = np.hypot(one["estimate"] - one["low"], other["high"] - other["estimate"])
        assert apart["low"] == pytest.approx(0.35 - low) and apart["denominator"] == 40

    @pytest.mark.parametrize("option", [{"confidence": 95}, {"confidence": 0}, {"resamples": 1}, {"resamples": 0}])
    def test_an_option_that_cannot_be_is_refused(self, ends, option):
        with pytest.raises(UsageError, match=next(iter(option))):
            joint_replacement(ends, **option)

    def test_of_the_same_patients_in_both_stages_no_test_is_made(self, made):
        knees = [Knee({90: YES}, stage, f"X{i}", side, end=300 if i % 2 else None)
                 for i in range(20) for stage, side in (("early", "left"), ("moderate", "right"))]  # fmt: skip
        test = value(joint_replacement(made(knees), horizon_day=(200,)), "test", "all")
        assert test["estimate"] is None and "do not differ" in test["note"]
