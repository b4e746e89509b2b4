"""Encryption at rest: where the key comes from, and the extension of the engine that encrypts with it.

The key is never part of a statement, a message or a row: it is bound to ATTACH as a parameter and kept nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path

import duckdb

from registry import extensions
from registry.errors import EncryptionError, UsageError

KEY = "CATAMNESIS_KEY"
OLD_KEY = "CATAMNESIS_OLD_KEY"
# The engine derives its AES key quickly, so that a short key could be tried out.
_SHORTEST = 16


def key(name: str = KEY) -> str | None:
    """Return the key that the environment gives, in variable `name` or in the file that ``<name>_FILE`` names; or None.

    Raises
    ------
    EncryptionError
        When both are given, or the file is not there, is empty, or can be read by others than its owner.
    """
    text, file = os.environ.get(name, "").strip(), os.environ.get(f"{name}_FILE", "").strip()
    if text and file:
        raise EncryptionError(f"{name} and {name}_FILE are both set. Unset one of them: it must be clear which holds.")
    if not file:
        return text or None
    try:
        held = Path(file).read_text(encoding="utf-8").strip()
        mode = Path(file).stat().st_mode
    except (OSError, UnicodeDecodeError):
        raise EncryptionError(f"{name}_FILE names {file}, which cannot be read. Is the path right?") from None
    if os.name == "posix" and mode & 0o077:
        raise EncryptionError(f"{file} can be read by others on this machine. Run: chmod 600 {file}")
    if not held:
        raise EncryptionError(f"{file}, named by {name}_FILE, is empty. Put the key into it, on one line.")
    return held


def new_key() -> str | None:
    """Return the key with which something new is to be encrypted, or None.

    Raises
    ------
    UsageError
        When it is too short to withstand trying out.
    """
    found = key()
    if found is not None and len(found) < _SHORTEST:
        raise UsageError(
            f"The key in {place()} has fewer than {_SHORTEST} characters. `openssl rand -hex 32` makes a good one."
        )
    return found


def place(name: str = KEY) -> str:
    """Return where the key was given, for messages: the variable, or the variable that names the file."""
    return f"{name}_FILE" if os.environ.get(f"{name}_FILE", "").strip() else name


def prepare(con: duckdb.DuckDBPyConnection) -> None:
    """Let a session read and write what is encrypted, and encrypt what it spills to the disk.

    Raises
    ------
    EncryptionError
        When the extension is not installed.
    """
    if not extensions.load(con, "httpfs"):
        raise EncryptionError(
            f"{place()} is set, but what encrypts is not installed for DuckDB {duckdb.__version__}. "
            "Run: pip install 'catamnesis[encryption]'"
        )
    con.execute("set temp_file_encryption = true")


def prepare_parquet(con: duckdb.DuckDBPyConnection, secret: str) -> str:
    """Give a session the key of Parquet files, made from the registry's; returns the value of ``encryption_config``.

    Another key than the registry's own (HMAC-SHA-256 of a fixed text): it must be part of a statement.
    """
    made = hmac.new(secret.encode(), b"catamnesis data cut", hashlib.sha256).digest()
    con.execute(f"pragma add_parquet_key('cut', '{base64.b64encode(made).decode()}')")
    return "{footer_key: 'cut'}"


def missing(name: str, variable: str = KEY) -> EncryptionError:
    """Return what to say where a key is needed."""
    what = "the key it has" if variable == OLD_KEY else "its key"
    return EncryptionError(f"{name} is encrypted: give {what} in {variable}, or in a file that {variable}_FILE names.")


def wrong(name: str, variable: str = KEY) -> EncryptionError:
    """Return what to say of a key that does not fit."""
    return EncryptionError(f"The key in {place(variable)} is not that of {name}. Nothing was changed.")


def needless(name: str, variable: str = KEY) -> EncryptionError:
    """Return what to say of a key that is given for what is plain: somebody believes it to be encrypted."""
    return EncryptionError(
        f"{name} is not encrypted, but {place(variable)} is set. Unset it to use {name} as it is; `catamnesis encrypt` "
        "encrypts a registry, and cuts and backups made of it then are encrypted."
    )


def refusal(name: str, reason: str, variable: str = KEY) -> EncryptionError | None:
    """Return what to say of a file that the engine would not open because of its key, if that is the reason."""
    if "without a key" in reason:
        return missing(name, variable)
    if "Wrong encryption key" in reason:
        return wrong(name, variable)
    if "is not encrypted" in reason:
        return needless(name, variable)
    if "AES tag" in reason:
        return EncryptionError(
            f"{name} was damaged or altered: what is encrypted in it does not prove itself. Restore a backup."
        )
    return None
