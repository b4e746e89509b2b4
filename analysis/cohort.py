"""Puts a cohort and its question before the SQL reductions: who, in which stratum, by which definition and policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from analysis.held import plan, take
from analysis.numerics.resampling import Clusters, clusters
from analysis.result import versions
from registry import Courses, sqlmodels
from registry.errors import NotEstimable, UsageError, choose

By = Literal[
    "stage", "all", "origin", "donor", "product", "route", "guidance", "dose_band", "site", "sex", "centre",
    "programme", "origin_by_stage",
]  # fmt: skip
# Strata that are no column of the profile of a course.
_MADE_OF = {"all": "'all'", "origin_by_stage": "origin || ' in ' || stage"}
Confirmation = Literal["confirmed", "first"]
EarlyVisits = Literal["ignored", "counted"]
EndPolicy = Literal["competing", "censor"]
BoosterPolicy = Literal["treatment_policy", "censor"]


@dataclass(frozen=True)
class Stratum:
    """One stratum of a cohort: its code, its label and its colour in figures."""

    code: str
    label: str
    colour: str


@dataclass(frozen=True)
class Definition:
    """A response definition of the catalogue."""

    definition: str
    version: str
    label: str
    source: str
    verified: bool

    @property
    def settings(self) -> dict[str, Any]:
        """What a result tells of the definition it was judged by."""
        return {
            "definition": self.definition,
            "definition_version": self.version,
            "definition_label": self.label,
            "definition_source": self.source,
            "definition_verified": self.verified,
        }


def allowed(options: object) -> tuple[str, ...]:
    """Return the values of a ``Literal``."""
    return tuple(get_args(options))


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that is no share, e.g. 95.

    Raises
    ------
    UsageError
        When it does not lie between 0.5 and 1.
    """
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence = {confidence} must lie between 0.5 and 1, e.g. 0.95.")


def definition_of(courses: Courses, name: str | None) -> Definition:
    """Return the definition `name`, or the default one of the cohort's programme.

    Raises
    ------
    UsageError
        When the catalogue has no such definition, or the cohort mixes programmes with different defaults.
    NotEstimable
        When the programme has no agreed definition: its courses are described, never judged.
    """
    con = courses.registry.con
    if name is None:
        ids = courses.ids.to_frame()  # noqa: F841  (read by name in the SQL below)
        found = con.sql(
            "select distinct programme.programme, programme.definition, programme.evidence from course.profile "
            "join ids using (course_id) join catalogue.programme using (programme) order by 1"
        ).fetchall()
        defaults = {definition for _, definition, _ in found}
        if len(defaults) > 1:
            raise UsageError(
                "The courses are of several programmes, each with its own response definition: "
                f"{', '.join(p for p, _, _ in found)}. Select one: registry.courses(programme=…), or name a definition."
            )
        if not defaults or None in defaults:
            why = courses.reasons()
            nobody = (
                f"No course is left to analyse. {why}" if why else "No course is selected: there is nothing to judge."
            )
            raise NotEstimable(found[0][2] or "The programme has no response definition." if found else nobody)
        name = defaults.pop()
    known = [r[0] for r in con.sql("select definition from catalogue.definition order by 1").fetchall()]
    choose(str(name), known, "Definition")
    columns = "definition, version, label, source, verified"
    held = con.execute(f"select {columns} from catalogue.definition where definition = ?", [name]).fetchone()
    assert held is not None
    return Definition(*held)


def place(
    courses: Courses,
    by: str,
    definition: Definition,
    *,
    confirmation: str = "confirmed",
    early_visits: str = "ignored",
    end_policy: str = "competing",
    booster_policy: str = "treatment_policy",
) -> tuple[list[Stratum], Courses]:
    """Write ``cohort.course`` and ``cohort.question`` for the reductions; derive the definition if it is not yet.

    Returns the strata in order and the courses with those of unknown stratum excluded, the reason kept.
    """
    choose(confirmation, allowed(Confirmation), "confirmation =")
    choose(early_visits, allowed(EarlyVisits), "early_visits =")
    choose(end_policy, allowed(EndPolicy), "end_policy =")
    choose(booster_policy, allowed(BoosterPolicy), "booster_policy =")
    con = courses.registry.con
    ensure_definition(courses, definition.definition)
    strata, kept = place_courses(courses, by)
    question = [definition.definition, confirmation, early_visits, end_policy, booster_policy]
    names = ("definition", "confirmation", "early_visits", "end_policy", "booster_policy")
    marks = ", ".join(f"? as {n}" for n in names)
    con.execute(f"create or replace table cohort.question as select {marks}", question)
    return strata, kept


def place_courses(courses: Courses, by: str) -> tuple[list[Stratum], Courses]:
    """Write ``cohort.course`` for the reductions; courses of unknown stratum are excluded with that reason."""
    choose(by, allowed(By), "by =")
    con = courses.registry.con
    column = _MADE_OF.get(by, by)
    ids = courses.ids.to_frame()  # noqa: F841  (read by name in the SQL below)
    con.execute("create schema if not exists cohort")
    con.execute(
        f"create or replace table cohort.course as select course_id, patient_id, {column} as stratum "
        "from course.profile join ids using (course_id) order by course_id"
    )
    unknown = con.sql(f"select course_id, 'no {by} recorded' as reason from cohort.course where stratum is null").pl()
    con.execute("delete from cohort.course where stratum is null")
    return strata_of(courses, by), courses.exclude(unknown)


def ensure_definition(courses: Courses, definition: str) -> None:
    """Derive `definition` for the programmes of the registry in memory, unless it already is."""
    con = courses.registry.con
    held = con.execute("select count(*) from endpoint.definition_use where definition = ?", [definition]).fetchone()
    programmes = con.sql("select count(distinct programme) from course.profile").fetchone()
    default = con.execute("select count(*) from catalogue.programme where definition = ?", [definition]).fetchone()
    if held and programmes and default and held[0] >= max(default[0], 1) and default[0]:
        return
    if held and programmes and held[0] >= programmes[0]:
        return
    con.execute("create or replace temp table definition_wanted as select * from endpoint.definition_use union "
                "select distinct programme, ? from course.profile", [definition])  # fmt: skip
    kind = con.sql("select table_type from information_schema.tables where table_catalog = current_database() "
                   "and table_schema = 'endpoint' and table_name = 'definition_use'").fetchone()  # fmt: skip
    if kind and kind[0] == "VIEW":
        con.execute("drop view endpoint.definition_use")
    con.execute("create or replace table endpoint.definition_use as from temp.definition_wanted")
    later = sqlmodels.downstream(["endpoint.definition_use"])
    sqlmodels.run(con, [m for m in later if m.startswith("endpoint.") and m != "endpoint.definition_use"])


def strata_of(courses: Courses, by: str) -> list[Stratum]:
    """Return the strata of the cohort in their order: stages by severity, with those nobody is in; else by name."""
    con = courses.registry.con
    present = [str(r[0]) for r in con.sql("select distinct stratum from cohort.course order by 1").fetchall()]
    if by != "stage":
        return [Stratum(code, code, _colour(i)) for i, code in enumerate(present)]
    programmes = con.sql(
        "select distinct programme from course.profile semi join cohort.course using (course_id)"
    ).fetchall()
    held = con.execute(
        "select stage, min(label), min(colour), min(position) as position from catalogue.stage "
        "where list_contains(?, programme) group by stage order by position",
        [[p for (p,) in programmes]],
    ).fetchall()
    known = [Stratum(str(stage), str(label), str(colour)) for stage, label, colour, _ in held]
    codes = {s.code for s in known}
    return known + [Stratum(code, code, _colour(i)) for i, code in enumerate(p for p in present if p not in codes)]


def reduce(courses: Courses, *names: str) -> list[pl.DataFrame]:
    """Run the reductions `names` for the cohort placed, or take what is held of them, and return them."""
    con = courses.registry.con
    for name, is_held in plan(con, names):
        if is_held:
            take(con, name)
        else:
            sqlmodels.run(con, [name])
    return read(courses, *names)


def read(courses: Courses, *names: str) -> list[pl.DataFrame]:
    """Return reductions that were run for the cohort placed."""
    return [courses.registry.con.sql(f"from {name} order by all").pl() for name in names]


def patient_clusters(cells: pl.DataFrame, patterns: pl.DataFrame) -> Clusters:
    """Gather a cluster reduction (pattern, cell, n_courses, n_patients) over the cells of its cell reduction."""
    number = patterns["pattern"].rank("dense").to_numpy().astype(np.int64) - 1
    return clusters(
        number,
        patterns["cell"].to_numpy().astype(np.int64) - 1,
        patterns["n_courses"].to_numpy().astype(float),
        patterns["n_patients"].to_numpy().astype(float),
        cells.height,
    )


def programmes_of(courses: Courses) -> list[str]:
    """Return the programmes of the cohort placed."""
    found = courses.registry.con.sql(
        "select distinct programme from course.profile semi join cohort.course using (course_id) order by 1"
    ).fetchall()
    return [str(p) for (p,) in found]


def end_label(courses: Courses) -> str:
    """Return what ends a target in the programmes of the cohort placed, in words."""
    found = courses.registry.con.execute(
        "select distinct end_label from catalogue.programme where list_contains(?, programme) order by 1",
        [programmes_of(courses)],
    ).fetchall()
    return " or ".join(str(label) for (label,) in found)


def common_settings(courses: Courses, strata: list[Stratum], question: str, by: str) -> dict[str, Any]:
    """Return the settings that every question shares: who, when, by what, with which versions."""
    return {
        "question": question,
        "by": by,
        "selection": courses.selection,
        "data_cut": str(courses.registry.data_cut),
        "programmes": programmes_of(courses),
        "strata": [{"code": s.code, "label": s.label, "colour": s.colour} for s in strata],
        "versions": versions(),
    }


def _colour(position: int) -> str:
    return ("#0b5394", "#c27b30", "#a61c1c", "#38761d", "#674ea7", "#3d85c6", "#7f6000", "#45818e")[position % 8]
