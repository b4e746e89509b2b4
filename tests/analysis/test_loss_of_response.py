"""Loss of response and time in response: closed forms, the synthetic truth, and honest answers where data are thin."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis.booster import booster_effect
from analysis.cohort import Stratum
from analysis.figures import png
from analysis.loss_of_response import loss_of_response, time_in_response
from analysis.loss_rows import loss_rows, mean_rows, share_rows
from analysis.multistate_checks import checks_of
from analysis.multistate_rows import fit_cohort
from analysis.trajectories import trajectories
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate
from synthetic.sources import write_template

STAGES = ("early", "moderate", "bone_on_bone")


def registry_of(design: Design, folder: Path) -> tuple[Registry, pl.DataFrame]:
    synthetic = simulate(design)
    write_template(synthetic, folder / "files")
    Registry.create(folder / "knees.duckdb", key=b"0123456789abcdef").close()
    load(folder / "knees.duckdb", [folder / "files"])
    derive(folder / "knees.duckdb")
    return Registry.open(folder / "knees.duckdb"), synthetic.truth


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Visits show the latent truth and nobody stays away: what remains is that visits are months apart."""
    design = Design(
        patients=1500, seed=11, noise=0, missed=0, dropout=0, boosters=False, item_share=0, extra_scales=False
    )
    return registry_of(design, tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Measurement error, missed visits and informative dropout."""
    design = Design(patients=900, seed=12, boosters=False, item_share=0, extra_scales=False)
    return registry_of(design, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def by_rule(real):
    """Time in response under each rule of confirmation."""
    return {c: time_in_response(real[0].courses(), confirmation=c) for c in ("confirmed", "first")}


@pytest.fixture(scope="module")
def lost(real):
    return loss_of_response(real[0].courses())


def true_share(truth: pl.DataFrame, stage: str, day: float) -> float:
    mine = truth.filter(pl.col("stage") == stage)
    until = pl.min_horizontal("loss_day", "end_day", "death_day")
    return float(mine.select(((pl.col("response_day") <= day) & (until > day)).mean()).item())


def true_mean_days(truth: pl.DataFrame, stage: str, horizon: float) -> float:
    mine = truth.filter(pl.col("stage") == stage)
    until = pl.min_horizontal("loss_day", "end_day", "death_day", pl.lit(horizon))
    return float(mine.select((until - pl.col("response_day")).clip(0, horizon).mean()).item())


def true_loss(truth: pl.DataFrame, stage: str, landmark: float, after: float) -> float:
    until = pl.min_horizontal("loss_day", "end_day", "death_day")
    held = truth.filter(pl.col("stage") == stage, pl.col("response_day") <= landmark, until > landmark)
    lost = (pl.col("loss_day") <= landmark + after) & (pl.col("loss_day") < pl.min_horizontal("end_day", "death_day"))
    return float(held.select(lost.mean()).item())


def number(result, quantity, stratum, day=None):
    rows = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    return (rows if day is None else rows.filter(pl.col("time_day") == day)).row(0, named=True)


# --- moves written by hand -------------------------------------------------------------------------------------------


def cohort(rows, *, points=(), courses_a_patient=1, strata=("all",)):
    """Fit moves (stratum, kind, from, to, start, stop, n); every patient makes each move `courses_a_patient` times."""
    columns = ["stratum", "kind", "from_state", "to_state", "start_day", "stop_day", "n"]
    cells = pl.DataFrame(rows, schema=columns, orient="row").with_columns(cell=pl.int_range(1, len(rows) + 1))
    patterns = cells.select(
        pl.col("cell").cast(pl.String).alias("pattern"), "cell", pl.lit(courses_a_patient).alias("n_courses"),
        (pl.col("n") // courses_a_patient).alias("n_patients"),
    )  # fmt: skip
    shares = pl.DataFrame(
        schema={
            "stratum": pl.String,
            "planned_visit": pl.String,
            "target_day": pl.Int64,
            "state": pl.String,
            "n": pl.Int64,
        }
    )
    named = [Stratum(s, s, "#000000") for s in strata]
    return fit_cohort(named, cells, patterns, shares, np.array(points, dtype=float), 0.95)


WAIT, HELD, LOST = "no_response_yet", "in_response", "response_lost"
FORTY_OF_A_HUNDRED = [("all", "visit", WAIT, WAIT, 0, 100, 60), ("all", "visit", WAIT, HELD, 0, 100, 40)]


def test_forty_of_a_hundred_seen_in_response_give_the_binomial_share_and_its_interval():
    (share, *_) = share_rows(cohort(FORTY_OF_A_HUNDRED), "all", np.array([100.0]))
    # t on 99 degrees of freedom is 1.984217; sqrt(100 / 99) for the divisor.
    logit = np.log(0.4 / 0.6) + np.array([-1, 1]) * 1.9842169515 * np.sqrt(100 / 99) / np.sqrt(100 * 0.4 * 0.6)
    assert share["estimate"] == pytest.approx(0.4, abs=1e-9)  # optimiser
    assert [share["low"], share["high"]] == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)  # differenced Hessian
    assert (share["n"], share["denominator"]) == (40, 100)


def test_the_mean_time_in_response_is_the_integral_of_the_exponential():
    (mean,) = mean_rows(cohort(FORTY_OF_A_HUNDRED), "all", 100.0)
    q = -np.log(0.6) / 100
    days = 100 - (1 - 0.6) / q
    assert mean["estimate"] == pytest.approx(days, rel=1e-8)  # optimiser
    # The binomial error of 0.4 carried over (delta method); forty responses tell how long they last: t on 39 degrees of
    # freedom is 2.022691, sqrt(40 / 39) for the divisor.
    slope = ((1 - 0.6) / q**2 - 100 * 0.6 / q) / (100 * 0.6)
    error = slope * np.sqrt(0.4 * 0.6 / 100) / 100 / (days / 100 * (1 - days / 100))
    logit = np.log(days / (100 - days)) + np.array([-1, 1]) * 2.022690920 * np.sqrt(40 / 39) * error
    assert [mean["low"], mean["high"]] == pytest.approx(100 / (1 + np.exp(-logit)), rel=1e-5)  # differenced Hessian


def test_two_knees_of_each_patient_that_always_agree_widen_the_error_by_root_two():
    single, double = (cohort(FORTY_OF_A_HUNDRED, courses_a_patient=k).variance[0, 0] for k in (1, 2))
    assert double == pytest.approx(2 * single, rel=1e-10)  # rounding


def test_a_loss_never_seen_is_left_out_with_a_note_and_its_limit_is_exact_binomial():
    fitted = cohort([*FORTY_OF_A_HUNDRED, ("all", "visit", HELD, HELD, 100, 400, 40)])
    lost = loss_rows(fitted, "all", np.array([200.0]), 100)[0]
    assert (lost["estimate"], lost["low"]) == (0.0, 0.0)
    assert lost["high"] == pytest.approx(1 - 0.025 ** (1 / 40))
    assert "in_response → response_lost" in fitted.fits["all"].notes[-1]


def test_a_stratum_without_any_response_has_a_share_of_zero_and_nothing_to_lose():
    fitted = cohort([("all", "visit", WAIT, WAIT, 0, 100, 50), ("all", "end", WAIT, "ended", 100, 150, 5)])
    share = share_rows(fitted, "all", np.array([100.0]))[0]
    assert share["estimate"] == 0 and share["high"] == pytest.approx(1 - 0.025 ** (1 / 50))
    assert (
        loss_rows(fitted, "all", np.array([50.0]), 100)[0]["note"] == "no response was seen: there is nothing to lose"
    )


def test_a_stratum_to_which_nothing_happened_is_answered_without_a_fit():
    fitted = cohort([("all", "visit", WAIT, WAIT, 0, 100, 50), ("all", "alive", WAIT, "alive", 100, 200, 50)])
    assert fitted.fits["all"].fit is None
    assert share_rows(fitted, "all", np.array([100.0]))[0]["estimate"] == 0
    assert any(c["check"] == "responses in all" and not c["passed"] for c in checks_of(fitted))


def test_a_stratum_of_a_few_is_counted_not_modelled_and_the_others_are_answered():
    rows = [*FORTY_OF_A_HUNDRED, ("rare", "visit", WAIT, HELD, 0, 100, 3)]
    fitted = cohort(rows, strata=("all", "rare", "none"))
    share = share_rows(fitted, "rare", np.array([100.0]))[0]
    assert share["estimate"] is None and share["note"].startswith("3 courses were seen")
    assert share_rows(fitted, "none", np.array([100.0]))[0]["note"] == "nobody in this stratum"


def test_a_band_in_which_too_little_was_seen_and_expected_shares_its_neighbours_intensity_and_says_so():
    fitted = cohort([*FORTY_OF_A_HUNDRED, ("all", "visit", WAIT, WAIT, 100, 170, 20)], points=(150,))
    assert fitted.fits["all"].n_parameters == 1 and fitted.fits["all"].fit.model.base_map.tolist() == [[0, 0]]
    assert "they share one intensity" in fitted.fits["all"].notes[0]


def test_a_band_watched_long_in_which_nothing_was_seen_has_none_rather_than_its_neighbours_intensity():
    fitted = cohort([*FORTY_OF_A_HUNDRED, ("all", "visit", WAIT, WAIT, 100, 300, 50)], points=(150,))
    assert fitted.fits["all"].fit.model.base_map.tolist() == [[0, -1]]
    assert "none seen in days (150, inf], where some were expected" in fitted.fits["all"].notes[0]


def test_few_responses_in_a_band_watched_long_keep_their_own_low_intensity():
    late = [("all", "visit", WAIT, WAIT, 100, 465, 398), ("all", "visit", WAIT, HELD, 100, 465, 2)]
    first = [("all", "visit", WAIT, WAIT, 0, 100, 400), ("all", "visit", WAIT, HELD, 0, 100, 40)]
    fit = cohort([*first, *late], points=(100,)).fits["all"].fit
    assert np.exp(fit.theta[1]) == pytest.approx(-np.log(398 / 400) / 365, rel=1e-6)  # as if the second were alone


def test_a_day_between_two_planned_visits_is_said_to_rest_on_the_model(lost):
    rows = lost.frame.filter(pl.col("quantity") == "response_lost", pl.col("stratum") == "early")
    notes = dict(rows.select("time_day", "note").iter_rows())
    assert notes[183.0] is None and notes[365.0].startswith(
        "day 548 lies between the planned visits of days 365 and 730"
    )


def test_what_cannot_be_fitted_at_all_is_refused_with_the_reason():
    with pytest.raises(NotEstimable, match="1 course was seen after treatment; at least 10 are needed"):
        cohort([("all", "visit", WAIT, HELD, 0, 100, 1)])


# --- synthetic truth -------------------------------------------------------------------------------------------------


def test_the_share_in_response_and_its_mean_time_agree_with_the_truth(clean):
    registry, truth = clean
    result = time_in_response(registry.courses(), confirmation="first")
    for stage in STAGES:
        for day in (365, 730):
            found = number(result, "share_in_response", stage, day)["estimate"]
            # Three standard errors of 0.02, most of which intensities that are constant within half a year use up.
            assert found == pytest.approx(true_share(truth, stage, day), abs=0.06)
        found = number(result, "mean_days_in_response", stage)["estimate"]
        assert found == pytest.approx(true_mean_days(truth, stage, 730), abs=25)  # three standard errors of 8 days


def test_a_kaplan_meier_of_visit_dates_is_biased_where_the_panel_model_is_not(clean):
    registry, truth = clean
    result = loss_of_response(registry.courses(), confirmation="first")
    seen = registry.sql(
        "select visit.course_id, visit.day, visit.state from endpoint.loss_state visit join course.profile using (course_id) "
        "where stage = 'moderate' and definition = 'OO-2004' and loss = 'L1' and confirmation = 'first'"
    )
    true = true_loss(truth, "moderate", 183, 365)
    # Two standard errors of 0.03; the naive one sees by then only what the visit at 12 months has seen.
    assert number(result, "response_lost", "moderate", 365)["estimate"] == pytest.approx(true, abs=0.06)
    assert kaplan_meier_of_visits(seen, 183, 365) < true - 0.1


def kaplan_meier_of_visits(seen: pl.DataFrame, landmark: float, after: float) -> float:
    """Loss dated at the visit that shows it, in those seen in response at the visit nearest the landmark."""
    start = seen.filter(pl.col("day").is_between(150, 215), pl.col("state") == HELD).select("course_id")
    later = seen.join(start, on="course_id").filter(pl.col("day") > 215).sort("course_id", "day")
    lost = pl.col("day").filter(pl.col("state") == LOST).min()
    exits = later.group_by("course_id").agg(day=pl.coalesce(lost, pl.col("day").max()), lost=lost.is_not_null())
    held = 1.0
    for day in sorted(set(exits.filter("lost", pl.col("day") <= landmark + after)["day"])):
        held *= 1 - exits.filter("lost", pl.col("day") == day).height / exits.filter(pl.col("day") >= day).height
    return 1 - held


def test_with_measurement_error_and_informative_dropout_the_mean_time_stays_near_the_truth(real, by_rule):
    for stage in STAGES:
        found = number(by_rule["first"], "mean_days_in_response", stage)["estimate"]
        assert found == pytest.approx(
            true_mean_days(real[1], stage, 730), abs=40
        )  # error of measurement is not modelled


def test_confirmed_states_give_a_shorter_time_in_response_than_single_visits(by_rule):
    confirmed, first = (
        number(by_rule[c], "mean_days_in_response", "moderate")["estimate"] for c in ("confirmed", "first")
    )
    assert confirmed < first
    assert any("shorter response is not counted" in note for note in by_rule["confirmed"].notes)


@pytest.mark.parametrize("loss", ["L2", "L3", "L4", "L5"])
def test_every_rule_of_loss_is_answered_and_named(real, loss):
    result = loss_of_response(real[0].courses(stage="early"), loss=loss)
    assert 0 < number(result, "response_lost", "early", 365)["estimate"] < 1
    assert result.settings["loss"] == loss and result.settings["loss_source"]


def test_the_second_question_about_the_same_moves_fits_nothing_again(monkeypatch):
    fitted = []
    monkeypatch.setattr("analysis.multistate_rows._fit", lambda *given: fitted.append(given) or ({}, {}, None))
    days = np.array([100.0])
    cells = pl.DataFrame({"cell": [1], "stratum": "early", "kind": "visit", "from_state": "no_response_yet",
                          "to_state": "in_response", "start_day": [0], "stop_day": [91], "n": [20.0]})  # fmt: skip
    patterns = pl.DataFrame({"pattern": [1], "cell": [1], "n_courses": [1], "n_patients": [20]})
    more = cells.with_columns(n=pl.lit(21.0))
    for given in (cells, cells.clone(), more, cells):
        with pytest.raises(NotEstimable):
            fit_cohort([Stratum("early", "early", "#000000")], given, patterns, pl.DataFrame(), days, 0.95)
    assert len(fitted) == 2


def test_stages_differ_in_loss_and_the_contrast_says_by_how_much(lost):
    assert number(lost, "loss_intensity_ratio", "moderate - early")["estimate"] > 1
    test = number(lost, "test", "all")
    assert 0 <= test["estimate"] < 0.2 and "clustered by patient" in test["note"]
    certificates = lost.diagnostics.filter(pl.col("check").str.starts_with("certificate"))
    assert certificates["passed"].all() and certificates.height == 3


def test_a_question_that_cannot_be_asked_says_what_can(real):
    with pytest.raises(UsageError, match="Allowed: L1, L2, L3, L4, L5"):
        loss_of_response(real[0].courses(), loss="L9")
    with pytest.raises(UsageError, match=r"change_day = .*, 1 or more"):
        time_in_response(real[0].courses(), change_day=(0, 365))


def test_one_patient_is_refused_with_the_number_needed(tmp_path):
    registry, _ = registry_of(Design(patients=1, seed=3, boosters=False), tmp_path)
    with pytest.raises(NotEstimable, match="at least 10 are needed"):
        time_in_response(registry.courses(), by="all")


def test_where_nobody_has_a_stage_every_question_says_that_this_is_why_nobody_is_left(tmp_path):
    write_template(simulate(Design(patients=3, seed=3)), tmp_path / "files")
    (tmp_path / "files" / "stages.csv").unlink()
    Registry.create(tmp_path / "knees.duckdb", key=b"0123456789abcdef").close()
    load(tmp_path / "knees.duckdb", [tmp_path / "files"])
    derive(tmp_path / "knees.duckdb")
    courses = Registry.open(tmp_path / "knees.duckdb").courses(programme="osteoarthritis")
    for ask in (time_in_response, loss_of_response, booster_effect, trajectories):
        with pytest.raises(NotEstimable, match=r"No course is left to analyse\. \d no stage recorded"):
            ask(courses)


def test_figures_tell_the_same_without_being_seen_and_have_the_same_bytes(by_rule, lost):
    time = by_rule["confirmed"]
    for draw in (time.plot, lost.plot, time.plot_states):
        once, twice = draw(), draw()
        assert "Bone-on-bone" in once.alt_text and "%" in once.alt_text
        assert png(once, 40) == png(twice, 40)


def test_the_states_of_everybody_are_stacked_to_one_and_say_what_they_are(by_rule, lost):
    time = by_rule["confirmed"]
    figure = time.plot_states()
    for stratum in time.settings["strata"]:
        said = re.search(rf"{stratum['label']}: (.*?)[;.]", figure.alt_text)
        if said:
            shares = [int(n) for n in re.findall(r"(\d+) %", said[1])]
            # Five numbers, each rounded.
            assert len(shares) == 5 and abs(sum(shares) - 100) <= 2
            told = time.frame.filter(stratum=stratum["code"], quantity="share_in_response", time_day=730.0)["estimate"]
            assert shares[0] == round(100 * told.item())
    with pytest.raises(NotEstimable, match="states by day are time_in_response's"):
        lost.plot_states()


def test_a_hidden_state_is_not_found_in_the_stack_of_the_others(by_rule):
    time = by_rule["confirmed"]
    hidden = pl.when(pl.col("quantity") == "end").then(None).otherwise(pl.col("estimate")).alias("estimate")
    figure = replace(time, curves=time.curves.with_columns(hidden)).plot_states()
    assert "ended" not in figure.alt_text and "no response" not in figure.alt_text and "other states" in figure.alt_text
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["In response", "Response lost", "Other states", "Dead"]
    nothing = replace(time, curves=time.curves.with_columns(pl.lit(None, pl.Float64).alias("estimate")))
    with pytest.raises(NotEstimable, match="every share is hidden"):
        nothing.plot_states()


# --- coverage --------------------------------------------------------------------------------------------------------


def drawn_moves(rng: np.random.Generator, n: int, q: tuple[float, float, float]) -> list[tuple]:
    """Visits about days 90, 180, 365 and 730 of a Markov process 0 → 1 → 2 → 1 with intensities `q` a day."""
    visits = np.round(np.array([90, 180, 365, 730]) + rng.normal(0, [7, 10, 15, 20], (n, 4))).astype(int)
    rows = []
    for days in visits:
        jumps, clock = [], 0.0
        while clock < 800:
            clock += rng.exponential(1 / (q[0] if not jumps else q[1] if len(jumps) % 2 else q[2]))
            jumps.append(clock)
        day, state = 0, WAIT
        for d in days:
            k = np.searchsorted(jumps, d)
            now = HELD if k % 2 else WAIT if state == WAIT else LOST
            rows.append(("all", "visit", state, now, day, int(d), 1))
            day, state = int(d), now
    return rows


@pytest.mark.slow
def test_intervals_cover_the_truth_of_a_markov_process():
    rng, q, hits = np.random.default_rng(5), (0.004, 0.002, 0.001), []
    generator = np.array([[-q[0], q[0], 0], [0, -q[1], q[1]], [0, q[2], -q[2]]])
    values, vectors = np.linalg.eig(generator)
    true = (vectors @ np.diag(np.exp(365 * values)) @ np.linalg.inv(vectors))[0, 1].real
    for _ in range(200):
        rows = drawn_moves(rng, 150, q)
        patient = np.repeat(np.arange(150), 4)
        columns = ["stratum", "kind", "from_state", "to_state", "start_day", "stop_day", "n"]
        cells = pl.DataFrame(rows, schema=columns, orient="row").with_columns(cell=pl.int_range(1, len(rows) + 1))
        patterns = cells.select(pl.Series("pattern", patient.astype(str)), "cell", n_courses=1, n_patients=1)
        shares = pl.DataFrame(schema={"stratum": pl.String, "target_day": pl.Int64, "state": pl.String, "n": pl.Int64})
        fitted = fit_cohort([Stratum("all", "all", "#000000")], cells, patterns, shares, np.array([365.0]), 0.95)
        share = share_rows(fitted, "all", np.array([365.0]))[0]
        hits.append(share["low"] <= true <= share["high"])
    assert 0.91 <= np.mean(hits) <= 0.99  # 200 draws: 0.95 within 2.6 standard errors
