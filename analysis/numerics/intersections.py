"""Where a nonparametric estimate may put mass, and which of it each observation sees.

Responses see a range of the maximal intersections; a censored observation sees everything after its last visit: the
intersections, the ends and the tail. Sums over ranges are differences of cumulative sums, so that one pass costs
the number of distinct observations plus the number of masses, never their product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# What responses, ends and censored observations see of the mass, shapes (r,), (e,), (c,).
Seen = tuple[Floats, Floats, Floats]


@dataclass(frozen=True, slots=True)
class Layout:
    """Masses and the observations that see them.

    The masses are ordered: k intersections, then e days of ends, then one tail if anybody is censored.

    Attributes
    ----------
    left, right
        Maximal intersections (left, right], shape (k,).
    end_day, end_count
        Distinct days of ends and how many, shape (e,).
    low, high, response_count
        Responses see intersections ``low <= i < high``; shape (r,).
    censored_from, censored_end, censored_count
        Censored see intersections and ends from these positions on, and the tail; shape (c,).
    has_tail
        Whether mass after the last day is possible.
    count
        All counts, shape (r + e + c,).
    """

    left: Floats
    right: Floats
    end_day: Floats
    end_count: Floats
    low: Ints
    high: Ints
    response_count: Floats
    censored_from: Ints
    censored_end: Ints
    censored_count: Floats
    has_tail: bool

    @property
    def size(self) -> int:
        """Number of masses."""
        return len(self.left) + len(self.end_day) + int(self.has_tail)

    @property
    def count(self) -> Floats:
        """Counts of all observations."""
        return np.concatenate([self.response_count, self.end_count, self.censored_count])

    def probabilities(self, mass: Floats) -> Seen:
        """Return what responses, ends and censored observations see; what follows takes it, to count it once."""
        k, e = len(self.left), len(self.end_day)
        total, after, ends = np.zeros(k + 1), np.zeros(k + 1), np.zeros(e + 1)
        mass[:k].cumsum(out=total[1:])
        # Summed from the tail: the difference of two numbers near one would lose the digits of a small tail.
        mass[:k][::-1].cumsum(out=after[:k][::-1])
        mass[k : k + e][::-1].cumsum(out=ends[:e][::-1])
        seen = after[self.censored_from] + ends[self.censored_end] + (mass[-1] if self.has_tail else 0.0)
        return total[self.high] - total[self.low], mass[k : k + e], seen

    def loglik(self, mass: Floats, seen: Seen | None = None) -> float:
        """Return the log-likelihood; minus infinity if an observation is impossible."""
        total = 0.0
        counts = (self.response_count, self.end_count, self.censored_count)
        for count, part in zip(counts, seen or self.probabilities(mass), strict=True):
            if part.size and part.min() <= 0:
                return float("-inf")
            total += float(count @ np.log(part))
        return total

    def gradient(self, mass: Floats, seen: Seen | None = None) -> Floats:
        """Return the derivative of the log-likelihood by each mass, shape (size,)."""
        k, e = len(self.left), len(self.end_day)
        response, end, censored = seen or self.probabilities(mass)
        weight = self.response_count / response
        steps = np.bincount(self.low, weight, k + 1) - np.bincount(self.high, weight, k + 1)
        tail = self.censored_count / censored
        steps = steps + np.bincount(self.censored_from, tail, k + 1)
        out = np.empty(self.size)
        out[:k] = steps.cumsum()[:k]
        out[k : k + e] = self.end_count / end + np.bincount(self.censored_end, tail, e + 1).cumsum()[:e]
        out[k + e :] = tail.sum()
        return out

    def gram(self, mass: Floats, index: Ints, seen: Seen | None = None) -> Floats:
        """Return minus the second derivative among the masses `index`, (s, s), by two-dimensional cumulative sums."""
        k, e = len(self.left), len(self.end_day)
        response, end, censored = seen or self.probabilities(mass)
        inner = index[index < k]
        s = len(inner)
        low, high = np.searchsorted(inner, self.low), np.searchsorted(inner, self.high)
        weight = np.where(high > low, self.response_count / response**2, 0.0)
        corner = np.bincount(low * (s + 1) + high, weight, (s + 1) * (s + 1)).reshape(s + 1, s + 1)
        # Masses i <= j are seen together by responses that start at or before i and stop after j.
        above = corner.cumsum(axis=0)[:, ::-1].cumsum(axis=1)[:, ::-1]
        place = np.arange(s)
        out = self._censored_gram(index, self.censored_count / censored**2)
        out[:s, :s] += above[np.minimum.outer(place, place), np.maximum.outer(place, place) + 1]
        is_end = np.flatnonzero((index >= k) & (index < k + e))
        out[is_end, is_end] += self.end_count[index[is_end] - k] / end[index[is_end] - k] ** 2
        return out

    def _censored_gram(self, index: Ints, weight: Floats) -> Floats:
        """Two masses are seen together by those censored before both, each by its own kind of watching."""
        k, e = len(self.left), len(self.end_day)
        place = self.censored_from * (e + 1) + self.censored_end
        counts: Floats = np.bincount(place, weight, (k + 1) * (e + 1)).astype(float).reshape(k + 1, e + 1)
        seen = counts.cumsum(axis=0).cumsum(axis=1)
        inner, ends = index < k, (index >= k) & (index < k + e)
        row = np.where(inner, index, k)
        column = np.where(ends, index - k, e)
        return np.asarray(seen[np.minimum.outer(row, row), np.minimum.outer(column, column)], dtype=float)

    def local_maxima(self, slack: Floats) -> NDArray[np.bool_]:
        """Return which masses have a positive slack that no neighbour exceeds: one to add a hump, not all of it."""
        k = len(self.left)
        padded = np.concatenate([[-np.inf], slack[:k], [-np.inf]])
        peak = (slack[:k] > 0) & (padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:])
        return np.concatenate([peak, slack[k:] > 0])

    def split_ends(self, mass: Floats) -> Floats:
        """Return the masses of ends by distinct day."""
        return mass

    def project(
        self, left: Floats, right: Floats, mass: Floats, end_day: Floats, end_mass: Floats, tail: float
    ) -> Floats:
        """Carry the masses of another estimate over to these intersections and days, shape (size,)."""
        k, e = len(self.left), len(self.end_day)
        out = np.zeros(self.size)
        if k and len(mass):
            np.add.at(out, np.minimum(np.searchsorted(self.right, right), k - 1), mass)
        if e and len(end_mass):
            np.add.at(out, k + np.minimum(np.searchsorted(self.end_day, end_day), e - 1), end_mass)
        out[k + e :] += tail
        return out + 1e-6 / self.size


def layout(left: Floats, right: Floats, kind: Ints, count: Floats) -> Layout:
    """Return the maximal intersections of the responses, and which of them each observation sees.

    An intersection runs from a left end to the next right end with no end between (Turnbull 1976; Peto 1973 JRSS C
    22:86). Left ends of censored observations count too: mass just after a last visit is seen by the censored one.
    """
    response, end, censored = kind == 0, kind == 1, kind == 2
    lefts = np.unique(np.concatenate([left[response], left[censored]]))
    rights = np.unique(right[response])
    # For each right end the nearest left end before it; kept if no other right end lies between the two.
    nearest = lefts[np.searchsorted(lefts, rights, "left") - 1] if len(rights) else rights
    first = np.ones(len(rights), dtype=bool)
    first[1:] = nearest[1:] >= rights[:-1]
    inner_left, inner_right = nearest[first], rights[first]
    end_day, where = np.unique(right[end], return_inverse=True)
    last_seen, last_watched = left[censored], np.maximum(left[censored], right[censored])
    return Layout(
        left=inner_left,
        right=inner_right,
        end_day=end_day,
        end_count=np.bincount(where, count[end], len(end_day)).astype(float),
        low=np.searchsorted(inner_left, left[response], "left"),
        high=np.searchsorted(inner_right, right[response], "right"),
        response_count=count[response],
        censored_from=np.searchsorted(inner_left, last_seen, "left"),
        censored_end=np.searchsorted(end_day, last_watched, "right"),
        censored_count=count[censored],
        has_tail=bool(np.any(censored)),
    )
