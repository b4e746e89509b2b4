"""Commands for clinics that collect in REDCap: a project to create, a mapping to correct, an export to fetch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reports.arguments import Out

if TYPE_CHECKING:
    from registry.redcap_propose import Proposal

app = typer.Typer(no_args_is_help=True, help="REDCap: create the project, propose the mapping of another, fetch.")

UNDECIDED = "CHOOSE"

Centre = Annotated[str | None, typer.Option(help="Code of the clinic; default: the data access group says it.")]
Programme = Annotated[str, typer.Option(help="Programme that the project follows.")]


@app.command()
def project(
    programme: Annotated[str, typer.Argument(help="Programme, e.g. osteoarthritis.")],
    out: Out,
    scale: Annotated[list[str] | None, typer.Option(help="A scale more to ask, e.g. minJSW; may be repeated.")] = None,
) -> None:
    """Write a data dictionary, events and forms from which a clinic creates the project, and the mapping of it."""
    from registry.redcap_project import missing_codes, write

    written = write(programme, out, scales=tuple(scale or ()))
    typer.echo(f"Wrote {', '.join(path.name for path in written)} to {out}.")
    typer.echo("In REDCap: enable longitudinal data collection and repeating instruments, upload the events and their")
    typer.echo("forms, upload the data dictionary, and set the missing data codes:")
    typer.echo(f"  {missing_codes()}")


@app.command()
def propose(
    dictionary: Annotated[Path, typer.Argument(help="The project's data dictionary (CSV).")],
    out: Annotated[Path, typer.Option("--out", help="Mapping to write; put it beside the dictionary.")],
    events: Annotated[Path | None, typer.Option(help="The project's list of events, if it is longitudinal.")] = None,
    programme: Programme = UNDECIDED,
    site: Annotated[str, typer.Option(help="Anatomical site of every target, where no field says it.")] = UNDECIDED,
    centre: Centre = None,
    missing_codes: Annotated[str, typer.Option(help="As the project shows them: '-99, Refused | UNK, Unknown'.")] = "",
    export: Annotated[str, typer.Option(help="Names of the export files.")] = "*export*.csv",
) -> None:
    """Propose the mapping of an existing project: what each field probably is, for you to read and correct."""
    from registry import redcap_propose
    from registry.errors import UsageError

    if out.exists():
        raise UsageError(f"{out} is there already: name another file, or take it away.")
    made = redcap_propose.propose(
        dictionary,
        events,
        programme=programme,
        site=site,
        centre=centre,
        missing_codes=missing_codes,
        export=export,
    )
    out.write_text(made.text, encoding="utf-8")
    _say(made, out)


@app.command()
def fetch(
    url: Annotated[
        str, typer.Argument(help="Address of the API: https://…/api/. The token is read from CATAMNESIS_REDCAP_TOKEN.")
    ],
    out: Out,
    programme: Programme = UNDECIDED,
    centre: Centre = None,
    batch: Annotated[int, typer.Option(min=1, help="Records asked for at a time.")] = 200,
) -> None:
    """Fetch a project by its API, all records or none, and propose its mapping if there is none yet."""
    from registry import redcap_api

    n, made = redcap_api.fetch(
        url,
        out,
        batch=batch,
        programme=programme,
        centre=centre,
        progress=lambda text: typer.echo(f"  {text}", err=True),
    )
    typer.echo(f"Fetched {n:,} records, every one that the project listed, to {out / 'export.csv'}.")
    if made is not None:
        _say(made, out / "load.toml")


def _say(made: Proposal, out: Path) -> None:
    typer.echo(f"Proposed {out}: {len(made.matched)} fields matched, {len(made.unmatched)} with nothing found.")
    if made.identifiers:
        typer.echo(f"Marked as identifiers and never loaded: {', '.join(made.identifiers)}.")
    if made.undecided:
        typer.echo(f"It says CHOOSE {made.undecided} times: decide there, then load with --dry-run first.")
