"""What a trial statistician looks up of trajectories: errors, degrees of freedom, t, p, coefficients, covariances, pairs."""

import json

import numpy as np
import polars as pl
import pytest

from analysis import answer, pool, reduce_for, trajectories
from analysis.disclosure.rounding import rounded
from analysis.numerics.laws import t_quantile
from analysis.result import DETAILS
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources

STAGES = ("early", "moderate", "bone_on_bone")
VISITS = ("3 months", "6 months", "12 months")
KNEES = {"programme": "osteoarthritis"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("details")
    sources.write_template(simulate(Design(patients=260, seed=44, programmes={"osteoarthritis": 1.0})), folder / "in")
    path = folder / "knees.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [folder / "in"])
    derive(path)
    return path


@pytest.fixture
def registry(file):
    with Registry.open(file) as found:
        yield found


def replaced(registry, table, query):
    """Make a derived table by `query` from its rows, ``held``."""
    registry.con.execute(f"create table held as from {table}; drop view {table}; create table {table} as {query}")


def details(result, quantity):
    return result.details.filter(pl.col("quantity") == quantity)


def test_limits_are_the_estimate_and_t_times_the_standard_error_of_the_details(registry):
    result = trajectories(registry.courses(**KNEES), visits=VISITS, confidence=0.9)
    assert dict(result.details.schema) == DETAILS
    keys = ["stratum", "quantity", "time_day"]
    both = result.frame.join(result.details, on=keys, suffix="_told").drop_nulls("standard_error")
    # Three means and adjusted means and two differences at three visits.
    assert both.height == 3 * (3 + 3 + 2)
    reach = t_quantile(0.95, both["degrees_of_freedom"].to_numpy()) * both["standard_error"].to_numpy()
    np.testing.assert_allclose(both["high"] - both["estimate"], reach, rtol=1e-10)
    np.testing.assert_allclose(both["estimate_told"] / both["standard_error"], both["t"], rtol=1e-12)
    # p is below 0.1 exactly where limits of 90 % leave nought out.
    clear = (both["low"] > 0) | (both["high"] < 0)
    assert (clear == (both["p"] < 0.1)).all()


def test_the_error_of_one_visit_of_one_stratum_is_by_hand_the_spread_over_the_root_of_n(registry):
    """One visit, one stratum, one course a patient, one baseline: t of n - 1 with s / √n; the variance is s²."""
    replaced(registry, "course.baseline", "select * replace (60 as worse100) from held")
    later = registry.sql(
        "select course_id, 'another course' as reason from course.profile "
        "qualify row_number() over (partition by patient_id order by course_id) > 1"
    )
    courses = registry.courses(**KNEES).exclude(later)
    result = trajectories(courses, by="all", visits="12 months", variance="model")
    change = registry.sql("select change::double as y from reduction.trajectory_value where position = 4")[
        "y"
    ].to_numpy()
    n, s = len(change), change.std(ddof=1)
    mean = details(result, "mean_change").row(0, named=True)
    assert mean["standard_error"] == pytest.approx(s / np.sqrt(n), rel=1e-8)
    assert mean["degrees_of_freedom"] == pytest.approx(n - 1, rel=1e-6)
    assert details(result, "covariance")["estimate"].to_list() == [pytest.approx(s**2, rel=1e-8)]
    assert details(result, "covariance")["denominator"].to_list() == [n]


def test_means_are_the_coefficients_at_the_baseline_and_covariances_have_their_groups(registry):
    result = trajectories(registry.courses(**KNEES), visits=VISITS, adjust="age", covariance_by="stratum")
    of = {r["term"]: r["estimate"] for r in details(result, "coefficient").to_dicts()}
    assert set(of) == {f"{s} at {v}" for s in STAGES for v in VISITS} | {f"baseline:{v}" for v in VISITS} | {"age"}
    people = registry.sql(
        "select avg(baseline)::double as baseline, avg(age)::double as age from reduction.trajectory_course "
        "where reason is null and stratum = 'early'"
    ).row(0, named=True)
    by_hand = of["early at 12 months"] + of["baseline:12 months"] * people["baseline"] + of["age"] * people["age"]
    mean = details(result, "mean_change").filter(stratum="early", time_day=365.0)["estimate"][0]
    assert mean == pytest.approx(by_hand, rel=1e-8)
    sigma, root = details(result, "covariance"), details(result, "correlation")
    assert sigma.group_by("stratum").len().sort("stratum").rows() == [(s, 6) for s in sorted(STAGES)]
    own = {(r["time_day"], r["other_day"]): r["estimate"] for r in sigma.filter(stratum="early").to_dicts()}
    told = root.filter(stratum="early", time_day=90.0, other_day=365.0)["estimate"][0]
    assert told == pytest.approx(own[90.0, 365.0] / np.sqrt(own[90.0, 90.0] * own[365.0, 365.0]), rel=1e-12)
    shared = trajectories(registry.courses(**KNEES), visits=VISITS, adjust="age")
    assert details(shared, "covariance")["stratum"].unique().to_list() == ["all"]


def test_details_of_few_are_hidden_in_what_leaves_and_told_as_hidden(registry, tmp_path):
    few = "(select course_id from held where stage = 'early' order by 1 limit 12)"
    replaced(registry, "course.profile", f"from held where stage <> 'early' or course_id in {few}")
    result = trajectories(registry.courses(**KNEES), visits=VISITS)
    n = {r["time_day"]: r["denominator"] for r in details(result, "mean_change").filter(stratum="early").to_dicts()}
    smallest = max(n.values()) + 1
    assert min(n.values()) >= 5, "shown before it is suppressed"
    shown = result.suppress(smallest)
    early = shown.details.filter(pl.col("stratum") == "early")
    assert early["note"].str.starts_with("suppressed").all() and early.height == 3 * 3
    for column in ("estimate", "standard_error", "degrees_of_freedom", "t", "p", "denominator"):
        assert early[column].null_count() == early.height, column
    other = shown.details.filter(pl.col("stratum") == "moderate", pl.col("quantity") == "mean_change")
    assert other["standard_error"].null_count() == 0
    # Seen at both visits, less seen at one, may be a few.
    pairs = shown.details.filter(pl.col("other_day") > pl.col("time_day"))
    assert pairs.height == 6 and pairs["denominator"].null_count() == 6 and pairs["estimate"].null_count() == 0
    coarse = rounded(result.suppress(), 5)
    assert (coarse.details["denominator"].drop_nulls() % 5 == 0).all()
    assert (coarse.details["degrees_of_freedom"].drop_nulls() % 5 == 0).all()
    result.to_csv(tmp_path / "details.csv", details=True)
    assert pl.read_csv(tmp_path / "details.csv").columns == list(DETAILS)
    assert len(json.loads(result.to_json())["details"]) == result.details.height
    with pytest.raises(UsageError, match="has no details"):
        from analysis import describe

        describe(registry.courses(**KNEES)).to_csv(tmp_path / "none.csv", details=True)


def test_all_pairs_of_strata_are_compared_and_the_reference_can_be_named(registry):
    result = trajectories(registry.courses(**KNEES), visits=VISITS, contrasts="pairwise", reference="moderate")
    gaps = {r["stratum"]: r["estimate"] for r in details(result, "difference").filter(time_day=180.0).to_dicts()}
    assert list(gaps) == ["early - moderate", "bone_on_bone - moderate", "bone_on_bone - early"]
    adjusted = {
        r["stratum"]: r["estimate"] for r in details(result, "adjusted_change").filter(time_day=180.0).to_dicts()
    }
    for name, gap in gaps.items():
        one, other = name.split(" - ")
        assert gap == pytest.approx(adjusted[one] - adjusted[other], rel=1e-9)
    assert (result.settings["reference"], result.settings["contrasts"]) == ("moderate", "pairwise")
    assert any(note.startswith("Limits and p are of each of the 3 differences by itself") for note in result.notes)
    usual = trajectories(registry.courses(**KNEES), visits=VISITS)
    assert details(usual, "difference")["stratum"].unique().sort().to_list() == [
        "bone_on_bone - early",
        "moderate - early",
    ]
    with pytest.raises(UsageError, match=r"reference = 'late' is not known.*early, moderate"):
        trajectories(registry.courses(**KNEES), reference="late")
    with pytest.raises(UsageError, match="contrasts = 'all' is not known"):
        trajectories(registry.courses(**KNEES), contrasts="all")


def test_strata_without_an_order_are_compared_with_the_largest_and_a_note_says_so(registry):
    replaced(registry, "course.profile", "select * replace (case when course_id % 4 = 0 then 'A' when course_id % 4 = 1 "
             "then 'B' else 'C' end as product) from held")  # fmt: skip
    how = {"by": "product", "visits": VISITS}
    result = trajectories(registry.courses(**KNEES), **how)
    assert details(result, "difference")["stratum"].unique(maintain_order=True).to_list() == ["A - C", "B - C"]
    assert "Differences are to C, the largest stratum: reference=… names another." in result.notes
    named = trajectories(registry.courses(**KNEES), reference="A", **how)
    assert details(named, "difference")["stratum"].unique(maintain_order=True).to_list() == ["B - A", "C - A"]
    assert not any("largest" in note for note in named.notes)
    centres = registry.sql("select distinct centre from course.profile order by 1")["centre"].to_list()
    counts = pool([reduce_for(registry.courses(**KNEES, centre=c), "trajectories", **how) for c in centres])
    assert "B - A" in answer(counts, reference="A").frame["stratum"].to_list()


@pytest.mark.parametrize("method", ["kenward-roger", "kenward-roger-linear", "between-within", "normal"])
def test_degrees_of_freedom_of_the_model_are_refused_of_a_clustered_variance(registry, method):
    with pytest.raises(
        UsageError, match=f"'{method}' goes with the variance of the model.*leave degrees_of_freedom out"
    ):
        trajectories(registry.courses(**KNEES), visits=VISITS, degrees_of_freedom=method)
    plain = trajectories(registry.courses(**KNEES), visits=VISITS, degrees_of_freedom=method, variance="model")
    assert (plain.settings["variance"], plain.settings["degrees_of_freedom"]) == ("model", method)
    told = trajectories(registry.courses(**KNEES), visits=VISITS, degrees_of_freedom="satterthwaite")
    assert told.settings["variance"] == "sandwich clustered by patient (scores reduced by course as in CR2)"


def test_a_visit_at_which_changes_do_not_vary_is_left_out_with_a_note(registry):
    flat = "case when planned_visit = '6 months' then b.worse100 - 7 else held.worse100 end"
    replaced(registry, "course.planned_score", f"select held.* replace ({flat} as worse100) from held "
             "join course.baseline as b using (course_id, scale)")  # fmt: skip
    result = trajectories(registry.courses(**KNEES), visits=VISITS)
    assert [v["visit"] for v in result.settings["visits"]] == ["3 months", "12 months"]
    assert "6 months: changes do not vary beside stratum and baseline; the visit is left out." in result.notes
    with pytest.raises(NotEstimable, match="do not vary at any planned visit with enough courses"):
        trajectories(registry.courses(**KNEES), visits="6 months")


def test_the_figure_draws_what_is_compared_and_says_what_its_bars_are(registry):
    plain = trajectories(registry.courses(**KNEES), by="sex", visits=VISITS)
    staged = trajectories(registry.courses(**KNEES), by="sex", visits=VISITS, adjust=("stage", "age"), confidence=0.9)
    for result, quantity in ((plain, "mean_change"), (staged, "adjusted_change")):
        drawn = result.curves.filter(pl.col("time_day") == 365.0).sort("stratum")["estimate"].to_list()
        assert drawn == result.frame.filter(quantity=quantity, time_day=365.0).sort("stratum")["estimate"].to_list()
    figure = staged.plot()
    assert figure.axes[0].get_ylabel().startswith("Mean change from baseline, adjusted for baseline, stage, age\n")
    assert figure.alt_text.startswith("Mean change from baseline, adjusted for baseline, stage, age in pain over 3")
    assert figure._supxlabel.get_text() == "Bars: 90 % CI"
    assert plain.plot().axes[0].get_ylabel().startswith("Mean change from baseline\n")


def test_strata_stand_apart_by_less_where_visits_are_close(registry):
    figure = trajectories(registry.courses(**KNEES)).plot()
    spots = [line.get_xdata() for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert len(spots) == 3
    apart = np.ptp(np.array([x[: min(map(len, spots))] for x in spots]), axis=0)
    # Around the first month, where the next visit is two months away, a quarter of a month at most in all.
    assert apart[0] <= 0.25 and apart[-1] > 0.5
