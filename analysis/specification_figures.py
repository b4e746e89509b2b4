"""The specification curve: every analysis in order of its estimate, and below it which choices made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE, say_limits
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.result import Result

_MARKS = ("o", "s", "^", "D", "v", "P")


def specification_curve(result: Result) -> Figure:
    """Draw the estimates of all specifications at the last day of evaluation, with the choices behind each below."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    day = max(result.settings["horizon_day"])
    rows = result.frame.filter(
        pl.col("quantity") == "response", pl.col("time_day") == day, pl.col("estimate").is_not_null()
    )
    if rows.height == 0:
        raise NotEstimable(f"No specification has an estimate at day {day}.")
    order = rows.group_by("note").agg(pl.col("estimate").mean()).sort("estimate", "note")["note"].to_list()
    place = {note: i for i, note in enumerate(order)}
    choices = [note.split(" | ") for note in order]
    labels = sorted({c[0] for c in choices}) + [f"{c}" for c in sorted({c[1] for c in choices})]
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 3.0 + 0.19 * len(labels)), layout="constrained")
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.0, 0.19 * len(labels) + 0.1])
        shown = [s for s in result.settings["strata"] if (rows["stratum"] == s["code"]).any()]
        for k, stratum in enumerate(shown):
            mine = rows.filter(pl.col("stratum") == stratum["code"])
            x = np.array([place[n] for n in mine["note"]]) + (k - (len(shown) - 1) / 2) * 0.18
            low, high = (mine[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("low", "high"))
            top.vlines(x, low, high, color=stratum["colour"], linewidth=1, alpha=0.6)
            top.plot(x, mine["estimate"], _MARKS[k % len(_MARKS)], color=stratum["colour"], markersize=4,
                     label=stratum["label"])  # fmt: skip
        top.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        top.set_ylim(0, 1)
        top.set_ylabel(f"Response by {day / _DAYS_A_MONTH:.0f} months")
        top.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        top.set_axisbelow(True)
        top.legend(frameon=False, ncols=len(shown), loc="upper left")
        for i, (definition, confirmation) in enumerate(choices):
            for value in (definition, confirmation):
                below.plot(i, labels.index(value), "s", color="#333333", markersize=3.2)
        below.set_yticks(range(len(labels)), labels, fontsize=7)
        below.set_ylim(len(labels) - 0.5, -0.5)
        below.set_xticks([])
        say_limits(figure, result, "Bars")
        below.set_xlabel(f"{len(order)} analyses, in order of their mean estimate")
        below.axhline(len(labels) - len({c[1] for c in choices}) - 0.5, color="#bbbbbb", linewidth=0.6)
    parts = []
    for stratum in shown:
        found = rows.filter(pl.col("stratum") == stratum["code"])["estimate"].to_numpy()
        parts.append(f"{stratum['label']} {100 * found.min():.0f} to {100 * found.max():.0f} %")
    text = f"Response by day {day} under {len(order)} specifications. Range: {', '.join(parts)}."
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure
