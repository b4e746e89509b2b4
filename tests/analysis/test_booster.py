"""The effect of a booster: recovered where it is known, refused where it cannot be, and never the naive number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from analysis import booster_effect, booster_figures, booster_model, booster_question
from analysis.booster_data import Plan, prepare
from analysis.booster_model import estimate
from analysis.booster_protocol import target_checklist, target_trial
from analysis.cohort import definition_of, place, reduce
from analysis.numerics import resampling
from analysis.numerics.emulation import chances
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from reports.cli import app
from synthetic.booster_files import reductions, write
from synthetic.booster_world import DEFINITION, JITTERED, NO_OVERLAP, SCENARIOS, STAGES, STEP_DAY, Scenario, make, truth

KEY = b"an open secret of the test suite"
DAYS = (2 * STEP_DAY, 4 * STEP_DAY)
STRONG = SCENARIOS[3]


def registry_of(scenario: Scenario, folder: Path, *, patients: int, seed: int, log: bool) -> Path:
    world = make(scenario, patients, seed)
    write(world, folder / "files", log=log)
    path = folder / "world.duckdb"
    Registry.create(path, key=KEY).close()
    report = load(path, [folder / "files"])
    assert report.rejected == 0
    derive(path)
    return path


@pytest.fixture(scope="module")
def world_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return registry_of(STRONG, tmp_path_factory.mktemp("world"), patients=1500, seed=11, log=False)


@pytest.fixture
def knees(world_file: Path) -> Iterator:
    with Registry.open(world_file) as registry:
        yield registry.courses(programme="osteoarthritis")


def ask(courses, **options):
    return booster_effect(courses, definition=DEFINITION, **{"horizon_day": DAYS, "resamples": 60, **options})


def number(result, quantity: str, stratum: str, day: float | None = None) -> dict:
    rows = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    rows = rows.filter(pl.col("time_day") == day) if day is not None else rows
    return rows.row(0, named=True)


def same_rows(courses, world) -> None:
    """Compare what the SQL makes of the files of a world with what its arrays hold."""
    place(courses, "stage", definition_of(courses, DEFINITION))
    courses.registry.con.execute(
        "create or replace table cohort.booster as "
        f"select '{DEFINITION}' as definition, null::varchar as scale, 'pain' as domain"
    )
    of_courses, rows = reduce(courses, "reduction.booster_course", "reduction.booster_visit")
    ours, ours_courses = reductions(world)
    shown = [c for c in ours.columns if c not in ("course_id", "patient_id", "origin", "decided")]
    numbers = pl.selectors.numeric().cast(pl.Float64).round(3)

    def table(frame: pl.DataFrame, of: pl.DataFrame) -> list:
        joined = frame.join(of.select("course_id", "baseline", "age", "bmi"), on="course_id")
        return sorted(joined.select(*shown, "baseline", "age", "bmi").with_columns(numbers).rows(), key=repr)

    assert table(rows, of_courses.filter(pl.col("reason").is_null())) == table(ours, ours_courses)


def test_the_sql_makes_of_the_files_the_rows_that_the_arrays_of_the_world_hold(knees):
    same_rows(knees, make(STRONG, 1500, 11))


def test_where_visits_come_early_or_late_the_rows_are_those_of_their_own_days(tmp_path):
    path = registry_of(JITTERED, tmp_path, patients=200, seed=3, log=False)
    world = make(JITTERED, 200, 3)
    assert len(np.unique(world.day[:, 1:] % STEP_DAY)) > 20
    with Registry.open(path) as registry:
        same_rows(registry.courses(programme="osteoarthritis"), world)


def test_the_effect_is_recovered_by_stage_and_the_naive_comparison_has_the_wrong_sign(knees):
    """Synthetic truth by intervention; limits are those of one sample of 1,500 patients."""
    known = truth(STRONG)
    result = ask(knees)
    assert result.withheld == ()
    for s, stage in enumerate(STAGES):
        for d, day in ((2, DAYS[0]), (4, DAYS[1])):
            found = number(result, "difference", stage, day)
            true = known.improvement[s, 0, d] - known.improvement[s, 1, d]
            # Three and a half standard errors: six intervals must hold at once, with a fixed seed.
            error = (found["high"] - found["low"]) / 4
            assert abs(found["estimate"] - true) < 3.5 * error
    naive = [number(result, "naive_ever_against_never", s)["estimate"] for s in ("early", "moderate")]
    assert max(naive) < 0 < min(number(result, "difference", s, DAYS[1])["low"] for s in ("early", "moderate"))
    # Of sixty resamples the covariance is itself an estimate: Hotelling's law asks for more than chi-square does.
    assert number(result, "test", "all")["estimate"] < 0.05


@pytest.mark.parametrize("outcome", ["response", "end"])
def test_shares_in_response_and_risks_of_replacement_are_recovered_too(knees, outcome):
    known = truth(STRONG)
    values = known.response if outcome == "response" else known.ended
    result = ask(knees, outcome=outcome)
    for s, stage in enumerate(STAGES):
        found = number(result, "difference", stage, DAYS[1])
        if found["estimate"] is not None:
            error = (found["high"] - found["low"]) / 4
            assert abs(found["estimate"] - (values[s, 0, 4] - values[s, 1, 4])) < 3.5 * error
    ratio = number(result, "ratio", "bone_on_bone", DAYS[1])
    assert ratio["low"] < ratio["estimate"] < ratio["high"]


def test_the_time_to_loss_or_replacement_is_recovered_and_those_days_are_the_area_above_its_curve(knees):
    """Rule L5 of the catalogue: 12.68 points worse than at the decision (Angst 2018); truth by intervention."""
    known, result = truth(STRONG).lost, ask(knees, outcome="loss")
    assert result.settings["loss"] == "L5" and result.settings["worse_by"] == 12.68 and result.withheld == ()
    for s, stage in enumerate(STAGES):
        for d, day in ((2, DAYS[0]), (4, DAYS[1])):
            found = number(result, "difference", stage, day)
            error = (found["high"] - found["low"]) / 4
            assert abs(found["estimate"] - (known[s, 0, d] - known[s, 1, d])) < 3.5 * error
    early = result.curves.filter(stratum="early", quantity="boosted").sort("time_day")
    free = np.trapezoid(1 - early["estimate"].to_numpy(), early["time_day"].to_numpy())
    assert number(result, "mean_days_free_boosted", "early")["estimate"] == pytest.approx(free)
    # Nothing has happened on the day of the decision, with certainty.
    assert early.row(0, named=True)["high"] == 0
    assert number(result, "difference_mean_days_free", "early")["estimate"] > 0
    # A table hides most of what each booster protects from: those boosted were getting worse.
    naive = number(result, "naive_ever_against_never", "moderate")["estimate"]
    assert naive > number(result, "difference", "moderate", DAYS[1])["estimate"] + 0.1
    assert "L5" in target_trial(result).filter(component="Outcome")["emulation"][0]
    assert "%" in result.say("difference", "early", DAYS[1])


def test_a_programme_without_a_rule_of_worsening_has_no_time_to_loss(knees, monkeypatch):
    monkeypatch.setattr(booster_question, "programmes_of", lambda courses: ["tendon"])
    with pytest.raises(NotEstimable, match="no rule that says by how much"):
        ask(knees, outcome="loss")


def test_mean_days_in_response_lie_between_none_and_all_and_favour_the_booster_where_it_works(knees):
    result = ask(knees, outcome="response")
    boosted, waiting = (number(result, f"mean_days_{arm}", "early")["estimate"] for arm in ("boosted", "waiting"))
    assert 0 < waiting < boosted < DAYS[1]
    assert number(result, "difference_mean_days", "early")["estimate"] == pytest.approx(boosted - waiting)


def test_outcome_regression_comes_near_the_weighted_design(knees):
    """The third opinion leans on its model alone; three points are twice the standard error of either."""
    first, other = ask(knees), ask(knees, design="g_formula")
    for stage in STAGES:
        one, two = (number(r, "difference", stage, DAYS[0])["estimate"] for r in (first, other))
        assert abs(one - two) < 3


def test_clones_are_the_default_where_an_end_within_the_grace_period_matters(knees):
    outcomes = ("pain", "response", "end", "loss")
    designs = {outcome: ask(knees, outcome=outcome).settings["design"] for outcome in outcomes}
    assert designs == {"pain": "sequential", **dict.fromkeys(outcomes[1:], "clone_censor")}


def test_how_often_courses_are_seen_does_not_change_the_share_in_response():
    """Ended targets have no visits: a share by visits would fall with their number. Every other visit is taken away."""
    rows, courses = reductions(make(replace(SCENARIOS[2], missed=0.0), 3000, 4))
    plan = Plan("share", "per_protocol", "clone_censor", 30.0, (float(DAYS[0]), float(DAYS[1])))

    def shares(frame: pl.DataFrame) -> np.ndarray:
        data = prepare(frame, courses, STAGES, ("age", "bmi"), plan, "any")
        curves = estimate(data, np.ones(len(data.visits.day))).curves
        at = np.searchsorted(data.grid, plan.days)
        return np.stack([curves.treated[:, at], curves.waiting[:, at]])

    # Each visit is there twice, its copy the day before, without a decision.
    twin = rows.with_columns(
        visit_day=pl.col("visit_day") - 1, zero_day=pl.col("zero_day") - 1, asked=pl.lit(False),
        booster_day=pl.lit(None, pl.Int64), next_state=pl.lit("seen"),
    )  # fmt: skip
    doubled = pl.concat([rows, twin.select(rows.columns)])
    assert np.abs(shares(rows) - shares(doubled)).max() < 0.04


def test_where_a_log_is_kept_it_is_the_risk_set_and_gives_the_same_answer(tmp_path, knees):
    path = registry_of(STRONG, tmp_path, patients=1500, seed=11, log=True)
    with Registry.open(path) as registry:
        logged = ask(registry.courses(programme="osteoarthritis"))
    plain = ask(knees)
    assert set(logged.settings["risk_set"]) == {"decision log"} and set(plain.settings["risk_set"]) == {"visits"}
    # Every decision is made on the day of a visit, so that both readings of the same facts are one.
    one, other = (r.frame.filter(pl.col("quantity") == "difference")["estimate"].to_list() for r in (logged, plain))
    assert one == pytest.approx(other, nan_ok=True)


def test_the_gate_closes_where_positivity_is_broken_and_says_what_would_be_needed(tmp_path):
    path = registry_of(NO_OVERLAP, tmp_path, patients=600, seed=2, log=False)
    with Registry.open(path) as registry:
        courses = registry.courses(programme="osteoarthritis")
        closed = ask(courses)
        shown = ask(courses, show_anyway=True)
        with pytest.raises(NotEstimable, match="withheld"):
            closed.plot()
    assert any("overlap" in w and "must be" in w for w in closed.withheld)
    assert closed.frame.filter(pl.col("quantity") == "difference")["estimate"].is_null().all()
    # The naive number is not the gate's to close: it is there to be seen for what it is.
    assert number(closed, "naive_ever_against_never", "early")["estimate"] is not None
    assert shown.withheld == () and any("shown anyway" in n for n in shown.notes)
    assert shown.frame.filter(quantity="difference", stratum="early")["note"].str.starts_with("shown although").all()
    assert shown.frame.filter(pl.col("quantity") == "difference")["estimate"].is_not_null().any()
    answer = CliRunner().invoke(app, ["analyse", str(path), "booster-effect", "--definition", DEFINITION, "--json"])
    assert answer.exit_code == 5


def test_a_stage_with_fewer_than_ten_boosts_is_refused_and_the_others_are_not(world_file):
    with Registry.open(world_file) as registry:
        con = registry.con
        few = con.sql("select course_id from course.profile where stage = 'early' order by 1 offset 30").pl()
        courses = registry.courses(programme="osteoarthritis").exclude(few.with_columns(reason=pl.lit("for the test")))
        result = ask(courses)
    assert "early: fewer than 10 patients with a decision for a booster" in result.withheld
    early, moderate = (number(result, "difference", s, DAYS[1]) for s in ("early", "moderate"))
    assert early["estimate"] is None and early["note"].startswith("withheld")
    assert moderate["estimate"] is not None
    assert number(result, "difference", "all", DAYS[1])["estimate"] is None


def test_what_is_hidden_for_being_small_cannot_be_found_by_subtraction(world_file):
    """Three boosted courses of one stage: its numbers, its contrasts, the overall number and its note are hidden."""
    with Registry.open(world_file) as registry:
        few = registry.con.sql(
            "select course_id from course.profile where stage = 'early' and n_boosters > 0 order by 1 offset 3"
        ).pl()
        courses = registry.courses(programme="osteoarthritis").exclude(few.with_columns(reason=pl.lit("for the test")))
        shown = ask(courses, show_anyway=True).suppress()
    tied = shown.frame.filter(pl.col("stratum").str.contains("early") | (pl.col("stratum") == "all"))
    tied = tied.filter(~pl.col("quantity").str.starts_with("naive"))
    assert tied["estimate"].is_null().all() and tied["n"].is_null().all()
    assert not any(note.startswith("Early:") for note in shown.notes)
    counts = shown.diagnostics.filter(pl.col("check") == "boosts in early")["value"]
    assert counts.is_null().all()
    assert shown.curves.filter(stratum="early").height == 0
    assert number(shown, "difference", "moderate", DAYS[1])["estimate"] is not None


def test_a_stratum_without_any_boost_has_no_effect_of_zero_but_none(world_file):
    with Registry.open(world_file) as registry:
        boosted = registry.con.sql("select course_id from course.profile where stage = 'early' and n_boosters > 0").pl()
        courses = registry.courses(programme="osteoarthritis").exclude(
            boosted.with_columns(reason=pl.lit("for the test"))
        )
        frame = ask(courses, show_anyway=True).frame
    early = frame.filter(quantity="difference", stratum="early")
    assert early["estimate"].is_null().all() and (early["note"] == "nobody was boosted").all()
    assert frame.filter(quantity="difference", stratum="all")["estimate"].is_null().all()


def test_all_courses_together_have_each_number_once(knees):
    frame = ask(knees, by="all").frame
    assert frame.filter(quantity="difference")["time_day"].to_list() == [182.0, 364.0]
    assert float(ask(knees).say("e_value", "early").split()[0]) >= 1
    assert ask(knees).say("test").startswith(("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"outcome": "koos_pian"}, "Did you mean"),
        ({"estimand": "as_treated"}, "Allowed: per_protocol, intention_to_treat"),
        ({"situation": "regress"}, "Did you mean 'regression'"),
        ({"grace_day": 400}, "less than the first of horizon_day"),
        ({"design": "clone_censor", "estimand": "intention_to_treat"}, "per_protocol"),
        ({"resamples": 5}, "give 20 or more"),
        ({"covariates": ("pain_after",)}, "covariates ="),
    ],
)
def test_a_wrong_option_is_told_with_what_is_allowed(knees, options, says):
    with pytest.raises(UsageError, match=says):
        ask(knees, **options)


def test_without_any_booster_there_is_nothing_to_compare_and_it_says_so(tmp_path):
    path = registry_of(
        Scenario("none", (0, 0, 0), booster=(-99.0, 0, 0, 0, 0, 0)), tmp_path, patients=60, seed=1, log=False
    )
    with Registry.open(path) as registry, pytest.raises(NotEstimable, match="none was for a booster"):
        ask(registry.courses(programme="osteoarthritis"))


def test_a_horizon_beyond_every_data_cut_is_refused_with_what_is_needed(knees):
    with pytest.raises(NotEstimable, match="A shorter horizon_day"):
        ask(knees, horizon_day=(5000,))


def test_the_same_seed_gives_the_same_limits_and_another_others(knees):
    one, again, other = ask(knees), ask(knees), ask(knees, seed=2)
    assert one.frame.equals(again.frame)
    assert not one.frame["low"].equals(other.frame["low"])


def test_the_scale_may_be_named_as_in_python(knees):
    result = ask(knees, outcome="koos_pain")
    assert result.settings["scale"] == "KOOS/pain"


def test_the_protocol_has_seven_components_and_the_checklist_every_item(knees):
    result = ask(knees)
    protocol, items = target_trial(result), target_checklist(result)
    assert protocol.height == 7
    assert protocol["emulation"].str.len_chars().min() > 20
    numbers = {item.rstrip("abcdefgh()i") for item in items["item"]}
    assert numbers == {str(k) for k in range(1, 22)}
    assert "bmi" in items.filter(pl.col("item") == "7g(ii)")["answer"][0]


def test_the_figures_say_in_words_what_they_show(knees):
    result = ask(knees)
    assert "Difference, boosted minus waiting" in result.plot().alt_text
    assert "after" in booster_figures.love(result).alt_text
    assert "Flow of decisions" in booster_figures.flow(result).alt_text
    assert booster_figures.weights(result).alt_text


def test_no_score_after_the_decision_can_be_a_covariate():
    """Rows that start no decision may carry anything: the probability of a booster does not see them."""
    rows, courses = reductions(make(STRONG, 400, 5))
    plan = Plan("mean", "per_protocol", "sequential", 30.0, (float(DAYS[0]),))
    data = prepare(rows, courses, STAGES, ("age", "bmi"), plan, "any")
    v, case = data.visits, np.ones(len(data.visits.day))
    elsewhere = ~(v.asked & (v.before == 0))
    changed = replace(v, x=np.where(elsewhere[:, None], 100 * v.x, v.x))
    one, other = (chances(w, case, ends_count=False).treated[data.start] for w in (v, changed))
    assert one == pytest.approx(other)


def test_bags_of_patients_say_the_same_uncertainty_as_all_of_them(monkeypatch):
    """Where there are many patients, bags are resampled to the size of the whole (Kleiner et al. 2014)."""
    rows, courses = reductions(make(STRONG, 3000, 8))
    plan = Plan("mean", "per_protocol", "sequential", 30.0, (float(DAYS[0]),))
    data = prepare(rows, courses, STAGES, ("age", "bmi"), plan, "any")
    case = np.ones(len(data.patient))
    whole = estimate(data, case)

    def spread():
        treated, waiting = booster_model.bootstrap(data, whole, 150, 3)
        at = np.searchsorted(data.grid, DAYS[0])
        return np.nanstd((treated - waiting)[:, :, at], axis=0)

    all_of_them = spread()
    monkeypatch.setattr(resampling, "BAG", 300)
    in_bags = spread()
    # Standard deviations of 150 resamples: Monte-Carlo error 6 % each; bags of 300 patients add theirs.
    assert in_bags == pytest.approx(all_of_them, rel=0.35)
    assert not np.array_equal(in_bags, all_of_them)
