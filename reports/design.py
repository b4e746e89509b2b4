"""The design of a study by simulation: what the registry's own estimators would show of it, over many drawn studies.

Precision is the width of the interval one would publish, power the share of studies in which an interval, or a test,
leaves no doubt. Both come from the estimators that will be used, with visits missed and targets replaced as planned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.booster_data import Plan, prepare
from analysis.booster_gate import judge
from analysis.booster_model import bootstrap, estimate
from analysis.booster_rows import Numbers
from analysis.cohort import Stratum
from analysis.response import bootstrap_incidence, fit_intervals
from analysis.response_rows import numbers
from registry.progress import steps
from synthetic import booster_files, booster_world
from synthetic.planned import STAGES, PlannedStudy

Floats = NDArray[np.float64]

_STRATA = [Stratum(s, s, "#000000") for s in STAGES]


def response_design(
    study: PlannedStudy, *, samples: int = 100, resamples: int = 60, confidence: float = 0.95, seed: int = 1
) -> pl.DataFrame:
    """Draw a planned study many times and return what would be seen of the response at its day.

    Parameters
    ----------
    samples
        Studies drawn; the Monte-Carlo error of a power of 0.8 is 0.4 / sqrt(samples).
    resamples
        Bootstrap samples of patients for the limits of each.

    Returns
    -------
    polars.DataFrame
        One row a stage, with ``courses`` (mean), ``expected`` and ``mean`` response, ``width`` of the interval (mean),
        ``not_estimable`` (share of studies that say nothing at that day); one row a contrast with early, with
        ``power`` (share of studies whose interval of the difference excludes zero); one row ``all`` with the power of
        the test between stages at 1 - `confidence`.

    Examples
    --------
    >>> plan = PlannedStudy(courses=200, response=(0.65, 0.45, 0.2))
    >>> response_design(plan, samples=3, resamples=20)["stratum"].to_list()[:3]
    ['early', 'moderate', 'bone_on_bone']
    """
    days = np.array([study.at_day])
    frames = []
    for i in steps(range(samples), "studies drawn"):
        made = study.sample(seed + i)
        cells, patterns = made["reduction.response_cell"], made["reduction.response_cluster"]
        fits = {s: fit_intervals(cells.filter(stratum=s)) for s in STAGES}
        drawn = bootstrap_incidence(cells, patterns, fits, days, resamples, seed + i)
        frames.append(numbers(_STRATA, fits, cells, patterns, drawn, days, confidence))
    found = pl.concat(frames)
    rows = [_precision(found, s, p) for s, p in zip(STAGES, study.response, strict=True)]
    rows += [_power(found, f"{s} - {STAGES[0]}", samples) for s in STAGES[1:]]
    tests = found.filter(quantity="test")["estimate"]
    rows.append({"stratum": "all", "power": float((tests < 1 - confidence).sum()) / samples})
    return pl.DataFrame(rows, schema=_RESPONSE)


def booster_design(
    scenario: booster_world.Scenario, patients: int, *, outcome: str = "mean", day: float = 182.0, samples: int = 30,
    resamples: int = 60, confidence: float = 0.95, seed: int = 1,
) -> pl.DataFrame:  # fmt: skip
    """Draw a study of boosters many times: how often its effect would be shown, how precisely, with what power.

    Parameters
    ----------
    scenario
        What is true: effect by stage, who is boosted, who drops out.
    patients
        Patients of the study, one course each, seen every 91 days for two years.
    outcome
        ``mean`` improvement since the decision, or ``share`` in response, at `day` after it.

    Returns
    -------
    polars.DataFrame
        One row a stage: ``truth`` and ``mean`` effect, ``width`` of the interval and ``power`` over the studies that
        would show it, ``withheld`` (share whose gate stays closed, for this stage or for all), and ``shown_power``:
        the share of all studies that show the effect and exclude zero.

    Examples
    --------
    >>> from synthetic.booster_world import SCENARIOS
    >>> booster_design(SCENARIOS[1], 400, samples=2, resamples=20).columns[:3]
    ['stratum', 'truth', 'mean']
    """
    known = booster_world.truth(scenario, 60_000)
    values = known.improvement if outcome == "mean" else known.response
    at = round(day / booster_world.STEP_DAY)
    design = Plan(outcome, "per_protocol", "sequential" if outcome == "mean" else "clone_censor", 30.0, (day,))
    limits = np.full((samples, len(STAGES), 3), np.nan)
    for i in steps(range(samples), "studies of boosters drawn"):
        rows, courses = booster_files.reductions(booster_world.make(scenario, patients, seed + i))
        data = prepare(rows, courses, booster_world.STAGES, ("age", "bmi"), design, "any")
        whole = estimate(data, np.ones(len(data.visits.day)))
        gate = judge(data, whole)
        if gate.closed:
            continue
        numbers_of = Numbers(data, whole, bootstrap(data, whole, resamples, seed + i), confidence)
        place = int(np.searchsorted(data.grid, day))
        for s, stage in enumerate(STAGES):
            if stage not in gate.strata:
                limits[i, s] = numbers_of.difference(s, place)
    out = []
    for s, stage in enumerate(STAGES):
        shown = limits[~np.isnan(limits[:, s, 0]), s]
        sure = (shown[:, 1] > 0) | (shown[:, 2] < 0)
        out.append({
            "stratum": stage, "truth": float(values[s, 0, at] - values[s, 1, at]),
            "mean": float(shown[:, 0].mean()) if len(shown) else None,
            "width": float((shown[:, 2] - shown[:, 1]).mean()) if len(shown) else None,
            "power": float(sure.mean()) if len(shown) else None,
            "withheld": 1 - len(shown) / samples, "shown_power": float(sure.sum()) / samples,
        })  # fmt: skip
    return pl.DataFrame(out)


_RESPONSE = {
    "stratum": pl.String, "courses": pl.Float64, "expected": pl.Float64, "mean": pl.Float64, "width": pl.Float64,
    "not_estimable": pl.Float64, "power": pl.Float64,
}  # fmt: skip


def _precision(found: pl.DataFrame, stage: str, expected: float) -> dict[str, Any]:
    mine = found.filter(stratum=stage, quantity="response")
    told = mine.drop_nulls("estimate")
    return {
        "stratum": stage, "courses": mine["denominator"].mean(), "expected": expected, "mean": told["estimate"].mean(),
        "width": (told["high"] - told["low"]).mean(), "not_estimable": 1 - told.height / max(mine.height, 1),
    }  # fmt: skip


def _power(found: pl.DataFrame, contrast: str, samples: int) -> dict[str, Any]:
    told = found.filter(stratum=contrast, quantity="difference").drop_nulls("estimate")
    sure = ((told["low"] > 0) | (told["high"] < 0)).sum()
    return {
        "stratum": contrast, "courses": told["denominator"].mean(), "mean": told["estimate"].mean(),
        "width": (told["high"] - told["low"]).mean(), "not_estimable": 1 - told.height / samples,
        "power": float(sure) / samples,
    }  # fmt: skip
