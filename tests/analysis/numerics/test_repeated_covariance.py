"""Covariance structures: their form, their derivatives, and which of them coincide."""

from typing import get_args

import numpy as np
import pytest

from analysis.numerics.covariance import (
    StructureName,
    covariance_derivatives,
    covariance_matrix,
    covariance_structure,
    start_parameters,
)

NAMES = get_args(StructureName)


def random_theta(name: str, visits: int, seed: int = 0) -> np.ndarray:
    return 0.5 * np.random.default_rng(seed).normal(size=covariance_structure(name, visits).n_parameters)


@pytest.mark.parametrize(("name", "count"), list(zip(NAMES, [10, 2, 5, 2, 5, 4, 7, 4, 7], strict=True)))
def test_four_visits_need_the_textbook_number_of_parameters(name: str, count: int) -> None:
    assert covariance_structure(name, 4).n_parameters == count


@pytest.mark.parametrize("visits", [1, 2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_exact_derivatives_equal_differences(name: str, visits: int) -> None:
    structure, theta, step = covariance_structure(name, visits), random_theta(name, visits), 1e-5
    _, first, second = covariance_derivatives(structure, theta)
    for k, unit in enumerate(np.eye(theta.size) * step):
        above, below = (covariance_derivatives(structure, theta + sign * unit) for sign in (1, -1))
        # Central differences with this step are right to about ten digits.
        np.testing.assert_allclose(first[k], (above[0] - below[0]) / (2 * step), atol=1e-8)
        np.testing.assert_allclose(second[k], (above[1] - below[1]) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_finite_at_zero_correlation(name: str) -> None:
    structure = covariance_structure(name, 4)
    for piece in covariance_derivatives(structure, np.zeros(structure.n_parameters)):
        assert np.isfinite(piece).all()


@pytest.mark.parametrize("name", [name for name in NAMES if "toeplitz" not in name])
def test_any_parameter_gives_a_positive_definite_matrix(name: str) -> None:
    for seed in range(20):
        theta = random_theta(name, 5, seed) * 3
        assert np.linalg.eigvalsh(covariance_matrix(covariance_structure(name, 5), theta))[0] > 0


def test_correlations_have_the_form_their_name_promises() -> None:
    def correlation(name: str) -> np.ndarray:
        theta = random_theta(name, 4, 3)
        sigma = covariance_matrix(covariance_structure(name, 4), theta)
        sd = np.sqrt(np.diag(sigma))
        return sigma / np.outer(sd, sd)

    exact = {"rtol": 1e-12}  # products of a few numbers
    symmetric = correlation("heterogeneous compound symmetry")
    np.testing.assert_allclose(symmetric[np.triu_indices(4, 1)], symmetric[0, 1], **exact)
    ar1 = correlation("ar1")
    np.testing.assert_allclose(ar1[0], ar1[0, 1] ** np.arange(4), **exact)
    toeplitz = correlation("heterogeneous toeplitz")
    np.testing.assert_allclose(np.diag(toeplitz, 1), toeplitz[0, 1], **exact)
    ante = correlation("antedependence")
    assert ante[0, 3] == pytest.approx(ante[0, 1] * ante[1, 2] * ante[2, 3], rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_start_is_positive_definite_even_for_incoherent_moments(name: str) -> None:
    # Pairwise correlations 0.9, 0.9, -0.9 belong to no distribution; one pair was never seen together.
    moment = np.array([[1.0, 1.8, 2.7, 0.0], [1.8, 4.0, -5.4, 0.0], [2.7, -5.4, 9.0, np.nan], [0.0, 0.0, np.nan, 16.0]])
    structure = covariance_structure(name, 4)
    assert np.linalg.eigvalsh(covariance_matrix(structure, start_parameters(structure, moment)))[0] > 0


def test_the_start_of_an_unstructured_matrix_is_a_coherent_moment_itself() -> None:
    moment = np.array([[4.0, 1.0, 0.5], [1.0, 9.0, 2.0], [0.5, 2.0, 1.0]])
    structure = covariance_structure("unstructured", 3)
    found = covariance_matrix(structure, start_parameters(structure, moment))
    np.testing.assert_allclose(found, moment, rtol=1e-12)  # a Cholesky factor squared


def test_an_unknown_structure_is_refused_with_the_known_ones_listed() -> None:
    with pytest.raises(ValueError, match=r"Unknown covariance structure 'us'; choose one of: unstructured, compound"):
        covariance_structure("us", 3)
    with pytest.raises(ValueError, match="at least one visit"):
        covariance_structure("ar1", 0)
