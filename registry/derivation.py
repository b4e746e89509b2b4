"""Deriving: ``sql/`` run over the record and kept, and the stamp by which it is seen that it must be run again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb

from registry import audit, sqlmodels
from registry.connection import writing


def materialised() -> list[str]:
    """Return the SQL models that are derived once and kept, in order."""
    return [name for name in sqlmodels.models() if name.split(".")[0] in sqlmodels.MATERIALISED]


def derive(path: str | Path) -> dict[str, int]:
    """Run ``sql/`` over the record and keep the result; returns rows by model.

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
        sqlmodels.run(con, materialised())
        con.execute("insert or replace into log.meta values ('derived_from', ?)", [derivation_stamp(con)])
        audit.append(con, "derive", {"derived_from": derivation_stamp(con)})
        query = " union all ".join(f"select '{n}' as model, count(*) from {n}" for n in materialised())
        return {str(model): int(n) for model, n in con.sql(query).fetchall()}


def derivation_stamp(con: duckdb.DuckDBPyConnection) -> str:
    """Return what the derived tables depend on: the last load, the SQL, and the catalogue."""
    row = con.sql("select coalesce(max(load_id), 0) from log.load").fetchone() or (0,)
    seen = con.execute("select value from log.meta where key = 'catalogue_changes'").fetchone()
    text = "".join(sqlmodels.models()[name].query for name in materialised())
    return f"load {row[0]}, sql {hashlib.sha256(text.encode()).hexdigest()[:12]}, catalogue {seen[0] if seen else 0}"
