"""What leaves: text that a spreadsheet would run, counts that the rest would give away, counts in messages."""

from __future__ import annotations

import re

import polars as pl

# What small reasons are called where they are put together.
FEW_REASONS = "other reasons, each of few courses"
# A sign before a digit is a number and stays.
_FORMULA = r"^(?:[=@\t\r]|[+-][^0-9.])"


def safe_for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with an apostrophe before each text that a spreadsheet would run (OWASP, CSV injection)."""
    text = pl.col(pl.String)
    return frame.with_columns(pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep())


def given_away_by_the_rest(frame: pl.DataFrame, hidden: pl.Series) -> list[bool]:
    """Return which counts must go with those hidden, where all states of a visit add up to a number that is shown.

    One state (or kind of goal, or case told) hidden alone would be the rest: the next smallest goes with it. Ways from
    visit to visit add up from both sides: where one is hidden, all of that visit are.
    """
    parts = frame.with_row_index("at").with_columns(
        hidden=hidden,
        part=pl.when(pl.col("quantity").str.starts_with("at_"))
        .then(pl.lit("state"))
        .when(pl.col("quantity").str.contains(" → "))
        .then(pl.lit("way"))
        .when(pl.col("quantity").str.starts_with("goal_attained: "))
        .then(pl.lit("kind of goal"))
        .when(pl.col("quantity").str.starts_with("goal_attained, told "))
        .then(pl.lit("case told")),
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


# A count in a message: of courses, patients and the like, or at the head of an entry in a list of reasons.
_PEOPLE = "(?:courses?|patients?|decisions?|events?|boosters?|were|was|had|have)"
_NO_PEOPLE = "(?:months?|weeks?|days?|years?|groups?|of)"
_COUNT = re.compile(
    rf"(?:\b(?:only|at most) )?(?<![\w.,/-])(?P<of>\d+)(?= {_PEOPLE}\b)"
    rf"|(?:(?<=; )|(?<=\. )|^)(?P<reason>\d+)(?= (?!{_NO_PEOPLE}\b)[a-z])"
)


def in_few(text: str, smallest: int) -> str:
    """Return a message with its counts of people hidden, if one of them is small: others could give it away."""
    counts = [int(m["of"] or m["reason"]) for m in _COUNT.finditer(text)]
    if not any(0 < n < smallest for n in counts):
        return text
    hidden = iter(f"fewer than {smallest}" if n < smallest else f"{smallest} or more" for n in counts)
    told = _COUNT.sub(lambda _: next(hidden), text)
    return told.replace(f"fewer than {smallest} course was", f"fewer than {smallest} courses were")
