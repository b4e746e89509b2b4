"""Observed against expected: prevalence by time and Pearson-type goodness of fit of a panel model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.numerics.laws import chi2_above
from analysis.numerics.panel_markov import PanelFit
from analysis.numerics.panel_markov_likelihood import Likelihood
from analysis.numerics.panel_markov_prediction import mix, row_probabilities

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Prevalence:
    """Numbers seen in each state at each time and the numbers the model expects (Gentleman et al. 1994).

    Attributes: `times` (T,); `observed` and `expected` (T, K) numbers; `observed_share` and `expected_share` (T, K),
    nan when nobody is seen; `deviation` (T, K), ``(O - E)^2 / E``, 0 where neither is.
    """

    times: Floats
    observed: Floats
    expected: Floats
    observed_share: Floats
    expected_share: Floats
    deviation: Floats


def _deviation(observed: Floats, expected: Floats) -> Floats:
    infinite = np.where(observed > 0, np.inf, 0.0)
    return np.where(expected > 0, (observed - expected) ** 2 / np.where(expected > 0, expected, 1.0), infinite)


def prevalence(
    fit: PanelFit, covariates: Floats, times: Floats, observed: Floats, initial: Floats, *, start: float = 0.0
) -> Prevalence:
    """Observed and expected numbers in each state by time.

    Parameters
    ----------
    covariates : (C, k); times : (T,); initial : (C, K) distribution at `start` in each cell
    observed : (T, C, K) courses seen in each state; ended courses stay counted in their end state for as long as
        they would have been followed, else the expectation is too high for the ends

    Raises
    ------
    ValueError
        for arrays whose shapes disagree.
    """
    shape = (len(times), len(covariates), fit.model.n_states)
    if np.shape(observed) != shape or np.shape(initial) != shape[1:]:
        raise ValueError(f"observed must have shape {shape} and initial {shape[1:]}")
    expected = np.zeros((shape[0], shape[2]))
    for c, row in enumerate(covariates):
        chance = mix(np.eye(len(times)), initial[c], row_probabilities(fit, row, start, times))(fit.theta, False)[0]
        expected += observed[:, c].sum(axis=1)[:, None] * chance
    seen = observed.sum(axis=1)
    total = seen.sum(axis=1, keepdims=True)
    share = np.where(total > 0, 1 / np.maximum(total, 1e-300), np.nan)
    return Prevalence(times, seen, expected, seen * share, expected * share, _deviation(seen, expected))


@dataclass(frozen=True, slots=True, eq=False)
class PearsonFit:
    """Pearson-type comparison of observed and expected moves.

    Attributes
    ----------
    observed, expected : (G, K, K) moves r to s in each group; statistic : sum of ``(O - E)^2 / E``
    df_low, df_high : independent cells less parameters, and without that deduction. With intensities fitted to the
        ungrouped moves the law of the statistic lies about between the two chi-squares (Titman 2009), and is rough
        when `smallest_expected` is below 5; p_low and p_high : upper tails of the two
    """

    observed: Floats
    expected: Floats
    statistic: float
    df_low: int
    df_high: int
    p_low: float
    p_high: float
    smallest_expected: float


def pearson_fit(fit: PanelFit, likelihood: Likelihood, group: Ints) -> PearsonFit:
    """Compare moves with what the fit expects (Aguirre-Hernández & Farewell 2002, Stat Med 21:1899).

    Parameters
    ----------
    likelihood : moves put through `arrange`, all PANEL; an exact end enters as seen at the visit that was next on the
        schedule, since the time to an end is no observation scheme (Titman & Sharples 2008)
    group : (n_rows,) 0..G-1, by elapsed time, time since treatment and cell, each large enough

    Raises ValueError for moves of another kind or groups of another length.
    """
    moves, model = likelihood.moves, fit.model
    if bool(np.any(moves.kind != 0)) or len(group) != len(moves.count):
        raise ValueError(
            "needs PANEL moves only (give exact ends as seen at the next scheduled visit), and their groups"
        )
    observed = np.zeros((int(group.max()) + 1, model.n_states, model.n_states))
    expected = np.zeros_like(observed)
    np.add.at(observed, (group, moves.from_state, moves.to_state), moves.count)
    chance = likelihood.arrivals(fit.theta)[likelihood.pair]
    np.add.at(expected, (group, moves.from_state), moves.count[:, None] * chance)
    statistic, possible = float(_deviation(observed, expected).sum()), expected > 0
    # An absorbing row has one possible cell and so none that is free.
    df = int(np.maximum(possible.sum(axis=2) - 1, 0).sum())
    low = max(df - len(fit.theta), 1)
    free = possible & (possible.sum(axis=2) > 1)[..., None]
    p_low, p_high = (float(chi2_above(statistic, d)) for d in (low, max(df, 1)))
    smallest = float(expected[free].min(initial=np.inf))
    return PearsonFit(observed, expected, statistic, low, df, p_low, p_high, smallest)
