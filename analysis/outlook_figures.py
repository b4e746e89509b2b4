"""Figure of an outlook: best, typical and failure case over time, and the chances of what can happen."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE, say_limits
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

_CASES = (("best_case", "best case", "#38761d", "--"), ("typical_case", "typical case", "#0b5394", "-"),
          ("failure_case", "failure case", "#a61c1c", ":"))  # fmt: skip
_SHARES = (("share_in_response", "in\nresponse"), ("share_sustained", "sus-\ntained"),
           ("share_response_lost", "lost"), ("share_worse", "worse"), ("end", "ended"))  # fmt: skip

_SHADES = ("#cfe2f3", "#9fc5e8", "#6fa8dc", "#3d85c6", "#0b5394", "#073763")


def fan(result: Result) -> Figure:
    """Draw the 10th, 50th and 90th percentile of improvement by visit, and beside it the chances at each visit.

    The key says on how many courses like it each visit rests.
    """
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = _STYLE
    known = result.frame.filter(pl.col("estimate").is_not_null())
    days = known.filter(quantity="typical_case")["time_day"].sort().to_list()
    if not days:
        raise NotEstimable("Every number is withheld or suppressed: there is nothing to draw.")
    like = {d: f"{n:.0f}" for d, n in known.filter(quantity="similar").select("time_day", "estimate").iter_rows()}
    support = {d: like.get(d, "not shown") for d in days}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(8.2, 3.8), layout="constrained")
        # What is named of the course stands above the numbers that go with it.
        figure.suptitle(textwrap.fill(result.title, 110), x=0.01, ha="left", fontsize=9, fontweight="bold")
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        _draw_cases(left, known, days)
        _draw_shares(right, known, support)
        say_limits(figure, result, "Bands and bars")
    cases = ", ".join(
        f"{label} {known.filter(quantity=quantity, time_day=days[-1])['estimate'].item():.0f}"
        for quantity, label, _, _ in _CASES
    )
    rests = ", ".join(f"{n} at {_months(d)}" for d, n in support.items())
    text = f"{result.title}. Improvement by {_months(days[-1])} in points of 100: {cases}. Courses like it: {rests}."
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure


def _draw_cases(axes: Axes, known: pl.DataFrame, days: list[float]) -> None:
    for quantity, label, colour, line in _CASES:
        curve = known.filter(pl.col("quantity") == quantity).sort("time_day")
        months = curve["time_day"].to_numpy() / _DAYS_A_MONTH
        axes.fill_between(
            months, curve["low"].to_numpy(), curve["high"].to_numpy(), color=colour, alpha=0.13, linewidth=0
        )
        axes.plot(
            months, curve["estimate"], line, color=colour, linewidth=1.7, marker="o", markersize=3.5, clip_on=False
        )
        axes.annotate(label, (months[-1], curve["estimate"][-1]), xytext=(5, 0), textcoords="offset points",
                      color=colour, va="center", fontweight="bold", annotation_clip=False)  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.7)
    axes.set_xlabel("Months since the first session")
    axes.set_ylabel("Improvement (points of 100)")
    # The names stand beyond the axis, clear of its line at none.
    axes.set_xlim(0, days[-1] / _DAYS_A_MONTH)
    axes.set_xticks([d / _DAYS_A_MONTH for d in days], [f"{d / _DAYS_A_MONTH:.0f}" for d in days])
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)


def _draw_shares(axes: Axes, known: pl.DataFrame, support: dict[float, str]) -> None:
    from matplotlib.ticker import PercentFormatter

    width = 0.8 / len(support)
    for k, (day, n) in enumerate(support.items()):
        at = {r["quantity"]: r for r in known.filter(pl.col("time_day") == day).to_dicts()}
        place = np.arange(len(_SHARES)) + (k - (len(support) - 1) / 2) * width
        shares = [at.get(q, {"estimate": np.nan, "low": np.nan, "high": np.nan}) for q, _ in _SHARES]
        value, low, high = (np.array([s[c] for s in shares], dtype=float) for c in ("estimate", "low", "high"))
        axes.bar(place, value, width * 0.92, color=_SHADES[k % len(_SHADES)], label=f"{_months(day)}: {n}")
        reach = np.maximum(np.nan_to_num([value - low, high - value]), 0)
        axes.errorbar(place, value, reach, fmt="none", ecolor="#555555", elinewidth=0.7)
        # What is hidden is no share of zero.
        for x in place[np.isnan(value)]:
            axes.annotate("–", (x, 0), xytext=(0, 1), textcoords="offset points", ha="center", fontsize=7)
            axes.set_xlabel("– hidden or not known", fontsize=7, loc="right")
    axes.set_xlim(-0.5, len(_SHARES) - 0.5)
    axes.set_xticks(range(len(_SHARES)), [label for _, label in _SHARES])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.set_ylim(0, 1)
    # Few are worse or ended: there is room above them.
    axes.legend(frameon=False, fontsize=7, title="Courses like it", title_fontsize=7, loc="upper right")


def _months(day: float) -> str:
    n = round(day / _DAYS_A_MONTH)
    return "1 month" if n == 1 else f"{n} months"
