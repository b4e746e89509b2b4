"""Proportional hazards for interval-censored times against closed forms, R, collapse to simpler models, and truth."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2, norm

from analysis.numerics.interval import IntervalData, npmle
from analysis.numerics.interval_aft import fit_accelerated_failure_time
from analysis.numerics.interval_likelihood import split_rows
from analysis.numerics.interval_regression import (
    PiecewiseBaseline,
    SplineBaseline,
    absolute_risk,
    contrast,
    event_quantiles,
    fit_proportional_hazards,
    likelihood_ratio_test,
    standardised_risk,
    wald_test,
)

TESTS = Path(__file__).parents[2]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", TESTS.parents[1] / "shared" / "references"))
OWN = json.loads((TESTS / "reference" / "interval_regression.json").read_text())
COLUMNS = {name: np.array([np.nan if v is None else v for v in column]) for name, column in OWN["data"].items()}
X = np.column_stack([COLUMNS["x1"], COLUMNS["x2"]])
CENSORED = np.isnan(COLUMNS["right"])
DATA = IntervalData(COLUMNS["left"], COLUMNS["right"], np.where(CENSORED, 2, 0), COLUMNS["weight"])
EXACT = IntervalData(COLUMNS["seen"], COLUMNS["seen"], np.where(COLUMNS["event"] == 1, 0, 2), COLUMNS["weight"])
THEIRS = OWN["hazards"]
SPLINE, PIECES = SplineBaseline(tuple(THEIRS["knots"])), PiecewiseBaseline(tuple(THEIRS["cuts"]))


def shared(name):
    if not (REFERENCES / name).exists():
        pytest.skip(f"{REFERENCES / name} is not here: set CATAMNESIS_REFERENCES to the folder of reference numbers")
    return REFERENCES / name


def simulated(seed, n, beta=(0.5, -0.4)):
    """Weibull times of shape 1.3 seen at visits, with drop-out; hazard ratios exp(beta)."""
    generator = np.random.default_rng(seed)
    x = np.column_stack([generator.normal(size=n), generator.integers(0, 2, n)])
    time = 250 * (generator.exponential(size=n) * np.exp(-x @ np.array(beta))) ** (1 / 1.3)
    visits = np.array([0, 30, 60, 90, 180, 270, 365, 540, 730.0])
    last = generator.integers(4, 9, n)
    k = np.searchsorted(visits, time)
    event = k <= last
    left = np.where(event, visits[k - 1], visits[last])
    return IntervalData(left, visits[np.minimum(k, 8)], np.where(event, 0, 2), np.ones(n)), x


class TestClosedForm:
    def test_exact_times_and_one_piece_give_events_by_time_at_risk(self):
        data = IntervalData(np.array([2.0, 5, 9, 4]), np.array([2.0, 5, 9, 0]), np.array([0, 0, 0, 2]), np.ones(4))
        fit = fit_proportional_hazards(data, np.zeros((4, 0)), baseline=PiecewiseBaseline(()))
        assert fit.parameters[0] == pytest.approx(np.log(3 / 20), rel=1e-12)  # rounding
        assert fit.covariance[0, 0] == pytest.approx(1 / 3, rel=1e-12)
        assert fit.loglik == pytest.approx(3 * np.log(3 / 20) - 3, rel=1e-12)

    def test_pieces_give_events_by_time_at_risk_in_each_and_a_cut_belongs_to_the_piece_before(self):
        data = IntervalData(np.array([2.0, 4, 6, 9]), np.array([2.0, 4, 6, 0]), np.array([0, 0, 0, 2]), np.ones(4))
        fit = fit_proportional_hazards(data, np.zeros((4, 0)), baseline=PiecewiseBaseline((4.0,)))
        np.testing.assert_allclose(np.exp(fit.parameters), [2 / 14, 1 / 7], rtol=1e-12)  # rounding

    def test_pieces_between_visits_reproduce_the_shares_seen_and_their_intervals(self):
        # 8 begin, 3 have it by day 10, 2 of the other 5 by day 20.
        data = IntervalData(
            np.array([0.0, 10, 20]), np.array([10.0, 20, 0]), np.array([0, 0, 2]), np.array([3.0, 2, 3])
        )
        fit = fit_proportional_hazards(data, np.zeros((3, 0)), baseline=PiecewiseBaseline((10.0,)))
        risk = absolute_risk(fit, np.zeros((1, 0)), [10, 20])
        # What Newton's last step leaves, here and below.
        np.testing.assert_allclose(risk.estimate[0], [3 / 8, 5 / 8], rtol=1e-9)
        np.testing.assert_allclose(risk.std_error[0], np.sqrt(15 / 64 / 8), rtol=1e-9)
        # Binomial share on the complementary log-log scale.
        share = np.array([3 / 8, 5 / 8])
        hazard = -np.log1p(-share)
        width = norm.ppf(0.975) * np.sqrt(share / (1 - share) / 8) / hazard
        np.testing.assert_allclose(risk.lower[0], 1 - np.exp(-hazard * np.exp(-width)), rtol=1e-9)
        np.testing.assert_allclose(risk.upper[0], 1 - np.exp(-hazard * np.exp(width)), rtol=1e-9)

    def test_pieces_between_visits_are_the_nonparametric_estimate(self):
        data, _ = simulated(3, 400)
        fit = fit_proportional_hazards(
            data, np.zeros((400, 0)), baseline=PiecewiseBaseline((30.0, 60, 90, 180, 270, 365))
        )
        times = np.array([30.0, 60, 90, 180, 270, 365])
        # The nonparametric optimum is certified to 1e-10 in the log-likelihood per row, its masses to the root of that.
        np.testing.assert_allclose(
            absolute_risk(fit, np.zeros((1, 0)), times).estimate[0], npmle(data).incidence(times), atol=1e-5
        )

    def test_the_spline_basis_is_natural_and_smooth(self):
        knots = np.array(SPLINE.knots)
        outside = np.array([1.0, 5.0, 500.0, 900.0])
        # Cubes of logs of some hundred cancel.
        np.testing.assert_allclose(SPLINE.basis(outside, 2), 0, atol=1e-10)
        for order in (1, 2):
            step = 1e-5
            rise = SPLINE.basis(knots * np.exp(step), order - 1) - SPLINE.basis(knots * np.exp(-step), order - 1)
            # Central differences of cubic pieces err by the jump in the third derivative times the step.
            np.testing.assert_allclose(rise / (2 * step), SPLINE.basis(knots, order), atol=1e-4)


class TestReferences:
    def test_breast_cosmesis_agrees_with_icenreg_weibull_proportional_hazards(self):
        values = json.loads(shared("json/ic_parametric_bcos.json").read_text())["values"]["ic_par"]
        theirs = next(item for item in values if item["model"] == "ph" and item["dist"] == "weibull")
        with shared("data/interval_bcos.csv").open() as file:
            rows = list(csv.DictReader(file))
        left, right = (np.array([float(row[end]) for row in rows]) for end in ("left", "right"))
        x = np.array([[float(row["treatment"] == "RadChem")] for row in rows])
        data = IntervalData(left, right, np.where(np.isinf(right), 2, 0), np.ones(left.size))
        fit = fit_proportional_hazards(data, x, baseline=SplineBaseline((1.0, 40.0)))
        gamma0, shape, beta = fit.parameters
        # icenReg centres covariates; 1e-5 is the tolerance the reference states, 1e-4 its standard errors show.
        log_scale = -(gamma0 + beta * x.mean()) / shape
        np.testing.assert_allclose([np.log(shape), log_scale, beta], list(theirs["coef"].values()), rtol=1e-5)
        assert fit.std_error[2] == pytest.approx(theirs["se"]["treatmentRadChem"], rel=1e-4)
        assert fit.loglik == pytest.approx(theirs["llk"], rel=1e-10)

    @pytest.mark.parametrize("case", ["spline", "spline_strata", "pieces"])
    def test_all_kinds_of_rows_agree_with_a_likelihood_maximised_in_r(self, case):
        stratum = COLUMNS["stratum"] if case == "spline_strata" else None
        fit = fit_proportional_hazards(DATA, X, baseline=PIECES if case == "pieces" else SPLINE, stratum=stratum)
        # R differentiates numerically, its likelihood to 1e-10 and hence its curvature to 1e-8.
        np.testing.assert_allclose(fit.coefficients, THEIRS[case]["beta"], rtol=1e-9)
        np.testing.assert_allclose(fit.covariance[-2:, -2:], THEIRS[case]["var"], rtol=1e-7)
        assert fit.loglik == pytest.approx(THEIRS[case]["loglik"], rel=1e-9)

    def test_exact_times_agree_with_poisson_regression_in_r(self):
        fit = fit_proportional_hazards(EXACT, X, baseline=PIECES)
        # glm stops at 1e-14 relative in the deviance.
        np.testing.assert_allclose(fit.parameters, THEIRS["poisson"]["theta"], rtol=1e-8)
        np.testing.assert_allclose(fit.covariance, THEIRS["poisson"]["var"], rtol=1e-7)

    def test_the_standardised_risk_agrees_with_r(self):
        fit = fit_proportional_hazards(DATA, X, baseline=SPLINE)
        settings = [np.column_stack([X[:, 0], np.full(len(X), value)]) for value in (0, 1)]
        risk = standardised_risk(fit, settings, THEIRS["times"], count=DATA.count)
        np.testing.assert_allclose(risk.estimate, THEIRS["standardised"], rtol=1e-9)  # as the coefficients above


class TestDerivatives:
    @pytest.mark.parametrize("baseline", [SPLINE, PIECES])
    def test_score_and_hessian_are_differences_of_the_likelihood(self, baseline):
        stratum = COLUMNS["stratum"]
        fit = fit_proportional_hazards(DATA, X, baseline=baseline, stratum=stratum)
        rows = split_rows(fit.model, DATA, X, (stratum == 2).astype(int))
        # Away from the maximum, where every term counts.
        theta, step = fit.parameters + 0.01 * fit.std_error, 1e-4 * fit.std_error
        scores, hessian = rows.derivatives(theta)
        shifts = np.diag(step)
        slope = [(rows.loglik(theta + h) - rows.loglik(theta - h)) / 2 / h.max() for h in shifts]
        bend = [
            (rows.derivatives(theta + h)[0] - rows.derivatives(theta - h)[0]).sum(axis=0) / 2 / h.max() for h in shifts
        ]
        # In units of standard errors: steps of 1e-4 err by their square times third derivatives of up to some hundred.
        np.testing.assert_allclose(scores.sum(axis=0) * fit.std_error, slope * fit.std_error, atol=1e-5)
        units = np.outer(fit.std_error, fit.std_error)
        np.testing.assert_allclose(hessian * units, bend * units, atol=1e-5)

    @pytest.mark.parametrize("measure", ["difference", "ratio"])
    def test_errors_of_risks_and_contrasts_are_those_of_numeric_gradients(self, measure):
        fit = fit_proportional_hazards(DATA, X, baseline=SPLINE, stratum=COLUMNS["stratum"])
        settings = [np.column_stack([X[:, 0], np.full(len(X), value)]) for value in (0, 1)]
        risk = standardised_risk(fit, settings, [90, 365], strata=[1, 2])
        ours = contrast(fit, risk, 1, 0, measure=measure)

        def value(theta):
            means = []
            for design, stratum in zip(settings, (0, 1), strict=True):
                u = [SPLINE.basis(np.array([t]))[0] @ theta[4 * stratum :][:4] + design @ theta[8:] for t in (90, 365)]
                means.append([np.mean(1 - np.exp(-np.exp(log_hazard))) for log_hazard in u])
            before, after = np.array(means)
            return after - before if measure == "difference" else after / before

        shifts = np.diag(1e-4 * fit.std_error)
        gradient = np.array([(value(fit.parameters + h) - value(fit.parameters - h)) / 2 / h.max() for h in shifts]).T
        np.testing.assert_allclose(ours.estimate, value(fit.parameters), rtol=1e-12)  # rounding
        # Central differences at 1e-4 standard errors.
        np.testing.assert_allclose(ours.std_error**2, np.diag(gradient @ fit.variance @ gradient.T), rtol=1e-5)
        assert (ours.lower < ours.estimate).all() and (ours.estimate < ours.upper).all()


class TestCollapse:
    def test_two_knots_make_the_weibull_model(self):
        fit = fit_proportional_hazards(DATA, X, baseline=SplineBaseline((5.0, 50.0)))
        aft = fit_accelerated_failure_time(DATA, X, "weibull")
        scale = np.exp(aft.parameters[-1])
        # Two Newton paths to one maximum.
        np.testing.assert_allclose(fit.parameters[1], 1 / scale, rtol=1e-8)
        np.testing.assert_allclose(fit.coefficients, -aft.coefficients / scale, rtol=1e-8)
        np.testing.assert_allclose([fit.loglik, fit.loglik_null], [aft.loglik, aft.loglik_null], rtol=1e-12)
        times = np.array([60.0, 365])
        ours, theirs = (absolute_risk(f, X[:3], times) for f in (fit, aft))
        for field in ("estimate", "std_error", "lower", "upper"):
            np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), rtol=1e-7)

    def test_one_piece_is_the_exponential_model_with_the_other_sign(self):
        fit = fit_proportional_hazards(DATA, X, baseline=PiecewiseBaseline(()))
        aft = fit_accelerated_failure_time(DATA, X, "exponential")
        np.testing.assert_allclose(fit.parameters, -aft.parameters, rtol=1e-9)  # two Newton paths to one maximum
        np.testing.assert_allclose(fit.covariance, aft.covariance, rtol=1e-8)
        assert fit.loglik == pytest.approx(aft.loglik, rel=1e-12)

    def test_strata_with_their_own_columns_are_separate_fits(self):
        stratum = COLUMNS["stratum"]
        split = np.hstack([X * (stratum == s)[:, None] for s in (1, 2)])
        together = fit_proportional_hazards(DATA, split, baseline=SPLINE, stratum=stratum)
        loglik = 0.0
        for s in (1, 2):
            own = stratum == s
            part = IntervalData(DATA.left[own], DATA.right[own], DATA.kind[own], DATA.count[own])
            fit = fit_proportional_hazards(part, X[own], baseline=SPLINE)
            at = slice(2 * s - 2, 2 * s)
            np.testing.assert_allclose(together.coefficients[at], fit.coefficients, rtol=1e-7)  # two Newton paths
            loglik += fit.loglik
        assert together.loglik == pytest.approx(loglik, rel=1e-12)

    @pytest.mark.parametrize("baseline", [SPLINE, PIECES])
    def test_counts_are_repeated_rows(self, baseline):
        repeat = np.repeat(np.arange(len(X)), DATA.count.astype(int))
        rows = IntervalData(DATA.left[repeat], DATA.right[repeat], DATA.kind[repeat], np.ones(repeat.size))
        cluster = COLUMNS["cluster"]
        counted = fit_proportional_hazards(DATA, X, baseline=baseline, cluster=cluster)
        repeated = fit_proportional_hazards(rows, X[repeat], baseline=baseline, cluster=cluster[repeat])
        # The same sums in another order; a spline of cubes loses some digits.
        np.testing.assert_allclose(counted.parameters, repeated.parameters, rtol=1e-7)
        np.testing.assert_allclose(counted.variance, repeated.variance, rtol=1e-7)
        assert (counted.n, counted.n_events) == (repeated.n, repeated.n_events)

    def test_narrow_intervals_approach_exact_times(self):
        width = 1e-5
        narrow = IntervalData(EXACT.left * (1 - width), EXACT.right * (1 + width), EXACT.kind, EXACT.count)
        fits = [fit_proportional_hazards(data, X, baseline=SPLINE) for data in (narrow, EXACT)]
        # The censoring times moved as well, by 1e-5 of themselves.
        np.testing.assert_allclose(fits[0].coefficients, fits[1].coefficients, atol=1e-4)

    def test_a_cohort_of_one_is_its_absolute_risk(self):
        fit = fit_proportional_hazards(DATA, X, baseline=SPLINE)
        alone, mean = absolute_risk(fit, X[:1], [90, 365]), standardised_risk(fit, [X[:1]], [90, 365])
        for field in ("estimate", "std_error", "lower", "upper"):
            np.testing.assert_allclose(getattr(mean, field), getattr(alone, field), rtol=1e-12)  # rounding

    def test_the_certificate_holds_and_the_likelihood_falls_on_all_sides(self):
        fit = fit_proportional_hazards(DATA, X, baseline=SPLINE)
        rows = split_rows(fit.model, DATA, X, np.zeros(len(X), int))
        assert fit.convergence.decrement < 1e-12 and fit.convergence.smallest_eigenvalue > 0
        for shift in np.diag(0.01 * fit.std_error):
            assert max(rows.loglik(fit.parameters + shift), rows.loglik(fit.parameters - shift)) < fit.loglik


class TestTests:
    def test_an_interaction_of_stage_and_covariate_is_tested_both_ways(self):
        stage = COLUMNS["stratum"] == 2
        x = np.column_stack([X, stage, X[:, 0] * stage])
        names = ["age", "dose", "stage", "stage:age"]
        full = fit_proportional_hazards(DATA, x, baseline=PIECES, names=names)
        reduced = fit_proportional_hazards(DATA, x[:, :3], baseline=PIECES, names=names[:3])
        wald, ratio = wald_test(full, ["stage:age"]), likelihood_ratio_test(full, reduced)
        assert ratio.statistic == pytest.approx(2 * (full.loglik - reduced.loglik), rel=1e-12)  # rounding
        assert ratio.p_value == pytest.approx(chi2.sf(ratio.statistic, 1), rel=1e-12)
        assert wald.statistic == pytest.approx((full.coefficients[3] / full.std_error[-1]) ** 2, rel=1e-12)
        assert wald_test(full, names).df == 4

    def test_fits_that_are_not_nested_are_not_compared(self):
        full = fit_proportional_hazards(DATA, X, baseline=PIECES)
        other = fit_proportional_hazards(DATA, X[:, :1], baseline=SPLINE)
        with pytest.raises(ValueError, match="baseline of the full one"):
            likelihood_ratio_test(full, other)
        with pytest.raises(ValueError, match="age is not among the parameters"):
            wald_test(full, ["age"])


class TestTruth:
    @pytest.mark.parametrize("baseline", [None, PiecewiseBaseline((30.0, 60.0, 90.0, 180.0, 270.0, 365.0, 540.0))])
    def test_hazard_ratios_and_risks_are_recovered_from_visits(self, baseline):
        data, x = simulated(11, 20_000)
        fit = fit_proportional_hazards(data, x, baseline=baseline)
        # Four standard errors: a false alarm once in 8,000 seeds; the seed is fixed. Pieces end at the visits.
        assert (np.abs(fit.coefficients - [0.5, -0.4]) < 4 * fit.std_error[-2:]).all()
        times = np.array([90.0, 365])
        settings = [np.column_stack([x[:, 0], np.full(len(x), value)]) for value in (0, 1)]
        risk = standardised_risk(fit, settings, times)
        truth = [[np.mean(-np.expm1(-((t / 250) ** 1.3) * np.exp(s @ [0.5, -0.4]))) for t in times] for s in settings]
        assert (np.abs(risk.estimate - truth) < 4 * risk.std_error).all()

    @pytest.mark.slow
    def test_intervals_cover_the_truth_as_often_as_they_say(self):
        covered, seeds = np.zeros(2), 1000
        for seed in range(seeds):
            data, x = simulated(seed, 400)
            fit = fit_proportional_hazards(data, x)
            covered += np.abs(fit.coefficients - [0.5, -0.4]) < norm.ppf(0.975) * fit.std_error[-2:]
        # Three Monte-Carlo standard errors of 95 % over 1,000 seeds.
        assert (np.abs(covered / seeds - 0.95) < 0.021).all()

    @pytest.mark.slow
    def test_the_sandwich_covers_where_patients_have_two_courses_that_are_alike(self):
        covered, seeds = np.zeros(2), 1000
        for seed in range(seeds):
            data, x = simulated(seed, 200)
            both = np.repeat(np.arange(200), 2)
            twice = IntervalData(data.left[both], data.right[both], data.kind[both], data.count[both])
            fit = fit_proportional_hazards(twice, x[both], baseline=SplineBaseline((30.0, 365.0)), cluster=both)
            covered += np.abs(fit.coefficients - [0.5, -0.4]) < norm.ppf(0.975) * fit.std_error[-2:]
        # As above, and a sandwich of 200 clusters is a little too small.
        assert (np.abs(covered / seeds - 0.95) < 0.03).all()


class TestRefusals:
    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_a_separating_column_is_named(self, sign):
        x = np.column_stack([X, sign * CENSORED])
        with pytest.raises(ValueError, match=r"separated .* along never$"):
            fit_proportional_hazards(DATA, x, baseline=SPLINE, names=["age", "dose", "never"])

    def test_collinear_columns_are_named_and_others_are_not(self):
        x = np.column_stack([X, X[:, 0] - 2 * X[:, 1] + 3, COLUMNS["cluster"]])
        with pytest.raises(ValueError, match=r"drop one of age, dose, both\.$"):
            fit_proportional_hazards(DATA, x, baseline=SPLINE, names=["age", "dose", "both", "site"])

    def test_a_column_constant_within_strata_is_named(self):
        x, stratum = np.column_stack([X, COLUMNS["stratum"]]), COLUMNS["stratum"]
        with pytest.raises(ValueError, match=r"drop one of stage\.$"):
            fit_proportional_hazards(DATA, x, baseline=SPLINE, stratum=stratum, names=["age", "dose", "stage"])

    def test_more_parameters_than_events_are_refused(self):
        data = IntervalData(np.arange(9.0), np.arange(9.0) + 2, np.where(np.arange(9) < 3, 0, 2), np.ones(9))
        with pytest.raises(ValueError, match="3 events cannot support 4 parameters"):
            fit_proportional_hazards(data, np.arange(9.0) ** 2 % 5, baseline=PiecewiseBaseline((2.0, 3.0)))

    def test_a_stratum_without_event_is_named(self):
        with pytest.raises(ValueError, match="No event in stratum late"):
            fit_proportional_hazards(DATA, X, baseline=SPLINE, stratum=np.where(CENSORED, "late", "early"))

    def test_more_knots_than_visits_are_undetermined(self):
        data, x = simulated(5, 500)
        few = IntervalData(
            np.where(data.left < 90, 0, 90.0), np.where(data.right <= 90, 90, 365.0), data.kind, data.count
        )
        with pytest.raises(ValueError, match=r"do not determine .*gamma"):
            fit_proportional_hazards(few, x, baseline=SplineBaseline((30.0, 90.0, 200.0, 365.0)))

    def test_a_piece_in_which_nothing_can_have_happened_is_named(self):
        data = IntervalData(
            np.array([0.0, 10, 20, 5]), np.array([5.0, 20, 0, 0]), np.array([0, 0, 2, 2]), np.full(4, 9.0)
        )
        with pytest.raises(ValueError, match=r"along log hazard \(5, 10\]$"):
            fit_proportional_hazards(data, np.zeros((4, 0)), baseline=PiecewiseBaseline((5.0, 10.0)))

    def test_a_spline_that_falls_is_refused(self):
        # Many early and many late events and none between bend a cubic down in the middle.
        left = np.concatenate([np.linspace(1, 2, 40), np.linspace(50, 60, 40)])
        data = IntervalData(left, left, np.zeros(80), np.ones(80))
        with pytest.raises(ValueError, match=r"falls at .* use fewer knots"):
            fit_proportional_hazards(data, np.zeros((80, 0)), baseline=SplineBaseline((1.0, 2.0, 50.0, 60.0)))

    def test_knots_and_cuts_must_increase_and_be_enough(self):
        with pytest.raises(ValueError, match="two or more knots"):
            SplineBaseline((90.0,))
        with pytest.raises(ValueError, match="positive and increasing"):
            PiecewiseBaseline((90.0, 30.0))
        with pytest.raises(ValueError, match="different event times cannot place 20 points"):
            event_quantiles(simulated(1, 300)[0], np.linspace(0, 1, 20))

    def test_predictions_without_support_are_refused(self):
        fit = fit_proportional_hazards(DATA, X, baseline=SPLINE, stratum=COLUMNS["stratum"])
        with pytest.raises(ValueError, match="nothing is known later"):
            absolute_risk(fit, X[:1], [5000], stratum=1)
        with pytest.raises(ValueError, match="one of the strata 1, 2"):
            absolute_risk(fit, X[:1], [90])
        with pytest.raises(ValueError, match="columns x1, x2"):
            absolute_risk(fit, X[:1, :1], [90], stratum=1)
