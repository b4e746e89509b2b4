"""Datasets of rows that leave: what disclosure control works on, and every format is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class Variable:
    """One column: its name and label (:mod:`reports.xport` says which), allowed codes, unit, words for its values."""

    name: str
    label: str
    codes: tuple[str, ...] = ()
    unit: str = ""
    words: Mapping[str, str] | Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A table as it leaves: its name, label, what a row is, the columns that name it, and the rows."""

    name: str
    label: str
    grain: str
    keys: tuple[str, ...]
    variables: tuple[Variable, ...]
    frame: pl.DataFrame


def type_of(frame: pl.DataFrame, name: str) -> str:
    """Return the type of a column as CDISC calls it: boolean, date, string, integer or float."""
    kind = frame.schema[name]
    if kind in (pl.Boolean, pl.Date):
        return "boolean" if kind == pl.Boolean else "date"
    return "string" if kind == pl.String else ("integer" if kind.is_integer() else "float")
