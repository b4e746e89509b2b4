"""Rows of the results frame for trajectories: from a fitted model and its sums to numbers by stratum and visit."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import Stratum
from analysis.numerics.laws import t_quantile
from analysis.numerics.marginal_means import Estimates, mean_rows
from analysis.numerics.varying import UNVARYING
from analysis.result import details_of, frame_of, row
from analysis.trajectory_details import FEWEST, TOO_FEW, coefficient_details, covariance_details, of_number
from analysis.trajectory_model import Inference, interaction_rows
from analysis.trajectory_sums import Sums, Visit
from registry.errors import NotEstimable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Strata that are compared: each less the other, as indices into those of the sums.
Pairs = list[tuple[int, int]]


def numbers(
    strata: list[Stratum], data: Sums, inference: Inference, due: pl.DataFrame, confidence: float
) -> pl.DataFrame:
    """Return the results frame, with differences to the first stratum; see :func:`told`."""
    return told(strata, data, inference, due, confidence, [(s, 0) for s in range(1, len(data.strata))])[0]


def told(
    strata: list[Stratum],
    data: Sums,
    inference: Inference,
    due: pl.DataFrame,
    confidence: float,
    pairs: Pairs,
    complete: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the results frame and its details.

    The frame has means, differences of `pairs`, shares seen, naive comparisons, and the test of the interaction; the
    details the errors and tests of the means and differences, the coefficients, and the covariance between visits.
    """
    shown = data.seen >= FEWEST
    own = mean_rows(inference.fit.design, data.profiles(data.means))
    common = mean_rows(inference.fit.design, data.profiles(data.n_courses @ data.means / data.n_courses.sum()))
    asked = []
    for s, code in enumerate(data.strata):
        asked.append(("mean_change", code, own[s], data.seen[s]))
        if len(data.strata) > 1:
            asked.append(("adjusted_change", code, common[s], data.seen[s]))
    for s, r in pairs:
        both = np.where(shown[s] & shown[r], data.seen[s] + data.seen[r], 0.0)
        asked.append(("difference", f"{data.strata[s]} - {data.strata[r]}", common[s] - common[r], both))
    modelled, details = _modelled(data, asked, inference, confidence)
    rows: list[dict[str, Any]] = []
    for stratum in strata:
        if stratum.code not in data.strata:
            rows += [_empty(stratum.code, v, "nobody in this stratum") for v in data.visits]
            continue
        rows += [r for r in modelled if r["stratum"] == stratum.code]
        rows += _seen(data, stratum.code, due)
        rows += _naive(data, data.strata.index(stratum.code), confidence, complete)
    rows += [r for r in modelled if r["quantity"] == "difference"]
    rows.append(_test(data, inference, shown))
    return frame_of(rows), details_of(details)


def _empty(code: str, visit: Visit, note: str, quantity: str = "mean_change", seen: float = 0.0) -> dict[str, Any]:
    return row(code, quantity, time_day=visit.day, denominator=int(seen), note=note)


def _modelled(
    data: Sums, asked: list[tuple[str, str, Floats, Floats]], inference: Inference, confidence: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Estimates of each quantity, name, contrast (T, p) and seen (T,); visits at which too few were seen have none.

    All contrasts go at once: the degrees of freedom of the clustered variance pass over the courses each time.

    Returns
    -------
    Rows of the frame, and of the details.
    """
    fit = inference.fit
    cells = [(k, t) for k, (*_, seen) in enumerate(asked) for t in np.flatnonzero(seen >= FEWEST).tolist()]
    each = np.eye(len(fit.beta))
    found = inference.of(np.concatenate([*(asked[k][2][[t]] for k, t in cells), each]), confidence)
    place = {cell: i for i, cell in enumerate(cells)}
    rows, details = [], []
    for k, (quantity, name, _, seen) in enumerate(asked):
        for t, visit in enumerate(data.visits):
            at: dict[str, Any] = {"stratum": name, "quantity": quantity, "time_day": visit.day}
            at["denominator"] = int(seen[t])
            if (k, t) not in place:
                rows.append(_empty(name, visit, TOO_FEW, quantity, seen[t]))
                details.append(at | {"note": TOO_FEW})
                continue
            i = place[k, t]
            at |= {"note": UNVARYING} if np.isnan(found.se[i]) else {}
            low, high = float(found.lower[i]), float(found.upper[i])
            rows.append(row(**at, estimate=float(found.estimate[i]), low=low, high=high))
            details.append(at | of_number(found, i))
    own = Estimates(*(getattr(found, name)[len(cells) :] for name in Estimates.__dataclass_fields__))
    return rows, [*details, *coefficient_details(data, fit, own), *covariance_details(data, fit)]


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


def _naive(data: Sums, s: int, confidence: float, complete: pl.DataFrame | None) -> list[dict[str, Any]]:
    """Means of whoever came, at each visit and at all of them: comparisons, biased when dropout is informative."""
    everybody = data.raw_change(np.ones(len(data.stratum), dtype=bool))
    ways = {
        "observed_case": (everybody, "for comparison only: whoever was seen at this visit"),
        "complete_case": (data.complete_change(complete), "for comparison only: seen at every visit that was due"),
    }
    rows = []
    for quantity, (change, note) in ways.items():
        n, mean, sd = (x[s] for x in change)
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
