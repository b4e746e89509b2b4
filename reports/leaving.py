"""Commands for what leaves the room: the report, its publishing on a schedule, and the publication package."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reports.arguments import AsOf, Language, Out, RegistryPath, one_of, opened


class Dates(StrEnum):
    """How rows that leave tell when something was."""

    none = "none"
    shifted = "shifted"


class Consent(StrEnum):
    """Scopes of consent under which rows may leave."""

    export = "export"
    research = "research"


def report(registry: RegistryPath, out: Out = Path("report"), as_of: AsOf = None, language: Language = "en") -> None:
    """Write the summary report: one page that opens without a network, and the same as PDF."""
    from reports.summary import write_report

    path = write_report(opened(registry, as_of), out, language=language)
    typer.echo(f"Report: {path}")


def publish(
    registry: RegistryPath,
    out: Out = Path("published"),
    keep: Annotated[int, typer.Option(help="Number of reports to keep.")] = 12,
    by_centre: Annotated[bool, typer.Option("--by-centre", help="Also a report of each centre alone.")] = False,
    language: Language = "en",
    derive: Annotated[bool, typer.Option("--derive", help="Derive first; a failure is seen too.")] = False,
) -> None:
    """Write the report on a schedule: only if something changed, `latest` never broken, a failure seen."""
    from reports.publish import publish as run

    done = run(registry, out, keep=keep, by_centre=by_centre, language=language, derived=not derive)
    typer.echo(f"{done.state}: {done.page}")
    for line in done.changes:
        typer.echo(f"  {line}")
    for centre, why in done.refused.items():
        typer.echo(f"  no report of centre {centre}: {why}")


_Scope = Annotated[
    Consent, typer.Option(help="Scope that a patient must have agreed to.", parser=one_of(Consent, "Consent"))
]
_K = Annotated[int, typer.Option(help="Patients who must be alike in what others may know.")]
_When = Annotated[
    Dates,
    typer.Option(
        help="Days alone, or dates too, all of a patient moved by the same weeks.", parser=one_of(Dates, "Dates")
    ),
]
_Diversity = Annotated[
    int, typer.Option(help="2: refuse where all like patients had the same outcome. 1: count it in the log.")
]
_TakeAlike = Annotated[
    bool,
    typer.Option("--take-alike", help="Take values away until no like patients all had the same, instead of refusing."),
]


def export(
    registry: RegistryPath,
    programme: Annotated[str, typer.Option(help="Whose courses.")],
    out: Out = Path("package"),
    round_counts: Annotated[
        int | None, typer.Option(help="Round counts to multiples of this, 2 to 10, and shares with them.")
    ] = None,
    with_rows: Annotated[
        bool, typer.Option("--with-rows", help="Rows of patients too, under the terms below: not for publication.")
    ] = False,
    consent: _Scope = Consent.export,
    k: _K = 5,
    dates: _When = Dates.none,
    least_diversity: _Diversity = 2,
    take_alike: _TakeAlike = False,
) -> None:
    """Write the publication package of a programme: tables, figures, numbers and methods, small cells suppressed."""
    from registry.errors import UsageError
    from reports.publication import export as run
    from reports.rows import RowTerms

    terms = RowTerms(consent.value, k, dates.value, least_diversity, take_alike)
    if not with_rows and terms != RowTerms():
        raise UsageError(
            "--consent, --k, --dates, --least-diversity and --take-alike are of rows: say --with-rows too."
        )
    done = run(opened(registry), out, programme, rows=terms if with_rows else None, round_counts=round_counts)
    typer.echo(f"Wrote {len(done.files)} files to {done.folder}.")
    for name, why in done.left_out.items():
        typer.echo(f"  left out: {name.replace('_', ' ')}: {why}")
    typer.echo("DISCLOSURE.md says what was hidden where.")
    if with_rows:
        typer.echo("rows/ holds rows of patients: not for publication.")


def rows(
    registry: RegistryPath,
    programme: Annotated[str, typer.Option(help="Whose courses.")],
    out: Out = Path("rows"),
    consent: _Scope = Consent.export,
    k: _K = 5,
    dates: _When = Dates.none,
    least_diversity: _Diversity = 2,
    take_alike: _TakeAlike = False,
) -> None:
    """Write rows of patients for analysis elsewhere, k-anonymous: CSV, Parquet, Stata, SPSS, SAS, Dataset-JSON."""
    from reports.rows import export_rows

    done = export_rows(
        opened(registry), out, programme, consent=consent.value, k=k, dates=dates.value,
        least_diversity=least_diversity, take_alike=take_alike,
    )  # fmt: skip
    typer.echo(", ".join(f"{name} {n:,}" for name, n in done.rows.items()) + f" rows to {done.folder}.")
    for reason, n in done.left_out.items():
        typer.echo(f"  left out: {n:,} courses, {reason}")
    lost = {name: n for name, n in done.disclosure.suppressed.items() if n}
    taken = ", ".join(f"{name} of {n:,}" for name, n in lost.items()) or "nothing"
    typer.echo(f"  taken away so that every patient is among {done.disclosure.k} alike: {taken}")
    for said, n in done.disclosure.beside.items():
        typer.echo(f"  taken away too, of these {n:,}, because it said the {said}")
    alike = ", ".join(f"{name} in {n:,} ({who:,})" for name, (n, who) in done.disclosure.alike.items())
    typer.echo(f"  groups of like patients (patients in them) where all had the same: {alike}")
    if done.shift:
        typer.echo(f"  dates of {done.shift.moved:,} patients moved, of {done.shift.withheld:,} withheld")
    typer.echo("These are rows of patients: not for publication. DISCLOSURE.md says what was done.")


def reproduce(
    registry: RegistryPath,
    package: Annotated[
        Path, typer.Argument(help="A folder that `export` or `rows` wrote, or its MANIFEST.json or ROWS.json.")
    ],
) -> None:
    """Make a publication package, or rows, again and say which files differ, if any."""
    from reports.reproduction import reproduce as run

    done = run(opened(registry), package)
    for line in (*(f"differs: {name}" for name in done.differ), *done.why):
        typer.echo(line)
    if done.differ:
        raise typer.Exit(1)
    typer.echo("Every file is the same, byte for byte.")


COMMANDS = (report, publish, export, rows, reproduce)
