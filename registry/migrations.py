"""Brings a registry of an earlier schema to that of now: into a new file, checked, and put in place in one step."""

from __future__ import annotations

from pathlib import Path

import duckdb

from registry import audit, catalogue, checks, encryption, history, shared, spilling
from registry.connection import SCHEMA_VERSION, attach, new_session, not_opened
from registry.errors import CatamnesisError, UsageError, of_engine
from registry.replacing import replacing


def migrate(path: str | Path) -> tuple[str, str, Path | None]:
    """Migrate the registry at `path`; returns the version found, the version now, and where the old file is kept.

    Raises
    ------
    UsageError
        When there is no registry, or it was made by a later version of the program.
    RegistryBusy
        When another process has it open.
    CatamnesisError
        When the result does not hold what the file held; the file is as it was then.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There is no registry {path}.")
    con = new_session(path)
    try:
        found = _schema_of(con, path)
        if found == SCHEMA_VERSION:
            return found, found, None
        shared.refuse_copy(path, "Remove it, and `catamnesis join` makes one of the record as it is there now.")
        if found not in _STEPS:
            raise UsageError(
                f"{path.name} has schema {found}; this version knows {', '.join(_STEPS)} and {SCHEMA_VERSION}."
            )
        kept = path.with_name(f"{path.name}.schema{found}")
        # What a killed writer left in the write-ahead log goes into the file first: it must not be left beside the new.
        con.execute("detach source")
        attach(con, path, "source", secret=encryption.key(), mode="write")
        con.execute("checkpoint source; detach source")
        with replacing(path) as new:
            _write(con, path, new, found)
            spilling.close(con)
            kept.unlink(missing_ok=True)
            kept.hardlink_to(path)
        return found, SCHEMA_VERSION, kept
    except duckdb.Error as error:
        said = of_engine(error) or f"{error}. The file is as it was."
        raise CatamnesisError(f"{path.name} could not be migrated. {said}") from None
    finally:
        spilling.close(con)


def _write(con: duckdb.DuckDBPyConnection, path: Path, new: Path, found: str) -> None:
    """Write the registry at `path`, of schema `found`, into a new file in the schema of now."""
    attach(con, path, "source", secret=encryption.key(), mode="read")
    attach(con, new, "registry", secret=encryption.key(), mode="new")
    con.execute("copy from database source to registry; use registry; begin")
    history.create(con)
    version = found
    while version != SCHEMA_VERSION:
        version = _STEPS[version](con)
    con.execute("update log.meta set value = ? where key = 'schema_version'", [version])
    audit.append(con, "migrate", {"from": found, "to": version})
    _nothing_lost(con)
    con.execute("commit; checkpoint registry")


def _schema_of(con: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Attach the file as ``source`` and return the version of its schema."""
    try:
        attach(con, path, "source", secret=encryption.key(), mode="read")
        row = con.sql("select value from source.log.meta where key = 'schema_version'").fetchone()
    except duckdb.Error as error:
        raise not_opened(path, error) from None
    return str(row[0]) if row else "?"


def _one_to_two(con: duckdb.DuckDBPyConnection) -> str:
    """History: the past, the log of changes, the chain; loads held get their entries, as they are found now."""
    con.execute(
        "create table log.load_now as select *, 'load' as kind, null::varchar as reason from log.load; "
        "drop table log.load; alter table log.load_now rename to load"
    )
    con.execute(history.SCHEMA + audit.SCHEMA + checks.SCHEMA)
    # Its checks had no kind, severity or limit: they are the program's own, not a clinic's.
    catalogue.create(con, ["defect"])
    audit.append(con, "create", dict(con.sql("select key, value from log.meta order by key").fetchall()))
    for (load_id,) in con.sql("select load_id from log.load order by load_id").fetchall():
        audit.append(con, "load", audit.of_load(con, load_id))
    return "2"


def _two_to_three(con: duckdb.DuckDBPyConnection) -> str:
    """Consents by version, operators, what was tried before, goals, processing and release tests of products."""
    for name in ("vocabulary", "load_rule", "defect"):
        catalogue.add_missing(con, name)
    catalogue.create(con, ["reporting_item"])
    return "3"


_STEPS = {"1": _one_to_two, "2": _two_to_three}


def _nothing_lost(con: duckdb.DuckDBPyConnection) -> None:
    tables = con.sql(
        "select schema_name, table_name from duckdb_tables() where database_name = 'source' order by all"
    ).fetchall()
    for schema, table in tables:
        before, after = (
            con.sql(f"select count(*) from {database}.{schema}.{table}").fetchone()
            for database in ("source", "registry")
        )
        # A catalogue may have gained rows, and the chain has its entry of the migration; nothing else has changed.
        grown = schema == "catalogue" or table == "audit"
        if before != after and not (grown and before and after and after[0] > before[0]):
            raise CatamnesisError(f"Migrating lost rows of {schema}.{table}. The file is as it was.")
    wrong = audit.verify(con).problems
    if wrong:
        raise CatamnesisError(f"The migrated registry does not verify: {wrong[0]}. The file is as it was.")
