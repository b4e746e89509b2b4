"""What stands first in the summary report: the numbers that a reader looks for, and what to know before quoting one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup, escape

from analysis import Result, disclosure
from registry import Registry
from reports.phrases import N_
from reports.words import Words

if TYPE_CHECKING:
    from reports.summary import Section

_YEAR, _TWO_YEARS = 365.0, 730.0


def headlines(sections: list[Section]) -> list[dict[str, Any]]:
    """Return the headline numbers of each programme in which response was judged: a row a stage with somebody in it.

    Each row has three rows of the results frame as ``cells``, or null: responded within a year, in response at a year,
    end of the target within two. Each is of courses of its own, its denominator.
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
                rows.append({**stratum, "cells": cells})
        end = s.replacement.settings["end_label"] if s.replacement is not None else None
        found.append({"id": s.programme, "label": s.label, "rows": rows, "end": end})
    return found


def _number(result: Result | None, stratum: str, quantity: str, day: float) -> dict[str, Any] | None:
    if result is None:
        return None
    mine = result.frame.filter(pl.col("stratum") == stratum, pl.col("quantity") == quantity, pl.col("time_day") == day)
    return mine.row(0, named=True) if mine.height else None


def read_first(registry: Registry, sections: list[Section], words: Words) -> list[Markup]:
    """Return what a reader must know before quoting a number, written from the data: one sentence a programme."""
    lines = [line for line in (_mind(section, words) for section in sections) if line]
    refused = registry.rejections().select("file", "line").unique().height
    if refused:
        lines.append(
            escape(
                words.say_many(
                    "%(n)s row of the clinics' files was refused and is in no number below.",
                    "%(n)s rows of the clinics' files were refused and are in no number below.",
                    refused,
                )
            )
        )
    return lines


def _mind(section: Section, words: Words) -> Markup:
    """Return what to mind of one programme in a sentence: its parts are clauses, each whole."""
    response, parts = section.response, []
    label = words.said(section.label)
    if response is None:
        if not section.evidence:
            return Markup()
        return words.html("%(programme)s: %(evidence)s", programme=label, evidence=words.said(section.evidence))
    strata = response.settings["strata"]
    empty = [words.inside(s["label"]) for s in strata if section.sizes.get(s["code"], 0) == 0]
    if empty:
        parts.append(words.say("nobody is in stage %(stages)s", stages=", ".join(empty)))
    late = response.at_risk.filter(pl.col("time_day") == _TWO_YEARS)
    at_risk = dict(late.select("stratum", "n").iter_rows())
    seen = [s for s in strata if section.sizes.get(s["code"], 0)]
    few = [words.inside(s["label"]) for s in seen if (at_risk.get(s["code"]) or 0) < 20]
    if few and len(few) == len(seen):
        parts.append(words.say("fewer than 20 courses are still at risk at 24 months in every stage"))
    elif few:
        told = N_("fewer than 20 courses are still at risk at 24 months in %(stages)s")
        parts.append(words.say(told, stages=", ".join(few)))
    due = section.completeness.filter(pl.col("planned_visit") == "12 months")
    if due["n_due"].sum() >= disclosure.POLICY.smallest_cell:
        share = disclosure.share(int(due["n_seen"].sum()), int(due["n_due"].sum()))
        parts.append(words.say("%(share)s of the 12-month visits that were due took place", share=words.plain(share)))
    if not parts:
        return Markup()
    return words.html("%(programme)s: %(points)s.", programme=label, points=escape("; ".join(parts)))
