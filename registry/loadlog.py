"""What the registry keeps of each load: its files, its day, and what became of its rows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import polars as pl

from registry import audit
from registry.loadreport import LoadReport

SCHEMA = """
create schema log;
create table log.meta (key varchar primary key, value varchar not null);
create table log.load (
    load_id integer primary key, loaded_at timestamp not null, loaded_by varchar not null, extracted_on date not null,
    rows_in bigint not null, accepted bigint not null, rejected bigint not null, kind varchar not null, reason varchar
);
create table log.load_centre (load_id integer not null, centre_id bigint not null);
create table log.source_file (
    source_file_id integer primary key, load_id integer not null, file varchar not null, sha256 varchar not null,
    table_name varchar not null, rows_in bigint not null, accepted bigint not null, rejected bigint not null
);
create table log.rejected_row (
    source_file_id integer not null, source_line integer not null, raw varchar
);
create table log.rejection (
    source_file_id integer not null, source_line integer not null, table_name varchar not null, column_name varchar,
    rule varchar not null, value varchar, message varchar not null, advice varchar not null
);
"""


def rejections(con: duckdb.DuckDBPyConnection, load_id: int) -> pl.DataFrame:
    """Return why rows of a load were refused, one row for each rule that a row failed."""
    return con.execute(
        "select f.file, r.table_name as table, r.source_line as line, r.column_name as column, r.rule, r.value, "
        "r.message, r.advice from log.rejection r join log.source_file f using (source_file_id) "
        f"where f.load_id = {int(load_id)} order by f.file, r.table_name, r.source_line, r.column_name, r.rule"
    ).pl()


def files(con: duckdb.DuckDBPyConnection, load_id: int | None = None, before: int | None = None) -> set[Any]:
    """Return the files of one load, or of all loads before one, by content, name and table."""
    where = f"load_id = {load_id}" if load_id is not None else f"load_id < {before}"
    return set(con.sql(f"select sha256, file, table_name from log.source_file where {where}").fetchall())


def without_unit(con: duckdb.DuckDBPyConnection, load_id: int) -> list[str]:
    """Return what was taken for the unit of values brought without one, where the scale is used in several."""
    found = con.execute(
        "select file, scale, scale.unit, others, count(*) from record.measurement as m "
        "join log.source_file using (source_file_id) join catalogue.scale as scale using (scale) "
        "join (select scale, string_agg(unit, ' or ' order by unit) as others from catalogue.unit_conversion "
        "where factor <> 1 group by scale) using (scale) "
        "where m.load_id = ? and m.unit is null and m.value is not null group by all order by all",
        [load_id],
    ).fetchall()
    return [
        f"{file}: no unit was given for {n:,} {'value' if n == 1 else 'values'} of {scale}, taken as {unit}; if they "
        f"are in {others}, say so in the column unit"
        for file, scale, unit, others, n in found
    ]


def is_later(con: duckdb.DuckDBPyConnection, load_id: int, stated: dt.date | None) -> bool:
    """Say whether the files were written, as stated, after all earlier ones of one of their centres."""
    last = con.execute(
        "select min(day) from (select max(load.extracted_on) as day from log.load_centre as now "
        "join log.load_centre as held using (centre_id) join log.load as load on load.load_id = held.load_id "
        "where now.load_id = ? group by now.centre_id)",
        [load_id],
    ).fetchone()
    return stated is not None and last is not None and last[0] is not None and stated > last[0]


def record(
    con: duckdb.DuckDBPyConnection, load_id: int, extracted_on: dt.date, report: LoadReport, reason: str | None
) -> None:
    """Write down a load: when, by whom, up to which day its files speak, what became of its rows; and its link."""
    kind = "correction" if report.corrected else "load"
    counts = [report.rows_in, report.accepted, report.rejected]
    con.execute(
        "insert into log.load values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [load_id, audit.now(), audit.user_name(), extracted_on, *counts, kind, reason],
    )
    audit.append(con, kind, audit.of_load(con, load_id))


def record_retraction(con: duckdb.DuckDBPyConnection, load_id: int, reason: str) -> None:
    """Write down that rows were retracted: a load of no rows, so that what was before has a number."""
    con.execute(
        "insert into log.load select ?, ?, ?, max(extracted_on), 0, 0, 0, 'retraction', ? from log.load",
        [load_id, audit.now(), audit.user_name(), reason],
    )
    audit.append(con, "retraction", audit.of_load(con, load_id))
