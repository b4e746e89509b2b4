"""Writes synthetic patients as the files clinics send: in our template, and in five clinics' own layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from synthetic.simulate import Synthetic, data_cut

_WHEN = "extracted_on = {day}\n"

# Rows that must be refused, with the rule each breaks: (file, cells that differ from a good row, rule).
DEFECTS: tuple[tuple[str, dict[str, str], str], ...] = (
    ("measurements", {"value": "140"}, "out_of_range"),
    ("measurements", {"instrument": "KOSS"}, "unknown_instrument"),
    ("measurements", {"unit": "stone"}, "unknown_unit"),
    ("measurements", {"date": "14/03/2023"}, "date"),
    ("measurements", {"date": "2043-03-14"}, "future"),
    ("measurements", {"value": "41,5"}, "decimal_comma"),
    ("measurements", {"patient": "P9999999"}, "unknown_patient"),
    ("stages", {"grade": "7"}, "unknown_grade"),
    ("products", {"product": "BAD-361", "expanded": "true", "regulatory_class": "US_361"}, "expanded_361"),
    (
        "products",
        {"product": "BAD-SELF", "donor": "allogeneic_unrelated", "donor_is_patient": "true"},
        "self_but_allogeneic",
    ),
    ("sessions", {"session_no": "91", "guidance": "by ear"}, "unknown_code"),
    ("visits", {"date": "2019-05-05"}, "before_enrolment"),
)


def write_template(synthetic: Synthetic, folder: Path) -> list[Path]:
    """Write one CSV file a table, as the template asks, and ``load.toml`` with the day of extraction."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, frame in synthetic.tables.items():
        if frame.height:
            paths.append(folder / f"{name}.csv")
            frame.write_csv(paths[-1])
    _write_day(synthetic, folder)
    return paths


def write_clinics(synthetic: Synthetic, folder: Path) -> list[Path]:
    """Write one folder a clinic, each in its own layout with its own ``load.toml``; returns the folders.

    The last clinic's files hold the rows of :data:`DEFECTS`, which a load must refuse, each for its reason.
    """
    writers: dict[str, Callable[[dict[str, pl.DataFrame], Path], None]] = {
        "ZRH": _as_csv,
        "DEN": _as_workbook,
        "MAD": _as_spanish_tables,
        "TYO": _as_parquet,
        "GLA": _as_csv_with_defects,
    }
    folders = []
    for centre, write in writers.items():
        here = folder / centre
        here.mkdir(parents=True, exist_ok=True)
        _write_day(synthetic, here)
        write(of_centre(synthetic, centre), here)
        folders.append(here)
    return folders


def of_centre(synthetic: Synthetic, centre: str) -> dict[str, pl.DataFrame]:
    """Return the tables of one clinic's patients."""
    ours = synthetic.tables["patients"].filter(pl.col("centre") == centre)["patient"]
    tables = {}
    for name, frame in synthetic.tables.items():
        if "patient" in frame.columns:
            tables[name] = frame.filter(pl.col("patient").is_in(ours.implode()))
        else:
            tables[name] = frame.filter(pl.col("centre") == centre) if name == "centres" else frame
    return tables


def _write_day(synthetic: Synthetic, folder: Path) -> None:
    (folder / "load.toml").write_text(_WHEN.format(day=data_cut(synthetic.design)), encoding="utf-8")


def _as_csv(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    for name, frame in tables.items():
        if frame.height:
            frame.write_csv(folder / f"{name}.csv")


def _as_parquet(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    for name, frame in tables.items():
        if frame.height:
            frame.write_parquet(folder / f"{name}.parquet")


def _as_workbook(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(folder / "registry_export.xlsx") as book:
        for name, frame in tables.items():
            if frame.height:
                frame.write_excel(book, worksheet=name)


def _as_csv_with_defects(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    spoiled = {name: frame.cast(pl.String) for name, frame in tables.items()}
    for file, cells, _ in DEFECTS:
        good = spoiled[file]
        row = _pattern(tables[file], len(spoiled[file])).with_columns(pl.lit(v).alias(c) for c, v in cells.items())
        spoiled[file] = pl.concat([good, row.select(good.columns)])
    _as_csv(spoiled, folder)


def _pattern(frame: pl.DataFrame, shift: int) -> pl.DataFrame:
    """Return a good row with a date of its own, so that the defect put into it is the only thing wrong."""
    row = frame.filter(pl.col("instrument") == "PtGA")[0] if "instrument" in frame.columns else frame[-1]
    if "date" in frame.columns:
        row = row.with_columns(pl.col("date") + pl.duration(days=1 + shift % 28))
    return row.cast(pl.String)


_SPANISH = """
name = "Clinic MAD: Spanish export, semicolons, decimal commas, one row a visit"

[[table]]
file = "centro.csv"
table = "centres"
separator = ";"
columns = { centre = "centro", country = "pais" }

[[table]]
file = "pacientes.csv"
table = "patients"
separator = ";"
decimal = ","
encoding = "cp1252"
[table.columns]
patient = "NumPac"
centre = { value = "MAD" }
birth_year = "AñoNac"
sex = { column = "Sexo", codes = { mujer = "female", hombre = "male" } }
height_cm = { column = "Talla_m", factor = 100 }
enrolment_date = { column = "FechaIncl", format = "%d/%m/%Y" }
consent_scope = { value = "research" }
"""

_SPANISH_VISITS = """
[[table]]
file = "seguimiento.csv"
table = "measurements"
separator = ";"
decimal = ","
[table.columns]
patient = "NumPac"
site = "Articulacion"
side = { column = "Lado", codes = { izquierda = "left", derecha = "right", "n/a" = "n/a" } }
date = { column = "Fecha", format = "%d/%m/%Y" }
mode = { value = "clinic" }
"""


def _as_spanish_tables(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    """Write patients and visits as a Spanish clinic keeps them, the rest in the template with the mapping's help."""
    day = (folder / "load.toml").read_text(encoding="utf-8")
    spanish = _spanish(tables["measurements"])
    scales = [c for c in spanish.columns if c.startswith("v_")]
    mapping = [day, _SPANISH, _SPANISH_VISITS]
    pairs = (
        tables["measurements"].select("instrument", "version", "subscale", "unit").unique().sort(pl.all()).to_dicts()
    )
    for pair in pairs:
        constants = ", ".join(f"{k} = {{ value = {v!r} }}" for k, v in pair.items() if v is not None)
        person = (
            ", site = { value = '' }, side = { value = '' }"
            if pair["instrument"] in ("EQ-5D-5L", "hsCRP", "body_weight")
            else ""
        )
        mapping.append(f"[[table.wide]]\nvalue = {_wide_name(pair)!r}\n" + _lines(constants + person))
    rest = [n for n in tables if n not in ("centres", "patients", "measurements") and tables[n].height]
    for name in rest:
        columns = ", ".join(f"{c} = {c!r}" for c in tables[name].columns)
        mapping.append(f"[[table]]\nfile = '{name}.csv'\ntable = '{name}'\ncolumns = {{ {columns} }}\n")
        tables[name].write_csv(folder / f"{name}.csv")
    (folder / "load.toml").write_text("\n".join(mapping), encoding="utf-8")
    assert scales
    _write_spanish(tables, spanish, folder)


def _lines(constants: str) -> str:
    return constants.replace(" }, ", " }\n") + "\n"


def _wide_name(pair: dict[str, str | None]) -> str:
    return "v_" + "_".join(str(v) for k, v in pair.items() if v and k != "unit").replace(" ", "")


def _spanish(rows: pl.DataFrame) -> pl.DataFrame:
    name = pl.concat_str(
        [pl.lit("v"), *(pl.col(c) for c in ("instrument", "version", "subscale"))], separator="_", ignore_nulls=True
    )
    return (
        rows.with_columns(name=name)
        .pivot(on="name", index=["patient", "site", "side", "date"], values="value", aggregate_function="first")
        .sort("patient", "date", "site", "side")
    )


def _write_spanish(tables: dict[str, pl.DataFrame], visits: pl.DataFrame, folder: Path) -> None:
    tables["centres"].select(pl.col("centre").alias("centro"), pl.col("country").alias("pais")).write_csv(
        folder / "centro.csv", separator=";"
    )
    patients = tables["patients"].select(
        pl.col("patient").alias("NumPac"),
        pl.col("birth_year").alias("AñoNac"),
        pl.col("sex").replace({"female": "mujer", "male": "hombre"}).alias("Sexo"),
        (pl.col("height_cm") / 100).cast(pl.String).str.replace(".", ",", literal=True).alias("Talla_m"),
        pl.col("enrolment_date").dt.strftime("%d/%m/%Y").alias("FechaIncl"),
    )
    (folder / "pacientes.csv").write_bytes(patients.write_csv(separator=";").encode("cp1252"))
    comma = [
        pl.col(c).cast(pl.String).str.replace(".", ",", literal=True) for c in visits.columns if c.startswith("v_")
    ]
    visits.select(
        pl.col("patient").alias("NumPac"),
        pl.col("site").alias("Articulacion"),
        pl.col("side").replace({"left": "izquierda", "right": "derecha"}).alias("Lado"),
        pl.col("date").dt.strftime("%d/%m/%Y").alias("Fecha"),
        *comma,
    ).write_csv(folder / "seguimiento.csv", separator=";")


def digest(folder: Path) -> str:
    """Return one hash over all files below `folder`: same seed, same bytes."""
    import hashlib

    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".xlsx"):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


__all__ = ["DEFECTS", "digest", "of_centre", "write_clinics", "write_template"]
