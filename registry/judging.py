"""Judges the rows of a file: the good ones are kept, the others written down with every rule that they fail."""

from __future__ import annotations

import datetime as dt

import duckdb
import polars as pl

from registry import mapping, rules
from registry.connection import written_out
from registry.tables import Record
from registry.typing import judged_rows, people, refused_rows

# Rows judged at a time: enough for the engine's stride, little enough to bound memory.
_SLICE = 1_000_000
# The engine cannot tell how many rows come in. Of more than so many it must not make the table of a join: that is made
# of the rows they belong to.
_MANY = 20_000


def nobody() -> pl.DataFrame:
    """Return the frame of patient numbers met so far, of none: ``patient, raw_patient, known_patient``."""
    return pl.DataFrame(schema={"patient": pl.String, "raw_patient": pl.String, "known_patient": pl.Int64})


def judge(
    con: duckdb.DuckDBPyConnection, record: type[Record], frame: pl.DataFrame, checks: list[rules.Rule],
    known: pl.DataFrame, *, centre: str, extracted_on: dt.date, load_id: int, stays: bool,
) -> pl.DataFrame:  # fmt: skip
    """Judge `frame` a slice at a time: keep what is good, explain what is not.

    Parameters
    ----------
    known
        The clinic's own patient numbers met so far in this load, as :func:`nobody`; each is hashed once a load.
    stays
        Whether the load is kept whatever comes, so that a slice need not wait in memory for its end.

    Returns
    -------
    `known` with those met here.
    """
    for start in range(0, frame.height, _SLICE):
        rows = frame[start : start + _SLICE].with_row_index("row_no")
        if "patient" in rows.columns:
            known = _met(con, rows, known, centre)
            rows = rows.join(known, on="patient", how="left", maintain_order="left").drop("patient")
        con.register("incoming_rows", rows)
        if rows.height > _MANY:
            con.execute("set disabled_optimizers = 'build_side_probe_side'")
        con.execute(f"create or replace temp table judged_rows as {judged_rows(record, checks, extracted_on)}")
        con.execute("reset disabled_optimizers")
        if con.sql("select 1 from judged_rows where not good limit 1").fetchone():
            con.execute(f"create or replace temp table refused_rows as {refused_rows(record, checks, extracted_on)}")
            _explain(con, record, checks)
        con.unregister("incoming_rows")
        _keep(con, record, load_id)
        if stays:
            written_out(con)
    con.execute("drop table if exists judged_rows; drop table if exists refused_rows")
    return known


def _met(con: duckdb.DuckDBPyConnection, rows: pl.DataFrame, known: pl.DataFrame, centre: str) -> pl.DataFrame:
    """Return the patient numbers known with those of `rows`, their pseudonyms and identities."""
    numbers = rows.select(pl.col("patient").drop_nulls().unique()).join(known, on="patient", how="anti")
    if not numbers.height:
        return known
    con.register("incoming_numbers", numbers)
    known = pl.concat([known, con.execute(people(centre)).pl()])
    con.unregister("incoming_numbers")
    return known


def _keep(con: duckdb.DuckDBPyConnection, record: type[Record], load_id: int) -> None:
    """Append the good rows."""
    columns = [c.name for c in record.__table__.columns if c.name not in ("load_id", "source_file_id", "source_line")]  # type: ignore[attr-defined]
    con.execute(
        f"insert into record.{record.__tablename__} by name select {', '.join(columns)}, {load_id} as load_id, "
        "file_id as source_file_id, line as source_line from judged_rows where good"
    )
    patients = record.__tablename__ == "patient"
    centre = "centre_id" if patients else "patient_centre_id"
    if patients or any(r.table == "patient" for r in record.__source__.references):
        con.execute(
            f"insert into log.load_centre select distinct {load_id}, {centre} from judged_rows "
            f"where good and {centre} is not null "
            f"and {centre} not in (select centre_id from log.load_centre where load_id = {load_id})"
        )


def _explain(con: duckdb.DuckDBPyConnection, record: type[Record], checks: list[rules.Rule]) -> None:
    """Write down what refused rows held, and each rule that they failed; a patient's number is never shown."""
    fields = ("column", "name", "message", "advice")
    texts = pl.DataFrame(
        {"k": range(1, len(checks) + 1), **{f: [getattr(c, f) for c in checks] for f in fields}},
        schema_overrides={"k": pl.Int32},
    )
    con.register("rule_texts", texts)
    shown = " ".join(f"when '{c}' then raw_{c}" for c in mapping.source_columns(record) if c != "patient")
    con.execute(
        "insert into log.rejection select f.file_id, f.line, ?, t.column, t.name, "
        f"case when not f.shifted then case t.column {shown} end end, t.message, t.advice "
        "from (select *, unnest(failed) as k from refused_rows) f join rule_texts t using (k)",
        [record.__source__.file],
    )
    raw = ", ".join(f"{c} := raw_{c}" for c in mapping.source_columns(record))
    con.execute(
        "insert into log.rejected_row select file_id, line, "
        f"case when not shifted then to_json(struct_pack({raw})) end from refused_rows"
    )
