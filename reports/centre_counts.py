"""The counts of one centre, written for a pooled analysis, with what making them coarse costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from analysis import reduce_for, write_counts
from analysis.disclosure import POLICY
from analysis.disclosure.small_counts import coarsened, cost, sentences
from analysis.pooled import QUESTIONS, takes
from registry import Courses
from registry.errors import NotEstimable, choose


@dataclass(frozen=True)
class CentreCounts:
    """What was written: `path`, courses by question, what was joined, what that costs, what cannot be asked.

    `warnings` say what the centre must weigh before it sends the file.
    """

    path: Path
    centre: str
    courses: dict[str, int]
    notes: dict[str, list[str]]
    costs: dict[str, pl.DataFrame]
    not_counted: dict[str, str]
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return what happened, for people."""
        said = [f"Wrote {self.path}: counts of {self.centre}. It is a zip of text tables: look before you send it."]
        for question, n in self.courses.items():
            said.append(f"{question}: {n:,} courses")
            said += [f"  {note}" for note in self.notes.get(question, ())]
            if question in self.costs:
                said += [f"  cost of joining, {line}" for line in sentences(self.costs[question])]
        said += [f"{question}: not counted. {why}" for question, why in self.not_counted.items()]
        return said + [f"Warning: {warning}" for warning in self.warnings]

    def to_dict(self) -> dict[str, Any]:
        """Return the same for machines."""
        costs = {q: frame.to_dicts() for q, frame in self.costs.items()}
        return {"file": str(self.path), "centre": self.centre, "courses": self.courses, "notes": self.notes,
                "cost_of_small_counts": costs, "not_counted": self.not_counted,
                "warnings": list(self.warnings)}  # fmt: skip


def _subtracted(questions: Sequence[str], smallest: int | None) -> tuple[str, ...]:
    """Return the warning that one question tells what another hides, where some count was to be hidden."""
    if smallest is None or len(questions) < 2:
        return ()
    return (
        f"{', '.join(questions)} are of the same courses. Where one has a total exactly and another all of it but a "
        f"kind that was rounded, a subtraction can give the count of fewer than {smallest} back. Send one question "
        "(--question), or these only where it is agreed that such counts may be known.",
    )


def wanted(questions: Sequence[str] | None) -> list[str]:
    """Return the questions to count for by the name of their function; None or none of them: all.

    Raises
    ------
    UsageError
        When counts cannot answer one.
    """
    named = [q.replace("-", "_") for q in questions or QUESTIONS]
    return [choose(q, QUESTIONS, "Questions that counts can answer:") for q in named]


def count_centre(
    courses: Courses,
    out: Path,
    centre: str,
    *,
    questions: Sequence[str] | None = None,
    how: dict[str, Any] | None = None,
    smallest: int | None = POLICY.smallest_cell,
) -> CentreCounts:
    """Write the counts of `courses` for the questions that counts can answer.

    Parameters
    ----------
    questions
        Some of them, with hyphens or not; default: all.
    how
        Arguments of the questions; each takes those that it knows.
    smallest
        Counts of fewer courses are joined or rounded; None sends all as they are.

    Raises
    ------
    NotEstimable
        When none of the questions can be counted for.
    """
    sent, notes, costs, not_counted = [], {}, {}, {}
    counted: dict[str, int] = {}
    for question in wanted(questions):
        mine = {k: v for k, v in (how or {}).items() if k in takes(question)}
        try:
            exact = reduce_for(courses, question, **mine)
            kept = int(exact.flow["n"][-1])
            if kept < (smallest or 1):
                few = f"Fewer than {smallest} courses" if kept else "No course"
                raise NotEstimable(f"{few} can be counted for it: nothing leaves.")
        except NotEstimable as error:
            not_counted[question] = str(error)
            continue
        counted[question] = kept
        if smallest is not None:
            coarse = coarsened(exact, smallest)
            costs[question] = cost(exact, coarse)
            notes[question] = [n for n in coarse.notes if n not in exact.notes]
            sent.append(coarse)
        else:
            sent.append(exact)
    if not sent:
        raise NotEstimable("; ".join(dict.fromkeys(not_counted.values())))
    write_counts(out, sent, centre)
    return CentreCounts(out, centre, counted, notes, costs, not_counted, _subtracted(list(counted), smallest))
