"""How far long work is, said in a cell or a terminal: after two seconds, in one line that goes when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, TypeVar

Step = TypeVar("Step")

_PATIENCE = 2.0
_PACE = 0.5


def steps(items: Iterable[Step], what: str, total: int | None = None) -> Iterator[Step]:
    """Yield `items`, and tell who waits how many are done and how long the others may take.

    Parameters
    ----------
    what
        The work, in a few words: ``resamples of time to response``.
    total
        How many items there are; default: their length.

    Notes
    -----
    Nothing is said of short work, nor where nobody watches: in scripts, jobs and tests.
    """
    size = total if total is not None else len(items)  # type: ignore[arg-type]
    line = _line()
    start = said = time.monotonic()
    try:
        for done, item in enumerate(items):
            now = time.monotonic()
            if line is not None and now - start > _PATIENCE and now - said > _PACE and done:
                left = (now - start) / done * (size - done)
                line.say(f"{what}: {done:,} of {size:,}, about {left:.0f} s left")
                said = now
            yield item
    finally:
        if line is not None:
            line.end()


def _line() -> _Cell | _Terminal | None:
    """Return where to say it: a notebook's cell, a terminal, or nowhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and hasattr(shell, "kernel"):
        return _Cell()
    return _Terminal() if sys.stderr.isatty() else None


class _Cell:
    def __init__(self) -> None:
        self._shown: Any = None

    def say(self, text: str) -> None:
        from IPython.display import display

        shown = {"text/html": f"<progress></progress> {escape(text)}", "text/plain": text}
        if self._shown is None:
            self._shown = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(shown, raw=True)

    def end(self) -> None:
        if self._shown is not None:
            self._shown.update({"text/html": "", "text/plain": ""}, raw=True)


class _Terminal:
    def __init__(self) -> None:
        self._width = 0

    def say(self, text: str) -> None:
        self._width = max(self._width, len(text))
        print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._width:
            print(f"\r{'':<{self._width}}\r", end="", file=sys.stderr, flush=True)
