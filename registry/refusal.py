"""What is said of a file that is refused whole although it could be read."""

from __future__ import annotations

from registry.reading import Refusal, SourceTable
from registry.tables import TABLES


def unknown_file(file: str) -> Refusal:
    """Say that a file in the template has a name of its own."""
    names = ", ".join(t.__source__.file for t in TABLES)
    return Refusal(
        "unknown_file",
        "the file's name is none of the template's",
        f"name it after its content ({names}), or give a mapping",
    )


def missing_columns(lacking: dict[str, str], table: SourceTable) -> Refusal:
    """Say which columns a file lacks, and for what they were wanted."""
    names = ", ".join(c if c == ours else f"{c} (for {ours})" for c, ours in lacking.items())
    has = ", ".join(c for c in table.frame.columns if c != "line")
    return Refusal("missing_column", f"the file lacks {names}", f"it has {has}: add the column, or correct the mapping")
