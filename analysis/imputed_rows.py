"""Rows and checks of imputed change: from estimates under each assumption to numbers by stratum, and where they tip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.numerics.imputation import Combined, Rows
from analysis.numerics.repeated import MmrmFit
from analysis.result import check, diagnostics_of, row
from analysis.trajectory_sums import Sums

Floats = NDArray[np.float64]

# Points of 100 taken off values after the last visit seen; as far as every such patient being half the scale worse.
DELTAS = (0.0, -5.0, -10.0, -15.0, -20.0, -30.0, -40.0, -50.0)
FEWEST = 5


@dataclass(frozen=True)
class Plan:
    """What is imputed and how it is summed up: rows, fit, visit t, regression columns, contrasts (c, k) and names."""

    rows: Rows
    fit: MmrmFit
    t: int
    columns: NDArray[np.int64]
    contrasts: Floats
    names: tuple[str, ...]
    inflation: Floats
    swap: Floats | None


def assumed_rows(
    data: Sums, plan: Plan, made: dict[str, Combined], day: float, confidence: float
) -> list[dict[str, Any]]:
    """Return the rows of each assumption, and by stratum the delta at which its lower limit reaches zero."""
    out = []
    total, seen = counts(data, plan)
    lows = {}
    for name, found in made.items():
        low, high = found.limits(confidence)
        lows[name] = low
        for c, who in enumerate(plan.names):
            n, of = (seen[c], total[c])
            if min(n, of) < FEWEST:
                out.append(row(who, name, time_day=day, denominator=of, note=f"fewer than {FEWEST} courses were seen"))
                continue
            note = f"{100 * found.missing_information[c]:.0f} % of the information is missing"
            limits = {"estimate": float(found.estimate[c]), "low": float(low[c]), "high": float(high[c])}
            out.append(row(who, name, time_day=day, n=n, denominator=of, note=note, **limits))
    steps = ["missing_at_random", *(f"delta {d:g}" for d in DELTAS[1:])]
    for c, who in enumerate(data.strata):
        if min(seen[c], total[c]) >= FEWEST:
            out.append(_tipping(who, [lows[s][c] for s in steps], day, total[c]))
    return out


def _tipping(who: str, lows: list[float], day: float, of: int) -> dict[str, Any]:
    """Return where the lower limit reaches zero, linear between the deltas tried."""
    if lows[0] <= 0:
        return row(who, "tipping_delta", time_day=day, denominator=of, note="no improvement even if missing at random")
    for (d0, l0), (d1, l1) in zip(zip(DELTAS, lows, strict=True), zip(DELTAS[1:], lows[1:], strict=True), strict=False):
        if l1 <= 0:
            return row(who, "tipping_delta", time_day=day, estimate=d0 + (d1 - d0) * l0 / (l0 - l1), denominator=of)
    return row(who, "tipping_delta", time_day=day, denominator=of, note=f"not even at {DELTAS[-1]:g} points")


def counts(data: Sums, plan: Plan) -> tuple[list[int], list[int]]:
    """Return courses due and seen for each contrast."""
    k = [data.labels.index(f"stratum={s}") for s in data.strata]
    of_row = plan.rows.zz[:, 0, k]
    total = of_row.sum(axis=0)
    seen = of_row[plan.rows.observed[:, plan.t]].sum(axis=0)
    pairs = [(total[s] + total[0], seen[s] + seen[0]) for s in range(1, len(k))]
    both = [*zip(total, seen, strict=True), *pairs]
    return [int(t) for t, _ in both], [int(n) for _, n in both]


def observed_rows(data: Sums, plan: Plan, day: float) -> list[dict[str, Any]]:
    """Return least squares among those seen at the visit, at the baseline and covariates of the other rows."""
    seen, k = plan.rows.observed[:, plan.t], plan.columns
    gram, right = plan.rows.zz[seen].sum(axis=0), plan.rows.zy[seen, :, plan.t].sum(axis=0)
    # A stratum of which nobody was seen has no coefficient, and no row with a number.
    estimate = plan.contrasts @ np.linalg.lstsq(gram[np.ix_(k, k)], right[k], rcond=None)[0]
    n = counts(data, plan)[1]
    note = "for comparison only: whoever was seen at this visit, at the same baseline"
    return [
        row(s, "observed_case", time_day=day, estimate=float(estimate[i]) if n[i] >= FEWEST else None,
            denominator=n[i], note=note)
        for i, s in enumerate(data.strata)
    ]  # fmt: skip


def imputation_checks(data: Sums, plan: Plan, made: dict[str, Combined], fit: MmrmFit) -> pl.DataFrame:
    """Return the checks: who was seen at the visit, how much information is missing, and the certificate of the fit."""
    total, seen = counts(data, plan)
    found = made["missing_at_random"]
    rows = [
        check(f"seen at the visit in {s}", seen[i] / total[i], ">= 0.6", seen[i] / total[i] >= 0.6,
              f"{seen[i]} of {total[i]}")
        for i, s in enumerate(data.strata)
    ]  # fmt: skip
    worst = float(found.missing_information.max())
    rows.append(
        check("missing information", worst, "<= 0.5", worst <= 0.5, "largest share over strata and differences")
    )
    decrement = fit.convergence.newton_decrement
    rows.append(check("Newton decrement", decrement, "<= 1e-10", decrement <= 1e-10))
    return diagnostics_of(rows)
