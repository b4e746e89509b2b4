"""Rows beside tables of the same courses: what neither gives away alone, and one less the other would.

Tables count everybody; rows are of those who consented, and some have lost a value. Per severity stage, by which tables
are made, the tables less the rows are the courses that are not in the rows, and the values that were taken away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING

import polars as pl

from analysis.disclosure.policy import POLICY
from registry.errors import UsageError

if TYPE_CHECKING:
    from analysis.description import Description

GIVEN_BACK = "suppressed: with the rows it would give back what was taken away"
# What table 1 shows of a quasi-identifier, by its own name and by what says it (analysis.disclosure.proxies).
_SHOWN = {
    "sex": ("sex",),
    "diagnosis": ("diagnosis",),
    "site": ("site", "side", "route"),
    "origin": ("origin", "donor", "separation", "expanded", "product"),
}


def refuse_few_between(tables: pl.DataFrame, rows: pl.DataFrame, smallest: int = POLICY.smallest_cell) -> None:
    """Refuse rows beside tables that have few courses more, in all or in a stage: the outcomes of these would be left.

    Parameters
    ----------
    tables, rows
        ``course_id, stage`` of the courses that are in each.

    Raises
    ------
    UsageError
        With what to do.
    """
    more = tables.join(rows, on="course_id", how="anti")
    counts = [more.height, *more.group_by("stage").len()["len"].to_list()]
    if any(0 < n < smallest for n in counts):
        raise UsageError(
            f"Fewer than {smallest} courses of a stage are in the tables and not in the rows, since no consent covers "
            "it: the tables less the rows would be theirs. Nothing was written. Write the package without rows, and "
            "rows into a folder of their own for whoever has no package: catamnesis rows."
        )


def found_by_subtraction(tables: pl.DataFrame, rows: pl.DataFrame, k: int) -> set[str]:
    """Return the quasi-identifiers whose values, taken away in rows, counts by stage would give back.

    Of the origin that counts over all stages would give back, ``product`` is among them: harm is told by product.

    Parameters
    ----------
    tables
        ``course_id, patient_id, stage`` and quasi-identifiers of all courses that tables count.
    rows
        The same of the courses in the rows, with values taken away.
    k
        Patients who must be alike: fewer in a stage without the value, or all with the same, are found.
    """
    found = set()
    for name in _SHOWN:
        held = tables.join(rows.select("course_id", left=name), on="course_id", how="left").drop_nulls(name)
        if _given_back(held, name, k):
            found.add(name)
        if name == "origin" and _given_back(held.with_columns(stage=pl.lit("all")), name, k):
            found.add("product")
    return found


def _given_back(held: pl.DataFrame, name: str, k: int) -> bool:
    unknown = held.filter(pl.col("left").is_null())
    levels = held.group_by("stage").agg(levels=pl.col(name).n_unique())
    parts = unknown.group_by("stage").agg(
        patients=pl.col("patient_id").n_unique(), values=pl.col(name).n_unique()
    ).join(levels, on="stage", nulls_equal=True)  # fmt: skip
    # Where the stage has one value only, everybody is known to have it.
    return parts.filter(pl.col("levels") > 1, (pl.col("patients") < k) | (pl.col("values") == 1)).height > 0


def without_variables(made: Description, quasi: Collection[str]) -> Description:
    """Return table 1 without the numbers of these quasi-identifiers and of what says them."""
    names = [name for q in quasi for name in _SHOWN.get(q, ())]
    variable = pl.col("quantity").str.split(" = ").list.first().str.split(": ").list.first()
    gone = variable.is_in(names)
    covered = [pl.when(~gone).then(pl.col(c)).alias(c) for c in ("estimate", "low", "high", "n", "denominator")]
    told = pl.lit(GIVEN_BACK)
    frame = made.frame.with_columns(*covered, pl.when(gone).then(told).otherwise("note").alias("note"))
    return dataclasses.replace(made, frame=frame)
