"""Tables for papers: one layout of any result, as CSV, HTML and LaTeX; Word is in :mod:`reports.word`."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from analysis.cells import safe_for_spreadsheets
from analysis.result import Result
from analysis.told import is_share

_DAYS_A_MONTH = 30.4375
_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≥": r"$\geq$", "≤": r"$\leq$", "−": "$-$",
          "→": r"$\to$", "<": "$<$", ">": "$>$", "–": "--", "×": r"$\times$", "²": r"$^2$", "Σ": r"$\Sigma$",
          "α": r"$\alpha$", "µ": r"$\mu$", "…": r"\ldots{}"}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table of text as it is printed.

    Attributes
    ----------
    title
        What it shows.
    frame
        Text in every cell.
    footnotes
        Sentences below it.
    number
        Its number in the paper; none in a document of one table.
    prose
        Whether cells hold sentences rather than numbers.
    """

    title: str
    frame: pl.DataFrame
    footnotes: tuple[str, ...] = ()
    number: int | None = None
    prose: bool = False

    @property
    def caption(self) -> str:
        """Number and title."""
        return self.title if self.number is None else f"Table {self.number}. {self.title}"


def heading(column: str) -> str:
    """Return the name of a column as it stands at the head of a printed table."""
    return "SMD" if column == "smd" else (column[:1].upper() + column[1:]).replace("_", " ")


def is_suppressed(text: str) -> bool:
    """Say whether a cell is one whose number is hidden."""
    return text == "·" or text.startswith("suppressed")


def wide(result: Result) -> pl.DataFrame:
    """Return a result as text: a row a quantity and stratum, a column a day, ``estimate (low to high)`` in each cell.

    Shares are in per cent; `courses` are the most of any day. What is not known says why.
    """
    labels = {s["code"]: s["label"] for s in result.settings["strata"]}
    days = sorted({d for d in result.frame["time_day"].to_list() if d is not None})
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    most: dict[tuple[str, str], int] = {}
    for r in result.frame.iter_rows(named=True):
        key = (r["quantity"], r["stratum"])
        name = " − ".join(labels.get(part, part.replace("_", " ")) for part in r["stratum"].split(" - "))
        line = rows.setdefault(key, {"quantity": _words(r["quantity"], result), "stratum": name, "courses": ""})
        if r["denominator"] is not None:
            most[key] = max(most.get(key, 0), r["denominator"])
            line["courses"] = f"{most[key]:,}"
        column = "overall" if r["time_day"] is None else _day(r["time_day"])
        line[column] = _cell(r, is_share(r["quantity"], result.settings))
    columns = [_day(d) for d in days]
    columns += ["overall"] if any("overall" in line for line in rows.values()) else []
    schema = dict.fromkeys(["quantity", "stratum", "courses", *columns], pl.String)
    order = list(dict.fromkeys(quantity for quantity, _ in rows))
    lines = [line for (quantity, _), line in sorted(rows.items(), key=lambda item: order.index(item[0][0]))]
    return pl.DataFrame([{c: line.get(c, "") for c in schema} for line in lines], schema=schema)


def write(path: Path, table: Table, kinds: tuple[str, ...] = ("csv", "html", "tex")) -> None:
    """Write a table of text as `path` with these endings."""
    if "csv" in kinds:
        safe_for_spreadsheets(table.frame).write_csv(path.with_suffix(".csv"))
    if "html" in kinds:
        path.with_suffix(".html").write_text(_html(table), encoding="utf-8")
    if "tex" in kinds:
        path.with_suffix(".tex").write_text(_latex(table, path.name), encoding="utf-8")


def _day(day: float) -> str:
    months = day / _DAYS_A_MONTH
    return f"{months:.0f} months" if abs(months - round(months)) < 0.15 and day >= 60 else f"day {day:.0f}"


def _words(quantity: str, result: Result) -> str:
    if quantity == "test":
        return "p, strata alike"
    unit = ", %" if not quantity.startswith("difference") else ", percentage points"
    return quantity.replace("_", " ") + (unit if is_share(quantity, result.settings) else "")


def _cell(r: dict[str, Any], share: bool) -> str:
    if r["estimate"] is None:
        return str(r["note"] or "not known").split(":")[0]

    if r["quantity"] == "test":
        return "<0.001" if r["estimate"] < 0.001 else f"{r['estimate']:.3f}"

    def text(value: float) -> str:
        shown = f"{100 * value if share else value:,.{0 if 'day' in r['quantity'] else 1}f}"
        if not share and abs(value) < 1:
            shown = f"{value:.2f}"
        return "0" + shown[2:] if shown.startswith("-0") and float(shown) == 0 else shown.replace("-", "−")

    if r["low"] is None or r["high"] is None:
        return text(r["estimate"])
    return f"{text(r['estimate'])} ({text(r['low'])} to {text(r['high'])})"


def _html(table: Table) -> str:
    frame, title = table.frame, table.caption
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in frame.columns)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(str(v if v is not None else ''))}</td>" for v in row) + "</tr>"
        for row in frame.iter_rows()
    )
    notes = "".join(f"<p>{escape(n)}</p>" for n in table.footnotes)
    style = (
        "body{font:10pt/1.4 Georgia,serif;margin:2rem}"
        "table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid}"
        "caption{text-align:left;font-weight:bold;padding:.4rem 0}th{border-bottom:1px solid}"
        "th,td{text-align:left;padding:.15rem .7rem .15rem 0;vertical-align:top}p{font-size:.85em;margin:.2rem 0}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body>\n<table><caption>{escape(title)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>\n{notes}\n</body></html>\n"
    )


def _latex(table: Table, label: str) -> str:
    """Return a table for ``booktabs``; the title is told without its number, which LaTeX gives."""
    frame = table.frame
    body = [" & ".join(_tex(str(v if v is not None else "")) for v in row) + r" \\" for row in frame.iter_rows()]
    return "\n".join([
        r"\begin{table}", f"\\caption{{{_tex(table.title)}}}", f"\\label{{tab:{label}}}", r"\footnotesize",
        f"\\begin{{tabular}}{{{'l' * frame.width}}}", r"\toprule",
        " & ".join(_tex(c) for c in frame.columns) + r" \\", r"\midrule", *body, r"\bottomrule", r"\end{tabular}",
        *(f"\\par {_tex(n)}" for n in table.footnotes), r"\end{table}", "",
    ])  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
