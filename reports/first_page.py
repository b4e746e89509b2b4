"""What stands first in the summary report: the numbers that a reader looks for, and what to know before quoting one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analysis import Result
from analysis.result import SMALLEST_CELL
from registry import Registry
from reports import disclosure

if TYPE_CHECKING:
    from reports.summary import Section

_YEAR, _TWO_YEARS = 365.0, 730.0


def headlines(sections: list[Section]) -> list[dict[str, Any]]:
    """Return the headline numbers of each programme in which response was judged: a row a stage with somebody in it.

    Each row has the courses (``n``, null if few) and three rows of the results frame as ``cells``, or null: responded
    within a year, in response at a year, end of the target within two.
    """
    found = []
    for s in sections:
        if s.response is None:
            continue
        asked = ((s.response, "response", _YEAR), (s.in_response, "share_in_response", _YEAR),
                 (s.replacement, "end", _TWO_YEARS))  # fmt: skip
        rows = []
        for stratum in s.response.settings["strata"]:
            cells = [_number(result, stratum["code"], quantity, day) for result, quantity, day in asked]
            if cells[0] is not None and cells[0]["denominator"] != 0:  # none is nobody; null is few
                rows.append({**stratum, "n": cells[0]["denominator"], "cells": cells})
        end = s.replacement.settings["end_label"] if s.replacement is not None else None
        found.append({"id": s.programme, "label": s.label, "rows": rows, "end": end})
    return found


def _number(result: Result | None, stratum: str, quantity: str, day: float) -> dict[str, Any] | None:
    if result is None:
        return None
    mine = result.frame.filter(pl.col("stratum") == stratum, pl.col("quantity") == quantity, pl.col("time_day") == day)
    return mine.row(0, named=True) if mine.height else None


def read_first(registry: Registry, sections: list[Section]) -> list[str]:
    """Return what a reader must know before quoting a number, written from the data: one sentence a programme."""
    lines = [line for line in (_mind(section) for section in sections) if line]
    refused = registry.rejections().select("file", "line").unique().height
    if refused:
        lines.append(f"{refused} rows of the clinics' files were refused and are in no number below.")
    return lines


def _mind(section: Section) -> str:
    """Return what to mind of one programme in a sentence."""
    response, parts = section.response, []
    if response is None:
        return f"{section.label}: {section.evidence}" if section.evidence else ""
    strata = response.settings["strata"]
    empty = [s["label"].lower() for s in strata if section.sizes.get(s["code"], 0) == 0]
    if empty:
        parts.append(f"nobody is in stage {', '.join(empty)}")
    late = response.at_risk.filter(pl.col("time_day") == _TWO_YEARS)
    at_risk = dict(late.select("stratum", "n").iter_rows())
    seen = [s for s in strata if section.sizes.get(s["code"], 0)]
    few = [s["label"].lower() for s in seen if (at_risk.get(s["code"]) or 0) < 20]
    if few:
        which = "every stage" if len(few) == len(seen) else ", ".join(few)
        parts.append(f"fewer than 20 courses are still at risk at 24 months in {which}")
    due = section.completeness.filter(pl.col("planned_visit") == "12 months")
    if due["n_due"].sum() >= SMALLEST_CELL:
        share = disclosure.share(int(due["n_seen"].sum()), int(due["n_due"].sum()))
        parts.append(f"{share} of the 12-month visits that were due took place")
    return f"{section.label}: {'; '.join(parts)}." if parts else ""
