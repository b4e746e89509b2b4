"""MMRM against published output of SAS PROC MIXED and of R mmrm.

SAS: what the authors of mmrm keep of PROC MIXED (github.com/openpharma/mmrm: design/KR, design/ddfm_covtype,
design/Robust; 2022 and 2023): FEV1 by arm alone, restricted likelihood, once for each covariance structure.
BCVA: mmrm's summary in the vignette "BCVA data comparison between Bayesian and frequentist MMRMs" of brms.mmrm (2024).
"""

import numpy as np
import pytest
from trial_rows import REFERENCES, arrays

from analysis.numerics.degrees_of_freedom import between_within
from analysis.numerics.marginal_means import linear_estimates
from analysis.numerics.repeated import fit_mmrm
from analysis.numerics.repeated_design import visit_design
from analysis.numerics.repeated_sandwich import sandwich
from analysis.numerics.repeated_sums import pattern_sums

pytestmark = pytest.mark.skipif(
    not REFERENCES.is_dir(), reason=f"reference data not present at {REFERENCES}; set CATAMNESIS_REFERENCES"
)

# Structure: difference of the arms, its Kenward-Roger degrees of freedom (None: not kept), its empirical error.
SAS = {
    "unstructured": (3.81972492174648, 160.733266403768, 0.63959860090712),
    "compound symmetry": (4.19663617897035, 177.038485931223, 0.79354667955483),
    "heterogeneous compound symmetry": (3.77090812499029, 190.737701349941, 0.67851405488729),
    "ar1": (4.22574315817874, 188.46934887972, 0.82581291651503),
    "heterogeneous ar1": (3.72674356244499, 188.225339095373, 0.67973236317634),
    "toeplitz": (4.47051860580552, 160.027408337368, 0.87390988854018),
    "heterogeneous toeplitz": (3.92287746213894, 180.062730071701, 0.68088497850656),
    "heterogeneous antedependence": (3.72344028834729, 162.393385281755, 0.64461343431037),
}
# Standard errors by ddfm=kr(firstorder), which is our linear form; kr itself depends on SAS's own parameters.
SAS_FIRST_ORDER = {"unstructured": 0.66124382270307, "ar1": 0.96058142305176, "compound symmetry": 0.7964696053595}
# -2 restricted log-likelihood where PROC MIXED stopped, in its iteration histories.
SAS_STOPPED = {
    "unstructured": 3667.96276376,
    "compound symmetry": 3890.97896859,
    "heterogeneous compound symmetry": 3754.18491472,
    "ar1": 3855.12433951,
    "heterogeneous antedependence": 3682.44560955,
}


@pytest.fixture(scope="module")
def fev() -> tuple[np.ndarray, np.ndarray]:
    return arrays("mmrm_fev_data.csv", "FEV1", "ARMCD=TRT")


@pytest.mark.parametrize("structure", SAS)
def test_every_structure_has_the_difference_degrees_of_freedom_and_empirical_error_of_sas(structure, fev):
    difference, df, error = SAS[structure]
    design = visit_design(("intercept", "arm"), ("1", "2", "3", "4"), by_visit=(), constant=("intercept", "arm"))
    fit = fit_mmrm(pattern_sums(*fev), design, structure)
    found = linear_estimates(fit, [[0, 1]], "kenward-roger-linear")
    # PROC MIXED stops up to 1e-5 short in likelihood, which is 1.1e-4 of a difference (its error is 0.7).
    assert found.estimate.item() == pytest.approx(difference, abs=1.2e-4)
    assert found.df.item() == pytest.approx(df, rel=5e-4)
    assert np.sqrt(sandwich(fit, *fev).covariance[1, 1]) == pytest.approx(error, abs=3e-5)
    assert between_within(fit, [[0, 1]]).item() == 195
    if structure in SAS_FIRST_ORDER:
        assert found.se.item() == pytest.approx(SAS_FIRST_ORDER[structure], abs=6e-5)
    if structure in SAS_STOPPED:
        assert -1e-8 < SAS_STOPPED[structure] + 2 * fit.loglik < 2e-5


# Coefficient: estimate, standard error, Satterthwaite degrees of freedom, as printed (four digits).
BCVA = {
    "intercept": (4.288, 0.1709, 1065),
    "baseline": (-9.935e-4, 2.156e-3, 990.5),
    "visit=2": (0.2810, 0.07067, 999.5),
    "visit=3": (0.4573, 0.06716, 974.7),
    "visit=4": (0.8570, 0.07636, 979.6),
    "visit=5": (0.9638, 0.08634, 963.0),
    "visit=6": (1.334, 0.08650, 945.1),
    "visit=7": (1.417, 0.1071, 869.8),
    "visit=8": (1.711, 0.1145, 846.7),
    "visit=9": (1.996, 0.1283, 778.4),
    "visit=10": (2.101, 0.1400, 702.5),
    "black": (1.038, 0.05496, 1011),
    "white": (2.005, 0.05198, 976.8),
    # The vignette has the arm within each visit.
    "arm at 1": (0.5391, 0.06282, 985.9),
    "arm at 2": (0.7248, 0.07984, 980.3),
    "arm at 3": (1.012, 0.09163, 963.8),
    "arm at 4": (1.104, 0.1004, 965.3),
    "arm at 5": (1.383, 0.1147, 950.5),
    "arm at 6": (1.630, 0.1189, 915.7),
    "arm at 7": (2.016, 0.1382, 826.2),
    "arm at 8": (2.347, 0.1474, 804.1),
    "arm at 9": (2.658, 0.1644, 727.7),
    "arm at 10": (3.072, 0.1815, 662.0),
}
# Rows of the covariance between visits, as printed.
BCVA_SIGMA = {
    1: [0.9713, 0.0630, 0.4371, 0.3315, 0.3056, 0.4688, 0.1325, 0.1020, 0.0611, 0.0587],
    4: [0.3315, 0.2684, -0.0216, 2.4113, 1.0475, 1.1409, 0.4625, 0.5659, 0.4085, 1.1478],
    10: [0.0587, 0.3761, 0.0719, 1.1478, 0.9997, 1.2558, 0.3021, 0.4658, 0.4141, 5.3519],
}


def test_the_bcva_trial_of_ten_visits_has_every_number_that_mmrm_prints():
    covariates = ("RACE=Black", "RACE=White", "ARMCD=TRT", "BCVA_BL")
    names, visits = ("intercept", "black", "white", "arm", "baseline"), tuple(str(t) for t in range(1, 11))
    design = visit_design(names, visits, ("intercept", "arm"), ("black", "white", "baseline"))
    fit = fit_mmrm(pattern_sums(*arrays("mmrm_bcva_data.csv", "BCVA_CHG", *covariates)), design)
    unit, columns = np.eye(fit.beta.size), list(fit.design.columns)

    def row(name):
        if not name.startswith("arm at"):
            return unit[columns.index(name)]
        visit = name.removeprefix("arm at ")
        return unit[columns.index("arm")] + (unit[columns.index(f"arm:visit={visit}")] if visit != "1" else 0)

    found = linear_estimates(fit, np.array([row(name) for name in BCVA]), "satterthwaite")
    printed = np.array(list(BCVA.values()))
    allowed = 0.5001 * 10.0 ** (np.floor(np.log10(np.abs(printed))) - 3)
    # mmrm stops short, by up to 1e-4 of a standard error and 1e-5 of the degrees of freedom: three last digits are off.
    allowed += np.column_stack([1e-4 * printed[:, 1], 0 * printed[:, 1], 1e-5 * printed[:, 2]])
    assert (np.abs(np.column_stack([found.estimate, found.se, found.df]) - printed) <= allowed).all()
    for visit, row_printed in BCVA_SIGMA.items():
        np.testing.assert_allclose(fit.sigma[0, visit - 1], row_printed, rtol=4e-5, atol=2e-4)
    assert round(fit.loglik, 1) == -16035.5 and round(fit.aic, 1) == 32181.0 and round(fit.bic, 1) == 32451.0
    assert fit.convergence.newton_decrement < 1e-10
