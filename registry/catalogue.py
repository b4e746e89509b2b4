"""The catalogues: scales, units, items, stage maps, programmes and definitions, kept as data with their sources.

They ship as CSV files in ``registry/catalogue/`` and are copied into schema ``catalogue`` of each registry, so that a
result can be traced to the catalogue it used. A clinic adds its own rows from a folder of CSV files with the same
headers; a row that contradicts one already there is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars as pl

from registry.errors import UsageError

FOLDER = Path(__file__).parent / "catalogue"

# Columns that together name a row; everything else may be looked up by them.
KEYS: dict[str, tuple[str, ...]] = {
    "vocabulary": ("vocabulary", "code"),
    "scale": ("scale",),
    "item": ("scale", "instrument", "version", "item"),
    "scoring": ("scale",),
    "unit_conversion": ("scale", "unit"),
    "stage_map": ("stage_map", "scheme", "grade"),
    "stage": ("programme", "stage"),
    "programme": ("programme",),
    "programme_scheme": ("programme", "scheme"),
    "programme_scale": ("programme", "scale"),
    "programme_visit": ("programme", "planned_visit"),
    "programme_event": ("programme", "kind"),
    "definition": ("definition",),
    "definition_arm": ("definition", "arm"),
    "definition_criterion": ("definition", "arm", "criterion"),
    "loss_definition": ("loss", "programme"),
    "load_rule": ("table_name", "rule"),
    "defect": ("defect",),
    "reporting_item": ("item",),
}

_DECIMAL = "DECIMAL(12, 4)"
# Conversion factors and relative thresholds need more digits than scores have.
_TYPES: dict[str, str] = {
    "low": _DECIMAL,
    "high": _DECIMAL,
    "score_at_low": _DECIMAL,
    "score_at_high": _DECIMAL,
    "improvement_min": _DECIMAL,
    "level": _DECIMAL,
    "factor": "DECIMAL(18, 8)",
    "relative_min": "DECIMAL(18, 8)",
    "peak_lost_min": "DECIMAL(18, 8)",
    "baseline_share_min": "DECIMAL(18, 8)",
    "worsening_min": _DECIMAL,
    "limit_value": _DECIMAL,
    "verified": "BOOLEAN",
    **dict.fromkeys(
        (
            "position",
            "priority",
            "n_items",
            "n_needed",
            "arm",
            "criterion",
            "target_day",
            "window_low_day",
            "window_high_day",
            "baseline_window_day",
            "stage_window_before_day",
            "stage_window_after_day",
            "evaluation_earliest_day",
            "evaluation_tolerance_day",
            "evaluation_latest_day",
        ),
        "INTEGER",
    ),
}


def read(name: str, folder: Path = FOLDER) -> pl.DataFrame:
    """Return catalogue `name` as text columns, empty cells null.

    Raises
    ------
    UsageError
        When the catalogue is unknown or a header differs from the shipped one.
    """
    if name not in KEYS:
        raise UsageError(f"There is no catalogue {name!r}. Catalogues: {', '.join(KEYS)}.")
    frame = pl.read_csv(folder / f"{name}.csv", infer_schema=False)
    shipped = pl.read_csv(FOLDER / f"{name}.csv", infer_schema=False, n_rows=1).columns
    if frame.columns != shipped:
        raise UsageError(
            f"{folder.name}/{name}.csv has the columns {', '.join(frame.columns)}; "
            f"the catalogue has {', '.join(shipped)}. Make the header the same."
        )
    return frame


def create(con: duckdb.DuckDBPyConnection, names: Iterable[str] = tuple(KEYS)) -> None:
    """Create schema ``catalogue``, or some of its tables, in the current database from the shipped files."""
    con.execute("create schema if not exists catalogue")
    for name in names:
        incoming = read(name)
        columns = ", ".join(_typed(c) for c in incoming.columns)
        con.execute(f"create or replace table catalogue.{name} as select {columns} from incoming")


def extend(con: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, int]:
    """Add a clinic's own catalogue rows from `folder`; returns rows added by catalogue.

    Raises
    ------
    UsageError
        When a row's key is already there with other content; nothing is added then.
    """
    added: dict[str, int] = {}
    for path in sorted(folder.glob("*.csv")):
        name, incoming = path.stem, read(path.stem, folder)
        typed = ", ".join(_typed(c) for c in incoming.columns)
        con.execute(f"create or replace temp table catalogue_incoming as select {typed} from incoming")
        same = " and ".join(f"held.{c} is not distinct from incoming.{c}" for c in KEYS[name])
        new = f"from catalogue_incoming as incoming where not exists (from catalogue.{name} as held where {same})"
        clash = con.sql(
            f"select {', '.join(KEYS[name])} from (from catalogue_incoming except from catalogue.{name}) as incoming "
            f"where exists (from catalogue.{name} as held where {same})"
        ).fetchone()
        if clash:
            raise UsageError(
                f"{folder.name}/{path.name}: the row {clash} is already in the catalogue with other content. "
                "Give yours another name: what a name means must not change."
            )
        (count,) = con.sql(f"select count(*) {new}").fetchone() or (0,)
        con.execute(f"insert into catalogue.{name} select * {new}")
        added[name] = int(count)
    return added


def add_missing(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Add the shipped rows of catalogue `name` whose key the registry does not have yet; those it has stay."""
    incoming = read(name)
    con.register("catalogue_shipped", incoming)
    typed = ", ".join(_typed(c) for c in incoming.columns)
    same = " and ".join(f"held.{c} is not distinct from shipped.{c}" for c in KEYS[name])
    con.execute(
        f"insert into catalogue.{name} select {typed} from catalogue_shipped as shipped "
        f"where not exists (from catalogue.{name} as held where {same})"
    )
    con.unregister("catalogue_shipped")


def _typed(name: str) -> str:
    return f'cast("{name}" as {_TYPES[name]}) as "{name}"' if name in _TYPES else f'"{name}"'
