"""Mean cumulative function and its robust variance against hand, R and brute force."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.numerics.recurrent import mean_cumulative_function
from analysis.numerics.survival_counts import count_events, nelson_aalen

OWN = json.loads((Path(__file__).parents[2] / "reference" / "exact_time.json").read_text())["recurrent"]
ROWS = {name: np.array(column, dtype=float) for name, column in OWN["data"].items()}
WINDOWS = (ROWS["id"], ROWS["start"], ROWS["stop"], ROWS["event"])


def influence_by_subject(subject, start, stop, events, weight):
    """Mean and standard error at each event time from a table of subjects by times."""
    subjects, influence, mean, result = np.unique(subject), 0.0, 0.0, []
    for t in np.unique(stop[events > 0]):
        at_risk = (start < t) & (stop >= t)
        total = (weight * at_risk).sum()
        rate = (weight * events)[at_risk & (stop == t)].sum() / total
        mine = subject[:, None] == subjects
        change = weight * at_risk * (events * (stop == t) - rate) / total
        influence = influence + change @ mine
        mean += rate
        result.append((mean, np.sqrt((influence**2).sum())))
    return np.array(result).T


def windows_with_gaps(seed=8, subjects=25):
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(subjects):
        now, weight = float(rng.integers(0, 3)), rng.uniform(0.3, 2)
        for _ in range(rng.integers(1, 6)):
            start = now + rng.integers(0, 2)
            now = start + rng.integers(1, 5)
            rows.append((i, start, now, rng.integers(0, 3), weight))
    return np.array(rows)[rng.permutation(len(rows))].T


def test_three_subjects_by_hand():
    result = mean_cumulative_function([1, 1, 2, 3], [0, 2, 0, 0], [2, 4, 4, 3], [1, 0, 1, 0])
    assert (result.time.tolist(), result.at_risk.tolist()) == ([2, 4], [3, 2])
    np.testing.assert_allclose(result.mean, [1 / 3, 1 / 3 + 1 / 2], rtol=1e-15)  # exact fractions
    # At 2 the influences are 2/9, -1/9, -1/9; at 4 subject 1 loses a quarter and subject 2 gains it.
    expected = [(4 + 1 + 1) / 81, (2 / 9 - 1 / 4) ** 2 + (1 / 4 - 1 / 9) ** 2 + 1 / 81]
    np.testing.assert_allclose(result.std_error**2, expected, rtol=1e-13)
    np.testing.assert_allclose(result.poisson_std_error**2, [1 / 9, 1 / 9 + 1 / 4], rtol=1e-14)


@pytest.mark.parametrize("case", ["plain", "weighted"])
def test_r_agrees_with_and_without_weights(case):
    theirs = OWN[case]
    result = mean_cumulative_function(*WINDOWS, weight=ROWS["weight"] if case == "weighted" else None)
    # R writes 15 digits; the incremental sum of squares loses a few.
    np.testing.assert_array_equal(result.time, theirs["time"])
    np.testing.assert_allclose(result.mean, theirs["mean"], rtol=1e-12)
    np.testing.assert_allclose(result.std_error, theirs["se"], rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_one_pass_equals_the_table_of_subjects_by_times(seed):
    rows = windows_with_gaps(seed)
    result = mean_cumulative_function(*rows[:4], weight=rows[4])
    mean, error = influence_by_subject(*rows)
    np.testing.assert_allclose(result.mean, mean, rtol=1e-12)  # order of sums
    np.testing.assert_allclose(result.std_error, error, rtol=1e-9)  # differences of running sums


def test_one_event_at_most_is_nelson_aalen():
    rng = np.random.default_rng(0)
    stop, event = rng.integers(1, 9, 30), rng.integers(0, 2, 30)
    hazard = nelson_aalen(count_events(stop, event))
    jumps = hazard.events > 0
    result = mean_cumulative_function(np.arange(30), np.zeros(30), stop, event)
    np.testing.assert_allclose(result.mean, hazard.estimate[jumps], rtol=1e-14)  # order of sums
    np.testing.assert_allclose(result.poisson_std_error, hazard.std_error[jumps], rtol=1e-14)


def test_without_censoring_it_is_the_mean_count_and_its_error():
    number = np.array([0, 1, 3, 0, 2])
    result = mean_cumulative_function(np.arange(5), np.zeros(5), np.full(5, 4.0), number)
    assert result.mean[0] == pytest.approx(number.mean(), rel=1e-15)
    assert result.std_error[0] == pytest.approx(number.std() / np.sqrt(5), rel=1e-13)  # rounding


def test_cutting_windows_changes_nothing():
    rows = windows_with_gaps()
    cut = (rows[1] + rows[2]) / 2
    halves = [
        np.append(rows[0], rows[0]),
        np.append(rows[1], cut),
        np.append(cut, rows[2]),
        np.append(0 * cut, rows[3]),
    ]
    whole, split = mean_cumulative_function(*rows[:4]), mean_cumulative_function(*halves)
    np.testing.assert_allclose(split.std_error, whole.std_error, rtol=1e-9)  # differences of running sums


def test_dependent_events_widen_the_robust_error_only():
    one = mean_cumulative_function(np.arange(40), np.zeros(40), np.full(40, 2.0), np.tile([0, 0, 0, 8], 10))
    assert one.std_error[0] > 2 * one.poisson_std_error[0]


def test_limits_are_symmetric_on_the_log_scale():
    result = mean_cumulative_function(*WINDOWS)
    np.testing.assert_allclose(result.lower * result.upper, result.mean**2, rtol=1e-12)  # exact up to rounding


def test_no_event_gives_an_empty_step_function():
    result = mean_cumulative_function([1, 2], [0, 0], [3, 4], [0, 0])
    assert (result.time.size, result.std_error.size, result.upper.size) == (0, 0, 0)


def test_one_subject_has_a_mean_without_spread():
    result = mean_cumulative_function(["a", "a"], [0, 2], [2, 5], [1, 2])
    assert result.mean.tolist() == [1, 3]
    assert result.std_error.tolist() == [0, 0]


def test_all_events_of_all_subjects_at_one_time():
    result = mean_cumulative_function([1, 2], [0, 0], [3, 3], [2, 4])
    assert (result.mean.tolist(), result.std_error[0]) == ([3], pytest.approx(np.sqrt(0.5), rel=1e-14))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([7, 7], [0, 1], [2, 3], [0, 1]), "subject 7 has overlapping windows"),
        (([7, 8], [0, 3], [2, 3], [0, 1]), "entry must be before exit"),
        (([7, 8], [0, 0], [2, 3], [0, -1]), "must not be missing or negative"),
        (([7, float("nan")], [0, 0], [2, 3], [0, 1]), "none missing"),
        (([7], [0, 0], [2, 3], [0, 1]), "2 labels"),
    ],
)
def test_unusable_windows_are_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        mean_cumulative_function(*arguments)


def test_courses_of_one_patient_watched_at_once_are_one_subject_of_changing_weight():
    """A patient's influence is the sum of those of the courses: the table of courses by times, added up by patient."""
    stop, event = np.array([3.0, 5.0, 4.0, 2.0, 5.0]), np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    patient = np.array([1, 1, 2, 3, 3])
    whole = mean_cumulative_function(
        [1, 1, 2, 3, 3], [0, 3, 0, 0, 2], [3, 5, 4, 2, 5], [0.5, 0, 1, 0, 1], weight=[2, 1, 1, 2, 1]
    )
    influence, expected = np.zeros(5), []
    for t in (3, 4, 5):
        at_risk = stop >= t
        rate = (event * (stop == t)).sum() / at_risk.sum()
        influence = influence + (event * (stop == t) - rate * at_risk) / at_risk.sum()
        expected.append(np.sqrt(sum(influence[patient == p].sum() ** 2 for p in (1, 2, 3))))
    np.testing.assert_allclose(whole.at_risk, [4, 3, 2])
    np.testing.assert_allclose(whole.mean, [1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1 / 2])
    np.testing.assert_allclose(whole.std_error, expected)
