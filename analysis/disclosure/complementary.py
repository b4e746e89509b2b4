"""What must go with a small cell, or be found by subtraction: in parts and totals, nested groups, centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.disclosure.policy import POLICY

Counts = NDArray[np.int64]
Bools = NDArray[np.bool_]
Line = tuple[NDArray[np.integer[Any]], int | None]


def also_hidden(n: Counts, hidden: Bools, smallest: int) -> Bools:
    """Return which parts of a known total go with those hidden: the next smallest, one after another.

    What is hidden must be two parts or more, together `smallest` or more, not all alike, and not so many that they fit
    below the next that is shown in one way only: else the rest of the total would give each away. Which of
    them are small is not said, so that any of them may be; the tests find no number by trying all that fit.

    Parameters
    ----------
    n, hidden
        Counts that add up to a number that is shown, and which of them are hidden already; arrays of one length.
    smallest
        Fewest that may be shown.
    """
    gone = hidden.copy()
    while not _enough(n, gone, smallest) and (~gone & (n > 0)).any():
        gone[int(np.argmin(np.where(~gone & (n > 0), n, n.max() + 1)))] = True
    return np.asarray(gone & ~hidden)


def _enough(n: Counts, gone: Bools, smallest: int) -> bool:
    """Say whether the rest of a known total gives away none of those hidden."""
    parts, together, shown = int(gone.sum()), int(n[gone].sum()), n[~gone & (n > 0)]
    if not parts:
        return True
    # One of them small, the others below the next.
    most = (parts - 1) * (int(shown.min()) - 1) + smallest - 1 if shown.size else together
    # All of one course, or all of the most that is small, would be told by their sum.
    alike = together in (parts, parts * (smallest - 1))
    return parts >= 2 and smallest <= together <= most and not alike


def closed(n: Counts, hidden: Bools, lines: list[Line], smallest: int, *, totals_go: bool = False) -> Bools:
    """Return which numbers must be hidden, where they add up along several lines, until no line gives one away.

    Parameters
    ----------
    n, hidden
        Counts (m,), and which of them are hidden already.
    lines
        Where the parts of each sum are, and where their total is: None where it is told elsewhere.
    smallest
        Fewest that may be shown.
    totals_go
        Whether a total goes with any hidden part of it, rather than another part.
    """
    gone = hidden.copy()
    while True:
        before = gone.copy()
        for parts, total in lines:
            if total is not None and totals_go and gone[parts].any():
                gone[total] = True
            if total is not None and gone[total]:
                # The parts would add up to it.
                some = n[parts] > 0
                if some.any() and not gone[parts].any():
                    gone[parts[int(np.argmin(np.where(some, n[parts], n.max() + 1)))]] = True
                continue
            gone[parts] |= also_hidden(n[parts], gone[parts], smallest)
            if total is not None and not _enough(n[parts], gone[parts], smallest):
                gone[total] = True
        if (gone == before).all():
            return gone


def given_away_by_the_rest(frame: pl.DataFrame, hidden: pl.Series, smallest: int) -> list[bool]:
    """Return which counts must go with those hidden, where all states of a visit add up to a number that is shown.

    States (or kinds of goal, cases told, patterns of visits) go as :func:`also_hidden` says. Ways from visit to visit
    add up from both sides: where one is hidden, all of that visit are.
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
        .then(pl.lit("case told"))
        .when(pl.col("quantity").str.starts_with("seen: "))
        .then(pl.lit("pattern")),
    )
    out = np.zeros(frame.height, dtype=bool)
    for (_, _, part), group in parts.drop_nulls("part").group_by(["stratum", "time_day", "part"], maintain_order=True):
        gone, n = group["hidden"].to_numpy(), group["n"].fill_null(0).to_numpy()
        also = gone.any() & ~gone & (n > 0) if part == "way" else also_hidden(n, gone, smallest)
        out[group["at"].to_numpy()[also]] = True
    return [bool(x) for x in out]


def hide_levels(frame: pl.DataFrame, n: pl.Series, smallest: int) -> pl.DataFrame:
    """Hide of a description what its hidden numbers could be found from.

    Levels of a variable add up to those who have it, strata to all: what is hidden in a stratum is hidden in all. Those
    who have it and those who lack it add up to the courses: where few lack it, no number of it says of how many it is,
    and none is exact enough to tell.

    Parameters
    ----------
    frame, n
        ``analysis.description`` with small cells hidden, and its counts before they were.
    smallest
        Fewest courses that may be shown.
    """
    counted = pl.col("quantity").str.ends_with("share") | pl.col("quantity").str.ends_with("missing")
    rows = frame.with_columns(
        n=n.fill_null(0), gone=pl.col("n").is_null(), weighted=pl.col("quantity").str.contains(": weighted"),
        variable=pl.col("quantity").str.split(" = ").list.first(),
    ).with_row_index("at").filter(counted)  # fmt: skip
    levels = rows.filter(pl.col("quantity").str.ends_with("share"))
    by = ["stratum", "variable", "weighted"]
    lines: list[Line] = [(group["at"].to_numpy(), None) for _, group in levels.group_by(by, maintain_order=True)]
    for _, group in rows.group_by("quantity", maintain_order=True):
        over = group.filter(stratum="all")["at"].to_list()
        if over and group.height > 1:
            lines.append((group.filter(pl.col("stratum") != "all")["at"].to_numpy(), over[0]))
    whole, hidden = np.zeros(frame.height, dtype=np.int64), np.zeros(frame.height, dtype=bool)
    whole[rows["at"].to_numpy()], hidden[rows["at"].to_numpy()] = rows["n"].to_numpy(), rows["gone"].to_numpy()
    small = pl.Series(closed(whole, hidden, lines, smallest, totals_go=True) & ~hidden)
    covered = [pl.when(~small).then(pl.col(c)).alias(c) for c in ("estimate", "n")]
    frame = frame.with_columns(*covered, pl.when(small).then(hidden_note(smallest)).otherwise("note").alias("note"))
    return _of_how_many(_without_all(frame))


def _without_all(frame: pl.DataFrame) -> pl.DataFrame:
    """Hide all numbers over all strata where a whole stratum is hidden: it would be the rest."""
    sizes = frame.filter(pl.col("quantity") == "courses", pl.col("stratum") != "all")["denominator"]
    if not sizes.null_count():
        return frame
    gone = pl.col("stratum") == "all"
    covered = [pl.when(~gone).then(pl.col(c)).alias(c) for c in ("estimate", "low", "high", "n", "denominator")]
    told = pl.lit("suppressed: a stratum would be the rest of all")
    return frame.with_columns(*covered, pl.when(gone).then(told).otherwise("note").alias("note"))


def _of_how_many(frame: pl.DataFrame) -> pl.DataFrame:
    """Hide of how many the numbers of a variable are where few lack it: the courses less that would be the few."""
    missing = pl.col("quantity").str.ends_with(": missing") & pl.col("note").str.starts_with("suppressed")
    few = frame.filter(missing).select(
        "stratum", variable=pl.col("quantity").str.strip_suffix(": missing"), few=True
    )  # fmt: skip
    variable = pl.col("quantity").str.split(" = ").list.first().str.split(": ").list.first()
    counted = ~pl.col("quantity").str.ends_with("missing") & ~pl.col("quantity").str.ends_with("smd")
    marked = frame.with_columns(variable=variable).join(
        few, on=["stratum", "variable"], how="left", maintain_order="left"
    )
    there = pl.col("few").fill_null(False) & counted & pl.col("estimate").is_not_null()
    coarse = pl.when(pl.col("quantity").str.ends_with("share")).then(pl.col("estimate").round(2))
    return marked.with_columns(
        pl.when(there).then(coarse.otherwise(pl.col("estimate").round_sig_figs(3))).otherwise("estimate").alias("estimate"),
        *(pl.when(~(pl.col("few").fill_null(False) & counted)).then(pl.col(c)).alias(c) for c in ("n", "denominator")),
        pl.when(there).then(pl.lit("of how many is not said, as how many lack it is not"))
        .otherwise("note").alias("note"),
    ).select(frame.columns)  # fmt: skip


def hidden_note(smallest: int) -> pl.Expr:
    """Return what stands in the place of a hidden number, be it small or hidden with a small one."""
    return pl.lit(f"suppressed: fewer than {smallest}")


def hide_between(frame: pl.DataFrame, nested: list[tuple[str, str]], smallest: int) -> pl.DataFrame:
    """Hide numbers of a group that would tell, beside those of the group that holds it, of the few in between."""
    for outer, inner in nested:
        wide = frame.filter(stratum=outer).select("quantity", n_out="n", of_out="denominator").unique("quantity")
        joined = frame.join(wide, on="quantity", how="left", maintain_order="left")
        few = pl.lit(False)
        for ours, theirs in (("n", "n_out"), ("denominator", "of_out")):
            few |= (pl.col(theirs) - pl.col(ours)).is_between(1, smallest - 1).fill_null(False)
        small = few & (pl.col("stratum") == inner)
        covered = [pl.when(~small).then(pl.col(c)).alias(c) for c in ("estimate", "n", "denominator")]
        note = pl.when(small).then(pl.lit(f"suppressed: fewer than {smallest} of the larger group are not in it"))
        frame = joined.with_columns(*covered, note.otherwise("note").alias("note")).select(frame.columns)
    return frame


def given_away(events: Counts, courses: Counts, smallest: int) -> Bools:
    """Return which cells must be hidden: of few, and those that sums would give away with them.

    Parameters
    ----------
    events, courses
        Counts by grade and relation (G + 1, R + 1); the last row and column are totals, to which events add up.
    smallest
        Fewest that may be shown; none may.

    Returns
    -------
    NDArray
        In each row and column whose total is shown, what is hidden is two cells or more, together `smallest` or more.
        The total of all is hidden only if it is of few.
    """
    hidden = ((events > 0) & (events < smallest)) | ((courses > 0) & (courses < smallest))
    at = np.arange(events.size).reshape(events.shape)
    lines: list[Line] = [(line[:-1], int(line[-1])) for line in (*at, *at.T)]
    gone = closed(events.ravel(), hidden.ravel(), lines, smallest).reshape(events.shape)
    if gone[-1, -1] and not hidden[-1, -1]:
        # Other tables show how many there are in all: nothing within may be told that would be known from it.
        gone = events > 0
        gone[-1, -1] = False
    return gone


def refusals(
    patients: list[tuple[str, int]], of_no_centre: int = 0, smallest: int = POLICY.smallest_cell
) -> dict[str, str | None]:
    """Return each centre with the reason why it gets no report of its own, or None if it gets one.

    A centre of few patients gets none. What all have together is told too, so that the patients of those without a
    report are all but those of the others: where they are few, the next smallest centre gets none either.

    Parameters
    ----------
    patients
        Centre and its number of patients, smallest first.
    of_no_centre
        Patients whose centre is not known: they are in the report of all alone.
    """
    reasons: dict[str, str | None] = {}
    rest = of_no_centre
    for centre, n in patients:
        reasons[centre] = None
        if n < smallest:
            reasons[centre] = f"fewer than {smallest} patients: its report could point to a person"
        elif 0 < rest < smallest:
            reasons[centre] = "few patients are in no centre's report, and all others' would give them away"
        if reasons[centre]:
            rest += n
    return reasons
