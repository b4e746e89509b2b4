"""How completely products are described, in the summary report: by the sections of MIBO and the items of DOSES."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.result import SMALLEST_CELL
from registry import Registry
from registry.reporting import sections

_PATIENTS = (
    "select product, count(distinct patient_id) as n from record.treatment_session s "
    "join record.product p on p.id = s.product_id group by product"
)


def description_section(registry: Registry) -> dict[str, Any] | None:
    """Return a table with a row for each section and a column for each product; None if there is none to show.

    Products of fewer patients than may be shown are left out and counted.
    """
    found = registry.reporting()
    given = dict(registry.sql(_PATIENTS).iter_rows())
    names = found["product"].unique(maintain_order=True).to_list()
    shown = [name for name in names if given.get(name, 0) >= SMALLEST_CELL]
    if not shown:
        return None
    table = sections(found).filter(pl.col("product").is_in(shown))
    rows = []
    for section in table["section"].unique(maintain_order=True):
        shares = dict(table.filter(section=section).select("product", "share").iter_rows())
        rows.append({"label": section, "shares": [shares.get(name) for name in shown]})
    return {"products": shown, "rows": rows, "hidden": len(names) - len(shown)}
