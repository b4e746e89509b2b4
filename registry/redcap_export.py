"""Exports of a REDCap project: labels turned back into codes, and an account of what became of the rows.

An export is one table: a row for each record, event and instance of a repeating form, a column for each field of every
form, most cells empty. Headers and values are variables and codes ("raw"), or labels. What a mapping names are always
variables and codes, so that one mapping reads both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import polars as pl

from registry.errors import UsageError
from registry.redcap import Project, plain, ticked, unique_name

_COMPLETE = {"0": "Incomplete", "1": "Unverified", "2": "Complete"}
_ARM = re.compile(r" \(Arm (\d+)[^)]*\)$")
_AMBIGUOUS = " [two choices have this label: export raw codes]"


def named(project: Project, header: list[str]) -> list[str]:
    """Return the variables of an export's columns: a raw header as it is, labels by the dictionary.

    Labels come twice ("Complete?" after every form); the columns are in the dictionary's order, so each header is the
    next one that is called so.
    """
    if project.record in (name.strip() for name in header):
        return header
    expected = list(project.columns())
    found, at = [], 0
    for name in header:
        label = plain(name)
        place = next((k for k in range(at, len(expected)) if expected[k][1] == label), None)
        found.append(name if place is None else expected[place][0])
        at = at if place is None else place + 1
    return found


def coded(project: Project, frame: pl.DataFrame) -> pl.DataFrame:
    """Return an export with codes where it has labels, dates without their time, and decimal points.

    Raises
    ------
    UsageError
        When it mixes codes and labels.
    """
    known = _codes_of(project, frame)
    values = {c: frame[c].drop_nulls().unique().to_list() for c in known}
    votes = {_speaks(values[c], codes) for c, codes in known.items()} - {""}
    if votes == {"codes", "labels"}:
        raise UsageError(
            "The export has codes in some columns and labels in others: export again, either raw or labels."
        )
    changed: list[pl.Expr] = []
    if votes == {"labels"}:
        changed += [pl.col(c).replace(_by_label(c, values[c], codes)) for c, codes in known.items()]
    there = [f for f in project.fields if f.name in frame.columns]
    changed += [pl.col(f.name).str.replace(r"[ T]\d{2}:\d{2}(:\d{2})?$", "") for f in there if f.holds_a_date]
    changed += [
        pl.col(f.name).str.replace(",", ".", literal=True) for f in there if f.validation.endswith("comma_decimal")
    ]
    return frame.with_columns(changed)


def _codes_of(project: Project, frame: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Return, for each column of codes, each code with its label."""
    found: dict[str, dict[str, str]] = {}
    for f in project.fields:
        if f.kind == "checkbox":
            found |= {ticked(f.name, c): _ticks(frame, ticked(f.name, c), text) for c, text in f.choices.items()}
        elif f.choices:
            found[f.name] = f.choices | project.missing_codes
    found |= {f"{form}_complete": _COMPLETE for form in project.forms}
    found["redcap_repeat_instrument"] = {form: form.replace("_", " ") for form in project.forms}
    if "redcap_event_name" in frame.columns:
        seen = frame["redcap_event_name"].drop_nulls().unique().to_list()
        found["redcap_event_name"] = project.events or {_event(name): _ARM.sub("", name) for name in seen}
    return {c: codes for c, codes in found.items() if c in frame.columns}


def _ticks(frame: pl.DataFrame, column: str, choice: str) -> dict[str, str]:
    """Return the codes of one box: labelled exports write Checked, or the choice's own label and nothing."""
    own = column in frame.columns and (frame[column] == choice).any()
    return {"0": "Unchecked", "1": choice if own else "Checked"}


def _event(said: str) -> str:
    """Return the unique name of an event named by its label, with its arm in brackets if there are several."""
    arm = _ARM.search(said)
    made = unique_name(_ARM.sub("", said), arm[1] if arm else "1")
    return said if re.fullmatch(r"[a-z0-9_]+_arm_\d+", said) else made


def _speaks(values: list[str], codes: dict[str, str]) -> str:
    """Say whether values can only be codes or only labels."""
    labels = {_folded(t) for t in codes.values()}
    are_codes = all(v in codes for v in values)
    are_labels = all(_folded(v) in labels for v in values)
    return "" if are_codes == are_labels else ("codes" if are_codes else "labels")


def _folded(text: str) -> str:
    return plain(_ARM.sub("", text)).lower()


def _by_label(column: str, values: list[str], codes: dict[str, str]) -> dict[str, str]:
    """Return the code of each label seen; a label that two codes share is refused, not guessed."""
    found = {}
    for value in values:
        meant = [code for code, label in codes.items() if _folded(label) == _folded(value)]
        if column == "redcap_event_name" and len(meant) > 1:
            meant = [code for code in meant if code.endswith(_event(value)[-6:])]
        if len(meant) == 1:
            found[value] = meant[0]
        elif len(meant) > 1:
            found[value] = value + _AMBIGUOUS
    return found


def account(project: Project, frame: pl.DataFrame, taken: Iterable[pl.Series]) -> list[str]:
    """Return what became of an export's rows: by form, how many say something, and how many of those nothing took.

    Exports leave rows out without a word (a user's rights, a data access group, a filter): counts, gaps in the
    numbering of instances, and forms without any row are said, so that a person can compare them with the project.

    Raises
    ------
    UsageError
        When the export does not hold the number of records that the mapping states.
    """
    n = frame[project.record].drop_nulls().n_unique()
    if project.records is not None and n != project.records:
        raise UsageError(
            f"The export holds {n:,} records, the mapping states {project.records:,}. Exports leave out what the user "
            "may not see (data access group, rights) and what a filter hides: export again, or correct records."
        )
    used = pl.concat([*taken, pl.Series(dtype=pl.Int32)]).unique()
    events = frame["redcap_event_name"].drop_nulls().n_unique() if "redcap_event_name" in frame.columns else 0
    told = [f"{frame.height:,} rows of {n:,} records" + (f", {events} events" if events else "")]
    empty = []
    for form in project.forms:
        columns = [c for c in project.content(form) if c in frame.columns]
        rows = frame.filter(filled(columns)) if columns else frame.clear()
        empty += [form] if rows.height == 0 and project.content(form) else []
        told += _of_form(form, rows, used) if rows.height else []
    told += [f"forms that no row says anything of: {', '.join(empty)}"] if empty else []
    return told + _gaps(project, frame)


def _of_form(form: str, rows: pl.DataFrame, used: pl.Series) -> list[str]:
    left = rows.filter(~pl.col("line").is_in(used.implode()))
    mark = f"{form}_complete"
    unfinished = rows.filter(pl.col(mark) != "2").height if mark in rows.columns else 0
    text = f"form {form}: {rows.height:,} rows say something, {rows.height - left.height:,} were taken"
    if left.height:
        text += f", {left.height:,} were not (the first is line {left['line'][0]})"
    return [text + (f"; {unfinished:,} are not marked complete" if unfinished else "")]


def filled(columns: list[str]) -> pl.Expr:
    """Return whether a row says something in any of `columns`; a box that is not ticked says nothing."""
    return pl.any_horizontal(
        (pl.col(c) != "0").fill_null(False) if "___" in c else pl.col(c).is_not_null() for c in columns
    )


def _gaps(project: Project, frame: pl.DataFrame) -> list[str]:
    """Name repeating forms whose instances are not numbered 1, 2, 3: one was deleted, or is not in the export."""
    if "redcap_repeat_instance" not in frame.columns:
        return []
    by = [c for c in (project.record, "redcap_event_name", "redcap_repeat_instrument") if c in frame.columns]
    number = pl.col("redcap_repeat_instance").cast(pl.Int64, strict=False)
    lacking = number.max() - number.n_unique()
    gaps = frame.filter(number.is_not_null()).group_by(by).agg(lacking.alias("n")).filter(pl.col("n") > 0)
    form = "redcap_repeat_instrument" if "redcap_repeat_instrument" in frame.columns else by[-1]
    counted = gaps.group_by(form).agg(pl.col("n").sum()).sort(form)
    return [
        f"{'form ' + name if name else 'repeating events'}: {n:,} instances are lacking in the numbering (deleted, or "
        "not exported)"
        for name, n in counted.iter_rows()
    ]
