"""Rows of the results frame for trajectories: from a fitted model and its sums to numbers by stratum and visit."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import Stratum
from analysis.numerics.laws import t_quantile
from analysis.numerics.marginal_means import mean_rows
from analysis.result import frame_of, row
from analysis.trajectory_model import Inference, interaction_rows
from analysis.trajectory_sums import Sums, Visit
from registry.errors import NotEstimable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A mean of fewer courses at a visit is not reported: its standard error would rest on the model alone.
FEWEST = 5


def numbers(
    strata: list[Stratum], data: Sums, inference: Inference, due: pl.DataFrame, confidence: float
) -> pl.DataFrame:
    """Return the results frame: means, differences, shares seen, naive comparisons, and the test of the interaction."""
    shown = data.seen >= FEWEST
    own = mean_rows(inference.fit.design, data.profiles(data.means))
    common = mean_rows(inference.fit.design, data.profiles(data.n_courses @ data.means / data.n_courses.sum()))
    first, asked = data.strata[0], []
    for s, code in enumerate(data.strata):
        asked.append(("mean_change", code, own[s], data.seen[s]))
        if len(data.strata) > 1:
            asked.append(("adjusted_change", code, common[s], data.seen[s]))
    for s, code in enumerate(data.strata[1:], 1):
        pair = np.where(shown[s] & shown[0], data.seen[s] + data.seen[0], 0.0)
        asked.append(("difference", f"{code} - {first}", common[s] - common[0], pair))
    modelled = _modelled(data, asked, inference, confidence)
    rows: list[dict[str, Any]] = []
    for stratum in strata:
        if stratum.code not in data.strata:
            rows += [_empty(stratum.code, v, "nobody in this stratum") for v in data.visits]
            continue
        rows += [r for r in modelled if r["stratum"] == stratum.code]
        rows += _seen(data, stratum.code, due)
        rows += _naive(data, data.strata.index(stratum.code), confidence)
    rows += [r for r in modelled if r["quantity"] == "difference"]
    rows.append(_test(data, inference, shown))
    return frame_of(rows)


def _empty(code: str, visit: Visit, note: str, quantity: str = "mean_change", seen: float = 0.0) -> dict[str, Any]:
    return row(code, quantity, time_day=visit.day, denominator=int(seen), note=note)


def _modelled(
    data: Sums, asked: list[tuple[str, str, Floats, Floats]], inference: Inference, confidence: float
) -> list[dict[str, Any]]:
    """Estimates of each quantity, name, contrast (T, p) and seen (T,); visits at which too few were seen have none.

    All contrasts go at once: the degrees of freedom of the clustered variance pass over the courses each time.
    """
    cells = [(k, t) for k, (*_, seen) in enumerate(asked) for t in np.flatnonzero(seen >= FEWEST).tolist()]
    found = inference.of(np.array([asked[k][2][t] for k, t in cells]), confidence) if cells else None
    place = {cell: i for i, cell in enumerate(cells)}
    rows = []
    for k, (quantity, name, _, seen) in enumerate(asked):
        for t, visit in enumerate(data.visits):
            if found is None or (k, t) not in place:
                rows.append(_empty(name, visit, f"fewer than {FEWEST} courses were seen", quantity, seen[t]))
                continue
            i = place[k, t]
            rows.append(
                row(name, quantity, time_day=visit.day, estimate=float(found.estimate[i]), low=float(found.lower[i]),
                    high=float(found.upper[i]), denominator=int(seen[t]))
            )  # fmt: skip
    return rows


def _seen(data: Sums, code: str, due: pl.DataFrame) -> list[dict[str, Any]]:
    mine = {p: (seen, of) for p, seen, of in due.filter(stratum=code).select("position", "n_seen", "n_due").iter_rows()}
    rows = []
    for visit in data.visits:
        n, of = mine[visit.position]
        rows.append(
            row(code, "seen", time_day=visit.day, estimate=n / of if of else None, n=n, denominator=of,
                note=None if of else "not due for anybody yet")
        )  # fmt: skip
    return rows


def _naive(data: Sums, s: int, confidence: float) -> list[dict[str, Any]]:
    """Means of whoever came, at each visit and at all of them: comparisons, biased when dropout is informative."""
    everybody = np.ones(len(data.stratum), dtype=bool)
    ways: dict[str, tuple[Bools, str]] = {
        "observed_case": (everybody, "for comparison only: whoever was seen at this visit"),
        "complete_case": (np.asarray(data.sums.observed.all(axis=1)), "for comparison only: seen at every visit"),
    }
    rows = []
    for quantity, (chosen, note) in ways.items():
        n, mean, sd = (x[s] for x in data.raw_change(chosen))
        for t, visit in enumerate(data.visits):
            if n[t] < FEWEST:
                rows.append(_empty(data.strata[s], visit, f"fewer than {FEWEST} courses; {note}", quantity, n[t]))
                continue
            reach = float(t_quantile(0.5 + confidence / 2, n[t] - 1) * sd[t] / np.sqrt(n[t]))
            rows.append(
                row(data.strata[s], quantity, time_day=visit.day, estimate=float(mean[t]), low=float(mean[t] - reach),
                    high=float(mean[t] + reach), denominator=int(n[t]), note=note)
            )  # fmt: skip
    return rows


def _test(data: Sums, inference: Inference, shown: Bools) -> dict[str, Any]:
    rows = interaction_rows(inference.fit.design, data, shown)
    if len(rows) == 0:
        return row("all", "test", note="a test of stratum × visit needs two strata at two visits")
    try:
        found = inference.test(rows)
    except NotEstimable as error:
        return row("all", "test", note=f"stratum × visit: {error}", denominator=data.sums.n_subjects)
    note = (
        f"stratum × visit: F({found.df_numerator:.0f}, {found.df_denominator:.1f}) = {found.statistic:.3f}; "
        "whether the strata differ by the same amount at all visits"
    )
    return row("all", "test", estimate=found.p_value, denominator=data.sums.n_subjects, note=note)
