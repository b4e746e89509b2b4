"""What stands beside the tables of a package: contents, citation, the log of what was hidden, columns of its files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from analysis.disclosure import POLICY, log
from registry import Registry, cut
from reports import data_package
from reports.crate import NAME as CRATE

if TYPE_CHECKING:
    from analysis import Result
    from reports.rows import Made

MANIFEST = "MANIFEST.json"
ROWS = "rows"
_ALWAYS = (
    f"Numbers of fewer than {POLICY.smallest_cell} courses, or that all but so few had, are withheld, with what would "
    "give them away; what is withheld is marked, never zero.",
    "In sentences small counts are few; the first and the last month are those of the fifth course from either end.",
    f"No file holds {', '.join(POLICY.never)}; single patients are drawn as pixels only.",
)


def level_of(name: str) -> str:
    """Say whether a file of a package holds numbers of groups, or rows of patients."""
    return log.ROW_LEVEL if name.startswith(f"{ROWS}/") else log.AGGREGATE


def write_log(
    folder: Path, told: dict[str, str], entries: list[log.Entry], left_out: dict[str, str], made: Made | None
) -> pl.DataFrame:
    """Write what disclosure control did as ``disclosure.csv`` and ``DISCLOSURE.md``, and return the first.

    Parameters
    ----------
    told
        Files without endings and what they hold: those to which nothing was done are in the log too.
    entries
        What was done to results.
    left_out
        Questions that are not in the package, with the reason.
    made
        The rows in it, if there are any.
    """
    entries = [*entries]
    for name, why in left_out.items():
        entries.append(log.Entry("", log.AGGREGATE, "left out", "left out", 1, "questions", f"{name}: {why}"))
    changed = {e.file for e in entries}
    for stem in (s for s in told if not s.endswith("/")):
        if _files(stem) not in changed:
            entries.append(log.Entry(_files(stem), log.AGGREGATE, "none"))
    groups = sorted(entries, key=lambda e: e.file or "~")
    rows = [_within(e) for e in made.entries] if made else []
    frame = log.frame_of([*groups, *rows])
    frame.write_csv(folder / log.NAME)
    lines = [
        "# What was hidden, made coarse or left out", "", *(f"- {line}" for line in _ALWAYS), "",
        "A number below counts marks that can be counted in the file itself; where a file shows no mark there is no "
        "number, and what is small is not told apart from what was hidden with it. `disclosure.csv` has the same, and "
        "the files to which nothing was done.", "",
        "## Numbers of groups (aggregate)", "", *log.as_table(groups), "",
    ]  # fmt: skip
    if made:
        lines += [
            "## Rows of patients (row-level)", "",
            f"**The folder `{ROWS}/` holds rows of patients. It may not be published**: take it out before tables are. "
            "Who has the rows can count in them what the tables hide, and has agreed to what rows are for. Terms, and "
            f"what was done: [{ROWS}/DISCLOSURE.md]({ROWS}/DISCLOSURE.md).", "", *log.as_table(rows), "",
        ]  # fmt: skip
    (folder / "DISCLOSURE.md").write_text("\n".join(lines), encoding="utf-8")
    return frame


def _within(entry: log.Entry) -> log.Entry:
    """Return an entry about rows with the folder that they have in a package."""
    return dataclasses.replace(entry, file=", ".join(f"{ROWS}/{file}" for file in entry.file.split(", ")))


def describe_csv(
    folder: Path, title: str, day: dt.date | None, found: dict[str, Result], logged: pl.DataFrame, made: Made | None
) -> None:
    """Write ``datapackage.json``: the columns of the numbers, of the log, and of the rows if there are any."""
    assert day is not None, "a registry with courses has a data cut"
    resources = [data_package.of_frame(f"numbers/{name}.csv", r.title, r.frame) for name, r in found.items()]
    resources += [
        data_package.of_frame(f"numbers/{name}_details.csv", f"{r.title}: details of the model", r.details)
        for name, r in found.items()
        if r.details.height
    ]
    resources.append(data_package.of_frame(log.NAME, log.TITLE, logged))
    resources += data_package.of_rows(made.datasets, made.label, f"{ROWS}/") if made else []
    told = "Numbers of groups of courses, small cells suppressed."
    told += " Resources whose level is row-level hold rows of patients: not for publication." if made else ""
    name = title.split(",")[0].replace(":", "")
    data_package.write_package(folder, name=name, title=title, description=told, day=day, resources=resources)


def contents(name: str, source: str, told: dict[str, str], left_out: dict[str, str], with_rows: bool) -> str:
    """Return the list of a package's files as Markdown; `source` says what the package was made from."""
    whose = "Aggregate numbers only, small cells suppressed; no row is of a patient."
    if with_rows:
        whose = f"Numbers of groups, small cells suppressed; in `{ROWS}/` **rows of patients: not for publication**."
    lines = [
        f"# Publication package: {name}",
        "",
        f"{whose} {source} `catamnesis reproduce` makes every file again from it and compares it with `{MANIFEST}`.",
        "",
        "| file | holds |",
        "|---|---|",
        *(f"| `{_files(stem)}` | {what} |" for stem, what in told.items()),
        "| `numbers/*.csv` | every number: stratum, quantity, day, estimate, limits, counts, note |",
        "| `numbers/*_details.csv` | of a model: errors, degrees of freedom, t, p, coefficients, covariances |",
        f"| `{CRATE}` | what each file is, for machines (RO-Crate 1.1) |",
        *(f"| (left out) {name.replace('_', ' ')} | {why} |" for name, why in left_out.items()),
    ]
    return "\n".join([*lines, ""])


def _files(stem: str) -> str:
    return stem if stem.endswith((".md", ".cff", ".csv", ".json", "/")) else f"{stem}.*"


def citation(title: str, registry: Registry, record: str) -> str:
    """Return a citation of the package (Citation File Format 1.2.0), with its data cut and its software."""
    made_from = cut.named(registry)
    identified = [
        "identifiers:",
        "  - type: other",
        f"    value: sha256:{made_from['sha256']}",
        f"    description: {json.dumps('Manifest of the data cut ' + made_from['name'], ensure_ascii=False)}",
    ] if made_from else []  # fmt: skip
    lines = [
        "cff-version: 1.2.0",
        "message: Please cite the package, the software, and the sources of the definitions used (definitions.md).",
        f"title: {json.dumps(title, ensure_ascii=False)}",
        "type: dataset",
        f"date-released: {registry.data_cut}",
        f"version: {json.dumps(record)}",
        *identified,
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
