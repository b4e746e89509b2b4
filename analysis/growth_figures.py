"""The figure of growth: the mean change as a curve of actual time, with who is still seen below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE, _STYLES, _risk_table, say_limits
from analysis.trajectory_figures import _capital, _labels
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.result import Result


def smooth_change(result: Result) -> Figure:
    """Draw the curve of each stratum with its band, and the courses still seen below."""
    import matplotlib
    from matplotlib.figure import Figure

    known = result.curves.filter(pl.col("estimate").is_not_null())
    shown = [s for s in result.settings["strata"] if (known["stratum"] == s["code"]).any()]
    if not shown:
        raise NotEstimable("Too few courses were seen to draw a curve.")
    last = result.settings["horizon_day"][-1] / _DAYS_A_MONTH
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 4.2 + 0.2 * len(shown)), layout="constrained")
        top, table = figure.subplots(2, 1, sharex=True, height_ratios=[1, 0.055 * (len(shown) + 1.4)])
        ends = []
        for i, stratum in enumerate(shown):
            curve = known.filter(pl.col("stratum") == stratum["code"]).sort("time_day")
            months = curve["time_day"].to_numpy() / _DAYS_A_MONTH
            top.fill_between(months, curve["low"], curve["high"], color=stratum["colour"], alpha=0.13, linewidth=0)
            top.plot(months, curve["estimate"], color=stratum["colour"], linewidth=1.7,
                     linestyle=_STYLES[i % len(_STYLES)])  # fmt: skip
            ends.append((float(curve["estimate"][-1]), float(months[-1]), stratum["label"], stratum["colour"]))
        top.axhline(0, color="#666666", linewidth=0.8)
        top.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        top.set_axisbelow(True)
        top.set_xlim(0, 1.02 * last)
        _labels(top, ends, last)
        for knot in result.settings["knots_day"]:
            top.plot([knot / _DAYS_A_MONTH] * 2, [0, 0.02], transform=top.get_xaxis_transform(), color="#666666",
                     linewidth=0.8)  # fmt: skip
        top.set_ylabel(f"Mean change from baseline\n({result.settings['unit_label']}, up is better)")
        top.set_title(_capital(str(result.settings["scale_label"])), loc="left", fontsize=9, fontweight="bold")
        top.tick_params(labelbottom=False)
        _risk_table(table, result, shown, "Still seen")
        say_limits(figure, result, "Band")
    figure.alt_text = _alt_text(result, shown)  # type: ignore[attr-defined]
    return figure


def _alt_text(result: Result, shown: list[dict[str, Any]]) -> str:
    told = result.frame.filter(pl.col("quantity") == "mean_change", pl.col("estimate").is_not_null())
    parts = []
    for stratum in shown:
        mine = told.filter(pl.col("stratum") == stratum["code"]).sort("time_day")
        if mine.height:
            end = mine.row(-1, named=True)
            reach = f"{end['estimate']:.1f} ({end['low']:.1f} to {end['high']:.1f})"
            parts.append(f"{stratum['label']} {reach} at {end['time_day'] / _DAYS_A_MONTH:.0f} months")
    return (
        f"Mean change from baseline in {result.settings['scale_label']} as a curve of time since the first session, in "
        f"{result.settings['unit_label']}, positive is improvement. {'; '.join(parts)}."
    )
