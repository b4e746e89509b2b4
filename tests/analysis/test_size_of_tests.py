"""How often tests of several contrasts reject what is true: 5 in 100 were asked for."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from analysis.numerics.laws import f_above
from analysis.trajectory_rows import numbers
from registry.errors import NotEstimable
from synthetic import trajectory_world
from synthetic.trajectory_world import MEANS, SCENARIOS, make

TRUTH = Path(__file__).parents[2] / "benchmarks" / "truth"


@pytest.fixture
def study(monkeypatch):
    """The study of trajectories, in a world in which the stages change alike."""
    monkeypatch.syspath_prepend(str(TRUTH))
    spec = importlib.util.spec_from_file_location("trajectories_study", TRUTH / "trajectories.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "trajectories_study", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(trajectory_world, "MEANS", np.tile(MEANS[1], (len(MEANS), 1)))
    return module


def as_known(data, chosen):
    """Return p of the naive test: the sandwich taken as known, some hundred denominators."""
    rows = study_rows(data, chosen)
    value = rows @ chosen.fit.beta
    wald = float(value @ np.linalg.solve(rows @ chosen.covariance @ rows.T, value))
    return f_above(wald / len(rows), len(rows), 100.0)


def p_of(study, data, chosen, due):
    frame = numbers(study.STRATA, data, chosen, due, 0.95)
    return frame.filter(frame["quantity"] == "test")["estimate"].item()


def test_the_test_of_few_patients_claims_much_less_than_one_that_takes_its_variance_as_known(study):
    data, _, chosen, due = study.fitted(make(SCENARIOS[0], 150, 3), study.PLANNED)
    p, naive = p_of(study, data, chosen, due), as_known(data, chosen)
    assert 0 < naive < p < 1 and norm.isf(naive) - norm.isf(p) > 0.4


@pytest.mark.slow
def test_stage_by_visit_rejects_five_in_a_hundred_true_hypotheses_of_150_courses(study):
    """16 % of patients have two courses that are alike; the test of eight to ten contrasts is clustered by patient."""
    rejected, taken_as_known, samples = 0, 0, 0
    for seed in range(200):
        try:
            data, _, chosen, due = study.fitted(make(SCENARIOS[0], 150, seed), study.PLANNED)
        except NotEstimable:
            continue
        rejected, samples = rejected + (p_of(study, data, chosen, due) < 0.05), samples + 1
        taken_as_known += as_known(data, chosen) < 0.05
    assert samples > 150
    # Two and a half binomial errors above six in a hundred.
    assert 0.01 < rejected / samples < 0.105
    assert taken_as_known / samples > 0.15


def study_rows(data, chosen):
    from analysis.numerics.degrees_of_freedom import independent_rows
    from analysis.trajectory_model import interaction_rows
    from analysis.trajectory_rows import FEWEST

    return independent_rows(interaction_rows(chosen.fit.design, data, data.seen >= FEWEST), chosen.fit.covariance)[0]
