"""Pseudonyms: the keyed hash that replaces a clinic's own patient numbers, and the secret it is made with."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

import duckdb

from registry.errors import CatamnesisError, UsageError


def prepare(con: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Give `con` the macro ``pseudonym(x)``: HMAC-SHA-256 (RFC 2104) in SQL, its first 24 hexadecimal digits.

    The clinic's number is so replaced before a row is stored anywhere.
    """
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    inner, outer = (bytes(b ^ pad for b in block).hex() for pad in (0x36, 0x5C))
    con.execute(
        "create temp macro pseudonym(x) as substr(sha256(unhex("
        f"'{outer}') || unhex(sha256(unhex('{inner}') || encode(x)))), 1, 24)"
    )


def read_key(path: str | Path) -> bytes:
    """Return the secret of the pseudonyms of the registry at `path`.

    Read from the environment (``CATAMNESIS_PSEUDONYM_KEY``, hexadecimal) or from ``<path>.key``.

    Raises
    ------
    CatamnesisError
        When neither is there or it is not hexadecimal.
    """
    text = os.environ.get("CATAMNESIS_PSEUDONYM_KEY") or ""
    file = key_file(Path(path))
    if not text and file.exists():
        text = file.read_text(encoding="ascii").strip()
    if not re.fullmatch(r"([0-9a-fA-F]{2}){16,}", text):
        raise CatamnesisError(
            f"The secret that makes pseudonyms is missing: expected 32 or more hexadecimal digits in {file.name} "
            "beside the registry, or in CATAMNESIS_PSEUDONYM_KEY. Restore it from your backup: without it the same "
            "patient cannot be recognised again."
        )
    return bytes.fromhex(text)


def key_file(path: Path) -> Path:
    """Return where the secret of the registry at `path` lies."""
    return path.with_name(path.name + ".key")


def new_key(path: Path, key: bytes | None) -> bytes:
    """Return the secret of a new registry; one that lies there already may be the only copy and is never replaced."""
    if key is not None and len(key) < 16:
        raise UsageError("The secret of the pseudonyms must have 16 bytes or more.")
    if not key_file(path).exists():
        return key or secrets.token_bytes(32)
    held = read_key(path)
    if key is not None and key != held:
        raise UsageError(
            f"{key_file(path).name} holds another secret of an earlier registry of this name. Nothing was changed; "
            "choose another name, or move that file away if no registry needs it."
        )
    return held


def keep(path: Path, key: bytes) -> None:
    """Write the secret beside the registry at `path`, for its owner only."""
    descriptor = os.open(key_file(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
