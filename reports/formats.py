"""How numbers stand on a page, and how a file is replaced."""

from __future__ import annotations

from pathlib import Path

from analysis.result import SMALLEST_CELL


def replace_file(path: Path, content: str | bytes) -> None:
    """Write beside and rename: a reader sees the old file or the new one, never half of either."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    part.replace(path)


def percent(value: float | None) -> str:
    """Return a share as whole per cent."""
    return "–" if value is None else f"{100 * value:.0f} %"


def count(value: int | None) -> str:
    """Return a count, small ones hidden: none is none, few are "<5"."""
    if value is None:
        return "–"
    return f"<{SMALLEST_CELL}" if 0 < value < SMALLEST_CELL else f"{value:,}"


def number(value: float | None) -> str:
    """Return a number with one decimal."""
    # Rounded first, or a little less than nothing would be printed as -0.0.
    return "–" if value is None else f"{round(value, 1) + 0.0:,.1f}"
