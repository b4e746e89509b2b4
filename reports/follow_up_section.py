"""Follow-up in the summary report: how complete it is, what became of each planned visit, and where courses stand."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis import disclosure
from registry import Registry

# What can become of a planned visit, in the order of the table.
STATES = ("seen", "late", "overdue", "missed", "lost", "ended", "not_due")
# Of these nothing is due any more.
_OVER = ("ended", "not_treated", "withdrawn")


def completeness(registry: Registry, programme: str) -> pl.DataFrame:
    """Return visits due and seen by planned visit and stage: ``stage, label, planned_visit, n_due, n_seen``."""
    return registry.con.execute(
        "select stage, coalesce(label, stage) as label, planned_visit, n_due, n_seen "
        "from summary.completeness left join catalogue.stage using (programme, stage) "
        "where programme = ? order by summary.completeness.position, catalogue.stage.position nulls last",
        [programme],
    ).pl()


def due(registry: Registry, programme: str) -> pl.DataFrame:
    """Return courses by planned visit and what became of it; see :meth:`registry.Registry.follow_up_visits`."""
    return registry.follow_up_visits().filter(programme=programme)


def status(registry: Registry, programme: str) -> pl.DataFrame:
    """Return courses by where they stand, and how many of them missed a visit: ``status, rule, n, n_overdue``."""
    return registry.con.execute(
        "select status, rule, count(*) as n, count(*) filter (where n_overdue > 0) as n_overdue "
        "from summary.course_status where programme = ? group by all order by n desc, status",
        [programme],
    ).pl()


def visit_table(frame: pl.DataFrame) -> dict[str, Any]:
    """Return shares of visits that took place as the rows and columns to print, few hidden."""
    stages = frame.select("stage", "label").unique(maintain_order=True).to_dicts()
    visits = frame["planned_visit"].unique(maintain_order=True).to_list()
    cells = {
        (r["planned_visit"], r["stage"]): {
            "share": disclosure.share(r["n_seen"], r["n_due"]),
            "due": disclosure.shown([r["n_due"]])[0] if r["n_due"] else "",
        }
        for r in frame.to_dicts()
    }
    rows = [{"visit": v, "cells": [cells.get((v, s["stage"])) for s in stages]} for v in visits]
    return {"stages": stages, "rows": rows}


def due_table(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a row for each planned visit, with its courses by what became of it in the order of the columns.

    The states of a visit add up to the courses asked, so that of few in one the next smallest is hidden too.
    """
    return [
        {"visit": r["planned_visit"], "cells": disclosure.shown([r[f"n_{s}"] for s in STATES])}
        for r in frame.to_dicts()
    ]


def status_table(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a row for each status with its courses, and those with missed visits where something is still due."""
    counts, missed = (disclosure.shown(frame[c].to_list()) for c in ("n", "n_overdue"))
    rows = frame.select("status", "rule").to_dicts()
    return [
        {**r, "n": n, "missed": "–" if r["status"] in _OVER else m}
        for r, n, m in zip(rows, counts, missed, strict=True)
    ]
