"""Figure of an outlook: best, typical and failure case over time, and the chances of what can happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.result import Result

_CASES = (("best_case", "best case", "#38761d", "--"), ("typical_case", "typical case", "#0b5394", "-"),
          ("failure_case", "failure case", "#a61c1c", ":"))  # fmt: skip
_SHARES = (("share_in_response", "in\nresponse"), ("share_sustained", "sus-\ntained"),
           ("share_response_lost", "lost"), ("share_worse", "worse"), ("end", "ended"))  # fmt: skip


def fan(result: Result) -> Figure:
    """Draw the 10th, 50th and 90th percentile of improvement by visit, and beside it the chances at each visit."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    style: Any = _STYLE
    known = result.frame.filter(pl.col("estimate").is_not_null())
    if known.filter(pl.col("quantity") == "typical_case").height == 0:
        raise NotEstimable("Every number is withheld or suppressed: there is nothing to draw.")
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(8.2, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        for quantity, label, colour, line in _CASES:
            curve = known.filter(pl.col("quantity") == quantity).sort("time_day")
            months = curve["time_day"].to_numpy() / _DAYS_A_MONTH
            left.fill_between(
                months, curve["low"].to_numpy(), curve["high"].to_numpy(), color=colour, alpha=0.13, linewidth=0
            )
            left.plot(months, curve["estimate"], line, color=colour, linewidth=1.7, marker="o", markersize=3.5)
            left.annotate(label, (months[-1], curve["estimate"][-1]), xytext=(5, 0), textcoords="offset points",
                          color=colour, va="center", fontweight="bold", annotation_clip=False)  # fmt: skip
        left.axhline(0, color="black", linewidth=0.7)
        left.set_xlabel("Months since the first session")
        left.set_ylabel("Improvement (points of 100)")
        left.set_xlim(left=0)
        visits = known.filter(pl.col("quantity") == "typical_case")["time_day"].sort().to_list()
        left.set_xticks([d / _DAYS_A_MONTH for d in visits], [f"{d / _DAYS_A_MONTH:.0f}" for d in visits])
        left.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        days = known.filter(pl.col("quantity") == "share_in_response")["time_day"].sort().to_list()
        shades = ("#cfe2f3", "#9fc5e8", "#6fa8dc", "#3d85c6", "#0b5394", "#073763")
        width = 0.8 / max(len(days), 1)
        for k, day in enumerate(days):
            at = {r["quantity"]: r for r in known.filter(pl.col("time_day") == day).to_dicts()}
            place = np.arange(len(_SHARES)) + (k - (len(days) - 1) / 2) * width
            value = np.array([at[q]["estimate"] if q in at else np.nan for q, _ in _SHARES])
            reach = np.array(
                [
                    [v - at[q]["low"], at[q]["high"] - v] if q in at else [0.0, 0.0]
                    for v, (q, _) in zip(value, _SHARES, strict=True)
                ]
            ).T
            right.bar(place, value, width * 0.92, color=shades[k % len(shades)], label=_months(day))
            right.errorbar(place, value, np.maximum(reach, 0), fmt="none", ecolor="#555555", elinewidth=0.7)
        right.set_xticks(range(len(_SHARES)), [label for _, label in _SHARES])
        right.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        right.set_ylim(0, 1)
        right.legend(frameon=False, fontsize=7)
    last = max(days)
    cases = ", ".join(
        f"{label} {known.filter(quantity=quantity, time_day=last)['estimate'].item():.0f}"
        for quantity, label, _, _ in _CASES
    )
    text = f"{result.title}. Improvement by {_months(last)} in points of 100: {cases}."
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure


def _months(day: float) -> str:
    n = round(day / _DAYS_A_MONTH)
    return "1 month" if n == 1 else f"{n} months"
