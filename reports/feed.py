"""The numbers file of a report: every number of the page for machines, in stable keys, small cells null and marked.

Its form is ``numbers.schema.json`` beside this module, which is written beside the numbers too.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from importlib import resources
from typing import TYPE_CHECKING, Any

from analysis import disclosure
from analysis.disclosure.log import Entry
from registry import Registry
from reports.changes import changes, moved
from reports.description_section import description_section
from reports.flow_section import flow_section
from reports.follow_up_section import STATES, due_table, status_table, visit_table
from reports.hidden import of_counts, together
from reports.numbers import numbers
from reports.quality_section import loads_of, quality_section, refused_rows

if TYPE_CHECKING:
    from reports.sections import Section

SCHEMA = "numbers.schema.json"
_TESTS = ("samples", "passed", "failed", "pending", "late", "not_done")


def schema() -> str:
    """Return the JSON Schema of the numbers file."""
    return resources.files("reports").joinpath(SCHEMA).read_text("utf-8")


def cell(told: str) -> dict[str, Any]:
    """Return a count as the page tells it as a cell: a number, none, or null and marked with what is told instead.

    Examples
    --------
    >>> cell("1,204"), cell("5 or more")
    ({'n': 1204, 'suppressed': False}, {'n': None, 'suppressed': True, 'told': '5 or more'})
    """
    if re.fullmatch(r"\d[\d,]*", told):
        return {"n": int(told.replace(",", "")), "suppressed": False}
    return {"n": None, "suppressed": False} if told in ("–", "") else {"n": None, "suppressed": True, "told": told}


def _share(told: str) -> dict[str, Any]:
    """Return a share as the page tells it as a cell, of 1; where none was due it is null."""
    if held := re.fullmatch(r"(\d+) %", told):
        return {"share": int(held[1]) / 100, "suppressed": False}
    missing = {"share": None, "suppressed": told != "none due"}
    return {**missing, "told": told} if missing["suppressed"] else missing


def whole_of(registry: Registry) -> dict[str, Any]:
    """Return what the page tells of the registry in all: checks, refused rows, loads and the quality of products."""
    defects, described = registry.check(), description_section(registry)
    by_defect = defects.group_by("defect", "meaning").len("n").sort("n", "defect", descending=[True, False])
    return {
        "defects": by_defect.to_dicts(),
        "described": described,
        "quality": quality_section(registry, described["products"] if described else [], defects),
        "refused": refused_rows(registry),
        "loads": loads_of(registry),
    }


def feed(
    registry: Registry, sections: list[Section], whole: dict[str, Any], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the numbers file: results and counts of each programme, those of all, what changed, and what is hidden."""
    found = numbers(registry, [(s.programme, s.label, s.results) for s in sections], before)
    for s in sections:
        found["programmes"][s.programme].update(_counts(s), not_shown=s.withheld)
    found.update(_whole(whole))
    found["moved"] = moved(before, found) if before else []
    found["changes"] = changes(before, found) if before else []
    found["hidden"] = [asdict(e) for e in log_of(sections, whole, found["moved"])]
    return {"$schema": SCHEMA, **found}


def log_of(sections: list[Section], whole: dict[str, Any], moved: list[dict[str, Any]]) -> list[Entry]:
    """Return what disclosure control did to the numbers: by programme and table, rule and what was done."""
    entries: list[Entry] = []
    for s in sections:
        entries += s.hidden
        for table, rows in _counts(s).items():
            entries += of_counts(f"{s.programme}/{table}", rows)
    for table, rows in _whole(whole).items():
        entries += of_counts(table, rows)
    return together([*entries, *of_counts("moved", moved)])


def _counts(s: Section) -> dict[str, Any]:
    """Return the tables of counts of a programme, as the page tells them."""
    flow, visits = flow_section(s), visit_table(s.completeness)
    return {
        "flow": {
            "treated": cell(flow["start"]),
            "left_out": [{"reason": r["reason"], **cell(r["n"])} for r in flow["left"]],
            "judged": cell(flow["end"]) if s.response is not None else None,
            "judged_by_stage": {r["code"]: cell(r["n"]) for r in flow["strata"]},
        },
        "completeness": [
            {"visit": row["visit"], "stage": stage["stage"], "due": cell(held["due"] or "0"),
             "took_place": _share(held["share"])}
            for row in visits["rows"]
            for stage, held in zip(visits["stages"], row["cells"], strict=True)
            if held is not None
        ],
        "due": [
            {"visit": r["visit"], **{state: cell(n) for state, n in zip(STATES, r["cells"], strict=True)}}
            for r in due_table(s.due)
        ],
        "status": [
            {"status": r["status"], "rule": r["rule"], "courses": cell(r["n"]),
             "with_missed_visits": cell(r["missed"])}
            for r in status_table(s.status)
        ],
    }  # fmt: skip


def _whole(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of the registry in all, as the page tells them."""
    described, quality = whole["described"], whole["quality"]
    smallest = disclosure.POLICY.smallest_cell
    return {
        "defects": [
            {"defect": d["defect"], "meaning": d["meaning"],
             **cell(f"<{smallest}" if 0 < d["n"] < smallest else str(d["n"]))}
            for d in whole["defects"]
        ],
        "refused": [{"rule": r["rule"], "message": r["message"], **cell(r["n"])} for r in whole["refused"]],
        "loads": [
            {"load": r["load_id"], "data_to": r["extracted_on"], "rows_in": r["rows_in"],
             "accepted": cell(r["accepted"]), "rejected": cell(r["rejected"])}
            for r in whole["loads"]
        ],
        "product_quality": [
            {"product": r["product"], **{test: cell(r[test]) for test in _TESTS},
             "viability": {**(r["viability"] or dict.fromkeys(("median", "low", "high"))),
                           "suppressed": r["few"]}, "stated_viability": r["stated"]}
            for r in (quality["rows"] if quality else [])
        ],
        "product_description": [
            {"section": r["label"], "stated": dict(zip(described["products"], r["shares"], strict=True))}
            for r in (described["rows"] if described else [])
        ],
    }  # fmt: skip
