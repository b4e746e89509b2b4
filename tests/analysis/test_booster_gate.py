"""The gate before the effect of a booster: each check seen to fail, what is withheld then, and what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from analysis import booster_gate
from analysis.booster_data import LATE_DAY, Plan, Prepared, prepare
from analysis.booster_gate import Gate, judge
from analysis.booster_model import Estimate, bootstrap, estimate
from analysis.booster_rows import Numbers, e_value_rows, effect_rows
from analysis.cohort import Stratum
from analysis.numerics.laws import t_quantile
from analysis.numerics.structural import Curves
from synthetic import booster_world
from synthetic.booster_files import reductions
from synthetic.booster_world import NO_OVERLAP, SCENARIOS, STAGES, STEP_DAY, UNMEASURED, Scenario, make, truth

DAYS = (2.0 * STEP_DAY, 4.0 * STEP_DAY)
PLAN = Plan("mean", "per_protocol", "sequential", 30.0, DAYS)


def sample(scenario: Scenario, seed: int = 1, patients: int = 1500, plan: Plan = PLAN) -> Prepared:
    rows, courses = reductions(make(scenario, patients, seed))
    return prepare(rows, courses, STAGES, ("age", "bmi"), plan, "any")


def judged(data: Prepared) -> tuple[Estimate, Gate]:
    whole = estimate(data, np.ones(len(data.visits.day)))
    return whole, judge(data, whole)


def test_in_a_small_registry_later_visits_are_not_taken_for_the_last_day_asked_for():
    """The same patients with a booster that works and with one that does nothing: what differs is the true effect."""
    works, nothing = SCENARIOS[1], SCENARIOS[0]
    known = truth(works, 60_000).improvement
    found = []
    for seed in range(1, 61):
        both = [sample(s, seed, 250) for s in (works, nothing)]
        curves = [estimate(d, np.ones(len(d.visits.day))).curves for d in both]
        found.append([(c.treated - c.waiting)[:2, d.grid == DAYS[1]][:, 0] for c, d in zip(curves, both, strict=True)])
    effect = np.array(found)[:, 0] - np.array(found)[:, 1]
    # Monte-Carlo error 0.1; with every visit read as of the last day it was off by 0.5 to 0.7.
    assert effect.mean(axis=0) == pytest.approx(known[:2, 0, 4] - known[:2, 1, 4], abs=0.3)


def test_where_a_stratum_was_not_seen_later_its_late_visits_are_left_out_and_those_of_others_are_not():
    data = sample(SCENARIOS[0], 1)
    late = data.visits.day > DAYS[1] + LATE_DAY + data.visits.day.min()
    thinned = replace(data, y=np.where((data.visits.stratum == 0) & late, np.nan, data.y))
    time, stratum = thinned.records.time, thinned.stratum[thinned.records.trial]
    assert thinned.beyond.tolist() == [False, True, True] and data.beyond.all()
    assert time[stratum == 0].max() <= DAYS[1] + LATE_DAY < time[stratum == 1].max()
    assert thinned.nodes[-1] == DAYS[1] + 91


def test_a_stratum_whose_weight_lies_on_few_patients_or_without_overlap_alone_is_withheld_for_that(monkeypatch):
    data = sample(SCENARIOS[0])
    boosted = np.unique(data.patient[data.start[data.arm & (data.stratum == 0)]])
    # Twelve patients, and one of them with most of the knees.
    known = np.isin(data.patient, boosted[12:])
    gate = judged(replace(data, patient=np.where(known, boosted[0], data.patient)))[1]
    assert gate.strata == {"early": "the weight of those boosted lies on fewer than 10 patients: more decisions, or better "
                                    "overlap, would be needed"}  # fmt: skip
    monkeypatch.setattr(booster_gate, "own_chance", lambda v, rows: np.where(v.stratum[rows] == 0, 0.001, 0.3))
    gate = judged(data)[1]
    assert gate.strata == {"early": "a booster is nearly always, or never, given in like situations: decisions for and "
                                    "against one would be needed"}  # fmt: skip


@pytest.fixture
def by_a_rule(monkeypatch):
    """Boosters of one stage are given where pain is above 58, and nowhere else."""
    usual = booster_world._booster_chance

    def in_stage(stage: int) -> None:
        monkeypatch.setattr(
            booster_world, "_booster_chance",
            lambda w, now, before: np.where(w.stage == stage, (now > 58).astype(float), usual(w, now, before)),
        )  # fmt: skip

    return in_stage


@pytest.mark.parametrize("stage", [0, 2])
def test_a_stage_without_overlap_is_withheld_whatever_holds_overall(by_a_rule, stage):
    by_a_rule(stage)
    for seed in range(1, 4):
        _, gate = judged(sample(SCENARIOS[3], seed))
        failed = {c["check"] for c in gate.checks if not c["passed"]}
        code = STAGES[stage]
        assert f"largest standardised difference after weighting in {code}" in failed
        assert f"share of decisions without overlap in {code}" in failed
        assert "would be needed" in gate.strata.get(code, "") or gate.closed


def test_a_stage_without_overlap_leaves_the_others_their_numbers(by_a_rule):
    by_a_rule(0)
    data = sample(SCENARIOS[3], 1)
    whole, gate = judged(data)
    assert gate.closed == () and set(gate.strata) == {"early"}
    assert "after weighting" in gate.strata["early"]
    # Nobody represents the easy decisions of that stage; the others are balanced all the same.
    for s in (1, 2):
        assert (
            np.abs(booster_gate._balance(data, np.where(data.arm, *whole.decision[:2]), data.stratum == s)).max() < 0.25
        )
    shown = {r["note"]: r["estimate"] for r in gate.balance if r["quantity"] == "balance_after_within"}
    assert set(shown) == set(data.names) and max(map(abs, shown.values())) > 0.8


@pytest.mark.parametrize("scenario", [SCENARIOS[0], SCENARIOS[3]], ids=["none", "strong"])
def test_stages_as_they_should_be_pass(scenario):
    for seed in range(2, 5):
        assert not judged(sample(scenario, seed))[1].strata


def test_weights_balance_each_large_stratum_and_not_only_all_of_them_together():
    data = sample(SCENARIOS[0], patients=3000)
    whole = estimate(data, np.ones(len(data.visits.day)))
    weight = np.where(data.arm, *whole.decision[:2])
    for s in range(3):
        assert np.abs(booster_gate._balance(data, weight, data.stratum == s)).max() < 1e-6
        assert np.abs(booster_gate._balance(data, None, data.stratum == s)).max() > 0.2


def test_the_negative_control_fires_where_a_reason_was_not_recorded_and_seldom_elsewhere():
    """Of 6,000 patients: of 1,500 it finds a reason of 8 points and 1.2 logits in a quarter of samples only."""
    fired = [booster_gate._negative_control(sample(UNMEASURED, seed, 6000))[0] < 0.01 for seed in range(1, 9)]
    assert sum(fired) >= 6
    false = [booster_gate._negative_control(sample(SCENARIOS[0], seed))[0] < 0.01 for seed in range(1, 101)]
    # Of a hundred one is expected; more than five come in one of two thousand.
    assert sum(false) <= 5


def test_each_arm_has_its_own_effective_patients_and_waiting_has_fewer_the_later():
    """Under strong confounding most of the worst are boosted: those who wait on stand for them."""
    data = sample(SCENARIOS[3])
    whole = estimate(data, np.ones(len(data.visits.day)))
    numbers = Numbers(data, whole, bootstrap(data, whole, 20, 1), 0.95)
    boosted, waiting = numbers.size[:, 2]
    assert boosted[0] == boosted[1] and waiting[1] < 0.6 * waiting[0] and waiting[1] < 0.6 * boosted[1]
    p, d = len(data.names), numbers.at(DAYS[1])
    by_hand = np.sqrt(waiting[1] / (waiting[1] - p)) * t_quantile(0.975, waiting[1] - 1)
    assert numbers.reach(2, d, 1) == pytest.approx(by_hand) and numbers.reach(2, d, 0) < by_hand
    # What compares both lies between, by what each contributes.
    sides = numbers.treated_again[:, 2, d], numbers.waiting_again[:, 2, d]
    assert numbers.reach(2, d, 0) < numbers.compared(2, d, sides) < by_hand


def test_every_knee_entered_twice_changes_no_limit():
    """The copy is another course of the same patient: it says nothing new."""
    rows, courses = reductions(make(SCENARIOS[0], 500, 3))
    copy = pl.col("course_id") + 100_000
    twice = (pl.concat([f, f.with_columns(course_id=copy)]) for f in (rows, courses))
    limits = []
    for r, c in ((rows, courses), tuple(twice)):
        data = prepare(r, c, STAGES, ("age", "bmi"), PLAN, "any")
        whole = estimate(data, np.ones(len(data.visits.day)))
        numbers = Numbers(data, whole, bootstrap(data, whole, 20, 1), 0.95)
        limits.append([numbers.difference(s, numbers.at(day)) for s in range(3) for day in DAYS])
    # The weak prior of the models is worth half as much beside twice the rows.
    assert np.array(limits[1]) == pytest.approx(np.array(limits[0]), abs=0.2)


def test_both_knees_of_a_patient_count_once():
    """Five patients with sixteen boosts are five, and their weight lies on no more than five."""
    data = sample(SCENARIOS[0])
    arm, early = data.arm, data.stratum == 0
    patient = data.patient.copy()
    boosted = np.unique(data.patient[data.start[arm & early]])
    patient[np.isin(patient, boosted)] = boosted[np.searchsorted(boosted, patient[np.isin(patient, boosted)]) % 5]
    gate = judged(replace(data, patient=patient))[1]
    checks = {c["check"]: c["value"] for c in gate.checks}
    assert checks["boosts in early"] == 5 and checks["effective sample size, boosted in early"] <= 5
    assert gate.strata == {"early": "fewer than 10 patients with a decision for a booster"}


def test_what_is_behind_a_limit_are_patients_and_not_their_decisions_or_courses():
    """With sixteen boosted courses in the hands of five patients five are behind their arm, and the limits are wider."""
    data = sample(SCENARIOS[0])
    whole = estimate(data, np.ones(len(data.visits.day)))
    again = bootstrap(data, whole, 20, 1)
    patient, mine = data.patient.copy(), np.unique(data.patient[data.start[data.arm & (data.stratum == 0)]])
    held = np.isin(patient, mine)
    patient[held] = mine[np.searchsorted(mine, patient[held]) % 5]
    few = replace(data, patient=patient)
    behind = [Numbers(d, whole, again, 0.95).behind[0][0] for d in (data, few)]
    assert len(mine) > 10 and behind[0] > 5 >= behind[1]


def test_the_negative_control_is_not_asked_beside_the_best_score_that_the_first_visit_is_part_of():
    """Whatever the best score of all visits is, it changes nothing: beside it the first visit would say little."""
    data = sample(UNMEASURED, 2, 1500)
    p, n = booster_gate._negative_control(data)
    at, x = data.names.index("best"), data.visits.x.copy()
    x[:, at] = np.random.default_rng(1).permutation(x[:, at])
    assert booster_gate._negative_control(replace(data, visits=replace(data.visits, x=x))) == (p, n)
    assert p is not None


def unmeasured() -> Prepared:
    return sample(UNMEASURED, 1, 6000)


def with_censored_waiting() -> Prepared:
    """Whoever waits is boosted the day after the decision; those who were boosted are as they were."""
    data = sample(SCENARIOS[0])
    v, waiting = data.visits, np.zeros(len(data.visits.day), dtype=bool)
    waiting[data.start[~data.arm]] = True
    return replace(data, visits=replace(v, booster_day=np.where(waiting, v.zero + 1, v.booster_day)))


def with_few_weights() -> Prepared:
    """All the boosted belong to twelve patients: four in each stage."""
    data = sample(SCENARIOS[0])
    patient = data.patient.copy()
    for s in range(3):
        mine = np.unique(data.patient[data.start[data.arm & (data.stratum == s)]])
        at = np.isin(patient, mine)
        patient[at] = mine[np.searchsorted(mine, patient[at]) % 4]
    return replace(data, patient=patient)


def by_a_rule_in_all() -> Prepared:
    return sample(NO_OVERLAP)


@pytest.mark.parametrize(
    ("made", "check", "needed"),
    [
        (unmeasured, "negative control, p", "an unmeasured reason is likely"),
        (with_censored_waiting, "share of follow-up artificially censored", "a shorter horizon"),
        (with_few_weights, "effective sample size, boosted", "a few now carry the whole weight"),
        (by_a_rule_in_all, "largest standardised difference after weighting", "fewer covariates that nearly decide"),
        (by_a_rule_in_all, "share of decisions without overlap", "decisions for and against a booster"),
    ],
)
def test_a_check_that_fails_withholds_every_number_and_says_what_would_be_needed(made, check, needed):
    data = made()
    whole, gate = judged(data)
    assert [c["passed"] for c in gate.checks if c["check"] == check] == [False]
    assert [needed in why for why in gate.closed if why.startswith(check)] == [True]
    assert all(r["estimate"] is None for r in rows_of(data, whole, gate, show_anyway=False))
    shown = [r for r in rows_of(data, whole, gate, show_anyway=True) if r["quantity"] == "difference"]
    assert all(r["note"].startswith("shown although a check failed") for r in shown)


def rows_of(data: Prepared, whole: Estimate, gate: Gate, *, show_anyway: bool) -> list[dict]:
    again = tuple(np.repeat(c[None], 20, axis=0) + np.linspace(-1, 1, 20)[:, None, None] * k
                  for c, k in ((whole.curves.treated, 1), (whole.curves.waiting, -1)))  # fmt: skip
    strata = [Stratum(code, code, "#000000") for code in STAGES]
    return effect_rows(Numbers(data, whole, again, 0.95), strata, gate, show_anyway)


def few(outcome: str, check: str) -> Prepared:
    """A world in which early joints lack what the check asks for, and nothing else does."""
    plan = replace(PLAN, outcome=outcome, design="clone_censor" if outcome != "mean" else "sequential", worse_by=12.68)
    data = sample(SCENARIOS[0], 3, plan=plan)
    early = data.visits.stratum == 0
    if outcome == "risk":
        return replace(data, end=np.where(early, np.inf, data.end))
    if check.startswith("outcomes"):
        return replace(data, y=np.where(early & (data.visits.day > 400), np.nan, data.y))
    if check.startswith("responses"):
        return replace(data, y=np.where(early, 0.0, data.y))
    calm = replace(data, y=np.where(early, 10.0, data.y), end=np.where(early, np.inf, data.end))
    return calm


@pytest.mark.parametrize(
    ("outcome", "check", "says"),
    [
        ("mean", "outcomes near day 364", "fewer than 10 outcomes within 60 days of day 364 in one arm"),
        ("share", "responses near day 182", "fewer than 10 in response, or not, within 60 days of day 182"),
        ("risk", "ends", "fewer than 10 ends seen"),
        ("loss", "losses", "fewer than 10 losses seen"),
    ],
)
def test_too_few_outcomes_in_a_stratum_withhold_its_numbers_alone(outcome, check, says):
    data = few(outcome, check)
    whole, gate = judged(data)
    assert [c["passed"] for c in gate.checks if c["check"] == f"{check} in early"] == [False]
    assert gate.strata["early"] == says and "moderate" not in gate.strata
    rows = rows_of(data, whole, gate, show_anyway=False)
    hidden = {r["stratum"] for r in rows if r["quantity"] == "difference" and r["estimate"] is None}
    assert {"early", "all"} <= hidden and "moderate" not in hidden


def test_the_e_value_is_that_of_the_estimate_and_of_the_limit_nearer_to_none():
    """VanderWeele & Ding 2017: RR + sqrt(RR (RR - 1)), a difference of d standard deviations as the ratio exp(0.91 d)."""
    data = sample(SCENARIOS[1])
    whole, gate = judged(data)
    assert not gate.closed
    for sign in (1, -1):
        one, other = whole.curves.treated, whole.curves.waiting
        turned = replace(whole, curves=Curves(one, other) if sign == 1 else Curves(other, one))
        moved = np.linspace(-1, 1, 20)[:, None, None]
        numbers = Numbers(data, turned, (turned.curves.treated + moved, turned.curves.waiting - moved), 0.95)
        strata = [Stratum(code, code, "#000000") for code in STAGES]
        found = {r["stratum"]: r for r in e_value_rows(numbers, strata, gate, False)}
        value, low, high = numbers.difference(0, numbers.at(DAYS[1]))
        near = low if sign == 1 else high
        assert np.sign(value) == np.sign(near) == sign

        def by_hand(difference: float, spread: float = numbers.spread()) -> float:
            ratio = np.exp(0.91 * abs(difference) / spread)
            return ratio + np.sqrt(ratio * (ratio - 1))

        assert found["early"]["estimate"] == pytest.approx(by_hand(value))
        assert found["early"]["low"] == pytest.approx(by_hand(near))
        # Limits on either side of none: nothing is needed to explain them.
        assert found["bone_on_bone"]["low"] == 1.0 < found["bone_on_bone"]["estimate"]
