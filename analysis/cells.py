"""Cells that leave: text that a spreadsheet would run, and counts that the rest would give away."""

from __future__ import annotations

import polars as pl

# A sign before a digit is a number and stays.
_FORMULA = r"^(?:[=@\t\r]|[+-][^0-9.])"


def safe_for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with an apostrophe before each text that a spreadsheet would run (OWASP, CSV injection)."""
    text = pl.col(pl.String)
    return frame.with_columns(pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep())


def given_away_by_the_rest(frame: pl.DataFrame, hidden: pl.Series) -> list[bool]:
    """Return which counts must go with those hidden, where all states of a visit add up to a number that is shown.

    One state hidden alone would be the rest: the next smallest goes with it. Ways from visit to visit add up from both
    sides: where one is hidden, all of that visit are.
    """
    parts = frame.with_row_index("at").with_columns(
        hidden=hidden,
        part=pl.when(pl.col("quantity").str.starts_with("at_"))
        .then(pl.lit("state"))
        .when(pl.col("quantity").str.contains(" → "))
        .then(pl.lit("way")),
    )
    out = [False] * frame.height
    for (_, _, part), group in parts.drop_nulls("part").group_by(["stratum", "time_day", "part"]):
        gone = group.filter("hidden").height
        left = group.filter(~pl.col("hidden"), pl.col("n") > 0).sort("n", "at")
        if part == "way" and gone:
            also = left
        else:
            also = left.head(1 if gone == 1 else 0)
        for at in also["at"]:
            out[at] = True
    return out
