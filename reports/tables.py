"""Tables for papers: one layout of any result, as CSV, HTML and LaTeX; Word is in :mod:`reports.word`."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from analysis.cells import safe_for_spreadsheets
from analysis.disclosure import HIDDEN, POLICY
from analysis.result import Result
from analysis.told import is_naive, is_share, why_naive

_DAYS_A_MONTH = 30.4375
# What papers call otherwise than the frame does.
_PRINTED = {"e_value": "E-value", "median_day": "median, days"}
_NAIVE = {"naive_ever_against_never": "naive: ever against never boosted",
          "naive_before_after": "naive: before–after in the boosted",
          "naive_at_decision": "naive: boosted against waiting, not weighted"}  # fmt: skip
# Characters across an A4 page with margins of 20 mm, upright, in the size of a LaTeX table, and lines down it.
_ACROSS, _DOWN = 104, 50
_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≥": r"$\geq$", "≤": r"$\leq$", "−": "$-$",
          "→": r"$\to$", "<": "$<$", ">": "$>$", "–": "--", "×": r"$\times$", "²": r"$^2$", "Σ": r"$\Sigma$",
          "α": r"$\alpha$", "µ": r"$\mu$", "…": r"\ldots{}", "∞": r"$\infty$"}  # fmt: skip


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
    if column.startswith("smd"):
        return column.replace("smd", "SMD", 1)
    return (column[:1].upper() + column[1:]).replace("_", " ")


def is_suppressed(text: str) -> bool:
    """Say whether a cell is one whose number is hidden."""
    return text == HIDDEN


def marks(frame: pl.DataFrame) -> list[str]:
    """Return a footnote for each mark that stands in a table."""
    cells = {text for column in frame for text in column}
    told = {
        HIDDEN: f"confidential: fewer than {POLICY.smallest_cell}, or a number that would give such a one away.",
        "–": "not known.",
    }
    return [f"{mark} {said}" for mark, said in told.items() if mark in cells]


def naive_notes(result: Result) -> list[str]:
    """Return a footnote for each naive number of a result: why it is not what it seems."""
    shown = result.frame.filter(pl.col("estimate").is_not_null(), pl.col("quantity").is_in(list(_NAIVE)))
    return [
        f"{_NAIVE[r['quantity']][:1].upper()}{_NAIVE[r['quantity']][1:]}: {why_naive(r)}."
        for r in shown.unique("quantity", maintain_order=True).iter_rows(named=True)
    ]


def wide(result: Result) -> pl.DataFrame:
    """Return a result as text: a row a quantity and stratum, a column a day, ``estimate (low to high)`` in each cell.

    Shares are in per cent; `courses` are the most of any day. What is not known says why. Strata that nobody is in have
    no row.
    """
    labels = {s["code"]: s["label"] for s in result.settings["strata"]}
    days = sorted({d for d in result.frame["time_day"].to_list() if d is not None})
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    most: dict[tuple[str, str], int] = {}
    for r in result.frame.filter(~pl.col("stratum").is_in(result.empty_strata)).iter_rows(named=True):
        key = (r["quantity"], r["stratum"])
        name = " − ".join(labels.get(part, part.replace("_", " ")) for part in r["stratum"].split(" - "))
        line = rows.setdefault(key, {"quantity": _words(r["quantity"], result), "stratum": name, "courses": ""})
        if r["denominator"] is not None:
            most[key] = max(most.get(key, 0), r["denominator"])
            line["courses"] = f"{most[key]:,}"
        column = "overall" if r["time_day"] is None else _day(r["time_day"])
        cell = _cell(r, is_share(r["quantity"], result.settings))
        line[column] = f"naive: {cell}" if is_naive(r["quantity"]) and r["estimate"] is not None else cell
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
    if quantity in _PRINTED:
        return _PRINTED[quantity]
    unit = ", %" if not quantity.startswith(("difference", "naive")) else ", percentage points"
    return _NAIVE.get(quantity, quantity.replace("_", " ")) + (unit if is_share(quantity, result.settings) else "")


def _cell(r: dict[str, Any], share: bool) -> str:
    if r["estimate"] is None:
        why = str(r["note"] or "not known").split(":")[0]
        if r["quantity"].startswith("median") and why.startswith("fewer than half"):
            return "not reached"
        return HIDDEN if why == "suppressed" else why

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


_STYLE = (
    "body{font:10pt/1.4 Georgia,'Times New Roman',serif;color:#1c2430;background:#fff;margin:2rem}"
    # The page itself never scrolls sideways: a wide table does, in its own box, and its title stays.
    ".wide{overflow-x:auto}.wide:focus-visible{outline:2px solid #1f5fa8}"
    "table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid}"
    "caption{text-align:left;padding:0 0 .5rem}"
    "h1{font-size:1.1em;margin:0;position:sticky;left:0;width:fit-content;max-width:calc(100vw - 4.5rem)}"
    "th,td{text-align:right;padding:.12rem .5rem;vertical-align:top;white-space:nowrap;font-weight:normal}"
    "thead th{border-bottom:1px solid;font-weight:bold;vertical-align:bottom;white-space:normal}"
    ".text{text-align:left;white-space:normal;min-width:7em}th[scope=rowgroup]{font-weight:bold}"
    "thead th:first-child,th[scope=rowgroup],.prose tr>:first-child{padding-left:0}"
    "tbody tr:first-child>*{padding-top:.4rem}"
    "td,th{font-variant-numeric:tabular-nums}.prose .text{overflow-wrap:anywhere;min-width:2.5em}"
    "p{font-size:.85em;margin:.3rem 0;max-width:50em}"
    "@media(max-width:600px){body{margin:1rem}h1{max-width:calc(100vw - 2.5rem)}}"
    "@media print{body{margin:0}.wide{overflow:visible}tbody{break-inside:avoid}}"
)


def _html(table: Table) -> str:
    """Return a page that holds the table; what heads a group of rows spans them, so that a reader aloud says it."""
    frame, title = table.frame, escape(table.caption)
    left = [' class="text"' if i < 2 or table.prose else "" for i in range(frame.width)]
    head = "".join(f'<th scope="col"{left[i]}>{escape(heading(c))}</th>' for i, c in enumerate(frame.columns))
    body = "\n".join(_group(rows, left, table.prose) for rows in _groups(table))
    notes = "".join(f"<p>{escape(n)}</p>\n" for n in table.footnotes)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f'<style>{_STYLE}</style></head><body>\n<main>\n<div class="wide" tabindex="0" role="region" '
        f'aria-labelledby="title">\n<table{" class=prose" if table.prose else ""}>'
        f'<caption><h1 id="title">{title}</h1></caption>\n<thead><tr>{head}</tr></thead>\n{body}\n</table></div>\n'
        f"{notes}</main>\n</body></html>\n"
    )


def _groups(table: Table) -> list[list[list[str]]]:
    """Return the rows in groups: a row whose first cell is blank, or says the same, belongs to the one above."""
    groups: list[list[list[str]]] = []
    for row in table.frame.iter_rows():
        cells = [str(v if v is not None else "") for v in row]
        if groups and not table.prose and cells[0] in ("", groups[-1][0][0]):
            groups[-1].append(cells)
        else:
            groups.append([cells])
    return groups


def _group(rows: list[list[str]], left: list[str], prose: bool) -> str:
    lines = []
    for k, (first, *cells) in enumerate(rows):
        line = ""
        if k == 0:
            spans = "" if prose else f' rowspan="{len(rows)}"'
            line = f'<th scope="{"row" if prose else "rowgroup"}"{spans}{left[0]}>{escape(first)}</th>'
        for i, text in enumerate(cells, 1):
            tag = 'th scope="row"' if i == 1 and text and not prose else "td"
            line += f"<{tag}{left[i]}>{escape(text)}</{tag.split()[0]}>"
        lines.append(f"<tr>{line}</tr>")
    return "<tbody>\n" + "\n".join(lines) + "\n</tbody>"


def _latex(table: Table, label: str) -> str:
    """Return a table for ``booktabs``; the title is told without its number, which LaTeX gives.

    One of more lines than a page is a ``longtable``, and one that is wider lies across (``pdflscape``).
    """
    frame = table.frame
    head = " & ".join(_tex(heading(c)) for c in frame.columns) + r" \\"
    body = [
        " & ".join([_tex(first) if k == 0 else "", *map(_tex, cells)]) + r" \\"
        for rows in _groups(table)
        for k, (first, *cells) in enumerate(rows)
    ]
    needed = sum(max(len(c), *(len(t or "") for t in frame[c])) + 2 for c in frame.columns)
    across, size = needed > _ACROSS, r"\scriptsize" if needed > 1.35 * _ACROSS else r"\footnotesize"
    long = across or frame.height > _DOWN
    columns, caption = "ll" + "r" * (frame.width - 2), f"\\caption{{{_tex(table.title)}}}\\label{{tab:{label}}}"
    needs = "booktabs" + (", longtable" if long else "") + (", pdflscape" if across else "")
    notes = [f"\\par {_tex(n)}" for n in table.footnotes]
    if not long:
        return "\n".join([
            f"% Packages: {needs}.", r"\begin{table}", caption, size + r"\setlength{\tabcolsep}{3pt}",
            f"\\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}",
            *notes, r"\end{table}", "",
        ])  # fmt: skip
    return "\n".join([
        f"% Packages: {needs}.", r"\begin{landscape}" if across else r"\begingroup",
        size + r"\setlength{\tabcolsep}{3pt}\setlength{\LTleft}{0pt}\setlength{\LTright}{\fill}",
        f"\\begin{{longtable}}{{{columns}}}", caption + r" \\", r"\toprule", head, r"\midrule", r"\endfirsthead",
        r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot", *body, r"\end{longtable}",
        *notes, r"\end{landscape}" if across else r"\par\endgroup", "",
    ])  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
