"""Renews what was derived after a load: of the patients whose rows are other now, and no others.

A model is made from a patient's own rows alone, or its header says ``-- renewed: whole`` and why: it reads the day up
to which a centre's data speak, which a load moves for everybody of the centre, or it looks at several patients. Those
are cheap and made anew. Where a model made by patient reads one of them, the patients whose rows of it are other than
before are renewed too.
"""

from __future__ import annotations

import duckdb

from registry import sqlmodels
from registry.tables import TABLES

# What a load moves for everybody of a centre; no model made by patient may read it (a test says so).
OF_THE_CUT = ("data_cut", "potential_follow_up_day")
# Beyond this share of patients it is quicker to make all anew.
_MOST = 0.3
_RECORD = {str(table.__tablename__): {c.name for c in table.__table__.columns} for table in TABLES}  # type: ignore[attr-defined]


def renew(con: duckdb.DuckDBPyConnection, names: list[str], since: int) -> int | None:
    """Bring models `names`, right as of load `since`, up to the record.

    Returns the number of patients of whom rows were made anew; None, and nothing is done, where it is of most.

    The file is a copy that takes the registry's place whole, so that steps need no common transaction; the engine would
    not let one write here and in memory.
    """
    con.execute("commit; attach ':memory:' as part; create schema part.record; create schema part.catalogue")
    _changed_since(con, since)
    if _most_are_concerned(con):
        con.execute("detach part; begin")
        return None
    _show_record(con)
    by_patient = [m for m in map(sqlmodels.models().__getitem__, names) if not m.whole]
    for name in names:
        model = sqlmodels.models()[name]
        if model.whole:
            _whole(con, model, any(name in m.reads for m in by_patient))
        else:
            _by_patient(con, model)
        _show(con, name)
    (concerned,) = con.execute("select count(*) from part.main.concerned").fetchone() or (0,)
    con.execute("use registry; detach part; begin")
    return int(concerned)


def _changed_since(con: duckdb.DuckDBPyConnection, since: int) -> None:
    """Keep the patients of whom a row was added, corrected or retracted after a load."""
    parts = []
    for name, columns in _RECORD.items():
        patient = "id" if name == "patient" else "patient_id"
        if patient in columns:
            parts.append(f"select {patient} as patient_id from registry.record.{name} where load_id > {since}")
            parts.append(f"select {patient} from registry.past.{name} where superseded_by > {since}")
    con.execute(f"create table part.main.concerned as select distinct patient_id from ({' union all '.join(parts)})")
    _courses_of_the_concerned(con)


def _courses_of_the_concerned(con: duckdb.DuckDBPyConnection) -> None:
    """Keep their courses, those that were retracted too: what was derived of them goes."""
    con.execute(
        "create or replace table part.main.concerned_course as select distinct id as course_id from ("
        "select id, patient_id from registry.record.course union all select id, patient_id from registry.past.course) "
        "semi join part.main.concerned using (patient_id)"
    )


def _most_are_concerned(con: duckdb.DuckDBPyConnection) -> bool:
    query = "select (select count(*) from part.main.concerned) > ? * (select count(*) from registry.record.patient)"
    return bool((con.execute(query, [_MOST]).fetchone() or (True,))[0])


def _show_record(con: duckdb.DuckDBPyConnection) -> None:
    """Show the rows of those concerned under the names that the SQL knows, in the database ``part``."""
    for name, columns in _RECORD.items():
        key = "id" if name == "patient" else "patient_id"
        of = f"where {key} in (select patient_id from part.main.concerned)" if key in columns else ""
        con.execute(f"create view part.record.{name} as from registry.record.{name} {of}")
    query = "select table_name from duckdb_tables() where database_name = 'registry' and schema_name = 'catalogue'"
    for (name,) in con.sql(query).fetchall():
        con.execute(f"create view part.catalogue.{name} as from registry.catalogue.{name}")


def _show(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Show the rows that those concerned have in a model, for the models that read it."""
    schema, _, _ = name.partition(".")
    con.execute(f"create schema if not exists part.{schema}")
    con.execute(f"create view part.{name} as from registry.{name}{_of_the_concerned(con, name)}")


def _of_the_concerned(con: duckdb.DuckDBPyConnection, name: str) -> str:
    columns = {c for c, *_ in con.sql(f"describe registry.{name}").fetchall()}
    if "course_id" in columns:
        return " where course_id in (select course_id from part.main.concerned_course)"
    return " where patient_id in (select patient_id from part.main.concerned)" if "patient_id" in columns else ""


def _by_patient(con: duckdb.DuckDBPyConnection, model: sqlmodels.Model) -> None:
    con.execute(f"use part; create or replace table part.main.renewed as {model.query}")
    con.execute("use registry")
    con.execute(f"delete from registry.{model.name}{_of_the_concerned(con, model.name)}")
    con.execute(f"insert into registry.{model.name} by name from part.main.renewed")


def _whole(con: duckdb.DuckDBPyConnection, model: sqlmodels.Model, is_read: bool) -> None:
    """Make a model anew; if models made by patient read it, those whose rows of it are other are concerned too."""
    con.execute("use registry")
    if not is_read:
        con.execute(f"create or replace table registry.{model.name} as {model.query}")
        return
    con.execute(f"create or replace table part.main.renewed as {model.query}")
    columns = [c for c, *_ in con.sql("describe part.main.renewed").fetchall() if c not in OF_THE_CUT]
    if "course_id" in columns:
        _concern_those_who_differ(con, model.name, ", ".join(columns))
    con.execute(f"create or replace table registry.{model.name} as from part.main.renewed")


def _concern_those_who_differ(con: duckdb.DuckDBPyConnection, name: str, columns: str) -> None:
    now, before = f"select {columns} from part.main.renewed", f"select {columns} from registry.{name}"
    con.execute(
        "insert into part.main.concerned select distinct patient_id from registry.record.course where id in ("
        f"select course_id from (({now} except {before}) union all ({before} except {now}))) "
        "and patient_id not in (select patient_id from part.main.concerned)"
    )
    _courses_of_the_concerned(con)
