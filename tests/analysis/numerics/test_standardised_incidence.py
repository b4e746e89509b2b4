"""Standardised incidence: against coxph and basehaz of R survival put together by hand, and the jackknife of patients."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.numerics.cox import fit_cox, risk_sets
from analysis.numerics.standardised_incidence import Hazard, standardised_incidence

R = json.loads((Path(__file__).parents[2] / "reference" / "standardised_incidence.json").read_text(encoding="utf-8"))
DATA = {name: np.array(values) for name, values in R["data"].items()}
X = np.column_stack([DATA["age"] / 10, DATA["sex"]])
DAYS = np.array(R["days"], dtype=float)
STAGES = ["early", "late"]


def made(kept=slice(None), *, adjusted=True, population=X):
    x, day, stage, patient = X[kept], DATA["day"][kept], DATA["stage"][kept], DATA["patient"][kept]
    hazards = []
    for cause in (1, 2):
        rows = risk_sets(x, day, (DATA["cause"][kept] == cause).astype(int), stratum=stage, ties="breslow")
        hazards.append(Hazard(rows, fit_cox(rows, cluster=patient) if adjusted else None))
    return hazards, standardised_incidence(*hazards, population, DAYS, STAGES, patient)


def test_incidences_are_those_of_coxph_and_basehaz_put_together_by_hand():
    (first, _), found = made()
    assert first.fit.coefficients == pytest.approx(R["coefficients"], rel=1e-8)
    assert first.fit.robust_std_error == pytest.approx(R["error"], rel=1e-6)
    assert found.estimate == pytest.approx(np.array([R["early"], R["late"]]), rel=1e-8)


@pytest.mark.parametrize("adjusted", [True, False])
def test_errors_by_patient_are_those_of_leaving_one_patient_out(adjusted):
    """The influence is a derivative: the jackknife of all 340 patients goes half a step further."""
    _, found = made(adjusted=adjusted)
    patients = np.unique(DATA["patient"])
    left = np.array([made(DATA["patient"] != p, adjusted=adjusted)[1].estimate for p in patients])
    off = left - left.mean(axis=0)
    for weights in (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([-1.0, 1.0])):
        jackknife = np.sqrt(np.square(np.einsum("s,csd->cd", weights, off)).sum(axis=0))
        assert found.error(weights) == pytest.approx(jackknife, rel=0.06)
    # One patient's influence is what leaving them out takes away.
    assert np.corrcoef(found.influence[:, 1, 1], -off[:, 1, 1])[0, 1] > 0.995


def test_where_covariates_have_no_coefficients_nothing_is_standardised():
    """Of one covariate value or another: the same, near Aalen-Johansen (exp(-x) for 1 - x)."""
    _, whole = made(adjusted=False)
    _, one = made(adjusted=False, population=X[:1])
    assert whole.estimate == pytest.approx(one.estimate)
    late = DATA["stage"] == "late"
    free, incidence = 1.0, 0.0
    for t in np.unique(DATA["day"][late & (DATA["cause"] > 0) & (DATA["day"] <= 365)]):
        there = (late & (DATA["day"] >= t)).sum()
        ends, all_ = ((late & (DATA["day"] == t) & k).sum() for k in (DATA["cause"] == 1, DATA["cause"] > 0))
        incidence, free = incidence + free * ends / there, free * (1 - all_ / there)
    assert whole.estimate[1, 0] == pytest.approx(incidence, abs=2e-3)


def test_a_population_in_blocks_has_the_same_mean():
    _, found = made()
    _, often = made(population=np.tile(X, (11, 1)))  # 4,400 rows: three blocks
    assert often.estimate == pytest.approx(found.estimate, rel=1e-12)
    assert often.influence == pytest.approx(found.influence, abs=1e-15)


def test_without_competing_events_it_is_one_less_a_survival():
    rows = risk_sets(X, DATA["day"], (DATA["cause"] == 1).astype(int), stratum=DATA["stage"], ties="breslow")
    alone = standardised_incidence(Hazard(rows, fit_cox(rows)), None, X, DAYS, STAGES, DATA["patient"])
    _, beside = made()
    assert (alone.estimate > beside.estimate).all() and (alone.estimate < beside.estimate + 0.2).all()
