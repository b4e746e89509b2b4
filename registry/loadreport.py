"""What a load did: how many rows went where, and why the others did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import polars as pl

from registry.errors import CatamnesisError
from registry.tables import TABLES

# Lines of a file that are listed for one reason.
_LINES = 12


@dataclass(frozen=True)
class FileCount:
    """How many rows of one file went where; ``rows_in == accepted + rejected``."""

    file: str
    table: str
    rows_in: int
    accepted: int
    rejected: int
    new: int
    corrected: int = 0


@dataclass(frozen=True, repr=False)
class LoadReport:
    """What a load did; in a cell it shows the rows of each file, and each refusal with what to do.

    Attributes
    ----------
    files
        Counts by file and table.
    rejections
        One row for each rule that a row failed: ``file, table, line, column, rule, value, message, advice``.
    notes
        What was read but not used: columns nothing maps, wide cells without a value.
    dry_run
        Whether nothing was kept because nothing should be.
    """

    files: tuple[FileCount, ...]
    rejections: pl.DataFrame
    notes: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def rows_in(self) -> int:
        """Rows read."""
        return sum(f.rows_in for f in self.files)

    @property
    def accepted(self) -> int:
        """Rows accepted: new, or already held with the same content."""
        return sum(f.accepted for f in self.files)

    @property
    def rejected(self) -> int:
        """Rows refused."""
        return sum(f.rejected for f in self.files)

    @property
    def new(self) -> int:
        """Rows that the record did not hold before."""
        return sum(f.new for f in self.files)

    @property
    def corrected(self) -> int:
        """Rows that replaced a version held before; they are among the new ones."""
        return sum(f.corrected for f in self.files)

    def lines(self, shown: int = 40) -> Iterator[tuple[str, bool]]:
        """Yield the report as text, with whether the line is about a refusal; at most `shown` reasons, each once."""
        empty = 0
        for (file, table), counted in self._by_table().items():
            rows_in, accepted, rejected = counted
            if rows_in or not table:
                to = table or "nothing: not recognised"
                yield f"{rows_in:>9,} in  {accepted:>9,} accepted  {rejected:>7,} rejected  {file} → {to}", False
            else:
                empty += 1
        if empty:
            yield f"{empty:>9,} empty {'file' if empty == 1 else 'files'} of the template", False
        changed = f", {self.corrected:,} of them corrections" if self.corrected else ""
        kept = "nothing kept (dry run)" if self.dry_run else f"{self.new:,} new{changed}"
        yield f"{self.rows_in:>9,} in = {self.accepted:,} accepted + {self.rejected:,} rejected; {kept}", False
        reasons = self._reasons()
        for r in reasons.head(shown).iter_rows(named=True):
            value = f" {r['value']!r}" if r["value"] is not None else ""
            place = f"{r['file']}, line {r['line'][0]}" if r["line"][0] else r["file"]
            column = f", {r['column']}{value}" if r["column"] else ""
            yield f"  {place}{column}: {r['message']} [{r['rule']}]; {r['advice']}", True
            more = list(dict.fromkeys(r["line"]))[1:]
            # Two rows of one key are named in the message itself.
            if more and r["rule"] != "duplicate_key":
                lines = ", ".join(str(n) for n in more[:_LINES]) + (" …" if len(more) > _LINES else "")
                yield f"      so {len(more):,} more {'line' if len(more) == 1 else 'lines'} of it: {lines}", True
        if reasons.height > shown:
            yield f"  … and {reasons.height - shown:,} more reasons: Registry.rejections() has them all", True
        for note in self.notes:
            yield f"  note: {note}", False

    def __repr__(self) -> str:
        return "\n".join(text for text, _ in self.lines())

    def _repr_html_(self) -> str:
        head = ("file", "table", "rows in", "accepted", "refused")
        counted = [(f, t, *(f"{n:,}" for n in ns)) for (f, t), ns in self._by_table().items()]
        total = ("all", "", *(f"{n:,}" for n in (self.rows_in, self.accepted, self.rejected)))
        kept = "nothing kept: dry run" if self.dry_run else f"{self.new:,} new, {self.corrected:,} of them corrections"
        notes = "".join(f"<div><b>Note.</b> {escape(n)}</div>" for n in self.notes)
        shown = self.rejections.select("file", "line", "column", "value", "message", "advice").head(40)
        rest = self.rejections.height - shown.height
        refused = html_table(shown.columns, shown.iter_rows()) if shown.height else ""
        more = f"<div>… and {rest:,} more reasons: <code>.rejections</code> has them all</div>" if rest else ""
        return f"<b>{kept}</b>{notes}{html_table(head, [*counted, total])}{refused}{more}"

    def _reasons(self) -> pl.DataFrame:
        """Return each reason once, with the lines it holds for: patients before what belongs to them, causes first."""
        order = {t.__source__.file: i for i, t in enumerate(TABLES)}
        return (
            self.rejections.with_columns(order=pl.col("table").replace_strict(order, default=-1, return_dtype=pl.Int32))
            .sort("order", pl.col("rule").str.starts_with("unknown_"), "file", "line", maintain_order=True)
            .group_by("file", "column", "rule", "message", "advice", maintain_order=True)
            .agg(pl.col("line"), pl.col("value").first())
        )

    def _by_table(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Return rows in, accepted and refused by file and table: a mapping may take a file for one table twice."""
        counted: dict[tuple[str, str], tuple[int, int, int]] = {}
        for f in self.files:
            held = counted.get((f.file, f.table), (0, 0, 0))
            counted[f.file, f.table] = (held[0] + f.rows_in, held[1] + f.accepted, held[2] + f.rejected)
        return counted

    def to_dict(self) -> dict[str, Any]:
        """Return counts for machines."""
        counts = ("file", "table", "rows_in", "accepted", "rejected", "new", "corrected")
        return {
            "rows_in": self.rows_in,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "new": self.new,
            "corrected": self.corrected,
            "dry_run": self.dry_run,
            "files": [{c: getattr(f, c) for c in counts} for f in self.files],
            "rejections": self.rejections.to_dicts(),
            "notes": list(self.notes),
        }


def html_table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as an HTML table; what is not known is an empty cell."""
    names = "".join(f"<th>{escape(h)}</th>" for h in head)
    cell = "<td style='text-align:left'>{}</td>"
    body = "".join(f"<tr>{''.join(cell.format('' if v is None else escape(str(v))) for v in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def assert_nothing_lost(report: LoadReport) -> None:
    """Stop the load if rows in are not rows accepted and refused, for any file."""
    for f in report.files:
        if f.rows_in != f.accepted + f.rejected or min(f.accepted, f.rejected) < 0:
            raise CatamnesisError(
                f"{f.file}: {f.rows_in} rows in, {f.accepted} accepted, {f.rejected} refused do not add up. "
                "Nothing was kept. Please report this as an error of the program."
            )
