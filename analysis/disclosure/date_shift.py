"""Calendar dates in rows that leave: all of a patient moved by the same weeks, so that intervals stay exact.

The offset is drawn from the registry's secret by a keyed hash of the patient: the same in every export, unknown to
whoever has no secret, and another under another secret. It is one of 52: 1 to 26 weeks back or forth, never none. Whole
weeks, since an offset of days would show itself by sessions on a Sunday; weekdays stay as they were.

What would undo it does not leave beside it: the follow-up to the data cut (the cut less the follow-up is the first
session), the day of the cut itself, and the dates of patients whose time fills the registry's so that fewer than 26 of
the offsets could have made them (a score after the cut was moved forth, one before the first session of all, back).

References
----------
Hripcsak et al. 2016 J Am Med Inform Assoc 23:1040 (shift and truncate: why dates near the ends give an offset away).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

import duckdb
import polars as pl

from analysis.disclosure.datasets import Dataset, Variable
from analysis.disclosure.policy import POLICY
from registry import Registry, pseudonyms

WEEKS, FEWEST = POLICY.shift_weeks, POLICY.fewest_offsets
_GIVES_AWAY = {"ADCRS": ("POTDAY",)}
_DATES: dict[str, dict[str, tuple[str | None, str]]] = {
    "ADCRS": {"TRTSDT": (None, "Date of the first session, shifted")},
    "ADQS": {"ADT": ("DAY", "Date of the score, shifted")},
    "ADTTE": {
        "LEFTDT": ("LEFTDAY", "Last date known without it, shifted"),
        "RIGHTDT": ("RIGHTDAY", "First date known with it, shifted"),
    },
    "ADAE": {"ASTDT": ("DAY", "Date of the event, shifted")},
}


@dataclass(frozen=True)
class Shift:
    """What was done: patients whose dates were moved, and those whose dates were withheld."""

    moved: int
    withheld: int

    def told(self) -> str:
        """Return it as a line of the disclosure log."""
        return (
            f"- Dates are not true: all of a patient are moved by the same weeks, 1 to {WEEKS} back or forth, drawn "
            "from the registry's secret, so that intervals and weekdays are exact and seasons are not. Dates of "
            f"{self.moved:,} patients were moved; those of {self.withheld:,} are withheld, since fewer than {FEWEST} "
            f"of {2 * WEEKS} offsets could have made them (days since the first session are there). The follow-up to "
            "the data cut and the day of the cut are left out: beside shifted dates they would give the offset away."
        )


def offsets(key: bytes, patients: pl.DataFrame) -> pl.DataFrame:
    """Return ``patient_id, offset_day`` for ``patient_id, patient_key``: whole weeks, never none.

    HMAC-SHA-256 of the key of the patient, marked as another use of the secret than pseudonyms.
    """
    # A session of its own: the secret stays in no connection that others may ask.
    with duckdb.connect() as con:
        pseudonyms.prepare(con, key)
        con.register("patients", patients.select("patient_id", "patient_key"))
        return con.sql(
            "with drawn as (select patient_id, cast(concat('0x', substr(pseudonym(concat('date shift: ', patient_key)),"
            f" 1, 12)) as bigint) % {2 * WEEKS} as turn from patients) "
            f"select patient_id, 7 * (turn - {WEEKS} + case when turn < {WEEKS} then 0 else 1 end) as offset_day "
            "from drawn order by patient_id"
        ).pl()


def with_dates(registry: Registry, datasets: list[Dataset], courses: pl.DataFrame) -> tuple[list[Dataset], Shift]:
    """Return the datasets with shifted dates beside their days, without what would undo the shift.

    Parameters
    ----------
    registry
        Whose secret the offsets are drawn from.
    datasets
        As they leave without dates.
    courses
        ``course_id, patient_id, USUBJID, CRSSEQ`` of the courses in them.

    Raises
    ------
    CatamnesisError
        When the registry's secret is not at hand, or is not that of the shared record.
    """
    key = pseudonyms.read_key(registry.path)
    pseudonyms.same_key(registry.con, key)
    held = registry.sql(
        "select course.course_id, course.programme, course.index_date, patient.patient_key "
        "from course.course as course join record.patient as patient on course.patient_id = patient.id"
    )
    named = courses.select("course_id", "patient_id", "USUBJID", "CRSSEQ").join(held, on="course_id")
    named = named.join(offsets(key, named.select("patient_id", "patient_key").unique()), on="patient_id")
    first = held.filter(pl.col("programme") == named["programme"][0])["index_date"].min()
    cut = registry.data_cut
    assert isinstance(first, dt.date) and cut is not None, "courses have a first session and a data cut"
    starts = named.with_columns(start=pl.col("index_date") + pl.duration(days="offset_day")).select(
        "USUBJID", "CRSSEQ", "start"
    )
    hidden = _given_away(datasets, starts, first, cut)
    starts = starts.with_columns(pl.when(~pl.col("USUBJID").is_in(hidden.implode())).then("start").alias("start"))
    everybody = starts["USUBJID"].n_unique()
    return [_dated(made, starts) for made in datasets], Shift(everybody - len(hidden), len(hidden))


def _given_away(datasets: list[Dataset], starts: pl.DataFrame, first: dt.date, cut: dt.date) -> pl.Series:
    """Return the subjects whose shifted dates too few offsets could have made, known that all lie in [first, cut]."""
    days = [starts.select("USUBJID", "CRSSEQ", day=pl.lit(0, dtype=pl.Int32))]
    days += [
        made.frame.select("USUBJID", "CRSSEQ", day=column).drop_nulls()
        for made in datasets
        for column, _ in _DATES.get(made.name, {}).values()
        if column is not None
    ]
    date = pl.col("start") + pl.duration(days="day")
    span = pl.concat(days).join(starts, on=["USUBJID", "CRSSEQ"]).group_by("USUBJID").agg(
        early=date.min(), late=date.max()
    )  # fmt: skip
    # An offset of w weeks is possible if the true dates, w weeks back, are within the registry's time.
    least, most = (pl.col("late") - cut).dt.total_days() / 7, (pl.col("early") - first).dt.total_days() / 7
    weeks = pl.DataFrame({"week": [w for w in range(-WEEKS, WEEKS + 1) if w]})
    possible = span.join(weeks, how="cross").filter(pl.col("week") >= least, pl.col("week") <= most)
    counted = possible.group_by("USUBJID").agg(n=pl.len())
    enough = counted.filter(pl.col("n") >= FEWEST)["USUBJID"]
    return span.filter(~pl.col("USUBJID").is_in(enough.implode()))["USUBJID"].sort()


def _dated(made: Dataset, starts: pl.DataFrame) -> Dataset:
    added = _DATES.get(made.name)
    if added is None:
        return made
    frame = made.frame.join(starts, on=["USUBJID", "CRSSEQ"], how="left", maintain_order="left")
    day = {n: pl.lit(0) if column is None else pl.col(column) for n, (column, _) in added.items()}
    frame = frame.with_columns((pl.col("start") + pl.duration(days=d)).cast(pl.Date).alias(n) for n, d in day.items())
    gone = _GIVES_AWAY.get(made.name, ())
    variables = [v for v in made.variables if v.name not in gone]
    variables += [Variable(n, label) for n, (_, label) in added.items()]
    return replace(made, variables=tuple(variables), frame=frame.select(v.name for v in variables))
