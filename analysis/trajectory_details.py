"""Details of the model of trajectories: errors, degrees of freedom, t and p, coefficients, covariances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.marginal_means import Estimates
from analysis.numerics.repeated import MmrmFit
from analysis.trajectory_sums import Sums, cell

Floats = NDArray[np.float64]

# A number of fewer courses at a visit is not reported: its standard error would rest on the model alone.
FEWEST = 5
TOO_FEW = f"fewer than {FEWEST} courses were seen"


def of_number(found: Estimates, i: int) -> dict[str, float]:
    """Return the details of the i-th of several estimates."""
    return {
        "estimate": float(found.estimate[i]),
        "standard_error": float(found.se[i]),
        "degrees_of_freedom": float(found.df[i]),
        "t": float(found.statistic[i]),
        "p": float(found.p_value[i]),
    }


def coefficient_details(data: Sums, fit: MmrmFit, found: Estimates) -> list[dict[str, Any]]:
    """Return one row a coefficient, named as in the design; `found` are the estimates of all of them (p,).

    That of a stratum at a visit is its mean change where every covariate is nought.
    """
    place = {cell(s, v.name): (s, t, v.day) for s in data.strata for t, v in enumerate(data.visits)}
    day = {v.name: v.day for v in data.visits}
    rows: list[dict[str, Any]] = []
    for i, term in enumerate(fit.design.columns):
        row: dict[str, Any] = {"stratum": "all", "quantity": "coefficient", "term": term}
        if term in place:
            code, t, on = place[term]
            seen = int(data.seen[data.strata.index(code), t])
            row |= {"stratum": code, "time_day": on, "denominator": seen}
        else:
            # One of a covariate at a visit, or of a covariate at all of them.
            at = day.get(term.rpartition(":")[2])
            n = data.sums.n_subjects if at is None else data.seen[:, list(day.values()).index(at)].sum()
            row |= {"time_day": at, "denominator": int(n)}
        few = row["denominator"] < FEWEST
        rows.append(row | ({"note": TOO_FEW} if few else of_number(found, i)))
    return rows


def covariance_details(data: Sums, fit: MmrmFit) -> list[dict[str, Any]]:
    """Return the estimated covariances and correlations between visits, each pair once, by group of covariance.

    The denominator counts the courses seen at both visits.
    """
    rows: list[dict[str, Any]] = []
    sums = fit.sums
    for g, code in enumerate(sums.groups):
        mine, sigma = sums.group == g, fit.sigma[g]
        seen = sums.observed[mine].astype(float)
        together = (seen * sums.n[mine, None]).T @ seen
        spread = np.sqrt(np.diag(sigma))
        for s, u in zip(*np.triu_indices(len(data.visits)), strict=True):
            n = int(together[s, u])
            at = {"stratum": code, "time_day": data.visits[s].day, "other_day": data.visits[u].day, "denominator": n}
            value = {"covariance": float(sigma[s, u]), "correlation": float(sigma[s, u] / spread[s] / spread[u])}
            for quantity, estimate in value.items():
                if quantity == "correlation" and s == u:
                    continue
                told = {"note": TOO_FEW.replace("seen", "seen at both")} if n < FEWEST else {"estimate": estimate}
                rows.append(at | {"quantity": quantity} | told)
    return rows
