"""Rows that leave: nobody is recognised, and their description is valid; test_rows_read_back reads every format."""

import re
from pathlib import Path

import odmlib.schemas
import pandas as pd
import pytest
import xmlschema
from typer.testing import CliRunner

from registry import Registry
from registry.errors import UsageError
from reports.cli import app
from reports.rows import export_rows

NAMES = ("adsl", "adcrs", "adqs", "adtte", "adae")


@pytest.fixture(scope="module")
def made(synthetic_file, tmp_path_factory):
    with Registry.open(synthetic_file) as registry:
        out = tmp_path_factory.mktemp("rows") / "rows"
        yield export_rows(registry, out, "osteoarthritis", consent="research")


def csv_of(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "csv" / f"{name}.csv", keep_default_na=False, na_values=[""])


def test_define_xml_is_valid_by_the_published_schema(made, tmp_path):
    folder = Path(odmlib.schemas.__file__).parent / "define" / "2.1"
    schema = xmlschema.XMLSchema(str(folder / "define2-1-0.xsd"), validation="lax")
    path = made.folder / "cdisc" / "define.xml"
    assert list(schema.iter_errors(str(path))) == []
    # The schema does refuse what it should.
    broken = tmp_path / "define.xml"
    broken.write_text(path.read_text().replace(' Repeating="Yes"', ""))
    assert list(schema.iter_errors(str(broken)))
    text = path.read_text()
    for name in NAMES:
        for column in csv_of(made.folder, name).columns:
            assert f'ItemOID="IT.{name.upper()}.{column}"' in text


def test_nothing_of_the_registrys_own_identities_no_date_and_no_free_text_leaves(made, synthetic_file):
    with Registry.open(synthetic_file) as registry:
        ids = {str(r[0]) for r in registry.con.sql("select patient_key from record.patient").fetchall()}
        ids |= {
            str(r[0])
            for r in registry.con.sql("select id from record.patient union select id from record.course").fetchall()
        }
        readers = {
            str(r[0]) for r in registry.con.sql("select distinct reader from record.stage_assessment").fetchall()
        }
    for path in (made.folder / "csv").iterdir():
        text = path.read_text()
        cells = set(re.split(r"[,\n]", text))
        assert not cells & (ids | readers)
        assert not re.search(r"\d{4}-\d{2}-\d{2}", text)


def test_the_same_rows_are_the_same_bytes(made, synthetic_file, tmp_path):
    with Registry.open(synthetic_file) as registry:
        again = export_rows(registry, tmp_path / "rows", "osteoarthritis", consent="research")
    for path in (p for p in made.folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (again.folder / path.relative_to(made.folder)).read_bytes(), path.name


def test_rows_leave_only_of_those_whose_consent_covers_it(synthetic_file, tmp_path):
    with Registry.open(synthetic_file) as registry:
        with pytest.raises(UsageError, match="No patient's consent covers 'export'"):
            export_rows(registry, tmp_path / "rows", "osteoarthritis")
        with pytest.raises(UsageError, match="too few for k = 5000"):
            export_rows(registry, tmp_path / "rows", "osteoarthritis", consent="research", k=5000)
        with pytest.raises(UsageError, match="k = 1 hides nobody"):
            export_rows(registry, tmp_path / "rows", "osteoarthritis", consent="research", k=1)
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years of work")
        with pytest.raises(UsageError, match="files that are not of this command"):
            export_rows(registry, tmp_path / "mine", "osteoarthritis", consent="research")
    assert not (tmp_path / "rows").exists()


def test_the_command_says_what_was_taken_away(synthetic_file, tmp_path):
    done = CliRunner().invoke(
        app,
        [
            "rows",
            str(synthetic_file),
            "--programme",
            "osteoarthritis",
            "--consent",
            "research",
            "--out",
            str(tmp_path / "r"),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "taken away so that every patient is among" in done.output and "not for publication" in done.output
