"""Figures of publication grade, drawn from results and nothing else.

Colour is never the only sign: curves are labelled where they end and differ in line style. Every figure carries its own
description in ``figure.alt_text`` for those who cannot see it.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.disclosure import HIDDEN, POLICY
from registry.errors import NotEstimable, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

_DAYS_A_MONTH = 365.25 / 12
SINCE_FIRST = "Months since the first session"
_WIDE_DAYS = 14
_STYLES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
# How a state looks in every figure: label, colour of area, of text, hatch. Lightness alone tells neighbours apart, and
# hatching does where it would not in print.
STATE_STYLE: dict[str, tuple[str, str, str, str | None]] = {
    "in_response": ("In response", "#1f4e79", "white", None),
    "response_lost": ("Response lost", "#d9b382", "black", "////"),
    "no_response_yet": ("No response", "#dddddd", "black", None),
    "ended": ("Ended", "#7a7a7a", "white", "...."),
    "dead": ("Dead", "#111111", "white", None),
    "not_seen": ("Due, not seen", "#f6f2e9", "black", "\\\\\\\\"),
    "not_due": ("Not due yet", "#ffffff", "black", None),
}
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "svg.hashsalt": "catamnesis",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def cumulative_incidence(result: Result) -> Figure:
    """Draw the cumulative incidence of response (or end) by stratum, with the numbers at risk below it.

    The curve is drawn where the data determine it; where they do not, the rectangle it may run through is shaded.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    shown = [s for s in result.settings["strata"] if (result.curves["stratum"] == s["code"]).any()]
    if not shown:
        raise NotEstimable("Every curve is hidden, so that there is nothing to draw; the numbers are in .frame.")
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 4.4 + 0.2 * len(shown)), layout="constrained")
        top, table = figure.subplots(2, 1, sharex=True, height_ratios=[1, 0.055 * (len(shown) + 1.4)])
        last = max(result.settings["horizon_day"])
        labels = []
        for i, stratum in enumerate(shown):
            end = _curve(top, result, stratum, _STYLES[i % len(_STYLES)], last)
            labels.append((end, stratum["label"], stratum["colour"]))
        _direct_labels(top, labels, last / _DAYS_A_MONTH)
        top.set_ylim(0, 1)
        top.set_xlim(0, last / _DAYS_A_MONTH)
        top.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        top.set_ylabel(f"Cumulative incidence of {_event(result)}")
        top.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        top.set_axisbelow(True)
        top.tick_params(labelbottom=False)
        _risk_table(table, result, shown)
        if result.curves["low"].is_not_null().any():
            where = any(
                right - left > _WIDE_DAYS for left, right in result.regions.select("left_day", "right_day").rows()
            )
            say_limits(figure, result, "Band", "darker: the curve runs anywhere in it" if where else "")
    _describe(figure, result, shown)
    return figure


def say_limits(figure: Figure, result: Result, what: str, more: str = "") -> None:
    """Say at the foot of a figure what its bars or bands are: ``Bars: 95 % CI``, and `more` that belongs there."""
    text = f"{what}: {100 * result.settings.get('confidence', 0.95):g} % CI"
    figure.supxlabel(f"{text}; {more}" if more else text, x=0.99, ha="right", fontsize=7, color="#555555")


def pixels_only(figure: Figure) -> bool:
    """Say whether a figure may not leave as lines, since it shows single patients."""
    return bool(getattr(figure, "individual", False)) and not POLICY.lines_of_single_patients


def svg(figure: Figure, prefix: str) -> str:
    """Return the figure as inline SVG: same figure, same bytes; ids prefixed so that several share a page.

    Raises
    ------
    UsageError
        If it shows single patients: from a drawing of lines their days can be read off to the digit.
    """
    if pixels_only(figure):
        raise UsageError("This figure shows single patients: only pixels of it leave. Use figures.png or figures.pdf.")
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    with matplotlib.rc_context(_STYLE):  # the salt makes ids the same each time
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', text)
    alt = _escaped(getattr(figure, "alt_text", ""))
    # Sized by the page, not by the paper it was drawn for.
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)
    return text.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)


def at_home_in_a_cell() -> None:
    """Let a notebook show figures that were drawn without pyplot; elsewhere, do nothing."""
    import sys

    from matplotlib.figure import Figure

    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.display_formatter.formatters["image/png"].for_type(Figure, lambda figure: png(figure, dpi=100))


def svg_file(figure: Figure, prefix: str) -> str:
    """Return the figure as an SVG file of its own: :func:`svg` with its size and namespaces."""
    width, height = figure.get_size_inches()
    text = svg(figure, prefix).replace("<svg ", f'<svg width="{72 * width:.0f}pt" height="{72 * height:.0f}pt" ', 1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}'


def pdf(figure: Figure) -> bytes:
    """Return the figure as PDF without a date in it, fonts embedded; what shows single patients as pixels."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({**_STYLE, "pdf.fonttype": 42}):
        if pixels_only(figure):
            for axes in figure.axes:
                axes.set_rasterized(True)
        undated = {"CreationDate": None, "Producer": None, "Creator": None}
        figure.savefig(buffer, format="pdf", dpi=200, metadata=undated)
    return buffer.getvalue()


def png(figure: Figure, dpi: int = 200) -> bytes:
    """Return the figure as PNG without a date in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _curve(axes: Axes, result: Result, stratum: dict[str, Any], style: Any, last: float) -> float:
    from matplotlib.collections import PolyCollection

    colour, code = stratum["colour"], stratum["code"]
    band = result.curves.filter(
        pl.col("stratum") == code, pl.col("quantity") == _quantity(result), pl.col("time_day") <= last
    )
    months = band["time_day"].to_numpy() / _DAYS_A_MONTH
    # What the numbers do not tell no line shows.
    last = float(band.drop_nulls("estimate")["time_day"].max() or 0.0)  # type: ignore[arg-type]
    # Inside a wide rectangle the curve is anywhere: a band around a convention would claim to know more.
    inside = pl.lit(False)
    for left, right in result.regions.filter(pl.col("stratum") == code).select("left_day", "right_day").iter_rows():
        if right - left > _WIDE_DAYS:
            inside = inside | pl.col("time_day").is_between(left, right, closed="none")
    known = band.with_columns(pl.when(~inside).then(pl.col(c)).alias(c) for c in ("low", "high"))
    low, high = (known[c].cast(pl.Float64).fill_null(float("nan")).to_numpy() for c in ("low", "high"))
    axes.fill_between(months, low, high, color=colour, alpha=0.13, linewidth=0)
    if result.regions.height == 0:
        axes.step(months, band["estimate"], where="post", color=colour, linewidth=1.7, linestyle=style)
        return float(band["estimate"].drop_nulls()[-1])
    regions = result.regions.filter(pl.col("stratum") == code, pl.col("left_day") < last)
    left, right = (regions[c].to_numpy() / _DAYS_A_MONTH for c in ("left_day", "right_day"))
    cut = right > last / _DAYS_A_MONTH
    right = np.minimum(right, last / _DAYS_A_MONTH)
    low, high = regions["low"].to_numpy(), regions["high"].to_numpy()
    # One collection of rectangles and one line with gaps: a large registry has hundreds of them.
    corners = np.stack([[left, low], [right, low], [right, high], [left, high]]).transpose(2, 0, 1)
    axes.add_collection(PolyCollection(list(corners), facecolor=colour, alpha=0.42, linewidth=0), autolim=False)
    starts, stops = np.concatenate([[0.0], right]), np.concatenate([left, [last / _DAYS_A_MONTH]])
    heights = np.concatenate([[0.0], np.where(cut, np.nan, high)])
    gaps = np.full(len(starts), np.nan)
    x, y = np.stack([starts, stops, gaps], axis=1).ravel(), np.stack([heights, heights, gaps], axis=1).ravel()
    axes.plot(x, y, color=colour, linewidth=1.7, linestyle=style)
    known_heights = heights[np.isfinite(heights)]
    return float(known_heights[-1])


def _direct_labels(axes: Axes, labels: list[tuple[float, str, str]], x: float) -> None:
    """Write each label where its curve ends, moved apart where they would overlap."""
    lowest = -1.0
    for height, text, colour in sorted(labels):
        place = max(height, lowest + 0.055)
        lowest = place
        axes.annotate(
            text, (x, place), xytext=(6, 0), textcoords="offset points", va="center", color=colour,
            fontweight="bold", annotation_clip=False,
        )  # fmt: skip


def _risk_table(
    axes: Axes, result: Result, shown: list[dict[str, Any]], title: str = "At risk", when: str = SINCE_FIRST
) -> None:
    days = sorted(result.at_risk["time_day"].unique())
    axes.set_ylim(-len(shown) - 0.2, 0.9)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xticks([d / _DAYS_A_MONTH for d in days], [f"{d / _DAYS_A_MONTH:.0f}" for d in days])
    axes.set_xlabel(with_mark(when, result, shown))
    # A first number of many digits, centred on day 0, needs room to its left.
    most = max(len(f"{n or 0:,}") for n in result.at_risk["n"])
    aside = -0.05 - 0.012 * max(most - 5, 0)
    axes.text(aside, 0.55, title, transform=axes.get_yaxis_transform(), fontweight="bold", ha="right", va="center")
    for i, stratum in enumerate(shown):
        axes.text(
            aside, -i - 0.35, stratum["label"], transform=axes.get_yaxis_transform(), ha="right", va="center",
            color=stratum["colour"],
        )  # fmt: skip
        counts = result.at_risk.filter(pl.col("stratum") == stratum["code"])
        for day, n in counts.select("time_day", "n").iter_rows():
            text = HIDDEN if n is None else f"{n:,}"
            axes.text(day / _DAYS_A_MONTH, -i - 0.35, text, ha="center", va="center")


def with_mark(when: str, result: Result, shown: list[dict[str, Any]]) -> str:
    """Return what stands below the months, with what the mark of a hidden count means where there is one."""
    counts = result.at_risk.filter(pl.col("stratum").is_in([s["code"] for s in shown]), pl.col("n").is_null())
    hidden = counts.filter(pl.col("denominator").ne_missing(0)).height > 0
    return f"{when} ({HIDDEN}: hidden, few)" if hidden else when


def _quantity(result: Result) -> str:
    return "end" if result.question in ("joint_replacement", "adjusted_replacement") else "response"


def _event(result: Result) -> str:
    return str(result.settings.get("end_label", "response"))


def _describe(figure: Figure, result: Result, shown: list[dict[str, Any]]) -> None:
    last = max(result.settings["horizon_day"])
    text = f"Cumulative incidence of {_event(result)} over {last / _DAYS_A_MONTH:.0f} months. At its end: "
    figure.alt_text = text + at_end(result, _quantity(result), last, shown)  # type: ignore[attr-defined]


def at_end(result: Result, quantity: str, last: float, strata: list[dict[str, Any]], *, limits: bool = False) -> str:
    """Return in words what a curve shows at its end in each stratum: there, or on the last day that is known."""
    known = result.frame.filter(pl.col("quantity") == quantity, pl.col("time_day") <= last)
    known = known.drop_nulls("estimate").sort("time_day")
    parts = []
    for stratum in strata:
        mine = known.filter(pl.col("stratum") == stratum["code"])
        if mine.is_empty():
            parts.append(f"{stratum['label']} not shown")
            continue
        found = mine.row(-1, named=True)
        text = f"{stratum['label']} {100 * found['estimate']:.0f} %"
        if limits and found["low"] is not None and found["high"] is not None:
            text += f" ({100 * found['low']:.0f} to {100 * found['high']:.0f})"
        parts.append(text if found["time_day"] == last else f"{text} at {found['time_day'] / _DAYS_A_MONTH:.0f} months")
    return (", ".join(parts) or "not shown") + "."


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
