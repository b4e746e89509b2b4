"""Every public name is at home in a cell: it shows what it is, completes, and its help has an example that runs."""

from __future__ import annotations

import ast
import doctest
import inspect
from importlib import import_module
from types import SimpleNamespace

import pytest

import analysis
import synthetic
from registry import Registry, derive
from registry.errors import UsageError
from registry.ingest import load
from registry.progress import steps
from synthetic import Design, simulate, sources

PUBLIC = {
    f"{package}.{name}": getattr(import_module(package), name)
    for package in ("registry", "analysis", "synthetic")
    for name in import_module(package).__all__
}
FUNCTIONS = {name: f for name, f in PUBLIC.items() if inspect.isfunction(f)}
CLASSES = {name for name, c in PUBLIC.items() if inspect.isclass(c) and not issubclass(c, Exception)}
# Settings that a person writes: their own text says all there is.
PLAIN = {"synthetic.Design"}


@pytest.fixture(scope="module")
def shown(synthetic_file, tmp_path_factory):
    """One object of every public class, and of what the commonest calls return."""
    folder = tmp_path_factory.mktemp("home")
    made = simulate(Design(patients=8, seed=3))
    sources.write_template(made, folder / "files")
    patients = folder / "files" / "patients.csv"
    patients.write_text(patients.read_text("utf-8") + "P-x,,1850,female\n", encoding="utf-8")
    Registry.create(folder / "small.duckdb").close()
    report = load(folder / "small.duckdb", [folder / "files"])
    with Registry.open(synthetic_file) as reg:
        knees = reg.courses(programme="osteoarthritis", site="knee")
        yield {
            "registry.Registry": reg,
            "registry.Courses": knees,
            "analysis.Result": analysis.time_to_response(knees, resamples=20),
            "analysis.Reduction": analysis.reduce_for(knees, "joint_replacement"),
            "analysis.Description": analysis.describe(knees),
            "synthetic.Synthetic": made,
            "load report": report,
            "verified": reg.verify(),
        }


def test_every_public_class_is_shown_here(shown):
    assert {name for name in shown if "." in name} == CLASSES - PLAIN


def test_what_is_shown_says_what_was_used_first_and_in_words(shown):
    for name, thing in shown.items():
        text, html = repr(thing), thing._repr_html_()
        assert not text.startswith((f"{type(thing).__name__}(", "<")), name
        assert any(c.isdigit() for c in text) and "<" in html and "object at 0x" not in html, name
    assert "used " in repr(shown["analysis.Result"]).splitlines()[1]
    assert shown["analysis.Result"]._repr_html_().index("used ") < shown["analysis.Result"]._repr_html_().index(
        "<table"
    )
    assert "Definition" in shown["analysis.Result"]._repr_html_() or "definition" in repr(shown["analysis.Result"])
    assert "1 rejected" in repr(shown["load report"]) and "patients.csv" in shown["load report"]._repr_html_()
    assert "programme = osteoarthritis" in shown["registry.Courses"]._repr_html_()
    assert "as it was written down" in repr(shown["verified"])


def test_what_was_withheld_is_said_with_its_reason(shown):
    from dataclasses import replace

    result = replace(shown["analysis.Result"], withheld=("two <of> five decisions",))
    assert "<b>Withheld.</b> two &lt;of&gt; five decisions" in result._repr_html_()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_help_teaches_with_an_example_whose_arguments_exist(name):
    text = inspect.getdoc(PUBLIC[name])
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, f"help({name}) has no example"
    for call in (n for e in examples for n in ast.walk(ast.parse(e.source)) if isinstance(n, ast.Call)):
        called = FUNCTIONS.get(f"{name.split('.')[0]}.{getattr(call.func, 'id', '')}")
        if called is not None:
            inspect.signature(called).bind(*call.args, **{k.arg: k.value for k in call.keywords})


def test_what_courses_are_selected_by_completes(shown):
    reg = shown["registry.Registry"]
    arguments = set(inspect.signature(reg.courses).parameters)
    assert {"programme", "site", "stage", "dose_band", "min_potential_follow_up_day"} <= arguments
    for argument in arguments:
        reg.courses(**{argument: None})
    assert {"courses", "sql", "tables", "check", "data_cut"} <= set(dir(reg))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("create table x as select 1", "changes nothing"),
        ("delete from record.patient", "changes nothing"),
        ("select 1; select 2", "one SELECT"),
        ("select * from course.profil", "profil does not exist"),
        ("selec 1", "syntax error"),
        ("select cellsource from course.profile", "tables\\(\\) lists"),
    ],
)
def test_sql_answers_one_select_and_refuses_in_a_sentence(shown, query, said):
    with pytest.raises(UsageError, match=said):
        shown["registry.Registry"].sql(query)


def test_tables_lists_what_sql_can_ask(shown):
    reg = shown["registry.Registry"]
    listed = reg.tables()
    assert listed.filter(table="record.patient")["title"][0] and listed.filter(table="course.profile")["title"][0]
    for table in listed["table"]:
        assert reg.sql(f"from {table} limit 0").columns == listed.filter(table=table)["columns"][0].split(", ")


def test_long_work_says_how_far_it_is_where_somebody_watches(monkeypatch, capsys):
    clock = iter([0.0, 0.0, 3.0, 6.0, 9.0])
    monkeypatch.setattr("registry.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(steps([1, 2, 3, 4], "resamples")) == [1, 2, 3, 4]
    assert "resamples: 1 of 4, about 9 s left" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_example_in_the_help_runs(name, knees_of_examples):
    finder = doctest.DocTestFinder(recurse=inspect.isclass(PUBLIC[name]))
    scope = {**vars(analysis), **vars(synthetic), "derive": derive, **knees_of_examples}
    for test in finder.find(PUBLIC[name], name, globs=scope):
        found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert found.failed == 0


@pytest.fixture(scope="module")
def knees_of_examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    sources.write_template(simulate(Design(patients=900, seed=5)), folder / "files")
    Registry.create(folder / "knees.duckdb").close()
    load(folder / "knees.duckdb", [folder / "files"])
    derive(folder / "knees.duckdb")
    with Registry.open(folder / "knees.duckdb") as reg:
        yield {"reg": reg, "knees": reg.courses(programme="osteoarthritis", site="knee")}
