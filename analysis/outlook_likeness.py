"""Likeness of courses: what is judged, how alike two are, and quantiles of the weighted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Fewer courses alike cannot carry a tenth percentile; one just alike counts 1, so the scale of weights counts too.
FEWEST_ALIKE = 30.0
# How far apart courses may be and still be alike, in years, points and log10: a weight of 0.6 at one of these, 0.14 at
# two.
WIDTHS = {"age": 10.0, "baseline": 10.0, "dose_million": 0.3}
# A course of another product, tissue, diagnosis, route, donor relation or sex still says something, but little.
UNLIKE = 0.25
# States of a target that does not go on under this course.
OVER = ("ended", "dead", "treated_anew")


@dataclass(frozen=True)
class Seen:
    """Courses at one planned visit: improvement (nan if not seen), state, likeness (k,), patient number.

    `sustained` is 1 for those in response here and at the judged visit before, nan where either is not known; `place`
    is the row of each in the profiles of its stage; `stands_for` the inverse of the probability of having been seen,
    for those with a change, 1 for those over, 0 for the others.
    """

    day: float
    visit: str
    improvement: Floats
    state: NDArray[np.str_]
    course: NDArray[np.int64]
    likeness: Floats
    patient: NDArray[np.int64]
    sustained: Floats
    place: NDArray[np.int64]
    stands_for: Floats

    @property
    def over(self) -> NDArray[np.bool_]:
        """Whose target goes on no more, (k,)."""
        return np.isin(self.state, OVER)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Who was seen with a change of a target that goes on, (k,)."""
        return ~np.isnan(self.improvement) & ~self.over

    @property
    def going(self) -> NDArray[np.bool_]:
        """Whose state is known of a target that goes on, (k,)."""
        return np.asarray((self.state != "not_seen") & ~self.over, dtype=bool)


def is_tissue(origin: str, tissue: str) -> bool:
    """Say whether a cell source is a tissue, or one of its kinds."""
    return origin == tissue or origin.startswith(f"{tissue}_")


def known_of(profile: pl.DataFrame, named: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return what likeness is judged by, for each course; not recorded: nan in numbers, empty in codes."""
    tissue = pl.col("origin")
    if named.get("tissue") is not None and named["tissue"] not in profile["origin"].unique().to_list():
        tissue = tissue.str.split("_").list.first()
    columns = {
        "age": pl.col("age_year").cast(pl.Float64), "dose_million": pl.col("dose").cast(pl.Float64),
        "baseline": pl.col("baseline").cast(pl.Float64), "diagnosis": pl.col("diagnosis"), "product": pl.col("product"),
        "sex": pl.col("sex"), "donor": pl.col("donor"), "route": pl.col("route"), "tissue": tissue,
    }  # fmt: skip
    out: dict[str, NDArray[Any]] = {}
    for name, value in named.items():
        if value is not None:
            held = profile.select(columns[name].alias(name))[name]
            out[name] = (held.fill_null("") if held.dtype == pl.String else held.fill_null(np.nan)).to_numpy()
    return out


def alike(known: dict[str, NDArray[Any]], one: dict[str, Any]) -> Floats:
    """Return how alike courses (n,) are to `one` in what both name: 1 if just alike.

    What is not recorded is taken as unlike, and as no more alike than the recorded are on average: where nobody is near
    a number, those without one are not the nearest.
    """
    weight = np.ones(len(next(iter(known.values()))) if known else 1)
    for name, values in known.items():
        if name in WIDTHS:
            near = np.exp(-0.5 * widths_apart(name, values, one[name]) ** 2)
            told = near[~np.isnan(near)]
            weight = weight * np.where(np.isnan(near), min(UNLIKE, told.mean() if told.size else 1.0), near)
        else:
            weight = weight * np.where((values == one[name]) & (values != ""), 1.0, UNLIKE)
    return np.asarray(weight, dtype=float)


def widths_apart(name: str, values: Floats, one: float) -> Floats:
    """Return how many kernel widths numbers (n,) are from `one`, signed; nan where not recorded."""
    apart = np.log10(values / one) if name == "dose_million" else values - one
    return np.asarray(apart / WIDTHS[name], dtype=float)


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
