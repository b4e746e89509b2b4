"""Pseudonyms: the keyed hash that replaces a clinic's own patient numbers, and the secret it is made with."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

import duckdb

from registry.errors import CatamnesisError, UsageError

# Key of `log.meta`: what tells the secret of a shared record from another.
FINGERPRINT = "pseudonym_fingerprint"


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


def fingerprint(key: bytes) -> str:
    """Return what tells a secret from another and does not give it away: HMAC-SHA-256 of a fixed text."""
    return hmac.new(key, b"catamnesis shared record", hashlib.sha256).hexdigest()[:32]


def same_key(con: duckdb.DuckDBPyConnection, key: bytes) -> None:
    """Refuse a secret that is not the one with which the others of a shared record make their pseudonyms.

    Raises
    ------
    CatamnesisError
        When the record holds the fingerprint of another one.
    """
    held = con.execute("select value from log.meta where key = ?", [FINGERPRINT]).fetchone()
    if held and held != (fingerprint(key),):
        raise CatamnesisError(
            "The secret of the pseudonyms is not the one that the others of this shared record have: the same patient "
            "would become two. Ask them for theirs, by a safe way, and put it in the place of yours. Nothing was "
            "changed."
        )


def is_given(path: Path) -> bool:
    """Say whether there is a secret for the registry at `path`, in the environment or beside it."""
    return bool(os.environ.get("CATAMNESIS_PSEUDONYM_KEY")) or key_file(path).exists()


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
