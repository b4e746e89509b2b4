"""Publication package: tables, figures, numbers and methods of one programme, and their making again byte for byte."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analysis import (
    Result,
    booster_effect,
    booster_figures,
    booster_weights,
    describe,
    figures,
    joint_replacement,
    loss_of_response,
    safety,
    safety_by_grade,
    time_in_response,
    time_to_response,
    trajectories,
)
from analysis.cells import safe_for_spreadsheets
from analysis.description import Description
from analysis.disclosure import POLICY, log
from analysis.disclosure.beside import without_variables
from analysis.disclosure.messages import in_few
from analysis.disclosure.policy import Policy
from analysis.disclosure.rounding import in_multiples, rounded
from analysis.harm_table import HarmTable
from analysis.single_column import WIDTH_MM, single_column
from registry import Courses, Registry, cut
from registry.errors import NotEstimable, UsageError
from reports import checklists, tables
from reports.crate import write_crate
from reports.fingerprint import code_and_record, versions_of_files, waivers
from reports.methods import definitions, footnotes, methods, source
from reports.package_texts import MANIFEST, ROWS, citation, contents, describe_csv, level_of, write_log
from reports.packing import hashes, refuse_unusable, replaced_when_whole
from reports.rows import Made, RowTerms, beside_tables, make_rows, write_rows
from reports.tables import Table
from reports.word import write_tables

CITATION = "CITATION.cff"
NARROW = "single_column"
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
    "safety_by_grade": safety_by_grade,
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


def export(
    registry: Registry, out: Path, programme: str, *, rows: RowTerms | None = None, round_counts: int | None = None
) -> Package:
    """Write tables, figures, numbers, methods, definitions and reporting checklists of a programme.

    Only aggregate numbers leave, small cells suppressed, and no row of a patient unless `rows` asks for it. What was
    hidden where is logged. The same registry and the same code give the same bytes.

    Parameters
    ----------
    registry
        Opened for reading, derived.
    out
        Folder that is not there yet, or holds an earlier package, which is replaced when the new one is whole.
    programme
        Whose courses.
    rows
        Terms under which rows of patients are put into the package, in a folder of their own; None: no rows.
    round_counts
        Multiple that counts are rounded to, 2 to 10; None: they are not.

    Raises
    ------
    UsageError
        When `out` holds something else, the programme is not known or has fewer than five courses, the registry is
        not derived, or rows may not leave under these terms or beside these tables; nothing is written then.
    """
    refuse_unusable(registry, out, programme, MANIFEST, "a package")
    courses = registry.courses(programme=programme)
    if len(courses) < POLICY.smallest_cell:
        few = POLICY.smallest_cell
        raise UsageError(f"{programme} has fewer than {few} courses: what would leave could point to a person.")
    policy = dataclasses.replace(POLICY, round_counts=round_counts)
    made = make_rows(registry, programme, rows) if rows else None
    given_back = beside_tables(courses, made) if made else set()
    answers = _answers(courses, given_back, round_counts)
    with replaced_when_whole(out) as part:
        files = _write(part, registry, programme, answers, made, policy)
    return Package(out, files, answers.left_out)


@dataclass(frozen=True)
class _Answers:
    """Results as they leave, as they were before, and why others do not; what was done to them, for the log."""

    found: dict[str, Result] = field(default_factory=dict)
    before: dict[str, Result] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    entries: list[log.Entry] = field(default_factory=list)


def _answers(courses: Courses, given_back: Collection[str] = (), round_counts: int | None = None) -> _Answers:
    """Ask every question; `given_back` are quasi-identifiers that table 1 would give back beside rows."""
    made = _Answers()

    def take(name: str, result: Result) -> None:
        shown = result.suppress()
        if isinstance(shown, Description) and given_back:
            shown = without_variables(shown, given_back)
        if round_counts:
            shown = rounded(shown, round_counts)
        made.found[name], made.before[name] = shown, result
        made.entries.extend(log.of_result(result, shown, f"numbers/{name}.csv"))
        made.entries.extend(log.of_details(shown, f"numbers/{name}_details.csv"))

    for name, question in _QUESTIONS.items():
        if name in ("safety", "safety_by_grade") and "product" in given_back:
            made.left_out[name] = "counts by product would give back, beside the rows, an origin that was taken away"
            continue
        try:
            result = question(courses)
        except NotEstimable as error:
            why = in_few(str(error), POLICY.smallest_cell)
            made.left_out[name] = in_multiples(why, round_counts) if round_counts else why
            continue
        if result.withheld:
            # The naive numbers beside it are there to be distrusted: alone they would be quoted.
            why = "; ".join(result.suppress().withheld)
            made.left_out[name] = in_multiples(why, round_counts) if round_counts else why
            continue
        take(name, result)
        if name == "booster_effect":
            take("booster_balance", describe(courses, weights=booster_weights(courses, result)))
    return made


def _write(
    folder: Path, registry: Registry, programme: str, answers: _Answers, made: Made | None, policy: Policy
) -> tuple[str, ...]:
    found, left_out = answers.found, answers.left_out
    name = f"{programme.replace('_', ' ')}, data to {registry.data_cut}"
    title = f"Publication package: {name}"
    code, record = code_and_record(registry)
    told = _write_results(folder, answers, f"Tables: {name}", registry)
    told |= _write_texts(folder, registry, programme, answers, title)
    if made:
        (folder / ROWS).mkdir()
        write_rows(folder / ROWS, made)
        told[ROWS + "/"] = "**Rows of patients: not for publication.** Take the folder out before tables are published"
    logged = write_log(folder, told, answers.entries, left_out, made)
    describe_csv(folder, title, registry.data_cut, found, logged, made)
    told |= {"disclosure.csv": log.TITLE, "DISCLOSURE.md": "The same to read, with the rules",
             "datapackage.json": "Columns of the CSV files of numbers, for machines (Frictionless)"}  # fmt: skip
    (folder / "README.md").write_text(
        contents(name, source(registry), told, left_out, made is not None), encoding="utf-8"
    )
    parts = told | (made.files(f"{ROWS}/") if made else {})
    write_crate(folder, title=title, day=str(registry.data_cut), record=record, cut=cut.named(registry), told=parts,
                last=MANIFEST, level_of=level_of)  # fmt: skip
    files = hashes(folder)
    manifest = {
        "programme": programme,
        "data_cut": str(registry.data_cut),
        "cut": cut.named(registry),
        "smallest_cell": POLICY.smallest_cell,
        "policy": asdict(policy),
        "record": record,
        "waived": waivers(registry),
        "code": code,
        "versions": versions_of_files(),
        "settings": {name: r.settings for name, r in found.items()},
        "left_out": left_out,
        "rows": made.told() if made else None,
        "levels": {name: level_of(name) for name in files},
        "files": files,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False, default=str, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return tuple(files)


def _write_texts(folder: Path, registry: Registry, programme: str, answers: _Answers, title: str) -> dict[str, str]:
    """Write checklists, methods, definitions and how to cite, and return what they hold."""
    found, left_out, told = answers.found, answers.left_out, dict[str, str]()
    filled = checklists.checklists(registry, programme, found, left_out, _stems(folder, found))
    (folder / "checklists").mkdir()
    for kind, table in filled.items():
        tables.write(folder / "checklists" / kind, table, kinds=("csv", "html"))
        write_tables(folder / "checklists" / f"{kind}.docx", table.title, [table], registry.data_cut)
        told[f"checklists/{kind}"] = f"Reporting checklist: {table.title}"
    (folder / "methods.md").write_text(methods(registry, programme, found, left_out), encoding="utf-8")
    (folder / "definitions.md").write_text(definitions(registry, programme, found), encoding="utf-8")
    _, record = code_and_record(registry)
    (folder / CITATION).write_text(citation(title, registry, record), encoding="utf-8")
    return told | {
        "methods.md": "Setting and data; each analysis in the attributes of ICH E9(R1), its flow and its checks",
        "definitions.md": "Stages, scales, response, loss and events as the catalogues state them",
        CITATION: "How to cite the numbers and the software; the authors' names are theirs to write",
    }


def _write_results(folder: Path, answers: _Answers, title: str, registry: Registry) -> dict[str, str]:
    """Write numbers, tables and figures, log what is hidden, return what they hold by their names without endings."""
    for kind in ("tables", "figures", "numbers"):
        (folder / kind).mkdir()
    told: dict[str, str] = {}
    printed: list[Table] = []
    for n_table, (name, result) in enumerate(answers.found.items(), 1):
        safe_for_spreadsheets(result.frame).write_csv(folder / "numbers" / f"{name}.csv")
        if result.details.height:
            safe_for_spreadsheets(result.details).write_csv(folder / "numbers" / f"{name}_details.csv")
        frame = result.table() if isinstance(result, Description | HarmTable) else tables.wide(result)
        table = Table(result.title, frame, (*tables.marks(frame), *footnotes(result)), n_table)
        stem = f"tables/table_{n_table}_{name}"
        tables.write(folder / stem, table)
        printed.append(table)
        told[stem] = result.title
        hidden = sum(tables.is_suppressed(text) for column in frame for text in column)
        if hidden:
            said = "Of few, or what would give such a number away."
            entry = log.Entry(f"{stem}.*", log.AGGREGATE, "threshold", "withheld", hidden, "cells", said)
            answers.entries.append(entry)
        for label, drawn in _figures(name, result, answers.found).items():
            _write_figure(folder, label, drawn, (answers.before[name], result), answers, told)
    write_tables(folder / "tables" / "tables.docx", title, printed, registry.data_cut)
    hidden = sum(e.n or 0 for e in answers.entries if e.unit == "cells")
    if hidden:
        entry = log.Entry(
            "tables/tables.*", log.AGGREGATE, "threshold", "withheld", hidden, "cells", "As in each table."
        )
        answers.entries.append(entry)
    told["tables/tables"] = "all tables for Word"
    return told


def _write_figure(
    folder: Path, name: str, drawn: Any, of: tuple[Result, Result], answers: _Answers, told: dict[str, str]
) -> None:
    """Write a figure of a result (before it was suppressed, and as it leaves) for two columns and, if it can, for one.

    For one column it is written where its words then stand apart.
    """
    before, result = of
    file = f"figure_{sum(key.startswith('figures/figure_') for key in told) + 1}_{name}"
    told[f"figures/{file}"] = _draw(folder / "figures" / file, drawn, result.title)
    stems, pixels = [f"figures/{file}"], figures.pixels_only(drawn)
    if (narrow := single_column(drawn)) is not None:
        stems.append(f"figures/{NARROW}/{file}")
        _draw(folder / "figures" / NARROW / file, narrow, result.title)
        told[stems[-1]] = f"The same as figures/{file}, for one column of a journal ({WIDTH_MM} mm)"
    for stem in stems:
        answers.entries.extend(log.of_figure(before, result, f"{stem}.*", pixels=pixels))


def _draw(stem: Path, drawn: Any, title: str) -> str:
    """Write a figure in each format that may leave, and return its description."""
    stem.parent.mkdir(exist_ok=True)
    if not figures.pixels_only(drawn):
        stem.with_suffix(".svg").write_text(figures.svg_file(drawn, stem.name), encoding="utf-8")
    stem.with_suffix(".pdf").write_bytes(figures.pdf(drawn))
    stem.with_suffix(".png").write_bytes(figures.png(drawn, dpi=600))
    return str(getattr(drawn, "alt_text", title))


def _stems(folder: Path, found: dict[str, Result]) -> dict[str, str]:
    """Return one file of each kind and question, the one that reads best: ``table:safety`` is a CSV file."""
    stems = {f"numbers:{name}": f"numbers/{name}.csv" for name in found}
    for kind, ending in (("table", "csv"), ("figure", "svg")):
        for path in (folder / f"{kind}s").glob(f"{kind}_*.{ending}"):
            stems[f"{kind}:{path.stem.split('_', 2)[2]}"] = f"{kind}s/{path.name}"
    return stems


def _figures(name: str, result: Result, found: dict[str, Result]) -> dict[str, Any]:
    """Return the figures of a result by their names; none where it has none or its numbers are hidden."""
    if name == "booster_balance":
        effect = found["booster_effect"]
        drawers = {name: booster_figures.love, "booster_weights": booster_figures.weights}
        # Hidden with the sizes of the arms.
        return {k: draw(effect) for k, draw in drawers.items()} if "overlap_edges" in effect.settings else {}
    try:
        drawn = {name: result.plot()}
    except NotEstimable:
        drawn = {}
    return drawn | ({"booster_decisions": booster_figures.flow(result)} if name == "booster_effect" else {})
