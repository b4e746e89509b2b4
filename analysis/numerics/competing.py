"""Probability of each state when observation times are exact: Aalen-Johansen, cumulative incidence, Gray's test.

Input is counts of moves by time, so cost follows distinct days, not courses. Ties need no jitter: the exits of one
time all share the risk set just before it, and the censored of that time are still in it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.survival_counts import (
    ROUNDING,
    EventCounts,
    Floats,
    at_risk_at,
    check_codes,
    check_rows,
    grouped_tables,
    quadratic_test,
    tabulate,
)

# Of the increments at one time: "greenwood" is multinomial, "aalen" Poisson (independent moves), "gray" independent
# hypergeometric moves, the convention of R's cuminc. "mstate" is greenwood weighted by the probability of a state
# after the moves instead of before them, as R's mstate does; it is smaller by (n - d) / n a move.
VarianceType = Literal["greenwood", "aalen", "gray", "mstate"]


@dataclass(frozen=True, slots=True)
class TransitionCounts:
    """Moves by distinct time: the sufficient statistic of a Markov process observed exactly.

    Attributes
    ----------
    time : (m,) distinct times of a move, increasing, in the unit of the input.
    at_risk : (m, S) weight in each state just before each time.
    moves : (m, S, S) weight moving from state (axis 1) to state (axis 2); zero diagonal.
    last : latest time anyone was observed.
    """

    time: Floats
    at_risk: Floats
    moves: Floats
    last: float


@dataclass(frozen=True, slots=True)
class StateProbabilities:
    """Probability of each state from a landmark on, as right-continuous steps.

    Attributes
    ----------
    time : (k,) landmark, then each later time of a move.
    probability : (k, S) probability of being in each state just after each time.
    covariance : (k, S, S) covariance of the row of probabilities at each time.
    """

    time: Floats
    probability: Floats
    covariance: Floats

    @property
    def std_error(self) -> Floats:
        """Standard errors (k, S)."""
        return np.sqrt(np.clip(np.diagonal(self.covariance, axis1=1, axis2=2), 0.0, None))

    def at(self, times: ArrayLike) -> tuple[Floats, Floats]:
        """Probabilities and standard errors (j, S) at times (j,). Raises ValueError before the landmark."""
        index = np.searchsorted(self.time, np.asarray(times, dtype=float), side="right") - 1
        if (index < 0).any():
            raise ValueError(f"times before the landmark {self.time[0]} have no probability")
        return self.probability[index], self.std_error[index]


@dataclass(frozen=True, slots=True)
class GrayTest:
    """Gray's K-sample test of equal cumulative incidence.

    Attributes
    ----------
    groups : (G,) distinct group labels, sorted; the other arrays are in this order.
    score : (G,) weighted observed minus expected events of the cause, summed over strata.
    variance : (G, G) covariance of the score; rank at most G - 1.
    statistic, df, p_value : quadratic form, rank and chi-squared tail.
    """

    groups: NDArray[np.generic]
    score: Floats
    variance: Floats
    statistic: float
    df: int
    p_value: float


def count_transitions(
    origin: ArrayLike,
    target: ArrayLike,
    start: ArrayLike | None,
    stop: ArrayLike,
    *,
    count: ArrayLike | None = None,
    n_states: int | None = None,
) -> TransitionCounts:
    """Reduce sojourns (from, to, start, stop, count), one per person-sojourn or already summed, to moves by time.

    Parameters
    ----------
    origin, target : (n,) states 0..S-1; target equal to origin says still there when observation stopped.
    start, stop : (n,) observed in origin over (start, stop]; start None when all are seen from the beginning.
    count : (n,) persons or weight in the row, 1 by default.
    n_states : S when a state may be absent from the data.

    Raises ValueError as `check_rows` and `check_codes`.
    """
    leave, weight, enter = check_rows(stop, count, start)
    largest = None if n_states is None else n_states - 1
    old, new = (check_codes(state, leave.size, largest) for state in (origin, target))
    states = int(max(old.max(), new.max())) + 1 if n_states is None else n_states
    moved = (old != new) & (weight > 0)
    grid, index = np.unique(leave[moved], return_inverse=True)
    moves = tabulate((index, old[moved], new[moved]), weight[moved], (grid.size, states, states))
    here = [old == state for state in range(states)]
    at_risk = np.stack([at_risk_at(grid, enter[rows], leave[rows], weight[rows]) for rows in here], axis=1)
    return TransitionCounts(grid, at_risk, moves, float(leave[weight > 0].max()))


def _increment_covariance(at_risk: Floats, step: Floats, variance: VarianceType) -> Floats:
    """Covariance (m, S, S, S) of each row of I + dA (m, S, S): time, origin, target, target.

    Andersen, Borgan, Gill and Keiding 1993, section IV.4.1; Gray 1988 for the tied moves of one kind.
    """
    if variance not in get_args(VarianceType):
        raise ValueError(f"variance must be one of {get_args(VarianceType)}, not {variance!r}")
    unit = np.eye(step.shape[-1])
    n = np.where(at_risk > 0, at_risk, 1.0)[:, :, None]
    if variance in ("greenwood", "mstate"):
        multinomial = step[..., None] * unit - step[..., :, None] * step[..., None, :]
        return np.asarray(multinomial / n[..., None])
    moving = step * (1.0 - unit) / n
    if variance == "gray":
        # Moves of one kind share the n at risk; a single move, or a single person, needs no correction.
        spare = np.maximum(moving * n**2 - 1.0, 0.0)
        moving = moving * (1.0 - np.divide(spare, n - 1.0, out=np.zeros_like(spare), where=n > 1))
    # Each move counts against staying, because a row of increments adds to zero.
    against_staying = unit[None, :, :] - unit[:, None, :]
    return np.asarray(np.einsum("mho,hoj,hok->mhjk", moving, against_staying, against_staying))


def aalen_johansen(
    counts: TransitionCounts,
    *,
    initial: int | ArrayLike = 0,
    landmark: float = 0.0,
    variance: VarianceType = "greenwood",
) -> StateProbabilities:
    """State probabilities after `landmark` from an initial state, or from a distribution over states.

    p(t) = p(s) prod (I + dA) (Aalen and Johansen 1978) over moves in (s, t]. Increments are uncorrelated, so
    the covariance of the row p follows its own recursion, (I + dA)' C (I + dA) + sum_h p_h^2 cov(dA_h), without the
    S^2 by S^2 matrix of Andersen et al. 1993, section IV.4.1. All who are at risk after the landmark are used (Markov);
    for the landmark estimator pass only the rows of those in the initial state at the landmark.

    Raises ValueError for an unknown state, probabilities that do not add to 1, or a landmark after all follow-up.
    """
    states = counts.at_risk.shape[1]
    row = _initial_row(initial, states)
    if landmark >= counts.last:
        raise ValueError(f"landmark {landmark} is not before the last observation at {counts.last}")
    later = counts.time > landmark
    at_risk, moves = counts.at_risk[later], counts.moves[later]
    hazard = moves / np.where(at_risk > 0, at_risk, 1.0)[:, :, None]
    step = hazard + np.eye(states) * (1.0 - hazard.sum(axis=2, keepdims=True))
    noise = _increment_covariance(at_risk, step, variance)
    probability = np.empty((step.shape[0] + 1, states))
    covariance = np.zeros((step.shape[0] + 1, states, states))
    probability[0] = row
    for k, transition in enumerate(step):
        probability[k + 1] = probability[k] @ transition
        exposed = probability[k + 1 if variance == "mstate" else k]
        covariance[k + 1] = transition.T @ covariance[k] @ transition + np.tensordot(exposed**2, noise[k], axes=1)
    return StateProbabilities(np.append(landmark, counts.time[later]), probability, covariance)


def _initial_row(initial: int | ArrayLike, states: int) -> Floats:
    row = np.asarray(initial, dtype=float)
    if row.ndim == 0:
        if not 0 <= row < states or row != int(row):
            raise ValueError(f"initial state must be 0..{states - 1}, not {row}")
        return np.asarray(np.eye(states)[int(row)])
    if row.shape != (states,) or (row < 0).any() or abs(row.sum() - 1) > 1e-9:
        raise ValueError(f"initial must be a state or {states} probabilities that add to 1")
    return row


def cumulative_incidence(counts: EventCounts, *, variance: VarianceType = "greenwood") -> StateProbabilities:
    """Probability (k, 1 + K) of no event so far and of each cause first, from counts of `count_events`.

    The Aalen-Johansen estimate with K absorbing states: column 0 is Kaplan-Meier of any event, column c the
    cumulative incidence of cause c (Kalbfleisch and Prentice 1980, chapter 7). Time starts at 0, or at the first
    exit when that is earlier.
    """
    happened = counts.events.any(axis=1)
    causes = counts.events.shape[1]
    at_risk = np.zeros((int(happened.sum()), causes + 1))
    at_risk[:, 0] = counts.at_risk[happened]
    moves = np.zeros((at_risk.shape[0], causes + 1, causes + 1))
    moves[:, 0, 1:] = counts.events[happened]
    first, last = float(counts.time[0]), float(counts.time[-1])
    transitions = TransitionCounts(counts.time[happened], at_risk, moves, last)
    # An event at time 0 must fall after the landmark, or it would be forgotten.
    landmark = 0.0 if first > 0 else float(np.nextafter(first, -np.inf))
    return aalen_johansen(transitions, landmark=landmark, variance=variance)


def gray_test(
    time: ArrayLike,
    cause: ArrayLike,
    group: ArrayLike,
    *,
    count: ArrayLike | None = None,
    stratum: ArrayLike | None = None,
    cause_of_interest: int = 1,
    rho: float = 0.0,
) -> GrayTest:
    """Compare the cumulative incidence of one cause between G groups, from rows of counts.

    Weight (1 - F)^rho; strata add score and variance (Gray 1988).

    Parameters
    ----------
    time, cause, group, stratum : (n,) exit, 0 censored or 1, 2, ..., labels; one row per person or already summed.
    count : (n,) persons or weight in the row.

    Raises ValueError as `check_rows` and `grouped_tables`, or when no event of the cause can be compared.
    """
    rows = check_rows(time, count, None)
    code = check_codes(cause, rows[0].size)
    # Causes become 1 for the one of interest and 2 for every other.
    kind = np.where(code == cause_of_interest, 1, np.where(code > 0, 2, 0))
    labels, tables = grouped_tables(rows, kind, group, stratum, kinds=2)
    parts = [_gray_stratum(at_risk, events[0], events[1], rho) for at_risk, events in tables]
    score, variance = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    return GrayTest(labels, score, variance, *quadratic_test(score, variance))


def _gray_stratum(at_risk: Floats, events: Floats, others: Floats, rho: float) -> tuple[Floats, Floats]:
    """Score (G,) and covariance (G, G) of one stratum from counts (m, G) at each time of any event."""
    n = np.where(at_risk > 0, at_risk, 1.0)
    present = at_risk > 0
    after = np.cumprod(1.0 - (events + others) / n, axis=0)
    before = np.vstack([np.ones(n.shape[1]), after[:-1]])
    incidence = np.cumsum(before * events / n, axis=0)
    incidence_before = np.vstack([np.zeros(n.shape[1]), incidence[:-1]])
    # R of the paper: those still at risk of the subdistribution, estimated without knowing the others' censoring.
    exposed = np.divide(at_risk, before, out=np.zeros_like(n), where=present & (before > 0))
    total, deaths = exposed.sum(axis=1), events.sum(axis=1)
    pooled = np.cumsum(deaths / total)
    pooled_before = np.append(0.0, pooled[:-1])
    weight = np.maximum(1.0 - pooled_before, 0.0) ** rho
    share = exposed * (1.0 - incidence_before)
    share = share / share.sum(axis=1, keepdims=True)
    score = weight @ (events - deaths[:, None] * share)
    spread = exposed[:, :, None] * np.eye(n.shape[1]) - exposed[:, :, None] * exposed[:, None, :] / total[:, None, None]
    spread = weight[:, None, None] * spread
    # A group with nobody left drops out of the pool, which can bring the pooled incidence to 1 before the last event.
    remaining = total * (1.0 - pooled_before)
    jump = np.divide(deaths, remaining, out=np.zeros_like(total), where=np.abs(remaining) > ROUNDING)
    drift = np.cumsum(spread * jump[:, None, None], axis=0)
    coming = drift[-1] - drift
    odds = np.divide((1.0 - pooled)[:, None], after, out=np.zeros_like(n), where=after > ROUNDING)
    cause_noise = _tied(deaths[:, None], total[:, None] * before) * before * (deaths / total)[:, None] / n * present
    other_noise = _tied(others, n) * before**2 * others / n**2
    cause_path = spread + (1.0 - odds)[:, None, :] * coming
    other_path = odds[:, None, :] * coming
    variance = np.einsum("mik,mjk,mk->ij", cause_path, cause_path, cause_noise)
    return score, variance + np.einsum("mik,mjk,mk->ij", other_path, other_path, other_noise)


def _tied(events: Floats, at_risk: Floats) -> Floats:
    """Hypergeometric correction (m, G) of d events at one time among n; 1 for a single event."""
    many = (events > 1) & (at_risk > 1)
    return np.asarray(1.0 - np.divide(events - 1.0, at_risk - 1.0, out=np.zeros(at_risk.shape), where=many))
