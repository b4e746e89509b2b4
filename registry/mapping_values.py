"""Where the values of one column of ours come from, as expressions over a file's columns of text."""

from __future__ import annotations

from typing import Any

import polars as pl

from registry import mapping_options as options


def spread(column: str, record: str) -> pl.Expr:
    """Give every row of a record what one of its rows says; two different things are refused, not chosen between."""
    said = pl.col(column).drop_nulls().unique(maintain_order=True)
    one, n = said.first().over(record), said.len().over(record)
    mixed = one + pl.lit(" [other rows of the record say otherwise]")
    return pl.col(column).fill_null(pl.when(n == 1).then(one).when(n > 1).then(mixed)).alias(column)


def column(spec: Any) -> str | None:
    """Return the column of theirs that a field is read from, if it is."""
    return spec if isinstance(spec, str) else spec.get("column")


def expression(spec: Any, theirs: list[str], decimal: str, frame: pl.DataFrame) -> pl.Expr:
    """Return one column of ours as the mapping states it; what has no code is marked, to be refused as it stands."""
    if spec is None or (isinstance(spec, str) and spec not in theirs):
        return pl.lit(None, dtype=pl.String)
    spec = {"column": spec} if isinstance(spec, str) else spec
    if "value" in spec:
        return pl.lit(str(spec["value"]) or None, dtype=pl.String)
    if "line" in spec:
        return pl.lit(spec.get("prefix", "")) + pl.col("line").cast(pl.String)
    if "anchor" in spec:
        return _relative_date(spec)
    text = pl.col(spec["column"])
    if "missing" in spec:
        text = pl.when(~text.is_in([str(m) for m in spec["missing"]])).then(text)
    if "codes" in spec:
        # "" is the empty cell, on either side: "" = "lost" says why there is no value, X = "" that X is none.
        codes = {str(k): str(v) or None for k, v in spec["codes"].items()}
        others = pl.lit(str(spec["others"]) or None, dtype=pl.String) if "others" in spec else None
        unknown = text + pl.lit(" [no code in the mapping]") if others is None else others
        coded = text.replace_strict(codes, default=unknown, return_dtype=pl.String)
        return pl.when(text.is_null()).then(pl.lit(codes.get(""), dtype=pl.String)).otherwise(coded)
    if decimal != ".":
        # Only what is a number with that decimal sign is rewritten; anything else stays, to be refused as it stands.
        text = (
            pl.when(text.str.contains(r"^-?\d+" + f"[{decimal}]" + r"\d+$"))
            .then(text.str.replace(decimal, ".", literal=True))
            .otherwise(text)
        )
    if "format" in spec:
        return _dated(text, spec["format"], frame[spec["column"]])
    if "factor" in spec:
        return _arithmetic(text, text.cast(pl.Float64, strict=False) * float(spec["factor"]))
    if "subtract_from" in spec:
        year = float(spec["subtract_from"]) - text.cast(pl.Float64, strict=False)
        return pl.when(year.is_not_null()).then(year.floor().cast(pl.Int64).cast(pl.String)).otherwise(text)
    return pl.lit(spec["prefix"]) + text if "prefix" in spec else text


def _arithmetic(text: pl.Expr, number: pl.Expr) -> pl.Expr:
    # Six decimals: conversion must not turn 2.1 cm into 21.000000000000004 mm.
    return pl.when(number.is_not_null()).then(number.round(6).cast(pl.String)).otherwise(text)


def _relative_date(spec: dict[str, Any]) -> pl.Expr:
    """Turn time since an anchor into a date, for data released without calendar dates."""
    start = pl.lit(str(spec["anchor"])).str.to_date("%Y-%m-%d")
    if "column" not in spec:
        return (start + pl.duration(days=int(spec.get("day", 0)))).cast(pl.String)
    number = pl.col(spec["column"]).cast(pl.Float64, strict=False)
    days = (number * options.UNIT_DAYS[spec.get("unit", "day")] + float(spec.get("day", 0))).round(0)
    dated = (start + pl.duration(days=days.cast(pl.Int64))).cast(pl.String)
    return pl.when(number.is_not_null()).then(dated).otherwise(pl.col(spec["column"]))


def _dated(text: pl.Expr, format: str, values: pl.Series) -> pl.Expr:
    """Read dates of one stated format; where a column shows a second one, refuse what could be either."""
    parsed = text.str.to_date(format, strict=False)
    failed = text + pl.lit(f" [expected {format}]")
    result = pl.when(parsed.is_not_null()).then(parsed.cast(pl.String)).otherwise(failed)
    if "%d" not in format or "%m" not in format:
        return result
    swapped = format.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")
    read, other = values.str.to_date(format, strict=False), values.str.to_date(swapped, strict=False)
    if not (read.is_null() & other.is_not_null()).any():
        return result
    ambiguous = text.str.to_date(swapped, strict=False).is_not_null()
    mixed = text + pl.lit(f" [the column mixes {format} and {swapped}: this could be either]")
    return pl.when(ambiguous).then(mixed).otherwise(result)
