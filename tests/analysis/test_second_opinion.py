"""On the reader's own data other programs say the same; what they cannot say is said, and a difference is seen."""

import json
import warnings
from importlib import import_module

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from analysis import second_opinion
from registry import Registry, derive
from registry.errors import NotEstimable
from registry.ingest import load
from reports import answers
from reports.cli import app
from synthetic import Design, simulate, sources

# The package gives the function under the module's name.
module = import_module("analysis.second_opinion")


def made(folder, patients, seed):
    sources.write_template(
        simulate(Design(patients=patients, seed=seed, programmes={"osteoarthritis": 1.0})), folder / "in"
    )
    Registry.create(folder / "knees.duckdb").close()
    load(folder / "knees.duckdb", [folder / "in"])
    derive(folder / "knees.duckdb")
    return folder / "knees.duckdb"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return made(tmp_path_factory.mktemp("opinion"), 400, 5)


@pytest.fixture(scope="module")
def knees(path):
    with Registry.open(path) as registry:
        yield registry.courses(programme="osteoarthritis", site="knee")


@pytest.fixture(scope="module")
def beside(knees):
    return second_opinion(knees)


def test_lifelines_and_statsmodels_say_what_we_say(beside):
    compared = beside.drop_nulls("allowed")
    assert set(compared["question"]) == {"joint_replacement", "response_at_visits", "trajectories", "safety"}
    assert compared["agrees"].all() and (compared["difference"].abs() <= compared["allowed"]).all()
    assert compared["theirs"].n_unique() > 40 and compared.height > 60
    assert {p.split()[0] for p in compared["program"]} == {"lifelines", "statsmodels"}


def test_kaplan_meier_of_visit_dates_is_shown_as_what_it_is_and_is_not_close(beside):
    shown = beside.filter(question="time_to_response")
    assert shown["allowed"].is_null().all() and shown["agrees"].is_null().all()
    assert shown["note"].str.contains("another estimand").all()
    # A visit finds what began before it: dated by visits, response comes later.
    early = shown.filter(pl.col("time_day") == shown["time_day"].min())
    assert (early["difference"] > 0.01).any()


@pytest.mark.parametrize("by", ["sex", "all"])
def test_it_agrees_by_whatever_separates_the_strata(knees, by):
    assert second_opinion(knees, by=by)["agrees"].drop_nulls().all()


@pytest.mark.parametrize("seed", [9, 3])
def test_it_agrees_in_a_small_registry_too_where_few_were_seen_at_a_visit(tmp_path, seed):
    with Registry.open(made(tmp_path, 60, seed)) as registry:
        beside = second_opinion(registry.courses(programme="osteoarthritis"))
    assert beside["agrees"].drop_nulls().all() and beside.filter(question="response_at_visits")["ours"].count() > 0


def test_a_difference_is_seen_and_the_command_ends_with_it(path, monkeypatch):
    monkeypatch.setattr(module, "_QUESTIONS", module._QUESTIONS[:1])
    right = module.step_values
    monkeypatch.setattr(module, "step_values", lambda *given, before: right(*given, before=before) + 1e-6)
    command = ["second-opinion", str(path), "--programme", "osteoarthritis"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1 and "MORE than 1e-09: please report it" in done.output
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)["compared"]
    assert [t["agrees"] for t in told] == [False, True] and told[0]["largest_difference"] == pytest.approx(1e-6)


def test_no_number_of_a_stratum_is_in_what_the_command_says(beside):
    told = answers.opinions(beside)
    assert set(told[0]) == {"question", "program", "allowed", "note", "numbers", "largest_difference", "agrees"}
    lines = [answers.opinion(t) for t in told]
    assert any("as statsmodels" in line and "joint replacement" in line for line in lines)
    assert sum(t["numbers"] for t in told) == beside["ours"].count()


def test_a_singular_fit_or_one_that_does_not_converge_is_no_opinion():
    def warned():
        warnings.warn("The MLE may be on the boundary of the parameter space.\nSee", UserWarning, stacklevel=1)

    def failed():
        raise np.linalg.LinAlgError("Singular matrix")

    assert module._quietly(warned)[1] == ("statsmodels warned (The MLE may be on the boundary of the parameter space.)")
    assert module._quietly(failed) == (None, "statsmodels failed (Singular matrix)")
    assert module._quietly(lambda: 1) == (1, "")


def test_of_many_courses_what_takes_minutes_is_left_out_and_said(knees):
    told = second_opinion(knees, most_courses=10).filter(pl.col("note").str.starts_with("left out"))
    assert told["question"].to_list() == ["response_at_visits", "trajectories"] and told["ours"].is_null().all()


def test_what_cannot_be_estimated_is_a_row_with_its_reason(knees):
    some = knees.exclude(knees.ids.to_frame()[2:].with_columns(reason=pl.lit("not of the two")))
    told = second_opinion(some)
    assert "trajectories" in told.filter(pl.col("note").str.starts_with("not compared"))["question"].to_list()
    none = knees.exclude(knees.ids.to_frame().with_columns(reason=pl.lit("nobody")))
    with pytest.raises(NotEstimable, match="nobody"):
        second_opinion(none)
