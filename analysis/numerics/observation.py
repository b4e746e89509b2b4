"""Inverse-probability of observation: who was seen at a visit stands for those alike who were not.

Leaving is modelled visit by visit among those not yet gone, from stratum, baseline and the change last seen; missing
the visit itself among those seen at it or later. Who was seen counts 1 / (the product of having stayed and having
come). The variance is the sandwich clustered by patient, with the scores of the models of the weights taken out:
weights that are estimated make it smaller, not larger.

References
----------
Robins, Rotnitzky & Zhao 1995 JASA 90:106; Seaman & White 2013 Stat Methods Med Res 22:278.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.varying import errors_of
from analysis.numerics.weighting import linear, logistic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Precision of the prior on the coefficients but the intercepts, in standardised covariates: keeps them finite when
# nobody of a kind left, and is nothing beside ten who left.
_PENALTY = 0.1


@dataclass(frozen=True, slots=True)
class Observed:
    """Weights of n courses at a visit.

    Attributes
    ----------
    weight : (n,)
        Inverse of the probability of having been seen; 0 if not seen.
    probability : (n,)
        Of being seen, of those who were; nan of the others.
    scores : (n, k)
        Scores of the models of leaving and of missing the visit.
    """

    weight: Floats
    probability: Floats
    scores: Floats


def observation_weights(z: Floats, y: Floats, returned: Bools) -> Observed:
    """Return the weights of those seen at the last visit of `y`.

    Parameters
    ----------
    z : (n, q)
        Covariates that do not change, the first column ones.
    y : (n, T)
        Changes at the visits, NaN where not seen.
    returned : (n,)
        Seen after the last of the visits: had not left.
    """
    n, t = y.shape
    seen = ~np.isnan(y)
    last = np.where(seen.any(axis=1), t - np.argmax(seen[:, ::-1], axis=1), 0)
    last = np.where(returned, t + 1, last)
    own = _standard(z[:, 1:])
    latest, log_probability, scores = np.zeros(n), np.zeros(n), [np.zeros((n, 0))]
    stages = []
    for k in range(t):
        # Before visit k: of those seen at a visit before it or later ones, who is seen again.
        stages.append((k, np.flatnonzero(last >= k), latest.copy()))
        latest = np.where(seen[:, k], np.nan_to_num(y[:, k]), latest)
    scale = float(np.nanstd(y)) or 1.0
    at_risk = np.concatenate([who for _, who, _ in stages])
    visit = np.concatenate([np.full(len(who), k) for k, who, _ in stages])
    past = np.concatenate([held[who] for _, who, held in stages]) / scale
    stays = np.concatenate([(last[who] > k).astype(float) for k, who, _ in stages])
    p, score = _model(np.eye(t)[visit], np.column_stack([own[at_risk], past]), stays)
    np.add.at(log_probability, at_risk, np.log(p))
    total = np.zeros((n, score.shape[1]))
    np.add.at(total, at_risk, score)
    scores.append(total)
    before = stages[-1][2]
    here = np.flatnonzero(last >= t)
    came = seen[here, -1].astype(float)
    if not came.all():
        p, score = _model(np.ones((len(here), 1)), np.column_stack([own[here], before[here] / scale]), came)
        log_probability[here] += np.log(p)
        total = np.zeros((n, score.shape[1]))
        total[here] = score
        scores.append(total)
    probability = np.where(seen[:, -1], np.exp(log_probability), np.nan)
    return Observed(np.nan_to_num(1 / probability), probability, np.concatenate(scores, axis=1))


def weighted_contrasts(
    z: Floats, y: Floats, columns: Ints, contrasts: Floats, patient: Ints, made: Observed
) -> tuple[Floats, Floats, int]:
    """Return contrasts (c, k) of the weighted regression of y (n,) on `columns` of z, their errors, and their freedom.

    The errors are for few patients: residuals as if each course were left out (HC3), times the patients over their
    number less the coefficients of this regression and of the models of the weights, which is also the freedom.
    """
    seen = made.weight > 0
    x = z[:, columns]
    fit = linear(x[seen], y[seen], made.weight[seen])
    scores = np.zeros((len(y), len(columns)))
    # Who has a large weight draws the fit to himself: the residual is that of a fit without him (HC3).
    leverage = made.weight[seen] * np.einsum("nk,kl,nl->n", x[seen], fit.bread, x[seen])
    residual = (y[seen] - fit.fitted) / np.maximum(1 - leverage, 0.1)
    scores[seen] = (made.weight[seen] * residual)[:, None] * x[seen]
    m = int(patient.max()) + 1
    outer, inner = np.zeros((m, scores.shape[1])), np.zeros((m, made.scores.shape[1]))
    np.add.at(outer, patient, scores)
    np.add.at(inner, patient, made.scores)
    outer = outer - inner @ np.linalg.lstsq(inner, outer, rcond=None)[0]
    left = max(m - len(columns) - inner.shape[1], 1)
    covariance = fit.bread @ (outer.T @ outer) @ fit.bread * m / left
    return contrasts @ fit.coefficients, errors_of(contrasts, covariance), left


def _standard(z: Floats) -> Floats:
    """Return columns with mean 0 and standard deviation 1; those that do not vary are left out."""
    spread = z.std(axis=0)
    return np.asarray((z - z.mean(axis=0))[:, spread > 0] / spread[spread > 0])


def _model(intercepts: Floats, covariates: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """Return fitted probabilities (n,) and scores (n, p) of a logistic model."""
    met = np.array([0 < outcome[i > 0].sum() < (i > 0).sum() for i in intercepts.T])
    # Where all stay there is nothing to model: the probability is one.
    varies = intercepts[:, met].sum(axis=1) > 0
    design = np.concatenate([intercepts[:, met], covariates], axis=1)[varies]
    probability, scores = np.ones(len(outcome)), np.zeros((len(outcome), design.shape[1]))
    if varies.any():
        penalty = np.concatenate([np.full(int(met.sum()), 1e-6), np.full(covariates.shape[1], _PENALTY)])
        fit = logistic(design, outcome[varies], penalty=penalty)
        probability[varies] = fit.fitted
        scores[varies] = (outcome[varies] - fit.fitted)[:, None] * design
    return probability, scores
