"""Patients are known by pseudonym only, made with a secret that is never lost by accident."""

import hashlib
import hmac

import pytest

from registry import CatamnesisError, Registry
from registry.errors import UsageError
from tests.registry.conftest import KEY


def expected(number: str, key: bytes = KEY, centre: str = "") -> str:
    return hmac.new(key, f"{centre}\x1f{number}".encode(), hashlib.sha256).hexdigest()[:24]


def test_the_pseudonym_is_the_hmac_that_python_computes(clinic):
    clinic.write_good("centres", "patients")
    clinic.load()
    held = clinic.sql("select patient_key from record.patient order by birth_year desc")["patient_key"]
    assert held.to_list() == [expected("MRN-4711"), expected("MRN-4712")]


@pytest.mark.parametrize("length", [16, 64, 65, 200])
def test_a_secret_of_any_length_gives_the_hmac_that_python_computes(clinic, monkeypatch, length):
    key = bytes(i % 251 for i in range(length))
    monkeypatch.setenv("CATAMNESIS_PSEUDONYM_KEY", key.hex())
    clinic.write("centres", "centre\nZRH\n")
    clinic.write("patients", "patient,centre,birth_year,sex,enrolment_date\nÅsa 7,ZRH,1960,female,2022-01-01\n")
    clinic.load()
    assert clinic.sql("select patient_key from record.patient")["patient_key"].to_list() == [expected("Åsa 7", key)]


def test_the_same_number_in_two_clinics_is_two_patients_when_each_names_itself(clinic):
    clinic.write_good("centres", "patients")
    for name in ("ZRH", "DEN"):
        clinic.write("load.toml", f'centre = "{name}"\nextracted_on = 2024-01-01\n')
        clinic.load()
    assert clinic.sql("select count(distinct patient_key) as n from record.patient")["n"][0] == 4


def test_no_patient_number_is_found_in_the_file_the_messages_or_the_rejections(clinic):
    clinic.write_good()
    clinic.add("measurements", value="140", date="2022-06-01")
    clinic.add("visits", patient="MRN-9999")
    report = clinic.load()
    shown = str(report.to_dict()) + str(report.rejections.rows())
    for number in ("MRN-4711", "MRN-4712", "MRN-9999"):
        assert number not in shown
        assert number.encode() not in clinic.path.read_bytes()
        assert number not in clinic.text()


def test_the_registry_and_its_secret_are_for_their_owner_only(clinic, tmp_path):
    Registry.create(tmp_path / "new.duckdb").close()
    for name in ("new.duckdb", "new.duckdb.key"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_two_registries_have_different_secrets(tmp_path):
    for name in ("a", "b"):
        Registry.create(tmp_path / name).close()
    assert (tmp_path / "a.key").read_text() != (tmp_path / "b.key").read_text()


@pytest.mark.parametrize("content", [None, "", "not hexadecimal", "abcd"])
def test_a_missing_or_spoilt_secret_stops_the_load_and_says_where_it_belongs(clinic, content):
    clinic.write_good()
    file = clinic.path.with_name("knees.duckdb.key")
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(
        CatamnesisError, match=r"in knees\.duckdb\.key beside the registry.*Restore it from your backup"
    ):
        clinic.load()


def test_a_short_secret_is_refused_and_no_registry_is_left_behind(tmp_path):
    with pytest.raises(UsageError, match="16 bytes or more"):
        Registry.create(tmp_path / "new.duckdb", key=b"short")
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_lies_there_is_used_again_and_never_overwritten(tmp_path):
    Registry.create(tmp_path / "a.duckdb", key=KEY).close()
    (tmp_path / "a.duckdb").rename(tmp_path / "moved.duckdb")
    with pytest.raises(UsageError, match="another secret of an earlier registry"):
        Registry.create(tmp_path / "a.duckdb", key=bytes(32))
    Registry.create(tmp_path / "a.duckdb").close()
    assert (tmp_path / "a.duckdb.key").read_text().strip() == KEY.hex()
