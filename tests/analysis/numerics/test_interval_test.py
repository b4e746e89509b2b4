"""Generalised log-rank tests against R's interval package, and where they must agree with the plain log-rank test."""

import json

import numpy as np
import pytest
from interval_rows import REFERENCES, breast_cosmesis, data

from analysis.numerics.interval_test import interval_test
from analysis.numerics.survival_counts import log_rank


def two_arms():
    one, two = breast_cosmesis("Rad"), breast_cosmesis("RadChem")
    joined = type(one)(
        *(np.concatenate([getattr(one, f), getattr(two, f)]) for f in ("left", "right", "kind", "count"))
    )
    return joined, np.repeat([0, 1], [len(one.left), len(two.left)])


@pytest.mark.parametrize(("kind", "place"), [("sun", 0), ("finkelstein", 1), ("wilcoxon", 2)])
def test_it_agrees_with_ictest_in_r(kind, place):
    rows, group = two_arms()
    values = json.loads((REFERENCES / "json" / "ictest_bcos.json").read_text())["values"]
    theirs = values["pclt"][place]
    ours = interval_test(rows, group, kind=kind)
    # icfit stops at 1e-6 in the masses here, so its scores hold seven digits.
    assert ours.z == pytest.approx(theirs["statistic"], abs=1e-6)
    assert ours.p == pytest.approx(theirs["p"], abs=1e-7)
    np.testing.assert_allclose(ours.score_sum, theirs["U"], atol=1e-6)
    # Its score form has the variance of the full likelihood, which we do not estimate: the same sums, a chi-squared of
    # 7.6, 7.9 and 4.9 where the permutations give 7.1, 7.2 and 4.7.
    score_form = values["scoretest"][place]
    np.testing.assert_allclose(ours.score_sum, score_form["U"], atol=1e-6)
    assert ours.statistic == pytest.approx(score_form["statistic"], rel=0.1)


def test_without_width_the_sums_are_observed_minus_expected():
    rng = np.random.default_rng(3)
    day, event, group = rng.integers(1, 30, 200).astype(float), rng.random(200) < 0.6, rng.integers(0, 2, 200)
    rows = data([(d - 1, d, 0) if e else (d, 0, 2) for d, e in zip(day, event, strict=True)])
    ours = interval_test(rows, group)
    theirs = log_rank(day, event.astype(int), group)
    # The scores of Sun are the log-rank scores when times are exact; the certificate of the pooled fit is 1e-9.
    np.testing.assert_allclose(np.abs(ours.score_sum), np.abs(theirs.observed - theirs.expected), atol=1e-5)


def test_clusters_of_one_give_nearly_the_permutation_variance():
    rows, group = two_arms()
    single = interval_test(rows, group, cluster=np.arange(len(group)))
    # The two variances differ by how the groups share the squared scores, which is of the order of 1 / n.
    assert single.statistic == pytest.approx(interval_test(rows, group).statistic, rel=0.1)


def test_two_like_knees_of_each_patient_count_as_one():
    rows, group = two_arms()
    double = type(rows)(*(np.tile(getattr(rows, f), 2) for f in ("left", "right", "kind", "count")))
    n = len(group)
    naive = interval_test(double, np.tile(group, 2))
    clustered = interval_test(double, np.tile(group, 2), cluster=np.tile(np.arange(n), 2))
    once = interval_test(rows, group, cluster=np.arange(n))
    assert clustered.statistic == pytest.approx(once.statistic, rel=1e-6)
    assert naive.statistic > 1.8 * once.statistic


def test_one_group_or_nobody_responding_is_refused_with_the_reason():
    rows = data([(0, 5, 0), (3, 9, 0)])
    with pytest.raises(ValueError, match="at least two"):
        interval_test(rows, np.array([0, 0]))
    with pytest.raises(ValueError, match="Nobody responded"):
        interval_test(data([(4, 0, 2), (5, 0, 2)]), np.array([0, 1]))


def test_a_patient_whose_knees_are_alike_is_one_patient_also_in_one_row():
    rows, group = two_arms()
    double = type(rows)(rows.left, rows.right, rows.kind, 2 * rows.count)
    n = np.arange(len(group))
    one_row = interval_test(double, group, cluster=n, patients=rows.count)
    two_rows = interval_test(rows, group, cluster=n)
    assert one_row.statistic == pytest.approx(two_rows.statistic, rel=1e-6)
