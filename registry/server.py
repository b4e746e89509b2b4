"""A PostgreSQL server that holds a shared record: its address, sessions with it, and whose turn it is to write."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import duckdb

from registry import audit, extensions
from registry.connection import new_session, quoted
from registry.errors import CatamnesisError, RegistryBusy, ServerUnreachable, UsageError

WAIT = "CATAMNESIS_WAIT"
# Writers of one database take this advisory lock; the server frees it when its holder's connection ends.
_LOCK = 0x636174616D
# A load may take long, and a machine that dies must not hold the lock for hours.
_HOLDING = {"idle_in_transaction_session_timeout": "0", "tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10"}
_REFUSED = ("authentication failed", "does not exist", "pg_hba.conf", "no password", "certificate", "SSL")
_HERE = ("", "localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Server:
    """A database on a server, by its address; `new`: it is to become a shared record with what is sent first."""

    address: str
    new: bool = False

    def __post_init__(self) -> None:
        parts = _parts(self.address)
        if parts.password is not None or {"password", "sslpassword"} & {k for k, _ in parse_qsl(parts.query)}:
            raise UsageError(
                "An address holds no password: it would be seen in the list of processes and kept in a file. Put it "
                "into ~/.pgpass (mode 0600) or PGPASSWORD; write postgresql://user@host/database."
            )

    @property
    def name(self) -> str:
        """Host and database, for messages."""
        parts = _parts(self.address)
        asked = dict(parse_qsl(parts.query))
        return f"{parts.hostname or asked.get('host') or asked.get('service') or 'this machine'}{parts.path}"

    def uri(self) -> str:
        """Return the address with what a session adds: who asks, how long to wait, and proof of who answers."""
        parts = _parts(self.address)
        asked = dict(parse_qsl(parts.query))
        # A server elsewhere proves who it is, unless it is said otherwise: a password and patients' rows go there.
        host = asked.get("host") or parts.hostname or os.environ.get("PGHOST", "")
        if host not in _HERE and not host.startswith("/") and "PGSSLMODE" not in os.environ:
            asked.setdefault("sslmode", "verify-full")
        asked.setdefault("connect_timeout", "10")
        asked.setdefault("application_name", f"catamnesis of {audit.user_name()} on {socket.gethostname()}"[:63])
        return f"{self.address.split('?')[0]}?{urlencode(asked, quote_via=quote)}"

    @contextmanager
    def attached(self, con: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Attach the database as ``server`` while the block lasts; what the server says against it is said kindly.

        Raises
        ------
        ServerUnreachable
            When nobody answers at the address, or the connection breaks.
        CatamnesisError
            When the server refuses, or what speaks to it is not installed.
        """
        if not extensions.load(con, "postgres_scanner"):
            raise CatamnesisError(
                f"What speaks to PostgreSQL is not installed for DuckDB {duckdb.__version__}. "
                "Run: pip install 'catamnesis[postgres]'"
            )
        try:
            con.execute(f"attach '{quoted(self.uri())}' as server (type postgres)")
            yield
        except duckdb.Error as error:
            raise self._said(str(error)) or error from None
        finally:
            _let_go(con)

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Hold the right to write to the database while the block lasts; who holds it before is waited for.

        Raises
        ------
        RegistryBusy
            When it is not free within ``CATAMNESIS_WAIT`` seconds (60); says who has it.
        """
        limit = _patience()
        with new_session() as con, self.attached(con):
            # One transaction is one connection, and it must live as long as the work does.
            con.execute("begin")
            for setting, value in _HOLDING.items():
                ask(con, f"select set_config('{setting}', '{value}', true)")
            until = time.monotonic() + limit
            while not ask(con, f"select pg_try_advisory_xact_lock({_LOCK})")[0]:
                if time.monotonic() > until:
                    raise RegistryBusy(
                        f"{name}: {self._holder(con)} is writing to {self.name}. Waited {limit:g} seconds. Nothing was "
                        f"changed; try again when it is done, or wait longer: {WAIT}=600."
                    )
                time.sleep(0.1)
            yield

    def _holder(self, con: duckdb.DuckDBPyConnection) -> str:
        found = ask(
            con,
            "select usename, application_name from pg_locks join pg_stat_activity using (pid) where granted "
            f"and locktype = 'advisory' and (classid::bigint << 32) + objid::bigint = {_LOCK} "
            "and database = (select oid from pg_database where datname = current_database())",
        )
        return f"{found[0]} ({found[1]})" if found else "somebody"

    def _said(self, text: str) -> CatamnesisError | None:
        """Return what to say of an error of the server, if it is nobody's mistake in the program."""
        # The engine quotes the address and the statement; what the server said comes after.
        lines = re.split(r"(?:ERROR|FATAL|failed): +|at \".*?\": ", text)[-1].strip().split("\n")
        reason = ". ".join(line.strip().rstrip(".") for line in lines if line.strip())
        reason += "" if reason.endswith("?") else "."
        if "Unable to connect" in text and any(sign in text for sign in _REFUSED):
            return CatamnesisError(f"The server {self.name} lets nobody in so: {reason} Nothing was changed.")
        if "Unable to connect" in text:
            return ServerUnreachable(f"The server {self.name} cannot be reached: {reason}")
        if "onnection" in text and ("terminat" in text or "closed" in text):
            return ServerUnreachable(f"The connection to {self.name} broke. Run again: it finds out what was kept.")
        if "permission denied" in text:
            return CatamnesisError(
                f"The server {self.name} does not allow it: {lines[0].strip()}. Ask who keeps it for the role of a "
                "writer (docs/how-to/several-writers.md). Nothing was changed."
            )
        if "NULL-byte" in text:
            return UsageError("A text of these files holds a NUL character, which a server cannot keep. Remove it.")
        if "could not serialize" in text or "duplicate key" in text:
            return RegistryBusy(f"Somebody else wrote to {self.name} meanwhile. Nothing was changed; run again.")
        return None


def ask(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the first row that the server answers, or an empty tuple."""
    return con.execute(f"from postgres_query('server', '{quoted(query)}')").fetchone() or ()


def tell(con: duckdb.DuckDBPyConnection, statements: str) -> None:
    """Run statements on the server, in the transaction that is open."""
    con.execute(f"call postgres_execute('server', '{quoted(statements)}')").fetchall()


def address_file(path: Path) -> Path:
    """Return where it is written of which server the registry at `path` is a working copy."""
    return path.with_name(path.name + ".server")


def server_of(path: Path) -> Server | None:
    """Return the server of which the registry at `path` is a working copy; None if it is a registry of its own."""
    file = address_file(path)
    if not file.is_file():
        return None
    return Server(file.read_text(encoding="utf-8").strip())


def _parts(address: str) -> Any:
    try:
        parts = urlsplit(address)
        _ = parts.port, parts.hostname
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres") or not (len(parts.path) > 1 or "service=" in parts.query):
        # Not shown: what somebody took for an address may hold a password.
        raise UsageError("This is no address of a database. Write it as postgresql://user@host/database.")
    return parts


def _patience() -> float:
    text = os.environ.get(WAIT, "").strip() or "60"
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise UsageError(f"{WAIT} is {text!r}: write seconds, e.g. 600.")
    return float(text)


def _let_go(con: duckdb.DuckDBPyConnection) -> None:
    """Close what connects to the server; a transaction that is open is undone."""
    for statement in ("rollback", "detach server"):
        try:
            con.execute(statement)
        except duckdb.Error:  # none was open, or the server is gone
            continue
