"""A page for every SQL model: what one row is, its columns, the rule by example, what it is made from, and the SQL."""

from __future__ import annotations

import csv
import re
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path

import duckdb
from duckdb_sqlalchemy import Dialect
from sqlalchemy.schema import CreateTable

from registry import catalogue, loadlog, sqlmodels
from registry.tables import TABLES
from website.catalogues import joined, page_of, table
from website.examples import Example, Table

# What each layer of sql/ is for, in the order in which it is derived.
LAYERS = {
    "staging": "What the files said, in one form: units converted, questionnaires scored, grades read as stages.",
    "course": "What belongs to one course of treatment, counted in days from its first session.",
    "endpoint": "Response, its loss, the end of the target: each by a catalogued definition, with its interval.",
    "summary": "Where courses stand, and which planned visits were kept.",
    "reduction": "Exact counts that one question needs of its cohort; nothing else goes into a likelihood.",
}
_MEANINGS = Path(__file__).with_name("columns.csv")
# A question is put before the reductions by `analysis`; here its tables need only their columns.
_QUESTION = """
create schema cohort;
create table cohort.course (course_id bigint, patient_id bigint, stratum varchar);
create table cohort.question (definition varchar, confirmation varchar, early_visits varchar, end_policy varchar,
    booster_policy varchar, rescue_policy varchar);
create table cohort.trajectory (domain varchar, scale varchar, unit varchar, end_policy varchar, booster_policy varchar,
    adjust_age boolean, adjust_sex boolean, adjust_bmi boolean, adjust_stage boolean);
create table cohort.trajectory_visit (planned_visit varchar, position integer);
create table cohort.loss (loss varchar);
create table cohort.weight (row_no bigint, course_id bigint, stratum varchar, weight decimal(20, 6));
create table cohort.weight_value (row_no bigint, variable varchar, x decimal(20, 4));
create table cohort.booster (definition varchar, scale varchar, domain varchar);
create table cohort.outlook (definition varchar, domain varchar);
create table cohort.harm (category varchar, least_grade integer, serious boolean, related_to varchar);
"""


def pages(examples: list[Example]) -> dict[str, str]:
    """Return the index of definitions and a page for each model: path in the site to Markdown."""
    of_model = {name: [e for e in examples if e.model == name] for name in sqlmodels.models()}
    made = {path_of(name): _page(model, of_model[name]) for name, model in sqlmodels.models().items()}
    return {"definitions/index.md": _index(of_model), **made}


def path_of(model: str) -> str:
    """Return the page of a model."""
    return f"definitions/{model.replace('.', '/')}.md"


@cache
def columns() -> dict[str, list[tuple[str, str]]]:
    """Return name and type of each column of each model, as the engine derives them from an empty record."""
    with duckdb.connect() as con:
        con.execute("create schema record")
        for table in TABLES:
            con.execute(str(CreateTable(table.__table__).compile(dialect=Dialect())))  # type: ignore[attr-defined]
        con.execute(loadlog.SCHEMA)
        catalogue.create(con)
        con.execute(_QUESTION)
        found = {}
        for name in sqlmodels.models():
            sqlmodels.run(con, [name])
            found[name] = [(c, _type(t)) for c, t, *_ in con.sql(f"describe {name}").fetchall()]
    return found


def meaning(model: str, column: str) -> str:
    """Return what a column means: by ``columns.csv`` for the model, else for any, else by the schema of the record."""
    said = _meanings()
    return said.get((model, column)) or said.get(("", column), "")


@cache
def _meanings() -> dict[tuple[str, str], str]:
    said = {("", c.name): c.comment or "" for table in TABLES for c in table.__table__.columns}  # type: ignore[attr-defined]
    with _MEANINGS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            said |= {(model, row["column"]): row["meaning"] for model in row["models"].split() or [""]}
    return said


def _index(of_model: dict[str, list[Example]]) -> str:
    said = (
        "Every derived concept is one SQL file: its name is its table, its header says what one row is. "
        f"{len(of_model)} models, {sum(map(len, of_model.values()))} examples; each example is a test that is run on "
        "every change. The order in which they are derived is read from the SQL itself."
    )
    parts = ["# Definitions", said]
    for layer, meaning_of_layer in LAYERS.items():
        body = (
            (f"[`{name}`]({path_of(name)[12:]})", model.title, _grain(model), len(of_model[name]) or "–")
            for name, model in sorted(sqlmodels.models().items())
            if name.startswith(f"{layer}.")
        )
        header = ("model", "what it says", "one row for each", "examples")
        parts += [f"## {layer.capitalize()}", meaning_of_layer, table(header, body)]
    return joined(parts)


def _page(model: sqlmodels.Model, examples: list[Example]) -> str:
    readers = sorted(name for name, other in sqlmodels.models().items() if model.name in other.reads)
    header = "".join(re.findall(r"\A(?:--.*\n)+", model.query))
    notes = re.findall(r"^-- (?!title:|grain:|source:)(.*)$", header, flags=re.M)
    read_by = _linked(readers, model.name) or "analyses and reports"
    shown = (
        (f"**`{c}`**" if c in model.grain else f"`{c}`", meaning(model.name, c), kind)
        for c, kind in columns()[model.name]
    )
    return joined(
        [
            f"# {model.title}",
            f"`{model.name}`, one row for each {_grain(model)}. From {model.source}.",
            " ".join(notes),
            f"Made from {_linked(sorted(model.reads), model.name)}. Read by {read_by}.",
            "## Columns",
            table(("column", "meaning", "type"), shown),
            *_rules(examples),
            "## SQL",
            f"```sql\n{model.query.removeprefix(header).strip()}\n```",
        ]
    )


def _rules(examples: list[Example]) -> list[str]:
    if not examples:
        return []
    parts = ["## The rule by example", "Days count from a fixed day; – is nothing recorded. Each sentence is a test."]
    for said, group in groupby(examples, key=lambda e: e.sentence):
        first, *more = list(group)
        parts += [f"### {said}", _shown(first)]
        if more:
            n = "One more case" if len(more) == 1 else f"{len(more)} more cases"
            cases = "\n".join(_shown(e) for e in more)
            parts.append(f"<details><summary>{n}</summary>\n{cases}\n</details>")
    return parts


def _shown(example: Example) -> str:
    given = "".join(_html(t, escape(t.title.capitalize())) for t in example.given)
    where = "" if example.where == "true" else f'<span class="soft">where {escape(example.where)}</span>'
    then = _html(example.expected, f"{escape(example.model)} {where}")
    sides = f'<div class="given"><b>Given</b>{given}</div><div class="then"><b>Then</b>{then}</div>'
    # A result of many columns stands below what went in, or it would have to scroll.
    beside = "" if len(example.expected.header) <= 4 else " stacked"
    return f'<div class="example{beside}">{sides}</div>'


def _html(shown: Table, caption: str) -> str:
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in shown.header)
    cells = [[f"<td>{escape('–' if c == '-' else c)}</td>" for c in row] for row in shown.rows]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    none = f'<tr><td colspan="{len(shown.header)}" class="soft">no row</td></tr>'
    head_and_body = f"<thead><tr>{head}</tr></thead><tbody>{body or none}</tbody>"
    return f'<table class="rows"><caption>{caption}</caption>{head_and_body}</table>'


def _grain(model: sqlmodels.Model) -> str:
    return " × ".join(c.removesuffix("_id").replace("_", " ") for c in model.grain)


def _linked(names: list[str], here: str) -> str:
    return ", ".join(_link(name, here.partition(".")[0]) for name in names)


def _link(name: str, layer: str) -> str:
    schema, _, shown = name.partition(".")
    if name in sqlmodels.models():
        return f"[`{name}`]({'' if schema == layer else f'../{schema}/'}{shown}.md)"
    page = "data-dictionary.md" if schema == "record" else page_of(shown) if schema == "catalogue" else None
    return f"[`{name}`](../../{page})" if page else f"`{name}`"


def _type(engine: str) -> str:
    kinds = {
        "BIGINT": "whole number", "INTEGER": "whole number", "HUGEINT": "whole number", "VARCHAR": "text",
        "DATE": "date", "BOOLEAN": "yes or no", "DOUBLE": "number", "TIMESTAMP": "time",
    }  # fmt: skip
    return kinds.get(engine, "number" if engine.startswith("DECIMAL") else engine.lower())
