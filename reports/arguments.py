"""Arguments that commands share. The registry's libraries are imported only when used: `--help` must not wait."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from registry import Registry

_Kind = TypeVar("_Kind", bound=StrEnum)

RegistryPath = Annotated[
    Path, typer.Argument(metavar="REG", help="The registry: a DuckDB file, or a data cut's folder.")
]
AsOf = Annotated[str | None, typer.Option(help="The record as it was: a load's number, or a day (YYYY-MM-DD).")]
Language = Annotated[str, typer.Option(help="Language of the report: en, or one with a catalogue, e.g. de.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write into; made if it is not there.")]


def one_of(kind: type[_Kind], what: str) -> Callable[[str], _Kind]:
    """Return what reads a value of `kind`: another one is refused with the nearest and all that there are."""

    def read(text: str) -> _Kind:
        from registry.errors import choose

        return kind(choose(text, [k.value for k in kind], what))

    return read


def opened(path: Path, as_of: str | None = None) -> Registry:
    """Open a registry for reading, as it is or as it was."""
    from registry import Registry

    return Registry.open(path, as_of=as_of)
