"""Deriving: ``sql/`` run over the record and kept, and the stamp by which it is seen that it must be run again."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import duckdb

from registry import audit, sqlmodels
from registry.connection import writing, written_out
from registry.renewal import renew


def materialised() -> list[str]:
    """Return the SQL models that are derived once and kept, in order."""
    return [name for name in sqlmodels.models() if name.split(".")[0] in sqlmodels.MATERIALISED]


def derive(path: str | Path, *, whole: bool = False) -> dict[str, int]:
    """Run ``sql/`` over the record and keep the result; returns rows by model.

    What was derived before is renewed: of the patients whose rows are other since, and what moves for all.

    Parameters
    ----------
    whole
        Make all anew. It comes to the same rows; so it is done when the SQL or the catalogue is another one.

    Raises
    ------
    RegistryMissing, RegistryBusy
        As :meth:`Registry.open`.

    Examples
    --------
    >>> derive("knees.duckdb")["course.profile"]  # doctest: +SKIP
    2257
    """
    with writing(path) as con:
        bring_up(con, whole=whole)
        query = " union all ".join(f"select '{n}' as model, count(*) from {n}" for n in materialised())
        return {str(model): int(n) for model, n in con.sql(query).fetchall()}


def bring_up(con: duckdb.DuckDBPyConnection, *, whole: bool = False) -> None:
    """Derive on the copy of a writer, and write down of what."""
    since = None if whole else _right_as_of(con)
    concerned = None if since is None else renew(con, materialised(), since)
    if concerned is None:
        sqlmodels.run(con, materialised(), written_out)
    con.execute("insert or replace into log.meta values ('derived_from', ?)", [derivation_stamp(con)])
    told = {} if concerned is None else {"renewed": concerned}
    audit.append(con, "derive", {"derived_from": derivation_stamp(con), **told})


def _right_as_of(con: duckdb.DuckDBPyConnection) -> int | None:
    """Return the load as of which the derived tables are right, if it is only the record that went on since."""
    held = con.sql("select value from log.meta where key = 'derived_from'").fetchone()
    then, now = (re.fullmatch(r"load (\d+), (.*)", text) for text in (held[0] if held else "", derivation_stamp(con)))
    return int(then[1]) if then and now and then[2] == now[2] else None


def derivation_stamp(con: duckdb.DuckDBPyConnection) -> str:
    """Return what the derived tables depend on: the last load, the SQL, and the catalogue."""
    row = con.sql("select coalesce(max(load_id), 0) from log.load").fetchone() or (0,)
    seen = con.execute("select value from log.meta where key = 'catalogue_changes'").fetchone()
    text = "".join(sqlmodels.models()[name].query for name in materialised())
    return f"load {row[0]}, sql {hashlib.sha256(text.encode()).hexdigest()[:12]}, catalogue {seen[0] if seen else 0}"
