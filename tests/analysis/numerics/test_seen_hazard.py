"""The hazard of an event seen at visits: likelihoods by hand, what it must collapse to, and a world that is known."""

import numpy as np
import pytest
from scipy import optimize

from analysis.numerics.emulation import Trials, Visits
from analysis.numerics.seen_hazard import Pieces, fit_hazard, pieces, standardise_hazard, watch
from analysis.numerics.structural import Spells


def ends(trial=(), arm=(), event=(), until=()) -> Spells:
    n = len(trial)
    return Spells(
        np.array(trial, dtype=int), np.zeros(n, dtype=int), np.array(arm, dtype=int), np.array(event, dtype=bool),
        np.zeros(n, dtype=int), np.zeros(n, dtype=bool), np.array(until, dtype=float), np.array([0.0, 400.0]),
    )  # fmt: skip


def test_a_trial_is_watched_from_look_to_look_up_to_the_first_loss_and_an_end_after_it_is_none():
    """Trial 0 is lost at its second look and better later; trial 1 never, and ends on day 250; trial 2 dies, never lost."""
    records = Trials(
        np.arange(3),
        np.array([0, 0, 0, 1, 2]),
        np.arange(5),
        np.array([1, 1, 1, 0, 0]),
        np.array([90.0, 180, 270, 90, 90]),
    )
    lost = np.array([False, True, False, False, False])
    made = watch(records, lost, ends([0, 1, 2], [1, 0, 0], [True, True, False], [300, 250, 400]))
    table = list(zip(made.trial, made.left, made.right, made.event, strict=True))
    assert table == [(0, 0, 90, False), (0, 90, 180, True), (1, 0, 90, False), (2, 0, 90, False), (1, 90, 250, True),
                     (2, 90, 400, False)]  # fmt: skip


def test_one_look_a_trial_gives_the_complementary_log_log_of_the_share_by_hand():
    """Of ten trials watched for 100 days six have the event: the hazard is -log(1 - 0.6) a hundred days."""
    made = Pieces(np.ones((10, 1)), np.ones(10), np.arange(10))
    fit = fit_hazard(made, np.arange(10) < 6, np.ones(10), np.zeros(1))
    assert np.exp(fit.coefficients[0]) == pytest.approx(-np.log(0.4), abs=1e-7)
    doubled = fit_hazard(made, np.arange(10) < 6, np.where(np.arange(10) < 6, 2.0, 1.0), np.zeros(1))
    assert np.exp(doubled.coefficients[0]) == pytest.approx(-np.log(4 / 16), abs=1e-7)


def test_intervals_over_several_bands_have_the_likelihood_that_a_general_optimiser_maximises():
    rng = np.random.default_rng(2)
    spans = rng.integers(1, 4, 400)
    first = np.cumsum(spans) - spans
    z = np.column_stack([np.ones(spans.sum()), rng.normal(size=spans.sum()), rng.integers(0, 2, spans.sum())])
    exposure, event, weight = rng.uniform(0.2, 1, spans.sum()), rng.random(400) < 0.5, rng.uniform(0.5, 2, 400)

    def loss(b):
        mu = np.add.reduceat(exposure * np.exp(z @ b), first)
        return -weight @ np.where(event, np.log1p(-np.exp(-mu)), -mu) + 0.05 * b @ b

    found = optimize.minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9}).x
    ours = fit_hazard(Pieces(z, exposure, first), event, weight, np.full(3, 0.1), tolerance=1e-13)
    assert ours.converged
    # BFGS with numeric gradients stops at about 1e-7 of the optimum.
    assert ours.coefficients == pytest.approx(found, abs=1e-5)


def sample(n: int, seed: int, looks: tuple[float, ...]) -> tuple[Visits, Trials, np.ndarray, np.ndarray]:
    """Return trials with a coin for the arm, hazards 0.3 and 0.6 a hundred days, seen at some of the looks."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, 2, n)
    at = rng.exponential(100 / np.where(arm == 1, 0.3, 0.6))
    trial, look = (a.ravel() for a in np.meshgrid(np.arange(n), np.array(looks), indexing="ij"))
    held = rng.random(len(trial)) < 0.6
    trial, look = trial[held], look[held]
    made = Trials(np.arange(n), trial, trial, arm[trial], look)
    nothing = np.zeros(n)
    visits = Visits(
        course=np.arange(n), day=nothing, zero=nothing, asked=np.ones(n, bool), treated=arm == 1,
        before=nothing.astype(int), booster_day=np.full(n, np.nan), state=np.full(n, 3), stratum=nothing.astype(int),
        x=np.zeros((n, 0)), n_strata=1, ended_early=np.zeros(n, bool),
    )  # fmt: skip
    return visits, made, at[trial] <= look, at


def test_courses_that_are_seen_rarely_are_not_taken_for_courses_that_fared_better():
    """Half of the looks are missed: the risk is that of the exact times, where counting seen losses by then is not."""
    n, bounds = 20_000, np.array([0.0, 100, 200, 300])
    visits, records, lost, _ = sample(n, 5, (60.0, 130, 200, 290))
    made = watch(records, lost, ends())
    design = pieces(made, records.start, visits, bounds, 2, interact=False)
    fit = fit_hazard(design, made.event, np.ones(len(made.trial)), np.full(design.design.shape[1], 1e-2))
    days = np.array([100.0, 200])
    curves = standardise_hazard(fit, records.start, visits, np.ones(n), bounds, 2, days, interact=False)
    for arm, curve in ((1, curves.treated), (0, curves.waiting)):
        true = 1 - np.exp(-days / 100 * (0.3 if arm else 0.6))
        # Monte-Carlo error of a share in 10,000: half a point.
        assert curve[0] == pytest.approx(true, abs=0.015)
        seen = np.bincount(made.trial, made.event & (made.right <= 100), n)[visits.treated == arm] > 0
        assert seen.mean() < true[0] - 0.03


def test_without_anybody_watched_there_is_no_hazard():
    empty = Pieces(np.zeros((0, 1)), np.zeros(0), np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="No course was watched"):
        fit_hazard(empty, np.zeros(0, dtype=bool), np.zeros(0), np.zeros(1))
