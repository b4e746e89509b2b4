"""The command as people and schedules use it: what it prints, what it returns, and what it never does."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import analysis
from registry import Registry
from reports import cli
from synthetic import Design, simulate, sources


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command in this process; returns exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["catamnesis", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out = capsys.readouterr()
        return int(stop.value.code or 0), out.out, out.err

    return call


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    sources.write_template(simulate(Design(patients=120, seed=2)), folder / "good")
    sources.write_clinics(simulate(Design(patients=120, seed=2)), folder / "clinics")
    return folder


@pytest.fixture(scope="module")
def loaded(files, tmp_path_factory):
    from registry import Registry, derive, ingest

    path = tmp_path_factory.mktemp("registry") / "r.duckdb"
    Registry.create(path).close()
    ingest.load(path, [files / "good"])
    derive(path)
    return path


def test_from_nothing_to_an_answer(run, files, tmp_path):
    reg = tmp_path / "knees.duckdb"
    assert run("init", reg)[0] == 0
    code, out, _ = run("load", reg, files / "good")
    assert code == 0 and " 0 rejected" in out.splitlines()[-1]
    assert run("derive", reg)[0] == 0
    code, out, _ = run("analyse", reg, "time-to-response", "--json")
    answer = json.loads(out)
    assert code == 0
    assert set(answer) >= {"question", "frame", "settings", "attrition", "diagnostics", "withheld"}
    assert set(answer["frame"][0]) >= {"stratum", "quantity", "time_day", "estimate", "low", "high", "n", "note"}


def test_centres_send_counts_and_are_answered_together(run, loaded, tmp_path):
    one, two = tmp_path / "north.zip", tmp_path / "south.zip"
    ends = ("--question", "joint-replacement")
    code, out, _ = run("reduce", loaded, "--out", one, "--centre", "north", *ends)
    assert code == 0 and "look before you send it" in out and "cost of joining" in out
    assert run("reduce", loaded, "--out", two, "--centre", "south", *ends, "--exact")[0] == 0
    code, out, _ = run("analyse", "joint-replacement", "--from", one, "--from", two, "--json")
    answered = json.loads(out)
    assert code == 0
    assert [c["small_counts"] for c in answered["settings"]["centres"]] == ["joined below 5", "exact"]
    assert answered["attrition"][-1]["n"] == sum(c["courses"] for c in answered["settings"]["centres"])
    assert one.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(one) as packed:
        about = json.loads(packed.read("about.json"))["questions"]["joint_replacement"]
    # An exact total, or an estimate with its change, would give a count that was rounded.
    assert all(r["n"] % 5 == 0 for r in about["flow"]) and "cost" not in json.dumps(about)


def test_a_file_of_several_questions_warns_that_one_tells_what_another_hides(run, loaded, tmp_path):
    def said(*how):
        code, out, _ = run("reduce", loaded, "--out", tmp_path / "x.zip", "--centre", "x", *how)
        assert code == 0
        return out

    ends, changes = ("--question", "joint-replacement"), ("--question", "trajectories")
    assert "a subtraction can give the count of fewer than 5 back" in said(*ends, *changes)
    assert "subtraction" in json.loads(said(*ends, *changes, "--json"))["warnings"][0]
    assert "subtraction" not in said(*ends)
    assert "subtraction" not in said(*ends, *changes, "--exact")


def test_what_was_decided_where_counts_were_made_cannot_be_decided_again(run, loaded, tmp_path):
    one = tmp_path / "north.zip"
    run("reduce", loaded, "--out", one, "--centre", "north", "--question", "joint-replacement")
    code, _, error = run("analyse", "joint-replacement", "--from", one, "--by", "sex")
    assert code == 2 and "--by was decided where the counts were made" in error
    code, _, error = run("analyse", "time-to-response", "--from", one)
    assert code == 2 and "has no counts for time-to-response" in error
    code, _, error = run("analyse", "time-to-response", "--from", tmp_path / "none.zip")
    assert code == 2 and "There is no file" in error
    assert run("analyse")[0] == 2
    assert "name one question and no registry" in run("analyse", "--from", one)[2]
    assert "name one question and no registry" in run("analyse", loaded, "joint-replacement", "--from", one)[2]
    code, _, error = run("reduce", loaded, "--out", tmp_path / "none" / "x.zip", "--centre", "x")
    assert code == 2 and "There is no folder" in error


def test_counts_of_fewer_than_five_courses_are_not_written(run, loaded, tmp_path):
    code, _, error = run("reduce", loaded, "--out", tmp_path / "x.zip", "--centre", "x", "--smallest", 10_000)
    assert code == 5
    assert "nothing leaves" in error and not (tmp_path / "x.zip").exists()


def test_load_answers_in_json_and_with_its_exit_code(run, files, tmp_path):
    reg = tmp_path / "r.duckdb"
    run("init", reg)
    code, out, _ = run("load", reg, files / "clinics" / "GLA", "--json")
    counts = json.loads(out)
    assert code == 3
    assert counts["rows_in"] == counts["accepted"] + counts["rejected"] and counts["rejected"] > 0
    assert set(counts["files"][0]) >= {"file", "table", "rows_in", "accepted", "rejected"}


def test_load_says_what_was_wrong_where_and_what_to_do(run, files, tmp_path):
    reg = tmp_path / "r.duckdb"
    run("init", reg)
    out = run("load", reg, files / "clinics" / "GLA")[1]
    line = next(x for x in out.splitlines() if "out_of_range" in x)
    assert "measurements.csv, line" in line and "value '140'" in line and "check the value and its unit" in line


def test_a_file_refused_whole_is_not_success(run, tmp_path):
    run("init", tmp_path / "r.duckdb")
    (tmp_path / "measurements.csv").write_text("")
    code, out, _ = run("load", tmp_path / "r.duckdb", tmp_path / "measurements.csv")
    assert code == 3 and "the file is empty" in out


def test_a_place_that_cannot_be_written_is_said_in_a_line(run, loaded, tmp_path):
    (tmp_path / "taken").write_text("")
    code, out, err = run("report", loaded, "--out", tmp_path / "taken")
    assert code == 1 and "taken" in err and "Traceback" not in out + err


@pytest.mark.parametrize("command", ["report", "publish"])
def test_a_language_that_is_not_there_is_refused_with_those_that_are(run, loaded, tmp_path, command):
    code, _, err = run(command, loaded, "--out", tmp_path / "out", "--language", "deutsch")
    assert code == 2 and "Language 'deutsch' is not known. Allowed: en, de." in err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_keeps_nothing(run, files, tmp_path):
    reg = tmp_path / "r.duckdb"
    run("init", reg)
    assert "nothing kept" in run("load", reg, files / "good", "--dry-run")[1]
    assert json.loads(run("status", reg, "--json")[1])["counts"]["patient"] == 0


def test_the_template_can_be_loaded_as_it_is(run, tmp_path):
    run("init", tmp_path / "r.duckdb")
    assert run("template", tmp_path / "empty")[0] == 0
    code, out, _ = run("load", tmp_path / "r.duckdb", tmp_path / "empty")
    assert code == 0 and "0 in = 0 accepted + 0 rejected" in out


def test_status_and_check_answer(run, loaded):
    code, out, _ = run("status", loaded, "--json")
    status = json.loads(out)
    assert code == 0 and status["counts"]["patient"] == 120
    assert sum(s["courses"] for s in status["status"]) == status["counts"]["course"]
    code, out, _ = run("check", loaded, "--json")
    assert code == (4 if json.loads(out)["open"] else 0)


def test_an_answer_that_cannot_be_given_is_withheld_with_exit_code_5(run, loaded):
    code, out, _ = run("analyse", loaded, "time-to-response", "--definition", "IKDC-11.5", "--json")
    assert code == 5
    assert "IKDC-11.5. 136 the definition could not be judged" in json.loads(out)["withheld"][0]


def test_a_question_keeps_its_own_default_and_says_what_it_needs(run, loaded):
    answer = json.loads(run("analyse", loaded, "safety", "--json")[1])
    assert answer["settings"]["by"] == "product"
    options = ("--serious", "--least-grade", "2", "--related-to", "procedure", "--category", "swelling")
    asked = json.loads(run("analyse", loaded, "safety", *options, "--json")[1])["settings"]
    assert (asked["serious"], asked["least_grade"], asked["related_to"]) == (True, 2, "procedure")
    assert "grade 3" in run("analyse", loaded, "safety-by-grade", "--by", "route")[1]
    code, _, error = run("analyse", loaded, "outlook", "--programme", "osteoarthritis")
    assert code == 2 and "outlook needs --stage" in error and "Traceback" not in error


@pytest.mark.parametrize(
    "named",
    [
        ("--sex", "femal"),
        ("--donor", "autologus"),
        ("--route", "intra_osseus"),
        ("--product", "SFV"),
        ("--like-diagnosis", "primary_AO"),
    ],
)
def test_an_outlook_is_asked_by_all_that_can_be_named(run, loaded, named):
    code, _, error = run("analyse", loaded, "outlook", "--programme", "osteoarthritis", "--stage", "early", *named)
    field = named[0].removeprefix("--").removeprefix("like-")
    assert code == 2 and f"{field} = '{named[1]}' is not known. Did you mean" in error


def test_an_option_of_a_profile_that_there_is_not_is_told_without_a_traceback(run, loaded):
    code, _, error = run("analyse", loaded, "outlook", "--stage", "early", "--prodct", "SVF")
    assert code == 2 and "--prodct" in error and "Traceback" not in error
    code, _, error = run("analyse", loaded, "safety", "--like-diagnosis", "primary_OA")
    assert code == 2 and "--like-diagnosis is not an option of safety" in error


def test_an_outlook_is_printed_with_its_ends_its_support_and_how_well_it_predicts(run, loaded):
    sure = ("--confidence", "0.9", "--resamples", "20", "--seed", "3")
    code, out, _ = run("analyse", loaded, "outlook", "--programme", "osteoarthritis", "--stage", "moderate", *sure)
    assert code == 0 and "\nend, % " in out and "\nsimilar " in out and "note: Rests on the like of" in out
    answer = json.loads(run("analyse", loaded, "outlook", "--stage", "moderate", *sure, "--json")[1])
    assert [answer["settings"][k] for k in ("confidence", "resamples", "seed")] == [0.9, 20, 3]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("analyse", "none.duckdb", "time-to-respons"), "Question 'time-to-respons' is not known. Did you mean 'time-to-response'?"),
        (("simulate", "--layout", "templat", "--out", "x"), "Layout 'templat' is not known. Did you mean 'template'?"),
        (("rows", "none.duckdb", "--programme", "x", "--dates", "shift"), "Dates 'shift' is not known. Did you mean 'shifted'?"),
    ],
)  # fmt: skip
def test_a_word_that_is_not_among_the_choices_is_answered_with_the_nearest(run, arguments, told):
    code, out, error = run(*arguments)
    assert code == 2 and error.startswith(told + " Allowed: ") and "Value error" not in out + error


def test_several_programmes_are_told_how_to_select_one_on_the_command_line(run, tmp_path, synthetic_file):
    code, _, error = run("analyse", synthetic_file, "joint-replacement")
    assert code == 2 and "--programme on the command line" in error


def test_numbers_of_one_stratum_withheld_end_with_exit_code_5_too(run, loaded, monkeypatch):
    shown = analysis.joint_replacement(Registry.open(loaded).courses(programme="osteoarthritis"))
    partly = replace(shown, withheld=("bone_on_bone: too few boosts",))
    monkeypatch.setattr(analysis, "joint_replacement", lambda courses, **_: partly)
    code, out, _ = run("analyse", loaded, "joint-replacement")
    assert code == 5 and "early" in out


def test_where_there_is_nothing_to_draw_the_answer_is_told_all_the_same(run, loaded, tmp_path):
    """A booster's effect of which no number is shown: exit code 5, the whole answer on standard output, no figure."""
    asked = ("booster-effect", "--resamples", "20", "--json", "--figure", tmp_path / "f.png")
    code, out, _ = run("analyse", loaded, *asked)
    assert code == 5 and json.loads(out)["withheld"] and not (tmp_path / "f.png").exists()


def test_a_figure_of_another_kind_is_refused_before_anything_is_computed(run, loaded, tmp_path):
    code, out, error = run("analyse", loaded, "joint-replacement", "--figure", tmp_path / "f.pdf")
    assert code == 2 and out == "" and ".png" in error


def test_a_figure_is_written_beside_the_answer(run, loaded, tmp_path):
    assert run("analyse", loaded, "joint-replacement", "--figure", tmp_path / "f.png")[0] == 0
    assert (tmp_path / "f.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("status", "nowhere.duckdb"), 2, "There is no registry"),
        (("load", "nowhere.duckdb", "x.csv"), 2, "There is no file or folder"),
        (("analyse", "nowhere.duckdb", "time-to-heaven"), 2, "time-to-response"),
        (("fly",), 2, "No such command"),
        (("simulate",), 2, "--out"),
    ],
)
def test_mistakes_end_in_a_message_and_no_traceback(run, arguments, code, words):
    got, out, err = run(*arguments)
    assert got == code
    assert words in out + err and "Traceback" not in out + err


def test_an_existing_registry_is_never_overwritten(run, loaded):
    before = Path(loaded).read_bytes()
    code, _, err = run("init", loaded)
    assert code == 2 and "Nothing was changed" in err
    assert Path(loaded).read_bytes() == before


def test_simulate_writes_the_same_bytes_for_the_same_seed(run, tmp_path):
    for name in ("a", "b"):
        assert run("simulate", "--out", tmp_path / name, "--patients", "60", "--layout", "clinics")[0] == 0
    assert sources.digest(tmp_path / "a") == sources.digest(tmp_path / "b")


def test_the_demo_refuses_a_folder_that_is_not_its_own(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    code, _, err = run("demo", "--out", tmp_path)
    assert code == 2 and "did not write" in err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_help_does_not_load_the_statistics():
    code = "import sys, reports.cli; print([m for m in ('duckdb', 'polars', 'scipy', 'lifelines') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_record_is_corrected_told_proved_cut_and_read_as_it_was(run, loaded, files, tmp_path):
    """The commands that keep the record, on a copy of the registry, one after the other."""
    import shutil

    import duckdb

    reg = tmp_path / "r.duckdb"
    assert run("backup", loaded, reg)[0] == 0
    shutil.copy2(f"{loaded}.key", f"{reg}.key")
    table = (files / "good" / "measurements.csv").read_text().splitlines()
    header, row = table[0].split(","), table[1].split(",")
    row[header.index("value")] = "44.4444" if row[header.index("value")] != "44.4444" else "47.2222"
    file = tmp_path / "measurements.csv"
    file.write_text("\n".join([table[0], ",".join(row)]) + "\n")
    day = (files / "good" / "load.toml").read_text().split("=")[1].strip()
    assert run("load", reg, file, "--extracted-on", day)[0] == 3
    code, out, _ = run("load", reg, file, "--extracted-on", day, "--reason", "typed wrongly")
    assert code == 0 and "1 of them corrections" in out
    code, out, _ = run("history", reg)
    assert code == 0 and "typed wrongly" in out and "→" in out
    code, out, _ = run("verify", reg, "--json")
    assert code == 0 and json.loads(out)["problems"] == [] and len(json.loads(out)["head"]) == 64
    code, out, _ = run("cut", reg, "one", "--out", tmp_path / "cuts")
    assert code == 0 and "Manifest: " in run("verify", tmp_path / "cuts" / "one")[1]
    question = ("time-to-response", "--programme", "osteoarthritis", "--json")
    then, now, frozen = (
        json.loads(run("analyse", *place, *question)[1])["frame"]
        for place in ((loaded,), (reg,), (tmp_path / "cuts" / "one",))
    )
    assert now == frozen
    assert json.loads(run("analyse", reg, *question, "--as-of", 1)[1])["frame"] == then
    code, out, _ = run("due", reg)
    assert code == 0 and "12 months" in out and "overdue" in out
    assert {"centre", "stage", "scale", "n_lost"} <= json.loads(run("due", reg, "--json")[1])["follow_up"][0].keys()
    code, out, _ = run("check", reg, "--keep", "--json")
    told = json.loads(out)
    first = told["defects"][0]
    assert code == 4 and told["kept"]["open"] == told["open"] > 0
    place = (first["defect"], first["file"], first["line"])
    assert run("waive", reg, *place, "--reason", "looked at the chart")[0] == 0
    assert json.loads(run("check", reg, "--json")[1])["open"] < told["open"]
    assert run("waive", reg, *place, "--reason", "again")[0] == 2
    code, _, err = run("retract", reg, "measurements.csv", 2, "--reason", "not hers", "--load", 1)
    assert code == 2 and "No row of the record came from measurements.csv, line 2" in err
    assert run("retract", reg, "measurements.csv", 2, "--reason", "not hers")[0] == 0
    assert "retracted measurements.csv, line 2 (not hers)" in run("history", reg)[1]
    assert run("migrate", reg)[1].strip().endswith("already.")
    with duckdb.connect(str(reg)) as con:
        con.execute("update record.patient set birth_year = 1901")
    code, out, _ = run("verify", reg)
    assert code == 4 and "what is held of patient is not what was loaded" in out
    code, _, err = run("analyse", tmp_path / "cuts" / "one", *question, "--as-of", 1)
    assert code == 2 and "is a data cut" in err


def test_an_empty_registry_says_that_nothing_is_loaded_yet(run, tmp_path):
    assert run("init", tmp_path / "knees.duckdb")[0] == 0
    code, _, said = run("analyse", tmp_path / "knees.duckdb", "time-to-response", "--programme", "osteoarthritis")
    assert (code, said.strip()) == (2, "The registry holds no course yet: load files first (catamnesis load).")
    code, _, said = run("analyse", tmp_path / "knees.duckdb", "time-to-response")
    assert (code, said.strip()) == (5, "No course is selected: there is nothing to judge.")
