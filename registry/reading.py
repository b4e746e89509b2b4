"""Reads a clinic's files as text, and refuses with a reason what cannot be read without guessing."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fastexcel
import polars as pl

from registry.errors import UsageError
from registry.survey import survey
from registry.workbook import without_value

ENDINGS = (".csv", ".xlsx", ".parquet")

# Gives the columns of a file their names, before they are judged: labels of an export become variables.
Naming = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Refusal:
    """Why a whole file (or, with `line`, one row of it) was refused before its content was looked at."""

    rule: str
    message: str
    advice: str
    line: int = 0
    value: str | None = None


@dataclass
class SourceTable:
    """One table as read from a file: every cell text, empty cells null, with the line each row stands on.

    Attributes
    ----------
    file
        Name of the file, and of the sheet if it is a workbook: never a path.
    frame
        Cells as text plus ``line``; empty when the whole file was refused.
    refusals
        Rows (or the file) that could not be read, each with its reason.
    rows_in
        Rows the file holds, read or not.
    """

    file: str
    sha256: str
    frame: pl.DataFrame
    rows_in: int
    refusals: list[Refusal] = field(default_factory=list)


@dataclass
class Sheet:
    """One table of a file, read when it is wanted and let go after its last use: a load holds one at a time.

    Attributes
    ----------
    file
        As in :class:`SourceTable`.
    uses
        How often it will be taken.
    """

    file: str
    read: Callable[[], SourceTable]
    uses: int = 1
    _held: SourceTable | None = None

    def take(self) -> SourceTable:
        """Return the table; after the last use nothing is kept of it."""
        table = self._held or self.read()
        self.uses -= 1
        self._held = table if self.uses > 0 else None
        return table


def find(paths: list[Path]) -> list[Path]:
    """Return the readable files named by `paths`: files as they are, folders with all they hold.

    Raises
    ------
    UsageError
        When a path does not exist or holds nothing readable.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no file or folder {path}.")
        inside = [p for p in sorted(path.iterdir()) if _readable(p)] if path.is_dir() else [path]
        if not inside:
            raise UsageError(f"{path} holds no CSV, XLSX or Parquet file.")
        found += inside
    strange = [p.name for p in found if p.suffix.lower() not in ENDINGS]
    if strange:
        raise UsageError(f"{', '.join(strange)}: only {', '.join(ENDINGS)} files are read.")
    return found


# What lies in a folder of files and is none: the mapping and the codebook, a registry with its key.
_OURS = ("load.toml", "codebook.md")
_REGISTRY = (".duckdb", ".key", ".wal")


def passed_over(paths: list[Path]) -> list[str]:
    """Say which files of the folders in `paths` are of a kind that is not read."""
    others = [p for path in paths if path.is_dir() for p in sorted(path.iterdir()) if not _readable(p)]
    return [
        f"{p.name}: not a CSV, XLSX or Parquet file, not read"
        for p in others
        if p.is_file() and p.name not in _OURS and p.suffix not in _REGISTRY and not p.name.startswith((".", "~$"))
    ]


def _readable(path: Path) -> bool:
    # An open workbook leaves a lock file ~$name.xlsx beside it.
    return path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith((".", "~$"))


def sheets(path: Path, **options: Any) -> list[Sheet]:
    """Return the tables of a file, each to be read when it is wanted; options as those of :func:`read`."""
    if path.suffix.lower() == ".xlsx":
        # A workbook has at most a million rows a sheet, and only opening it says which sheets there are.
        return [Sheet(table.file, partial(_same, table)) for table in read(path, **options)]
    return [Sheet(path.name, lambda: next(read(path, **options)))]


def _same(table: SourceTable) -> SourceTable:
    return table


def read(
    path: Path,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    skip_rows: int = 0,
    sheet: str | None = None,
    named: Naming | None = None,
) -> Iterator[SourceTable]:
    """Read one file: a table, or every sheet of a workbook (or the `sheet` named); `named` renames a CSV's columns."""
    digest = _sha256(path)
    if path.suffix.lower() == ".xlsx":
        yield from _workbook(path, digest, skip_rows, sheet)
        return
    if path.stat().st_size == 0:
        yield _refused(path.name, digest, 0, "empty_file", "the file is empty", "send it again")
        return
    if path.suffix.lower() == ".parquet":
        yield _parquet(path, digest)
    else:
        yield _csv(path, digest, separator, encoding, skip_rows, named or list)


def _csv(path: Path, digest: str, separator: str, encoding: str, skip_rows: int, named: Naming) -> SourceTable:
    try:
        header, plain, trim = survey(path, encoding, separator, skip_rows)
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        return _refused(
            path.name,
            digest,
            _line_count(path),
            "wrong_encoding",
            f"line {line} is not {encoding}",
            "save the file as UTF-8, or say its encoding in the mapping, e.g. encoding = 'cp1252'",
        )
    header = named(header)
    refusal = _header_refusal(header, separator)
    if refusal:
        return _refused(path.name, digest, _line_count(path), *refusal)
    if not header:
        return _refused(path.name, digest, 0, "empty_file", "the file has no header", "send it again")
    if not plain:
        return _careful_csv(path, digest, separator, encoding, skip_rows, named)
    try:
        frame = pl.read_csv(path, separator=separator, infer_schema=False, skip_rows=skip_rows, encoding="utf8")
    except pl.exceptions.PolarsError:
        return _careful_csv(path, digest, separator, encoding, skip_rows, named)
    frame.columns = header
    return SourceTable(path.name, digest, _clean(frame, skip_rows + 2, trim=trim), frame.height)


def _careful_csv(path: Path, digest: str, separator: str, encoding: str, skip_rows: int, named: Naming) -> SourceTable:
    """Read row by row: knows the line of each record and refuses a ragged one alone."""
    rows: list[list[str]] = []
    lines: list[int] = []
    refusals: list[Refusal] = []
    records = _records(path, separator, encoding, skip_rows)
    try:
        header = named(next(records)[1])
        for line, row in records:
            if len(row) == len(header):
                rows.append(row)
                lines.append(line)
            else:
                refusals.append(_ragged(line, len(row), len(header)))
    except csv.Error:
        last = max([1 + skip_rows, *lines, *(r.line for r in refusals)])
        message = f"after line {last} a quote is opened that nothing closes, or that text follows"
        advice = "look for a single quote mark in the next rows; write one inside a cell twice"
        return _refused(path.name, digest, _line_count(path), "broken_quotes", message, advice)
    frame = pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")
    clean = _clean(frame, 0).with_columns(pl.Series("line", lines, dtype=pl.Int32))
    return SourceTable(path.name, digest, clean, len(rows) + len(refusals), refusals)


def _records(path: Path, separator: str, encoding: str, skip_rows: int) -> Iterator[tuple[int, list[str]]]:
    """Give each record that is not blank with the line on which it begins, the header first."""
    text = "utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding
    with path.open(encoding=text, newline="") as file:
        for _ in range(skip_rows):
            file.readline()
        reader = csv.reader(file, delimiter=separator, strict=True)
        before = 0
        for row in reader:
            line, before = skip_rows + before + 1, reader.line_num
            if any(cell.strip() for cell in row):
                yield line, row


def _ragged(line: int, cells: int, wanted: int) -> Refusal:
    return Refusal(
        "wrong_number_of_columns",
        f"the row has {cells} cells, the header {wanted}",
        "look for a separator or line end inside a cell; put such cells in quotes",
        line,
    )


def _workbook(path: Path, digest: str, skip_rows: int, sheet: str | None) -> Iterator[SourceTable]:
    try:
        book = fastexcel.read_excel(path)
    except Exception:  # the reader raises its own kinds for damaged, encrypted and mislabelled files
        advice = "open it in a spreadsheet program and save it as .xlsx without a password"
        yield _refused(path.name, digest, 0, "unreadable_workbook", "this is not a readable .xlsx workbook", advice)
        return
    if sheet is not None and sheet not in book.sheet_names:
        raise UsageError(f"{path.name} has no sheet {sheet!r}. Sheets: {', '.join(book.sheet_names)}.")
    for name in [sheet] if sheet else book.sheet_names:
        file = f"{path.name}[{name}]"
        frame = book.load_sheet(name, header_row=None, skip_rows=skip_rows, dtypes="string").to_polars()
        frame = frame.with_row_index("line", skip_rows + 1).filter(
            ~pl.all_horizontal(pl.col(c).is_null() for c in frame.columns) if frame.width else pl.lit(False)
        )
        if frame.height == 0:
            yield _refused(file, digest, 0, "empty_file", "the sheet is empty", "send it again")
            continue
        header = [str(cell).strip() if cell is not None else "" for cell in frame.row(0)[1:]]
        refusal = _header_refusal(header, ",")
        if refusal:
            yield _refused(file, digest, frame.height - 1, *refusal)
            continue
        body = frame[1:].drop("line").rename(dict(zip(frame.columns[1:], header, strict=True)))
        clean = _clean(body, 0).with_columns(frame[1:]["line"].cast(pl.Int32))
        spoilt = without_value(path, name)
        refusals = [_no_value(line, *spoilt[line]) for line in clean["line"] if line in spoilt]
        good = clean.filter(~pl.col("line").is_in([r.line for r in refusals])) if refusals else clean
        yield SourceTable(file, digest, good, body.height, refusals)


def _no_value(line: int, place: str, held: str) -> Refusal:
    message, advice = f"cell {place} holds {held}", "correct it in the spreadsheet, or save its value in place of it"
    return Refusal("cell_without_value", message, advice, line)


def _parquet(path: Path, digest: str) -> SourceTable:
    try:
        frame = pl.read_parquet(path).cast(pl.String)
    except (pl.exceptions.PolarsError, OSError):
        return _refused(
            path.name, digest, 0, "unreadable_parquet", "this is not a readable Parquet file", "send it again"
        )
    return SourceTable(path.name, digest, _clean(frame, 1), frame.height)


def _clean(frame: pl.DataFrame, first_line: int, *, trim: bool = True) -> pl.DataFrame:
    """Trim cells, make empty ones null, drop the midnight that spreadsheets add to dates, and number the lines.

    Without `trim` no cell has a blank or a time of day.
    """
    clean = frame.rename({c: c.strip() for c in frame.columns})
    if trim:
        clean = clean.select(pl.all().str.strip_chars())
        # Looked for first: the expression is dear, and few columns are dates from a spreadsheet.
        dated = [c.name for c in clean.select(pl.all().str.contains("00:00:00", literal=True).any()) if c.any()]
        clean = clean.with_columns(pl.col(dated).str.replace(r"^(\d{4}-\d{2}-\d{2})[ T]00:00:00(\.0+)?$", "$1"))
    clean = clean.with_columns(pl.when(pl.all() != "").then(pl.all()))
    return clean.with_columns(pl.int_range(first_line, first_line + clean.height, dtype=pl.Int32).alias("line"))


def _header_refusal(header: list[str], separator: str) -> tuple[str, str, str] | None:
    names = [name.strip().lower() for name in header]
    unnamed = [i for i, name in enumerate(names, 1) if not name or re.fullmatch(r"(__)?unnamed.*", name)]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    other = next((s for s in (";", "\t", "|") if len(names) == 1 and s in names[0] and s != separator), None)
    if other:
        advice = f"say it in the mapping: separator = {other!r}"
        return "wrong_separator", f"the columns are separated by {other!r}, not by {separator!r}", advice
    if unnamed:
        return (
            "header_not_one_row",
            f"{len(unnamed)} of {len(names)} columns have no name (the first is column {unnamed[0]}): "
            "merged headers, or a title above the table",
            "put one name above every column in one row, or say skip_rows in the mapping",
        )
    if twice:
        return "column_twice", f"the header names {', '.join(twice)} more than once", "give every column its own name"
    return None


def _refused(file: str, digest: str, rows_in: int, rule: str, message: str, advice: str) -> SourceTable:
    return SourceTable(file, digest, pl.DataFrame(), rows_in, [Refusal(rule, message, advice)])


def _line_count(path: Path) -> int:
    return max(sum(1 for line in path.read_bytes().splitlines() if line.strip()) - 1, 0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
