"""REDCap projects as their data dictionaries state them: fields, forms, choices, events.

Format: REDCap's help on the data dictionary and on its API (`Export Metadata`, `Export Events`); the names of columns
were checked against real projects in the public test data of the R package REDCapR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from registry.errors import MappingError, UsageError, choose

# Columns that REDCap adds to every export that has them, with the header of a labelled export.
ADDED = {
    "redcap_event_name": "Event Name",
    "redcap_repeat_instrument": "Repeat Instrument",
    "redcap_repeat_instance": "Repeat Instance",
    "redcap_data_access_group": "Data Access Group",
    "redcap_survey_identifier": "Survey Identifier",
}
_YES_NO = {"yesno": {"1": "Yes", "0": "No"}, "truefalse": {"1": "True", "0": "False"}}
# Field types without a column of their own in an export.
_SILENT = ("descriptive",)
# The data dictionary as the web page writes it, and as the API does.
HEADER = {
    "field_name": "Variable / Field Name",
    "form_name": "Form Name",
    "section_header": "Section Header",
    "field_type": "Field Type",
    "field_label": "Field Label",
    "select_choices_or_calculations": "Choices, Calculations, OR Slider Labels",
    "field_note": "Field Note",
    "text_validation_type_or_show_slider_number": "Text Validation Type OR Show Slider Number",
    "text_validation_min": "Text Validation Min",
    "text_validation_max": "Text Validation Max",
    "identifier": "Identifier?",
    "branching_logic": "Branching Logic (Show field only if...)",
    "required_field": "Required Field?",
    "custom_alignment": "Custom Alignment",
    "question_number": "Question Number (surveys only)",
    "matrix_group_name": "Matrix Group Name",
    "matrix_ranking": "Matrix Ranking?",
    "field_annotation": "Field Annotation",
}
OPTIONS = ("dictionary", "events", "records", "missing_codes")


@dataclass(frozen=True)
class Variable:
    """One variable of a project."""

    name: str
    form: str
    kind: str
    label: str
    choices: dict[str, str] = field(default_factory=dict)
    validation: str = ""
    identifier: bool = False
    annotation: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """Columns that an export has for the field, with their headers in a labelled export."""
        if self.kind in _SILENT:
            return {}
        if self.kind == "checkbox":
            return {ticked(self.name, code): f"{self.label} (choice={text})" for code, text in self.choices.items()}
        return {self.name: self.label}

    @property
    def holds_a_date(self) -> bool:
        """Whether its values are dates, with or without a time."""
        return self.validation.startswith("date")


@dataclass(frozen=True)
class Project:
    """A project as its dictionary states it.

    Attributes
    ----------
    fields
        Its variables in order; the first names the record.
    events
        Unique event name and label of each event, where a list of events was given.
    records
        How many records the export should hold; None: not stated.
    missing_codes
        The project's missing-data codes and what they say.
    files
        Names of the dictionary and the list of events: they lie beside the exports and are none.
    """

    fields: tuple[Variable, ...]
    events: dict[str, str] = field(default_factory=dict)
    records: int | None = None
    missing_codes: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def record(self) -> str:
        """Variable that names the record."""
        return self.fields[0].name

    @property
    def forms(self) -> list[str]:
        """Forms in order."""
        return list(dict.fromkeys(f.form for f in self.fields))

    @property
    def administrative(self) -> set[str]:
        """Columns by which REDCap keeps its own house."""
        return {*ADDED, *(f"{form}_{mark}" for form in self.forms for mark in ("complete", "timestamp"))}

    def columns(self) -> Iterator[tuple[str, str]]:
        """Give each column that an export may have, in its order, with its header in a labelled export."""
        yield self.record, self.fields[0].label
        yield from ADDED.items()
        for form in self.forms:
            yield f"{form}_timestamp", "Survey Timestamp"
            for f in self.fields:
                if f.form == form and f.name != self.record:
                    yield from f.columns.items()
            yield f"{form}_complete", "Complete?"

    def content(self, form: str) -> list[str]:
        """Return the columns by whose content a row says something of `form`."""
        return [c for f in self.fields if f.form == form and f.name != self.record for c in f.columns]


def ticked(name: str, code: str) -> str:
    """Return the column of one choice of a checkbox."""
    return f"{name}___{re.sub('[^a-z0-9_]', '_', code.lower())}"


def choices(text: str) -> dict[str, str]:
    """Read choices as a dictionary writes them: ``1, Yes | 2, No, never``."""
    pairs = (part.partition(",") for part in text.split("|") if part.strip())
    return {code.strip(): said.strip() or code.strip() for code, _, said in pairs}


def read_dictionary(path: Path) -> tuple[Variable, ...]:
    """Read a data dictionary, as the web page or the API writes it.

    Raises
    ------
    UsageError
        When the file is not there, or is no data dictionary; the message says what it lacks.
    """
    if not path.is_file():
        raise UsageError(f"There is no data dictionary {path.name}.")
    try:
        frame = pl.read_csv(path, infer_schema=False, encoding="utf8")
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        raise UsageError(f"{path.name} is not a CSV file in UTF-8: download the data dictionary again.") from None
    by_page = {page: name for name, page in HEADER.items()}
    frame = frame.rename({c: by_page.get(c.strip().strip('"'), c.strip().lower()) for c in frame.columns})
    wanted = ("field_name", "form_name", "field_type", "field_label", "select_choices_or_calculations")
    lacking = [HEADER[c] for c in wanted if c not in frame.columns]
    if lacking or frame.height == 0:
        what = f"lacks the columns {', '.join(lacking)}" if lacking else "holds no field"
        raise UsageError(f"{path.name} is no REDCap data dictionary: it {what}.")
    return tuple(_field(row) for row in frame.fill_null("").iter_rows(named=True))


def _field(row: dict[str, str]) -> Variable:
    kind = row["field_type"].strip().lower()
    said = row["select_choices_or_calculations"]
    listed = choices(said) if kind in ("radio", "dropdown", "checkbox") else _YES_NO.get(kind, {})
    return Variable(
        name=row["field_name"].strip().lower(),
        form=row["form_name"].strip(),
        kind=kind,
        label=plain(row["field_label"]),
        choices={code: plain(text) for code, text in listed.items()},
        validation=row.get("text_validation_type_or_show_slider_number", "").strip().lower(),
        identifier=row.get("identifier", "").strip().lower() in ("y", "yes", "1"),
        annotation=row.get("field_annotation", "").strip(),
    )


def plain(text: str) -> str:
    """Return a label as a labelled export writes it: without markup, on one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def read_events(path: Path) -> dict[str, str]:
    """Read a list of events, as the web page or the API writes it: unique name and label."""
    if not path.is_file():
        raise UsageError(f"There is no list of events {path.name}.")
    frame = pl.read_csv(path, infer_schema=False)
    if not {"event_name", "arm_num"} <= set(frame.columns):
        raise UsageError(f"{path.name} is no list of events: it needs the columns event_name and arm_num.")
    rows = frame.iter_rows(named=True)
    return {r.get("unique_event_name") or unique_name(r["event_name"], r["arm_num"]): r["event_name"] for r in rows}


def unique_name(label: str, arm: str) -> str:
    """Return an event's unique name as REDCap makes it: 18 letters of the label, and the arm."""
    return re.sub(r"[^a-z0-9_]", "", "_".join(label.lower().split()))[:18].strip("_") + f"_arm_{arm}"


def project(raw: dict[str, Any], mapping: Path) -> Project:
    """Read the ``[redcap]`` part of a mapping; the files it names are beside it.

    Raises
    ------
    MappingError
        When an option is unknown or a file is not there.
    """
    where = f"{mapping.name}, [redcap]"
    for option in raw:
        choose(option, OPTIONS, f"{where}: option")
    if "dictionary" not in raw:
        raise MappingError(f"{where}: needs dictionary, the project's data dictionary (CSV).")
    if not isinstance(raw.get("records", 0), int):
        raise MappingError(f"{where}: records must be a whole number: how many records the project holds.")
    return Project(
        fields=read_dictionary(mapping.parent / str(raw["dictionary"])),
        events=read_events(mapping.parent / str(raw["events"])) if "events" in raw else {},
        records=raw.get("records"),
        missing_codes=choices(str(raw.get("missing_codes", ""))),
        files=tuple(Path(str(raw[o])).name for o in ("dictionary", "events") if o in raw),
    )
