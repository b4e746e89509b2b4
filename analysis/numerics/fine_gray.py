"""Fine-Gray regression of the subdistribution hazard in linear time.

Who had a competing event stays at risk with the probability of not having been censored since, G(t-) / G(T-). Those
tails are one cumulative sum, so no row is expanded. Two conventions of R differ in the fourth digit:

`crr` (cmprsk): events still at risk of censoring at a tied time, Breslow ties, a variance that knows G is estimated.
`finegray` (survival): events leave before the censored of the same time, Efron ties, G taken as known.
"""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from analysis.numerics.cox import RiskSets, State, clustered, fit_cox, likelihood_state, risk_sets, score_residuals
from analysis.numerics.survival_counts import (
    Curve,
    EventCounts,
    Floats,
    check_codes,
    count_events,
    reverse_kaplan_meier,
    step_values,
)

Convention = Literal["crr", "finegray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubdistributionSets(RiskSets):
    """Risk sets in which a competing event i stays at risk from `leave` on, with weight tail_k * share_i at time k.

    Attributes
    ----------
    tail : (T,) G just before each event time.
    share : (n,) 1 / G just before the row's own exit for competing events, else 0.
    stayed : (T, n) sparse: the share, at the first event time after the row's own exit.
    """

    tail: Floats
    share: Floats
    stayed: csr_matrix

    def total(self, values: Floats) -> Floats:
        """Sum (T, c) of values (n, c) over the subdistribution risk set at each event time."""
        tails = self.tail[:, None] * np.cumsum(np.asarray(self.stayed @ values), axis=0)
        return np.asarray(RiskSets.total(self, values) + tails)

    def exposure(self, increments: Floats) -> Floats:
        """Sum (n, c) of weighted increments (T, c) over the times at which each row is at risk."""
        later = np.vstack([np.zeros(increments.shape[1]), np.cumsum(self.tail[:, None] * increments, axis=0)])
        return np.asarray(RiskSets.exposure(self, increments) + self.share[:, None] * (later[-1] - later[self.leave]))


@dataclass(frozen=True, slots=True)
class FineGrayFit:
    """Proportional subdistribution hazards of one cause; p covariates, T distinct times of that cause.

    Attributes
    ----------
    coefficients : (p,) log subdistribution hazard ratios.
    covariance : (p, p) sandwich, with the estimation of G under `crr` and without it under `finegray`.
    model_covariance : (p, p) inverse information, too small because the weights are not counts.
    loglik_null, loglik : log partial likelihood at 0 and at the estimate.
    time, hazard : (T,) cumulative baseline subdistribution hazard at covariates 0.
    n_rows, n_events : rows with positive weight, and rows ending in the cause of interest.
    convention : which of the two conventions was fitted.
    """

    coefficients: Floats
    covariance: Floats
    model_covariance: Floats
    loglik_null: float
    loglik: float
    time: Floats
    hazard: Floats
    n_rows: int
    n_events: int
    convention: Convention

    @property
    def std_error(self) -> Floats:
        """Sandwich standard errors (p,)."""
        return np.sqrt(np.diag(self.covariance))


def fit_fine_gray(
    covariates: ArrayLike,
    time: ArrayLike,
    cause: ArrayLike,
    *,
    cause_of_interest: int = 1,
    weight: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    convention: Convention = "crr",
) -> FineGrayFit:
    """Fit by weighted partial likelihood (Fine and Gray 1999, section 3).

    Parameters
    ----------
    covariates : (n, p) fixed at baseline.
    time, cause : (n,) exit, and 0 censored or 1, 2, ... for the event that ended observation.
    weight, cluster : (n,) case weights, which also count in G; labels whose residuals are added for the sandwich.

    Raises ValueError as `risk_sets` and `maximise`, or for an unknown convention.
    """
    if convention not in ("crr", "finegray"):
        raise ValueError(f"convention must be crr or finegray, not {convention!r}")
    code = check_codes(cause, np.size(time))
    ties: Literal["breslow", "efron"] = "breslow" if convention == "crr" else "efron"
    plain = risk_sets(covariates, time, code == cause_of_interest, weight=weight, ties=ties)
    code = code[plain.kept]
    counts = count_events(plain.stop, code, count=plain.weight)
    rows = _stay_at_risk(plain, counts, (code > 0) & (code != cause_of_interest), convention)
    fit = fit_cox(rows, cluster=cluster)
    covariance = fit.robust_covariance
    state = likelihood_state(rows, fit.coefficients)
    if convention == "crr":
        influence = score_residuals(rows, state)[1] + _censoring_influence(rows, state, counts, code == 0)
        covariance = fit.covariance @ clustered(rows, rows.weight[:, None] * influence, cluster) @ fit.covariance
    hazard = np.cumsum(state.a[0]) * np.exp(-rows.center @ fit.coefficients)
    likelihoods = fit.loglik_null, fit.loglik
    sizes = fit.n_rows, fit.n_events
    return FineGrayFit(
        fit.coefficients, covariance, fit.covariance, *likelihoods, rows.time, hazard, *sizes, convention
    )


def predict_incidence(fit: FineGrayFit, covariates: ArrayLike, times: ArrayLike) -> Floats:
    """Cumulative incidence (j, k) of the cause for covariates (j, p) at times (k,): 1 - exp(-H0(t) exp(x beta))."""
    risk = np.exp(np.atleast_2d(np.asarray(covariates, dtype=float)) @ fit.coefficients)
    return np.asarray(1.0 - np.exp(-risk[:, None] * step_values(fit.time, fit.hazard, times, before=0.0)))


def _before(curve: Curve, at: Floats) -> Floats:
    """Left limit (k,) of the curve at times (k,)."""
    return step_values(curve.time, curve.estimate, np.nextafter(at, -np.inf), before=1.0)


def _stay_at_risk(
    plain: RiskSets, counts: EventCounts, competing: NDArray[np.bool_], convention: Convention
) -> SubdistributionSets:
    censoring = reverse_kaplan_meier(counts, events_first=convention == "finegray")
    share = np.divide(1.0, _before(censoring, plain.stop), out=np.zeros(plain.stop.size), where=competing)
    parts = {field.name: getattr(plain, field.name) for field in fields(RiskSets)}
    later = np.flatnonzero((share > 0) & (plain.leave < plain.time.size))
    stayed = csr_matrix((share[later], (plain.leave[later], later)), shape=plain.membership.shape)
    return SubdistributionSets(**parts, tail=_before(censoring, plain.time), share=share, stayed=stayed)


def _censoring_influence(
    rows: SubdistributionSets, state: State, counts: EventCounts, is_censored: NDArray[np.bool_]
) -> Floats:
    """Influence (n, p) of estimating G on the score: psi of Fine and Gray 1999, with Breslow ties.

    q(u) adds (x - xbar(t)) w(t) dH(t) over competing events before u and times t >= u, so it is a product of a sum over
    persons and a sum over times. At tied times this takes G(t) / G(T) for G(t-) / G(T-), as crr does.
    """
    censored = counts.censored > 0
    u, at_risk, exits = counts.time[censored], counts.at_risk[censored], counts.censored[censored]
    order = np.argsort(rows.stop, kind="stable")
    tail = (rows.weight * state.risk * rows.share)[order, None] * np.column_stack([np.ones(order.size), rows.x[order]])
    gone = np.vstack([np.zeros(tail.shape[1]), np.cumsum(tail, axis=0)])
    gone = gone[np.searchsorted(rows.stop[order], u, side="left")]
    jumps = rows.tail[:, None] * np.column_stack([state.a[0], state.s1 * state.b[0][:, None]])
    coming = np.vstack([np.cumsum(jumps[::-1], axis=0)[::-1], np.zeros(jumps.shape[1])])
    coming = coming[np.searchsorted(rows.time, u, side="left")]
    q = gone[:, 1:] * coming[:, :1] - gone[:, :1] * coming[:, 1:]
    rate = q / at_risk[:, None]
    passed = np.vstack([np.zeros(q.shape[1]), np.cumsum(rate * (exits / at_risk)[:, None], axis=0)])
    influence = -passed[np.searchsorted(u, rows.stop, side="right")]
    influence[is_censored] += rate[np.searchsorted(u, rows.stop[is_censored])]
    return influence
