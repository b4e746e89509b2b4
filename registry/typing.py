"""The SQL that types, identifies and judges the rows of a file, made from the schema."""

from __future__ import annotations

import datetime as dt
from typing import Any

from registry.mapping import source_columns
from registry.rules import Rule, typed
from registry.tables import Record

# Look-ups that a table's own rules need: columns added to the typed row, and the joins they come from.
_SCALE = (
    "s.scale, s.low as scale_low, s.high as scale_high, "
    "case when r.unit is null or r.unit = s.unit then 1 else u.factor end as unit_factor, "
    "r.value * (case when r.unit is null or r.unit = s.unit then 1 else u.factor end) as value_in_unit",
    "left join catalogue.scale s on s.instrument = r.instrument and s.version is not distinct from r.version "
    "and s.subscale is not distinct from r.subscale "
    "left join catalogue.unit_conversion u on u.scale = s.scale and u.unit = r.unit",
)
_LOOKUPS: dict[str, tuple[str, str]] = {
    "measurement": _SCALE,
    "item_response": (
        "c.low as item_low, c.high as item_high",
        "left join catalogue.item c on c.instrument = r.instrument and c.version is not distinct from r.version "
        "and c.item = r.item",
    ),
    "stage_assessment": (
        "m.stage, r.scheme in (select scheme from catalogue.stage_map) as scheme_mapped",
        "left join catalogue.stage_map m on m.stage_map = 'default' and m.scheme = r.scheme and m.grade = r.grade",
    ),
}


def row_id(table: str, parts: list[str]) -> str:
    """Return SQL for the identity of a row: 63 bits of the MD5 of its table and source key.

    Among a hundred million rows the chance that any two keys share it is about one in two thousand, and the loader
    would refuse the second as a contradiction rather than mix them.
    """
    key = _joined([f"'{table}'", *parts])
    # Bits 65 to 127: what md5_number_lower() >> 1 is, in a third of its time.
    return f"(md5_number({key}) >> 65)::bigint"


def _joined(parts: list[str]) -> str:
    """Return SQL for texts with a separator between them, nothing standing for null: quicker than ``concat_ws``."""
    return f"concat({', chr(31), '.join(parts)})"


def people(centre: str) -> str:
    """Return SQL for the pseudonyms of the clinic's own patient numbers in ``incoming_numbers``."""
    namespace = centre.replace("'", "''")
    return (
        f"select patient, pseudonym as raw_patient, {row_id('patient', ['pseudonym'])} as known_patient "
        f"from (select patient, pseudonym('{namespace}' || chr(31) || {_plain('patient')}) as pseudonym "
        "from incoming_numbers)"
    )


def typed_rows(record: type[Record], extracted_on: dt.date, rows: str) -> str:
    """Return SQL that reads `rows` into types, identities, and the parents' facts that rules need."""
    own: dict[str, Any] = {c.name: c for c in record.__table__.columns if c.info}  # type: ignore[attr-defined]
    columns = source_columns(record)
    raw = [f"i.{c} as raw_{c}" for c in columns if c != "patient"]
    raw += ["i.raw_patient", "i.known_patient"] if "patient" in columns else []
    types = [f"{typed(own[c])} as {c}" for c in columns if c in own]
    precision = [
        f"case length(i.{c}) when 4 then 'year' when 7 then 'month' when 10 then 'day' end as {c}_precision"
        for c in own
        if own[c].info.get("partial_date")
    ]
    read = f"select i.file_id, i.line, i.row_no, {', '.join([*raw, *types, *precision])} from {rows} i"
    references = record.__source__.references
    ids = [f"{_reference_id(r.table, r.parts, r.optional)} as {r.column}" for r in references]
    key = row_id(str(record.__tablename__), [_part(c, own) for c in record.__source__.key])
    named = f"select r.*, {', '.join([f'{key} as id', *ids])} from read_rows r"
    facts = [f"{r.table}.id is not null as found_{r.column}" for r in references]
    joins = [f"left join record.{r.table} on {r.table}.id = r.{r.column}" for r in references]
    if _of_patient(record):
        facts += [f"patient.{c} as patient_{c}" for c in ("birth_year", "enrolment_date", "centre_id")]
    if any(r.table == "target" for r in references):
        facts += ["target.patient_id as target_patient_id", "target.site as target_site"]
    if record.__tablename__ == "patient":
        facts.append("r.raw_patient as patient_key")
    extra, more = _LOOKUPS.get(str(record.__tablename__), ("", ""))
    facts += [extra] if extra else []
    return (
        f"with read_rows as ({read}), named_rows as ({named}) "
        f"select r.*, date '{extracted_on}' as extracted_on{''.join(', ' + f for f in facts)} "
        f"from named_rows r {' '.join(joins)} {more}"
    )


def judged_rows(record: type[Record], checks: list[Rule], extracted_on: dt.date) -> str:
    """Return SQL that types each row of ``incoming_rows``, says whether it is good, and hashes its content."""
    bad = " or ".join(f"({check.fails})" for check in checks)
    content = [
        c.name
        for c in record.__table__.columns  # type: ignore[attr-defined]
        if c.name not in ("id", "load_id", "source_file_id", "source_line", "row_hash")
    ]
    own = list(dict.fromkeys(["id", *content]))
    centre = [] if record.__tablename__ == "patient" or not _of_patient(record) else ["patient_centre_id"]
    return (
        f"select {', '.join(['file_id', 'line', 'row_no', *own, *centre])}, not coalesce({bad}, false) as good, "
        f"md5({_joined([f'{c}::varchar' for c in content])}) as row_hash "
        f"from ({typed_rows(record, extracted_on, 'incoming_rows')}) r"
    )


def refused_rows(record: type[Record], checks: list[Rule], extracted_on: dt.date) -> str:
    """Return SQL for the rows of ``incoming_rows`` that are not good: what they held, the numbers of the rules failed.

    Few rows are: so what only they need is found for them alone.
    """
    failed = ", ".join(f"case when {check.fails} then {k} end" for k, check in enumerate(checks, 1))
    rows = "(from incoming_rows where row_no in (select row_no from judged_rows where not good))"
    return (
        f"select *, {_shifted(record, checks)} as shifted from (select file_id, line, "
        f"{', '.join(f'raw_{c}' for c in source_columns(record))}, "
        f"list_filter([{failed}]::integer[], lambda x: x is not null) as failed "
        f"from ({typed_rows(record, extracted_on, rows)}) r)"
    )


def _of_patient(record: type[Record]) -> bool:
    return any(r.table == "patient" for r in record.__source__.references)


def _shifted(record: type[Record], checks: list[Rule]) -> str:
    """Return SQL that suspects a row of having its cells in the wrong columns: a patient's number may be anywhere.

    Its values are neither shown nor kept. Suspect are rows of an unknown patient, rows with two cells of the wrong
    form, and a patients row with a number of the wrong form.
    """

    def fails(*names: str) -> str:
        return f"[{', '.join(str(k) for k, check in enumerate(checks, 1) if check.name in names)}]::integer[]"

    alone = ("type",) if record.__tablename__ == "patient" else ("unknown_patient",)
    return f"(len(list_intersect(failed, {fails('type', 'date')})) >= 2 or list_has_any(failed, {fails(*alone)}))"


def _reference_id(table: str, parts: tuple[str, ...], optional: bool) -> str:
    identity = "r.known_patient" if table == "patient" else row_id(table, [_named(p) for p in parts])
    named = [f"r.raw_{p} is not null" for p in parts if p != "patient"]
    return f"case when {' or '.join(named)} then {identity} end" if optional and named else identity


def _part(column: str, own: dict[str, Any]) -> str:
    return f"r.{column}::varchar" if column in own else _named(column)


def _named(part: str) -> str:
    # A pseudonym, a site and a side are never numbers.
    return f"r.raw_{part}" if part in ("patient", "site", "side") else _plain(f"r.raw_{part}")


def _plain(text: str) -> str:
    # A spreadsheet writes course 1 (or patient 1) as 1.0; both name the same.
    return f"case when suffix({text}, '.0') then regexp_replace({text}, '^(\\d+)\\.0$', '\\1') else {text} end"
