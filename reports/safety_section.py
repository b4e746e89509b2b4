"""Safety in the summary report: by product, grade and relation; where none was seen, what is still possible."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis import Result, safety, safety_by_grade
from analysis.harm_table import HarmTable
from registry import Courses
from registry.errors import NotEstimable
from reports.hidden import Hide, suppressed
from reports.words import Words

_QUANTITIES = ("events_per_100_sessions", "events_per_100_course_years", "courses_with_event")
# Stands below the rate that it weighs.
_WEIGHTED = {"events_per_100_course_years": "events_per_100_course_years_weighted"}
# By this day the share with a first event is told beside them, ends competing.
_DAY = 365


def safety_results(courses: Courses, hide: Hide = suppressed) -> list[Result]:
    """Return suppressed results of any adverse event, and of serious ones, by product; none if there is no session."""
    try:
        return [hide(safety(courses, by="product", serious=serious)) for serious in (False, True)]
    except NotEstimable:
        return []


def grade_result(courses: Courses, hide: Hide = suppressed) -> HarmTable | None:
    """Return the suppressed table of adverse events by grade and relation; none if there is no session or no event."""
    try:
        made = hide(safety_by_grade(courses, by="product"))
    except NotEstimable:
        return None
    return made if made.frame["n"].fill_null(1).sum() > 0 else None


def grade_section(result: HarmTable | None, words: Words) -> dict[str, Any] | None:
    """Return products and, by grade and relation, what the table shows of each: events, courses and the rate."""
    if result is None:
        return None
    relations = {"any": words.say("any relation"), "related": words.say("related"),
                 "not related": words.say("not related"), "not stated": words.say("not stated")}  # fmt: skip
    rows = [
        {
            "grade": words.say("any grade") if grade == "any" else words.say("grade %(n)s", n=grade),
            "relation": relations[relation],
            "whole": relation == "any",
            "cells": [None if rate is None else {**rate, "courses": share and share["n"]} for rate, share in cells],
        }
        for grade, relation, cells in result.lines()
    ]
    return {"products": [s["label"] for s in result.filled_strata], "rows": rows}


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
    asked = [*_QUANTITIES, *_WEIGHTED.values()]
    numbers = {r["quantity"]: r for r in mine.filter(pl.col("quantity").is_in(asked)).to_dicts()}
    first = numbers.get(_QUANTITIES[0])
    if first is None:
        return None
    cells = [
        {**numbers[q], "share": q == _QUANTITIES[2], "weighted": numbers.get(_WEIGHTED.get(q, ""))}
        for q in _QUANTITIES
        if q in numbers
    ]
    for r in mine.filter(pl.col("quantity") == "first_event", pl.col("time_day") == _DAY).to_dicts():
        cells.append({**r, "share": True, "weighted": None})
    return {"label": stratum["label"], "courses": first["denominator"], "events": first["n"], "cells": cells}
