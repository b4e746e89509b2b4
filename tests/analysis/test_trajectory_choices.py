"""Choices of the model of trajectories: likelihood, covariance, variance, and what is adjusted for."""

import numpy as np
import polars as pl
import pytest

from analysis import answer, pool, reduce_for, trajectories
from analysis.numerics.marginal_means import linear_estimates, mean_rows
from analysis.numerics.repeated import fit_mmrm
from analysis.trajectory_question import Visit
from analysis.trajectory_sums import design_of, sums_of
from registry import Registry, derive
from registry.errors import UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources

STAGES = ["early", "moderate", "bone_on_bone"]
VISITS = ("3 months", "6 months", "12 months")
ONE = {"programme": "osteoarthritis", "first_course_only": True}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choices")
    sources.write_template(simulate(Design(patients=350, seed=31, programmes={"osteoarthritis": 1.0})), folder / "in")
    path = folder / "knees.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [folder / "in"])
    derive(path)
    return path


@pytest.fixture
def registry(file):
    with Registry.open(file) as found:
        yield found


def numbers(result, quantity="mean_change"):
    rows = result.frame.filter(pl.col("quantity") == quantity, pl.col("estimate").is_not_null())
    return {(r["stratum"], r["time_day"]): (r["estimate"], r["low"], r["high"]) for r in rows.to_dicts()}


def data_of(registry, result):
    products = registry.con.sql("from reduction.trajectory_product order by all").pl()
    visits = [Visit(v["visit"], i, v["day"]) for i, v in enumerate(result.settings["visits"], 2)]
    return sums_of(products, STAGES, visits, ())


def test_full_likelihood_gives_the_means_of_the_model_fitted_so_and_its_log_likelihood(registry):
    # The fit itself is held against R mmrm in numerics/test_repeated_references.py, through the same door.
    result = trajectories(registry.courses(**ONE), visits=VISITS, likelihood="ml", variance="model")
    data = data_of(registry, result)
    design = design_of(data)[0]
    fit = fit_mmrm(data.sums, design, reml=False)
    wanted = linear_estimates(fit, mean_rows(design, data.profiles(data.means)), "satterthwaite")
    found = np.array([[numbers(result)[s, v["day"]] for v in result.settings["visits"]] for s in STAGES])
    np.testing.assert_allclose(found, np.stack([wanted.estimate, wanted.lower, wanted.upper], axis=-1), rtol=1e-10)
    assert (result.settings["likelihood"], result.settings["degrees_of_freedom"]) == ("ml", "satterthwaite")
    said = result.diagnostics.filter(pl.col("check") == "log-likelihood")
    assert said["value"][0] == pytest.approx(fit.loglik, rel=1e-12) and f"AIC {fit.aic:.2f}" in said["note"][0]
    # Variances of full likelihood make no allowance for the coefficients.
    usual = trajectories(registry.courses(**ONE), visits=VISITS, variance="model", degrees_of_freedom="satterthwaite")
    narrow, wide = (numbers(r)["early", 365.0] for r in (result, usual))
    assert 0.97 < (narrow[2] - narrow[1]) / (wide[2] - wide[1]) < 1


def test_full_likelihood_is_answered_from_counts_too(registry):
    centres = registry.sql("select distinct centre from course.profile order by 1")["centre"].to_list()
    counts = pool([reduce_for(registry.courses(**ONE, centre=c), "trajectories", visits=VISITS) for c in centres])
    whole = trajectories(registry.courses(**ONE), visits=VISITS, likelihood="ml", variance="model")
    found = answer(counts, likelihood="ml")
    assert numbers(found) == {k: pytest.approx(v, rel=1e-9) for k, v in numbers(whole).items()}


@pytest.mark.parametrize("method", ["kenward-roger", "kenward-roger-linear"])
def test_kenward_roger_is_refused_under_full_likelihood(registry, method):
    with pytest.raises(UsageError, match=r"holds for restricted maximum likelihood only.*use 'satterthwaite'"):
        trajectories(registry.courses(**ONE), likelihood="ml", degrees_of_freedom=method)
    with pytest.raises(UsageError, match="likelihood = 'full' is not known"):
        trajectories(registry.courses(**ONE), likelihood="full")


@pytest.fixture
def level(file):
    """A registry in which every baseline is 60, so that the strata of a question share no coefficient."""
    with Registry.open(file) as found:
        found.con.execute("create table held as from course.baseline; drop view course.baseline")
        found.con.execute("create table course.baseline as select * replace (60 as worse100) from held")
        yield found


@pytest.mark.parametrize(
    ("likelihood", "method"), [("reml", "satterthwaite"), ("reml", "kenward-roger-linear"), ("ml", "satterthwaite")]
)
def test_with_a_covariance_of_its_own_a_stratum_has_the_numbers_of_a_fit_of_it_alone(level, likelihood, method):
    how = {"visits": VISITS, "variance": "model", "likelihood": likelihood, "degrees_of_freedom": method}
    together = trajectories(level.courses(**ONE), covariance_by="stratum", **how)
    assert together.settings["covariance_by_used"] == "stratum" and not any("in common" in n for n in together.notes)
    for stage in STAGES:
        alone = numbers(trajectories(level.courses(**ONE, stage=stage), by="all", **how))
        found = {day: v for (s, day), v in numbers(together).items() if s == stage}
        # Estimate and both limits, and with them standard errors and degrees of freedom.
        assert found == {day: pytest.approx(v, rel=1e-6) for (_, day), v in alone.items()} and len(found) == 3
    common = numbers(trajectories(level.courses(**ONE), **how))
    assert any(abs(common[k][1] - v[1]) > 0.02 for k, v in numbers(together).items())


def test_clustered_limits_of_a_stratum_with_its_own_covariance_are_those_of_it_alone(level):
    together = trajectories(level.courses(programme="osteoarthritis"), visits=VISITS, covariance_by="stratum")
    assert together.settings["variance"].startswith("sandwich")
    alone = trajectories(level.courses(programme="osteoarthritis", stage="early"), by="all", visits=VISITS)
    for day in (90.0, 180.0, 365.0):
        one, other = numbers(together)["early", day], numbers(alone)["all", day]
        assert one[0] == pytest.approx(other[0], rel=1e-6)
        # The factor for several courses a patient is of all strata together: 5 % in degrees of freedom of 100.
        assert one[2] - one[1] == pytest.approx(other[2] - other[1], rel=2e-3)


def test_covariances_by_stratum_are_answered_from_counts_too(registry):
    centres = registry.sql("select distinct centre from course.profile order by 1")["centre"].to_list()
    counts = pool([reduce_for(registry.courses(**ONE, centre=c), "trajectories", visits=VISITS) for c in centres])
    whole = trajectories(registry.courses(**ONE), visits=VISITS, covariance_by="stratum", variance="model")
    found = answer(counts, covariance_by="stratum")
    assert numbers(found) == {k: pytest.approx(v, rel=1e-9) for k, v in numbers(whole).items()}
    assert found.settings["covariance_by_used"] == "stratum"


def test_a_stratum_too_small_for_a_covariance_of_its_own_leaves_all_with_one_and_a_note(registry):
    few = "(select course_id from held where stage = 'early' order by 1 limit 3)"
    registry.con.execute("create table held as from course.profile; drop view course.profile")
    registry.con.execute(f"create table course.profile as from held where stage <> 'early' or course_id in {few}")
    how = {"visits": VISITS, "variance": "model"}
    asked = trajectories(registry.courses(**ONE), covariance_by="stratum", **how)
    plain = trajectories(registry.courses(**ONE), **how)
    assert numbers(asked) == numbers(plain)
    assert (asked.settings["covariance_by"], asked.settings["covariance_by_used"]) == ("stratum", "all")
    assert any(n.endswith("could not be fitted: too few courses were seen in early") for n in asked.notes)


def sorted_products(registry, gap):
    """Give product B to the worse stages mostly; scores after treatment are of the stage, and `gap` more under B."""
    con = registry.con
    for table in ("course.profile", "course.planned_score"):
        con.execute(f"create table held_{table[7:]} as from {table}; drop view {table}")
    share = "case stage when 'early' then 2 when 'moderate' then 5 else 8 end"
    con.execute(
        f"create table course.profile as select * replace (case when hash(course_id) % 10 < {share} then 'B' else 'A' end "
        "as product) from held_profile where stage in ('early', 'moderate', 'bone_on_bone')"
    )
    late = "case held.planned_visit when '3 months' then 0 when '6 months' then 4 else 8 end"
    step = "case stage when 'early' then 0 when 'moderate' then 1 else 2 end"
    con.execute(
        f"create table course.planned_score as select held.* replace (60 - 20 + {step} * {late} "
        f"- case when product = 'B' then {gap} else 0 end + (hash(held.course_id, held.day) % 1000) / 125.0 as worse100) "
        "from held_planned_score as held join course.profile using (course_id)"
    )


def test_products_given_to_other_stages_are_compared_in_like_stages(level):
    sorted_products(level, gap=3)
    how = {"by": "product", "visits": VISITS, "variance": "model"}
    plain = trajectories(level.courses(programme="osteoarthritis"), **how)
    staged = trajectories(level.courses(programme="osteoarthritis"), adjust="stage", **how)
    for day in (90.0, 180.0, 365.0):
        found, low, high = numbers(staged, "difference")["B - A", day]
        # Made so: three points more at every visit; uniform noise over eight points.
        assert low < 3 < high and high - low < 2.5 and found == pytest.approx(3, abs=1)
    assert numbers(plain, "difference")["B - A", 365.0][0] < -1
    # A stage loses its benefit at its own pace: that is stage × visit, and by hand least squares among those seen.
    rows = level.con.sql(
        "select product = 'B', stage = 'early', stage = 'moderate', change from reduction.trajectory_value "
        "join course.profile using (course_id) where position = 4"
    ).fetchnumpy()
    x = np.column_stack([np.ones(len(rows["change"])), *(np.asarray(rows[c], dtype=float) for c in list(rows)[:3])])
    by_hand = np.linalg.lstsq(x, np.asarray(rows["change"], dtype=float), rcond=None)[0][1]
    assert numbers(staged, "difference")["B - A", 365.0][0] == pytest.approx(by_hand, abs=0.3)
    assert "Differences between strata are adjusted for baseline, stage." in staged.notes
    assert staged.notes[0].startswith("Nobody was randomised to the product")
    assert any(n.endswith("adjust='stage' compares like stages.") for n in plain.notes)


def test_the_stage_is_adjusted_for_from_counts_too_and_by_rows_as_by_sums(registry):
    centres = registry.sql("select distinct centre from course.profile order by 1")["centre"].to_list()
    how = {"by": "donor", "visits": VISITS, "adjust": ("stage", "age")}
    counts = pool([reduce_for(registry.courses(**ONE, centre=c), "trajectories", **how) for c in centres])
    whole = trajectories(registry.courses(**ONE), variance="model", **how)
    assert numbers(answer(counts)) == {k: pytest.approx(v, rel=1e-8) for k, v in numbers(whole).items()}
    # Clustered limits need the rows: were they not those of the sums, the fit would refuse them or the limits be off.
    rows, ratio = trajectories(registry.courses(**ONE), **how), "ratio of standard errors"
    assert 0.8 < rows.diagnostics.filter(pl.col("check") == ratio)["value"][0] < 1.25


def test_the_stage_is_not_adjusted_for_where_it_is_the_stratum(registry):
    with pytest.raises(UsageError, match="has the stage in its strata: leave it out"):
        trajectories(registry.courses(**ONE), adjust="stage")


def one_each(registry):
    """One course of every patient."""
    later = registry.sql(
        "select course_id, 'another course' as reason from course.profile "
        "qualify row_number() over (partition by patient_id order by course_id) > 1"
    )
    return registry.courses(programme="osteoarthritis").exclude(later)


def test_with_one_course_a_patient_the_sandwich_at_one_visit_is_the_spread_of_each_stage(level):
    result = trajectories(one_each(level), visits="12 months", variance="sandwich")
    assert result.settings["variance"] == "sandwich (CR2)"
    # Nothing but a mean of each stage is fitted: CR2 and its degrees of freedom are then s / sqrt(n) and n - 1.
    found, by_hand = numbers(result), numbers(result, "observed_case")
    assert len(found) == 3 and found == {k: pytest.approx(v, rel=1e-8) for k, v in by_hand.items()}
    model = trajectories(one_each(level), visits="12 months")
    assert model.settings["variance"] == "model"
    assert any(abs(numbers(model)[k][1] / v[1] - 1) > 0.01 for k, v in by_hand.items())
    assert "Every patient has one course: the variance is that of the model." in model.notes
    assert not any("one course" in n for n in result.notes)


def test_the_sandwich_is_refused_of_counts_that_hold_no_rows(registry):
    centres = registry.sql("select distinct centre from course.profile order by 1")["centre"].to_list()[:2]
    counts = [reduce_for(registry.courses(**ONE, centre=c), "trajectories", visits=VISITS) for c in centres]
    with pytest.raises(UsageError, match="needs the rows of courses, which counts do not hold"):
        answer(pool(counts), variance="sandwich")


def test_no_visit_named_is_told_apart_from_a_programme_that_plans_none(registry):
    with pytest.raises(UsageError, match=r"visits = \(\) names no visit.*some of: .*6 months"):
        trajectories(registry.courses(**ONE), visits=())
