"""Kaplan-Meier, Nelson-Aalen, log-rank and restricted means against hand, R and each other."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from analysis.numerics.survival_counts import (
    count_events,
    kaplan_meier,
    log_rank,
    nelson_aalen,
    quantile,
    restricted_mean,
    reverse_kaplan_meier,
    step_values,
)

TESTS = Path(__file__).parents[2]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", TESTS.parents[1] / "shared" / "references"))
OWN = json.loads((TESTS / "reference" / "exact_time.json").read_text())
ROWS = {name: np.array(column, dtype=float) for name, column in OWN["data"].items()}
# Both sides compute in double precision; R writes 15 digits, and a few hundred operations lose three of them.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
NAN = float("nan")


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


def numbers(values):
    return np.array([NAN if value in (None, "") else float(value) for value in values])


def simulated(seed=3, n=60):
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 4, n).astype(float)
    return entry + rng.integers(1, 9, n), rng.integers(0, 2, n), rng.integers(0, 3, n), entry


class TestByHand:
    def test_survival_and_greenwood_of_five_rows(self):
        curve = kaplan_meier(count_events([1, 2, 2, 3, 4], [1, 1, 0, 0, 1]), conf="plain")
        assert curve.at_risk.tolist() == [5, 4, 2, 1]
        # Exact fractions, so only the last bit may differ.
        np.testing.assert_allclose(curve.estimate, [4 / 5, 3 / 5, 3 / 5, 0], rtol=1e-15)
        np.testing.assert_allclose(curve.std_error[1] ** 2, 9 / 25 * (1 / 20 + 1 / 12), rtol=1e-14)
        assert np.isnan(curve.std_error[-1])

    def test_hazard_adds_events_over_those_at_risk(self):
        curve = nelson_aalen(count_events([1, 2, 2, 4], [1, 1, 1, 0]))
        # Exact fractions.
        np.testing.assert_allclose(curve.estimate, [1 / 4, 11 / 12, 11 / 12], rtol=1e-15)
        np.testing.assert_allclose(curve.std_error**2, [1 / 16, 1 / 16 + 2 / 9, 1 / 16 + 2 / 9], rtol=1e-14)

    def test_late_entry_is_not_at_risk_at_its_entry_time(self):
        counts = count_events([2, 3, 5], [1, 1, 1], entry=[0, 2, 0])
        assert counts.at_risk.tolist() == [2, 2, 1]

    def test_restricted_mean_is_the_area_and_its_variance_the_squared_areas_to_come(self):
        mean = restricted_mean(count_events([1, 2, 4, 5], [1, 1, 0, 0]), 4.0)
        # S is 1, 3/4, 1/2: area 1 + 3/4 + 1; areas to come 7/4 and 1 with d / n(n - d) of 1/12 and 1/6.
        assert mean.estimate == pytest.approx(2.75, rel=1e-15)
        assert mean.variance == pytest.approx((7 / 4) ** 2 / 12 + 1 / 6, rel=1e-14)

    def test_an_event_at_time_zero_takes_its_share_of_the_whole_area(self):
        mean = restricted_mean(count_events([0, 3], [1, 0]), 2.0)
        # Half of the area of 2, variance 2^2 (1/2)^2 d / n(n - d); exact.
        assert (mean.estimate, mean.variance) == (1.0, 0.5)

    def test_log_rank_of_four_rows(self):
        test = log_rank([1, 2, 3, 4], [1, 1, 1, 1], ["a", "b", "a", "b"])
        # Shares of a among those at risk: 1/2, 1/3, 1/2, 0.
        np.testing.assert_allclose(test.expected, [4 / 3, 8 / 3], rtol=1e-14)
        np.testing.assert_allclose(test.variance[0, 0], 1 / 4 + 2 / 9 + 1 / 4, rtol=1e-14)
        assert test.statistic == pytest.approx((2 / 3) ** 2 / (13 / 18), rel=1e-12)

    def test_all_events_at_one_time(self):
        counts = count_events([3, 3, 3, 3], [1, 1, 1, 0])
        assert kaplan_meier(counts).estimate.tolist() == [0.25]
        test = log_rank([3, 3, 3, 3], [1, 1, 1, 0], [0, 0, 1, 1])
        # Hypergeometric: 3 events among 4, two a group: variance 3 * 1/4 * 1 / 3.
        assert test.variance[0, 0] == pytest.approx(0.25, rel=1e-14)

    def test_median_on_a_flat_piece_is_its_middle(self):
        curve = kaplan_meier(count_events([1, 2, 5, 9], [1, 1, 1, 1]))
        assert quantile(curve)[0] == 3.5
        assert np.isnan(quantile(kaplan_meier(count_events([1, 2], [0, 1], count=[1, 3])), 0.5)[2])


class TestAgainstR:
    def test_aml_curves_limits_and_quartiles(self):
        values, rows = reference("km_aml"), table("survival_aml")
        for block in values:
            for arm, label in enumerate(("Maintained", "Nonmaintained")):
                mine = rows["x"] == label
                curve = kaplan_meier(
                    count_events(numbers(rows["time"][mine]), numbers(rows["status"][mine])), conf=block["conf_type"]
                )
                for row in (row for row in block["table"] if row["strata"] == f"x={label}"):
                    at = np.searchsorted(curve.time, row["time"])
                    ours = [getattr(curve, name)[at] for name in ("at_risk", "estimate", "std_error", "lower", "upper")]
                    theirs = numbers([row[key] for key in ("n_risk", "surv", "se", "lower", "upper")])
                    np.testing.assert_allclose(ours, theirs, **CLOSE)
                quartiles = block["quantiles"]
                ours = np.array([quantile(curve, p) for p in quartiles["p"]]).T
                theirs = [numbers(quartiles[key][arm]) for key in ("est", "lower", "upper")]
                np.testing.assert_array_equal(ours, theirs)

    def test_remission_on_6mp(self):
        values, rows = reference("km_logrank_6mp"), table("kmsurv_drug6mp")
        placebo, drug, relapse = (numbers(rows[key]) for key in ("t1", "t2", "relapse"))
        curve = kaplan_meier(count_events(drug, relapse))
        for row in values["km"]["table"]:
            at = np.searchsorted(curve.time, row["time"])
            ours = [curve.estimate[at], curve.std_error[at], curve.lower[at], curve.upper[at]]
            np.testing.assert_allclose(ours, [row[key] for key in ("surv", "se", "lower", "upper")], **CLOSE)
        events = np.append(relapse, np.ones(placebo.size))
        test = log_rank(np.append(drug, placebo), events, np.repeat([0, 1], drug.size))
        assert test.statistic == pytest.approx(values["chisq"], rel=1e-10)
        quartiles = np.array([quantile(curve, p) for p in (0.25, 0.5, 0.75)]).T
        theirs = [
            numbers(np.ravel([NAN if v[0] is None else v[0] for v in values["km"]["quantiles"][key]]))
            for key in ("est", "lower", "upper")
        ]
        np.testing.assert_array_equal(quartiles, theirs)

    @pytest.mark.parametrize(
        ("case", "name", "time", "event", "group", "stratum", "weight"),
        [
            ("ovarian_rx", "survival_ovarian", "futime", ("fustat", 1), "rx", None, "log-rank"),
            ("lung_sex", "survival_lung", "time", ("status", 2), "sex", None, "log-rank"),
            ("lung_sex_strat_inst", "survival_lung", "time", ("status", 2), "sex", "inst", "log-rank"),
            ("lung_sex_rho1", "survival_lung", "time", ("status", 2), "sex", None, (1.0, 0.0)),
            ("veteran_celltype", "survival_veteran", "time", ("status", 1), "celltype", None, "log-rank"),
            ("veteran_trt_strat_celltype", "survival_veteran", "time", ("status", 1), "trt", "celltype", "log-rank"),
            ("alloauto", "kmsurv_alloauto", "time", ("delta", 1), "type", None, "log-rank"),
            ("bmt_group_dfs", "kmsurv_bmt", "t2", ("d3", 1), "group", None, "log-rank"),
        ],
    )
    def test_published_log_rank_tests(self, case, name, time, event, group, stratum, weight):
        values, rows = reference("logrank")[case], table(name)
        known = np.ones(rows[time].size, dtype=bool) if stratum is None else rows[stratum] != ""
        test = log_rank(
            numbers(rows[time][known]),
            numbers(rows[event[0]][known]) == event[1],
            rows[group][known],
            stratum=None if stratum is None else rows[stratum][known],
            weight=weight,
        )
        np.testing.assert_allclose(test.observed, values["obs"], **CLOSE)
        np.testing.assert_allclose(test.expected, values["exp"], **CLOSE)
        np.testing.assert_allclose(test.variance, values["var"]["values"], **CLOSE)
        assert (test.statistic, test.df) == (pytest.approx(values["chisq"], rel=1e-10), values["df"])
        assert test.p_value == pytest.approx(values["p"], rel=1e-9)

    @pytest.mark.parametrize(
        ("case", "name", "scale"),
        [
            ("pbc", "survrm2_pbc_sample", 1.0),
            ("lung_months_tau24", "survival_lung", 30.4375),
            ("alloauto_tau28", "kmsurv_alloauto", 1.0),
        ],
    )
    def test_restricted_means_of_survrm2(self, case, name, scale):
        values, rows = reference("rmst")[case], table(name)
        arm = {"pbc": rows.get("arm"), "lung_months_tau24": rows.get("sex"), "alloauto_tau28": rows.get("type")}[case]
        event = numbers(rows["delta" if "delta" in rows else "status"])
        died = event == event.max()
        for label, key in zip(np.unique(arm), ("arm0", "arm1"), strict=True):
            mine = arm == label
            mean = restricted_mean(count_events(numbers(rows["time"])[mine] / scale, died[mine]), values["tau"])
            # The stated tolerance: the month of the reference is known to no more digits than 1e-6 needs.
            assert mean.estimate == pytest.approx(values[f"{key}_rmst"]["Est."], abs=1e-6)
            assert mean.variance == pytest.approx(values[f"{key}_var"], abs=1e-6)

    def test_restricted_means_and_medians_of_survfit(self):
        # print(survfit(Surv(time, status) ~ sex), rmean = 730): its limits of the median are those of log survival.
        rows, theirs = table("survival_lung"), reference("rmst")["lung_rmean730"]
        died = numbers(rows["status"]) == 2
        for sex, told in zip(("1", "2"), theirs["values"], strict=True):
            mine = rows["sex"] == sex
            counts = count_events(numbers(rows["time"])[mine], died[mine])
            mean, (median, low, high) = restricted_mean(counts, 730.0), quantile(kaplan_meier(counts, conf="log"))
            expected = dict(zip(theirs["cols"], told, strict=True))
            assert (mine.sum(), died[mine].sum()) == (expected["records"], expected["events"])
            assert mean.estimate == pytest.approx(expected["rmean"], rel=1e-12)  # rounding
            assert np.sqrt(mean.variance) == pytest.approx(expected["se(rmean)"], rel=1e-12)
            assert (median, low, high) == (expected["median"], expected["0.95LCL"], expected["0.95UCL"])

    def test_pseudo_values_of_the_share_alive_at_a_year(self):
        # survival::pseudo: the estimate and n times its slope in the weight of each patient (infinitesimal jackknife).
        rows = table("survival_lung")
        time, died = numbers(rows["time"]), numbers(rows["status"]) == 2
        theirs, step = np.ravel(reference("rmst")["pseudo_lung_365_head"]), 1e-5

        def alive(weight):
            curve = kaplan_meier(count_events(time, died, count=weight))
            return float(step_values(curve.time, curve.estimate, 365.0, before=1.0))

        def slope(i):
            one = step * (np.arange(time.size) == i)
            return (alive(1 + one) - alive(1 - one)) / (2 * step)

        ours = [alive(np.ones(time.size)) + time.size * slope(i) for i in range(theirs.size)]
        # The error of a central difference is of the order of its step squared.
        np.testing.assert_allclose(ours, theirs, atol=1e-7)

    def test_left_truncated_curve_with_ties(self):
        theirs = OWN["survival_counts"]["truncated"]
        counts = count_events(ROWS["time"], ROWS["cause"] > 0, entry=ROWS["entry"])
        curve, hazard = kaplan_meier(counts), nelson_aalen(counts)
        for name, key in (("at_risk", "n_risk"), ("estimate", "surv"), ("lower", "lower"), ("upper", "upper")):
            np.testing.assert_allclose(getattr(curve, name), numbers(theirs[key]), **CLOSE)
        np.testing.assert_allclose(hazard.estimate, theirs["cumhaz"], **CLOSE)
        np.testing.assert_allclose(hazard.std_error, theirs["se_cumhaz"], **CLOSE)

    @pytest.mark.parametrize("case", ["flipped", "events_first"])
    def test_reverse_curve_of_follow_up(self, case):
        theirs = {k: numbers(v) for k, v in OWN["survival_counts"]["reverse"][case].items()}
        counts = count_events(ROWS["time"], ROWS["cause"] > 0, entry=ROWS["entry"])
        ours = reverse_kaplan_meier(counts, events_first=case == "events_first")
        # In R the censored leave half a day later than the events of their day: at whole days they are counted by ours.
        left = np.isin(ours.time, np.floor(theirs["time"][np.diff(theirs["surv"], prepend=1) < 0]))
        there = np.searchsorted(theirs["time"], ours.time[left] + (case == "events_first") / 2)
        for name, key in (("estimate", "surv"), ("lower", "lower"), ("upper", "upper"), ("std_error", "se")):
            np.testing.assert_allclose(getattr(ours, name)[left], theirs[key][there], **CLOSE)
        assert left.sum() > 5

    def test_curve_of_fractional_weights(self):
        theirs = OWN["survival_counts"]["weighted"]
        curve = kaplan_meier(count_events(ROWS["time"], ROWS["cause"] > 0, count=ROWS["weight"]), conf="log")
        alive = curve.estimate > 0
        for name, key in (("estimate", "surv"), ("std_error", "se"), ("lower", "lower"), ("upper", "upper")):
            np.testing.assert_allclose(getattr(curve, name)[alive], numbers(theirs[key])[alive], **CLOSE)

    @pytest.mark.parametrize("case", ["rho_half", "stratified"])
    def test_three_groups_with_ties(self, case):
        theirs = OWN["survival_counts"][case]
        options = {"weight": (0.5, 0.0)} if case == "rho_half" else {"stratum": ROWS["stratum"]}
        test = log_rank(ROWS["time"], ROWS["cause"] > 0, ROWS["group"], **options)
        np.testing.assert_allclose(test.observed, theirs["obs"], **CLOSE)
        np.testing.assert_allclose(test.variance, theirs["var"], **CLOSE)
        assert test.statistic == pytest.approx(theirs["chisq"], rel=1e-10)


class TestCollapse:
    def test_without_censoring_survival_is_the_empirical_share(self):
        time = simulated()[0]
        curve = kaplan_meier(count_events(time, np.ones(time.size)))
        np.testing.assert_allclose(curve.estimate, [(time > t).mean() for t in curve.time], atol=1e-14)  # rounding

    def test_survival_times_censoring_is_the_share_still_observed(self):
        time, event, _, _ = simulated()
        counts = count_events(time, event)
        product = kaplan_meier(counts).estimate * reverse_kaplan_meier(counts).estimate
        np.testing.assert_allclose(product, [(time > t).mean() for t in counts.time], atol=1e-14)  # rounding

    def test_flipped_status_is_the_reverse_curve_with_events_at_risk(self):
        time, event, _, _ = simulated()
        flipped = kaplan_meier(count_events(time, 1 - event)).estimate
        reverse = reverse_kaplan_meier(count_events(time, event), events_first=False).estimate
        np.testing.assert_array_equal(reverse, flipped)

    def test_counts_are_the_same_as_repeated_rows(self):
        time, event, group, entry = simulated()
        count = np.arange(time.size) % 4
        many = np.repeat(np.arange(time.size), count)
        short = log_rank(time, event, group, count=count, entry=entry, weight="gehan")
        long = log_rank(time[many], event[many], group[many], entry=entry[many], weight="gehan")
        np.testing.assert_allclose(short.variance, long.variance, rtol=1e-12)  # the same sums in another order
        assert short.statistic == pytest.approx(long.statistic, rel=1e-10)

    def test_stratified_parts_add_up(self):
        time, event, group, _ = simulated()
        stratum = np.arange(time.size) % 2
        whole = log_rank(time, event, group, stratum=stratum)
        parts = [log_rank(time[s], event[s], group[s]) for s in (stratum == 0, stratum == 1)]
        np.testing.assert_allclose(whole.expected, sum(part.expected for part in parts), rtol=1e-13)  # order of sums
        np.testing.assert_allclose(whole.variance, sum(part.variance for part in parts), rtol=1e-12)

    def test_fleming_harrington_zero_is_log_rank(self):
        time, event, group, entry = simulated()
        flat = log_rank(time, event, group, entry=entry, weight=(0.0, 0.0))
        assert flat.statistic == log_rank(time, event, group, entry=entry).statistic

    @pytest.mark.parametrize("weight", ["log-rank", "gehan", "tarone-ware", (0.0, 1.0)])
    def test_log_rank_by_a_loop_over_times(self, weight):
        time, event, group, entry = simulated()
        score, variance, survival = np.zeros(3), np.zeros((3, 3)), 1.0
        for t in np.unique(time[event == 1]):
            at_risk = np.array([((entry < t) & (time >= t) & (group == g)).sum() for g in range(3)])
            died = np.array([((time == t) & (event == 1) & (group == g)).sum() for g in range(3)])
            n, d = at_risk.sum(), died.sum()
            w = {"log-rank": 1.0, "gehan": n, "tarone-ware": np.sqrt(n)}.get(weight, 1 - survival)
            share = at_risk / n
            score += w * (died - d * share)
            if n > 1:
                variance += w**2 * d * (n - d) / (n - 1) * (np.diag(share) - np.outer(share, share))
            survival *= 1 - d / n
        test = log_rank(time, event, group, entry=entry, weight=weight)
        assert test.statistic == pytest.approx(score @ np.linalg.pinv(variance) @ score, rel=1e-9)  # pinv loses digits


class TestEdges:
    def test_all_censored_keeps_survival_at_one(self):
        curve = kaplan_meier(count_events([2, 3], [0, 0]))
        assert (curve.estimate.tolist(), curve.lower.tolist(), curve.upper.tolist()) == ([1, 1], [1, 1], [1, 1])
        assert nelson_aalen(count_events([2, 3], [0, 0])).estimate.tolist() == [0, 0]
        assert restricted_mean(count_events([2, 3], [0, 0]), 3.0).variance == 0

    def test_one_subject_with_an_event(self):
        curve = kaplan_meier(count_events([2], [1]))
        assert (curve.estimate[0], quantile(curve)[0], restricted_mean(count_events([2], [1]), 9.0).estimate) == (
            0,
            2,
            2,
        )

    def test_rows_without_weight_leave_no_trace(self):
        assert count_events([1, 2], [1, 1], count=[0, 2]).time.tolist() == [2]

    def test_fractional_weights_that_add_to_the_risk_set_end_at_exactly_zero(self):
        counts = count_events([1, 2, 2, 2], [1, 1, 1, 1], count=[0.1, 0.2, 0.3, 0.7])
        assert kaplan_meier(counts).estimate[-1] == 0.0

    def test_steps_hold_from_their_own_time_on(self):
        assert step_values(np.array([1.0, 2.0]), np.array([0.5, 0.2]), [0.9, 1, 2.5], before=1.0).tolist() == [
            1,
            0.5,
            0.2,
        ]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([], []), "nobody is under observation"),
            (([1.0, NAN], [1, 0]), "must not be missing"),
            (([1.0], [1], {"count": [-1.0]}), "counts must not be negative"),
            (([1.0, 2.0], [1, 1], {"entry": [0.0, 2.0]}), "row 1: entry must be before exit"),
            (([1.0, 2.0], [1]), "2 whole numbers"),
            (([1.0], [NAN]), "1 whole numbers"),
            (([1.0], [2], {"n_causes": 1}), "between 0 and 1"),
        ],
    )
    def test_unusable_rows_are_refused_with_the_reason(self, arguments, message):
        time, cause, *options = arguments
        with pytest.raises(ValueError, match=message):
            count_events(time, cause, **(options[0] if options else {}))

    @pytest.mark.parametrize(
        ("event", "group", "message"),
        [
            ([1, 1], [0, NAN], "none missing"),
            ([1, 1], [0, 0], "two groups"),
            ([0, 0], [0, 1], "one event"),
            ([0, 1], [0, 1], "cannot be compared"),
        ],
    )
    def test_groups_that_cannot_be_compared_are_refused(self, event, group, message):
        with pytest.raises(ValueError, match=message):
            log_rank([1, 2], event, group)

    def test_a_horizon_beyond_follow_up_is_refused(self):
        with pytest.raises(ValueError, match="last follow-up at 2"):
            restricted_mean(count_events([1, 2], [1, 0]), 3.0)

    def test_unknown_options_are_refused(self):
        counts = count_events([1, 2], [1, 0])
        with pytest.raises(ValueError, match="conf must be"):
            kaplan_meier(counts, conf="exact")
        with pytest.raises(ValueError, match="weight must be"):
            log_rank([1, 2], [1, 1], [0, 1], weight="peto")
        with pytest.raises(ValueError, match="between 0 and 1"):
            quantile(kaplan_meier(counts), 1.5)
