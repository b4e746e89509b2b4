"""Flow of courses, or of decisions: how many there were, who left at each step and why, who is left."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.figures import _STYLE
from analysis.told import not_selected

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.result import Result

# Heights in inches: a box with its arrow, a line of a reason.
_BOX, _LINE = 0.62, 0.2
_ACROSS, _REASON_WIDTH = 4, 62
_MIDDLE = 0.3


def attrition(result: Result) -> Figure:
    """Draw from the attrition of a result: all courses, who was not selected, who left the question, the strata.

    Strata stand below where they add up to the courses used; of a suppressed result only if none of them is hidden.
    """
    flow = result.attrition
    held, used = int(flow["n"][0]), int(flow["n"][-1])
    others = not_selected(flow)
    own = flow[1:-1].filter(~pl.col("reason").is_in(others["reason"].to_list()))
    chosen = held - int(others["n"].sum())
    steps: list[tuple[str, int | None, list[tuple[str, int | None]]]] = []
    if others.height:
        steps.append(("Courses in the registry", held, list(others.iter_rows())))
    if own.height or not steps:
        head = "Courses selected" if steps else "Courses in the registry"
        steps.append((head, chosen, list(own.iter_rows())))
    return draw(steps, ("Courses used", used), _strata(result, used), "Flow of courses")


def draw(
    steps: list[tuple[str, int | None, list[tuple[str, int | None]]]], rest: tuple[str, int | None],
    parts: list[tuple[str, int | None]], what: str,
) -> Figure:  # fmt: skip
    """Draw a flow of boxes from above, the reasons of those who left beside each arrow.

    Parameters
    ----------
    steps
        Of each box: its label, how many, and who left after it (reason, how many; None: few).
    rest, parts
        Who is left at the end, and what they consist of, in rows of four; empty: one group.
    what
        Begins the text for those who cannot see the figure.
    """
    import matplotlib
    from matplotlib.figure import Figure

    lines = [[(textwrap.wrap(f"{why}: {_count(n)}", _REASON_WIDTH)) for why, n in left] for _, _, left in steps]
    rows = -(-len(parts) // _ACROSS)
    height = 0.3 + sum(_BOX + _LINE * sum(len(w) + 0.6 for w in left) for left in lines) + 0.3 + _BOX * rows
    arrow: Any = {"arrowstyle": "->", "color": "#333333", "shrinkA": 0, "shrinkB": 0}
    side: Any = {"arrowstyle": "<-", "color": "#999999"}
    box: Any = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": "#333333"}
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.subplots()
        axes.axis("off")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, height)
        y = height - 0.25
        for (label, n, _), left in zip(steps, lines, strict=True):
            axes.text(_MIDDLE, y, f"{label}: {_count(n)}", ha="center", va="center", bbox=box)
            below = y - _BOX - _LINE * sum(len(w) + 0.6 for w in left)
            axes.annotate("", (_MIDDLE, below + 0.19), (_MIDDLE, y - 0.19), arrowprops=arrow)
            at = y - 0.19
            for wrapped in left:
                at -= _LINE * (len(wrapped) + 0.6)
                middle = at + _LINE * len(wrapped) / 2
                axes.annotate("\n".join(wrapped), (_MIDDLE, middle), (_MIDDLE + 0.08, middle), va="center",
                              color="#555555", arrowprops=side)  # fmt: skip
            y = below
        axes.text(_MIDDLE, y, f"{rest[0]}: {_count(rest[1])}", ha="center", va="center", bbox=box)
        for i, (label, n) in enumerate(parts):
            row, column = divmod(i, _ACROSS)
            across = min(len(parts), _ACROSS)
            x, here = _place(column, across), y - _BOX * (row + 1)
            axes.text(x, here, f"{label}: {_count(n)}", ha="center", va="center", bbox=box, fontsize=8)
            if row == 0:
                axes.annotate("", (x, here + 0.18), (_MIDDLE, y - 0.19), arrowprops=arrow)
    said = [
        f"{head}: {_count(n)}" + "".join(f"; left, {why}: {_count(k)}" for why, k in left) for head, n, left in steps
    ]
    said += [f"{label}: {_count(n)}" for label, n in (rest, *parts)]
    figure.alt_text = f"{what}. {'; '.join(said)}."  # type: ignore[attr-defined]
    return figure


def _place(column: int, across: int) -> float:
    """Return where a part stands: two below the box of all, more over the width."""
    return _MIDDLE + (column - 0.5) * 0.34 if across == 2 else (column + 0.5) / across


def _strata(result: Result, used: int) -> list[tuple[str, int | None]]:
    """Return the strata with their courses, where these are all known and add up to those used."""
    strata = result.settings.get("strata", ())
    sizes = dict(result.frame.group_by("stratum").agg(pl.col("denominator").max()).iter_rows())
    found = [(str(s["label"]), sizes.get(s["code"])) for s in strata]
    known = [n for _, n in found if n is not None]
    return [(label, n) for label, n in found if n] if len(known) > 1 and sum(known) == used else []


def _count(n: int | None) -> str:
    return "few" if n is None else f"{n:,}"
