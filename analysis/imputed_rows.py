"""Rows and checks of imputed change: from estimates under each assumption to numbers by stratum, and where they tip."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.numerics.imputation import Combined, Rows, Rule
from analysis.numerics.repeated import MmrmFit
from analysis.result import check, diagnostics_of, row
from analysis.trajectory_sums import Sums

Floats = NDArray[np.float64]
Deltas = tuple[float, ...]
Pairs = list[tuple[int, int]]
# Of each pair of strata, the estimates by what is taken off the first and the second.
Grids = dict[tuple[int, int], dict[tuple[float, float], Combined]]

# An assumption: a rule, and what is added to values after the last visit seen: to all, or by stratum (S,).
Assumed = tuple[Rule, "float | Floats"]
# Points of 100 taken off values after the last visit seen; as far as every such patient being half the scale worse.
DELTAS = (0.0, -5.0, -10.0, -15.0, -20.0, -30.0, -40.0, -50.0)
FEWEST = 5


@dataclass(frozen=True)
class Plan:
    """What is imputed and how it is summed up: rows, fit, visit t, regression columns, contrasts (c, k) and names.

    The contrasts are the means of the strata, then the differences of `pairs`, each the first stratum less the second.
    """

    rows: Rows
    fit: MmrmFit
    t: int
    columns: NDArray[np.int64]
    contrasts: Floats
    names: tuple[str, ...]
    inflation: Floats
    swap: Floats | None
    pairs: Pairs

    @property
    def strata(self) -> int:
        """How many strata there are."""
        return len(self.names) - len(self.pairs)

    def added(self, delta: float | Floats) -> Floats:
        """Return what makes ``z @ it`` the `delta` of a course: of all alike, or of its stratum, (S,)."""
        by = np.zeros(self.rows.zz.shape[1])
        # The intercept is first, and an indicator of each stratum follows it.
        by[1 : 1 + self.strata] = delta
        return by


def assumed_rows(
    data: Sums, plan: Plan, made: dict[str, Combined], day: float, confidence: float, deltas: Deltas = DELTAS
) -> list[dict[str, Any]]:
    """Return the rows of each assumption, and where conclusions tip: of strata and of differences between them."""
    out = []
    total, seen = counts(data, plan)
    limits_of = {}
    for name, found in made.items():
        low, high = limits_of[name] = found.limits(confidence)
        for c, who in enumerate(plan.names):
            n, of = (seen[c], total[c])
            if min(n, of) < FEWEST:
                out.append(row(who, name, time_day=day, denominator=of, note=f"fewer than {FEWEST} courses were seen"))
                continue
            note = f"{100 * found.missing_information[c]:.0f} % of the information is missing"
            limits = {"estimate": float(found.estimate[c]), "low": float(low[c]), "high": float(high[c])}
            out.append(row(who, name, time_day=day, n=n, denominator=of, note=note, **limits))
    for c, who in enumerate(plan.names):
        if min(seen[c], total[c]) < FEWEST:
            continue
        lows, highs = ([limits_of[_step(d)][k][c] for d in deltas] for k in (0, 1))
        if c < len(data.strata):
            none = "no improvement even if missing at random"
            out.append(_tipping(who, "tipping_delta", deltas, lows, day, total[c], none))
            continue
        none = "no difference even if missing at random"
        away = lows if lows[0] > 0 else [-h for h in highs]
        out.append(_tipping(who, "tipping_delta", deltas, away, day, total[c], none, "taken off both strata"))
    return out


def grid_rows(
    data: Sums, plan: Plan, grids: Grids, day: float, confidence: float, deltas: Deltas
) -> list[dict[str, Any]]:
    """Return the differences by what is taken off each of two strata, and where they tip by the better one alone."""
    out, tips = [], []
    total, seen = counts(data, plan)
    for c, pair in enumerate(plan.pairs, len(data.strata)):
        if min(seen[c], total[c]) < FEWEST:
            continue
        edges = {}
        for (one, other), found in grids[pair].items():
            low, high = (float(x[c]) for x in found.limits(confidence))
            edges[one, other] = low, high
            name, value = f"delta {one:g} and {other:g}", float(found.estimate[c])
            out.append(row(plan.names[c], name, time_day=day, estimate=value, low=low, high=high, n=seen[c],
                           denominator=total[c]))  # fmt: skip
        better = 0 if edges[0.0, 0.0][0] > 0 else 1
        away = [edges[(d, 0.0) if better == 0 else (0.0, d)] for d in deltas]
        steps = [low if better == 0 else -high for low, high in away]
        note = f"taken off {data.strata[pair[better]]} alone"
        none = "no difference even if missing at random"
        tips.append(_tipping(plan.names[c], "tipping_delta_alone", deltas, steps, day, total[c], none, note))
    return [*tips, *out]


def _step(delta: float) -> str:
    return f"delta {delta:g}" if delta else "missing_at_random"


def _tipping(
    who: str, quantity: str, deltas: Deltas, away: list[float], day: float, of: int, none: str, note: str | None = None
) -> dict[str, Any]:
    """Return where the limit that is `away` from zero reaches it, linear between the deltas tried."""
    if away[0] <= 0:
        return row(who, quantity, time_day=day, denominator=of, note=none)
    for (d0, l0), (d1, l1) in itertools.pairwise(zip(deltas, away, strict=True)):
        if l1 <= 0:
            tip = d0 + (d1 - d0) * l0 / (l0 - l1)
            return row(who, quantity, time_day=day, estimate=tip, denominator=of, note=note)
    told = f"not even at {deltas[-1]:g} points" + (f" {note}" if note else "")
    return row(who, quantity, time_day=day, denominator=of, note=told)


def counts(data: Sums, plan: Plan) -> tuple[list[int], list[int]]:
    """Return courses due and seen for each contrast."""
    k = [data.labels.index(f"stratum={s}") for s in data.strata]
    of_row = plan.rows.zz[:, 0, k]
    total = of_row.sum(axis=0)
    seen = of_row[plan.rows.observed[:, plan.t]].sum(axis=0)
    # Where few of one side were seen there is no difference, however many were of the other.
    few = [min(seen[s], seen[r]) < FEWEST for s, r in plan.pairs]
    pairs = [
        (total[s] + total[r], min(seen[s], seen[r]) if f else seen[s] + seen[r])
        for f, (s, r) in zip(few, plan.pairs, strict=True)
    ]
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
