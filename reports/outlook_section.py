"""What to expect in the summary report: best, typical and failure case by stage about a year after treatment."""

from __future__ import annotations

import dataclasses
from typing import Any

import polars as pl

from analysis import Result, outlook
from analysis.disclosure import POLICY
from analysis.disclosure.messages import in_few
from analysis.outlook_validation import GAP, INSIDE, PREDICTED
from analysis.result import frame_of, row
from registry import Courses
from registry.errors import NotEstimable
from reports.hidden import Hide, suppressed

_CASES = ("failure_case", "typical_case", "best_case")
_SHARES = ("share_in_response", "share_sustained", "share_worse", "end")
# The planned visit nearest to this day is told.
_DAY = 365.0


def outlook_result(courses: Courses, strata: list[dict[str, Any]], hide: Hide = suppressed) -> Result | None:
    """Return the suppressed outlook of the courses of each stage in one result; None if no stage has one.

    A stage without has one row that says why.
    """
    found: list[Result] = []
    frames: list[pl.DataFrame] = []
    checks: list[pl.DataFrame] = []
    for stage in strata:
        try:
            whole = outlook(courses, stage=stage["code"])
            # Of a stage, and not of all: what is of few hides itself and not the rest.
            named = whole.frame.with_columns(stratum=pl.lit(stage["code"]))
            one = dataclasses.replace(whole, frame=named, settings={**whole.settings, "strata": [stage]})
            found.append(hide(one))
            frames.append(found[-1].frame)
            checks.append(found[-1].diagnostics.with_columns(pl.col("check") + f" in {stage['code']}"))
        except NotEstimable as error:
            frames.append(frame_of([row(stage["code"], "similar", note=in_few(str(error), POLICY.smallest_cell))]))
    if not found:
        return None
    return dataclasses.replace(
        found[0],
        title="What to expect, by stage",
        frame=pl.concat(frames),
        settings={**found[0].settings, "by": "stage", "strata": strata, "profile": {}},
        diagnostics=pl.concat(checks),
        # Of one stage are those that name visits, and how well it predicts: the section says that of each.
        notes=tuple(n for n in found[0].notes if " months: " not in n and not n.startswith("Rests on ")),
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
        quality = _quality(result.diagnostics, stage["code"])
        rows.append({**stage, "why": None, "similar": here["similar"]["estimate"], "quality": quality, **cells})
    settings = result.settings
    return {"day": day, "rows": rows, "domain": settings["domain"], "worse": settings["worse_points"],
            "notes": list(result.notes)}  # fmt: skip


def _quality(checks: pl.DataFrame, stage: str) -> dict[str, Any] | None:
    """Return how well the outlook of a stage predicts: courses predicted, share within the range, gap; None if unknown.

    The gap is that between response predicted and seen, in points of 100; `passed` if both are as they should be.
    """
    of = {r["check"]: r for r in checks.to_dicts()}
    predicted, inside, gap = (of.get(f"{name} in {stage}") for name in (PREDICTED, INSIDE, GAP))
    if predicted is None or inside is None or gap is None:
        return None
    return {"n": predicted["value"], "visit": predicted["note"], "inside": inside["value"], "gap": 100 * gap["value"],
            "passed": inside["passed"] and gap["passed"]}  # fmt: skip
