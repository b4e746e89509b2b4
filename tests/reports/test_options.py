"""What Python takes the command takes: options are made from the questions, and what was typed arrives."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import analysis
from analysis.pooled import QUESTIONS, takes
from registry.errors import UsageError
from reports import asking, options
from reports.cli import app

QUESTION = [q.name for q in asking.Question]
OF_ALL = ("--programme", "osteoarthritis", "--json")


def flags(command):
    made = get_command(app).get_command(None, command)
    return {o for p in made.get_params(made.make_context(command, [], resilient_parsing=True)) for o in p.opts}


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Run `analyse` on a registry of 120 patients; returns the settings of the answer."""
    from registry import Registry, derive, ingest
    from synthetic import Design, simulate, sources

    folder = tmp_path_factory.mktemp("options")
    sources.write_template(simulate(Design(patients=120, seed=2)), folder / "files")
    Registry.create(folder / "r.duckdb").close()
    ingest.load(folder / "r.duckdb", [folder / "files"])
    derive(folder / "r.duckdb")

    def call(*typed, command="analyse"):
        done = CliRunner().invoke(app, [command, str(folder / "r.duckdb"), *typed])
        if isinstance(done.exception, UsageError):
            raise done.exception
        return done

    return call


@pytest.mark.parametrize("question", QUESTION)
def test_every_keyword_of_a_question_is_an_option_of_the_command(question):
    parameters = inspect.signature(getattr(analysis, question)).parameters.values()
    named = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    # The one name that the command has for the selection of courses.
    typed = {"--like-diagnosis" if n == "diagnosis" else f"--{n.replace('_', '-')}" for n in named}
    assert named and typed <= flags("analyse")


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_every_keyword_that_decides_what_is_counted_is_an_option_of_reduce(question):
    public = inspect.signature(getattr(analysis, question)).parameters
    assert {f"--{n.replace('_', '-')}" for n in takes(question) if n in public} <= flags("reduce")


def test_every_option_is_explained():
    for option, of in options.by_option(asking.ASKING[asking.analyse].asks()).items():
        said = options.explained(of, len(QUESTION))[1]
        assert len(said) > 15 and "`" not in said and ":func:" not in said, option


def test_the_options_of_a_question_are_explained_by_themselves():
    said, every = (CliRunner().invoke(app, ["analyse", *of, "--help"]).output for of in (["loss-of-response"], []))
    assert "--landmark-day" in said and "--imputations" not in said
    assert "--landmark-day" in every and "--imputations" in every


def test_the_help_of_the_command_does_not_wait_for_the_statistics():
    code = (
        "import sys; from reports.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; print('analysis' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("typed", "settings"),
    [
        (("loss-of-response", "--loss", "L3", "--after-day", "90,180", "--landmark-day", "200", "--change-day", "183",
          "--confidence", "0.9", "--booster-policy", "censor", "--confirmation", "first"),
         {"loss": "L3", "after_day": [90, 180], "landmark_day": 200, "change_day": [183], "confidence": 0.9,
          "booster_policy": "censor", "confirmation": "first"}),
        (("time-to-response", "--end-policy", "censor", "--early-visits", "counted", "--resamples", "20", "--seed", "7",
          "--horizon-day", "365", "--horizon-day", "91"),
         {"end_policy": "censor", "early_visits": "counted", "resamples": 20, "seed": 7, "horizon_day": [91, 365]}),
        (("time-in-response", "--change-day", "", "--horizon-day", "365"), {"change_day": [], "horizon_day": [365]}),
        (("trajectories", "--reference", "moderate", "--contrasts", "pairwise", "--visits", "6 months, 12 months",
          "--adjust", "age,sex", "--structure", "compound symmetry", "--variance", "model"),
         {"reference": "moderate", "contrasts": "pairwise", "adjust": ["age", "sex"], "variance": "model"}),
        (("imputed-change", "--deltas", "-5,0", "--own-delta", "early=-5", "--own-delta", "moderate=-10",
          "--imputations", "10"),
         {"own_delta": {"early": -5.0, "moderate": -10.0}, "imputations": 10}),
        (("imputed-change", "--own-delta", "early=-5,moderate=-10", "--imputations", "10"),
         {"own_delta": {"early": -5.0, "moderate": -10.0}}),
        (("adjusted-response", "--covariates", "age"), {"covariates": ["age"]}),
        (("joint-replacement", "--horizon-day", "700", "--resamples", "20"), {"horizon_day": [700], "resamples": 20}),
    ],
    ids=lambda x: x[0] if isinstance(x, tuple) else "",
)  # fmt: skip
def test_settings_follow_what_was_typed(ask, typed, settings):
    done = ask(*typed, *OF_ALL)
    answered = json.loads(done.output)["settings"]
    assert {name: answered[name] for name in settings} == settings


def test_the_definitions_named_are_those_compared(ask):
    done = ask("specifications", "--definitions", "OO-2004,KOOS-pain-10", "--confirmations", "first",
               "--resamples", "20", *OF_ALL)  # fmt: skip
    notes = {r["note"] for r in json.loads(done.output)["frame"] if r["quantity"] == "response"}
    assert notes == {"OO-2004 | first", "KOOS-pain-10 | first"}


def test_weights_are_read_from_a_file(ask, tmp_path):
    (tmp_path / "w.csv").write_text("course_id,weight\nnobody,1\n")
    with pytest.raises(UsageError, match="selected"):
        ask("describe", "--weights", str(tmp_path / "w.csv"), *OF_ALL)
    with pytest.raises(UsageError, match=r"--weights .*none\.csv: "):
        ask("describe", "--weights", str(tmp_path / "none.csv"), *OF_ALL)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("loss-of-response", "--landmark-day", "half a year"), "--landmark-day 'half a year' is no whole number."),
        (("loss-of-response", "--after-day", "183,0"), "after_day = "),
        (("loss-of-response", "--loss", "L9"), "'L9' is not known"),
        (("loss-of-response", "--confidence", "nan"), "--confidence 'nan' is no number."),
        (("time-to-response", "--end-policy", "censored"), "Did you mean 'censor'?"),
        (("time-to-response", "--seed", "-1"), "seed = -1 must be 0 or more."),
        (("safety", "--seed", "-1"), "seed = -1 must be 0 or more."),
        (("joint-replacement", "--confidence", "95"), "confidence = 95.0 must lie between 0.5 and 1"),
        (("joint-replacement", "--resamples", "0"), "give 20 or more, 200 for a report."),
        (("time-to-response", "--landmark-day", "183"), "not an option of time-to-response; it is one of loss-of-resp"),
        (("subgroups", "--horizon-day", "91", "--horizon-day", "365"), "--horizon-day takes one value here, not 2."),
        (("trajectories", "--contrasts", "all"), "--contrasts 'all' is not known"),
        (("trajectories", "--reference", "none such"), "none such"),
        (("imputed-change", "--own-delta", "-5"), "--own-delta takes STRATUM=VALUE"),
        (("imputed-change", "--own-delta", "early=-5,-3"), "--own-delta takes STRATUM=VALUE"),
        (("imputed-change", "--own-delta", "early=-5,early=-3"), "--own-delta has several values for early: give one."),
        (("describe", "--weights", "w.txt"), "Ending of the file of --weights '.txt' is not known"),
    ],
)
def test_a_value_that_does_not_fit_is_answered_in_a_sentence_with_exit_code_2(ask, typed, told):
    with pytest.raises(UsageError) as error:
        ask(*typed, *OF_ALL)
    assert told in str(error.value) and error.value.exit_code == 2


def test_counts_are_made_and_answered_with_all_that_decides_them(ask, tmp_path):
    file, only = tmp_path / "north.zip", ("--question", "loss-of-response", "--question", "time-to-response")
    done = ask("--out", str(file), "--centre", "north", *only, "--loss", "L3", "--end-policy", "censor", "--exact",
               "--programme", "osteoarthritis", command="reduce")  # fmt: skip
    assert done.exit_code == 0, done.output

    def answer(*typed):
        return CliRunner().invoke(app, ["analyse", *typed, "--from", str(file), "--json"])

    settings = json.loads(answer("loss-of-response", "--after-day", "100", "--landmark-day", "91").output)["settings"]
    assert (settings["loss"], settings["after_day"], settings["landmark_day"]) == ("L3", [100], 91)
    assert json.loads(answer("time-to-response", "--resamples", "20").output)["settings"]["end_policy"] == "censor"
    assert "--loss was decided where the counts were made" in str(answer("loss-of-response", "--loss", "L1").exception)


def test_a_comma_in_the_name_of_a_stratum_stays_in_it():
    own = options.keywords(analysis.imputed_change)["own_delta"]
    assert own.read("BMAC, washed=-5,SVF=-10") == {"BMAC, washed": -5.0, "SVF": -10.0}


def test_a_keyword_that_no_option_can_be_is_found_when_it_is_written():
    def question(courses, *, how: Literal["a", "b"] = "a", frame: pl.DataFrame | None = None, of: complex = 1j): ...

    with pytest.raises(TypeError, match=r"question\(of=…\)"):
        options.keywords(question)
