"""Mixed model for repeated measures (MMRM), fitted from cross-products.

The model for patient i is y_i ~ N(X_i beta, V_i), where V_i holds the rows and columns of Sigma that belong to the
visits observed. Under missing at random the estimates need no imputation. Sigma may differ between groups.

References
----------
Mallinckrodt CH, Clark WS, David SR (2001). Accounting for dropout bias using mixed-effects models. J Biopharm Stat.
Gilmour AR, Thompson R, Cullis BR (1995). Average information REML. Biometrics 51.
"""

from dataclasses import dataclass

import numpy as np

from analysis.numerics.covariance import FloatArray, Structure, covariance_structure, start_parameters
from analysis.numerics.repeated_design import VisitDesign, dependent_columns
from analysis.numerics.repeated_likelihood import (
    Information,
    Profile,
    cross_product,
    observed_cells,
    observed_diagonal,
    residual_sums,
)
from analysis.numerics.repeated_search import (
    DEGENERATE,
    Point,
    Problem,
    is_maximum,
    newton_decrement,
    scaled_curvature,
    search,
)
from analysis.numerics.repeated_sums import PatternSums


@dataclass(frozen=True, slots=True)
class Convergence:
    """Certificate that the estimate is a maximum.

    Attributes
    ----------
    iterations : int
        Steps taken.
    relative_gradient : float
        Largest |d loglik / d theta| max(|theta|, 1) / max(|loglik|, 1).
    newton_decrement : float
        Gradient' Hessian^-1 gradient: twice the rise in log-likelihood that another Newton step promises.
    smallest_curvature : float
        Smallest eigenvalue of the observed information after scaling to a unit diagonal; positive at a maximum.
    fallback : bool
        Whether scoring failed and Newton steps with turned curvature took over.
    """

    iterations: int
    relative_gradient: float
    newton_decrement: float
    smallest_curvature: float
    fallback: bool


@dataclass(frozen=True, slots=True)
class MmrmFit:
    """A fitted MMRM with p coefficients, T visits, G covariance groups of k parameters, m = G k.

    Attributes
    ----------
    beta : (p,)
        Coefficients, in outcome units, labelled by `design.columns`.
    covariance : (p, p)
        Their model-based covariance, (X'V^-1X)^-1.
    sigma : (G, T, T)
        Covariance between visits of each group of `sums.groups`.
    theta : (G, k)
        Unbounded covariance parameters (see `analysis.numerics.covariance`).
    theta_covariance : (m, m)
        Inverse of the observed information.
    information : Information
        Observed and expected information, and the slopes of X'V^-1X.
    loglik : float
        Restricted (as lme4 and mmrm define it) or full log-likelihood.
    reml : bool
        Restricted likelihood.
    convergence : Convergence
        Certificate of the maximum.
    profile : Profile
        Per-pattern quantities at the maximum.
    sums, design, structure
        What was fitted.
    """

    beta: FloatArray
    covariance: FloatArray
    sigma: FloatArray
    theta: FloatArray
    theta_covariance: FloatArray
    information: Information
    loglik: float
    reml: bool
    convergence: Convergence
    profile: Profile
    sums: PatternSums
    design: VisitDesign
    structure: Structure

    @property
    def n_parameters(self) -> int:
        """Parameters that the information criteria count: covariance only for restricted likelihood."""
        return self.theta.size + (0 if self.reml else self.beta.size)

    @property
    def aic(self) -> float:
        """Akaike's criterion; restricted fits compare only under the same mean model."""
        return -2.0 * self.loglik + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, counting patients, as R mmrm does."""
        return -2.0 * self.loglik + float(np.log(self.sums.n_subjects)) * self.n_parameters


def fit_mmrm(
    sums: PatternSums,
    design: VisitDesign,
    structure: str = "unstructured",
    reml: bool = True,
    max_iterations: int = 100,
) -> MmrmFit:
    """Fit an MMRM by restricted or full maximum likelihood.

    Parameters
    ----------
    sums : PatternSums
        From `pattern_sums` or `combine`.
    design : VisitDesign
        For the same visits and covariates.
    structure : str
        See `analysis.numerics.covariance.StructureName`; each group of `sums` gets its own parameters.
    reml : bool
        Restricted likelihood (default); full likelihood serves to compare mean models.
    max_iterations : int
        Limit of scoring steps, and of steps of the fallback.

    Raises
    ------
    ValueError
        If design and sums disagree, columns are linearly dependent (they are named), a visit was never observed,
        there are too few patients, the residual variance is degenerate, or no maximum could be certified.
    """
    kind = covariance_structure(structure, sums.n_visits)
    _check(sums, design, kind)
    problem = Problem(sums, design, kind, reml)
    point, exact, iterations, fallback = search(problem, _start(problem), max_iterations)
    _check_interior(point, exact.observed, design.visits, sums.groups)
    return _assemble(problem, point, exact, _certificate(point, exact.observed, iterations, fallback))


def _assemble(problem: Problem, point: Point, exact: Information, convergence: Convergence) -> MmrmFit:
    return MmrmFit(
        beta=point.profile.beta,
        covariance=point.profile.phi,
        sigma=point.sigma,
        theta=point.theta,
        theta_covariance=np.asarray(np.linalg.inv(exact.observed), dtype=np.float64),
        information=exact,
        loglik=point.profile.loglik,
        reml=problem.reml,
        convergence=convergence,
        profile=point.profile,
        sums=problem.sums,
        design=problem.design,
        structure=problem.structure,
    )


def _check(sums: PatternSums, design: VisitDesign, structure: Structure) -> None:
    """Refuse what cannot be estimated, before any iteration; errors as in `fit_mmrm`."""
    if design.maps.shape[:2] != (sums.n_visits, sums.n_covariates):
        raise ValueError(
            f"The design has (visits, covariates) {design.maps.shape[:2]}, "
            f"the sums {(sums.n_visits, sums.n_covariates)}."
        )
    for g, label in enumerate(sums.groups):
        per_visit = sums.n[sums.group == g] @ sums.observed[sums.group == g]
        never = [design.visits[t] for t in np.flatnonzero(per_visit == 0)]
        if never:
            raise ValueError(f"Never observed in covariance group {label!r}: visit {', '.join(never)}.")
    dependent = dependent_columns(cross_product(observed_diagonal(sums), sums.zz, design.maps), design.columns)
    if dependent:
        raise ValueError(
            f"The design is singular: {', '.join(dependent)} can be written as a combination of earlier columns "
            "in the observed data. Leave them out."
        )
    _check_counts(sums, design, structure)


def _check_counts(sums: PatternSums, design: VisitDesign, structure: Structure) -> None:
    p, t = len(design.columns), sums.n_visits
    needed = p + structure.n_parameters * len(sums.groups)
    if sums.n_observations < needed:
        raise ValueError(f"{sums.n_observations} outcomes cannot determine {needed} parameters.")
    for g, label in enumerate(sums.groups):
        mine = sums.group == g
        together = np.einsum("p,ps,pt->st", sums.n[mine], sums.observed[mine] * 1.0, sums.observed[mine] * 1.0)
        if sums.n[mine].sum() < 2 or (structure.name == "unstructured" and sums.n[mine].sum() <= t):
            raise ValueError(
                f"Covariance group {label!r} has {int(sums.n[mine].sum())} patients, too few for "
                f"a {structure.name} covariance over {t} visits."
            )
        if structure.name == "unstructured" and together.min() == 0:
            s, u = np.argwhere(together == 0)[0]
            raise ValueError(
                f"No patient of covariance group {label!r} was seen at both {design.visits[s]} and "
                f"{design.visits[u]}: their covariance cannot be estimated; choose a structure with fewer parameters."
            )


def _start(problem: Problem) -> FloatArray:
    """Starting theta (G, k) from the residuals of least squares."""
    sums, maps = problem.sums, problem.design.maps
    cells = observed_cells(sums)
    right = np.einsum("qt,tqp->p", sums.zy.sum(axis=0), maps)
    beta = np.linalg.solve(cross_product(observed_diagonal(sums), sums.zz, maps), right)
    products = residual_sums(sums, maps, beta)[1]
    theta = []
    for g in range(len(sums.groups)):
        mine = sums.group == g
        together = np.tensordot(sums.n[mine], cells[mine], axes=1)
        moment = np.where(together > 0, products[mine].sum(axis=0) / np.maximum(together, 1), np.nan)
        raw = np.diag(sums.yy[mine].sum(axis=0)) / np.diag(together)
        flat = np.flatnonzero(np.diag(moment) <= DEGENERATE * np.maximum(raw, np.finfo(float).tiny))
        if flat.size:
            raise ValueError(
                f"Degenerate variance in covariance group {sums.groups[g]!r}: at visit "
                f"{problem.design.visits[flat[0]]} the covariates determine the outcome exactly."
            )
        theta.append(start_parameters(problem.structure, moment))
    return np.stack(theta)


def _certificate(point: Point, observed: FloatArray, iterations: int, fallback: bool) -> Convergence:
    relative = np.abs(point.gradient) * np.maximum(np.abs(point.theta.ravel()), 1.0)
    return Convergence(
        iterations=iterations,
        relative_gradient=float(relative.max() / max(abs(point.profile.loglik), 1.0)),
        newton_decrement=newton_decrement(point, observed),
        smallest_curvature=scaled_curvature(observed),
        fallback=fallback,
    )


def _check_interior(point: Point, observed: FloatArray, visits: tuple[str, ...], groups: tuple[str, ...]) -> None:
    """Refuse an estimate at the edge of the parameter space, where neither tests nor intervals hold."""
    for sigma, label in zip(point.sigma, groups, strict=True):
        sd = np.sqrt(np.diag(sigma))
        values, vectors = np.linalg.eigh(sigma / np.outer(sd, sd))
        if values[0] < DEGENERATE:
            where = ", ".join(visits[t] for t in np.flatnonzero(np.abs(vectors[:, 0]) > 0.1))
            raise ValueError(
                f"Degenerate variance in covariance group {label!r}: visits {where} are exact combinations of one "
                "another. Choose a structure with fewer parameters or leave a visit out."
            )
    if not is_maximum(point, observed):
        raise ValueError(
            "No maximum of the likelihood could be certified: the data do not determine the covariance parameters. "
            "Choose a structure with fewer parameters."
        )
