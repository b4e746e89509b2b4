"""Mean number of recurrent events per course by time, with a variance that allows for courses prone to many.

The estimate needs only counts by time; the robust variance needs to know whose events they were, but it too is one
pass over events and windows, not a table of courses by times.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.laws import normal_quantile
from analysis.numerics.survival_counts import Floats, as_labels, at_risk_at, check_rows

Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class MeanCumulativeFunction:
    """Expected cumulative number of events per course under observation, as a right-continuous step function.

    Attributes
    ----------
    time : (m,) distinct event times, increasing.
    at_risk, events : (m,) weight under observation just before, and weight of events at, each time.
    mean : (m,) mean cumulative number just after each time.
    std_error : (m,) robust to dependence between the events of one subject.
    poisson_std_error : (m,) right only if events of one subject are independent.
    lower, upper : (m,) limits at `level` from the robust error on the log scale.
    """

    time: Floats
    at_risk: Floats
    events: Floats
    mean: Floats
    std_error: Floats
    poisson_std_error: Floats
    lower: Floats
    upper: Floats
    level: float


@dataclass(frozen=True, slots=True)
class _Rows:
    """Windows (n,) sorted by subject and start: subject code, window, case weight, weighted events at its end."""

    code: Ints
    enter: Floats
    leave: Floats
    case: Floats
    mass: Floats


def mean_cumulative_function(
    subject: ArrayLike,
    start: ArrayLike,
    stop: ArrayLike,
    events: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    level: float = 0.95,
) -> MeanCumulativeFunction:
    """Mean cumulative function of rows observed over (start, stop] with a number of events at stop.

    Estimate: Nelson 1988. Variance: Lawless and Nadeau 1995, the sum over subjects of the squared
    integral of (dN_i - Y_i dM) / Y.

    Parameters
    ----------
    subject : (n,) label; several rows of one subject are its course cut at events, and may leave gaps.
    start, stop : (n,) window of each row in one unit; windows of a subject must not overlap.
    events : (n,) number of events at stop, 0 when the window only ended.
    weight : (n,) case weights; the variance takes the weighted subject as the unit. For a subject of several courses
        watched at once, as clusters are, it is how many they are in each window, and `events` are those per course.

    Raises ValueError as `check_rows`, for negative numbers of events, or overlapping windows.
    """
    leave, case, enter = check_rows(stop, weight, start)
    number = np.asarray(events, dtype=float)
    code = as_labels(subject, leave.size)[1]
    if number.shape != leave.shape or not (np.isfinite(number) & (number >= 0)).all():
        raise ValueError("events must be as long as stop, and must not be missing or negative")
    order = np.lexsort((enter, code))
    rows = _Rows(code[order], enter[order], leave[order], case[order], (number * case)[order])
    _check_subjects(rows, np.asarray(subject)[order])
    happened = rows.mass > 0
    time, at = np.unique(rows.leave[happened], return_inverse=True)
    at_risk = at_risk_at(time, rows.enter, rows.leave, rows.case)
    total = np.asarray(np.bincount(at, rows.mass[happened], time.size), dtype=float)
    mean = np.cumsum(total / at_risk)
    rate = total / at_risk**2
    error = np.sqrt(np.clip(_squared_influence(rows, time, at_risk, rate), 0.0, None))
    factor, poisson = np.exp(normal_quantile(0.5 + level / 2) * error / mean), np.sqrt(np.cumsum(rate))
    return MeanCumulativeFunction(time, at_risk, total, mean, error, poisson, mean / factor, mean * factor, level)


def _check_subjects(rows: _Rows, label: NDArray[np.generic]) -> None:
    """Raise ValueError unless the windows of each subject are disjoint."""
    same = rows.code[1:] == rows.code[:-1]
    overlap = same & (rows.enter[1:] < rows.leave[:-1])
    if overlap.any():
        raise ValueError(f"subject {label[1:][overlap][0]} has overlapping windows: it would be at risk twice")


def _squared_influence(rows: _Rows, time: Floats, at_risk: Floats, rate: Floats) -> Floats:
    """Sum over subjects of squared influence V_i (m,) just after each event time.

    V_i gains mass / Y at its own event and loses w_i dM / Y at every event time at risk. Between its own events it
    falls like everybody's, so the change of the sum of squares needs only totals over those at risk.
    """
    drain = np.append(0.0, np.cumsum(rate))
    before_start, at_stop = (drain[np.searchsorted(time, t, side="right")] for t in (rows.enter, rows.leave))
    index = np.minimum(np.searchsorted(time, rows.leave), max(time.size - 1, 0))
    own = np.where(rows.mass > 0, rows.mass / at_risk[index], 0.0) if time.size else np.zeros(rows.mass.size)
    change = own - rows.case * (at_stop - before_start)
    # Influence at the start of each row: what the earlier rows of the same subject left.
    running = np.cumsum(change) - change
    first = np.flatnonzero(np.diff(rows.code, prepend=-1))
    carried = running - np.repeat(running[first], np.diff(np.append(first, rows.code.size)))
    offset = carried + rows.case * before_start
    spread = at_risk_at(time, rows.enter, rows.leave, rows.case**2)
    level = at_risk_at(time, rows.enter, rows.leave, rows.case * offset) - spread * drain[:-1]
    event = np.flatnonzero(rows.mass > 0)
    k = index[event]
    influence = offset[event] - rows.case[event] * drain[k]
    gain = own[event] * (2.0 * influence + own[event] - 2.0 * rows.case[event] * rate[k])
    return np.cumsum(np.bincount(k, gain, time.size) - 2.0 * rate * level + rate**2 * spread)
