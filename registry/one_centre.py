"""A registry of one centre alone: its patients, their rows and products, as if no other centre had sent any."""

from __future__ import annotations

import duckdb

from registry.errors import UsageError, choose
from registry.tables import TABLES

# Rows of the log that say nothing of another centre's patients, or only what every report says.
_COMMON = ("change", "finding", "finding_count", "meta", "audit")


def show_centre(con: duckdb.DuckDBPyConnection, centre: str) -> None:
    """Create views of the record and the log of one centre, from the attached registry; nothing derived.

    A row is the centre's when its patient is; a product, when a patient of the centre got it. Loads are those that held
    anything of the centre. Which centre a refused row was of is not known: of a load that held several none is shown.

    Raises
    ------
    UsageError
        When no patient is of this centre; the message lists the centres.
    """
    known = con.sql(
        "select distinct centre.centre, centre.id from registry.record.centre as centre "
        "semi join registry.record.patient as patient on patient.centre_id = centre.id order by 1"
    ).fetchall()
    if not known:
        raise UsageError("No patient of this registry is of a known centre.")
    choose(centre, [str(name) for name, _ in known], "Centre")
    own = dict(known)[centre]
    con.execute("create schema record; create schema past; create schema log; create schema catalogue")
    for table in TABLES:
        name = str(table.__tablename__)
        where = _where(name, {c.name for c in table.__table__.columns}, int(own))  # type: ignore[attr-defined]
        for schema in ("record", "past"):
            con.execute(f"create view {schema}.{name} as from registry.{schema}.{name} where {where}")
    con.execute(f"create view log.load_centre as from registry.log.load_centre where centre_id = {own}")
    for name in ("load", "source_file"):
        con.execute(f"create view log.{name} as from registry.log.{name} semi join log.load_centre using (load_id)")
    alone = (
        "select source_file_id from log.source_file where load_id not in "
        f"(select load_id from registry.log.load_centre where centre_id is distinct from {own})"
    )
    for name in ("rejected_row", "rejection"):
        con.execute(f"create view log.{name} as from registry.log.{name} where source_file_id in ({alone})")
    for name in _COMMON:
        con.execute(f"create view log.{name} as from registry.log.{name}")
    for (name,) in con.sql(
        "select table_name from duckdb_tables() where database_name = 'registry' and schema_name = 'catalogue'"
    ).fetchall():
        con.execute(f"create view catalogue.{name} as from registry.catalogue.{name}")


def _where(name: str, columns: set[str], centre_id: int) -> str:
    """Return which rows of a table are the centre's."""
    patients = f"(select id from registry.record.patient where centre_id = {centre_id})"
    given = f"(select product_id from registry.record.treatment_session where patient_id in {patients})"
    if name == "centre":
        return f"id = {centre_id}"
    if "centre_id" in columns:
        return f"centre_id = {centre_id}"
    if "patient_id" in columns:
        return f"patient_id in {patients}"
    return f"{'id' if name == 'product' else 'product_id'} in {given}"
