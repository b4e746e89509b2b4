"""A registry encrypted at rest: nothing of it is read without its key, and with it everything works as on a plain one."""

import shutil

import duckdb
import pytest

from analysis import time_to_response
from registry import Registry, copies, cut, derive, extensions
from registry.connection import writing
from registry.errors import EncryptionError, UsageError
from registry.ingest import load
from registry.migrations import migrate
from tests.registry.conftest import KEY as SECRET
from tests.registry.conftest import Clinic
from tests.registry.test_cut import to_schema_2

KEY = "correct horse 'battery' staple"
MARKER = "Zebrafinch-4711-cells"


@pytest.fixture
def with_key(monkeypatch):
    monkeypatch.setenv("CATAMNESIS_KEY", KEY)
    return monkeypatch


@pytest.fixture(scope="module")
def hidden_once(tmp_path_factory):
    place = tmp_path_factory.mktemp("hidden")
    (place / "files").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CATAMNESIS_KEY", KEY)
        Registry.create(place / "knees.duckdb", key=SECRET).close()
        loaded(Clinic(place / "files", place / "knees.duckdb"))
    return place


@pytest.fixture
def hidden(hidden_once, tmp_path, with_key):
    """A clinic whose registry is encrypted and loaded, with a product that carries the marker."""
    shutil.copytree(hidden_once, tmp_path, dirs_exist_ok=True)
    return Clinic(tmp_path / "files", tmp_path / "knees.duckdb")


def loaded(clinic):
    clinic.write_good()
    for name in ("products", "sessions", "processing", "release_tests"):
        file = clinic.folder / f"{name}.csv"
        file.write_text(file.read_text().replace("BMAC", MARKER))
    assert clinic.load().rejected == 0
    return clinic


def left_on_disk(clinic):
    """Return which kinds of file beside the registry hold the marker, while it is written: log and spill included."""
    found = {}
    with writing(clinic.path) as con:
        con.execute(f"update record.product set product = '{MARKER}-2'; commit; begin; set memory_limit = '60MB'")
        con.execute(f"create temp table big as select '{MARKER}' || hash(i) as s, hash(i + 1) from range(1500000) t(i)")
        for file in clinic.path.parent.rglob("*"):
            if file.is_file() and clinic.folder not in file.parents:
                kind = "spill" if file.parent.name == "spilled" else file.suffix
                found[kind] = found.get(kind, False) or MARKER.encode() in file.read_bytes()
    return found


def test_nothing_of_the_record_is_found_in_the_registry_its_log_or_what_is_spilled(hidden):
    assert left_on_disk(hidden) == {".duckdb": False, ".wal": False, "spill": False, ".key": False, "": False}
    with Registry.open(hidden.path) as registry:
        assert registry.encrypted and registry.verify().problems != ()  # the marker was changed behind the chain


def test_the_same_search_finds_it_in_a_plain_registry(clinic):
    assert left_on_disk(loaded(clinic)) == {".duckdb": True, ".wal": True, "spill": True, ".key": False, "": False}


def test_the_whole_job_gives_the_same_numbers_encrypted_and_plain_in_registry_and_cut(
    template_folder, six_programmes, tmp_path, with_key
):
    path = tmp_path / "six.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [template_folder])
    derive(path)
    folder = cut.cut(path, "one", tmp_path)
    plain = time_to_response(six_programmes.courses(programme="osteoarthritis"), resamples=20).frame
    for place in (path, folder):
        with Registry.open(place) as registry:
            assert registry.counts() == six_programmes.counts()
            assert time_to_response(registry.courses(programme="osteoarthritis"), resamples=20).frame.equals(plain)
            everything = "".join(str(registry.sql(f"from log.{t}").rows()) for t in ("meta", "audit", "load"))
            assert KEY not in everything + repr(registry) + registry._repr_html_()
    assert all(f.read_bytes()[:4] == b"PARE" for f in folder.rglob("*.parquet"))
    assert KEY not in (folder / cut.MANIFEST).read_text()
    with_key.delenv("CATAMNESIS_KEY")
    assert cut.differences(folder) == []
    with pytest.raises(EncryptionError, match="one is encrypted: give its key in CATAMNESIS_KEY"):
        Registry.open(folder)
    with_key.setenv("CATAMNESIS_KEY", "another key of some length")
    with pytest.raises(EncryptionError, match="The key in CATAMNESIS_KEY is not that of one"):
        Registry.open(folder)


COMMANDS = {
    "open": lambda clinic: Registry.open(clinic.path),
    "load": lambda clinic: clinic.load(),
    "derive": lambda clinic: derive(clinic.path),
    "cut": lambda clinic: cut.cut(clinic.path, "one", clinic.path.parent / "cuts"),
    "backup": lambda clinic: copies.backup(clinic.path, clinic.path.with_name("b.duckdb")),
    "migrate": lambda clinic: migrate(clinic.path),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_and_a_wrong_key_are_said_by_every_command_and_change_nothing(hidden, with_key, command):
    before = {p: p.read_bytes() for p in hidden.path.parent.iterdir() if p.is_file()}
    with_key.setenv("CATAMNESIS_KEY", "wrong")
    with pytest.raises(EncryptionError, match=r"^The key in CATAMNESIS_KEY is not that of knees\.duckdb\.") as wrong:
        COMMANDS[command](hidden)
    with_key.delenv("CATAMNESIS_KEY")
    with pytest.raises(EncryptionError, match=r"^knees\.duckdb is encrypted: give its key in CATAMNESIS_KEY"):
        COMMANDS[command](hidden)
    assert wrong.value.exit_code == 1
    assert {p: p.read_bytes() for p in hidden.path.parent.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_for_a_plain_registry_is_said_since_somebody_believes_it_encrypted(clinic, with_key, command):
    with pytest.raises(EncryptionError, match=r"knees\.duckdb is not encrypted, but CATAMNESIS_KEY is set"):
        clinic.write_good("centres")
        COMMANDS[command](clinic)


def test_a_plain_cut_is_not_read_with_a_key(clinic, with_key, tmp_path):
    with_key.delenv("CATAMNESIS_KEY")
    folder = cut.cut(clinic.path, "one", tmp_path / "cuts")
    with_key.setenv("CATAMNESIS_KEY", KEY)
    with pytest.raises(EncryptionError, match="one is not encrypted, but CATAMNESIS_KEY is set"):
        Registry.open(folder)


def test_a_plain_registry_is_encrypted_in_place_and_the_old_file_stays_beside_it(clinic, with_key):
    with_key.delenv("CATAMNESIS_KEY")
    loaded(clinic)
    with Registry.open(clinic.path) as registry:
        before = registry.verify()
    with_key.setenv("CATAMNESIS_KEY", KEY)
    _, kept = copies.encrypt(clinic.path)
    assert MARKER.encode() in kept.read_bytes() and MARKER.encode() not in clinic.path.read_bytes()
    assert clinic.path.stat().st_mode & 0o077 == 0
    with Registry.open(clinic.path) as registry:
        after = registry.verify()
        assert (after.rows, after.entries, after.problems) == (before.rows, before.entries + 1, ())
    assert clinic.load(clinic.add("measurements", date="2022-07-01")).new == 1
    with pytest.raises(EncryptionError, match="give the key it has in CATAMNESIS_OLD_KEY"):
        copies.encrypt(clinic.path)


def test_a_registry_gets_another_key_and_the_old_one_opens_it_no_more(hidden, with_key):
    with_key.setenv("CATAMNESIS_OLD_KEY", KEY)
    with pytest.raises(UsageError, match="are the same"):
        copies.encrypt(hidden.path)
    with_key.setenv("CATAMNESIS_KEY", "another key of some length")
    _, kept = copies.encrypt(hidden.path)
    with Registry.open(hidden.path) as registry:
        assert registry.verify().problems == ()
    with_key.setenv("CATAMNESIS_KEY", KEY)
    Registry.open(kept).close()
    with pytest.raises(EncryptionError, match="is not that of"):
        Registry.open(hidden.path)


def test_an_encrypted_registry_of_an_earlier_schema_is_brought_up_and_backed_up_encrypted(hidden):
    for gone in hidden.path.parent.glob("knees.duckdb*"):
        gone.unlink()
    Registry.create(hidden.path).close()
    hidden.load(hidden.folder / "products.csv")
    with writing(hidden.path) as con:
        to_schema_2(con)
    assert migrate(hidden.path)[:2] == ("2", "3")
    copies.backup(hidden.path, hidden.path.with_name("b.duckdb"))
    for name in ("knees.duckdb", "b.duckdb"):
        with Registry.open(hidden.path.with_name(name)) as registry:
            assert registry.encrypted and registry.counts()["product"] == 1
        assert MARKER.encode() not in hidden.path.with_name(name).read_bytes()


def test_the_key_is_in_no_statement_that_the_engine_logs(hidden, with_key):
    statements = []

    def connect(*_, **__):
        con = opened()
        con.execute("call enable_logging(level = 'trace')")
        statements.append(con)
        return con

    opened = duckdb.connect
    with_key.setattr(duckdb, "connect", connect)
    with Registry.open(hidden.path) as registry:
        told = registry.con.execute("select string_agg(message, ' ') from duckdb_logs").fetchone()[0]
    assert "encryption_key ?" in told and KEY not in told and "horse" not in told


def test_a_key_file_is_read_only_if_nobody_else_can_read_it(hidden, with_key, tmp_path):
    file = tmp_path / "key.txt"
    file.write_text(KEY + "\n")
    with_key.setenv("CATAMNESIS_KEY_FILE", str(file))
    with pytest.raises(EncryptionError, match="are both set"):
        Registry.open(hidden.path)
    with_key.delenv("CATAMNESIS_KEY")
    file.chmod(0o640)
    with pytest.raises(EncryptionError, match=r"can be read by others on this machine\. Run: chmod 600"):
        Registry.open(hidden.path)
    file.chmod(0o600)
    Registry.open(hidden.path).close()
    file.write_text("\n")
    with pytest.raises(EncryptionError, match="is empty"):
        Registry.open(hidden.path)
    with_key.setenv("CATAMNESIS_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(EncryptionError, match="cannot be read"):
        Registry.open(hidden.path)


def test_a_key_that_could_be_tried_out_makes_no_registry(tmp_path, with_key):
    with_key.setenv("CATAMNESIS_KEY", "knees")
    with pytest.raises(UsageError, match="fewer than 16 characters") as short:
        Registry.create(tmp_path / "new.duckdb")
    assert "knees" not in str(short.value) and list(tmp_path.iterdir()) == []


def test_an_encrypted_file_that_was_altered_does_not_open_or_says_so_when_it_is_read(hidden):
    whole = hidden.path.read_bytes()
    for at in range(5000, len(whole), len(whole) // 5):
        hidden.path.write_bytes(whole[:at] + bytes(b ^ 1 for b in whole[at : at + 4000]) + whole[at + 4000 :])
        try:
            with Registry.open(hidden.path) as registry:
                assert registry.verify().problems == ()  # a block that holds nothing now
        except EncryptionError as error:
            assert "damaged or altered" in str(error)
        except duckdb.Error as error:
            assert "AES tag" in str(error)


def test_without_the_extension_it_is_said_what_to_install(tmp_path, with_key):
    with_key.setattr(extensions.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EncryptionError, match=r"CATAMNESIS_KEY is set.*pip install 'catamnesis\[encryption\]'"):
        Registry.create(tmp_path / "new.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_whether_a_new_registry_is_encrypted(tmp_path, with_key, capsys):
    from reports import cli

    for name, how in (("a", "encrypted with the key of the environment"), ("b", "not encrypted")):
        cli.init(tmp_path / f"{name}.duckdb")
        assert how in capsys.readouterr().out
        with_key.delenv("CATAMNESIS_KEY", raising=False)
