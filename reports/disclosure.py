"""Disclosure control of counts in what leaves the registry. Results hide their own small cells: ``Result.suppress``."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.result import SMALLEST_CELL


def shown(counts: Sequence[int], smallest: int = SMALLEST_CELL) -> list[str]:
    """Return how parts of a printed total are printed, so that no small one can be found by subtraction.

    None is none. A count below `smallest` is printed as ``<5``, and the next smallest of the others as ``5 or more``:
    else the total would give the small ones away, exactly if there is one, nearly if there are two. Where there is no
    other, every part is printed as ``few``; the total is then small itself and :func:`total` hides it.
    """
    small = [i for i, n in enumerate(counts) if 0 < n < smallest]
    texts = [f"<{smallest}" if i in small else f"{n:,}" for i, n in enumerate(counts)]
    others = sorted((n, i) for i, n in enumerate(counts) if n >= smallest)
    if small and others:
        texts[others[0][1]] = f"{smallest} or more"
    elif small:
        texts = ["few" if n else "0" for n in counts]
    return texts


def total(parts: Sequence[int], smallest: int = SMALLEST_CELL) -> str:
    """Return how the sum of `parts` is printed beside :func:`shown`: hidden when all its parts are small."""
    if any(parts) and all(n < smallest for n in parts):
        return f"fewer than {smallest * sum(n > 0 for n in parts)}"
    return f"{sum(parts):,}"


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
