"""Goals: what was hoped for, how often it was attained, and what was reached of the change that was expected."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.cohort import By, Stratum, check_confidence, check_left, common_settings, place_courses, reduce
from analysis.exposure import exposure_note
from analysis.numerics.exact import exact_share
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable

_ATTAINED, _EXCEEDED = 0, 1


def goals(courses: Courses, *, by: By = "stage", confidence: float = 0.95) -> Result:
    """Count the goals that were attained by stratum: the main one of each course, by kind, and by what was described.

    Attained is 0 or more on the goal attainment scale (-2 much less than expected, 0 as expected, 2 much more). A
    course may have a goal of each kind; its main goal is the most important one.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    by
        What separates the strata.

    Returns
    -------
    Result
        By stratum: ``goal_named`` and ``goal_assessed`` (of all courses, and of those with a goal); of main goals
        assessed ``goal_attained`` and ``goal_exceeded`` (shares of 1 with exact limits); ``goal_attained_of_named``,
        which has no estimate: its limits are the share if no goal, and if every goal, that was not assessed were
        attained. ``goal_attained: pain`` by kind, ``goal_attained, told typical`` by the case described before
        treatment. Where a scale stands for the goal, ``expected_change`` and ``reached_change`` at the planned visit
        nearest to a year (points of 100), and ``reached_as_expected``, the share that reached at least what was
        expected.

    Raises
    ------
    NotEstimable
        When no course has a goal, or none is left.

    References
    ----------
    Kiresuk & Sherman 1968 Community Ment Health J 4:443 (goal attainment scale); Clopper & Pearson 1934 Biometrika
    26:404. See docs/methods/outlook-and-safety.md.

    Examples
    --------
    >>> from registry.errors import NotEstimable
    >>> try:
    ...     print(goals(knees, by="stage").say("goal_attained", "early"))
    ... except NotEstimable as why:
    ...     print(why)
    No goal is recorded for any of these courses: the file of goals is missing or empty.
    """
    check_confidence(confidence)
    strata, kept = place_courses(courses, by)
    check_left(kept)
    (cells,) = reduce(kept, "reduction.goal_cell")
    if cells.height == 0:
        raise NotEstimable("No goal is recorded for any of these courses: the file of goals is missing or empty.")
    sizes = dict(kept.registry.con.sql("select stratum, count(*) from cohort.course group by all").fetchall())
    frame = [r for s in strata for r in _of_stratum(s, cells.filter(pl.col("stratum") == s.code), sizes, confidence)]
    return Result(
        question="goals",
        title=f"Goals attained by {by}",
        frame=frame_of(frame),
        settings={
            **common_settings(kept, strata, "goals", by),
            "kinds": sorted(cells["domain"].unique().to_list()),
            "confidence": confidence,
        },
        attrition=kept.flow(),
        diagnostics=_diagnostics(frame),
        notes=(
            *exposure_note(by),
            "Whoever set a low goal attains it more easily: shares compare what was reached with what was hoped for.",
            "Goals that nobody assessed are in no share but that of all named, which says how far they could move it.",
            "Exact limits take courses as independent; two treated sides of one person count as two.",
        ),
    )


def _of_stratum(stratum: Stratum, mine: pl.DataFrame, sizes: dict[str, int], confidence: float) -> list[dict[str, Any]]:
    code, of = stratum.code, int(sizes.get(stratum.code, 0))
    if of == 0:
        return [row(code, "goal_named", n=0, denominator=0, note="nobody in this stratum")]
    main = mine.filter("is_main")
    named, known = _count(main), main.filter(pl.col("attainment").is_not_null())
    assessed = _count(known)
    attained = _count(known.filter(pl.col("attainment") >= _ATTAINED))
    out = [
        _share(code, "goal_named", named, of, confidence),
        _share(code, "goal_assessed", assessed, named, confidence),
        _share(code, "goal_attained", attained, assessed, confidence),
        _share(code, "goal_exceeded", _count(known.filter(pl.col("attainment") >= _EXCEEDED)), assessed, confidence),
    ]
    if named:
        note = "from none to all of those not assessed"
        out.append(row(code, "goal_attained_of_named", low=attained / named, high=(attained + named - assessed) / named,
                       n=attained, denominator=named, note=note))  # fmt: skip
    judged = mine.filter(pl.col("attainment").is_not_null())
    out += _by(code, judged, "domain", "goal_attained: {}", confidence)
    out += _by(code, known, "expected_case", "goal_attained, told {}", confidence)
    return out + _changes(code, mine, confidence)


def _by(code: str, judged: pl.DataFrame, column: str, quantity: str, confidence: float) -> list[dict[str, Any]]:
    out = []
    for level in judged[column].drop_nulls().unique().sort():
        of = judged.filter(pl.col(column) == level)
        part = _count(of.filter(pl.col("attainment") >= _ATTAINED))
        out.append(_share(code, quantity.format(level), part, _count(of), confidence))
    return out


def _changes(code: str, mine: pl.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """Return the change expected and reached, of goals for which both are known."""
    both = mine.filter(pl.col("reached").is_not_null())
    n = _count(both)
    if n == 0:
        return []
    means = {f"{what}_change": float(both[f"{what}_total"].sum()) / n for what in ("expected", "reached")}
    rows = [row(code, quantity, estimate=mean, denominator=n) for quantity, mean in means.items()]
    part = _count(both.filter(pl.col("reached") == "yes"))
    return [*rows, _share(code, "reached_as_expected", part, n, confidence)]


def _count(cells: pl.DataFrame) -> int:
    return int(cells["n"].sum())


def _share(code: str, quantity: str, part: int, whole: int, confidence: float) -> dict[str, Any]:
    if whole == 0:
        return row(code, quantity, n=0, denominator=0, note="none")
    share, low, high = exact_share(part, whole, confidence)
    return row(code, quantity, estimate=share, low=low, high=high, n=part, denominator=whole)


def _diagnostics(frame: list[dict[str, Any]]) -> pl.DataFrame:
    """Say where few goals are named, or few assessed: such shares are of a choice of courses."""
    few = [r for r in frame if r["quantity"] in ("goal_named", "goal_assessed") and (r["estimate"] or 1.0) < 0.6]
    return diagnostics_of(
        [check(f"{r['quantity'].replace('_', ' ')} in {r['stratum']}", None, ">= 0.6", False) for r in few]
    )
