"""How a file is written: beside itself, in a folder for its owner only, and put in its place whole, in one step.

Whoever reads the file never waits for a writer, and keeps what they opened; a writer that is killed leaves the file as
it was. See docs/decisions/0010-a-writer-writes-a-copy.md.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from registry.errors import CatamnesisError, RegistryBusy

_LOCK = "lock"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write; when the block ends well, that file takes the place of `path` in one step.

    Nothing is replaced when the block raises or leaves no file there. What the engine keeps beside the file it writes
    (its log, what it spills) lies in the same folder and goes with it.

    Raises
    ------
    RegistryBusy
        When another process is writing to `path`.
    CatamnesisError
        When `path` was changed by another program meanwhile; it is left as that program made it.
    """
    path = path.resolve()
    with _alone(path) as folder:
        before = _as_found(path)
        new = folder / path.name
        yield new
        if not new.exists():
            return
        if _as_found(path) != before:
            raise CatamnesisError(
                f"{path.name} was changed by another program meanwhile. Nothing was written over it; run again."
            )
        _like(new, path)
        _synced(new)
        new.replace(path)
        _synced(path.parent)


def at_work(path: Path) -> bool:
    """Say whether `path` is being written, or a writer was stopped before it could clear up."""
    return _folder(path.resolve()).is_dir()


def is_new(path: Path) -> bool:
    """Say whether `path` is the file that a writer writes, in a folder that goes with the writer."""
    return path.parent.name == _folder(path).name


def _folder(path: Path) -> Path:
    return path.with_name(f".{path.name}.writing")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """Hold the folder in which `path` is written; the system frees the lock of a process that dies."""
    folder = _folder(path)
    descriptor = _locked(folder, path.name)
    try:
        _clear(folder)  # of what a writer left that was killed
        yield folder
    finally:
        with contextlib.suppress(OSError):
            # The lock last: from then on the folder is another writer's.
            _clear(folder)
            (folder / _LOCK).unlink()
            folder.rmdir()
        os.close(descriptor)


def _clear(folder: Path) -> None:
    for left in folder.iterdir():
        if left.name != _LOCK:
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _locked(folder: Path, name: str) -> int:
    while True:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except (FileNotFoundError, FileExistsError):
            if folder.parent.is_dir() and not folder.is_file():  # the one before has just cleared its folder away
                continue
            raise
        except OSError as error:
            reason = f"{folder.parent} cannot be written: {error.strerror}"
            raise CatamnesisError(f"{reason}. Nothing was changed; {name} is as it was.") from None
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise RegistryBusy(f"{name} is being written by another process. Try again when it is done.") from None
        if _is(folder / _LOCK, descriptor):
            return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # no POSIX system: the engine's own lock on the file stands against a second writer
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is(path: Path, descriptor: int) -> bool:
    """Say whether an open file is still the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _as_found(path: Path) -> tuple[int, ...]:
    """Return what is other when another program has written to `path`, or has begun to."""
    if not path.exists():
        return ()
    held = path.stat()
    return held.st_ino, held.st_size, held.st_mtime_ns, path.with_name(f"{path.name}.wal").exists()


def _like(new: Path, path: Path) -> None:
    """Give a new file owner, group and mode of the one it replaces; one that replaces none is for its owner only."""
    if not path.exists():
        new.chmod(0o600)
        return
    held = path.stat()
    mode = stat.S_IMODE(held.st_mode)
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(new, held.st_uid, -1)
        try:
            os.chown(new, -1, held.st_gid)
        except PermissionError:  # another group must not read what was not meant for it
            mode &= ~stat.S_IRWXG
    new.chmod(mode)


def _synced(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
