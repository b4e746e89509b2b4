"""A PostgreSQL server for the length of a test run: in a temporary folder, on a free loopback port, trusting all but one."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry import extensions
from registry.connection import new_session

_PLACES = [*Path("/usr/lib/postgresql").glob("*/bin"), *(Path(p).parent for p in (shutil.which("pg_ctl"),) if p)]
_FOUND = [place for place in sorted(_PLACES, reverse=True) if all((place / p).exists() for p in ("initdb", "psql"))]
BIN = _FOUND[0] if _FOUND else Path()


def lacking() -> str | None:
    """Say why there can be no server here, or None."""
    with new_session() as con:
        if not extensions.load(con, "postgres_scanner"):
            return "needs the extra postgres"
    if not _FOUND:
        return "needs PostgreSQL (initdb) on this machine"
    if os.geteuid() == 0 and ("postgres" not in {u.pw_name for u in pwd.getpwall()} or not shutil.which("setpriv")):
        return "PostgreSQL refuses root, and there is no user postgres to run it"
    return None


class Postgres:
    """A server that runs: `address` of a database of it, `sql` in one."""

    def __init__(self, port: int):
        self.port = port
        self.made = 0

    def address(self, database: str, user: str = "keeper") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def sql(self, database: str, statement: str, user: str = "keeper") -> str:
        program = [BIN / "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement, self.address(database, user)]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def new(self, template: str = "template0") -> str:
        """Create a database; returns its name."""
        self.made += 1
        name = f"knees_{self.made}"
        self.sql("postgres", f"create database {name} template {template} encoding 'UTF8'")
        return name


@contextmanager
def running() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="catamnesis-postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, "postgres", "postgres")
    quick = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c autovacuum=off"

    def run(*program: object) -> None:
        subprocess.run([*as_user, *map(str, program)], check=True, capture_output=True, cwd=folder)

    try:
        run(
            BIN / "initdb",
            "-D",
            folder / "data",
            "-U",
            "keeper",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text("host all secretive 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        run(BIN / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", quick, "start")
        yield Postgres(port)
        run(BIN / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
