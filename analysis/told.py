"""A result as text: one number for a sentence, and the headline numbers as they are printed."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.disclosure.messages import FEW_REASONS

if TYPE_CHECKING:
    from analysis.result import Result

# Questions whose differences are of shares.
_OF_SHARES = (
    "time_to_response", "adjusted_response", "dose_response", "loss_of_response", "time_in_response",
    "joint_replacement", "adjusted_replacement", "adjusted_loss", "adjusted_time_in_response", "response_at_visits",
)  # fmt: skip
_POINTS = "percentage points"
# Why a course is not among those selected (registry.Courses.select); other reasons are the question's.
_NOT_SELECTED = (
    "^(another |the other side$|a later course |younger than |older than |treated less than |no session recorded$"
    "|consent withdrawn for all data$)"
)
# What is printed first is cut to a screen; the frame has all.
_WIDTH, _MARGIN, _LINES = 100, 36, 40
# What is smaller is rounding of nought.
_NOUGHT = 1e-9
# More quantities than these of one stratum are put in one table.
_SEVERAL = 6


def is_share(quantity: str, settings: dict[str, Any]) -> bool:
    """Say whether a number is a share of 1, said in per cent."""
    if "days" in quantity or quantity.endswith("ratio"):
        return False
    if quantity.startswith(("difference", "naive")):
        return settings.get("question") in _OF_SHARES or settings.get("outcome") in ("response", "end", "loss")
    starts = (
        "response", "pooled_response", "unadjusted", "funnel_target", "share", "end", "loss_or_end", "range",
        "courses_with_event", "first_event", "goal", "reached_as", "death", "seen", "ever", "at_",
        "observed_share",
    )  # fmt: skip
    return quantity.startswith(starts) or " → " in quantity


def unit_of(quantity: str, settings: dict[str, Any]) -> str:
    """Return the unit that a number is said in: ``%``, ``percentage points`` of a difference, ``days``, or none."""
    if is_share(quantity, settings):
        return _POINTS if quantity.startswith(("difference", "naive")) else "%"
    return "days" if "days" in quantity else ""


def in_words(row: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return one row of a frame for a sentence: number, unit and limits; the reason where there is no number."""
    quantity = row["quantity"]
    if row["estimate"] is None:
        between = _between(row, unit_of(quantity, settings))
        return ", ".join(filter(None, (between, row["note"]))) or "not known"
    if quantity.endswith("_day"):
        # The visits say between which days it is, and no more.
        within = re.search(r"\(\d+, \d+\]", row["note"] or "")
        return f"day {row['estimate']:.0f}" + (f", in {within[0]}" if within else "")
    unit = unit_of(quantity, settings)
    shown = {c: _number(row[c], unit) for c in ("estimate", "low", "high") if row[c] is not None}
    text = f"{shown['estimate']} {unit}".rstrip()
    what = "from" if quantity == "range" else f"{round(100 * settings.get('confidence', 0.95))} % CI"
    text = f"{text} ({what} {shown['low']} to {shown['high']})" if {"low", "high"} <= shown.keys() else text
    return f"naive: {text}; {why_naive(row)}" if is_naive(quantity) else text


def is_naive(quantity: str) -> bool:
    """Say whether a number is there to be distrusted: it is never told without its mark and its reason."""
    return quantity.startswith("naive")


def why_naive(row: dict[str, Any]) -> str:
    """Return why a naive number is not what it seems, from its note."""
    return str(row["note"] or "").removeprefix("NAIVE, ")


def not_selected(flow: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a flow (``reason, n``) of courses that were not selected; none where reasons are joined.

    A joint row of small reasons may hold both, so that nobody can say how many were selected.
    """
    joined = FEW_REASONS in flow["reason"]
    return flow.clear() if joined else flow.filter(pl.col("reason").str.contains(_NOT_SELECTED))


def rows_used(flow: pl.DataFrame) -> str:
    """Return how many courses of a flow were used, of those selected and of the registry."""
    used, held, others = int(flow["n"][-1]), int(flow["n"][0]), int(not_selected(flow)["n"].sum())
    if not others:
        return f"used {used:,} of {held:,} courses"
    return f"used {used:,} of {held - others:,} selected courses ({held:,} in the registry)"


def headline(result: Result) -> list[str]:
    """Return the headline numbers as lines of at most a hundred columns: a block a quantity, a line a stratum.

    First come the quantity that the question is named for, single numbers and differences; what has no room is named.
    Strata that nobody is in have a line together.
    """
    labels = {s["code"]: s["label"] for s in result.settings.get("strata", ())}
    empty = result.empty_strata
    frame = result.frame.filter(~pl.col("stratum").is_in(empty), pl.col("quantity") != "test")
    blocks = {str(q): frame.filter(pl.col("quantity") == q) for q in frame["quantity"].unique(maintain_order=True)}
    first = sorted(blocks, key=lambda q: not (q == next(iter(blocks)) or q.startswith("difference")
                                              or blocks[q]["time_day"].is_null().all()))  # fmt: skip
    if len(blocks) > _SEVERAL and frame["stratum"].n_unique() == 1 and frame["time_day"].null_count() == 0:
        # Of one stratum alone many quantities are one table, a line each: as blocks they would not have room.
        return [*_lines_a_quantity(blocks, result), "all numbers are in .frame"]
    lines = {q: _block(q, blocks[q], unit_of(q, result.settings), _margin(blocks, result)) for q in blocks}
    shown: list[str] = []
    for q in first:
        if not shown or sum(len(lines[s]) for s in [*shown, q]) <= _LINES:
            shown.append(q)
    out = [line for q in blocks if q in shown for line in lines[q]]
    for test in result.frame.filter(pl.col("quantity") == "test").iter_rows(named=True):
        p = test["estimate"]
        known = "" if p is None else "p < 0.001: " if p < 0.001 else f"p = {p:.3f}: "
        out.append(f"test: {known}{test['note'] or 'not known'}")
    if empty:
        out.append(f"nobody is in: {', '.join(labels.get(e, e) for e in empty)}")
    rest = [q for q in blocks if q not in shown]
    more = f" and {len(rest) - 4} more" if len(rest) > 4 else ""
    return [*out, f"all numbers are in .frame{', also ' if rest else ''}{', '.join(rest[:4])}{more}"]


def _lines_a_quantity(blocks: dict[str, pl.DataFrame], result: Result) -> list[str]:
    """Return quantities of one stratum as a table of text: a line a quantity, a column a day."""
    names = {q: _title(q, unit_of(q, result.settings)) for q in blocks}
    first = min(max(map(len, names.values())) + 1, _MARGIN)
    stratum = str(next(iter(blocks.values()))["stratum"][0])
    table = {q: {r["time_day"]: _cell(r, unit_of(q, result.settings)) for r in b.iter_rows(named=True)}
             for q, b in blocks.items()}  # fmt: skip
    days = sorted({d for line in table.values() for d in line})
    heads = {d: f"day {d:.0f}" for d in days}
    width = {d: 2 + max(len(heads[d]), *(len(line.get(d, "")) for line in table.values())) for d in days}
    out: list[str] = []
    for part in _parts(days, width, _WIDTH - first - 8):
        out += _named(stratum, "courses", [heads[d].rjust(width[d]) for d in part], first)
        for q, line in table.items():
            held = blocks[q].filter(pl.col("time_day").is_in(part))["denominator"].drop_nulls().to_list()
            of = max(held, default=0)
            told = [line.get(d, "").rjust(width[d]) for d in part]
            out += _named(names[q], f"{of:,}" if of else "", told, first)
    unknown = pl.concat(blocks.values()).filter(pl.col("estimate").is_null())
    for rows in unknown.with_columns(pl.col("note").fill_null("not known")).partition_by("note", maintain_order=True):
        of_these = rows["quantity"].unique(maintain_order=True).to_list()
        at = ", ".join(f"{d:.0f}" for d in rows["time_day"].unique().sort())
        said = f"{rows['note'][0]} ({'all' if len(of_these) == len(blocks) else ', '.join(of_these)}, day {at})"
        out += textwrap.wrap(said, _WIDTH, initial_indent="  – ", subsequent_indent="    ")
    return out


def _title(quantity: str, unit: str) -> str:
    return f"{quantity}, {unit}" if unit else quantity


def _margin(blocks: dict[str, pl.DataFrame], result: Result) -> int:
    """Return how wide the names at the left are."""
    names = [_title(q, unit_of(q, result.settings)) for q in blocks]
    strata = [f"  {name}" for rows in blocks.values() for name in set(_lines_of(rows))]
    return min(max(map(len, [*names, *strata]), default=0) + 1, _MARGIN)


def _block(quantity: str, rows: pl.DataFrame, unit: str, first: int) -> list[str]:
    """Return a quantity as a table of text: a line a stratum, a column a day; below, why a number is not known."""
    days = rows["time_day"].unique().sort().to_list()
    several = _several(rows)
    table: dict[str, dict[Any, str]] = {}
    courses: dict[str, int] = {}
    why: dict[str, list[str]] = {}
    for r, name in zip(rows.iter_rows(named=True), _lines_of(rows), strict=True):
        table.setdefault(name, {})[r["time_day"]] = _cell(r, unit)
        courses[name] = max(courses.get(name, 0), r["denominator"] or 0)
        if r["estimate"] is None and not several:
            why.setdefault(r["note"] or "not known", []).append(_at(r))
    heads = {d: "" if d is None else f"day {d:.0f}" for d in days}
    width = {d: 2 + max(len(heads[d]), *(len(line.get(d, "")) for line in table.values())) for d in days}
    out: list[str] = []
    for part in _parts(days, width, _WIDTH - first - 8):
        out += _named(_title(quantity, unit), "courses", [heads[d].rjust(width[d]) for d in part], first)
        for name, line in table.items():
            of = f"{courses[name]:,}" if courses[name] else ""
            out += _named(f"  {name}", of, [line.get(d, "").rjust(width[d]) for d in part], first)
    if is_naive(quantity):
        known = rows.filter(pl.col("estimate").is_not_null()).unique("note", maintain_order=True)
        for r in known.iter_rows(named=True):
            out += textwrap.wrap(f"naive: {why_naive(r)}", _WIDTH, initial_indent="  – ", subsequent_indent="    ")
    for note, at in why.items():
        out += textwrap.wrap(f"{note} ({', '.join(at)})", _WIDTH, initial_indent="  – ", subsequent_indent="    ")
    return out


def _several(rows: pl.DataFrame) -> bool:
    """Whether a stratum has several numbers a day, which their notes tell apart."""
    return bool(rows.select("stratum", "time_day").is_duplicated().any())


def _lines_of(rows: pl.DataFrame) -> list[str]:
    """Return the name of the line that each row stands in."""
    several = _several(rows)
    return [f"{s}: {note}" if several else s for s, note in rows.select("stratum", "note").iter_rows()]


def _parts(days: list[Any], width: dict[Any, int], room: int) -> list[list[Any]]:
    """Return the days in the order given, in parts that fit into a line."""
    parts: list[list[Any]] = [[]]
    for d in days:
        if parts[-1] and sum(width[x] for x in [*parts[-1], d]) > room:
            parts.append([])
        parts[-1].append(d)
    return parts


def _named(name: str, courses: str, cells: list[str], first: int) -> list[str]:
    """Return a line of a table; a name that is wider than its column stands above it in lines of its own, whole."""
    indent = "    " if name.startswith(" ") else ""
    # A unit stays with the word before it.
    kept = name.strip().replace(", %", ",\u00a0%")
    *above, last = textwrap.wrap(kept, first - 1, initial_indent=indent[:2], subsequent_indent=indent,
                                 break_on_hyphens=False)  # fmt: skip
    lines = [*above, (last.ljust(first) + courses.rjust(8) + "".join(cells)).rstrip()]
    return [line.replace("\u00a0", " ") for line in lines]


def _at(row: dict[str, Any]) -> str:
    return row["stratum"] if row["time_day"] is None else f"{row['stratum']} {row['time_day']:.0f}"


def _cell(row: dict[str, Any], unit: str) -> str:
    if row["estimate"] is None:
        # The head of the table tells the unit.
        return _between(row, unit).removesuffix(f" {unit}") or "–"
    if row["quantity"].endswith("_day"):
        return in_words(row, {})
    text = _number(row["estimate"], unit)
    if row["low"] is None or row["high"] is None:
        return text
    return f"{text} ({_number(row['low'], unit)} to {_number(row['high'], unit)})"


def _between(row: dict[str, Any], unit: str) -> str:
    """Return between which numbers it is, where no more is known; empty where that is not."""
    if row["low"] is None or row["high"] is None:
        return ""
    return f"{_number(row['low'], unit)} to {_number(row['high'], unit)} {unit}".rstrip()


def _number(value: float, unit: str) -> str:
    """Return a number in its unit; shares are given as shares of 1."""
    if unit in ("%", _POINTS):
        text = f"{100 * value:.0f}"
    elif unit == "days":
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3g}" if _NOUGHT < abs(value) < 1000 else f"{value:,.0f}"
    # No change is not a negative one.
    return "0" if text == "-0" else text
