"""The programmes of the report: of each the suppressed results and counts that page and numbers tell."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
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
from analysis.disclosure.log import Entry
from analysis.disclosure.messages import in_few
from analysis.harm_table import HarmTable
from analysis.trajectory_question import own_unit
from registry import Courses, Registry
from registry.errors import NotEstimable
from reports.description_section import goals_result
from reports.flow_section import own_flow
from reports.follow_up_section import completeness, due, status
from reports.hidden import Hiding
from reports.outlook_section import outlook_result
from reports.safety_section import grade_result, safety_results


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
    hidden: tuple[Entry, ...] = ()

    @property
    def results(self) -> list[Result]:
        """Every result whose numbers are on the page."""
        some = (self.response, self.in_response, self.replacement, self.trajectory, self.booster, self.outlook,
                *self.harms, self.grades, self.characteristics, self.goals)  # fmt: skip
        return [r for r in some if r is not None]


def sections_of(registry: Registry) -> list[Section]:
    """Return the programmes that have courses, with the suppressed results that are told of each."""
    return [section_of(registry, *row) for row in programmes(registry)]


def programmes(registry: Registry) -> list[tuple[str, str, str | None]]:
    """Return code, label and evidence of the programmes that have courses, the largest first."""
    return registry.con.sql(
        "select programme.programme, programme.label, programme.evidence from catalogue.programme as programme "
        "join (select programme, count(*) as n from course.profile group by all) using (programme) order by n desc, 1"
    ).fetchall()


def section_of(registry: Registry, programme: str, label: str, evidence: str | None) -> Section:
    """Ask of one programme what the report tells of it; what cannot be estimated is told with its reason."""
    courses = registry.courses(programme=programme)
    withheld: list[str] = []
    flows: list[pl.DataFrame] = []
    hide = Hiding(programme)

    def answer(question: Any) -> Result | None:
        try:
            result: Result = question(courses, by="stage")
            if question is time_to_response:
                flows.append(own_flow(result.attrition))
            return hide(result)
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
    made = Section(
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
        outlook=outlook_result(courses, [s for s in response.settings["strata"] if s["code"] in sizes], hide)
        if response
        else None,
        harms=safety_results(courses, hide),
        grades=grade_result(courses, hide),
        characteristics=described if isinstance(described, Description) else None,
        goals=goals_result(courses, hide),
        completeness=completeness(registry, programme),
        due=due(registry, programme),
        status=status(registry, programme),
        left=flows[0] if flows else pl.DataFrame(),
        withheld=withheld,
    )
    # Results are hidden while the section is made, its counts when they are told.
    return replace(made, hidden=tuple(hide.entries))


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
