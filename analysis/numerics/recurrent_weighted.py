"""Mean number and rate of recurrent events had leaving nothing to do with how many there were so far.

Who has events may stop coming because of them, or may come more often: those still watched then have fewer, or more,
than all would. Each course watched stands besides for those who left with as many events (inverse probability of still
being watched, given the number so far; Miloslavsky et al. 2004 JRSS B 66:239). Weights change by class of that number
only, so that sums over those watched are sums by class, and nobody is carried through time alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.survival_counts import at_risk_at

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

# Classes are 0, 1, … events so far, the last open; each but the first has seen so many leave.
_MOST_CLASSES, _LEAVERS = 8, 10
# Of a class of which all leave at once, those who left before stand for the rest: no day multiplies a weight by more.
_LEAST_LEFT = float(np.exp(-1))
# Who leaves on a day leaves after its events.
_AFTER = 0.25


@dataclass(frozen=True, slots=True)
class WeightedEvents:
    """Weighted numbers by day and over all time watched, with the variance of each robust to clusters.

    Attributes
    ----------
    mean, mean_variance
        Expected number of events of a course by each day, shape (d,).
    rate, rate_variance
        Events per unit of time, of a course watched as long as all were.
    largest
        Largest weight over the mean of those watched at the same time, over the events that count.
    classes
        Classes of events so far that leaving is told apart by.
    left_after_events
        How many left after an event, over how many would have, had they left as all do at the time; nan if none would.
    """

    mean: Floats
    mean_variance: Floats
    rate: float
    rate_variance: float
    largest: float
    classes: int
    left_after_events: float


@dataclass(frozen=True, slots=True)
class _Windows:
    """Time watched cut at events: course, bounds and class of each window, events at its stop, any before it; whether
    it is the course's last.
    """

    course: Ints
    start: Floats
    stop: Floats
    events: Floats
    of: Ints
    had: NDArray[np.bool_]
    last: NDArray[np.bool_]


def weighted_events(
    cluster: Ints, watched: Floats, course: Ints, time: Floats, events: Floats, days: Floats
) -> WeightedEvents:
    """Weigh courses by the inverse probability of being watched still, given the number of events so far.

    The variance takes the weights as known, which makes limits no narrower than they should be.

    Parameters
    ----------
    cluster, watched
        Of n courses: the patient, 0 to g - 1, and the last time watched, above 0; shape (n,).
    course, time, events
        Of m times at which events happened: whose, when (above 0, at most `watched`), how many; shape (m,). Each
        course and time once.
    days
        Shape (d,).
    """
    order = np.lexsort((time, course))
    cut = _windows(watched, course[order], time[order], events[order])
    leave, falls = _falls(cut)
    grown = np.exp(np.vstack([np.zeros(falls.shape[1]), falls]))
    scale = _scale(cut, leave, falls)
    at, k = np.unique(cut.stop[cut.events > 0], return_inverse=True)
    weight, total, mass = _weighed(cut, at, k, grown[np.searchsorted(leave, at)], scale)
    jumps = np.bincount(k, mass, len(at)) / total
    mean = np.append(0.0, np.cumsum(jumps))[np.searchsorted(at, days, side="right")]
    # What a course watched in class c takes from the sum by time t, per unit of its scale.
    drain = np.cumsum(grown[np.searchsorted(leave, at)] * (jumps / total)[:, None], axis=0)
    drain = np.vstack([np.zeros(falls.shape[1]), drain])
    variance = np.empty(len(days))
    for i, day in enumerate(days):
        start, stop = (
            drain[np.searchsorted(at, np.minimum(t, day), side="right"), cut.of] for t in (cut.start, cut.stop)
        )
        influence = scale * (start - stop)
        influence[cut.events > 0] += np.where(at[k] <= day, mass / total[k], 0.0)
        variance[i] = _clustered(influence, cluster[cut.course])
    there = at_risk_at(at, cut.start, cut.stop, np.ones(len(cut.start)))
    largest = float((weight * (there / total)[k]).max(initial=1.0))
    # Of a rate, time counts as much as it does in all courses: weighted by the share still watched, whatever happened.
    fairly = np.exp(-np.append(0.0, _falls(replace(cut, of=np.zeros_like(cut.of)))[1][:, 0]))
    knots = np.append(0.0, leave)
    areas = np.diff(knots)[:, None] * (fairly[:, None] * grown)[:-1]
    areas = np.vstack([np.zeros(falls.shape[1]), np.cumsum(areas, axis=0)])
    stop = np.minimum(cut.stop, watched[cut.course])
    exposure = scale * sum(
        (cut.of == c) * (np.interp(stop, knots, areas[:, c]) - np.interp(cut.start, knots, areas[:, c]))
        for c in range(falls.shape[1])
    )
    number = np.zeros(len(exposure))
    number[cut.events > 0] = mass * fairly[np.searchsorted(leave, at[k])]
    rate = float(number.sum() / exposure.sum())
    rate_variance = _clustered((number - rate * exposure) / exposure.sum(), cluster[cut.course])
    after = _left_after_events(cut, leave)
    return WeightedEvents(mean, variance, rate, rate_variance, largest, falls.shape[1], after)


def _windows(watched: Floats, course: Ints, time: Floats, events: Floats) -> _Windows:
    """Cut the time watched at the events; the last window of a course ends just after its last day."""
    n = len(watched)
    whose = np.concatenate([course, np.arange(n)])
    stop = np.concatenate([time, watched + _AFTER])
    number = np.concatenate([events, np.zeros(n)])
    order = np.lexsort((stop, whose))
    whose, stop, number = whose[order], stop[order], number[order]
    new = np.diff(whose, prepend=-1) > 0
    start = np.where(new, 0.0, np.append(0.0, stop[:-1]))
    before = np.cumsum(number) - number
    so_far = before - before[np.flatnonzero(new)[np.cumsum(new) - 1]]
    last = np.append(new[1:], True)
    left = np.bincount(np.minimum(so_far[last], _MOST_CLASSES).astype(np.intp), minlength=_MOST_CLASSES + 1)
    enough = np.flatnonzero(np.cumsum(left[::-1])[::-1] >= _LEAVERS)
    top = int(enough[-1]) if len(enough) else 0
    return _Windows(whose, start, stop, number, np.minimum(so_far, top).astype(np.intp), so_far > 0, last)


def _falls(cut: _Windows) -> tuple[Floats, Floats]:
    """Return the times (u,) at which courses left, and by class minus the log of the share still watched, (u, c)."""
    leave = np.unique(cut.stop[cut.last])
    falls = np.zeros((len(leave), int(cut.of.max()) + 1))
    for c in range(falls.shape[1]):
        mine = cut.of == c
        gone = np.bincount(np.searchsorted(leave, cut.stop[mine & cut.last]), minlength=len(leave))
        there = at_risk_at(leave, cut.start[mine], cut.stop[mine], np.ones(int(mine.sum())))
        left = np.maximum(1 - gone / np.maximum(there, 1), _LEAST_LEFT)
        falls[:, c] = -np.cumsum(np.log(left))
    return leave, falls


def _left_after_events(cut: _Windows, leave: Floats) -> float:
    """Return how many courses left after an event, over how many of them leaving at everybody's hazard expects."""
    gone, there = (np.zeros((2, len(leave))) for _ in range(2))
    for had in (0, 1):
        mine = cut.had == had
        gone[had] = np.bincount(np.searchsorted(leave, cut.stop[mine & cut.last]), minlength=len(leave))
        there[had] = at_risk_at(leave, cut.start[mine], cut.stop[mine], np.ones(int(mine.sum())))
    expected = float((gone.sum(axis=0) * there[1] / there.sum(axis=0)).sum())
    return float(gone[1].sum()) / expected if expected > 0 else float("nan")


def _scale(cut: _Windows, leave: Floats, falls: Floats) -> Floats:
    """Return what exp(falls) of a window's class is multiplied by for the weight of the window's course, (w,)."""
    steps = np.vstack([np.zeros(falls.shape[1]), falls])
    start, stop = (steps[np.searchsorted(leave, t, side="right"), cut.of] for t in (cut.start, cut.stop))
    run = np.cumsum(stop - start) - (stop - start)
    new = np.flatnonzero(np.diff(cut.course, prepend=-1) > 0)
    run -= np.repeat(run[new], np.diff(np.append(new, len(run))))
    return np.asarray(np.exp(run - start))


def _weighed(cut: _Windows, at: Floats, k: Ints, here: Floats, scale: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the weight at each event, of all watched at each event time, and of the events."""
    total = np.zeros(len(at))
    for c in range(here.shape[1]):
        mine = cut.of == c
        total += here[:, c] * at_risk_at(at, cut.start[mine], cut.stop[mine], scale[mine])
    happened = cut.events > 0
    weight = scale[happened] * here[k, cut.of[happened]]
    return weight, total, weight * cut.events[happened]


def _clustered(influence: Floats, cluster: Ints) -> float:
    return float(np.square(np.bincount(cluster, influence)).sum())
