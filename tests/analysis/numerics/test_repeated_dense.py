"""The pattern sums against matrices written out patient by patient, on random data."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from analysis.numerics.covariance import covariance_derivatives, covariance_matrix, covariance_structure
from analysis.numerics.degrees_of_freedom import (
    kenward_roger_covariance,
    kenward_roger_joint,
    satterthwaite,
)
from analysis.numerics.repeated import MmrmFit, fit_mmrm
from analysis.numerics.repeated_design import VisitDesign, visit_design
from analysis.numerics.repeated_likelihood import average_information, information, profile, score
from analysis.numerics.repeated_sandwich import (
    hotelling_degrees_of_freedom,
    sandwich,
    sandwich_degrees_of_freedom,
)
from analysis.numerics.repeated_sums import pattern_sums

VISITS = ("1", "2", "3")
COVARIATES = ("intercept", "arm", "age")
DESIGN = visit_design(COVARIATES, VISITS, by_visit=("intercept", "arm"), constant=("age",))
# Double precision over a few hundred terms; both sides are exact formulas.
EXACT = 1e-9


@dataclass
class Data:
    z: np.ndarray
    y: np.ndarray
    group: np.ndarray
    weights: np.ndarray


def random_data(seed: int, n: int = 60, groups: int = 2) -> Data:
    """Patients with arm, age, scattered missing visits, two severity stages and unequal weights."""
    rng = np.random.default_rng(seed)
    z = np.column_stack([np.ones(n), rng.integers(0, 2, n), rng.normal(60, 10, n)])
    y = rng.normal(size=(n, 1)) + rng.normal(size=(n, 3)) * [1.0, 1.5, 2.0] + z[:, 1:2] + 0.1 * z[:, 2:]
    y[rng.random((n, 3)) < 0.25] = np.nan
    group = np.array([f"stage {g}" for g in rng.integers(0, groups, n)])
    return Data(z, y, group, rng.uniform(0.5, 2.0, n))


@dataclass
class Dense:
    """Stacked rows of all observed values: X (N, p), y (N,), V (N, N), and owner of each row."""

    x: np.ndarray
    y: np.ndarray
    v: np.ndarray
    owner: np.ndarray

    @property
    def vi(self) -> np.ndarray:
        return np.linalg.inv(self.v)

    @property
    def phi(self) -> np.ndarray:
        return np.linalg.inv(self.x.T @ self.vi @ self.x)

    @property
    def beta(self) -> np.ndarray:
        return self.phi @ self.x.T @ self.vi @ self.y

    @property
    def projection(self) -> np.ndarray:
        return self.vi - self.vi @ self.x @ self.phi @ self.x.T @ self.vi

    def loglik(self, reml: bool) -> float:
        total = stats.multivariate_normal.logpdf(self.y, self.x @ self.beta, self.v)
        p = self.x.shape[1]
        return total + reml * 0.5 * (p * np.log(2 * np.pi) + np.linalg.slogdet(self.phi)[1])


def dense(data: Data, design: VisitDesign, sigma: np.ndarray, labels: tuple[str, ...]) -> Dense:
    """Write the model out; `sigma` (G, T, T) may be any matrices, for instance derivatives."""
    seen = [np.flatnonzero(~np.isnan(row)) for row in data.y]
    owner = np.concatenate([np.full(len(at), i) for i, at in enumerate(seen)])
    visit = np.concatenate(seen)
    x = np.array([data.z[i] @ design.maps[t] for i, t in zip(owner, visit, strict=True)])
    v = np.zeros((len(owner), len(owner)))
    for i, at in enumerate(seen):
        rows = np.flatnonzero(owner == i)
        v[np.ix_(rows, rows)] = sigma[labels.index(data.group[i])][np.ix_(at, at)] / data.weights[i]
    return Dense(x, data.y[owner, visit], v, owner)


STRUCTURES = ["unstructured", "heterogeneous toeplitz", "compound symmetry", "heterogeneous antedependence"]


def random_point(name: str, seed: int, groups: int = 2):
    """Sigma (G, T, T), first and second derivatives at a random theta."""
    structure, rng = covariance_structure(name, 3), np.random.default_rng(seed)
    theta = 0.4 * rng.normal(size=(groups, structure.n_parameters))
    pieces = [covariance_derivatives(structure, row) for row in theta]
    return tuple(np.stack([piece[i] for piece in pieces]) for i in range(3))


def only_group(matrices: np.ndarray, g: int) -> np.ndarray:
    """The matrix of one group, zero for the others: the derivative of all V with respect to a parameter of g."""
    alone = np.zeros_like(matrices)
    alone[g] = matrices[g]
    return alone


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_likelihood_and_coefficients_equal_generalised_least_squares(seed: int, reml: bool) -> None:
    data, (sigma, _, _) = random_data(seed), random_point("unstructured", seed)
    sums = pattern_sums(data.z, data.y, data.group, data.weights)
    found, expected = profile(sums, DESIGN.maps, sigma, reml), dense(data, DESIGN, sigma, sums.groups)
    assert found is not None
    np.testing.assert_allclose(found.beta, expected.beta, rtol=EXACT)
    np.testing.assert_allclose(found.phi, expected.phi, rtol=EXACT)
    assert found.loglik == pytest.approx(expected.loglik(reml), rel=1e-11)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", STRUCTURES)
def test_score_and_all_three_information_matrices_equal_their_definitions(name: str, reml: bool) -> None:
    data, (sigma, slope, bend) = random_data(7), random_point(name, 7)
    sums = pattern_sums(data.z, data.y, data.group, data.weights)
    at = profile(sums, DESIGN.maps, sigma, reml)
    assert at is not None
    full = dense(data, DESIGN, sigma, sums.groups)
    groups, k = slope.shape[:2]
    index = [(g, h) for g in range(groups) for h in range(k)]
    dv = [dense(data, DESIGN, only_group(slope[:, h], g), sums.groups).v for g, h in index]
    p, trace = full.projection, full.projection if reml else full.vi
    e = p @ full.y
    gradient = [-0.5 * (np.trace(trace @ d) - e @ d @ e) for d in dv]
    expected, observed, average = (np.zeros((len(dv), len(dv))) for _ in range(3))
    for a, (g, h) in enumerate(index):
        for b, (_, j) in enumerate(index):
            second = only_group(bend[:, h, j], g) if g == index[b][0] else np.zeros_like(sigma)
            ddv = dense(data, DESIGN, second, sums.groups).v
            pair = np.trace(trace @ dv[a] @ trace @ dv[b])
            twice = e @ dv[a] @ p @ dv[b] @ e
            expected[a, b], average[a, b] = 0.5 * pair, 0.5 * twice
            observed[a, b] = 0.5 * (2 * twice - pair + np.trace(trace @ ddv) - e @ ddv @ e)
    found = information(sums, DESIGN.maps, at, slope, bend)
    scale = EXACT * np.abs(observed).max()
    np.testing.assert_allclose(score(sums, at, slope), gradient, atol=scale)
    np.testing.assert_allclose(found.expected, expected, atol=scale)
    np.testing.assert_allclose(found.observed, observed, atol=scale)
    np.testing.assert_allclose(average_information(sums, DESIGN.maps, at, slope), average, atol=scale)


@pytest.fixture(scope="module")
def fitted() -> tuple[Data, MmrmFit]:
    data = random_data(11)
    return data, fit_mmrm(pattern_sums(data.z, data.y, data.group, data.weights), DESIGN)


def kenward_roger_by_definition(data: Data, fit: MmrmFit) -> tuple[np.ndarray, list[np.ndarray]]:
    """Equation 3 of Kenward & Roger (1997) with its P, Q and R written out, and the matrices P."""
    labels, k = fit.sums.groups, fit.structure.n_parameters
    full = dense(data, DESIGN, fit.sigma, labels)
    pieces = [covariance_derivatives(fit.structure, row) for row in fit.theta]
    slope, bend = np.stack([piece[1] for piece in pieces]), np.stack([piece[2] for piece in pieces])
    index = [(g, h) for g in range(len(labels)) for h in range(k)]
    half = full.vi @ full.x
    dv = [dense(data, DESIGN, only_group(slope[:, h], g), labels).v for g, h in index]
    p = [-half.T @ d @ half for d in dv]
    total = np.zeros_like(full.phi)
    for a, (g, h) in enumerate(index):
        for b, (f, j) in enumerate(index):
            q = half.T @ dv[a] @ full.vi @ dv[b] @ half
            ddv = dense(data, DESIGN, only_group(bend[:, h, j], g) * (g == f), labels).v
            r = half.T @ ddv @ half
            total += fit.theta_covariance[a, b] * (q - p[a] @ full.phi @ p[b] - r / 4)
    return full.phi + 2 * full.phi @ total @ full.phi, p


def test_kenward_roger_equals_its_definition_with_groups_and_weights(fitted: tuple[Data, MmrmFit]) -> None:
    data, fit = fitted
    adjusted, p = kenward_roger_by_definition(data, fit)
    np.testing.assert_allclose(kenward_roger_covariance(fit), adjusted, rtol=1e-8)
    rows = np.eye(fit.beta.size)[2:5]
    inner = np.linalg.inv(rows @ fit.covariance @ rows.T)
    theta = [rows.T @ inner @ rows @ fit.covariance @ one @ fit.covariance for one in p]
    pairs = [(h, j) for h in range(len(p)) for j in range(len(p))]
    a1 = sum(fit.theta_covariance[h, j] * np.trace(theta[h]) * np.trace(theta[j]) for h, j in pairs)
    a2 = sum(fit.theta_covariance[h, j] * np.trace(theta[h] @ theta[j]) for h, j in pairs)
    b, g = (a1 + 6 * a2) / 6, (4 * a1 - 7 * a2) / (5 * a2)
    c1, c2, c3 = (np.array([g, 3 - g, 5 - g])) / (9 + 2 * (1 - g))
    mean, variance = 1 / (1 - a2 / 3), 2 / 3 * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    m = 4 + 5 / (3 * variance / (2 * mean**2) - 1)
    assert kenward_roger_joint(fit, rows) == pytest.approx((3, m, m / (mean * (m - 2))), rel=1e-8)


def test_satterthwaite_equals_two_variances_squared_over_a_numeric_delta_method(fitted: tuple[Data, MmrmFit]) -> None:
    _, fit = fitted
    contrast, step = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 0.5]), 1e-5
    row = np.zeros(fit.beta.size)
    row[: contrast.size] = contrast

    def variance(theta: np.ndarray) -> float:
        sigma = np.stack([covariance_matrix(fit.structure, one) for one in theta.reshape(fit.theta.shape)])
        found = profile(fit.sums, DESIGN.maps, sigma, True)
        assert found is not None
        return float(row @ found.phi @ row)

    units = np.eye(fit.theta.size) * step
    centre = fit.theta.ravel()
    slope = np.array([(variance(centre + u) - variance(centre - u)) / (2 * step) for u in units])
    expected = 2 * variance(centre) ** 2 / (slope @ fit.theta_covariance @ slope)
    # Central differences with this step are right to about eight digits.
    assert satterthwaite(fit, row)[0] == pytest.approx(expected, rel=1e-6)


def whitened(data: Data, fit: MmrmFit) -> tuple[Dense, np.ndarray, np.ndarray, np.ndarray]:
    """Dense model, L'X, L'r and I - H for V^-1 = L L'."""
    full = dense(data, DESIGN, fit.sigma, fit.sums.groups)
    lower = np.linalg.cholesky(full.vi)
    x, r = lower.T @ full.x, lower.T @ (full.y - full.x @ fit.beta)
    return full, x, r, np.eye(len(r)) - x @ fit.covariance @ x.T


@pytest.mark.parametrize(("kind", "power"), [("CR0", 0.0), ("CR2", -0.5), ("CR3", -1.0)])
def test_the_sandwich_and_its_degrees_of_freedom_equal_their_definitions(
    fitted: tuple[Data, MmrmFit], kind: str, power: float
) -> None:
    data, fit = fitted
    full, x, r, rest = whitened(data, fit)
    contrast = np.eye(fit.beta.size)[1]
    meat, g = np.zeros_like(full.phi), []
    for i in np.unique(full.owner):
        rows = np.flatnonzero(full.owner == i)
        values, vectors = np.linalg.eigh(rest[np.ix_(rows, rows)])
        adjust = (vectors * values**power) @ vectors.T
        s = x[rows].T @ adjust @ r[rows]
        meat += np.outer(s, s)
        g.append(rest[:, rows] @ adjust @ x[rows] @ fit.covariance @ contrast)
    form = np.array(g) @ np.array(g).T
    found = sandwich(fit, data.z, data.y, data.group, data.weights, kind)
    np.testing.assert_allclose(found.covariance, fit.covariance @ meat @ fit.covariance, rtol=EXACT, atol=EXACT)
    df = sandwich_degrees_of_freedom(fit, contrast, data.z, data.y, data.group, data.weights, kind)
    assert df[0] == pytest.approx(np.trace(form) ** 2 / (form**2).sum(), rel=EXACT)


@pytest.mark.parametrize(("kind", "power"), [("CR0", 0.0), ("CR2", -0.5)])
def test_hotellings_degrees_of_freedom_are_from_the_variances_of_all_elements_of_the_sandwich(
    fitted: tuple[Data, MmrmFit], kind: str, power: float
) -> None:
    """Every element written out as a quadratic form in residuals, whose moments are those of a normal vector."""
    data, fit = fitted
    full, x, _, rest = whitened(data, fit)
    contrasts = np.eye(fit.beta.size)[[1, 2, 4]] + 0.3 * np.eye(fit.beta.size)[[0, 3, 5]]
    q = len(contrasts)
    root = np.linalg.inv(np.linalg.cholesky(contrasts @ fit.covariance @ contrasts.T))
    unit = root @ contrasts  # another root of the matrix than the one used: the sum of variances is the same
    forms = np.zeros((q, len(np.unique(full.owner)), len(rest)))
    for k, i in enumerate(np.unique(full.owner)):
        rows = np.flatnonzero(full.owner == i)
        values, vectors = np.linalg.eigh(rest[np.ix_(rows, rows)])
        forms[:, k, rows] = ((vectors * values**power) @ vectors.T @ x[rows] @ fit.covariance @ unit.T).T
    law = np.einsum("sia,ab,tjb->stij", forms, rest, forms)
    mean = np.einsum("stii->st", law)
    variance = np.einsum("ssij,ttij->st", law, law) + np.einsum("stij,tsij->st", law, law)
    found = hotelling_degrees_of_freedom(fit, contrasts, data.z, data.y, data.group, data.weights, kind)
    if kind == "CR2":
        np.testing.assert_allclose(mean, np.eye(q), atol=1e-9)  # unbiased if the model holds
        assert found == pytest.approx(q * (q + 1) / variance.sum(), rel=EXACT)
    one = hotelling_degrees_of_freedom(fit, contrasts[:1], data.z, data.y, data.group, data.weights, kind)
    alone = sandwich_degrees_of_freedom(fit, contrasts[0], data.z, data.y, data.group, data.weights, kind)
    assert one == pytest.approx(alone[0], rel=EXACT)


@pytest.mark.parametrize("kind", ["CR0", "CR2"])
def test_patients_that_are_alike_count_together_in_the_degrees_of_freedom(kind: str) -> None:
    # Ages to ten years, equal weights, one group: most patients share their covariates and visits with others.
    data = random_data(8, n=400, groups=1)
    z = np.column_stack([data.z[:, :2], data.z[:, 2].round(-1)])
    assert len(np.unique(np.column_stack([z, np.isnan(data.y)]), axis=0)) < 200
    fit = fit_mmrm(pattern_sums(z, data.y), DESIGN)
    contrast = np.eye(fit.beta.size)[1]
    # With weights that differ in the last digit nobody is alike, and nothing else changes.
    apart = np.random.default_rng(0).uniform(1, 1 + 1e-13, len(z))
    together = sandwich_degrees_of_freedom(fit, contrast, z, data.y, kind=kind)
    assert together == pytest.approx(sandwich_degrees_of_freedom(fit, contrast, z, data.y, None, apart, kind), rel=1e-9)


def test_the_jackknife_sandwich_is_what_leaving_each_patient_out_gives(fitted: tuple[Data, MmrmFit]) -> None:
    data, fit = fitted
    full = dense(data, DESIGN, fit.sigma, fit.sums.groups)
    total = np.zeros_like(full.phi)
    for i in np.unique(full.owner):
        keep = np.flatnonzero(full.owner != i)
        less = Dense(full.x[keep], full.y[keep], full.v[np.ix_(keep, keep)], full.owner[keep])
        total += np.outer(less.beta - fit.beta, less.beta - fit.beta)
    found = sandwich(fit, data.z, data.y, data.group, data.weights, "CR3")
    np.testing.assert_allclose(found.covariance, total, rtol=1e-7, atol=1e-9)  # two inversions per patient
