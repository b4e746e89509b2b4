"""Patterns of missing scores: at which planned visits courses were seen, how many, and how those who left had been."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analysis.cohort import By, check_confidence, common_settings, place_courses, reduce, several
from analysis.disclosure.suppression import LAST_CHANGE
from analysis.numerics.exact import exact_share
from analysis.numerics.laws import t_quantile
from analysis.result import Result, diagnostics_of, frame_of, row
from analysis.trajectory_question import ask
from analysis.trajectory_sums import Visit
from registry import Courses
from registry.errors import NotEstimable

# A mean of fewer courses is not given.
_FEWEST = 5
_NEVER = "seen: never"
_NOTHING_DUE = "seen: nothing was due"


def score_patterns(
    courses: Courses,
    *,
    scale: str | None = None,
    by: By = "stage",
    visits: str | tuple[str, ...] | None = None,
    confidence: float = 0.95,
) -> Result:
    """Count the courses by the planned visits at which a score was seen, with the last change that each pattern showed.

    Whether scores are missing at random cannot be seen; that they are not missing *completely* at random can: where
    those who left had changed less than those who stayed, whoever came differs from whoever was treated.

    Parameters
    ----------
    courses, scale, by, visits
        As :func:`analysis.trajectories`.

    Returns
    -------
    Result
        By stratum and pattern, named by the visits seen and those that were not due (``seen: 3 months; not due: 12
        months``; ``seen: never``; ``seen: nothing was due``): ``n`` courses of the `denominator` with a baseline, their
        share with exact limits; the note says whether, of the visits that were due, they came to all (complete), up to
        one and not again (monotone), or with gaps. ``last change, seen: …`` is the mean change of these `n` at the last
        of these visits (``time_day``), improvement-positive, with limits of its t distribution.

    Raises
    ------
    NotEstimable
        When no course has a baseline of the scale.

    Examples
    --------
    >>> score_patterns(knees).frame["quantity"][0]
    'seen: ...'
    """
    check_confidence(confidence)
    visits = None if visits is None else several(visits)
    strata, kept = place_courses(courses, by)
    policies = {"unit": "points_of_100", "end_policy": "hypothetical", "booster_policy": "treatment_policy"}
    measured = ask(kept, scale, visits, (), **policies)
    patterns, people = reduce(kept, "reduction.trajectory_pattern", "reduction.trajectory_course")
    kept = kept.exclude(people.filter(pl.col("reason").is_not_null()).select("course_id", "reason"))
    if patterns.height == 0:
        raise NotEstimable(f"No course has a baseline of {measured.label}.")
    rows: list[dict[str, Any]] = []
    for s in strata:
        mine = patterns.filter(pl.col("stratum") == s.code)
        if mine.height == 0:
            rows.append(row(s.code, _NEVER, n=0, denominator=0, note="nobody in this stratum"))
            continue
        rows += _of_stratum(s.code, mine, measured.visits, confidence)
    return Result(
        question="score_patterns",
        title=f"At which visits {measured.label} was seen, by {by}",
        frame=frame_of(rows),
        settings={
            **common_settings(kept, strata, "score_patterns", by),
            **policies,
            **measured.among(people.filter(pl.col("reason").is_null())["scale"]).settings(),
            "visits": [{"visit": v.name, "day": v.day} for v in measured.visits],
            "confidence": confidence,
        },
        attrition=kept.flow(),
        diagnostics=diagnostics_of([]),
        notes=(
            "A visit is due once its window has closed by the data cut and before any end of the target: those that "
            "were not due are named apart, and count neither as seen nor as missing.",
            "Patterns that changed differently before they left show that scores are not missing completely at random.",
        ),
    )


def _of_stratum(code: str, patterns: pl.DataFrame, visits: list[Visit], confidence: float) -> list[dict[str, Any]]:
    counts = patterns.filter(position=0).sort("n", "visits_due", "visits_seen", descending=[True, False, False])
    total = int(counts["n"].sum())
    rows = []
    for due, seen, n in counts.select("visits_due", "visits_seen", "n").iter_rows():
        were_due, came = ([v for v in visits if at >> v.position & 1] for at in (due, seen))
        name = _named(visits, were_due, came)
        share, low, high = exact_share(n, total, confidence)
        rows.append(
            row(code, name, estimate=share, low=low, high=high, n=n, denominator=total, note=_kind(were_due, came))
        )
        if came and n >= _FEWEST:
            change = patterns.filter(visits_due=due, visits_seen=seen, position=came[-1].position)
            rows.append(_last_change(code, name, change.row(0, named=True), came[-1], total, confidence))
    return rows


def _named(visits: list[Visit], due: list[Visit], seen: list[Visit]) -> str:
    """Return the name of a pattern: the visits seen, and those that were not due."""
    if not due:
        return _NOTHING_DUE
    name = f"seen: {', '.join(v.name for v in seen)}" if seen else _NEVER
    later = [v.name for v in visits if v not in due]
    return f"{name}; not due: {', '.join(later)}" if later else name


def _kind(due: list[Visit], seen: list[Visit]) -> str:
    """Say of the visits that were due whether all were attended, all up to one, or some with gaps between."""
    if not due:
        return "no visit was due"
    if seen == due:
        return "complete: every visit that was due"
    return "monotone" if seen == due[: len(seen)] else "with gaps"


def _last_change(
    code: str, name: str, sums: dict[str, Any], visit: Visit, total: int, confidence: float
) -> dict[str, Any]:
    """Return the mean change at the last visit seen, from its sum and sum of squares."""
    n = int(sums["n"])
    mean = float(sums["total"]) / n
    spread = np.sqrt(max(float(sums["square"]) - n * mean**2, 0.0) / (n - 1) / n)
    reach = float(t_quantile(0.5 + confidence / 2, n - 1) * spread)
    limits = {"estimate": mean, "low": mean - reach, "high": mean + reach}
    return row(code, f"{LAST_CHANGE}{name}", time_day=visit.day, **limits, n=n, denominator=total)
