"""Bootstrap of patients on reductions: weights for patterns of patients become counts of distinct observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from analysis.numerics.share_limits import wilson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Of many patients as many random bags of this size as they fill, so many at most, are resampled.
BAG, _MOST_BAGS = 10_000, 5


@dataclass(frozen=True, slots=True)
class Bag:
    """Patients to resample from, (b,), in order, and the numbers of the resamples that are theirs."""

    patients: Ints
    turns: Ints


def bags(patients: int, times: int, rng: np.random.Generator) -> list[Bag]:
    """Share `times` resamples among random bags of patients; one bag of all where there are fewer than two bags' worth.

    Each resample is to have the size of the whole, and the resamples of a bag are to be moved to the estimate of the
    whole: how far they scatter is what they say, and what one costs no longer grows with the registry (the bag of
    little bootstraps, Kleiner et al. 2014 JRSS B 76:795).
    """
    if patients < 2 * BAG:
        return [Bag(np.arange(patients), np.arange(times))]
    order = rng.permutation(patients)
    shares = np.array_split(np.arange(times), min(_MOST_BAGS, patients // BAG))
    return [Bag(np.sort(order[k * BAG : (k + 1) * BAG]), turns) for k, turns in enumerate(shares)]


@dataclass(frozen=True, slots=True)
class Clusters:
    """Patients by the set of cells they contribute.

    Attributes
    ----------
    patients
        Number of patients of each pattern, shape (p,).
    content
        How many courses of each cell one patient of a pattern contributes, sparse (p, cells).
    """

    patients: Floats
    content: sparse.csr_matrix

    def resample(self, times: int, seed: int) -> Floats:
        """Return counts by cell for `times` samples of as many patients, with replacement; shape (times, cells)."""
        rng = np.random.default_rng(seed)
        n = int(self.patients.sum())
        drawn = rng.multinomial(n, self.patients / n, size=times)
        # Few of the draws are zero, most of the content is: only the second is worth keeping sparse.
        return np.ascontiguousarray((self.content.T @ drawn.T.astype(float)).T)


def clusters(pattern: Ints, cell: Ints, courses: Floats, patients: Floats, cells: int) -> Clusters:
    """Gather the rows (pattern, cell, courses, patients), each of shape (rows,), into :class:`Clusters`."""
    size = int(pattern.max()) + 1
    number = np.zeros(size)
    number[pattern] = patients
    return Clusters(number, sparse.csr_matrix((courses, (pattern, cell)), shape=(size, cells)))


def resampled_incidence(day: Floats, cause: Ints, drawn: Floats, at: Floats, causes: int) -> Floats:
    """Return Aalen-Johansen incidences of all resamples at once, shape (times, at, causes).

    Parameters
    ----------
    day, cause
        Day and cause (0 censored, 1..causes) of each cell, shape (cells,).
    drawn
        Resampled counts, shape (times, cells).
    at
        Days asked for, in order.
    """
    days, place = np.unique(day, return_inverse=True)
    cells = np.arange(len(day))
    at_day = sparse.csr_matrix((np.ones(len(day)), (cells, place)), shape=(len(day), len(days)))
    leaving = drawn @ at_day
    at_risk = np.cumsum(leaving[:, ::-1], axis=1)[:, ::-1]
    hazard = np.empty((causes, *leaving.shape))
    for k in range(causes):
        hazard[k] = ((drawn * (cause == k + 1)) @ at_day) / np.maximum(at_risk, 1e-300)
    free = np.cumprod(1 - hazard.sum(axis=0), axis=1)
    before = np.concatenate([np.ones((len(drawn), 1)), free[:, :-1]], axis=1)
    reached = np.concatenate([np.zeros((causes, len(drawn), 1)), np.cumsum(before * hazard, axis=2)], axis=2)
    return np.asarray(np.moveaxis(reached[:, :, np.searchsorted(days, at, "right")], 0, 2))


def interval_of_probability(
    estimate: Floats, replicates: Floats, confidence: float, n: float, followed: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return limits for probabilities from bootstrap replicates.

    Percentiles, not a multiple of the standard deviation: where the curve jumps, replicates fall on either side of the
    jump and nothing about them is normal. Of few courses percentiles are too narrow on the side of a half; they reach
    as far as Wilson's limits of a share that varies as the replicates do, and is of `n` at most. Where nothing (or
    everything) happened no replicate differs, and the exact binomial limit stands in: zero events of n leave ``1 -
    (alpha / 2) ** (1 / n)`` possible (Clopper & Pearson 1934).

    Parameters
    ----------
    estimate
        Shape (m,).
    replicates
        Shape (times, m); a replicate in which the stratum was empty is nan, and says nothing.
    n
        Observations behind the estimate.
    followed
        How many of them were followed to each day, (m,): what the exact limits are of. All, unless it is said.
    """
    alpha = 1 - confidence
    # The (R + 1) p-th of R replicates in order, not the one between: of 100 that would cover 93 of 100 (Davison &
    # Hinkley 1997, section 5.2.1).
    low, high = np.nanquantile(replicates, [alpha / 2, 1 - alpha / 2], axis=0, method="weibull")
    with np.errstate(divide="ignore", invalid="ignore"):
        # Replicates of a curve that jumps may vary more than a share at the estimate can: theirs counts then.
        mean = np.nanmean(replicates, axis=0)
        told_by = np.maximum(estimate * (1 - estimate), mean * (1 - mean)) / np.nanvar(replicates, axis=0)
    # Nor do n say more than n do, where hardly anything happened and replicates hardly vary.
    least, most = wilson(estimate, np.fmin(told_by, max(n, 1)), confidence)
    low, high = np.fmin(low, least), np.fmax(high, most)
    least = 1 - (alpha / 2) ** (1 / np.maximum(n if followed is None else followed, 1))
    nothing, everything = estimate <= 1e-6, estimate >= 1 - 1e-6
    low = np.where(nothing, 0.0, np.where(everything, 1 - least, np.minimum(low, estimate)))
    high = np.where(nothing, np.maximum(least, high), np.where(everything, 1.0, np.maximum(high, estimate)))
    return low, high
