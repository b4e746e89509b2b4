"""Trajectories, from files to the number: the truth is recovered, and by the complete cases it is not."""

import numpy as np
import polars as pl
import pytest

from analysis.figures import png
from analysis.numerics.marginal_means import linear_estimates, mean_rows
from analysis.numerics.repeated import fit_mmrm
from analysis.numerics.repeated_sums import pattern_sums
from analysis.trajectories import trajectories
from analysis.trajectory_model import clustered
from analysis.trajectory_question import Visit
from analysis.trajectory_sums import design_of, rows_of, sums_of
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources
from synthetic.cohort import draw

STAGES = ("early", "moderate", "bone_on_bone")
VISITS = ("3 months", "6 months", "12 months")
EVERYBODY = Design(
    patients=600, seed=21, missed=0.0, dropout=0.0, boosters=False, ends=False, item_share=0.0, extra_scales=False
)


def registry_of(folder, design):
    sources.write_template(simulate(design), folder / "files")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    assert load(folder / "r.duckdb", [folder / "files"]).rejected == 0
    derive(folder / "r.duckdb")
    return folder / "r.duckdb"


@pytest.fixture(scope="module")
def everybody(tmp_path_factory):
    """A registry in which nobody missed a visit."""
    return registry_of(tmp_path_factory.mktemp("everybody"), EVERYBODY)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A registry as clinics have it, of two programmes; only read."""
    design = Design(patients=180, seed=5, programmes={"osteoarthritis": 0.8, "wellness": 0.2})
    return Registry.open(registry_of(tmp_path_factory.mktemp("demo"), design))


def rewritten(path, table, query):
    """A session on the registry in which a derived table is made by `query` from its rows, ``held``."""
    registry = Registry.open(path)
    registry.con.execute(f"create table held as from {table}; drop view {table}; create table {table} as {query}")
    return registry


def change(result, quantity="mean_change"):
    rows = result.frame.filter(pl.col("quantity") == quantity)
    return {(r["stratum"], r["time_day"]): r for r in rows.to_dicts()}


def true_change(day):
    """Mean improvement by stage that the patients were drawn with, among those followed for 420 days."""
    drawn = draw(EVERYBODY, "osteoarthritis", EVERYBODY.patients, 1, np.random.default_rng(EVERYBODY.seed))
    improvement = drawn.benefit.at(np.full(drawn.courses.height, day))
    long = drawn.courses["index_date"].to_numpy() <= np.datetime64("2025-01-04") - 420
    chosen = drawn.courses.with_columns(x=improvement).filter(pl.Series(long))
    return dict(chosen.group_by("stage").agg(pl.col("x").mean()).iter_rows())


def ask(registry, **options):
    return trajectories(registry.courses(min_potential_follow_up_day=420), visits=VISITS, **options)


LEAVING = (
    "select * from held where not exists (select 1 from held as early join course.baseline as b "
    "on b.course_id = early.course_id and b.scale = early.scale where early.course_id = held.course_id "
    "and early.scale = held.scale and early.day < held.day and early.planned_visit <> '1 month' "
    "and b.worse100 - early.worse100 < 8 and hash(early.course_id, early.day) % 10 < 7)"
)

MEANS = {"early": (10, 14, 16), "moderate": (8, 10, 11), "bone_on_bone": (5, 6, 4)}
SPREAD = np.array([[100.0, 60.0, 50.0], [60.0, 120.0, 80.0], [50.0, 80.0, 150.0]])


def normal_changes(registry, seed):
    """Replace scores by normal changes about MEANS; a visit after one with less than 8 points is mostly missed."""
    rng = np.random.default_rng(seed)
    days = ", ".join(f"min(s.day) filter (where planned_visit = '{visit}') as d{k}" for k, visit in enumerate(VISITS))
    held = registry.sql(
        f"select course_id, scale, stage, b.worse100::double as b, {days} from course.planned_score as s "
        "join course.baseline as b using (course_id, scale) join course.profile using (course_id) "
        "where choice = 1 and scale in ('KOOS/pain', 'HOOS/pain') and stage is not null group by all order by 1"
    )
    y = np.array([MEANS[s] for s in held["stage"]]) + rng.normal(size=(held.height, 3)) @ np.linalg.cholesky(SPREAD).T
    stays = np.cumprod((y >= 8) | (rng.random(y.shape) < 0.25), axis=1).astype(bool)
    seen = np.column_stack([np.ones(len(y), dtype=bool), stays[:, :2]])
    parts = [
        held.select("course_id", "scale", day=f"d{k}", planned_visit=pl.lit(visit), choice=1, source_id=0)
        .with_columns(value=0.0, worse100=(held["b"] - pl.Series(y[:, k])).round(4))
        .filter(pl.Series(seen[:, k]))
        for k, visit in enumerate(VISITS)
    ]
    scores = pl.concat(parts)
    registry.con.register("scores", scores)
    registry.con.execute("drop view course.planned_score; create table course.planned_score as from scores")


def test_when_nobody_is_missing_the_true_change_of_each_stage_is_recovered(everybody):
    with Registry.open(everybody) as registry:
        found = change(ask(registry))
    for day in (90.0, 365.0):
        truth = true_change(day)
        # Two standard errors of about 0.5, and visits a few weeks off their day.
        assert all(found[s, day]["estimate"] == pytest.approx(truth[s], abs=1.3) for s in STAGES)


def test_when_those_without_benefit_leave_the_model_finds_the_change_and_complete_cases_do_not(everybody):
    with Registry.open(everybody) as registry:
        full = change(ask(registry))
    with rewritten(everybody, "course.planned_score", LEAVING) as registry:
        result = ask(registry)
    found, naive = change(result), change(result, "complete_case")
    for stage in STAGES:
        truth = full[stage, 365.0]["estimate"]
        wrong, naively = (x[stage, 365.0]["estimate"] - truth for x in (found, naive))
        # Leaving depended on what had been measured, but changes are a mixture of responders and others, so that the
        # straight lines of the model leave about a quarter of the bias (docs/methods/trajectories.md).
        assert abs(wrong) < naively / 2
        assert naively > 2.0


def test_normal_changes_missing_at_random_are_recovered_at_every_visit(everybody):
    with Registry.open(everybody) as registry:
        normal_changes(registry, seed=3)
        result = ask(registry)
    found, naive = change(result), change(result, "complete_case")
    for stage, means in MEANS.items():
        for day, mean in zip((90.0, 180.0, 365.0), means, strict=True):
            held = found[stage, day]
            # Three standard errors: one of these nine misses by chance in one of forty seeds.
            assert abs(held["estimate"] - mean) < 3 * (held["high"] - held["low"]) / 3.92
        assert naive[stage, 365.0]["estimate"] - means[2] > 3.0


def reductions(registry):
    names = ("product", "course", "value")
    return [registry.con.sql(f"from reduction.trajectory_{name} order by all").pl() for name in names]


def test_cross_products_made_in_sql_give_the_fit_of_the_arrays(demo):
    courses = demo.courses(programme="osteoarthritis")
    result = trajectories(courses, adjust=("age", "sex", "bmi"), visits=VISITS)
    products, people, values = reductions(demo)
    visits = [Visit(v["visit"], i, v["day"]) for i, v in enumerate(result.settings["visits"], 2)]
    data = sums_of(products, list(STAGES), visits, ("age", "female", "bmi"))
    z, y, _ = rows_of(values, people.filter(pl.col("reason").is_null()), data)
    design = design_of(data)[0]
    ours, theirs = fit_mmrm(data.sums, design), fit_mmrm(pattern_sums(z, y), design)
    # The same sums, exact in SQL and in binary in numpy.
    np.testing.assert_allclose(ours.beta, theirs.beta, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ours.covariance, theirs.covariance, rtol=1e-9, atol=1e-10)
    rows = mean_rows(design, data.profiles(data.means))
    both = [linear_estimates(f, rows, "kenward-roger-linear").estimate for f in (ours, theirs)]
    np.testing.assert_allclose(*both, rtol=1e-10)
    assert change(result)["early", 365.0]["estimate"] == pytest.approx(both[0][0, 2], rel=1e-10)


def test_the_sums_of_centres_add_up_to_those_of_the_registry(demo):
    trajectories(demo.courses(programme="osteoarthritis"), visits=VISITS)
    key, total = ["stratum", "pattern", "left_variable", "right_variable"], reductions(demo)[0]
    parts = []
    for centre in demo.sql("select distinct centre from course.profile")["centre"]:
        trajectories(demo.courses(programme="osteoarthritis", centre=centre), by="all", visits=VISITS,
                     structure="compound symmetry")  # fmt: skip
        parts.append(reductions(demo)[0])
    pooled = pl.concat(parts).group_by(key[1:]).agg(pl.col("total").sum()).sort(key[1:])
    # Courses without a stage are in the parts only.
    trajectories(demo.courses(programme="osteoarthritis"), by="all", visits=VISITS)
    assert pooled.rows() == reductions(demo)[0].select(*key[1:], "total").sort(key[1:]).rows()
    assert total["n"].sum() < pl.concat(parts)["n"].sum()


def test_patients_with_one_course_have_the_variance_of_the_model_and_others_a_clustered_one(demo):
    result = trajectories(demo.courses(programme="osteoarthritis"), visits=VISITS)
    assert result.settings["variance"] == "sandwich clustered by patient (scores reduced by course as in CR2)"
    wellness = trajectories(demo.courses(programme="wellness", first_course_only=True))
    assert wellness.settings["variance"] == "model"
    assert wellness.settings["degrees_of_freedom"] == "kenward-roger-linear"


def test_courses_of_one_patient_that_are_copies_count_as_one(demo):
    trajectories(demo.courses(programme="osteoarthritis"), visits=VISITS)
    products, people, values = reductions(demo)
    data = sums_of(products, list(STAGES), [Visit("3 months", 2, 90), Visit("6 months", 3, 180)], ())
    z, y, _ = rows_of(values, people.filter(pl.col("reason").is_null()), data)
    design = design_of(data)[0]
    single = clustered(fit_mmrm(pattern_sums(z, y), design), "satterthwaite", (z, y, np.arange(len(y))))
    twice, who = (np.vstack([z, z]), np.vstack([y, y])), np.tile(np.arange(len(y)), 2)
    double = clustered(fit_mmrm(pattern_sums(*twice), design), "satterthwaite", (*twice, who))
    rows = mean_rows(design, data.profiles(data.means))[0]
    # REML's own degrees of freedom and the bias reduction differ by terms of order p/n, here 8 of 200.
    np.testing.assert_allclose(double.of(rows, 0.95).se, single.of(rows, 0.95).se, rtol=0.02)
    np.testing.assert_allclose(double.of(rows, 0.95).df, single.of(rows, 0.95).df, rtol=0.05)


def test_the_value_of_a_visit_is_the_nearest_score_in_its_window_and_of_two_the_earlier(demo):
    con = demo.con.cursor()
    found = con.sql(
        "with all_scores as (select score.course_id, score.scale, score.day, planned.planned_visit, "
        "abs(score.day - planned.target_day) as gap from course.score join course.course using (course_id) "
        "join catalogue.programme_visit as planned on course.course.programme = planned.programme "
        "where score.day between window_low_day and window_high_day and score.day > 0) "
        "select count(*) from course.planned_score as chosen join all_scores using (course_id, scale, planned_visit) "
        "where choice = 1 and (gap, all_scores.day) < (distance_day, chosen.day)"
    ).fetchone()
    assert found == (0,)


ENDS = "select course_id, 120 as day, 'end' as role, 'TKA' as kind from course.course where course_id % 2 = 0"


def test_scores_after_the_end_of_the_target_count_under_the_treatment_policy_only(everybody):
    def scores(registry, policy):
        ask(registry, end_policy=policy)
        late = "from reduction.trajectory_value where course_id % 2 = 0 and day > 120"
        return registry.sql(f"select count(*) as n {late}")["n"][0]

    with rewritten(everybody, "endpoint.end_event", ENDS) as registry:
        assert scores(registry, "hypothetical") == 0
        assert scores(registry, "treatment_policy") > 100


def test_scores_after_the_first_booster_are_set_aside_when_the_question_is_without_boosters(demo):
    trajectories(demo.courses(programme="osteoarthritis"), visits=VISITS, booster_policy="hypothetical")
    held = demo.sql(
        "select count(*) filter (where v.day > b.day) as late, count(*) as n from reduction.trajectory_value as v "
        "join endpoint.intercurrent as b using (course_id) where b.role = 'booster'"
    )
    assert held["late"][0] == 0 < held["n"][0]


def test_an_improvement_is_positive_in_the_scales_own_unit_as_on_0_to_100(demo):
    courses = demo.courses(programme="osteoarthritis", site="knee")
    per_100 = change(trajectories(courses, scale="KOOS/pain", visits=VISITS))
    native = change(trajectories(courses, scale="KOOS/pain", visits=VISITS, unit="native"))
    assert native["early", 365.0]["estimate"] == pytest.approx(per_100["early", 365.0]["estimate"], rel=1e-9)
    assert native["early", 365.0]["estimate"] > 5


def test_courses_lacking_a_covariate_leave_with_the_reason(demo):
    courses = demo.courses(programme="osteoarthritis")
    without, with_bmi = (trajectories(courses, adjust=a, visits=VISITS) for a in ((), ("bmi",)))
    left = dict(with_bmi.attrition.iter_rows())
    unknown = demo.sql(
        "select count(*) as n from course.profile "
        "where programme = 'osteoarthritis' and stage is not null and bmi is null"
    )["n"][0]
    assert left["body-mass index not known"] == unknown > 0
    assert without.attrition["n"][-1] - with_bmi.attrition["n"][-1] == unknown


def test_a_visit_nobody_attended_is_dropped_with_a_note(everybody):
    with rewritten(
        everybody, "course.planned_score", "select * from held where planned_visit <> '6 months'"
    ) as registry:
        result = ask(registry)
    assert [v["visit"] for v in result.settings["visits"]] == ["3 months", "12 months"]
    assert "6 months: nobody was seen; the visit is left out." in result.notes


def test_an_empty_stage_and_one_of_two_courses_do_not_break_the_others(everybody):
    three = "(select course_id from held where stage = 'early' and potential_follow_up_day > 420 order by 1 limit 3)"
    stage = f"case when stage <> 'early' or course_id in {three} then stage end as stage"
    with rewritten(everybody, "course.profile", f"select * replace ({stage}) from held") as registry:
        found = change(ask(registry))
    assert found["pre_radiographic", 365.0]["note"] == "nobody in this stratum"
    assert found["early", 365.0]["note"] == "fewer than 5 courses were seen"
    assert found["moderate", 365.0]["low"] < found["moderate", 365.0]["estimate"] < found["moderate", 365.0]["high"]


def test_too_few_for_a_full_covariance_get_a_simpler_one_and_are_told(everybody):
    sparse = "select * from held where (course_id + position) % 2 = 0 or planned_visit = '3 months'"
    never_both = sparse.replace(" or planned_visit = '3 months'", " and not (position = 4 and course_id % 2 = 1)")
    with rewritten(everybody, "course.planned_score", never_both) as registry:
        result = ask(registry)
    assert result.settings["structure_used"] != "unstructured"
    assert any(note.startswith("The covariance is ") for note in result.notes)


def test_one_patient_is_not_enough_and_the_message_says_what_is(demo):
    one = demo.sql("select course_id from course.profile where programme = 'osteoarthritis' limit 1")
    others = demo.courses().attrition.filter(pl.col("course_id") != one["course_id"][0])
    courses = demo.courses().exclude(others.select("course_id", reason=pl.lit("not the one")))
    with pytest.raises(NotEstimable, match=r"No planned visit has enough courses with KOOS pain|HOOS pain"):
        trajectories(courses)


def test_a_scale_never_measured_or_unknown_is_refused(demo):
    knees = demo.courses(programme="osteoarthritis")
    with pytest.raises(NotEstimable, match="No course has a baseline of IKDC"):
        trajectories(knees, scale="IKDC")
    with pytest.raises(UsageError, match="Did you mean 'KOOS/pain'"):
        trajectories(knees, scale="KOOS/pian")
    with pytest.raises(UsageError, match="several programmes: osteoarthritis, wellness"):
        trajectories(demo.courses())


def test_wellness_is_described_though_it_has_no_response_definition(demo):
    result = trajectories(demo.courses(programme="wellness"))
    assert result.settings["scale"] == ["PROMIS-GPH"]
    found = change(result)["all", 365.0]
    assert found["low"] < found["estimate"] < found["high"]
    assert "two strata" in result.frame.filter(pl.col("quantity") == "test")["note"][0]


def test_the_difference_between_stages_is_at_the_same_baseline_and_the_interaction_is_tested(demo):
    result = trajectories(demo.courses(programme="osteoarthritis"), visits=VISITS)
    adjusted, gap = change(result, "adjusted_change"), change(result, "difference")
    apart = adjusted["moderate", 180.0]["estimate"] - adjusted["early", 180.0]["estimate"]
    assert gap["moderate - early", 180.0]["estimate"] == pytest.approx(apart, rel=1e-9)
    test = result.frame.filter(pl.col("quantity") == "test").row(0, named=True)
    assert test["note"].startswith("stratum × visit: F(4, ")
    assert 0 <= test["estimate"] <= 1


def test_the_figure_names_every_stage_and_says_what_it_shows(demo):
    figure = trajectories(demo.courses(programme="osteoarthritis")).plot()
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert all(words.count(label) == 2 for label in ("Early", "Moderate", "Bone-on-bone"))
    assert figure.alt_text.startswith("Mean change from baseline in pain over 6 planned visits")
    assert png(figure).startswith(b"\x89PNG")
