"""MMRM at the maximum of the likelihood, to the last digits: nlme::gls with our covariance given, at what it makes of it.

Where gls searches by itself it stops up to 1e-5 of a coefficient short (test_repeated_references.py). Given the
covariance where we stop, it has the mean model, the likelihood and the scale left: any difference would be ours.
"""

import json
from typing import Any

import numpy as np
import pytest
from trial_rows import REFERENCES, REPOSITORY, arrays

from analysis.numerics.repeated import MmrmFit, fit_mmrm
from analysis.numerics.repeated_design import visit_design
from analysis.numerics.repeated_sums import pattern_sums

pytestmark = pytest.mark.skipif(
    not REFERENCES.is_dir(), reason=f"reference data not present at {REFERENCES}; set CATAMNESIS_REFERENCES"
)
# Made by tests/reference/mmrm_optimum.R.
CASES = json.loads((REPOSITORY / "tests" / "reference" / "mmrm_optimum.json").read_text())["cases"]
TRIALS = {
    "fev": ("mmrm_fev_data.csv", "FEV1", "RACE=Black or African American", "RACE=White", "SEX=Female", "ARMCD=TRT"),
    "bcva": ("mmrm_bcva_data.csv", "BCVA_CHG", "RACE=Black", "RACE=White", "BCVA_BL", "ARMCD=TRT"),
}


def in_words_of_r(column: str, trial: str) -> str:
    """What R calls a coefficient of ours."""
    visit = "AVISITVIS0" if trial == "bcva" else "AVISITVIS"
    for ours, theirs in {"intercept": "(Intercept)", "=": "", ":visit": f":{visit}", "visit": visit}.items():
        column = column.replace(ours, theirs)
    return column.replace("VIS010", "VIS10")


def fitted(trial: str, structure: str, method: str) -> MmrmFit:
    file, outcome, *covariates = TRIALS[trial]
    z, y = arrays(file, outcome, *covariates)
    visits = tuple(str(t + 1) for t in range(y.shape[1]))
    design = visit_design(("intercept", *covariates), visits, ("intercept", "ARMCD=TRT"), tuple(covariates[:-1]))
    return fit_mmrm(pattern_sums(z, y), design, structure, reml=method == "REML")


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['trial']}-{c['structure']}-{c['method']}")
def test_gls_given_our_covariance_finds_our_coefficients_errors_scale_and_likelihood(case: dict[str, Any]) -> None:
    fit = fitted(case["trial"], case["structure"], case["method"])
    np.testing.assert_allclose(fit.sigma[0], case["sigma"], rtol=1e-6, atol=1e-7)
    names = [in_words_of_r(column, case["trial"]) for column in fit.design.columns]
    assert set(names) == set(case["coef"])
    np.testing.assert_allclose(fit.beta, [case["coef"][name] for name in names], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), [case["se"][name] for name in names], rtol=1e-6)
    # The scale is gls's own estimate: that it is ours too says that we stand at the maximum in that direction.
    assert np.sqrt(fit.sigma[0, 0, 0]) == pytest.approx(case["sd_first_visit"], rel=1e-6)
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-7)
