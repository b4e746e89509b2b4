"""The template and its codebook, made from the schema and the catalogues; the codebook is the data dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import BigInteger, Boolean, Date, Integer, Numeric

from registry import catalogue, mapping
from registry.tables import TABLES, Record

_CODES_SHOWN = 30


def write_template(folder: Path) -> list[Path]:
    """Write one empty CSV file a table, with its header, and ``codebook.md``; files that are there are kept.

    Returns the files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in TABLES:
        path = folder / f"{table.__source__.file}.csv"
        if not path.exists():
            path.write_text(",".join(mapping.source_columns(table)) + "\n", encoding="utf-8")
            written.append(path)
    (folder / "codebook.md").write_text(codebook(), encoding="utf-8")
    return [*written, folder / "codebook.md"]


def codebook() -> str:
    """Return the codebook as Markdown: every file, column, form, unit, limits and allowed code."""
    parts = [
        "# Codebook",
        "",
        "One file a table, CSV (UTF-8, comma, decimal point), XLSX (one sheet a table) or Parquet. Dates are ISO "
        '(YYYY-MM-DD). An empty cell means not known, never "no". Columns marked * must be filled; columns in '
        "**bold** together name a row. The clinic's own patient number is replaced by a pseudonym on loading.",
    ]
    for table in TABLES:
        parts += ["", f"## {table.__source__.file}", "", str(table.__doc__).strip().splitlines()[0], ""]
        parts += ["| column | meaning | form |", "|---|---|---|"]
        parts += [_line(table, name) for name in mapping.source_columns(table)]
    parts += ["", "## Instruments and measures", "", _scales()]
    parts += ["", "## Other units that are converted", "", _listed("unit_conversion", "scale", "unit")]
    parts += ["", "## Grades of each scheme", "", _listed("stage_map", "scheme", "grade")]
    parts += ["", "## Items of each questionnaire, with the lowest and highest answer", "", _items()]
    return "\n".join(parts) + "\n"


def _line(table: type[Record], name: str) -> str:
    own = {c.name: c for c in table.__table__.columns if c.info}  # type: ignore[attr-defined]
    label = f"**{name}**" if name in table.__source__.key else name
    star = "*" if name in mapping.required_columns(table) else ""
    if name not in own:
        return f"| {label}{star} | {_NAMING[name]} | text |"
    return f"| {label}{star} | {own[name].comment} | {_form(own[name])} |"


_NAMING = {
    "patient": "The clinic's own patient number",
    "site": "Anatomical site of the target, as in targets; empty for the whole patient where allowed",
    "side": "Side of the target, as in targets",
    "course_no": "Number of the course, as in courses",
    "product": "Code of the product, as in products",
    "centre": "Code of the clinic, as in centres",
}


def _form(column: Any) -> str:
    info, kind = column.info, column.type
    if info["vocabulary"]:
        return "one of: " + ", ".join(f"`{code}`" for code in _codes(info["vocabulary"]))
    limits = "" if info["low"] is None else f", {info['low']:g} to {info['high']:g}"
    unit = f" {info['unit']}" if info["unit"] else ""
    if isinstance(kind, Date):
        return "date" + (", month (YYYY-MM) or year (YYYY)" if info["partial_date"] else "")
    if isinstance(kind, Boolean):
        return "true or false"
    if isinstance(kind, Integer | BigInteger):
        return f"whole number{limits}{unit}"
    return f"number{limits}{unit}" if isinstance(kind, Numeric) else "text"


def _codes(vocabulary: str) -> list[str]:
    table, _, column = vocabulary.partition(".")
    if column:
        return catalogue.read(table)[column].unique(maintain_order=True).to_list()
    return catalogue.read("vocabulary").filter(pl.col("vocabulary") == vocabulary)["code"].to_list()[:_CODES_SHOWN]


def _scales() -> str:
    lines = ["| instrument | version | subscale | unit | range | better | source |", "|---|---|---|---|---|---|---|"]
    for s in catalogue.read("scale").iter_rows(named=True):
        better = {"higher_better": "higher", "lower_better": "lower"}.get(s["direction"], "–")
        mark = "" if s["verified"] == "true" else " (not verified)"
        lines.append(
            f"| {s['instrument']} | {s['version'] or ''} | {s['subscale'] or ''} | {s['unit']} "
            f"| {s['low']} to {s['high']} | {better} | {s['source']}{mark} |"
        )
    return "\n".join(lines)


def _listed(name: str, group: str, value: str) -> str:
    rows = catalogue.read(name).unique([group, value], maintain_order=True)
    listed = rows.group_by(group, maintain_order=True).agg(pl.col(value).str.join(", "))
    return "\n".join(f"- {key}: {values}" for key, values in listed.iter_rows())


def _items() -> str:
    limits = pl.concat_str("item", pl.lit(" ("), "low", pl.lit("-"), "high", pl.lit(")"))
    name = pl.concat_str("instrument", "version", separator=" ", ignore_nulls=True)
    listed = catalogue.read("item").group_by(name.alias("name"), maintain_order=True).agg(limits.str.join(", "))
    return "\n".join(f"- {key}: {values}" for key, values in listed.iter_rows())
