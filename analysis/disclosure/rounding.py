"""Counts rounded to a multiple, after small cells are hidden: what a total less its parts says is then a range.

Shares and their limits are computed from the rounded counts, or, where a model made them, told no finer than one
rounded count is of its courses; a rate or a mean of counted events no finer than one rounded count makes it; other
numbers have three figures. A share to the last digit would give the counts back.

References
----------
HESA 2023, rounding and suppression methodology (multiples of 5); Hundepool et al. 2012, ch. 4.3 (conventional rounding
of tables: parts need not add up to their total); Guyot et al. 2012 BMC Med Res Methodol 12:9 (counts from curves).
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from analysis.numerics.exact import exact_share
from analysis.told import is_share

if TYPE_CHECKING:
    from analysis.result import Result

Shown = TypeVar("Shown", bound="Result")
# Shares are told in these steps: the first that a rounded count does not show through.
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_NUMBERS = ("estimate", "low", "high")
_PEOPLE = "(?:courses?|patients?|decisions?|events?|boosters?|sessions?|were|was|had|have|with)"
_COUNT = re.compile(rf"(?<![\w.,/-])(\d{{1,3}}(?:,\d{{3}})+|\d+)(?= {_PEOPLE}\b)")


def rounded(result: Shown, base: int) -> Shown:
    """Return a result with its counts rounded to multiples of `base`, and no number that would give them back.

    Parameters
    ----------
    result
        Small cells hidden already: what is shown is `base` or more once rounded, or none.
    base
        2 to twice the smallest cell.
    """
    most = result.frame.group_by("stratum").agg(most=pl.col("denominator").max())
    settings = result.settings
    sizes = {s: n for s, n in most.iter_rows() if n}
    return dataclasses.replace(
        result,
        frame=_numbers(result.frame, settings, sizes, base),
        curves=_numbers(result.curves, settings, sizes, base),
        at_risk=_numbers(result.at_risk, settings, sizes, base),
        details=_details(result.details, base),
        regions=_to_step(result.regions, ("low", "high"), _step(sizes, base, counted=False)),
        attrition=result.attrition.with_columns(_multiple(pl.col("n"), base).alias("n")),
        diagnostics=_checks(result.diagnostics, base),
        settings=_settings(settings, base),
        notes=tuple(in_multiples(n, base) for n in result.notes),
        withheld=tuple(in_multiples(w, base) for w in result.withheld),
    )


def in_multiples(text: str, base: int) -> str:
    """Return a sentence with its counts of courses, patients and the like rounded."""
    return _COUNT.sub(lambda m: f"{nearest(int(m[1].replace(',', '')), base):,}", text)


def nearest(n: int, base: int) -> int:
    """Return the nearest multiple of `base`, the larger of two."""
    return (2 * n + base) // (2 * base) * base


def _multiple(n: pl.Expr, base: int) -> pl.Expr:
    return (2 * n.cast(pl.Int64) + base) // (2 * base) * base


def _step(sizes: dict[str, int], base: int, *, counted: bool = True) -> pl.Expr:
    """Return the step of shares of a row: a rounded count is no larger a share of its courses, or of its stratum's."""
    whole = pl.col("stratum").replace_strict(sizes, default=None, return_dtype=pl.Int64)
    of = pl.coalesce("denominator", whole) if counted else whole
    share = base / of.cast(pl.Float64)
    step = pl.lit(_STEPS[-1])
    for one in reversed(_STEPS[:-1]):
        step = pl.when(share <= one).then(one).otherwise(step)
    return step


def _to_step(frame: pl.DataFrame, columns: tuple[str, ...], step: pl.Expr) -> pl.DataFrame:
    return frame.with_columns(((pl.col(c) / step).round() * step).round(6).alias(c) for c in columns)


def _numbers(frame: pl.DataFrame, settings: dict[str, Any], sizes: dict[str, int], base: int) -> pl.DataFrame:
    n, of, estimate = pl.col("n"), pl.col("denominator"), pl.col("estimate")
    shares = [q for q in frame["quantity"].unique() if is_share(q, settings) or q.endswith((": share", "missing"))]
    share = pl.col("quantity").is_in(shares)
    # An estimate that is a ratio of the two counts (of 1, or per 100) is made of them anew.
    ratio = estimate * of / n
    plain = ((ratio - 1).abs() < 1e-6) | ((ratio - 100).abs() < 1e-4)
    plain = (plain & (n > 0)).fill_null(False)
    again = ratio.round() * _multiple(n, base) / _multiple(of, base)
    step = _step(sizes, base)
    counted = pl.col("quantity").is_in(["courses", "sum_of_weights"])
    made = frame.with_columns(
        pl.when(counted & (c == "estimate")).then(_multiple(pl.col(c), base).cast(pl.Float64))
        .when(plain & (c == "estimate")).then(again)
        .when(share).then(((pl.col(c) / step).round() * step).round(6))
        .when(n > 0).then(_to_nice(pl.col(c), estimate.abs() * base / n))
        .otherwise(pl.col(c).round_sig_figs(3)).alias(c)
        for c in _NUMBERS
    )  # fmt: skip
    made = made.with_columns(
        pl.min_horizontal("low", "estimate").alias("low"), pl.max_horizontal("high", "estimate").alias("high")
    ).with_columns(pl.when(frame[c].is_not_null()).then(pl.col(c)).alias(c) for c in ("low", "high"))  # fmt: skip
    made = made.with_columns(_multiple(n, base).alias("n"), _multiple(of, base).alias("denominator"))
    made = _exact_limits(made, frame.select(plain & share).to_series(), settings.get("confidence", 0.95))
    note = pl.col("note").map_elements(lambda text: in_multiples(text, base), return_dtype=pl.String)
    return made.with_columns(note)


def _details(details: pl.DataFrame, base: int) -> pl.DataFrame:
    """Return details with three figures; degrees of freedom, at one visit courses less a few, as multiples too."""
    freedom = (pl.col("degrees_of_freedom") / base).round() * base
    return details.with_columns(
        *(pl.col(c).round_sig_figs(3) for c in ("estimate", "standard_error", "t", "p")),
        freedom.alias("degrees_of_freedom"),
        _multiple(pl.col("denominator"), base).alias("denominator"),
    )


def _exact_limits(frame: pl.DataFrame, counted: pl.Series, confidence: float) -> pl.DataFrame:
    """Give counted shares the limits of their rounded counts (Clopper & Pearson); their own would tell the counts."""
    limits = [
        exact_share(r["n"], r["denominator"], confidence)[1:]
        if told and r["low"] is not None
        else (r["low"], r["high"])
        for r, told in zip(frame.iter_rows(named=True), counted, strict=True)
    ]
    low, high = (pl.Series([pair[k] for pair in limits], dtype=pl.Float64) for k in (0, 1))
    return frame.with_columns(low=low, high=high)


def _to_nice(value: pl.Expr, least: pl.Expr) -> pl.Expr:
    """Return a value as a multiple of the first of 1, 2, 5, 10 … that is `least` or more."""
    ten = pl.lit(10.0).pow(least.log(10).floor())
    lead = least / ten
    step = ten * pl.when(lead <= 1).then(1).when(lead <= 2).then(2).when(lead <= 5).then(5).otherwise(10)
    return pl.when(least > 0).then((value / step).round() * step).otherwise(value).round_sig_figs(6)


def _checks(diagnostics: pl.DataFrame, base: int) -> pl.DataFrame:
    counts = pl.col("limit").str.contains(r"^>= \d+$") | (pl.col("limit") == "a count")
    value = pl.when(counts).then((pl.col("value") / base).round() * base).otherwise(pl.col("value").round_sig_figs(2))
    return diagnostics.with_columns(value.alias("value"))


def _settings(settings: dict[str, Any], base: int) -> dict[str, Any]:
    shown = {**settings, "round_counts": base}
    if flow := shown.get("decision_flow"):
        shown["decision_flow"] = [{**s, "n": None if s["n"] is None else nearest(s["n"], base)} for s in flow]
        arms = {"boosted": flow[-2:][0]["n"], "waiting": flow[-1]["n"]}
        if "overlap_shares" in shown:
            # A share of the arm is one of whole rounded counts.
            shown["overlap_shares"] = {
                arm: [nearest(round(x * arms[arm]), base) / max(nearest(arms[arm], base), 1) for x in shares]
                for arm, shares in shown["overlap_shares"].items()
            }
    if "risk_set" in shown:
        shown["risk_set"] = {k: None if n is None else nearest(n, base) for k, n in shown["risk_set"].items()}
    return shown
