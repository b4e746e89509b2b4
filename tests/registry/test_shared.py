"""A record shared through PostgreSQL: what one writes the others read, nobody overwrites anybody, nothing is half there."""

import datetime as dt
import os
import random
import re
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest

from analysis import time_to_response
from registry import Registry, audit, catalogue, checks, copies, derive, extensions, history, ingest, shared
from registry.connection import SCHEMA_VERSION, writing
from registry.errors import CatamnesisError, Exit, RegistryBusy, ServerUnreachable, UsageError
from registry.server import Server, address_file
from registry.tables import TABLES
from synthetic import Design, simulate, sources
from tests.registry.conftest import KEY, Clinic

NOBODY = "postgresql://anna@127.0.0.1:1/knees"
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "several-writers.md"


@pytest.fixture
def colleague(shared_clinic, tmp_path):
    """Another working copy of the record of `shared_clinic`, with files of its own."""
    (tmp_path / "theirs").mkdir()
    made = Clinic(tmp_path / "theirs", tmp_path / "theirs.duckdb")
    shared.join(made.path, shared_clinic.address)
    made.path.with_name("theirs.duckdb.key").write_text(KEY.hex())
    return made


def rows(path):
    with Registry.open(path) as registry:
        return registry.counts()["measurement"]


def test_what_one_writes_the_other_reads_and_both_hold_the_same_proved_rows(shared_clinic, colleague):
    shared_clinic.write_good()
    assert shared_clinic.load().rejected == 0
    colleague.write("measurements", "patient,site,side,date,instrument,version,subscale,value,unit\n"
                                    "MRN-4711,knee,left,2022-09-01,KOOS,,pain,80,\n")  # fmt: skip
    assert colleague.load().new == 1
    assert (rows(shared_clinic.path), rows(colleague.path)) == (4, 4)
    assert shared_clinic.text(collected=True) == colleague.text(collected=True)
    with Registry.open(shared_clinic.path) as registry:
        assert registry.verify().problems == () and registry.verify().entries == 4


# -- without a server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://anna:swordfish@db/knees",
        "postgresql://anna@db/knees?password=swordfish",
        "host=db password=swordfish",
        "postgresql://db:swordfish/knees",
        "swordfish",
    ],
)
def test_an_address_holds_no_password_and_what_is_no_address_is_not_shown(tmp_path, address):
    with pytest.raises(UsageError) as error:
        shared.join(tmp_path / "a.duckdb", address)
    assert "swordfish" not in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        ("postgresql://anna@db.example.org/knees", "sslmode=verify-full"),
        ("postgresql://anna@/knees?host=db.example.org", "sslmode=verify-full"),
        ("postgresql://anna@db.example.org/knees?sslmode=require", "sslmode=require"),
        ("postgresql://anna@localhost/knees", ""),
        ("postgresql:///knees?host=/run/postgresql", ""),
    ],
)
def test_a_server_elsewhere_must_prove_who_it_is(address, mode):
    asked = Server(address).uri().partition("?")[2].split("&")
    assert [part for part in asked if part.startswith("sslmode")] == ([mode] if mode else [])


def test_without_the_server_a_copy_is_read_as_it_was_and_says_so_and_is_not_written(clinic):
    clinic.write_good()
    clinic.load()
    before = clinic.text()
    address_file(clinic.path).write_text(NOBODY)
    with Registry.open(clinic.path) as registry:
        assert "127.0.0.1/knees cannot be reached" in registry.notes[0] and registry.counts()["patient"] == 2
    with pytest.raises(ServerUnreachable, match="cannot be reached") as error:
        derive(clinic.path)
    assert error.value.exit_code == Exit.busy and clinic.text() == before
    with pytest.raises(ServerUnreachable):
        copies.backup(clinic.path, clinic.path.with_name("copy.duckdb"))


def test_what_is_not_installed_is_said(clinic, monkeypatch):
    monkeypatch.setattr(extensions, "load", lambda *_: False)
    with pytest.raises(CatamnesisError, match=r"pip install 'catamnesis\[postgres\]'"):
        shared.share(clinic.path, NOBODY)


def test_what_would_make_a_copy_other_than_its_server_is_refused(clinic, monkeypatch):
    address_file(clinic.path).write_text(NOBODY)
    with pytest.raises(UsageError, match=r"is a working copy of 127\.0\.0\.1/knees"):
        shared.share(clinic.path, NOBODY)
    monkeypatch.setenv("CATAMNESIS_KEY", "a key of thirty-two characters..")
    with pytest.raises(UsageError, match="another copy that is encrypted"):
        copies.encrypt(clinic.path)


def test_every_table_that_is_not_derived_is_carried(clinic):
    found = clinic.sql(
        "select schema_name || '.' || table_name as name from duckdb_tables() where schema_name <> 'main'"
    )
    collected = {name for name in found["name"] if name.split(".")[0] in ("record", "past", "log", "catalogue")}
    carried = {"log.meta", *shared._APPENDED, *shared._EDITED, *(f"catalogue.{name}" for name in catalogue.KEYS)}
    assert carried | {f"{s}.{t.__tablename__}" for s in ("record", "past") for t in TABLES} == collected


# -- writers at once -------------------------------------------------------------------------------------------------


@contextmanager
def waiting(path):
    """A process that is writing a load to the copy at `path` until it is told to go on."""
    code = f"""
        from registry import audit
        from registry.connection import SCHEMA_VERSION, writing
        with writing({str(path)!r}) as con:
            audit.append(con, "note", {{}})
            print("writing", flush=True)
            input()
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        yield writer
        writer.kill()


@pytest.mark.slow
def test_the_second_writer_is_told_who_writes_and_readers_see_what_was(shared_clinic, colleague, monkeypatch):
    monkeypatch.setenv("CATAMNESIS_WAIT", "0.2")
    with waiting(shared_clinic.path) as writer:
        with pytest.raises(
            RegistryBusy, match=r"keeper \(catamnesis of \w+ on .*\) is writing to .*Waited 0.2 seconds"
        ):
            derive(colleague.path)
        for path in (shared_clinic.path, colleague.path):
            with Registry.open(path) as registry:
                assert registry.verify().entries == 2
        writer.communicate("\n")
        assert writer.returncode == 0
    monkeypatch.setenv("CATAMNESIS_WAIT", "soon")
    with pytest.raises(UsageError, match="write seconds"):
        derive(colleague.path)
    monkeypatch.delenv("CATAMNESIS_WAIT")
    derive(colleague.path)
    with Registry.open(shared_clinic.path) as registry:
        assert registry.sql("select action from log.audit order by seq")["action"].to_list()[2:] == ["note", "derive"]


def measured(clinic, patient, side, *days):
    head = "patient,site,side,date,instrument,version,subscale,value,unit\n"
    clinic.write("measurements", head + "".join(f"{patient},knee,{side},{day},KOOS,,pain,80,\n" for day in days))


@pytest.mark.slow
def test_of_two_who_load_at_once_both_loads_land_and_the_chain_verifies(shared_clinic, colleague):
    shared_clinic.write_good()
    shared_clinic.load()
    for k in range(2):
        measured(shared_clinic, "MRN-4711", "left", f"2023-01-0{k + 1}")
        measured(colleague, "MRN-4712", "right", f"2023-02-0{k + 1}", f"2023-03-0{k + 1}")
        program = [sys.executable, "-m", "reports.cli", "load"]
        both = [
            subprocess.Popen([*program, str(c.path), str(c.folder / "measurements.csv")], stderr=subprocess.PIPE)
            for c in (shared_clinic, colleague)
        ]
        assert [p.communicate()[1] for p in both] == [b"", b""]
    assert rows(shared_clinic.path) == rows(colleague.path) == 3 + 2 * 3
    for path in (shared_clinic.path, colleague.path):
        with Registry.open(path) as registry:
            assert registry.verify().problems == ()


@pytest.mark.slow
def test_a_writer_who_lost_the_turn_overwrites_nothing(shared_clinic, colleague, monkeypatch):
    monkeypatch.setattr(shared, "turn", lambda server, name: shared.nullcontext())
    before = shared_clinic.text()
    with pytest.raises(RegistryBusy, match="Somebody else wrote"), writing(shared_clinic.path) as con:
        audit.append(con, "mine", {})
        with writing(colleague.path) as other:
            audit.append(other, "theirs", {})
    assert shared_clinic.text() == before
    with Registry.open(shared_clinic.path) as registry:
        assert registry.sql("select action from log.audit where seq = 3").item() == "theirs"


KILLS = {
    "before anything is sent": ("shared.push", "lambda *_: os._exit(9)", False),
    "with half of it sent": ("server.tell", "lambda *_: os._exit(9)", False),
    "before the server is told to keep it": ("shared._To.copy", "dying(shared._To.copy, 'log.meta')", False),
    "before the copy takes its place": ("replacing._like", "lambda *_: os._exit(9)", True),
}


@pytest.mark.slow
@pytest.mark.parametrize("when", KILLS)
def test_a_writer_killed_at_any_step_leaves_the_server_whole(shared_clinic, colleague, when):
    shared_clinic.write_good()
    shared_clinic.load()
    pain = "2022-05-03,KOOS,,pain,"
    shared_clinic.spoil("measurements", pain + "72.2222", pain + "77")
    place, dies, kept = KILLS[when]
    code = f"""
        import os, sys
        from pathlib import Path
        from registry import ingest, replacing, server, shared
        def dying(does, table):
            def done(self, con, name, where):
                does(self, con, name, where)
                if name == table:
                    os._exit(9)
            return done
        {place} = {dies}
        shared.tell = server.tell
        ingest.load(sys.argv[1], [Path(sys.argv[2])], reason="typed wrongly")
    """
    args = [str(shared_clinic.path), str(shared_clinic.folder)]
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code), *args], check=False).returncode == 9
    with Registry.open(colleague.path) as registry:
        assert registry.verify().problems == () and (registry.changes().height == 1) == kept
    report = shared_clinic.load(reason="typed wrongly")
    assert (report.corrected == 1) != kept
    with Registry.open(colleague.path) as registry:
        assert registry.changes()["new"].to_list() == ["77.0000"]


@pytest.mark.slow
def test_a_connection_that_breaks_keeps_nothing_of_what_was_being_sent(shared_clinic, server, monkeypatch):
    database, copy = shared_clinic.address.rpartition("/")[2], shared._To.copy
    everybody = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'catamnesis%'"

    def broken(way, con, table, where):
        copy(way, con, table, where)
        server.sql(database, everybody)

    monkeypatch.setattr(shared._To, "copy", broken)
    with pytest.raises(ServerUnreachable, match=r"broke\. Run again"):
        derive(shared_clinic.path)
    monkeypatch.undo()
    with Registry.open(shared_clinic.path) as registry:
        assert registry.verify().entries == 2
    with writing(shared_clinic.path) as con:
        audit.append(con, "note", {})
        server.sql(database, everybody)  # who held the turn loses it, and nobody else wrote
    with Registry.open(shared_clinic.path) as registry:
        assert registry.verify().entries == 3


# -- the same as in a file -------------------------------------------------------------------------------------------


@pytest.fixture
def at_noon(monkeypatch):
    monkeypatch.setattr(audit, "now", lambda: dt.datetime(2026, 1, 1, 12))


@pytest.fixture
def twins(shared_clinic, tmp_path):
    """A working copy, and a registry of its own that held the same until now."""
    alone = tmp_path / "alone.duckdb"
    for suffix in ("", ".key"):
        Path(f"{alone}{suffix}").write_bytes(Path(f"{shared_clinic.path}{suffix}").read_bytes())
    return shared_clinic.path, alone


@pytest.mark.slow
def test_after_the_same_writes_rows_chain_and_answers_are_those_of_a_file(twins, colleague, template_folder, at_noon):
    for path in twins:
        ingest.load(path, [template_folder])
        history.retract(path, "visits.csv", [7], reason="another patient's")
        checks.keep(path)
        with Registry.open(path) as registry:
            row = registry.check().row(0, named=True)
        checks.waive(path, row["defect"], row["file"], row["line"], reason="looked at")
        ingest.load(path, [template_folder], reason="it was hers after all")
    copies_of = (*twins, colleague.path)
    frames, heads, texts = [], set(), set()
    for path in copies_of:
        with Registry.open(path) as registry:
            frames.append(
                time_to_response(registry.courses(programme="osteoarthritis"), by="stage", resamples=20).frame
            )
            heads.add(registry.chain_head())
            assert registry.verify().problems == () and registry.changes().height == 2
        texts.add(Clinic(template_folder, path).text(collected=True))
    assert len(heads) == 1 and len(texts) == 1
    assert frames[0].equals(frames[1]) and frames[0].equals(frames[2])


def clinics(folder, n):
    """Files of two clinics in `n` parts each; patients of different clinics share no number."""
    parts = {}
    for name, seed in (("north", 3), ("south", 5)):
        made = simulate(Design(patients=60, seed=seed))
        sources.write_template(made, folder / name)
        for part in range(n):
            place = folder / f"{name}_{part}"
            place.mkdir()
            for file in (folder / name).glob("*.csv"):
                head, *lines = file.read_text().splitlines()
                # What others refer to comes first; of the visits, each part brings its own.
                late = file.stem in ("measurements", "items", "visits", "events")
                some = lines[part::n] if late else lines if part == 0 else []
                text = "\n".join([head, *some]) + "\n"
                (place / file.name).write_text(re.sub(r"^(SIM|P)", rf"{name}-\1", text, flags=re.M))
        parts[name] = [folder / f"{name}_{part}" for part in range(n)]
    return parts


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_loads_of_two_clinics_in_any_order_give_the_record_of_one_after_the_other(twins, colleague, tmp_path, seed):
    parts, alone = clinics(tmp_path, 3), twins[1]
    for folder in (*parts["north"], *parts["south"]):
        ingest.load(alone, [folder], extracted_on=dt.date(2026, 1, 1))
    order = ["north"] * 3 + ["south"] * 3
    random.Random(seed).shuffle(order)
    for name in order:
        path = twins[0] if name == "north" else colleague.path
        assert ingest.load(path, [parts[name].pop(0)], extracted_on=dt.date(2026, 1, 1)).new > 0
        derive(colleague.path)  # renews what either load changed
    found = []
    for path in (alone, twins[0], colleague.path):
        with Registry.open(path) as registry:
            tables = [name for name, n in registry.counts().items() if n]
            held = {t: registry.sql(f"select id, row_hash from record.{t} order by all").rows() for t in tables}
            found.append((held, time_to_response(registry.courses(), resamples=20).frame))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[0][1].equals(found[1][1]) and found[0][1].equals(found[2][1])


@pytest.mark.slow
def test_every_value_comes_back_as_it_was(shared_clinic, colleague):
    texts = ["", " ", "\\N", 'a "b", c', "tab\there\nline", "Zoë 🦵", "'; drop schema record; --", "\x1f"]
    with writing(shared_clinic.path) as con:
        con.executemany("insert into log.load values (?, ?, ?, ?, ?, 0, 0, 'load', null)",
                        [[1, dt.datetime(1900, 1, 1), "x", dt.date(9999, 12, 31), 2**62]])  # fmt: skip
        con.execute("insert into log.source_file values (1, 1, 'f', '', 'visits', 0, 0, 0)")
        con.executemany("insert into log.rejected_row values (1, ?, ?)", list(enumerate([*texts, None])))
        con.execute("insert into record.centre (id, load_id, centre) values (-9223372036854775807, 1, '')")
        for k, value in enumerate(("-99999999.9999", "0.0001", None)):
            con.execute(f"insert into record.measurement (id, load_id, date, instrument, value) "
                        f"values ({k}, 1, date '1900-01-01', 'KOOS', ?)", [value])  # fmt: skip
        audit.append(con, "load", audit.of_load(con, 1))
    assert rows(colleague.path) == 3
    assert colleague.text(collected=True) == shared_clinic.text(collected=True)
    with pytest.raises(UsageError, match="NUL character"), writing(shared_clinic.path) as con:
        con.execute("insert into log.rejected_row values (2, 1, 'a' || chr(0))")
        con.execute("insert into log.source_file values (2, 2, 'f', '', 'visits', 0, 0, 0)")
        con.execute("insert into log.load select 2, * exclude (load_id) from log.load")
        audit.append(con, "load", audit.of_load(con, 2))


# -- the server keeps its own ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("delete from record.patient", "foreign key"),
        ("update record.patient set birth_year = 1776", "check constraint"),
        ("update record.patient set birth_year = null", "not-null"),
        ("insert into record.centre (id, centre) select id, 'B' from record.centre", "duplicate key"),
        ("insert into log.audit select * from log.audit where seq = 2", "duplicate key"),
    ],
)
def test_the_server_keeps_references_keys_and_limits_itself(shared_clinic, server, statement, why):
    shared_clinic.write_good()
    shared_clinic.load()
    with pytest.raises(RuntimeError, match=why):
        server.sql(shared_clinic.address.rpartition("/")[2], statement)


@pytest.mark.slow
def test_a_value_altered_on_the_server_is_found_by_who_joins_and_nothing_is_taken_over(shared_clinic, server, tmp_path):
    shared_clinic.write_good()
    shared_clinic.load()
    database = shared_clinic.address.rpartition("/")[2]
    server.sql(database, "update record.measurement set value = 99 where subscale = 'vas'")
    with pytest.raises(CatamnesisError, match="load 1: what is held of measurement is not what was loaded"):
        shared.join(tmp_path / "new.duckdb", shared_clinic.address)
    assert not (tmp_path / "new.duckdb").exists() and not (tmp_path / "new.duckdb.server").exists()
    server.sql(database, "update record.measurement set value = 70 where subscale = 'vas'")


@pytest.mark.slow
def test_copies_that_went_another_way_another_version_and_another_secret_are_refused(shared_clinic, colleague, server):
    server_text = address_file(colleague.path).read_text()
    address_file(colleague.path).unlink()
    derive(colleague.path)
    address_file(colleague.path).write_text(server_text)
    shared_clinic.write_good()
    shared_clinic.load()
    with pytest.raises(CatamnesisError, match="have gone different ways: entry 3"):
        Registry.open(colleague.path)
    shared_clinic.path.with_name("knees.duckdb.key").write_text("ab" * 32)
    with pytest.raises(CatamnesisError, match="not the one that the others of this shared record have"):
        shared_clinic.load()
    database = shared_clinic.address.rpartition("/")[2]
    server.sql(database, "update log.meta set value = '99' where key = 'schema_version'")
    with pytest.raises(UsageError, match="has schema 99, this version of the program has"):
        shared.join(colleague.path.with_name("c.duckdb"), shared_clinic.address)
    server.sql(database, f"update log.meta set value = '{SCHEMA_VERSION}' where key = 'schema_version'")


@pytest.mark.slow
def test_what_is_there_is_not_overwritten_and_what_is_not_there_is_said(shared_clinic, server, tmp_path):
    for path, address in ((shared_clinic.path, shared_clinic.address), (tmp_path / "none" / "a.duckdb", NOBODY)):
        with pytest.raises(UsageError):
            shared.join(path, address)
    alone = tmp_path / "alone.duckdb"
    Registry.create(alone).close()
    with pytest.raises(UsageError, match="holds a shared record already"):
        shared.share(alone, shared_clinic.address)
    with pytest.raises(UsageError, match="holds no shared record"):
        shared.join(tmp_path / "b.duckdb", server.address(server.new()))
    with pytest.raises(CatamnesisError, match='lets nobody in so: database "nowhere" does not exist'):
        shared.join(tmp_path / "b.duckdb", server.address("nowhere"))
    elsewhere = shared_clinic.address.replace("127.0.0.1", "db.example.org") + "?hostaddr=127.0.0.1"
    with pytest.raises(CatamnesisError, match=r"lets nobody in so: .*(root certificate|SSL)"):
        shared.join(tmp_path / "b.duckdb", elsewhere)
    with Registry.open(alone) as registry:
        assert registry.verify().entries == 1


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_sharing_that_was_killed_leaves_one_record(clinic, server, tmp_path, when):
    clinic.write_good()
    clinic.load()
    address = server.address(server.new())
    program = """
        import os, signal, sys
        from registry import shared
        send = shared.push
        def push(*told):
            if sys.argv[3] == "after":
                send(*told)
            os.kill(os.getpid(), signal.SIGKILL)
        shared.push = push
        shared.share(sys.argv[1], sys.argv[2])
    """
    killed = [sys.executable, "-c", textwrap.dedent(program), str(clinic.path), address, when]
    assert subprocess.run(killed, check=False).returncode == -9
    if when == "before":
        shared.share(clinic.path, address)
    with pytest.raises(UsageError, match="shared already"):
        shared.share(clinic.path, address)
    Registry.open(clinic.path).close()
    (tmp_path / "other").mkdir()
    other = Clinic(tmp_path / "other", tmp_path / "other.duckdb")
    shared.join(other.path, address)
    assert clinic.text(collected=True) == other.text(collected=True)


@pytest.mark.slow
def test_sharing_that_the_server_refused_leaves_a_registry_of_its_own(clinic, server, monkeypatch):
    def broken(*_):
        raise CatamnesisError("It does not allow it.")

    monkeypatch.setattr(shared, "push", broken)
    with pytest.raises(CatamnesisError, match="does not allow it"):
        shared.share(clinic.path, server.address(server.new()))
    assert not address_file(clinic.path).exists()


@pytest.mark.slow
def test_a_backup_is_a_registry_of_its_own_and_can_be_shared_anew(shared_clinic, server, tmp_path):
    shared_clinic.write_good()
    shared_clinic.load()
    copy = tmp_path / "backup.duckdb"
    copies.backup(shared_clinic.path, copy)
    copy.with_name("backup.duckdb.key").write_text(KEY.hex())
    again = server.address(server.new())
    shared.share(copy, again)
    shared.join(tmp_path / "third.duckdb", again)
    assert rows(tmp_path / "third.duckdb") == 3


@pytest.mark.slow
def test_a_working_copy_is_encrypted_where_a_key_is_set(shared_clinic, tmp_path, monkeypatch):
    shared_clinic.write_good()
    shared_clinic.load()
    monkeypatch.setenv("CATAMNESIS_KEY", "a key of thirty-two characters..")
    shared.join(tmp_path / "hidden.duckdb", shared_clinic.address)
    with Registry.open(tmp_path / "hidden.duckdb") as registry:
        assert registry.encrypted and registry.counts()["patient"] == 2
    monkeypatch.delenv("CATAMNESIS_KEY")


@pytest.mark.slow
def test_the_roles_of_the_guide_let_readers_read_writers_add_and_nobody_rewrite(
    server, tmp_path, monkeypatch, shared_clinic
):
    roles = re.search(r"```sql\n(create role.*?)```", GUIDE.read_text(), flags=re.S).group(1)
    database = shared_clinic.address.rpartition("/")[2]
    server.sql(database, roles)
    reader, writer = tmp_path / "reader.duckdb", tmp_path / "writer.duckdb"
    shared.join(reader, server.address(database, "berta"))
    shared.join(writer, server.address(database, "anna"))
    for path in (reader, writer):
        Path(f"{path}.key").write_text(KEY.hex())
    shared_clinic.write_good()
    ingest.load(writer, [shared_clinic.folder])
    shared_clinic.spoil("measurements", "pain,72.2222", "pain,77")
    assert ingest.load(writer, [shared_clinic.folder], reason="typed wrongly").corrected == 1
    checks.keep(writer)
    assert rows(reader) == 3
    with pytest.raises(CatamnesisError, match="does not allow it: permission denied"):
        derive(reader)
    for statement in ("delete from log.audit", "update record.patient set birth_year = 1900", "delete from past.event"):
        with pytest.raises(RuntimeError, match="permission denied"):
            server.sql(database, statement, user="anna")


@pytest.mark.slow
def test_a_password_is_taken_from_the_environment_and_never_said(server, shared_clinic, tmp_path, monkeypatch):
    database = shared_clinic.address.rpartition("/")[2]
    server.sql(database, "create role secretive login superuser password 'swordfish'")
    address = server.address(database, "secretive")
    said = []
    for password in ("sardine", "swordfish"):
        program = [sys.executable, "-m", "reports.cli", "join", str(tmp_path / "s.duckdb"), address]
        env = {**os.environ, "PGPASSWORD": password}
        done = subprocess.run(program, env=env, capture_output=True, text=True, check=False)
        said.append((done.returncode, done.stdout + done.stderr))
    assert [code for code, _ in said] == [Exit.failed, 0]
    assert "password authentication failed" in said[0][1] and "It can be read." in said[1][1]
    held = "".join(text for _, text in said) + (tmp_path / "s.duckdb.server").read_text()
    assert "swordfish" not in held and "sardine" not in held
