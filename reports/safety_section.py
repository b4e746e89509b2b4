"""Safety in the summary report: adverse events by product, with what is still possible where none was seen."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis import Result, safety
from registry import Courses
from registry.errors import NotEstimable
from reports.words import Words

_QUANTITIES = ("events_per_100_sessions", "events_per_100_course_years", "courses_with_event")
# By this day the share with a first event is told beside them, ends competing.
_DAY = 365


def safety_results(courses: Courses) -> list[Result]:
    """Return suppressed results of any adverse event, and of serious ones, by product; none if there is no session."""
    try:
        return [safety(courses, by="product", serious=serious).suppress() for serious in (False, True)]
    except NotEstimable:
        return []


def safety_section(results: list[Result], words: Words) -> list[dict[str, Any]]:
    """Return one table a result: rows by product with their numbers."""
    return [
        {
            "title": words.say("Serious adverse events")
            if r.settings["serious"]
            else words.say("Adverse events of any grade"),
            "rows": [row for s in r.settings["strata"] if (row := _row(r, s)) is not None],
            "notes": list(r.notes),
        }
        for r in results
    ]


def _row(result: Result, stratum: dict[str, Any]) -> dict[str, Any] | None:
    mine = result.frame.filter(pl.col("stratum") == stratum["code"])
    numbers = {r["quantity"]: r for r in mine.filter(pl.col("quantity").is_in(_QUANTITIES)).to_dicts()}
    first = numbers.get(_QUANTITIES[0])
    if first is None:
        return None
    cells = [{**numbers[q], "share": q == _QUANTITIES[2]} for q in _QUANTITIES if q in numbers]
    for r in mine.filter(pl.col("quantity") == "first_event", pl.col("time_day") == _DAY).to_dicts():
        cells.append({**r, "share": True})
    return {"label": stratum["label"], "courses": first["denominator"], "events": first["n"], "cells": cells}
