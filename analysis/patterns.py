"""Patterns of missing scores: at which planned visits courses were seen, how many, and how those who left had been."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analysis.cohort import By, check_confidence
from analysis.numerics.exact import exact_share
from analysis.numerics.laws import t_quantile
from analysis.result import Result, diagnostics_of, frame_of, row
from analysis.trajectories import reduce_trajectories
from analysis.trajectory_question import measured_of
from analysis.trajectory_sums import Visit
from registry import Courses
from registry.errors import NotEstimable

# A mean of fewer courses is not given.
_FEWEST = 5
_NEVER = "seen: never"


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
        By stratum and pattern, named by the visits seen (``seen: 3 months, 6 months``; ``seen: never``): ``n`` courses
        of the `denominator` with a baseline, their share with exact limits; the note says whether they came up to a
        visit and not again (monotone) or with gaps. ``last change, seen: …`` is their mean change at the last of these
        visits (``time_day``), improvement-positive, with limits of its t distribution.

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
    reduction = reduce_trajectories(courses, scale=scale, by=by, visits=visits, rows=False)
    measured, products = measured_of(reduction), reduction.frames["trajectory_product"]
    if products.height == 0:
        raise NotEstimable(f"No course has a baseline of {measured.label}.")
    rows: list[dict[str, Any]] = []
    for s in reduction.strata:
        mine = products.filter(pl.col("stratum") == s.code)
        if mine.height == 0:
            rows.append(row(s.code, _NEVER, n=0, denominator=0, note="nobody in this stratum"))
            continue
        rows += _of_stratum(s.code, mine, measured.visits, confidence)
    return Result(
        question="score_patterns",
        title=f"At which visits {measured.label} was seen, by {by}",
        frame=frame_of(rows),
        settings={
            **{k: v for k, v in reduction.settings.items() if k != "planned"},
            **measured.settings(),
            "question": "score_patterns",
            "visits": [{"visit": v.name, "day": v.day} for v in measured.visits],
            "confidence": confidence,
        },
        attrition=reduction.flow,
        diagnostics=diagnostics_of([]),
        notes=(
            "A visit that was not due yet is not seen either: select courses by min_potential_follow_up_day.",
            "Patterns that changed differently before they left show that scores are not missing completely at random.",
        ),
    )


def _of_stratum(code: str, products: pl.DataFrame, visits: list[Visit], confidence: float) -> list[dict[str, Any]]:
    counts = products.filter(left_variable="intercept", right_variable="intercept")
    counts = counts.sort("n", "pattern", descending=[True, False])
    total = int(counts["n"].sum())
    rows = []
    for pattern, n in counts.select("pattern", "n").iter_rows():
        seen = [v for v in visits if str(v.position) in pattern.split(",")]
        name = f"seen: {', '.join(v.name for v in seen)}" if seen else _NEVER
        share, low, high = exact_share(n, total, confidence)
        kind = "monotone" if seen == visits[: len(seen)] else "with gaps"
        rows.append(row(code, name, estimate=share, low=low, high=high, n=n, denominator=total, note=kind))
        if seen and n >= _FEWEST:
            rows.append(_last_change(code, name, products.filter(pattern=pattern), seen[-1], n, confidence))
    return rows


def _last_change(
    code: str, name: str, products: pl.DataFrame, visit: Visit, n: int, confidence: float
) -> dict[str, Any]:
    """Return the mean change at the last visit seen, from its sum and sum of squares."""
    variable = f"visit {visit.position}"
    square = products.filter(left_variable=variable, right_variable=variable)["total"][0]
    (total,) = products.filter(
        ((pl.col("left_variable") == "intercept") & (pl.col("right_variable") == variable))
        | ((pl.col("left_variable") == variable) & (pl.col("right_variable") == "intercept"))
    )["total"]
    mean = float(total) / n
    spread = np.sqrt(max(float(square) - n * mean**2, 0.0) / (n - 1) / n)
    reach = float(t_quantile(0.5 + confidence / 2, n - 1) * spread)
    return row(code, f"last change, {name}", time_day=visit.day, estimate=mean, low=mean - reach, high=mean + reach,
               denominator=n)  # fmt: skip
