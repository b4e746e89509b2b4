"""The summary report: one page that opens without a network, says who is in the data first, and hides small cells."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from analysis import (
    Result,
    booster_effect,
    describe,
    disclosure,
    joint_replacement,
    time_in_response,
    time_to_response,
    trajectories,
)
from analysis.description import Description
from analysis.disclosure.messages import in_few
from analysis.harm_table import HarmTable
from analysis.result import versions
from analysis.trajectory_question import own_unit
from registry import Courses, Registry
from registry.errors import NotEstimable
from reports.booster_section import booster_section
from reports.defined_section import defined_section
from reports.description_section import characteristics, description_section, goals_result, goals_section
from reports.drawn import drawn
from reports.environment import environment
from reports.first_page import headlines, read_first
from reports.flow_section import flow_section, own_flow
from reports.follow_up_section import completeness, due, due_table, status, status_table, visit_table
from reports.formats import replace_file
from reports.numbers import changes, numbers
from reports.outlook_section import outlook_result, outlook_section
from reports.phrases import N_
from reports.printed import write_pdf
from reports.quality_section import quality_section
from reports.readers import readable, readable_checks
from reports.safety_section import grade_result, grade_section, safety_results, safety_section
from reports.words import ENGLISH, Words, words_of


@dataclass(frozen=True)
class Section:
    """One programme of the report; numbers are those of suppressed results, `left` is the flow of its own courses."""

    programme: str
    label: str
    evidence: str | None
    courses: Courses
    response: Result | None
    sizes: dict[str, int]
    modelled: dict[str, int]
    in_response: Result | None
    replacement: Result | None
    trajectory: Result | None
    booster: Result | None
    outlook: Result | None
    harms: list[Result]
    grades: HarmTable | None
    characteristics: Description | None
    goals: Result | None
    completeness: pl.DataFrame
    due: pl.DataFrame
    status: pl.DataFrame
    left: pl.DataFrame
    withheld: list[str] = field(default_factory=list)

    @property
    def results(self) -> list[Result]:
        """Every result whose numbers are on the page."""
        some = (self.response, self.in_response, self.replacement, self.trajectory, self.booster, self.outlook)
        return [r for r in (*some, *self.harms[:1]) if r is not None]


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
    sections = sections_of(registry)
    out.mkdir(parents=True, exist_ok=True)
    found = numbers(registry, [(s.programme, s.label, s.results) for s in sections], before)
    found["changes"] = changes(before, found) if before else []
    since = {"data_cut": before["data_cut"], "lines": changes(before, found, words)} if before else None
    html = render(registry, sections, since, centre, words)
    told = N_("Catamnesis %(version)s · data to %(day)s · record %(record)s")
    mark = words.say(told, version=found["versions"]["catamnesis"], day=words.date(registry.data_cut),
                     record=str(registry.chain_head())[:12])  # fmt: skip
    replace_file(out / "numbers.json", json.dumps(found, default=str, ensure_ascii=False, indent=1))
    replace_file(out / "report.pdf", write_pdf(html, when=registry.data_cut, mark=mark))
    replace_file(out / "index.html", html)
    return out / "index.html"


def sections_of(registry: Registry) -> list[Section]:
    """Return the programmes that have courses, with the suppressed results that are told of each."""
    return [_section(registry, *row) for row in _programmes(registry)]


def render(
    registry: Registry,
    sections: list[Section],
    since: dict[str, Any] | None = None,
    centre: str | None = None,
    words: Words = ENGLISH,
) -> str:
    """Return the page as HTML; nothing in it is fetched from anywhere."""
    title = words.say("Outcomes after regenerative treatment")
    if centre:
        title = words.say("Outcomes after regenerative treatment: centre %(centre)s", centre=centre)
    defects, described = registry.check(), description_section(registry)
    return (
        environment(words)
        .get_template("summary.html")
        .render(
            title=title,
            data_cut=registry.data_cut,
            counts=registry.counts(),
            sections=[_context(registry, s, words) for s in sections],
            headlines=headlines(sections),
            read_first=read_first(registry, sections, words),
            since=since,
            loads=_loads(registry),
            refused=_refused(registry),
            described=described,
            quality=quality_section(registry, described["products"] if described else [], defects),
            defects=defects.group_by("defect", "meaning").len("n").sort("n", descending=True).to_dicts(),
            versions=versions(),
            meta=dict(registry.con.sql("select key, value from log.meta order by key").fetchall()),
            chain=registry.chain_head(),
            smallest=disclosure.POLICY.smallest_cell,
            written=words.moment(dt.datetime.now(dt.UTC)),
        )
    )


def _programmes(registry: Registry) -> list[tuple[str, str, str | None]]:
    return registry.con.sql(
        "select programme.programme, programme.label, programme.evidence from catalogue.programme as programme "
        "join (select programme, count(*) as n from course.profile group by all) using (programme) order by n desc, 1"
    ).fetchall()


def _section(registry: Registry, programme: str, label: str, evidence: str | None) -> Section:
    courses = registry.courses(programme=programme)
    withheld: list[str] = []
    flows: list[pl.DataFrame] = []

    def answer(question: Any) -> Result | None:
        try:
            result: Result = question(courses, by="stage")
            if question is time_to_response:
                flows.append(own_flow(result.attrition))
            return result.suppress()
        except NotEstimable as error:
            why = in_few(str(error), disclosure.POLICY.smallest_cell)
            if why not in withheld:
                withheld.append(why)
            return None

    described = answer(describe)
    response = answer(time_to_response)
    sizes = _sizes(registry, "reduction.response_course") if response is not None else {}
    trajectory = answer(partial(trajectories, unit=own_unit(courses)))
    modelled = _sizes(registry, "reduction.trajectory_course where reason is null") if trajectory is not None else {}
    has_end = registry.con.execute(
        "select count(*) from catalogue.programme_event where programme = ? and role = 'end'", [programme]
    ).fetchone()
    return Section(
        programme=programme,
        label=label,
        evidence=evidence,
        courses=courses,
        response=response,
        sizes=sizes,
        modelled=modelled,
        in_response=answer(time_in_response) if response is not None else None,
        replacement=answer(joint_replacement) if has_end and has_end[0] else None,
        trajectory=trajectory,
        booster=answer(booster_effect) if response is not None and _has_boosters(registry, programme) else None,
        outlook=outlook_result(courses, [s for s in response.settings["strata"] if s["code"] in sizes])
        if response
        else None,
        harms=safety_results(courses),
        grades=grade_result(courses),
        characteristics=described if isinstance(described, Description) else None,
        goals=goals_result(courses),
        completeness=completeness(registry, programme),
        due=due(registry, programme),
        status=status(registry, programme),
        left=flows[0] if flows else pl.DataFrame(),
        withheld=withheld,
    )


def _sizes(registry: Registry, rows: str) -> dict[str, int]:
    """Return the courses by stratum of the question asked last."""
    return dict(registry.con.sql(f"select stratum, count(*) from {rows} group by all").fetchall())


def _has_boosters(registry: Registry, programme: str) -> bool:
    found = registry.con.execute(
        "select count(*) from course.session join course.course using (course_id) "
        "where programme = ? and role = 'booster'",
        [programme],
    ).fetchone()
    return bool(found and found[0])


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
        "mean_days": dict(
            result.frame.filter(pl.col("quantity") == "mean_days_in_response").select("stratum", "estimate").iter_rows()
        ),
        "contrasts": result.frame.filter(pl.col("quantity") == "difference", pl.col("time_day") == 365).to_dicts(),
        "labels": {s["code"]: s["label"] for s in strata},
        "test": test.row(0, named=True) if test.height else None,
        "settings": result.settings,
        "diagnostics": readable_checks(result.checks_made().to_dicts(), strata),
    }


def _refused(registry: Registry) -> list[dict[str, Any]]:
    """Return how many rows each rule refused, as told: a row may be all that there is of a patient."""
    rows = (
        registry.rejections()
        .group_by("rule", "message")
        .agg(pl.struct("file", "line").n_unique().alias("n"))
        .sort("n", "rule", descending=[True, False])
        .to_dicts()
    )
    return [{**r, "n": n} for r, n in zip(rows, disclosure.shown([r["n"] for r in rows]), strict=True)]


def _loads(registry: Registry) -> list[dict[str, Any]]:
    """Return the loads with their rows as told: where few were rejected, the accepted ones do not say how many."""
    loads = registry.sql("select * from log.load order by load_id").to_dicts()
    few = f"{disclosure.POLICY.smallest_cell} or more"
    for load, text in zip(loads, disclosure.shown([load["rejected"] for load in loads]), strict=True):
        accepted, rejected = disclosure.shown([load["accepted"], load["rejected"]])
        if text != f"{load['rejected']:,}":
            accepted, rejected = few if accepted == f"{load['accepted']:,}" else accepted, text
        load.update(accepted=accepted, rejected=rejected)
    return loads
