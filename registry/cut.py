"""Data cuts: the record, what was derived from it, the catalogues and the SQL, frozen as files that prove themselves.

A cut is a folder of Parquet files with a manifest of their hashes. Analyses run on it as on a registry, with the
derived tables as they were on the day of the cut.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb

from registry import audit, catalogue, encryption, history, spilling, sqlmodels
from registry.connection import engine_version, new_session, quoted, writing
from registry.errors import CatamnesisError, UsageError
from registry.store import Registry

MANIFEST = "MANIFEST.json"
_SCHEMAS = ("record", "past", "catalogue", "log", *sqlmodels.MATERIALISED)


def cut(path: str | Path, name: str, out: str | Path) -> Path:
    """Freeze the registry at `path` as folder ``out/name``; returns the folder.

    The folder appears when it is complete, or not at all, for its owner only; the registry's chain keeps the hash of
    its manifest.

    Raises
    ------
    UsageError
        When the name is not letters, digits, points, dashes, or a cut of this name is there.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise UsageError(f"{name!r} cannot name a cut: use letters, digits, points, dashes and underscores.")
    folder = Path(out) / name
    if folder.exists():
        raise UsageError(f"There is a cut {name} in {out}; a cut is never made over. Choose another name.")
    partial = folder.with_name(f".{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir(mode=0o700)
    try:
        with Registry.open(path) as registry:
            manifest = _write(registry, partial, name)
        text = json.dumps(manifest, indent=1, default=str, ensure_ascii=False) + "\n"
        (partial / MANIFEST).write_text(text, encoding="utf-8")
        with writing(path) as con:
            audit.append(con, "cut", {"name": name, "manifest": seal(partial)})
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def _write(registry: Registry, folder: Path, name: str) -> dict[str, Any]:
    con, files, schema = registry.con, {}, {}
    secret = encryption.key() if registry.encrypted else None
    form = "format parquet, compression zstd"
    if secret is not None:
        form += f", encryption_config {encryption.prepare_parquet(con, secret)}"
    tables = con.execute(
        "select table_schema, table_name from information_schema.tables where table_catalog = current_database() "
        "and list_contains(?, table_schema) order by 1, 2",
        [list(_SCHEMAS)],
    ).fetchall()
    for part, table in tables:
        place = f"data/{part}/{table}.parquet"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        con.execute(f"copy (from {part}.{table} order by all) to '{quoted(folder / place)}' ({form})")
        described = con.sql(f"describe {part}.{table}").fetchall()
        schema[f"{part}.{table}"] = {column: kind for column, kind, *_ in described}
        (rows,) = con.sql(f"select count(*) from {part}.{table}").fetchone() or (0,)
        files[place] = {"rows": int(rows), **_measure(folder / place)}
    for model in sqlmodels.folder().glob("*/*.sql"):
        place = f"sql/{model.parent.name}/{model.name}"
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model, folder / place)
        files[place] = _measure(folder / place)
    last = con.sql("select max(load_id) from log.load").fetchone()
    return {
        "cut": name, "of": registry.path.name, "made_at": audit.now(), "made_by": audit.user_name(),
        "data_cut": registry.data_cut, "last_load": last[0] if last else None, "chain": registry.chain_head(),
        "code_version": importlib.metadata.version("catamnesis"), "engine": f"duckdb {engine_version()}",
        "schema_version": registry.meta("schema_version"), "encrypted": secret is not None,
        "schema": schema, "files": files,
    }  # fmt: skip


def _measure(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def seal(folder: Path) -> str:
    """Return the hash of a cut's manifest: with it every file is sealed; the registry's chain keeps it."""
    return str(_measure(folder / MANIFEST)["sha256"])


def is_cut(path: Path) -> bool:
    """Say whether a path is the folder of a data cut."""
    return (path / MANIFEST).is_file() and (path / "data").is_dir()


def manifest_of(folder: Path) -> dict[str, Any]:
    """Return the manifest of a cut.

    Raises
    ------
    CatamnesisError
        When it cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError):
        raise CatamnesisError(f"{folder.name}/{MANIFEST} cannot be read: this is no whole data cut.") from None


def named(registry: Registry) -> dict[str, Any] | None:
    """Return which data cut an opened registry is, as its manifest has it; None for a registry that goes on.

    Returns
    -------
    dict or None
        ``name``, ``of`` (the registry's file), ``data_cut``, ``made_at``, ``chain``, and ``sha256`` of the manifest,
        which seals every file of the cut.
    """
    if not (registry.frozen and is_cut(registry.path)):
        return None
    told = manifest_of(registry.path)
    kept = {key: told[key] for key in ("of", "data_cut", "made_at", "chain")}
    return {"name": told["cut"], **kept, "sha256": seal(registry.path)}


def differences(folder: Path) -> list[str]:
    """Return what of a cut is not as it was made: files changed, missing, or added; empty if it is unchanged."""
    listed = manifest_of(folder)["files"]
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    found = [f"{name} is missing" for name in sorted(listed.keys() - there)]
    found += [f"{name} does not belong to the cut" for name in sorted(there - listed.keys())]
    for name in sorted(listed.keys() & there):
        if _measure(folder / name)["sha256"] != listed[name]["sha256"]:
            found.append(f"{name} was changed")
    return found


def open_cut(folder: Path) -> Registry:
    """Open a data cut as a registry, once it has proved itself unchanged.

    Raises
    ------
    CatamnesisError
        When a file of it was changed, added or removed.
    """
    wrong = differences(folder)
    if wrong:
        raise CatamnesisError(
            f"The data cut {folder.name} is not as it was made: {'; '.join(wrong[:5])}"
            f"{' …' if len(wrong) > 5 else ''}. Take an unchanged copy: results of this one would not be "
            "those of the cut."
        )
    manifest = manifest_of(folder)
    con = _shown(folder, manifest)
    # What a cut of an earlier schema had no table for is empty; a catalogue it had not is that of now.
    history.create(con)
    catalogue.create(con, [name for name in catalogue.KEYS if f"catalogue.{name}" not in manifest["schema"]])
    own = {f"sql/{p.parent.name}/{p.name}": p for p in sqlmodels.folder().glob("*/*.sql")}
    other = [n for n, p in own.items() if n not in manifest["files"] or (folder / n).read_bytes() != p.read_bytes()]
    notes = [f"Data cut {manifest['cut']} of {manifest['made_at']}, chain {str(manifest['chain'])[:12]}."]
    if other:
        notes.append(
            f"{len(other)} SQL models of this version differ from those of the cut ({manifest['code_version']}): "
            "tables derived then are read as they were, reductions are those of now."
        )
    return Registry(folder, con, tuple(notes), frozen=True)


def _shown(folder: Path, manifest: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """Return a session with a view of every file of the cut."""
    secret, hidden = encryption.key(), manifest.get("encrypted", False)
    if hidden != (secret is not None):
        raise encryption.missing(folder.name) if hidden else encryption.needless(folder.name)
    con = new_session(folder)
    how = f", encryption_config = {encryption.prepare_parquet(con, secret)}" if secret is not None else ""
    try:
        for name in manifest["schema"]:
            part, table = name.split(".")
            con.execute(f"create schema if not exists {part}")
            source = quoted(folder / "data" / part / f"{table}.parquet")
            con.execute(f"create view {name} as from read_parquet('{source}'{how})")
    except duckdb.InvalidInputException:
        # Its files are as they were made: so it is the key.
        spilling.close(con)
        raise encryption.wrong(folder.name) from None
    return con
