"""What is said of a file that is refused whole although it could be read."""

from __future__ import annotations

from registry.reading import Refusal, SourceTable


def unknown_file(file: str) -> Refusal:
    """Say that a file in the template has a name of its own."""
    return Refusal(
        "unknown_file",
        "the file's name is none of the template's",
        "name it as the file of `catamnesis template` that holds the same, or say in a mapping file what its columns "
        "are (--mapping load.toml; the documentation has one to begin with: Load files of your own)",
    )


def missing_columns(lacking: dict[str, str], table: SourceTable) -> Refusal:
    """Say which columns a file lacks, and for what they were wanted."""
    names = ", ".join(c if c == ours else f"{c} (for {ours})" for c, ours in lacking.items())
    has = ", ".join(c for c in table.frame.columns if c != "line")
    return Refusal("missing_column", f"the file lacks {names}", f"it has {has}: add the column, or correct the mapping")
