"""How one column of the record is stated: meaning, unit, limits and allowed values in one place.

The statement is read by the schema (SQLModel), by the loader (its rules) and by the data dictionary,
so that no list of allowed values is written twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlmodel import Field


@dataclass(frozen=True)
class Reference:
    """A row of another table that this row belongs to.

    Attributes
    ----------
    column
        The identifier held in this table, e.g. ``target_id``.
    table
        The table referred to, e.g. ``target``.
    parts
        Columns of the source file that together name the other row.
    optional
        Whether the row may stand without it (all parts empty).
    """

    column: str
    table: str
    parts: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class Source:
    """How a table looks in a clinic's file.

    Attributes
    ----------
    file
        Name of the file (or sheet) in the template, without extension.
    key
        Source columns that name a row: the same key met again is the same row.
    references
        Rows of other tables named by source columns.
    """

    file: str
    key: tuple[str, ...]
    references: tuple[Reference, ...] = ()


def column(
    description: str,
    *,
    required: bool = False,
    vocabulary: str | None = None,
    low: float | None = None,
    high: float | None = None,
    unit: str | None = None,
    decimal: bool = False,
    partial_date: bool = False,
) -> Any:
    """State one column; everything but `required` columns may be empty (empty means not known, never "no").

    Parameters
    ----------
    description
        Meaning in a sentence for the data dictionary.
    vocabulary
        Name of the list of allowed codes in ``catalogue.vocabulary``, or ``table.column`` of another catalogue.
    low, high
        Smallest and largest believable value, in `unit`.
    decimal
        Kept as DECIMAL(12, 4): sums of binary floating point differ in the last digits between runs with two threads.
    partial_date
        A date known to the month or year only is accepted, and its precision kept in ``<name>_precision``.
    """
    info = {
        "required": required,
        "vocabulary": vocabulary,
        "low": low,
        "high": high,
        "unit": unit,
        "partial_date": partial_date,
    }
    digits: dict[str, Any] = {"max_digits": 12, "decimal_places": 4} if decimal else {}
    return Field(
        default=None, description=description, sa_column_kwargs={"info": info, "comment": description}, **digits
    )
