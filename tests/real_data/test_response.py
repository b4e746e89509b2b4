"""Time to response in two trials, by group, against survfit in R (tests/reference/real_data.R)."""

import polars as pl
import pytest

from analysis import time_to_response
from analysis.numerics.interval import IntervalData, npmle

# In both trials no two intervals overlap in part, so that survfit's EM has nothing to iterate: both are exact.
ROUNDING = 1e-12
KINDS = {"response": 0, "end": 1, "censored": 2}


def response(data, *, by, confirmation, days, definition):
    """Ask about `days`; the last visit cannot be confirmed, so that a confirmed response has no answer for it."""
    days = days[:-1] if confirmation == "confirmed" else days
    return time_to_response(
        data.registry.courses(), definition=definition, by=by, confirmation=confirmation, early_visits="counted",
        horizon_day=days, resamples=20,
    )  # fmt: skip


def incidence(result, stratum):
    rows = result.frame.filter(pl.col("stratum") == stratum, pl.col("quantity") == "response").sort("time_day")
    return rows["estimate"].to_numpy(), rows["denominator"][0]


def loglik(data, stratum):
    """Log-likelihood at our optimum, of the cells that the question left behind."""
    cells = data.registry.con.sql("from reduction.response_cell").pl().filter(pl.col("stratum") == stratum)
    left, right, n = (cells[c].to_numpy().astype(float) for c in ("left_day", "right_day", "n"))
    kind = cells["kind"].replace_strict(KINDS, return_dtype=pl.Int64).to_numpy()
    return npmle(IntervalData(left, right, kind, n)).loglik


def agrees(data, result, theirs):
    for stratum, numbers in theirs.items():
        ours, n = incidence(result, stratum)
        assert n == numbers["n"]
        assert ours == pytest.approx(numbers["incidence"][: len(ours)], abs=ROUNDING)
        # Ours is certified to 1e-10 a patient; an EM may fall short of the maximum, never pass it.
        assert loglik(data, stratum) >= numbers["loglik"] - 1e-8
    assert result.diagnostics.filter(pl.col("check").str.starts_with("certificate"))["passed"].all()


@pytest.mark.parametrize("confirmation", ["first", "confirmed"])
def test_pain_of_sports_injuries_by_product_is_that_of_r(confirmation, real, in_r):
    data = real("sports_injury")
    result = response(data, by="product", confirmation=confirmation, days=(3, 7, 10), definition="PAIN5-1")
    assert result.attrition["n"].to_list() == [127, 127]
    agrees(data, result, in_r["sports_injury"][confirmation])


def test_mean_pain_before_and_on_day_ten_is_that_of_r(real, in_r):
    means = real("sports_injury").registry.sql(
        "select product, day, avg(value) as pain from course.score join course.profile using (course_id) "
        "where scale = 'pain_5' and day in (0, 10) group by all"
    )
    for day, name in ((0, "mean_before"), (10, "mean_day_10")):
        ours = dict(means.filter(day=day).select("product", "pain").iter_rows())
        assert ours == pytest.approx(in_r["sports_injury"][name], abs=ROUNDING)


@pytest.mark.parametrize("confirmation", ["first", "confirmed"])
@pytest.mark.parametrize("by", ["stage", "product"])
def test_self_assessment_in_rheumatoid_arthritis_is_that_of_r(by, confirmation, real, in_r):
    data = real("rheumatoid_arthritis")
    result = response(data, by=by, confirmation=confirmation, days=(30, 91, 152), definition=None)
    assert result.settings["definition"] == "SELF-ASSESSMENT-1"
    agrees(data, result, in_r["rheumatoid_arthritis"][confirmation][by])


def test_the_patient_who_never_answered_leaves_with_the_reason(real):
    result = response(
        real("rheumatoid_arthritis"), by="stage", confirmation="first", days=(152,), definition="SELF-ASSESSMENT-1"
    )
    assert result.attrition.rows() == [("courses", 302), ("no assessment after treatment", 1), ("selected", 301)]
    assert [s["code"] for s in result.settings["strata"]] == ["poor", "fair", "good"]


@pytest.mark.parametrize("by", ["stage", "product"])
def test_patients_and_answers_by_group_are_counted_as_in_r(by, real, in_r):
    theirs = in_r["rheumatoid_arthritis"]
    counts = real("rheumatoid_arthritis").registry.sql(
        f"select {by} as code, count(distinct course_id) as patients, count(*) filter (where score.day > 0) as answers "
        "from course.profile left join course.score as score using (course_id) group by all"
    )
    assert dict(counts.select("code", "patients").iter_rows()) == theirs["n_patients"][by]
    assert dict(counts.select("code", "answers").iter_rows()) == theirs["n_obs"][by]


def test_answers_used_are_those_of_the_reference_mmrm(real, reference):
    (used,) = (
        real("rheumatoid_arthritis")
        .registry.sql(
            "select count(distinct course_id), count(*) from course.score where scale = 'self_assessment' and day > 0"
        )
        .rows()
    )
    values = reference("mmrm_arthritis_stage")
    assert used == (values["n_subj"], values["n_obs"])


def test_a_visit_without_an_answer_is_kept_as_missed(real):
    missed = real("rheumatoid_arthritis").registry.sql(
        "select planned_visit, count(*) as n from record.visit where status = 'missed' group by all order by 1"
    )
    assert missed.rows() == [("1 month", 3), ("3 months", 6), ("5 months", 9)]
