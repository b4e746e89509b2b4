"""The summary report: one page that opens without a network, says who is in the data first, and hides small cells."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl

from analysis import Result, disclosure
from analysis.result import versions
from registry import Registry
from reports.booster_section import booster_section
from reports.changed_section import changed_section
from reports.defined_section import defined_section
from reports.description_section import characteristics, goals_section
from reports.drawn import drawn
from reports.environment import environment
from reports.feed import SCHEMA, feed, log_of, schema, whole_of
from reports.first_page import headlines, read_first
from reports.flow_section import flow_section
from reports.follow_up_section import due_table, status_table, visit_table
from reports.formats import replace_file
from reports.hidden import hidden_section
from reports.outlook_section import outlook_section
from reports.phrases import N_
from reports.printed import write_pdf
from reports.readers import readable, readable_checks
from reports.safety_section import grade_section, safety_section
from reports.sections import Section, sections_of
from reports.words import ENGLISH, Words, words_of


def write_report(
    registry: Registry,
    out: Path,
    before: dict[str, Any] | None = None,
    *,
    centre: str | None = None,
    language: str = "en",
) -> Path:
    """Write ``index.html``, ``report.pdf`` and ``numbers.json`` into `out`.

    The PDF is set from the page. The page is replaced last, and only when everything is whole.

    Parameters
    ----------
    registry
        Opened for reading.
    out
        Folder, made if it is not there.
    before
        ``numbers.json`` of the report before; the page then says what changed since.
    centre
        Named in the title: the registry was opened for this centre alone.
    language
        Of page and PDF, one of :func:`reports.words.languages`; the numbers file is the same in each.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    UsageError
        When the language is not known.
    """
    words = words_of(language)
    sections, whole = sections_of(registry), whole_of(registry)
    out.mkdir(parents=True, exist_ok=True)
    found = feed(registry, sections, whole, before)
    since = changed_section(before, found, words) if before else None
    html = render(registry, sections, since, centre, words, whole)
    told = N_("Catamnesis %(version)s · data to %(day)s · record %(record)s")
    mark = words.say(told, version=found["versions"]["catamnesis"], day=words.date(registry.data_cut),
                     record=str(registry.chain_head())[:12])  # fmt: skip
    replace_file(out / SCHEMA, schema())
    replace_file(out / "numbers.json", json.dumps(found, default=str, ensure_ascii=False, indent=1))
    replace_file(out / "report.pdf", write_pdf(html, when=registry.data_cut, mark=mark))
    replace_file(out / "index.html", html)
    return out / "index.html"


def render(
    registry: Registry,
    sections: list[Section],
    since: dict[str, Any] | None = None,
    centre: str | None = None,
    words: Words = ENGLISH,
    whole: dict[str, Any] | None = None,
) -> str:
    """Return the page as HTML; nothing in it is fetched from anywhere.

    Parameters
    ----------
    registry, sections, centre, words
        Whose report it is, its programmes, the centre if it is of one, and the language.
    since
        What changed, by :func:`reports.changed_section.changed_section`; none in a first report.
    whole
        Counts of the registry in all, by :func:`reports.feed.whole_of`.
    """
    title = words.say("Outcomes after regenerative treatment")
    if centre:
        title = words.say("Outcomes after regenerative treatment: centre %(centre)s", centre=centre)
    whole = whole or whole_of(registry)
    log = log_of(sections, whole, since["moved"] if since else [])
    return (
        environment(words)
        .get_template("summary.html")
        .render(
            title=title,
            data_cut=registry.data_cut,
            counts=registry.counts(),
            sections=[_context(registry, s, words) for s in sections],
            headlines=headlines(sections),
            read_first=read_first(registry, sections, words, since["point"] if since else None),
            since=since,
            hidden=hidden_section(log, {s.programme: s.label for s in sections}, words),
            **whole,
            versions=versions(),
            meta=dict(registry.con.sql("select key, value from log.meta order by key").fetchall()),
            chain=registry.chain_head(),
            smallest=disclosure.POLICY.smallest_cell,
            written=words.moment(dt.datetime.now(dt.UTC)),
        )
    )


def _context(registry: Registry, section: Section, words: Words) -> dict[str, Any]:
    """Return what the template needs of one programme."""
    of, strata = section.programme, section.characteristics.settings["strata"] if section.characteristics else []
    used = [section.response.settings["definition"]] if section.response else []
    tables = defined_section(registry, of, used)
    return {
        "id": of,
        "defined": tables,
        "defined_ids": {t["key"]: t["id"] for t in tables},
        "label": section.label,
        "evidence": section.evidence,
        "withheld": [readable(w, strata) for w in section.withheld],
        "n_courses": len(section.courses),
        "flow": flow_section(section),
        "response": _answer(section.response, "response", section.programme + "-response", words),
        "in_response": _answer(section.in_response, "share_in_response", section.programme + "-in-response", words),
        "replacement": _answer(section.replacement, "end", section.programme + "-end", words),
        "trajectory": _answer(
            section.trajectory, "mean_change", section.programme + "-trajectory", words, section.modelled
        ),
        "outlook": outlook_section(section.outlook),
        "harms": safety_section(section.harms, words),
        "grades": grade_section(section.grades, words),
        "booster": booster_section(section.booster, of + "-booster", words),
        "characteristics": characteristics(section.characteristics, words) if section.characteristics else None,
        "goals": goals_section(section.goals),
        "completeness": visit_table(section.completeness),
        "due": due_table(section.due),
        "status": status_table(section.status),
        "notes": list(section.response.notes) if section.response else [],
    }


def _answer(
    result: Result | None, quantity: str, prefix: str, words: Words, courses: dict[str, int] | None = None
) -> dict[str, Any] | None:
    """Return figure, table by stratum and day, test and settings; `courses` where denominators are those seen."""
    if result is None:
        return None
    rows, strata = [], result.settings["strata"]
    for stratum in strata:
        mine = result.frame.filter(pl.col("stratum") == stratum["code"], pl.col("quantity") == quantity)
        if mine.height:
            n = mine["denominator"].max() if courses is None else courses.get(stratum["code"], 0)
            rows.append({**stratum, "n": n, "cells": mine.to_dicts()})
    test = result.frame.filter(pl.col("quantity") == "test")
    drawable = result.draw is not None and any(c["estimate"] is not None for r in rows for c in r["cells"])
    return {
        "figure": drawn(result, prefix, words) if drawable else None,
        "days": sorted({r["time_day"] for r in rows[0]["cells"]}) if rows else [],
        "rows": rows,
        "title": result.title,
        "notes": [readable(n, strata) for n in result.notes],
        "mean_days": {
            r["stratum"]: r
            for r in result.frame.filter(pl.col("quantity") == "mean_days_in_response").iter_rows(named=True)
        },
        "contrasts": result.frame.filter(pl.col("quantity") == "difference", pl.col("time_day") == 365).to_dicts(),
        "labels": {s["code"]: s["label"] for s in strata},
        "test": test.row(0, named=True) if test.height else None,
        "settings": result.settings,
        "diagnostics": readable_checks(result.checks_made().to_dicts(), strata),
    }
