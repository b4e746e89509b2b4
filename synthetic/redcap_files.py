"""Writes synthetic patients as the export of a REDCap project, raw or with labels, with the project's own files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl

from registry import catalogue, redcap
from registry.redcap_project import (
    FORMS,
    HOME,
    RECORD,
    UNSCHEDULED,
    VISIT,
    code_of,
    item_form,
    questionnaires,
    write,
)
from synthetic.cohort import CENTRES
from synthetic.simulate import Synthetic, data_cut

_VISIT_KEY = ["patient", "site", "side", "date"]
_SPECIAL = ("redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance", "redcap_data_access_group")


def write_redcap(synthetic: Synthetic, folder: Path, *, labels: bool = False) -> list[Path]:
    """Write the project's files, ``export.csv`` and the ``load.toml`` that reads it; returns the paths.

    Patients of one programme: a REDCap project has one schedule.
    """
    (programme,) = synthetic.design.programmes
    keys = ["instrument", "version", "subscale"]
    asked = synthetic.tables["measurements"].select(keys).unique()
    scales = catalogue.read("scale").join(asked, on=keys, nulls_equal=True)["scale"].to_list()
    paths = write(programme, folder, scales=tuple(scales))
    project = redcap.Project(
        redcap.read_dictionary(folder / "data_dictionary.csv"), redcap.read_events(folder / "events.csv")
    )
    export = _export(synthetic.tables, project, programme)
    headers = dict(project.columns())
    header = io.StringIO()
    # Labels come twice, as in REDCap: "Complete?" ends every form.
    csv.writer(header, lineterminator="\n").writerow([headers[c] if labels else c for c in export.columns])
    rows = (_labelled(export, project) if labels else export).write_csv(include_header=False, quote_style="necessary")
    (folder / "export.csv").write_text(header.getvalue() + rows, encoding="utf-8")
    groups = ", ".join(f'{c.lower()} = "{c}"' for c in CENTRES)
    text = (folder / "load.toml").read_text(encoding="utf-8")
    text = text.replace(
        'centre = "redcap_data_access_group"',
        f'centre = {{ column = "redcap_data_access_group", codes = {{ {groups} }} }}',
    ).replace('"*.csv"', '"export.csv"')
    day = f"extracted_on = {data_cut(synthetic.design)}\n"
    (folder / "load.toml").write_text(day + text, encoding="utf-8")
    return [*paths, folder / "export.csv"]


def _export(tables: dict[str, pl.DataFrame], project: redcap.Project, programme: str) -> pl.DataFrame:
    tables = {name: frame.with_columns(pl.col(pl.Date).cast(pl.String)) for name, frame in tables.items()}
    products = tables["sessions"].select("patient", "product").unique(maintain_order=True)
    for name in ("products", "processing", "release_tests"):
        if name in tables:
            tables[name] = products.join(tables[name], on="product")
    home = redcap.unique_name(HOME, "1")
    parts = [
        _form(tables[name].with_columns(event=pl.lit(home)), project, name, prefix, repeats)
        for name, prefix, repeats in FORMS
        if name in tables and tables[name].height
    ]
    visits = _visits(tables)
    parts.append(_form(visits, project, VISIT, "vis", True, scores="scr_"))
    events = visits.select(*_VISIT_KEY, "event").unique(_VISIT_KEY, keep="first", maintain_order=True)
    for instrument, version in questionnaires(programme):
        form = item_form(instrument, version)
        asked = tables["items"].filter(pl.col("instrument") == instrument, pl.col("version").eq_missing(version))
        if asked.height:
            wide = asked.with_columns(pl.col("item").str.to_lowercase()).pivot(
                on="item", index=_VISIT_KEY, values="answer"
            )
            wide = wide.join(events, on=_VISIT_KEY, how="left", nulls_equal=True)
            unseen = pl.col("event").fill_null(redcap.unique_name(UNSCHEDULED, "1"))
            parts.append(_form(wide.with_columns(unseen), project, form, form.removeprefix("items_"), True))
    made = pl.concat([p.cast(pl.String) for p in parts], how="diagonal")
    groups = tables["patients"].select(
        pl.col("patient").alias(RECORD), pl.col("centre").str.to_lowercase().alias("redcap_data_access_group")
    )
    made = made.join(groups, on=RECORD)
    order = {name: k for k, name in enumerate(project.events)}
    forms = {name: k for k, name in enumerate(project.forms)}
    made = made.sort(
        RECORD,
        pl.col("redcap_event_name").replace_strict(order),
        pl.col("redcap_repeat_instrument").replace_strict(forms, default=-1),
        pl.col("redcap_repeat_instance").cast(pl.Int64),
    )
    # A full export has a column for every field, also for those that nobody filled.
    fields = [c for c, _ in project.columns() if c not in redcap.ADDED and not c.endswith("_timestamp")]
    columns = [RECORD, *_SPECIAL, *fields[1:]]
    return made.select(c if c in made.columns else pl.lit(None, dtype=pl.String).alias(c) for c in columns)


def _visits(tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return one row a contact and target: the visit, and the scores of that day."""
    name = pl.concat_str("instrument", "version", "subscale", separator=" ", ignore_nulls=True)
    scales = catalogue.read("scale").select(
        "scale", pl.concat_str("instrument", "version", "subscale", separator=" ", ignore_nulls=True).alias("name")
    )
    rows = tables["measurements"].with_columns(name=name).join(scales, on="name")
    code = pl.col("scale").map_elements(lambda s: f"scr_{code_of(s).lower()}", return_dtype=pl.String)
    wide = rows.with_columns(code).pivot(on="scale", index=[*_VISIT_KEY, "mode"], values="value")
    visits = tables["visits"].unique(_VISIT_KEY, keep="first", maintain_order=True)
    joined = visits.join(wide, on=_VISIT_KEY, how="full", coalesce=True, nulls_equal=True)
    again = tables["visits"].join(visits, on=tables["visits"].columns, how="anti", nulls_equal=True)
    event = pl.col("planned_visit").fill_null(UNSCHEDULED.lower())
    known = {label: redcap.unique_name(label, "1") for label in joined["planned_visit"].drop_nulls().unique()}
    named = event.replace(known | {UNSCHEDULED.lower(): redcap.unique_name(UNSCHEDULED, "1")})
    return pl.concat([joined, again], how="diagonal").with_columns(event=named)


def _form(
    rows: pl.DataFrame, project: redcap.Project, form: str, prefix: str, repeats: bool, scores: str = "-"
) -> pl.DataFrame:
    """Return a form's rows with the project's variables and codes."""
    fields = {f.name: f for f in project.fields if f.form == form}
    made = []
    for column in rows.columns:
        name = column if column.startswith(scores) else f"{prefix}_{column}"
        if name in fields:
            text = pl.col(column).cast(pl.String)
            ours = {"true": "1", "false": "0"} if fields[name].kind == "yesno" else {}
            if fields[name].kind == "dropdown":
                ours = {v: code_of(v) for v in rows[column].drop_nulls().unique()}
            made.append(text.replace(ours).alias(name))
    by = pl.int_range(1, pl.len() + 1).over("patient", "event") if repeats else pl.lit(None)
    return rows.select(
        pl.col("patient").alias(RECORD),
        pl.col("event").alias("redcap_event_name"),
        pl.lit(form if repeats else None, dtype=pl.String).alias("redcap_repeat_instrument"),
        by.cast(pl.String).alias("redcap_repeat_instance"),
        *made,
        pl.lit("2").alias(f"{form}_complete"),
    )


def _labelled(export: pl.DataFrame, project: redcap.Project) -> pl.DataFrame:
    """Return the export with labels for values."""
    values = {f.name: f.choices for f in project.fields if f.choices}
    values |= {f"{form}_complete": {"2": "Complete"} for form in project.forms}
    values["redcap_event_name"] = project.events
    values["redcap_repeat_instrument"] = {form: form.replace("_", " ").title() for form in project.forms}
    return export.with_columns(pl.col(c).replace(v) for c, v in values.items() if c in export.columns)
