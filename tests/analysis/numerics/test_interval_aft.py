"""Accelerated failure time against closed forms, R, the models it must collapse to, and known truth."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from analysis.numerics.interval import IntervalData
from analysis.numerics.interval_aft import fit_accelerated_failure_time, time_quantiles
from analysis.numerics.interval_likelihood import split_rows
from analysis.numerics.interval_regression import (
    SplineBaseline,
    absolute_risk,
    fit_proportional_hazards,
    likelihood_ratio_test,
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
DISTRIBUTIONS = ["exponential", "weibull", "loglogistic", "lognormal"]
# Our R call stops at 1e-13 relative in the log-likelihood: the last Newton step leaves 1e-10 in coefficients, errors.
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def shared(name):
    if not (REFERENCES / name).exists():
        pytest.skip(f"{REFERENCES / name} is not here: set CATAMNESIS_REFERENCES to the folder of reference numbers")
    return REFERENCES / name


def breast_cosmesis():
    with shared("data/interval_bcos.csv").open() as file:
        rows = list(csv.DictReader(file))
    left, right = (np.array([float(row[end]) for row in rows]) for end in ("left", "right"))
    x = np.array([[float(row["treatment"] == "RadChem")] for row in rows])
    return IntervalData(left, right, np.where(np.isinf(right), 2, 0), np.ones(left.size)), x


def published():
    return json.loads(shared("json/ic_parametric_bcos.json").read_text())["values"]


def agree(fit, theirs, *, exponential):
    scale = [] if exponential else np.atleast_1d(theirs["log_scale"])
    np.testing.assert_allclose(fit.parameters, [*theirs["coef"], *scale], **CLOSE)
    np.testing.assert_allclose(fit.covariance, theirs["var"], **CLOSE)
    # Where the likelihood is flat, its error is of second order in that of the coefficients.
    np.testing.assert_allclose([fit.loglik, fit.loglik_null], [theirs["loglik"], theirs["loglik_null"]], rtol=1e-10)


class TestClosedForm:
    def test_exact_exponential_times_give_time_at_risk_by_event(self):
        data = IntervalData(np.array([2.0, 5, 9, 4]), np.array([2.0, 5, 9, 0]), np.array([0, 0, 0, 2]), np.ones(4))
        fit = fit_accelerated_failure_time(data, np.zeros((4, 0)), "exponential")
        assert fit.parameters[0] == pytest.approx(np.log(20 / 3), rel=1e-12)  # rounding
        assert fit.covariance[0, 0] == pytest.approx(1 / 3, rel=1e-12)
        assert fit.loglik == pytest.approx(3 * np.log(3 / 20) - 3, rel=1e-12)

    def test_one_visit_gives_the_complementary_log_log_of_the_share(self):
        # 3 of 8 by day 10: exp(-rate * 10) = 5/8.
        data = IntervalData(np.array([0.0, 10]), np.array([10.0, np.inf]), np.array([0, 2]), np.array([3.0, 5]))
        fit = fit_accelerated_failure_time(data, np.zeros((2, 0)), "exponential")
        assert np.exp(-fit.parameters[0]) == pytest.approx(-np.log(5 / 8) / 10, rel=1e-12)  # rounding

    def test_exact_log_normal_times_give_mean_and_spread_of_logs(self):
        logs = np.array([0.2, 1.0, 1.9, 0.4, 2.2])
        data = IntervalData(np.exp(logs), np.exp(logs), np.zeros(5), np.ones(5))
        fit = fit_accelerated_failure_time(data, np.zeros((5, 0)), "lognormal")
        np.testing.assert_allclose(fit.parameters, [logs.mean(), np.log(logs.std())], rtol=1e-10)  # Newton's last step
        assert fit.loglik == pytest.approx(norm.logpdf(logs, logs.mean(), logs.std()).sum() - logs.sum(), rel=1e-12)


class TestReferences:
    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_breast_cosmesis_agrees_with_survreg(self, distribution):
        theirs = next(item for item in published()["survreg"] if item["dist"] == distribution)
        fit = fit_accelerated_failure_time(*breast_cosmesis(), distribution)
        scale = [] if distribution == "exponential" else [theirs["log_scale"]]
        # 1e-8 is the tolerance the reference states for survreg.
        np.testing.assert_allclose(fit.parameters, [*theirs["coef"].values(), *scale], rtol=1e-8)
        np.testing.assert_allclose(fit.covariance, theirs["vcov"]["values"], rtol=1e-8)
        np.testing.assert_allclose([fit.loglik, fit.loglik_null], [theirs["loglik"], theirs["loglik_null"]], rtol=1e-8)

    @pytest.mark.parametrize(
        "distribution, dist", [("weibull", "weibull"), ("loglogistic", "loglogistic"), ("lognormal", "lnorm")]
    )
    def test_breast_cosmesis_agrees_with_icenreg_in_its_own_parameters(self, distribution, dist):
        theirs = next(p for p in published()["ic_par"] if p["model"] == "aft" and p["dist"] == dist)
        data, x = breast_cosmesis()
        # icenReg centres covariates, and names the location and the log of 1 / scale, or of the scale.
        intercept, slope, log_scale = fit_accelerated_failure_time(data, x, distribution).parameters
        location = intercept + slope * x.mean()
        ours = {
            "weibull": [-log_scale, location, slope],
            "loglogistic": [location, -log_scale, slope],
            "lnorm": [location, log_scale, slope],
        }[dist]
        # 1e-5 is the tolerance the reference states for icenReg.
        np.testing.assert_allclose(ours, list(theirs["coef"].values()), rtol=1e-5)

    def test_no_law_does_better_than_the_semiparametric_maximum_of_icenreg(self):
        # Whatever the baseline, ic_sp's likelihood is the most that proportional hazards (odds) reach on these rows.
        data, x = breast_cosmesis()
        best = published()["ic_sp"]
        hazards = [fit_accelerated_failure_time(data, x, "weibull"),
                   fit_proportional_hazards(data, x, baseline=SplineBaseline((4.0, 12, 24, 40)))]  # fmt: skip
        odds = fit_accelerated_failure_time(data, x, "loglogistic")
        weibull, spline = hazards
        ratios = [-weibull.coefficients[0] / np.exp(weibull.parameters[-1]), spline.coefficients[0]]
        assert weibull.loglik < spline.loglik < best["ph"]["llk"] and odds.loglik < best["po"]["llk"]
        # A smooth baseline takes little from the effect: within half of its standard error, 0.28 and 0.40 of icenReg.
        theirs = best["ph"]["coef"]["treatmentRadChem"]
        np.testing.assert_allclose(ratios, theirs, atol=0.14)
        log_odds = -odds.coefficients[0] / np.exp(odds.parameters[-1])
        assert -log_odds == pytest.approx(best["po"]["coef"]["treatmentRadChem"], abs=0.2)

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_weighted_rows_of_all_kinds_agree_with_survreg(self, distribution):
        agree(
            fit_accelerated_failure_time(DATA, X, distribution),
            OWN["aft"][distribution],
            exponential=distribution == "exponential",
        )

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_exact_times_agree_with_survreg(self, distribution):
        agree(
            fit_accelerated_failure_time(EXACT, X, distribution),
            OWN["aft"][distribution]["exact"],
            exponential=distribution == "exponential",
        )

    @pytest.mark.parametrize("distribution", ["weibull", "lognormal"])
    def test_a_scale_for_each_stratum_agrees_with_survreg(self, distribution):
        fit = fit_accelerated_failure_time(DATA, X, distribution, stratum=COLUMNS["stratum"])
        agree(fit, OWN["aft"][distribution]["strata"], exponential=False)
        assert fit.names[-2:] == ("Log(scale) [1]", "Log(scale) [2]")

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_the_sandwich_of_weighted_intervals_agrees_with_rows_differentiated_in_r(self, distribution):
        fit = fit_accelerated_failure_time(DATA, X, distribution, cluster=COLUMNS["cluster"])
        # R differentiates with steps of 1e-3, which err by their fourth power.
        np.testing.assert_allclose(fit.variance, OWN["aft"][distribution]["robust"], rtol=1e-7, atol=1e-10)

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_the_sandwich_of_exact_times_agrees_with_survreg(self, distribution):
        data = IntervalData(EXACT.left, EXACT.right, EXACT.kind, np.ones(len(X)))
        fit = fit_accelerated_failure_time(data, X, distribution, cluster=COLUMNS["cluster"])
        np.testing.assert_allclose(fit.variance, OWN["aft"][distribution]["robust_exact"], **CLOSE)

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_quantiles_agree_with_survreg(self, distribution):
        fit, theirs = fit_accelerated_failure_time(DATA, X, distribution), OWN["aft"][distribution]
        ours = time_quantiles(fit, [[-0.5, 0], [1, 1]], [0.25, 0.5])
        np.testing.assert_allclose(ours.estimate, theirs["quantile"], **CLOSE)
        np.testing.assert_allclose(ours.std_error, theirs["quantile_se"], **CLOSE)
        assert (ours.lower < ours.estimate).all() and (ours.estimate < ours.upper).all()


class TestDerivatives:
    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    @pytest.mark.parametrize("strata", [1, 2])
    def test_score_and_hessian_are_differences_of_the_likelihood(self, distribution, strata):
        strata = 1 if distribution == "exponential" else strata
        stratum = COLUMNS["stratum"] if strata == 2 else None
        fit = fit_accelerated_failure_time(DATA, X, distribution, stratum=stratum)
        code = (COLUMNS["stratum"] == 2).astype(int) if strata == 2 else np.zeros(len(X), int)
        rows = split_rows(fit.model, DATA, X, code)
        # Away from the maximum, where every term counts.
        theta, step = fit.parameters + 0.1, 1e-5
        scores, hessian = rows.derivatives(theta)
        shifts = step * np.eye(theta.size)
        slope = [(rows.loglik(theta + h) - rows.loglik(theta - h)) / (2 * step) for h in shifts]
        bend = [
            (rows.derivatives(theta + h)[0] - rows.derivatives(theta - h)[0]).sum(axis=0) / (2 * step) for h in shifts
        ]
        # Central differences err by step^2 and by rounding / step, both near 1e-8 of the largest entry here.
        np.testing.assert_allclose(scores.sum(axis=0), slope, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(hessian, bend, rtol=1e-6, atol=1e-5)


class TestCollapse:
    def test_narrow_intervals_approach_exact_times(self):
        width = 1e-5
        narrow = IntervalData(EXACT.left * (1 - width), EXACT.right * (1 + width), EXACT.kind, EXACT.count)
        wide = fit_accelerated_failure_time(narrow, X, "weibull")
        fit = fit_accelerated_failure_time(EXACT, X, "weibull")
        # The censoring times moved as well, by 1e-5 of themselves.
        np.testing.assert_allclose(wide.parameters, fit.parameters, atol=1e-4)
        np.testing.assert_allclose(wide.covariance, fit.covariance, rtol=1e-3)

    def test_counts_are_repeated_rows(self):
        repeat = np.repeat(np.arange(len(X)), DATA.count.astype(int))
        fields = DATA.left[repeat], DATA.right[repeat], DATA.kind[repeat], np.ones(repeat.size)
        cluster = COLUMNS["cluster"]
        counted = fit_accelerated_failure_time(DATA, X, "loglogistic", cluster=cluster)
        repeated = fit_accelerated_failure_time(
            IntervalData(*fields), X[repeat], "loglogistic", cluster=cluster[repeat]
        )
        # The same sums in another order.
        np.testing.assert_allclose(counted.parameters, repeated.parameters, rtol=1e-9)
        np.testing.assert_allclose(counted.variance, repeated.variance, rtol=1e-9)
        assert counted.n == repeated.n

    def test_an_infinite_right_end_and_a_zero_count_change_nothing(self):
        open_end = np.where(CENSORED, np.inf, DATA.right)
        extra = IntervalData(*(np.append(f, v) for f, v in zip((DATA.left, open_end), (5.0, 3.0), strict=True)),
                             np.zeros(len(X) + 1), np.append(DATA.count, 0.0))  # fmt: skip
        fit = fit_accelerated_failure_time(DATA, X, "weibull")
        other = fit_accelerated_failure_time(extra, np.vstack([X, [9.0, 9.0]]), "weibull")
        np.testing.assert_array_equal(other.parameters, fit.parameters)

    def test_the_unit_of_time_moves_only_the_intercept(self):
        years = IntervalData(DATA.left / 365, DATA.right / 365, DATA.kind, DATA.count)
        fit, other = (fit_accelerated_failure_time(d, X, "lognormal") for d in (DATA, years))
        shift = np.array([np.log(365), 0, 0, 0])
        np.testing.assert_allclose(other.parameters, fit.parameters - shift, rtol=1e-8)  # two Newton paths

    def test_the_risk_at_the_median_time_is_a_half(self):
        fit = fit_accelerated_failure_time(DATA, X, "loglogistic")
        median = time_quantiles(fit, [[0.2, 1]], [0.5]).estimate[0]
        assert absolute_risk(fit, [[0.2, 1]], median).estimate[0, 0] == pytest.approx(0.5, rel=1e-12)  # rounding


class TestTests:
    def test_wald_and_likelihood_ratio_tests_of_one_column_are_close_and_count_it(self):
        full = fit_accelerated_failure_time(DATA, X, "weibull", names=["age", "dose"])
        reduced = fit_accelerated_failure_time(DATA, X[:, :1], "weibull", names=["age"])
        wald, ratio = wald_test(full, ["dose"]), likelihood_ratio_test(full, reduced)
        assert wald.df == ratio.df == 1
        assert wald.statistic == pytest.approx((full.parameters[2] / full.std_error[2]) ** 2, rel=1e-12)  # rounding
        assert wald.statistic == pytest.approx(ratio.statistic, rel=0.1)  # equal only in large samples

    def test_a_clustered_fit_has_no_likelihood_ratio_test(self):
        full = fit_accelerated_failure_time(DATA, X, "weibull", cluster=COLUMNS["cluster"])
        reduced = fit_accelerated_failure_time(DATA, X[:, :1], "weibull", cluster=COLUMNS["cluster"])
        with pytest.raises(ValueError, match="use wald_test"):
            likelihood_ratio_test(full, reduced)


class TestTruth:
    @pytest.mark.parametrize("distribution", ["weibull", "loglogistic", "lognormal"])
    def test_the_truth_is_recovered_from_visits(self, distribution):
        generator = np.random.default_rng(7)
        n, truth = 20_000, np.array([5.0, 0.5, -0.8, np.log(0.7)])
        x = np.column_stack([generator.normal(size=n), generator.integers(0, 2, n)])
        uniform = generator.random(n)
        error = {"weibull": np.log(-np.log(uniform)), "lognormal": norm.ppf(uniform)}
        log_time = truth[0] + x @ truth[1:3] + 0.7 * error.get(distribution, np.log(uniform / (1 - uniform)))
        visits = np.array([0, 30, 60, 90, 180, 365, 730, np.inf])
        k = np.searchsorted(visits, np.exp(log_time))
        data = IntervalData(visits[k - 1], visits[k], np.where(k == 7, 2, 0), np.ones(n))
        fit = fit_accelerated_failure_time(data, x, distribution)
        # Four standard errors: a false alarm once in 4,000 seeds; the seed is fixed.
        assert (np.abs(fit.parameters - truth) < 4 * fit.std_error).all()
        assert fit.std_error.max() < 0.02

    @pytest.mark.slow
    def test_intervals_cover_the_truth_as_often_as_they_say(self):
        truth, covered, seeds = np.array([5.0, 0.5, np.log(0.7)]), 0, 1000
        visits = np.array([0, 30, 60, 90, 180, 365, 730, np.inf])
        for seed in range(seeds):
            generator = np.random.default_rng(seed)
            x = generator.normal(size=(300, 1))
            times = np.exp(5 + 0.5 * x[:, 0] + 0.7 * generator.normal(size=300))
            k = np.searchsorted(visits, times)
            data = IntervalData(visits[k - 1], visits[k], np.where(k == 7, 2, 0), np.ones(300))
            fit = fit_accelerated_failure_time(data, x, "lognormal")
            covered += np.abs(fit.parameters - truth) < norm.ppf(0.975) * fit.std_error
        # Three Monte-Carlo standard errors of 95 % over 1,000 seeds.
        assert (np.abs(covered / seeds - 0.95) < 0.021).all()


class TestRefusals:
    def test_an_unknown_distribution_lists_those_known(self):
        with pytest.raises(ValueError, match="exponential, weibull, loglogistic, lognormal"):
            fit_accelerated_failure_time(DATA, X, "gamma")

    def test_an_exact_time_at_zero_has_no_logarithm(self):
        data = IntervalData(np.zeros(3), np.array([0.0, 2, 3]), np.zeros(3), np.ones(3))
        with pytest.raises(ValueError, match="at or before time 0"):
            fit_accelerated_failure_time(data, np.zeros((3, 0)), "weibull")

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_a_separating_column_is_named(self, distribution):
        never = CENSORED.astype(float)
        with pytest.raises(ValueError, match=r"separated .* along never$"):
            fit_accelerated_failure_time(DATA, np.column_stack([X, never]), distribution, names=["a", "b", "never"])

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS[1:])
    @pytest.mark.parametrize(
        "ends",
        [
            # By hand: with scale to 0 and the mean inside what all share, every probability goes to 1.
            (np.full(5, 3.0), np.full(5, 6.0)),
            (np.zeros(5), np.array([6.0, 7, 8, 9, 10])),
            (np.array([1.0, 2, 3, 3, 2]), np.array([6.0, 7, 8, np.inf, 5])),
        ],
        ids=["alike", "left-censored", "a day in common"],
    )
    def test_intervals_with_a_time_in_common_have_no_maximum(self, distribution, ends):
        data = IntervalData(*ends, np.where(np.isinf(ends[1]), 2, 0), np.ones(5))
        with pytest.raises(ValueError, match=r"^No maximum: "):
            fit_accelerated_failure_time(data, np.zeros((5, 0)), distribution)
        # One more that shares no time with the others, and there is one.
        more = IntervalData(*(np.append(e, v) for e, v in zip(ends, (11.0, 14.0), strict=True)),
                            np.append(data.kind, 0), np.ones(6))  # fmt: skip
        assert (fit_accelerated_failure_time(more, np.zeros((6, 0)), distribution).std_error < 10).all()

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS)
    def test_groups_that_are_told_apart_with_certainty_have_no_maximum(self, distribution):
        left, right = np.array([1.0, 2, 3, 9, 9]), np.array([6.0, 7, 8, 9, 9])
        data = IntervalData(left, right, np.array([0, 0, 0, 2, 2]), np.ones(5))
        with pytest.raises(ValueError, match=r"^No maximum: "):
            fit_accelerated_failure_time(data, [[1.0], [1], [1], [0], [0]], distribution)

    @pytest.mark.parametrize("distribution", DISTRIBUTIONS[1:])
    def test_the_scale_of_a_stratum_whose_intervals_are_alike_is_named(self, distribution):
        # The other stratum has a maximum, so that the likelihood as a whole is far from 1.
        left, right = np.array([3.0, 3, 3, 3, 0, 2, 4, 6, 1]), np.array([6.0, 6, 6, 6, 2, 4, 6, 9, 3])
        data = IntervalData(left, right, np.zeros(9, int), np.ones(9))
        b = (np.arange(9) > 3).astype(float)
        with pytest.raises(ValueError, match=r"^No maximum: .*Log\(scale\) \[0"):
            fit_accelerated_failure_time(data, b[:, None], distribution, stratum=b, names=["b"])

    def test_exact_times_that_are_all_alike_have_no_maximum(self):
        data = IntervalData(np.full(5, 6.0), np.full(5, 6.0), np.zeros(5, int), np.ones(5))
        with pytest.raises(ValueError, match="grows without end"):
            fit_accelerated_failure_time(data, np.zeros((5, 0)), "weibull")

    def test_an_exponential_model_has_no_scale_to_stratify(self):
        with pytest.raises(ValueError, match="no scale to stratify"):
            fit_accelerated_failure_time(DATA, X, "exponential", stratum=COLUMNS["stratum"])

    def test_quantiles_need_shares_inside_zero_and_one_and_a_known_stratum(self):
        fit = fit_accelerated_failure_time(DATA, X, "weibull", stratum=COLUMNS["stratum"])
        with pytest.raises(ValueError, match="between 0 and 1"):
            time_quantiles(fit, [[0, 0]], [1.0])
        with pytest.raises(ValueError, match="one of the strata 1, 2"):
            time_quantiles(fit, [[0, 0]], [0.5])

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"kind": np.full(180, 2)}, "No event"),
            ({"kind": np.ones(180)}, "kind must be 0 or 2"),
            ({"right": DATA.left - 1}, "right must not be before left"),
            ({"count": -DATA.count}, "count is negative"),
            ({"left": DATA.left[1:]}, "Every row needs"),
            ({"left": np.zeros(180), "right": np.zeros(180)}, "at or before time 0"),
        ],
    )
    def test_rows_that_cannot_be_are_refused(self, change, message):
        fields = {name: change.get(name, getattr(DATA, name)) for name in ("left", "right", "kind", "count")}
        with pytest.raises(ValueError, match=message):
            fit_accelerated_failure_time(IntervalData(**fields), X, "weibull")

    def test_a_missing_covariate_or_label_is_refused(self):
        with pytest.raises(ValueError, match="all covariates and any labels"):
            fit_accelerated_failure_time(DATA, np.where(X > 1, np.nan, X), "weibull")
        with pytest.raises(ValueError, match="all covariates and any labels"):
            fit_accelerated_failure_time(DATA, X, "weibull", cluster=[None, *range(179)])

    def test_too_many_names_are_refused(self):
        with pytest.raises(ValueError, match="2 columns need as many different names, not age"):
            fit_accelerated_failure_time(DATA, X, "weibull", names=["age"])
