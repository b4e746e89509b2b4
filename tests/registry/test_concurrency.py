"""Readers and writers at once, in processes of their own: nobody waits, nobody sees half of anything."""

import os
import random
import subprocess
import sys
import textwrap
import time

import duckdb
import pytest

from registry import Registry, derive
from registry.connection import writing
from registry.errors import CatamnesisError, Exit, RegistryBusy
from registry.ingest import load


@pytest.fixture
def written(clinic):
    """A clinic with one load, and a process that is writing to its registry until it is told to go on."""
    clinic.write_good()
    clinic.load()
    code = f"""
        from registry.connection import writing
        with writing({str(clinic.path)!r}) as con:
            con.execute("update record.patient set birth_year = 1900")
            print("writing", flush=True)
            input()
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        yield clinic, writer
        writer.kill()


def births(registry):
    return registry.sql("select distinct birth_year from record.patient order by all")["birth_year"].to_list()


def test_while_it_is_written_a_registry_is_read_as_it_was_and_says_from_when(written):
    clinic, writer = written
    with Registry.open(clinic.path) as before:
        assert births(before) == [1955, 1960]
        assert "this is the record as it was after load 1 of 20" in repr(before)
        for other in ({"as_of": 1}, {"centre": "ZRH"}):
            with Registry.open(clinic.path, **other) as part:
                assert "Being written by another process" in repr(part)
        writer.communicate("\n")
        assert writer.returncode == 0 and births(before) == [1955, 1960]
    with Registry.open(clinic.path) as after:
        assert births(after) == [1900] and "as it was" not in repr(after)
    assert {p.name for p in clinic.path.parent.iterdir()} == {"files", "knees.duckdb", "knees.duckdb.key"}


def test_the_second_of_two_loads_is_told_and_ends_with_75(written, template_folder):
    clinic, writer = written
    done = subprocess.run(
        [sys.executable, "-m", "reports.cli", "load", str(clinic.path), str(template_folder)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (Exit.busy, "")
    assert done.stderr == "knees.duckdb is being written by another process. Try again when it is done.\n"
    writer.communicate("\n")
    assert writer.returncode == 0


def test_a_killed_writer_leaves_nothing_in_the_way_and_the_next_clears_up(written):
    clinic, writer = written
    writer.kill()
    writer.wait()
    with Registry.open(clinic.path) as registry:
        assert births(registry) == [1955, 1960] and "a writer was stopped" in repr(registry)
    derive(clinic.path)
    assert list(clinic.path.parent.glob(".*")) == []
    with Registry.open(clinic.path) as registry:
        assert registry.verify().problems == () and registry.notes == []


def test_readers_in_many_processes_see_whole_loads_only_while_loads_go_on(clinic):
    """Each load brings one more measurement of the same kind, and so one load is one row."""
    clinic.write_good()
    clinic.load()
    code = f"""
        from pathlib import Path
        from registry.connection import attached
        print("reading", flush=True)
        loads = 0
        while loads < 4:
            with attached(Path({str(clinic.path)!r}), read_only=True) as con:
                loads, rows = con.sql("select (select max(load_id) from registry.log.load), "
                    "(select count(*) from registry.record.measurement)").fetchone()
            assert rows == loads + 2, (loads, rows)
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    readers = [subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [reader.stdout.readline() for reader in readers] == ["reading\n"] * 2
    for month in range(1, 4):
        assert clinic.load(clinic.add("measurements", date=f"2023-0{month}-01")).new == 1
    assert [reader.communicate(timeout=120)[1] for reader in readers] == [""] * 2


@pytest.mark.parametrize("times", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_of_writers_that_try_until_they_may_each_keeps_every_write(clinic, times):
    code = f"""
        import sys
        from registry.connection import writing
        from registry.errors import RegistryBusy
        done = 0
        while done < {times}:
            try:
                with writing({str(clinic.path)!r}) as con:
                    con.execute("insert into log.meta values (?, '')", [f"w{{sys.argv[1]}} {{done}}"])
                done += 1
            except RegistryBusy:
                pass
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    writers = [subprocess.Popen([*program, str(k)], stderr=subprocess.PIPE, text=True) for k in range(3)]
    assert [writer.communicate()[1] for writer in writers] == [""] * 3
    assert clinic.sql("select count(*) from log.meta where key like 'w%'").item() == 3 * times
    assert {p.name for p in clinic.path.parent.iterdir()} == {"files", "knees.duckdb", "knees.duckdb.key"}


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_what_a_writer_said_was_kept_is_kept_whenever_it_is_killed(clinic, kills):
    code = f"""
        from registry.connection import writing
        with writing({str(clinic.path)!r}) as con:
            (n,) = con.sql("select count(*) from log.meta where key like 'w%'").fetchone()
        while True:
            with writing({str(clinic.path)!r}) as con:
                con.execute("insert into log.meta values (?, '')", [f"w{{n}}"])
            n += 1
            print(n, flush=True)
    """
    rng, said = random.Random(3), 0
    for _ in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
        ) as writer:
            first = int(writer.stdout.readline())
            time.sleep(rng.uniform(0, 0.5))
            writer.kill()
            said = int(([str(first), *writer.stdout.read().split()])[-1])
        held = clinic.sql("select count(*) from log.meta where key like 'w%'").item()
        assert held in (said, said + 1)  # one more where it was killed between the rename and its word


def test_a_program_that_writes_behind_the_registrys_back_is_found_out_before_anything_is_replaced(clinic):
    with pytest.raises(CatamnesisError, match="changed by another program meanwhile"), writing(clinic.path) as con:
        con.execute("insert into log.meta values ('mine', '')")
        with duckdb.connect(str(clinic.path)) as other:
            other.execute("insert into log.meta values ('theirs', '')")
    keys = clinic.sql("select key from log.meta")["key"].to_list()
    assert "theirs" in keys and "mine" not in keys


def test_a_program_that_holds_the_file_for_writing_shuts_out_readers_and_writers_who_are_told(clinic):
    code = f"import duckdb; con = duckdb.connect({str(clinic.path)!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        for use in (Registry.open, derive):
            with pytest.raises(RegistryBusy, match="is being written by another process"):
                use(clinic.path)
        other.communicate("\n")


def test_what_a_killed_program_left_in_the_log_is_taken_in_before_a_load_and_kept(clinic):
    code = (
        "import duckdb, os, sys; con = duckdb.connect(sys.argv[1]); "
        "con.execute(\"insert into log.meta values ('left', 'behind')\"); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(clinic.path)], check=False)
    log = clinic.path.with_name("knees.duckdb.wal")
    assert log.stat().st_size > 0
    clinic.write_good()
    clinic.load()
    assert not log.exists()
    assert clinic.sql("select value from log.meta where key = 'left'").item() == "behind"


def test_a_load_that_brings_nothing_and_a_dry_run_leave_the_very_file(clinic):
    clinic.write_good()
    clinic.load(dry_run=True)
    clinic.load()
    before = clinic.path.stat()
    clinic.load()
    clinic.load(clinic.add("measurements", date="2023-01-01"), dry_run=True)
    assert os.path.samestat(clinic.path.stat(), before) and clinic.path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_registry_shared_with_a_group_stays_so_and_a_link_to_it_stays_a_link(clinic):
    clinic.path.chmod(0o640)
    link = clinic.path.with_name("link.duckdb")
    link.symlink_to(clinic.path)
    clinic.path.with_name("link.duckdb.key").symlink_to(f"{clinic.path}.key")
    clinic.write_good()
    load(link, [clinic.folder])
    assert link.is_symlink() and clinic.path.stat().st_mode & 0o777 == 0o640
    assert clinic.sql("select count(*) from record.patient").item() == 2
