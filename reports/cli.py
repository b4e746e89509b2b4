"""The command: every step from clinic files to a report, for people and for schedules.

Exit codes: 0 done, 1 failed, 2 usage, 3 rows rejected, 4 checks failed, 5 withheld by a gate, 75 busy.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from reports import asking, keeping, leaving, redcap_commands
from reports.arguments import AsJson, Out, RegistryPath, one_of, opened

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Outcomes registry for regenerative treatments: clinic files to truthful answers by severity stage.",
)

# Rows listed in text; --json has them all.
_SHOWN = 8


class Layout(StrEnum):
    """How `simulate` writes the files."""

    template = "template"
    clinics = "clinics"
    redcap = "redcap"


def main() -> None:
    """Run the command; a mistake of the user ends in one message and its exit code, never in a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        typer.secho("Stopped. Nothing half done was kept.", err=True, fg="red")
        raise SystemExit(1) from None
    except Exception as error:
        # Imported only now: the registry's libraries would make `--help` wait.
        from registry.errors import CatamnesisError, of_engine

        if of_engine(error) or isinstance(error, (OSError, CatamnesisError)):
            for note in getattr(error, "__notes__", ()):
                typer.secho(note, err=True, fg="red")
        said = of_engine(error)
        if said:
            typer.secho(said, err=True, fg="red")
            raise SystemExit(1) from None
        if isinstance(error, OSError):
            place = f"{error.filename}: " if error.filename else ""
            typer.secho(f"{place}{error.strerror or error}. Nothing half done was kept.", err=True, fg="red")
            raise SystemExit(1) from None
        if not isinstance(error, CatamnesisError):
            raise
        typer.secho(str(error), err=True, fg="red")
        raise SystemExit(int(error.exit_code)) from None


@app.callback()
def _for_every_command(
    memory: Annotated[
        str | None, typer.Option("--memory", help="Most memory the engine takes, e.g. 4GB; what is more goes to disk.")
    ] = None,
) -> None:
    if memory is not None:
        if not memory.strip():  # a variable of the shell that is not set: no ceiling is not what was asked for
            raise typer.BadParameter("It is empty: write an amount of memory, e.g. 4GB.", param_hint="--memory")
        os.environ["CATAMNESIS_MEMORY"] = memory  # where registry.connection looks for it


@app.command()
def init(registry: RegistryPath) -> None:
    """Create an empty registry and the secret of its pseudonyms; encrypted if CATAMNESIS_KEY (or its _FILE) is set."""
    from registry import Registry

    with Registry.create(registry) as created:
        how = "encrypted with the key of the environment" if created.encrypted else "not encrypted"
    typer.echo(f"Created {registry} ({how}) and {registry}.key.")
    typer.echo("Keep that file safe and apart from the data: it makes the pseudonyms.")


@app.command()
def template(folder: Annotated[Path, typer.Argument(help="Where the empty files go.")]) -> None:
    """Write the empty source files and their codebook."""
    from registry.codebook import write_template

    written = write_template(folder)
    typer.echo(f"Wrote {len(written)} files to {folder}; codebook.md says what each column means.")


@app.command()
def load(
    registry: RegistryPath,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders: CSV, XLSX, Parquet.")],
    mapping: Annotated[Path | None, typer.Option(help="How their layout becomes ours (TOML).")] = None,
    extracted_on: Annotated[str | None, typer.Option(help="Day the files were written (YYYY-MM-DD).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge every row, keep nothing.")] = False,
    reason: Annotated[str | None, typer.Option(help="Take changed rows as corrections, for this reason.")] = None,
    as_json: AsJson = False,
) -> None:
    """Load files; every row is accepted, or refused with its reason."""
    from registry import ingest

    report = ingest.load(
        registry,
        paths,
        mapping_file=mapping,
        extracted_on=_day(extracted_on),
        dry_run=dry_run,
        reason=reason,
        progress=_progress(as_json),
    )
    if as_json:
        _print_json(report.to_dict())
    else:
        _print_load(report)
    if report.rejections.height:
        raise typer.Exit(3)


@app.command()
def derive(
    registry: RegistryPath,
    whole: Annotated[bool, typer.Option("--whole", help="Make all anew; it comes to the same rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the SQL models over the record and keep the derived tables: of patients with new rows, and what moves."""
    from registry.derivation import derive as run

    counts = run(registry, whole=whole)
    if as_json:
        _print_json({"models": counts})
    else:
        typer.echo("\n".join(f"{n:>10,}  {model}" for model, n in counts.items()))


@app.command()
def check(
    registry: RegistryPath,
    keep: Annotated[bool, typer.Option("--keep", help="Write down what is found, to follow it over time.")] = False,
    as_json: AsJson = False,
) -> None:
    """List open findings: rows that contradict each other, and what should be there and is not."""
    from registry import checks

    told = checks.keep(registry) if keep else None
    found = opened(registry).check()
    if as_json:
        _print_json({"open": found.height, "defects": found.to_dicts(), "kept": told})
    elif found.height == 0:
        typer.echo("Nothing is open.")
    else:
        counts = found.group_by("severity", "defect", "meaning", maintain_order=True).len()
        for severity, defect, meaning, n in counts.iter_rows():
            typer.echo(f"{n:>8,}  {severity:8}{defect}: {meaning}")
            for r in found.filter(found["defect"] == defect).head(_SHOWN).iter_rows(named=True):
                typer.echo(f"          {r['file']}, line {r['line']}: {r['message']}")
    if told is not None and not as_json:
        typer.echo(f"Kept: {told['open']:,} open, {told['waived']:,} waived, {told['fixed']:,} fixed since.")
    if found.height:
        raise typer.Exit(4)


@app.command()
def status(registry: RegistryPath, as_json: AsJson = False) -> None:
    """Show counts, where courses stand, and what is overdue."""
    reg = opened(registry)
    courses = reg.status()
    by_status = courses.group_by("programme", "status").len("courses").sort("programme", "status")
    overdue = courses.filter(courses["n_overdue"] > 0)
    if as_json:
        _print_json(
            {
                "registry": registry.name,
                "data_cut": reg.data_cut,
                "counts": reg.counts(),
                "status": by_status.to_dicts(),
                "overdue": overdue.height,
                "worklist": courses.to_dicts(),
                "rejected_rows": reg.rejections().height,
            }
        )
        return
    typer.echo(repr(reg))
    for programme, state, n in by_status.iter_rows():
        typer.echo(f"{n:>8,}  {programme}: {state.replace('_', ' ')}")
    typer.echo(f"{overdue.height:>8,}  courses with at least one missed planned visit")
    for r in overdue.sort("n_overdue", descending=True).head(_SHOWN).iter_rows(named=True):
        where = f"{r['file']}, line {r['line']} ({r['site']} {r['side']}, course {r['course_no']})"
        due = f"; next due {r['next_due_visit']}, {r['next_due_date']}" if r["next_due_date"] else ""
        typer.echo(f"          {where}: {r['n_overdue']} missed{due}")
    if overdue.height > _SHOWN:
        typer.echo(f"          … and {overdue.height - _SHOWN:,} more: --json has them all")


@app.command()
def simulate(
    out: Out,
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 600,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    layout: Annotated[
        Layout,
        typer.Option(
            help="Our template, five clinics' own layouts, or a REDCap export.", parser=one_of(Layout, "Layout")
        ),
    ] = Layout.template,
    programme: Annotated[str | None, typer.Option(help="One programme; default: all six.")] = None,
    details: Annotated[bool, typer.Option("--details", help="Also consents, habits, prior treatment, tests …")] = False,
) -> None:
    """Write synthetic patients, whose truth is known, as the files clinics would send."""
    from registry.errors import UsageError, choose
    from synthetic import Design, all_programmes, redcap_files, simulate, sources

    shares = {choose(programme, all_programmes(), "Programme"): 1.0} if programme else all_programmes()
    if layout is Layout.redcap and not programme:
        raise UsageError("A REDCap project has one schedule: say --programme, e.g. --programme osteoarthritis.")
    made = simulate(Design(patients=patients, seed=seed, programmes=shares, details=details))
    writers = {Layout.template: sources.write_template, Layout.clinics: sources.write_clinics}
    paths = writers.get(layout, redcap_files.write_redcap)(made, out)
    made.truth.write_csv(out / "truth.txt")
    what = "clinics' folders" if layout is Layout.clinics else "files"
    typer.echo(f"Wrote {patients:,} patients as {len(paths)} {what} to {out}; their truth is in truth.txt.")


@app.command()
def demo(
    out: Out = Path("demo"),
    patients: Annotated[int, typer.Option(min=50, help="Number of synthetic patients.")] = 2000,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = 1,
) -> None:
    """Run the main job on synthetic patients: simulate, load, derive, analyse, report."""
    from reports.demo import run

    run(out, patients, seed, typer.echo)


def _day(text: str | None) -> dt.date | None:
    from registry.errors import UsageError

    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"--extracted-on {text!r} is not a date: write YYYY-MM-DD.") from None


def _progress(quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return lambda _: None
    return lambda name: typer.echo(f"  judging {name} …", err=True)


def _print_load(report: Any) -> None:
    for line, marked in report.lines():
        typer.secho(line, fg="yellow" if marked else None)


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False, default=str))


for command in (*asking.COMMANDS, *leaving.COMMANDS, *keeping.COMMANDS):
    app.command(cls=asking.ASKING.get(command))(command)
app.add_typer(redcap_commands.app, name="redcap")


if __name__ == "__main__":
    main()
