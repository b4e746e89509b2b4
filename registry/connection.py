"""Connections to a registry's file: read-only through views, or for writing on a copy."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb

from registry import encryption, spilling
from registry.errors import CatamnesisError, RegistryBusy, RegistryMissing, UsageError
from registry.replacing import replacing

if TYPE_CHECKING:
    from registry.server import Server

SCHEMA_VERSION = "3"


@contextmanager
def writing(path: str | Path, server: Server | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a copy of the file for writing, in a transaction: it takes the file's place whole, or nothing is changed.

    Whoever reads meanwhile reads the file as it was, and is not waited for. A working copy of a shared record is
    brought up to date first, and what the chain tells of is sent to the server before the copy takes its place.
    What is large is written out on the way (:func:`written_out`).

    Raises
    ------
    RegistryMissing, EncryptionError
        When the file is not a registry of this version, or the key is not its own.
    RegistryBusy
        When another process is writing to it, or another machine to the server.
    ServerUnreachable
        When the server of a shared record does not answer.
    """
    from registry import shared
    from registry.server import server_of

    path = Path(path)
    spilling.close(attached(path, read_only=True))
    absorb_log(path)
    server = server or server_of(path)
    with replacing(path) as new, shared.turn(server, path.name):
        shutil.copyfile(path, new)
        # A time that no later write can have: so it is seen whether anything was written.
        os.utime(new, ns=(0, 0))
        con = attached(new, read_only=False)
        try:
            con.execute("use registry")
            since = shared.pull(con, server)
            con.execute("begin")
            yield con
            con.execute("commit; checkpoint registry")
            shared.push(con, server, since)
        finally:
            spilling.close(con)
        if new.stat().st_mtime_ns == 0:
            new.unlink()


def written_out(con: duckdb.DuckDBPyConnection) -> None:
    """Write what a writer did so far to its copy, and let it go from memory, where the engine holds what is unsettled.

    The copy takes the registry's place whole or not at all, so nobody sees half; but `rollback` goes back to here only.
    """
    con.execute("commit; begin")


MEMORY = "CATAMNESIS_MEMORY"
# Opening takes 2 MB; what can be asked below this is not worth a ceiling.
LEAST_MEMORY_MB = 10


def new_session(beside: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Return a connection in memory; the engine keeps below the ceiling of the environment, and spills what is more.

    What it spills lies in a folder of its own, `beside` the file it reads (:mod:`registry.spilling`).
    With a key in the environment it reads and writes what is encrypted, and what it spills is encrypted too.

    Raises
    ------
    UsageError
        When ``CATAMNESIS_MEMORY`` is not an amount of memory, or too little to open anything.
    EncryptionError
        When the key cannot be read, or what encrypts is not installed.
    """
    secret = encryption.key()
    con = duckdb.connect()
    con.execute("set enable_progress_bar = false")
    ceiling = os.environ.get(MEMORY, "").strip()
    if ceiling:
        _enough(ceiling)
        con.execute(f"set memory_limit = '{ceiling}'")
    if secret is not None:
        encryption.prepare(con)
    spilling.give(con, beside)
    return con


def _enough(ceiling: str) -> None:
    """Refuse a ceiling that is no amount of memory, or below what opening needs."""
    said = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])(i?)B", ceiling, flags=re.I)
    if said is None:
        raise UsageError(f"{MEMORY} (--memory) is {ceiling!r}: write an amount of memory, e.g. 4GB or 800MB.")
    number, unit, binary = said.groups()
    if float(number) * (1024 if binary else 1000) ** ("KMGT".index(unit.upper()) + 1) < LEAST_MEMORY_MB * 1000**2:
        raise UsageError(
            f"{MEMORY} (--memory) is {ceiling}: too little to work with. The least is {LEAST_MEMORY_MB}MB; "
            "loading and deriving need some hundred."
        )


def attach(
    con: duckdb.DuckDBPyConnection, path: Path, name: str, *, secret: str | None, mode: Literal["read", "write", "new"]
) -> None:
    """Attach a file under a name; the key is bound as a parameter, and so is in no statement, log or message."""
    options = {"read": ["read_only"], "write": [], "new": ["storage_version 'v1.5.0'"]}[mode]
    options += ["encryption_key ?"] if secret is not None else []
    told = f" ({', '.join(options)})" if options else ""
    con.execute(f"attach '{quoted(path)}' as {name}{told}", [] if secret is None else [secret])


def attached(path: Path, *, read_only: bool, variable: str = encryption.KEY) -> duckdb.DuckDBPyConnection:
    """Return a connection to which the file is attached as ``registry``; says kindly why it cannot be.

    `variable` of the environment gives the key.
    """
    if (path / "MANIFEST.json").is_file():
        raise UsageError(f"{path.name} is a data cut: it is read, never changed. Write to the registry it was made of.")
    if not path.is_file():
        raise RegistryMissing(f"There is no registry {path}. `catamnesis init {path}` creates one.")
    con = new_session(path)
    try:
        attach(con, path, "registry", secret=encryption.key(variable), mode="read" if read_only else "write")
        found = con.sql(
            "select 1 from duckdb_schemas() where database_name = 'registry' and schema_name = 'record'"
        ).fetchone()
        if found:
            # A file cut short is found out by reading from it, and it is better found out here.
            meta = dict(con.sql("select key, value from registry.log.meta").fetchall())
    except duckdb.Error as error:
        spilling.close(con)
        raise not_opened(path, error, variable) from None
    if not found:
        spilling.close(con)
        raise RegistryMissing(f"{path.name} is a DuckDB file, but not a registry. `catamnesis init` creates one.")
    if meta.get("schema_version") != SCHEMA_VERSION:
        spilling.close(con)
        raise RegistryMissing(
            f"{path.name} has schema {meta.get('schema_version')}, this version of the program has {SCHEMA_VERSION}. "
            f"`catamnesis migrate {path.name}` brings an older one up to it and keeps the old file."
        )
    return con


def not_opened(path: Path, error: duckdb.Error, variable: str = encryption.KEY) -> CatamnesisError | duckdb.Error:
    """Return what to say of a file that DuckDB could not open, by its reason and where its key was looked for.

    A lack of memory says nothing of the file: it is passed on as it is.
    """
    if isinstance(error, duckdb.OutOfMemoryException):
        return error
    reason = str(error)
    of_key = encryption.refusal(path.name, reason, variable)
    if of_key is not None:
        return of_key
    if "set lock" in reason:
        return RegistryBusy(f"{path.name} is being written by another process. Try again when it is done.")
    if "already attached" in reason:
        return RegistryBusy(f"{path.name} is open in this session. Close it first, e.g. with `registry.close()`.")
    return RegistryMissing(f"{path.name} is not a registry: the file cannot be read as DuckDB {engine_version()}.")


def absorb_log(path: Path, variable: str = encryption.KEY) -> None:
    """Take into the file what another program, killed while it wrote, left in the write-ahead log beside it."""
    if path.with_name(f"{path.name}.wal").exists():
        con = attached(path, read_only=False, variable=variable)
        con.execute("checkpoint registry")
        spilling.close(con)


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
