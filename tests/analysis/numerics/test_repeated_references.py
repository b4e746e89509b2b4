"""MMRM against R: mmrm, emmeans, nlme.

Numbers of mmrm come from the shared references, those of nlme from tests/reference/mmrm_structures.R.
"""

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.numerics.degrees_of_freedom import (
    kenward_roger_covariance,
    satterthwaite,
)
from analysis.numerics.marginal_means import (
    coefficient_rows,
    covariate_means,
    difference_to_reference,
    joint_test,
    linear_estimates,
    mean_rows,
)
from analysis.numerics.repeated import MmrmFit, fit_mmrm
from analysis.numerics.repeated_design import visit_design
from analysis.numerics.repeated_sandwich import sandwich, sandwich_degrees_of_freedom
from analysis.numerics.repeated_sums import pattern_sums
from analysis.trajectory_model import fit_with_fallback

REPOSITORY = Path(__file__).resolve().parents[3]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", REPOSITORY.parent / "shared" / "references"))
STORED = json.loads((REPOSITORY / "tests" / "reference" / "mmrm_structures.json").read_text())
pytestmark = pytest.mark.skipif(
    not REFERENCES.is_dir(), reason=f"reference data not present at {REFERENCES}; set CATAMNESIS_REFERENCES"
)

# The stored mmrm runs stop within about 1e-7 of a standard error of the optimum (largest difference met: 6e-8).
MMRM = 1e-6
# Their degrees of freedom inherit that, and a numeric Jacobian (numDeriv) of about the same accuracy.
MMRM_DF = 1e-6

Arrays = tuple[np.ndarray, np.ndarray]


def values(case: str) -> Any:
    return json.loads((REFERENCES / "json" / f"{case}.json").read_text())["values"]


def table(name: str) -> list[dict[str, str]]:
    with (REFERENCES / "data" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def by_patient(rows: list[dict[str, str]], patient: str, visit: str, outcome: str) -> tuple[list[dict[str, str]], Any]:
    """First row of each patient, and outcomes (n, T) with NaN where missing; visits sorted as numbers or text."""
    patients = {row[patient]: i for i, row in reversed(list(enumerate(rows)))}
    visits = sorted({row[visit] for row in rows}, key=lambda v: (len(v), v))
    order = {key: i for i, key in enumerate(dict.fromkeys(row[patient] for row in rows))}
    y = np.full((len(order), len(visits)), np.nan)
    for row in rows:
        if row[outcome] not in ("", "NA"):
            y[order[row[patient]], visits.index(row[visit])] = float(row[outcome])
    return [rows[patients[key]] for key in order], y


def fev_arrays() -> Arrays:
    first, y = by_patient(table("mmrm_fev_data.csv"), "USUBJID", "AVISIT", "FEV1")
    z = [[1, r["RACE"][0] == "B", r["RACE"] == "White", r["SEX"] == "Female", r["ARMCD"] == "TRT"] for r in first]
    return np.array(z, dtype=float), y


FEV_DESIGN = visit_design(
    ("intercept", "black", "white", "female", "arm"),
    ("VIS1", "VIS2", "VIS3", "VIS4"),
    by_visit=("intercept", "arm"),
    constant=("black", "white", "female"),
)
R_NAMES = {
    "intercept": "(Intercept)",
    "black": "RACEBlack or African American",
    "white": "RACEWhite",
    "female": "SEXFemale",
    "arm": "ARMCDTRT",
    **{f"visit=VIS{t}": f"AVISITVIS{t}" for t in (2, 3, 4)},
    **{f"arm:visit=VIS{t}": f"ARMCDTRT:AVISITVIS{t}" for t in (2, 3, 4)},
}


@pytest.fixture(scope="module")
def fev() -> MmrmFit:
    return fit_mmrm(pattern_sums(*fev_arrays()), FEV_DESIGN)


def in_r_order(fit: MmrmFit, names: dict[str, str], rows: list[str]) -> np.ndarray:
    """Index of our coefficients in the order of an R table."""
    ours = [names[label] for label in fit.design.columns]
    return np.array([ours.index(row) for row in rows])


def assert_table(found: Any, stored: list[dict[str, Any]], estimate: str, tolerance: float = MMRM) -> None:
    """Compare estimates, standard errors, df and limits with a stored table, in its order."""
    columns = {"estimate": estimate, "se": "SE", "df": "df", "lower": "lower.CL", "upper": "upper.CL"}
    for ours, theirs in columns.items():
        expected = [row[theirs] for row in stored]
        np.testing.assert_allclose(
            getattr(found, ours).ravel(), expected, rtol=MMRM_DF if ours == "df" else tolerance, atol=tolerance
        )


def test_the_fev_trial_gives_the_coefficients_covariance_and_likelihood_of_mmrm(fev: MmrmFit) -> None:
    stored = values("mmrm_fev")["satterthwaite"]
    order = in_r_order(fev, R_NAMES, stored["coef_table"]["rows"])
    np.testing.assert_allclose(fev.beta[order], list(stored["coef"].values()), rtol=MMRM, atol=MMRM)
    np.testing.assert_allclose(fev.covariance[np.ix_(order, order)], stored["vcov"]["values"], rtol=MMRM, atol=MMRM)
    # Sigma is the flattest part of the likelihood, so a stop that shows nowhere else shows here.
    np.testing.assert_allclose(fev.sigma[0], stored["sigma"]["values"], rtol=1e-5)
    # Printed with 15 digits; sums over 537 values agree to about 13.
    assert fev.loglik == pytest.approx(stored["loglik"], abs=1e-9)
    assert (fev.aic, fev.bic) == pytest.approx((stored["aic"], stored["bic"]), abs=1e-8)


def test_full_likelihood_gives_the_numbers_of_mmrm() -> None:
    stored, sums = values("mmrm_fev")["ml"], pattern_sums(*fev_arrays())
    # As the question reaches it.
    fit, why = fit_with_fallback(sums, FEV_DESIGN, "unstructured", "ml")
    assert not why and fit.loglik == fit_mmrm(sums, FEV_DESIGN, reml=False).loglik
    order = in_r_order(fit, R_NAMES, list(stored["coef"]))
    np.testing.assert_allclose(fit.beta[order], list(stored["coef"].values()), rtol=MMRM, atol=MMRM)
    np.testing.assert_allclose(fit.sigma[0], stored["sigma"]["values"], rtol=1e-5)
    assert fit.loglik == pytest.approx(stored["loglik"], abs=1e-9)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_standard_errors_and_degrees_of_freedom_are_those_of_mmrm(fev: MmrmFit, method: str) -> None:
    stored = values("mmrm_fev")[method]["coef_table"]
    order, expected = in_r_order(fev, R_NAMES, stored["rows"]), np.array(stored["values"])
    found = linear_estimates(fev, np.eye(fev.beta.size)[order], method.replace("_", "-"))
    np.testing.assert_allclose(found.se, expected[:, 1], rtol=MMRM)
    np.testing.assert_allclose(found.df, expected[:, 2], rtol=MMRM_DF)
    # t and p carry the relative errors of estimate and standard error; p in the tail multiplies them by t squared.
    np.testing.assert_allclose(found.statistic, expected[:, 3], rtol=1e-5)
    np.testing.assert_allclose(found.p_value, expected[:, 4], rtol=1e-2, atol=1e-8)


def test_the_full_kenward_roger_covariance_is_that_of_mmrm_in_its_own_parameters(fev: MmrmFit) -> None:
    stored = values("mmrm_fev")["kenward_roger"]["vcov"]
    order = in_r_order(fev, R_NAMES, stored["rows"])
    found = kenward_roger_covariance(fev)[np.ix_(order, order)]
    np.testing.assert_allclose(found, stored["values"], rtol=MMRM, atol=MMRM)
    # The linear form leaves the second derivatives out, so it must differ: visibly, but not by much.
    linear = kenward_roger_covariance(fev, linear=True)[np.ix_(order, order)]
    assert 1e-4 < np.abs(np.sqrt(np.diag(linear) / np.diag(found)) - 1).max() < 0.05


def test_the_sandwich_and_its_degrees_of_freedom_are_those_of_mmrm(fev: MmrmFit) -> None:
    stored, (z, y) = values("mmrm_fev")["empirical"]["coef_table"], fev_arrays()
    order, expected = in_r_order(fev, R_NAMES, stored["rows"]), np.array(stored["values"])
    rows = np.eye(fev.beta.size)[order]
    np.testing.assert_allclose(np.sqrt(np.diag(sandwich(fev, z, y).covariance))[order], expected[:, 1], rtol=MMRM)
    np.testing.assert_allclose(sandwich_degrees_of_freedom(fev, rows, z, y), expected[:, 2], rtol=MMRM_DF)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward_roger"])
def test_marginal_means_and_contrasts_of_the_fev_trial_are_those_of_emmeans(fev: MmrmFit, method: str) -> None:
    stored = values("mmrm_fev")[method]
    rows = mean_rows(FEV_DESIGN, [[1, 1 / 3, 1 / 3, 0.5, arm] for arm in (0, 1)])
    found = linear_estimates(fev, rows.swapaxes(0, 1), method.replace("_", "-"))
    assert_table(found, stored["emmeans"], "emmean")
    difference = linear_estimates(fev, difference_to_reference(rows), method.replace("_", "-"))
    assert_table(difference, stored["contrasts"], "estimate")


def knee_fit() -> MmrmFit:
    rows = table("catdata_knee.csv")
    y = np.array([[r["R2"], r["R3"], r["R4"]] for r in rows], dtype=float)
    z = np.array([[1, r["R1"], r["Th"] == "2", r["Sex"] == "1", r["Age"]] for r in rows], dtype=float)
    names = ("intercept", "R1", "Th2", "Sex1", "Age")
    return fit_mmrm(pattern_sums(z, y), visit_design(names, ("3", "7", "10"), names[:3], names[3:]))


def test_the_knee_trial_agrees_with_mmrm_under_kenward_roger() -> None:
    fit, stored = knee_fit(), values("mmrm_knee")
    names = {"intercept": "(Intercept)", "R1": "R1", "Th2": "Th2", "Sex1": "Sex1", "Age": "Age"}
    names |= {f"visit={d}": f"day{d}" for d in (7, 10)} | {f"R1:visit={d}": f"R1:day{d}" for d in (7, 10)}
    names |= {f"Th2:visit={d}": f"day{d}:Th2" for d in (7, 10)}
    order = in_r_order(fit, names, stored["coef_table"]["rows"])
    found = linear_estimates(fit, np.eye(fit.beta.size)[order], "kenward-roger")
    expected = np.array(stored["coef_table"]["values"])
    np.testing.assert_allclose(found.estimate, expected[:, 0], rtol=MMRM, atol=1e-7)
    np.testing.assert_allclose(found.se, expected[:, 1], rtol=MMRM)
    np.testing.assert_allclose(found.df, expected[:, 2], rtol=MMRM_DF)
    assert fit.loglik == pytest.approx(stored["loglik"], abs=1e-9)
    centre = covariate_means(fit.sums, fit.design.covariates)
    # emmeans weighs both sexes equally, whatever their share.
    rows = mean_rows(fit.design, [[1, centre[1], arm, 0.5, centre[4]] for arm in (0, 1)])
    assert_table(linear_estimates(fit, rows.swapaxes(0, 1), "kenward-roger"), stored["emmeans"], "emmean")
    difference = linear_estimates(fit, difference_to_reference(rows), "kenward-roger")
    assert_table(difference, stored["contrasts"], "estimate")


ARTHRITIS = ("intercept", "fair", "good", "drug", "sex2", "age", "fair:drug", "good:drug")


def arthritis_profile(stage: str, drug: float, sex2: float, age: float) -> list[float]:
    fair, good = float(stage == "fair"), float(stage == "good")
    return [1.0, fair, good, drug, sex2, age, fair * drug, good * drug]


@pytest.fixture(scope="module")
def arthritis() -> MmrmFit:
    # The first patient without a baseline or outcome is dropped by both programs.
    first, y = by_patient(table("multgee_arthritis.csv"), "id", "time", "y")
    stage = {"1": "poor", "2": "poor", "3": "fair", "4": "good", "5": "good"}
    z = [arthritis_profile(stage[r["baseline"]], r["trt"] == "2", r["sex"] == "2", float(r["age"])) for r in first]
    factors = [name for name in ARTHRITIS if name not in ("sex2", "age")]
    return fit_mmrm(pattern_sums(z, y), visit_design(ARTHRITIS, ("1", "3", "5"), factors, ("sex2", "age")))


def arthritis_rows(fit: MmrmFit) -> np.ndarray:
    """(stage, arm, visit, p) at the mean age over observations, sexes weighted equally, as emmeans does."""
    age = covariate_means(fit.sums, ARTHRITIS, over="observations")[5]
    profiles = [[arthritis_profile(s, a, 0.5, age) for a in (0, 1)] for s in ("poor", "fair", "good")]
    return np.stack([mean_rows(fit.design, group) for group in profiles])


def arthritis_name(label: str) -> str:
    """R's name of a coefficient: stage, then visit, then treatment."""
    stage = next((s for s in ("fair", "good") if s in label), None)
    visit = label.partition("visit=")[2]
    parts = [f"stage{stage}"] if stage else []
    parts += [f"visit{visit}"] if visit else []
    parts += ["trtdrug"] if "drug" in label else []
    return ":".join(parts) or {"intercept": "(Intercept)"}.get(label, label)


def test_the_arthritis_trial_agrees_with_mmrm_and_with_gls(arthritis: MmrmFit) -> None:
    stored = values("mmrm_arthritis_stage")
    assert (arthritis.sums.n_observations, arthritis.sums.n_subjects) == (stored["n_obs"], stored["n_subj"])
    names = {label: arthritis_name(label) for label in arthritis.design.columns}
    order = in_r_order(arthritis, names, stored["coef_table"]["rows"])
    found = linear_estimates(arthritis, np.eye(arthritis.beta.size)[order])
    expected = np.array(stored["coef_table"]["values"])
    np.testing.assert_allclose(found.estimate, expected[:, 0], rtol=MMRM, atol=1e-6)
    np.testing.assert_allclose(found.se, expected[:, 1], rtol=MMRM)
    np.testing.assert_allclose(found.df, expected[:, 2], rtol=MMRM_DF)
    assert arthritis.loglik == pytest.approx(stored["loglik"], abs=1e-9)
    gls = np.array([stored["gls_coef"][names[label]] for label in arthritis.design.columns])
    # gls stops 9e-9 short in its own loglik; the largest difference met is 1.04e-6, a 3e-6th of a standard error.
    np.testing.assert_allclose(arthritis.beta, gls, rtol=0, atol=1.2e-6)
    assert arthritis.loglik == pytest.approx(stored["gls_loglik"], abs=1e-7)


def test_means_by_stage_visit_and_arm_are_those_of_emmeans(arthritis: MmrmFit) -> None:
    stored, rows = values("mmrm_arthritis_stage"), arthritis_rows(arthritis)
    # emmeans varies treatment fastest, then stage, then visit.
    assert_table(linear_estimates(arthritis, rows.transpose(2, 0, 1, 3)), stored["emmeans"], "emmean")
    difference = (rows[:, 1] - rows[:, 0]).transpose(1, 0, 2)
    assert_table(linear_estimates(arthritis, difference), stored["contrasts"], "estimate")
    kr = linear_estimates(arthritis, difference, "kenward-roger")
    assert_table(kr, stored["contrasts_KR"], "estimate")


def arthritis_hypotheses(fit: MmrmFit) -> dict[str, np.ndarray]:
    """Rows of the joint tests of emmeans: contrasts of equally weighted cell means."""
    cell = arthritis_rows(fit)
    stage, arm = cell[1:] - cell[:1], cell[:, 1] - cell[:, 0]
    p = cell.shape[-1]
    return {
        "stage": stage.mean(axis=(1, 2)),
        "visit": (cell[:, :, 1:] - cell[:, :, :1]).mean(axis=(0, 1)),
        "trt": arm.mean(axis=(0, 1))[None],
        "stage:visit": (stage[:, :, 1:] - stage[:, :, :1]).mean(axis=1).reshape(-1, p),
        "stage:trt": (stage[:, 1] - stage[:, 0]).mean(axis=1),
        "visit:trt": (arm[:, 1:] - arm[:, :1]).mean(axis=0),
        "stage:visit:trt": (arm[1:, 1:] - arm[1:, :1] - arm[:1, 1:] + arm[:1, :1]).reshape(-1, p),
        "sex": coefficient_rows(fit.design, ["sex2"]),
        "age": coefficient_rows(fit.design, ["age"]),
    }


def test_joint_tests_of_interactions_have_the_f_of_emmeans_and_nearly_its_degrees_of_freedom(
    arthritis: MmrmFit,
) -> None:
    hypotheses = arthritis_hypotheses(arthritis)
    for stored in values("mmrm_arthritis_stage")["joint_tests"]:
        rows = hypotheses[stored["model term"]]
        found = joint_test(arthritis, rows)
        assert found.df_numerator == stored["df1"]
        # Stored with four digits of F and two decimals of the degrees of freedom.
        assert found.statistic == pytest.approx(stored["F.ratio"], abs=5.1e-3 if stored["F.ratio"] > 10 else 5.1e-4)
        # emmeans takes the smallest single degrees of freedom; Fai & Cornelius, as mmrm and lmerTest, pool them.
        smallest = satterthwaite(arthritis, rows).min()
        assert smallest == pytest.approx(stored["df2"], abs=5.1e-3)
        assert smallest <= found.df_denominator + 1e-6
        # The stored p comes from the unrounded F, so it is a sharper check than F itself.
        p_value = stats.f.sf(found.statistic, found.df_numerator, smallest)
        assert p_value == pytest.approx(stored["p.value"], rel=1e-5)


@pytest.mark.parametrize("stored", STORED["fev"], ids=lambda s: f"{s['structure']}-{s['method']}")
def test_every_structure_of_nlme_gives_its_coefficients_errors_and_likelihood(stored: dict[str, Any]) -> None:
    fit = fit_mmrm(pattern_sums(*fev_arrays()), FEV_DESIGN, stored["structure"], reml=stored["method"] == "REML")
    ours = [R_NAMES[label] for label in fit.design.columns]
    # gls stops up to 4e-9 short in loglik, which is 1e-5 of a coefficient whose standard error is about 1.
    np.testing.assert_allclose(fit.beta, [stored["coef"][name] for name in ours], atol=2e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), [stored["se"][name] for name in ours], rtol=5e-6)
    # Never below gls, but for rounding.
    assert -1e-9 < fit.loglik - stored["loglik"] < 1e-8
