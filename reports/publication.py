"""Publication package: tables, figures, numbers and methods of one programme, and their making again byte for byte."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import (
    Result,
    booster_effect,
    booster_weights,
    describe,
    figures,
    joint_replacement,
    loss_of_response,
    safety,
    time_in_response,
    time_to_response,
    trajectories,
)
from analysis.cells import safe_for_spreadsheets
from analysis.description import Description
from analysis.disclosure import POLICY
from analysis.disclosure.messages import in_few
from registry import Courses, Registry
from registry.errors import NotEstimable, UsageError, choose
from reports import checklists, tables
from reports.crate import NAME as CRATE
from reports.crate import write_crate
from reports.fingerprint import code_and_record
from reports.methods import definitions, footnotes, methods
from reports.tables import Table
from reports.word import write_tables

MANIFEST = "MANIFEST.json"
CITATION = "CITATION.cff"
# In the order of a paper: who, response, how long, what else, boosters, harm.
_QUESTIONS: dict[str, Callable[[Courses], Result]] = {
    "characteristics": describe,
    "time_to_response": time_to_response,
    "loss_of_response": loss_of_response,
    "time_in_response": time_in_response,
    "trajectories": trajectories,
    "joint_replacement": joint_replacement,
    "booster_effect": booster_effect,
    "safety": safety,
}


@dataclass(frozen=True)
class Package:
    """What was written.

    Attributes
    ----------
    folder
        The package.
    files
        Its files, as paths within it, without the manifest.
    left_out
        Questions that the data cannot answer, with the reason.
    """

    folder: Path
    files: tuple[str, ...]
    left_out: dict[str, str]


@dataclass(frozen=True)
class Reproduced:
    """How a package made again compares: the files that differ, are missing now or are new; and why, if it is known."""

    differ: tuple[str, ...]
    why: tuple[str, ...]


def export(registry: Registry, out: Path, programme: str) -> Package:
    """Write tables, figures, numbers, methods, definitions and reporting checklists of a programme.

    Only aggregate numbers leave, small cells suppressed; no row of a patient does. The same registry and the same code
    give the same bytes.

    Parameters
    ----------
    registry
        Opened for reading, derived.
    out
        Folder that is not there yet, or holds an earlier package, which is replaced when the new one is whole.
    programme
        Whose courses.

    Raises
    ------
    UsageError
        When `out` holds something else, the programme is not known or has fewer than five courses, or the registry is
        not derived.
    """
    choose(programme, known_programmes(registry), "programme")
    courses = registry.courses(programme=programme)
    if len(courses) < POLICY.smallest_cell:
        raise UsageError(
            f"{programme} has fewer than {POLICY.smallest_cell} courses: what would leave could point to a person."
        )
    if registry.stale():
        raise UsageError(f"{registry.path} was loaded after it was derived. Run: catamnesis derive {registry.path}")
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).exists():
        raise UsageError(f"{out} holds files that are not of a package. Give another folder with --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".package-") as part:
        found, left_out = _answers(courses)
        files = _write(Path(part), registry, programme, found, left_out)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(part, out)
    return Package(out, files, left_out)


def known_programmes(registry: Registry) -> list[str]:
    """Return the programmes of the registry's courses.

    Raises
    ------
    UsageError
        When it holds no course.
    """
    known = [str(r[0]) for r in registry.con.sql("select distinct programme from course.profile order by 1").fetchall()]
    if not known:
        raise UsageError(f"{registry.path} holds no course. Load files first: catamnesis load {registry.path} files/")
    return known


def reproduce(registry: Registry, package: Path) -> Reproduced:
    """Make a package again from a registry, and say which files differ and what else did.

    Raises
    ------
    UsageError
        When there is no package at the folder, or the manifest, given.
    """
    package = package.parent if package.name == MANIFEST else package
    if not (package / MANIFEST).exists():
        raise UsageError(f"{package} is not a package: it has no {MANIFEST}.")
    told = json.loads((package / MANIFEST).read_text("utf-8"))
    with tempfile.TemporaryDirectory() as part:
        export(registry, Path(part) / "again", told["programme"])
        again = json.loads((Path(part) / "again" / MANIFEST).read_text("utf-8"))
    kept = {name: _hash(package / name) if (package / name).exists() else None for name in told["files"]}
    names = sorted({*kept, *again["files"]})
    differ = tuple(n for n in names if kept.get(n) != again["files"].get(n))
    why = [f"{n} was changed or removed after the package was made" for n in kept if kept[n] != told["files"][n]]
    for key, words in (("record", "the registry holds other data"), ("code", "the code or the catalogues are others")):
        if told[key] != again[key]:
            why.append(words)
    before = told["versions"]
    why += [f"{k} {before.get(k)} then, {v} now" for k, v in again["versions"].items() if before.get(k) != v]
    return Reproduced(differ, tuple(why))


def _answers(courses: Courses) -> tuple[dict[str, Result], dict[str, str]]:
    found: dict[str, Result] = {}
    left_out: dict[str, str] = {}
    for name, question in _QUESTIONS.items():
        try:
            result = question(courses)
        except NotEstimable as error:
            left_out[name] = in_few(str(error), POLICY.smallest_cell)
            continue
        if result.withheld:
            # The naive numbers beside it are there to be distrusted: alone they would be quoted.
            left_out[name] = "; ".join(result.suppress().withheld)
            continue
        found[name] = result.suppress()
        if name == "booster_effect":
            found["booster_balance"] = describe(courses, weights=booster_weights(courses, result)).suppress()
    return found, left_out


def _write(
    folder: Path, registry: Registry, programme: str, found: dict[str, Result], left_out: dict[str, str]
) -> tuple[str, ...]:
    name = f"{programme.replace('_', ' ')}, data to {registry.data_cut}"
    told = _write_results(folder, found, f"Tables: {name}", registry)
    filled = checklists.checklists(registry, programme, found, left_out, _stems(folder, found))
    (folder / "checklists").mkdir()
    for kind, table in filled.items():
        tables.write(folder / "checklists" / kind, table, kinds=("csv", "html"))
        write_tables(folder / "checklists" / f"{kind}.docx", table.title, [table], registry.data_cut)
        told[f"checklists/{kind}"] = f"Reporting checklist: {table.title}"
    (folder / "methods.md").write_text(methods(registry, programme, found, left_out), encoding="utf-8")
    (folder / "definitions.md").write_text(definitions(registry, programme, found), encoding="utf-8")
    told |= {"methods.md": "Setting and data; each analysis in the attributes of ICH E9(R1), its flow and its checks",
             "definitions.md": "Stages, scales, response, loss and events as the catalogues state them"}  # fmt: skip
    code, record = code_and_record(registry)
    title = f"Publication package: {name}"
    (folder / CITATION).write_text(_citation(title, str(registry.data_cut), record), encoding="utf-8")
    told[CITATION] = "How to cite the numbers and the software; the authors' names are theirs to write"
    (folder / "README.md").write_text(_contents(name, told, left_out), encoding="utf-8")
    write_crate(folder, title=title, day=str(registry.data_cut), record=record, told=told, last=MANIFEST)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    manifest = {
        "programme": programme,
        "data_cut": str(registry.data_cut),
        "smallest_cell": POLICY.smallest_cell,
        "record": record,
        "code": code,
        "versions": next(iter(found.values())).settings["versions"] if found else {},
        "settings": {name: r.settings for name, r in found.items()},
        "left_out": left_out,
        "files": {name: _hash(folder / name) for name in files},
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False, default=str, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return tuple(files)


def _write_results(folder: Path, found: dict[str, Result], title: str, registry: Registry) -> dict[str, str]:
    """Write numbers, tables and figures, and return what they hold by their names without endings."""
    for kind in ("tables", "figures", "numbers"):
        (folder / kind).mkdir()
    told: dict[str, str] = {}
    printed: list[Table] = []
    for n_table, (name, result) in enumerate(found.items(), 1):
        safe_for_spreadsheets(result.frame).write_csv(folder / "numbers" / f"{name}.csv")
        frame = result.table() if isinstance(result, Description) else tables.wide(result)
        table = Table(result.title, frame, tuple(footnotes(result)), n_table)
        stem = f"tables/table_{n_table}_{name}"
        tables.write(folder / stem, table)
        printed.append(table)
        told[stem] = result.title
        drawn = _figure(result)
        if drawn is not None:
            n_figure = sum(key.startswith("figures/") for key in told) + 1
            stem = f"figures/figure_{n_figure}_{name}"
            (folder / f"{stem}.svg").write_text(figures.svg_file(drawn, Path(stem).name), encoding="utf-8")
            (folder / f"{stem}.pdf").write_bytes(figures.pdf(drawn))
            (folder / f"{stem}.png").write_bytes(figures.png(drawn, dpi=600))
            told[stem] = str(getattr(drawn, "alt_text", result.title))
    write_tables(folder / "tables" / "tables.docx", title, printed, registry.data_cut)
    told["tables/tables"] = "all tables for Word"
    return told


def _stems(folder: Path, found: dict[str, Result]) -> dict[str, str]:
    """Return one file of each kind and question, the one that reads best: ``table:safety`` is a CSV file."""
    stems = {f"numbers:{name}": f"numbers/{name}.csv" for name in found}
    for kind, ending in (("table", "csv"), ("figure", "svg")):
        for path in (folder / f"{kind}s").glob(f"{kind}_*.{ending}"):
            stems[f"{kind}:{path.stem.split('_', 2)[2]}"] = f"{kind}s/{path.name}"
    return stems


def _figure(result: Result) -> Any:
    """Return the figure, or nothing where the question has none or its numbers are hidden."""
    try:
        return result.plot()
    except NotEstimable:
        return None


def _contents(name: str, told: dict[str, str], left_out: dict[str, str]) -> str:
    lines = [
        f"# Publication package: {name}",
        "",
        "Aggregate numbers only, small cells suppressed; no row is of a patient. `catamnesis reproduce` makes every "
        f"file again from the registry and compares it with `{MANIFEST}`.",
        "",
        "| file | holds |",
        "|---|---|",
        *(f"| `{stem}{'' if stem.endswith(('.md', '.cff')) else '.*'}` | {what} |" for stem, what in told.items()),
        "| `numbers/*.csv` | every number: stratum, quantity, day, estimate, limits, counts, note |",
        f"| `{CRATE}` | what each file is, for machines (RO-Crate 1.1) |",
        *(f"| (left out) {name.replace('_', ' ')} | {why} |" for name, why in left_out.items()),
    ]
    return "\n".join([*lines, ""])


def _citation(title: str, day: str, record: str) -> str:
    """Return a citation of the package (Citation File Format 1.2.0), with the software that made it."""
    lines = [
        "cff-version: 1.2.0",
        "message: Please cite the package, the software, and the sources of the definitions used (definitions.md).",
        f"title: {json.dumps(title, ensure_ascii=False)}",
        "type: dataset",
        f"date-released: {day}",
        f"version: {json.dumps(record)}",
        "authors:",
        "  - name: (the authors of the paper)",
        "references:",
        "  - type: software",
        "    title: Catamnesis",
        f"    version: {json.dumps(importlib.metadata.version('catamnesis'))}",
        "    authors:",
        "      - name: The Catamnesis authors",
    ]
    return "\n".join([*lines, ""])


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
