"""The same question under every defensible definition: how much of an answer is the choice of a threshold."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import polars as pl

from analysis import specification_figures as figures
from analysis.cohort import (
    By,
    Days,
    allowed,
    check_courses,
    check_days,
    check_left,
    check_one,
    common_settings,
    ensure_definition,
    place_courses,
    several,
)
from analysis.cohort import Confirmation as ConfirmationName
from analysis.exposure import exposure_note
from analysis.response import time_to_response
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose
from registry.progress import steps

EVALUATION_DAYS = (91, 183, 365)
# A definition that can be judged in fewer courses of a cohort is not one of its specifications.
FEWEST_COURSES = 10


def specifications(
    courses: Courses,
    *,
    definitions: str | tuple[str, ...] | None = None,
    confirmations: ConfirmationName | tuple[ConfirmationName, ...] = ("confirmed", "first"),
    horizon_day: Days = EVALUATION_DAYS,
    by: By = "stage",
    confidence: float = 0.95,
    resamples: int = 50,
    seed: int = 20040312,
) -> Result:
    """Estimate the share that responds under every definition, rule of confirmation and day of evaluation, by stage.

    Definitions of response are disputed, and a share under one of them is partly its threshold. Each combination is a
    whole analysis of :func:`analysis.time_to_response`; none is picked afterwards.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    definitions
        Ids of the catalogue; default: every one that can be judged in ten courses of the cohort and was not made for
        another anatomical site.
    confirmations
        ``confirmed`` at the next visit, ``first`` crossing.
    horizon_day
        Days of evaluation since the first session.
    resamples
        Bootstrap samples of patients behind each interval; fewer than for a single answer, since there are many.

    Returns
    -------
    Result
        ``response`` by stratum and day; `note` holds ``definition | confirmation``. ``range`` gives the median, the
        smallest and the largest estimate of a stratum by day. Definitions left out are in `notes`, with the reason.

    Raises
    ------
    NotEstimable
        When no definition can be judged.
    UsageError
        When an option is not known, or the courses are of programmes with different definitions and none is named.

    References
    ----------
    Steegen 2016 Perspect Psychol Sci 11:702 (multiverse); Simonsohn 2020 Nat Hum Behav 4:1208 (specification curve).

    Examples
    --------
    >>> all_of_them = specifications(knees, definitions=("OO-2004", "OO-2004-strict"), resamples=20)
    >>> "range" in all_of_them.frame["quantity"].to_list()
    True
    """
    check_courses(courses)
    if definitions is None:
        check_one(courses, "definition", ", or name definitions")
    definitions, confirmations = several(definitions or ()), several(confirmations)
    if not confirmations:
        raise UsageError("confirmations must name at least one rule: ('confirmed',), ('first',) or both.")
    for rule in confirmations:
        choose(rule, allowed(ConfirmationName), "confirmations =")
    horizon_day = check_days(horizon_day, "horizon_day")
    known = [
        r[0] for r in courses.registry.con.sql("select definition from catalogue.definition order by 1").fetchall()
    ]
    for name in definitions:
        choose(name, known, "definitions =")
    rows: list[dict[str, Any]] = []
    used: list[str] = []
    skipped: list[str] = []
    attrition = None
    strata, placed = place_courses(courses, by)
    check_left(placed)
    wanted = definitions or tuple(d for d in known if not _made_elsewhere(placed, d))
    for name, chosen in steps(list(product(wanted, confirmations)), "specifications"):
        if (few := _too_few(placed, name)) is not None:
            if definitions and few not in skipped:
                skipped.append(few)
            continue
        try:
            result = time_to_response(
                courses, definition=name, by=by, confirmation=chosen, horizon_day=horizon_day,
                confidence=confidence, resamples=resamples, seed=seed,
            )  # fmt: skip
        except NotEstimable as error:
            if f"{name}: {error}" not in skipped:
                skipped.append(f"{name}: {error}")
            continue
        used.append(name)
        attrition = attrition if attrition is not None else result.attrition
        found = result.frame.filter(pl.col("quantity") == "response", pl.col("denominator") > 0)
        rows += [{**r, "note": f"{name} | {chosen}"} for r in found.to_dicts()]
    if not rows or attrition is None:
        raise NotEstimable("No definition can be judged in these courses. " + "; ".join(skipped))
    frame = frame_of(rows)
    settings = {
        **common_settings(courses, strata, "specifications", by),
        "definitions": sorted(set(used)),
        "confirmations": list(confirmations),
        "horizon_day": list(horizon_day),
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
    }
    return Result(
        question="specifications",
        title=f"Response by {by} under {len(set(used))} definitions",
        frame=pl.concat([frame, frame_of(_ranges(frame))]),
        settings=settings,
        attrition=attrition,
        diagnostics=diagnostics_of([check("analyses", len(used), "> 0", True, "definitions × confirmation")]),
        notes=(
            *exposure_note(by),
            "Courses differ between definitions: each is judged in those whose scales it needs (see denominator). The "
            "attrition shown is that of the first.",
            *skipped,
        ),
        draw=figures.specification_curve,
    )


def _made_elsewhere(courses: Courses, definition: str) -> bool:
    """Return whether a definition names anatomical sites, and none of them is one of the cohort's."""
    con = courses.registry.con
    sites = {str(s) for (s,) in con.sql("select code from catalogue.vocabulary where vocabulary = 'site'").fetchall()}
    own = {str(s) for (s,) in con.sql(
        "select distinct site from course.profile semi join cohort.course using (course_id)").fetchall()}  # fmt: skip
    population = con.execute(
        "select population from catalogue.definition where definition = ?", [definition]
    ).fetchone()
    named = sites & set(str(population[0] if population else "").replace(",", " ").split())
    return bool(named) and not named & own


def _too_few(courses: Courses, definition: str) -> str | None:
    """Return why a definition cannot be judged in these courses, or None; derives it in memory."""
    ensure_definition(courses, definition)
    found = courses.registry.con.execute(
        "select count(distinct course_id) from endpoint.assessment semi join cohort.course using (course_id) "
        "where definition = ? and met is not null",
        [definition],
    ).fetchone()
    judged = int(found[0]) if found else 0
    return None if judged >= FEWEST_COURSES else f"{definition}: judged in fewer than {FEWEST_COURSES} courses"


def at_day(result: Result, day: int) -> Result:
    """Return the result with the numbers of one day of evaluation, to draw its curve."""
    choose(str(day), [str(d) for d in result.settings["horizon_day"]], "day =")
    kept = result.frame.filter(pl.col("time_day") == day)
    return replace(result, frame=kept, settings={**result.settings, "horizon_day": [day]})


def _ranges(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ranges = (
        frame.drop_nulls("estimate")
        .group_by("stratum", "time_day", maintain_order=True)
        .agg(pl.col("estimate").median(), pl.col("estimate").min().alias("low"), pl.col("estimate").max().alias("high"),
             pl.len().alias("m"))
    )  # fmt: skip
    return [
        row(r["stratum"], "range", time_day=r["time_day"], estimate=r["estimate"], low=r["low"], high=r["high"],
            note=f"median, smallest and largest of {r['m']} analyses")
        for r in ranges.to_dicts()
    ]  # fmt: skip
