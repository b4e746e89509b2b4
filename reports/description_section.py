"""Description in the summary report: goals that were attained, and how completely products are described."""

from __future__ import annotations

from typing import Any

import polars as pl
from markupsafe import Markup

from analysis import goals
from analysis.description import Description
from analysis.disclosure import POLICY
from analysis.result import Result
from registry import Courses, Registry
from registry.errors import NotEstimable
from registry.reporting import sections
from reports.hidden import Hide, suppressed
from reports.phrases import N_
from reports.words import Words

# What the report tells of goals, by stage.
_GOALS = {
    "goal_named": N_("A goal was named"),
    "goal_assessed": N_("… and its attainment assessed"),
    "goal_attained": N_("Main goal attained, of those assessed"),
    "goal_exceeded": N_("… more than attained"),
    "goal_attained_of_named": N_("Main goal attained, of all named (none to all of those not assessed)"),
    "reached_as_expected": N_("Change expected was reached by a year"),
}

_PATIENTS = (
    "select product, count(distinct patient_id) as n from record.treatment_session s "
    "join record.product p on p.id = s.product_id group by product"
)


def description_section(registry: Registry) -> dict[str, Any] | None:
    """Return a table with a row for each section and a column for each product; None if there is none to show.

    Products of fewer patients than may be shown are left out and counted.
    """
    found = registry.reporting()
    given = dict(registry.sql(_PATIENTS).iter_rows())
    names = found["product"].unique(maintain_order=True).to_list()
    shown = [name for name in names if given.get(name, 0) >= POLICY.smallest_cell]
    if not shown:
        return None
    table = sections(found).filter(pl.col("product").is_in(shown))
    rows = []
    for section in table["section"].unique(maintain_order=True):
        shares = dict(table.filter(section=section).select("product", "share").iter_rows())
        rows.append({"label": section, "shares": [shares.get(name) for name in shown]})
    return {"products": shown, "rows": rows, "hidden": len(names) - len(shown)}


def characteristics(description: Description, words: Words) -> dict[str, Any]:
    """Return Table 1 as the rows and columns to print."""
    table = description.table()
    columns = [c for c in table.columns if c not in ("characteristic", "level", "smd")]
    rows = [
        {
            "kind": "group" if r["characteristic"] else "level",
            "label": _label(r["characteristic"], r["level"], words),
            "cells": [r[c] for c in columns],
            "smd": r["smd"],
        }
        for r in table.iter_rows(named=True)
    ]
    return {"columns": columns, "rows": rows, "smd": any(r["smd"] for r in rows)}


def _label(characteristic: str, level: str, words: Words) -> Markup:
    """Return the head of a row of Table 1; a level may be a value of the data."""
    if characteristic and level:
        return Markup("{}, {}").format(words.said(characteristic), words.said(level))
    return words.said(characteristic) if characteristic else words.value(level)


def goals_result(courses: Courses, hide: Hide = suppressed) -> Result | None:
    """Return the suppressed goals of a programme by stage; None where nobody wrote one down."""
    try:
        made: Result = hide(goals(courses, by="stage"))
        return made
    except NotEstimable:
        return None


def goals_section(result: Result | None) -> dict[str, Any] | None:
    """Return a table with a row for each number of goals, and a column for each stage that has courses."""
    if result is None:
        return None
    cells = {(r["quantity"], r["stratum"]): r for r in result.frame.to_dicts()}
    shown = [s for s in result.settings["strata"] if cells.get(("goal_named", s["code"]), {}).get("denominator") != 0]
    rows = [
        {"label": label, "cells": [cells.get((quantity, s["code"])) for s in shown]}
        for quantity, label in _GOALS.items()
        if any((quantity, s["code"]) in cells for s in shown)
    ]
    return {"columns": [s["label"] for s in shown], "rows": rows, "notes": list(result.notes)}
