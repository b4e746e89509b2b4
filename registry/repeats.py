"""Rows that come again: copies, corrections, contradictions, and rows that somebody retracted."""

from __future__ import annotations

import duckdb

from registry import history
from registry.tables import Record


def settle(con: duckdb.DuckDBPyConnection, record: type[Record], load_id: int, reason: str | None) -> list[str]:
    """Make keys unique again: a copy of a row is the row; other content under its key is refused.

    One pass over the identities finds what is repeated, within this load and against earlier ones. Which of two
    contradicting rows is right is not ours to guess: those of this load are refused, all of them. With a reason, the
    one version that a load brings of a row is its correction. Returns what a reader should know of it.
    """
    table, notes = f"record.{record.__tablename__}", []
    if reason is None and con.sql(f"select 1 from past.{record.__tablename__} limit 1").fetchone():
        old = history.drop_known_versions(con, record, load_id)
        if old:
            notes.append(f"{record.__source__.file}: {old:,} rows repeat versions that were corrected since")
        _refuse_retracted(con, record, load_id)
    elif reason is not None:
        history.tell_reinstated(con, record, load_id)
        history.supersede(con, record, load_id)
    con.execute(
        "create or replace temp table repeated as "
        "select id, count(distinct row_hash) > 1 as differ, min(load_id) < any_value($now) as held, "
        "array_to_string(list_sort(list(distinct source_line) filter (where load_id = $now)), ', ') as lines "
        f"from {table} where id in (select id from {table} group by id having count(*) > 1) group by id",
        {"now": load_id},
    )
    if con.sql("select count(*) from repeated").fetchone() == (0,):
        return notes
    key = " × ".join(record.__source__.key)
    refused = f"{table} as r join repeated using (id) where differ and r.load_id = {load_id}"
    con.execute(
        "insert into log.rejection select r.source_file_id, r.source_line, ?, ?, 'duplicate_key', null, "
        "case when held then 'the record already holds this row with other content' "
        "else 'this row is given with different content on lines ' || lines end, "
        "'a row is named by ' || ? || ': mend the file; or, if what was recorded was wrong, load it with --reason' "
        f"from {refused}",
        [record.__source__.file, record.__source__.key[-1], key],
    )
    con.execute(f"insert into log.rejected_row select r.source_file_id, r.source_line, to_json(r) from {refused}")
    con.execute(
        f"delete from {table} where load_id = {load_id} and (id in (select id from repeated where differ) or rowid in ("
        "select row from (select r.rowid as row, row_number() over ("
        "partition by id order by r.load_id, r.source_file_id, r.source_line) as k "
        f"from {table} as r semi join repeated using (id)) where k > 1))"
    )
    return notes


def _refuse_retracted(con: duckdb.DuckDBPyConnection, record: type[Record], load_id: int) -> None:
    """Refuse rows that somebody took out of the record: a file loaded again must not bring them back unsaid."""
    table = f"record.{record.__tablename__}"
    con.execute(f"create or replace temp table taken_out as {history.retracted(record, load_id)}")
    if con.sql("select count(*) from taken_out").fetchone() == (0,):
        return
    con.execute(
        "insert into log.rejection select source_file_id, source_line, ?, null, 'retracted', null, "
        "'this row was retracted in load ' || by_load, "
        "'leave it out of the file; to record it again after all, load it with --reason' from taken_out",
        [record.__source__.file],
    )
    con.execute(
        "insert into log.rejected_row select t.source_file_id, t.source_line, to_json(r) "
        f"from taken_out as t join {table} as r on r.rowid = t.row"
    )
    con.execute(f"delete from {table} where rowid in (select row from taken_out)")
