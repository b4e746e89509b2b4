"""The one statement of the schema: documented, and usable row by row through SQLModel as well as in bulk."""

import datetime as dt

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from registry import Registry
from registry.mapping import required_columns, source_columns
from registry.tables import TABLES, Centre, Event, Patient, Target


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.__tablename__)
def test_every_table_and_column_says_what_it_means(table):
    assert table.__doc__ and table.__doc__.strip().endswith((".", ")."))
    for column in table.__table__.columns:
        described = table.model_fields[column.name].description
        assert described, f"{table.__name__}.{column.name}"


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.__tablename__)
def test_the_key_and_references_of_a_source_are_columns_of_its_file(table):
    names = set(source_columns(table))
    assert set(table.__source__.key) <= names
    assert set(required_columns(table)) <= names
    for reference in table.__source__.references:
        assert reference.column in table.__table__.columns
        assert reference.table in {t.__tablename__ for t in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.__tablename__)
def test_a_column_with_limits_says_their_unit_or_is_a_count(table):
    for column in table.__table__.columns:
        if column.info.get("low") is not None:
            assert column.info["low"] < column.info["high"]
            assert column.info["unit"] or column.name in {
                "course_no",
                "session_no",
                "planned_sessions",
                "passage",
                "birth_year",
                "ctcae_grade",
                "number",  # how often
                "importance",
                "expected_points",
                "attainment",
                "pooled_donors",
                "population_doublings",
                "readers",
            }


def test_parents_come_before_their_children():
    order = [str(t.__tablename__) for t in TABLES]
    for table in TABLES:
        for reference in table.__source__.references:
            assert order.index(reference.table) < order.index(str(table.__tablename__))


@pytest.fixture
def session(clinic):
    engine = create_engine(f"duckdb:///{clinic.path}")
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_single_rows_can_be_written_read_and_edited_through_sqlmodel(clinic, session):
    session.add(Centre(id=1, centre="ZRH", country="CH"))
    session.add(
        Patient(id=2, patient_key="p", centre_id=1, birth_year=1960, sex="female", enrolment_date=dt.date(2022, 1, 1))
    )
    session.add(Target(id=3, patient_id=2, site="knee", side="left", kind="joint"))
    session.add(Event(id=4, patient_id=2, target_id=3, date=dt.date(2023, 5, 1), kind="TKA", date_precision="day"))
    session.commit()
    patient = session.scalars(select(Patient)).one()
    patient.height_cm = 165
    session.commit()
    session.delete(session.scalars(select(Event)).one())
    session.commit()
    session.close()
    session.get_bind().dispose()
    with Registry.open(clinic.path) as registry:
        assert registry.sql("select birth_year, height_cm::double as h from record.patient").rows() == [(1960, 165.0)]
        assert registry.counts()["event"] == 0


def test_the_boundary_validates_a_row_before_it_is_written():
    with pytest.raises(ValueError, match="birth_year"):
        Patient.model_validate({"birth_year": "sixty", "sex": "female", "enrolment_date": "2022-01-01"})
