"""Creating, opening, sharing: what is not there or not ours is said in one line."""

import os
import subprocess
import sys

import duckdb
import pytest

from registry import Registry, connection, derive, migrations
from registry.errors import CatamnesisError, RegistryMissing, UsageError, of_engine
from registry.ingest import load


def test_an_existing_file_is_never_overwritten(clinic):
    with pytest.raises(UsageError, match=r"knees\.duckdb exists\. Nothing was changed"):
        Registry.create(clinic.path)


def test_a_registry_needs_a_folder_that_exists(tmp_path):
    with pytest.raises(UsageError, match="There is no folder"):
        Registry.create(tmp_path / "none" / "a.duckdb")


def test_a_registry_that_is_not_there_says_how_to_create_one(tmp_path):
    with pytest.raises(RegistryMissing, match=r"There is no registry .*none\.duckdb.*catamnesis init"):
        Registry.open(tmp_path / "none.duckdb")


@pytest.mark.parametrize("spoil", ["text", "empty", "cut", "garbled"])
def test_a_damaged_file_is_not_a_registry_and_says_so(clinic, spoil):
    whole = clinic.path.read_bytes()
    damaged = {
        "text": b"patient,site\n",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "garbled": whole[:5000] + b"\xff" * 20_000 + whole[25_000:],
    }
    clinic.path.write_bytes(damaged[spoil])
    with pytest.raises(RegistryMissing, match=r"knees\.duckdb is not a registry"):
        Registry.open(clinic.path)


def test_another_duckdb_file_is_not_a_registry(tmp_path):
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    with pytest.raises(RegistryMissing, match="is a DuckDB file, but not a registry"):
        Registry.open(tmp_path / "other.duckdb")


def test_a_registry_open_in_a_session_can_be_written_and_goes_on_showing_what_it_showed(clinic):
    clinic.write_good()
    with Registry.open(clinic.path) as before:
        clinic.load()
        assert before.counts()["patient"] == 0 and before.verify().rows == 0
        with Registry.open(clinic.path) as after:
            assert after.counts()["patient"] == 2
    derive(clinic.path)


def test_what_was_not_derived_yet_is_derived_in_memory_and_said(clinic):
    clinic.write_good()
    clinic.load()
    with Registry.open(clinic.path) as registry:
        assert registry.sql("select count(*) as n from course.course")["n"][0] == 1
        assert "derived in memory" in registry.notes[0]
    derive(clinic.path)
    with Registry.open(clinic.path) as registry:
        assert registry.notes == []


def test_a_new_load_makes_what_was_derived_stale(clinic):
    clinic.write_good()
    clinic.load()
    derive(clinic.path)
    clinic.load(clinic.add("measurements", date="2022-07-01"))
    with Registry.open(clinic.path) as registry:
        assert registry.stale()


@pytest.mark.parametrize("seed", ["1", "2", "5"])
def test_a_registry_derived_in_one_process_is_not_stale_in_another(clinic, seed):
    """Python gives each process its own order of sets; a stamp that hung on it was stale every other time."""
    clinic.write_good()
    clinic.load()
    derive(clinic.path)
    ask = f"from registry import Registry; print(Registry.open({str(clinic.path)!r}).stale())"
    told = subprocess.run(
        [sys.executable, "-c", ask],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"


def test_nothing_typed_at_a_registry_can_change_it(clinic):
    before = clinic.path.read_bytes()
    with Registry.open(clinic.path) as registry, pytest.raises(duckdb.Error):
        registry.con.execute("delete from registry.record.patient")
    assert clinic.path.read_bytes() == before


def test_a_registry_says_what_it_holds(six_programmes):
    text = repr(six_programmes)
    assert text.startswith("Registry six.duckdb: 120 patients")
    assert text.endswith("data to 2025-01-04")
    assert "120" in six_programmes._repr_html_()


def test_courses_are_selected_with_a_reason_for_each_that_leaves(six_programmes):
    courses = six_programmes.courses(
        programme="osteoarthritis", site="knee", min_potential_follow_up_day=365, min_age=50
    )
    assert courses.selection["min_age"] == 50
    assert courses.flow()["n"][0] == courses.attrition.height
    assert sum(courses.flow()["n"][1:]) == courses.attrition.height
    assert courses.attrition.filter("kept")["reason"].null_count() == len(courses)


def test_a_course_without_a_session_was_not_treated_and_is_never_selected(clinic):
    clinic.write_good()
    clinic.write(
        "sessions",
        "patient,site,side,course_no,session_no,date,intent,route,guidance\n".replace("guidance", "guidance,product"),
    )
    clinic.load()
    with Registry.open(clinic.path) as registry:
        courses = registry.courses()
        assert len(courses) == 0
        assert courses.attrition["reason"].to_list() == ["no session recorded"]


@pytest.mark.parametrize(
    ("wrong", "said"), [({"joint": "knee"}, "Selection 'joint'"), ({"site": "nee"}, "Did you mean 'knee'")]
)
def test_a_selection_by_what_is_not_there_lists_what_is(six_programmes, wrong, said):
    with pytest.raises(UsageError, match=said):
        six_programmes.courses(**wrong)


@pytest.mark.parametrize("ceiling", ["0GB", "1KB", "9.5 mib", "9999KB"])
def test_a_ceiling_too_low_to_open_anything_is_refused_with_the_least(synthetic_file, monkeypatch, ceiling):
    monkeypatch.setenv("CATAMNESIS_MEMORY", ceiling)
    with pytest.raises(UsageError, match="The least is 10MB"):
        Registry.open(synthetic_file)


def test_a_lack_of_memory_is_not_taken_for_a_file_that_is_no_registry(synthetic_file, monkeypatch):
    monkeypatch.setattr(connection, "LEAST_MEMORY_MB", 0)
    monkeypatch.setenv("CATAMNESIS_MEMORY", "300KB")
    with pytest.raises(duckdb.OutOfMemoryException) as error:
        Registry.open(synthetic_file)
    assert "raise the ceiling" in of_engine(error.value)
    with pytest.raises(CatamnesisError, match="more memory than it may use"):
        migrations.migrate(synthetic_file)


def test_the_least_ceiling_opens_a_registry(synthetic_file, monkeypatch):
    monkeypatch.setenv("CATAMNESIS_MEMORY", "10MB")
    with Registry.open(synthetic_file) as registry:
        assert registry.counts()["patient"] > 0


def test_an_empty_ceiling_is_refused_and_not_taken_for_none(synthetic_file):
    command = [sys.executable, "-m", "reports.cli", "--memory", "", "status", str(synthetic_file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "It is empty" in done.stderr


def test_a_memory_ceiling_is_kept_to_or_said_and_nothing_half_done_stays(template_folder, tmp_path, monkeypatch):
    path = tmp_path / "small.duckdb"
    Registry.create(path).close()
    monkeypatch.setenv("CATAMNESIS_MEMORY", "lots")
    with pytest.raises(UsageError, match="write an amount of memory"):
        load(path, [template_folder])
    command = [sys.executable, "-m", "reports.cli", "--memory", "12MB", "load", str(path), str(template_folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-500:]
    assert "--memory 4GB" in done.stderr
    monkeypatch.setenv("CATAMNESIS_MEMORY", "600MB")
    assert Registry.open(path).counts()["patient"] == 0
    assert load(path, [template_folder]).rejected == 0
