"""Search for the maximum of the likelihood of repeated measures: scoring, then exact Newton steps.

References
----------
Gilmour AR, Thompson R, Cullis BR (1995). Average information REML. Biometrics 51.
Gill PE, Murray W (1974). Newton-type methods for unconstrained and linearly constrained optimization. Math Prog 7.
"""

from dataclasses import dataclass

import numpy as np

from analysis.numerics.covariance import FloatArray, Structure, covariance_derivatives, unstructured_parameters
from analysis.numerics.repeated_design import VisitDesign
from analysis.numerics.repeated_likelihood import Information, Profile, average_information, information, profile, score
from analysis.numerics.repeated_sums import PatternSums

# Below this Newton decrement the log-likelihood can rise by less than rounding lets us see.
CONVERGED = 1e-10
# A step of 2 in a log standard deviation is a factor of 7: beyond, the quadratic model means nothing. Correlation
# parameters grow without bound as a correlation nears 1, so that their steps are measured against themselves.
LONGEST_STEP = 2.0
# Smallest eigenvalue of a matrix of unit diagonal that can be told from rounding.
DEGENERATE = 1e-9


@dataclass(frozen=True, slots=True)
class Point:
    """Likelihood, gradient (m,) and derivatives of Sigma at theta (G, k)."""

    theta: FloatArray
    sigma: FloatArray
    slope: FloatArray
    bend: FloatArray
    profile: Profile
    gradient: FloatArray


@dataclass(frozen=True, slots=True)
class Problem:
    """What is maximised: data, mean model, covariance structure, and kind of likelihood."""

    sums: PatternSums
    design: VisitDesign
    structure: Structure
    reml: bool

    def at(self, theta: FloatArray) -> Point | None:
        """Evaluate theta (G, k); None where the likelihood is not defined."""
        # A step may leave the range of floating point; such a point counts as undefined, and the step is halved.
        with np.errstate(all="ignore"):
            pieces = [covariance_derivatives(self.structure, row) for row in theta]
            sigma, slope, bend = (np.stack([piece[i] for piece in pieces]) for i in range(3))
            if not (np.isfinite(sigma).all() and np.isfinite(bend).all()):
                return None
            found = profile(self.sums, self.design.maps, sigma, self.reml)
            if found is None or not np.isfinite(found.loglik):
                return None
            gradient = score(self.sums, found, slope)
        if not np.isfinite(gradient).all() or not np.isfinite(found.weight).all():
            return None
        return Point(theta, sigma, slope, bend, found, gradient)

    def moved(self, point: Point, step: FloatArray) -> Point | None:
        """The point a step (m,) away; an unstructured Sigma moves along a straight line.

        The likelihood is much closer to quadratic in Sigma than in its Cholesky factor when visits correlate highly.
        """
        step = step.reshape(point.theta.shape)
        if self.structure.name != "unstructured":
            return self.at(point.theta + step)
        sigma = point.sigma + np.einsum("gk,gkst->gst", step, point.slope)
        try:
            return self.at(np.stack([unstructured_parameters(one) for one in sigma]))
        except np.linalg.LinAlgError:
            return None

    def average(self, point: Point) -> FloatArray:
        """Average information (m, m)."""
        return average_information(self.sums, self.design.maps, point.profile, point.slope)

    def exact(self, point: Point) -> Information:
        """Observed and expected information."""
        return information(self.sums, self.design.maps, point.profile, point.slope, point.bend)


def search(problem: Problem, start: FloatArray, limit: int) -> tuple[Point, Information, int, bool]:
    """Maximise from `start` (G, k): scoring first; should it fail, Newton with turned curvature.

    Returns
    -------
    Point, Information at it, steps taken, and whether the fallback was needed.

    Raises
    ------
    ValueError
        If the likelihood is not defined at the start.
    """
    point = problem.at(start)
    if point is None:
        raise ValueError("The likelihood is not defined at the starting covariance; the outcome scale is extreme.")
    point, steps = _climb(problem, point, limit, fallback=False)
    exact = problem.exact(point)
    if is_maximum(point, exact.observed):
        return point, exact, steps, False
    point, more = _climb(problem, point, limit, fallback=True)
    return point, problem.exact(point), steps + more, True


def _climb(problem: Problem, point: Point, limit: int, fallback: bool) -> tuple[Point, int]:
    """Average-information steps, then exact Newton steps, each halved until the likelihood rises."""
    near = fallback
    for iteration in range(limit):
        step = _step(problem, point, near, fallback)
        decrement = float(point.gradient @ step)
        moved = _line_search(problem, point, step, decrement)
        # The last exact step is taken, not skipped: Newton squares the distance that is left.
        if near and (decrement < CONVERGED or moved is None):
            return moved or point, iteration + 1
        # Far from a maximum the Hessian may point downhill, so exact steps wait until scoring has done its work.
        near = near or moved is None or decrement < 1e-2
        point = moved or point
    return point, limit


def _step(problem: Problem, point: Point, near: bool, fallback: bool) -> FloatArray:
    """Uphill step (m,), shortened to where the quadratic model can hold."""
    curvature = problem.exact(point).observed if near else problem.average(point)
    if near and not fallback and scaled_curvature(curvature) <= DEGENERATE:
        curvature = problem.average(point)
    size = np.sqrt(np.abs(np.diag(curvature)))
    size = np.maximum(size, 1e-8 * max(float(size.max()), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(curvature / np.outer(size, size))
    # Where the likelihood curves up, its absolute curvature turns Newton's step uphill (Gill & Murray 1974).
    raised = np.maximum(np.abs(values), 1e-10 * np.abs(values).max())
    step = np.asarray(vectors @ ((vectors.T @ (point.gradient / size)) / raised) / size)
    longest = np.full(point.theta.shape, LONGEST_STEP)
    h = problem.structure.scale.shape[0]
    longest[:, h:] *= np.maximum(np.abs(point.theta[:, h:]), 1.0)
    return np.asarray(step * min(1.0, 1.0 / max(float(np.abs(step / longest.ravel()).max()), 1e-300)))


def _line_search(problem: Problem, point: Point, step: FloatArray, decrement: float) -> Point | None:
    # Residual products are differences of raw ones, so that the likelihood is right to the digits of those.
    products = float(np.sum(np.abs(point.profile.weight) * np.abs(problem.sums.yy)))
    length, rounding = 1.0, 1e-13 * abs(point.profile.loglik) + 4 * np.finfo(float).eps * products
    for _ in range(30):
        moved = problem.moved(point, length * step)
        if moved and moved.profile.loglik >= point.profile.loglik + 1e-4 * length * decrement - rounding:
            return moved
        length /= 2
    return None


def scaled_curvature(observed: FloatArray) -> float:
    """Smallest eigenvalue of the information (m, m) scaled to a unit diagonal; -inf if the diagonal is not positive."""
    diagonal = np.diag(observed)
    if not (diagonal > np.finfo(float).tiny).all():
        return -np.inf
    size = np.sqrt(diagonal)
    return float(np.linalg.eigvalsh(observed / np.outer(size, size))[0])


def newton_decrement(point: Point, observed: FloatArray) -> float:
    """Gradient' Hessian^-1 gradient."""
    size = np.sqrt(np.diag(observed))
    unit = point.gradient / size
    return float(unit @ np.linalg.solve(observed / np.outer(size, size), unit))


def is_maximum(point: Point, observed: FloatArray) -> bool:
    """Whether the Hessian is safely negative definite and no further rise is in sight."""
    return scaled_curvature(observed) > DEGENERATE and newton_decrement(point, observed) < CONVERGED
