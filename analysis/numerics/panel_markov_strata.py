"""Panel-observed Markov models of several strata, intensities of their own and effects of covariates in common.

And the law of a stratum standardised over a population of covariates. Model and likelihood: `panel_markov_likelihood`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from analysis.numerics.panel_markov_likelihood import Likelihood, PanelModel
from analysis.numerics.panel_markov_numerics import Gradient, exponential, invert, maximise, observed_information

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# People of a population at a time, for memory.
_BLOCK = 500
# A day in the state that is clocked counts so much, so that the clock does not outweigh the intensities.
_TICK = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class StrataFit:
    """A maximum of the sum of the strata's log-likelihoods, with its certificate.

    Attributes
    ----------
    theta : (P,) parameters of all strata; covariance : (P, P) inverse of the observed information, nan for parameters
        that the data do not determine, whose numbers are `undetermined`
    loglik : at theta; newton_decrement, converged : as of `PanelFit`; iterations : used
    """

    theta: Floats
    loglik: float
    covariance: Floats
    undetermined: Ints
    newton_decrement: float
    converged: bool
    iterations: int


def fit_strata(
    problems: Sequence[Likelihood], index: Sequence[Ints], start: Floats, max_iterations: int = 100
) -> StrataFit:
    """Maximise the likelihood of all strata at once.

    Parameters
    ----------
    problems : of each stratum, its moves arranged; index : of each, which of the P parameters its own are, (p,)
    start : (P,)

    Raises
    ------
    ValueError
        When the model gives no way to make some move, at the start, or a covariate never varies.
    """
    size = len(start)

    def evaluate(theta: Floats) -> tuple[float, Floats, Floats]:
        value, gradient, information = 0.0, np.zeros(size), np.zeros((size, size))
        for problem, of in zip(problems, index, strict=True):
            one, slope, outer = problem.evaluate(theta[of])
            value, gradient[of] = value + one, gradient[of] + slope
            information[np.ix_(of, of)] += outer
        return value, gradient, information

    scale = _scale(problems, index, size)
    if not bool((scale > 0).all()):
        raise ValueError("a covariate is the same in every course")
    theta = np.array(start, dtype=np.float64)
    if not np.isfinite(evaluate(theta)[0]):
        raise ValueError("the transitions of the model give no way to make some of the moves")
    theta, information, iterations = maximise(evaluate, _gradients(problems, index, size), theta, scale, max_iterations)
    loglik, gradient, _ = evaluate(theta)
    decrement = float(gradient @ np.linalg.pinv(information, hermitian=True) @ gradient)
    covariance, undetermined = invert(information, scale)
    definite = bool(np.linalg.eigvalsh(information)[0] > 0)
    return StrataFit(
        theta, loglik, covariance, undetermined, decrement, decrement <= 1e-8 and definite, iterations
    )  # fmt: skip


def _scale(problems: Sequence[Likelihood], index: Sequence[Ints], size: int) -> Floats:
    scale = np.zeros(size)
    for problem, of in zip(problems, index, strict=True):
        scale[of] = np.maximum(scale[of], np.abs(problem.design).max(axis=(0, 1, 2)))
    return scale


def _gradients(problems: Sequence[Likelihood], index: Sequence[Ints], size: int) -> list[Gradient]:
    """Return for each parameter the gradient of the moves that depend on it, of every stratum that has it."""
    parts = [problem.by_parameter() for problem in problems]

    def of_parameter(j: int) -> Gradient:
        held = [
            (own[int(at[0])], of) for own, of in zip(parts, index, strict=True) if len(at := np.flatnonzero(of == j))
        ]

        def gradient(theta: Floats) -> Floats:
            total = np.zeros(size)
            for part, of in held:
                total[of] += part(theta[of])
            return total

        return gradient

    return [of_parameter(j) for j in range(size)]


def influences(
    fit: StrataFit, problems: Sequence[Likelihood], index: Sequence[Ints], content: Sequence[sparse.csr_matrix]
) -> Floats:
    """Influence of each patient on the parameters, (patients, P): the sandwich covariance is its cross-product.

    `content` of each stratum, (patients, moves), is how often each patient made each move. What the data do not
    determine is held where it is, without an error.
    """
    inverse = np.nan_to_num(fit.covariance)
    total = np.zeros((content[0].shape[0], len(fit.theta)))
    for problem, of, made in zip(problems, index, content, strict=True):
        total += made @ (problem.log_terms(fit.theta[of])[1] @ inverse[of])
    return total


def one_step(
    problems: Sequence[Likelihood], index: Sequence[Ints], theta: Floats, content: Sequence[sparse.csr_matrix]
) -> tuple[Floats, Floats, Ints]:
    """Newton's step from the fit of a smaller model put into a larger one: for score tests (Boos 1992 Am Stat 46:327).

    Returns the step (P,), the influence of each patient on it (patients, P) and the parameters that the data do not
    determine. With `theta` (P,) at the maximum of the smaller model the step is, to first order, how far away that of
    the larger one is.
    """
    size = len(theta)
    scale = _scale(problems, index, size)
    # An effect on what a stratum never does: nothing says anything of it.
    scale = np.where(scale > 0, scale, 1.0)
    information = observed_information(_gradients(problems, index, size), theta, scale)
    covariance, undetermined = invert(information, scale)
    inverse = np.nan_to_num(covariance)
    score = np.zeros((content[0].shape[0], size))
    for problem, of, made in zip(problems, index, content, strict=True):
        score[:, of] += made @ problem.log_terms(theta[of])[1]
    influence = score @ inverse
    return influence.sum(axis=0), influence, undetermined


def standardised_law(
    model: PanelModel, theta: Floats, population: Floats, origin: int, start: float, days: Floats,
    *, weights: Floats | None = None, final: int | None = None, clocked: int = 0,
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Return the law of a course in `origin` on day `start`, as the mean over a population of what each would have.

    Parameters
    ----------
    population : covariates (N, k), and what each counts, `weights` (N,), one unless it is said
    days : (T,) not before `start`; nothing leaves `final`

    Returns
    -------
    The probability of each state (T, K) and its derivatives by theta (T, K, p), and the days spent in state `clocked`
    since `start` (T,) with theirs (T, p): exact, from the exponential of the generator with a clock as one more state
    (Van Loan 1978, IEEE Trans Automat Contr 23:395).
    """
    points, k = model.change_points, model.n_states
    knots = np.unique(np.r_[start, points[(points > start) & (points < days.max(initial=start))], days])
    band = np.searchsorted(points, knots[:-1], side="right")
    # Most days lie equally far apart in a band: an exponential each of these.
    kinds, which = np.unique(np.column_stack([band, np.diff(knots)]), axis=0, return_inverse=True)
    of_band, length = kinds[:, 0].astype(np.int64), kinds[:, 1]
    stays = np.ones(len(model.transitions)) if final is None else (model.transitions[:, 0] != final).astype(float)
    mean, slope = np.zeros((len(knots), k + 1)), np.zeros((len(knots), k + 1, len(theta)))
    people, which_of = np.unique(population, axis=0, return_inverse=True)
    times = np.bincount(which_of, weights, len(people))
    for first in range(0, len(people), _BLOCK):
        block = slice(first, first + _BLOCK)
        weight, design = times[block] / times.sum(), model.design(people[block])
        q = model.intensities(design, theta) * stays
        n = len(weight)
        matrix = np.zeros((n, len(kinds), k + 1, k + 1))
        matrix[..., :k, :k] = model.generator(q[:, of_band])
        matrix[..., clocked, k] = _TICK
        scale = np.tile(length, n)
        step, along = exponential((matrix * length[:, None, None]).reshape(-1, k + 1, k + 1), scale, model.transitions)
        step = step.reshape(n, len(kinds), k + 1, k + 1)
        along = along.reshape(n, len(kinds), k + 1, -1, k + 1)
        row, rise = np.tile(np.eye(k + 1)[origin], (n, 1)), np.zeros((n, k + 1, len(theta)))
        mean[0] += weight @ row
        for i, kind in enumerate(which):
            turn = np.einsum("na,namj->njm", row, along[:, kind]) * q[:, None, of_band[kind]]
            rise = step[:, kind].transpose(0, 2, 1) @ rise + turn @ design[:, of_band[kind]]
            row = np.einsum("na,naj->nj", row, step[:, kind])
            mean[i + 1] += weight @ row
            slope[i + 1] += np.tensordot(weight, rise, 1)
    at = np.searchsorted(knots, days)
    mean, slope = mean[at], slope[at]
    return mean[:, :k], slope[:, :k], mean[:, k] / _TICK, slope[:, k] / _TICK
