"""How completely products and their use are described: by the sections of MIBO and the items of DOSES.

MIBO: minimum information for studies evaluating biologics in orthopaedics, mesenchymal stem cells (Murray et al. 2017,
J Bone Joint Surg Am 99:809): twelve sections, of which study design is no property of a row and
is not asked here.
DOSES: donor, origin, separation, exhibited characteristics, site of delivery (Murray et al. 2019, J Bone Joint Surg Am
101:904). The items are what this registry holds under those headings, in words of its own (``reporting_item.csv``): a
share here is no score of a paper. For orientation, 27 randomised trials of knee osteoarthritis reported on average
70.5 % (30.2 to 90.6 %) of a 53-point MIBO list (Abed et al. 2024, HSS Journal).
"""

from __future__ import annotations

import duckdb
import polars as pl

# The published mean, of all items of a trial: what "all" is put beside.
PUBLISHED = 0.705
ORIENTATION = (
    "For orientation: 27 trials of knee osteoarthritis reported 70.5 % (30.2 to 90.6 %) of a 53-point MIBO list on "
    "average (Abed 2024). The items here are this registry's own, so that a share is no score of that list."
)

# What an item is asked of: each product once, each session, each course with the product of its first session.
_UNITS = {
    "product": "record.product p left join record.processing c on c.product_id = p.id",
    "session": "record.treatment_session s join record.product p on p.id = s.product_id",
    "course": (
        "(select course_id, patient_id, target_id, min(date) as first_date, "
        "arg_min(product_id, session_no) as product_id from record.treatment_session group by all) u "
        "join record.product p on p.id = u.product_id join record.patient a on a.id = u.patient_id "
        # Its own day of extraction: another centre's later file is no reason to miss a score.
        "left join course.course w on w.course_id = u.course_id"
    ),
}


def items(con: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return how often each item is stated, by product: one row a product and item that applies to it.

    ``product, guideline, section, position, item, meaning, unit, n, stated, share``; ``n`` counts products (one),
    sessions or courses, as ``unit`` says. A share of an item that applies to nothing is not there.
    """
    asked = con.sql(
        "select item, unit, applies, stated from catalogue.reporting_item order by position, item"
    ).fetchall()
    parts = [
        f"select p.product, '{item}' as item, count(*) as n, count_if({stated}) as stated from {_UNITS[unit]} "
        f"where {applies or 'true'} group by p.product"
        for item, unit, applies, stated in asked
    ]
    return con.sql(
        "select product, guideline, section, position, item, meaning, unit, n, found.stated::bigint as stated, "
        f"found.stated / n as share from ({' union all '.join(parts)}) as found "
        "join catalogue.reporting_item using (item) order by product, position, item"
    ).pl()


def sections(found: pl.DataFrame) -> pl.DataFrame:
    """Return the mean share of the items of each section by product, with that of DOSES and of all items.

    Every item counts the same, however many sessions it was asked of: ``product, section, items, share, published``;
    ``published`` is the mean of trials (:data:`ORIENTATION`), of all items only.
    """
    doses = found.filter(pl.col("guideline").str.contains("DOSES")).with_columns(
        section=pl.lit("DOSES"), position=pl.lit(90)
    )
    every = found.with_columns(section=pl.lit("all"), position=pl.lit(99))
    both = pl.concat([f.cast({"position": pl.Int32}) for f in (found, doses, every)])
    return (
        both.group_by("product", "position", "section")
        .agg(items=pl.len(), share=pl.col("share").mean())
        .with_columns(published=pl.when(pl.col("section") == "all").then(PUBLISHED))
        .sort("product", "position")
        .drop("position")
    )


def never_stated(found: pl.DataFrame) -> list[str]:
    """Return the meaning of each item that is stated of no product."""
    sums = found.group_by("item", "meaning", maintain_order=True).agg(pl.col("stated").sum())
    return sums.filter(pl.col("stated") == 0)["meaning"].to_list()
