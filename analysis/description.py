"""Table 1 as it is shown: rows by strata, plain and weighted, and what of it may leave the registry."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from html import escape
from typing import Any, cast

import polars as pl

from analysis.disclosure import HIDDEN, POLICY
from analysis.disclosure.complementary import hide_between, hide_levels
from analysis.result import Result
from analysis.told import rows_used
from registry.loadreport import html_table

_ALL = "all"
_NOT_KNOWN = "–"
# What stands in a cell without a spread beside it.
_ALONE = (HIDDEN, _NOT_KNOWN)


@dataclass(frozen=True, repr=False)
class Description(Result):
    """The answer of :func:`describe`; :meth:`table` lays it out as rows × strata.

    Examples
    --------
    >>> describe(knees).table()["characteristic"][0]
    'Courses'
    """

    def table(self) -> pl.DataFrame:
        """Return the table as text: ``characteristic, level``, a column a stratum, ``smd``; made from `frame` alone.

        A row ``missing`` is printed where any course lacks the characteristic; the frame has it always. A stratum that
        nobody is in has no column. With weights, a group whose weights vary has a second column, and so has the
        difference. ``–`` is not known, ``[c]`` hidden.
        """
        cells = {(r["stratum"], r["quantity"]): r for r in self.frame.iter_rows(named=True)}
        weighted = self.settings.get("weighted")
        prefixes = ("",) if weighted is None else ("", "weighted ")
        out = []
        for characteristic, level, quantity, kind in self._table_lines():
            strata = self._columns()
            if level == "missing" and all((cells.get((s["code"], quantity)) or {"n": 0})["n"] == 0 for s in strata):
                continue
            line = {"characteristic": characteristic, "level": level}
            for s in strata:
                for p in prefixes if s["code"] in (weighted or ()) else ("",):
                    line[s["label"] + (", weighted" if p else "")] = _text(cells, s["code"], quantity, kind, p)
            first = quantity.removesuffix(": mean") if kind == "number" else quantity
            for p in prefixes:
                held = cells.get((_ALL, f"{first}: {p}smd")) if characteristic else None
                line["smd, weighted" if p else "smd"] = _smd_text(held)
            out.append(line)
        return pl.DataFrame(out)

    def _columns(self) -> list[dict[str, Any]]:
        """Return what has a column; with a stratum hidden, what holds for all would give it away by subtraction."""
        sizes = self.frame.filter(pl.col("quantity") == "courses")["denominator"]
        return [*self.filled_strata, *([] if sizes.null_count() else self.settings["overall"])]

    def _table_lines(self) -> list[tuple[str, str, str, str]]:
        lines = [("Courses", "", "courses", "")]
        weighted = "weighted" in self.settings
        if weighted:
            totals = ("sum_of_weights", "effective_sample_size")
            lines = [("Courses, or decisions", "", "courses", "")]
            lines += [("", q.replace("_", " "), q, "total") for q in totals]
        for variable in self.settings["variables"]:
            lines += [line for line in _lines(variable) if not (weighted and line[3] == "quartiles")]
        return lines

    def __repr__(self) -> str:
        with pl.Config(tbl_rows=90, tbl_cols=9, tbl_width_chars=150, fmt_str_lengths=60, tbl_hide_dataframe_shape=True,
                       tbl_hide_column_data_types=True):  # fmt: skip
            return "\n".join([self.title, rows_used(self.attrition), *self._said(), str(self.table())])

    def _said(self) -> list[str]:
        return [*([self.nobody_in] if self.nobody_in else []), *self.notes]

    def _repr_html_(self) -> str:
        table, notes = self.table(), "".join(f"<div><b>Note.</b> {escape(n)}</div>" for n in self._said())
        head = f"<div><b>{escape(self.title)}</b><div>{escape(rows_used(self.attrition))}</div>{notes}"
        return f"{head}{html_table(table.columns, table.iter_rows())}</div>"

    def suppress(self, smallest: int = POLICY.smallest_cell) -> Description:
        """Withhold small cells, and a second level wherever a single one could be found by subtraction."""
        return cast(Description, super().suppress(smallest))

    def _small_cells_hidden(self, smallest: int) -> Description:
        hidden = super()._small_cells_hidden(smallest)
        nested = [(one, other) for one, other in self.settings.get("nested", ())]
        frame = hide_between(hidden.frame, nested, smallest)
        return cast(Description, dataclasses.replace(hidden, frame=hide_levels(frame, self.frame["n"], smallest)))

    def _small_series(self, smallest: int) -> pl.DataFrame:
        """A rare level hides its own cell; a small stratum hides everything about it."""
        sizes = self.frame.filter(pl.col("quantity") == "courses", pl.col("denominator").is_between(1, smallest - 1))
        return self.frame.join(sizes, on="stratum", how="semi").select("stratum", "quantity").unique()


def _lines(variable: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the printed rows of a variable: characteristic, level, quantity, kind."""
    name, label = variable["variable"], variable["label"]
    missing = ("", "missing", f"{name}: missing", "share")
    if variable["levels"] is None:
        unit = variable["unit"]
        printed = f"mean (SD), {unit}" if unit else "mean (SD)"
        numbers = [(label, printed, f"{name}: mean", "number"), ("", "median [IQR]", name, "quartiles")]
        return [*numbers, missing]
    shares = [("", level.replace("_", " "), f"{name} = {level}: share", "share") for level in variable["levels"]]
    return [(label, "", name, "heading"), *shares, missing]


def _text(cells: dict[tuple[str, str], dict[str, Any]], code: str, quantity: str, kind: str, prefix: str) -> str:
    def value(name: str) -> str:
        found = cells.get((code, name))
        return _unknown(found) if found is None or found["estimate"] is None else f"{found['estimate']:.1f}"

    if kind == "heading" or (quantity == "courses" and prefix) or (kind == "total" and not prefix):
        return ""
    if kind == "total":
        return value(quantity)
    if kind == "number":
        mean = quantity.replace(": mean", f": {prefix}mean")
        told, beside = value(mean), f" ({value(mean.removesuffix('mean') + 'sd')})"
        return told + beside if told not in _ALONE else told
    if kind == "quartiles":
        low, high = value(f"{quantity}: lower quartile"), value(f"{quantity}: upper quartile")
        told = value(f"{quantity}: median")
        return f"{told} [{low}, {high}]" if told not in _ALONE else told
    held = cells.get((code, quantity.replace(": ", f": {prefix}")))
    if held is None:
        return "–"
    if quantity == "courses":
        return HIDDEN if held["denominator"] is None else f"{held['denominator']:,}"
    if held["estimate"] is None:
        return _unknown(held)
    share = f"{100 * held['estimate']:.0f} %"
    if held["denominator"] is None:
        return share
    return f"{share} of {held['denominator']:,}" if prefix else f"{held['n']:,}/{held['denominator']:,} ({share})"


def _smd_text(held: dict[str, Any] | None) -> str:
    if held is None:
        return ""
    if held["estimate"] is None:
        return "∞" if "without bound" in str(held["note"]) else _unknown(held)
    return f"{held['estimate']:.2f}"


def _unknown(held: dict[str, Any] | None) -> str:
    return HIDDEN if held is not None and "suppressed" in str(held["note"]) else _NOT_KNOWN
