"""What holds for every file in ``sql/``: its header, its grain, its references, its length and its portability."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from registry import Registry, sqlmodels

HERE = Path(__file__).parent
MODELS = sorted(sqlmodels.models())
PORTABLE = [name for name in MODELS if not name.startswith("summary.")]
# The other reductions are specified by the analyses they belong to.
SPECIFIED = [
    name
    for name in MODELS
    if not name.startswith("reduction.") or "response" in name or "booster" in name or "harm" in name
]
SCHEMAS = {"record", "catalogue", "log", "cohort", "staging", "course", "endpoint", "reduction", "summary"}


@pytest.fixture(scope="module")
def derived(synthetic_file: Path) -> Iterator[Registry]:
    """The registry of six programmes, and the cohort of all its courses for the reductions."""
    with Registry.open(synthetic_file) as registry:
        con = registry.con
        con.execute("create schema cohort; create schema reduction")
        con.execute(
            "create table cohort.course as select course_id, patient_id, programme as stratum from course.profile"
        )
        con.execute(
            "create table cohort.question as select 'OO-2004' as definition, 'confirmed' as confirmation, "
            "'ignored' as early_visits, 'competing' as end_policy, 'censor' as booster_policy, 'composite' as rescue_policy"
        )
        con.execute(
            "create table cohort.trajectory as select 'pain' as domain, null::varchar as scale, 'worse100' as unit, "
            "'hypothetical' as end_policy, 'treatment_policy' as booster_policy, true as adjust_age, "
            "true as adjust_sex, false as adjust_bmi, false as adjust_stage"
        )
        con.execute(
            "create table cohort.trajectory_visit as select planned_visit, position from catalogue.programme_visit "
            "where programme = 'osteoarthritis' and position > 1"
        )
        con.execute(
            "create table cohort.weight as select row_number() over (order by course_id) as row_no, course_id, stratum, "
            "cast(1.5 as decimal(20, 6)) as weight from cohort.course"
        )
        con.execute(
            "create table cohort.weight_value as select row_no, 'added' as variable, cast(row_no as decimal(20, 4)) as x "
            "from cohort.weight"
        )
        con.execute("create table cohort.loss as select 'L1' as loss")
        con.execute(
            "create table cohort.booster as select 'OO-2004' as definition, null::varchar as scale, 'pain' as domain"
        )
        con.execute("create table cohort.outlook as select 'OO-2004' as definition, 'pain' as domain")
        con.execute(
            "create table cohort.harm as select null::varchar as category, 1 as least_grade, false as serious, "
            "null::varchar as related_to"
        )
        yield registry


@pytest.mark.parametrize("name", MODELS)
def test_the_grain_of_every_model_is_unique_and_never_null(derived, name):
    sqlmodels.run(derived.con, [m for m in sqlmodels.upstream([name]) if m.startswith("reduction.")])
    grain = sqlmodels.models()[name].grain
    columns = ", ".join(grain)
    missing = " or ".join(f"{column} is null" for column in grain)
    assert derived.con.sql(f"select {columns} from {name} where {missing} limit 3").fetchall() == []
    assert derived.con.sql(f"select {columns} from {name} group by all having count(*) > 1 limit 3").fetchall() == []
    # These files have no goals; spec/course/test_goal.py has their rows.
    if "goal" not in name:
        assert derived.con.sql(f"select 1 from {name} limit 1").fetchall(), "nothing was tested: the model is empty"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_says_what_one_row_is_before_its_first_line_of_sql(name):
    lines = _file(name).read_text(encoding="utf-8").splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["-- title", "-- grain", "-- source"]
    assert sqlmodels.models()[name].title[0].isupper() or sqlmodels.models()[name].title[0].isdigit()


@pytest.mark.parametrize("name", MODELS)
def test_every_table_a_model_reads_is_named_with_its_schema(name):
    tree = sqlglot.parse_one(_file(name).read_text(encoding="utf-8"), read="duckdb")
    steps = {step.alias for step in tree.find_all(exp.CTE)}
    unqualified = {t.name for t in tree.find_all(exp.Table) if not t.db} - steps
    assert unqualified == set()
    assert {t.db for t in tree.find_all(exp.Table) if t.db} <= SCHEMAS


@pytest.mark.parametrize("name", MODELS)
def test_no_model_is_longer_than_a_screen_of_sql(name):
    lines = _file(name).read_text(encoding="utf-8").splitlines()
    sql = [line for line in lines if line.strip() and not line.lstrip().startswith("--")]
    assert len(sql) <= 80
    assert max(len(line) for line in lines) <= 140


@pytest.mark.parametrize("name", PORTABLE)
def test_every_model_reads_as_spark_sql(name):
    level = sqlglot.ErrorLevel.RAISE
    (spark,) = sqlglot.transpile(
        _file(name).read_text(encoding="utf-8"), read="duckdb", write="spark", unsupported_level=level
    )
    assert sqlglot.parse_one(spark, read="spark")


@pytest.mark.parametrize("name", PORTABLE)
def test_no_model_uses_what_another_engine_would_read_otherwise(name):
    tree = sqlglot.parse_one(_file(name).read_text(encoding="utf-8"), read="duckdb")
    assert [found.sql() for found in _not_portable(tree)] == []


@pytest.mark.parametrize(
    "query",
    [
        "select a.date - b.date from a, b",
        "select date_diff('month', x.date, y.date) from x, y",
        "select quantile_cont(x, 0.5) from t",
        "select median(x) from t",
        "select first(x order by day) from t",
        "select * replace (1 as x) from t",
        "select * from a asof join b on a.day >= b.day",
        "select x from range(10) as t(x)",
        "select sum(x) over (order by d groups between 1 preceding and current row) from t",
        "select sum(x) over (order by d rows between 1 preceding and 1 following exclude current row) from t",
        "select value->>'a' from t",
        "select cast(value as integer) from t",
        "select a + 1 as b from t where b > 1",
        "select a / b from t",
        "select extract(dow from date) from t",
    ],
)
def test_the_check_of_portability_finds_what_it_is_for(query):
    assert _not_portable(sqlglot.parse_one(query, read="duckdb"))


@pytest.mark.parametrize("name", SPECIFIED)
def test_every_model_has_a_spec_with_a_second_knee_and_a_second_course(name):
    schema, _, table = name.partition(".")
    spec = HERE / schema / f"test_{table}.py"
    assert spec.exists(), f"write {spec.relative_to(HERE.parent)}"
    text = spec.read_text(encoding="utf-8")
    assert re.search(r"^def test_\w*second_knee\w*second_course", text, flags=re.M)


def test_deriving_twice_gives_the_same_rows(derived):
    names = [name for name in MODELS if not name.startswith("reduction.")]
    digest = "select bit_xor(hash(t)) from {} as t"
    first = {name: derived.con.sql(digest.format(name)).fetchone() for name in names}
    sqlmodels.run(derived.con, [name for name in sqlmodels.models() if name in names])
    assert {name: derived.con.sql(digest.format(name)).fetchone() for name in names} == first


def test_every_course_has_one_status_and_one_profile(derived):
    (courses,) = derived.con.sql("select count(*) from record.course").fetchone()
    for model in ("course.course", "course.profile", "course.follow_up", "summary.course_status"):
        assert derived.con.sql(f"select count(*) from {model}").fetchone() == (courses,)


def test_no_course_is_followed_beyond_its_potential_follow_up(derived):
    beyond = derived.con.sql("""
        select course_id from course.follow_up inner join course.course using (course_id)
        where last_contact_day > potential_follow_up_day
    """)
    assert beyond.fetchall() == []
    assert derived.data_cut == dt.date(2025, 1, 4)


def _file(name: str) -> Path:
    return sqlmodels.folder() / f"{name.replace('.', '/')}.sql"


_SAYS_OTHERWISE = (exp.PercentileCont, exp.Quantile, exp.Median, exp.JSONExtract, exp.JSONExtractScalar, exp.Extract)


def _not_portable(tree: exp.Expression) -> list[exp.Expression]:
    """List constructs of DuckDB that Spark refuses or, worse, understands otherwise (design, portable subset)."""
    found: list[exp.Expression] = list(tree.find_all(*_SAYS_OTHERWISE))
    found += [n for n in tree.find_all(exp.Sub) if _is_date(n.this) and _is_date(n.expression)]
    found += [n for n in tree.find_all(exp.DateDiff) if n.text("unit").lower() not in ("", "day")]
    found += [n for n in tree.find_all(exp.First, exp.Last) if n.find(exp.Order)]
    found += [n for n in tree.find_all(exp.Star) if n.args.get("replace")]
    found += [n for n in tree.find_all(exp.Join) if n.method == "ASOF"]
    found += [
        n for n in tree.find_all(exp.WindowSpec) if str(n.args.get("kind")).upper() == "GROUPS" or n.args.get("exclude")
    ]
    found += [n for n in tree.find_all(exp.Table) if isinstance(n.this, exp.Func)]
    found += list(tree.find_all(exp.GenerateSeries))
    found += [
        n
        for n in tree.find_all(exp.Cast)
        if n.to.is_type("int", "bigint") and isinstance(n.this, exp.Column) and n.this.name == "value"
    ]
    found += [n for n in tree.find_all(exp.Div) if not isinstance(n.expression, exp.Nullif | exp.Literal)]
    return found + [column for select in tree.find_all(exp.Select) for column in _aliases_in_where(select)]


def _is_date(node: exp.Expression) -> bool:
    return isinstance(node, exp.Column) and (node.name == "date" or node.name.endswith("_date"))


def _aliases_in_where(select: exp.Select) -> list[exp.Expression]:
    made = {e.alias for e in select.expressions if isinstance(e, exp.Alias) and not isinstance(e.this, exp.Column)}
    where = select.args.get("where")
    return [c for c in where.find_all(exp.Column) if not c.table and c.name in made] if where else []
