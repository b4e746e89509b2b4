"""Data cuts prove themselves and answer as their registry did; backups are equal; old registries are brought up."""

import json
import shutil
import subprocess
import sys

import duckdb
import pytest

from analysis import time_to_response
from registry import Registry, audit, checks, copies, cut, derive, ingest, shared
from registry.errors import CatamnesisError, RegistryMissing, UsageError
from registry.migrations import migrate
from registry.tables import TABLES
from synthetic import Design, simulate, sources


@pytest.fixture(scope="module", params=["file", pytest.param("server", marks=pytest.mark.slow)])
def registry_file(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    sources.write_template(simulate(Design(patients=80, seed=4)), folder / "files")
    Registry.create(folder / "knees.duckdb", key=b"0123456789abcdef").close()
    if request.param == "server":
        server = request.getfixturevalue("server")
        shared.share(folder / "knees.duckdb", server.address(server.new()))
    ingest.load(folder / "knees.duckdb", [folder / "files"])
    derive(folder / "knees.duckdb")
    return folder / "knees.duckdb"


@pytest.fixture(scope="module")
def whole(registry_file, tmp_path_factory):
    return cut.cut(registry_file, "2025-spring", tmp_path_factory.mktemp("cuts"))


@pytest.fixture
def copied(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / whole.name)


def test_a_cut_answers_as_its_registry_does(registry_file, whole):
    with Registry.open(registry_file) as live, Registry.open(whole) as frozen:
        one, two = (time_to_response(r.courses(), resamples=20) for r in (live, frozen))
        assert one.frame.equals(two.frame) and one.settings["data_cut"] == two.settings["data_cut"]
        assert live.counts() == frozen.counts() and live.check().equals(frozen.check())
        assert "Data cut 2025-spring" in frozen.notes[0]


def test_a_definition_that_was_not_derived_is_derived_on_a_cut_too(registry_file, whole):
    with Registry.open(registry_file) as live, Registry.open(whole) as frozen:
        one, two = (time_to_response(r.courses(), definition="KOOS-pain-10", resamples=20) for r in (live, frozen))
        assert one.frame.equals(two.frame)


def test_the_manifest_names_every_file_with_its_hash_the_schema_and_the_chain(registry_file, whole):
    told = cut.manifest_of(whole)
    there = {p.relative_to(whole).as_posix() for p in whole.rglob("*") if p.is_file()}
    assert there == set(told["files"]) | {cut.MANIFEST}
    assert told["schema"]["record.patient"]["birth_year"] == "INTEGER"
    assert "endpoint.response" in told["schema"] and "sql/endpoint/response.sql" in told["files"]
    with Registry.open(registry_file) as registry:
        last = registry.sql("select action, detail, previous from log.audit order by seq desc limit 1").row(0)
    assert last[0] == "cut" and last[2] == told["chain"]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda f: (f / "data/record/patient.parquet").write_bytes(b"PAR1"), "patient.parquet was changed"),
        (lambda f: (f / "data/course/score.parquet").unlink(), "score.parquet is missing"),
        (lambda f: (f / "data/record/more.parquet").write_bytes(b""), "more.parquet does not belong to the cut"),
        (lambda f: (f / "sql/endpoint/response.sql").write_text("select 1"), "response.sql was changed"),
    ],
)
def test_a_cut_that_is_not_as_it_was_made_is_not_read(copied, spoil, why):
    assert cut.differences(copied) == []
    spoil(copied)
    with pytest.raises(CatamnesisError, match=why):
        Registry.open(copied)


def test_a_manifest_that_cannot_be_read_is_said(copied):
    (copied / cut.MANIFEST).write_text("{")
    with pytest.raises(CatamnesisError, match="no whole data cut"):
        Registry.open(copied)


def test_a_cut_is_never_made_over_and_has_a_plain_name(registry_file, whole):
    with pytest.raises(UsageError, match="never made over"):
        cut.cut(registry_file, whole.name, whole.parent)
    for name in ("../elsewhere", "a/b", "", ".hidden", "a" * 65):
        with pytest.raises(UsageError, match="cannot name a cut"):
            cut.cut(registry_file, name, whole.parent)
    with pytest.raises(UsageError, match="is a data cut"):
        Registry.open(whole, as_of=1)
    for write in (derive, checks.keep, lambda path: ingest.load(path, [registry_file.parent / "files"])):
        with pytest.raises(UsageError, match="is read, never changed"):
            write(whole)


def test_a_cut_that_is_interrupted_leaves_nothing(registry_file, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with Registry.open(registry_file) as registry:
        before = registry.verify()
    monkeypatch.setattr(audit, "append", stop)
    with pytest.raises(KeyboardInterrupt):
        cut.cut(registry_file, "half", tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    with Registry.open(registry_file) as registry:
        assert registry.verify() == before


def test_a_cut_is_for_its_owner_only_and_the_chain_keeps_the_hash_of_its_manifest(registry_file, whole):
    assert whole.stat().st_mode & 0o077 == 0
    with Registry.open(registry_file) as registry:
        told = registry.sql("select detail from log.audit where action = 'cut' order by seq desc limit 1").item()
    assert json.loads(told) == {"name": whole.name, "manifest": cut.seal(whole)}


def test_a_backup_is_equal_private_and_never_written_over_another(registry_file, tmp_path):
    copy = tmp_path / "backup.duckdb"
    rows = copies.backup(registry_file, copy)
    with Registry.open(registry_file) as one, Registry.open(copy) as two:
        assert one.counts() == two.counts() and two.verify() == one.verify() and rows > sum(one.counts().values())
    assert copy.stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="never written over"):
        copies.backup(registry_file, copy)
    with pytest.raises(UsageError, match="There is no folder"):
        copies.backup(registry_file, tmp_path / "nowhere" / "b.duckdb")


DETAILS = [t.__tablename__ for t in TABLES if t.__module__ == "registry.tables_detail"]


def as_schema_2(registry_file, path):
    """Copy a registry as schema 2 had it."""
    copies.backup(registry_file, path)
    with duckdb.connect(str(path)) as con:
        to_schema_2(con)
    return path


def to_schema_2(con):
    """Take away what schema 2 had not: the tables around a course, their codes, rules and checks."""
    for name in DETAILS:
        con.execute(f"drop table record.{name}; drop table past.{name}")
        con.execute("delete from catalogue.load_rule where table_name = ?", [name])
    con.execute("delete from catalogue.defect where defect in ('failed_product_given', 'release_test_pending')")
    con.execute("delete from catalogue.vocabulary where vocabulary in ('release_analyte', 'goal_domain', 'specimen')")
    con.execute("drop table catalogue.reporting_item")
    con.execute("update log.meta set value = '2' where key = 'schema_version'")


def test_a_registry_of_schema_2_gets_the_tables_around_a_course_and_what_checks_them(registry_file, tmp_path):
    path = as_schema_2(registry_file, tmp_path / "two.duckdb")
    shutil.copy(f"{registry_file}.key", f"{path}.key")
    assert migrate(path)[:2] == ("2", "3")
    files = tmp_path / "files"
    files.mkdir()
    (files / "products.csv").write_text(
        "product,donor,origin,separation,expanded\nNEW,autologous,bone_marrow,none,no\n"
    )
    test = "product,analyte,sampled_date,status\nNEW,sterility,2020-01-01,pending\nNEW,smell,2020-01-01,pass\n"
    (files / "release_tests.csv").write_text(test)
    with Registry.open(path) as registry, Registry.open(registry_file) as other:
        assert registry.counts() == other.counts() and registry.verify().problems == ()
        for name in ("vocabulary", "load_rule", "defect", "reporting_item"):
            assert set(registry.sql(f"from catalogue.{name}").rows()) == set(other.sql(f"from catalogue.{name}").rows())
    report = ingest.load(path, [files])
    assert (report.accepted, report.rejected) == (2, 1), report.rejections.to_dicts()
    with Registry.open(path) as registry:
        assert registry.counts()["release_test"] == 1 and registry.verify().problems == ()
        assert "release_test_pending" in registry.check()["defect"].to_list()


def test_a_cut_of_schema_2_is_read_with_the_later_tables_empty(registry_file, tmp_path, monkeypatch):
    path = as_schema_2(registry_file, tmp_path / "two.duckdb")
    monkeypatch.setattr("registry.connection.SCHEMA_VERSION", "2")
    monkeypatch.setattr("registry.sqlmodels.run", lambda *_: None)
    folder = cut.cut(path, "early", tmp_path)
    monkeypatch.undo()
    with Registry.open(folder) as registry:
        counts = registry.counts()
    assert counts["patient"] > 0 and {counts[name] for name in DETAILS} == {0}


@pytest.fixture
def of_schema_1(registry_file, tmp_path):
    """A registry as schema 1 had it: no past, no log of changes, no chain, loads without kind and reason."""
    path = as_schema_2(registry_file, tmp_path / "old.duckdb")
    with duckdb.connect(str(path)) as con:
        con.execute(
            "drop schema past cascade; drop table log.change; drop table log.audit; drop table log.finding; drop table log.finding_count; "
            "alter table log.load drop kind; alter table log.load drop reason; "
            "update log.meta set value = '1' where key = 'schema_version'"
        )
    return path


def test_a_registry_of_schema_1_is_brought_up_with_all_its_rows_and_a_chain(of_schema_1, registry_file):
    with pytest.raises(RegistryMissing, match="catamnesis migrate"):
        Registry.open(of_schema_1)
    with duckdb.connect(str(of_schema_1)) as con:
        con.execute("checkpoint")
    old_bytes = of_schema_1.read_bytes()
    found, now, kept = migrate(of_schema_1)
    assert (found, now, kept.read_bytes()) == ("1", "3", old_bytes)
    with Registry.open(of_schema_1) as registry, Registry.open(registry_file) as other:
        assert registry.counts() == other.counts() and registry.verify().problems == ()
        assert registry.sql("select action from log.audit")["action"].to_list() == ["create", "load", "migrate"]
    assert migrate(of_schema_1) == ("3", "3", None)


def test_what_a_killed_writer_left_in_the_log_is_migrated_and_not_left_beside_the_new_file(of_schema_1):
    program = (
        "import duckdb, os, sys\ncon = duckdb.connect(sys.argv[1])\n"
        'con.execute("update record.patient set height_cm = 199 where id = (select min(id) from record.patient)")\n'
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(of_schema_1)], check=False)
    log = of_schema_1.with_name(of_schema_1.name + ".wal")
    assert log.stat().st_size > 0
    migrate(of_schema_1)
    assert not log.exists()
    with Registry.open(of_schema_1) as registry:
        assert registry.sql("select count(*) from record.patient where height_cm = 199").item() == 1
        assert registry.verify().problems == ()


def test_a_migration_that_fails_leaves_the_file_as_it_was(of_schema_1, tmp_path, monkeypatch):
    before = of_schema_1.read_bytes()
    monkeypatch.setattr(audit, "verify", lambda _: audit.Verified(0, 0, "", ("load 1 is wrong",)))
    with pytest.raises(CatamnesisError, match="does not verify: load 1 is wrong"):
        migrate(of_schema_1)
    assert of_schema_1.read_bytes() == before and {p.name for p in tmp_path.iterdir()} == {of_schema_1.name}


def test_what_is_no_registry_is_not_migrated_and_not_touched(tmp_path):
    file = tmp_path / "files.csv"
    file.write_text("patient,date\nA,2022-01-01\n")
    with pytest.raises(RegistryMissing, match="is not a registry"):
        migrate(file)
    assert file.read_text() == "patient,date\nA,2022-01-01\n" and len(list(tmp_path.iterdir())) == 1


def test_a_later_schema_is_not_touched(of_schema_1):
    with duckdb.connect(str(of_schema_1)) as con:
        con.execute("update log.meta set value = '99' where key = 'schema_version'")
    with pytest.raises(UsageError, match="has schema 99"):
        migrate(of_schema_1)
