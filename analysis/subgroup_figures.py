"""Forest plot of groups, pooled and not, and funnel of centres."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.figures import _DAYS_A_MONTH, _STYLE, say_limits
from analysis.numerics.laws import normal_quantile
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

_OWN, _POOLED, _SEEN = "#9aa5b1", "#0b5394", "#a61c1c"
_DOTS: Any = (0, (1.5, 1.2))
_AS_SEEN = "not modelled: as seen, exact limits"
# Where a name may stand beside its point, in points of 1/72 inch; further than this it has a line to it.
_NEAR = 13.0
_AROUND = ((0.0, 1.0), (0.0, -1.0), (1.0, 0.5), (-1.0, 0.5), (1.0, -0.5), (-1.0, -0.5))
_PLACES = [(0.0, 10.0), (0.0, -10.0), (7.0, 0.0), (-7.0, 0.0)]
_PLACES += [(r * dx, r * dy) for r in (18, 28, 40, 54, 70, 90) for dx, dy in _AROUND]


def forest(result: Result) -> Figure:
    """Draw each group's adjusted share and what remains of it after partial pooling, the most precise first.

    Groups within stages stand in a block for each stage, with the middle that they are drawn to. A group that is not
    modelled stands last, as it was seen.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    wide = _wide(result)
    blocks = _blocks(result, wide)
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        lines = wide.height + sum(head != "" for head, *_ in blocks)
        figure = Figure(figsize=(7.2, 1.6 + 0.38 * lines), layout="constrained")
        axes = figure.subplots()
        ticks: list[tuple[float, str, bool]] = []
        y = 0
        for head, names, mine, middle in blocks:
            if head:
                ticks.append((y, head, True))
                y += 1
            if middle is not None:
                axes.vlines(middle, y - 0.45, y + mine.height - 0.55, color="#999999", linewidth=0.9,
                            linestyle=(0, (4, 3)), zorder=0)  # fmt: skip
            for r in mine.iter_rows(named=True):
                _group(axes, y, r)
                ticks.append((y, f"{names.get(r['stratum'], r['stratum'])}  ({r['denominator']:,})", False))
                y += 1
        axes.set_yticks([t for t, *_ in ticks], [text for _, text, _ in ticks])
        for label, (_, _, bold) in zip(axes.get_yticklabels(), ticks, strict=True):
            label.set_fontweight("bold" if bold else "normal")
        axes.set_ylim(y - 0.4, -0.7)
        low = float(wide.select(pl.min_horizontal("low", "pooled_low", "seen_low").min()).item())
        high = float(wide.select(pl.max_horizontal("high", "pooled_high", "seen_high").max()).item())
        # The mark of a group in which nobody responded is seen whole.
        left = max(0.0, low - 0.15 * (high - low)) if low > 0 else -0.02 * high
        axes.set_xlim(left, min(1.0, high + 0.15 * (high - low)))
        # Whole per cent only: a tick at 2.5 % would be written as another.
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10], min_n_ticks=3))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes.set_xlabel(f"Response by {result.settings['horizon_day'][0] / _DAYS_A_MONTH:.0f} months, adjusted")
        axes.plot([], [], "o-", color=_POOLED, label="partially pooled")
        axes.plot([], [], "s-", color=_OWN, label="by itself")
        if wide["seen"].is_not_null().any():
            axes.plot([], [], "D", color=_SEEN, markerfacecolor="white", linestyle=_DOTS, label=_AS_SEEN)
        if any(middle is not None for *_, middle in blocks):
            where = "middle of a stage" if len(blocks) > 1 else "middle"
            axes.plot([], [], color="#999999", linewidth=0.9, linestyle=(0, (4, 3)), label=where)
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2, fontsize=8)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        say_limits(figure, result, "Bars")
    names = {s["code"]: s["label"] for s in result.settings["strata"]}
    known = wide.drop_nulls("pooled")
    said = ", ".join(f"{names.get(c, c)} {100 * p:.0f} %" for c, p in known.select("stratum", "pooled").iter_rows())
    text = f"Adjusted response by group, partially pooled: {said}."
    if unmodelled := _seen_said(wide, names):
        text += f" Not modelled, as seen: {unmodelled}."
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure


def _group(axes: Axes, y: float, r: dict[str, Any]) -> None:
    """Draw one group at height `y` and write its number beside it."""
    if r["seen"] is not None:
        axes.plot([r["seen_low"], r["seen_high"]], [y, y], color=_SEEN, linewidth=1.4, linestyle=_DOTS)
        axes.plot(r["seen"], y, "D", color=_SEEN, markerfacecolor="white", markersize=5, clip_on=False)
        shown = [r["seen"], r["seen_low"], r["seen_high"]]
    else:
        if r["estimate"] is not None:
            axes.plot([r["low"], r["high"]], [y - 0.14, y - 0.14], color=_OWN, linewidth=1.4)
            axes.plot(r["estimate"], y - 0.14, "s", color=_OWN, markersize=4)
        axes.plot([r["pooled_low"], r["pooled_high"]], [y + 0.14, y + 0.14], color=_POOLED, linewidth=2)
        axes.plot(r["pooled"], y + 0.14, "o", color=_POOLED, markersize=5)
        shown = [r["pooled"], r["pooled_low"], r["pooled_high"]]
    value, low, high = (100 * v for v in shown)
    text = f"{value:.0f} % ({low:.0f}–{high:.0f})"
    axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)


def _blocks(result: Result, wide: pl.DataFrame) -> list[tuple[str, dict[str, str], pl.DataFrame, float | None]]:
    """Return the groups in blocks: heading, names by code, rows with the most precise first, middle.

    Precise is by the standard error on the scale of pooling, of the group's own number where it has one.
    """
    z = normal_quantile(0.5 + result.settings["confidence"] / 2)
    errors = [
        ((_scale(wide[f"{p}high"]) - _scale(wide[f"{p}low"])) / (2 * z)).alias(f"{p}error") for p in ("", "pooled_")
    ]
    order = wide.with_columns(errors).sort("error", "pooled_error", "seen", nulls_last=True)
    middles = result.frame.filter(pl.col("stratum") == "all", pl.col("quantity").str.starts_with("pooled_response"))
    middle = dict(middles.drop_nulls("estimate").select("quantity", "estimate").iter_rows())
    made = []
    for block in result.settings.get("blocks", ()):
        mine = order.filter(pl.col("stratum").is_in(list(block["strata"])))
        if mine.height:
            made.append((block["label"], block["strata"], mine, middle.get(f"pooled_response in {block['code']}")))
    if made:
        return made
    names = {s["code"]: s["label"] for s in result.settings["strata"]}
    return [("", names, order, middle.get("pooled_response"))]


def _scale(share: pl.Series) -> pl.Series:
    return (-(1 - share.clip(1e-9, 1 - 1e-9)).log()).log()


def _seen_said(wide: pl.DataFrame, names: dict[str, str]) -> str:
    parts = wide.drop_nulls("seen").select("stratum", "seen", "seen_low", "seen_high").iter_rows()
    return ", ".join(f"{names.get(c, c)} {100 * p:.0f} % ({100 * a:.0f} to {100 * b:.0f})" for c, p, a, b in parts)


def funnel_plot(result: Result) -> Figure:
    """Draw each centre's adjusted share by its precision, between the limits of centres that are alike."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    from analysis.numerics.pooling import Funnel

    every = _wide(result)
    wide = every.drop_nulls("estimate")
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
        axes.set_xlabel("Precision: 1 / squared standard error of log(−log(1 − share))")
        axes.set_ylabel(f"Response by {result.settings['horizon_day'][0] / _DAYS_A_MONTH:.0f} months, adjusted")
        edges = [
            float(_share(e.min() if lower else e.max()))
            for lower, e in zip((1, 0), made.limits(grid, 0.998), strict=True)
        ]
        edges += [float(wide["estimate"].min()), float(wide["estimate"].max())]  # type: ignore[arg-type]
        room = 0.12 * (max(edges) - min(edges))
        axes.set_ylim(max(0.0, min(edges) - room), min(1.0, max(edges) + room))
        axes.set_xlim(max(0.0, 0.85 * (1 / error**2).min()), 1.1 * (1 / error**2).max())
        axes.set_title("Lines: 95 % (dashed) and 99.8 % of centres that are alike", fontsize=8, loc="left")
        names = {s["code"]: s["label"] for s in result.settings["strata"]}
        unmodelled = _seen_said(every, names)
        if unmodelled:
            foot = textwrap.fill(f"Not modelled, as seen with exact limits: {unmodelled}", 95)
            figure.supxlabel(foot, x=0.01, ha="left", fontsize=7, color="#555555")
        # Last: what else takes room would move the points from under their names.
        _beside(axes, 1 / error**2, wide["estimate"].to_numpy(), wide["stratum"].to_list())
    text = f"Funnel of {wide.height} centres around {100 * target:.0f} %."
    text += f" Not modelled, as seen: {unmodelled}." if unmodelled else ""
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
    """Return a row a group that may be shown: its own number, the pooled one, or what was seen of it."""
    own = result.frame.filter(pl.col("quantity") == "response").drop_nulls("estimate")
    pooled = result.frame.filter(pl.col("quantity") == "pooled_response", pl.col("stratum") != "all")
    seen = result.frame.filter(pl.col("quantity") == "observed_share").drop_nulls("estimate")
    # A small combination has a pooled number and none by itself; a group that is not modelled neither.
    both = pooled.drop_nulls("estimate").select(
        "stratum", "denominator", pooled="estimate", pooled_low="low", pooled_high="high"
    ).join(
        own.select("stratum", "estimate", "low", "high"), on="stratum", how="left", maintain_order="left"
    )  # fmt: skip
    left = seen.select("stratum", "denominator", seen="estimate", seen_low="low", seen_high="high")
    if both.height == 0:
        raise NotEstimable("No group has a number that may be shown.")
    return pl.concat([both, left], how="diagonal")
