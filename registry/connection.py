"""Connections to a registry's file: read-only through views, or for writing in one transaction."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from registry.errors import CatamnesisError, RegistryBusy, RegistryMissing, UsageError

SCHEMA_VERSION = "3"


@contextmanager
def writing(path: str | Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file for writing in one transaction: everything in the block is kept, or nothing."""
    con = attached(Path(path), read_only=False)
    con.execute("use registry; begin")
    try:
        yield con
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    finally:
        con.close()


MEMORY = "CATAMNESIS_MEMORY"


def new_session() -> duckdb.DuckDBPyConnection:
    """Return a connection in memory; the engine keeps below the ceiling of the environment, and spills what is more.

    Raises
    ------
    UsageError
        When ``CATAMNESIS_MEMORY`` is not an amount of memory.
    """
    con = duckdb.connect()
    con.execute("set enable_progress_bar = false")
    ceiling = os.environ.get(MEMORY, "").strip()
    if ceiling:
        if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", ceiling, flags=re.I):
            raise UsageError(f"{MEMORY} is {ceiling!r}: write an amount of memory, e.g. 4GB or 800MB.")
        con.execute(f"set memory_limit = '{ceiling}'")
    return con


def attached(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Return a connection to which the file is attached as ``registry``; says kindly why it cannot be."""
    if (path / "MANIFEST.json").is_file():
        raise UsageError(f"{path.name} is a data cut: it is read, never changed. Write to the registry it was made of.")
    if not path.is_file():
        raise RegistryMissing(f"There is no registry {path}. `catamnesis init {path}` creates one.")
    con = new_session()
    try:
        con.execute(f"attach '{quoted(path)}' as registry{' (read_only)' if read_only else ''}")
        found = con.sql(
            "select 1 from duckdb_schemas() where database_name = 'registry' and schema_name = 'record'"
        ).fetchone()
        if found:
            # A file cut short is found out by reading from it, and it is better found out here.
            meta = dict(con.sql("select key, value from registry.log.meta").fetchall())
    except duckdb.Error as error:
        con.close()
        raise not_opened(path, str(error)) from None
    if not found:
        con.close()
        raise RegistryMissing(f"{path.name} is a DuckDB file, but not a registry. `catamnesis init` creates one.")
    if meta.get("schema_version") != SCHEMA_VERSION:
        con.close()
        raise RegistryMissing(
            f"{path.name} has schema {meta.get('schema_version')}, this version of the program has {SCHEMA_VERSION}. "
            f"`catamnesis migrate {path.name}` brings an older one up to it and keeps the old file."
        )
    return con


def not_opened(path: Path, reason: str) -> CatamnesisError:
    """Return what to say of a file that DuckDB could not open, by its reason."""
    if "set lock" in reason:
        return RegistryBusy(f"{path.name} is being written by another process. Try again when it is done.")
    if "already attached" in reason:
        return RegistryBusy(f"{path.name} is open in this session. Close it first, e.g. with `registry.close()`.")
    return RegistryMissing(f"{path.name} is not a registry: the file cannot be read as DuckDB {engine_version()}.")


def show_as_views(con: duckdb.DuckDBPyConnection) -> None:
    """Create a view in memory for every table of the attached registry."""
    tables = con.sql("select schema_name, table_name from duckdb_tables() where database_name = 'registry'").fetchall()
    for schema in {schema for schema, _ in tables} - {"main"}:
        con.execute(f"create schema if not exists {schema}")
    for schema, table in tables:
        con.execute(f"create view {schema}.{table} as from registry.{schema}.{table}")


def engine_version() -> str:
    """Return the version of DuckDB."""
    return str(duckdb.__version__)


def quoted(text: object) -> str:
    """Return text as it goes between single quotes in SQL."""
    return str(text).replace("'", "''")
