"""Figures of the effect of a booster: both strategies and their difference, balance, and the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE, say_limits
from analysis.flow_figures import draw
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.result import Result


# Covariates as a reader calls them.
COVARIATES = {
    "improvement": "improvement on that day",
    "previous": "improvement at the visit before",
    "best": "best improvement so far",
    "regression": "response was lost",
    "log_since_session": "time since the last session",
    "log_day": "time since treatment",
    "bmi": "body-mass index",
    "symptom_months": "duration of symptoms",
    "cost_barrier": "cost in the way",
}


def covariate(name: str) -> str:
    """Return a covariate, or ``covariate: level``, as a reader calls it."""
    variable, colon, level = name.partition(": ")
    return COVARIATES.get(variable, variable.replace("_", " ")) + colon + level


def strategies(result: Result) -> Figure:
    """Draw the outcome under both strategies by stratum, and below it their difference with its interval."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    shown = [s for s in result.settings["strata"] if _of(result, s["code"], "boosted").height]
    if not shown:
        raise NotEstimable("The effect was withheld, so there is nothing to draw: " + "; ".join(result.withheld))
    last = max(result.settings["horizon_day"]) / _DAYS_A_MONTH
    share = result.settings["unit_label"] == "share"
    with matplotlib.rc_context(_STYLE):
        # No wider than two columns of a journal.
        figure = Figure(figsize=(min(1.4 + 2.4 * max(len(shown), 2), 7.2), 4.8), layout="constrained")
        axes = figure.subplots(2, len(shown), sharex=True, sharey="row", height_ratios=[1.25, 1], squeeze=False)
        for column, stratum in enumerate(shown):
            top, below = axes[0, column], axes[1, column]
            _pair(top, result, stratum)
            _difference(below, result, stratum)
            top.set_title(stratum["label"], loc="left", fontsize=9, fontweight="bold", color=stratum["colour"])
            below.set_xlabel("Months since the decision")
            below.set_xlim(0, last)
            below.set_xticks([0, *(d / _DAYS_A_MONTH for d in result.settings["horizon_day"])])
            below.xaxis.set_major_formatter(lambda x, _: f"{x:.0f}")
            for axis in (top, below):
                axis.grid(axis="y", color="#e6e6e6", linewidth=0.6)
                axis.set_axisbelow(True)
                if share:
                    axis.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes[0, 0].set_ylabel(_label(result))
        axes[1, 0].set_ylabel("Difference\n(boosted − waiting)")
        say_limits(figure, result, "Band")
        axes[0, -1].legend(*axes[0, -1].get_legend_handles_labels(), frameon=False, loc="best", fontsize=8)
    figure.alt_text = _alt(result, shown)  # type: ignore[attr-defined]
    return figure


def love(result: Result) -> Figure:
    """Draw standardised differences of what was known at the decision, before and after weighting."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = result.curves.filter(pl.col("quantity").is_in(["balance_before", "balance_after"]))
    table = rows.pivot("quantity", index="note", values="estimate").sort(pl.col("balance_before").abs())
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 1.1 + 0.26 * table.height), layout="constrained")
        axes = figure.subplots()
        place = np.arange(table.height)
        before, after = table["balance_before"].abs().to_numpy(), table["balance_after"].abs().to_numpy()
        axes.hlines(place, np.minimum(before, after), np.maximum(before, after), color="#bbbbbb", linewidth=1)
        # Balanced to nothing, a mark lies on the axis, and is drawn whole.
        axes.plot(before, place, "o", color="#777777", markerfacecolor="white", label="before weighting", clip_on=False)
        axes.plot(after, place, "o", color="#0b5394", label="after weighting", clip_on=False, zorder=3)
        axes.axvline(0.1, color="#a61c1c", linewidth=0.9, linestyle=(0, (4, 2)))
        axes.set_yticks(place, [covariate(name) for name in table["note"]])
        axes.set_xlabel("Absolute standardised difference,\nboosted against waiting (dashed: limit 0.1)")
        axes.set_xlim(left=0)
        axes.legend(frameon=False, loc="lower right")
    worst = float(after.max(initial=0))
    figure.alt_text = (  # type: ignore[attr-defined]
        f"Balance of {table.height} covariates at the decision: largest absolute standardised difference "
        f"{before.max(initial=0):.2f} before weighting and {worst:.2f} after."
    )
    return figure


def weights(result: Result) -> Figure:
    """Draw the probability of the booster in those boosted and those waiting, and the spread of the weights."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    if "overlap_edges" not in result.settings:
        raise NotEstimable("The distribution of weights is suppressed: too few decisions.")
    edges = np.array(result.settings["overlap_edges"])
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
        for label, sign, colour, hatch in (("boosted", 1, "#0b5394", None), ("waiting", -1, "#c9c9c9", "////")):
            height = sign * np.array(result.settings["overlap_shares"][label])
            left.bar(edges[:-1], height, np.diff(edges), align="edge", color=colour, hatch=hatch, edgecolor="white",
                     label=label)  # fmt: skip
        left.axhline(0, color="black", linewidth=0.6)
        left.set_xlabel("Probability of the booster, given what was known")
        left.set_ylabel("Share of the arm")
        left.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        left.set_yticks(
            [t for t in left.get_yticks() if -1 <= t <= 1],
            [f"{abs(100 * t):.0f} %" for t in left.get_yticks() if -1 <= t <= 1],
        )
        left.legend(frameon=False)
        for place, label in enumerate(("boosted", "waiting")):
            q = result.settings["weight_quantiles"][label]
            if q:
                right.plot([q[0], q[4]], [place, place], color="black", linewidth=1)
                right.barh(place, q[3] - q[1], 0.3, q[1], color="#9dbbd8", edgecolor="black", linewidth=0.8, zorder=2)
                # A line, higher than the box: a dot would hide a narrow one.
                right.plot([q[2], q[2]], [place - 0.25, place + 0.25], color="black", linewidth=1.7, zorder=3)
        right.set_yticks([0, 1], ["boosted", "waiting"])
        right.set_ylim(-0.6, 1.6)
        right.set_xlabel("Weight (1st to 99th percentile;\nbox: quartiles, upright: median)")
    figure.alt_text = (  # type: ignore[attr-defined]
        "Overlap of the probability of a booster between boosted and waiting courses, and percentiles of the weights."
    )
    return figure


def flow(result: Result) -> Figure:
    """Draw how judged visits became eligible decisions, of how many courses, and who left for which reason."""
    steps = [(s["step"].capitalize(), s["n"]) for s in result.settings["decision_flow"]]
    first, rest, *arms = (s for s in steps if not s[0].startswith("Left: "))
    left = [(s["step"][6:], s["n"]) for s in result.settings["decision_flow"] if s["step"].startswith("left: ")]
    of = eligible_courses(result)
    ends = rest[0] if of is None else f"{rest[0]} (of {of:,} courses)"
    return draw([(*first, left)], (ends, rest[1]), [a for a in arms if a[1] is not None], "Flow of decisions")


def eligible_courses(result: Result) -> int | None:
    """Return how many courses had an eligible decision; None where it is hidden."""
    found = result.frame.filter(pl.col("quantity") == "difference", pl.col("stratum") == "all")["denominator"]
    return None if found.is_empty() or found[0] is None else int(found[0])


def _pair(axes: Axes, result: Result, stratum: dict[str, Any]) -> None:
    for name, style, label, alpha in (("boosted", "-", "boosted", 0.18), ("waiting", (0, (4, 2)), "waiting", 0.10)):
        curve = _of(result, stratum["code"], name)
        months = curve["time_day"].to_numpy() / _DAYS_A_MONTH
        low, high = (curve[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("low", "high"))
        colour = stratum["colour"] if name == "boosted" else "#555555"
        axes.fill_between(months, low, high, color=colour, alpha=alpha, linewidth=0)
        axes.plot(months, curve["estimate"], color=colour, linestyle=style, linewidth=1.7, label=label)


def _difference(axes: Axes, result: Result, stratum: dict[str, Any]) -> None:
    curve = _of(result, stratum["code"], "difference")
    months = curve["time_day"].to_numpy() / _DAYS_A_MONTH
    low, high = (curve[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("low", "high"))
    axes.fill_between(months, low, high, color=stratum["colour"], alpha=0.18, linewidth=0)
    axes.plot(months, curve["estimate"], color=stratum["colour"], linewidth=1.7)
    axes.axhline(0, color="black", linewidth=0.8)


def _of(result: Result, code: str, quantity: str) -> pl.DataFrame:
    return result.curves.filter(pl.col("stratum") == code, pl.col("quantity") == quantity).sort("time_day")


def _label(result: Result) -> str:
    if result.settings["unit_label"] != "share":
        return "Improvement since the decision\n(points of 100)"
    return str(result.settings["outcome_label"]).capitalize()


def _alt(result: Result, shown: list[dict[str, Any]]) -> str:
    last = max(result.settings["horizon_day"])
    parts = []
    for s in shown:
        found = result.frame.filter(
            pl.col("stratum") == s["code"], pl.col("quantity") == "difference", pl.col("time_day") == last
        )
        if found.height and found["estimate"][0] is not None and found["low"][0] is not None:
            r = found.row(0, named=True)
            parts.append(f"{s['label']} {r['estimate']:.2g} ({r['low']:.2g} to {r['high']:.2g})")
    return f"{result.title}. Difference, boosted minus waiting, at day {last}: {'; '.join(parts)}."
