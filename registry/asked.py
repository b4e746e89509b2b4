"""What a researcher asks of a registry in SQL: one SELECT, answered; anything else refused with a sentence."""

from __future__ import annotations

import duckdb
import polars as pl

from registry import sqlmodels
from registry.errors import UsageError
from registry.tables import TABLES


def answer(con: duckdb.DuckDBPyConnection, query: str) -> pl.DataFrame:
    """Return the answer to one SELECT as a frame.

    Raises
    ------
    UsageError
        When it is no SELECT, more than one, or the engine does not understand it.
    """
    try:
        statements = con.extract_statements(query)
        if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
            raise UsageError(
                "sql() answers one SELECT and changes nothing: values are changed by loading files, "
                "`catamnesis load REG FILES --reason ...`, which keeps what was there before."
            )
        return con.sql(query).pl()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        said = " ".join(line.strip() for line in str(error).split("\n\n")[0].splitlines())
        raise UsageError(f"{said} (tables() lists what can be asked.)") from None


def tables(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return ``table, title, columns`` of what can be asked, by schema; see :meth:`registry.Registry.tables`."""
    held = con.sql(
        "select table_schema || '.' || table_name as \"table\", "
        "string_agg(column_name, ', ' order by ordinal_position) as columns from information_schema.columns "
        "where table_catalog = current_database() and table_schema in "
        "('record', 'past', 'catalogue', 'log', 'staging', 'course', 'endpoint', 'summary') group by 1 order by 1"
    ).pl()
    titles = {name: model.title for name, model in sqlmodels.models().items()}
    for table in TABLES:
        first = (table.__doc__ or "").strip().splitlines()[0]
        titles |= {f"record.{table.__tablename__}": first, f"past.{table.__tablename__}": f"Replaced: {first}"}
    names = pl.DataFrame({"table": list(titles), "title": list(titles.values())})
    return held.join(names, on="table", how="left", maintain_order="left").select("table", "title", "columns")
