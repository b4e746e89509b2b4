"""Text that spreadsheets would take for a formula: a data value must not be able to run anything where it is opened."""

from __future__ import annotations

import polars as pl

# A sign before a digit is a number and stays.
_FORMULA = r"^(?:[=@\t\r]|[+-][^0-9.])"


def safe_for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with an apostrophe before each text that a spreadsheet would run (OWASP, CSV injection)."""
    text = pl.col(pl.String)
    return frame.with_columns(pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep())
