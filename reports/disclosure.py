"""Disclosure control of counts in what leaves the registry. Results hide their own small cells: ``Result.suppress``."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.result import SMALLEST_CELL


def shown(counts: Sequence[int], smallest: int = SMALLEST_CELL) -> list[str]:
    """Return how a list of counts with a known total is printed, so that no small one can be found by subtraction.

    None is none. A count below `smallest` is printed as ``<5``; if it is the only one hidden, the next smallest is
    printed as ``5 or more``, since the total would otherwise give the first away.
    """
    small = [i for i, n in enumerate(counts) if 0 < n < smallest]
    texts = [f"<{smallest}" if i in small else f"{n:,}" for i, n in enumerate(counts)]
    others = sorted((n, i) for i, n in enumerate(counts) if n >= smallest)
    if len(small) == 1 and others:
        texts[others[0][1]] = f"{smallest} or more"
    return texts


def share(part: int, whole: int, smallest: int = SMALLEST_CELL) -> str:
    """Return a share as text; where a few did or did not, only on which side of which share they are."""
    if whole == 0:
        return "none due"
    if whole < smallest:
        return "suppressed"
    if 0 < whole - part < smallest:
        return f"over {100 * (whole - smallest) // whole} %"
    if 0 < part < smallest:
        return f"under {-(-100 * smallest // whole)} %"
    return f"{100 * part / whole:.0f} %"
