"""Marginal means, contrasts, joint tests and degrees of freedom beyond the references."""

import numpy as np
import pytest
from scipy import stats

from analysis.numerics.degrees_of_freedom import (
    between_within,
    contrast_matrix,
    kenward_roger_covariance,
    kenward_roger_joint,
    pooled_degrees_of_freedom,
    satterthwaite,
    satterthwaite_joint,
)
from analysis.numerics.marginal_means import (
    coefficient_rows,
    covariate_means,
    difference_to_reference,
    joint_test,
    linear_estimates,
    mean_rows,
    pairwise_differences,
)
from analysis.numerics.repeated import MmrmFit, fit_mmrm
from analysis.numerics.repeated_design import visit_design
from analysis.numerics.repeated_sandwich import sandwich
from analysis.numerics.repeated_sums import pattern_sums

COVARIATES = ("intercept", "arm", "age")
DESIGN = visit_design(COVARIATES, ("6", "12", "24"), by_visit=("intercept", "arm"), constant=("age",))
Arrays = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    rng = np.random.default_rng(2)
    z = np.column_stack([np.ones(50), np.arange(50) % 2, rng.normal(55, 8, 50)])
    y = rng.normal(size=(50, 1)) + rng.normal(size=(50, 3)) + z[:, 1:2] * [0, 1, 2]
    y[rng.random((50, 3)) < 0.2] = np.nan
    return z, y


@pytest.fixture(scope="module")
def fit(arrays: Arrays) -> MmrmFit:
    return fit_mmrm(pattern_sums(*arrays), DESIGN)


def test_a_mean_is_the_prediction_for_its_profile(fit: MmrmFit) -> None:
    found = linear_estimates(fit, mean_rows(DESIGN, [[1, 0, 50], [1, 1, 50]]))
    b = dict(zip(DESIGN.columns, fit.beta, strict=True))
    assert found.estimate.shape == (2, 3)
    expected = b["intercept"] + b["arm"] + 50 * b["age"] + b["visit=24"] + b["arm:visit=24"]
    assert found.estimate[1, 2] == pytest.approx(expected, rel=1e-12)  # one dot product


def test_intervals_and_tests_follow_from_estimate_error_and_degrees_of_freedom(fit: MmrmFit) -> None:
    found = linear_estimates(fit, mean_rows(DESIGN, [1, 1, 50])[0], "kenward-roger", level=0.9)
    t = stats.t(found.df)
    # The formulas themselves, so only rounding.
    np.testing.assert_allclose(found.upper - found.estimate, t.ppf(0.95) * found.se, rtol=1e-12)
    np.testing.assert_allclose(found.p_value, 2 * t.sf(np.abs(found.statistic)), rtol=1e-12)


def test_the_normal_method_has_the_interval_of_196_standard_errors(fit: MmrmFit) -> None:
    found = linear_estimates(fit, np.eye(7)[1], "normal")
    assert (found.upper - found.lower) / found.se == pytest.approx(2 * 1.959964, rel=1e-6)  # six decimals given


def test_differences_to_a_reference_and_all_pairs_agree() -> None:
    rows = mean_rows(DESIGN, [[1, 0, 50], [1, 1, 50], [1, 0.5, 50]])
    pairs, differences = pairwise_differences(rows)
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    np.testing.assert_array_equal(differences[:2], difference_to_reference(rows))
    np.testing.assert_array_equal(difference_to_reference(rows, 1)[1], differences[2])


def test_means_of_covariates_come_back_from_the_sums(arrays: Arrays, fit: MmrmFit) -> None:
    z, y = arrays
    seen = ~np.isnan(y)
    rounding = 1e-12
    expected = z[seen.any(axis=1)].mean(axis=0)
    np.testing.assert_allclose(covariate_means(fit.sums, COVARIATES), expected, rtol=rounding)
    expected = np.average(z, axis=0, weights=seen.sum(axis=1))
    np.testing.assert_allclose(covariate_means(fit.sums, COVARIATES, "observations"), expected, rtol=rounding)
    with pytest.raises(ValueError, match="need the column 'intercept'"):
        covariate_means(fit.sums, ("one", "arm", "age"))


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger", "kenward-roger-linear", "between-within"])
def test_a_joint_test_of_one_row_is_its_t_test_squared(fit: MmrmFit, method: str) -> None:
    row = coefficient_rows(DESIGN, ["arm:visit=24"])
    single, joint = linear_estimates(fit, row[0], method), joint_test(fit, row, method)
    assert joint.statistic == pytest.approx(float(single.statistic) ** 2, rel=1e-10)
    assert joint.df_denominator == pytest.approx(float(single.df), rel=1e-10)
    assert joint.p_value == pytest.approx(float(single.p_value), rel=1e-9)  # rounding, through the tail


def test_redundant_rows_are_dropped_but_kenward_roger_refuses_them(fit: MmrmFit) -> None:
    rows = coefficient_rows(DESIGN, ["arm:visit=12", "arm:visit=24"])
    redundant = np.vstack([rows, rows[0] - rows[1]])
    plain, more = joint_test(fit, rows), joint_test(fit, redundant)
    assert (more.statistic, more.df_numerator) == pytest.approx((plain.statistic, 2), rel=1e-9)
    with pytest.raises(ValueError, match="Only 2 of 3 contrast rows are independent"):
        kenward_roger_joint(fit, redundant)


def test_the_normal_joint_test_is_a_wald_test(fit: MmrmFit) -> None:
    rows = coefficient_rows(DESIGN, ["arm", "arm:visit=12", "arm:visit=24"])
    found = joint_test(fit, rows, "normal")
    estimate = rows @ fit.beta
    wald = estimate @ np.linalg.solve(rows @ fit.covariance @ rows.T, estimate)
    assert found.statistic * 3 == pytest.approx(wald, rel=1e-9)
    assert found.p_value == pytest.approx(stats.chi2.sf(wald, 3), rel=1e-9)


def test_a_sandwich_can_take_the_place_of_the_model_covariance(arrays: Arrays, fit: MmrmFit) -> None:
    robust = sandwich(fit, *arrays, kind="CR3")
    found = linear_estimates(fit, np.eye(7), covariance=robust.covariance, df=np.full(7, 40.0))
    np.testing.assert_allclose(found.se**2, np.diag(robust.covariance), rtol=1e-12)
    assert (found.df == 40).all()
    assert joint_test(fit, np.eye(7)[1:3], covariance=robust.covariance).df_numerator == 2


def test_the_scores_of_patients_add_to_zero_at_the_estimate(arrays: Arrays, fit: MmrmFit) -> None:
    scores = sandwich(fit, *arrays).scores
    np.testing.assert_allclose(scores.sum(axis=0), 0, atol=1e-9 * np.abs(scores).sum())  # the normal equations


def test_pooled_degrees_of_freedom_match_the_mean_of_the_f_distribution() -> None:
    single = np.array([10.0, 20.0])
    pooled = pooled_degrees_of_freedom(single)
    # E F = mean of nu / (nu - 2), done by hand: (10/8 + 20/18) / 2.
    assert pooled / (pooled - 2) == pytest.approx((10 / 8 + 20 / 18) / 2, rel=1e-12)
    assert pooled_degrees_of_freedom(np.array([12.0, 12.0])) == 12
    assert pooled_degrees_of_freedom(np.array([1.5, 30.0])) == 2


def test_satterthwaite_of_several_rows_lies_near_those_of_single_rows(fit: MmrmFit) -> None:
    rows = coefficient_rows(DESIGN, ["arm:visit=12", "arm:visit=24"])
    size, pooled = satterthwaite_joint(fit, rows)
    single = satterthwaite(fit, rows)
    assert size == 2 and 0.8 * single.min() < pooled < 1.2 * single.max()


def test_between_within_counts_patients_for_constant_effects_and_observations_for_others(fit: MmrmFit) -> None:
    n, observations = fit.sums.n_subjects, fit.sums.n_observations
    rows = coefficient_rows(DESIGN, ["intercept", "arm", "age", "visit=12"])
    # Two effects between patients; four within besides the intercept.
    expected = [observations - n - 4, n - 3, n - 3, observations - n - 4]
    assert between_within(fit, rows).tolist() == expected
    assert between_within(fit, rows.sum(axis=0)).tolist() == [n - 3]


def test_kenward_roger_is_refused_for_full_likelihood(arrays: Arrays) -> None:
    full = fit_mmrm(pattern_sums(*arrays), DESIGN, reml=False)
    with pytest.raises(ValueError, match="restricted likelihood only; fit with reml=True"):
        kenward_roger_covariance(full)


def test_what_cannot_be_computed_is_refused_with_the_choices(arrays: Arrays, fit: MmrmFit) -> None:
    with pytest.raises(ValueError, match="Unknown method 'KR'; choose one of: satterthwaite, kenward-roger"):
        linear_estimates(fit, np.eye(7), "KR")
    with pytest.raises(ValueError, match="between 0 and 1; got 95"):
        linear_estimates(fit, np.eye(7), level=95)
    with pytest.raises(ValueError, match=r"one finite number per coefficient \(7\)"):
        contrast_matrix(fit, [1.0, 2.0])
    with pytest.raises(ValueError, match="compares nothing"):
        contrast_matrix(fit, np.zeros(7))
    with pytest.raises(ValueError, match="A profile needs finite values of: intercept, arm, age"):
        mean_rows(DESIGN, [1, 0])
    with pytest.raises(ValueError, match="Unknown coefficients dose"):
        coefficient_rows(DESIGN, ["dose"])
    with pytest.raises(ValueError, match="Unknown sandwich 'HC3'; choose one of: CR0, CR2, CR3"):
        sandwich(fit, *arrays, kind="HC3")
    with pytest.raises(ValueError, match="cannot be the reference among 1"):
        difference_to_reference(np.zeros((1, 3, 7)))
    with pytest.raises(ValueError, match="not the data that were fitted"):
        sandwich(fit, arrays[0][:10], arrays[1][:10])
