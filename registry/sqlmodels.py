"""Runs ``sql/``: one derived concept a file, ordered by the references that the SQL itself makes.

A model's file name is its table, its folder is its schema, and its header says what one row is:

    -- title: Baseline of each scale
    -- grain: course_id, scale
    -- source: course.score

and, where more than a patient's own rows decide what is said of the patient, why (see :mod:`registry.renewal`):

    -- renewed: whole; reads the data cut

The dependencies are parsed from the query by DuckDB, never listed by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import duckdb

from registry.errors import CatamnesisError
from registry.progress import steps

# Derived once and kept; ``reduction`` is run for a cohort at the time of the question.
MATERIALISED = ("staging", "course", "endpoint", "summary")


@dataclass(frozen=True)
class Model:
    """One derived concept.

    Attributes
    ----------
    name
        Schema and table, e.g. ``course.baseline``.
    title, source
        From the header, for people.
    grain
        Columns that are unique and never null in the result.
    query
        The SELECT itself.
    reads
        Tables it refers to, as ``schema.table``.
    whole
        Whether more than a patient's own rows decide what is said of the patient; see :mod:`registry.renewal`.
    """

    name: str
    title: str
    grain: tuple[str, ...]
    source: str
    query: str
    reads: frozenset[str]
    whole: bool


def folder() -> Path:
    """Return the folder of SQL models: beside the packages when edited, inside the package when installed."""
    shipped = Path(__file__).parent / "sql"
    return shipped if shipped.is_dir() else Path(__file__).parent.parent / "sql"


@cache
def models() -> dict[str, Model]:
    """Return every model by name, in an order in which each comes after what it reads.

    Raises
    ------
    CatamnesisError
        When a header line is missing, a query does not parse, or two models read each other.
    """
    found = {model.name: model for model in (_read(path) for path in sorted(folder().glob("*/*.sql")))}
    try:
        # Sorted, or the order (and with it the stamp of a derivation) would hang on the hashes of one process.
        reads = {name: sorted(model.reads & found.keys()) for name, model in found.items()}
        order = TopologicalSorter(reads).static_order()
        return {name: found[name] for name in order}
    except CycleError as error:
        raise CatamnesisError(f"SQL models read each other in a circle: {' -> '.join(error.args[1])}.") from None


def upstream(names: Iterable[str]) -> list[str]:
    """Return `names` and every model they are made from, in order."""
    wanted: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in models() and name not in wanted:
            wanted.add(name)
            todo.extend(models()[name].reads)
    return [name for name in models() if name in wanted]


def downstream(names: Iterable[str]) -> list[str]:
    """Return `names` and every model made from them, in order."""
    wanted = set(names)
    for name, model in models().items():
        if model.reads & wanted:
            wanted.add(name)
    return [name for name in models() if name in wanted]


def run(
    con: duckdb.DuckDBPyConnection,
    names: Iterable[str],
    after_each: Callable[[duckdb.DuckDBPyConnection], None] = lambda con: None,
) -> None:
    """Materialise the models `names` as tables of the current database, in the order given."""
    for name in steps(list(names), "models derived"):
        schema, _, table = name.partition(".")
        con.execute(f"create schema if not exists {schema}")
        shown = con.sql(
            "select 1 from duckdb_views() where database_name = current_database() "
            f"and schema_name = '{schema}' and view_name = '{table}'"
        ).fetchone()
        if shown:
            con.execute(f"drop view {name}")
        con.execute(f"create or replace table {name} as {models()[name].query}")
        after_each(con)


def _read(path: Path) -> Model:
    text = path.read_text(encoding="utf-8")
    header = dict(re.findall(r"^-- (title|grain|source): *(.+)$", text, flags=re.M))
    lacking = {"title", "grain", "source"} - header.keys()
    if lacking:
        raise CatamnesisError(f"sql/{path.parent.name}/{path.name}: the header lacks {', '.join(sorted(lacking))}.")
    return Model(
        name=f"{path.parent.name}.{path.stem}",
        title=header["title"],
        grain=tuple(part.strip() for part in header["grain"].split(",")),
        source=header["source"],
        query=text,
        reads=frozenset(_tables(text, path)),
        whole=bool(re.search(r"^-- renewed: whole; .+$", text, flags=re.M)),
    )


def _tables(query: str, path: Path) -> Iterator[str]:
    row = _parser().execute("select json_serialize_sql(?)", [query]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree["error"]:
        raise CatamnesisError(f"sql/{path.parent.name}/{path.name}: {tree.get('error_message', 'does not parse')}")
    yield from _base_tables(tree)


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _base_tables(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("type") == "BASE_TABLE" and node.get("schema_name"):
            yield f"{node['schema_name']}.{node['table_name']}"
        for value in node.values():
            yield from _base_tables(value)
    elif isinstance(node, list):
        for value in node:
            yield from _base_tables(value)
