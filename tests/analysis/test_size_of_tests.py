"""How often tests of several contrasts reject what is true: 5 in 100 were asked for."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.slow
def test_stage_by_visit_rejects_five_in_a_hundred_true_hypotheses_of_150_courses(study):
    """16 % of patients have two courses that are alike; the test of eight to ten contrasts is clustered by patient."""
    rejected, as_known, samples = 0, 0, 0
    for seed in range(200):
        try:
            data, _, chosen, due = study.fitted(make(SCENARIOS[0], 150, seed), study.PLANNED)
        except NotEstimable:
            continue
        frame = numbers(study.STRATA, data, chosen, due, 0.95)
        (p,) = frame.filter(frame["quantity"] == "test")["estimate"]
        rows = study_rows(data, chosen)
        value = rows @ chosen.fit.beta
        wald = float(value @ np.linalg.solve(rows @ chosen.covariance @ rows.T, value))
        rejected, samples = rejected + (p < 0.05), samples + 1
        # As a naive analysis has it: the sandwich taken as known, patients less coefficients as denominator.
        as_known += f_above(wald / len(rows), len(rows), 100.0) < 0.05
    assert samples > 150
    # Two and a half binomial errors above six in a hundred.
    assert 0.01 < rejected / samples < 0.105
    assert as_known / samples > 0.15


def study_rows(data, chosen):
    from analysis.numerics.degrees_of_freedom import independent_rows
    from analysis.trajectory_model import interaction_rows
    from analysis.trajectory_rows import FEWEST

    return independent_rows(interaction_rows(chosen.fit.design, data, data.seen >= FEWEST), chosen.fit.covariance)[0]
