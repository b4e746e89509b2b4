"""Figure of safety: the mean number of adverse events per course over time, by stratum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE, _STYLES, _direct_labels, _risk_table
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.result import Result


def mean_events(result: Result) -> Figure:
    """Draw the mean cumulative number of events per course, with the numbers watched below it."""
    import matplotlib
    from matplotlib.figure import Figure

    shown = [s for s in result.settings["strata"] if (result.curves["stratum"] == s["code"]).any()]
    if not shown:
        hidden = result.frame["note"].str.starts_with("suppressed").any()
        why = "Too few events to show" if hidden else "No event was seen"
        raise NotEstimable(f"{why} ({result.settings['what']}), so there is no curve; .frame has the limits.")
    last = max(result.settings["horizon_day"])
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 4.2 + 0.2 * len(shown)), layout="constrained")
        top, table = figure.subplots(2, 1, sharex=True, height_ratios=[1, 0.055 * (len(shown) + 1.4)])
        labels = []
        for i, stratum in enumerate(shown):
            curve = result.curves.filter(pl.col("stratum") == stratum["code"]).sort("time_day")
            months = np.r_[0.0, curve["time_day"].to_numpy(), last] / _DAYS_A_MONTH
            value, low, high = (
                np.r_[0.0, curve[c].cast(pl.Float64).fill_null(np.nan).to_numpy(), curve[c][-1] or np.nan]
                for c in ("estimate", "low", "high")
            )
            top.fill_between(months, low, high, step="post", color=stratum["colour"], alpha=0.12, linewidth=0)
            top.step(months, value, where="post", color=stratum["colour"], linestyle=_STYLES[i % len(_STYLES)],
                     linewidth=1.6)  # fmt: skip
            labels.append((float(value[-1]), stratum["label"], stratum["colour"]))
        top.set_ylim(bottom=0)
        height = top.get_ylim()[1]
        scaled = [(end / height, text, colour) for end, text, colour in labels]
        axes = top.twinx()
        axes.set_ylim(0, 1)
        axes.axis("off")
        _direct_labels(axes, scaled, last / _DAYS_A_MONTH)
        top.set_xlim(0, last / _DAYS_A_MONTH)
        top.set_ylabel("Mean number of events per course")
        top.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        top.set_axisbelow(True)
        top.tick_params(labelbottom=False)
        _risk_table(table, result, shown)
    ends = ", ".join(f"{text} {value:.2f}" for value, text, _ in labels)
    figure.alt_text = (  # type: ignore[attr-defined]
        f"{result.title}. Mean number per course by {last / _DAYS_A_MONTH:.0f} months: {ends}."
    )
    return figure
