"""What a question about trajectories asks: which scale, which visits, which policies; written for the reductions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from analysis.cohort import SELECT_ONE, allowed, programmes_of
from analysis.exposure import exposure_note
from analysis.reduction import Reduction
from analysis.trajectory_sums import Sums, Visit
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Adjust = Literal["age", "sex", "bmi", "stage"]
IntercurrentPolicy = Literal["hypothetical", "treatment_policy"]
Unit = Literal["points_of_100", "native"]
# Which strata are compared: each with the reference, or each with every other.
Contrasts = Literal["reference", "pairwise"]
# Strata that have an order of their own: the first is what the others are compared with.
_ORDERED = ("stage", "dose_band")


@dataclass(frozen=True)
class Measured:
    """The outcome of a question.

    Attributes
    ----------
    domain
        Domain by whose scale each course is measured, or null if one scale was named.
    asked
        The scale or domain, as it can be asked for again.
    unit
        ``points_of_100`` or ``native``.
    scales
        Scales that measure courses, the most frequent first: ``scale, label, unit, n``.
    visits
        Planned visits asked for, in order.
    """

    domain: str | None
    asked: str
    unit: str
    scales: pl.DataFrame
    visits: list[Visit]

    @property
    def label(self) -> str:
        """What is measured, in words."""
        return str(self.scales["label"][0]) if self.scales.height == 1 else str(self.domain)

    @property
    def unit_label(self) -> str:
        """The unit of a change, in words."""
        return "points of 100" if self.unit == "points_of_100" else str(self.scales["unit"][0]).strip("{}")

    def among(self, used: pl.Series) -> Measured:
        """Return the same, with the scales counted among the courses `used`."""
        counts = used.value_counts(name="n").rename({used.name: "scale"})
        scales = counts.join(self.scales.drop("n"), on="scale").select("scale", "label", "unit", "n")
        return replace(self, scales=scales.sort("n", "scale", descending=[True, False]))

    def settings(self) -> dict[str, Any]:
        """Return what a result keeps of it."""
        return {
            "scale": self.scales["scale"].to_list(),
            "scale_label": self.label,
            "domain": self.domain,
            "unit_label": self.unit_label,
            "direction": "a positive change is an improvement",
        }

    def notes(self) -> list[str]:
        """Return what to mind when several scales stand for one domain."""
        if self.scales.height < 2:
            return []
        counts = ", ".join(f"{scale} in {n}" for scale, n in self.scales.select("scale", "n").iter_rows())
        return [f"Several scales stand for {self.domain}, one a course, on 0 to 100: {counts} courses."]


def nobody_left(courses: Courses) -> str:
    """Return the sentence for a selection without courses: that none is left, and why each left."""
    return f"No course is left to analyse. {courses.reasons() or 'None was selected.'}"


def check_adjust(adjust: tuple[str, ...], by: str) -> None:
    """Refuse covariates that are not known, and the stage where it separates the strata.

    Raises
    ------
    UsageError
        With those there are, or with what to do.
    """
    for name in adjust:
        choose(name, allowed(Adjust), "adjust =")
    if "stage" in adjust and by in ("stage", "origin_by_stage"):
        raise UsageError(f"by = '{by}' has the stage in its strata: leave it out of adjust, or ask by='product', say.")


def comparison_notes(by: str, adjust: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return what a comparison of strata by what somebody chose has to say: of chance, and what was adjusted for."""
    chosen = exposure_note(by)
    if not chosen:
        return ()
    like = () if "stage" in adjust or by == "origin_by_stage" else (
        "Strata may differ in stage, which is not adjusted for: adjust='stage' compares like stages.",
    )  # fmt: skip
    return (*chosen, f"Differences between strata are adjusted for {', '.join(['baseline', *adjust])}.", *like)


@dataclass(frozen=True)
class Compared:
    """Which strata of a question are compared.

    Attributes
    ----------
    reference
        The stratum that the others are compared with; empty where there is one stratum only.
    pairs
        Each as indices into the strata: the first less the second.
    notes
        What is to be said of it.
    """

    reference: str
    pairs: list[tuple[int, int]]
    notes: tuple[str, ...]


def compared(data: Sums, by: str, labels: dict[str, str], reference: str | None, contrasts: Contrasts) -> Compared:
    """Return the differences that a question asks for, those to the reference first.

    Unless named, the reference is the first stratum where strata have an order (stage, dose band), and otherwise the
    largest: the first by name is nothing to compare with.

    Raises
    ------
    UsageError
        When the reference is no stratum with courses, or the contrasts are not known.
    """
    choose(contrasts, allowed(Contrasts), "contrasts =")
    named = reference
    if named is not None:
        choose(named, data.strata, "reference =")
    if len(data.strata) < 2:
        return Compared("", [], ())
    first = 0 if by in _ORDERED else int(np.argmax(data.n_courses))
    at = first if named is None else data.strata.index(named)
    order = [at, *(s for s in range(len(data.strata)) if s != at)]
    places = range(len(order)) if contrasts == "pairwise" else range(1)
    pairs = [(order[j], order[i]) for i in places for j in range(i + 1, len(order))]
    notes = []
    if named is None and by not in _ORDERED:
        label = labels.get(data.strata[at], data.strata[at])
        notes.append(f"Differences are to {label}, the largest stratum: reference=… names another.")
    if contrasts == "pairwise" and len(pairs) > 1:
        notes.append(
            f"Limits and p are of each of the {len(pairs)} differences by itself: chance has as many occasions at each "
            "visit."
        )
    return Compared(data.strata[at], pairs, tuple(notes))


def ask(
    courses: Courses, scale: str | None, visits: tuple[str, ...] | None, adjust: tuple[str, ...], **policies: str
) -> Measured:
    """Write ``cohort.trajectory`` and ``cohort.trajectory_visit``, and return what will be measured.

    Raises
    ------
    UsageError
        When an option is not known, no visit is named, or several programmes are asked about without naming a scale.
    NotEstimable
        When the programme plans no visit after baseline, or no course has a baseline of the scale.
    """
    if len(courses) == 0:
        raise NotEstimable(nobody_left(courses))
    choose(policies["unit"], allowed(Unit), "unit =")
    for name in ("end_policy", "booster_policy"):
        choose(policies[name], allowed(IntercurrentPolicy), f"{name} =")
    named, domain = _scale_or_domain(courses, scale)
    con = courses.registry.con
    asked = {
        "scale": named, "domain": domain, **policies, **{f"adjust_{a}": a in adjust for a in allowed(Adjust)},
    }  # fmt: skip
    columns = ", ".join(
        f"cast(? as {'boolean' if isinstance(v, bool) else 'varchar'}) as {k}" for k, v in asked.items()
    )
    con.execute(f"create or replace table cohort.trajectory as select {columns}", list(asked.values()))
    planned = _visits(courses, visits)
    con.execute("create or replace table cohort.trajectory_visit (planned_visit varchar, position integer)")
    con.executemany("insert into cohort.trajectory_visit values (?, ?)", [(v.name, v.position) for v in planned])
    return _measured(courses, named, domain, policies["unit"], planned)


def own_unit(courses: Courses) -> Unit:
    """Return how the change of what a programme is asked first is told: natively where it is a measured quantity.

    A scale with another range than 0 to 100 and a unit of its own, such as a count of cells, is not read in points.
    """
    scale, _ = _scale_or_domain(courses, None)
    found = courses.registry.con.execute(
        "select 1 from catalogue.scale where scale = ? and unit <> '{score}' and (low <> 0 or high <> 100)", [scale]
    ).fetchone()
    return "native" if found else "points_of_100"


def _scale_or_domain(courses: Courses, asked: str | None) -> tuple[str | None, str | None]:
    """Return the scale, or the domain whose scale each course has; of these exactly one is given."""
    con = courses.registry.con
    programmes = programmes_of(courses)
    if asked is None:
        if len(programmes) > 1:
            raise UsageError(
                f"The courses are of several programmes: {', '.join(programmes)}. {SELECT_ONE}, or name a "
                "scale that all of them measure, e.g. scale='EQ5D5L/vas'."
            )
        return _default(courses, programmes)
    domains = [r[0] for r in con.sql("select distinct domain from catalogue.programme_scale order by 1").fetchall()]
    if asked in domains:
        return None, asked
    scales = [r[0] for r in con.sql("select scale from catalogue.scale where direction <> 'none'").fetchall()]
    return choose(asked, [*scales, *domains], "scale ="), None


def _default(courses: Courses, programmes: list[str]) -> tuple[str | None, str | None]:
    """Pain where the programme offers it, else what its response definition judges first, else its first domain."""
    con = courses.registry.con
    offered = con.execute(
        "select distinct domain from catalogue.programme_scale where list_contains(?, programme) order by 1",
        [programmes],
    ).fetchall()
    domains = [str(r[0]) for r in offered]
    if "pain" in domains:
        return None, "pain"
    judged = con.execute(
        "select criterion.scale, criterion.domain from catalogue.definition_criterion as criterion "
        "join catalogue.programme as programme using (definition) where list_contains(?, programme.programme) "
        "order by criterion.arm, criterion.criterion limit 1",
        [programmes],
    ).fetchone()
    if judged:
        return judged[0], None if judged[0] else judged[1]
    first = [d for d in ("function", "global", "qol", "performance", "symptom") if d in domains] or domains
    if not first:
        raise NotEstimable("No course is selected, or its programme names no scale. Name one: scale='…'.")
    return None, first[0]


def _visits(courses: Courses, asked: tuple[str, ...] | None) -> list[Visit]:
    found = courses.registry.con.execute(
        "select planned_visit, min(target_day) as day from catalogue.programme_visit "
        "where list_contains(?, programme) and target_day > 0 group by planned_visit order by day, planned_visit",
        [programmes_of(courses)],
    ).fetchall()
    if not found:
        raise NotEstimable("The programme plans no visit after baseline, so there is nothing to analyse by visit.")
    known = [str(name) for name, _ in found]
    if asked is not None and not asked:
        raise UsageError(f"visits = () names no visit. Leave it out for all, or name some of: {', '.join(known)}.")
    for name in asked or ():
        choose(name, known, "visits =")
    return [Visit(str(n), i, float(d)) for i, (n, d) in enumerate(found, 1) if asked is None or n in asked]


def _measured(courses: Courses, scale: str | None, domain: str | None, unit: str, visits: list[Visit]) -> Measured:
    scales = courses.registry.con.execute(
        "select catalogue.scale.scale, label, unit, count(*) as n from course.baseline "
        "semi join cohort.course using (course_id) left join course.domain_scale as chosen "
        "on chosen.course_id = course.baseline.course_id and chosen.domain = ? "
        "join catalogue.scale on catalogue.scale.scale = course.baseline.scale "
        "where course.baseline.scale = coalesce(?, chosen.scale) group by all order by n desc, 1",
        [domain, scale],
    ).pl()
    if scales.height == 0:
        raise NotEstimable(f"No course has a baseline of {scale or domain}: a change from it cannot be estimated.")
    if unit == "native" and scales.height > 1:
        names = ", ".join(scales["scale"])
        raise UsageError(f"unit = 'native' needs one scale; {domain} is measured by {names}. Name one.")
    return Measured(domain, str(scale or domain), unit, scales, visits)


def measured_of(reduction: Reduction) -> Measured:
    """Return what was measured in the courses that a reduction of trajectories counts."""
    planned = [Visit(v["visit"], v["position"], v["day"]) for v in reduction.settings["planned"]]
    asked, unit, scales = reduction.placed["scale"], reduction.settings["unit"], reduction.frames["trajectory_scale"]
    return Measured(reduction.settings["domain"], asked, unit, scales, planned)
