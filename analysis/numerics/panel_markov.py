"""Maximum-likelihood fit of a panel-observed Markov model and its certificate (model in `panel_markov_likelihood`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.numerics.panel_markov_likelihood import Kind, Likelihood, PanelModel, PanelMoves, arrange, bad_rows
from analysis.numerics.panel_markov_numerics import invert, maximise

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PanelFit:
    """A maximum-likelihood fit with its certificate.

    Attributes
    ----------
    theta : (p,) log intensities, then effects, named by `names`; loglik, minus2loglik : at theta
    information : (p, p) observed, the analytic gradient differenced; covariance : (p, p) its inverse, nan for
        undetermined parameters; robust : (p, p) sandwich by cluster (no small-sample factor), or None
    relative_gradient : max |gradient| max(1, |theta|) / max(1, |loglik|); newton_decrement : g' information^-1 g,
        twice the log-likelihood still to be gained; converged : decrement <= 1e-8 and information positive definite
    identifiability : one sentence for each problem, empty if there is none
    """

    model: PanelModel
    names: tuple[str, ...]
    theta: Floats
    loglik: float
    minus2loglik: float
    information: Floats
    covariance: Floats
    robust: Floats | None
    relative_gradient: float
    newton_decrement: float
    iterations: int
    converged: bool
    identifiability: tuple[str, ...]

    @property
    def variance(self) -> Floats:
        """Covariance (p, p) that intervals use: by cluster where clusters were given."""
        return self.covariance if self.robust is None else self.robust


def fit_panel_markov(
    model: PanelModel,
    moves: PanelMoves,
    covariates: Floats,
    *,
    start: Floats | None = None,
    clusters: Any = None,
    max_iterations: int = 100,
) -> PanelFit:
    """Maximise the likelihood: scoring with the empirical information, then Newton with the observed one.

    Parameters
    ----------
    covariates : (C, k), one row for each cell, shape (C, 0) without covariates; start : (p,) or crude rates
    clusters : (n_clusters, n_rows) array or scipy sparse, how often each cluster (patient) made each move

    Raises
    ------
    ValueError
        for a move the model forbids, a parameter that no observed move bears on (named), covariates confounded with
        one another, or clusters that do not add up to the counts.
    """
    problem = arrange(model, moves, covariates)
    scale = np.abs(problem.design).max(axis=(0, 1, 2))
    _refuse_inestimable(problem, scale)
    theta = _crude_start(problem) if start is None else np.array(start, dtype=np.float64)
    impossible = ~np.isfinite(problem.log_terms(theta)[0])
    if bool(impossible.any()):
        raise ValueError(f"the transitions of the model give no way to make the moves in rows {bad_rows(impossible)}")
    theta, information, iterations = maximise(problem.evaluate, problem.by_parameter(), theta, scale, max_iterations)
    loglik, gradient, _ = problem.evaluate(theta)
    decrement = float(gradient @ np.linalg.pinv(information, hermitian=True) @ gradient)
    covariance, undetermined = invert(information, scale)
    robust = None if clusters is None else _sandwich(problem, theta, covariance, clusters)
    names = model.parameter_names()
    relative = float((np.abs(gradient) * np.maximum(1, np.abs(theta))).max() / max(1.0, abs(loglik)))
    problems = tuple(f"{names[j]}: the data do not determine it (it runs to a boundary or is confounded); its variance "
                     "is nan; forbid, share or drop it and fit again" for j in undetermined)  # fmt: skip
    definite = bool(np.linalg.eigvalsh(information)[0] > 0)
    return PanelFit(model, names, theta, loglik, -2 * loglik, information, covariance, robust, relative, decrement,
                    iterations, decrement <= 1e-8 and definite, problems)  # fmt: skip


def _sandwich(problem: Likelihood, theta: Floats, covariance: Floats, clusters: Any) -> Floats:
    if not np.allclose(np.asarray(clusters.sum(axis=0)).ravel(), problem.moves.count):
        raise ValueError("the columns of clusters must add up to the counts of the moves")
    by_cluster = clusters @ problem.log_terms(theta)[1]
    return np.asarray(covariance @ by_cluster.T @ by_cluster @ covariance)


def _crude_start(problem: Likelihood) -> Floats:
    """Moves r to s over time from r, as if nothing happened unseen; half a move is added so that no rate is zero."""
    model, moves = problem.model, problem.moves
    time, rates = moves.count * problem.exposure.sum(axis=1), np.empty(len(model.transitions))
    for m, (r, s) in enumerate(model.transitions):
        seen = moves.count[(moves.from_state == r) & (moves.to_state == s) & (moves.kind != Kind.CENSORED)].sum()
        from_r = time[moves.from_state == r].sum()
        rates[m] = (seen + 0.5) / ((from_r if from_r > 0 else time.sum()) or 1.0)
    theta = np.zeros(model.n_parameters)
    for j in range(model.n_base):
        theta[j] = np.log(rates)[np.nonzero(model.base_map == j)[0]].mean()
    return theta


def _refuse_inestimable(problem: Likelihood, scale: Floats) -> None:
    model, moves = problem.model, problem.moves
    graph = model.generator(np.ones(len(model.transitions))) != 0
    reach = np.linalg.matrix_power((graph | np.eye(model.n_states, dtype=bool)).astype(float), model.n_states) > 0
    ends = np.where((moves.kind == Kind.DEATH)[:, None], np.eye(model.n_states)[moves.to_state % model.n_states],
                    problem.ends) > 0  # fmt: skip
    used = np.zeros(problem.design.shape[:3], dtype=bool)
    for m, (r, s) in enumerate(model.transitions):
        arrives = (moves.kind != Kind.PANEL) & (moves.kind != Kind.CENSORED) & (moves.to_state == s)
        last = np.where(moves.kind == Kind.EXACT, moves.from_state == r, reach[moves.from_state, r]) & arrives
        used[moves.cell[last], problem.last_band[last], m] = True
        through = reach[moves.from_state, r] & (reach[s] & ends).any(axis=1) & (moves.kind != Kind.EXACT) & ~arrives
        row, band = np.nonzero(through[:, None] & (problem.exposure > 0))
        used[moves.cell[row], band, m] = True
    names, rows = model.parameter_names(), problem.design[used] / np.where(scale > 0, scale, 1)
    unseen = [name for name, any_use in zip(names, (rows != 0).any(axis=0), strict=True) if not any_use]
    if unseen:
        raise ValueError(f"not estimable, no observed move can have used it: {'; '.join(unseen)}; forbid it (-1) or "
                         "share its parameter")  # fmt: skip
    values, vectors = np.linalg.eigh(rows.T @ rows)
    null = vectors[:, values < 1e-10 * values[-1]]
    if null.size:
        mixed = [name for name, load in zip(names, (null**2).sum(axis=1), strict=True) if load > 1e-6]
        raise ValueError(f"not estimable, what was seen tells only sums of: {'; '.join(mixed)}; drop or share one")
