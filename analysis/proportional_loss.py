"""Loss intensities of several strata as one course over time times a factor each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.multistate import RESPONSE, StratumFit
from analysis.numerics.laws import chi2_above
from analysis.numerics.varying import wald

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Proportional:
    """Loss intensities as a common course over the bands times one factor a stratum.

    Attributes: `log_ratio` (S-1,) against the first stratum and its `covariance` (S-1, S-1), nan where losses in other
    days than those of the others tell no ratio; `statistic`, Wald chi-squared of the ratios told being 1 on `df`, fewer
    where patients have the same course in two strata, and `p`, nan on none; `lack_of_fit` and `lack_df`, chi-squared of
    what the factors leave.
    """

    log_ratio: Floats
    covariance: Floats
    statistic: float
    df: int
    p: float
    lack_of_fit: float
    lack_df: int


def proportional_loss(fits: list[StratumFit], variance: Floats) -> Proportional:
    """Summarise loss intensities by one factor a stratum: minimum distance with the covariance within strata as weight.

    Least squares of the log intensities on bands and strata, weighted so, is asymptotically the fit that constrains
    them (Ferguson 1958); its errors are of the joint covariance, since a patient's courses may be in two strata.
    Weighted by that itself, what two strata share would count without end where patients have the same course in both.
    An intensity
    counts where every band that it stands for has one in another stratum too: days in which only one stratum shows
    losses say nothing of a ratio. One intensity of several bands is their mean by time in response.

    Raises ValueError when fewer than two strata have a loss intensity that the data determine, or no ratio is told.
    """
    if len({s for s, f in enumerate(fits) if (f.bands >= 0).any()}) < len(fits) or len(fits) < 2:
        raise ValueError("two strata with losses are needed")
    kept = _comparable(fits)
    at, y, index, design, of = 0, [], [], [], []
    for s, f in enumerate(fits):
        for j in np.unique(f.bands[kept[s]]):
            assert f.fit is not None
            if np.isnan(f.fit.covariance[j, j]):
                raise ValueError("a loss intensity is not determined by the data")
            of.append(s)
            y.append(f.fit.theta[j])
            index.append(at + j)
            design.append(np.concatenate([_share_of_bands(f, int(j)), np.arange(1, len(fits)) == s]))
        at += f.n_parameters
    v, x, ratios = variance[np.ix_(index, index)], np.array(design, dtype=float), len(fits) - 1
    told = _estimable(x, ratios)
    if not told.any():
        raise ValueError("the strata show losses in different days")
    weight = np.linalg.pinv(np.where(np.equal.outer(of, of), v, 0.0), hermitian=True)
    into = np.linalg.pinv(x.T @ weight @ x, hermitian=True) @ x.T @ weight
    beta, covariance = into @ np.array(y), into @ v @ into.T
    left = np.eye(len(y)) - x @ into
    scale = float(np.diag(v).mean())
    ratio, own = beta[-ratios:], covariance[-ratios:, -ratios:]
    statistic, df = wald(ratio[told], own[np.ix_(told, told)], scale)
    lack, lack_df = wald(left @ np.array(y), left @ v @ left.T, scale)
    both = told[:, None] & told
    p = float(chi2_above(statistic, df)) if df else float("nan")
    return Proportional(np.where(told, ratio, np.nan), np.where(both, own, np.nan), statistic, df, p, lack, lack_df)


def _comparable(fits: list[StratumFit]) -> list[Bools]:
    """Return by stratum the bands whose intensity stands for none that the others lack, each (B,)."""
    kept = [np.asarray(f.bands >= 0) for f in fits]
    while True:
        held = np.sum(kept, axis=0)
        fewer = []
        for f, mine in zip(fits, kept, strict=True):
            lone = np.unique(f.bands[(f.bands >= 0) & (held - mine < 1)])
            fewer.append(mine & ~np.isin(f.bands, lone))
        if all((a == b).all() for a, b in zip(fewer, kept, strict=True)):
            return kept
        kept = fewer


def _share_of_bands(f: StratumFit, j: int) -> Floats:
    """Return how much each band counts in intensity `j`: by the time that courses were last seen in response, (B,)."""
    mine, time = f.bands == j, np.zeros(len(f.bands))
    if f.likelihood is not None:
        moves = f.likelihood.moves
        held = moves.from_state == RESPONSE
        watched = moves.count[held] @ f.likelihood.exposure[held]
        time[: len(watched)] = watched
    weight = np.where(mine, time, 0.0)
    return np.asarray(weight / weight.sum() if weight.sum() > 0 else mine / mine.sum())


def _estimable(x: Floats, ratios: int) -> Bools:
    """Return which of the last `ratios` coefficients the rows of `x` determine, (ratios,)."""
    if not len(x):
        return np.zeros(ratios, dtype=bool)
    into = np.linalg.pinv(x) @ x
    return np.asarray(np.abs(into - np.eye(x.shape[1]))[-ratios:].max(axis=1) < 1e-8)
