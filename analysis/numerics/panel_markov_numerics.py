"""Matrix exponentials with derivatives along transitions, and the maximiser: numerics that know no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Terms of the exponential series at norm 1/2: 0.5**15 / 15! = 2e-17 is below rounding, for the derivative as well.
_TERMS = 15
# exp(±98) as a 95 % interval: a log intensity or effect (per unit of linear predictor) the data do not determine.
_UNDETERMINED_SE = 50.0


def exponential(a: Floats, scale: Floats, edges: Ints) -> tuple[Floats, Floats]:
    """Exponentials of matrices without negative off-diagonal entries, and their derivatives along transitions.

    Scaling and squaring of the Taylor series of ``a + shift I >= 0``: no cancellation, no eigenvectors, so equal
    eigenvalues do no harm. The derivative is that of the very same steps (Al-Mohy & Higham 2009, SIMAX 30:1639).

    Parameters
    ----------
    a : (g, n, n); scale : (g,); edges : (m, 2), direction m is ``scale (E_rs - E_rr)``, without E_rs where s is -1

    Returns
    -------
    (g, n, n) exponentials and (g, n, m, n) derivatives, entry [g, i, m, j] that of P[i, j] along direction m.
    """
    g, n, m = len(a), a.shape[-1], len(edges)
    power, slope = np.empty((g, n, n)), np.empty((g, n, m, n))
    shift = -np.einsum("gii->gi", a).min(axis=1)
    norm = (a.sum(axis=2) + shift[:, None]).max(axis=1)
    squarings = np.ceil(np.log2(np.maximum(norm, 0.5) / 0.5)).astype(np.int64)
    for s in np.unique(squarings):
        of_s = np.flatnonzero(squarings == s)
        # Blocks of 512 small matrices stay in cache.
        for rows in np.split(of_s, range(512, len(of_s), 512)):
            h, lam = scale[rows] / 2.0**s, shift[rows] / 2.0**s
            power[rows], slope[rows] = _series(a[rows] / 2.0**s + lam[:, None, None] * np.eye(n), h, lam, edges, int(s))
    return power, slope


def _series(b: Floats, h: Floats, lam: Floats, edges: Ints, squarings: int) -> tuple[Floats, Floats]:
    (g, n, _), m = b.shape, len(edges)
    r, s, index, inside = edges[:, 0], edges[:, 1], np.arange(len(edges)), (edges[:, 1] >= 0)[:, None]
    x, dx = np.broadcast_to(np.eye(n), b.shape), np.zeros((g, n, m, n))
    for term in range(_TERMS, 0, -1):
        dx = (b @ dx.reshape(g, n, m * n)).reshape(g, n, m, n)
        dx[:, r, index] += h[:, None, None] * (x[:, s] * inside - x[:, r])
        x, dx = np.eye(n) + b @ x / term, dx / term
    x, dx = x * np.exp(-lam)[:, None, None], dx * np.exp(-lam)[:, None, None, None]
    for _ in range(squarings):
        right = (dx.reshape(g, n * m, n) @ x).reshape(g, n, m, n)
        x, dx = x @ x, right + (x @ dx.reshape(g, n, m * n)).reshape(g, n, m, n)
    return np.asarray(x), dx


Evaluate = Callable[[Floats], tuple[float, Floats, Floats]]
Gradient = Callable[[Floats], Floats]


def maximise(
    evaluate: Evaluate, gradients: Sequence[Gradient], theta: Floats, scale: Floats, limit: int
) -> tuple[Floats, Floats, int]:
    """Climb by scoring with the empirical information, and by Newton with the observed one once it is near.

    `evaluate` takes theta (p,) to log-likelihood, gradient (p,) and empirical information (p, p); `scale` (p,) is the
    largest entry of the design for each parameter; `gradients` as in `observed_information`. Returns theta, observed
    information (p, p), iterations used.
    """
    exact, fresh, last, (value, gradient, information) = False, False, np.inf, evaluate(theta)
    for iteration in range(1, limit + 1):
        step = _ascent(information, gradient, scale)
        # Near the top one Hessian serves several steps, for as long as each leaves a tenth of what was to be gained.
        stale = exact and not fresh and not gradient @ step < 0.1 * last
        if not exact and (gradient @ step < 1e-3 or iteration in (25, limit)):
            exact = stale = True
        if stale or (exact and iteration == limit):
            information, fresh = observed_information(gradients, theta, scale), True
            step = _ascent(information, gradient, scale)
        last = float(gradient @ step)
        # With the Hessian of this place the last step squares the error; with an earlier one it takes a tenth of it.
        if exact and last < (1e-11 if fresh else 1e-15):
            # The last step is free; the gain is below what comparing likelihoods can see.
            theta = theta + step
            break
        if iteration == limit:
            break
        # No log intensity moves by more than 2 at once: further away the quadratic approximation says nothing.
        step /= max(1.0, float(np.abs(step * scale).max()) / 2)
        trial = evaluate(theta + step)
        floor = value - 1e-13 * abs(value)  # rounding of a sum
        for _ in range(30):
            if trial[0] > floor:
                break
            step /= 2
            trial = evaluate(theta + step)
        if not trial[0] > floor:
            if exact and fresh:
                break
            exact, last = True, 0.0
            continue
        theta, (value, gradient, empirical) = theta + step, trial
        information, fresh = (information if exact else empirical), False
    return theta, information if fresh else observed_information(gradients, theta, scale), iteration


def _ascent(information: Floats, gradient: Floats, scale: Floats) -> Floats:
    # The modulus of the eigenvalues makes the step climb where the surface is not concave.
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    size = np.maximum(np.abs(values), 1e-12 * np.abs(values).max())
    return np.asarray(vectors @ ((vectors.T @ (gradient / scale)) / size) / scale)


def observed_information(gradients: Sequence[Gradient], theta: Floats, scale: Floats) -> Floats:
    """Minus the Hessian, (p, p): central differences of the analytic gradient.

    `gradients` (p,) gives for each parameter the gradient of the rows that depend on it: the others' do not change, and
    their difference is zero exactly.
    """
    hessian = np.empty((len(theta), len(theta)))
    for j, width in enumerate(3e-5 / scale):
        shift = np.eye(len(theta))[j] * width
        hessian[j] = (gradients[j](theta + shift) - gradients[j](theta - shift)) / (2 * width)
    return np.asarray(-(hessian + hessian.T) / 2)


def invert(information: Floats, scale: Floats) -> tuple[Floats, Ints]:
    """Inverse (p, p) with nan for parameters in directions of almost no information, and the indices of these."""
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    weak = values < _UNDETERMINED_SE**-2
    undetermined = np.flatnonzero((vectors[:, weak] ** 2).sum(axis=1) > 0.01)
    inverse = (vectors[:, ~weak] / values[~weak]) @ vectors[:, ~weak].T / np.outer(scale, scale)
    inverse[undetermined], inverse[:, undetermined] = np.nan, np.nan
    return inverse, undetermined
