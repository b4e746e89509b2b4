"""What is counted of a cohort for a question: all that its estimate needs, and nothing of any one patient's row.

Every question has two halves. One places a cohort before the SQL reductions and keeps what they count; the other makes
the answer from those counts. Between the two there is a `Reduction`: it can leave a centre, and those of several
centres add up (:mod:`analysis.pooled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import polars as pl

from analysis.cohort import Stratum


@dataclass(frozen=True)
class Reduction:
    """The counts of a cohort for a question.

    Attributes
    ----------
    question
        Name of the question, e.g. ``time_to_response``.
    placed
        The arguments that decided who and what was counted; they cannot be changed afterwards.
    strata
        In order, with those nobody is in.
    frames
        Reductions by their name in ``sql/reduction``, e.g. ``response_cell``.
    flow
        One row a reason with the number of courses that left for it: ``reason, n``.
    settings
        What a result tells of the cohort: selection, programmes, data cut, definition, versions.
    notes
        What a reader must know before quoting a number.
    rows
        Rows of courses, for the parts of an answer that counts cannot give. They never leave the registry.

    Examples
    --------
    >>> reduce_for(knees, "joint_replacement")
    Reduction for joint_replacement by stage: ...
    """

    question: str
    placed: dict[str, Any]
    strata: tuple[Stratum, ...]
    frames: dict[str, pl.DataFrame]
    flow: pl.DataFrame
    settings: dict[str, Any]
    notes: tuple[str, ...] = ()
    rows: dict[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def by(self) -> str:
        """What separates the strata."""
        return str(self.settings["by"])

    @property
    def coarse(self) -> bool:
        """Whether counts of few were joined in it, or in those of some centre pooled."""
        of = [self.settings, *self.settings.get("centres", ())]
        return any(s.get("small_counts", "exact") != "exact" for s in of)

    def why_nobody(self) -> str:
        """Return the reasons for which courses left, the most frequent first, in a sentence's words."""
        left = self.flow[1:-1].sort("n", descending=True, maintain_order=True)
        return "; ".join(f"{n} {reason}" for reason, n in left.iter_rows())

    def __repr__(self) -> str:
        lines = [f"Reduction for {self.question} by {self.by}: {self.flow['n'][-1]:,} courses"]
        lines += [f"  {name}: {frame.height:,} rows" for name, frame in self.frames.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(n)}</td><td>{f.height:,}</td></tr>" for n, f in self.frames.items())
        return f"<table><caption>{escape(repr(self).splitlines()[0])}</caption>{rows}</table>"


def gathered(cells: pl.DataFrame, patterns: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Number cells that have the same `keys` as one, in the order of the keys, and let the patterns refer to these.

    Parameters
    ----------
    cells
        ``cell``, the keys, and ``n``, which is added up. Several cells may have the same keys.
    patterns
        ``pattern, cell, n_courses, n_patients``: the cells to which a patient of this pattern contributes.

    Returns
    -------
    The cells ``cell, *keys, n``, numbered from 1, and the patterns.
    """
    one = cells.group_by(*keys).agg(pl.col("n").sum()).sort(*keys)
    one = one.with_columns(cell=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)).select(["cell", *keys, "n"])
    into = cells.rename({"cell": "old"}).join(one.drop("n"), on=list(keys)).select("old", "cell")
    moved = patterns.rename({"cell": "old"}).join(into, on="old").group_by("pattern", "cell")
    return one, moved.agg(pl.col("n_courses").sum(), pl.col("n_patients").first()).sort("pattern", "cell")


def same_as_one(patterns: pl.DataFrame) -> pl.DataFrame:
    """Return the patterns with those of the same cells and counts as one, named as the reductions in ``sql`` do."""
    ordered = patterns.sort("pattern", "cell")
    part = pl.format("{}x{}", "cell", "n_courses")
    named = ordered.with_columns(now=part.str.join(",").over("pattern"))
    patients = named.unique("pattern").group_by("now").agg(pl.col("n_patients").sum())
    shape = named.unique(["now", "cell"]).select("now", "cell", "n_courses")
    return shape.join(patients, on="now").rename({"now": "pattern"}).select(patterns.columns).sort("pattern", "cell")
