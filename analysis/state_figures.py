"""Figures of states as seen at visits: the flow of all courses from visit to visit, and single courses as lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.figures import _DAYS_A_MONTH, _STYLE, STATE_STYLE
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result

Floats = NDArray[np.float64]

_NARROW = 0.16


def alluvial(result: Result) -> Figure:
    """Draw for each stratum the courses by state at each planned visit, and the ribbons from one visit to the next."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    total = dict(
        result.frame.filter(quantity="at_not_due").group_by("stratum").agg(pl.col("denominator").max()).iter_rows()
    )
    shown = [s for s in result.settings["strata"] if total.get(s["code"])]
    if not shown:
        raise NotEstimable("No stratum has enough courses to show; .frame says which numbers were hidden.")
    visits = result.settings["visits"]
    style: Any = {**_STYLE, "hatch.linewidth": 0.4}
    with matplotlib.rc_context(style):
        width = 1.2 + max(2.6, 0.62 * len(visits)) * max(len(shown), 2)
        figure = Figure(figsize=(width, 4.0), layout=ConstrainedLayoutEngine(wspace=0.05))
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for panel, stratum in zip(panels, shown, strict=True):
            _flow(panel, result, stratum["code"], total[stratum["code"]])
            panel.set_title(f"{stratum['label']} (n = {total[stratum['code']]:,})", loc="left", fontsize=9,
                            fontweight="bold")  # fmt: skip
            names = [v["planned_visit"].replace(" months", " mo").replace(" month", " mo") for v in visits]
            panel.set_xticks(range(len(visits)), names, rotation=40, ha="right")
            panel.set_xlim(-0.25, len(visits) - 0.75)
            panel.set_ylim(0, 1)
            panel.spines[["bottom", "left"]].set_visible(False)
            panel.tick_params(length=0)
        panels[0].yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
        panels[0].set_ylabel("Share of courses")
        _key(figure, str(result.settings["end_label"]), tuple(STATE_STYLE))
    last = float(visits[-1]["target_day"])
    parts = []
    for s in shown:
        held = result.frame.filter(stratum=s["code"], time_day=last).drop_nulls("estimate")
        told = {r["quantity"][3:]: r["estimate"] for r in held.to_dicts()}
        words = ", ".join(
            f"{label.lower()} {100 * told[c]:.0f} %"
            for c, (label, *_) in STATE_STYLE.items()
            if c != "not_due" and told.get(c)
        )
        parts.append(f"{s['label']}: {words} of those due")
    figure.alt_text = (  # type: ignore[attr-defined]
        f"States of the courses from visit to visit. At {visits[-1]['planned_visit']}, {'; '.join(parts)}."
    )
    return figure


def _flow(axes: Axes, result: Result, code: str, total: int) -> None:
    """Draw columns and ribbons of one stratum from the counts of its flows; a hidden count leaves a gap."""
    from matplotlib.collections import PolyCollection

    order = {state: i for i, state in enumerate(STATE_STYLE)}
    days = [float(v["target_day"]) for v in result.settings["visits"]]
    mine = result.frame.filter(stratum=code).drop_nulls("n")
    flows = {
        (day, *quantity.split(" → ")): n / total
        for quantity, day, n in mine.select("quantity", "time_day", "n").iter_rows()
        if " → " in quantity
    }
    held = {
        (quantity[3:], day): n / total
        for quantity, day, n in mine.select("quantity", "time_day", "n").iter_rows()
        if quantity.startswith("at_")
    }
    size = np.array([[held.get((state, day), 0.0) for day in days] for state in order])
    floor = np.concatenate([np.zeros((1, len(days))), np.cumsum(size, axis=0)[:-1]])
    for i, state in enumerate(order):
        _column(axes, state, size[i], floor[i])
    ribbons, colours = [], []
    for k, day in enumerate(days[:-1]):
        mine_now = {key[1:]: share for key, share in flows.items() if key[0] == day}
        left = _starts(mine_now, order, by=0)
        right = _starts(mine_now, order, by=1)
        for pair, share in mine_now.items():
            ribbons.append(_ribbon(k + _NARROW, k + 1 - _NARROW, left[pair], right[pair], share))
            colours.append(STATE_STYLE[pair[0]][1])
    drawn = PolyCollection(ribbons, facecolors=colours, alpha=0.4, edgecolor="#999999", linewidth=0.2, zorder=1)
    axes.add_collection(drawn, autolim=False)


def _column(axes: Axes, state: str, size: Floats, floor: Floats) -> None:
    """Draw one state at all visits, with its share in per cent where there is room for it."""
    _, colour, ink, hatch = STATE_STYLE[state]
    at = np.flatnonzero(size > 0)
    if len(at):
        axes.bar(at, size[at], 2 * _NARROW, floor[at], color=colour, edgecolor="#555555", linewidth=0.4, hatch=hatch,
                 zorder=3)  # fmt: skip
    box: Any = {"facecolor": colour, "edgecolor": "none", "pad": 0.6} if hatch else None
    for k in np.flatnonzero(size > 0.05):
        axes.text(float(k), floor[k] + size[k] / 2, f"{100 * size[k]:.0f}", color=ink, ha="center", va="center",
                  fontsize=7, zorder=4, bbox=box)  # fmt: skip


def _starts(flows: dict[tuple[str, ...], float], order: dict[str, int], *, by: int) -> dict[tuple[str, ...], float]:
    """Return where each ribbon begins in its column: sorted by the state of that side, then of the other."""
    ranked = sorted(flows, key=lambda pair: (order[pair[by]], order[pair[1 - by]]))
    heights = np.cumsum([0.0, *(flows[pair] for pair in ranked)])
    return dict(zip(ranked, heights.tolist(), strict=False))


def _ribbon(x0: float, x1: float, y0: float, y1: float, height: float) -> Floats:
    """Return the outline of a ribbon between two columns, shape (points, 2)."""
    t = np.linspace(0, 1, 15)
    x, smooth = x0 + (x1 - x0) * t, y0 + (y1 - y0) * (3 * t**2 - 2 * t**3)
    return np.column_stack([np.concatenate([x, x[::-1]]), np.concatenate([smooth, smooth[::-1] + height])])


def swimmer(lanes: pl.DataFrame, seen: pl.DataFrame, boosts: pl.DataFrame, settings: dict[str, Any], of: int) -> Figure:
    """Draw single courses as lanes, one below the other, grouped by stratum.

    Parameters
    ----------
    lanes
        ``lane, stratum, last_day, ended_as`` of the courses drawn, in order from the top.
    seen, boosts
        ``lane, day`` of visits with their ``state``, and of boosters.
    of
        Of how many courses they were drawn.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "hatch.linewidth": 0.4}):
        figure = Figure(figsize=(7.2, 1.4 + 0.14 * lanes.height), layout="constrained")
        axes = figure.subplots()
        ring: Any = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        for lane, last, ended in lanes.select("lane", "last_day", "ended_as").iter_rows():
            visits = seen.filter(lane=lane)
            # Between two visits the state is not known: the bar is drawn where two visits agree, a line elsewhere.
            days, states = [0, *visits["day"]], ["no_response_yet", *visits["state"]]
            axes.plot([0, last / _DAYS_A_MONTH], [lane, lane], color="#999999", linewidth=0.8, zorder=1)
            for start, stop, one, two in zip(days, days[1:], states, states[1:], strict=False):
                if one == two:
                    _, colour, _, hatch = STATE_STYLE[one]
                    axes.barh(lane, (stop - start) / _DAYS_A_MONTH, 0.62, start / _DAYS_A_MONTH, color=colour,
                              hatch=hatch, edgecolor="#555555", linewidth=0.2, zorder=2)  # fmt: skip
            for state in set(states[1:]):
                at = [d / _DAYS_A_MONTH for d, s in zip(days[1:], states[1:], strict=True) if s == state]
                # A white ring around each circle: on a bar of its own colour it would not be seen.
                axes.plot(at, [lane] * len(at), "o", color="white", markersize=5.6, zorder=3)
                axes.plot(at, [lane] * len(at), "o", color=STATE_STYLE[state][1], markeredgecolor="black",
                          markeredgewidth=0.4, markersize=3.6, zorder=4)  # fmt: skip
            given = [d / _DAYS_A_MONTH for d in boosts.filter(lane=lane)["day"]]
            axes.plot(given, [lane] * len(given), "^", color="black", markersize=5.5, zorder=5, **ring)
            if ended is not None:
                axes.plot(
                    last / _DAYS_A_MONTH, lane, "X" if ended == "ended" else "s", color="black", markersize=6, zorder=5,
                    **ring,
                )  # fmt: skip
        label = {s["code"]: s["label"] for s in settings["strata"]}
        for code, group in lanes.group_by("stratum", maintain_order=True):
            first, last_lane = int(group["lane"][0]), int(group["lane"][-1])
            middle = (first + last_lane) / 2
            axes.text(-0.02, middle, label[code[0]], transform=axes.get_yaxis_transform(), ha="right", va="center",
                      fontweight="bold", rotation=90 if group.height > 5 else 0)  # fmt: skip
            axes.axhline(last_lane + 0.5, color="#cccccc", linewidth=0.6)
        axes.set_yticks([])
        axes.set_ylim(lanes.height - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Months since the first session")
        _key(figure, str(settings["end_label"]), tuple(STATE_STYLE)[:3], marks=True)
    figure.individual = True  # type: ignore[attr-defined]
    figure.alt_text = (  # type: ignore[attr-defined]
        f"{lanes.height} of {of} courses, drawn at random, a lane each: state at each visit (circle), the same at two "
        "visits in a row (bar), not known between (line), boosters (triangle) and ends (cross)."
    )
    return figure


def _key(figure: Figure, ended: str, states: tuple[str, ...], *, marks: bool = False) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=colour, edgecolor="#555555", linewidth=0.4, hatch=hatch,
              label=f"Ended ({ended})" if state == "ended" else label)
        for state, (label, colour, _, hatch) in ((state, STATE_STYLE[state]) for state in states)
    ]  # fmt: skip
    if marks:
        plain: Any = {"linestyle": "", "color": "black"}
        handles += [
            Line2D([], [], marker="o", markersize=4, label="Visit", **plain),
            Line2D([], [], marker="^", markersize=5, label="Booster", **plain),
            Line2D([], [], marker="X", markersize=5, label=f"Ended ({ended})", **plain),
            Line2D([], [], marker="s", markersize=5, label="Dead", **plain),
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8, handlelength=1.4,
                  columnspacing=1.2)  # fmt: skip
