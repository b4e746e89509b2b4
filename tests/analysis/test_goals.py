"""Goals attained: counted as by hand from the file, and what is missing said."""

from dataclasses import replace

import polars as pl
import pytest
from scipy import stats

from analysis import goals
from analysis.result import frame_of, row
from registry import Registry, derive
from registry.errors import NotEstimable
from registry.ingest import load
from synthetic import Design, simulate, sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("goals")
    design = Design(patients=300, seed=4, programmes={"osteoarthritis": 1.0}, details=True)
    sources.write_template(simulate(design), made / "files")
    Registry.create(made / "r.duckdb", key=b"an open secret of the test suite").close()
    load(made / "r.duckdb", [made / "files"])
    derive(made / "r.duckdb")
    return made


@pytest.fixture(scope="module")
def result(folder):
    with Registry.open(folder / "r.duckdb") as registry:
        yield goals(registry.courses(programme="osteoarthritis"), by="all")


def number(result, quantity):
    return result.frame.filter(quantity=quantity).row(0, named=True)


def test_goals_attained_are_those_of_the_file_with_limits_of_clopper_and_pearson(folder, result):
    file = pl.read_csv(folder / "files" / "goals.csv")
    assessed = file.filter(pl.col("attainment").is_not_null())
    found = number(result, "goal_attained")
    # One goal a target, agreed on the day of its first session; a target without one is a second course.
    assert (found["n"], found["denominator"]) == (assessed.filter(pl.col("attainment") >= 0).height, assessed.height)
    exact = stats.binomtest(found["n"], found["denominator"]).proportion_ci(method="exact")
    assert (found["low"], found["high"]) == (pytest.approx(exact.low), pytest.approx(exact.high))
    exceeded = number(result, "goal_exceeded")
    assert exceeded["n"] == assessed.filter(pl.col("attainment") >= 1).height
    kinds = result.frame.filter(pl.col("quantity").str.starts_with("goal_attained: "))
    assert kinds["n"].sum() == found["n"] and kinds.height == 7


def test_goals_not_assessed_are_between_none_and_all_attained(result):
    named, assessed, attained = (number(result, q) for q in ("goal_named", "goal_assessed", "goal_attained"))
    held = number(result, "goal_attained_of_named")
    assert held["estimate"] is None
    assert held["low"] == pytest.approx(attained["n"] / named["n"])
    assert held["high"] == pytest.approx((attained["n"] + named["n"] - assessed["n"]) / named["n"])


def test_between_which_shares_they_are_is_told_in_print_and_in_a_sentence(result):
    held = number(result, "goal_attained_of_named")
    between = f"{100 * held['low']:.0f} to {100 * held['high']:.0f}"
    assert result.say("goal_attained_of_named", "all") == f"{between} %, from none to all of those not assessed"
    printed = str(result).splitlines()
    at = next(i for i, line in enumerate(printed) if line.startswith("goal_attained_of_named"))
    assert printed[at + 1].split()[2:] == between.split()


def test_the_change_expected_stands_beside_the_one_reached(folder, result):
    file = pl.read_csv(folder / "files" / "goals.csv")
    share = number(result, "reached_as_expected")
    assert 0 < share["n"] < share["denominator"] < file.height
    assert 5 <= number(result, "expected_change")["estimate"] <= 30
    assert number(result, "expected_change")["denominator"] == share["denominator"]


def test_what_leaves_hides_a_second_kind_where_one_alone_would_be_the_rest(folder):
    with Registry.open(folder / "r.duckdb") as registry:
        shown = goals(registry.courses(programme="osteoarthritis")).suppress(30).frame
    kinds = shown.filter(pl.col("quantity").str.starts_with("goal_attained: "))
    for _, mine in kinds.group_by("stratum"):
        assert mine["n"].null_count() != 1


def test_a_registry_without_goals_is_refused(six_programmes):
    with pytest.raises(NotEstimable, match="No goal is recorded"):
        goals(six_programmes.courses())


def test_how_few_goals_were_not_assessed_is_not_what_is_left_of_the_named(result):
    """Of 60 goals 57 were assessed and 40 attained: the share of those assessed is told, not from what to subtract it."""
    counts = {
        "goal_named": (60, 80),
        "goal_assessed": (57, 60),
        "goal_attained": (40, 57),
        "goal_attained_of_named": (40, 60),
    }
    rows = [row("all", q, n=n, denominator=of, estimate=n / of) for q, (n, of) in counts.items()]
    shown = replace(result, frame=frame_of(rows)).suppress(5).frame
    assert shown.filter(quantity="goal_attained")["estimate"].item() is not None
    told = {*shown["n"].drop_nulls().to_list(), *shown["denominator"].drop_nulls().to_list()}
    assert told == {40, 57, 80}
