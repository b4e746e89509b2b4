"""No text of a table can be run by the spreadsheet that opens it; numbers stay numbers."""

import polars as pl
import pytest

from analysis.cells import safe_for_spreadsheets


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-cmd", "\t=1", "\r=1", "--1", "-(1)"])
def test_what_a_spreadsheet_would_run_is_text(text):
    assert safe_for_spreadsheets(pl.DataFrame({"a": [text]}))["a"].to_list() == ["'" + text]


def test_everything_else_stays_as_it_is():
    frame = pl.DataFrame(
        {"a": ["-3.2 (-5 to -1)", "+0.5", "early - moderate", "", None, "a=b"], "n": [1, 2, 3, 4, 5, -6]}
    )
    assert safe_for_spreadsheets(frame).equals(frame)
    assert safe_for_spreadsheets(pl.DataFrame({"n": [-1.5]})).equals(pl.DataFrame({"n": [-1.5]}))
