"""The plan of imputing a visit, and the estimates under each assumption: what is drawn, added and combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.imputed_rows import DELTAS, Assumed, Deltas, Grids, Pairs, Plan
from analysis.numerics.covariance import covariance_matrix
from analysis.numerics.imputation import (
    Combined,
    Completed,
    Rows,
    Rule,
    blocks_of,
    combine,
    complete,
    least_squares,
    stacked,
    together,
)
from analysis.numerics.marginal_means import mean_rows
from analysis.numerics.repeated import MmrmFit
from analysis.numerics.repeated_design import dependent_columns
from analysis.numerics.repeated_likelihood import profile
from analysis.trajectory_model import Inference
from analysis.trajectory_sums import Sums
from registry.errors import NotEstimable

Floats = NDArray[np.float64]


def plan_of(
    data: Sums, fit: MmrmFit, model: Inference, chosen: Inference, reference: str | None, pairs: Pairs | None = None
) -> Plan:
    """Return the plan of imputing the last visit of `data`; `chosen` is `model`, or has its limits clustered.

    Differences are those of `pairs` of strata; None: of each to the first.
    """
    pairs = [(s, 0) for s in range(1, len(data.strata))] if pairs is None else pairs
    sums, t = data.sums, len(data.visits) - 1
    q, u = sums.n_covariates, len(data.unseen_n)
    rows = together(
        Rows(
            np.vstack([sums.observed, np.zeros((u, t + 1), dtype=bool)]),
            np.concatenate([sums.n, data.unseen_n]),
            np.concatenate([sums.zz, data.unseen_zz]),
            np.concatenate([sums.zy, np.zeros((u, q, t + 1))]),
            np.concatenate([sums.yy, np.zeros((u, t + 1, t + 1))]),
            np.concatenate([data.returned, data.unseen_returned]),
        )
    )
    # A covariate that the others determine would make the regression of the completed visit singular.
    left = dependent_columns(rows.zz.sum(axis=0)[1:, 1:], [str(k) for k in range(1, q)])
    columns = np.array([k for k in range(1, q) if str(k) not in left], dtype=np.int64)
    profiles = data.profiles(data.n_courses @ data.means / data.n_courses.sum())
    contrasts = [*profiles, *(profiles[s] - profiles[r] for s, r in pairs)]
    names = (*data.strata, *(f"{data.strata[s]} - {data.strata[r]}" for s, r in pairs))
    # Two knees of a patient are not two patients: the clustered variance over the model's says by how much.
    at = mean_rows(fit.design, profiles)[:, t]
    wanted = np.array([*at, *(at[s] - at[r] for s, r in pairs)])
    inflation = (chosen.error(wanted) / model.error(wanted)) ** 2
    swap = None
    if reference is not None:
        swap = np.eye(q)
        for code in data.strata:
            k = data.labels.index(f"stratum={code}")
            swap[k, :] = 0.0
            swap[k, data.labels.index(f"stratum={reference}")] = 1.0
    return Plan(rows, fit, t, columns, np.array(contrasts)[:, columns], names, np.fmax(inflation, 1.0), swap, pairs)


def assumptions(refer: bool, deltas: Deltas = DELTAS, own: Floats | None = None) -> dict[str, Assumed]:
    """Return what is assumed after the last visit seen, by name: a rule, and what is added."""
    rules: list[Rule] = ["missing_at_random", "return_to_baseline"]
    rules += ["jump_to_reference", "copy_reference"] if refer else []
    by_delta: dict[str, Assumed] = {f"delta {d:g}": (rules[0], d) for d in deltas[1:]}
    return {
        **{rule: (rule, 0.0) for rule in rules},
        **by_delta,
        **({} if own is None else {"own_delta": (rules[0], own)}),
    }


def under(plan: Plan, wanted: Mapping[str, Assumed], times: int, seed: int) -> dict[str, Combined]:
    """Return the combined estimates under each assumption, with the same draws under all of them."""
    return under_pairs(plan, wanted, (), times, seed)[0]


def under_pairs(
    plan: Plan, wanted: Mapping[str, Assumed], deltas: Deltas, times: int, seed: int
) -> tuple[dict[str, Combined], Grids]:
    """Return the same, and of each pair of strata by every pair of `deltas` added to the first and to the second.

    Values are imputed once under each rule: what is added to them afterwards changes their sums exactly.
    """
    rng = np.random.default_rng(seed)
    drawn = [_parameters(plan.fit, rng) for _ in range(times)]
    seeds = rng.integers(0, 2**63, times)
    freedom = float(plan.rows.n.sum()) - len(plan.columns)
    blocks = blocks_of(plan.rows, plan.t)
    done: dict[Rule, Completed] = {}
    for rule in dict.fromkeys(rule for rule, _ in wanted.values()):
        done[rule] = stacked([
            complete(plan.rows, mean, sigma, plan.t, np.random.default_rng(k), rule=rule, swap=plan.swap, blocks=blocks)
            for (mean, sigma), k in zip(drawn, seeds, strict=True)
        ])  # fmt: skip

    def found(rule: Rule, delta: float | Floats) -> Combined:
        own = combine(*least_squares(done[rule].moved(plan.added(delta)), plan.columns, plan.contrasts), freedom)
        return replace(own, error=own.error * np.sqrt(plan.inflation))

    def off(pair: tuple[int, int], one: float, other: float) -> Floats:
        by_stratum = np.zeros(plan.strata)
        by_stratum[list(pair)] = one, other
        return by_stratum

    grids = {
        pair: {(one, other): found("missing_at_random", off(pair, one, other)) for one in deltas for other in deltas}
        for pair in (plan.pairs if deltas else ())
    }
    return {name: found(rule, delta) for name, (rule, delta) in wanted.items()}, grids


def _parameters(fit: MmrmFit, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw mean (T, q) and covariance (T, T) from their approximate posterior: normal in theta, then beta given it."""
    theta = fit.theta.ravel()
    root = np.linalg.cholesky(fit.theta_covariance + 1e-12 * np.eye(len(theta)))
    for _ in range(50):
        drawn = theta + root @ rng.normal(size=len(theta))
        sigma = covariance_matrix(fit.structure, drawn.reshape(fit.theta.shape)[0])
        at = profile(fit.sums, fit.design.maps, sigma[None], fit.reml)
        if at is not None:
            beta = at.beta + np.linalg.cholesky(at.phi) @ rng.normal(size=len(at.beta))
            return fit.design.maps @ beta, sigma
    raise NotEstimable("The covariance between visits is too uncertain to impute from: fewer visits may help.")
