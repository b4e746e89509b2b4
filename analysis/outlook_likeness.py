"""Likeness of courses: what is judged, how alike two are, and quantiles of the weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Fewer effective courses cannot carry a tenth percentile.
FEWEST_EFFECTIVE = 30.0
# How far apart courses may be and still be alike: a weight of 0.6 at one of these, 0.14 at two.
AGE_YEARS, DOSE_LOG10 = 10.0, 0.3
# A course of another tissue, route, donor relation or sex still says something, but little.
UNLIKE = 0.25
# States of a target that does not go on under this course.
OVER = ("ended", "dead", "treated_anew")


@dataclass(frozen=True)
class Seen:
    """Courses at one planned visit: improvement (nan if not seen), state, likeness (k,), patient number.

    `sustained` is 1 for those in response here and at the judged visit before, nan where either is not known.
    """

    day: float
    visit: str
    improvement: Floats
    state: NDArray[np.str_]
    course: NDArray[np.int64]
    likeness: Floats
    patient: NDArray[np.int64]
    sustained: Floats


def is_tissue(origin: str, tissue: str) -> bool:
    """Say whether a cell source is a tissue, or one of its kinds."""
    return origin == tissue or origin.startswith(f"{tissue}_")


def known_of(profile: pl.DataFrame, named: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return what likeness is judged by, for each course; not recorded: nan in numbers, empty in codes."""
    tissue = pl.col("origin")
    if named["tissue"] is not None and named["tissue"] not in profile["origin"].unique().to_list():
        tissue = tissue.str.split("_").list.first()
    columns = {
        "age": pl.col("age_year").cast(pl.Float64), "dose_million": pl.col("dose").cast(pl.Float64),
        "sex": pl.col("sex"), "donor": pl.col("donor"), "route": pl.col("route"), "tissue": tissue,
    }  # fmt: skip
    out: dict[str, NDArray[Any]] = {}
    for name, value in named.items():
        if value is not None:
            held = profile.select(columns[name].alias(name))[name]
            out[name] = (held.fill_null("") if held.dtype == pl.String else held.fill_null(np.nan)).to_numpy()
    return out


def alike(known: dict[str, NDArray[Any]], one: dict[str, Any]) -> Floats:
    """Return how alike courses (n,) are to `one` in what both name; what is not recorded is taken as unlike."""
    weight = np.ones(len(next(iter(known.values()))) if known else 1)
    for name, values in known.items():
        if name in ("age", "dose_million"):
            z = (values - one[name]) / AGE_YEARS if name == "age" else np.log10(values / one[name]) / DOSE_LOG10
            near = np.exp(-0.5 * z**2)
            weight = weight * np.where(np.isnan(near), UNLIKE, near)
        else:
            weight = weight * np.where((values == one[name]) & (values != ""), 1.0, UNLIKE)
    return np.asarray(weight, dtype=float)


def weighted_quantile(values: Floats, weight: Floats, shares: Floats) -> Floats:
    """Return quantiles at `shares` (k,) of `values` (n,) with weights (n,): linear between middles of their weights."""
    order = np.argsort(values, kind="stable")
    return sorted_quantile(values[order], weight[order], shares)


def sorted_quantile(values: Floats, weight: Floats, shares: Floats) -> Floats:
    """Return :func:`weighted_quantile` of `values` that are in order; nan where there is none."""
    if not len(values):
        return np.full(len(shares), np.nan)
    place = (np.cumsum(weight) - weight / 2) / weight.sum()
    return np.asarray(np.interp(shares, place, values), dtype=float)
