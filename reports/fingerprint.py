"""Hashes by which it is seen that something changed: the code with its catalogues and SQL, and the record."""

from __future__ import annotations

import hashlib
from pathlib import Path

import analysis
import registry as registry_package
import reports
from registry import Registry, sqlmodels

_CODE = (".py", ".html", ".js", ".csv", ".toml", ".sql", ".typ", ".mo")


def code_and_record(registry: Registry) -> tuple[str, str]:
    """Return a hash of the code with its catalogues and SQL, and one of the loads and the derivation of a registry."""
    record = hashlib.sha256()
    for table in ("log.load", "log.source_file", "log.meta"):
        record.update(str(registry.con.sql(f"from {table} order by all").fetchall()).encode())
    return code_hash(), record.hexdigest()


def waivers(registry: Registry) -> str:
    """Return a hash of the findings that were waived: they are not told of, and no load goes with a waiver."""
    waived = registry.con.sql(
        "select defect, table_name, row_id, message, reason from log.finding where state = 'waived' order by all"
    ).fetchall()
    return hashlib.sha256(str(waived).encode()).hexdigest()


def code_hash() -> str:
    """Return a hash of the code with the catalogues and SQL that it ships."""
    code = hashlib.sha256()
    folders = [Path(str(m.__file__)).parent for m in (registry_package, analysis, reports)]
    for folder in [*folders, sqlmodels.folder()]:
        for file in sorted(p for p in folder.rglob("*") if p.suffix in _CODE):
            code.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return code.hexdigest()
