"""Fine-Gray regression against R's two conventions, expanded rows and the models it must collapse to."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from analysis.numerics.competing import cumulative_incidence
from analysis.numerics.cox import fit_cox, risk_sets
from analysis.numerics.fine_gray import fit_fine_gray, predict_incidence
from analysis.numerics.survival_counts import count_events, reverse_kaplan_meier, step_values

TESTS = Path(__file__).parents[2]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", TESTS.parents[1] / "shared" / "references"))
OWN = json.loads((TESTS / "reference" / "exact_time.json").read_text())
ROWS = {name: np.array(column, dtype=float) for name, column in OWN["data"].items()}
X = np.column_stack([ROWS["x1"], ROWS["x2"]])
# crr stops when the gradient is below 1e-6 of the likelihood, coxph at 1e-9 of it: up to 1e-8 in a coefficient.
CLOSE = {"rtol": 1e-6, "atol": 2e-8}
# Our own R calls ask for 1e-12, which leaves rounding.
TIGHT = {"rtol": 1e-8, "atol": 1e-10}


def shared(name):
    if not (REFERENCES / name).exists():
        pytest.skip(f"{REFERENCES / name} is not here: set CATAMNESIS_REFERENCES to the folder of reference numbers")
    return REFERENCES / name


def reference(case):
    return json.loads(shared(f"json/{case}.json").read_text())["values"]


def table(name):
    with shared(f"data/{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def mgus():
    rows = table("survival_mgus2")
    progressed = rows["pstat"] == "1"
    time = np.where(progressed, rows["ptime"], rows["futime"]).astype(float)
    x = np.column_stack([rows["age"].astype(float), rows["sex"] == "M"])
    return x, time, np.where(progressed, 1, 2 * rows["death"].astype(int))


class TestAgainstR:
    @pytest.mark.parametrize(("case", "cause"), [("crr_pcm", 1), ("crr_death", 2)])
    def test_mgus_by_crr_with_its_sandwich(self, case, cause):
        theirs = reference("competing_mgus2")[case]
        fit = fit_fine_gray(*mgus(), cause_of_interest=cause)
        np.testing.assert_allclose(fit.coefficients, list(theirs["coef"].values()), **CLOSE)
        np.testing.assert_allclose(fit.covariance, theirs["vcov"]["values"], rtol=1e-7)  # follows the coefficients
        if cause == 1:
            ours = [fit.loglik, fit.loglik_null]
            np.testing.assert_allclose(ours, [theirs["loglik"], theirs["loglik_null"]], **CLOSE)
            incidence = predict_incidence(fit, [[60, 1], [75, 0]], theirs["predict"]["time"])
            np.testing.assert_allclose(incidence.T, theirs["predict"]["cif"]["values"], **CLOSE)

    def test_mgus_by_finegray(self):
        theirs = reference("competing_mgus2")["finegray_coxph"]
        fit = fit_fine_gray(*mgus(), convention="finegray")
        np.testing.assert_allclose(fit.coefficients, list(theirs["coef"].values()), **CLOSE)
        np.testing.assert_allclose(np.sqrt(np.diag(fit.model_covariance)), list(theirs["se"].values()), **CLOSE)
        np.testing.assert_allclose([fit.loglik, fit.loglik_null], [theirs["loglik"], theirs["loglik_null"]], **CLOSE)
        # The shared reference takes the expanded rows of a person as independent (0.1817); ours is by person (0.1856).
        np.testing.assert_allclose(fit.std_error, OWN["fine_gray"]["mgus2_clustered_se"], **CLOSE)

    @pytest.mark.parametrize(("case", "cause"), [("fg_aids", "AIDS"), ("fg_si", "SI")])
    def test_hiv_progression_by_crr(self, case, cause):
        theirs, rows = reference("competing_aidssi")[case], table("mstate_aidssi")
        known = rows["ccr5"] != ""
        code = np.where(rows["cause"] == "event-free", 0, np.where(rows["cause"] == cause, 1, 2))[known]
        fit = fit_fine_gray((rows["ccr5"] == "WM")[known], rows["time"][known].astype(float), code)
        np.testing.assert_allclose(fit.coefficients, theirs["coef"]["WM"], **CLOSE)
        np.testing.assert_allclose(fit.covariance[0], theirs["vcov"]["values"][0], rtol=1e-6)  # crr stopped 8e-9 short

    def test_many_ties_by_crr(self):
        theirs = OWN["fine_gray"]["crr"]
        fit = fit_fine_gray(X, ROWS["time"], ROWS["cause"])
        np.testing.assert_allclose(fit.coefficients, theirs["coef"], **TIGHT)
        np.testing.assert_allclose(fit.covariance, theirs["var"], **TIGHT)
        incidence = predict_incidence(fit, [0.5, 1], np.array(theirs["cif"])[:, 0])[0]
        np.testing.assert_allclose(incidence, np.array(theirs["cif"])[:, 1], **TIGHT)

    def test_many_ties_by_finegray(self):
        theirs = OWN["fine_gray"]["finegray"]
        fit = fit_fine_gray(X, ROWS["time"], ROWS["cause"], convention="finegray")
        np.testing.assert_allclose(fit.coefficients, theirs["coef"], **TIGHT)
        np.testing.assert_allclose(fit.model_covariance, theirs["naive"], **TIGHT)
        np.testing.assert_allclose(fit.covariance, theirs["robust"], **TIGHT)
        np.testing.assert_allclose([fit.loglik_null, fit.loglik], theirs["loglik"], **TIGHT)


def expanded_fit(convention):
    """The definition itself: one Cox row per interval between event times, weighted by G(t-) / G(T-)."""
    time, cause = ROWS["time"], ROWS["cause"]
    curve = reverse_kaplan_meier(count_events(time, cause), events_first=convention == "finegray")

    def before(t):
        return step_values(curve.time, curve.estimate, t - 1e-9, before=1.0)

    grid = np.unique(time[cause == 1])
    own = [(i, -1.0, time[i], cause[i] == 1, 1.0) for i in range(time.size)]
    tails = [
        (i, t - 0.5, t, 0, float(before(t) / before(time[i])))
        for i in np.flatnonzero(cause == 2)
        for t in grid[grid > time[i]]
    ]
    who, start, stop, event, weight = np.array(own + tails, dtype=float).T
    ties = "breslow" if convention == "crr" else "efron"
    return fit_cox(risk_sets(X[who.astype(int)], stop, event, start=start, weight=weight, ties=ties), cluster=who)


class TestCollapse:
    @pytest.mark.parametrize("convention", ["crr", "finegray"])
    def test_expanded_rows_give_the_same_fit(self, convention):
        fit, rows = fit_fine_gray(X, ROWS["time"], ROWS["cause"], convention=convention), expanded_fit(convention)
        np.testing.assert_allclose(fit.coefficients, rows.coefficients, rtol=1e-8)  # both stop at 1e-11
        np.testing.assert_allclose(fit.model_covariance, rows.covariance, rtol=1e-8)
        if convention == "finegray":
            np.testing.assert_allclose(fit.covariance, rows.robust_covariance, rtol=1e-8)

    @pytest.mark.parametrize(("convention", "ties"), [("crr", "breslow"), ("finegray", "efron")])
    def test_without_competing_events_it_is_cox(self, convention, ties):
        alone = ROWS["cause"] == 1
        fit = fit_fine_gray(X, ROWS["time"], alone, convention=convention)
        cox = fit_cox(risk_sets(X, ROWS["time"], alone, ties=ties))
        np.testing.assert_array_equal(fit.coefficients, cox.coefficients)
        np.testing.assert_array_equal(fit.covariance, cox.robust_covariance)

    def test_without_censoring_competing_events_simply_stay(self):
        time, cause = ROWS["time"], np.where(ROWS["cause"] == 0, 2, ROWS["cause"])
        stay = np.where(cause == 2, time.max() + 1, time)
        fit = fit_fine_gray(X, time, cause)
        cox = fit_cox(risk_sets(X, stay, cause == 1, ties="breslow"))
        np.testing.assert_allclose(fit.coefficients, cox.coefficients, rtol=1e-9)  # other order of sums
        np.testing.assert_allclose(fit.covariance, cox.robust_covariance, rtol=1e-9)

    def test_conventions_agree_without_ties(self):
        rng = np.random.default_rng(4)
        time = rng.exponential(size=80)
        one, two = (fit_fine_gray(X, time, ROWS["cause"], convention=name) for name in ("crr", "finegray"))
        np.testing.assert_allclose(one.coefficients, two.coefficients, rtol=1e-10)  # other order of sums

    def test_whole_weights_are_repeated_rows(self):
        count = np.arange(80) % 3
        many = np.repeat(np.arange(80), count)
        short = fit_fine_gray(X, ROWS["time"], ROWS["cause"], weight=count, cluster=np.arange(80))
        long = fit_fine_gray(X[many], ROWS["time"][many], ROWS["cause"][many], cluster=many)
        np.testing.assert_allclose(short.coefficients, long.coefficients, rtol=1e-8)  # both stop at 1e-11
        np.testing.assert_allclose(short.covariance, long.covariance, rtol=1e-8)

    def test_prediction_at_no_effect_is_close_to_the_cumulative_incidence(self):
        x = np.tile([-1.0, 1.0], 80)
        time, cause = np.repeat(ROWS["time"], 2), np.repeat(ROWS["cause"], 2)
        ours = predict_incidence(fit_fine_gray(x, time, cause), [0.0], [5.0, 8.0])[0]
        theirs = cumulative_incidence(count_events(time, cause)).at([5.0, 8.0])[0][:, 1]
        # 1 - exp(-hazard) against a product: half the sum of squared jumps, here near 0.01.
        np.testing.assert_allclose(ours, theirs, atol=0.015)


class TestEdges:
    def test_no_event_of_the_cause_is_refused(self):
        with pytest.raises(ValueError, match="no event"):
            fit_fine_gray([0, 1], [1, 2], [2, 0])

    def test_an_unknown_convention_is_refused(self):
        with pytest.raises(ValueError, match="crr or finegray"):
            fit_fine_gray([0, 1], [1, 2], [1, 1], convention="sas")

    def test_all_events_at_one_time_have_an_answer(self):
        fit = fit_fine_gray([0.0, 1.0, 2.0, 0.5], [3, 3, 3, 3], [1, 1, 2, 0])
        assert fit.time.tolist() == [3]
        assert np.isfinite(fit.std_error).all()
