"""Mean change by what is assumed of those not seen: how far a conclusion holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _STYLE, _STYLES, say_limits
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result


# Pairs of strata whose grid is drawn; the numbers of the others are in the frame.
_PANELS = 3


def tipping(result: Result) -> Figure:
    """Draw the mean change of each stratum against points taken off missing scores, and where it tips."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = result.frame.with_columns(
        delta=pl.when(pl.col("quantity") == "missing_at_random")
        .then(0.0)
        .otherwise(pl.col("quantity").str.extract(r"^delta (-?[0-9.]+)$").cast(pl.Float64))
    ).drop_nulls(["delta", "estimate"])
    shown = [s for s in result.settings["strata"] if (rows["stratum"] == s["code"]).any()]
    if not shown:
        raise NotEstimable("No stratum has enough courses seen at the visit.")
    back = result.frame.filter(pl.col("quantity") == "return_to_baseline").drop_nulls("estimate")
    tips = {s["code"]: _tip(result, s["code"]) for s in shown}
    name, unit = str(result.settings["scale_label"]), str(result.settings["unit_label"])
    grids = _grids(result)
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 7.0 if grids else 4.2), layout="constrained")
        places = figure.add_gridspec(1 + bool(grids), max(len(grids), 1))
        axes = figure.add_subplot(places[0, :])
        labels, said, most = [], [], float((-rows["delta"]).max())  # type: ignore[arg-type]
        for i, s in enumerate(shown):
            mine = rows.filter(pl.col("stratum") == s["code"]).sort("delta", descending=True)
            x, y = -mine["delta"].to_numpy(), mine["estimate"].to_numpy()
            axes.plot(x, y, color=s["colour"], linestyle=_STYLES[i % len(_STYLES)], linewidth=1.8)
            low, high = (mine[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("low", "high"))
            axes.fill_between(x, low, high, color=s["colour"], alpha=0.14, linewidth=0)
            own = back.filter(pl.col("stratum") == s["code"])
            if own.height:
                axes.plot(-0.05 * most, own["estimate"][0], "D", color=s["colour"], markersize=5, clip_on=False)
            labels.append((float(y[-1]), s["label"], s["colour"]))
            until, at = tips[s["code"]]
            if at is not None:
                axes.plot(at, 0.0, "o", markersize=7, markerfacecolor="white", markeredgecolor=s["colour"],
                          markeredgewidth=1.6, zorder=4, clip_on=False)  # fmt: skip
                axes.annotate(f"{at:.0f}", (at, 0.0), xytext=(-5, -5), textcoords="offset points", ha="right",
                              va="top", color=s["colour"], fontsize=8, fontweight="bold", zorder=4)  # fmt: skip
            said.append(f"{s['label']} {y[0]:.1f} {'points' if unit == 'points of 100' else unit} at random, {until}")
        axes.axhline(0, color="#555555", linewidth=0.9)
        axes.set_xlim(-0.08 * most, most)
        span = axes.get_ylim()[1] - axes.get_ylim()[0]
        for height, text, colour in _apart(labels, 0.06 * span):
            axes.annotate(text, (1.01, height), xycoords=("axes fraction", "data"), va="center", color=colour,
                          fontweight="bold", annotation_clip=False)  # fmt: skip
        axes.annotate(
            "◆ back to\nbaseline", (0.0, -0.13), xycoords="axes fraction", fontsize=7.5, ha="center", va="top"
        )
        taken = f"{unit[:1].upper()}{unit[1:]} taken off scores after the last visit seen"
        axes.set_xlabel(f"{taken} (0: missing at random)")
        axes.set_ylabel(f"Mean change at {result.settings['visit']}, better is up")
        axes.set_title(f"{name[:1].upper()}{name[1:]}", loc="left", fontsize=9, fontweight="bold")
        ring = "○ tips: from here on 0 lies within the limits" if any(at is not None for _, at in tips.values()) else ""
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        say_limits(figure, result, "Band", ring)
        axes.set_axisbelow(True)
        for k, (pair, grid) in enumerate(grids.items()):
            below = figure.add_subplot(places[1, k])
            said.append(_two_way(below, [_label(result, code) for code in pair], grid, small=len(grids) > 1))
    figure.alt_text = (  # type: ignore[attr-defined]
        f"Mean change in {name} at {result.settings['visit']} by what is taken off missing scores. {'; '.join(said)}."
    )
    return figure


def _label(result: Result, code: str) -> str:
    return next((str(s["label"]) for s in result.settings["strata"] if s["code"] == code), code)


def _grids(result: Result) -> dict[tuple[str, str], pl.DataFrame]:
    """Return the differences by what is taken off either stratum, of the first pairs of strata that have them."""
    groups = pl.col("quantity").str.extract_groups(r"^delta (?<first>-?[0-9.]+) and (?<second>-?[0-9.]+)$")
    found = result.frame.with_columns(off=groups).unnest("off").drop_nulls(["first", "estimate"])
    found = found.with_columns(pl.col("first", "second").cast(pl.Float64))
    pairs = found["stratum"].unique(maintain_order=True).to_list()[:_PANELS]
    held = {(p.split(" - ")[0], p.split(" - ")[1]): found.filter(stratum=p) for p in pairs}
    return {pair: grid for pair, grid in held.items() if grid["first"].n_unique() > 1}


def _two_way(axes: Axes, labels: list[str], grid: pl.DataFrame, *, small: bool) -> str:
    """Draw the difference by what is taken off either stratum, blank where it is not clear; return how far it is."""
    deltas = grid["first"].unique().sort(descending=True).to_list()
    wide = grid.sort("first", "second", descending=[True, True])
    value, low, high = (wide[c].to_numpy().reshape(len(deltas), -1) for c in ("estimate", "low", "high"))
    clear = (low > 0) | (high < 0)
    top = max(float(np.abs(value).max()), 1e-12)
    axes.imshow(np.where(clear, value, np.nan), cmap="RdBu", vmin=-1.6 * top, vmax=1.6 * top, aspect="auto")
    for (i, j), x in np.ndenumerate(value):
        digits = 0 if top >= 10 else 1
        text = f"{round(x, digits) + 0.0:.{digits}f}".replace("-", "−")
        axes.text(j, i, text, ha="center", va="center", fontsize=5.5 if small else 7,
                  color="#222222" if clear[i, j] else "#888888")  # fmt: skip
    ticks = [f"{abs(d):g}" for d in deltas]
    axes.set_xticks(range(len(deltas)), ticks, fontsize=7)
    axes.set_yticks(range(len(deltas)), ticks, fontsize=7)
    axes.set_ylabel(f"taken off {labels[0]}", fontsize=7.5)
    axes.set_xlabel(f"taken off {labels[1]}", fontsize=7.5)
    axes.set_title(f"{labels[0]} − {labels[1]} (blank: 0 within limits)", fontsize=7.5, loc="left")
    return f"{labels[0]} less {labels[1]} clear in {int(clear.sum())} of {clear.size} pairs of deltas"


def _tip(result: Result, code: str) -> tuple[str, float | None]:
    """Return from how many points off a stratum is no longer clear, in words and as a number."""
    row = result.frame.filter(pl.col("stratum") == code, pl.col("quantity") == "tipping_delta")
    value, note = (row["estimate"][0], row["note"][0]) if row.height else (None, None)
    if value is not None:
        return f"no longer clear from {-value:.0f} points off", -float(value)
    return ("clear throughout" if str(note).startswith("not even") else "not clear even at random"), None


def _apart(labels: list[tuple[float, str, str]], gap: float) -> list[tuple[float, str, str]]:
    out, lowest = [], -np.inf
    for height, text, colour in sorted(labels):
        lowest = max(height, lowest + gap)
        out.append((float(lowest), text, colour))
    return out
