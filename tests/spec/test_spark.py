"""The models on Apache Spark give the rows that DuckDB gives, and the same answer is made from them."""

import dataclasses
import importlib.util
import shutil

import polars as pl
import pytest

from analysis import pooled
from registry import Registry, spark, sqlmodels
from registry.errors import UsageError

KEPT = [m for m in sqlmodels.models() if m.partition(".")[0] in sqlmodels.MATERIALISED]
HERE = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None


def different(con, name: str, place) -> int:
    """Count the rows that one engine has and the other has not."""
    types = con.sql(f"describe {name}").fetchall()
    con.execute(f"create or replace temp view there as from read_parquet('{place}/*.parquet')")
    mine = f"select {', '.join(c for c, *_ in types)} from {name}"
    other = f"select {', '.join(f'cast({c} as {t}) as {c}' for c, t, *_ in types)} from there"
    both = f"(({mine} except all {other}) union all ({other} except all {mine}))"
    return con.sql(f"select count(*) from {both}").fetchone()[0]


@pytest.fixture(scope="module")
def derived(synthetic_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spark")
    with Registry.open(synthetic_file) as registry:
        spark.write_partitions(registry, folder / "parquet")
        session = spark.session(spark__driver__memory="2g")
        models = spark.SparkModels(session, folder / "parquet", folder / "work")
        yield registry, models, models.derive()
        session.stop()


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="needs the extra spark, and Java 17")
def test_every_derived_table_has_the_same_rows(derived):
    registry, models, rows = derived
    # These files have no goals.
    assert set(rows) == set(KEPT) and {name for name, n in rows.items() if n == 0} == {"course.goal"}
    assert {
        name: n for name in KEPT if (n := different(registry.con, name, models.work / name.replace(".", "/")))
    } == {}


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="needs the extra spark, and Java 17")
@pytest.mark.parametrize("question", pooled.QUESTIONS)
def test_reductions_that_come_back_give_the_same_answer(derived, question):
    registry, models, _ = derived
    mine = pooled.reduce_for(registry.courses(programme="osteoarthritis"), question)
    con = registry.con
    asked = con.sql("select table_name from information_schema.tables where table_schema = 'cohort'").fetchall()
    cohort = {f"cohort.{name}": con.sql(f"from cohort.{name}").pl() for (name,) in asked}
    names = [f"reduction.{n}" for n in mine.frames if f"reduction.{n}" in sqlmodels.models()]
    back = models.reduce(names, cohort)
    frames = dict(mine.frames)
    for name, found in back.items():
        short = name.removeprefix("reduction.")
        frames[short] = found.select(pl.col(c).cast(t) for c, t in frames[short].schema.items()).sort(
            frames[short].columns
        )
        assert frames[short].equals(mine.frames[short].sort(frames[short].columns)), name
    theirs = pooled.answer(dataclasses.replace(mine, frames=frames))
    assert theirs.frame.equals(pooled.answer(mine).frame)


def test_a_model_reads_views_named_by_schema_and_table():
    text = spark.statement("course.baseline")
    assert "course__score" in text and "course.score" not in text


def test_the_record_is_written_by_the_load_that_brought_each_row(synthetic_file, tmp_path):
    with Registry.open(synthetic_file) as registry:
        spark.write_partitions(registry, tmp_path)
        n = registry.con.sql("select count(*) from record.measurement").fetchone()[0]
        assert registry.con.sql(f"from read_parquet('{tmp_path}/record/measurement/*/*.parquet')").count(
            "*"
        ).fetchone() == (n,)
    assert [p.name for p in (tmp_path / "record" / "measurement").iterdir()] == ["load_id=1"]
    assert {f"{p.parent.name}.{p.name}" for p in tmp_path.glob("*/*")} == set(spark.base_tables())


@pytest.mark.skipif(HERE, reason="Spark is installed")
def test_without_spark_the_message_says_what_to_install():
    with pytest.raises(UsageError, match="catamnesis\\[spark\\]"):
        spark.session()
