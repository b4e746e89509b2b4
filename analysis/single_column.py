"""A figure redrawn for one column of a journal: smaller letters and thinner lines, and no word on another.

Most journals of the field print one column at 84 to 89 mm and want letters of 6 to 7 points or more at that size.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

WIDTH_MM = 86
# In points: letters of what stands in a table or legend, and of all else at most.
SMALLEST, LARGEST = 6.0, 7.0
_LETTERS, _LINES, _HEIGHT = 0.75, 0.7, 0.66


def single_column(figure: Figure) -> Figure | None:
    """Set a figure of two columns' width for one column, in place.

    Counts below an axis that would lie on each other leave with their tick; the first of them stays.

    Parameters
    ----------
    figure
        As an analysis draws it, some 7 inches wide with letters of 9 points.

    Returns
    -------
    Figure or None
        The same figure at 86 mm; None where words would still lie on each other or run off it, as in a wide flow.
    """
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    parts: list[Any] = figure.findobj()
    for part in parts:
        if isinstance(part, Text):
            part.set_fontsize(min(max(_LETTERS * float(part.get_fontsize()), SMALLEST), LARGEST))
        elif isinstance(part, Line2D):
            part.set_linewidth(_LINES * part.get_linewidth())
            part.set_markersize(_LINES * part.get_markersize())
        elif isinstance(part, Patch | Collection):
            part.set_linewidth(_LINES * _one(part.get_linewidth()))
    figure.set_size_inches(WIDTH_MM / 25.4, _HEIGHT * figure.get_size_inches()[1])
    for axes in figure.axes:
        _stand_aside(axes)
    figure.draw_without_rendering()
    for axes in figure.axes:
        _wrap(axes)
    _wrap_around(figure)
    thin_counts(figure)
    figure.draw_without_rendering()
    return None if collisions(figure) else figure


def thin_counts(figure: Figure) -> None:
    """Hide counts below an axis of a drawn figure that would lie on others, with their tick, in place.

    The first of them stays; a tick without counts gives way to one with. Names of strata, long in some languages, leave
    an axis the less room.
    """
    for axes in figure.axes:
        _thin(axes)


def collisions(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of words that lie on each other in a figure as drawn; with "" those that run off it."""
    texts = [t for axes in figure.axes for t in _words(axes)]
    texts += [t for t in figure.texts if t.get_text().strip()]
    boxes = [t.get_window_extent() for t in texts]
    whole = figure.bbox
    found = [(t.get_text(), "") for t, b in zip(texts, boxes, strict=True)
             if b.x0 < whole.x0 - 1 or b.x1 > whole.x1 + 1 or b.y0 < whole.y0 - 1 or b.y1 > whole.y1 + 1]  # fmt: skip
    for i, one in enumerate(boxes):
        for j in range(i):
            other = boxes[j]
            wide = min(one.x1, other.x1) - max(one.x0, other.x0)
            high = min(one.y1, other.y1) - max(one.y0, other.y0)
            # A box holds room for letters that reach below the line, whether there are any or not.
            if wide > 0.5 and high > 0.25 * min(one.height, other.height):
                found.append((texts[j].get_text(), texts[i].get_text()))
    return found


def _words(axes: Axes) -> list[Text]:
    """Return the words of an axis that are drawn."""
    found = [axes.title, axes._left_title, axes._right_title, *axes.texts]  # type: ignore[attr-defined]
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        found.append(axis.label)
        ticks = zip(axis.get_major_ticks(), axis.get_majorticklocs(), strict=False)
        found += [tick.label1 for tick, at in ticks if low <= at <= high and tick.label1.get_visible()]
    legend = axes.get_legend()
    found += list(legend.get_texts()) if legend is not None else []
    return [t for t in found if t.get_visible() and t.get_text().strip()] if axes.axison else [
        t for t in axes.texts if t.get_visible() and t.get_text().strip()]  # fmt: skip


def _stand_aside(axes: Axes) -> None:
    """Move the names of rows beside a narrow axis as far from its first number as they were."""
    for text in axes.texts:
        x, y = text.get_position()
        if text.get_horizontalalignment() == "right" and x < 0:
            text.set_position((2.2 * x, y))


def _wrap(axes: Axes) -> None:
    """Break the title of an axis that is longer than the axis."""
    room = axes.get_window_extent()
    for label, length in ((axes.xaxis.label, room.width), (axes.yaxis.label, room.height)):
        text, box = label.get_text(), label.get_window_extent()
        if text and "\n" not in text and max(box.width, box.height) > length:
            letters = max(int(len(text) * length / max(box.width, box.height)), 8)
            label.set_text("\n".join(textwrap.wrap(text, letters)))


def _wrap_around(figure: Figure) -> None:
    """Break what stands above or below all axes and is longer than the figure is wide."""
    for text in figure.texts:
        wide = text.get_window_extent().width
        if wide > figure.bbox.width:
            letters = max(int(0.95 * len(text.get_text()) * figure.bbox.width / wide), 8)
            text.set_text("\n".join(textwrap.wrap(text.get_text(), letters)))


def _thin(axes: Axes) -> None:
    columns: dict[float, list[Text]] = defaultdict(list)
    for text in axes.texts:
        if text.get_transform() == axes.transData and text.get_horizontalalignment() == "center":
            columns[round(float(text.get_position()[0]), 6)].append(text)
    if len(columns) < 3 or len(axes.get_yticks()):
        return
    ticks = {round(float(x), 6): t for x, t in zip(axes.get_xticks(), axes.get_xticklabels(), strict=False)}
    kept: dict[float, tuple[float, float]] = {}
    for x in sorted({*columns, *ticks}, key=lambda at: (at not in columns, at)):
        boxes = [t.get_window_extent() for t in [*columns[x], *([ticks[x]] if x in ticks else [])]]
        left, right = min(b.x0 for b in boxes), max(b.x1 for b in boxes)
        if any(left < other + 1 and one - 1 < right for one, other in kept.values()):
            for text in columns[x]:
                text.set_visible(False)
        else:
            kept[x] = left, right
    shown = [x for x in ticks if x in kept]
    axes.set_xticks(shown, [ticks[x].get_text() for x in shown], fontsize=ticks[shown[0]].get_fontsize())


def _one(width: Any) -> float:
    """Return the width of a line; of several the first."""
    return float(width if isinstance(width, int | float) else next(iter(width), 0.0))
