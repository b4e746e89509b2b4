"""Rows of single courses kept for a question, so that the next selection of courses need not make them again.

A reduction whose row is about one course (``reduction.response_course``) depends on that course and on the question,
never on who else is selected. Made once for all courses of a programme it serves every selection of them: the same
rows, hence the same numbers, without the pass over the registry.
"""

from __future__ import annotations

import duckdb

from registry import Courses, sqlmodels
from registry.errors import UsageError

_EVERYBODY = "cohort.course"


def hold(courses: Courses, *names: str) -> None:
    """Keep the reductions `names`, as just made for `courses`, for later selections of some of them.

    Parameters
    ----------
    courses
        Those placed: every course that a later selection may hold, whether or not the reduction has a row for it.
    names
        Models of schema ``reduction`` with ``course_id`` in their grain.

    Raises
    ------
    UsageError
        When a row of a model is about more than one course.
    """
    con = courses.registry.con
    con.execute("create schema if not exists held")
    con.execute("create table if not exists held.question (model varchar, question varchar)")
    for name in names:
        if "course_id" not in sqlmodels.models()[name].grain:
            raise UsageError(f"{name} has no row of its own for a course: it cannot be held for other selections.")
        table = _table(name)
        con.execute(f"create or replace table held.{table} as from {name}")
        con.execute(f"create or replace table held.{table}_for as select course_id from cohort.course")
        con.execute("delete from held.question where model = ?", [name])
        con.execute("insert into held.question values (?, ?)", [name, _question(con, name)])


def is_held(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Say whether the rows of model `name` are held for the question and every course of the cohort placed."""
    known = con.sql(
        "select 1 from information_schema.tables where table_schema = 'held' and table_name = 'question'"
    ).fetchone()
    if not known:
        return False
    asked = con.execute("select question from held.question where model = ?", [name]).fetchone()
    if asked is None or asked[0] != _question(con, name):
        return False
    return con.sql(f"select 1 from cohort.course anti join held.{_table(name)}_for using (course_id) limit 1"
                   ).fetchone() is None  # fmt: skip


def take(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make model `name` of the rows held: those of the cohort placed, each with its stratum there."""
    columns = [c[0] for c in con.sql(f"describe held.{_table(name)}").fetchall()]
    chosen = ", ".join(f"{'cohort' if c == 'stratum' else 'held'}.{c}" for c in columns)
    con.execute(
        f"create or replace table {name} as select {chosen} from held.{_table(name)} as held "
        "join cohort.course as cohort on held.course_id = cohort.course_id"
    )


def plan(con: duckdb.DuckDBPyConnection, names: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Return the reductions to make for `names`, in order, each with whether its rows are held.

    What only held ones read is not made, and dropped: nobody shall read in it the rows of another question.
    """
    order = [m for m in sqlmodels.upstream(names) if m.startswith("reduction.")]
    taken = {m for m in order if is_held(con, m)}
    made: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in order and name not in taken | made:
            made.add(name)
            todo.extend(sqlmodels.models()[name].reads)
    for name in order:
        if name not in taken | made:
            con.execute(f"drop table if exists {name}")
    return [(m, m in taken) for m in order if m in taken | made]


def _question(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """Return the question that the rows of `name` answer, as text: what it reads of ``cohort``, courses aside."""
    reads = {r for m in sqlmodels.upstream([name]) for r in sqlmodels.models()[m].reads}
    asked = sorted(r for r in reads if r.startswith("cohort.") and r != _EVERYBODY)
    return "; ".join(f"{table}: {con.sql(f'from {table} order by all').fetchall()}" for table in asked)


def _table(name: str) -> str:
    return name.partition(".")[2]
