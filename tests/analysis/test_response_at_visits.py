"""In response at planned visits: the shares seen, with the limits that statsmodels gives from one row a course."""

import duckdb
import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from analysis import response_at_visits, states_by_visit
from analysis.response_at_visits import fallback, fitted
from analysis.weighted_at_visits import weighted_shares
from registry import Registry, derive, sqlmodels
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources
from synthetic.trajectory_world import ENOUGH, SCENARIOS, STAGES, make, response_states


@pytest.fixture(scope="module")
def knees(tmp_path_factory):
    folder = tmp_path_factory.mktemp("at_visits")
    sources.write_template(simulate(Design(patients=500, seed=9, programmes={"osteoarthritis": 1.0})), folder / "files")
    path = folder / "knees.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [folder / "files"])
    derive(path)
    with Registry.open(path) as registry:
        yield registry.courses(programme="osteoarthritis")


def test_the_standard_errors_are_those_of_statsmodels_from_one_row_a_course_and_visit(knees):
    made = response_at_visits(knees, unseen="alike")
    rows = knees.registry.con.sql("from reduction.state_visit where in_response is not null").pl()
    shown = made.frame.filter(pl.col("quantity") == "share_in_response", pl.col("estimate").is_not_null(),
                              pl.col("note").is_null())  # fmt: skip
    days = dict(rows.select("position", "target_day").unique().iter_rows())
    cells = [(s, p) for s, d in shown.select("stratum", "time_day").iter_rows() for p in days if days[p] == d]
    kept = rows.filter(pl.struct("stratum", "position").map_elements(
        lambda r: (r["stratum"], r["position"]) in cells, return_dtype=pl.Boolean))  # fmt: skip
    x = np.array([[(s, p) == c for c in cells] for s, p in kept.select("stratum", "position").iter_rows()], dtype=float)
    model = sm.GEE(kept["in_response"].to_numpy(), x, groups=kept["patient_id"].to_numpy(),
                   family=sm.families.Binomial())  # fmt: skip
    theirs = model.fit()
    logit = [np.log(shown[c].to_numpy() / (1 - shown[c].to_numpy())) for c in ("estimate", "low", "high")]
    assert logit[0] == pytest.approx(theirs.params, abs=1e-8)
    assert shown["estimate"].to_numpy() == pytest.approx((shown["n"] / shown["denominator"]).to_numpy())
    # Ours are times m / (m - p), with t of the patients of the stratum: within one to five per cent of normal ones.
    ratio = (logit[2] - logit[1]) / (2 * 1.959964 * theirs.bse)
    assert (ratio > 1.0).all() and (ratio < 1.06).all()


def test_they_are_the_counts_of_states_by_visit_among_those_seen(knees):
    made, counted = response_at_visits(knees, unseen="alike").frame, states_by_visit(knees).frame
    at = counted.filter(quantity="at_in_response", stratum="early", time_day=365.0).row(0, named=True)
    ours = made.filter(quantity="share_in_response", stratum="early", time_day=365.0).row(0, named=True)
    assert ours["n"] == at["n"]
    assert ours["denominator"] <= at["denominator"]


def test_visits_lend_to_each_other_under_an_exchangeable_correlation(knees):
    plain, lent = response_at_visits(knees, unseen="alike"), response_at_visits(knees, working="exchangeable")
    held = lent.diagnostics.filter(check="correlation within a patient")["value"][0]
    assert 0.1 < held < 0.8  # a response lasts, so visits of a patient are alike
    one, other = (r.frame.filter(quantity="share_in_response", stratum="early", time_day=180.0) for r in (plain, lent))
    assert one["estimate"][0] == pytest.approx(other["estimate"][0], abs=0.02)
    assert one["estimate"][0] != other["estimate"][0]


def test_a_stage_in_which_few_respond_has_exact_limits_and_the_figure_is_drawn(knees):
    made = response_at_visits(knees)
    exact = made.frame.filter(pl.col("note").str.starts_with("nearly all or none"))
    assert exact.height == 0 or (exact["low"] <= exact["estimate"]).all()
    assert "Share of courses in response at 5 planned visits" in made.suppress().plot().alt_text
    gap = made.frame.filter(quantity="difference", stratum="bone_on_bone - early", time_day=365.0)
    assert gap["high"][0] < 0


def test_what_cannot_be_asked_is_refused(knees):
    with pytest.raises(UsageError, match="working = 'ar1'"):
        response_at_visits(knees, working="ar1")
    with pytest.raises(UsageError, match="stand in the place of a working correlation"):
        response_at_visits(knees, working="exchangeable", unseen="weighted")
    with pytest.raises(NotEstimable):
        response_at_visits(knees.registry.courses(programme="osteoarthritis", min_potential_follow_up_day=100_000))


def shares_of(world, **changed):
    """Return weighted and plain shares by stage and visit."""
    states, con = response_states(world).with_columns(**changed), duckdb.connect()
    con.execute("create schema reduction")
    con.register("frame", states)
    con.execute("create table reduction.state_visit as from frame")
    sqlmodels.run(con, ["reduction.state_pattern"])
    seen = fitted(states, con.sql("from reduction.state_pattern order by all").pl(), "independence")
    made = weighted_shares(states, seen.cells, list(STAGES), 0.95, seen.few)
    return made, dict(zip(seen.cells, seen.share.tolist(), strict=True))


def test_where_those_who_gained_little_leave_the_weighted_share_is_the_true_one_and_that_of_who_came_too_high():
    world = make(SCENARIOS[0], 6000, 7)
    made, plain = shares_of(world)
    for s, stage in enumerate(STAGES):
        # At 12 months, of all who were due, seen or not.
        true = (world.change[(world.stage == s) & world.due[:, 3], 3] >= ENOUGH).mean()
        value, low, high = made.of[stage, 4]
        assert plain[stage, 4] - true > 0.025 and low < true < high
        assert abs(value - true) < (plain[stage, 4] - true) / 2
    gap = made.of["moderate - early", 4]
    assert gap[0] == pytest.approx(made.of["moderate", 4][0] - made.of["early", 4][0])


def test_where_everybody_comes_the_weighted_shares_are_the_shares_and_their_limits_those_of_the_sandwich():
    world = make(SCENARIOS[0], 900, 3)
    world.seen[:] = world.due
    made, plain = shares_of(world)
    for cell, share in plain.items():
        value, low, high = made.of[cell]
        assert value == pytest.approx(share) and low < value < high
    n = int(((world.stage == 0) & world.due[:, 0]).sum())
    value, low, high = made.of["early", 1]
    logit = np.log(high / (1 - high)) - np.log(low / (1 - low))
    # Patients with two courses widen the binomial limits a little.
    assert 1.0 < logit / (2 * 1.96 / np.sqrt(n * value * (1 - value))) < 1.15
    assert set(made.largest.values()) == {1.0}


def test_who_had_ended_is_known_without_coming_and_counts_one():
    world = make(SCENARIOS[0], 3000, 5)
    ended = (pl.col("course_id") % 4 == 0) & (pl.col("position") >= 3)
    made, _ = shares_of(world, in_response=pl.when(ended).then(0).otherwise(pl.col("in_response")),
                        over=pl.when(ended).then(1).otherwise(0))  # fmt: skip
    going, _ = shares_of(world)
    for stage in STAGES:
        # A quarter, whoever they are, is not in response.
        assert made.of[stage, 4][0] == pytest.approx(0.75 * going.of[stage, 4][0], abs=0.03)


def test_where_no_correlation_answers_the_equations_the_numbers_are_those_of_independence_and_it_is_said():
    """A sample in which the moments ask for a correlation above one: it was 0 and 100 per cent before it was caught."""
    states = response_states(make(SCENARIOS[2], 150, 1021))
    con = duckdb.connect()
    con.execute("create schema reduction")
    con.register("frame", states)
    con.execute("create table reduction.state_visit as from frame")
    sqlmodels.run(con, ["reduction.state_pattern"])
    patterns = con.sql("from reduction.state_pattern order by all").pl()
    lent, plain = (fitted(states, patterns, w) for w in ("exchangeable", "independence"))
    assert lent.working == "independence" and lent.share == pytest.approx(plain.share)
    assert lent.fit.converged and lent.share.min() > 0.1 and lent.share.max() < 0.9
    assert "no solution here" in fallback("exchangeable", lent)[0] and fallback("independence", plain) == ()
