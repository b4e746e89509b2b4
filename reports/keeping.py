"""Commands that keep the record: history, proofs, data cuts, backups, migrations, findings, and what is due."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reports.arguments import AsJson, RegistryPath, opened

OfLoad = Annotated[int | None, typer.Option("--load", help="The load that brought the file, if several did.")]
Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="postgresql://user@host/database; the password is in ~/.pgpass.")
]
Reason = Annotated[str, typer.Option(help="Why, in words; it is kept.")]


def history(registry: RegistryPath, as_json: AsJson = False) -> None:
    """List what was changed after it was recorded: when, by whom, old and new value, and why."""
    found = opened(registry).changes()
    if as_json:
        typer.echo(json.dumps({"changes": found.to_dicts()}, ensure_ascii=False, default=str))
        return
    if found.height == 0:
        typer.echo("Nothing that was recorded has been changed.")
    for r in found.iter_rows(named=True):
        what = f", {r['column']}: {r['old']!r} → {r['new']!r}" if r["column"] else ""
        who = f"load {r['load']}, {r['loaded_at']}, {r['loaded_by']}"
        typer.echo(f"{who}: {r['kind']} {r['file']}, line {r['line']}{what} ({r['reason']})")


def retract(
    registry: RegistryPath,
    file: Annotated[str, typer.Argument(help="Name of the source file, as messages name it.")],
    lines: Annotated[list[int], typer.Argument(metavar="LINE...", help="Lines of it.")],
    reason: Reason,
    load: OfLoad = None,
) -> None:
    """Take rows out of the record that should never have been in it; the past keeps them, with the reason."""
    from registry.history import retract as run

    n = run(registry, file, lines, reason=reason, load=load)
    typer.echo(f"Retracted {n} rows. `catamnesis derive {registry}` brings the derived tables up to date.")


def verify(path: RegistryPath, as_json: AsJson = False) -> None:
    """Prove that a registry holds what was loaded into it, or that a data cut is as it was made."""
    from registry import cut

    if cut.is_cut(path):
        problems = tuple(cut.differences(path))
        facts: dict[str, int | str] = {"files": len(cut.manifest_of(path)["files"]), "manifest": cut.seal(path)}
        good = f"{facts['files']} files, all as they were made. Manifest: {facts['manifest']}"
    else:
        found = opened(path).verify()
        problems, facts = found.problems, {"entries": found.entries, "rows": found.rows, "head": found.head}
        good = (
            f"{found.entries} entries of the chain, {found.rows:,} rows: all as written down. Last hash: {found.head}"
        )
    if as_json:
        typer.echo(json.dumps({**facts, "problems": problems}))
    elif problems:
        for line in problems:
            typer.secho(line, fg="red")
    else:
        typer.echo(good)
    if problems:
        raise typer.Exit(4)


def cut(
    registry: RegistryPath,
    name: Annotated[str, typer.Argument(help="Name of the cut, e.g. 2026-spring.")],
    out: Annotated[Path, typer.Option("--out", help="Folder that holds the cuts.")] = Path("cuts"),
) -> None:
    """Freeze the record, what is derived from it, catalogues and SQL as files that prove themselves."""
    from registry.cut import cut as run

    folder = run(registry, name, out)
    typer.echo(f"Cut: {folder}. Commands that read a registry read it too; `catamnesis verify {folder}` proves it.")


def backup(registry: RegistryPath, target: Annotated[Path, typer.Argument(help="New file.")]) -> None:
    """Copy the registry to a new file and prove the copy equal, table by table."""
    from registry.copies import backup as run

    rows = run(registry, target)
    typer.echo(f"Backup: {target}, {rows:,} rows equal to their source. Keep {registry}.key in another place.")


def share(registry: RegistryPath, address: Address) -> None:
    """Put a registry on a PostgreSQL server, where several write to it; the file becomes a working copy of it."""
    from registry.shared import share as run

    server = run(registry, address)
    typer.echo(f"{server.name} holds the record now; {registry} is a working copy of it, and commands go on with it.")
    typer.echo(
        f"Others: catamnesis join COPY ADDRESS. Who loads needs {registry}.key too, beside their copy, by a safe way."
    )


def join(
    registry: Annotated[Path, typer.Argument(metavar="REG", help="New file: the working copy.")], address: Address
) -> None:
    """Make a working copy of a shared record: commands read and write it as any registry."""
    from registry.pseudonyms import is_given
    from registry.shared import join as run

    server = run(registry, address)
    typer.echo(f"{registry} is a working copy of {server.name}.")
    if not is_given(registry):
        typer.echo(
            f"It can be read. To load into it, put the pseudonyms' secret that the others have into {registry}.key."
        )


def encrypt(registry: RegistryPath) -> None:
    """Encrypt the registry with the key in CATAMNESIS_KEY or CATAMNESIS_KEY_FILE; the old file is kept beside it."""
    from registry.copies import encrypt as run

    rows, kept = run(registry)
    typer.echo(f"{registry} is encrypted: {rows:,} rows equal to those before. The file as it was: {kept}.")
    typer.echo(
        "Remove that file when all is well. Keep the key, and not beside the registry: without it nobody can read it."
    )


def migrate(registry: RegistryPath) -> None:
    """Bring a registry of an earlier version up to this one; the old file is kept beside it."""
    from registry.migrations import migrate as run

    found, now, kept = run(registry)
    if kept is None:
        typer.echo(f"{registry} has schema {now} already.")
    else:
        typer.echo(f"{registry}: schema {found} → {now}. The file as it was: {kept}.")


def waive(
    registry: RegistryPath,
    defect: Annotated[str, typer.Argument(help="Name of the check, as `check` prints it.")],
    file: Annotated[str, typer.Argument(help="Name of the source file.")],
    line: Annotated[int, typer.Argument(help="Line of it.")],
    reason: Reason,
    load: OfLoad = None,
) -> None:
    """Say of a finding that it is right as it is, and why; a change of the row opens it again."""
    from registry.checks import waive as run

    run(registry, defect, file, line, reason=reason, load=load)
    typer.echo(f"Waived: {defect} at {file}, line {line}.")


def due(registry: RegistryPath, as_json: AsJson = False) -> None:
    """Show follow-up: seen, late, overdue, missed and lost by planned visit; --json by centre, stage and scale."""
    reg = opened(registry)
    found = reg.follow_up()
    if as_json:
        typer.echo(json.dumps({"data_cut": reg.data_cut, "follow_up": found.to_dicts()}, default=str))
        return
    if found.height == 0:
        typer.echo("Nobody is due: no course was treated and measured before it.")
        return
    columns = ("seen", "late", "overdue", "missed", "lost", "ended", "not_due")
    typer.echo(
        f"{'':32}" + "".join(f"{name.replace('_', ' '):>9}" for name in columns) + "   (scores, by planned visit)"
    )
    sums = found.select("programme", "position", "planned_visit", *(f"n_{c}" for c in columns))
    for (programme, _, visit), group in sums.group_by("programme", "position", "planned_visit", maintain_order=True):
        numbers = "".join(f"{group[f'n_{c}'].sum():>9,}" for c in columns)
        typer.echo(f"{programme!s:16}{visit!s:16}{numbers}")


def reporting(registry: RegistryPath, as_json: AsJson = False) -> None:
    """Show how completely products and their use are described, by the sections of MIBO and the items of DOSES."""
    from registry.reporting import ORIENTATION, PUBLISHED, never_stated, sections

    found = opened(registry).reporting()
    if as_json:
        typer.echo(json.dumps({"reporting": found.to_dicts(), "orientation": ORIENTATION}, default=str))
        return
    if found.height == 0:
        typer.echo("No product is recorded.")
        return
    products = found["product"].unique(maintain_order=True).to_list()
    typer.echo(f"{'':18}" + "".join(f"{name[:11]:>12}" for name in products) + "   (mean share of the items stated)")
    table = sections(found)
    for section in table["section"].unique(maintain_order=True):
        shares = dict(table.filter(section=section).select("product", "share").iter_rows())
        cells = (f"{100 * shares[p]:.0f} %" if p in shares else "–" for p in products)
        beside = f"   (trials: {100 * PUBLISHED:.1f} %)" if section == "all" else ""
        typer.echo(f"{section!s:18}" + "".join(f"{cell:>12}" for cell in cells) + beside)
    typer.echo(ORIENTATION)
    never = never_stated(found)
    if never:
        typer.echo("Never stated: " + "; ".join(never) + ".")


COMMANDS = (history, retract, verify, cut, backup, share, join, encrypt, migrate, waive, due, reporting)
