"""Relapse or death after transplant, by group, against survfit, survdiff, survRM2 and mstate."""

import numpy as np
import polars as pl
import pytest

from analysis import joint_replacement
from analysis.numerics.competing import aalen_johansen, count_transitions
from analysis.numerics.survival_counts import count_events, restricted_mean

MONTH = 365.25 / 12
# Product-limit estimates from the same counts: only the order of multiplication differs.
ROUNDING = 1e-12
# The stored numbers of the shared references are given to 1e-6.
SHARED = 1e-6


def ends(result, stratum):
    rows = result.frame.filter(pl.col("stratum") == stratum, pl.col("quantity") == "end").sort("time_day")
    return rows["estimate"].to_numpy()


def p_value(result):
    return result.frame.filter(quantity="test")["estimate"].item()


def exits(data, by):
    """Day, event and group of each course, from the registry's own tables."""
    return data.registry.sql(
        f"select {by} as stratum, coalesce(ending.day, follow_up.last_contact_day) as day, "
        "ending.day is not null as ended from course.profile join course.follow_up as follow_up using (course_id) "
        "left join endpoint.end_event as ending using (course_id)"
    )


def test_relapse_or_death_by_donor_is_kaplan_meier_of_the_published_months(real, in_r):
    result = joint_replacement(real("alloauto").registry.courses(), by="donor")
    assert result.title == "Cumulative incidence of relapse or death by donor"
    for stratum, surv in in_r["alloauto"]["in_months"]["surv"].items():
        assert 1 - ends(result, stratum) == pytest.approx(surv, abs=ROUNDING)


def test_the_log_rank_in_whole_days_is_that_of_the_published_months(real, in_r, reference):
    # The months were days / 30.4; whole days of 365.25 / 12 keep the 93 times distinct and in order, and the log-rank
    # knows of times only their order.
    data = real("alloauto")
    published = reference("logrank")["alloauto"]
    result = joint_replacement(data.registry.courses(), by="product")
    assert exits(data, "donor")["day"].n_unique() == in_r["alloauto"]["distinct"][0] == 93
    assert p_value(result) == pytest.approx(published["p"], abs=SHARED)
    assert f"{published['chisq']:.4f}" in result.frame.filter(quantity="test")["note"].item()


@pytest.mark.parametrize(("donor", "arm"), [("autologous", "arm1"), ("allogeneic", "arm0")])
def test_the_restricted_mean_differs_from_the_published_one_by_the_rounding_of_days(donor, arm, real, reference):
    # Each time moves by at most half a day, and with it the area under the curve.
    published = reference("rmst")["alloauto_tau28"][f"{arm}_rmst"]["Est."]
    rows = exits(real("alloauto"), "donor").filter(stratum=donor)
    counts = count_events(rows["day"].to_numpy().astype(float), rows["ended"].to_numpy().astype(int))
    assert restricted_mean(counts, 28 * MONTH).estimate / MONTH == pytest.approx(published, abs=0.5 / MONTH)


@pytest.mark.parametrize(
    ("by", "codes"),
    [
        ("product", {"marrow": "No TCD", "marrow, T cells depleted": "TCD"}),
        ("stage", {"age_to_20": "<=20", "age_20_to_40": "20-40", "age_over_40": ">40"}),
    ],
)
def test_relapse_or_death_of_2204_transplants_by_group_is_that_of_r(by, codes, real, in_r):
    theirs = in_r["ebmt"][by]
    result = joint_replacement(real("ebmt").registry.courses(), by=by)
    for stratum, group in codes.items():
        assert 1 - ends(result, stratum) == pytest.approx(theirs["surv"][group], abs=ROUNDING)
    assert p_value(result) == pytest.approx(theirs["p"], rel=1e-9)
    # Two were censored 0.03 days after the transplant: no day of follow-up, and before any event.
    assert result.attrition.rows() == [("courses", 2204), ("no contact after treatment", 2), ("selected", 2202)]


def stays(data):
    rows = data.sql_file("sojourns.sql")
    return (rows[c].to_numpy().astype(float if c in ("start", "stop", "n") else int) for c in rows.columns)


def test_moves_between_the_states_are_counted_as_published(real, reference):
    origin, target, _, _, n = stays(real("ebmt"))
    moves = np.zeros((3, 3))
    np.add.at(moves, (origin, target), n)
    published = np.array(reference("multistate_ebmt3")["events"]["values"])
    assert (moves[0, 1], moves[0, 2], moves[1, 2]) == (1169, 458, 383)
    assert moves[0, 0] == published[0, 3] and moves[1, 1] == published[1, 3]


def test_state_probabilities_from_registry_counts_are_those_of_mstate(real, reference):
    origin, target, start, stop, n = stays(real("ebmt"))
    # Whoever was seen on the day of transplant only was never at risk afterwards.
    seen = stop > start
    counts = count_transitions(origin[seen], target[seen], start[seen], stop[seen], count=n[seen], n_states=3)
    fit = aalen_johansen(counts, variance="mstate")
    for row in reference("multistate_ebmt3")["from_tx"]:
        probability, std_error = fit.at([round(row["time"] * 365.25)])
        assert probability[0] == pytest.approx([row[f"pstate{k}"] for k in (1, 2, 3)], abs=SHARED)
        assert std_error[0] == pytest.approx([row[f"se{k}"] for k in (1, 2, 3)], abs=SHARED)
