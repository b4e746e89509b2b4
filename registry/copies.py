"""Whole copies of a registry, proved equal to it: backups, and the encrypted file that takes a plain one's place."""

from __future__ import annotations

from pathlib import Path

import duckdb

from registry import audit, encryption, shared, spilling
from registry.connection import absorb_log, attach, attached
from registry.errors import CatamnesisError, EncryptionError, UsageError, of_engine
from registry.replacing import replacing


def backup(path: str | Path, target: str | Path) -> int:
    """Copy a registry to a new file and prove the copy equal, table by table; returns the rows compared.

    The copy of an encrypted registry is encrypted with the same key. The secret of the pseudonyms is not copied: it
    belongs in another place than the data.

    Raises
    ------
    UsageError
        When the target exists or its folder does not.
    CatamnesisError
        When the copy is not equal; it is removed then.
    """
    path, target = Path(path), Path(target)
    if target.exists():
        raise UsageError(f"{target} exists. Nothing was changed; a backup is never written over another.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}. Create it first.")
    shared.refresh(path)
    con = attached(path, read_only=True)
    try:
        with replacing(target) as new:
            rows = _copied(con, new, encryption.key())
            spilling.close(con)
    except duckdb.Error as error:
        said = of_engine(error) or f"{error}. Nothing was kept of it."
        raise CatamnesisError(f"The backup could not be written. {said}") from None
    finally:
        spilling.close(con)
    return rows


def encrypt(path: str | Path) -> tuple[int, Path]:
    """Encrypt a registry with the key of the environment; returns the rows compared, and where the old file is kept.

    A registry that is encrypted already gets the new key if ``CATAMNESIS_OLD_KEY`` (or the file that
    ``CATAMNESIS_OLD_KEY_FILE`` names) gives the one it has.

    Raises
    ------
    EncryptionError
        When no key is given, or the registry is encrypted with another than the old one.
    UsageError
        When the key is short, or is the one that the registry has.
    RegistryBusy
        When another process is writing to it.
    """
    path, secret, old = Path(path), encryption.new_key(), encryption.key(encryption.OLD_KEY)
    shared.refuse_copy(path, "Set the key, and `catamnesis join` makes another copy that is encrypted.")
    if secret is None:
        raise EncryptionError(
            f"There is no key: set {encryption.KEY}, or {encryption.KEY}_FILE to the path of a file that holds it. "
            "`openssl rand -hex 32` makes a good one."
        )
    if secret == old:
        raise UsageError(f"{encryption.OLD_KEY} and {encryption.KEY} are the same. Nothing was changed.")
    con = attached(path, read_only=True, variable=encryption.OLD_KEY)
    kept = path.with_name(f"{path.name}.before-encryption")
    try:
        if kept.exists():
            raise UsageError(f"{kept.name} is there, of an earlier encryption. Remove it, or move it away. Then again.")
        spilling.close(con)
        absorb_log(path, encryption.OLD_KEY)
        with replacing(path) as new:
            con = attached(path, read_only=True, variable=encryption.OLD_KEY)
            rows = _copied(con, new, secret)
            con.execute("use copy")
            audit.append(con, "encrypt", {"rows": rows})
            spilling.close(con)
            kept.hardlink_to(path)
    finally:
        spilling.close(con)
    return rows, kept


def _copied(con: duckdb.DuckDBPyConnection, new: Path, secret: str | None) -> int:
    """Copy the attached registry to a new file, attached as ``copy``; returns the rows that were found equal."""
    attach(con, new, "copy", secret=secret, mode="new")
    con.execute("copy from database registry to copy")
    rows = 0
    tables = con.sql(
        "select schema_name, table_name from duckdb_tables() where database_name = 'registry' order by all"
    ).fetchall()
    for schema, table in tables:
        query = "select count(*), bit_xor(md5_number_lower(to_json(t)::varchar)) from {}." + f"{schema}.{table} as t"
        mine, theirs = (con.sql(query.format(database)).fetchone() for database in ("registry", "copy"))
        if mine is None or mine != theirs:
            raise CatamnesisError(f"The copy of {schema}.{table} is not equal to its source. Nothing was kept of it.")
        rows += int(mine[0])
    return rows
