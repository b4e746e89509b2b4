"""Generalised log-rank tests for interval-censored times (Sun 1996; Finkelstein 1986; Fay & Shaw 2010)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.numerics.interval import NPMLE, IntervalData, npmle

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Scores = Literal["sun", "finkelstein", "wilcoxon"]
Variance = Literal["permutation", "score_free_clustered"]


@dataclass(frozen=True, slots=True)
class IntervalTest:
    """A k-sample test.

    Attributes
    ----------
    score_sum
        Sum of scores by group, shape (k,); a negative sum means that the group responds later.
    covariance
        Its covariance under equal distributions, shape (k, k).
    statistic, df, p
        Chi-squared statistic, its degrees of freedom, and its probability under the null hypothesis.
    z
        Signed root for two groups (that of the first), else nan.
    """

    score_sum: Floats
    covariance: Floats
    statistic: float
    df: int
    p: float
    z: float


def scores(left: Floats, right: Floats, pooled: NPMLE, kind: Scores = "sun") -> Floats:
    """Return the score of each observation (left, right] under the pooled estimate, shape of `left`.

    `right` is infinite when censored. Scores of ``sun`` and ``finkelstein`` are the two log-rank forms of Fay & Shaw
    (2010) J Stat Softw 36(2), section 3.2; ``wilcoxon`` is S(left) + S(right) - 1.
    """
    upper = np.where(np.isfinite(pooled.right), pooled.right, np.inf)
    mass = np.append(pooled.mass, pooled.tail)
    survival = np.concatenate([[1.0], 1 - np.cumsum(mass)])
    survival[-1] = 0.0 if pooled.tail > 0 else max(survival[-1], 0.0)
    survival = np.clip(survival, 0.0, 1.0)
    k_left = np.searchsorted(upper, left, "right")
    k_right = np.where(np.isfinite(right), np.searchsorted(upper, right, "right"), len(survival) - 1)
    s_left, s_right = survival[k_left], survival[k_right]
    s_right = np.where(np.isfinite(right), s_right, 0.0)
    if kind == "wilcoxon":
        return np.asarray(s_left + s_right - 1)
    if kind == "sun":
        hazard = np.concatenate([[0.0], np.cumsum(mass / np.maximum(survival[:-1], 1e-300))])
        log_left, log_right = -hazard[k_left], -hazard[k_right]
    else:
        logs = np.log(np.maximum(survival, 1e-300))
        log_left, log_right = logs[k_left], logs[k_right]
    return np.asarray((s_left * log_left - s_right * log_right) / (s_left - s_right))


def interval_test(
    data: IntervalData,
    group: Ints,
    *,
    kind: Scores = "sun",
    cluster: Ints | None = None,
    patients: Floats | None = None,
    k: int | None = None,
) -> IntervalTest:
    """Test whether the groups share one distribution of the time to response; ends count as censored.

    Parameters
    ----------
    data
        Counts of distinct observations, shape (cells,).
    group
        Group 0..k-1 of each cell, shape (cells,).
    cluster
        Patient pattern of each cell: when given, cells are (pattern, cell) rows and the covariance is that of sums over
        patients; without it, the permutation covariance of independent observations.
    patients
        How many patients each row's pattern stands for, shape (cells,); default: its count, one course of each.

    Raises
    ------
    ValueError
        When there are fewer than two groups with observations, or all observations are alike.
    """
    k = int(group.max()) + 1 if k is None else k
    present = np.flatnonzero(np.bincount(group, data.count, k) > 0)
    if len(present) < 2:
        raise ValueError("A test between groups needs observations in at least two of them.")
    # An end before response is censored where response was last looked for.
    informative = np.where(data.kind == 0, data.right, np.inf)
    censored = IntervalData(data.left, data.right, np.where(data.kind == 0, 0, 2), data.count)
    if not np.any(data.kind == 0):
        raise ValueError("Nobody responded: there is nothing to compare.")
    pooled = npmle(_merged(censored), tolerance=1e-9)
    value = scores(data.left, informative, pooled, kind)
    n = data.count.sum()
    value = value - (data.count @ value) / n
    total = np.bincount(group, data.count * value, k).astype(float)
    share = np.bincount(group, data.count, k) / n
    if cluster is None:
        spread = float(data.count @ value**2) / (n - 1)
        covariance = n * spread * (np.diag(share) - np.outer(share, share))
    else:
        covariance = _clustered(
            data.count, value, group, share, cluster, data.count if patients is None else patients, k
        )
    part = np.ix_(present[:-1], present[:-1])
    if not np.all(np.linalg.eigvalsh(covariance[part]) > 1e-12):
        raise ValueError("All observations are alike: there is nothing to compare.")
    statistic = float(total[present[:-1]] @ np.linalg.solve(covariance[part], total[present[:-1]]))
    df = len(present) - 1
    z = float(total[present[0]] / np.sqrt(covariance[present[0], present[0]])) if df == 1 else float("nan")
    return IntervalTest(total, covariance, statistic, df, float(special.chdtrc(df, statistic)), z)


def _merged(data: IntervalData) -> IntervalData:
    """Add up equal observations, so that the pooled estimate costs distinct ones only."""
    key = np.stack([data.left, np.where(data.kind == 0, data.right, 0.0), data.kind.astype(float)], axis=1)
    distinct, where = np.unique(key, axis=0, return_inverse=True)
    count = np.bincount(where.ravel(), data.count, len(distinct)).astype(float)
    return IntervalData(distinct[:, 0], distinct[:, 1], distinct[:, 2].astype(np.int64), count)


def _clustered(
    count: Floats, value: Floats, group: Ints, share: Floats, cluster: Ints, stands_for: Floats, k: int
) -> Floats:
    """Covariance of the score sums as sums over patients; all rows of a pattern stand for the same like patients."""
    patterns = int(cluster.max()) + 1
    per_patient = np.zeros((patterns, k))
    patients = np.zeros(patterns)
    np.maximum.at(patients, cluster, stands_for)
    for g in range(k):
        here = np.bincount(cluster, (group == g) * value * count, patterns)
        everyone = np.bincount(cluster, value * count, patterns)
        per_patient[:, g] = (here - share[g] * everyone) / np.maximum(patients, 1e-300)
    return np.asarray(per_patient.T @ (per_patient * patients[:, None]))
