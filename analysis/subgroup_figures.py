"""Forest plot of groups, pooled and not, and funnel of centres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.figures import _DAYS_A_MONTH, _STYLE
from analysis.numerics.laws import normal_quantile
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

_OWN, _POOLED = "#9aa5b1", "#0b5394"
# Where a name may stand beside its point, in points of 1/72 inch; further than this it has a line to it.
_NEAR = 13.0
_AROUND = ((0.0, 1.0), (0.0, -1.0), (1.0, 0.5), (-1.0, 0.5), (1.0, -0.5), (-1.0, -0.5))
_PLACES = [(0.0, 10.0), (0.0, -10.0), (7.0, 0.0), (-7.0, 0.0)]
_PLACES += [(r * dx, r * dy) for r in (18, 28, 40, 54, 70, 90) for dx, dy in _AROUND]


def forest(result: Result) -> Figure:
    """Draw each group's adjusted share and what remains of it after partial pooling, the most precise first."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    wide = _wide(result).sort(pl.coalesce("high", "pooled_high") - pl.coalesce("low", "pooled_low"))
    names = {s["code"]: s["label"] for s in result.settings["strata"]}
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 1.5 + 0.38 * wide.height), layout="constrained")
        axes = figure.subplots()
        for i, r in enumerate(wide.iter_rows(named=True)):
            if r["estimate"] is not None:
                axes.plot([r["low"], r["high"]], [i - 0.14, i - 0.14], color=_OWN, linewidth=1.4)
                axes.plot(r["estimate"], i - 0.14, "s", color=_OWN, markersize=4)
            axes.plot([r["pooled_low"], r["pooled_high"]], [i + 0.14, i + 0.14], color=_POOLED, linewidth=2)
            axes.plot(r["pooled"], i + 0.14, "o", color=_POOLED, markersize=5)
            text = f"{100 * r['pooled']:.0f} % ({100 * r['pooled_low']:.0f}–{100 * r['pooled_high']:.0f})"
            axes.annotate(text, (1.01, i), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
        middle = result.frame.filter(pl.col("stratum") == "all", pl.col("quantity") == "pooled_response")
        if middle.height and middle["estimate"][0] is not None:
            axes.axvline(middle["estimate"][0], color="#bbbbbb", linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        axes.set_yticks(
            range(wide.height),
            [f"{names.get(c, c)}  ({d:,})" for c, d in zip(wide["stratum"], wide["denominator"], strict=True)],
        )
        axes.set_ylim(wide.height - 0.5, -0.6)
        low = float(wide.select(pl.min_horizontal("low", "pooled_low").min()).item())
        high = float(wide.select(pl.max_horizontal("high", "pooled_high").max()).item())
        axes.set_xlim(max(0.0, low - 0.15 * (high - low)), min(1.0, high + 0.15 * (high - low)))
        # Whole per cent only: a tick at 2.5 % would be written as another.
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10], min_n_ticks=3))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes.set_xlabel(f"Response by {result.settings['horizon_day'][0] / _DAYS_A_MONTH:.0f} months, adjusted")
        axes.plot([], [], "o-", color=_POOLED, label="partially pooled")
        axes.plot([], [], "s-", color=_OWN, label="by itself")
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    said = ", ".join(f"{names.get(c, c)} {100 * p:.0f} %" for c, p in zip(wide["stratum"], wide["pooled"], strict=True))
    figure.alt_text = f"Adjusted response by group, partially pooled: {said}."  # type: ignore[attr-defined]
    return figure


def funnel_plot(result: Result) -> Figure:
    """Draw each centre's adjusted share by its precision, between the limits of centres that are alike."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    from analysis.numerics.pooling import Funnel

    wide = _wide(result)
    target = result.frame.filter(pl.col("quantity") == "funnel_target")["estimate"][0]
    phi = result.diagnostics.filter(pl.col("check") == "overdispersion of centres")["value"][0]
    made = Funnel(float(np.log(-np.log1p(-target))), np.zeros(0), float(phi))
    z = normal_quantile(0.5 + result.settings["confidence"] / 2)
    scale = {c: np.log(-np.log1p(-wide[c].to_numpy())) for c in ("estimate", "low", "high")}
    error = (scale["high"] - scale["low"]) / (2 * z)
    grid = np.linspace(max(error.max() * 1.15, 1e-6), max(error.min() * 0.8, 1e-6), 80)
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        for confidence, line in ((0.95, (0, (5, 2))), (0.998, "-")):
            for edge in made.limits(grid, confidence):
                axes.plot(1 / grid**2, _share(edge), color="#777777", linewidth=1, linestyle=line)
        axes.axhline(target, color="#bbbbbb", linewidth=0.8)
        for i in range(wide.height):
            axes.plot(1 / error[i] ** 2, wide["estimate"][i], "o", color=_POOLED, markersize=5)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes.set_xlabel("Precision (1 / squared standard error)")
        axes.set_ylabel(f"Response by {result.settings['horizon_day'][0] / _DAYS_A_MONTH:.0f} months, adjusted")
        edges = [
            float(_share(e.min() if lower else e.max()))
            for lower, e in zip((1, 0), made.limits(grid, 0.998), strict=True)
        ]
        edges += [float(wide["estimate"].min()), float(wide["estimate"].max())]  # type: ignore[arg-type]
        room = 0.12 * (max(edges) - min(edges))
        axes.set_ylim(max(0.0, min(edges) - room), min(1.0, max(edges) + room))
        _beside(axes, 1 / error**2, wide["estimate"].to_numpy(), wide["stratum"].to_list())
        axes.set_title("Lines: 95 % (dashed) and 99.8 % of centres that are alike", fontsize=8, loc="left")
    text = f"Funnel of {wide.height} centres around {100 * target:.0f} %."
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure


def _beside(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], names: list[str]) -> None:
    """Write each name at its point (x, y), in the nearest place where it lies on no other name or point.

    A name that stands further off has a line to its point.
    """
    from matplotlib.transforms import Bbox

    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    inch, size = figure.dpi / 72, []
    for name in names:
        text = axes.text(0.5, 0.5, name, transform=axes.transAxes, fontsize=8)
        size.append((text.get_window_extent().width, text.get_window_extent().height))
        text.remove()
    points = axes.transData.transform(np.column_stack([x, y]))
    dots = [Bbox.from_bounds(px - 4 * inch, py - 4 * inch, 8 * inch, 8 * inch) for px, py in points]
    taken: list[Any] = []
    for k, (name, (wide, high)) in enumerate(zip(names, size, strict=True)):
        for dx, dy in _PLACES:
            left = points[k, 0] + dx * inch - wide * (0.5 if dx == 0 else 0 if dx > 0 else 1)
            box = Bbox.from_bounds(left, points[k, 1] + dy * inch - high / 2, wide, high)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in (*dots, *taken)):
                break
        taken.append(box)
        line = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6} if np.hypot(dx, dy) > _NEAR else None
        axes.annotate(name, (x[k], y[k]), xytext=(dx, dy), textcoords="offset points", fontsize=8, arrowprops=line,
                      ha="center" if dx == 0 else "left" if dx > 0 else "right", va="center")  # fmt: skip


def _share(y: Any) -> Any:
    return -np.expm1(-np.exp(y))


def _wide(result: Result) -> pl.DataFrame:
    own = result.frame.filter(pl.col("quantity") == "response").drop_nulls("estimate")
    pooled = result.frame.filter(pl.col("quantity") == "pooled_response", pl.col("stratum") != "all").drop_nulls(
        "estimate"
    )
    # A small combination has a pooled number and none by itself.
    both = pooled.select("stratum", "denominator", pooled="estimate", pooled_low="low", pooled_high="high").join(
        own.select("stratum", "estimate", "low", "high"), on="stratum", how="left", maintain_order="left"
    )
    if both.height == 0:
        raise NotEstimable("No group has a number that may be shown.")
    return both
