"""A REDCap project for a programme: data dictionary, events, and which form belongs to which event.

The dictionary's field annotations say which of our columns each field feeds, so that the mapping of its exports is
read from the dictionary itself (:mod:`registry.redcap_propose`). Questionnaires can be entered by score or by item;
items are called by their codes only, because the texts of many are licensed: put in those that you may use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import Boolean, Date, Integer, Numeric

from registry import catalogue, mapping
from registry.errors import choose
from registry.redcap import HEADER, unique_name
from registry.tables import Record

RECORD = "record_id"
HOME = "Record"
UNSCHEDULED = "Unscheduled"
# Forms of the record, in the order a coordinator fills them: our table, the prefix of its fields, once or repeating.
FORMS: tuple[tuple[str, str, bool], ...] = (
    ("patients", "pat", False),
    ("consents", "cst", True),
    ("comorbidities", "cmb", True),
    ("habits", "hab", True),
    ("targets", "tgt", True),
    ("conditions", "con", True),
    ("stages", "stg", True),
    ("imaging_details", "img", True),
    ("laboratory_details", "lab", True),
    ("prior_treatments", "pri", True),
    ("goals", "gol", True),
    ("products", "prd", True),
    ("processing", "prc", True),
    ("release_tests", "rel", True),
    ("courses", "crs", True),
    ("sessions", "ses", True),
    ("supportive_treatments", "sup", True),
    ("decisions", "dec", True),
    ("events", "evt", True),
    ("adverse_events", "adv", True),
)
VISIT = "visit"
# What REDCap's setup asks for as missing-data codes; each is a reason of ours.
MISSING_CODES = {"ND": "not_done", "RF": "refused", "NA": "not_applicable", "UNK": "unknown"}


def write(programme: str, folder: Path, *, scales: tuple[str, ...] = ()) -> list[Path]:
    """Write the files from which a clinic creates the project, and the mapping that reads its exports.

    `scales` are asked beside those of the programme: images, biomarkers, what the clinic wants to know.

    Raises
    ------
    UsageError
        When the programme or a scale is unknown.
    """
    from registry import redcap_propose

    choose(programme, catalogue.read("programme")["programme"].to_list(), "Programme")
    for scale in scales:
        choose(scale, catalogue.read("scale")["scale"].to_list(), "Scale")
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "data_dictionary.csv": dictionary(programme, scales),
        "events.csv": events(programme),
        "event_forms.csv": event_forms(programme),
        "repeating_forms.csv": repeating_forms(programme),
    }
    for name, frame in files.items():
        frame.write_csv(folder / name, quote_style="necessary")
    proposal = redcap_propose.propose(
        folder / "data_dictionary.csv", folder / "events.csv", programme=programme, missing_codes=missing_codes()
    )
    (folder / "load.toml").write_text(proposal.text, encoding="utf-8")
    return [*(folder / name for name in files), folder / "load.toml"]


def missing_codes() -> str:
    """Return the missing-data codes as the project setup takes them, ``ND, Not done | …``."""
    return " | ".join(f"{code}, {reason.replace('_', ' ').capitalize()}" for code, reason in MISSING_CODES.items())


def dictionary(programme: str, scales: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return the data dictionary, one row a field, with the headers of REDCap's own file."""
    rows = [_row(RECORD, "patients", "Record", "text", note="The clinic's own patient number")]
    for name, prefix, _ in FORMS:
        rows += list(_form(mapping.table_of(name), name, prefix, programme))
    rows += list(_visit(programme, scales))
    for instrument, version in questionnaires(programme):
        rows += list(_items(instrument, version))
    return pl.DataFrame(rows, schema=dict.fromkeys(HEADER.values(), pl.String))


def _form(table: type[Record], form: str, prefix: str, programme: str) -> Iterator[dict[str, str]]:
    own: dict[str, Any] = {c.name: c for c in table.__table__.columns if c.info}  # type: ignore[attr-defined]
    for name in mapping.source_columns(table):
        if name in ("patient", "centre", "programme"):
            continue
        column = own[name] if name in own else _named_by(name)
        required = "y" if name in mapping.required_columns(table) else ""
        yield _of_column(column, f"{prefix}_{name}", form, f"{form}.{name}", required)


def _named_by(name: str) -> Any:
    """Return the column by which another table names a row: a target's site and side, a course's number."""
    home = {"site": "targets", "side": "targets", "course_no": "courses", "product": "products"}[name]
    return mapping.table_of(home).__table__.columns[name]  # type: ignore[attr-defined]


def _of_column(column: Any, field: str, form: str, fills: str, required: str) -> dict[str, str]:
    info, kind = column.info, column.type
    limits = {"low": info.get("low"), "high": info.get("high")}
    unit = f", {info['unit']}" if info.get("unit") else ""
    label = f"{column.comment}{unit}"
    if info.get("vocabulary") and "." not in info["vocabulary"]:
        codes = catalogue.read("vocabulary").filter(vocabulary=info["vocabulary"])["code"].to_list()
        # "Unknown" is a missing-data code too, and a labelled export would not tell the two apart.
        labels = {c: "not known" if c == "unknown" else c.replace("_", " ") for c in codes}
        listed = " | ".join(f"{code_of(c)}, {labels[c]}" for c in codes)
        return _row(field, form, label, "dropdown", choices=listed, fills=fills, required=required)
    if isinstance(kind, Boolean):
        return _row(field, form, label, "yesno", fills=fills, required=required)
    if isinstance(kind, Date) and info.get("partial_date"):
        note = "YYYY-MM-DD, or YYYY-MM or YYYY when the day is not known"
        return _row(field, form, label, "text", note=note, fills=fills, required=required)
    if isinstance(kind, Date):
        return _row(field, form, label, "text", validation="date_ymd", fills=fills, required=required)
    if isinstance(kind, Integer):
        return _row(field, form, label, "text", validation="integer", fills=fills, required=required, **limits)
    if isinstance(kind, Numeric):
        return _row(field, form, label, "text", validation="number", fills=fills, required=required, **limits)
    return _row(field, form, label, "text", fills=fills, required=required)


def _visit(programme: str, scales: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Give the fields of the visit form: contact and scores, one instance for each treated target that was asked."""
    own = {c.name: c for c in mapping.table_of("visits").__table__.columns}  # type: ignore[attr-defined]
    both = {"date": "visits.date; measurements.date", "mode": "visits.mode; measurements.mode"}
    for name in ("site", "side"):
        note = "Empty: the scores are about the whole patient"
        yield _of_column(_named_by(name), f"vis_{name}", VISIT, f"visits.{name}; measurements.{name}", "") | {
            HEADER["field_note"]: note
        }
    for name in ("date", "status", "mode"):
        yield _of_column(own[name], f"vis_{name}", VISIT, both.get(name, f"visits.{name}"), "y" * (name == "date"))
    wanted = [*catalogue.read("programme_scale").filter(programme=programme)["scale"], *scales]
    for scale in catalogue.read("scale").filter(pl.col("scale").is_in(wanted)).iter_rows(named=True):
        label = scale["label"] if scale["unit"] == "{score}" else f"{scale['label']}, {scale['unit']}"
        yield _row(
            f"scr_{code_of(scale['scale']).lower()}",
            VISIT,
            label,
            "text",
            validation="number",
            low=scale["low"],
            high=scale["high"],
            fills=f"measurements {scale['scale']}",
        )


def questionnaires(programme: str) -> list[tuple[str, str | None]]:
    """Return the questionnaires (instrument and version) whose scores a programme uses and whose items are scored."""
    wanted = catalogue.read("programme_scale").filter(programme=programme)["scale"]
    items = catalogue.read("item").filter(pl.col("scale").is_in(wanted.implode()))
    return items.select("instrument", "version").unique(maintain_order=True).rows()


def item_form(instrument: str, version: str | None) -> str:
    """Return the form in which a questionnaire is entered item by item."""
    return f"items_{code_of(instrument + (version or '')).lower()}"


def _items(instrument: str, version: str | None) -> Iterator[dict[str, str]]:
    form = item_form(instrument, version)
    short = form.removeprefix("items_")
    for name in ("site", "side"):
        yield _of_column(_named_by(name), f"{short}_{name}", form, f"items.{name}", "")
    date = mapping.table_of("items").__table__.columns["date"]  # type: ignore[attr-defined]
    yield _of_column(date, f"{short}_date", form, "items.date", "y")
    asked = catalogue.read("item").filter(instrument=instrument).filter(pl.col("version").eq_missing(version))
    for item in asked.iter_rows(named=True):
        yield _row(
            f"{short}_{item['item'].lower()}",
            form,
            f"{instrument} {version or ''} {item['item']}".replace("  ", " "),
            "text",
            validation="integer",
            low=item["low"],
            high=item["high"],
            fills=f"items {item['scale']}#{item['item']}",
        )


def _row(
    field: str,
    form: str,
    label: str,
    kind: str,
    *,
    choices: str = "",
    note: str = "",
    validation: str = "",
    low: Any = None,
    high: Any = None,
    fills: str = "",
    required: str = "",
) -> dict[str, str]:
    stated = {
        "field_name": field,
        "form_name": form,
        "field_type": kind,
        "field_label": label,
        "select_choices_or_calculations": choices,
        "field_note": note,
        "text_validation_type_or_show_slider_number": validation,
        "text_validation_min": "" if low is None else f"{float(low):g}",
        "text_validation_max": "" if high is None else f"{float(high):g}",
        "required_field": required,
        "field_annotation": f"catamnesis({fills})" if fills else "",
    }
    return {page: stated.get(name, "") for name, page in HEADER.items()}


def code_of(text: str) -> str:
    """Return a code as REDCap takes it: letters, digits and underscores; a comparator by its name."""
    text = {"<": "lt", "=": "eq", ">": "gt"}.get(text, text)
    return re.sub(r"\W+", "_", text).strip("_")


def planned(programme: str) -> list[str]:
    """Return the planned visits of a programme in order; each is an event of the project."""
    return catalogue.read("programme_visit").filter(programme=programme)["planned_visit"].to_list()


def contacts(programme: str) -> list[str]:
    """Return the events at which a patient is seen."""
    return [*planned(programme), UNSCHEDULED]


def at_visit(programme: str) -> list[str]:
    """Return the forms of such an event."""
    return [VISIT, *(item_form(*asked) for asked in questionnaires(programme))]


def events(programme: str) -> pl.DataFrame:
    """Return the list of events, as the page that defines events takes it."""
    visits = catalogue.read("programme_visit").filter(programme=programme)
    days = dict(zip(visits["planned_visit"], visits["target_day"], strict=True))
    rows = []
    for k, label in enumerate((HOME, *contacts(programme))):
        # REDCap orders events by their day; a day before treatment has no place there.
        day = max(int(days[label]), 0) + k if label in days else (0 if label == HOME else 9999)
        rows.append((label.capitalize(), "1", str(day), "0", "0", unique_name(label, "1"), ""))
    names = ("event_name", "arm_num", "day_offset", "offset_min", "offset_max", "unique_event_name")
    return pl.DataFrame(rows, schema=[*names, "custom_event_label"], orient="row")


def event_forms(programme: str) -> pl.DataFrame:
    """Return which form belongs to which event."""
    home = [("1", unique_name(HOME, "1"), name) for name, _, _ in FORMS]
    visits = [("1", unique_name(label, "1"), form) for label in contacts(programme) for form in at_visit(programme)]
    return pl.DataFrame([*home, *visits], schema=["arm_num", "unique_event_name", "form"], orient="row")


def repeating_forms(programme: str) -> pl.DataFrame:
    """Return which forms repeat in which event; a visit repeats when two targets are asked on it."""
    home = [(unique_name(HOME, "1"), name, "") for name, _, repeats in FORMS if repeats]
    visits = [(unique_name(label, "1"), form, "") for label in contacts(programme) for form in at_visit(programme)]
    schema = ["event_name", "form_name", "custom_form_label"]
    return pl.DataFrame([*home, *visits], schema=schema, orient="row")


__all__ = ["FORMS", "MISSING_CODES", "RECORD", "dictionary", "events", "write"]
