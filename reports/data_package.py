"""Frictionless data packages: of the CSV files of a folder, what each column is, and whether rows are of patients."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl

from analysis.disclosure.datasets import Dataset, type_of
from analysis.disclosure.log import AGGREGATE, ROW_LEVEL

NAME = "datapackage.json"
_KINDS = {pl.Float64: "number", pl.Int64: "integer", pl.String: "string"}
# The columns of every result (analysis.result.FRAME and DETAILS), and of the log of disclosure control.
_TITLES = {
    "stratum": "Group of courses, or two of them as a - b",
    "quantity": "What the number is",
    "time_day": "Days since the first session",
    "estimate": "The number; shares are of 1",
    "low": "Lower limit",
    "high": "Upper limit",
    "term": "Coefficient of the model",
    "other_day": "Day of the other visit of a covariance",
    "standard_error": "Standard error",
    "degrees_of_freedom": "Degrees of freedom of t",
    "t": "Estimate over its standard error",
    "p": "Two-sided p of no change, or no difference",
    "n": "How many of what is counted",
    "denominator": "Courses that it could have happened to",
    "note": "What to know; why there is no number",
    "file": "Path, with * for several",
    "level": "aggregate, or row-level",
    "rule": "Rule of disclosure control",
    "done": "What was done",
    "unit": "What is counted",
    "told": "In a sentence",
}


def write_package(
    folder: Path, *, name: str, title: str, description: str, day: dt.date, resources: list[dict[str, Any]]
) -> None:
    """Write ``datapackage.json``; the same resources, the same bytes."""
    content = {
        "profile": "tabular-data-package",
        "name": name.lower().replace(" ", "-").replace("_", "-"),
        "title": title,
        "description": description,
        "created": f"{day}T00:00:00Z",
        "resources": resources,
    }
    (folder / NAME).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def of_rows(datasets: list[Dataset], terms: str, where: str = "") -> list[dict[str, Any]]:
    """Return the CSV files of datasets of rows as resources; `terms` are k and the day of the cut."""
    kinds = {"float": "number"}
    return [
        _resource(
            made.name.lower(), made.label, f"{made.grain}. Rows of patients, k-anonymous ({terms}).",
            f"{where}csv/{made.name.lower()}.csv", ROW_LEVEL,
            {
                "primaryKey": list(made.keys),
                "missingValues": [""],
                "fields": [
                    {
                        "name": v.name,
                        "title": v.label,
                        "type": kinds.get(type_of(made.frame, v.name), type_of(made.frame, v.name)),
                        **({"constraints": {"enum": list(v.codes)}} if v.codes else {}),
                    }
                    for v in made.variables
                ],
            },
        )
        for made in datasets
    ]  # fmt: skip


def of_frame(path: str, title: str, frame: pl.DataFrame) -> dict[str, Any]:
    """Return a CSV file of numbers, or the log, as a resource."""
    fields = [{"name": c, "title": _TITLES[c], "type": _KINDS[type(t)]} for c, t in frame.schema.items()]
    name = path.rsplit("/", 1)[-1].removesuffix(".csv").replace("_", "-")
    return _resource(name, title, title, path, AGGREGATE, {"missingValues": [""], "fields": fields})


def _resource(name: str, title: str, told: str, path: str, level: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "profile": "tabular-data-resource",
        "name": name,
        "title": title,
        "description": told,
        "path": path,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "level": level,
        "schema": schema,
    }
