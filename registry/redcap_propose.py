"""A mapping proposed from a REDCap data dictionary: what each field probably is, for a person to read and correct.

A field whose annotation says what it feeds (``catamnesis(sessions.date)``) is taken at its word. Any other is compared
with the scales and questionnaires of the catalogue and with ``redcap_hint.csv`` by its name and label, its choices with
our codes by their labels. Fields marked as identifiers are never proposed. What only a person can know is written as
CHOOSE, and a mapping that still says so is not read.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from registry import catalogue, mapping, redcap
from registry.mapping_options import CHOOSE
from registry.redcap_toml import entry, head

_HINTS = Path(__file__).parent / "redcap_hint.csv"
_ANNOTATED = re.compile(r"catamnesis\(([^)]*)\)")
_NEAR = 0.84
# Which of our tables are dated by the visit on which their form was filled.
_AT_VISIT = ("measurements", "items")


@dataclass(frozen=True)
class Match:
    """One field with what it feeds: a column of a table, or a scale or item of the catalogue."""

    variable: redcap.Variable
    table: str
    column: str
    constants: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """A proposed mapping.

    Attributes
    ----------
    text
        The mapping, as TOML with comments.
    matched
        Fields that feed something.
    unmatched
        Fields that nothing was found for.
    identifiers
        Fields that the project marks as identifiers: never proposed.
    undecided
        How often the mapping says CHOOSE.
    """

    text: str
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    identifiers: tuple[str, ...]
    undecided: int


def propose(
    dictionary: Path,
    events: Path | None = None,
    *,
    programme: str = CHOOSE,
    site: str = CHOOSE,
    centre: str | None = None,
    missing_codes: str = "",
    export: str = "*.csv",
) -> Proposal:
    """Return a mapping for the exports of a project.

    Parameters
    ----------
    dictionary, events
        The project's data dictionary, and its list of events if it is longitudinal.
    programme
        Our programme that the project follows.
    site
        Anatomical site of every target, where no field says it.
    centre
        Code of the clinic; None: the data access group says it.
    missing_codes
        The project's missing-data codes as its setup shows them, ``-99, Refused | UNK, Unknown``.
    export
        Names of the export files.

    Raises
    ------
    UsageError
        When a file is not there or is not what it should be.
    """
    project = redcap.Project(
        redcap.read_dictionary(dictionary),
        redcap.read_events(events) if events else {},
        missing_codes=redcap.choices(missing_codes),
    )
    matches = [m for f in project.fields[1:] for m in matches_of(f)]
    found = {m.variable.name for m in matches}
    identifiers = tuple(f.name for f in project.fields[1:] if f.identifier)
    rest = (f for f in project.fields[1:] if f.columns and f.name not in found and not f.identifier)
    unmatched = tuple(f.name for f in rest)
    plan = Plan(project, matches, programme, site, centre, export)
    parts = [head(dictionary, events, missing_codes, unmatched, identifiers), *(entry(e) for e in plan.entries())]
    text = "\n".join(parts)
    return Proposal(text, tuple(sorted(found)), unmatched, identifiers, text.count(f'"{CHOOSE}"'))


def matches_of(f: redcap.Variable) -> list[Match]:
    """Return what a field feeds: by its annotation, else by its name and label."""
    if f.identifier or not f.columns:
        return []
    annotated = _ANNOTATED.search(f.annotation)
    if annotated:
        return [_annotated(f, part.strip()) for part in annotated[1].split(";")]
    words = re.sub(r"[_\W]+", " ", f"{f.name} {f.label}").lower()
    item = _item_of(f)
    scale = None if item else _scale_of(words)
    if item or scale:
        return [Match(f, "items" if item else "measurements", item or scale or "")]
    for pattern, table, column, constants in _hints():
        if re.search(pattern, words) or re.search(pattern, f.label.lower()):
            return [Match(f, table, column, dict(p.split("=") for p in (constants or "").split() if p))]
    return []


def _annotated(f: redcap.Variable, said: str) -> Match:
    table, space, scale = said.partition(" ")
    if space:
        return Match(f, table, scale)
    table, _, column = said.partition(".")
    return Match(f, table, column)


def _hints() -> list[tuple[str, str, str, str]]:
    return pl.read_csv(_HINTS, infer_schema=False).rows()


def _item_of(f: redcap.Variable) -> str | None:
    """Return scale and item if a field is called after one: koos_p1, womac3_f12."""
    name = re.match(r"([a-z]+)\d*_(?:.*_)?([a-z]{1,2}\d{1,2})$", f.name)
    if name is None:
        return None
    items = catalogue.read("item")
    asked = items.filter(
        (pl.col("instrument").str.to_lowercase().str.replace_all(r"\W", "") == name[1])
        & (pl.col("item").str.to_lowercase() == name[2])
    )
    return f"{asked['scale'][0]}#{asked['item'][0]}" if asked.height else None


def _scale_of(words: str) -> str | None:
    """Return the scale all of whose words are among `words`; of several the one with most words."""
    there = set(words.split())
    best: tuple[int, str] | None = None
    for s in catalogue.read("scale").iter_rows(named=True):
        for name in (s["scale"], " ".join(filter(None, (s["instrument"], s["version"], s["subscale"])))):
            wanted = set(re.sub(r"[_\W]+", " ", name).lower().split())
            if wanted <= there and (best is None or len(wanted) > best[0]):
                best = (len(wanted), s["scale"])
    return best[1] if best else None


@dataclass
class Plan:
    """How the matches of a project become entries of a mapping."""

    project: redcap.Project
    matches: list[Match]
    programme: str
    site: str
    centre: str | None
    export: str

    def entries(self) -> list[dict[str, Any]]:
        """Return one entry a form and table, and those that every registry needs although no form is theirs."""
        single = [m for m in self.matches if m.variable.kind != "checkbox"]
        pairs = list(dict.fromkeys((m.variable.form, m.table) for m in single))
        made = [self._entry(form, table) for form, table in pairs if table not in _AT_VISIT]
        for form in dict.fromkeys(form for form, table in pairs if table in _AT_VISIT):
            tables = [t for f, t in pairs if f == form and t in _AT_VISIT]
            made += [self._entry(form, table) for table in tables]
            if not any(table == "visits" for _, table in pairs):
                made.append(self._entry(form, "visits"))
        made += [e for m in self.matches if m.variable.kind == "checkbox" for e in self._boxes(m)]
        here = {e["table"] for e in made}
        made += [self._entry(None, table) for table in ("patients", "targets", "courses") if table not in here]
        return [self._centre(), *made]

    def _centre(self) -> dict[str, Any]:
        group = "redcap_data_access_group"
        columns: dict[str, Any] = {"centre": {"value": self.centre} if self.centre else group}
        return {"file": self.export, "table": "centres", "first_of": "*" if self.centre else group, "columns": columns}

    def _entry(self, form: str | None, table: str, boxed: dict[str, Any] | None = None) -> dict[str, Any]:
        mine = [m for m in self.matches if m.variable.form == form and m.table == table]
        mine = [m for m in mine if m.variable.kind != "checkbox"]
        columns: dict[str, Any] = dict(boxed or {})
        spread: list[str] = []
        for ours in (c for c in self._wanted(table, mine) if c not in columns):
            own = [m for m in mine if m.column == ours]
            columns[ours], borrowed = (self._spec(own[0], table), None) if own else self._other(ours, table, form)
            spread += [borrowed] if borrowed else []
        for m in mine:
            columns |= {k: {"value": v} for k, v in m.constants.items()}
        made: dict[str, Any] = {"file": self.export, "table": table, "form": form or "no form of its own"}
        made["filled"] = self._filled(table, mine, columns)
        if form is None or table == "patients":
            made["first_of"] = self.project.record
        if spread:
            made |= {"same_for": self.project.record, "spread": spread}
        if table in _AT_VISIT:
            made["wide"] = [self._wide(m) for m in mine if m.column not in columns]
            made.pop("filled")
        elif self.project.missing_codes:
            made["missing"] = list(self.project.missing_codes)
        return made | {"columns": {k: v for k, v in columns.items() if v is not None}}

    def _boxes(self, m: Match) -> list[dict[str, Any]]:
        """Return one entry for each choice of a checkbox that has a code of ours: a ticked box is a row."""
        column = mapping.table_of(m.table).__table__.columns[m.column]  # type: ignore[attr-defined]
        allowed = catalogue.read("vocabulary").filter(vocabulary=column.info.get("vocabulary"))["code"].to_list()
        made = []
        for code, text in m.variable.choices.items():
            ours = _nearest(code, text, allowed)
            if ours:
                entry = self._entry(m.variable.form, m.table, boxed={m.column: {"value": ours}})
                entry.pop("filled")
                made.append(entry | {"where": {redcap.ticked(m.variable.name, code): "1"}})
        return made

    def _wanted(self, table: str, mine: list[Match]) -> list[str]:
        """Return our columns that the entry states: what names the row, what must be there, and what was found."""
        ours = mapping.table_of(table)
        found = {m.column for m in mine}
        needed = {*mapping.required_columns(ours), "site", "side", "course_no", "programme", "planned_visit"}
        per_row = {"measurements": {"instrument", "value"}, "items": {"instrument", "item", "answer"}}.get(table, set())
        return [c for c in mapping.source_columns(ours) if (c in found or c in needed) and c not in per_row]

    def _spec(self, m: Match, table: str) -> Any:
        column = mapping.table_of(table).__table__.columns.get(m.column)  # type: ignore[attr-defined]
        vocabulary = column.info.get("vocabulary") if column is not None and column.info else None
        if m.column in ("site", "side"):
            vocabulary = m.column
        if not m.variable.choices or m.variable.kind in ("yesno", "truefalse") or not vocabulary or "." in vocabulary:
            return m.variable.name
        allowed = catalogue.read("vocabulary").filter(vocabulary=vocabulary)["code"].to_list()
        codes = {code: _nearest(code, text, allowed) for code, text in m.variable.choices.items()}
        known = {code: ours for code, ours in codes.items() if ours}
        if all(code == ours for code, ours in known.items()) and len(known) == len(codes):
            return m.variable.name
        return {
            "column": m.variable.name,
            "codes": known,
            "?": [m.variable.choices[c] for c in codes if c not in known],
        }

    def _other(self, ours: str, table: str, form: str | None) -> tuple[Any, str | None]:
        """Return where a column comes from for which the form has no field, and the field of another form it needs."""
        if ours == "patient":
            return self.project.record, None
        if ours == "centre":
            return ({"value": self.centre} if self.centre else "redcap_data_access_group"), None
        if ours == "programme":
            return {"value": self.programme}, None
        if ours == "planned_visit":
            return self._planned(), None
        if ours == "status":
            return {"value": "done"}, None
        if ours in ("course_no", "session_no"):
            repeats = ours == "session_no" and len(self.project.forms) > 1
            return ("redcap_repeat_instance" if repeats else {"value": "1"}), None
        if ours in ("date", "onset_date"):
            dated = [f for f in self.project.fields if f.form == form and f.holds_a_date]
            return (dated[0].name if dated else {"value": CHOOSE}), None
        home = {"site": "targets", "side": "targets", "product": "products"}.get(ours, "")
        said = [m for m in self.matches if (m.table, m.column) == (home, ours)]
        if said and table != home:
            borrowed = said[0].variable
            return self._spec(said[0], home), borrowed.name if borrowed.form != form else None
        return {"value": self.site if ours == "site" else CHOOSE}, None

    def _planned(self) -> Any:
        """Return which event is which planned visit of the programme, by its label."""
        ours = catalogue.read("programme_visit").filter(programme=self.programme)["planned_visit"].to_list()
        codes = {unique: _nearest(unique, label, ours) for unique, label in self.project.events.items()}
        known = {unique: visit for unique, visit in codes.items() if visit}
        return {"column": "redcap_event_name", "codes": known, "others": ""} if known else None

    def _filled(self, table: str, mine: list[Match], columns: dict[str, Any]) -> list[str]:
        """Return the fields by which a row says something for this table: not those that only name its parents."""
        own = mapping.table_of(table).__table__.columns  # type: ignore[attr-defined]
        says = [m.variable.name for m in mine if m.column in own and own[m.column].info]
        dates = [columns["date"]] if table == "visits" and isinstance(columns.get("date"), str) else []
        status = [m.variable.name for m in mine if m.column == "status"]
        return status or [name for name in says if "___" not in name] or dates or [self.project.record]

    def _wide(self, m: Match) -> dict[str, Any]:
        codes = self.project.missing_codes
        name, _, item = m.column.partition("#")
        scale = catalogue.read("scale").filter(scale=name).row(0, named=True)
        constants = {k: {"value": scale[k]} for k in ("instrument", "version", "subscale") if scale[k]}
        if item:
            constants.pop("subscale", None)
            first: Any = {"column": m.variable.name, "missing": list(codes)} if codes else m.variable.name
            return {"answer": first, **constants, "item": {"value": item}}
        if not codes:
            return {"value": m.variable.name, **constants}
        allowed = catalogue.read("vocabulary").filter(vocabulary="missing_reason")["code"].to_list()
        why = {code: _nearest(code, text, allowed) or "unknown" for code, text in codes.items()}
        reason = {"column": m.variable.name, "codes": why, "others": ""}
        return {"value": {"column": m.variable.name, "missing": list(codes)}, **constants, "missing_reason": reason}


def _nearest(code: str, label: str, allowed: list[str]) -> str | None:
    """Return our code that a choice means: the same word, or one much like it; None: a person must say."""

    def folded(text: str) -> str:
        # A comparator has no letters, and is itself.
        return re.sub(r"[_\W]+", " ", text).strip().lower() or text

    by_word = {folded(a): a for a in allowed}
    if folded(label) in by_word or folded(code) in by_word:
        return by_word.get(folded(label)) or by_word[folded(code)]
    near = difflib.get_close_matches(folded(label), by_word, n=1, cutoff=_NEAR)
    return by_word[near[0]] if near else None
