"""Safety: how many adverse events per session and per year watched, with what is still possible where none was seen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import (
    By,
    Days,
    Stratum,
    allowed,
    check_confidence,
    check_courses,
    check_days,
    check_left,
    check_resampling,
    common_settings,
    place_courses,
    reduce,
)
from analysis.events_weighted import weighted_rows
from analysis.exposure import exposure_note
from analysis.first_event import first_event_rows
from analysis.numerics.exact import Clustered, clustered_rate, clustered_share, exact_rate
from analysis.numerics.recurrent import mean_cumulative_function
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.safety_figures import events
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]

RelatedTo = Literal["product", "procedure", "harvest"]
HORIZON_DAYS = (30, 91, 365)
_YEAR = 365.25


def safety(
    courses: Courses,
    *,
    by: By = "product",
    category: str | None = None,
    least_grade: int = 1,
    serious: bool = False,
    related_to: RelatedTo | None = None,
    horizon_day: Days = HORIZON_DAYS,
    confidence: float = 0.95,
    seed: int = 20040312,
) -> Result:
    """Count adverse events by stratum: per session, per year watched, and over time for events that recur.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    by
        What separates the strata, e.g. ``product``, ``route``, ``origin`` or ``stage``.
    category
        One of the tick list, e.g. ``septic_arthritis``; default: all.
    least_grade
        CTCAE grade from which an event counts, 1 to 5.
    serious
        Count serious events only.
    related_to
        Count events at least possibly related to the product, the procedure or the harvest.
    horizon_day
        Days since the first session at which the mean cumulative number and first events are reported.
    seed
        Of the resamples of patients, where some have several courses.

    Returns
    -------
    Result
        ``events_per_100_sessions`` and ``events_per_100_course_years`` with exact limits, ``courses_with_event`` (share
        of 1, exact limits), ``mean_events`` per course by day (robust to courses prone to many; null after the last
        course watched), ``first_event`` (share of 1 with one by day) and ``end_before_event`` (the target's end, a
        switch or death came first), which compete. Where none was seen the estimate is 0 and the upper limit says what
        is still possible. ``left_after_event``: how many left after an event, over how many would have, had they left
        as all did; far from 1 those watched have fewer or more events than all would, and
        ``events_per_100_course_years_weighted`` and ``mean_events_weighted``, in which each course stands besides for
        those who left with as many events, are the ones to compare. Rates per year, means and first events count events
        up to the last contact, over the time up to it; the other two count all. `n` counts events, for shares courses;
        `denominator` courses.

    Raises
    ------
    NotEstimable
        When no course has a session, or none is left; the message says why.
    UsageError
        When an option is not known.

    References
    ----------
    Garwood 1936 Biometrika 28:437 (exact Poisson limits); Clopper & Pearson 1934 Biometrika 26:404; Hanley &
    Lippman-Hand 1983 JAMA 249:1743 (nothing seen); Lawless & Nadeau 1995 Technometrics 37:158 (mean number);
    Miloslavsky et al. 2004 JRSS B 66:239 (weights); Aalen & Johansen 1978 Scand J Stat 5:141 (first event).

    Examples
    --------
    >>> harm = safety(knees, horizon_day=(90,))
    >>> harm.attrition["reason"][-1]
    'selected'
    """
    days = np.array(check_days(horizon_day, "horizon_day"), dtype=float)
    check_confidence(confidence)
    check_resampling(seed)
    strata, kept = place_harm(courses, by, category, least_grade, serious, related_to)
    rows, happened, cells, patterns = reduce_harm(kept, "harm_event", "harm_first_cell", "harm_first_cluster")
    frame, curves = harm_rows(rows, happened, cells, patterns, strata, days, confidence, seed)
    what = what_is_counted(category, least_grade, serious, related_to)
    settings = {
        **common_settings(kept, strata, "safety", by),
        "category": category,
        "least_grade": least_grade,
        "serious": serious,
        "related_to": related_to,
        "what": what,
        "horizon_day": [int(d) for d in days],
        "confidence": confidence,
        "seed": seed,
    }
    left = courses.ids.to_frame().join(rows.select("course_id"), on="course_id", how="anti")
    return Result(
        question="safety",
        title=f"Adverse events by {by}: {what}",
        frame=frame_of(frame),
        settings=settings,
        attrition=kept.exclude(left.with_columns(reason=pl.lit("no session recorded"))).flow(),
        diagnostics=diagnostics_of([_later(rows)]),
        curves=frame_of(curves),
        at_risk=frame_of(_at_risk(rows, strata, days)),
        notes=(
            *exposure_note(by),
            "Events that nobody recorded are not seen: a registry counts what clinics write down, mild events least.",
            "Courses are watched to their last contact; who is never heard of again has told of no event.",
            "In numbers weighted for leaving, those still watched stand for those who left with as many events; who "
            "left for a reason that nobody saw is not made up for.",
            "Mean numbers are of those still watched: a death takes a course out of the count as leaving does, so that "
            "they say how many events those alive have, and not how many a course has until its death. An end of the "
            "target alone does not stop the watching.",
            "Limits are exact, of as many events as count like independent ones: where a few patients have many, they "
            "are wider. Two treated sides of one person count as two courses, and a year of both as two course-years.",
        ),
        draw=events,
    )


def harm_rows(
    rows: pl.DataFrame, happened: pl.DataFrame, cells: pl.DataFrame, patterns: pl.DataFrame, strata: list[Stratum],
    days: Floats, confidence: float, seed: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:  # fmt: skip
    """Return the rows of the answer and of its curves, from the reductions of harm that :func:`safety` reads."""
    frame: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for s in strata:
        mine = rows.filter(pl.col("stratum") == s.code)
        if mine.height == 0:
            frame.append(row(s.code, "events_per_100_sessions", n=0, denominator=0, note="nobody in this stratum"))
            continue
        frame += _rates(mine, s.code, confidence)
        seen = happened.filter("watched").join(mine.select("course_id"), on="course_id", how="semi")
        over_time, drawn = _over_time(seen, mine, s, days, confidence)
        frame += [*over_time, *weighted_rows(mine, seen, s.code, days, confidence)]
        curves += drawn
    first, drawn = first_event_rows(cells, patterns, strata, days, confidence, seed)
    return [*frame, *first], [*curves, *drawn]


def reduce_harm(kept: Courses, *names: str) -> list[pl.DataFrame]:
    """Return ``reduction.harm_course``, a row a course watched, and the reductions named, of courses placed for harm.

    Raises
    ------
    NotEstimable
        When no course has a session.
    """
    found = list(reduce(kept, *(f"reduction.{name}" for name in ("harm_course", *names))))
    if found[0].height == 0:
        raise NotEstimable("No course of the selection has a session: there is nobody to count events in.")
    return found


def place_harm(
    courses: Courses, by: By, category: str | None, least_grade: int, serious: bool, related_to: RelatedTo | None
) -> tuple[list[Stratum], Courses]:
    """Write ``cohort.course`` and ``cohort.harm``, which events are asked about; return the strata and who is left.

    Raises
    ------
    UsageError
        When an option is not known.
    NotEstimable
        When no course is left.
    """
    check_courses(courses)
    con = courses.registry.con
    listed = "select code from catalogue.vocabulary where vocabulary = 'adverse_event' order by position"
    known = [str(r[0]) for r in con.sql(listed).fetchall()]
    if category is not None:
        choose(category, known, "category =")
    if related_to is not None:
        choose(related_to, allowed(RelatedTo), "related_to =")
    if isinstance(least_grade, bool) or least_grade not in (1, 2, 3, 4, 5):
        raise UsageError(f"least_grade = {least_grade!r} must be a CTCAE grade as a number, 1 to 5.")
    if not isinstance(serious, bool):
        raise UsageError(f"serious = {serious!r} must be True or False.")
    strata, kept = place_courses(courses, by)
    check_left(kept)
    con.execute(
        "create or replace table cohort.harm as select cast(? as varchar) as category, "
        "cast(? as integer) as least_grade, cast(? as boolean) as serious, cast(? as varchar) as related_to",
        [category, least_grade, serious, related_to],
    )
    return strata, kept


def _rates(mine: pl.DataFrame, code: str, confidence: float) -> list[dict[str, Any]]:
    # In order: sums in another order differ in their last digit.
    patients = mine.sort("course_id").group_by("patient_id", maintain_order=True).agg(
        pl.col("n_events", "n_watched_events", "n_sessions", "watched_day").sum(),
        with_event=(pl.col("n_events") > 0).sum(), courses=pl.len(),
    )  # fmt: skip
    total = dict(zip(patients.columns, patients.sum().row(0), strict=True))
    seen = f"none seen in {total['n_sessions']:,.0f} sessions and {total['watched_day'] / _YEAR:,.0f} course-years"
    note = f"{seen}: the upper limit is what is still possible" if total["n_events"] == 0 else None
    out = []
    exposures = {
        "events_per_100_sessions": ("n_events", patients["n_sessions"].cast(pl.Float64)),
        "events_per_100_course_years": ("n_watched_events", patients["watched_day"] / _YEAR),
    }
    for quantity, (counted, exposure) in exposures.items():
        of = Clustered.of(patients[counted].to_numpy(), exposure.to_numpy())
        rate, low, high = (100 * v for v in clustered_rate(of, confidence))
        out.append(row(code, quantity, estimate=rate, low=low, high=high, n=int(of.number), denominator=mine.height,
                       note=note))  # fmt: skip
    of = Clustered.of(patients["with_event"].to_numpy(), patients["courses"].to_numpy())
    share, low, high = clustered_share(of, confidence)
    out.append(row(code, "courses_with_event", estimate=share, low=low, high=high, n=int(of.number),
                   denominator=mine.height, note=note))  # fmt: skip
    return out


def _over_time(
    happened: pl.DataFrame, mine: pl.DataFrame, stratum: Stratum, days: Floats, confidence: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the mean cumulative number of events by day, and the curve of it."""
    patient, start, stop, number, courses = _windows(mine, happened)
    curve = mean_cumulative_function(patient, start, stop, number, weight=courses, level=confidence)
    rows, drawn = [], []
    last = min(float(days[-1]), float(mine["watched_day"].cast(pl.Float64).to_numpy().max()))
    counted = {"denominator": mine.height}
    for day in days:
        watched = mine.filter(pl.col("watched_day") >= day).height
        k = int(np.searchsorted(curve.time, day, "right")) - 1
        n = int(happened.filter(pl.col("day") <= day)["n"].sum())
        # Of none seen, those watched all the way say what is still possible (Garwood 1936).
        if watched == 0:
            value: dict[str, Any] = {"note": f"nobody is watched to day {day:.0f}"}
        elif n == 0:
            note = f"none seen by then; {watched:,} watched so long"
            value = {"estimate": 0.0, "low": 0.0, "high": exact_rate(0, watched, confidence)[2], "note": note}
        else:
            value = {"estimate": float(curve.mean[k]), "low": float(curve.lower[k]), "high": float(curve.upper[k])}
        rows.append(row(stratum.code, "mean_events", time_day=float(day), n=n, **counted, **value))
    for k, time in enumerate(curve.time):
        if time <= last:
            drawn.append(row(stratum.code, "mean_events", time_day=float(time), estimate=float(curve.mean[k]),
                             low=float(curve.lower[k]), high=float(curve.upper[k]), **counted,
                             n=int(happened.filter(pl.col("day") <= time)["n"].sum())))  # fmt: skip
    return rows, (drawn if happened.height else [])


def _later(rows: pl.DataFrame) -> dict[str, Any]:
    """Return the check of how many events were reported after the last contact."""
    later = float((rows["n_events"] - rows["n_watched_events"]).sum())
    note = "events known only because they happened: in the rates per session, not in those per year or the means"
    return check("events reported after the last contact", later, "a count", True, note)


def _windows(mine: pl.DataFrame, happened: pl.DataFrame) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Cut the time watched of each patient at events and at ends of watching of the courses.

    Return patient, start, stop, events per course at the stop, and how many courses were watched up to it.
    """
    people = mine.select("course_id", "patient_id", last=pl.col("watched_day").cast(pl.Float64))
    # An event on the day of the first session happened just after it began.
    cuts = happened.select("course_id", day=pl.col("day").cast(pl.Float64).clip(0.5), events=pl.col("n"))
    cuts = cuts.join(people, on="course_id").filter(pl.col("day") <= pl.col("last"))
    cuts = cuts.select("patient_id", "day", "events")
    ends = people.select("patient_id", day="last", events=pl.lit(0, pl.Int64))
    rows = pl.concat([cuts, ends]).group_by("patient_id", "day").agg(pl.col("events").sum()).sort("patient_id", "day")
    watched = people.group_by("patient_id", day="last").agg(over=pl.len().cast(pl.Int64))
    rows = rows.join(watched, on=["patient_id", "day"], how="left").sort("patient_id", "day")
    over = pl.col("over").fill_null(0)
    rows = rows.with_columns(
        start=pl.col("day").shift(1).over("patient_id").fill_null(0.0),
        courses=over.cum_sum(reverse=True).over("patient_id"),
    )
    number = [rows[c].cast(pl.Float64).to_numpy() for c in ("patient_id", "start", "day", "events", "courses")]
    patient, start, stop, events, courses = number
    return patient, start, stop, events / courses, courses


def what_is_counted(category: str | None, least_grade: int, serious: bool, related_to: str | None) -> str:
    """Return the events that are asked about, in words."""
    parts = [(category or "any adverse event").replace("_", " ")]
    if least_grade > 1:
        parts.append(f"grade {least_grade} or more")
    if serious:
        parts.append("serious")
    if related_to:
        parts.append(f"at least possibly related to the {related_to}")
    return ", ".join(parts)


def _at_risk(rows: pl.DataFrame, strata: list[Stratum], days: Floats) -> list[dict[str, Any]]:
    out = []
    for s in strata:
        mine = rows.filter(pl.col("stratum") == s.code)
        for day in (0.0, *days.tolist()):
            n = mine.filter(pl.col("watched_day") >= day).height
            out.append(row(s.code, "at_risk", time_day=day, n=n, denominator=mine.height))
    return out
