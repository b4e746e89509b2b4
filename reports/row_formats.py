"""Writes rows in the formats that statisticians use, each with labels and without a trace of when it was written.

CSV, Parquet, Stata, SPSS, SAS transport (version 5), CDISC Dataset-JSON 1.1 with Define-XML 2.1. The formats that
carry a time of writing carry the day of the data cut: the same rows are the same bytes.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pyreadstat

from analysis.cells import safe_for_spreadsheets
from analysis.disclosure.datasets import Dataset, Variable, type_of
from registry.errors import CatamnesisError
from reports import xport

_ODM, _DEF, _XLINK = (
    "http://www.cdisc.org/ns/odm/v1.3", "http://www.cdisc.org/ns/def/v2.1", "http://www.w3.org/1999/xlink",
)  # fmt: skip


def write(datasets: list[Dataset], folder: Path, day: dt.date, study: str, terms: str) -> None:
    """Write every dataset in every format into subfolders of `folder`.

    Parameters
    ----------
    datasets
        As they leave.
    folder
        There already.
    day
        Stands where a format has the time of writing.
    study
        Its name in the files.
    terms
        k and the day of the cut: in every file's own label, for a file that is passed on alone.

    Raises
    ------
    CatamnesisError
        When a name, label or text is not what a format can hold: it would be cut or spoilt without a word.
    """
    for made in datasets:
        _lint(made, terms)
    for name in ("csv", "parquet", "stata", "spss", "sas", "cdisc"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for made in datasets:
        stem = made.name.lower()
        safe_for_spreadsheets(made.frame).write_csv(folder / "csv" / f"{stem}.csv")
        made.frame.write_parquet(folder / "parquet" / f"{stem}.parquet")
        _statistics(made, folder, terms)
        _dated(folder, stem, day)
        text = json.dumps(dataset_json(made, day, study), ensure_ascii=False, indent=None, separators=(",", ":"))
        (folder / "cdisc" / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
    (folder / "cdisc" / "define.xml").write_bytes(define_xml(datasets, day, study))
    (folder / "codebook.md").write_text(codebook(datasets), encoding="utf-8")


def _statistics(made: Dataset, folder: Path, terms: str) -> None:
    """Write the files of Stata, SPSS and SAS."""
    stem = made.name.lower()
    # These formats know no missing text; an empty one is what they have.
    plain = made.frame.with_columns(pl.col(pl.Boolean).cast(pl.Int8), pl.col(pl.String).fill_null(""))
    labels: list[str | None] = [v.label for v in made.variables]
    words: dict[str, Any] = {v.name: dict(v.words) for v in made.variables if v.words}
    # Stata puts words beside numbers only.
    numbers = {name: told for name, told in words.items() if made.frame.schema[name] != pl.String}
    label = f"Rows of patients, k-anonymous ({terms}): {made.name}"
    pyreadstat.write_dta(
        plain, folder / "stata" / f"{stem}.dta", column_labels=labels, file_label=label, variable_value_labels=numbers
    )
    pyreadstat.write_sav(
        plain, folder / "spss" / f"{stem}.sav", column_labels=labels, file_label=label, variable_value_labels=words
    )
    pyreadstat.write_xport(
        plain, folder / "sas" / f"{stem}.xpt", table_name=made.name, column_labels=labels,
        file_label=_about(terms), file_format_version=5,
    )  # fmt: skip


def _about(terms: str) -> str:
    return f"Rows of patients, {terms}"


def _lint(made: Dataset, terms: str) -> None:
    if made.frame.columns != [v.name for v in made.variables]:
        raise CatamnesisError(f"{made.name}: columns and their description differ.")
    xport.check(made.name, _about(terms), {v.name: v.label for v in made.variables}, made.frame)


def _dated(folder: Path, stem: str, day: dt.date) -> None:
    """Put the day of the data cut where a format writes the time of writing."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    month = months[day.month - 1]
    stata = folder / "stata" / f"{stem}.dta"
    stamp = f"{day.day:02d} {month} {day.year} 00:00".encode()
    pattern = rb"\d{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}"
    stata.write_bytes(re.sub(pattern, stamp, stata.read_bytes(), count=1))
    spss = folder / "spss" / f"{stem}.sav"
    held = bytearray(spss.read_bytes())
    # Creation date and time stand after 92 bytes of the header.
    held[92:109] = f"{day.day:02d} {month} {day.year % 100:02d}00:00:00".encode()
    spss.write_bytes(bytes(held))
    sas = folder / "sas" / f"{stem}.xpt"
    stamp = f"{day.day:02d}{month.upper()}{day.year % 100:02d}:00:00:00".encode()
    sas.write_bytes(re.sub(rb"\d{2}[A-Z]{3}\d{2}:\d{2}:\d{2}:\d{2}", stamp, sas.read_bytes()))


def dataset_json(made: Dataset, day: dt.date, study: str) -> dict[str, Any]:
    """Return a dataset as CDISC Dataset-JSON 1.1."""
    columns = []
    for v in made.variables:
        kind = type_of(made.frame, v.name)
        column: dict[str, Any] = {
            "itemOID": f"IT.{made.name}.{v.name}", "name": v.name, "label": v.label, "dataType": kind,
        }  # fmt: skip
        if kind == "string":
            column["length"] = _length(made.frame, v.name)
        if v.name in made.keys:
            column["keySequence"] = made.keys.index(v.name) + 1
        columns.append(column)
    return {
        "datasetJSONCreationDateTime": f"{day}T00:00:00",
        "datasetJSONVersion": "1.1.0",
        "fileOID": f"{study}.{made.name}",
        "dbLastModifiedDateTime": f"{day}T00:00:00",
        "originator": "Catamnesis",
        "sourceSystem": {"name": "Catamnesis", "version": "1"},
        "studyOID": study,
        "metaDataVersionOID": "MDV.1",
        "metaDataRef": "define.xml",
        "itemGroupOID": f"IG.{made.name}",
        "records": made.frame.height,
        "name": made.name,
        "label": made.label,
        "columns": columns,
        "rows": [list(row) for row in made.frame.with_columns(pl.col(pl.Date).cast(pl.String)).iter_rows()],
    }


def _length(frame: pl.DataFrame, name: str) -> int:
    return max(int(str(frame[name].str.len_chars().max() or 1)), 1)


def define_xml(datasets: list[Dataset], day: dt.date, study: str) -> bytes:
    """Return the description of the datasets as CDISC Define-XML 2.1."""
    for prefix, uri in (("", _ODM), ("def", _DEF), ("xlink", _XLINK)):
        ET.register_namespace(prefix, uri)
    root = ET.Element(f"{{{_ODM}}}ODM", {
        "FileOID": f"{study}.DEFINE", "FileType": "Snapshot", "ODMVersion": "1.3.2",
        "CreationDateTime": f"{day}T00:00:00", "AsOfDateTime": f"{day}T00:00:00", f"{{{_DEF}}}Context": "Other",
    })  # fmt: skip
    study_node = _add(root, "Study", OID=study)
    about = _add(study_node, "GlobalVariables")
    for name, text in (
        ("StudyName", study), ("StudyDescription", "Rows of a registry, for analysis"), ("ProtocolName", study)
    ):  # fmt: skip
        _add(about, name).text = text
    version = _add(study_node, "MetaDataVersion", OID="MDV.1", Name="Rows that left the registry")
    version.set(f"{{{_DEF}}}DefineVersion", "2.1.0")
    for made in datasets:
        _group(version, made)
    for made in datasets:
        for v in made.variables:
            _item(version, made, v)
    for made in datasets:
        for v in made.variables:
            if v.codes:
                listed = _add(version, "CodeList", OID=f"CL.{made.name}.{v.name}", Name=v.label, DataType="text")
                for code in v.codes:
                    _add(listed, "EnumeratedItem", CodedValue=code)
    for made in datasets:
        leaf = ET.SubElement(version, f"{{{_DEF}}}leaf", {
            "ID": f"LF.{made.name}", f"{{{_XLINK}}}href": f"{made.name.lower()}.json",
        })  # fmt: skip
        ET.SubElement(leaf, f"{{{_DEF}}}title").text = f"{made.name.lower()}.json"
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _group(version: ET.Element, made: Dataset) -> None:
    node = _add(
        version, "ItemGroupDef", OID=f"IG.{made.name}", Name=made.name, SASDatasetName=made.name, Repeating="Yes",
        IsReferenceData="No", Purpose="Analysis",
    )  # fmt: skip
    node.set(f"{{{_DEF}}}Structure", made.grain)
    node.set(f"{{{_DEF}}}ArchiveLocationID", f"LF.{made.name}")
    _say(node, made.label)
    for k, v in enumerate(made.variables, 1):
        told = {"ItemOID": f"IT.{made.name}.{v.name}", "OrderNumber": str(k)}
        told["Mandatory"] = "Yes" if v.name in made.keys else "No"
        if v.name in made.keys:
            told["KeySequence"] = str(made.keys.index(v.name) + 1)
        _add(node, "ItemRef", **told)


def _item(version: ET.Element, made: Dataset, v: Variable) -> None:
    kind = {"string": "text", "boolean": "integer"}.get(type_of(made.frame, v.name), type_of(made.frame, v.name))
    told = {"OID": f"IT.{made.name}.{v.name}", "Name": v.name, "DataType": kind, "SASFieldName": v.name}
    if kind != "date":
        told["Length"] = str(_length(made.frame, v.name) if kind == "text" else 8)
    if kind == "float":
        told["SignificantDigits"] = "4"
    node = _add(version, "ItemDef", **told)
    _say(node, v.label + (f" ({v.unit})" if v.unit else ""))
    if v.codes:
        _add(node, "CodeListRef", CodeListOID=f"CL.{made.name}.{v.name}")


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{_ODM}}}{tag}", attributes)


def _say(node: ET.Element, text: str) -> None:
    said = _add(_add(node, "Description"), "TranslatedText")
    said.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    said.text = text


def codebook(datasets: list[Dataset]) -> str:
    """Return what every column means, as Markdown."""
    lines = ["# Codebook", ""]
    for made in datasets:
        lines += [f"## {made.name}: {made.label}", "", f"{made.grain}; {made.frame.height:,} rows.", ""]
        lines += ["| column | meaning | form |", "|---|---|---|"]
        for v in made.variables:
            form = ", ".join(f"`{c}`" for c in v.codes) or type_of(made.frame, v.name)
            mark = f"**{v.name}**" if v.name in made.keys else v.name
            lines.append(f"| {mark} | {v.label} | {form}{', ' + v.unit if v.unit else ''} |")
        lines.append("")
    return "\n".join(lines)
