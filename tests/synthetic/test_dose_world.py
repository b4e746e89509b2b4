"""The world of dose and groups: its risks in closed form, the sicker given more, and what visits show."""

import numpy as np
import polars as pl
import pytest

from synthetic.dose_world import DOSES, GROUPS, HORIZON, SUBGROUPS, people, risk, sample
from synthetic.truth import OA

AT_RANDOM, NOT_AT_RANDOM, UNRECORDED = DOSES
COURSES = 40_000


def test_at_the_mean_patient_and_fifty_million_the_risk_is_that_of_the_law_of_the_stage():
    """StageTruth.responded: the Weibull among those who can respond; a hazard ratio of one changes nothing."""
    who = people(AT_RANDOM, 3000, np.random.default_rng(1))
    plain = type(who)(who.patient, who.stage, who.group, who.age * 0 + 62, who.female, who.baseline * 0 + 58,
                      who.hidden * 0, who.dose, who.effect)  # fmt: skip
    found = risk(plain, AT_RANDOM, dose=50.0)
    for s, law in enumerate(OA.stages.values()):
        assert found[who.stage == s] == pytest.approx(float(law.responded(np.array([HORIZON]))[0]))
    more, less = risk(plain, AT_RANDOM, dose=100.0), risk(plain, AT_RANDOM, dose=25.0)
    assert (more > found).all() and (less < found).all()


def test_the_sicker_get_more_cells_and_respond_less():
    who = people(AT_RANDOM, COURSES, np.random.default_rng(2))
    log, risks = np.log10(who.dose), risk(who, AT_RANDOM, dose=50.0)
    assert np.corrcoef(log, who.baseline)[0, 1] > 0.2 and np.corrcoef(log, risks)[0, 1] < -0.2


def test_what_visits_show_of_those_seen_for_a_year_is_the_risk_by_the_last_of_them():
    """Of courses judged at 12 months or later, without ends: the mean of the risks they were drawn with."""
    world, rows = sample(AT_RANDOM, COURSES, 3)
    kept = rows.filter(pl.col("kind") != "end")
    late = kept.filter((pl.col("left_day") >= 330) | ((pl.col("kind") == "response") & pl.col("whole")))
    early = late.filter(stage="early")
    known = risk(world, AT_RANDOM)[early["course_id"].to_numpy()].mean()
    shown = (early["right_day"].to_numpy() <= 400) & (early["kind"] == "response").to_numpy()
    # Who responds early needs no later visit to be known: those seen for a year are more often responders.
    assert known < shown.mean() < known + 0.12


def test_without_response_more_leave_where_they_stay_away():
    at, away = (sample(s, 6000, 4)[1] for s in (AT_RANDOM, NOT_AT_RANDOM))
    whole = [f.filter(pl.col("kind") != "response")["whole"].mean() for f in (at, away)]
    assert whole[1] < whole[0]


def test_first_groups_are_larger_and_see_sicker_patients_and_effects_have_their_spread():
    who = people(SUBGROUPS[1], COURSES, np.random.default_rng(5))
    count = np.bincount(who.group, minlength=len(GROUPS))
    assert (count[:3] > count[-3:].max()).all()
    assert who.stage[who.group == 0].mean() > who.stage[who.group == 7].mean() + 0.5
    spread = [people(SUBGROUPS[1], 100, np.random.default_rng(i)).effect for i in range(300)]
    # 2,400 normals: the standard error of their spread is 0.005.
    assert np.std(spread) == pytest.approx(0.35, abs=0.02)
