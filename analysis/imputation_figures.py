"""Mean change by what is assumed of those not seen: how far a conclusion holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analysis.figures import _STYLE, _STYLES
from registry.errors import NotEstimable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.result import Result


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
    name = str(result.settings["scale_label"])
    style: Any = _STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        labels, said = [], []
        for i, s in enumerate(shown):
            mine = rows.filter(pl.col("stratum") == s["code"]).sort("delta", descending=True)
            x, y = -mine["delta"].to_numpy(), mine["estimate"].to_numpy()
            axes.plot(x, y, color=s["colour"], linestyle=_STYLES[i % len(_STYLES)], linewidth=1.8)
            low, high = (mine[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("low", "high"))
            axes.fill_between(x, low, high, color=s["colour"], alpha=0.14, linewidth=0)
            own = back.filter(pl.col("stratum") == s["code"])
            if own.height:
                axes.plot(-2.5, own["estimate"][0], "D", color=s["colour"], markersize=5, clip_on=False)
            labels.append((float(y[-1]), s["label"], s["colour"]))
            until, at = tips[s["code"]]
            if at is not None:
                axes.plot(at, 0.0, "o", markersize=7, markerfacecolor="white", markeredgecolor=s["colour"],
                          markeredgewidth=1.6, zorder=4, clip_on=False)  # fmt: skip
                axes.annotate(f"{at:.0f}", (at, 0.0), xytext=(-5, -5), textcoords="offset points", ha="right",
                              va="top", color=s["colour"], fontsize=8, fontweight="bold", zorder=4)  # fmt: skip
            said.append(f"{s['label']} {y[0]:.1f} points at random, {until}")
        axes.axhline(0, color="#555555", linewidth=0.9)
        axes.set_xlim(-4, float((-rows["delta"]).max()))  # type: ignore[arg-type]
        span = axes.get_ylim()[1] - axes.get_ylim()[0]
        for height, text, colour in _apart(labels, 0.06 * span):
            axes.annotate(text, (1.01, height), xycoords=("axes fraction", "data"), va="center", color=colour,
                          fontweight="bold", annotation_clip=False)  # fmt: skip
        axes.annotate(
            "◆ back to\nbaseline", (0.0, -0.13), xycoords="axes fraction", fontsize=7.5, ha="center", va="top"
        )
        axes.set_xlabel("Points of 100 taken off scores after the last visit seen (0: missing at random)")
        axes.set_ylabel(f"Mean change at {result.settings['visit']}, better is up")
        axes.set_title(f"{name[:1].upper()}{name[1:]}", loc="left", fontsize=9, fontweight="bold")
        if any(at is not None for _, at in tips.values()):
            axes.set_title("○ tips: from here on 0 lies within the limits", loc="right", fontsize=7.5)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.alt_text = (  # type: ignore[attr-defined]
        f"Mean change in {name} at {result.settings['visit']} by what is taken off missing scores. {'; '.join(said)}."
    )
    return figure


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
