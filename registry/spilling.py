"""Where a session writes what its memory does not hold: a folder for its owner only, gone when the session is."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from pathlib import Path

import duckdb

from registry.replacing import is_new

try:
    import fcntl
except ImportError:  # no POSIX system: what a killed session left stays until somebody removes it
    fcntl = None  # type: ignore[assignment]

_KEPT: weakref.WeakKeyDictionary[duckdb.DuckDBPyConnection, weakref.finalize] = weakref.WeakKeyDictionary()  # type: ignore[type-arg]


def give(con: duckdb.DuckDBPyConnection, beside: Path | None) -> None:
    """Give a session its folder: beside the file it reads, or where that cannot be, among the system's own.

    What sessions left there that were killed is removed first. A writer has a folder already.
    """
    if beside is not None and is_new(beside):
        _spill_to(con, beside.parent)
        return
    name = beside.name if beside is not None else "catamnesis"
    places = [beside.resolve().parent] if beside is not None else []
    for place in (*places, Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            folder, held = _made(place, f".{name}.session-")
            _spill_to(con, folder)
            _KEPT[con] = weakref.finalize(con, _remove, folder, held, os.getpid())
            return
    con.execute("set temp_directory = ''")  # nowhere: then nothing is spilled


def close(con: duckdb.DuckDBPyConnection) -> None:
    """Close a session and remove its folder."""
    con.close()
    kept = _KEPT.pop(con, None)
    if kept is not None:
        kept()


def _spill_to(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    spilled = str(folder / "spilled").replace("'", "''")
    con.execute(f"set temp_directory = '{spilled}'")


def _made(place: Path, prefix: str) -> tuple[Path, int | None]:
    """Return a new folder of mode 0700, and what holds it as long as its session lives."""
    for left in place.iterdir():
        if left.name.startswith(prefix):
            _clear(left)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        held = _hold(folder)
        # Between its making and its holding another session may have taken it for a dead one's.
        if folder.exists():
            return folder, held
        _let_go(held)


def _clear(folder: Path) -> None:
    held = _hold(folder)
    if held is not None:
        shutil.rmtree(folder, ignore_errors=True)
        _let_go(held)


def _hold(folder: Path) -> int | None:
    """Return what holds a folder; None if somebody has it, or the system has no such means."""
    if fcntl is None:
        return None
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _let_go(descriptor)
        return None
    return descriptor


def _let_go(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _remove(folder: Path, held: int | None, process: int) -> None:
    if os.getpid() == process:  # a process that branched off has no say in it
        shutil.rmtree(folder, ignore_errors=True)
    _let_go(held)
