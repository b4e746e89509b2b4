"""Puts a cohort and its question before the SQL reductions: who, in which stratum, by which definition and policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import polars as pl

from analysis.given import is_number, is_whole
from analysis.held import plan, take
from analysis.numerics.resampling import Clusters, clusters
from analysis.result import versions
from registry import Courses, sqlmodels
from registry.errors import NotEstimable, UsageError, choose

By = Literal[
    "stage", "all", "origin", "donor", "product", "separation", "expanded", "same_day", "route", "guidance",
    "dose_band", "site", "sex", "centre", "programme", "origin_by_stage",
]  # fmt: skip
# Strata that are no column of the profile of a course.
_MADE_OF = {
    "all": "'all'",
    "origin_by_stage": "origin || ' in ' || stage",
    "expanded": "case when expanded then 'expanded' when not expanded then 'not expanded' end",
    "same_day": "case when same_day then 'same day' when not same_day then 'another day' end",
}
Confirmation = Literal["confirmed", "first"]
EarlyVisits = Literal["ignored", "counted"]
EndPolicy = Literal["competing", "censor"]
BoosterPolicy = Literal["treatment_policy", "censor"]
RescuePolicy = Literal["treatment_policy", "censor", "composite"]
# One day, or several.
Days = tuple[int, ...] | int
_Name = TypeVar("_Name", bound=str)
# What courses of several programmes are refused for, by the column of ``catalogue.programme`` in which these differ.
_OWN = {"definition": "response definition", "end_label": "end of the target"}
SELECT_ONE = "Select one (programme=…, or --programme on the command line)"


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
    if not (is_number(confidence) and 0.5 < float(confidence) < 1):
        raise UsageError(f"confidence = {confidence} must lie between 0.5 and 1, e.g. 0.95.")


def check_resampling(seed: int, resamples: int = 200, *, or_none: bool = False) -> None:
    """Refuse a seed below 0, or resamples that are too few for limits; `or_none`: 0 gives none.

    Raises
    ------
    UsageError
        With how many are needed.
    """
    for name, given in (("seed", seed), ("resamples", resamples)):
        if not is_whole(given):
            raise UsageError(f"{name} = {given!r} must be a whole number.")
    if seed < 0:
        raise UsageError(f"seed = {seed} must be 0 or more.")
    if resamples < 20 and not (or_none and resamples == 0):
        none = ", or 0 for none" if or_none else ", 200 for a report"
        raise UsageError(f"resamples = {resamples} is too few for an interval: give 20 or more{none}.")


def check_courses(courses: object) -> None:
    """Refuse what is no selection of courses, e.g. a registry.

    Raises
    ------
    UsageError
        With how courses are selected.
    """
    if not isinstance(courses, Courses):
        raise UsageError(
            f"A question is asked of courses, and this is a {type(courses).__name__}. Select them first: "
            "knees = registry.courses(programme='osteoarthritis')."
        )


def check_left(courses: Courses) -> None:
    """Refuse to go on when no course is left of those selected.

    Raises
    ------
    NotEstimable
        With why each left.
    """
    if len(courses) == 0:
        why = courses.reasons()
        raise NotEstimable(
            f"No course is left to analyse. {why}" if why else "No course is selected: there is nothing to judge."
        )


def check_days(days: object, name: str, since: str = "the first session") -> tuple[int, ...]:
    """Return `days`, one or several, each once and in order; `name` and `since` say which days they are.

    Raises
    ------
    UsageError
        When there is none, or one is no whole number or less than 1.
    """
    given = tuple(days) if isinstance(days, Iterable) and not isinstance(days, str) else (days,)
    if not given or not all(_is_day(d) for d in given):
        raise UsageError(f"{name} = {days!r} must be days since {since}, 1 or more: one, or several as (183, 365).")
    return tuple(sorted({int(d) for d in given}))


def check_day(day: object, name: str, since: str = "the first session") -> None:
    """Refuse what is no single day of 1 or more, as :func:`check_days` does for several."""
    if not _is_day(day):
        raise UsageError(f"{name} = {day!r} must be one day since {since}, 1 or more, e.g. 365.")


def _is_day(day: object) -> bool:
    return is_number(day) and float(day) >= 1 and float(day).is_integer()


def check_one(courses: Courses, differs: Literal["definition", "end_label"], otherwise: str = "") -> None:
    """Refuse courses of programmes that differ in what the question is about; `otherwise` adds another way out.

    Raises
    ------
    UsageError
        With the programmes, and how to select one.
    """
    ids = courses.ids.to_frame()  # noqa: F841  (read by name in the SQL below)
    found = courses.registry.con.sql(
        f"select distinct programme, {differs} from course.profile join ids using (course_id) "
        "join catalogue.programme using (programme) order by 1"
    ).fetchall()
    if len({value for _, value in found}) > 1:
        raise UsageError(
            f"The courses are of several programmes, each with its own {_OWN[differs]}: "
            f"{', '.join(p for p, _ in found)}. {SELECT_ONE}{otherwise}."
        )


def several(given: _Name | tuple[_Name, ...]) -> tuple[_Name, ...]:
    """Return names given one by itself, or several, as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given)


def definition_of(courses: Courses, name: str | None) -> Definition:
    """Return the definition `name`, or the default one of the cohort's programme.

    Raises
    ------
    UsageError
        When the catalogue has no such definition, or the cohort mixes programmes with different defaults.
    NotEstimable
        When the programme has no agreed definition: its courses are described, never judged.
    """
    check_courses(courses)
    con = courses.registry.con
    if name is None:
        check_one(courses, "definition", ", or name a definition")
        ids = courses.ids.to_frame()  # noqa: F841  (read by name in the SQL below)
        found = con.sql(
            "select distinct programme.programme, programme.definition, programme.evidence from course.profile "
            "join ids using (course_id) join catalogue.programme using (programme) order by 1"
        ).fetchall()
        defaults = {definition for _, definition, _ in found}
        if not defaults or None in defaults:
            check_left(courses)
            raise NotEstimable(found[0][2] or "The programme has no response definition.")
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
    rescue_policy: str = "treatment_policy",
) -> tuple[list[Stratum], Courses]:
    """Write ``cohort.course`` and ``cohort.question`` for the reductions; derive the definition if it is not yet.

    Returns the strata in order and the courses with those of unknown stratum excluded, the reason kept.
    """
    choose(confirmation, allowed(Confirmation), "confirmation =")
    choose(early_visits, allowed(EarlyVisits), "early_visits =")
    choose(end_policy, allowed(EndPolicy), "end_policy =")
    choose(booster_policy, allowed(BoosterPolicy), "booster_policy =")
    choose(rescue_policy, allowed(RescuePolicy), "rescue_policy =")
    con = courses.registry.con
    ensure_definition(courses, definition.definition)
    strata, kept = place_courses(courses, by)
    question = [definition.definition, confirmation, early_visits, end_policy, booster_policy, rescue_policy]
    names = ("definition", "confirmation", "early_visits", "end_policy", "booster_policy", "rescue_policy")
    marks = ", ".join(f"? as {n}" for n in names)
    con.execute(f"create or replace table cohort.question as select {marks}", question)
    return strata, kept


def place_courses(courses: Courses, by: str) -> tuple[list[Stratum], Courses]:
    """Write ``cohort.course`` for the reductions; courses of unknown stratum are excluded with that reason."""
    check_courses(courses)
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
        return [Stratum(code, label_of(code, by), colour_of(i)) for i, code in enumerate(present)]
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
    return known + [Stratum(code, code, colour_of(i)) for i, code in enumerate(p for p in present if p not in codes)]


def label_of(code: str, by: str) -> str:
    """Return a code of the catalogue in words, ``intra articular``; what a clinic named stays as it is."""
    return code if by in ("centre", "product") else code.replace("_", " ")


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


def colour_of(position: int) -> str:
    """Return the colour of the stratum at that position where it has none of its own."""
    return ("#0b5394", "#c27b30", "#a61c1c", "#38761d", "#674ea7", "#3d85c6", "#7f6000", "#45818e")[position % 8]
