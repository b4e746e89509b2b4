"""Rows that leave: nobody is recognised, every format says the same, and other people's readers read them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import odmlib.schemas
import pandas as pd
import pyreadstat
import pytest
import xmlschema
from odmlib.dataset_json_1_1.model import DatasetJSON
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


def same(theirs: pd.DataFrame, ours: pd.DataFrame) -> None:
    """Equal values; a missing text is empty in formats that know no missing text, numbers are doubles."""
    assert list(theirs.columns) == list(ours.columns)
    for column in ours.columns:
        if object in (ours[column].dtype, theirs[column].dtype):
            assert theirs[column].fillna("").tolist() == ours[column].fillna("").tolist(), column
        else:
            np.testing.assert_array_equal(theirs[column].astype(float), ours[column].astype(float), err_msg=column)


@pytest.mark.parametrize("name", NAMES)
def test_stata_spss_and_sas_files_say_what_the_csv_says_by_readers_that_are_not_ours(made, name):
    ours = csv_of(made.folder, name)
    same(pd.read_stata(made.folder / "stata" / f"{name}.dta", convert_categoricals=False), ours)
    same(pyreadstat.read_sav(made.folder / "spss" / f"{name}.sav")[0], ours)
    # pandas reads a zero of a transport file as 5e-79 and may lose its last row: SAS's own format, read by ReadStat.
    same(pyreadstat.read_xport(made.folder / "sas" / f"{name}.xpt")[0], ours)
    same(pd.read_parquet(made.folder / "parquet" / f"{name}.parquet"), ours)


HAVEN = """
suppressPackageStartupMessages(library(haven))
for (file in commandArgs(TRUE)) {
  read <- switch(tools::file_ext(file), dta = read_dta, sav = read_sav, xpt = read_xpt)
  d <- as.data.frame(read(file))
  labels <- vapply(d, function(x) paste(attr(x, "label"), collapse = ""), "")
  write.csv(zap_labels(d), paste0(file, ".csv"), row.names = FALSE, na = "", fileEncoding = "UTF-8")
  writeLines(paste(names(d), labels, sep = "\t"), paste0(file, ".labels"), useBytes = TRUE)
}
"""


def haven_is_here() -> bool:
    """Whether R is here with its package haven, which reads files of Stata, SPSS and SAS."""
    asked = ["Rscript", "-e", 'quit(status = !requireNamespace("haven", quietly = TRUE))']
    return shutil.which("Rscript") is not None and subprocess.run(asked, capture_output=True).returncode == 0


@pytest.mark.skipif(not haven_is_here(), reason="R with its package haven is not here")
def test_haven_in_r_reads_the_same_values_and_labels(made, tmp_path):
    (tmp_path / "read.R").write_text(HAVEN)
    kinds = {"stata": "dta", "spss": "sav", "sas": "xpt"}
    files = [shutil.copy(made.folder / k / f"{n}.{kinds[k]}", tmp_path) for k in kinds for n in NAMES]
    subprocess.run(["Rscript", str(tmp_path / "read.R"), *map(str, files)], check=True, capture_output=True)
    package = json.loads((made.folder / "datapackage.json").read_text("utf-8"))
    told = {r["name"]: {f["name"]: f["title"] for f in r["schema"]["fields"]} for r in package["resources"]}
    for file in map(Path, files):
        theirs = pd.read_csv(f"{file}.csv", keep_default_na=False, na_values=[""])
        same(theirs, csv_of(made.folder, file.stem))
        labels = dict(line.split("\t") for line in Path(f"{file}.labels").read_text("utf-8").splitlines())
        assert labels == told[file.stem]


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_in_every_format_that_has_labels(made, name):
    package = json.loads((made.folder / "datapackage.json").read_text())
    fields = next(r for r in package["resources"] if r["name"] == name)["schema"]["fields"]
    labels = {f["name"]: f["title"] for f in fields}
    assert (
        pyreadstat.read_sav(made.folder / "spss" / f"{name}.sav", metadataonly=True)[1].column_names_to_labels == labels
    )
    assert (
        pyreadstat.read_dta(made.folder / "stata" / f"{name}.dta", metadataonly=True)[1].column_names_to_labels
        == labels
    )
    assert (
        pyreadstat.read_xport(made.folder / "sas" / f"{name}.xpt", metadataonly=True)[1].column_names_to_labels
        == labels
    )
    codebook = (made.folder / "codebook.md").read_text()
    assert all(label in codebook for label in labels.values())


@pytest.mark.parametrize("name", NAMES)
def test_dataset_json_is_read_by_odmlib_and_says_what_the_csv_says(made, name):
    text = (made.folder / "cdisc" / f"{name}.json").read_text()
    read = DatasetJSON.from_json(text) if hasattr(DatasetJSON, "from_json") else None
    held = json.loads(text)
    if read is not None:
        assert read.records == held["records"] and len(read.columns) == len(held["columns"])
    columns = [c["name"] for c in held["columns"]]
    assert held["records"] == len(held["rows"])
    same(pd.DataFrame(held["rows"], columns=columns), csv_of(made.folder, name))
    keys = [
        c["name"] for c in sorted((c for c in held["columns"] if "keySequence" in c), key=lambda c: c["keySequence"])
    ]
    assert not csv_of(made.folder, name).duplicated(keys).any()


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
