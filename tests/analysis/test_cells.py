"""No text of a table is run by the spreadsheet that opens it, and no message that leaves gives a few people away."""

import polars as pl
import pytest

from analysis.cells import safe_for_spreadsheets
from analysis.disclosure.messages import in_few


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-cmd", "\t=1", "\r=1", "--1", "-(1)"])
def test_what_a_spreadsheet_would_run_is_text(text):
    assert safe_for_spreadsheets(pl.DataFrame({"a": [text]}))["a"].to_list() == ["'" + text]


def test_everything_else_stays_as_it_is():
    frame = pl.DataFrame(
        {"a": ["-3.2 (-5 to -1)", "+0.5", "early - moderate", "", None, "a=b"], "n": [1, 2, 3, 4, 5, -6]}
    )
    assert safe_for_spreadsheets(frame).equals(frame)
    assert safe_for_spreadsheets(pl.DataFrame({"n": [-1.5]})).equals(pl.DataFrame({"n": [-1.5]}))


@pytest.mark.parametrize(
    ("message", "leaves"),
    [
        ("6 months: only 3 courses were seen; the visit is left out.",
         "6 months: fewer than 5 courses were seen; the visit is left out."),
        ("at most 4 were seen, 12 are needed.", "fewer than 5 were seen, 12 are needed."),
        # One reason of few could be found from the total: the others go with it.
        ("No course can be judged. 12 no baseline; 2 no visit after", "No course can be judged. 5 or more no baseline; fewer than 5 no visit after"),
        ("12 no baseline; 7 no visit after", "12 no baseline; 7 no visit after"),
        ("stage 3: 24 courses were seen", "stage 3: 24 courses were seen"),
        ("early: 1 course was seen after treatment; at least 20 are needed",
         "early: fewer than 5 courses were seen after treatment; at least 20 are needed"),
        ("early: 2 courses were seen after treatment; at least 20 are needed",
         "early: fewer than 5 courses were seen after treatment; at least 20 are needed"),
        ("2 groups of centre have a number: three or more are needed", "2 groups of centre have a number: three or more are needed"),
        ("A shorter horizon_day than 365 days. 3 months or more", "A shorter horizon_day than 365 days. 3 months or more"),
    ],
)  # fmt: skip
def test_a_message_that_leaves_gives_no_few_away(message, leaves):
    assert in_few(message, 5) == leaves
