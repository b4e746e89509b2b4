"""What does not fit into memory goes to a folder for its owner only, which goes with the session or after it."""

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from registry import Registry, cut, spilling
from registry.connection import new_session

FILL = "set memory_limit = '60MB'; create temp table big as select 'x' || hash(i) as s, hash(i + 1) as t from range(3000000) t(i)"


def spill(con):
    """Make a session spill; returns its files on the disk."""
    con.execute(FILL)
    (folder,) = con.sql("select current_setting('temp_directory')").fetchone()
    return [file for file in Path(folder).rglob("*") if file.is_file()]


@pytest.mark.parametrize("of", ["registry", "cut"])
def test_a_reader_spills_beside_what_it_reads_for_its_owner_only_and_leaves_nothing(clinic, tmp_path, monkeypatch, of):
    clinic.write_good()
    clinic.load()
    place = clinic.path if of == "registry" else cut.cut(clinic.path, "one", tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(place.parent.iterdir())
    with Registry.open(place) as registry:
        files = spill(registry.con)
        assert files
        for file in files:
            private = file.relative_to(place.parent.resolve()).parts[0]
            assert stat.S_IMODE((place.parent / private).stat().st_mode) == 0o700
    assert sorted(place.parent.iterdir()) == before and list(Path().iterdir()) == []


def test_where_nothing_can_be_written_beside_it_a_reader_spills_among_the_systems_own(clinic, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "own"))
    con = new_session(tmp_path / "nowhere" / "knees.duckdb")
    assert all((tmp_path / "own") in file.parents for file in spill(con))
    spilling.close(con)
    assert list((tmp_path / "own").iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "neither"))
    con = new_session(tmp_path / "nowhere" / "knees.duckdb")
    assert con.sql("select current_setting('temp_directory')").fetchone() == ("",)


@pytest.mark.skipif(spilling.fcntl is None, reason="needs a POSIX system")
def test_what_a_killed_reader_left_goes_when_the_next_opens_and_what_a_living_one_has_stays(clinic):
    code = """
        import os, signal, sys
        from registry import Registry
        registry = Registry.open(sys.argv[1])
        registry.con.execute(sys.argv[2])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    before = set(clinic.path.parent.iterdir())
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code), clinic.path, FILL], check=False)
    left = set(clinic.path.parent.iterdir()) - before
    assert killed.returncode == -9 and [stat.S_IMODE(folder.stat().st_mode) for folder in left] == [0o700]
    assert any(file.is_file() for folder in left for file in folder.rglob("*"))
    with Registry.open(clinic.path) as living:
        assert not left & set(clinic.path.parent.iterdir())
        files = spill(living.con)
        Registry.open(clinic.path).close()
        assert files and all(file.exists() for file in files)
    assert set(clinic.path.parent.iterdir()) == before


def test_a_process_that_branched_off_takes_no_folder_away(clinic):
    with Registry.open(clinic.path) as registry:
        folder = next(clinic.path.parent.glob(f".{clinic.path.name}.session-*"))
        kept = spilling._KEPT[registry.con]
        child = os.fork()
        if child == 0:
            kept()
            os._exit(0)
        os.waitpid(child, 0)
        assert folder.exists()
    assert not folder.exists()
