"""Table 1 before and after weighting: what groups of courses, or of decisions, look like plain and under weights."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from analysis.cohort import Stratum, place_courses, reduce
from analysis.result import row
from registry import Courses
from registry.errors import UsageError

_NAMED = ("course_id", "group", "weight")
# Weights and values are added up as decimals: exact, whatever the order of the rows.
_LARGEST_WEIGHT, _LARGEST_VALUE = 1e6, 1e8
_EXACT = {"weight": pl.Decimal(20, 6), "x": pl.Decimal(20, 4)}


@dataclass(frozen=True)
class Weighted:
    """Groups of rows with weights, placed for the reductions, and what these say of them.

    Attributes
    ----------
    groups
        What is compared, in order.
    varying
        Codes of the groups whose weights differ from one another: the others look the same under them.
    nested
        Pairs of groups, the first of which holds every course of the second.
    added
        Names of the numbers that the user's frame adds.
    numbers, levels
        ``reduction.weighted_number`` and ``weighted_level``.
    """

    groups: list[Stratum]
    varying: list[str]
    nested: list[tuple[str, str]]
    added: list[str]
    numbers: pl.DataFrame
    levels: pl.DataFrame
    kept: Courses


def place_weights(courses: Courses, by: str, weights: pl.DataFrame) -> Weighted:
    """Write ``cohort.weight`` and ``cohort.weight_value``, and reduce.

    Raises
    ------
    UsageError
        When there is no row, a course selected has no weight, a weight is none, or a row of a group is there twice.
    """
    added = _checked(weights)
    grouped = "group" in weights.columns
    typed = [pl.col("course_id").cast(courses.ids.dtype, strict=False)]
    weights = weights.with_columns(typed + ([pl.col("group").cast(pl.String)] if grouped else []))
    strata, kept = place_courses(courses, "all" if grouped else by)
    _of_these(courses, weights)
    if grouped:
        without = kept.ids.to_frame().join(weights, on="course_id", how="anti")
        kept = kept.exclude(without.select("course_id", reason=pl.lit("no row in weights")))
        names = weights["group"].unique(maintain_order=True).to_list()
        strata = [Stratum(name, name[:1].upper() + name[1:], "#000000") for name in names]
        rows = weights.with_columns(stratum=pl.col("group"))
    else:
        _one_each(kept.ids.to_frame(), weights)
        stratum = courses.registry.con.sql("select course_id, stratum from cohort.course").pl()
        rows = weights.join(stratum, on="course_id")
    rows = rows.sort("stratum", "course_id", maintain_order=True).with_row_index("row_no")
    _some(rows)
    con = courses.registry.con
    placed = rows.select("row_no", "course_id", "stratum", pl.col("weight").cast(_EXACT["weight"]))
    values = rows.select("row_no", pl.col(added).cast(pl.Float64)).unpivot(index="row_no", value_name="x")
    values = values.with_columns(pl.col("x").fill_nan(None).cast(_EXACT["x"]))
    con.register("placed", placed)
    con.execute("create or replace table cohort.weight as from placed")
    con.execute("create or replace table cohort.weight_value as select row_no, variable, x from values")
    numbers, levels = reduce(kept, "reduction.weighted_number", "reduction.weighted_level")
    spread = rows.group_by("stratum").agg(pl.col("weight").max() > pl.col("weight").min())
    varying = spread.filter("weight")["stratum"].to_list()
    held = set(rows["stratum"])
    groups = [s for s in strata if s.code in held]
    return Weighted(
        groups, [s.code for s in groups if s.code in varying], _nested(rows, groups), added, numbers, levels, kept
    )


def _checked(weights: pl.DataFrame) -> list[str]:
    """Refuse what are no weights; return the names of the other columns."""
    if not isinstance(weights, pl.DataFrame) or not {"course_id", "weight"} <= set(weights.columns):
        held = ", ".join(getattr(weights, "columns", [])) or "none"
        raise UsageError(
            "weights is a Polars frame with the columns course_id and weight, and group if groups are to be compared "
            f"that overlap or are not the strata of by=; its columns are: {held}."
        )
    others = [c for c in weights.columns if c not in _NAMED]
    text = [c for c in ("weight", *others) if not (weights.schema[c].is_numeric() or weights.schema[c] == pl.Boolean)]
    if text:
        raise UsageError(f"weights: {', '.join(text)} must be numbers.")
    if weights.is_empty():
        raise UsageError("weights has no row: nobody would be described. Give each course that shall count a row.")
    if "group" in weights.columns and (twice := weights.height - weights.unique().height):
        raise UsageError(
            f"weights: {twice:,} {'row repeats' if twice == 1 else 'rows repeat'} another in every column, so that a "
            "course would count twice in its group. Keep one, weights.unique(); where a course is in a group more than "
            "once, as with decisions on several days, a column of numbers, the day, tells its rows apart."
        )
    weight = weights["weight"].cast(pl.Float64)
    for bad, what in (
        (weight.is_null() | weight.is_nan() | weight.is_infinite(), "missing or not finite: who shall not count has 0"),
        (weight < 0, "negative: a weight says how many like itself a row stands for"),
        (weight >= _LARGEST_WEIGHT, f"{_LARGEST_WEIGHT:,.0f} or more: divide all by their mean, nothing else changes"),
    ):
        if n := int(bad.fill_null(False).sum()):
            raise UsageError(f"weights: {n:,} of {len(weight):,} {'is' if n == 1 else 'are'} {what}.")
    large = [c for c in others if (weights[c].cast(pl.Float64).abs().max() or 0) >= _LARGEST_VALUE]  # type: ignore[operator]
    if large:
        raise UsageError(
            f"weights: {', '.join(large)} holds numbers of {_LARGEST_VALUE:,.0f} or more: use a larger unit."
        )
    if "group" in weights.columns and weights["group"].null_count():
        raise UsageError(f"weights: {weights['group'].null_count():,} rows have no group.")
    return others


def _of_these(courses: Courses, weights: pl.DataFrame) -> None:
    strangers = weights.join(courses.ids.to_frame(), on="course_id", how="anti")["course_id"].n_unique()
    if strangers:
        raise UsageError(
            f"weights: {strangers:,} courses are not among the {len(courses):,} selected. Ask of the courses that the "
            "weights were made for, or keep the rows of these: weights.filter(pl.col('course_id').is_in(courses.ids))."
        )


def _one_each(ids: pl.DataFrame, weights: pl.DataFrame) -> None:
    without = ids.join(weights, on="course_id", how="anti").height
    if without:
        raise UsageError(
            f"weights: {without:,} of {ids.height:,} courses have none. Give each one, 0 for who shall not count, or "
            "leave those courses out first: courses.exclude(...)."
        )
    twice = weights.height - weights["course_id"].n_unique()
    if twice:
        raise UsageError(f"weights: {twice:,} rows are of a course that has one already. Several rows of a course need "
                         "a column group.")  # fmt: skip


def _some(rows: pl.DataFrame) -> None:
    empty = rows.group_by("stratum").agg(pl.col("weight").sum()).filter(pl.col("weight") <= 0)["stratum"].to_list()
    if empty:
        raise UsageError(f"weights: those of {', '.join(sorted(empty))} add up to nothing: nobody stands for them.")


def _nested(rows: pl.DataFrame, groups: list[Stratum]) -> list[tuple[str, str]]:
    ids = {s.code: set(rows.filter(stratum=s.code)["course_id"]) for s in groups}
    return [(a, b) for a in ids for b in ids if a != b and ids[b] < ids[a]]


def group_rows(code: str, made: Weighted, variables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the numbers of a group, plain and weighted; `n` and `denominator` count rows, never weights."""
    mine = made.numbers.filter(stratum=code)
    first = mine.row(0, named=True)
    of = int(first["n"])
    rows = [
        row(code, "courses", estimate=float(of), denominator=of),
        row(code, "sum_of_weights", estimate=float(first["weight"]), denominator=of),
        row(
            code, "effective_sample_size", estimate=float(first["weight"] ** 2 / first["weight_square"]), denominator=of
        ),
    ]
    for variable in variables:
        name = variable["variable"]
        if variable["levels"] is None:
            held = mine.filter(variable=name)
            rows += _number(code, name, held.row(0, named=True), of) if held.height else []
        else:
            rows += _levels(code, name, variable["levels"], made.levels.filter(stratum=code, variable=name), of)
    return rows


def _number(code: str, name: str, sums: dict[str, Any], of: int) -> list[dict[str, Any]]:
    n, weight = int(sums["n_known"]), float(sums["known_weight"] or 0)
    out = [
        row(code, f"{name}: {prefix}{statistic}", estimate=value, denominator=n)
        for prefix in ("", "weighted ")
        for statistic, value in zip(("mean", "sd"), number_moments(sums, prefix), strict=True)
        if value is not None
    ]
    total = float(sums["weight"])
    out.append(row(code, f"{name}: missing", estimate=(of - n) / of, n=of - n, denominator=of))
    out.append(row(code, f"{name}: weighted missing", estimate=1 - weight / total, n=of - n, denominator=of))
    return out


def number_moments(sums: dict[str, Any], prefix: str) -> tuple[float | None, float | None]:
    """Return mean and standard deviation, plain or weighted, from exact sums over the rows for which it is known.

    The weighted variance is W / (W² - Σw²) Σ w (x - mean)²; with weights of one it is the plain one (Austin & Stuart
    2015 Stat Med 34:3661).
    """
    if prefix:
        w, squares = sums["known_weight"], sums["known_weight_square"]
        total, square = sums["weighted_total"], sums["weighted_square"]
    else:
        w = squares = Decimal(int(sums["n_known"]))
        total, square = sums["total"], sums["square"]
    if not w:
        return None, None
    freedom = w * w - squares
    spread = max(float((square * w - total * total) / freedom), 0.0) ** 0.5 if freedom > 0 else None
    return float(total / w), spread


def _levels(code: str, name: str, levels: list[str], held: pl.DataFrame, of: int) -> list[dict[str, Any]]:
    count = {level: (int(n), float(w)) for level, n, w in held.select("level", "n", "weight").iter_rows()}
    total = sum(w for _, w in count.values())
    missing, lost = count.get("(missing)", (0, 0.0))
    known, weight = of - missing, total - lost
    out = []
    for level in levels:
        n, w = count.get(level, (0, 0.0))
        out.append(row(code, f"{name} = {level}: share", estimate=n / known if known else None, n=n, denominator=known))
        out.append(row(code, f"{name} = {level}: weighted share", estimate=w / weight if weight > 0 else None, n=n,
                       denominator=known))  # fmt: skip
    out.append(row(code, f"{name}: missing", estimate=missing / of, n=missing, denominator=of))
    out.append(row(code, f"{name}: weighted missing", estimate=lost / total, n=missing, denominator=of))
    return out
