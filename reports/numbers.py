"""The numbers of the report for machines: of each programme its results, with what they rest on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from analysis import Result
from analysis.disclosure import POLICY
from analysis.result import versions
from registry import Registry
from reports.fingerprint import code_hash, waivers
from reports.hidden import key_of
from reports.reasons import edited, not_few, standing

# What the numbers file tells of a result beside its numbers.
_SETTINGS = ("definition", "definition_version", "confirmation", "unit_label")
# What is counted of the registry in all.
COUNTED = ("patient", "course", "treatment_session", "measurement", "event", "adverse_event")


def numbers(
    registry: Registry, programmes: Iterable[tuple[str, str, list[Result]]], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the numbers of the questions that the page answers, small cells suppressed, with what they rest on.

    Parameters
    ----------
    registry
        Whose report it is.
    programmes
        Code, label and suppressed results of each programme.
    before
        The numbers before: what was edited since its last load is told of each programme.
    """
    since = before.get("last_load") if before else None
    return {
        "level": "aggregate",
        "data_cut": registry.data_cut,
        "smallest_cell": POLICY.smallest_cell,
        "counts": {k: not_few(n) for k, n in registry.counts().items() if k in COUNTED},
        "loads": registry.con.sql("select count(*) from log.load").fetchall()[0][0],
        "last_load": registry.con.sql("select coalesce(max(load_id), 0) from log.load").fetchall()[0][0],
        "code": code_hash()[:12],
        "waivers": waivers(registry)[:12],
        "programmes": {
            code: {
                "label": label,
                **standing(registry, code),
                "edited": {} if since is None else edited(registry, code, since),
                "results": {
                    key_of(r): {
                        "title": r.title,
                        "frame": _rows(r),
                        "notes": r.notes,
                        **{k: r.settings[k] for k in _SETTINGS if k in r.settings},
                    }
                    for r in results
                },
            }
            for code, label, results in programmes
        },
        "versions": versions(),
    }


def _rows(result: Result) -> list[dict[str, Any]]:
    """Return the frame with a mark on what is hidden."""
    hidden = pl.col("note").fill_null("").str.contains("^(suppressed|of how many)")
    return result.frame.with_columns(suppressed=hidden).to_dicts()
