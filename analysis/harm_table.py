"""Safety by grade and relation: how many adverse events of each CTCAE grade, related or not, with exact limits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from html import escape
from typing import Any, cast

import numpy as np
import polars as pl

from analysis.cohort import By, allowed, check_confidence, common_settings
from analysis.disclosure import HIDDEN, POLICY
from analysis.disclosure.complementary import given_away
from analysis.exposure import exposure_note
from analysis.numerics.exact import Clustered, clustered_rate, clustered_share
from analysis.result import Result, diagnostics_of, frame_of, row
from analysis.safety import RelatedTo, place_harm, reduce_harm, what_is_counted
from analysis.told import rows_used
from registry import Courses
from registry.errors import choose
from registry.loadreport import html_table

# Parts first, then what they add up to.
GRADES = ("1", "2", "3", "4", "5", "any")
RELATIONS = ("related", "not related", "not stated", "any")
# The rows of a cell: events per 100 sessions, and courses with one; none where nobody is in the stratum.
Cell = tuple[dict[str, Any] | None, dict[str, Any] | None]
_RATE, _SHARE = "events_per_100_sessions", "courses_with_event"


@dataclass(frozen=True, repr=False)
class HarmTable(Result):
    """The answer of :func:`safety_by_grade`; :meth:`table` lays it out as grades and relations × strata."""

    def table(self) -> pl.DataFrame:
        """Return the table as text: ``grade, relation``, a column a stratum; made from `frame` alone.

        In a cell: events (courses with one); events per 100 sessions with limits. Relations of a grade without any
        event are left out.
        """
        labels, out = [s["label"] for s in self.filled_strata], []
        for grade, relation, cells in self.lines():
            line = {"grade": _grade(grade) if relation == "any" else "", "relation": relation}
            out.append({**line, **{label: _text(*cell) for label, cell in zip(labels, cells, strict=True)}})
        return pl.DataFrame(out)

    def lines(self) -> list[tuple[str, str, list[Cell]]]:
        """Return grade, relation and cells of the strata that somebody is in: each grade in all, then by relation."""
        cells = {(r["stratum"], r["quantity"]): r for r in self.frame.iter_rows(named=True)}
        codes = [s["code"] for s in self.filled_strata]
        out: list[tuple[str, str, list[Cell]]] = []
        for grade in reversed(GRADES):
            some = any((cells.get((c, _name(_RATE, grade, "any"))) or {"n": 0})["n"] != 0 for c in codes)
            for relation in ("any", *RELATIONS[:-1]) if some else ("any",):
                names = [_name(q, grade, relation) for q in (_RATE, _SHARE)]
                out.append((grade, relation, [(cells.get((c, names[0])), cells.get((c, names[1]))) for c in codes]))
        return out

    def suppress(self, smallest: int = POLICY.smallest_cell) -> HarmTable:
        """Withhold cells of few events or courses, and those that the totals would give away with them."""
        hidden = super().suppress(smallest)
        gone: set[tuple[str, str]] = set()
        for s in self.settings["strata"]:
            mine = self.frame.filter(pl.col("stratum") == s["code"])
            if mine.height < 2:
                continue
            n = dict(mine.select("quantity", "n").iter_rows())
            events, courses = (
                np.array([[n[_name(q, g, r)] for r in RELATIONS] for g in GRADES], dtype=np.int64)
                for q in (_RATE, _SHARE)
            )
            for i, j in np.argwhere(given_away(events, courses, smallest)):
                gone |= {(s["code"], _name(q, GRADES[i], RELATIONS[j])) for q in (_RATE, _SHARE)}
        small = pl.Series([key in gone for key in hidden.frame.select("stratum", "quantity").iter_rows()])
        blank = [pl.when(~small).then(pl.col(c)).alias(c) for c in ("estimate", "low", "high", "n")]
        note = pl.when(small).then(pl.lit(f"suppressed: fewer than {smallest}")).otherwise("note").alias("note")
        return cast(HarmTable, dataclasses.replace(hidden, frame=hidden.frame.with_columns(*blank, note)))

    def __repr__(self) -> str:
        with pl.Config(tbl_rows=40, tbl_cols=20, tbl_width_chars=200, fmt_str_lengths=60, tbl_hide_dataframe_shape=True,
                       tbl_hide_column_data_types=True):  # fmt: skip
            notes = [f"note: {n}" for n in self.notes]
            return "\n".join([self.title, rows_used(self.attrition), *notes, _LEGEND, str(self.table())])

    def _repr_html_(self) -> str:
        table, notes = self.table(), "".join(f"<div><b>Note.</b> {escape(n)}</div>" for n in self.notes)
        head = f"<div><b>{escape(self.title)}</b><div>{escape(rows_used(self.attrition))}</div>{notes}"
        return f"{head}<div>{escape(_LEGEND)}</div>{html_table(table.columns, table.iter_rows())}</div>"


_LEGEND = "events (courses with one); events per 100 sessions (exact limits); [c]: hidden, few"


def safety_by_grade(
    courses: Courses,
    *,
    by: By = "product",
    category: str | None = None,
    least_grade: int = 1,
    serious: bool = False,
    related_to: RelatedTo = "product",
    confidence: float = 0.95,
) -> HarmTable:
    """Count adverse events by CTCAE grade and relation, by stratum, with exact limits.

    Parameters
    ----------
    courses, by, category, least_grade, serious
        As :func:`analysis.safety`.
    related_to
        Whose relation is told: of the product, the procedure or the harvest.

    Returns
    -------
    HarmTable
        ``events_per_100_sessions: grade 2, related`` (`n` counts events) and ``courses_with_event: grade 2, related``
        (`n` counts courses, share of 1), for grades 1 to 5 and any, and for ``related`` (possible, probable, definite),
        ``not related`` (not, unlikely), ``not stated`` and ``any relation``. A course counts once in every cell in
        which it had an event, so that courses of several cells do not add up. ``.table()`` prints it.

    Raises
    ------
    NotEstimable
        When no course has a session, or none is left; the message says why.
    UsageError
        When an option is not known.

    References
    ----------
    CTCAE 5.0 (NCI 2017); CONSORT Harms 2022, item 17; Garwood 1936; Clopper & Pearson 1934.

    Examples
    --------
    >>> harm = safety_by_grade(knees, by="all")
    >>> harm.table().columns
    ['grade', 'relation', 'all']
    """
    check_confidence(confidence)
    # Of nothing there is no relation to tell.
    choose(related_to, allowed(RelatedTo), "related_to =")
    strata, kept = place_harm(courses, by, category, least_grade, serious, related_to)
    rows, counted = reduce_harm(kept, "harm_grade")
    frame = []
    for s in strata:
        mine = rows.filter(pl.col("stratum") == s.code)
        frame += _of_stratum(s.code, mine, counted.filter(pl.col("stratum") == s.code), confidence)
    what = what_is_counted(category, least_grade, serious, None)
    left = courses.ids.to_frame().join(rows.select("course_id"), on="course_id", how="anti")
    return HarmTable(
        question="safety_by_grade",
        title=f"Adverse events by grade and relation to the {related_to}, by {by}: {what}",
        frame=frame_of(frame),
        settings={
            **common_settings(kept, strata, "safety_by_grade", by),
            "category": category,
            "least_grade": least_grade,
            "serious": serious,
            "related_to": related_to,
            "what": what,
            "confidence": confidence,
        },
        attrition=kept.exclude(left.with_columns(reason=pl.lit("no session recorded"))).flow(),
        diagnostics=diagnostics_of([]),
        notes=(
            *exposure_note(by),
            "Events that nobody recorded are not seen: a registry counts what clinics write down, mild events least.",
            "A course counts once in every cell in which it had an event. Limits are exact, of as many events as count "
            "like independent ones: where a few patients have many, they are wider.",
        ),
    )


def _of_stratum(code: str, mine: pl.DataFrame, counted: pl.DataFrame, confidence: float) -> list[dict[str, Any]]:
    if mine.height == 0:
        return [row(code, _name(_RATE, "any", "any"), n=0, denominator=0, note="nobody in this stratum")]
    patients = (
        mine.sort("course_id")
        .group_by("patient_id", maintain_order=True)
        .agg(pl.col("n_sessions").sum(), courses=pl.len())
    )
    exposures = [patients[c].cast(pl.Float64).to_numpy() for c in ("n_sessions", "courses")]
    found, out = {(r[1], r[2]): r[3:] for r in counted.iter_rows()}, []
    for grade in GRADES:
        for relation in RELATIONS:
            events, with_one, *sums = found.get((grade, relation), (0,) * 6)
            rates, shares = (
                Clustered(n, float(t.sum()), squares, cross, float(t @ t))
                for n, t, squares, cross in zip((events, with_one), exposures, sums[::2], sums[1::2], strict=True)
            )
            rate, low, high = (100 * v for v in clustered_rate(rates, confidence))
            out.append(row(code, _name(_RATE, grade, relation), estimate=rate, low=low, high=high, n=events,
                           denominator=mine.height))  # fmt: skip
            share, low, high = clustered_share(shares, confidence)
            out.append(row(code, _name(_SHARE, grade, relation), estimate=share, low=low, high=high, n=with_one,
                           denominator=mine.height))  # fmt: skip
    return out


def _grade(grade: str) -> str:
    return "any grade" if grade == "any" else f"grade {grade}"


def _name(quantity: str, grade: str, relation: str) -> str:
    return f"{quantity}: {_grade(grade)}, {'any relation' if relation == 'any' else relation}"


def _text(rate: dict[str, Any] | None, share: dict[str, Any] | None) -> str:
    if rate is None or share is None:
        return "–"
    if rate["estimate"] is None or share["estimate"] is None:
        return HIDDEN
    numbers = f"{rate['estimate']:.1f} ({rate['low']:.1f} to {rate['high']:.1f})"
    return f"{rate['n']:,} ({share['n']:,}); {numbers}" if rate["n"] else f"0; up to {rate['high']:.1f}"
