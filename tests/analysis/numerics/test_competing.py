"""Aalen-Johansen, cumulative incidence and Gray's test against hand, R and each other."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from analysis.numerics.competing import aalen_johansen, count_transitions, cumulative_incidence, gray_test
from analysis.numerics.survival_counts import count_events, kaplan_meier, log_rank

TESTS = Path(__file__).parents[2]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", TESTS.parents[1] / "shared" / "references"))
OWN = json.loads((TESTS / "reference" / "exact_time.json").read_text())
ROWS = {name: np.array(column, dtype=float) for name, column in OWN["data"].items()}
# Both sides compute in double precision; R writes 15 digits, and a few hundred operations lose three of them.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def shared(name):
    if not (REFERENCES / name).exists():
        pytest.skip(f"{REFERENCES / name} is not here: set CATAMNESIS_REFERENCES to the folder of reference numbers")
    return REFERENCES / name


def reference(case):
    return json.loads(shared(f"json/{case}.json").read_text())["values"]


def table(name):
    with shared(f"data/{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def mgus():
    rows = table("survival_mgus2")
    progressed = rows["pstat"] == "1"
    time = np.where(progressed, rows["ptime"], rows["futime"]).astype(float)
    return time, np.where(progressed, 1, 2 * rows["death"].astype(int)), rows["sex"]


def transplants():
    rows = table("mstate_ebmt3")
    recovery, relapse = rows["prtime"].astype(float) / 365.25, rows["rfstime"].astype(float) / 365.25
    recovered, died = rows["prstat"] == "1", rows["rfsstat"] == "1"
    first = np.where(recovered, 1, np.where(died, 2, 0))
    second = np.where(died[recovered], 2, 1)
    return count_transitions(
        np.repeat([0, 1], [first.size, second.size]),
        np.append(first, second),
        np.append(np.zeros(first.size), recovery[recovered]),
        np.append(np.where(recovered, recovery, relapse), relapse[recovered]),
    )


def illness_death(seed=5, n=40):
    """Rows of a process that can return, with late entries and many ties."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        state, now = int(rng.integers(0, 2)), int(rng.integers(0, 3))
        while state < 2 and now < 9:
            stop, target = now + int(rng.integers(1, 4)), int(rng.integers(0, 3))
            rows.append((state, target, now, stop))
            if target == state:
                break
            state, now = target, stop
    return np.array(rows, dtype=float).T


class TestByHand:
    def test_incidence_and_covariance_of_five_rows(self):
        result = cumulative_incidence(count_events([1, 2, 2, 3, 4], [1, 2, 1, 0, 2]))
        assert result.time.tolist() == [0, 1, 2, 4]
        # Exact fractions, so only the last bit may differ.
        np.testing.assert_allclose(result.probability[:, 1], [0, 1 / 5, 2 / 5, 2 / 5], rtol=1e-14)
        np.testing.assert_allclose(result.probability[:, 2], [0, 0, 1 / 5, 3 / 5], rtol=1e-14)
        # Without censoring before time 3 this is a multinomial share of 5.
        np.testing.assert_allclose(result.covariance[2, 1, 2], -2 / 5 * 1 / 5 / 5, rtol=1e-13)
        np.testing.assert_allclose(result.std_error[2, 1] ** 2, 2 / 5 * 3 / 5 / 5, rtol=1e-13)

    def test_a_state_that_can_be_left_and_entered_again(self):
        counts = count_transitions([0, 1, 0, 0], [1, 0, 1, 2], [0, 1, 0, 0], [1, 2, 3, 3])
        result = aalen_johansen(counts)
        # One of three leaves at 1 and returns at 2; the state 0 of time 3 holds those who stayed and entered anew.
        np.testing.assert_allclose(result.probability[1], [2 / 3, 1 / 3, 0], rtol=1e-15)
        np.testing.assert_allclose(result.probability[2], [1, 0, 0], rtol=1e-15)
        np.testing.assert_allclose(result.probability[3], [0, 1 / 2, 1 / 2], rtol=1e-15)

    def test_each_variance_of_one_tied_time(self):
        counts = count_events([1, 1, 1, 2], [1, 1, 2, 0])
        # d = 2 of n = 4: multinomial d (n - d) / n^3, Poisson moves staying or not, hypergeometric n - 1 for n.
        for name, expected in (("greenwood", 1 / 16), ("aalen", 2 / 16), ("gray", 2 / 16 * 2 / 3), ("mstate", 1 / 256)):
            variance = cumulative_incidence(counts, variance=name).covariance[1, 1, 1]
            assert variance == pytest.approx(expected, rel=1e-12), name

    def test_gray_of_five_rows(self):
        test = gray_test([1, 2, 5, 3, 4], [1, 2, 0, 1, 1], ["a", "a", "a", "b", "b"])
        # After the competing event at 2, R of a is 1 at risk times (1 - 1/3) / (1/3) = 2: all without the cause.
        np.testing.assert_allclose(test.score[0], (1 - 3 / 5) - 2 / 4 - 2 / 3, rtol=1e-13)  # exact fractions


class TestAgainstR:
    def test_mgus_states_and_their_errors(self):
        values = reference("competing_mgus2")
        time, cause, sex = mgus()
        probability, error = cumulative_incidence(count_events(time, cause)).at(values["times"])
        np.testing.assert_allclose(probability, values["aj"]["pstate"]["values"], **CLOSE)
        np.testing.assert_allclose(error, values["aj"]["se"]["values"], **CLOSE)
        for k, label in enumerate("FM"):
            mine = sex == label
            result = cumulative_incidence(count_events(time[mine], cause[mine])).at(values["times"])
            block = slice(5 * k, 5 * k + 5)
            np.testing.assert_allclose(result[0], values["aj_by_sex"]["pstate"]["values"][block], **CLOSE)
            np.testing.assert_allclose(result[1], values["aj_by_sex"]["se"]["values"][block], **CLOSE)

    def test_mgus_variances_of_cuminc(self):
        values = reference("competing_mgus2")
        time, cause, sex = mgus()
        for k, (label, column) in enumerate([("F", 1), ("M", 1), ("F", 2), ("M", 2)]):
            mine = sex == label
            result = cumulative_incidence(count_events(time[mine], cause[mine]), variance="gray").at(values["times"])
            np.testing.assert_allclose(result[0][:, column], values["cuminc_est"]["values"][k], **CLOSE)
            np.testing.assert_allclose(result[1][:, column] ** 2, values["cuminc_var"]["values"][k], **CLOSE)

    def test_mgus_survival_that_ignores_competition(self):
        values = reference("competing_mgus2")
        time, cause, _ = mgus()
        alone = cumulative_incidence(count_events(time, cause == 1)).at(values["times"])[0]
        np.testing.assert_allclose(alone[:, 1], values["one_minus_km_naive"], **CLOSE)

    def test_mgus_gray_test_of_both_causes(self):
        time, cause, sex = mgus()
        for k, (statistic, p_value, df) in enumerate(reference("competing_mgus2")["gray"]["values"], start=1):
            test = gray_test(time, cause, sex, cause_of_interest=k)
            assert (test.statistic, test.df) == (pytest.approx(statistic, rel=1e-10), df)
            assert test.p_value == pytest.approx(p_value, rel=1e-9)

    @pytest.mark.parametrize(
        ("case", "initial", "landmark"),
        [("from_tx", 0, 0.0), ("from_pr", 1, 0.0), ("from_tx_landmark_0.5", 0, 0.5), ("from_pr_landmark_0.5", 1, 0.5)],
    )
    def test_transplant_states_from_each_start_and_landmark(self, case, initial, landmark):
        values = reference("multistate_ebmt3")[case]
        result = aalen_johansen(transplants(), initial=initial, landmark=landmark, variance="mstate")
        # The reference prints times with 15 digits; the day itself must count as reached.
        probability, error = result.at([row["time"] + 1e-9 for row in values])
        np.testing.assert_allclose(probability, [[row[f"pstate{s}"] for s in (1, 2, 3)] for row in values], **CLOSE)
        np.testing.assert_allclose(error, [[row[f"se{s}"] for s in (1, 2, 3)] for row in values], **CLOSE)

    def test_transplant_moves_are_counted(self):
        events = np.array(reference("multistate_ebmt3")["events"]["values"])[:, :3]
        np.testing.assert_array_equal(transplants().moves.sum(axis=0), events)

    @pytest.mark.parametrize(
        ("case", "options"),
        [("gray", {}), ("gray_rho1", {"rho": 1.0}), ("gray_stratified", {"stratum": ROWS["stratum"]})],
    )
    def test_gray_of_three_groups_with_ties(self, case, options):
        for k, (statistic, p_value, df) in enumerate(OWN["competing"][case], start=1):
            test = gray_test(ROWS["time"], ROWS["cause"], ROWS["group"], cause_of_interest=k, **options)
            assert (test.statistic, test.df) == (pytest.approx(statistic, rel=1e-9), df)
            assert test.p_value == pytest.approx(p_value, rel=1e-9)

    def test_incidence_of_three_groups_with_ties(self):
        theirs = OWN["competing"]
        for k in range(6):
            mine, cause = ROWS["group"] == k % 3 + 1, k // 3 + 1
            counts = count_events(ROWS["time"][mine], ROWS["cause"][mine])
            probability, error = cumulative_incidence(counts, variance="gray").at(theirs["times"])
            np.testing.assert_allclose(probability[:, cause], theirs["est"][k], **CLOSE)
            np.testing.assert_allclose(error[:, cause] ** 2, theirs["var"][k], **CLOSE)

    def test_left_truncated_incidence(self):
        theirs = OWN["competing"]["truncated"]
        result = cumulative_incidence(count_events(ROWS["time"], ROWS["cause"], entry=ROWS["entry"]))
        np.testing.assert_allclose(result.at(theirs["time"])[0], theirs["pstate"], **CLOSE)

    @pytest.mark.parametrize(
        ("time", "group", "statistic"),
        [
            ([1, 1, 2, 3], [1, 1, 2, 2], 3.0),
            ([1, 1, 2, 3, 4], [1, 1, 2, 2, 2], 4.0),
            ([1, 2, 3, 4, 5, 6], [1, 2, 1, 2, 1, 2], 0.4830153),
        ],
    )
    def test_gray_when_everyone_has_the_event(self, time, group, statistic):
        # cuminc of cmprsk 2.2-11 on the same rows, as it prints them: seven digits.
        assert gray_test(time, np.ones(len(time)), group).statistic == pytest.approx(statistic, abs=1e-7)


class TestCollapse:
    def test_one_cause_is_kaplan_meier(self):
        counts = count_events(ROWS["time"], ROWS["cause"] > 0, entry=ROWS["entry"], count=ROWS["weight"])
        curve = kaplan_meier(counts)
        probability, error = cumulative_incidence(counts).at(curve.time)
        np.testing.assert_allclose(probability[:, 0], curve.estimate, atol=1e-14)  # rounding of the product
        alive = curve.estimate > 0
        np.testing.assert_allclose(error[alive, 1], curve.std_error[alive], rtol=1e-10)  # recursion against a sum

    def test_causes_add_up_to_any_event(self):
        result = cumulative_incidence(count_events(ROWS["time"], ROWS["cause"]))
        np.testing.assert_allclose(result.probability.sum(axis=1), 1.0, atol=1e-13)  # rounding
        np.testing.assert_allclose(result.covariance.sum(axis=2), 0.0, atol=1e-15)  # probabilities sum to a constant

    def test_incidence_is_the_multi_state_estimate_with_absorbing_states(self):
        nobody_late = np.zeros(ROWS["time"].size)
        counts = count_transitions(nobody_late, ROWS["cause"], nobody_late, ROWS["time"], n_states=3)
        ours = cumulative_incidence(count_events(ROWS["time"], ROWS["cause"])).covariance
        np.testing.assert_array_equal(aalen_johansen(counts).covariance, ours)

    def test_without_censoring_states_are_observed_shares(self):
        rng = np.random.default_rng(1)
        first, second = rng.integers(1, 5, 30), rng.integers(1, 5, 30)
        rows = np.repeat([0, 1], 30), np.repeat([1, 2], 30)
        result = aalen_johansen(count_transitions(*rows, np.append(first * 0, first), np.append(first, first + second)))
        shares = [(first > t, (first <= t) & (first + second > t)) for t in result.time]
        np.testing.assert_allclose(result.probability[:, :2], np.mean(shares, axis=2), atol=1e-14)  # rounding

    def test_counts_are_the_same_as_repeated_rows(self):
        rows = illness_death()
        count = np.arange(rows.shape[1]) % 3 + 1
        short = aalen_johansen(count_transitions(*rows, count=count))
        long = aalen_johansen(count_transitions(*np.repeat(rows, count, axis=1)))
        np.testing.assert_allclose(short.covariance, long.covariance, atol=1e-15)  # the same sums in another order

    def test_covariance_is_the_long_recursion_of_the_whole_matrix(self):
        counts = count_transitions(*illness_death())
        ours = aalen_johansen(counts, initial=0)
        product, covariance = np.eye(3), np.zeros((9, 9))
        for n, moves in zip(counts.at_risk, counts.moves, strict=True):
            hazard = moves / np.where(n > 0, n, 1)[:, None]
            step = hazard + np.diag(1 - hazard.sum(axis=1))
            noise = np.zeros((9, 9))  # vec stacks columns, so entry (h, j) sits at h + 3 j
            for h in np.flatnonzero(n):
                where = h + 3 * np.arange(3)
                noise[np.ix_(where, where)] = (np.diag(step[h]) - np.outer(step[h], step[h])) / n[h]
            left, right = np.kron(step.T, np.eye(3)), np.kron(np.eye(3), product)
            covariance = left @ covariance @ left.T + right @ noise @ right.T
            product = product @ step
        first_row = 3 * np.arange(3)
        np.testing.assert_allclose(ours.probability[-1], product[0], atol=1e-14)  # rounding
        np.testing.assert_allclose(ours.covariance[-1], covariance[np.ix_(first_row, first_row)], atol=1e-14)

    def test_probabilities_after_a_landmark_chain_with_those_before(self):
        counts = count_transitions(*illness_death())
        whole = aalen_johansen(counts, initial=1)
        middle = whole.at([4.0])[0][0]
        later = aalen_johansen(counts, initial=middle, landmark=4.0)
        np.testing.assert_allclose(later.probability[-1], whole.probability[-1], atol=1e-14)  # rounding

    def test_gray_without_competing_events_or_ties_is_close_to_log_rank(self):
        rng = np.random.default_rng(2)
        time, event, group = rng.exponential(size=200), rng.random(200) < 0.7, rng.integers(0, 2, 200)
        test = gray_test(time, event, group)
        # Gray weighs by estimated rather than actual risk sets, equal only when censoring is: the same to first order.
        assert test.statistic == pytest.approx(log_rank(time, event, group).statistic, abs=0.1)

    def test_gray_counts_are_the_same_as_repeated_rows(self):
        time, cause, group = ROWS["time"], ROWS["cause"], ROWS["group"]
        count = np.arange(time.size) % 3 + 1
        many = np.repeat(np.arange(time.size), count)
        short, long = gray_test(time, cause, group, count=count), gray_test(time[many], cause[many], group[many])
        assert short.statistic == pytest.approx(long.statistic, rel=1e-10)  # the same sums in another order


class TestEdges:
    def test_without_events_nobody_moves(self):
        result = cumulative_incidence(count_events([1, 2], [0, 0], n_causes=2))
        assert (result.probability.tolist(), result.covariance.any()) == ([[1, 0, 0]], False)
        assert aalen_johansen(count_transitions([0], [0], [0], [5], n_states=2)).at([4])[0].tolist() == [[1, 0]]

    def test_one_subject_moves_for_certain(self):
        result = cumulative_incidence(count_events([3], [2]))
        assert (result.probability[-1].tolist(), result.covariance.any()) == ([0, 0, 1], False)

    def test_an_event_at_time_zero_is_kept(self):
        assert cumulative_incidence(count_events([0, 5], [1, 0])).at([0])[0].tolist() == [[0.5, 0.5]]

    def test_a_distribution_over_states_can_start(self):
        counts = count_transitions([0, 1], [2, 2], None, [1, 2])
        assert aalen_johansen(counts, initial=[0.25, 0.75, 0]).probability[:, 2].tolist() == [0, 0.25, 1]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"initial": 3}, "initial state must be 0..1"),
            ({"initial": [0.5, 0.4]}, "add to 1"),
            ({"landmark": 9.0}, "not before the last observation at 2"),
            ({"variance": "bootstrap"}, "variance must be one of"),
        ],
    )
    def test_unusable_questions_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            aalen_johansen(count_transitions([0, 0], [1, 0], None, [1, 2]), **options)

    def test_times_before_the_landmark_are_refused(self):
        with pytest.raises(ValueError, match="before the landmark"):
            aalen_johansen(count_transitions([0], [1], None, [3]), landmark=2.0).at([1.0])

    def test_states_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match="between 0 and 1"):
            count_transitions([0], [2], None, [3], n_states=2)

    def test_groups_that_never_meet_the_cause_are_refused(self):
        with pytest.raises(ValueError, match="cannot be compared"):
            gray_test([1, 2, 3], [2, 2, 0], [0, 1, 1])
        with pytest.raises(ValueError, match="two groups"):
            gray_test([1, 2], [1, 1], [0, 0])
