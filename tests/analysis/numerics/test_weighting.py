"""Weights and what they do, against R, the published E-values and what can be said by hand."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from analysis.numerics.weighting import (
    calibrate,
    e_value,
    effective_clusters,
    effective_sample_size,
    gather,
    linear,
    logistic,
    sandwich,
    standardised_difference,
)

TESTS = Path(__file__).parents[2]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", TESTS.parents[1] / "shared" / "references"))
needs_references = pytest.mark.skipif(not REFERENCES.is_dir(), reason="the shared reference folder is not here")


def test_a_saturated_logistic_model_gives_the_log_odds_of_a_two_by_two_table():
    """Counts 3 of 10 and 6 of 8: log odds log(3/7), log odds ratio log((6/2) / (3/7))."""
    design = np.array([[1.0, 0.0], [1.0, 1.0]])
    fit = logistic(design, np.array([0.3, 0.75]), np.array([10.0, 8.0]))
    assert fit.coefficients == pytest.approx([np.log(3 / 7), np.log(3 / (3 / 7))], abs=1e-10)
    # Variance of a log odds ratio: the sum of the reciprocal counts.
    assert fit.bread[1, 1] == pytest.approx(1 / 3 + 1 / 7 + 1 / 6 + 1 / 2, rel=1e-8)


def test_alike_rows_gathered_give_the_fit_and_the_clustered_variance_of_the_rows():
    rng = np.random.default_rng(1)
    design = np.column_stack([np.ones(4000), rng.integers(0, 3, 4000), rng.integers(0, 2, 4000)]).astype(float)
    y = (rng.random(4000) < expit(design @ [-1, 0.5, 0.3])).astype(float)
    w = rng.integers(0, 4, 4000).astype(float)
    cells = gather(design, y, w)
    rows, gathered = logistic(design, y, w), logistic(cells.design, cells.outcome, cells.weight)
    assert len(cells.weight) == 6
    assert gathered.coefficients == pytest.approx(rows.coefficients, abs=1e-10)
    assert gathered.bread == pytest.approx(rows.bread, rel=1e-8)


def test_a_covariate_that_separates_the_outcomes_stays_finite_under_a_penalty_and_is_said_not_to_converge_without():
    x = np.column_stack([np.ones(20), np.r_[np.zeros(10), np.ones(10)]])
    y = np.r_[np.zeros(10), np.ones(10)]
    assert not logistic(x, y, max_steps=5).converged
    assert np.abs(logistic(x, y, penalty=0.1).coefficients).max() < 10


@needs_references
def test_inverse_probability_weighting_of_nhefs_is_that_of_r_and_of_the_book():
    """R glm and geeglm; Hernán & Robins, What If: crude 2.5 (1.7, 3.4), weighted 3.4 (2.4, 4.5)."""
    truth = json.loads((REFERENCES / "json" / "iptw_nhefs.json").read_text())["values"]
    with (REFERENCES / "data" / "causaldata_nhefs.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["wt82_71"] not in ("", "NA")]

    def column(name):
        return np.array([float(r[name]) for r in rows])

    design = [np.ones(len(rows)), column("sex"), column("race"), column("age"), column("age") ** 2]
    design += [(column("education") == k).astype(float) for k in (2, 3, 4, 5)]
    for name in ("smokeintensity", "smokeyrs"):
        design += [column(name), column(name) ** 2]
    for name in ("exercise", "active"):
        design += [(column(name) == k).astype(float) for k in (1, 2)]
    design += [column("wt71"), column("wt71") ** 2]
    design, treated, y = np.column_stack(design), column("qsmk"), column("wt82_71")
    propensity = logistic(design, treated)
    # R's glm stops at a relative deviance of 1e-8: six digits of a coefficient.
    assert propensity.coefficients == pytest.approx(list(truth["ps_coef"].values()), rel=1e-6)
    weight = np.where(treated == 1, 1 / propensity.fitted, 1 / (1 - propensity.fitted))
    assert [weight.mean(), weight.std(ddof=1), weight.max()] == pytest.approx(
        [truth["w"][k] for k in ("mean", "sd", "max")], rel=1e-7
    )
    outcome = np.column_stack([np.ones(len(rows)), treated])
    fit = linear(outcome, y, weight)
    error = sandwich(outcome, y - fit.fitted, weight, fit.bread, np.arange(len(rows)))
    assert fit.coefficients[1] == pytest.approx(truth["ipw"]["est"], abs=1e-6)
    assert np.sqrt(error[1, 1]) == pytest.approx(truth["ipw"]["se"], abs=1e-6)
    ess = [effective_sample_size(weight[treated == a]) for a in (1, 0)]
    assert ess == pytest.approx(truth["ess"], rel=1e-6)


@needs_references
def test_e_values_are_those_published():
    """VanderWeele & Ding 2017: a risk ratio of 3.9 (1.8, 8.7) has E-values 7.26 and 3.0."""
    known = json.loads((REFERENCES / "json" / "evalue.json").read_text())["values"]["formula"]
    assert e_value(3.9) == pytest.approx(known["RR3.9"], rel=1e-12)
    assert e_value(1.8) == pytest.approx(known["lo1.8"], rel=1e-12)
    assert e_value(np.exp(0.91 * 0.5)) == pytest.approx(known["SMD0.5"], rel=1e-12)
    assert e_value(1 / 3.9) == pytest.approx(e_value(3.9))


def test_calibrated_weights_balance_exactly_and_change_nothing_where_they_already_do():
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(200), rng.normal(size=(200, 3))])
    base = rng.uniform(0.5, 2, 200)
    total = np.array([300.0, 20.0, -10.0, 5.0])
    weight, tilt = calibrate(base, x, total)
    assert weight @ x == pytest.approx(total, abs=1e-6)
    assert weight == pytest.approx(base * np.exp(x @ tilt))
    assert calibrate(base, x, base @ x)[0] == pytest.approx(base)
    # There is one solution, from wherever the search begins: near it, far from it, and where exp would overflow.
    for start in (tilt + 0.1, -3 * tilt, 1e3 * tilt):
        assert calibrate(base, x, total, start=start)[0] == pytest.approx(weight, rel=1e-6)


def test_where_nobody_can_represent_the_others_the_weights_are_left_and_the_imbalance_stays_to_be_seen():
    x = np.column_stack([np.ones(10), np.arange(10.0)])
    for start in (None, np.zeros(2), np.array([-1.0, 0.3])):
        weight, tilt = calibrate(np.ones(10), x, np.array([10.0, 500.0]), start=start)
        assert (weight == 1).all() and tilt is None


def test_standardised_differences_by_hand():
    """Means 3 and 1; variances 2 and 2: the difference is 2 / sqrt(2)."""
    x = np.array([[2.0], [4.0], [0.0], [2.0]])
    treated = np.array([True, True, False, False])
    assert standardised_difference(x, treated) == pytest.approx([2 / np.sqrt(2)])
    weighted = standardised_difference(x, treated, np.array([1.0, 0.0, 0.0, 1.0]))
    assert weighted == pytest.approx([0.0])


def test_weights_of_a_treatment_that_is_started_once_and_their_model_are_those_of_r():
    """R glm and geeglm, seeded data (tests/reference/first_treatment.R): what ipwtm of the package ipw does there."""
    r = json.loads((TESTS / "reference" / "first_treatment.json").read_text())
    at = {name: np.array(values, dtype=float) for name, values in r["rows"].items()}
    ones, risk = np.ones(len(at["on"])), at["before"] == 0
    design = np.column_stack([ones, at["sex"], at["visit"], at["marker"]])
    plain, given = (logistic(design[risk, :k], at["on"][risk]) for k in (3, 4))
    # Both at the maximum, R told to go on to 1e-14: what is left is rounding of the stored data's twelve digits.
    assert plain.coefficients == pytest.approx(r["numerator"], abs=1e-8)
    assert given.coefficients == pytest.approx(r["denominator"], abs=1e-8)
    ratio = ones.copy()
    done = at["on"][risk] == 1
    ratio[risk] = np.where(done, plain.fitted / given.fitted, (1 - plain.fitted) / (1 - given.fitted))
    weight = np.concatenate([np.cumprod(ratio[at["id"] == i]) for i in np.unique(at["id"])])
    assert weight == pytest.approx(r["weight"], rel=1e-8)
    x = np.column_stack([ones, at["on"], at["sex"], at["visit"]])
    fit = linear(x, at["y"], weight)
    assert fit.coefficients == pytest.approx(r["msm"], abs=1e-8)
    spread = sandwich(x, at["y"] - fit.fitted, weight, fit.bread, at["id"].astype(np.int64))
    assert np.sqrt(np.diag(spread)) == pytest.approx(r["error"], rel=1e-7)
    # The treatment adds half a point; without weights it is given to those who fare worse.
    assert linear(x, at["y"], ones).coefficients == pytest.approx(r["plain"], abs=1e-8)
    assert fit.coefficients[1] - r["plain"][1] > 0.2


def test_weights_of_one_patient_are_added_up_before_they_are_counted():
    """Two knees of one and one of another, weights 1, 1 and 2: two patients of equal weight."""
    assert effective_clusters(np.array([1.0, 2.0, 1.0]), np.array([7, 3, 7])) == pytest.approx(2)
    assert effective_clusters(np.zeros(0), np.zeros(0, dtype=np.int64)) == 0
