"""A record shared by several writers: it lies on a PostgreSQL server, and each machine works on a copy of its own.

The copy is a registry like any other, with the server's address in ``<path>.server`` beside it. It is brought up to
date when it is opened and before it is written; what a writer adds is sent in one transaction before the copy takes its
place. What is derived stays on each machine. See docs/decisions/0012-a-shared-record-and-its-copies.md.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import duckdb
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from registry import audit, catalogue, checks, encryption, history, loadlog, pseudonyms
from registry.connection import SCHEMA_VERSION, attach, attached, new_session, quoted, writing
from registry.errors import CatamnesisError, RegistryBusy, ServerUnreachable, UsageError
from registry.replacing import replacing
from registry.server import Server, address_file, ask, server_of, tell
from registry.tables import TABLES

_RECORD = [str(t.__tablename__) for t in TABLES]
# Rows of these never change: a load, or an entry of the chain, brings them.
_OF_FILE = "source_file_id in (select source_file_id from log.source_file where load_id > {load})"
_APPENDED = {
    **dict.fromkeys(("log.load", "log.load_centre", "log.source_file", "log.change"), "load_id > {load}"),
    **dict.fromkeys(("log.rejected_row", "log.rejection"), _OF_FILE),
    "log.audit": "seq > {seq}",
}
# Edited in place: these go whole, as do log.meta and, if they changed, the catalogues.
_EDITED = ("log.finding", "log.finding_count")
# What is true of one machine's derived tables only.
_OURS = "key <> 'derived_from'"


@dataclass(frozen=True)
class Head:
    """How far a record goes: number and hash of the last entry of its chain, its last load, changes of catalogues."""

    seq: int
    hash: str
    load: int
    catalogue: str
    schema: str


_NOTHING = Head(0, "", 0, "", "")
_HEAD = (
    "select coalesce((select max(seq) from log.audit), 0) as seq, "
    "coalesce((select hash from log.audit order by seq desc limit 1), '') as hash, "
    "coalesce((select max(load_id) from log.load), 0) as load, "
    "coalesce((select value from log.meta where key = 'catalogue_changes'), '') as catalogue, "
    "coalesce((select value from log.meta where key = 'schema_version'), '') as schema"
)


def share(path: str | Path, address: str) -> Server:
    """Put a registry on a server, whole; the file becomes the first working copy of the shared record.

    Parameters
    ----------
    path
        A registry of its own, with the secret of its pseudonyms: of that, a fingerprint goes to the server.
    address
        ``postgresql://user@host/database``; an empty database, made for it. A password is taken from where PostgreSQL
        looks for it (``~/.pgpass``, ``PGPASSWORD``), never from the address.

    Raises
    ------
    UsageError
        When the registry is shared already, or the database holds one.
    ServerUnreachable, RegistryBusy, CatamnesisError
        When nobody answers, somebody is writing there, or the server refuses. The server is then as it was.
    """
    path, server = Path(path), Server(address, new=True)
    held, sent = server_of(path), None
    if held is not None and (held.address != address or _told(server, _NOTHING) is not None):
        raise UsageError(f"{path.name} is shared already: it is a working copy of {held.name}.")
    print_of_key = pseudonyms.fingerprint(pseudonyms.read_key(path))
    try:
        with writing(path, server) as con:
            con.execute("insert or replace into log.meta values (?, ?)", [pseudonyms.FINGERPRINT, print_of_key])
            audit.append(con, "share", {pseudonyms.FINGERPRINT: print_of_key})
            sent = _head(con)
            # Before it is sent: what is killed once the server has it must not go on as a record of its own.
            address_file(path).write_text(address + "\n", encoding="utf-8")
    except BaseException:
        if held is None and sent is not None and _told(server, sent) != sent:
            address_file(path).unlink(missing_ok=True)
        raise
    return server


def join(path: str | Path, address: str) -> Server:
    """Make a working copy of a shared record as a new file; it has proved itself by the chain before it is there.

    To load files, the secret of the pseudonyms must lie beside it (``<path>.key``), or be in the environment.

    Raises
    ------
    UsageError
        When the file exists, its folder does not, or the database holds no record.
    ServerUnreachable, CatamnesisError
        When nobody answers, the server refuses, its record is of another version or does not prove itself, or the
        secret that lies there is another one.
    """
    path, server = Path(path), Server(address)
    if path.exists():
        raise UsageError(f"{path.name} exists. Nothing was changed; choose another name.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}. Create it first.")
    with replacing(path) as new, new_session(new) as con:
        attach(con, new, "registry", secret=encryption.new_key(), mode="new")
        con.execute("use registry; begin")
        create_tables(con)
        con.execute("commit")
        pull(con, server)
        if pseudonyms.is_given(path):
            pseudonyms.same_key(con, pseudonyms.read_key(path))
        con.execute("checkpoint registry")
        address_file(path).write_text(address + "\n", encoding="utf-8")
    return server


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Create every table of a registry in the current database, with the catalogues as they ship."""
    history.create(con)
    con.execute(loadlog.SCHEMA + history.SCHEMA + audit.SCHEMA + checks.SCHEMA)
    catalogue.create(con)


def refresh(path: Path) -> None:
    """Bring the working copy at `path` up to date; a registry of its own is left alone.

    Raises
    ------
    ServerUnreachable
        When nobody answers.
    CatamnesisError
        When the server refuses, or what it sent does not prove itself; the copy is as it was.
    """
    server = server_of(path)
    if server is None:
        return
    with attached(path, read_only=True) as con:
        con.execute("use registry")
        with server.attached(con):
            if _head_of(server, con) == _head(con):
                return
    with replacing(path) as new:
        shutil.copyfile(path, new)
        with attached(new, read_only=False) as con:
            con.execute("use registry")
            pull(con, server)
            con.execute("checkpoint registry")


def brought_up(path: Path) -> tuple[str, ...]:
    """Bring a working copy up to date as far as can be; returns what a reader should know of it."""
    try:
        refresh(path)
    except ServerUnreachable as error:
        return (f"{error} This is the copy as it was last brought up to date.",)
    except RegistryBusy:  # written on this machine just now: it is read as it was, and the reader is told so
        return ()
    return ()


def refuse_copy(path: Path, instead: str) -> None:
    """Refuse what would make a working copy other than its server.

    Raises
    ------
    UsageError
        When the registry at `path` is a working copy.
    """
    server = server_of(path)
    if server is not None:
        raise UsageError(f"{path.name} is a working copy of {server.name}. {instead}")


def turn(server: Server | None, name: str) -> AbstractContextManager[None]:
    """Return what holds the right to write to the server while a block lasts; nothing to hold for a plain file."""
    return server.turn(name) if server else nullcontext()


def pull(con: duckdb.DuckDBPyConnection, server: Server | None) -> Head:
    """Bring the registry that `con` uses up to what the server holds, and prove what came; returns how far it goes."""
    mine = _head(con)
    if server is None or server.new:
        return mine
    with server.attached(con):
        con.execute("begin")
        theirs = _head_of(server, con)
        if theirs == mine:
            return mine
        at_mine = ask(con, f"select hash from log.audit where seq = {mine.seq}")
        if mine.seq and at_mine != (mine.hash,):
            raise CatamnesisError(
                f"This copy and {server.name} have gone different ways: entry {mine.seq} of the chain is not the same. "
                "Was one of them restored from a backup? Move the copy away, and `catamnesis join` again."
            )
        _carry(con, mine, theirs, _From())
        found = audit.verify(con, after=mine.seq)
        if found.problems:
            raise CatamnesisError(
                f"What {server.name} sent does not prove itself: {found.problems[0]}. Nothing was taken over; tell who "
                "keeps the server."
            )
        con.execute("commit")
    return theirs


def push(con: duckdb.DuckDBPyConnection, server: Server | None, since: Head) -> None:
    """Send what the registry that `con` uses has more than `since`, in one transaction.

    What the chain does not tell of is not sent: every change has its entry.

    Raises
    ------
    RegistryBusy
        When the server is no longer at `since`; nothing was sent.
    """
    mine = _head(con)
    if server is None or mine == since:
        return
    with server.attached(con):
        con.execute("begin")
        if server.new:
            _create_on(con, server)
            since = _NOTHING
        elif _head_of(server, con) != since:
            raise RegistryBusy(f"Somebody else wrote to {server.name} meanwhile. Nothing was changed; run again.")
        _carry(con, since, mine, _To())
        con.execute("commit")


class _From:
    """The way from the server into the registry."""

    def filled(self, con: duckdb.DuckDBPyConnection, query: str) -> list[tuple[str]]:
        return con.execute(f"from postgres_query('server', '{quoted(query)}')").fetchall()

    def copy(self, con: duckdb.DuckDBPyConnection, table: str, where: str) -> None:
        query = quoted(f"select {_columns(con, table)} from {table} where {where}")
        con.execute(f"insert into {table} by name from postgres_query('server', '{query}')")

    def run(self, con: duckdb.DuckDBPyConnection, statement: str) -> None:
        con.execute(statement)


class _To:
    """The way from the registry to the server."""

    def filled(self, con: duckdb.DuckDBPyConnection, query: str) -> list[tuple[str]]:
        return con.execute(query).fetchall()

    def copy(self, con: duckdb.DuckDBPyConnection, table: str, where: str) -> None:
        columns = _columns(con, table)
        con.execute(f"insert into server.{table} ({columns}) select {columns} from registry.{table} where {where}")

    def run(self, con: duckdb.DuckDBPyConnection, statement: str) -> None:
        tell(con, statement)


def _carry(con: duckdb.DuckDBPyConnection, since: Head, until: Head, way: _From | _To) -> None:
    """Carry what one side has after `since` to the other: rows by the load that brought or replaced them."""
    new = {t: where.format(load=since.load, seq=since.seq) for t, where in _APPENDED.items()}
    new |= {f"past.{name}": f"superseded_by > {since.load}" for name in _RECORD}
    new |= {f"record.{name}": f"load_id > {since.load}" for name in _RECORD}
    some = [f"select '{table}' where exists (select 1 from {table} where {where})" for table, where in new.items()]
    filled = {table for (table,) in way.filled(con, " union all ".join(some))}
    for name in _RECORD:
        if f"past.{name}" in filled:
            way.copy(con, f"past.{name}", new[f"past.{name}"])
            gone = f"select id from past.{name} where superseded_by > {since.load}"
            way.run(con, f"delete from record.{name} where load_id <= {since.load} and id in ({gone})")
        if f"record.{name}" in filled:
            way.copy(con, f"record.{name}", new[f"record.{name}"])
    for table in filled & _APPENDED.keys():
        way.copy(con, table, new[table])
    judged = way.filled(con, f"select action from log.audit where seq > {since.seq} and action in ('check', 'waive')")
    whole = {"log.meta": _OURS} | dict.fromkeys(_EDITED if judged else (), "true")
    if until.catalogue != since.catalogue:
        whole |= {f"catalogue.{name}": "true" for name in catalogue.KEYS}
    for table, where in whole.items():
        way.run(con, f"delete from {table} where {where}")
        way.copy(con, table, where)


def _columns(con: duckdb.DuckDBPyConnection, table: str) -> str:
    return ", ".join(f'"{column}"' for column, *_ in con.execute(f"describe registry.{table}").fetchall())


def _head(con: duckdb.DuckDBPyConnection) -> Head:
    return Head(*(con.execute(_HEAD).fetchone() or (0, "", 0, "", "")))


def _told(server: Server, unknown: Head) -> Head | None:
    """Return how far the server's record goes; None if there is none, `unknown` if nobody answers."""
    try:
        with new_session() as con, server.attached(con):
            return _head_of(server, con)
    except CatamnesisError as error:
        return unknown if isinstance(error, ServerUnreachable) else None


def _head_of(server: Server, con: duckdb.DuckDBPyConnection) -> Head:
    """Return how far the server's record goes.

    Raises
    ------
    UsageError
        When there is none, or it is of another version.
    """
    if not ask(con, "select 1 from pg_namespace where nspname = 'record'"):
        raise UsageError(f"{server.name} holds no shared record. `catamnesis share` puts a registry there.")
    found = Head(*ask(con, _HEAD))
    if found.schema != SCHEMA_VERSION:
        raise UsageError(
            f"The record of {server.name} has schema {found.schema}, this version of the program has {SCHEMA_VERSION}. "
            "All who share it use one version: docs/how-to/several-writers.md says how it is brought up."
        )
    return found


def _create_on(con: duckdb.DuckDBPyConnection, server: Server) -> None:
    """Create the tables on the server, as the schema states them: with keys, references and limits."""
    if ask(con, "select 1 from pg_namespace where nspname = 'record'"):
        raise UsageError(f"{server.name} holds a shared record already. `catamnesis join` makes a working copy of it.")
    if ask(con, "select current_setting('server_encoding')") != ("UTF8",):
        raise UsageError(f"{server.name} does not keep text as UTF-8. Create the database with: encoding 'UTF8'.")
    statements = ["create schema record", "create schema past", "create schema catalogue"]
    for table in TABLES:
        name = table.__tablename__
        statements += [
            str(CreateTable(table.__table__).compile(dialect=postgresql.dialect())),  # type: ignore[attr-defined,no-untyped-call]
            f"create table past.{name} (like record.{name}, superseded_by integer not null, "
            "primary key (id, superseded_by))",
            # Rows lie in the order of their loads: what is new is found without an index of every row.
            f"create index on record.{name} using brin (load_id)",
            f"create index on past.{name} using brin (superseded_by)",
        ]
    tell(con, ";\n".join(statements) + ";\n" + loadlog.SCHEMA + history.SCHEMA + audit.SCHEMA + checks.SCHEMA)
    for name in catalogue.KEYS:
        con.execute(f"create table server.catalogue.{name} as from registry.catalogue.{name} limit 0")
