"""Checks across rows: a catalogue of named rules, and findings that live from load to load.

The kinds follow Kahn et al. 2016 (eGEMs 4:1244): conformance (of value, relational, computational), completeness, and
plausibility (uniqueness, atemporal, temporal). Each rule is one query, a pass over the whole registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import polars as pl

from registry import audit, history
from registry.connection import writing
from registry.derivation import bring_up, derivation_stamp
from registry.errors import UsageError, choose
from registry.tables import TABLES

SCHEMA = """
create table log.finding (
    defect varchar not null, table_name varchar not null, row_id bigint not null, message varchar not null,
    state varchar not null, first_load integer not null, first_seen timestamp not null, last_seen timestamp not null,
    reason varchar, settled_by varchar
);
create table log.finding_count (
    load_id integer not null, counted_at timestamp not null, defect varchar not null, n_open bigint not null,
    n_waived bigint not null, n_fixed bigint not null
);
"""
# A finding is the same as long as it says the same of the same row.
_SAME = 'f.defect = n.defect and f.table_name = n."table" and f.row_id = n."row" and f.message = n.message'


def query(con: duckdb.DuckDBPyConnection, limits: Mapping[str, float] | None = None) -> str:
    """Return SQL that finds what every rule finds: ``defect, row, table, message``.

    Raises
    ------
    UsageError
        When `limits` names a rule that is not there or has no limit.
    """
    rules = con.sql("select defect, query, limit_value::double from catalogue.defect order by defect").fetchall()
    given = dict(limits or {})
    for name in given:
        choose(name, [defect for defect, _, limit in rules if limit is not None], "Check with a limit")
    parts = []
    for name, text, limit in rules:
        filled = text if limit is None else text.replace("{limit}", f"{given.get(name, limit):g}")
        parts.append(f'select \'{name}\' as defect, x.* from ({filled}) as x("row", "table", message)')
    return " union all ".join(parts)


def find(con: duckdb.DuckDBPyConnection, limits: Mapping[str, float] | None = None) -> pl.DataFrame:
    """Return findings that are open, one a row; those waived with the same message are not among them.

    ``defect, category, kind, severity, table, row, message, meaning, load, file, line``.
    """
    places = " union all ".join(
        f'select \'{t.__tablename__}\' as "table", id as "row", source_file_id, source_line from record.'
        f"{t.__tablename__}"
        for t in TABLES
    )
    return con.sql(
        f"with found as ({query(con, limits)}), places as ({places}), "
        "waived as (from log.finding where state = 'waived') "
        'select n.defect, rule.category, rule.kind, rule.severity, n."table", n."row", n.message, '
        "rule.meaning, file.load_id as load, file.file, p.source_line as line "
        "from found n join catalogue.defect rule using (defect) "
        'left join places p using ("table", "row") left join log.source_file file using (source_file_id) '
        f"where not exists (from waived f where {_SAME}) "
        'order by rule.severity, n.defect, file.file, line, n."row"'
    ).pl()


def keep(path: str | Path) -> dict[str, int]:
    """Write down what the checks find now; returns how many findings are ``open``, ``waived``, and ``fixed`` since.

    A finding that is not found again is fixed, also a waived one; found again, it is open again. What was counted is
    kept with the load, so that the numbers can be followed over time.
    """
    with writing(path) as con:
        _derived(con)
        con.execute(f"create or replace temp table found_now as {query(con)}")
        load, now = _last_load(con), audit.now()
        gone = f"f.state <> 'fixed' and not exists (from found_now n where {_SAME})"
        con.execute(
            f"create or replace temp table fixed_now as select f.defect, count(*) as n from log.finding f where {gone} "
            "group by all"
        )
        con.execute(f"update log.finding f set state = 'fixed', last_seen = ? where {gone}", [now])
        con.execute(
            "update log.finding f set last_seen = ?, state = case when f.state = 'fixed' then 'open' else f.state end "
            f"where exists (from found_now n where {_SAME})",
            [now],
        )
        con.execute(
            'insert into log.finding select n.defect, n."table", n."row", n.message, \'open\', ?, ?, ?, null, null '
            f"from found_now n where not exists (from log.finding f where {_SAME})",
            [load, now, now],
        )
        con.execute(
            "insert into log.finding_count select ?, ?, rule.defect, "
            "count(f.defect) filter (f.state = 'open'), count(f.defect) filter (f.state = 'waived'), "
            "coalesce(any_value(fixed_now.n), 0) from catalogue.defect rule left join log.finding f using (defect) "
            "left join fixed_now on fixed_now.defect = rule.defect group by rule.defect order by rule.defect",
            [load, now],
        )
        counts = con.execute(
            "select sum(n_open)::bigint, sum(n_waived)::bigint, sum(n_fixed)::bigint from log.finding_count "
            "where counted_at = ?",
            [now],
        ).fetchone() or (0, 0, 0)
        told = {name: int(n or 0) for name, n in zip(("open", "waived", "fixed"), counts, strict=True)}
        audit.append(con, "check", {"after_load": load, **told})
    return told


def waive(path: str | Path, defect: str, file: str, line: int, *, reason: str, load: int | None = None) -> None:
    """Say of a finding that it is right as it is, and why; a later change of the row opens it again.

    Parameters
    ----------
    file, line
        Where the row came from, as the finding says.
    load
        The load that brought the file; needed when several loads brought files of this name.

    Raises
    ------
    UsageError
        When there is no such open finding, two files of this name have one there, or no reason is given.
    """
    if not reason.strip():
        raise UsageError('Say why the finding is right as it is: --reason "...".')
    with writing(path) as con:
        _derived(con)
        choose(defect, [r[0] for r in con.sql("select defect from catalogue.defect").fetchall()], "Check")
        here = find(con).filter(defect=defect, file=file, line=line)
        here = here if load is None else here.filter(load=load)
        if here.height == 0:
            raise UsageError(f"{defect} has no open finding at {file}, line {line}. `catamnesis check` lists them.")
        # One load is one file here: two of its files with such a finding are waived together, each by its own row.
        history.one_file_of(file, {(brought, "") for brought in here["load"]})
        now, by = audit.now(), audit.user_name()
        for row in here.iter_rows(named=True):
            what = [defect, row["table"], row["row"], row["message"]]
            kept = con.execute(
                "update log.finding set state = 'waived', last_seen = ?, reason = ?, settled_by = ? "
                "where defect = ? and table_name = ? and row_id = ? and message = ?",
                [now, reason, by, *what],
            ).fetchone()
            if kept == (0,):
                con.execute(
                    "insert into log.finding values (?, ?, ?, ?, 'waived', ?, ?, ?, ?, ?)",
                    [*what, _last_load(con), now, now, reason, by],
                )
        told = {"defect": defect, "file": file, "line": line, "load_id": here["load"][0], "reason": reason}
        audit.append(con, "waive", told)


def over_time(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return the counts kept so far: ``load_id, counted_at, defect, n_open, n_waived, n_fixed``."""
    return con.sql("from log.finding_count where n_open + n_waived + n_fixed > 0 order by counted_at, defect").pl()


def _derived(con: duckdb.DuckDBPyConnection) -> None:
    """Bring the derived tables up to date, if they are not: checks read them."""
    if con.sql("select value from log.meta where key = 'derived_from'").fetchone() != (derivation_stamp(con),):
        bring_up(con)


def _last_load(con: duckdb.DuckDBPyConnection) -> int:
    row = con.sql("select coalesce(max(load_id), 0) from log.load").fetchone()
    return int(row[0]) if row else 0
