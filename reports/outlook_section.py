"""What to expect in the summary report: best, typical and failure case by stage about a year after treatment."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl

from analysis import Result, outlook
from analysis.cells import in_few
from analysis.result import SMALLEST_CELL, frame_of, row
from registry import Courses
from registry.errors import NotEstimable

_CASES = ("failure_case", "typical_case", "best_case")
_SHARES = ("share_in_response", "share_sustained", "share_worse", "end")
# The planned visit nearest to this day is told.
_DAY = 365.0


def outlook_result(courses: Courses, strata: list[dict[str, Any]]) -> Result | None:
    """Return the suppressed outlook of the courses of each stage in one result; None if no stage has one.

    A stage without has one row that says why.
    """
    found: list[Result] = []
    frames: list[pl.DataFrame] = []
    for stage in strata:
        try:
            whole = outlook(courses, stage=stage["code"])
            # Of a stage, and not of all: what is of few hides itself and not the rest.
            named = whole.frame.with_columns(stratum=pl.lit(stage["code"]))
            one = dataclasses.replace(whole, frame=named, settings={**whole.settings, "strata": [stage]})
            found.append(one.suppress())
            frames.append(found[-1].frame)
        except NotEstimable as error:
            frames.append(frame_of([row(stage["code"], "similar", note=in_few(str(error), SMALLEST_CELL))]))
    if not found:
        return None
    return dataclasses.replace(
        found[0],
        title="What to expect, by stage",
        frame=pl.concat(frames),
        settings={**found[0].settings, "by": "stage", "strata": strata, "profile": {}},
        notes=tuple(n for n in found[0].notes if " months: " not in n),
    )


def outlook_section(result: Result | None) -> dict[str, Any] | None:
    """Return what the template needs: a row a stage with its cases and chances at the visit nearest to a year."""
    if result is None:
        return None
    days = result.frame["time_day"].drop_nulls().unique().to_list()
    day = min(days, key=lambda d: (abs(d - _DAY), d))
    rows = []
    for stage in result.settings["strata"]:
        mine = result.frame.filter(pl.col("stratum") == stage["code"])
        here = {r["quantity"]: r for r in mine.filter(pl.col("time_day") == day).to_dicts()}
        if not here:
            rows.append({**stage, "why": mine["note"][0]})
            continue
        cells = {"cases": [here[q] for q in _CASES], "shares": [here[q] for q in _SHARES]}
        rows.append({**stage, "why": None, "similar": here["similar"]["estimate"], **cells})
    settings = result.settings
    return {"day": day, "rows": rows, "domain": settings["domain"], "worse": settings["worse_points"],
            "notes": list(result.notes)}  # fmt: skip
