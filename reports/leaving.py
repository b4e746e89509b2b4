"""Commands for what leaves the room: the report, its publishing on a schedule, and the publication package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reports.arguments import AsOf, Out, RegistryPath, opened


def report(registry: RegistryPath, out: Out = Path("report"), as_of: AsOf = None) -> None:
    """Write the summary report: one page that opens without a network."""
    from reports.summary import write_report

    path = write_report(opened(registry, as_of), out)
    typer.echo(f"Report: {path}")


def publish(
    registry: RegistryPath,
    out: Out = Path("published"),
    keep: Annotated[int, typer.Option(help="Number of reports to keep.")] = 12,
) -> None:
    """Write the report on a schedule: only if something changed, `latest` never broken, a failure seen."""
    from reports.publish import publish as run

    done = run(registry, out, keep=keep)
    typer.echo(f"{done.state}: {done.page}")
    for line in done.changes:
        typer.echo(f"  {line}")


def export(
    registry: RegistryPath,
    programme: Annotated[str, typer.Option(help="Whose courses.")],
    out: Out = Path("package"),
) -> None:
    """Write the publication package of a programme: tables, figures, numbers and methods, small cells suppressed."""
    from reports.publication import export as run

    done = run(opened(registry), out, programme)
    typer.echo(f"Wrote {len(done.files)} files to {done.folder}.")
    for name, why in done.left_out.items():
        typer.echo(f"  left out: {name.replace('_', ' ')}: {why}")


def reproduce(
    registry: RegistryPath, package: Annotated[Path, typer.Argument(help="A folder that `export` wrote.")]
) -> None:
    """Make a publication package again and say which files differ, if any."""
    from reports.publication import reproduce as run

    done = run(opened(registry), package)
    for line in (*(f"differs: {name}" for name in done.differ), *done.why):
        typer.echo(line)
    if done.differ:
        raise typer.Exit(1)
    typer.echo("Every file is the same, byte for byte.")


COMMANDS = (report, publish, export, reproduce)
