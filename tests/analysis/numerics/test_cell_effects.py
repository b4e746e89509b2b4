"""Effects of the cells of a cohort: R's lme4 for the penalised likelihood, and what it says of a cell without events."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.numerics.cell_effects import cell_information
from analysis.numerics.interval import IntervalData
from analysis.numerics.interval_regression import HazardModel, PiecewiseBaseline

R = json.loads((Path(__file__).parents[2] / "reference" / "crossed.json").read_text(encoding="utf-8"))
FACTORS = ["origin", "expanded", "centre"]
ROWS = pl.DataFrame(R["rows"])
CELLS = pl.DataFrame(R["cells"]).sort(FACTORS)
MODEL = HazardModel(PiecewiseBaseline(()), ("all",))


def prior(spread: dict[str, float]) -> np.ndarray:
    """Return the covariance of the effects of cells that share levels."""
    total = spread["cell"] ** 2 * np.eye(CELLS.height)
    for name in FACTORS:
        level = CELLS[name].to_numpy()
        total = total + spread[name] ** 2 * np.equal.outer(level, level)
    return total


def expanded(spread: dict[str, float], patients: np.ndarray | None = None, precision: np.ndarray | None = None):
    whose = np.arange(ROWS.height) if patients is None else patients
    rows = ROWS.with_columns(patient=whose)
    parts, of = [], []
    for cell in CELLS.select(FACTORS).iter_rows(named=True):
        mine = rows.filter(**cell)
        # Looked at once: a response in (0, 365], or none by then.
        y = mine["y"].to_numpy()
        left, right = np.where(y == 1, 0.0, 365.0), np.full(len(y), 365.0)
        data = IntervalData(left, right, np.where(y == 1, 0, 2), np.ones(len(y)))
        parts.append((data, mine["x"].to_numpy()[:, None], np.zeros(len(y), dtype=np.int64)))
        of.append(mine["patient"].to_numpy())
    start = np.array([np.log(1 / 365), 0.0])
    return cell_information(
        MODEL, parts, of, None, start, np.linalg.inv(prior(spread)) if precision is None else precision
    )


def test_effects_of_cells_are_those_of_lme4_at_its_standard_deviations():
    """glmer with nAGQ = 0: coefficients and effects together at the top of the penalised likelihood."""
    assert min(R["spread"].values()) > 0.1
    found = expanded(R["spread"])
    # Its iterations end at a relative change of 1e-12 in the deviance, ours at a decrement of 1e-9.
    np.testing.assert_allclose(found.effects, CELLS["effect"].to_numpy(), atol=2e-5)
    # A hazard constant to day 365 has 365 times itself as its sum: their intercept is of that.
    np.testing.assert_allclose(found.theta + np.array([np.log(365), 0.0]), R["beta"], atol=2e-5)


def test_the_quadratic_agrees_with_the_likelihood_that_it_stands_for():
    """Slope and curvature at the expansion: said - information @ effects is the prior's pull, and its inverse lme4's."""
    found = expanded(R["spread"])
    pull = np.linalg.inv(prior(R["spread"])) @ found.effects / found.inflation
    np.testing.assert_allclose(found.said - found.information @ found.effects, pull, atol=1e-4)
    # A shift of all effects is one of the intercept: the data say nothing of it.
    np.testing.assert_allclose(found.information @ np.ones(CELLS.height), 0.0, atol=1e-8)


def test_courses_of_a_patient_that_agree_count_as_one_and_those_apart_as_they_are():
    alone = expanded(R["spread"])
    # Of 900 patients and two parameters of the model.
    assert alone.inflation == pytest.approx(900 / 898)
    # Those who are next to each other by response are of one patient.
    twice = expanded(R["spread"], np.argsort(np.argsort(ROWS["y"].to_numpy(), kind="stable")) // 2)
    assert twice.inflation > 1
    assert twice.inflation > 1.5 * 450 / 448
    np.testing.assert_allclose(
        alone.information * alone.inflation, twice.information * twice.inflation, rtol=1e-9, atol=1e-9
    )


def test_a_cell_without_any_event_says_that_its_hazard_is_low_and_no_more():
    small = CELLS.with_row_index("k").join(
        ROWS.group_by(FACTORS).agg(events=pl.col("y").sum(), n=pl.len()), on=FACTORS, how="left"
    )
    none = small.filter(pl.col("events") == 0)
    assert none.height, "the reference has a cell without an event"
    found = expanded(R["spread"])
    k = int(none["k"][0])
    assert np.isfinite(found.effects).all() and found.information[k, k] > 0
