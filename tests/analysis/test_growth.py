"""Growth in actual time, from files to the number: it meets the truth and the mixed model of planned visits."""

import dataclasses
import sys

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from analysis import estimand, growth, trajectories
from analysis.cohort import Stratum
from analysis.growth import basis_of, enough_scores, fitted
from analysis.numerics.random_slope import fit_random_slope
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from reports.cli import app
from synthetic import Design, simulate, sources
from synthetic.cohort import draw
from synthetic.trajectory_world import SCENARIOS, STAGES, growth_scores, make, reductions

DESIGN = Design(
    patients=500, seed=21, missed=0.0, dropout=0.0, boosters=False, ends=False, item_share=0.0, extra_scales=False
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growth")
    sources.write_template(simulate(DESIGN), folder / "files")
    path = folder / "r.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [folder / "files"])
    derive(path)
    return path


@pytest.fixture(scope="module")
def grown(file):
    with Registry.open(file) as registry:
        return growth(registry.courses(programme="osteoarthritis"))


def numbers(result, quantity):
    rows = result.frame.filter(pl.col("quantity") == quantity, pl.col("estimate").is_not_null())
    return {(r["stratum"], r["time_day"]): r for r in rows.to_dicts()}


def test_the_curve_meets_the_improvement_that_the_patients_were_drawn_with(grown):
    drawn = draw(DESIGN, "osteoarthritis", DESIGN.patients, 1, np.random.default_rng(DESIGN.seed))
    found = numbers(grown, "mean_change")
    for day in (183, 365):
        improvement = drawn.benefit.at(np.full(drawn.courses.height, day))
        truth = drawn.courses.with_columns(x=improvement).group_by("stage").agg(pl.col("x").mean())
        for stage, value in truth.iter_rows():
            r = found[stage, day]
            # Half a point is the pull of a smooth curve on a rise that is not, and of rounding scores to steps.
            assert r["low"] - 0.5 < value < r["high"] + 0.5, (stage, day)


def test_at_planned_visits_it_says_what_the_model_of_visits_says(grown, file):
    with Registry.open(file) as registry:
        visits = trajectories(registry.courses(programme="osteoarthritis"))
    planned, smooth = numbers(visits, "mean_change"), numbers(grown, "mean_change")
    for stage in ("early", "moderate", "bone_on_bone"):
        # A smooth curve and a mean in a window of up to 90 days differ by what happens within it.
        assert smooth[stage, 365]["estimate"] == pytest.approx(planned[stage, 365]["estimate"], abs=1.0)
        width = smooth[stage, 365]["high"] - smooth[stage, 365]["low"]
        assert 0.6 < width / (planned[stage, 365]["high"] - planned[stage, 365]["low"]) < 1.3
    assert numbers(grown, "difference")["bone_on_bone - early", 365]["high"] < 0


def test_steepness_is_the_rise_of_the_curve(grown):
    line, steep = grown.curves.filter(stratum="early").sort("time_day"), numbers(grown, "change_per_year")
    near = line.filter(pl.col("time_day").is_between(365 - 15, 365 + 15))
    rise = (near["estimate"][-1] - near["estimate"][0]) / (near["time_day"][-1] - near["time_day"][0]) * 365.25
    assert steep["early", 365]["estimate"] == pytest.approx(rise, abs=1.0)


def test_the_spline_is_straight_outside_its_knots():
    knots = np.array([30.0, 90, 180, 400])
    second = np.diff(basis_of(np.array([450.0, 500, 550]), knots), n=2, axis=0)
    assert np.abs(second).max() < 1e-12


def test_the_figure_the_hidden_numbers_and_the_command(grown, file, tmp_path):
    assert "as a curve of time" in grown.suppress().plot().alt_text
    assert "from baseline by day since the first session" in " ".join(estimand(grown)["value"])
    assert numbers(grown, "within_course_sd")["all", None]["estimate"] > 0
    assert grown.diagnostics.filter(check="Newton decrement")["passed"][0]
    done = CliRunner().invoke(app, ["analyse", str(file), "growth", "--programme", "osteoarthritis", "--figure",
                                    str(tmp_path / "growth.svg")])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (tmp_path / "growth.svg").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("options", "said"),
    [({"knots": 9}, "knots = 9 must be one of"), ({"horizon_day": (0,)}, "1 or more"), ({"unit": "x"}, "unit =")],
)
def test_what_cannot_be_asked_is_refused(file, options, said):
    with Registry.open(file) as registry, pytest.raises(UsageError, match=said):
        growth(registry.courses(programme="osteoarthritis"), **options)


def test_days_beyond_what_anybody_was_followed_are_refused_before_anything_is_fitted(file, monkeypatch):
    monkeypatch.setattr(sys.modules["analysis.growth"], "fitted", lambda *_: pytest.fail("the curves were fitted"))
    with Registry.open(file) as registry:
        with pytest.raises(
            UsageError, match=r"nobody was followed to day 100000\. The last score is within \d+ months"
        ):
            growth(registry.courses(programme="osteoarthritis"), horizon_day=(365, 100000))
        # The usual days are not refused, however short the follow-up: those beyond it have a note.
        monkeypatch.undo()
        short = growth(registry.courses(programme="osteoarthritis").exclude(_long(registry)))
    late = short.frame.filter(quantity="mean_change", time_day=730.0)
    assert late.height and late["estimate"].null_count() == late.height


def _long(registry):
    return registry.sql(
        "select course_id, 'seen late' as reason from course.score group by course_id having max(day) >= 600"
    )


def test_too_few_courses_for_a_curve_are_refused(file):
    with Registry.open(file) as registry, pytest.raises(NotEstimable, match="No stratum has 15 courses"):
        growth(registry.courses(programme="osteoarthritis", min_potential_follow_up_day=1450))


def test_those_who_left_are_expected_where_they_are_once_courses_have_bends_of_their_own():
    """A third leave by 12 months because of the change last seen; the truth is the change of every course drawn."""
    scenario = SCENARIOS[2]
    world = make(scenario, 4000, 77)
    scores, people = growth_scores(scenario, world, 77), reductions(world)["trajectory_course"]
    used, _ = enough_scores(people, scores, [Stratum(s, s, "") for s in STAGES], 5)
    made, _ = fitted(used, scores, list(STAGES), 5)
    sums, columns = made.fit.sums, made.fit.columns
    plain = dataclasses.replace(made, fit=fit_random_slope(sums, columns))
    days = np.array([180.0, 365.0])
    gap = {}
    for name, model in (("bends", made), ("level and pace", plain)):
        means = [model.rows(s, model.baseline[s], model.basis(days)) @ model.fit.beta for s in range(3)]
        true = [world.change[world.stage == s][:, 2:4].mean(axis=0) for s in range(3)]
        gap[name] = (np.array(means) - true).mean(axis=0)
    # The scatter of a mean over the stages is 0.25 points here (25 samples).
    assert np.abs(gap["bends"]).max() < 0.6
    assert len(made.fit.factor) > 2 and gap["level and pace"][0] - gap["bends"][0] > 0.4
