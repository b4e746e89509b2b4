"""Figure of safety: the share of courses with a first adverse event and the mean number of events, by stratum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE, _STYLES, _direct_labels, _risk_table, say_limits
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

_PANELS = {"first_event": "Courses with an event", "mean_events": "Mean number of\nevents per course"}


_MARKS = ("o", "s", "^", "D", "v", "P")
# Between the bars of two strata, as a share of the time drawn.
_APART = 0.007


def events(result: Result) -> Figure:
    """Draw first events with ends competing, the mean cumulative number of events, and the numbers watched below."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    known = result.curves.filter(pl.col("estimate").is_not_null())
    shown = [s for s in result.settings["strata"] if (known["stratum"] == s["code"]).any()]
    if not shown:
        hidden = result.frame["note"].str.starts_with("suppressed").any()
        why = "Too few events to show" if hidden else "No event was seen"
        raise NotEstimable(f"{why} ({result.settings['what']}), so there is no curve; .frame has the limits.")
    last = max(result.settings["horizon_day"]) / _DAYS_A_MONTH
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 6.0 + 0.2 * len(shown)), layout="constrained")
        heights = [1, 1, 0.07 * (len(shown) + 1.4)]
        first, mean, table = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        told = []
        for axes, (quantity, label) in zip((first, mean), _PANELS.items(), strict=True):
            mine, days = (t.filter(pl.col("quantity") == quantity) for t in (known, result.frame))
            told.append(_panel(axes, mine, days, shown, last))
            axes.set_ylabel(label)
        first.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        _risk_table(table, result, shown)
        say_limits(figure, result, "Bars")
    shares = ", ".join(f"{text} {100 * value:.0f} %" for text, value in told[0])
    means = ", ".join(f"{text} {value:.2f}" for text, value in told[1])
    figure.alt_text = (  # type: ignore[attr-defined]
        f"{result.title}. With a first event by {last:.0f} months: {shares}. Mean number per course: {means}."
    )
    return figure


def _panel(
    axes: Axes, curves: pl.DataFrame, told: pl.DataFrame, shown: list[dict[str, Any]], last: float
) -> list[tuple[str, float]]:
    """Draw the steps of each stratum with limits on the days told, and return what each reaches."""
    labels = []
    for i, stratum in enumerate(shown):
        curve = curves.filter(pl.col("stratum") == stratum["code"]).sort("time_day")
        if curve.height == 0:
            continue
        months = np.r_[0.0, curve["time_day"].to_numpy() / _DAYS_A_MONTH, last]
        steps = curve["estimate"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        value = np.r_[0.0, steps, steps[-1]]
        axes.step(months, value, where="post", color=stratum["colour"], linestyle=_STYLES[i % len(_STYLES)],
                  linewidth=1.7)  # fmt: skip
        # Bands of many strata lie on each other: limits stand as bars on the days told, a little apart.
        at = told.filter(
            pl.col("stratum") == stratum["code"], pl.col("low").is_not_null(), pl.col("high").is_not_null()
        )
        day, middle, low, high = (at[c].to_numpy() for c in ("time_day", "estimate", "low", "high"))
        x = day / _DAYS_A_MONTH - (len(shown) - 1 - i) * _APART * last
        axes.vlines(x, low, high, color=stratum["colour"], linewidth=1.1)
        axes.plot(x, middle, _MARKS[i % len(_MARKS)], color=stratum["colour"], markerfacecolor="white", markersize=4,
                  clip_on=False)  # fmt: skip
        labels.append((float(value[-1]), stratum["label"], stratum["colour"]))
    axes.set_ylim(bottom=0)
    height = axes.get_ylim()[1]
    beside = axes.twinx()
    beside.set_ylim(0, 1)
    beside.axis("off")
    _direct_labels(beside, [(end / height, text, colour) for end, text, colour in labels], last)
    axes.set_xlim(0, last)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelbottom=False)
    return [(text, value) for value, text, _ in labels]
