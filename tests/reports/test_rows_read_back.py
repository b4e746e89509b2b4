"""Every format of rows read back by readers that are not ours: each value, label, missing value and date as it was made.

What is compared with are the rows before they are written. Each comparison is shown to fail when one value is another.
"""

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import polars as pl
import pyreadstat
import pytest
from odmlib.dataset_json_1_1.model import DatasetJSON

from registry import Registry
from reports.rows import RowTerms, make_rows, write_rows

NAMES = ("adsl", "adcrs", "adqs", "adtte", "adae")
# Formats that know no missing text: an empty one is what they have.
EMPTY_TEXT = {"stata", "spss", "sas", "sas by pandas", "haven stata", "haven spss", "haven sas"}


@pytest.fixture(scope="module", params=["none", "shifted"])
def made(request, synthetic_file, tmp_path_factory):
    """Rows before they are written, by dataset, and the folder they were written to; with dates and without."""
    folder = tmp_path_factory.mktemp("read")
    with Registry.open(synthetic_file) as registry:
        rows = make_rows(registry, "osteoarthritis", RowTerms(consent="research", dates=request.param))
        write_rows(folder, rows)
    truth = {d.name.lower(): d for d in rows.datasets}
    kinds = {kind for d in rows.datasets for kind in d.frame.dtypes}
    assert {pl.String, pl.Int32, pl.Float64} <= kinds and (pl.Date in kinds) == (request.param == "shifted")
    return folder, truth


def same(theirs: pd.DataFrame, ours: pl.DataFrame, *, empty_text: bool) -> None:
    """Equal names, rows, texts, numbers and dates, and missing where ours is missing, nowhere else."""
    assert list(theirs.columns) == ours.columns and len(theirs) == ours.height
    for column, kind in ours.schema.items():
        mine, found = ours[column], theirs[column]
        if kind == pl.String:
            assert found.map(lambda v: v is None or isinstance(v, str) or v != v).all(), column
            told = [None if pd.isna(v) else v for v in found]
            assert told == (mine.fill_null("") if empty_text else mine).to_list(), column
        elif kind == pl.Date:
            told = [None if pd.isna(v) else pd.Timestamp(v) for v in found]
            assert told == [None if v is None else pd.Timestamp(v) for v in mine], column
        else:
            assert pd.api.types.is_numeric_dtype(found.dtype), column
            assert found.isna().tolist() == mine.is_null().to_list(), column
            np.testing.assert_array_equal(found.dropna().to_numpy(float), mine.drop_nulls().cast(pl.Float64), column)


def by_odmlib(path: Path) -> pd.DataFrame:
    read = DatasetJSON.from_json(path.read_text("utf-8"))
    assert read.records == len(read.rows)
    frame = pd.DataFrame(read.rows, columns=[c.name for c in read.columns], dtype=object)
    for column in read.columns:
        if column.dataType in ("integer", "float", "boolean"):
            frame[column.name] = frame[column.name].astype(float)
    return frame


def by_pandas(path: Path, ours: pl.DataFrame) -> pd.DataFrame:
    """pandas alone decodes the format itself; of a zero it makes 5e-79, and a date stays SAS's count of days from 1960."""
    with pd.read_sas(path, format="xport", encoding="ascii", iterator=True) as reader:
        # It counts blank words anywhere in the last 80 bytes as padding, those of an empty value too, and may drop a row.
        reader.nobs = ours.height
        frame = reader.read(ours.height)
    for column, kind in ours.schema.items():
        if kind.is_numeric() or kind == pl.Date:
            frame.loc[frame[column].abs() < 1e-70, column] = 0.0
        if kind == pl.Date:
            frame[column] = pd.Timestamp(1960, 1, 1) + pd.to_timedelta(frame[column], unit="D")
    return frame


def csv_of(path: Path, ours: pl.DataFrame) -> pd.DataFrame:
    texts = {c: str for c, kind in ours.schema.items() if kind in (pl.String, pl.Date)}
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""], float_precision="round_trip")


READERS = {
    "csv": ("csv/{}.csv", csv_of),
    "parquet": ("parquet/{}.parquet", lambda path, _: pd.read_parquet(path)),
    "stata": ("stata/{}.dta", lambda path, _: pd.read_stata(path, convert_categoricals=False)),
    "spss": ("spss/{}.sav", lambda path, _: pyreadstat.read_sav(path)[0]),
    "sas": ("sas/{}.xpt", lambda path, _: pyreadstat.read_xport(path)[0]),
    "sas by pandas": ("sas/{}.xpt", by_pandas),
    "dataset-json": ("cdisc/{}.json", lambda path, _: by_odmlib(path)),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_format_says_what_was_made_by_a_reader_that_is_not_ours(made, kind, name):
    folder, truth = made
    place, read = READERS[kind]
    ours = truth[name].frame
    theirs = read(folder / place.format(name), ours)
    same(theirs, ours, empty_text=kind in EMPTY_TEXT)
    # The same comparison with one value another, of each type, or missing, or there: it fails.
    tried = set()
    for column, dtype in ours.schema.items():
        some = [i for i, v in enumerate(ours[column]) if v is not None]
        none = [i for i, v in enumerate(ours[column]) if v is None]
        for rows, value in ((some, another(dtype, ours[column])), (some, ""), (none, another(dtype, ours[column]))):
            blank = value == ""
            if not rows or (dtype, blank, rows is none) in tried:
                continue
            tried.add((dtype, blank, rows is none))
            wrong = theirs.copy()
            wrong[column] = wrong[column].astype(object if dtype == pl.String else wrong[column].dtype)
            wrong.loc[rows[-1], column] = (None if dtype == pl.String else np.nan) if blank else value
            with pytest.raises(AssertionError):
                same(wrong, ours, empty_text=kind in EMPTY_TEXT)
    assert len(tried) > 2
    with pytest.raises(AssertionError):
        same(theirs.iloc[:-1], ours, empty_text=kind in EMPTY_TEXT)


def another(dtype: pl.DataType, values: pl.Series) -> object:
    """A value that the last one of the column is not; of an empty column any."""
    known = values.drop_nulls()
    last = known[-1] if len(known) else {pl.String: "x", pl.Date: dt.date(2020, 1, 1)}.get(dtype, 1)
    if dtype == pl.String:
        return f"{last} "
    if dtype == pl.Date:
        return pd.Timestamp(last) + dt.timedelta(1)
    return last + 1 if dtype.is_integer() else float(np.nextafter(float(last), np.inf))


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_those_of_the_columns_in_every_format_that_has_labels(made, name):
    folder, truth = made
    labels = {v.name: v.label for v in truth[name].variables}
    words = {v.name: dict(v.words) for v in truth[name].variables if v.words}
    for place, read in (("spss/{}.sav", pyreadstat.read_sav), ("stata/{}.dta", pyreadstat.read_dta),
                        ("sas/{}.xpt", pyreadstat.read_xport)):  # fmt: skip
        told = read(folder / place.format(name), metadataonly=True)[1]
        assert told.column_names_to_labels == labels, place
        if place.startswith("spss"):
            assert told.variable_value_labels == words
        if place.startswith("stata"):
            numbers = {k: w for k, w in words.items() if truth[name].frame.schema[k] != pl.String}
            assert told.variable_value_labels == numbers
    with pd.io.stata.StataReader(folder / f"stata/{name}.dta") as reader:
        assert reader.variable_labels() == labels
    read = DatasetJSON.from_json((folder / f"cdisc/{name}.json").read_text("utf-8"))
    assert {c.name: c.label for c in read.columns} == labels and read.label == truth[name].label
    assert [c.name for c in sorted((c for c in read.columns if c.keySequence), key=lambda c: c.keySequence)] == list(
        truth[name].keys
    )
    keys = truth[name].frame.select(truth[name].keys)
    assert not keys.is_duplicated().any()
    root, odm = ET.parse(folder / "cdisc/define.xml").getroot(), "{http://www.cdisc.org/ns/odm/v1.3}"
    defined = {
        item.get("Name"): item.find(f"{odm}Description/{odm}TranslatedText").text
        for item in root.iter(f"{odm}ItemDef")
        if item.get("OID").startswith(f"IT.{name.upper()}.")
    }
    units = {v.name: f" ({v.unit})" if v.unit else "" for v in truth[name].variables}
    assert defined == {column: label + units[column] for column, label in labels.items()}
    codebook = (folder / "codebook.md").read_text("utf-8")
    assert all(f"{column}** | {label} |" in codebook or f"| {column} | {label} |" in codebook
               for column, label in labels.items())  # fmt: skip


HAVEN = """
suppressPackageStartupMessages(library(haven))
for (file in commandArgs(TRUE)) {
  read <- switch(tools::file_ext(file), dta = read_dta, sav = read_sav, xpt = read_xpt)
  d <- as.data.frame(read(file))
  labels <- vapply(d, function(x) paste(attr(x, "label"), collapse = ""), "")
  d <- zap_labels(d)
  numbers <- vapply(d, is.numeric, TRUE)
  dates <- vapply(d, inherits, TRUE, "Date")
  # Seventeen digits are the number itself.
  d[numbers & !dates] <- lapply(d[numbers & !dates], function(x) ifelse(is.na(x), NA, sprintf("%.17g", x)))
  write.csv(d, paste0(file, ".csv"), row.names = FALSE, na = "<NA>", fileEncoding = "UTF-8")
  writeLines(paste(names(d), labels, sep = "\\t"), paste0(file, ".labels"), useBytes = TRUE)
}
"""


def haven_is_here() -> bool:
    """Whether R is here with its package haven, which reads files of Stata, SPSS and SAS."""
    asked = ["Rscript", "-e", 'quit(status = !requireNamespace("haven", quietly = TRUE))']
    return shutil.which("Rscript") is not None and subprocess.run(asked, capture_output=True).returncode == 0


@pytest.mark.skipif(not haven_is_here(), reason="R with its package haven is not here")
def test_haven_in_r_reads_the_same_values_dates_and_labels(made, tmp_path):
    folder, truth = made
    (tmp_path / "read.R").write_text(HAVEN)
    kinds = {"stata": "dta", "spss": "sav", "sas": "xpt"}
    files = [Path(shutil.copy(folder / k / f"{n}.{kinds[k]}", tmp_path)) for k in kinds for n in NAMES]
    subprocess.run(["Rscript", str(tmp_path / "read.R"), *map(str, files)], check=True, capture_output=True)
    for file in files:
        ours = truth[file.stem].frame
        texts = {c: str for c, kind in ours.schema.items() if kind in (pl.String, pl.Date)}
        theirs = pd.read_csv(
            f"{file}.csv", dtype=texts, keep_default_na=False, na_values=["<NA>"], float_precision="round_trip"
        )
        same(theirs, ours, empty_text=True)
        labels = dict(line.split("\t") for line in Path(f"{file}.labels").read_text("utf-8").splitlines())
        assert labels == {v.name: v.label for v in truth[file.stem].variables}
        wrong = theirs.copy()
        wrong.loc[len(wrong) - 1, ours.columns[0]] = "S0"
        with pytest.raises(AssertionError):
            same(wrong, ours, empty_text=True)


def test_json_itself_has_null_where_a_value_is_missing_and_whole_numbers_without_a_point(made):
    folder, truth = made
    for name in NAMES:
        held = json.loads((folder / f"cdisc/{name}.json").read_text("utf-8"))
        ours = truth[name].frame.with_columns(pl.col(pl.Date).cast(pl.String))
        assert held["rows"] == [list(row) for row in ours.iter_rows()]
        for column, values in zip(held["columns"], zip(*held["rows"], strict=True), strict=True):
            if column["dataType"] == "integer":
                assert {type(v) for v in values} <= {int, type(None)}, column["name"]
