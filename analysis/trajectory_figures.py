"""The figure of trajectories: mean change by stratum over the planned visits, with who was seen below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.disclosure import HIDDEN
from analysis.figures import _STYLE, _STYLES, SINCE_FIRST, say_limits, with_mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

Floats = NDArray[np.float64]
# Height and month of the end of a curve, its label and its colour.
End = tuple[float, float, str, str]

_DAYS_A_MONTH = 365.25 / 12
# Rows that the two lines of a stratum take in the table.
_TALL = 1.7
_MARKERS = ("o", "s", "^", "D", "v", "P")


def mean_change(result: Result) -> Figure:
    """Draw the mean change from baseline by stratum with its intervals, and the courses seen of those due below.

    Where covariates were asked for it is the change adjusted for them, which is what the strata are compared by.
    """
    label = f"Mean change from baseline\n({result.settings['unit_label']}, up is better)"
    if result.settings["drawn"] == "adjusted_change":
        like = ", ".join(["baseline", *result.settings["adjust"]])
        label = f"Mean change from baseline, adjusted for {like}\n({result.settings['unit_label']}, up is better)"
    figure = _by_visit(result, label, _capital(str(result.settings["scale_label"])))
    figure.alt_text = (  # type: ignore[attr-defined]
        f"{label.partition(chr(10))[0]} in {result.settings['scale_label']} over "
        f"{len(result.settings['visits'])} planned visits, in {result.settings['unit_label']}, positive is "
        f"improvement. At the last visit with enough courses: "
        f"{_ends_told(result, '{:.1f} ({:.1f} to {:.1f})', 1)}."
    )
    return figure


def share_at_visits(result: Result) -> Figure:
    """Draw the share of courses in response at planned visits, and the courses known of those due below."""
    from matplotlib.ticker import PercentFormatter

    figure = _by_visit(result, "Courses in response", "")
    figure.axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    figure.axes[0].set_ylim(0, 1)
    figure.alt_text = (  # type: ignore[attr-defined]
        f"Share of courses in response at {len(result.settings['visits'])} planned visits. At the last visit with "
        f"enough courses: {_ends_told(result, '{:.0f} % ({:.0f} to {:.0f})', 100)}."
    )
    return figure


def _by_visit(result: Result, label: str, title: str) -> Figure:
    """Draw one number by stratum and planned visit with its intervals.

    Strata stand side by side at each visit so that their intervals can be told apart; they differ in colour, line,
    and marker, and are named where they end.
    """
    import matplotlib
    from matplotlib.figure import Figure

    shown = _shown(result)
    style: dict[Any, Any] = dict(_STYLE)
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 4.3 + 0.36 * len(shown)), layout="constrained")
        top, table = figure.subplots(2, 1, sharex=True, height_ratios=[1, 0.05 * (_TALL * len(shown) + 1.4)])
        last = result.settings["visits"][-1]["day"] / _DAYS_A_MONTH
        ends = [_curve(top, result, s, i, len(shown), last) for i, s in enumerate(shown)]
        top.axhline(0, color="#666666", linewidth=0.8)
        top.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        top.set_axisbelow(True)
        top.set_xlim(-0.025 * last, 1.04 * last)
        _labels(top, ends, last)
        top.set_ylabel(label)
        top.set_title(title, loc="left", fontsize=9, fontweight="bold")
        top.tick_params(labelbottom=False)
        _table(table, result, shown)
        say_limits(figure, result, "Bars")
    return figure


def _shown(result: Result) -> list[dict[str, Any]]:
    has = result.curves.filter(pl.col("time_day") > 0, pl.col("estimate").is_not_null())["stratum"]
    return [s for s in result.settings["strata"] if (has == s["code"]).any()]


def _curve(
    axes: Axes, result: Result, stratum: dict[str, Any], i: int, of: int, last: float
) -> tuple[float, float, str, str]:
    """Draw one stratum, and return the height and month of its end, its label and its colour."""
    curve = result.curves.filter(
        pl.col("stratum") == stratum["code"], pl.col("estimate").is_not_null()
    ).sort("time_day")  # fmt: skip
    months = curve["time_day"].to_numpy() / _DAYS_A_MONTH
    x = months + (i - (of - 1) / 2) * _steps(months, of, last)
    colour = stratum["colour"]
    axes.plot(x, curve["estimate"], color=colour, linewidth=1.5, linestyle=_STYLES[i % len(_STYLES)])
    after = months > 0
    for at, low, high in zip(x[after], curve["low"].to_numpy()[after], curve["high"].to_numpy()[after], strict=True):
        axes.plot([at, at], [low, high], color=colour, linewidth=1.1, solid_capstyle="butt")
    axes.plot(
        x[after], curve["estimate"].to_numpy()[after], linestyle="none", marker=_MARKERS[i % len(_MARKERS)],
        color=colour, markersize=5, markeredgecolor="white", markeredgewidth=0.6,
    )  # fmt: skip
    return float(curve["estimate"][-1]), float(months[-1]), stratum["label"], colour


def _steps(months: Floats, of: int, last: float) -> Floats:
    """Return by how much strata stand apart at each visit: together at most a quarter of the way to the next one."""
    gaps = np.diff(months)
    nearest = np.minimum(np.append(np.inf, gaps), np.append(gaps, np.inf))
    return np.where(months > 0, np.minimum(0.010 * last, 0.25 * nearest / max(of - 1, 1)), 0.0)


def _labels(axes: Axes, ends: list[End], last: float) -> None:
    """Name each stratum where it ends: at the edge, moved apart where names would overlap, or after its last visit."""
    low, high = axes.get_ylim()
    least, place = 0.055 * (high - low), -np.inf
    for height, month, text, colour in sorted(ends):
        at_edge = month >= 0.999 * last
        y = max(height, place + least) if at_edge else height
        place = y if at_edge else place
        axes.annotate(
            text, (1.04 * last if at_edge else month, y), xytext=(4 if at_edge else 12, 0), textcoords="offset points",
            va="center", color=colour, fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _table(axes: Axes, result: Result, shown: list[dict[str, Any]]) -> None:
    """Write the courses seen and, in grey, those due, by stratum and visit; numbers that would overlap are skipped."""
    visits = [v["day"] for v in result.settings["visits"]]
    longest = max(len(f"{of or 0:,}") for of in result.at_risk["denominator"])
    # A figure of 8 points is about 0.011 of the axis wide; the due ones carry a stroke.
    written = _apart(visits, 0.011 * (longest + 1) * max(visits))
    axes.set_ylim(-_TALL * len(shown) - 0.2, 0.9)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xticks([d / _DAYS_A_MONTH for d in [0.0, *visits]], [f"{d / _DAYS_A_MONTH:.0f}" for d in [0.0, *visits]])
    axes.set_xlabel(with_mark(SINCE_FIRST, result, shown))
    side = axes.get_yaxis_transform()
    axes.text(-0.05, 0.55, "Seen / due", transform=side, fontweight="bold", ha="right", va="center")
    for i, stratum in enumerate(shown):
        y = -_TALL * i - 0.35
        axes.text(-0.05, y - 0.35, stratum["label"], transform=side, ha="right", va="center", color=stratum["colour"])
        counts = result.at_risk.filter(pl.col("stratum") == stratum["code"]).select("time_day", "n", "denominator")
        for day, n, of in counts.iter_rows():
            if day in written:
                x = day / _DAYS_A_MONTH
                seen = "–" if of == 0 else HIDDEN if n is None else f"{n:,}"
                axes.text(x, y, seen, ha="center", va="center", fontsize=8)
                if of:
                    axes.text(x, y - 0.7, f"/{of:,}", ha="center", va="center", fontsize=7, color="#6b6b6b")


def _apart(days: list[float], least: float) -> list[float]:
    """Return days at least `least` apart, the last one always."""
    kept: list[float] = []
    for day in reversed(days):
        if not kept or kept[-1] - day >= least:
            kept.append(day)
    return kept


def _ends_told(result: Result, pattern: str, times: float) -> str:
    """Return the last number of each stratum in words."""
    visits = result.settings["visits"]
    parts = []
    for stratum in _shown(result):
        curve = result.curves.filter(pl.col("stratum") == stratum["code"], pl.col("estimate").is_not_null())
        end = curve.sort("time_day").row(-1, named=True)
        name = next(v["visit"] for v in visits if v["day"] == end["time_day"])
        number = pattern.format(*(times * (end[c] or 0.0) for c in ("estimate", "low", "high")))
        parts.append(f"{stratum['label']} {number} at {name}")
    return "; ".join(parts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
