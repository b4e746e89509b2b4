"""What may be written in a mapping file, and what is said when something else is."""

from __future__ import annotations

import codecs
import datetime as dt
from typing import Any

from registry.errors import MappingError, choose

TOP = ("name", "table", "catalogue", "centre", "extracted_on", "redcap")
READING = ("separator", "encoding", "skip_rows", "sheet")
ENTRY = (
    "file", "table", "columns", "wide", "where", "first_of", "filled", "same_for", "spread", "decimal", "missing",
    *READING,
)  # fmt: skip
FIELD = (
    "column", "value", "line", "codes", "others", "factor", "format", "subtract_from", "anchor", "day", "unit",
    "prefix", "missing",
)  # fmt: skip
# What a proposed mapping says where a person has to decide.
CHOOSE = "CHOOSE"
UNIT_DAYS = {"day": 1.0, "week": 7.0, "month": 365.25 / 12, "year": 365.25}


def names(given: Any, where: str) -> tuple[str, ...]:
    """Return names of their columns, given as one or as a list."""
    found = (given,) if isinstance(given, str) else given
    if not isinstance(found, list | tuple) or not all(isinstance(n, str) for n in found):
        raise MappingError(f"{where}: write the name of their column in quotes, or a list of names.")
    return tuple(found)


def check_field(spec: Any, where: str) -> None:
    """Refuse a column of ours whose source is not stated in full."""
    if isinstance(spec, str):
        return
    if not isinstance(spec, dict):
        raise MappingError(f"{where}: write the name of their column in quotes, or {{ value = {spec!r} }}.")
    for key in spec:
        choose(key, FIELD, f"{where}: option")
    if not spec.keys() & {"column", "value", "anchor", "line"}:
        raise MappingError(f"{where}: needs column, value, anchor or line: where does the value come from?")
    if spec.get("value") == CHOOSE:
        raise MappingError(
            f"{where}: still says {CHOOSE}. Say what it is for every row, or name the column that says it."
        )
    if spec.get("line", True) is not True:
        raise MappingError(f"{where}: write line = true: the number of the row's line in the file.")
    choose(spec.get("unit", "day"), UNIT_DAYS, f"{where}: unit")
    for option in {"factor", "subtract_from", "day"} & spec.keys():
        if not isinstance(spec[option], int | float):
            raise MappingError(f"{where}: {option} must be a number, not {spec[option]!r}.")
    if "anchor" in spec:
        try:
            dt.date.fromisoformat(str(spec["anchor"]))
        except ValueError:
            raise MappingError(f"{where}: anchor must be a date as YYYY-MM-DD, not {spec['anchor']!r}.") from None


def check_reading(raw: dict[str, Any], where: str) -> None:
    """Refuse options by which no file could be read."""
    try:
        codecs.lookup(raw.get("encoding", "utf-8"))
    except LookupError:
        raise MappingError(
            f"{where}: encoding {raw['encoding']!r} is not known. Usual: utf-8, cp1252, latin-1."
        ) from None
    for option, default in (("separator", ","), ("decimal", ".")):
        if not isinstance(raw.get(option, default), str) or len(raw.get(option, default)) != 1:
            raise MappingError(f"{where}: {option} must be one character, not {raw[option]!r}.")
    if ("spread" in raw) != ("same_for" in raw) or not isinstance(raw.get("same_for", ""), str):
        raise MappingError(f"{where}: spread and same_for go together: spread = [columns], same_for = 'record_id'.")
    if not isinstance(raw.get("skip_rows", 0), int) or raw.get("skip_rows", 0) < 0:
        raise MappingError(f"{where}: skip_rows must be a whole number, not {raw['skip_rows']!r}.")
