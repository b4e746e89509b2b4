"""Change by what is assumed of those not seen: at random it is the mixed model's, and what was done to the data is found."""

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from analysis import imputed_change, trajectories
from analysis.cohort import Stratum
from analysis.imputed_model import plan_of, under
from analysis.numerics.imputation import Rows, combine, complete, least_squares
from analysis.numerics.repeated import fit_mmrm
from analysis.numerics.repeated_design import visit_design
from analysis.numerics.repeated_sums import pattern_sums
from analysis.trajectory_model import Inference, fit_with_fallback
from analysis.trajectory_sums import Visit, design_of, enough_visits
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from reports.cli import app
from synthetic import Design, simulate, sources


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imputed")
    sources.write_template(simulate(Design(patients=700, seed=9, programmes={"osteoarthritis": 1.0})), folder / "files")
    path = folder / "knees.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [folder / "files"])
    derive(path)
    return path


@pytest.fixture
def knees(file):
    with Registry.open(file) as registry:
        yield registry.courses(programme="osteoarthritis")


def number(result, quantity, stratum, column="estimate"):
    found = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    return found[column][0]


def test_at_random_it_says_what_the_mixed_model_says_of_the_same_courses(knees):
    made = imputed_change(knees, reference="early")
    due = knees.registry.courses(programme="osteoarthritis", min_potential_follow_up_day=410)
    model = trajectories(due).frame.filter(pl.col("time_day") == 365)
    for stage in ("early", "moderate", "bone_on_bone"):
        of = model.filter(pl.col("stratum") == stage, pl.col("quantity") == "adjusted_change")
        # Both condition on the same scores; the model also sees later visits, and imputation has Monte-Carlo error.
        assert number(made, "missing_at_random", stage) == pytest.approx(of["estimate"][0], abs=0.6)
        width = number(made, "missing_at_random", stage, "high") - number(made, "missing_at_random", stage, "low")
        assert width == pytest.approx(of["high"][0] - of["low"][0], rel=0.15)
        # Worse assumptions give worse numbers, in order; the reference that jumps to or copies itself is at random.
        steps = [number(made, f"delta {d}", stage) for d in (-5, -10, -20, -40)]
        assert number(made, "missing_at_random", stage) > steps[0] > steps[1] > steps[2] > steps[3]
        assert number(made, "return_to_baseline", stage) < number(made, "missing_at_random", stage)
    for rule in ("jump_to_reference", "copy_reference"):
        assert number(made, rule, "early") == pytest.approx(number(made, "missing_at_random", "early"), abs=0.6)
        assert number(made, rule, "bone_on_bone") > number(made, "missing_at_random", "bone_on_bone")
    # Whoever was below the better reference all along is expected below it still: copying gives less than jumping.
    assert number(made, "copy_reference", "bone_on_bone") < number(made, "jump_to_reference", "bone_on_bone")


def test_a_delta_that_was_put_into_the_data_is_found_again():
    """Truth: dropouts fall eight points below what their past says. At random is too high, delta -8 is right."""
    rng = np.random.default_rng(17)
    n, sigma = 4000, np.array([[100.0, 60, 40], [60, 120, 70], [40, 70, 140]])
    z = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = z @ np.array([[10.0, 12, 12], [1, 1, 1]]) + rng.multivariate_normal(np.zeros(3), sigma, n)
    stay = rng.random((n, 2)) < 1 / (1 + np.exp(-0.8 - 0.05 * (y[:, :2] - 10)))
    seen = np.column_stack([np.ones(n, dtype=bool), stay[:, 0], stay[:, 0] & stay[:, 1]])
    # What happens to those who left is not seen, and is eight points worse.
    truth = float((y[:, 2] - 8 * ~seen[:, 2]).mean())
    sums = pattern_sums(z, np.where(seen, y, np.nan))
    fit = fit_mmrm(sums, visit_design(["intercept", "x"], ["1", "2", "3"], ["intercept", "x"]))
    rows = Rows(sums.observed, sums.n, sums.zz, sums.zy, sums.yy)
    contrast = np.array([[1.0, float(z[:, 1].mean())]])

    def estimate(delta):
        pairs = []
        for k in range(60):
            made = complete(rows, fit.design.maps @ fit.beta, fit.sigma[0], 2, np.random.default_rng(k), delta=delta)
            pairs.append(least_squares(made, np.array([0, 1]), contrast))
        found = combine(*(np.array(x) for x in zip(*pairs, strict=True)), df=n - 2.0)
        return float(found.estimate[0]), float(found.error[0])

    at_random, error = estimate(0.0)
    assert at_random - truth > 8 * error
    with_delta, error = estimate(-8.0)
    assert abs(with_delta - truth) < 3 * error
    # Whoever stayed did better: complete cases are biased too.
    assert y[seen[:, 2], 2].mean() - truth > 8 * error


def test_those_seen_weighted_for_those_alike_who_were_not_come_near_what_is_imputed_at_random(knees):
    made = imputed_change(knees, imputations=20)
    for stage in ("early", "moderate", "bone_on_bone"):
        # Another road to the same number: it uses less of the past, so that it wanders more.
        one, other = (number(made, q, stage) for q in ("weighted_for_observation", "missing_at_random"))
        assert one == pytest.approx(other, abs=1.5)
        width = number(made, "weighted_for_observation", stage, "high") - one
        assert width == pytest.approx(number(made, "missing_at_random", stage, "high") - other, rel=0.3)
    checks = made.diagnostics.filter(pl.col("check").str.contains("weight|effective"))
    assert checks.height == 4 and checks["passed"].all()


def test_where_it_tips_the_figure_and_the_command(knees, file, tmp_path):
    made = imputed_change(knees)
    tip = number(made, "tipping_delta", "bone_on_bone")
    assert -50 <= tip < 0
    figure = made.plot()
    assert "points at random" in figure.alt_text and "Mean change in pain at 12 months" in figure.alt_text
    rings = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert -tip in [pytest.approx(float(ring.get_xdata()[0])) for ring in rings]
    assert figure.axes[0].get_title("left") == "Pain" and "tips" in figure._supxlabel.get_text()
    assert made.suppress().frame.height
    seen = made.diagnostics.filter(pl.col("check").str.starts_with("seen at the visit"))
    assert seen.height == 3
    out = tmp_path / "tip.png"
    done = CliRunner().invoke(
        app, ["analyse", str(file), "imputed-change", "--programme", "osteoarthritis", "--figure", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert out.stat().st_size > 10_000


def fitted_plan(registry):
    """The plan of imputing pain at 12 months, of the courses asked about last."""
    products = registry.con.sql("from reduction.trajectory_product order by all").pl()
    strata = [Stratum(s, s, "#000000") for s in ("early", "moderate", "bone_on_bone")]
    visits = [Visit(n, i, d) for i, (n, d) in enumerate(PLANNED, 1)]
    data, _ = enough_visits(products, strata, visits, (), "pain")
    fit, _ = fit_with_fallback(data.sums, design_of(data)[0], "unstructured")
    model = Inference(fit, "satterthwaite")
    return data, plan_of(data, fit, model, model, None)


PLANNED = [("1 month", 30.0), ("3 months", 90.0), ("6 months", 180.0), ("12 months", 365.0)]


def test_points_taken_off_one_stratum_alone_are_those_of_imputing_its_rows_lower(knees):
    """By hand: the difference with a delta in one stratum, from least squares of sums to which it was added."""
    imputed_change(knees, imputations=10)
    _, plan = fitted_plan(knees.registry)
    off = np.array([-5.0, 0.0, -20.0])
    found = under(plan, {"at random": ("missing_at_random", 0.0), "own": ("missing_at_random", off)}, 10, 4)
    # Strata share the slope of the baseline only: what a stratum loses is its share gone times delta, less what the
    # slope takes with it, which least squares of the deltas themselves gives.
    gone = plan.rows.last() < plan.t
    q = plan.rows.zz.shape[1]
    z_delta = plan.rows.zz[gone].sum(axis=0) @ np.concatenate([[0.0], off, np.zeros(q - 4)])
    gram = plan.rows.zz.sum(axis=0)[np.ix_(plan.columns, plan.columns)]
    lost = plan.contrasts @ np.linalg.solve(gram, z_delta[plan.columns])
    np.testing.assert_allclose(found["own"].estimate - found["at random"].estimate, lost, rtol=1e-8)
    assert lost[0] < -0.5 and abs(lost[1]) < 0.5 and lost[2] < -2


def test_a_difference_tips_by_what_is_taken_off_both_strata_or_the_better_one(knees):
    made = imputed_change(knees, imputations=20, deltas=(-10, -40), own_delta={"early": -10, "moderate": -40})
    gap = "moderate - early"
    assert made.settings["deltas"] == [0.0, -10.0, -40.0] and made.settings["compared_with"] == "early"
    grid = made.frame.filter(pl.col("stratum") == gap, pl.col("quantity").str.contains(r"^delta \S+ and \S+$"))
    assert grid["quantity"].to_list() == [f"delta {a:g} and {b:g}" for a in (0, -10, -40) for b in (0, -10, -40)]
    assert number(made, "delta 0 and 0", gap) == pytest.approx(number(made, "missing_at_random", gap), abs=1e-9)
    # Worse in the second of the two, the first looks better, and the other way round.
    assert (
        number(made, "delta 0 and -40", gap) > number(made, "delta 0 and 0", gap) > number(made, "delta -40 and 0", gap)
    )
    # Two of three strata are moved in the grid, and as much by their own deltas.
    assert number(made, "own_delta", gap) == pytest.approx(number(made, "delta -40 and -10", gap), abs=1e-9)
    alone = made.frame.filter(quantity="tipping_delta_alone", stratum="bone_on_bone - early").row(0, named=True)
    assert alone["note"].endswith("taken off early alone"), "early is the better one"
    low, high = (number(made, "delta 0 and -40", gap, c) for c in ("low", "high"))
    tip = number(made, "tipping_delta_alone", gap)
    assert (tip is not None and -40 <= tip < 0) == (low <= 0 <= high or low > 0)
    both = made.frame.filter(quantity="tipping_delta", stratum=gap).row(0, named=True)
    assert both["estimate"] is not None or both["note"] == "not even at -40 points taken off both strata"


def test_deltas_are_in_the_unit_asked_and_boosters_can_be_set_aside(knees):
    how = {"scale": "KOOS/pain", "imputations": 10}
    native, points = (imputed_change(knees, unit=u, **how) for u in ("native", "points_of_100"))
    # KOOS runs from 0 to 100, so that both are the same numbers.
    assert native.settings["deltas"] == points.settings["deltas"] and native.settings["unit_label"] != "points of 100"
    eq5d = imputed_change(knees, scale="EQ5D5L/vas", unit="native", imputations=10)
    assert eq5d.settings["deltas"][1] == pytest.approx(-5.0)
    without = imputed_change(knees, booster_policy="hypothetical", **how)
    assert without.settings["booster_policy"] == "hypothetical"
    late = knees.registry.sql(
        "select count(*) as n from reduction.trajectory_value as v join endpoint.intercurrent as b using (course_id) "
        "where b.role = 'booster' and v.day > b.day"
    )
    assert late["n"][0] == 0


def test_limits_are_called_conservative_where_a_reference_is_jumped_to(knees):
    made = imputed_change(knees, imputations=10, reference="moderate")
    assert made.settings["compared_with"] == "moderate"
    assert set(made.frame.filter(pl.col("stratum").str.contains(" - "))["stratum"]) == {
        "early - moderate", "bone_on_bone - moderate",
    }  # fmt: skip
    assert any("conservative; Cro et al. 2019" in note for note in made.notes)
    assert not any("conservative" in note for note in imputed_change(knees, imputations=10).notes)


def test_a_grid_of_two_strata_is_drawn_below_the_means(knees):
    figure = imputed_change(knees, imputations=10).plot()
    titles = [axes.get_title("left") for axes in figure.axes[1:]]
    assert titles == [f"{s} − Early (blank: 0 within limits)" for s in ("Moderate", "Bone-on-bone")]
    assert len(figure.axes[1].texts) == 64 and "Moderate less Early clear in" in figure.alt_text
    assert figure._supxlabel.get_text().startswith("Band: 95 % CI")


def test_the_same_seed_gives_the_same_numbers(knees):
    one, other = imputed_change(knees, imputations=20), imputed_change(knees, imputations=20)
    assert one.frame.equals(other.frame)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"visit": "7 months"}, "visit = '7 months' is not known"),
        ({"reference": "none"}, "reference = 'none' is not known"),
        ({"reference": "all", "by": "all"}, "reference = 'all' is the only stratum: nobody else could do as it does"),
        ({"imputations": 3}, "too few for limits"),
        ({"imputations": "100"}, "imputations = '100' must be a whole number, 10 or more"),
        ({"imputations": 10.5}, "imputations = 10.5 must be a whole number, 10 or more"),
        ({"seed": "one"}, "seed = 'one' must be a whole number"),
        ({"deltas": (-5, 3)}, "must be numbers of 0 or below"),
        ({"deltas": (True, False)}, "must be numbers of 0 or below"),
        ({"own_delta": 3}, r"own_delta = 3 does not say of which stratum it is: name each, e\.g\. \{'early': -5\}"),
        ({"own_delta": {"early": True}}, "own_delta of early is True: it must be a number"),
        ({"own_delta": {"late": -5}}, "own_delta: stratum 'late' is not known"),
        ({"own_delta": {"early": "worse"}}, "own_delta of early is 'worse': it must be a number"),
        ({"unit": "stones"}, "unit = 'stones' is not known"),
        ({"end_policy": "ignore"}, "end_policy = 'ignore' is not known"),
    ],
)
def test_what_cannot_be_asked_is_refused(knees, options, said):
    with pytest.raises((UsageError, NotEstimable), match=said):
        imputed_change(knees, **options)


def test_what_is_imputed_is_adjusted_for_the_stage_as_the_mixed_model_is(knees):
    how = {"by": "guidance", "adjust": "stage"}
    made = imputed_change(knees, imputations=20, **how)
    due = knees.registry.courses(programme="osteoarthritis", min_potential_follow_up_day=410)
    model = trajectories(due, **how).frame.filter(pl.col("time_day") == 365)
    gaps = made.frame.filter(pl.col("quantity") == "missing_at_random", pl.col("stratum").str.contains(" - "))
    assert gaps.height
    for stratum, estimate in gaps.select("stratum", "estimate").iter_rows():
        of = model.filter(quantity="difference", stratum=stratum)
        # A difference of small groups; later visits, which the model sees too, and Monte-Carlo error move it.
        assert estimate == pytest.approx(of["estimate"][0], abs=1.0)
    assert made.notes[0].startswith("Nobody was randomised to the guidance")


def test_an_empty_selection_is_told_as_one_with_the_reasons(knees):
    everybody = knees.registry.courses(programme="osteoarthritis")
    nobody = everybody.exclude(everybody.ids.to_frame().with_columns(reason=pl.lit("asked to be left out")))
    with pytest.raises(NotEstimable, match=r"No course is left to analyse\. \d+ asked to be left out"):
        imputed_change(nobody)


def test_whoever_was_seen_is_compared_at_the_same_baseline(knees):
    made = imputed_change(knees, imputations=10)
    rows = knees.registry.sql(
        "select stratum, baseline::double as baseline, change::double as change, position "
        "from reduction.trajectory_course left join reduction.trajectory_value using (course_id) where reason is null"
    )
    seen = rows.filter(pl.col("position") == 4)
    stages = ("early", "moderate", "bone_on_bone")
    x = np.column_stack([*((seen["stratum"] == s).to_numpy() for s in stages), seen["baseline"].to_numpy()]).astype(
        float
    )
    beta = np.linalg.lstsq(x, seen["change"].to_numpy(), rcond=None)[0]
    everybody = knees.registry.sql(
        "select avg(baseline)::double as baseline from reduction.trajectory_course where reason is null"
    )["baseline"][0]
    for s, own in zip(stages, beta, strict=False):
        assert number(made, "observed_case", s) == pytest.approx(own + beta[3] * everybody, abs=1e-8)
        # Not the plain mean: the worse start is worth more than a point.
    plain = seen.filter(pl.col("stratum") == "early")["change"].mean()
    assert abs(number(made, "observed_case", "early") - plain) > 1
