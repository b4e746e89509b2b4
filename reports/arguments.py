"""Arguments that commands share. The registry's libraries are imported only when used: `--help` must not wait."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from registry import Registry

RegistryPath = Annotated[Path, typer.Argument(metavar="REG", help="The registry: a DuckDB file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write into; made if it is not there.")]


def opened(path: Path) -> Registry:
    """Open a registry for reading."""
    from registry import Registry

    return Registry.open(path)
