"""Who is in a booster trial: the flow of visits to eligible decisions, and of courses to those that had one."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.booster_data import Prepared

ELIGIBLE = "eligible decisions"
# Why a course had no eligible decision, by the step at which the last of its visits left.
NO_DECISION = (
    "no score on a day when a booster could be decided on",
    "boosted before any decision",
    "no decision recorded where the centre keeps a log",
    "never in the situation asked about",
    "data cut too soon after every decision",
)


def origins(rows: pl.DataFrame, data: Prepared) -> dict[str, int]:
    """Return how many of the trials stand on a decision log, and how many on visits."""
    held = rows.sort("course_id", "visit_day")["origin"].gather(data.start).value_counts().sort("origin")
    return {str(origin): int(n) for origin, n in held.iter_rows()}


def decision_flow(rows: pl.DataFrame, data: Prepared, situation: str) -> list[dict[str, Any]]:
    """Return the flow of visits to eligible decisions: what remains, and how many left for which reason."""
    point = rows.filter(pl.col("met").is_not_null())
    flow = [{"step": "visits judged since evaluation was due", "n": point.height}]
    reasons = (
        "in response", "boosted before", "no decision recorded at a centre that keeps a log",
        None if situation == "any" else f"another situation than {situation}", "data cut too soon after",
    )  # fmt: skip
    for reason, keep in zip(reasons, _steps(data, situation), strict=True):
        if reason is None:
            continue
        left = point.filter(keep)
        flow.append({"step": f"left: {reason}", "n": point.height - left.height})
        point = left
    flow.append({"step": ELIGIBLE, "n": point.height})
    flow.append({"step": "boosted", "n": int(data.arm.sum())})
    flow.append({"step": "not boosted", "n": int((~data.arm).sum())})
    return flow


def without_decision(courses: pl.Series, rows: pl.DataFrame, data: Prepared, situation: str) -> pl.DataFrame:
    """Return the courses that could enter and had no eligible decision, each with its reason: ``course_id, reason``.

    Parameters
    ----------
    courses
        Those that could enter.
    """
    passed, still = pl.lit(0), pl.col("met").is_not_null()
    for keep in _steps(data, situation):
        still = still & keep.fill_null(value=False)
        passed = passed + still.cast(pl.Int64)
    # A visit that passed the first step only was boosted before, and so on; who had none without response, no score.
    furthest = rows.select("course_id", passed.alias("passed")).group_by("course_id").agg(pl.col("passed").max())
    found = courses.to_frame("course_id").join(furthest, on="course_id", how="left", maintain_order="left")
    left = found.with_columns(pl.col("passed").fill_null(0)).filter(pl.col("passed") < len(NO_DECISION))
    reason = pl.col("passed").replace_strict(dict(enumerate(NO_DECISION)), return_dtype=pl.String)
    return left.select("course_id", reason.alias("reason"))


def _steps(data: Prepared, situation: str) -> tuple[pl.Expr, ...]:
    """Return what makes a judged visit an eligible decision, in order."""
    return (
        pl.col("situation").is_not_null(),
        pl.col("n_boosters_before").fill_null(0) == 0,
        pl.col("asked"),
        pl.lit(value=True) if situation == "any" else pl.col("situation") == situation,
        pl.col("cut_day") - pl.col("zero_day") >= data.plan.days[-1],
    )
