"""Mapping files: how a clinic's own layout becomes ours, as data a coordinator can read and change.

A mapping is a TOML file. Each ``[[table]]`` says which file feeds which of our tables, and for each of our columns
where its value comes from: a column of theirs, a constant, or a column with codes, a factor, a date format or a count
of days.

.. code-block:: toml

    [[table]]
    file = "visits_*.csv"
    table = "measurements"
    separator = ";"
    decimal = ","

    [table.columns]
    patient = "PatID"
    site = { value = "knee" }
    side = { column = "lat", codes = { L = "left", R = "right" } }
    date = { column = "VisitDate", format = "%d.%m.%Y" }
    instrument = { value = "VAS" }
    subscale = { value = "pain" }
    value = { column = "vas_cm", factor = 10 }

    # Wide visit columns become rows: one row of theirs gives one of ours for each entry.
    [[table.wide]]
    value = "vas_m3"
    date = { column = "date_m3", format = "%d.%m.%Y" }

    # One row a visit, operated = 1 from the operation on: the first such row of each patient is the operation.
    [[table]]
    file = "visits_*.csv"
    table = "events"
    where = { operated = "1" }
    first_of = "PatID"

    # A REDCap export holds every form in one file: rows in which a form is filled, and what one row of a record says
    # for all of them. Labels become codes by the project's data dictionary (registry/redcap.py).
    [redcap]
    dictionary = "data_dictionary.csv"

    [[table]]
    file = "export*.csv"
    table = "sessions"
    where = { redcap_repeat_instrument = "session" }
    filled = ["session_date"]
    same_for = "record_id"
    spread = ["treated_side"]
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from registry import mapping_options as options
from registry import mapping_values as values
from registry import redcap
from registry.errors import MappingError, choose
from registry.tables import TABLES, Record


@dataclass(frozen=True)
class Entry:
    """One ``[[table]]`` of a mapping: a file pattern, our table, and where each of our columns comes from."""

    file: str
    table: type[Record]
    columns: dict[str, Any]
    wide: tuple[dict[str, Any], ...] = ()
    where: dict[str, list[str]] = field(default_factory=dict)
    first_of: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    same_for: str | None = None
    spread: tuple[str, ...] = ()
    decimal: str = "."
    missing: tuple[str, ...] = ()
    reading: dict[str, Any] = field(default_factory=dict)

    def reads(self, file: str) -> bool:
        """Say whether this entry is for `file` (a name, with the sheet in brackets for workbooks)."""
        name = file.split("[")[0]
        return fnmatch.fnmatchcase(name.lower(), self.file.lower()) and self._sheet_fits(file)

    @property
    def of_sheet(self) -> str:
        """Name of the sheet in brackets, or nothing."""
        return f"[{self.reading['sheet']}]" if "sheet" in self.reading else ""

    def _sheet_fits(self, file: str) -> bool:
        sheet = self.reading.get("sheet")
        return sheet is None or file.endswith(f"[{sheet}]") or "[" not in file


@dataclass(frozen=True)
class Mapping:
    """A whole mapping: its entries, a catalogue folder to add, and the clinic whose patient numbers these are.

    `project` is the REDCap project whose exports these files are, if they are.
    """

    name: str
    entries: tuple[Entry, ...]
    catalogue: Path | None = None
    centre: str = ""
    extracted_on: dt.date | None = None
    project: redcap.Project | None = None


def table_of(name: str) -> type[Record]:
    """Return the table whose file in the template is called `name`."""
    by_file = {t.__source__.file: t for t in TABLES}
    return by_file[choose(name, by_file, "Table")]


def source_columns(table: type[Record]) -> list[str]:
    """Return the columns of `table` as a clinic's file has them: what names the row first, then what it says."""
    source = table.__source__
    parts = [part for reference in source.references for part in reference.parts]
    own = [c.name for c in table.__table__.columns if c.info]  # type: ignore[attr-defined]
    return list(dict.fromkeys([*source.key, *parts, *own]))


def required_columns(table: type[Record]) -> list[str]:
    """Return the columns that a file of `table` must have."""
    source = table.__source__
    optional = {p for r in source.references if r.optional for p in r.parts if p != "patient"}
    parts = [p for r in source.references for p in r.parts if p not in optional]
    own = [c.name for c in table.__table__.columns if c.info.get("required")]  # type: ignore[attr-defined]
    return list(dict.fromkeys([*(["patient"] if "patient" in source.key else []), *parts, *own]))


def template(file: str) -> Entry | None:
    """Return the entry by which a file of our own template is read, or None if its name is none of ours."""
    book, _, sheet = file.partition("[")
    # A sheet is named after its content, or the workbook that has it is.
    for stem in (sheet.removesuffix("]").lower(), Path(book).stem.lower()):
        for table in TABLES:
            name = table.__source__.file
            if stem == name or stem.startswith((f"{name}_", f"{name}-", f"{name} ")):
                return Entry(file, table, {c: c for c in source_columns(table)})
    return None


def load(path: Path) -> Mapping:
    """Read a mapping file.

    Raises
    ------
    MappingError
        When it is not TOML, or names a table, column or option that does not exist; the message says where.
    """
    if not path.is_file():
        raise MappingError(f"There is no mapping file {path}.")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError(f"{path.name} is not readable TOML: {error}.") from None
    for name in content:
        choose(name, options.TOP, f"{path.name}: option")
    if not content.get("table") and "extracted_on" not in content:
        raise MappingError(f"{path.name} has no [[table]]: nothing would be loaded.")
    entries = tuple(_entry(raw, f"{path.name}, [[table]] {i}") for i, raw in enumerate(content.get("table", []), 1))
    extra = path.parent / content["catalogue"] if "catalogue" in content else None
    if extra is not None and not extra.is_dir():
        raise MappingError(f"{path.name}: there is no catalogue folder {content['catalogue']}.")
    day = content.get("extracted_on")
    if day is not None and not isinstance(day, dt.date):
        raise MappingError(f"{path.name}: extracted_on must be a date without quotes, e.g. extracted_on = 2025-12-31.")
    project = redcap.project(content["redcap"], path) if "redcap" in content else None
    return Mapping(str(content.get("name", path.stem)), entries, extra, str(content.get("centre", "")), day, project)


def _entry(raw: dict[str, Any], where: str) -> Entry:
    for name in raw:
        choose(name, options.ENTRY, f"{where}: option")
    if "file" not in raw or "table" not in raw:
        raise MappingError(f"{where}: needs file and table.")
    table = table_of(raw["table"])
    for place in (raw.get("columns", {}), *raw.get("wide", ())):
        for name, spec in place.items():
            choose(name, source_columns(table), f"{where}: column")
            options.check_field(spec, f"{where}, {name}")
    options.check_reading(raw, where)
    return Entry(
        file=raw["file"],
        table=table,
        columns=dict(raw.get("columns", {})),
        wide=tuple(raw.get("wide", ())),
        where={k: [str(v) for v in (vs if isinstance(vs, list) else [vs])] for k, vs in raw.get("where", {}).items()},
        first_of=options.names(raw.get("first_of", ()), f"{where}, first_of"),
        filled=options.names(raw.get("filled", ()), f"{where}, filled"),
        same_for=raw.get("same_for"),
        spread=options.names(raw.get("spread", ()), f"{where}, spread"),
        decimal=str(raw.get("decimal", ".")),
        missing=tuple(str(m) for m in raw.get("missing", ())),
        reading={k: raw[k] for k in options.READING if k in raw},
    )


@dataclass(frozen=True)
class Mapped:
    """A file's rows in our columns.

    Attributes
    ----------
    frame
        Our source columns as text, plus ``line``.
    lacking
        Columns of theirs that the mapping names and the file lacks, with ours that they would have filled.
    ignored
        Columns of theirs that nothing uses.
    empty_cells
        Wide cells without a value: no measurement was made, so no row.
    left_out
        Rows that ``where``, ``filled`` and ``first_of`` do not select.
    """

    frame: pl.DataFrame
    lacking: dict[str, str]
    ignored: list[str]
    empty_cells: int = 0
    left_out: int = 0


def apply(entry: Entry, frame: pl.DataFrame) -> Mapped:
    """Turn a file's rows into rows of our table; dates to ISO, codes and units to ours, wide to long."""
    wanted = source_columns(entry.table)
    theirs = [c for c in frame.columns if c != "line"]
    places = [{**entry.columns, **wide} for wide in entry.wide] or [entry.columns]
    required = set(required_columns(entry.table))
    read = [(values.column(spec), ours) for place in places for ours, spec in place.items()]
    named = {theirs_: ours for theirs_, ours in read if theirs_}
    by_template = all(ours == theirs_ for ours, theirs_ in entry.columns.items())
    lacking = {c: o for c, o in named.items() if c not in theirs and (o in required or not by_template)}
    lacking |= {ours: ours for ours in required if ours not in places[0]}
    chosen_by = {
        "where": entry.where,
        "filled": entry.filled,
        "first_of": [c for c in entry.first_of if c != "*"],
        "spread": entry.spread,
        "same_for": [entry.same_for] if entry.same_for else [],
    }
    lacking |= {c: option for option, columns in chosen_by.items() for c in columns if c not in theirs}
    choosing = {c for columns in chosen_by.values() for c in columns}
    ignored = [c for c in theirs if c not in named and c not in choosing]
    if lacking:
        return Mapped(pl.DataFrame(), lacking, ignored)
    kept = frame
    if entry.missing:
        kept = frame.with_columns(pl.when(~pl.col(c).is_in(entry.missing)).then(pl.col(c)) for c in theirs)
    if entry.same_for:
        kept = kept.with_columns(values.spread(c, entry.same_for) for c in entry.spread)
    for column, wanted_values in entry.where.items():
        kept = kept.filter(pl.col(column).fill_null("").is_in(wanted_values))
    if entry.filled:
        kept = kept.filter(pl.any_horizontal(pl.col(c).is_not_null() for c in entry.filled))
    if entry.first_of == ("*",):
        kept = kept.head(1)
    elif entry.first_of:
        kept = kept.unique(entry.first_of, keep="first", maintain_order=True)
    parts, empty = [], 0
    for place in places:
        rows = kept.select(
            pl.col("line"),
            *(values.expression(place.get(ours), theirs, entry.decimal, kept).alias(ours) for ours in wanted),
        )
        if entry.wide:
            # A cell that says why there is no value says something.
            says = {next(iter(entry.wide[0])), "missing_reason"} & place.keys()
            full = rows.filter(pl.any_horizontal(pl.col(c).is_not_null() for c in sorted(says)))
            empty, rows = empty + rows.height - full.height, full
        parts.append(rows)
    return Mapped(pl.concat(parts), {}, ignored, empty, frame.height - kept.height)
