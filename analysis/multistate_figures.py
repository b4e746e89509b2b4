"""Figures of states over time: who is in response, what became of everybody, and how soon a response is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import (
    _DAYS_A_MONTH,
    _STYLE,
    _STYLES,
    STATE_STYLE,
    _direct_labels,
    _risk_table,
    at_end,
    say_limits,
)
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

# From the bottom of the stack: quantity of the curves, then how its state looks.
_LAYERS = tuple(
    (quantity, *STATE_STYLE[state])
    for quantity, state in (
        ("share_in_response", "in_response"),
        ("share_response_lost", "response_lost"),
        ("share_no_response_yet", "no_response_yet"),
        ("end", "ended"),
        ("share_dead", "dead"),
    )
)
# States that are not told apart, since the share of one of them is hidden or was not estimated.
_REST = ("rest", "Other states", "#ffffff", "black", "xxxx")
_Layer = tuple[str, str, str, str, str | None]
_Floats = np.ndarray[Any, np.dtype[np.float64]]


def share_in_response(result: Result) -> Figure:
    """Draw the probability of being in response by stratum: line and band fitted, circles as seen at planned visits."""
    figure = _lines(result, "share_in_response", "Probability of being in response", "Months since the first session")
    last = max(result.settings["horizon_day"])
    text = f"Probability of being in response over {last / _DAYS_A_MONTH:.0f} months. At its end: "
    figure.alt_text = text + at_end(result, "share_in_response", last, _shown(result, "share_in_response"), limits=True)  # type: ignore[attr-defined]
    return figure


def loss_after_response(result: Result) -> Figure:
    """Draw the cumulative incidence of loss by stratum among those in response on the landmark day."""
    landmark, last = result.settings["landmark_day"], max(result.settings["after_day"])
    when = f"Months since day {landmark}, in response then"
    figure = _lines(result, "response_lost", "Cumulative incidence of loss", when, "In response")
    text = f"Cumulative incidence of loss in those in response on day {landmark}, "
    text += f"over {last / _DAYS_A_MONTH:.0f} months. At its end: "
    figure.alt_text = text + at_end(result, "response_lost", last, _shown(result, "response_lost"), limits=True)  # type: ignore[attr-defined]
    return figure


def occupation(result: Result) -> Figure:
    """Draw for each stratum of a `time_in_response` result the shares in all states by day, stacked to one.

    Where the share of a state is hidden, those above "in response" that it could be found from are one layer.

    Raises
    ------
    NotEstimable
        When the result is of another question, or every share is hidden.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import PercentFormatter

    shown = _shown(result, "share_in_response")
    if result.question != "time_in_response" or not shown:
        why = (
            "every share is hidden" if result.question == "time_in_response" else "states by day are time_in_response's"
        )
        raise NotEstimable(f"There are no states to draw: {why}; the numbers are in .frame.")
    last = max(result.settings["horizon_day"])
    stacks = {s["code"]: _shares(result, s["code"], last) for s in shown}
    style: Any = {**_STYLE, "hatch.linewidth": 0.5}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(1.2 + 2.5 * max(len(shown), 2), 3.6), layout=ConstrainedLayoutEngine(wspace=0.06))
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for panel, stratum in zip(panels, shown, strict=True):
            _stack(panel, *stacks[stratum["code"]])
            panel.set_title(stratum["label"], loc="left", fontsize=9, fontweight="bold")
            panel.set_xlabel("Months since the first session")
            panel.set_xlim(0, last / _DAYS_A_MONTH)
            panel.set_ylim(0, 1)
            panel.set_xticks([d / _DAYS_A_MONTH for d in (0, *result.settings["horizon_day"])])
            panel.xaxis.set_major_formatter(lambda x, _: f"{x:.0f}")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        panels[0].set_ylabel("Share of courses")
        used = {layer for _, stack in stacks.values() for layer, _ in stack}
        _key(figure, result, [layer for layer in (*_LAYERS[:2], _REST, *_LAYERS[2:]) if layer in used])
    ends = [f"{s['label']}: {_states_at(stacks[s['code']][1])}" for s in shown]
    text = f"State of the courses over {last / _DAYS_A_MONTH:.0f} months. At the end, {'; '.join(ends)}."
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure


def _lines(result: Result, quantity: str, label: str, when: str, risk: str = "At risk") -> Figure:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    shown = _shown(result, quantity)
    if not shown:
        raise NotEstimable("Every curve is hidden, so that there is nothing to draw; the numbers are in .frame.")
    last = max(result.settings["horizon_day"]) / _DAYS_A_MONTH
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 4.4 + 0.2 * len(shown)), layout="constrained")
        top, table = figure.subplots(2, 1, sharex=True, height_ratios=[1, 0.055 * (len(shown) + 1.4)])
        ends = [_line(top, result, s, quantity, _STYLES[i % len(_STYLES)]) for i, s in enumerate(shown)]
        labels = [(end, s["label"], s["colour"]) for end, s in zip(ends, shown, strict=True)]
        _direct_labels(top, labels, last)
        top.set_ylim(0, 1)
        top.set_xlim(0, last)
        top.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        top.set_ylabel(label)
        top.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        top.set_axisbelow(True)
        top.tick_params(labelbottom=False)
        _risk_table(table, result, shown, risk, when)
        if result.curves.filter(pl.col("quantity") == quantity)["low"].is_not_null().any():
            say_limits(figure, result, "Band")
    return figure


def _line(axes: Axes, result: Result, stratum: dict[str, Any], quantity: str, style: Any) -> float:
    mine = result.curves.filter(pl.col("stratum") == stratum["code"])
    curve = mine.filter(pl.col("quantity") == quantity, pl.col("estimate").is_not_null()).sort("time_day")
    months, colour = curve["time_day"].to_numpy() / _DAYS_A_MONTH, stratum["colour"]
    low, high = (curve[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("low", "high"))
    axes.fill_between(months, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(months, curve["estimate"], color=colour, linewidth=1.7, linestyle=style)
    within = pl.col("time_day") <= max(result.settings["horizon_day"])
    seen = mine.filter(pl.col("quantity") == f"{quantity}_observed", within)
    # A line of no points has no place on the page and would upset the layout.
    if seen.height:
        axes.plot(
            seen["time_day"] / _DAYS_A_MONTH, seen["estimate"], "o", color=colour, markerfacecolor="white",
            markersize=4.5, markeredgewidth=1.2, clip_on=False, zorder=3,
        )  # fmt: skip
    return float(curve["estimate"][-1])


def _stack(axes: Axes, day: _Floats, stack: list[tuple[_Layer, _Floats]]) -> None:
    months, floor = day / _DAYS_A_MONTH, np.zeros(len(day))
    for (_, label, colour, ink, hatch), share in stack:
        top = floor + share
        axes.fill_between(months, floor, top, facecolor=colour, edgecolor="#555555", hatch=hatch, linewidth=0.0)
        axes.plot(months, top, color="white", linewidth=0.8)
        # The label goes where the layer is widest over the width of the text, if it fits there.
        width = len(day) // 4
        room = np.array([share[max(i - width, 0) : i + width + 1].min() for i in range(len(day))])
        room[:width], room[len(day) - width :] = 0, 0
        widest = int(room.argmax())
        if room[widest] > 0.075:
            axes.text(
                months[widest], (floor + share / 2)[widest], label, color=ink, ha="center", va="center", fontsize=8,
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2} if hatch else None,
            )  # fmt: skip
        floor = top


def _shares(result: Result, code: str, last: float) -> tuple[_Floats, list[tuple[_Layer, _Floats]]]:
    """Return the days and, from the bottom, the layers with their shares by day, which add up to 1."""
    mine = result.curves.filter(pl.col("stratum") == code, pl.col("time_day") <= last)
    wide = mine.filter(pl.col("quantity").is_in([name for name, *_ in _LAYERS])).pivot(
        "quantity", index="time_day", values="estimate"
    )
    wide = wide.drop_nulls("share_in_response").sort("time_day")
    told = [la for la in _LAYERS if la[0] in wide.columns and wide[la[0]].null_count() == 0]
    stack = [(layer, wide[layer[0]].to_numpy()) for layer in told]
    rest = np.clip(1 - np.sum([share for _, share in stack], axis=0), 0, 1)
    # Who is in none of the others has no response yet: only where all of the others are told.
    middle = _LAYERS[2] if len(told) == len(_LAYERS) - 1 else _REST
    at = sum(layer in _LAYERS[:2] for layer in told)
    return wide["time_day"].to_numpy(), [*stack[:at], (middle, rest), *stack[at:]]


def _key(figure: Figure, result: Result, layers: list[_Layer]) -> None:
    from matplotlib.patches import Patch

    ended = str(result.settings.get("end_label", "ended"))
    handles = [
        Patch(facecolor=colour, edgecolor="#555555", linewidth=0.4, hatch=hatch,
              label=f"Ended ({ended})" if name == "end" else label)
        for name, label, colour, _, hatch in layers
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8, handlelength=1.4,
                  columnspacing=1.2)  # fmt: skip


def _states_at(stack: list[tuple[_Layer, _Floats]]) -> str:
    return ", ".join(f"{label.lower()} {100 * share[-1]:.0f} %" for (_, label, *_), share in stack)


def _shown(result: Result, quantity: str) -> list[dict[str, Any]]:
    drawn = result.curves.filter(pl.col("quantity") == quantity, pl.col("estimate").is_not_null())["stratum"]
    return [s for s in result.settings["strata"] if (drawn == s["code"]).any()]
