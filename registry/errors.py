"""Errors written for people: what was wrong, where, and what to do. One exit code a kind."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command, read by scheduled jobs."""

    done = 0
    failed = 1
    usage = 2
    rejected = 3
    checks = 4
    withheld = 5
    busy = 75


class CatamnesisError(Exception):
    """A mistake that its maker can mend; shown without a traceback.

    Attributes
    ----------
    exit_code
        What the command returns when this error ends it.

    Examples
    --------
    >>> reg.courses(site="kneee")
    Traceback (most recent call last):
    registry.errors.UsageError: site in this registry: 'kneee' is not known. Did you mean 'knee'? ...
    """

    exit_code: Exit = Exit.failed


class UsageError(CatamnesisError):
    """An argument, option or name that does not exist or does not fit."""

    exit_code = Exit.usage


class MappingError(UsageError):
    """A mapping file that cannot be read, or names what is not there."""


class RegistryMissing(UsageError):
    """No registry at the path given."""


class RegistryBusy(CatamnesisError):
    """Another process holds the registry for writing."""

    exit_code = Exit.busy


class ServerUnreachable(CatamnesisError):
    """The server of a shared record does not answer; what was asked may be tried again."""

    exit_code = Exit.busy


class EncryptionError(CatamnesisError):
    """A key is missing, is not that of the file, or was given for a file that is not encrypted."""


class NotEstimable(CatamnesisError):
    """The data cannot support the number asked for; the message says what would be needed."""

    exit_code = Exit.withheld


def choose(value: str, allowed: Iterable[str], what: str) -> str:
    """Return `value` if it is one of `allowed`, else say which values are.

    Raises
    ------
    UsageError
        With the allowed values, and the nearest of them if one is near.
    """
    import difflib

    options = list(allowed)
    if value in options:
        return value
    near = difflib.get_close_matches(str(value), options, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"{what} {value!r} is not known.{hint} Allowed: {', '.join(options)}.")


_NO_ROOM = ("No space left on device", "File too large", "Disk quota exceeded")


def of_engine(error: Exception) -> str:
    """Return what to say of an error of engine or disk that is nobody's mistake: no memory, no room on the disk."""
    import duckdb

    if isinstance(error, (duckdb.Error, OSError)) and any(sign in str(error) for sign in _NO_ROOM):
        return (
            "There is no room on the disk. Nothing half done was kept, and what was there is as it was. Free "
            "some space: "
            "a change needs as much as the registry has."
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return (
            "The engine needs more memory than it may use. Nothing half done was kept. Close other programs, or raise "
            "the ceiling: --memory 4GB before the command, or CATAMNESIS_MEMORY."
        )
    if isinstance(error, duckdb.Error) and "AES tag" in str(error):
        return "What is encrypted does not prove itself: it was damaged or altered. Restore a backup, or the data cut."
    if isinstance(error, duckdb.IOException):
        return f"The disk cannot be read or written: {str(error).splitlines()[0]} Nothing half done was kept."
    return ""
