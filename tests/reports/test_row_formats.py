"""Files of rows by other people's rules: SAS transport version 5, Frictionless data package, labels in SPSS and Stata."""

import datetime as dt
import json
import shutil

import polars as pl
import pyreadstat
import pytest
from frictionless import Package, system

from analysis.disclosure.datasets import Dataset, Variable
from registry import Registry, catalogue
from registry.errors import CatamnesisError
from reports.row_formats import write
from reports.rows import export_rows

NAMES = ("adsl", "adcrs", "adqs", "adtte", "adae")
READERS = {"stata/{}.dta": pyreadstat.read_dta, "spss/{}.sav": pyreadstat.read_sav, "sas/{}.xpt": pyreadstat.read_xport}


@pytest.fixture(scope="module")
def made(synthetic_file, tmp_path_factory):
    with Registry.open(synthetic_file) as registry:
        yield export_rows(registry, tmp_path_factory.mktemp("rows") / "rows", "osteoarthritis", consent="research")


def written(folder, *, dataset="ADX", name="A", label="a", values=("x",), terms="k=5, cut 2025-06-30"):
    made = Dataset(dataset, "X", "One row", (name,), (Variable(name, label),), pl.DataFrame({name: list(values)}))
    write([made], folder, dt.date(2025, 6, 30), "S", terms)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "age"}, "variable name 'age'.*upper case"),
        ({"name": "NINELONGX"}, "variable name 'NINELONGX'.*1 to 8"),
        ({"name": "1A"}, "variable name '1A'.*a letter first"),
        ({"name": "A\n"}, "variable name"),
        ({"name": "_A"}, "variable name '_A'.*a letter first"),
        ({"name": "ÄGE"}, "variable name"),
        ({"name": "A-B"}, "variable name"),
        ({"label": "a" * 41}, "label of variable A.*at most 40 ASCII"),
        ({"label": "Größe"}, "label of variable A"),
        ({"values": ("x" * 201,)}, "ADX.*variable A, 1 texts above 200 bytes"),
        ({"values": ("Zürich", "Zürich", "Bern", None)}, "ADX.*variable A, 2 values that are not ASCII.*spell them"),
        ({"values": ("a\x00b",)}, "not ASCII"),
        ({"dataset": "adx"}, "dataset name 'adx'"),
        ({"dataset": "ADXADXADX"}, "dataset name 'ADXADXADX'"),
        ({"terms": "k=5, cut of the thirtieth of June"}, "label of dataset ADX"),
    ],
)
def test_what_a_transport_file_of_version_5_cannot_hold_is_refused_before_a_byte_is_written(tmp_path, wrong, told):
    with pytest.raises(CatamnesisError, match=told):
        written(tmp_path, **wrong)
    assert list(tmp_path.iterdir()) == []


def test_what_it_can_hold_to_the_last_byte_is_read_back(tmp_path):
    written(tmp_path, dataset="ADXADXA8", name="A_345678", label="a" * 40, values=("x" * 200, None, "~ !"))
    held, about = pyreadstat.read_xport(tmp_path / "sas" / "adxadxa8.xpt")
    assert held["A_345678"].tolist() == ["x" * 200, "", "~ !"] and about.table_name == "ADXADXA8"
    assert about.column_names_to_labels == {"A_345678": "a" * 40}


def test_the_data_package_and_every_csv_file_are_valid_by_frictionless(made, tmp_path):
    folder = shutil.copytree(made.folder, tmp_path / "rows")
    with system.use_context(trusted=True):
        report = Package(folder / "datapackage.json").validate()
        assert report.valid, report.flatten(["title", "message"])
        assert {task.name: task.stats["rows"] for task in report.tasks} == {k.lower(): n for k, n in made.rows.items()}
        # It does refuse what it should: a type, a code that is none, a key that is there twice.
        file = folder / "csv" / "adtte.csv"
        head, first, *rest = file.read_text().splitlines()
        for broken in (first.replace(",END,", ",FIN,", 1), first + "x", rest[0]):
            file.write_text("\n".join([head, broken, *rest]) + "\n")
            assert not Package(folder / "datapackage.json").validate().valid, broken


def test_codes_have_the_words_of_the_catalogue_in_spss_and_numbers_have_theirs_in_stata(made):
    spss = {n: pyreadstat.read_sav(made.folder / "spss" / f"{n}.sav", metadataonly=True)[1] for n in NAMES}
    stages = dict(catalogue.read("stage").filter(programme="osteoarthritis").select("stage", "label").iter_rows())
    told = spss["adcrs"].variable_value_labels["STAGE"]
    assert told == stages and told["bone_on_bone"] == "Bone-on-bone"
    scores = pl.read_csv(made.folder / "csv" / "adqs.csv")
    assert (
        spss["adqs"].variable_value_labels["PARAMCD"].items() >= dict(scores.select("PARAMCD", "PARAM").rows()).items()
    )
    assert spss["adae"].variable_value_labels["AESER"] == {"Y": "Yes", "N": "No"}
    for name, column, words in (("adtte", "CNSR", {0: "Happened", 1: "Not seen to happen"}),
                                ("adae", "AETOXGR", {1: "Mild", 2: "Moderate", 3: "Severe", 4: "Life-threatening", 5: "Death"})):  # fmt: skip
        stata = pyreadstat.read_dta(made.folder / "stata" / f"{name}.dta", metadataonly=True)[1]
        assert stata.variable_value_labels[column] == spss[name].variable_value_labels[column] == words


@pytest.mark.parametrize("dates", ["none", "shifted"])
def test_a_file_that_is_passed_on_alone_says_that_it_is_rows_of_patients_with_k_and_the_cut(
    made, synthetic_file, tmp_path, dates
):
    with Registry.open(synthetic_file) as registry:
        cut, folder = str(registry.data_cut), made.folder
        if dates == "shifted":
            cut, folder = cut[:4], tmp_path / "rows"
            export_rows(registry, folder, "osteoarthritis", consent="research", dates=dates)
    k = json.loads((folder / "ROWS.json").read_text("utf-8"))["disclosure"]["k"]
    for name in NAMES:
        for path, read in READERS.items():
            label = read(folder / path.format(name), metadataonly=True)[1].file_label
            assert label.startswith("Rows of patients") and label.removesuffix(f": {name.upper()}").endswith(
                f"k={k}, cut {cut}" + ("" if path.startswith("sas") else ")")
            )
    package = json.loads((folder / "datapackage.json").read_text("utf-8"))
    for told in (package, *package["resources"]):
        assert f"Rows of patients, k-anonymous (k={k}, cut {cut})" in told["description"]
