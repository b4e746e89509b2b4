"""What simpler comparisons would have claimed of a booster, and why in words for a clinician."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analysis.booster_data import Prepared
from analysis.cohort import Stratum
from analysis.numerics.laws import normal_quantile
from analysis.result import row

EVER_NEVER, BEFORE_AFTER, AT_DECISION = "naive_ever_against_never", "naive_before_after", "naive_at_decision"
# Stands in every note about a naive number.
NOT_THE_EFFECT = "not the effect"
_NAIVE = f"NAIVE, {NOT_THE_EFFECT}"
_VISIT_WINDOW_DAY = 46.0
_BLAMED = "those who were boosted were already losing, or had not responded"
_FLATTERED = (
    "whoever ended or stayed away early could no longer be boosted and counts among the never boosted, so that the "
    "boosted are those who lasted until then (immortal time)"
)
# Both at once: which of them is the stronger is not known.
_LOSING = "those who were boosted were already losing or had not responded, which makes a booster look worse"
_IMMORTAL = "and had to go without an end until then, which makes it look better (immortal time)"
_AT_WORST = (
    "Before–after in the boosted (naive) is not the effect: they are boosted when they are at their worst, and what "
    "is measured at its worst is better the next time even if nothing is done (regression to the mean)."
)


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
    """Return a sentence a stratum on why the naive number differs, and one on before–after, in words for a clinician.

    Where there is no number of ours the naive one stands alone, and needs its sentence the more.
    """
    lines = []
    unit = "points" if outcome == "mean" else "percentage points"
    scale = 1.0 if outcome == "mean" else 100.0
    for s in strata:
        mine = frame.filter(pl.col("stratum") == s.code)
        ours = mine.filter(pl.col("quantity") == "difference", pl.col("estimate").is_not_null()).sort("time_day")
        naive = mine.filter(pl.col("quantity") == EVER_NEVER)["estimate"]
        if not len(naive) or naive[0] is None:
            continue
        first = (
            f"{s.label}: courses ever boosted differed from those never boosted by {_signed(scale * naive[0])} {unit}"
        )
        if not ours.height:
            lines.append(f"{first}. This is {NOT_THE_EFFECT}, of which no number is shown: {_LOSING}, {_IMMORTAL}.")
            continue
        told = "; ".join(
            f"{_signed(scale * r['estimate'])} ({_signed(scale * r['low'])} to {_signed(scale * r['high'])}) "
            f"at day {r['time_day']:.0f}"
            for r in ours.iter_rows(named=True)
        )
        # The naive number is of the last visit; the last day asked for is nearest to it.
        why = _reason(scale * naive[0], scale * ours["estimate"][-1], outcome)
        lines.append(
            f"{first}; compared at the decision, in like situations, the estimated difference is {told}. "
            f"The first number is {NOT_THE_EFFECT}: {why}."
        )
    if frame.filter(pl.col("quantity") == BEFORE_AFTER)["estimate"].is_not_null().any():
        lines.append(_AT_WORST)
    return tuple(lines)


def is_about_naive(note: str) -> bool:
    """Say whether a note of a result is one that :func:`explanation` wrote."""
    return NOT_THE_EFFECT in note


def _reason(naive: float, ours: float, outcome: str) -> str:
    """Return why the naive number is off, by whether it is better for the booster than ours, or worse."""
    # Of scores and response more is better, of ends and losses less.
    flattered = (1 if outcome in ("mean", "share") else -1) * (round(naive, 1) - round(ours, 1))
    if flattered == 0:
        return f"that both agree is chance, since {_LOSING}, {_IMMORTAL}"
    return _FLATTERED if flattered > 0 else _BLAMED


def _ever_never(data: Prepared, cells: pl.DataFrame, code: str, z: float) -> dict[str, Any]:
    note = f"{_NAIVE}: a booster is given because the benefit fades, and takes time to be given"
    held = {bool(r["ever_boosted"]): r for r in cells.to_dicts()}
    if len(held) < 2:
        return row(code, EVER_NEVER, note="all or none were ever boosted")
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
    return row(code, EVER_NEVER, estimate=value, low=value - z * error, high=value + z * error,
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
            row(code, BEFORE_AFTER, time_day=day, estimate=mean, low=mean - z * error, high=mean + z * error,
                n=n, denominator=n,
                note=f"{_NAIVE}: boosted when at their worst, they regress to the mean anyway")
        )  # fmt: skip
    if n > 1 and len(sides[1]) > 1:
        value = float(sides[0].mean() - sides[1].mean())
        error = float(np.sqrt(sides[0].var(ddof=1) / n + sides[1].var(ddof=1) / len(sides[1])))
        rows.append(
            row(code, AT_DECISION, time_day=day, estimate=value, low=value - z * error, high=value + z * error,
                n=n, denominator=n + len(sides[1]),
                note=f"{_NAIVE}: same clock, but those boosted were worse off when it was decided")
        )  # fmt: skip
    return rows


def _signed(value: float) -> str:
    """Return a number with its sign and one decimal, nothing as +0.0."""
    return f"{round(value, 1) + 0.0:+.1f}"
