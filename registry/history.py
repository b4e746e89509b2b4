"""Corrections and retractions: the record shows what holds now, schema ``past`` keeps what it held before.

A row is never overwritten. A correction moves the version it replaces to ``past`` with the load that replaced it, and
writes down each value that changed; a retraction moves the row and leaves nothing in its place. With the loads' numbers
the record can be read as it was after any of them.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
from duckdb_sqlalchemy import Dialect
from sqlalchemy.schema import CreateTable

from registry import loadlog
from registry.connection import writing
from registry.errors import UsageError
from registry.tables import TABLES, Record

SCHEMA = """
create table log.change (
    load_id integer not null, table_name varchar not null, row_id bigint not null, kind varchar not null,
    column_name varchar, old_value varchar, new_value varchar
);
"""
# Where a row came from is no part of what it says.
_PROVENANCE = ("id", "load_id", "source_file_id", "source_line", "row_hash")


def create(con: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of the record that are not there yet, and the past of each (a row, and what replaced it)."""
    con.execute("create schema if not exists record; create schema if not exists past")
    query = "select table_schema, table_name from information_schema.tables where table_catalog = current_database()"
    held = set(con.sql(query).fetchall())
    for table in TABLES:
        name = str(table.__tablename__)
        if ("record", name) not in held:
            con.execute(str(CreateTable(table.__table__).compile(dialect=Dialect())))  # type: ignore[attr-defined]
        if ("past", name) not in held:
            con.execute(f"create table past.{name} as select *, 0::integer as superseded_by from record.{name} limit 0")


def supersede(con: duckdb.DuckDBPyConnection, record: type[Record], load_id: int) -> int:
    """Move the held versions of rows that load `load_id` brings anew to ``past``; returns how many.

    Only where the load brings one new version of a row: of two that differ neither is known to be right.
    """
    name = record.__tablename__
    con.execute(
        f"create or replace temp table corrected as select id from record.{name} group by id "
        f"having min(load_id) < {load_id} and max(load_id) = {load_id} and count(distinct row_hash) = 2 "
        f"and count(distinct row_hash) filter (load_id = {load_id}) = 1 "
        f"and count(distinct row_hash) filter (load_id < {load_id}) = 1"
    )
    columns = [c.name for c in record.__table__.columns if c.name not in _PROVENANCE]  # type: ignore[attr-defined]
    for column in columns:
        con.execute(
            f"insert into log.change select distinct {load_id}, '{record.__source__.file}', old.id, 'corrected', "
            f"'{column}', old.{column}::varchar, new.{column}::varchar "
            f"from record.{name} as old join corrected using (id) join record.{name} as new using (id) "
            f"where old.load_id < {load_id} and new.load_id = {load_id} and old.{column} is distinct from new.{column}"
        )
    return _move(con, str(name), f"id in (select id from corrected) and load_id < {load_id}", load_id)


def drop_known_versions(con: duckdb.DuckDBPyConnection, record: type[Record], load_id: int) -> int:
    """Drop rows of load `load_id` that repeat a version corrected since: a file loaded again changes nothing."""
    name = record.__tablename__
    done = con.execute(
        f"delete from record.{name} as now where load_id = {load_id} "
        f"and exists (from past.{name} as old where old.id = now.id and old.row_hash = now.row_hash) "
        f"and exists (from record.{name} as held where held.id = now.id and held.load_id < {load_id})"
    ).fetchone()
    return int(done[0]) if done else 0


def retracted(record: type[Record], load_id: int) -> str:
    """Return SQL for rows of a load that were retracted before: ``row, id, source_file_id, source_line, by_load``."""
    name = record.__tablename__
    return (
        f"select now.rowid as row, now.id, now.source_file_id, now.source_line, "
        f"(select max(superseded_by) from past.{name} as old where old.id = now.id) as by_load "
        f"from record.{name} as now where now.load_id = {load_id} "
        f"and exists (from past.{name} as old where old.id = now.id) "
        f"and not exists (from record.{name} as held where held.id = now.id and held.load_id < {load_id})"
    )


def retract(path: str | Path, file: str, lines: list[int], *, reason: str, load: int | None = None) -> int:
    """Take rows out of the record that should never have been in it; they stay in ``past`` with the reason.

    Parameters
    ----------
    path
        The registry.
    file, lines
        The source file as it was loaded, and lines of it, as messages and worklists name them.
    reason
        Why, in words; kept.
    load
        The load that brought the file; needed when several loads brought files of this name.

    Returns
    -------
    int
        Rows retracted.

    Raises
    ------
    UsageError
        When a line is not of a row that holds now or is of two files of this name, or other rows refer to a row;
        nothing is done then.
    """
    if not reason.strip():
        raise UsageError('Say why the rows are retracted: --reason "...".')
    with writing(path) as con:
        (load_id,) = con.sql("select coalesce(max(load_id), 0) + 1 from log.load").fetchone() or (1,)
        wanted = sorted(set(lines))
        places = " union all ".join(
            f"select '{t.__tablename__}' as name, id, source_line, f.load_id, f.sha256 from record.{t.__tablename__} "
            "join log.source_file f using (source_file_id) where f.file = $file "
            "and list_contains($lines, source_line) and f.load_id = coalesce($load, f.load_id)"
            for t in TABLES
        )
        rows = con.execute(f"from ({places})", {"file": file, "lines": wanted, "load": load}).fetchall()
        one_file_of(file, {(brought, content) for *_, brought, content in rows})
        found = [(name, row, line) for name, row, line, *_ in rows]
        missing = sorted(set(wanted) - {line for _, _, line in found})
        if missing:
            raise UsageError(
                f"No row of the record came from {file}, line {', '.join(map(str, missing))}. Nothing was changed; "
                "`catamnesis history` tells which rows were corrected or retracted before."
            )
        ids = {name: [i for n, i, _ in found if n == name] for name in {n for n, _, _ in found}}
        _nobody_refers(con, ids)
        for name, gone in ids.items():
            source = next(t.__source__.file for t in TABLES if t.__tablename__ == name)
            con.execute(
                "insert into log.change select ?, ?, unnest(?::bigint[]), 'retracted', null, null, null",
                [load_id, source, gone],
            )
            _move(con, name, f"id in ({', '.join(map(str, gone))})", int(load_id))
        loadlog.record_retraction(con, int(load_id), reason)
    return len(found)


def one_file_of(name: str, files: set[tuple[int, str]]) -> None:
    """Refuse a file's name that stands for more than one file: centres and months send files of the same name.

    Parameters
    ----------
    files
        Load and content hash of each file meant.
    """
    if len(files) < 2:
        return
    loads = sorted({load for load, _ in files})
    if len(loads) > 1:
        raise UsageError(
            f"Files named {name} came with loads {', '.join(map(str, loads))}, each with such a line. Nothing was "
            "changed; say which one: --load."
        )
    raise UsageError(
        f"Load {loads[0]} brought {len(files)} files named {name} with such a line, and they cannot be told apart by "
        "name. Nothing was changed; load a corrected file with --reason instead."
    )


def tell_reinstated(con: duckdb.DuckDBPyConnection, record: type[Record], load_id: int) -> None:
    """Write down which rows of load `load_id` were retracted before and are recorded again."""
    con.execute(
        f"insert into log.change select distinct {load_id}, '{record.__source__.file}', id, 'reinstated', null, null, "
        f"null from ({retracted(record, load_id)})"
    )


def _nobody_refers(con: duckdb.DuckDBPyConnection, ids: dict[str, list[int]]) -> None:
    """Refuse to retract a row that rows which stay refer to."""
    for table in TABLES:
        name = str(table.__tablename__)
        for reference in table.__source__.references:
            gone = ids.get(reference.table, [])
            going = ids.get(name, [])
            if not gone:
                continue
            stays = con.execute(
                f"select count(*) from record.{name} where list_contains(?, {reference.column}) "
                "and not list_contains(?, id)",
                [gone, going],
            ).fetchone()
            if stays and stays[0]:
                raise UsageError(
                    f"{stays[0]} rows of {table.__source__.file} belong to a row of {reference.table} that would be "
                    "retracted. Retract those first. Nothing was changed."
                )


def _move(con: duckdb.DuckDBPyConnection, name: str, where: str, load_id: int) -> int:
    con.execute(f"insert into past.{name} select *, {load_id} from record.{name} where {where}")
    done = con.execute(f"delete from record.{name} where {where}").fetchone()
    return int(done[0]) if done else 0


def as_of_load(con: duckdb.DuckDBPyConnection, when: int | str | dt.date) -> int:
    """Return the load that `when` means: a load's number, or the last one of a day and those before it.

    Raises
    ------
    UsageError
        When there is no such load, none by that day, or the day has not come.
    """
    loads = con.sql("select load_id, loaded_at::date as day from registry.log.load order by load_id").fetchall()
    known = ", ".join(f"{n} ({day})" for n, day in loads[-6:]) or "none"
    if isinstance(when, int) or (isinstance(when, str) and when.isdigit()):
        if int(when) not in {n for n, _ in loads}:
            raise UsageError(f"There is no load {when}. Last loads: {known}.")
        return int(when)
    try:
        day = when if isinstance(when, dt.date) else dt.date.fromisoformat(when)
    except ValueError:
        raise UsageError(f"as_of = {when!r} is neither a load's number nor a date (YYYY-MM-DD).") from None
    # The later of today here and in UTC, in which loads are dated: no reader's today is refused.
    if day > max(dt.date.today(), dt.datetime.now(dt.UTC).date()):
        raise UsageError(f"{day} has not come yet, so what the record holds then is not known. Last loads: {known}.")
    until = [n for n, loaded in loads if loaded <= day]
    if not until:
        raise UsageError(f"Nothing had been loaded by {day}. First loads: {known}.")
    return int(max(until))


def show_as_of(con: duckdb.DuckDBPyConnection, load_id: int) -> None:
    """Create views of the record and the log as they were after load `load_id`; nothing derived."""
    con.execute("create schema record; create schema past; create schema log; create schema catalogue")
    for table in TABLES:
        name = table.__tablename__
        columns = ", ".join(c.name for c in table.__table__.columns)  # type: ignore[attr-defined]
        con.execute(
            f"create view record.{name} as select {columns} from registry.record.{name} where load_id <= {load_id} "
            f"union all select {columns} from registry.past.{name} "
            f"where load_id <= {load_id} and superseded_by > {load_id}"
        )
        con.execute(f"create view past.{name} as from registry.past.{name} where superseded_by <= {load_id}")
    for name in ("load", "load_centre", "source_file", "change"):
        con.execute(f"create view log.{name} as from registry.log.{name} where load_id <= {load_id}")
    for name in ("rejected_row", "rejection"):
        con.execute(
            f"create view log.{name} as from registry.log.{name} semi join log.source_file using (source_file_id)"
        )
    con.execute(f"create view log.finding as from registry.log.finding where first_load <= {load_id}")
    con.execute(f"create view log.finding_count as from registry.log.finding_count where load_id <= {load_id}")
    con.execute("create view log.meta as from registry.log.meta")
    # The chain up to the entry of that load.
    con.execute(
        "create view log.audit as from registry.log.audit where seq <= (select max(seq) from registry.log.audit "
        f"where json_extract_string(detail, '$.load') = '{load_id}')"
    )
    for (name,) in con.sql(
        "select table_name from duckdb_tables() where database_name = 'registry' and schema_name = 'catalogue'"
    ).fetchall():
        con.execute(f"create view catalogue.{name} as from registry.catalogue.{name}")


_CHANGES = (
    "select load.load_id as load, load.loaded_at, load.loaded_by, change.kind, change.table_name as table, "
    "file.file, place.source_line as line, change.column_name as column, change.old_value as old, "
    "change.new_value as new, load.reason from log.change as change join log.load as load using (load_id) "
    "left join ({places}) as place on place.id = change.row_id and place.file_name = change.table_name "
    "and place.at_load = change.load_id and place.is_new = (change.kind = 'reinstated') "
    "left join log.source_file as file on file.source_file_id = place.source_file_id "
    'order by load, "table", file.file, line, "column"'
)


def changes_query() -> str:
    """Return SQL for every change: load, when, who, kind, table, file and line of the old row, values, reason.

    Of a reinstated row, file and line are those of the row that came again.
    """
    parts = []
    for t in TABLES:
        row = f"select id, '{t.__source__.file}' as file_name, {{}} as at_load, source_file_id, source_line, "
        row += "{} as is_new"
        parts.append(row.format("superseded_by", "false") + f" from past.{t.__tablename__}")
        parts += [row.format("load_id", "true") + f" from {s}.{t.__tablename__}" for s in ("past", "record")]
    return _CHANGES.format(places=" union all ".join(parts))
