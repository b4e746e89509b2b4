"""Text that a spreadsheet would run, made harmless in every CSV that leaves."""

from __future__ import annotations

import polars as pl

# A sign before a digit is a number and stays.
_FORMULA = r"^(?:[=@\t\r]|[+-][^0-9.])"


def safe_for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with an apostrophe before each text that a spreadsheet would run (OWASP, CSV injection)."""
    text = pl.col(pl.String)
    return frame.with_columns(pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep())
