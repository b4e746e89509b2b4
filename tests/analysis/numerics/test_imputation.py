"""Imputation from sums: the same distribution as imputing patients one by one, and Rubin's rules by hand."""

import numpy as np
import pytest

from analysis.numerics.imputation import Rows, combine, complete, least_squares, together

T, Q = 3, 2
SIGMA = np.array([[4.0, 2.0, 1.5], [2.0, 5.0, 2.5], [1.5, 2.5, 6.0]])
MEAN = np.array([[1.0, 0.2], [2.0, 0.1], [3.0, -0.3]])


def patients(seed=3, n=60):
    rng = np.random.default_rng(seed)
    z = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = z @ MEAN.T + rng.multivariate_normal(np.zeros(T), SIGMA, n)
    patterns = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    seen = patterns[rng.integers(0, len(patterns), n)]
    return z, np.where(seen, y, np.nan), seen


def sums_of(z, y, seen):
    patterns = np.unique(seen, axis=0)
    held = np.where(seen, y, 0.0)
    groups = [np.flatnonzero((seen == p).all(axis=1)) for p in patterns]
    return Rows(
        patterns,
        np.array([len(g) for g in groups], dtype=float),
        np.stack([z[g].T @ z[g] for g in groups]),
        np.stack([z[g].T @ held[g] for g in groups]),
        np.stack([held[g].T @ held[g] for g in groups]),
    )


def one_by_one(z, y, seen, visit, rng, rule, delta, swap):
    """The same imputation patient by patient: the formula of the textbook, with a loop."""
    out = y[:, visit].copy()
    for i in np.flatnonzero(~seen[:, visit]):
        o = np.flatnonzero(seen[i])
        gone = not seen[i, visit:].any()
        weight = np.linalg.solve(SIGMA[np.ix_(o, o)], SIGMA[o, visit]) if len(o) else np.zeros(0)
        centre = z[i] @ MEAN[visit] + weight @ (y[i, o] - MEAN[o] @ z[i])
        spread = SIGMA[visit, visit] - weight @ SIGMA[o, visit]
        if gone and rule == "return_to_baseline":
            centre, spread = 0.0, SIGMA[visit, visit]
        if gone and rule == "jump_to_reference":
            centre = (z[i] @ swap) @ MEAN[visit] + weight @ (y[i, o] - MEAN[o] @ z[i])
        if gone and rule == "copy_reference":
            centre = (z[i] @ swap) @ MEAN[visit] + weight @ (y[i, o] - MEAN[o] @ (z[i] @ swap))
        out[i] = centre + gone * (z[i] @ delta) + np.sqrt(spread) * rng.normal()
    return z.T @ out, float(out @ out)


@pytest.mark.parametrize(
    ("rule", "delta", "visit"),
    [("missing_at_random", (0.0, 0.0), 1), ("missing_at_random", (-2.0, 0.0), 2), ("missing_at_random", (-2.0, 1.5), 2),
     ("return_to_baseline", (0.0, 0.0), 2), ("jump_to_reference", (0.0, 0.0), 2), ("copy_reference", (0.0, 0.0), 2)],
)  # fmt: skip
def test_sums_of_imputed_values_have_the_distribution_of_imputing_patients_one_by_one(rule, delta, visit):
    z, y, seen = patients()
    swap = np.array([[1.0, 0.5], [0.0, 0.0]])
    rows = sums_of(z, y, seen)
    a, b = np.random.default_rng(1), np.random.default_rng(2)
    times = 1500
    ours = np.array([(*(c := complete(rows, MEAN, SIGMA, visit, a, rule=rule, swap=swap).moved(np.array(delta))).zy, c.yy)
                     for _ in range(times)])  # fmt: skip
    theirs = np.array([(*(p := one_by_one(z, y, seen, visit, b, rule, delta, swap))[0], p[1]) for _ in range(times)])
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / times)
    # Four standard errors of a mean over 1,500 draws; standard deviations to 8 %.
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 4 * error + 1e-9).all()
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.08)
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.1)


def test_what_was_seen_is_not_touched():
    z, y, seen = patients()
    rows = sums_of(z, y, seen)
    made = complete(rows, MEAN, SIGMA, 0, np.random.default_rng(0))
    assert made.imputed == (~seen[:, 0]).sum()
    full = sums_of(z, np.nan_to_num(y), np.ones_like(seen))
    whole = complete(full, MEAN, SIGMA, 0, np.random.default_rng(0))
    assert whole.imputed == 0 and whole.yy == pytest.approx(float(np.nan_to_num(y[:, 0]) @ np.nan_to_num(y[:, 0])))


def test_least_squares_from_sums_is_that_of_numpy():
    z, y, seen = patients()
    held = np.nan_to_num(y)
    made = complete(sums_of(z, held, np.ones_like(seen)), MEAN, SIGMA, 2, np.random.default_rng(0))
    estimate, variance = least_squares(made, np.array([0, 1]), np.eye(2))
    beta, rss, *_ = np.linalg.lstsq(z, held[:, 2], rcond=None)
    np.testing.assert_allclose(estimate, beta, rtol=1e-10)
    np.testing.assert_allclose(variance, rss / (len(z) - 2) * np.diag(np.linalg.inv(z.T @ z)), rtol=1e-8)


def test_rubins_rules_by_hand():
    # Three imputations: mean 2, within 1, between 1: total 1 + 4/3, and the degrees of freedom of Barnard & Rubin.
    made = combine(np.array([[1.0], [2.0], [3.0]]), np.ones((3, 1)), df=50.0)
    assert made.estimate[0] == 2 and made.error[0] == pytest.approx(np.sqrt(1 + 4 / 3))
    share = (4 / 3) / (7 / 3)
    old, seen = 2 / share**2, 51 / 53 * 50 * (1 - share)
    assert made.df[0] == pytest.approx(old * seen / (old + seen)) and made.missing_information[0] == pytest.approx(
        share
    )
    with pytest.raises(ValueError, match="two or more are needed"):
        combine(np.ones((1, 1)), np.ones((1, 1)), 10.0)


def test_who_is_seen_again_later_has_not_gone_and_takes_no_delta():
    rows = sums_of(*patients())
    missing = float(rows.n[~rows.observed[:, 2]].sum())
    back = Rows(rows.observed, rows.n, rows.zz, rows.zy, rows.yy, np.ones(len(rows.n), dtype=bool))

    def total(these, delta):
        return complete(these, MEAN, SIGMA, 2, np.random.default_rng(4), delta=delta).zy[0]

    assert total(rows, -10.0) - total(rows, 0.0) == pytest.approx(-10 * missing)
    assert total(back, -10.0) == pytest.approx(total(back, 0.0))


def test_rows_of_one_pattern_may_be_added_before_imputing():
    rows = sums_of(*patients())
    halves = Rows(*(np.concatenate([x, x] if x.dtype == bool else [x * 0.25, x * 0.75]) for x in
                    (rows.observed, rows.n, rows.zz, rows.zy, rows.yy)))  # fmt: skip
    joined = together(halves)
    assert len(joined.n) == len(rows.n) and joined.n.sum() == pytest.approx(rows.n.sum())
    assert np.sort(joined.yy[:, 0, 0]) == pytest.approx(np.sort(rows.yy[:, 0, 0]))


# Covariates: an indicator each for active and reference; `REFERENCE` takes either to the reference.
ARMS, REFERENCE = np.array([[10.0, 4.0], [12.0, 6.0]]), np.array([[0.0, 1.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("rule", "centre"),
    [
        ("missing_at_random", 12 + 0.5 * (11 - 10)),
        ("return_to_baseline", 0.0),
        ("jump_to_reference", 6 + 0.5 * (11 - 10)),
        ("copy_reference", 6 + 0.5 * (11 - 4)),
    ],
)
def test_two_visits_by_hand_under_every_rule(rule, centre):
    # One active patient, 11 at the first visit, gone at the second. Slope 0.5, and nothing left to chance beside it
    # (Carpenter, Roger & Kenward 2013, section 4: residuals about the own mean, or about that of the reference).
    sigma = np.array([[4.0, 2.0], [2.0, 1.0]])
    z, y = np.array([1.0, 0.0]), np.array([11.0, 0.0])
    rows = Rows(np.array([[True, False]]), np.ones(1), np.outer(z, z)[None], np.outer(z, y)[None], np.outer(y, y)[None])
    draws = [complete(rows, ARMS, sigma, 1, np.random.default_rng(k), rule=rule, swap=REFERENCE) for k in range(4000)]
    made = np.array([(d.zy[0], d.yy) for d in draws])
    if rule == "return_to_baseline":
        # The spread of the visit is one: its mean over 4,000 draws is within four standard errors.
        assert abs(made[:, 0].mean()) < 4 / np.sqrt(4000) and made[:, 0].std() == pytest.approx(1.0, abs=0.05)
    else:
        np.testing.assert_allclose(made, [[centre, centre**2]] * len(made), rtol=1e-9)


def test_patients_who_were_like_the_reference_all_along_are_found_by_copying_it_and_not_by_jumping_to_it():
    """Truth: those of the active arm who leave had never taken it, and are as the reference at both visits."""
    rng = np.random.default_rng(8)
    n, sigma = 20_000, np.array([[9.0, 5.0], [5.0, 8.0]])
    leaves = rng.random(n) < 0.3
    y = np.where(leaves[:, None], ARMS[:, 1], ARMS[:, 0]) + rng.multivariate_normal(np.zeros(2), sigma, n)
    z, seen = np.column_stack([np.ones(n), np.zeros(n)]), np.column_stack([np.ones(n, dtype=bool), ~leaves])
    rows = sums_of(z, np.where(seen, y, np.nan), seen)

    def mean(rule):
        return complete(rows, ARMS, sigma, 1, np.random.default_rng(1), rule=rule, swap=REFERENCE).zy[0] / n

    # Four standard errors: what is drawn and what was drawn for 6,000 who left, of spread 2.8 each.
    error = 4 * 0.3 * 2.8 * np.sqrt(2 / 6000)
    assert mean("copy_reference") == pytest.approx(y[:, 1].mean(), abs=error)
    # Taken for six worse than their arm at the first visit, they keep five ninths of it when they jump.
    assert y[:, 1].mean() - mean("jump_to_reference") == pytest.approx(0.3 * 6 * 5 / 9, abs=error)
