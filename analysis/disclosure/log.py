"""What disclosure control did to each file: which rule, what it did, to how many; never what it hid.

A number in the log counts marks that whoever has the file can count in it: cells marked as suppressed, patients without
a value. What shows no mark (reasons joined, curves that are not drawn, rows left out) is told without a number, or with
one that is known anyhow, and small cells are not told apart from those hidden with them: either would help to find one.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import polars as pl

from analysis.disclosure.anonymity import Disclosure
from analysis.disclosure.beside import GIVEN_BACK
from analysis.disclosure.date_shift import Shift
from analysis.disclosure.messages import FEW_REASONS
from analysis.disclosure.parts import shown
from analysis.disclosure.policy import POLICY

if TYPE_CHECKING:
    from analysis.result import Result

NAME, TITLE = "disclosure.csv", "What was hidden, made coarse or left out, by file"
AGGREGATE, ROW_LEVEL = "aggregate", "row-level"
_SCHEMA = {"file": pl.String, "level": pl.String, "rule": pl.String, "done": pl.String, "n": pl.Int64,
           "unit": pl.String, "told": pl.String}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One rule applied to one file.

    Attributes
    ----------
    file
        Its path in the folder, with ``.*`` for the same in several formats.
    level
        ``aggregate`` or ``row-level``.
    rule
        As ``docs/methods/disclosure.md`` calls it; ``none`` where no rule changed the file.
    done
        What was done: withheld, joined, renamed, rounded, pixels, taken away, emptied, left out, moved.
    n, unit
        How many of what, by marks in the file; no number where there is no mark.
    told
        A sentence for people.
    """

    file: str
    level: str
    rule: str
    done: str = "nothing"
    n: int | None = None
    unit: str = ""
    told: str = ""


def of_result(before: Result, after: Result, stem: str) -> list[Entry]:
    """Return what suppression did to the numbers of a result, written as `stem`."""
    marked = after.frame["note"].fill_null("")
    found: list[Entry] = []

    def add(rule: str, done: str, n: int | None, unit: str, told: str) -> None:
        found.append(Entry(stem, AGGREGATE, rule, done, n, unit, told))

    beside = int((marked == GIVEN_BACK).sum())
    withheld = int(marked.str.starts_with("suppressed").sum()) - beside
    uncounted = int(marked.str.starts_with("of how many").sum())
    if withheld:
        add("threshold", "withheld", withheld, "numbers", "Of few, or what would give such a number away.")
    if beside:
        told = "With the rows they would give back what was taken away."
        add("rows beside tables", "withheld", beside, "numbers", told)
    if uncounted:
        told = "How many lack the variable is hidden, and of how many these are."
        add("complementary suppression", "rounded", uncounted, "numbers", told)
    if FEW_REASONS in after.attrition["reason"] and FEW_REASONS not in before.attrition["reason"]:
        told = "Small reasons why courses were left out are one, in methods.md and the flow."
        add("counts in sentences", "joined", None, "reasons", told)
    told_apart = ("decision_flow", "overlap_shares")
    if any(
        before.settings.get(k) != after.settings.get(k) for k in told_apart if not after.settings.get("round_counts")
    ):
        told = "Small reasons why decisions were left out, and bins of few decisions, are one with others."
        add("threshold", "joined", None, "counts", told)
    if before.notes != after.notes and not after.settings.get("round_counts"):
        add("counts in sentences", "withheld", None, "notes", "Notes with a small count say few, or are left out.")
    if after.settings.get("round_counts"):
        counts = int(after.frame["n"].count() + after.frame["denominator"].count())
        add("rounding", "rounded", counts, "counts", f"To multiples of {after.settings['round_counts']}, shares too.")
    renamed = _few_names(after) - _few_names(before)
    if renamed:
        add("names", "renamed", len(renamed), "products", "Products that few courses had.")
    return found


def of_details(after: Result, stem: str) -> list[Entry]:
    """Return what suppression did to the details of a result, written as `stem`; nothing where it has none."""
    if after.details.height == 0:
        return []
    hidden = int(after.details["note"].fill_null("").str.starts_with("suppressed").sum())
    told = "Of few, or hidden among the numbers; of how many covariances are is not told."
    found = [Entry(stem, AGGREGATE, "threshold", "withheld", hidden, "numbers", told)] if hidden else []
    if base := after.settings.get("round_counts"):
        counts = int(after.details["denominator"].count())
        told = f"To multiples of {base}, degrees of freedom too."
        found.append(Entry(stem, AGGREGATE, "rounding", "rounded", counts, "counts", told))
    return found or [Entry(stem, AGGREGATE, "none")]


def of_figure(before: Result, after: Result, stem: str, *, pixels: bool) -> list[Entry]:
    """Return what was done to the figure of a result, written as `stem`."""
    found: list[Entry] = []
    if before.curves.height > after.curves.height or before.regions.height > after.regions.height:
        told = "Curves, or parts of them, that rest on few courses are not drawn."
        found.append(Entry(stem, AGGREGATE, "threshold", "left out", None, "curves", told))
    hidden = int(after.at_risk["note"].fill_null("").str.starts_with("suppressed").sum())
    if hidden:
        told = "Numbers at risk below the curves."
        found.append(Entry(stem, AGGREGATE, "threshold", "withheld", hidden, "numbers", told))
    if pixels:
        told = "It shows single patients: lines would give their days to the digit."
        found.append(Entry(stem, AGGREGATE, "pixels", "pixels", 1, "figures", told))
    return found


def _few_names(result: Result) -> set[str]:
    texts = "\n".join([*result.frame["stratum"].unique(), *result.frame["quantity"].unique()])
    return set(re.findall(r"product of few(?: \d+)?", texts))


def of_rows(
    done: Disclosure, shift: Shift | None, left_out: dict[str, int], consent: str, names: list[str]
) -> list[Entry]:
    """Return what was done to rows: to whose, to which columns, and what remains.

    Parameters
    ----------
    done, shift
        What k-anonymity took away, and what was done to dates, if there are any.
    left_out
        Courses without rows, by reason.
    consent
        The scope that patients agreed to.
    names
        Of the datasets.
    """
    found: list[Entry] = []

    def add(file: str, rule: str, what: str, n: int | None, unit: str, told: str) -> None:
        found.append(Entry(file, ROW_LEVEL, rule, what, n, unit, told))

    for (reason, n), text in zip(left_out.items(), shown(list(left_out.values())), strict=True):
        said = f"{text} courses: {reason} (scope: {consent})."
        if n:
            add("*", "consent and selection", "left out", n if text == f"{n:,}" else None, "courses", said)
    add("*", "never", "left out", None, "columns", f"{', '.join(POLICY.never)}.")
    add("*/adsl.*, */adcrs.*", "coarse", "rounded", None, "columns",
        f"Ages in bands of {POLICY.age_band} years, open from {POLICY.top_age}; doses to {POLICY.dose_step_million} "
        f"million; body mass to {POLICY.bmi_step}; follow-up to {POLICY.follow_up_step_day} days.")  # fmt: skip
    for quasi, n in done.suppressed.items():
        if n:
            add("*/adsl.*, */adcrs.*", "k-anonymity", "taken away", n, "patients", f"{quasi}, of these patients.")
    for said, n in done.beside.items():
        quasi, _, place = said.partition(": ")
        file = re.split(r"[ .]", place.removeprefix("rows of "))[0].lower()
        what = "left out" if place.startswith("rows of") else "emptied"
        add(f"*/{file}.*", "what says it elsewhere", what, n, "patients", f"{place}, since it says {quasi}.")
    add("*", "k-anonymity", "counted", done.k, "patients", f"Fewest who are alike; asked for: {done.asked}.")
    for name, (groups, who) in done.alike.items():
        add(
            "*/adtte.*, */adae.*", "l-diversity", "counted", groups, "groups", f"All alike in {name}: {who:,} patients."
        )
    if shift:
        add("*", "dates", "moved", shift.moved, "patients", "All dates of a patient, by the same whole weeks.")
        add("*", "dates", "withheld", shift.withheld, "patients", "Too few offsets could have made their dates.")
    changed = {part for e in found if e.file != "*" for part in e.file.split(", ")}
    found += [Entry(f"*/{n.lower()}.*", ROW_LEVEL, "none") for n in names if f"*/{n.lower()}.*" not in changed]
    return found


def frame_of(entries: list[Entry]) -> pl.DataFrame:
    """Return the log as a frame: ``file, level, rule, done, n, unit, told``."""
    return pl.DataFrame([asdict(e) for e in entries], schema=_SCHEMA)


def as_table(entries: list[Entry]) -> list[str]:
    """Return the entries in which something was done as a table of Markdown, line by line."""
    lines = ["| file | rule | done | how many | |", "|---|---|---|---|---|"]
    for e in (e for e in entries if e.rule != "none"):
        many = "" if e.n is None else f"{e.n:,} {e.unit.removesuffix('s') if e.n == 1 else e.unit}"
        lines.append(f"| `{e.file}` | {e.rule} | {e.done} | {many} | {e.told} |")
    return lines
