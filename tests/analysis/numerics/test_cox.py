"""Cox regression against hand, R, brute force and the models it must collapse to."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from analysis.numerics.cox import (
    baseline_hazard,
    fit_cox,
    information_matrix,
    likelihood_state,
    predict_survival,
    proportional_hazards_test,
    risk_sets,
    score_residuals,
    score_vector,
)
from analysis.numerics.survival_counts import count_events, log_rank, nelson_aalen, step_values

TESTS = Path(__file__).parents[2]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", TESTS.parents[1] / "shared" / "references"))
OWN = json.loads((TESTS / "reference" / "exact_time.json").read_text())
ROWS = {name: np.array(column, dtype=float) for name, column in OWN["data"].items()}
X = np.column_stack([ROWS["x1"], ROWS["x2"]])
# R stops its Newton steps at a relative likelihood of 1e-9, which leaves up to 1e-9 in a coefficient.
CLOSE = {"rtol": 1e-7, "atol": 1e-8}
# Where our R call asks for 1e-12, or nothing is iterated, only rounding is left.
TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def shared(name):
    if not (REFERENCES / name).exists():
        pytest.skip(f"{REFERENCES / name} is not here: set CATAMNESIS_REFERENCES to the folder of reference numbers")
    return REFERENCES / name


def reference(case):
    return json.loads(shared(f"json/{case}.json").read_text())["values"]


def table(name):
    with shared(f"data/{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = {
        key: [float(row[key]) if row[key].replace(".", "").lstrip("-").isdigit() else np.nan for row in rows]
        for key in rows[0]
    }
    return {key: np.array(column) for key, column in numbers.items()}


def agree(fit, theirs):
    np.testing.assert_allclose(fit.coefficients, list(theirs["coef"].values()), **CLOSE)
    np.testing.assert_allclose(fit.std_error, list(theirs["se"].values()), **CLOSE)
    ours = [fit.loglik_null, fit.loglik, fit.score_statistic]
    np.testing.assert_allclose(ours, [theirs["loglik_null"], theirs["loglik"], theirs["score"]], **CLOSE)
    assert (fit.n_rows, fit.n_events) == (theirs["n"], theirs["nevent"])


def lung():
    rows = table("survival_lung")
    x = np.column_stack([rows["age"], rows["sex"] - 1, rows["ph.ecog"]])
    known = np.isfinite(x).all(axis=1)
    return x[known], rows["time"][known], rows["status"][known] == 2, {key: rows[key][known] for key in ("sex", "inst")}


class TestByHand:
    @pytest.mark.parametrize("beta", [0.0, 0.7, -1.3])
    def test_six_rows_as_fractions(self, beta):
        # Therneau and Grambsch 2000, appendix E.1, Breslow ties: r = exp(beta).
        rows = risk_sets([1, 1, 1, 0, 0, 0], [1, 1, 6, 6, 8, 9], [1, 0, 1, 1, 0, 1], ties="breslow")
        state, r = likelihood_state(rows, np.array([beta])), np.exp(beta)
        ones = np.ones(rows.time.size)
        loglik = 2 * beta - np.log(3 * r + 3) - 2 * np.log(r + 3)
        assert state.loglik + 2 * beta * rows.center[0] - beta * rows.center[0] * 2 == pytest.approx(loglik, rel=1e-13)
        score = 2 - r / (r + 1) - 2 * r / (r + 3)
        np.testing.assert_allclose(score_vector(rows, state, ones), score, rtol=1e-12)
        information = r / (r + 1) ** 2 + 6 * r / (r + 3) ** 2
        np.testing.assert_allclose(information_matrix(rows, state, ones), information, rtol=1e-12)

    @pytest.mark.parametrize("beta", [0.0, 0.7])
    def test_efron_removes_half_of_each_of_two_tied_deaths(self, beta):
        rows = risk_sets([1, 1, 1, 0, 0, 0], [1, 1, 6, 6, 8, 9], [1, 0, 1, 1, 0, 1])
        state, r = likelihood_state(rows, np.array([beta])), np.exp(beta)
        score = 2 - r / (r + 1) - r / (r + 3) - r / (r + 5)
        np.testing.assert_allclose(score_vector(rows, state, np.ones(rows.time.size)), score, rtol=1e-12)

    def test_estimate_of_three_rows_is_closed(self):
        # Breslow terms r / (r + 2) and 1 / (1 + ...): score 1 - r/(r + 2) - r/(r + 1) is 0 at r = sqrt(2).
        fit = fit_cox(risk_sets([0, 1, 0], [1, 2, 3], [1, 1, 0]))
        assert np.exp(fit.coefficients[0]) == pytest.approx(np.sqrt(2), rel=1e-9)  # Newton stops at 1e-11


class TestAgainstR:
    @pytest.mark.parametrize("ties", ["efron", "breslow"])
    def test_lung_with_each_handling_of_ties(self, ties):
        x, time, died, _ = lung()
        agree(fit_cox(risk_sets(x, time, died, ties=ties)), reference("cox_lung")["fits"][ties])

    def test_lung_stratified_by_sex(self):
        # The reference is called strata_inst, but its coefficients and 227 rows are those of strata(sex).
        x, time, died, labels = lung()
        rows = risk_sets(x[:, [0, 2]], time, died, stratum=labels["sex"])
        agree(fit_cox(rows), reference("cox_lung")["fits"]["strata_inst"])

    def test_lung_clustered_by_institution(self):
        theirs = reference("cox_lung")["fits"]["cluster_inst"]
        x, time, died, labels = lung()
        known = np.isfinite(labels["inst"])
        fit = fit_cox(risk_sets(x[known], time[known], died[known]), cluster=labels["inst"][known])
        agree(fit, theirs)
        np.testing.assert_allclose(fit.robust_std_error, list(theirs["robust_se"].values()), **CLOSE)

    def test_lung_residuals_hazard_prediction_and_proportionality(self):
        theirs = reference("cox_lung")
        x, time, died, _ = lung()
        rows = risk_sets(x, time, died)
        fit = fit_cox(rows)
        martingale, score = score_residuals(rows, likelihood_state(rows, fit.coefficients))
        np.testing.assert_allclose(martingale[:10], theirs["martingale_head"], **CLOSE)
        np.testing.assert_allclose((score @ fit.covariance)[:3], theirs["dfbeta_head"]["values"], **CLOSE)
        # Schoenfeld's residuals: the covariates of each death less their mean over those at risk, ties by Efron.
        state, at, dead = likelihood_state(rows, fit.coefficients), rows.dead_at, rows.dead
        mean = (state.s1 * state.a[0][:, None] - state.d1 * state.a[1][:, None]) / np.bincount(at)[:, None]
        first = np.argsort(rows.stop[dead], kind="stable")[:3]
        schoenfeld = (rows.x[dead] - mean[at])[first]
        assert [str(int(t)) for t in rows.stop[dead][first]] == theirs["schoenfeld_head"]["rows"]
        np.testing.assert_allclose(schoenfeld, theirs["schoenfeld_head"]["values"], **CLOSE)
        hazard = step_values(rows.time, baseline_hazard(rows, fit), theirs["basehaz_first"]["time"], before=0.0)
        np.testing.assert_allclose(hazard, theirs["basehaz_first"]["hazard"], **CLOSE)
        survival, error = predict_survival(rows, fit, [60, 1, 1], theirs["surv_new"]["time"])
        np.testing.assert_allclose(survival[0], theirs["surv_new"]["surv"], **CLOSE)
        np.testing.assert_allclose(error[0], theirs["surv_new"]["se"], **CLOSE)
        for transform in ("km", "log"):
            test = proportional_hazards_test(rows, fit, transform=transform)
            table_ = np.array(theirs[f"zph_{transform}"]["values"])
            np.testing.assert_allclose(np.append(test.statistic, test.global_statistic), table_[:, 0], **CLOSE)
            np.testing.assert_allclose(np.append(test.p_value, test.global_p_value), table_[:, 2], **CLOSE)

    @pytest.mark.parametrize(
        ("case", "name", "ties"),
        [
            ("table1_m1", "survival_jasa1", "efron"),
            ("m_age_surg", "survival_jasa1", "breslow"),
            ("efron", "survival_jasa1", "efron"),
            ("kp1", "survival_heart", "breslow"),
            ("heart_main", "survival_heart", "efron"),
        ],
    )
    def test_heart_transplant_as_a_covariate_that_changes(self, case, name, ties):
        theirs, rows = reference("cox_timevarying_heart")["time_varying"][case], table(name)
        rows["transplant1"] = rows["transplant"]
        terms = [np.prod([rows[part] for part in term.split(":")], axis=0) for term in theirs["coef"]]
        agree(
            fit_cox(risk_sets(np.stack(terms, 1), rows["stop"], rows["event"], start=rows["start"], ties=ties)), theirs
        )

    @pytest.mark.parametrize("case", ["m1", "m2"])
    def test_ever_transplanted_shows_the_immortal_time_bias(self, case):
        theirs, rows = reference("cox_timevarying_heart")["naive_ever_treated"][case], table("survival_jasa")
        x = np.stack([rows[name] for name in theirs["coef"]], axis=1)
        agree(fit_cox(risk_sets(x, rows["futime"], rows["fustat"])), theirs)

    def test_causes_of_mgus_one_at_a_time(self):
        theirs = reference("competing_mgus2")["cause_specific"]
        with shared("data/survival_mgus2.csv").open() as file:
            sex = np.array([row["sex"] == "M" for row in csv.DictReader(file)])
        rows = table("survival_mgus2")
        progressed = rows["pstat"] == 1
        time, cause = np.where(progressed, rows["ptime"], rows["futime"]), np.where(progressed, 1, 2 * rows["death"])
        for k, name in ((1, "pcm"), (2, "death")):
            agree(fit_cox(risk_sets(np.column_stack([rows["age"], sex]), time, cause == k)), theirs[name])

    @pytest.mark.parametrize(("case", "cause"), [("cs_aids", "AIDS"), ("cs_si", "SI")])
    def test_causes_of_hiv_progression_one_at_a_time(self, case, cause):
        theirs = reference("competing_aidssi")[case]
        with shared("data/mstate_aidssi.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["ccr5"]]
        mutant, event = [row["ccr5"] == "WM" for row in rows], [row["cause"] == cause for row in rows]
        agree(fit_cox(risk_sets(mutant, [float(row["time"]) for row in rows], event)), theirs)

    def test_transplant_transitions_as_strata(self):
        theirs = reference("multistate_ebmt3")["cox"]
        with shared("data/mstate_ebmt3.csv").open() as file:
            rows = {key: np.array(column) for key, column in zip(*_columns(file), strict=True)}
        recovery, relapse = rows["prtime"].astype(float), rows["rfstime"].astype(float)
        recovered, died = rows["prstat"] == "1", rows["rfsstat"] == "1"
        x = np.column_stack(
            [
                rows["dissub"] == "ALL",
                rows["dissub"] == "CML",
                rows["age"] == "20-40",
                rows["age"] == ">40",
                rows["drmatch"] == "Gender mismatch",
                rows["tcd"] == "TCD",
            ]
        ).astype(float)
        first = np.where(recovered, recovery, relapse)
        parts = [
            (x, first * 0, first, recovered),
            (x, first * 0, first, died & ~recovered),
            (x[recovered], recovery[recovered], relapse[recovered], died[recovered]),
        ]
        wide = np.vstack([np.hstack([part[0] * (k == j) for j in range(3)]) for k, part in enumerate(parts)])
        start, stop, event = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
        stratum = np.repeat([1, 2, 3], [len(part[0]) for part in parts])
        agree(fit_cox(risk_sets(wide, stop, event, start=start, stratum=stratum, ties="breslow")), theirs)

    @pytest.mark.parametrize("ties", ["efron", "breslow"])
    def test_weights_strata_late_entry_and_clusters_together(self, ties):
        theirs = OWN["cox"][ties]
        rows = risk_sets(
            X,
            ROWS["time"],
            ROWS["cause"] == 1,
            start=ROWS["entry"],
            stratum=ROWS["stratum"],
            weight=ROWS["weight"],
            ties=ties,
        )
        fit = fit_cox(rows, cluster=ROWS["cluster"])
        np.testing.assert_allclose(fit.coefficients, theirs["coef"], **TIGHT)
        np.testing.assert_allclose(fit.covariance, theirs["naive"], **TIGHT)
        np.testing.assert_allclose(fit.robust_covariance, theirs["robust"], **TIGHT)
        np.testing.assert_allclose([fit.loglik_null, fit.loglik], theirs["loglik"], **TIGHT)

    @pytest.mark.parametrize("ties", ["efron", "breslow"])
    def test_stratified_prediction_and_proportionality(self, ties):
        theirs = OWN["cox"][ties]
        rows = risk_sets(X, ROWS["time"], ROWS["cause"] == 1, start=ROWS["entry"], stratum=ROWS["stratum"], ties=ties)
        fit = fit_cox(rows)
        survival, error = predict_survival(rows, fit, [0.5, 1], [2, 4, 8], stratum=1)
        np.testing.assert_allclose(survival[0], theirs["surv"], **TIGHT)
        np.testing.assert_allclose(error[0], theirs["surv_se"], **TIGHT)
        for transform in ("km", "rank", "identity"):
            test = proportional_hazards_test(rows, fit, transform=transform)
            ours = np.append(test.statistic, test.global_statistic)
            np.testing.assert_allclose(ours, theirs[f"zph_{transform}"], **TIGHT)


def _columns(file):
    header, *rows = csv.reader(file)
    return header, zip(*rows, strict=True)


def simulated(seed=7, n=40, ties=True):
    rng = np.random.default_rng(seed)
    time = rng.exponential(size=n) * 8
    entry = rng.random(n) * 2
    stop = entry + time
    if ties:
        entry, stop = np.floor(entry), np.ceil(stop)
    return rng.normal(size=(n, 2)), stop, (rng.random(n) < 0.7).astype(int), entry, rng.uniform(0.5, 2, n)


def efron_loglik(beta, x, stop, event, entry, weight):
    total, risk = 0.0, weight * np.exp(x @ beta)
    for t in np.unique(stop[event == 1]):
        at_risk, dead = (entry < t) & (stop >= t), (stop == t) & (event == 1)
        total += weight[dead] @ (x[dead] @ beta)
        for share in np.arange(dead.sum()) / dead.sum():
            total -= weight[dead].mean() * np.log(risk[at_risk].sum() - share * risk[dead].sum())
    return total


class TestCollapse:
    def test_likelihood_score_and_information_by_brute_force(self):
        x, stop, event, entry, weight = simulated()
        rows = risk_sets(x, stop, event, start=entry, weight=weight)
        beta, ones = np.array([0.3, -0.5]), np.ones(rows.time.size)
        state = likelihood_state(rows, beta)

        def loglik(b):
            return efron_loglik(b, x, stop, event, entry, weight)

        assert state.loglik == pytest.approx(loglik(beta), rel=1e-12)  # the same sums, centred
        steps = 1e-5 * np.eye(2)
        slope = [(loglik(beta + h) - loglik(beta - h)) / 2e-5 for h in steps]
        np.testing.assert_allclose(score_vector(rows, state, ones), slope, rtol=1e-6)  # central difference, h^2
        curvature = [
            score_vector(rows, likelihood_state(rows, beta - h), ones)
            - score_vector(rows, likelihood_state(rows, beta + h), ones)
            for h in steps
        ]
        np.testing.assert_allclose(information_matrix(rows, state, ones), np.array(curvature) / 2e-5, rtol=1e-6)

    def test_estimate_is_the_maximum_a_general_optimiser_finds(self):
        data = simulated()
        fit = fit_cox(risk_sets(*data[:3], start=data[3], weight=data[4]))
        found = minimize(lambda b: -efron_loglik(b, *data), np.zeros(2), options={"gtol": 1e-7})
        np.testing.assert_allclose(fit.coefficients, found.x, atol=1e-5)  # a finite-difference gradient stops there

    def test_score_residuals_add_to_the_score_and_to_zero_at_the_estimate(self):
        x, stop, event, entry, weight = simulated()
        rows = risk_sets(x, stop, event, start=entry, weight=weight)
        state = likelihood_state(rows, np.array([0.4, 0.1]))
        martingale, score = score_residuals(rows, state)
        np.testing.assert_allclose(rows.weight @ score, score_vector(rows, state, np.ones(rows.time.size)), rtol=1e-10)
        assert rows.weight @ martingale == pytest.approx(0.0, abs=1e-10)  # rounding of the sum

    def test_sandwich_is_close_to_the_jackknife(self):
        x, stop, event, entry, _ = simulated(n=300)
        whole = fit_cox(risk_sets(x, stop, event, start=entry))
        left_out = [
            fit_cox(risk_sets(x, stop, event, start=entry, weight=np.arange(300) != i)).coefficients
            for i in range(0, 300, 30)
        ]
        rows = risk_sets(x, stop, event, start=entry)
        influence = score_residuals(rows, likelihood_state(rows, whole.coefficients))[1] @ whole.covariance
        # The infinitesimal jackknife is the first term of the change; the next is of order 1 / n.
        np.testing.assert_allclose(whole.coefficients - left_out, influence[::30], atol=2e-3)

    def test_without_ties_efron_and_breslow_are_one(self):
        x, stop, event, entry, _ = simulated(ties=False)
        one, two = (fit_cox(risk_sets(x, stop, event, start=entry, ties=ties)) for ties in ("efron", "breslow"))
        np.testing.assert_array_equal(one.coefficients, two.coefficients)
        np.testing.assert_allclose(one.robust_covariance, two.robust_covariance, rtol=1e-12)  # other rounding

    def test_splitting_rows_changes_nothing(self):
        x, stop, event, entry, _ = simulated()
        cut = (entry + stop) / 2
        halves = risk_sets(
            np.vstack([x, x]), np.append(cut, stop), np.append(0 * event, event), start=np.append(entry, cut)
        )
        who = np.tile(np.arange(stop.size), 2)
        whole, split = fit_cox(risk_sets(x, stop, event, start=entry)), fit_cox(halves, cluster=who)
        np.testing.assert_allclose(split.coefficients, whole.coefficients, rtol=1e-9)  # other rounding
        np.testing.assert_allclose(split.robust_covariance, whole.robust_covariance, rtol=1e-9)

    def test_stratified_likelihood_is_the_sum_over_strata(self):
        x, stop, event, entry, _ = simulated()
        stratum, beta = np.arange(stop.size) % 3, np.array([0.2, 0.9])
        whole = risk_sets(x, stop, event, start=entry, stratum=stratum)
        parts = [risk_sets(x[s], stop[s], event[s], start=entry[s]) for s in (stratum == k for k in range(3))]
        total = sum(likelihood_state(part, beta).loglik for part in parts)
        assert likelihood_state(whole, beta).loglik == pytest.approx(total, rel=1e-12)  # constants of centring cancel

    def test_score_test_of_a_group_is_the_log_rank_test(self):
        x, stop, event, entry, _ = simulated(ties=False)
        group = (x[:, 0] > 0).astype(int)
        fit = fit_cox(risk_sets(group, stop, event, start=entry, ties="breslow"))
        assert fit.score_statistic == pytest.approx(log_rank(stop, event, group, entry=entry).statistic, rel=1e-10)

    def test_breslow_weights_are_repeated_rows(self):
        x, stop, event, entry, _ = simulated()
        count = np.arange(stop.size) % 3
        many = np.repeat(np.arange(stop.size), count)
        short = fit_cox(risk_sets(x, stop, event, start=entry, weight=count, ties="breslow"))
        long = fit_cox(risk_sets(x[many], stop[many], event[many], start=entry[many], ties="breslow"))
        np.testing.assert_allclose(short.covariance, long.covariance, rtol=1e-9)  # Newton stops at 1e-11

    def test_baseline_at_no_effect_is_nelson_aalen(self):
        rng = np.random.default_rng(0)
        stop, half = np.repeat(rng.integers(1, 9, 20), 2), np.tile([0, 1], 20)
        rows = risk_sets(half, stop, np.ones(40), ties="breslow")
        fit = fit_cox(rows)
        hazard = nelson_aalen(count_events(stop, np.ones(40))).estimate
        assert fit.coefficients[0] == pytest.approx(0.0, abs=1e-12)  # both halves are the same by design
        np.testing.assert_allclose(baseline_hazard(rows, fit), hazard, rtol=1e-12)

    def test_shifting_a_covariate_moves_only_the_baseline(self):
        x, stop, event, entry, _ = simulated()
        near, far = (risk_sets(x + shift, stop, event, start=entry) for shift in (0.0, 1000.0))
        one, two = fit_cox(near), fit_cox(far)
        np.testing.assert_allclose(one.coefficients, two.coefficients, rtol=1e-9)  # 1000 costs three digits
        there = predict_survival(far, two, x[:2] + 1000.0, [3.0])[0]
        np.testing.assert_allclose(predict_survival(near, one, x[:2], [3.0])[0], there, rtol=1e-9)


class TestEdges:
    def test_all_events_at_one_time_are_handled_by_both(self):
        x = [0.0, 1.0, 2.0, 0.5]
        for ties in ("efron", "breslow"):
            rows = risk_sets(x, [5, 5, 5, 5], [1, 1, 0, 0], ties=ties)
            assert rows.time.tolist() == [5]
            assert np.isfinite(fit_cox(rows).coefficients).all()

    def test_a_stratum_without_events_changes_nothing(self):
        x, stop, event, entry, _ = simulated()
        more = risk_sets(
            np.vstack([x, [[9, 9]]]),
            np.append(stop, 3),
            np.append(event, 0),
            stratum=np.repeat([0, 1], [40, 1]),
            start=np.append(entry, 0),
        )
        one, two = fit_cox(risk_sets(x, stop, event, start=entry)), fit_cox(more)
        np.testing.assert_allclose(one.coefficients, two.coefficients, rtol=1e-9)  # another centre, other rounding

    @pytest.mark.parametrize(
        ("x", "event", "message"),
        [
            ([1, 0, 1, 0], [0, 0, 0, 0], "no event"),
            ([1, 1, 1, 1], [1, 1, 0, 1], "collinear or do not vary"),
            ([[1, 2], [0, 0], [1, 2], [0, 0]], [1, 1, 1, 1], "collinear"),
            ([0, 0, 1, 1], [1, 1, 0, 0], "separates events"),
            ([1, 0, np.nan, 0], [1, 1, 1, 1], "none missing"),
            ([1, 0, 1], [1, 1, 1, 1], "a row for each stop"),
            ([1, 0, 1, 0], [1, 2, 1, 2], "between 0 and 1"),
        ],
    )
    def test_data_without_an_answer_are_refused_with_the_reason(self, x, event, message):
        with pytest.raises(ValueError, match=message):
            fit_cox(risk_sets(x, [1, 2, 3, 4], event))

    def test_one_subject_has_no_contrast(self):
        with pytest.raises(ValueError, match="do not vary"):
            fit_cox(risk_sets([2.0], [1], [1]))

    def test_one_event_time_cannot_show_a_change(self):
        rows = risk_sets([0.0, 1.0, 2.0, 0.5], [5, 5, 5, 5], [1, 1, 0, 0])
        with pytest.raises(ValueError, match="too few distinct event times"):
            proportional_hazards_test(rows, fit_cox(rows))

    def test_unknown_options_are_refused(self):
        with pytest.raises(ValueError, match="ties must be"):
            risk_sets([0, 1, 0], [1, 2, 3], [1, 1, 0], ties="exact")
        rows = risk_sets([0, 1, 0], [1, 2, 3], [1, 1, 0])
        with pytest.raises(ValueError, match="transform must be"):
            proportional_hazards_test(rows, fit_cox(rows), transform="sqrt")
