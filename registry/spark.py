"""The same SQL on Apache Spark, for what one machine cannot hold: derived tables and reductions from Parquet.

Nothing of ours is distributed: the models of ``sql/`` keep to what sqlglot carries over from DuckDB to Spark, and Spark
runs them. What comes back are counts and cross-products; the same fits are made from them.
Needs the extra ``spark`` (pyspark, sqlglot) and Java 17.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from registry import sqlmodels
from registry.connection import quoted
from registry.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from registry.store import Registry


def session(**settings: str) -> SparkSession:
    """Return a session of this machine, without its web page; `settings` are Spark's own, dots as double underscores.

    Raises
    ------
    UsageError
        When the extra ``spark`` is not installed.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise UsageError("Spark is not installed: pip install 'catamnesis[spark]', and Java 17 or newer.") from None
    building = SparkSession.builder.master("local[2]").appName("catamnesis")
    usual = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        # A number that does not fit is an error and not a null, as in DuckDB.
        "spark.sql.ansi.enabled": "true",
    }
    for name, value in {**usual, **{k.replace("__", "."): v for k, v in settings.items()}}.items():
        building = building.config(name, value)
    found = building.getOrCreate()
    found.sparkContext.setLogLevel("ERROR")
    return found


def base_tables() -> list[str]:
    """Return the tables that the models read and that no model makes."""
    models = sqlmodels.models()
    return sorted({t for m in models.values() for t in m.reads if t not in models and not t.startswith("cohort.")})


def write_partitions(registry: Registry, folder: Path) -> Path:
    """Write what the models read as Parquet, the record by the load that brought each row.

    Each table is written anew, and takes the place of the one there when all are written: a row corrected or retracted
    leaves the partition of an old load, and the logs and catalogues change too.
    """
    con = registry.con
    new, old = folder / ".new", folder / ".old"
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    for name in base_tables():
        schema, _, table = name.partition(".")
        place = new / schema / table
        place.mkdir(parents=True)
        columns = {row[0] for row in con.sql(f"describe {name}").fetchall()}
        if schema == "record" and "load_id" in columns:
            # The folder is there for tables without a row, which make no partition.
            how = "format parquet, partition_by (load_id), overwrite_or_ignore"
            con.execute(f"copy (from {name}) to '{quoted(place)}' ({how})")
        if not any(place.rglob("*.parquet")):
            con.execute(f"copy (from {name}) to '{quoted(place / 'all.parquet')}' (format parquet)")
    for name in base_tables():
        schema, _, table = name.partition(".")
        place, before = folder / schema / table, old / schema / table
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            before.parent.mkdir(parents=True, exist_ok=True)
            place.rename(before)
        (new / schema / table).rename(place)
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    return folder


def statement(name: str) -> str:
    """Return a model as Spark SQL, its tables named ``schema__table``: temporary views have no schema."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sqlmodels.models()[name].query, read="duckdb")
    for table in list(tree.find_all(exp.Table)):
        if table.db:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("this", exp.to_identifier(_view(f"{table.db}.{table.name}")))
            table.set("db", None)
    for column in tree.find_all(exp.Column):
        column.set("db", None)
    return tree.sql("spark", comments=False, unsupported_level=sqlglot.ErrorLevel.RAISE)


def _view(name: str) -> str:
    return name.replace(".", "__")


class SparkModels:
    """The models of ``sql/`` over Parquet files, run by Spark.

    Parameters
    ----------
    session
        A Spark session: :func:`session`, or that of a cluster.
    folder
        As :func:`write_partitions` made it; on a cluster, where all its machines can read.
    work
        Where derived tables are written, one folder of Parquet files each.
    """

    def __init__(self, session: SparkSession, folder: Path, work: Path) -> None:
        self.session, self.work = session, work
        for name in base_tables():
            schema, _, table = name.partition(".")
            self._show(name, session.read.parquet(str(folder / schema / table)))

    def derive(self) -> dict[str, int]:
        """Make every derived table, in order; returns rows by model."""
        return self._run(m for m in sqlmodels.models() if m.partition(".")[0] in sqlmodels.MATERIALISED)

    def reduce(self, names: Iterable[str], cohort: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Run reductions for a cohort and bring them back.

        Parameters
        ----------
        names
            E.g. ``reduction.response_cell``; what they are made from is made first.
        cohort
            The tables of the question by name, e.g. ``cohort.course`` (``course_id, patient_id, stratum``).
        """
        for name, frame in cohort.items():
            place = self.work / "cohort" / f"{_view(name)}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            frame.write_parquet(place)
            self._show(name, self.session.read.parquet(str(place)))
        wanted = list(names)
        self._run(m for m in sqlmodels.upstream(wanted) if m.startswith("reduction."))
        return {name: self.frame(name) for name in wanted}

    def frame(self, name: str) -> pl.DataFrame:
        """Return a table that was derived or reduced, whole: for small ones."""
        return pl.read_parquet(f"{self._place(name)}/*.parquet")

    def _run(self, names: Iterable[str]) -> dict[str, int]:
        rows = {}
        for name in names:
            self.session.sql(statement(name)).write.mode("overwrite").parquet(str(self._place(name)))
            made = self.session.read.parquet(str(self._place(name)))
            self._show(name, made)
            rows[name] = int(made.count())
        return rows

    def _place(self, name: str) -> Path:
        schema, _, table = name.partition(".")
        return self.work / schema / table

    def _show(self, name: str, frame: Any) -> None:
        frame.createOrReplaceTempView(_view(name))
