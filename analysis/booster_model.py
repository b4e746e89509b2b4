"""The effect of a booster by stratum: weights, outcome and standardisation, and what a bootstrap of patients says."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analysis.booster_data import Prepared
from analysis.numerics.arm_weights import ArmWeights, decision_weights, weights
from analysis.numerics.emulation import Chances, chances, risk_models
from analysis.numerics.resampling import bags
from analysis.numerics.seen_hazard import Hazard, fit_hazard, standardise_hazard, watched_weights
from analysis.numerics.structural import (
    Curves,
    Family,
    end_free,
    outcome_model,
    spell_weights,
    standardise,
    standardise_risk,
)
from analysis.numerics.weighting import Linear, Logistic, logistic, sandwich
from registry.progress import steps

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Curves of both strategies on the grid, and what they were made with."""

    curves: Curves
    fit: Linear | Logistic | Hazard
    weight: Floats
    chances: Chances
    decision: ArmWeights
    end_coefficients: Floats | None = None

    @property
    def coefficients(self) -> Floats:
        """Coefficients of the outcome model, shape (q,)."""
        return self.fit.coefficients


def estimate(data: Prepared, case: Floats, start: Estimate | None = None) -> Estimate:
    """Fit weights and outcome with case weights `case` of the visits (n,), and standardise."""
    plan, v = data.plan, data.visits
    begin = None if start is None else start.chances
    made = chances(v, case, ends_count=plan.outcome != "mean", start=begin)
    # Outcome regression alone needs no weights for the decision; what censors follow-up it must weigh like the others.
    ones = np.ones(len(data.start))
    known = None if start is None else start.decision
    decision = ArmWeights(ones, ones) if data.interact else decision_weights(data.start, v, made, case, known)
    first = None if start is None else start.coefficients
    if plan.outcome == "risk":
        fit, w = _hazard(data, case, made, decision, first)
        curves = standardise_risk(fit, data.start, v, case, plan.bounds, interact=data.interact)
        return Estimate(curves, fit, w, made, decision)
    if plan.outcome == "loss":
        return _loss(data, case, made, decision, first)
    records, y, design = data.followed
    w = case[records.start][records.trial] * weights(records, made, decision, estimand=plan.estimand)
    family: Family = "mean" if plan.outcome == "mean" else "share"
    model = outcome_model(design, data.nodes, y, w, family, first, strata=len(data.strata))
    alive, of_end = None, None
    if plan.outcome == "share":
        # A share is of all decisions: in response among those who go on, times the share who do.
        of_end, _ = _hazard(data, case, made, decision, None if start is None else start.end_coefficients)
        alive = end_free(of_end, data.start, v, plan.bounds, data.grid, interact=data.interact)
    curves = standardise(model, data.start, v, case, data.grid, interact=data.interact, alive=alive)
    return Estimate(curves, model.fit, w, made, decision, None if of_end is None else of_end.coefficients)


def _loss(data: Prepared, case: Floats, made: Chances, decision: ArmWeights, first: Floats | None) -> Estimate:
    """Fit the hazard of a loss that is seen at visits, and standardise; a resample takes two steps, as elsewhere."""
    v, watched, bands = data.visits, data.watched, data.bands
    w = case[data.start][watched.trial]
    w = w * watched_weights(watched, data.start, v, made, decision, estimand=data.plan.estimand)
    penalty = _prior(data.pieces.design.shape[1], data)
    steps = 50 if first is None else 2
    fit = fit_hazard(data.pieces, watched.event, w, penalty, first, max_steps=steps)
    curves = standardise_hazard(
        fit, data.start, v, case, bands, len(bands) - 2, data.grid, interact=data.interact
    )  # fmt: skip
    return Estimate(curves, fit, w, made, decision)


def _prior(columns: int, data: Prepared) -> Floats:
    """Return the precisions of a hazard's weak priors: of the `columns` the last are covariates."""
    p = data.visits.x.shape[1] * (1 + data.interact)
    return np.concatenate([np.full(columns - p, 1e-2), np.full(p, 0.1)])


def _hazard(
    data: Prepared, case: Floats, made: Chances, decision: ArmWeights, first: Floats | None
) -> tuple[Logistic, Floats]:
    """Fit the hazard of the end in the intervals of follow-up; return it with the weights of its rows."""
    v, cut, design = data.visits, data.spells, data.hazard_design
    w = case[data.start][cut.trial]
    w = w * spell_weights(cut, data.start, v, made, decision, estimand=data.plan.estimand)
    penalty = _prior(design.shape[1], data)
    return logistic(
        design, cut.event.astype(float), w, penalty=penalty, tolerance=1e-9, start=first, covariance=first is None
    ), w


def bootstrap(data: Prepared, whole: Estimate, times: int, seed: int) -> tuple[Floats, Floats]:
    """Resample patients and refit every model; return curves of both strategies, each (times, s, d).

    A patient drawn twice counts twice in every model: weights, not copies (multinomial counts). Many patients are
    resampled in :func:`bags`.
    """
    rng = np.random.default_rng(seed)
    patients = int(data.patient.max()) + 1
    shape = (times, *whole.curves.treated.shape)
    one, other = np.full(shape, np.nan), np.full(shape, np.nan)
    parts = bags(patients, times, rng)
    # Small systems: a second thread would only wait for the first.
    with threadpool_limits(1):
        for bag in parts:
            part, begin, moved = data, whole, np.zeros((2, *whole.curves.treated.shape))
            if len(bag.patients) < patients:
                chosen = np.zeros(patients, dtype=bool)
                chosen[bag.patients] = True
                part = data.of_patients(chosen)
                begin = _begun(part, whole)
                try:
                    own = estimate(part, np.full(len(part.patient), patients / len(bag.patients)), begin)
                except ValueError:
                    continue
                moved[0] = whole.curves.treated - own.curves.treated
                moved[1] = whole.curves.waiting - own.curves.waiting
            size = int(part.patient.max()) + 1
            for b in steps(bag.turns, "resamples of the effect"):
                drawn = rng.multinomial(patients, np.full(size, 1 / size)).astype(float)
                try:
                    again = estimate(part, drawn[part.patient], begin)
                except ValueError:
                    continue
                one[b], other[b] = again.curves.treated + moved[0], again.curves.waiting + moved[1]
    return one, other


def _begun(part: Prepared, whole: Estimate) -> Estimate:
    """Return the whole sample's estimate to start from, with the models of the part's own rows."""
    models = risk_models(part.visits, ends_count=part.plan.outcome != "mean")
    return replace(whole, chances=replace(whole.chances, models=models))


def sandwich_errors(data: Prepared, whole: Estimate) -> Floats | None:
    """Return the clustered standard error of the effect at the days asked for, weights taken as known; shape (s, d)."""
    if data.plan.outcome != "mean" or not isinstance(whole.fit, Linear):
        return None
    records, y, design = data.followed
    nodes = data.nodes
    cluster = data.patient[records.start][records.trial]
    covariance = sandwich(design, y - whole.fit.fitted, whole.weight, whole.fit.bread, cluster)
    s, k = len(data.strata), len(nodes)
    first = s * (k + 1)
    errors = np.sqrt(np.maximum(np.diag(covariance)[first : first + s * k], 0)).reshape(s, k)
    return np.asarray(errors[:, np.searchsorted(nodes, data.plan.days)])
