"""Disclosure control of counts in what leaves the registry. Results hide their own small cells: ``Result.suppress``."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.disclosure.policy import POLICY


def shown(counts: Sequence[int], smallest: int = POLICY.smallest_cell) -> list[str]:
    """Return how parts of a printed total are printed, so that no small one can be found by subtraction.

    None is none. A count below `smallest` is printed as ``<5``, and the next smallest of the others as ``5 or more``:
    else the total would give the small ones away, exactly if there is one, nearly if there are two. Where even that
    leaves one number only (of 6 together, below 5 and 5 or more: 1 and 5), which of them is small is not said: all are
    printed as ``few``. So is every part where there is no other; the total is then small itself and :func:`total` hides
    it.
    """
    small = [i for i, n in enumerate(counts) if 0 < n < smallest]
    texts = [f"<{smallest}" if i in small else f"{n:,}" for i, n in enumerate(counts)]
    others = sorted((n, i) for i, n in enumerate(counts) if n >= smallest)
    if small and others:
        least, beside = others[0]
        texts[beside] = f"{smallest} or more"
        if _pinned(counts, small, others, smallest):
            alike = [i for n, i in others if n == least]
            texts = ["few" if i in small or i in alike else text for i, text in enumerate(texts)]
    elif small:
        texts = ["few" if n else "0" for n in counts]
    return texts


def _pinned(counts: Sequence[int], small: list[int], others: list[tuple[int, int]], smallest: int) -> bool:
    """Say whether one number only fits a small count, given the total, and that the one hidden beside is the least."""
    hidden = sum(counts[i] for i in small) + others[0][0]
    if hidden == len(small) + smallest:
        return True
    if len(others) == 1:
        return False
    # One less than the next, since of equals the first is hidden: behind its equal it would have been smaller.
    most = others[1][0] - 1
    return hidden >= (smallest - 1) * len(small) + most or (len(small) == 1 and most <= smallest)


def total(parts: Sequence[int], smallest: int = POLICY.smallest_cell) -> str:
    """Return how the sum of `parts` is printed beside :func:`shown`: hidden when all its parts are small."""
    if any(parts) and all(n < smallest for n in parts):
        return f"fewer than {smallest * sum(n > 0 for n in parts)}"
    return f"{sum(parts):,}"


def share(part: int, whole: int, smallest: int = POLICY.smallest_cell) -> str:
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
