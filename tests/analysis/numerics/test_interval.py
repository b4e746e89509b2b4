"""The estimate from intervals: by hand, against R, and where it must collapse to something simpler."""

import json

import numpy as np
import pytest
from interval_rows import REFERENCES, breast_cosmesis, data

from analysis.numerics.competing import cumulative_incidence
from analysis.numerics.intersections import Layout, layout
from analysis.numerics.interval import IntervalData, coarse_ends, npmle
from analysis.numerics.survival_counts import count_events


@pytest.mark.parametrize("arm", ["Rad", "RadChem", "all"])
def test_it_agrees_with_turnbull_in_r_on_breast_cosmesis(arm):
    # Numbers: R 4.2.2, interval::icfit, Kuhn-Tucker converged (json/turnbull_bcos.json).
    fit = npmle(breast_cosmesis(arm))
    theirs = json.loads((REFERENCES / "json" / "turnbull_bcos.json").read_text())["values"][arm]
    ours = np.append(fit.mass, fit.tail) if fit.tail > 0 else fit.mass
    # icfit prints 15 digits and stops at 1e-10 in its own criterion.
    np.testing.assert_allclose(ours, theirs["pf"], atol=1e-9)
    assert fit.loglik == pytest.approx(theirs["loglik"], abs=1e-9)
    np.testing.assert_array_equal(fit.left, theirs["intmap_L"][: len(fit.left)])


def test_two_disjoint_and_one_wide_interval_share_by_hand():
    # (0,1], (2,3] and (0,3]: the likelihood p1 * p2 * (p1 + p2) is largest at one half each.
    fit = npmle(data([(0, 1, 0), (2, 3, 0), (0, 3, 0)]))
    np.testing.assert_allclose(fit.mass, [0.5, 0.5], atol=1e-12)
    np.testing.assert_array_equal(np.stack([fit.left, fit.right]), [[0, 2], [1, 3]])


def test_overlapping_intervals_put_all_mass_on_their_intersection():
    fit = npmle(data([(0, 4, 0), (2, 6, 0), (3, 5, 0)]))
    assert (fit.left.tolist(), fit.right.tolist(), fit.mass.tolist()) == ([3.0], [4.0], [1.0])


def test_without_width_it_is_kaplan_meier():
    rng = np.random.default_rng(5)
    day = rng.integers(1, 40, 300).astype(float)
    event = rng.random(300) < 0.7
    fit = npmle(data([(d - 1, d, 0) if e else (d, 0, 2) for d, e in zip(day, event, strict=True)]))
    expected = cumulative_incidence(count_events(day, event.astype(int)))
    at = np.arange(1.0, 40.0)
    # Both are exact up to the certificate of 1e-10.
    np.testing.assert_allclose(fit.cumulative(at)[0], expected.at(at)[0][:, 1], atol=1e-8)


def test_with_exact_ends_and_no_width_it_is_aalen_johansen():
    rng = np.random.default_rng(6)
    day = rng.integers(1, 40, 400).astype(float)
    cause = rng.integers(0, 3, 400)
    rows = [(d - 1, d, 0) if c == 1 else (d, d, 1) if c == 2 else (d, 0, 2) for d, c in zip(day, cause, strict=True)]
    fit = npmle(data(rows))
    expected = cumulative_incidence(count_events(day, cause))
    at = np.arange(1.0, 40.0)
    # Both are exact up to the certificate of 1e-10.
    np.testing.assert_allclose(fit.cumulative(at)[0], expected.at(at)[0][:, 1], atol=1e-8)
    np.testing.assert_allclose(fit.end_incidence(at), expected.at(at)[0][:, 2], atol=1e-8)


def test_without_censoring_or_width_it_is_the_empirical_distribution():
    fit = npmle(data([(d - 1.0, float(d), 0) for d in (3, 5, 5, 9)]))
    np.testing.assert_allclose(fit.mass, [0.25, 0.5, 0.25], atol=1e-12)


def test_counts_are_the_same_as_repeated_rows():
    rows = [(0, 5, 0), (3, 9, 0), (6, 0, 2), (4, 7, 1)]
    many, once = npmle(data([(*r, 3.0) for r in rows])), npmle(data(rows * 3))
    np.testing.assert_allclose(many.mass, once.mass, atol=1e-9)
    assert many.loglik == pytest.approx(once.loglik, abs=1e-9)


def test_the_certificate_bounds_what_long_em_could_still_gain():
    rng = np.random.default_rng(7)
    left = rng.integers(0, 60, 500).astype(float)
    rows = data(
        [(x, x + rng.integers(1, 30), int(k)) for x, k in zip(left, rng.choice([0, 0, 1, 2], 500), strict=True)]
    )
    fit = npmle(rows)
    where = layout(rows.left, rows.right, rows.kind, rows.count)
    mass = np.full(where.size, 1 / where.size)
    for _ in range(3000):
        mass = mass * where.gradient(mass) / 500
    assert where.loglik(mass) <= fit.loglik + 500 * max(fit.gap, 0) + 1e-9
    assert fit.gap <= 1e-10


def test_gradient_and_curvature_are_those_of_numeric_differences():
    rng = np.random.default_rng(8)
    left = rng.integers(0, 20, 60).astype(float)
    rows = data([(x, x + rng.integers(1, 9), int(k)) for x, k in zip(left, rng.choice([0, 1, 2], 60), strict=True)])
    where = layout(rows.left, rows.right, rows.kind, rows.count)
    mass, step = rng.dirichlet(np.ones(where.size)), 1e-6
    shifts = np.eye(where.size) * step
    slope = [(where.loglik(mass + s) - where.loglik(mass - s)) / (2 * step) for s in shifts]
    curve = [(where.gradient(mass + s) - where.gradient(mass - s)) / (2 * step) for s in shifts]
    # Central differences at 1e-6 of values of order 1e3 keep about five digits.
    np.testing.assert_allclose(where.gradient(mass), slope, rtol=1e-4)
    np.testing.assert_allclose(where.gram(mass, np.arange(where.size)), -np.array(curve), rtol=1e-3, atol=1e-2)


def test_inside_an_intersection_only_bounds_are_known():
    fit = npmle(data([(10, 20, 0), (30, 0, 2)]))
    low, high = fit.cumulative(np.array([10.0, 15.0, 20.0]))
    np.testing.assert_allclose(low, [0, 0, 0.5])
    np.testing.assert_allclose(high, [0, 0.5, 0.5])
    np.testing.assert_allclose(fit.incidence(np.array([15.0])), [0.25])


def test_one_patient_and_all_censored_have_an_answer():
    assert npmle(data([(0, 9, 0)])).mass.tolist() == [1.0]
    nobody = npmle(data([(5, 0, 2), (9, 0, 2)]))
    assert (len(nobody.mass), nobody.tail) == (0, 1.0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(5, 5, 0)], "empty"),
        ([(0, 1, 0, 0.0)], "no observation"),
        ([(0, 1, 0, -1.0), (0, 1, 0, 2.0)], "negative"),
        ([(0, 1, 0, np.nan), (0, 1, 0, 2.0)], "negative or missing"),
        ([(0, 1, 0), (np.nan, 3, 0)], "missing or infinite"),
        ([(0, 1, 0), (-np.inf, 3, 0)], "missing or infinite"),
        ([(0, 1, 0), (np.inf, 0, 2)], "missing or infinite"),
        ([(0, 1, 0), (0, np.inf, 1)], "missing or infinite"),
        ([(0, 1, 0), (0, np.nan, 1)], "missing or infinite"),
        ([(0, 1, 0), (2, np.nan, 0)], "an end is missing"),
        ([(0, 1, 0), (2, np.nan, 2)], "without an end is missing"),
        ([(0, 1, 0), (5, 6, 3)], "kind must be"),
        ([(0, 1, 0), (5, 6, -1)], "kind must be"),
    ],
)
def test_impossible_data_are_refused_with_the_reason(rows, words):
    with pytest.raises(ValueError, match=words):
        npmle(data(rows))


def test_an_infinite_right_is_a_response_after_the_last_day_known_or_no_end_ever():
    # Half respond in (1, 3]; of the other it is known only that it is after day 5. Without ends, "never" says nothing.
    late = npmle(data([(1, 3, 0), (5, np.inf, 0)]))
    assert (late.right.tolist(), late.mass.tolist()) == ([3.0, np.inf], [0.5, 0.5])
    never, unknown = (npmle(data([(0, 4, 0), (3, 6, 0), (2, right, 2)])) for right in (np.inf, 2))
    np.testing.assert_allclose([never.mass, unknown.mass], [[1.0], [1.0]], atol=1e-12)


def test_a_gap_below_zero_is_no_certificate(monkeypatch):
    # What half a gradient would give: no mass could be moved with gain, and yet they do not add up to n.
    whole = Layout.gradient
    monkeypatch.setattr(Layout, "gradient", lambda *arguments: whole(*arguments) / 2)
    with pytest.raises(ValueError, match=r"gap -5\.0e-01 is below 0"):
        npmle(data([(0, 4, 0), (2, 6, 0), (3, 5, 0)]))


def test_a_start_from_similar_data_ends_at_the_same_place():
    rows = data([(0, 5, 0), (3, 9, 0), (6, 0, 2), (4, 7, 1), (2, 8, 0)])
    cold = npmle(rows)
    again = IntervalData(rows.left, rows.right, rows.kind, np.array([2.0, 0, 1, 1, 1]))
    warm, fresh = npmle(again, start=cold), npmle(again)
    at = np.arange(1.0, 10.0)
    np.testing.assert_allclose(warm.cumulative(at)[0], fresh.cumulative(at)[0], atol=1e-8)


def test_ends_moved_to_the_month_leave_what_is_said_of_responses_and_of_ends_at_reported_days():
    rng = np.random.default_rng(12)
    n = 3000
    left, kind = rng.integers(0, 600, n), rng.choice(3, n, p=(0.5, 0.3, 0.2))
    right = left + rng.integers(20, 90, n)
    exact = data([(a, b, k) for a, b, k in zip(left, right, kind, strict=True)])
    reported = np.array([91.0, 183.0, 365.0])
    coarse, carry = coarse_ends(exact, np.unique(np.concatenate([reported, np.arange(0, 721, 30.0)])))
    assert coarse.count.sum() == exact.count.sum() and len(coarse.count) < len(exact.count)
    np.testing.assert_allclose(exact.count @ carry, coarse.count)
    assert len(np.unique(coarse.right[coarse.kind == 1])) <= 28
    fits = [npmle(exact), npmle(coarse)]
    # What an end within a month says of responses is far below their sampling error (about 0.01 here).
    np.testing.assert_allclose(fits[0].incidence(reported), fits[1].incidence(reported), atol=1e-3)
    np.testing.assert_allclose(fits[0].end_incidence(reported), fits[1].end_incidence(reported), atol=3e-3)


def test_ends_on_days_of_the_grid_stay_where_they_are():
    exact = data([(0, 30, 1), (10, 60, 1), (5, 40, 0), (20, 60, 2)])
    coarse, carry = coarse_ends(exact, np.array([0.0, 30.0, 60.0, 90.0]))
    assert sorted(zip(coarse.left, coarse.right, coarse.kind, strict=True)) == sorted(
        zip(exact.left, exact.right, exact.kind, strict=True)
    )
    assert carry.sum() == 4
