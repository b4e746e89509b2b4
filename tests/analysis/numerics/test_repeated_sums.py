"""Cross-products per missingness pattern and design maps: what they hold, how they add, what they refuse."""

import numpy as np
import pytest

from analysis.numerics.repeated import fit_mmrm
from analysis.numerics.repeated_design import dependent_columns, design_from_columns, visit_design
from analysis.numerics.repeated_sums import PatternSums, combine, pattern_sums

NAN = np.nan
Z = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
Y = np.array([[1.0, 2.0], [3.0, NAN], [5.0, 6.0], [NAN, NAN]])
DESIGN = visit_design(("intercept", "age"), ("1", "2"), by_visit=("intercept",), constant=("age",))
FIELDS = ("n", "zz", "zy", "yy", "log_weight")


def random_patients(n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    z = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = rng.normal(size=(n, 2)) + rng.normal(size=(n, 1))
    y[rng.random((n, 2)) < 0.2] = NAN
    return z, y, rng.choice(["mild", "severe"], n)


def sorted_fields(sums: PatternSums) -> list[np.ndarray]:
    """All sums in an order that does not depend on the order of patients."""
    order = np.lexsort((sums.group, *sums.observed.T))
    return [getattr(sums, name)[order] for name in FIELDS]


def test_four_patients_make_two_patterns_with_sums_done_by_hand() -> None:
    sums = pattern_sums(Z, Y)
    assert (sums.n_subjects, sums.n_observations, sums.n_unobserved) == (3, 5, 1)
    only_first, both = (int(np.flatnonzero(sums.observed.sum(axis=1) == k)[0]) for k in (1, 2))
    assert (sums.n[only_first], sums.n[both]) == (1, 2)
    assert sums.zz[both].tolist() == [[2, 2], [2, 4]]
    assert sums.zy[both].tolist() == [[6, 8], [10, 12]]
    assert sums.yy[both].tolist() == [[26, 32], [32, 40]]
    assert sums.yy[only_first].tolist() == [[9, 0], [0, 0]]


def test_a_weight_multiplies_products_but_not_counts() -> None:
    sums = pattern_sums(Z[:1], Y[:1], weights=[4.0])
    assert (sums.n[0], sums.yy[0, 1, 1]) == (1, 16)
    assert sums.log_weight[0] == pytest.approx(2 * np.log(4), rel=1e-15)  # one rounding


def test_the_order_of_patients_does_not_matter() -> None:
    z, y, group = random_patients()
    order = np.random.default_rng(1).permutation(len(z))
    for ours, other in zip(
        sorted_fields(pattern_sums(z, y, group)),
        sorted_fields(pattern_sums(z[order], y[order], group[order])),
        strict=True,
    ):
        np.testing.assert_allclose(ours, other, rtol=1e-12, atol=1e-12)  # sums of 90 numbers in another order


def test_centres_add_up_to_the_pooled_data_even_if_one_lacks_a_group() -> None:
    z, y, group = random_patients()
    group[:30] = "mild"
    parts = [pattern_sums(z[i], y[i], group[i]) for i in (slice(0, 30), slice(30, 50), slice(50, 90))]
    together, pooled = combine(parts), pattern_sums(z, y, group)
    assert together.groups == pooled.groups == ("mild", "severe")
    assert (together.n_subjects, together.n_unobserved) == (pooled.n_subjects, pooled.n_unobserved)
    for ours, other in zip(sorted_fields(together), sorted_fields(pooled), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-12, atol=1e-12)  # the same sums in another order
    fits = [fit_mmrm(sums, DESIGN) for sums in (together, pooled)]
    np.testing.assert_allclose(fits[0].beta, fits[1].beta, rtol=1e-9)  # rounding of the optimiser's last step
    assert fits[0].loglik == pytest.approx(fits[1].loglik, rel=1e-12)


def test_the_number_of_patterns_does_not_grow_with_patients() -> None:
    z, y, group = random_patients(3000)
    assert len(pattern_sums(z, y, group).n) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": Z[:3]}, "same n"),
        ({"z": np.where(Z == 3, NAN, Z)}, "1 patients have a missing one, first row 3"),
        ({"y": np.where(Y == 6, np.inf, Y)}, "Outcomes must be finite, or NaN"),
        ({"y": np.full((4, 2), NAN)}, "No outcome was observed"),
        ({"y": np.ones((4, 51))}, "Between 1 and 50 visits"),
        ({"weights": [1, 1, 0, 1]}, "Weights must be positive"),
        ({"group": ["a"]}, "one value per patient"),
    ],
)
def test_arrays_that_do_not_describe_patients_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pattern_sums(**({"z": Z, "y": Y} | change))


def test_centres_with_different_visits_are_refused() -> None:
    with pytest.raises(ValueError, match="Centres must share visits and covariates"):
        combine([pattern_sums(Z, Y), pattern_sums(Z, Y[:, :1])])
    with pytest.raises(ValueError, match="no sums to combine"):
        combine([])


def test_reference_coding_gives_the_first_visit_and_differences_to_it() -> None:
    design = visit_design(("intercept", "arm", "age"), ("1", "3"), ("intercept", "arm"), ("age",))
    assert design.columns == ("intercept", "arm", "age", "visit=3", "arm:visit=3")
    assert (np.array([1.0, 1.0, 60.0]) @ design.maps).tolist() == [[1, 1, 60, 0, 0], [1, 1, 60, 1, 1]]


def test_cell_coding_gives_each_visit_its_own_coefficient_and_the_same_fit() -> None:
    z, y, _ = random_patients()
    cell = visit_design(("intercept", "age"), ("1", "2"), ("intercept",), ("age",), coding="cell")
    assert cell.columns == ("age", "visit=1", "visit=2")
    ours, other = fit_mmrm(pattern_sums(z, y), cell, reml=False), fit_mmrm(pattern_sums(z, y), DESIGN, reml=False)
    assert ours.beta[2] == pytest.approx(other.beta[0] + other.beta[2], rel=1e-8)  # two optimisations
    assert ours.loglik == pytest.approx(other.loglik, rel=1e-12)


def test_a_function_of_the_visits_makes_a_trend() -> None:
    design = design_from_columns(("intercept",), ("0", "6", "12"), {"slope": ("intercept", [0, 6, 12])})
    assert (np.ones(1) @ design.maps).ravel().tolist() == [0, 6, 12]


def test_designs_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="Unknown covariates weight; z has: intercept"):
        visit_design(("intercept",), ("1",), ("intercept",), ("weight",))
    with pytest.raises(ValueError, match="named twice"):
        visit_design(("intercept",), ("1",), ("intercept",), ("intercept",))
    with pytest.raises(ValueError, match="one finite value per visit"):
        design_from_columns(("intercept",), ("1", "2"), {"slope": ("intercept", [1])})
    with pytest.raises(ValueError, match="at least one column"):
        design_from_columns(("intercept",), ("1",), {})


def test_dependent_columns_are_the_later_ones() -> None:
    x = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    assert dependent_columns(x.T @ x, ["one", "drug", "placebo", "never"]) == ["placebo", "never"]
