"""The chain of what was done to a registry: who, when, what, and a hash that the next entry carries on.

An entry of a load holds a digest of every row it brought, so that a value altered behind the program's back is found by
:func:`verify`. Whoever can write the file can also write a new chain: keep the last hash elsewhere (`verify` and the
report print it), and a new chain will not have it.
"""

from __future__ import annotations

import datetime as dt
import getpass
import hashlib
import json
from dataclasses import dataclass
from html import escape
from typing import Any

import duckdb

from registry.tables import TABLES

SCHEMA = """
create table log.audit (
    seq integer primary key, made_at timestamp not null, made_by varchar not null, action varchar not null,
    detail varchar not null, previous varchar not null, hash varchar not null
);
"""
_START = "0" * 64


@dataclass(frozen=True, repr=False)
class Verified:
    """What a check of the chain found.

    Attributes
    ----------
    entries
        Number of entries of the chain.
    rows
        Rows of the record, past versions included, whose digests were compared.
    head
        Hash of the last entry: keep it elsewhere to recognise a chain that was written anew.
    problems
        One sentence for each thing that is not as it was written down; empty if all is.
    """

    entries: int
    rows: int
    head: str
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        found = "as it was written down" if not self.problems else f"{len(self.problems)} problems"
        head = f"Chain of {self.entries:,} entries, {self.rows:,} rows compared: {found}; head {self.head[:16]}…"
        return "\n  ".join([head, *self.problems])

    def _repr_html_(self) -> str:
        problems = "".join(f"<li>{escape(p)}</li>" for p in self.problems)
        return f"<div>{escape(repr(self).splitlines()[0])}</div>" + (f"<ul>{problems}</ul>" if problems else "")


def append(con: duckdb.DuckDBPyConnection, action: str, detail: dict[str, Any]) -> str:
    """Add an entry in the transaction of what it tells of; returns its hash."""
    last = con.execute("select seq, hash from log.audit order by seq desc limit 1").fetchone()
    seq, previous = (int(last[0]) + 1, str(last[1])) if last else (1, _START)
    at, by = now(), user_name()
    text = json.dumps(detail, sort_keys=True, ensure_ascii=False, default=str)
    link = _hash(seq, at, by, action, text, previous)
    con.execute("insert into log.audit values (?, ?, ?, ?, ?, ?, ?)", [seq, at, by, action, text, previous, link])
    return link


def digests(con: duckdb.DuckDBPyConnection, load_id: int) -> dict[str, Any]:
    """Return number and digest of the rows of a load by table, past versions included; tables without any are left out.

    The digest is SHA-256 over the rows' own digests in the order of their identities: in buckets, so that no list of
    all rows is held at once.
    """
    found = {}
    for table in TABLES:
        name = str(table.__tablename__)
        columns = [c.name for c in table.__table__.columns]  # type: ignore[attr-defined]
        text = ", chr(31), ".join(f"coalesce({c}::varchar, chr(30))" for c in columns)
        rows = " union all ".join(
            f"select {', '.join(columns)} from {schema}.{name} where load_id = {int(load_id)}"
            for schema in ("record", "past")
        )
        n, digest = con.execute(
            "select coalesce(sum(n), 0)::bigint, sha256(coalesce(string_agg(digest, '' order by bucket), '')) from ("
            "select id % 256 as bucket, count(*) as n, "
            f"sha256(string_agg(md5(concat({text})), '' order by id)) as digest "
            f"from ({rows}) group by bucket)"
        ).fetchone() or (0, "")
        if n:
            found[name] = {"rows": int(n), "sha256": str(digest)}
    return found


def changes_digest(con: duckdb.DuckDBPyConnection, load_id: int) -> dict[str, Any]:
    """Return number and digest of the changes that a load made to values recorded before."""
    n, digest = con.execute(
        "select count(*), sha256(coalesce(string_agg(said, chr(29) order by said), '')) from (select "
        "concat_ws(chr(31), table_name, row_id, kind, coalesce(column_name, ''), coalesce(old_value, chr(30)), "
        "coalesce(new_value, chr(30))) as said from log.change where load_id = ?)",
        [load_id],
    ).fetchone() or (0, "")
    return {"changes": int(n), "sha256": str(digest)}


def origin(con: duckdb.DuckDBPyConnection, load_id: int) -> dict[str, Any]:
    """Return what is held of where a load came from: its day, its reason, its files with their hashes and counts."""
    day, reason = con.execute("select extracted_on, reason from log.load where load_id = ?", [load_id]).fetchone() or (
        None,
        None,
    )
    read = con.execute(
        "select file, sha256, table_name, rows_in, accepted, rejected from log.source_file where load_id = ? "
        "order by all",
        [load_id],
    ).fetchall()
    return {"extracted_on": str(day), "reason": reason, "files": [list(row) for row in read]}


def of_load(con: duckdb.DuckDBPyConnection, load_id: int) -> dict[str, Any]:
    """Return what the chain keeps of a load: where it came from, digests of its rows and of what it changed."""
    brought = {"tables": digests(con, load_id), "corrections": changes_digest(con, load_id)}
    return {"load": load_id, **origin(con, load_id), **brought}


def verify(con: duckdb.DuckDBPyConnection, after: int = 0) -> Verified:
    """Follow the chain and compare what it says of each load with what the registry holds now.

    Of loads told of by the first `after` entries, the rows are not compared.
    """
    entries = con.execute(
        "select seq, made_at, made_by, action, detail, previous, hash from log.audit order by seq"
    ).fetchall()
    problems, previous, rows, told = [], _START, 0, set()
    for place, (seq, at, by, action, text, before, link) in enumerate(entries, 1):
        if seq != place:
            problems.append(f"entry {place} of the chain is missing: the next one is number {seq}")
            break
        if before != previous or link != _hash(seq, at, by, action, text, before):
            problems.append(f"entry {seq} ({action}, {at}) does not follow from the one before it")
            break
        previous = link
        detail = json.loads(text)
        if "load" in detail:
            told.add(int(detail["load"]))
        if "load" in detail and seq > after:
            rows += sum(part["rows"] for part in detail["tables"].values())
            problems += _differences(con, detail)
    held = {int(r[0]) for r in con.execute("select load_id from log.load").fetchall()}
    problems += [f"load {n} is not in the chain" for n in sorted(held - told)]
    problems += [f"load {n} is in the chain but not in the log of loads" for n in sorted(told - held)]
    return Verified(len(entries), rows, previous, tuple(problems))


def _differences(con: duckdb.DuckDBPyConnection, detail: dict[str, Any]) -> list[str]:
    load = int(detail["load"])
    now_held, then = digests(con, load), detail["tables"]
    found = []
    for name in sorted(now_held.keys() | then.keys()):
        one, other = then.get(name, {"rows": 0}), now_held.get(name, {"rows": 0})
        if one["rows"] != other["rows"]:
            found.append(
                f"load {load} brought {one['rows']:,} rows of {name}; the registry holds {other['rows']:,} of them"
            )
        elif one != other:
            found.append(f"load {load}: what is held of {name} is not what was loaded")
    if any(detail[key] != value for key, value in origin(con, load).items()):
        found.append(f"load {load}: its day, its reason or its files are not as they were written down")
    if changes_digest(con, load) != detail["corrections"]:
        found.append(f"load {load}: the log of its changes is not what was written")
    return found


def _hash(seq: int, at: Any, by: str, action: str, text: str, previous: str) -> str:
    return hashlib.sha256("\x1f".join([str(seq), str(at), by, action, text, previous]).encode()).hexdigest()


def now() -> dt.datetime:
    """Return the time as it is written down: UTC, whole seconds, without a zone."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)


def user_name() -> str:
    """Return who is at work, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
