"""Rows of the results frame for time to response: from fits and resamples to numbers, curves and checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import Stratum
from analysis.follow_up import followed_through, settled_to
from analysis.numerics.interval import NPMLE, IntervalData
from analysis.numerics.interval_test import interval_test
from analysis.numerics.resampling import interval_of_probability
from analysis.numerics.share_limits import difference_limits, unfollowed
from analysis.result import REGIONS, check, diagnostics_of, frame_of, row

Floats = NDArray[np.float64]

KINDS = {"response": 0, "end": 1, "censored": 2}


def interval_data(cells: pl.DataFrame, count: Floats | None = None) -> IntervalData:
    """Return the rows of ``reduction.response_cell`` as observations, with their own counts or resampled ones."""
    return IntervalData(
        left=cells["left_day"].to_numpy().astype(float),
        right=cells["right_day"].to_numpy().astype(float),
        kind=cells["kind"].replace_strict(KINDS, return_dtype=pl.Int64).to_numpy(),
        count=cells["n"].to_numpy().astype(float) if count is None else count,
    )


def grid_of(days: Floats) -> Floats:
    """Return the days at which curves are drawn and resampled: the reported ones and every fifth."""
    return np.unique(np.concatenate([days, np.arange(0, days.max() + 1, 5.0)]))


def numbers(
    strata: list[Stratum], fits: dict[str, NPMLE | None], cells: pl.DataFrame, patterns: pl.DataFrame | None,
    samples: dict[str, Floats] | None, days: Floats, confidence: float,
) -> pl.DataFrame:  # fmt: skip
    """Return the results frame: incidences by day, medians, differences between strata, and their test.

    Without samples there are no limits, and without patterns no test.
    """
    rows: list[dict[str, Any]] = []
    grid = grid_of(days)
    at = np.searchsorted(grid, days)
    for s in strata:
        fit = fits[s.code]
        mine = cells.filter(pl.col("stratum") == s.code)
        n = int(mine["n"].sum())
        if fit is None:
            rows += [
                row(s.code, "response", time_day=d, n=0, denominator=0, note="nobody in this stratum") for d in days
            ]
            continue
        drawn = None if samples is None else samples[s.code][:, :, at]
        first = None if drawn is None else drawn[0]
        rows += _incidence_rows(s.code, "response", fit.incidence(days), first, days, mine, confidence)
        if (mine["kind"] == "end").any():
            ends = fit.end_incidence(days)
            second = None if drawn is None else drawn[1]
            rows += _incidence_rows(s.code, "end_before_response", ends, second, days, mine, confidence)
        rows.append(_median(s.code, fit, n, followed_to(mine)))
    rows += _contrasts(strata, fits, cells, samples, days, confidence)
    return frame_of(rows if patterns is None else rows + _tests(strata, cells, patterns))


def _incidence_rows(
    code: str, quantity: str, estimate: Floats, replicates: Floats | None, days: Floats, cells: pl.DataFrame,
    confidence: float,
) -> list[dict[str, Any]]:  # fmt: skip
    n = int(cells["n"].sum())
    low, high = _limits(estimate, replicates, confidence, n, followed_through(*_last_day(cells), days))
    kind = "response" if quantity == "response" else "end"
    happened = cells.filter(pl.col("kind") == kind)
    latest = followed_to(cells)
    rows = []
    for i, day in enumerate(days):
        count = int(happened.filter(pl.col("right_day") <= day)["n"].sum())
        late = day > latest
        rows.append(
            row(
                code, quantity, time_day=float(day), n=count, denominator=n,
                estimate=None if late else float(estimate[i]),
                low=None if late else float(low[i]), high=None if late else float(high[i]),
                note=f"settled up to day {latest:.0f} only" if late else None,
            )
        )  # fmt: skip
    return rows


def _limits(
    estimate: Floats, replicates: Floats | None, confidence: float, n: float, followed: Floats
) -> tuple[Floats, Floats]:
    """Return limits of incidences, each of the shape of `estimate`; not known (nan) where nothing was resampled."""
    if replicates is None:
        return np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    low, high = interval_of_probability(estimate, replicates, confidence, n, followed)
    return low, unfollowed(estimate, high, followed, n, confidence)


def _last_day(cells: pl.DataFrame) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Return the last day of each cell, whether its courses were lost from sight then, and how many they are."""
    lost = (cells["kind"] == "censored").to_numpy()
    last = np.where(lost, cells["left_day"].to_numpy(), cells["right_day"].to_numpy()).astype(float)
    return last, lost, cells["n"].to_numpy().astype(float)


def followed_to(cells: pl.DataFrame) -> float:
    """Return the last day up to which the estimate is determined; infinite if most are known to the end."""
    last, lost, count = _last_day(cells)
    settled = settled_to(last, lost, count)
    censored, event = (float(last[m].max(initial=-1.0)) for m in (lost, ~lost))
    return settled if event > censored else min(settled, censored)


def _median(code: str, fit: NPMLE, n: int, latest: float) -> dict[str, Any]:
    total = np.cumsum(fit.mass)
    k = int(np.searchsorted(total, 0.5 - 1e-12))
    if len(total) == 0 or total[-1] < 0.5 - 1e-12:
        return row(code, "median_day", denominator=n, note="fewer than half are known to have responded")
    left, right = float(fit.left[k]), float(fit.right[k])
    if right > latest:
        return row(code, "median_day", denominator=n, note=f"settled up to day {latest:.0f} only")
    note = f"half had responded in ({left:.0f}, {right:.0f}]; where inside, the visits do not say"
    # The last day of that intersection: by then at least half have certainly responded.
    return row(code, "median_day", estimate=right, denominator=n, note=note)


def _contrasts(
    strata: list[Stratum], fits: dict[str, NPMLE | None], cells: pl.DataFrame, samples: dict[str, Floats] | None,
    days: Floats, confidence: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """Differences of incidence from the first stratum that has anybody, with limits from those of the two sides."""
    present = [s for s in strata if fits[s.code] is not None]
    at = np.searchsorted(grid_of(days), days)
    by_code = {s.code: cells.filter(pl.col("stratum") == s.code) for s in present}
    latest = {code: followed_to(mine) for code, mine in by_code.items()}
    sides = {}
    for s in present:
        fit = fits[s.code]
        assert fit is not None
        estimate = fit.incidence(days)
        drawn = None if samples is None else samples[s.code][0][:, at]
        seen = followed_through(*_last_day(by_code[s.code]), days)
        sides[s.code] = (estimate, *_limits(estimate, drawn, confidence, fit.n, seen)), fit.n
    rows = []
    for s in present[1:]:
        one, n_one = sides[s.code]
        other, n_other = sides[present[0].code]
        difference = one[0] - other[0]
        low, high = difference_limits(one, other)
        name, both = f"{s.code} - {present[0].code}", min(latest[s.code], latest[present[0].code])
        for i, day in enumerate(days):
            limits: dict[str, Any] = {"estimate": float(difference[i]), "low": float(low[i]), "high": float(high[i])}
            if day > both:
                limits = {"note": f"settled up to day {both:.0f} only"}
            rows.append(row(name, "difference", time_day=float(day), denominator=int(n_one + n_other), **limits))
    return rows


def _tests(strata: list[Stratum], cells: pl.DataFrame, patterns: pl.DataFrame) -> list[dict[str, Any]]:
    order = {s.code: i for i, s in enumerate(strata)}
    joined = patterns.join(cells.drop("n"), on="cell").with_columns(number=pl.col("pattern").rank("dense") - 1)
    data = interval_data(joined, (joined["n_courses"] * joined["n_patients"]).to_numpy().astype(float))
    group = joined["stratum"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    single = bool((patterns.group_by("pattern").agg(pl.col("n_courses").sum())["n_courses"] == 1).all())
    try:
        test = interval_test(
            data,
            group,
            cluster=None if single else joined["number"].to_numpy().astype(np.int64),
            patients=joined["n_patients"].to_numpy().astype(float),
            k=len(strata),
        )
    except ValueError as error:
        return [row("all", "test", note=str(error))]
    how = "permutation variance" if single else "variance clustered by patient"
    note = (
        f"generalised log-rank (Sun) on {test.df} df, chi-squared {test.statistic:.2f}, {how}; ends count as censored"
    )
    return [row("all", "test", estimate=test.p, denominator=int(data.count.sum()), note=note)]


def curves(
    strata: list[Stratum], fits: dict[str, NPMLE | None], cells: pl.DataFrame, samples: dict[str, Floats] | None,
    grid: Floats, confidence: float,
) -> pl.DataFrame:  # fmt: skip
    """Return the incidence with its limits on the grid of days up to which it is settled, for figures."""
    rows = []
    for s in strata:
        fit = fits[s.code]
        if fit is None:
            continue
        mine, n = cells.filter(pl.col("stratum") == s.code), int(fit.n)
        drawn = None if samples is None else samples[s.code][0]
        seen = followed_through(*_last_day(mine), grid)
        low, high = _limits(fit.incidence(grid), drawn, confidence, n, seen)
        last = followed_to(mine)
        for day, estimate, lo, hi in zip(grid, fit.incidence(grid), low, high, strict=True):
            if day > last:
                break
            rows.append(row(s.code, "response", time_day=day, estimate=estimate, low=lo, high=hi, denominator=n))
    return frame_of(rows)


def regions(fits: dict[str, NPMLE | None]) -> pl.DataFrame:
    """Return the rectangles inside which the data do not say where a curve runs."""
    parts = [pl.DataFrame(schema=REGIONS)]
    for code, fit in fits.items():
        if fit is not None and len(fit.mass):
            total = np.cumsum(fit.mass)
            columns = (np.full(len(total), code), fit.left, fit.right, total - fit.mass, total)
            parts.append(pl.DataFrame(dict(zip(REGIONS, columns, strict=True)), schema=REGIONS))
    return pl.concat(parts)


def at_risk(strata: list[Stratum], cells: pl.DataFrame, days: Floats) -> pl.DataFrame:
    """Courses still under observation without response just before each day; those inside an interval are counted."""
    rows = []
    for s in strata:
        mine = cells.filter(pl.col("stratum") == s.code)
        last = (
            pl.when(pl.col("kind") == "response")
            .then("right_day")
            .otherwise(pl.when(pl.col("kind") == "end").then("right_day").otherwise("left_day"))
        )
        for day in (0.0, *days):
            n = int(mine.filter(last >= day)["n"].sum())
            rows.append(row(s.code, "at_risk", time_day=float(day), n=n, denominator=int(mine["n"].sum())))
    return frame_of(rows)


def diagnostics(strata: list[Stratum], fits: dict[str, NPMLE | None], cells: pl.DataFrame) -> pl.DataFrame:
    """Return the checks of each stratum: its size, the certificate of its fit, its number of responses."""
    checks = []
    for s in strata:
        fit = fits[s.code]
        if fit is None:
            checks.append(check(f"courses in {s.code}", 0, "> 0", False, "nobody in this stratum"))
            continue
        checks.append(
            check(f"certificate of {s.code}", fit.gap, "<= 1e-10", fit.gap <= 1e-10, "log-likelihood within n × gap")
        )
        mine = cells.filter(pl.col("stratum") == s.code)
        nothing = mine.filter(pl.col("kind") == "censored", pl.col("left_day") == 0)
        silent = int(nothing["n"].sum()) / int(mine["n"].sum())
        note = "judged once, without response, and not again: they tell nothing yet"
        checks.append(check(f"courses without a settled visit in {s.code}", silent, "<= 0.5", silent <= 0.5, note))
        responses = int(mine.filter(pl.col("kind") == "response")["n"].sum())
        checks.append(
            check(f"responses in {s.code}", responses, ">= 10", responses >= 10, "fewer leave wide intervals")
        )
    return diagnostics_of(checks)
