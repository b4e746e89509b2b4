"""What simpler comparisons would have claimed of a booster, and why in words for a clinician."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analysis.booster_data import Prepared
from analysis.cohort import Stratum
from analysis.numerics.laws import normal_quantile
from analysis.result import row

_VISIT_WINDOW_DAY = 46.0


def naive_rows(data: Prepared, cells: pl.DataFrame, strata: list[Stratum], confidence: float) -> list[dict[str, Any]]:
    """Return what simpler comparisons would have claimed, by stratum; each says in its note why it is wrong."""
    rows: list[dict[str, Any]] = []
    z = float(normal_quantile(0.5 + confidence / 2))
    for i, s in enumerate(strata):
        rows.append(_ever_never(data, cells.filter(pl.col("stratum") == s.code), s.code, z))
        if data.plan.outcome in ("risk", "loss"):
            continue
        rows += _simple_rows(data, i, s.code, z)
    return rows


def explanation(frame: pl.DataFrame, strata: list[Stratum], outcome: str) -> tuple[str, ...]:
    """Return a sentence a stratum on why the naive number differs, in words for a clinician."""
    lines = []
    unit = "points" if outcome == "mean" else "percentage points"
    scale = 1.0 if outcome == "mean" else 100.0
    for s in strata:
        mine = frame.filter(pl.col("stratum") == s.code)
        ours = mine.filter(pl.col("quantity") == "difference", pl.col("estimate").is_not_null()).sort("time_day")
        naive = mine.filter(pl.col("quantity") == "naive_ever_against_never")["estimate"]
        if not ours.height or not len(naive) or naive[0] is None:
            continue
        told = "; ".join(
            f"{_signed(scale * r['estimate'])} ({_signed(scale * r['low'])} to {_signed(scale * r['high'])}) "
            f"at day {r['time_day']:.0f}"
            for r in ours.iter_rows(named=True)
        )
        lines.append(
            f"{s.label}: courses ever boosted differed from those never boosted by {_signed(scale * naive[0])} {unit}; "
            f"compared at the decision, in like situations, the estimated difference is {told}. The first number is "
            "not the effect: those who were boosted were already losing, or had not responded."
        )
    return tuple(lines)


def _ever_never(data: Prepared, cells: pl.DataFrame, code: str, z: float) -> dict[str, Any]:
    note = "NAIVE, not the effect: a booster is given because the benefit fades, and takes time to be given"
    held = {bool(r["ever_boosted"]): r for r in cells.to_dicts()}
    if len(held) < 2:
        return row(code, "naive_ever_against_never", note="all or none were ever boosted")
    sides = []
    for boosted in (True, False):
        r = held[boosted]
        if data.plan.outcome == "mean":
            n = int(r["n_scored"])
            mean = float(r["total"] or 0) / max(n, 1)
            variance = (float(r["total_squares"] or 0) / max(n, 1) - mean**2) / max(n - 1, 1)
        else:
            of, among = {"share": ("n_in_response", "n_judged"), "risk": ("n_ended", "n"),
                         "loss": ("n_lost_or_ended", "n")}[data.plan.outcome]  # fmt: skip
            n, k = int(r[among]), int(r[of])
            mean = k / max(n, 1)
            variance = mean * (1 - mean) / max(n, 1)
        sides.append((mean, variance, n))
    value, error = sides[0][0] - sides[1][0], float(np.sqrt(max(sides[0][1] + sides[1][1], 0)))
    return row(code, "naive_ever_against_never", estimate=value, low=value - z * error, high=value + z * error,
               n=sides[0][2], denominator=sides[0][2] + sides[1][2], note=note)  # fmt: skip


def _simple_rows(data: Prepared, stratum: int, code: str, z: float) -> list[dict[str, Any]]:
    """Before-after in the boosted, and the unadjusted difference at the decision, near the last day asked for."""
    records, day = data.records, data.plan.days[-1]
    here = (data.stratum[records.trial] == stratum) & (np.abs(records.time - day) <= _VISIT_WINDOW_DAY)
    change = data.y[records.row] - (data.y[records.start][records.trial] if data.plan.outcome == "mean" else 0.0)
    sides = [change[here & (records.arm == a)] for a in (1, 0)]
    rows = []
    n = len(sides[0])
    if n > 1:
        mean, error = float(sides[0].mean()), float(sides[0].std(ddof=1) / np.sqrt(n))
        rows.append(
            row(code, "naive_before_after", time_day=day, estimate=mean, low=mean - z * error, high=mean + z * error,
                n=n, denominator=n,
                note="NAIVE, not the effect: boosted when at their worst, they regress to the mean anyway")
        )  # fmt: skip
    if n > 1 and len(sides[1]) > 1:
        value = float(sides[0].mean() - sides[1].mean())
        error = float(np.sqrt(sides[0].var(ddof=1) / n + sides[1].var(ddof=1) / len(sides[1])))
        rows.append(
            row(code, "naive_at_decision", time_day=day, estimate=value, low=value - z * error, high=value + z * error,
                n=n, denominator=n + len(sides[1]),
                note="NAIVE, not the effect: same clock, but those boosted were worse off when it was decided")
        )  # fmt: skip
    return rows


def _signed(value: float) -> str:
    """Return a number with its sign and one decimal, nothing as +0.0."""
    return f"{round(value, 1) + 0.0:+.1f}"
