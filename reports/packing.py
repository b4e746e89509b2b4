"""Folders that leave: what is refused before one is written, how one is replaced, and the hashes of its files."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry import Registry
from registry.errors import UsageError, choose


def refuse_unusable(registry: Registry, out: Path, programme: str, manifest: str, kind: str) -> None:
    """Refuse a programme that is not there, a registry that is not derived, and a folder that holds something else.

    Parameters
    ----------
    manifest, kind
        Name of the file that says that a folder may be replaced, and what such a folder is called.

    Raises
    ------
    UsageError
        With what to do.
    """
    choose(programme, known_programmes(registry), "programme")
    if registry.stale():
        raise UsageError(f"{registry.path} was loaded after it was derived. Run: catamnesis derive {registry.path}")
    if out.exists() and any(out.iterdir()) and not (out / manifest).exists():
        raise UsageError(f"{out} holds files that are not of {kind}. Give another folder with --out.")


def known_programmes(registry: Registry) -> list[str]:
    """Return the programmes of the registry's courses.

    Raises
    ------
    UsageError
        When it holds no course.
    """
    known = [str(r[0]) for r in registry.con.sql("select distinct programme from course.profile order by 1").fetchall()]
    if not known:
        raise UsageError(f"{registry.path} holds no course. Load files first: catamnesis load {registry.path} files/")
    return known


@contextmanager
def replaced_when_whole(out: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes `out` when all is written; else `out` stays as it was."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as part:
        yield Path(part)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(part, out)


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder by its path within it."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {name: digest(folder / name) for name in files}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
