"""Rows of the numbers of adverse events had leaving nothing to do with how many there were so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.numerics.exact import exact_rate
from analysis.numerics.recurrent_weighted import WeightedEvents, weighted_events
from analysis.result import row

Floats = NDArray[np.float64]

_YEAR = 365.25


def weigh(mine: pl.DataFrame, happened: pl.DataFrame, days: Floats) -> WeightedEvents | None:
    """Return the weighted numbers of the courses of a stratum by the `days`; None where no event was seen in time.

    Parameters
    ----------
    mine
        ``reduction.harm_course`` of the stratum.
    happened
        ``reduction.harm_event`` of these courses, up to the last contact.
    """
    mine = mine.sort("patient_id", "course_id").with_row_index("k")
    # An event on the day of the first session happened just after it began, as in the numbers that are not weighted.
    events = happened.join(mine.select("course_id", "k"), on="course_id").with_columns(
        pl.col("day").cast(pl.Float64).clip(0.5)
    )
    events = events.group_by("k", "day").agg(pl.col("n").sum()).sort("k", "day")
    if events.height == 0:
        return None
    return weighted_events(
        mine["patient_id"].rank("dense").to_numpy().astype(np.intp) - 1,
        mine["watched_day"].cast(pl.Float64).to_numpy(),
        events["k"].to_numpy().astype(np.intp),
        events["day"].to_numpy(),
        events["n"].cast(pl.Float64).to_numpy(),
        days,
    )


def weighted_rows(
    mine: pl.DataFrame, happened: pl.DataFrame, code: str, days: Floats, confidence: float
) -> list[dict[str, Any]]:
    """Return who left after an event, the weighted rate per 100 course-years and mean number, where one was seen.

    Limits are exact, of as many events as the variance says, and of no more than were seen.
    """
    made = weigh(mine, happened, days)
    if made is None:
        return []
    left = "courses with an event; 1: leaving has nothing to do with events"
    note = f"weights up to {made.largest:.1f}, by {made.classes} classes of events so far" if made.classes > 1 else None
    of: dict[str, Any] = {"denominator": mine.height}
    value = _limits(made.rate, made.rate_variance, int(happened["n"].sum()), confidence, 100 * _YEAR)
    rows = [row(code, "events_per_100_course_years_weighted", n=int(happened["n"].sum()), note=note, **of, **value)]
    if np.isfinite(made.left_after_events):
        n = int(happened["course_id"].n_unique())
        rows.append(row(code, "left_after_event", estimate=made.left_after_events, n=n, note=left, **of))
    for day, mean, variance in zip(days, made.mean, made.mean_variance, strict=True):
        n = int(happened.filter(pl.col("day") <= day)["n"].sum())
        if n and (mine["watched_day"] >= day).any():
            value = _limits(float(mean), float(variance), n, confidence, 1.0)
            rows.append(row(code, "mean_events_weighted", time_day=float(day), n=n, **of, **value))
    return rows


def _limits(value: float, variance: float, n: int, confidence: float, times: float) -> dict[str, float]:
    told_by = min(value**2 / variance, n) if variance > 0 else n
    low, high = (times * v for v in exact_rate(told_by, told_by / value, confidence)[1:])
    return {"estimate": times * value, "low": low, "high": high}
