"""Time to the first adverse event of a course, with the end of the target, a switch and death competing."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import Stratum, patient_clusters
from analysis.numerics.exact import exact_share
from analysis.replacement import incidence_rows
from analysis.result import row

Floats = NDArray[np.float64]

# What can happen first, as the reduction calls it, and the quantity it becomes.
_CAUSES = {"event": "first_event", "over": "end_before_event"}


def first_event_rows(
    cells: pl.DataFrame, patterns: pl.DataFrame, strata: list[Stratum], days: Floats, confidence: float, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the incidence of a first event, and of an end before one, at `days`, and the curve of the former.

    Aalen-Johansen; limits by Greenwood's variance on the complementary log-log scale when every patient has one course,
    else from 200 resamples of patients. Where none was seen, the exact upper limit of those watched so long.

    Parameters
    ----------
    cells, patterns
        ``reduction.harm_first_cell`` and ``harm_first_cluster``.
    """
    single = bool((patterns.group_by("pattern").agg(pl.col("n_courses").sum())["n_courses"] == 1).all())
    drawn = None if single else patient_clusters(cells, patterns).resample(200, seed)
    happened = cells.filter(pl.col("cause") == "event", pl.col("day") <= days.max())["day"].cast(pl.Float64).to_numpy()
    grid = np.unique(np.concatenate([days, happened]))
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for stratum in strata:
        mine = cells.filter(pl.col("stratum") == stratum.code)
        if mine.height == 0:
            continue
        here = (cells["stratum"] == stratum.code).to_numpy()
        every = incidence_rows(stratum.code, mine, None if drawn is None else drawn[:, here], grid, confidence, _CAUSES)
        rows += [_none_seen(r, mine, confidence) for r in every if r["time_day"] in days]
        if (mine["cause"] == "event").any():
            curves += [r for r in every if r["quantity"] == "first_event" and r["estimate"] is not None]
    return rows, curves


def _none_seen(r: dict[str, Any], cells: pl.DataFrame, confidence: float) -> dict[str, Any]:
    """Give a number that counts nothing the limit of those who were watched so long."""
    watched = int(cells.filter(pl.col("day") >= r["time_day"])["n"].sum())
    if r["n"] or watched == 0:
        return r
    _, low, high = exact_share(0, watched, confidence)
    note = f"none seen by then; {watched:,} watched so long"
    return row(r["stratum"], r["quantity"], time_day=r["time_day"], estimate=0.0, low=low, high=high, n=0,
               denominator=r["denominator"], note=note)  # fmt: skip
