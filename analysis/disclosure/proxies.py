"""What other columns say of a value that was taken away, and taking that away too.

A value that is null in one column can stand in another: an instrument made for the knee names the knee, plastic
adherence of donor cells names the cord. Two things say so: knowledge (:data:`SAYS`, instruments of one part of the
body), and the rows themselves, where every patient with a value has the same quasi-identifier, more of them than
chance would put there.

A column that says it is emptied in all courses whose value was taken, not only where it does say it: an emptied cell
would else tell which value it had. Of scores and times the rows that say it are left out, which does not show: a
generic name would not do, since sums of nine and of ten items have other values.

References
----------
El Emam & Arbuckle 2013, Anonymizing Health Data (ch. 3: correlated fields are generalised together).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from analysis.disclosure.datasets import Dataset
from analysis.disclosure.policy import POLICY
from registry import catalogue

# Quasi-identifiers with what says them whatever the data: who knows the field needs no other rows to read it.
SAYS = {
    "origin": (("ADCRS", "DONOR"), ("ADCRS", "SEPAR"), ("ADCRS", "EXPANDFL"), ("ADAE", "AERELHV")),
    "site": (("ADCRS", "ROUTE"), ("ADCRS", "SIDE")),
}
# Instruments, or scales of an instrument that has others.
_OF_ONE_SITE = (
    "KOOS", "HOOS", "IKDC", "OKS", "VISA-A", "VISA-P", "ASES", "DASH", "FMA-UE", "RMDQ", "minJSW", "MOCART", "MOAKS",
    "tendon_thickness", "VAS-leg-pain", "VAS-back-pain",
)  # fmt: skip
COLUMNS = {
    "centre": "SITEID", "origin": "ORIGIN", "diagnosis": "DIAGNOS", "age_band": "AGEGR1", "site": "TARGET",
    "sex": "SEX",
}  # fmt: skip
_IDENTITY = ("USUBJID", "CRSSEQ", "AESEQ", "STUDYID")
# Datasets that lose rows; the others lose a column.
_LONG = ("ADQS", "ADTTE")


def naming(pairs: pl.DataFrame) -> pl.Series:
    """Return the values that name what was taken away.

    Parameters
    ----------
    pairs
        ``patient``, ``value``, ``truth`` (what a quasi-identifier was), ``lost`` (whether it was taken away).

    Returns
    -------
    Series
        Values in lost rows all of whose patients have one truth, so many that chance would not make one such value in
        a thousand columns. Where nearly all have the same truth no value adds to what anybody would guess.
    """
    known = pairs.drop_nulls("truth").unique(["patient", "value", "truth"])
    people = known.unique(["patient", "truth"])
    share = people.group_by("truth").agg(log_share=(pl.len() / max(people.height, 1)).log())
    of_value = known.group_by("value").agg(
        truths=pl.col("truth").n_unique(), truth=pl.col("truth").first(), n=pl.col("patient").n_unique()
    )
    tried = of_value.join(pairs.filter("lost").select("value").unique(), on="value", nulls_equal=True)
    by_chance = pl.col("n") * pl.col("log_share") + math.log(max(tried.height, 1))
    return (
        tried.filter(pl.col("truths") == 1)
        .join(share, on="truth")
        .filter(by_chance < math.log(POLICY.chance))["value"]
        .sort(nulls_last=True)
    )


def remove(datasets: list[Dataset], truth: pl.DataFrame, safe: pl.DataFrame) -> tuple[list[Dataset], dict[str, int]]:
    """Return the datasets without what says the values taken away, and how much went.

    Parameters
    ----------
    datasets
        As they would leave, quasi-identifiers taken away already.
    truth, safe
        ``USUBJID, CRSSEQ`` and the quasi-identifiers before and after, one row a course, in the same order.

    Returns
    -------
    tuple
        Datasets, and ``"site: rows of ADQS by PARAM"`` or ``"origin: ADCRS.SEPAR"`` with the patients who lost the
        value: how many rows or cells said it would say something of them.
    """
    gone: dict[str, int] = {}
    for quasi in COLUMNS:
        lost = truth[quasi].is_not_null() & safe[quasi].is_null()
        if lost.any():
            known = truth.select("USUBJID", "CRSSEQ", truth=quasi).with_columns(lost=lost)
            datasets = [_without(made, quasi, known, gone) for made in datasets]
    return datasets, gone


def _without(made: Dataset, quasi: str, known: pl.DataFrame, gone: dict[str, int]) -> Dataset:
    key = [name for name in ("USUBJID", "CRSSEQ") if name in made.frame.columns]
    frame = made.frame.with_row_index("row").join(
        known.group_by(key).agg(pl.col("truth"), pl.col("lost").any()), on=key, how="left", maintain_order="left"
    )  # fmt: skip
    emptied, rows = list[str](), pl.Series([], dtype=pl.UInt32)
    for column, values in _saying(made, quasi, frame):
        said = frame.filter("lost")
        if made.name in _LONG:
            found = said.filter(pl.col(column).is_in(values.implode(), nulls_equal=True))["row"]
            _count(gone, f"{quasi}: rows of {made.name} by {column}", found.filter(~found.is_in(rows.implode())), known)
            rows = pl.concat([rows, found]).unique()
        else:
            _count(gone, f"{quasi}: {made.name}.{column}", said[column].drop_nulls(), known)
            emptied.append(column)
    kept = frame.filter(~pl.col("row").is_in(rows.implode())).with_columns(
        pl.when(~pl.col("lost")).then(pl.col(name)).alias(name) for name in emptied
    )
    return replace(made, frame=kept.select(made.frame.columns))


def _count(gone: dict[str, int], what: str, said: pl.Series, known: pl.DataFrame) -> None:
    if len(said):
        gone[what] = known.filter("lost")["USUBJID"].n_unique()


def _saying(made: Dataset, quasi: str, frame: pl.DataFrame) -> Iterator[tuple[str, pl.Series]]:
    """Yield the columns that say a quasi-identifier, by knowledge or by the rows, with the values that do."""
    for column in made.frame.columns:
        if column in (*_IDENTITY, *COLUMNS.values()):
            continue
        if (made.name, column) in SAYS.get(quasi, ()):
            yield column, frame[column].unique()
            continue
        pairs = frame.select(pl.col("USUBJID").alias("patient"), pl.col(column).alias("value"), "truth", "lost")
        values = naming(pairs.explode("truth"))
        if quasi == "site" and (made.name, column) == ("ADQS", "PARAM"):
            values = pl.concat([values, _of_one_site()]).unique()
        if len(values):
            yield column, values


def _of_one_site() -> pl.Series:
    """Return labels of scales that are made for one part of the body."""
    named = pl.col("instrument").is_in(_OF_ONE_SITE) | pl.col("scale").is_in(_OF_ONE_SITE)
    return catalogue.read("scale").filter(named)["label"].str.slice(0, 200)
