"""Numbers of each group, plain and weighted, whose products keep their decimals on every engine."""

import pytest
import sqlglot
from sqlglot import exp

from registry import sqlmodels
from tests.spec.conftest import Given


def test_sums_of_small_weights_are_kept_to_the_last_decimal(three_patients: Given):
    con = three_patients.con
    con.execute("create table cohort.weight (row_no bigint, course_id bigint, stratum varchar, weight decimal(20, 6))")
    con.execute("create table cohort.weight_value (row_no bigint, variable varchar, x decimal(20, 4))")
    con.execute(
        "insert into cohort.weight select row_number() over (order by course_id), course_id, stratum, 0.333333 "
        "from cohort.course"
    )
    con.execute("insert into cohort.weight_value select row_no, 'added', 1.0001 from cohort.weight")
    sqlmodels.run(con, sqlmodels.upstream(["reduction.weighted_number"]))
    found = con.sql("select * from reduction.weighted_number where variable = 'added'").pl().row(0, named=True)
    assert (found["n"], found["n_known"]) == (5, 5)
    exact = {"square": 5 * 1.0001**2, "weight_square": 5 * 0.333333**2, "weighted_total": 5 * 0.333333 * 1.0001}
    assert {name: float(found[name]) for name in exact} == pytest.approx(exact, rel=1e-15)
    assert float(found["weighted_square"]) == pytest.approx(5 * 0.333333 * 1.0001**2, abs=5e-8)


def test_no_product_of_decimals_is_wider_than_what_every_engine_keeps():
    """Spark gives up decimals where the digits of both and one more are over 38; DuckDB keeps 18 where both have 18."""
    tree = sqlglot.parse_one(sqlmodels.models()["reduction.weighted_number"].query, read="duckdb")
    held = {cast.parent.alias: cast for cast in tree.find(exp.CTE).find_all(exp.Cast)}
    products = list(tree.find_all(exp.Mul))
    for product in products:
        sides = [
            held.get(side.name) if isinstance(side, exp.Column) else side for side in (product.left, product.right)
        ]
        if isinstance(product.left, exp.Mul) or sides[0].to.this == exp.DataType.Type.DOUBLE:
            assert all(side.to.this == exp.DataType.Type.DOUBLE for side in sides if not isinstance(side, exp.Mul))
            continue
        digits = [int(side.to.expressions[0].name) for side in sides]
        assert sum(digits) + 1 <= 38 and max(digits) > 18, product.sql()
    assert len(products) == 6
