"""Quality of products in the summary report: samples tested, viability, and what became of release tests."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis import disclosure
from registry import Registry

# A product is one by its code; a sample is what was taken of it on one day: a lot, or a batch.
_TESTS = (
    "select product.product, max(product.viability_pct) as stated, "
    "count(distinct test.sampled_date) as samples, count(test.id) as tests, "
    "count(*) filter (where test.status = 'pass') as passed, count(*) filter (where test.status = 'fail') as failed, "
    "count(*) filter (where test.status = 'pending') as pending, "
    "count(*) filter (where test.status = 'not_done') as not_done, "
    "count(value) filter (where viable) as n, median(value) filter (where viable) as median, "
    "min(value) filter (where viable) as low, max(value) filter (where viable) as high "
    "from record.product as product left join (select *, analyte = 'viability' and coalesce(unit, '%') = '%' as viable "
    "from record.release_test) as test on test.product_id = product.id group by product.product order by 1"
)
_LIMIT = "select limit_value from catalogue.defect where defect = 'release_test_pending'"
_LATE = (
    "select product.product, count(*) as late from record.release_test as test join record.product as product "
    "on product.id = test.product_id where list_contains(?, test.id) group by all"
)


def quality_section(registry: Registry, products: list[str], defects: pl.DataFrame) -> dict[str, Any] | None:
    """Return a row for each product with its release tests, few hidden; None where no product is to be shown.

    Parameters
    ----------
    products
        Those given to enough patients to be shown.
    defects
        Open findings of the checks; of tests pending too long they are counted here too.
    """
    if not products:
        return None
    late_rows = defects.filter(pl.col("defect") == "release_test_pending")["row"].cast(pl.Int64).to_list()
    late = dict(registry.con.execute(_LATE, [late_rows]).fetchall())
    limit = registry.con.sql(
        "select limit_value from catalogue.defect where defect = 'release_test_pending'"
    ).fetchone()
    found = registry.con.sql(_TESTS).pl().filter(pl.col("product").is_in(products)).to_dicts()
    return {"rows": [_row(r, late.get(r["product"], 0)) for r in found], "limit": float(limit[0]) if limit else None}


def _row(r: dict[str, Any], late: int) -> dict[str, Any]:
    """Return one product: ``viability`` is of samples where enough were measured, else ``stated`` of the product."""
    passed, failed, pending, not_done = disclosure.shown([r[k] for k in ("passed", "failed", "pending", "not_done")])
    hidden = pending != f"{r['pending']:,}"
    known = {k: float(r[k]) for k in ("median", "low", "high")} if r["n"] >= disclosure.POLICY.smallest_cell else None
    return {
        "product": r["product"],
        "samples": disclosure.total([r["samples"]]),
        "tested": r["tests"] > 0,
        "viability": known,
        "few": 0 < r["n"] < disclosure.POLICY.smallest_cell,
        "n": r["n"],
        "stated": None if r["stated"] is None else float(r["stated"]),
        "passed": passed,
        "failed": failed,
        "pending": pending,
        # A number of those late would say one of those pending that is hidden.
        "late": pending if late and hidden else disclosure.shown([late, r["pending"] - late])[0],
        "not_done": not_done,
    }


def refused_rows(registry: Registry) -> list[dict[str, Any]]:
    """Return how many rows each rule refused, as told: a row may be all that there is of a patient."""
    rows = (
        registry.rejections()
        .group_by("rule", "message")
        .agg(pl.struct("file", "line").n_unique().alias("n"))
        .sort("n", "rule", descending=[True, False])
        .to_dicts()
    )
    return [{**r, "n": n} for r, n in zip(rows, disclosure.shown([r["n"] for r in rows]), strict=True)]


def loads_of(registry: Registry) -> list[dict[str, Any]]:
    """Return the loads with their rows as told: where few were rejected, the accepted ones do not say how many."""
    loads = registry.sql("select * from log.load order by load_id").to_dicts()
    few = f"{disclosure.POLICY.smallest_cell} or more"
    for load, text in zip(loads, disclosure.shown([load["rejected"] for load in loads]), strict=True):
        accepted, rejected = disclosure.shown([load["accepted"], load["rejected"]])
        if text != f"{load['rejected']:,}":
            accepted, rejected = few if accepted == f"{load['accepted']:,}" else accepted, text
        load.update(accepted=accepted, rejected=rejected)
    return loads
