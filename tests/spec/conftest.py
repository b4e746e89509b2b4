"""Readable tables in, readable tables out: the helper with which a rule of ``sql/`` is stated as an example.

A record is written as titled tables; ``day`` counts days from 1 January 2020, ``-`` is nothing, and what a row does not
say is the plain case: a knee, the first course, the osteoarthritis programme.

    sessions
    patient | side  | course | day
    Anna    | left  | 1      | 0

    scores
    patient | side  | day | KOOS/pain | PtGA
    Anna    | left  | 90  | 70        | 30
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import duckdb
import pytest
from duckdb_sqlalchemy import Dialect
from sqlalchemy.schema import CreateTable

from registry import catalogue, loadlog, sqlmodels
from registry.tables import TABLES

DAY_ZERO = dt.date(2020, 1, 1)
Row = dict[str, str | None]


@pytest.fixture(scope="session")
def empty_registry() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("set enable_progress_bar = false; create schema record; create schema cohort")
        for table in TABLES:
            con.execute(str(CreateTable(table.__table__).compile(dialect=Dialect())))
        con.execute(loadlog.SCHEMA)
        catalogue.create(con)
        yield con


@pytest.fixture
def given(empty_registry: duckdb.DuckDBPyConnection) -> Iterator[Callable[[str], Given]]:
    empty_registry.execute("begin")
    yield lambda text: Given(empty_registry, text)
    empty_registry.execute("rollback")


class Given:
    """A record written as tables, and what the models make of it."""

    def __init__(self, con: duckdb.DuckDBPyConnection, text: str):
        self.con = con
        self.ids: dict[tuple[str, str], int] = {}
        self.next_id = count(1)
        sections = _sections(text)
        sections.setdefault("data cut", [{"day": "2000"}])
        for section, rows in sections.items():
            for row in rows:
                self._write(section, row)

    def derives(self, model: str, expected: str, *, where: str = "true") -> None:
        """Assert that `model` has exactly the `expected` rows, in the expected columns."""
        columns, *wanted = _cells(expected)
        sqlmodels.run(self.con, sqlmodels.upstream([model]))
        relation = self.con.execute(f"select * from {model} where {where}")
        names = [d[0] for d in relation.description]
        found = [dict(zip(names, row, strict=True)) for row in relation.fetchall()]
        got = [[self._shown(column, row) for column in columns] for row in found]
        assert _as_table(columns, got) == _as_table(columns, wanted)

    # -- writing ------------------------------------------------------------------------------------------------

    def _write(self, section: str, row: Row) -> None:
        if "." in section:
            self._insert(section, row)
            return
        writer = {
            "sessions": self._session, "courses": self._course, "scores": self._scores, "answers": self._answers,
            "grades": self._grade, "events": self._event, "visits": self._visit, "patients": self._patient,
            "data cut": self._cut, "default definition": self._default, "cohort": self._cohort,
            "question": self._question, "booster question": self._booster, "decisions": self._decision, "harms": self._harm, "harm question": self._harm_question,
            "outlook question": self._outlook, "loss question": self._loss, "conditions": self._condition, "products": self._product,
            "consents": self._consent, "goals": self._goal, "processing": self._processing,
        }[section]  # fmt: skip
        writer(row)

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        self.con.execute(f"insert into {table} ({names}) values ({marks})", list(row.values()))

    def _new(self, table: str, label: str, **row: Any) -> int:
        if (table, label) not in self.ids:
            self.ids[table, label] = next(self.next_id)
            self._insert(f"record.{table}", {"id": self.ids[table, label], **row})
        return self.ids[table, label]

    def _patient(self, row: Row) -> int:
        person = str(row["patient"])
        return self._new(
            "patient", person, patient_key=person, centre_id=self._centre(row), birth_year=row.get("born") or 1960, sex=row.get("sex") or "female",
            height_cm=row.get("height"),
            withdrawn_date=_date(row["withdrawn"]) if row.get("withdrawn") else None, withdrawal_scope=row.get("scope"),
            enrolment_date=_date(row.get("enrolled") or "-400"),
        )  # fmt: skip

    def _consent(self, row: Row) -> None:
        withdrawn = _date(row["withdrawn"]) if row.get("withdrawn") else None
        self._insert(
            "record.consent",
            {"id": next(self.next_id), "patient_id": self._patient(row), "version": row["version"], "scope": "research",
             "signed_date": _date("-400"), "withdrawn_date": withdrawn, "withdrawal_scope": row.get("scope")},
        )  # fmt: skip

    def _goal(self, row: Row) -> None:
        assessed = _date(row["assessed"]) if row.get("assessed") else None
        self._insert(
            "record.goal",
            {"id": next(self.next_id), **self._target(row), "date": _date(row["day"]), "domain": row["domain"],
             "attainment": row.get("attainment"), "assessed_date": assessed},
        )  # fmt: skip

    def _centre(self, row: Row) -> int | None:
        return self._new("centre", str(row["centre"]), centre=row["centre"]) if row.get("centre") else None

    def _target(self, row: Row) -> dict[str, int]:
        person, site, side = self._patient(row), row.get("site") or "knee", row.get("side") or "n/a"
        target = self._new("target", _label(row), patient_id=person, site=site, side=side, kind="joint")
        return {"patient_id": person, "target_id": target}

    def _target_or_patient(self, row: Row) -> dict[str, int]:
        return self._target(row) if row.get("side") else {"patient_id": self._patient(row)}

    def _course(self, row: Row) -> dict[str, int]:
        who, number = self._target(row), row.get("course") or "1"
        course = self._new(
            "course", f"{_label(row)} {number}", **who, course_no=number, planned_sessions=row.get("planned"),
            programme=row.get("programme") or "osteoarthritis", evaluation_earliest_day=row.get("evaluated from"),
        )  # fmt: skip
        return {**who, "course_id": course}

    def _session(self, row: Row) -> None:
        who = self._course(row)
        number = row.get("session") or "1"
        product = self._new("product", row["product"]) if row.get("product") else None
        self._new(
            "treatment_session", f"{_label(row)} {row.get('course') or 1} {number}", **who, session_no=number,
            date=_date(row["day"]), intent=row.get("intent") or "initial", route="intra_articular",
            guidance="ultrasound", dose_viable_million=row.get("dose"), product_id=product,
        )  # fmt: skip

    def _scores(self, row: Row) -> None:
        who, date = self._target_or_patient(row), _date(row["day"])
        for column, value in row.items():
            if column not in ("patient", "site", "side", "day") and value is not None:
                scale, _, unit = column.partition(" in ")
                self._insert(
                    "record.measurement",
                    {"id": next(self.next_id), **who, "date": date, "instrument": scale, "scale": scale,
                     "value": value, "unit": unit or None},
                )  # fmt: skip

    def _answers(self, row: Row) -> None:
        who, date, instrument = self._target_or_patient(row), _date(row["day"]), str(row["instrument"])
        name, _, version = instrument.partition(" ")
        for group in str(row["answers"]).split():
            items, _, answer = group.partition("=")
            for item in _items(items):
                self._insert(
                    "record.item_response",
                    {"id": next(self.next_id), **who, "date": date, "instrument": name, "version": version or None,
                     "item": item, "answer": answer},
                )  # fmt: skip

    def _grade(self, row: Row) -> None:
        row_id = next(self.next_id)
        self._insert(
            "record.stage_assessment",
            {"id": row_id, **self._target(row), "date": _date(row["day"]), "scheme": row.get("scheme") or "KL",
             "grade": row["grade"], "reader": row.get("reader")},
        )  # fmt: skip

    def _event(self, row: Row) -> None:
        date = dt.date.fromisoformat(str(row["date"])) if row.get("date") else _date(row["day"])
        self._insert(
            "record.event",
            {"id": next(self.next_id), **self._target_or_patient(row), "date": date, "kind": row["kind"],
             "date_precision": row.get("known to the") or "day"},
        )  # fmt: skip

    def _visit(self, row: Row) -> None:
        who = self._target_or_patient(row)
        self._insert(
            "record.visit",
            {"id": next(self.next_id), **who, "date": _date(row["day"]), "status": row.get("status") or "done"},
        )

    def _condition(self, row: Row) -> None:
        who = self._target(row)
        self._insert("record.condition", {"id": next(self.next_id), **who, "diagnosis": row["diagnosis"]})

    def _product(self, row: Row) -> None:
        processed = {"separation": row.get("separation") or "none", "expanded": row.get("expanded") == "yes"}
        self._new("product", str(row["product"]), **{**row, **processed})

    def _processing(self, row: Row) -> None:
        of = self.ids["product", str(row["product"])]
        self._insert(
            "record.processing", {"id": next(self.next_id), "product_id": of, "same_day": row["same day"] == "yes"}
        )

    def _cut(self, row: Row) -> None:
        load = {"load_id": next(self.next_id), "loaded_at": DAY_ZERO, "loaded_by": "us"}
        counts = {"rows_in": 0, "accepted": 0, "rejected": 0}
        self._insert("log.load", {**load, "extracted_on": _date(row["day"]), **counts, "kind": "load"})

    def _default(self, row: Row) -> None:
        programme = row.get("programme") or "osteoarthritis"
        self.con.execute(
            "update catalogue.programme set definition = ? where programme = ?", [row["definition"], programme]
        )

    def _cohort(self, row: Row) -> None:
        self.con.execute(
            "create table if not exists cohort.course (course_id bigint, patient_id bigint, stratum varchar)"
        )
        course, person = self.ids["course", str(row["course"])], self.ids["patient", str(row["course"]).split()[0]]
        self._insert(
            "cohort.course", {"course_id": course, "patient_id": person, "stratum": row.get("stratum") or "all"}
        )

    def _question(self, row: Row) -> None:
        plain = {
            "definition": "OO-2004", "confirmation": "first", "early_visits": "ignored", "end_policy": "competing",
            "booster_policy": "treatment_policy", "rescue_policy": "treatment_policy",
        }  # fmt: skip
        asked = {k: row.get(k) or v for k, v in plain.items()}
        self.con.execute(f"create table cohort.question ({', '.join(f'{k} varchar' for k in asked)})")
        self._insert("cohort.question", asked)

    def _booster(self, row: Row) -> None:
        asked = {"definition": row.get("definition") or "KOOS-pain-physio", "scale": row.get("scale"), "domain": "pain"}
        self.con.execute("create table cohort.booster (definition varchar, scale varchar, domain varchar)")
        self._insert("cohort.booster", asked)

    def _decision(self, row: Row) -> None:
        self._insert(
            "record.decision",
            {"id": next(self.next_id), **self._target(row), "date": _date(row["day"]), "decision": row["decision"],
             "trigger": row.get("trigger"), "cost_barrier": row.get("cost in the way")},
        )  # fmt: skip

    def _harm(self, row: Row) -> None:
        self._insert(
            "record.adverse_event",
            {"id": next(self.next_id), **self._target_or_patient(row), "onset_date": _date(row["day"]),
             "category": row.get("category") or "pain_flare", "ctcae_grade": row.get("grade") or 1,
             "serious": row.get("serious") == "yes", "related_product": row.get("related")},
        )  # fmt: skip

    def _harm_question(self, row: Row) -> None:
        self.con.execute(
            "create table cohort.harm (category varchar, least_grade integer, serious boolean, related_to varchar)"
        )
        self._insert("cohort.harm", {"category": row.get("category"), "least_grade": row.get("grade") or 1,
                                     "serious": row.get("serious") == "yes", "related_to": row.get("related to")})  # fmt: skip

    def _loss(self, row: Row) -> None:
        self.con.execute("create table cohort.loss (loss varchar)")
        self._insert("cohort.loss", {"loss": row["loss"]})

    def _outlook(self, row: Row) -> None:
        self.con.execute("create table cohort.outlook (definition varchar, domain varchar)")
        self._insert("cohort.outlook", {"definition": row["definition"], "domain": row.get("domain") or "pain"})

    # -- showing ------------------------------------------------------------------------------------------------

    def _shown(self, column: str, row: dict[str, Any]) -> str:
        if f"{column}_id" in row and column in ("course", "target", "patient"):
            names = {i: label for (table, label), i in self.ids.items() if table == column}
            return names.get(row[f"{column}_id"], "-")
        value = row[column]
        if value is None:
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, Decimal):
            return f"{value.normalize():f}"
        if isinstance(value, dt.date):
            return f"day {(value - DAY_ZERO).days}"
        return str(value)


def _sections(text: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for block in filter(str.strip, re.split(r"\n\s*\n", text)):
        title, _, table = block.strip().partition("\n")
        header, *rows = _cells(table)
        found[title] = [dict(zip(header, [None if c == "-" else c for c in row], strict=True)) for row in rows]
    return found


def _cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.strip()]


def _label(row: Row) -> str:
    site, side = row.get("site") or "knee", row.get("side") or "n/a"
    return " ".join([str(row["patient"]), *([site] if site != "knee" else []), *([side] if side != "n/a" else [])])


def _items(text: str) -> list[str]:
    """Return the items named by ``P1-P9`` or ``P1``."""
    first, _, last = text.partition("-")
    if not last:
        return [first]
    stem = first.rstrip("0123456789")
    return [f"{stem}{i}" for i in range(int(first[len(stem) :]), int(last[len(stem) :]) + 1)]


def _date(day: str | None) -> dt.date:
    return DAY_ZERO + dt.timedelta(days=int(str(day)))


def _as_table(columns: list[str], rows: list[list[str]]) -> str:
    # Fixed widths, so that a difference between two tables is one of their cells.
    lines = [" | ".join(cell.ljust(12) for cell in row).rstrip() for row in [columns, *sorted(rows)]]
    return "\n".join(["", *lines, ""])
