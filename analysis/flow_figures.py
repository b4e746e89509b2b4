"""Flow of courses, or of decisions: how many there were, who left at each step and why, who is left."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.figures import _DAYS_A_MONTH, _STYLE
from analysis.told import not_selected

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.result import Result

# Heights in inches: a box with its arrow, a line of a reason.
_BOX, _LINE = 0.62, 0.2
_SMALL = 0.135
_ACROSS, _REASON_WIDTH = 4, 62
_MIDDLE = 0.3


def attrition(result: Result) -> Figure:
    """Draw from the attrition of a result: all courses, who was not selected, who left the question, the strata.

    Strata stand below where they add up to the courses used; of a suppressed result only if none of them is hidden.
    Where the result has who was seen at planned visits, that ends the flow: of each stratum, or of all (STROBE 13).
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
    parts = _strata(result, used)
    codes = {str(s["label"]): s["code"] for s in result.settings.get("strata", ())}
    seen = [_seen(result, [codes[label]]) for label, _ in parts] or [_seen(result, list(codes.values()))]
    return draw(steps, ("Courses used", used), parts, "Flow of courses", seen)


def draw(
    steps: list[tuple[str, int | None, list[tuple[str, int | None]]]], rest: tuple[str, int | None],
    parts: list[tuple[str, int | None]], what: str, seen: list[list[str]] | None = None,
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
    seen
        Lines below each part, or of all where there are none: who was seen at each visit.
    """
    import matplotlib
    from matplotlib.figure import Figure

    lines = [[(textwrap.wrap(f"{why}: {_count(n)}", _REASON_WIDTH)) for why, n in left] for _, _, left in steps]
    rows = -(-len(parts) // _ACROSS)
    lists = seen or []
    across = max(min(len(parts), _ACROSS), 1)
    # Each row of parts has room for the longest list in it.
    deep = [max(map(len, lists[r : r + across]), default=0) for r in range(0, max(len(parts), 1), across)]
    room = [_SMALL * (d + 0.5) if d else 0.0 for d in deep]
    height = 0.3 + sum(_BOX + _LINE * sum(len(w) + 0.6 for w in left) for left in lines) + 0.3 + _BOX * rows + sum(room)
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
            x, here = _place(column, across), y - _BOX * (row + 1) - sum(room[:row])
            axes.text(x, here, f"{label}: {_count(n)}", ha="center", va="center", bbox=box, fontsize=8)
            if row == 0:
                axes.annotate("", (x, here + 0.18), (_MIDDLE, y - 0.19), arrowprops=arrow)
            if i < len(lists) and lists[i]:
                axes.text(x, here - 0.22, "\n".join(lists[i]), ha="center", va="top", fontsize=7, color="#555555")
        if not parts and lists and lists[0]:
            axes.text(_MIDDLE, y - 0.25, "\n".join(lists[0]), ha="center", va="top", fontsize=7, color="#555555")
    said = [
        f"{head}: {_count(n)}" + "".join(f"; left, {why}: {_count(k)}" for why, k in left) for head, n, left in steps
    ]
    ends = [f"; {'; '.join(found)}" if found else "" for found in lists]
    said += [f"{rest[0]}: {_count(rest[1])}{'' if parts or not ends else ends[0]}"]
    said += [f"{label}: {_count(n)}{ends[i] if i < len(ends) else ''}" for i, (label, n) in enumerate(parts)]
    figure.alt_text = f"{what}. {'; '.join(said)}."  # type: ignore[attr-defined]
    return figure


def _place(column: int, across: int) -> float:
    """Return where a part stands: two below the box of all, more over the width."""
    return _MIDDLE + (column - 0.5) * 0.34 if across == 2 else (column + 0.5) / across


def _strata(result: Result, used: int) -> list[tuple[str, int | None]]:
    """Return the strata with their courses, where these are all known and add up to those used."""
    left = result.settings.get("not_modelled", ())
    strata = [s for s in result.settings.get("strata", ()) if s["code"] not in left]
    sizes = dict(result.frame.group_by("stratum").agg(pl.col("denominator").max()).iter_rows())
    found = [(str(s["label"]), sizes.get(s["code"])) for s in strata]
    known = [n for _, n in found if n is not None]
    return [(label, n) for label, n in found if n] if len(known) > 1 and sum(known) == used else []


def _seen(result: Result, codes: list[str]) -> list[str]:
    """Return who of the strata was seen at each planned visit, of those due; none where the result does not say.

    Over several strata nothing is told of a visit at which a number of one is hidden: it would be the rest.
    """
    held = result.at_risk.filter(pl.col("quantity") == "seen", pl.col("stratum").is_in(codes), pl.col("time_day") > 0)
    out = []
    for (day,), at in held.sort("time_day").group_by("time_day", maintain_order=True):
        hidden = at["n"].null_count() + at["denominator"].null_count()
        if hidden and len(codes) > 1:
            continue
        n, of = (None, None) if hidden else (int(at["n"].sum()), int(at["denominator"].sum()))
        told = "few" if n is None else f"{n:,} of {of:,} due"
        months = round(float(day) / _DAYS_A_MONTH)
        out.append(f"seen at {months} month{'' if months == 1 else 's'}: {told}")
    return out


def _count(n: int | None) -> str:
    return "few" if n is None else f"{n:,}"
