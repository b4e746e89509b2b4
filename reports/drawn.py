"""Figures of the report in the words of its language: what stands in them is looked up before they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analysis import Result, figures
from analysis.single_column import thin_counts
from reports.words import SOURCE, Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawn(result: Result, prefix: str, words: Words, draw: Callable[[Result], Figure] = Result.plot) -> str:
    """Return the figure of a result, or another that `draw` makes of it, as inline SVG, described in the words given.

    A description without a translation is marked as English.
    """
    figure = draw(result)
    if words.language == SOURCE:
        return figures.svg(_with_room(figure), prefix)
    told = str(getattr(figure, "alt_text", ""))
    known = words.knows(told)
    _translate(figure, words)
    figure.alt_text = words.plain(told)  # type: ignore[attr-defined]
    text = figures.svg(_with_room(figure), prefix)
    return text if known else text.replace("<svg ", '<svg lang="en" ', 1)


def _with_room(figure: Figure) -> Figure:
    """Return the figure without counts that would lie on each other: words of another length leave another width."""
    if len(figure.axes) > 1:
        figure.draw_without_rendering()
        thin_counts(figure)
    return figure


def _translate(figure: Figure, words: Words) -> None:
    from matplotlib.text import Text

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = axis.get_major_formatter()
            # Axes that share their ticks share the formatter too.
            if not getattr(shown, "in_words", False):
                _write_ticks(shown, words)
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_text():
            text.set_text(_told(text.get_text(), words))


def _told(text: str, words: Words) -> str:
    """Return what stands in a figure in its language; a title may have got a capital that its word has not."""
    small = text[:1].lower() + text[1:]
    if words.knows(text) or not words.knows(small):
        return words.plain(text)
    found = words.plain(small)
    return found[:1].upper() + found[1:]


def _write_ticks(formatter: Any, words: Words) -> None:
    """Have a formatter write its numbers as the language does."""
    write = formatter.format_ticks
    formatter.format_ticks = lambda values: [words.plain(label) for label in write(values)]
    formatter.in_words = True
