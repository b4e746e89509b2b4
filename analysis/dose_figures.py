"""Response by dose: one curve a stratum, with its band, over the doses that were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.dose_given import GIVEN
from analysis.figures import _DAYS_A_MONTH, _STYLE, _STYLES, _direct_labels, say_limits
from registry.errors import NotEstimable

_TICKS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result


def dose_curve(result: Result) -> Figure:
    """Draw the probability of response at the last day by dose, adjusted and not, above the doses that were given."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

    day = max(result.settings["horizon_day"])
    rows, plain = (_curves(result, word) for word in ("response", "unadjusted"))
    shown = [s for s in result.settings["strata"] if (rows["stratum"] == s["code"]).any()]
    if not shown:
        raise NotEstimable("No stratum has enough courses near any dose.")
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 4.9), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 0.17])
        axes.set_xscale("log")
        labels, said = [], []
        for i, s in enumerate(shown):
            mine = rows.filter(pl.col("stratum") == s["code"]).sort("dose")
            x, y = mine["dose"].to_numpy(), mine["estimate"].to_numpy()
            axes.plot(x, y, color=s["colour"], linestyle=_STYLES[i % len(_STYLES)], linewidth=1.8)
            low, high = (mine[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("low", "high"))
            axes.fill_between(x, low, high, color=s["colour"], alpha=0.14, linewidth=0)
            beside = plain.filter(pl.col("stratum") == s["code"]).sort("dose")
            axes.plot(beside["dose"], beside["estimate"], color=s["colour"], linewidth=0.7)
            labels.append((float(y[-1]), s["label"], s["colour"]))
            said.append(f"{s['label']} {100 * y[0]:.0f} % at {x[0]:.0f} and {100 * y[-1]:.0f} % at {x[-1]:.0f} million")
        last = float(rows["dose"].max())  # type: ignore[arg-type]
        first = float(rows["dose"].min())  # type: ignore[arg-type]
        axes.set_xlim(first, last)
        axes.set_ylim(0, 1)
        knots = result.settings["knots_million"]
        axes.plot(knots, [0.018] * len(knots), "^", color="#444444", markersize=5, transform=axes.get_xaxis_transform())
        _given(below, result)
        ticks = [t for t in _TICKS if first <= t <= last]
        below.xaxis.set_major_locator(FixedLocator(ticks))
        below.xaxis.set_minor_locator(NullLocator())
        below.set_xticklabels([f"{t:g}" for t in ticks])
        axes.tick_params(labelbottom=False)
        _direct_labels(axes, labels, last)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        below.set_xlabel("Viable cells, millions (logarithmic)")
        axes.set_ylabel(f"Response by {day / _DAYS_A_MONTH:.0f} months, adjusted")
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        say_limits(figure, result, "Band", "thin line: not adjusted; triangles: knots of the curve")
    text = f"Adjusted probability of response by day {day} by dose. {'; '.join(said)}."
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure


def _curves(result: Result, word: str) -> pl.DataFrame:
    return result.curves.with_columns(
        dose=pl.col("quantity").str.extract(rf"^{word} at ([0-9.e+]+) million").cast(pl.Float64)
    ).drop_nulls(["dose", "estimate"])


def _given(axes: Axes, result: Result) -> None:
    """Draw how many courses had which dose; a step of few is left out."""
    steps = result.curves.filter(pl.col("quantity").str.starts_with(GIVEN)).drop_nulls("n")
    edges = steps.select(
        pl.col("quantity").str.extract_groups(r"(?<a>[0-9.e+]+) to (?<b>[0-9.e+]+) million").alias("at")
    ).unnest("at").cast(pl.Float64)  # fmt: skip
    axes.bar(edges["a"], steps["n"], edges["b"] - edges["a"], align="edge", color="#9aa5b1", edgecolor="white",
             linewidth=0.6)  # fmt: skip
    axes.set_ylabel("Courses\ngiven it")
    axes.locator_params(axis="y", nbins=2)
