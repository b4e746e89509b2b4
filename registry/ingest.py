"""Loads files into the record: every row is accepted or refused with its reasons; a load is kept whole or not at all.

Rows in = rows accepted + rows refused, for every file and table; the loader asserts it. Loading the same files again
changes nothing, because a row's identity is made from its source key and its content is compared by hash.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import duckdb
import polars as pl

from registry import catalogue, loadlog, mapping, pseudonyms, reading, redcap, redcap_export, refusal, repeats, rules
from registry.connection import writing, written_out
from registry.errors import UsageError
from registry.judging import judge, nobody
from registry.loadreport import FileCount, LoadReport, assert_nothing_lost
from registry.progress import steps
from registry.tables import TABLES, Record


@dataclass
class _Load:
    """What one load gathers on its way."""

    con: duckdb.DuckDBPyConnection
    extracted_on: dt.date
    centre: str
    load_id: int
    next_file_id: int
    reason: str | None = None
    project: redcap.Project | None = None
    counts: list[FileCount] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # By file: columns that no table has used so far.
    unused: dict[str, set[str]] = field(default_factory=dict)
    # Whether something new was taken, so that this load is kept whatever comes: it need not wait in memory for the end.
    stays: bool = False
    dry_run: bool = False
    # By file of a REDCap project: lines that tables took.
    taken: dict[str, list[pl.Series]] = field(default_factory=dict)
    # The clinic's own patient numbers met so far, each hashed once a load, in however many rows and files it comes.
    people: pl.DataFrame = field(default_factory=nobody)


def _silent(_: str) -> None:
    """Say nothing of a table: who waits in a notebook is told by :mod:`registry.progress`."""


def load(
    registry: str | Path,
    paths: list[Path],
    *,
    mapping_file: Path | None = None,
    extracted_on: dt.date | None = None,
    dry_run: bool = False,
    reason: str | None = None,
    progress: Callable[[str], None] = _silent,
) -> LoadReport:
    """Load files into the registry at path `registry`.

    Parameters
    ----------
    paths
        Files, or folders of files: CSV, XLSX, Parquet.
    mapping_file
        How their layout becomes ours; without it the files are in our template, or bring a ``load.toml`` with them.
    extracted_on
        The day on which the files were written out of the clinic's system: follow-up is known up to it.
    dry_run
        Judge every row and keep nothing.
    reason
        Why values recorded before are other now. With it, a row whose content differs from what is held is a
        correction: the version held goes to the past with each value that changed. Without it such a row is refused.
    progress
        Called with the name of each table as it is judged; default: a line in a notebook or terminal, if it takes long.

    Raises
    ------
    UsageError
        When a path or the mapping does not exist or does not fit; rows that do not fit are refused, not raised.
    """
    if reason is not None and not reason.strip():
        raise UsageError('Say why values are other now: --reason "...".')
    plan = _plan(paths, mapping_file)
    stated = extracted_on or plan.extracted_on
    files = reading.find(paths)
    tables = [t for path in files for t in _sheets(path, plan)]
    with writing(registry) as con:
        state = _begin(con, stated or dt.date.today(), plan, pseudonyms.read_key(registry))
        state.reason, state.project, state.dry_run = reason, plan.project, dry_run
        if stated is None:
            state.notes.append(
                f"no extraction day was given: the data are taken to speak up to today, {state.extracted_on}; "
                "say --extracted-on, or extracted_on in load.toml, if the files were written earlier"
            )
        state.notes += [*reading.passed_over(paths), *_unmatched(files, tables, plan)]
        if plan.catalogue and any(catalogue.extend(con, plan.catalogue).values()):
            con.execute("update log.meta set value = value::integer + 1 where key = 'catalogue_changes'")
        _take(state, tables, plan, progress)
        report = LoadReport(tuple(state.counts), loadlog.rejections(con, state.load_id), tuple(state.notes), dry_run)
        assert_nothing_lost(report)
        seen = loadlog.files(con, state.load_id) <= loadlog.files(con, before=state.load_id)
        # Files that bring nothing new from a later stated day are news: nothing had happened until then.
        if dry_run or (report.new == 0 and seen and not loadlog.is_later(con, state.load_id, stated)):
            con.execute("rollback; begin")
        else:
            loadlog.record(con, state.load_id, state.extracted_on, report, reason)
    return report


def _plan(paths: list[Path], mapping_file: Path | None) -> mapping.Mapping:
    beside = [p / "load.toml" for p in paths if (p / "load.toml").is_file()]
    if mapping_file is None and beside:
        if len({p.read_bytes() for p in beside}) > 1:
            raise UsageError(
                f"{len(beside)} folders bring a load.toml each, and they differ. Load one folder at a time, or give "
                "one mapping for all."
            )
        mapping_file = beside[0]
    return mapping.load(mapping_file) if mapping_file else mapping.Mapping("template", ())


def _sheets(path: Path, plan: mapping.Mapping) -> list[reading.Sheet]:
    entries = [e for e in plan.entries if e.reads(path.name)]
    options = {k: v for e in entries for k, v in e.reading.items() if k != "sheet"}
    if plan.entries and not entries:
        return []
    if plan.project is None:
        return reading.sheets(path, **options)
    made = reading.sheets(path, **options, named=partial(redcap_export.named, plan.project))
    return [reading.Sheet(sheet.file, partial(_coded, sheet, plan.project)) for sheet in made]


def _coded(sheet: reading.Sheet, project: redcap.Project) -> reading.SourceTable:
    table = sheet.take()
    table.frame = redcap_export.coded(project, table.frame)
    return table


def _unmatched(files: list[Path], tables: list[reading.Sheet], plan: mapping.Mapping) -> list[str]:
    """Return what the mapping and the files do not have in common: it was not read, and that must be said."""
    if not plan.entries:
        return []
    names = [t.file for t in tables]
    beside = plan.project.files if plan.project else ()
    unread = [p.name for p in files if p.name not in beside and not any(e.reads(p.name) for e in plan.entries)]
    idle = [e for e in plan.entries if not any(e.reads(name) for name in names)]
    return [f"{name}: not in the mapping, not read" for name in unread] + [
        f"the mapping's {e.file}{e.of_sheet} for {e.table.__source__.file}: no such file was given" for e in idle
    ]


def _begin(con: duckdb.DuckDBPyConnection, day: dt.date, plan: mapping.Mapping, key: bytes) -> _Load:
    pseudonyms.same_key(con, key)
    pseudonyms.prepare(con, key)
    (load_id,) = con.sql("select coalesce(max(load_id), 0) + 1 from log.load").fetchone() or (1,)
    (file_id,) = con.sql("select coalesce(max(source_file_id), 0) + 1 from log.source_file").fetchone() or (1,)
    return _Load(con, day, plan.centre, int(load_id), int(file_id))


def _take(state: _Load, tables: list[reading.Sheet], plan: mapping.Mapping, progress: Callable[[str], None]) -> None:
    pending: dict[str, list[tuple[reading.Sheet, mapping.Entry]]] = {}
    for table in tables:
        template = mapping.template(table.file) if not plan.entries else None
        entries = [template] if template else [e for e in plan.entries if e.reads(table.file)]
        if not entries and not plan.entries:
            _refuse_file(state, table.take(), "", refusal.unknown_file(table.file))
        elif not entries:
            state.notes.append(f"{table.file}: not in the mapping, not read")
        table.uses = len(entries) + (state.project is not None)
        for entry in entries:
            pending.setdefault(entry.table.__tablename__, []).append((table, entry))  # type: ignore[arg-type]
    for record in steps(TABLES, "tables judged") if progress is _silent else TABLES:
        here = pending.get(str(record.__tablename__), [])
        if here:
            progress(record.__source__.file)
            _take_table(state, record, here)
    for table in tables if state.project else ():
        assert state.project is not None
        frame = table.take().frame
        if state.project.record in frame.columns:
            told = redcap_export.account(state.project, frame, state.taken.get(table.file, []))
            state.notes += [f"{table.file}: {text}" for text in told]
    for file, columns in state.unused.items():
        if columns:
            some = ", ".join(sorted(columns)[:8]) + (" …" if len(columns) > 8 else "")
            state.notes.append(f"{file}: no use for {len(columns)} columns: {some}")


def _take_table(state: _Load, record: type[Record], here: list[tuple[reading.Sheet, mapping.Entry]]) -> None:
    name, files = record.__source__.file, {}
    checks = rules.of_table(record, state.con)
    for sheet, entry in here:
        table = sheet.take()
        if table.frame.width == 0:
            _refuse_file(state, table, name, table.refusals[0])
            continue
        mapped = mapping.apply(entry, table.frame)
        if mapped.lacking:
            _refuse_file(state, table, name, refusal.missing_columns(mapped.lacking, table))
            continue
        file_id = _new_file(state, table, name)
        for why in table.refusals:
            _refuse_row(state, file_id, name, why)
        files[file_id] = (table.file, mapped.frame.height + len(table.refusals))
        _tell_unused(state, table, name, mapped)
        state.people = judge(
            state.con, record, mapped.frame.with_columns(pl.lit(file_id, dtype=pl.Int32).alias("file_id")), checks,
            state.people, centre=state.centre, extracted_on=state.extracted_on, load_id=state.load_id,
            stays=state.stays,
        )  # fmt: skip
    if files:
        rejected, new, corrected = _settled(state, record)
        for file_id, (file, rows_in) in files.items():
            bad, changed = rejected.get(file_id, 0), corrected.get(file_id, 0)
            _count(state, file_id, FileCount(file, name, rows_in, rows_in - bad, bad, new.get(file_id, 0), changed))
        state.stays = state.stays or (any(new.values()) and not state.dry_run)
        if state.stays:
            written_out(state.con)


def _tell_unused(state: _Load, table: reading.SourceTable, name: str, mapped: mapping.Mapped) -> None:
    used = set(table.frame.columns) - {"line", *mapped.ignored}
    idle = set(mapped.ignored) - (state.project.administrative if state.project else set())
    state.unused[table.file] = state.unused.get(table.file, idle) - used
    if state.project:
        state.taken.setdefault(table.file, []).append(mapped.frame["line"])
        return
    if mapped.left_out:
        how, rows = "where, filled, first_of", "row is" if mapped.left_out == 1 else "rows are"
        state.notes.append(f"{table.file}: {mapped.left_out:,} {rows} not selected for {name} ({how})")
    if mapped.empty_cells:
        state.notes.append(f"{table.file}: {mapped.empty_cells} empty cells of wide columns are not measurements")


def _settled(state: _Load, record: type[Record]) -> tuple[dict[int, int], ...]:
    """Settle what came again; return rows refused, new, and corrections of this load, by file."""
    con, table = state.con, str(record.__tablename__)
    state.notes += repeats.settle(con, record, state.load_id, state.reason)
    if table == "measurement":
        state.notes += loadlog.without_unit(con, state.load_id)
    rejected = con.execute(
        "select source_file_id, count(*) from log.rejected_row join log.source_file using (source_file_id) "
        "where load_id = ? and table_name = ? and source_line > 0 group by all",
        [state.load_id, record.__source__.file],
    ).fetchall()
    new = con.execute(
        f"select source_file_id, count(*) from record.{table} where load_id = ? group by all", [state.load_id]
    ).fetchall()
    corrected = con.execute(
        f"select now.source_file_id, count(*) from record.{table} as now join past.{table} as old using (id) "
        "where now.load_id = $load and old.superseded_by = $load group by all",
        {"load": state.load_id},
    ).fetchall()
    return dict(rejected), dict(new), dict(corrected)


def _new_file(state: _Load, table: reading.SourceTable, name: str) -> int:
    file_id, state.next_file_id = state.next_file_id, state.next_file_id + 1
    values = [file_id, state.load_id, table.file, table.sha256, name]
    state.con.execute("insert into log.source_file values (?, ?, ?, ?, ?, 0, 0, 0)", values)
    return file_id


def _refuse_row(state: _Load, file_id: int, name: str, why: reading.Refusal) -> None:
    row = [file_id, why.line, name, None, why.rule, why.value, why.message, why.advice]
    state.con.execute("insert into log.rejection values (?, ?, ?, ?, ?, ?, ?, ?)", row)
    state.con.execute("insert into log.rejected_row values (?, ?, null)", [file_id, why.line])


def _refuse_file(state: _Load, table: reading.SourceTable, name: str, why: reading.Refusal) -> None:
    """Refuse every row of a file for one reason, said once."""
    file_id = _new_file(state, table, name)
    _refuse_row(state, file_id, name, why)
    _count(state, file_id, FileCount(table.file, name, table.rows_in, 0, table.rows_in, 0))


def _count(state: _Load, file_id: int, count: FileCount) -> None:
    state.counts.append(count)
    state.con.execute(
        "update log.source_file set rows_in = ?, accepted = ?, rejected = ? where source_file_id = ?",
        [count.rows_in, count.accepted, count.rejected, file_id],
    )


__all__ = ["FileCount", "LoadReport", "load"]
