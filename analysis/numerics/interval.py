"""Nonparametric maximum likelihood for interval-censored times, with an exactly timed competing event.

A response is known to lie in (L, R]; an end of the target is known to the day; everyone else is known to be without
either up to L. The likelihood depends only on the counts of distinct observations, and the estimate puts mass only on
the maximal intersections of the response intervals and on the days of ends (Turnbull 1976 JRSS B 38:290; Hudgens,
Satten & Longini 2001 Biometrics 57:74 for competing events). Without ends it is Turnbull's estimator.

The optimum is certified: the gradient of the log-likelihood for mass k is at most n at the optimum, and equals n where
there is mass, so that the log-likelihood is within ``n * gap`` of its maximum, ``gap = max_k gradient_k / n - 1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from analysis.numerics.intersections import Layout, Seen, layout

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_EM_STEPS = 30
# What rounding may take off the largest gradient, as a share of n.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class IntervalData:
    """Counts of distinct observations, each array of shape (cells,).

    Attributes
    ----------
    left
        Last day known to be without response.
    right
        First day known with response, or infinity where there is none; the day of the end for ends; for censored, the
        last day known without an end, which may be later than `left`, or infinite: never (an earlier one, such as 0, is
        read as `left`).
    kind
        0 response in (left, right], 1 end at right, 2 censored at left.
    count
        How many; need not be whole.
    """

    left: Floats
    right: Floats
    kind: Ints
    count: Floats

    def take(self, rows: Ints) -> IntervalData:
        """Return the rows at those positions."""
        return IntervalData(self.left[rows], self.right[rows], self.kind[rows], self.count[rows])

    def beside(self, other: IntervalData) -> IntervalData:
        """Return these rows and then the other's."""
        return IntervalData(
            np.r_[self.left, other.left], np.r_[self.right, other.right], np.r_[self.kind, other.kind],
            np.r_[self.count, other.count],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class NPMLE:
    """The estimate.

    Attributes
    ----------
    left, right
        Maximal intersections (left, right] that carry mass, shape (k,), in order.
    mass
        Probability in each, shape (k,). Where inside, the data do not say.
    end_day, end_mass
        Days of ends and their probability, shape (e,).
    tail
        Probability of neither event by the last day known.
    loglik
        Log-likelihood at the optimum.
    gap
        Certificate: the log-likelihood is within ``n * gap`` of its maximum.
    n
        Number of observations.
    steps
        Newton steps taken.
    """

    left: Floats
    right: Floats
    mass: Floats
    end_day: Floats
    end_mass: Floats
    tail: float
    loglik: float
    gap: float
    n: float
    steps: int

    def cumulative(self, day: Floats) -> tuple[Floats, Floats]:
        """Return the smallest and largest probability of response by `day` that the data allow, each of its shape."""
        day = np.asarray(day, dtype=float)
        total = np.concatenate([[0.0], np.cumsum(self.mass)])
        return total[np.searchsorted(self.right, day, "right")], total[np.searchsorted(self.left, day, "left")]

    def incidence(self, day: Floats) -> Floats:
        """Return the probability of response by `day`, shape of `day`; linear inside an intersection, by convention."""
        day = np.asarray(day, dtype=float)
        finite = np.isfinite(self.right)
        knots = np.stack([self.left[finite], self.right[finite]], axis=1).ravel()
        total = np.cumsum(self.mass[finite])
        heights = np.stack([total - self.mass[finite], total], axis=1).ravel()
        return np.asarray(np.interp(day, np.concatenate([[0.0], knots]), np.concatenate([[0.0], heights])))

    def end_incidence(self, day: Floats) -> Floats:
        """Return the probability of an end before response by `day`, shape of `day`."""
        total = np.concatenate([[0.0], np.cumsum(self.end_mass)])
        return np.asarray(total[np.searchsorted(self.end_day, np.asarray(day, dtype=float), "right")])


def npmle(
    data: IntervalData,
    *,
    tolerance: float = 1e-10,
    start: NPMLE | None = None,
    max_steps: int = 200,
    certify: bool = True,
) -> NPMLE:
    """Estimate by EM, then constrained Newton steps on the support, until the gap is at most `tolerance`.

    Parameters
    ----------
    data
        Counts of distinct observations; times in any unit, ``left < right`` for responses.
    tolerance
        Largest gap accepted; 1e-10 leaves the log-likelihood within n * 1e-10 of its maximum.
    start
        An estimate from similar data, to start from: saves the EM steps in a bootstrap.
    certify
        Whether not to have reached `tolerance` in `max_steps` is an error. A resample needs no certificate: a few
        Newton steps from the full estimate are as good, to the order of the bootstrap itself (Andrews 2002,
        Econometrica 70:119).

    Raises
    ------
    ValueError
        When there is no observation, a row is not what :class:`IntervalData` says (an unknown kind, a missing or
        infinite day, an empty interval, a negative count), or the tolerance is not reached.

    References
    ----------
    Wang Y (2008) Computational Statistics & Data Analysis 52:2388 (constrained Newton, dimension-reduced).
    Groeneboom, Jongbloed & Wellner (2008) Scandinavian Journal of Statistics 35:385 (support reduction).
    """
    _check(data)
    keep = data.count > 0
    cells = IntervalData(data.left[keep], data.right[keep], data.kind[keep], data.count[keep])
    where = layout(cells.left, cells.right, cells.kind, cells.count)
    n = float(cells.count.sum())
    mass = _initial(where, start)
    seen = where.probabilities(mass)
    gap, step = np.inf, 0
    for step in range(1, max_steps + 1):  # noqa: B007  (the number taken is reported)
        gradient = where.gradient(mass, seen)
        gap = float(gradient.max() / n - 1)
        # The masses weighted by their gradients add up to n: no maximum of these lies below it but by rounding.
        if not gap >= -max(tolerance, _ROUNDING):
            raise ValueError(f"The certificate cannot be right: gap {gap:.1e} is below 0.")
        if gap <= tolerance:
            break
        mass, seen = _newton_step(where, mass, seen, gradient, n)
    if certify and gap > tolerance:
        raise ValueError(f"The estimate did not reach the certificate: gap {gap:.1e} after {max_steps} steps.")
    return _result(where, mass, gap, n, step)


def coarse_ends(data: IntervalData, days: Floats) -> tuple[IntervalData, sparse.csr_matrix]:
    """Return the observations with ends moved to the day of `days` at or after them, and which of these each became.

    For resamples: every distinct day of an end is a mass of its own, and where there are many patients most of the work
    of a refit is theirs, although the day within a month says next to nothing about responses. The response intervals
    stay as they are.

    Parameters
    ----------
    data
        Distinct observations.
    days
        Days in order, the last at or after every end; those at which ends are reported must be among them.

    Returns
    -------
    tuple
        The gathered observations, and a matrix (cells, gathered) that carries counts over.
    """
    size = len(data.count)
    watched = np.maximum(data.left, data.right)
    at = np.minimum(np.searchsorted(days, watched), len(days) - 1)
    nearest = np.where((at > 0) & (watched - days[at - 1] < days[at] - watched), days[at - 1], days[at])
    right = np.where(data.kind == 1, days[at], np.where(data.kind == 2, nearest, data.right))
    keys, into = np.unique(np.column_stack([data.left, right, data.kind]), axis=0, return_inverse=True)
    into = into.ravel()
    carry = sparse.csr_matrix((np.ones(size), (np.arange(size), into)), shape=(size, len(keys)))
    gathered = np.bincount(into, data.count, len(keys)).astype(float)
    return IntervalData(keys[:, 0], keys[:, 1], keys[:, 2].astype(np.int64), gathered), carry


def _check(data: IntervalData) -> None:
    if not all(np.shape(v) == np.shape(data.count) for v in (data.left, data.right, data.kind)):
        raise ValueError("Every row needs left, right, kind and count.")
    if not np.isfinite(data.count).all() or np.any(data.count < 0):
        raise ValueError("A count is negative or missing.")
    if not float(np.sum(data.count)) > 0:
        raise ValueError("There is no observation to estimate from.")
    if not np.isin(data.kind, (0, 1, 2)).all():
        raise ValueError("kind must be 0 (response), 1 (end) or 2 (censored).")
    response = data.kind == 0
    if not np.isfinite(data.left).all() or not np.isfinite(data.right[data.kind == 1]).all():
        raise ValueError("A day is missing or infinite: only the right of a response or of a censored row may be.")
    if not np.all(data.right[data.kind == 2] > -np.inf):
        raise ValueError("The last day known without an end is missing: give `left` again, or 0.")
    # Said so that a missing end is refused too.
    if not np.all(data.right[response] > data.left[response]):
        raise ValueError("A response interval (left, right] is empty or an end is missing: right must be after left.")


def _initial(where: Layout, start: NPMLE | None) -> Floats:
    mass = np.full(where.size, 1.0 / where.size)
    if start is not None:
        # A little everywhere keeps every observation possible, as resampling may need mass where there was none.
        near = where.project(start.left, start.right, start.mass, start.end_day, start.end_mass, start.tail)
        mass = 0.999 * near / near.sum() + 0.001 * mass
    n = float(where.count.sum())
    for _ in range(_EM_STEPS if start is None else 3):
        mass = mass * where.gradient(mass) / n
    return np.asarray(mass / mass.sum())


def _newton_step(where: Layout, mass: Floats, seen: Seen, gradient: Floats, n: float) -> tuple[Floats, Seen]:
    """Solve the quadratic model on the support with masses at least zero, then search along the line to it."""
    slack = gradient - n
    support = (mass > 1e-12) | where.local_maxima(slack)
    index = np.flatnonzero(support)
    hessian = where.gram(mass, index, seen)
    ridge = 1e-12 * np.trace(hessian) / len(index)
    hessian.flat[:: len(index) + 1] += ridge
    step = _nonnegative_step(hessian, slack[index], mass[index])
    direction = -mass
    direction[index] = step
    direction[~support] = -mass[~support]
    return _line_search(where, mass, seen, direction, slack, n)


def _nonnegative_step(hessian: Floats, slack: Floats, mass: Floats) -> Floats:
    """Maximise ``slack d - d H d / 2`` with ``mass + d >= 0`` exactly, by block principal pivoting.

    Masses on the wrong side of their condition change sides together while that helps, one by one when it does not
    (Kim & Park 2011 SIAM J Sci Comput 33:3261, algorithm 2).
    """
    # Masses that are next to nothing start on their bound: most stay there, and the systems solved are smaller.
    free = (mass > 1e-6 * mass.max(initial=0.0)) | (slack > 0)
    fewest, patience = len(mass) + 1, 3
    scale = 1e-9 * np.abs(slack).max(initial=1.0)
    step = -mass
    for _ in range(20 * len(mass) + 20):
        step = -mass
        rows = hessian[free]
        right = slack[free] + rows @ np.where(free, 0.0, mass)
        # LAPACK itself: around so small a system the checks of its wrappers take longer than it does.
        _, solution, failed = linalg.lapack.dposv(rows[:, free], right)
        if failed:
            raise linalg.LinAlgError(f"The curvature among {len(right)} masses is not positive definite.")
        step[free] = solution
        pull = slack - hessian @ step
        wrong = np.where(free, mass + step < -1e-15, pull > scale)
        n_wrong = int(wrong.sum())
        if n_wrong == 0:
            break
        if n_wrong < fewest:
            fewest, patience = n_wrong, 3
        elif patience > 0:
            patience -= 1
        else:
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
    return step


def _line_search(
    where: Layout, mass: Floats, seen: Seen, direction: Floats, slack: Floats, n: float
) -> tuple[Floats, Seen]:
    """Take the longest halved step that raises ``loglik - n * sum(mass)`` enough (Armijo)."""
    here = where.loglik(mass, seen) - n * mass.sum()
    slope = float(slack @ direction)
    length = 1.0
    rounding = 1e-14 * max(1.0, abs(here))
    for _ in range(60):
        trial = np.maximum(mass + length * direction, 0.0)
        seen, total = where.probabilities(trial), float(trial.sum())
        value = where.loglik(trial, seen) - n * total
        if value >= here + 1e-4 * length * max(slope, 0.0) - rounding:
            return trial / total, (seen[0] / total, seen[1] / total, seen[2] / total)
        length /= 2
    # No ascent along the Newton line: an EM step always ascends.
    trial = mass * (slack + n) / n
    trial = trial / trial.sum()
    return trial, where.probabilities(trial)


def _result(where: Layout, mass: Floats, gap: float, n: float, steps: int) -> NPMLE:
    k, e = len(where.left), len(where.end_day)
    carries = mass[:k] > 1e-11
    return NPMLE(
        left=where.left[carries],
        right=where.right[carries],
        mass=mass[:k][carries],
        end_day=where.end_day,
        end_mass=where.split_ends(mass[k : k + e]),
        tail=float(mass[k + e :].sum()),
        loglik=where.loglik(mass),
        gap=gap,
        n=n,
        steps=steps,
    )
