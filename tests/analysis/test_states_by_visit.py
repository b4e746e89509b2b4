"""Everybody is somewhere at every planned visit, and the figures say the same as the counts."""

import io

import polars as pl
import pypdf
import pytest

from analysis import figures, states_by_visit, swimmer
from analysis.figures import png
from registry import Registry
from registry.errors import UsageError


@pytest.fixture(scope="module")
def knees(synthetic_file):
    with Registry.open(synthetic_file) as registry:
        yield registry.courses(programme="osteoarthritis")


@pytest.fixture(scope="module")
def result(knees):
    return states_by_visit(knees)


def test_at_every_visit_everybody_is_somewhere(result):
    held = result.frame.filter(pl.col("quantity").str.starts_with("at_"))
    by_visit = held.group_by("stratum", "time_day").agg(pl.col("n").sum(), total=pl.col("denominator").max())
    assert by_visit.filter(pl.col("n") != pl.col("total")).height == 0
    assert by_visit["total"].sum() > 0


def test_what_flows_out_of_a_visit_is_what_was_there_and_what_flows_in_is_what_is_there_next(result):
    flows = (
        result.frame.filter(pl.col("quantity").str.contains(" → "))
        .with_columns(pl.col("quantity").str.split(" → ").list.to_struct(fields=["origin", "then"]).alias("way"))
        .unnest("way")
    )
    days = sorted(flows["time_day"].unique())
    last = max(result.settings["horizon_day"])
    for day, after in zip(days, [*days[1:], last], strict=True):
        out = flows.filter(time_day=day).group_by("stratum", "origin").agg(pl.col("n").sum())
        into = flows.filter(time_day=day).group_by("stratum", "then").agg(pl.col("n").sum())
        for frame, state, when in ((out, "origin", day), (into, "then", after)):
            for row in frame.to_dicts():
                there = result.frame.filter(stratum=row["stratum"], quantity=f"at_{row[state]}", time_day=when)
                assert there["n"].item() == row["n"]


def test_the_share_in_response_of_those_due_is_that_of_the_model_free_count(result, knees):
    row = result.frame.filter(stratum="early", quantity="at_in_response", time_day=365).row(0, named=True)
    counted = knees.registry.sql(
        "select count(*) filter (where state = 'in_response') as held, count(*) filter (where state <> 'not_due') as due "
        "from reduction.panel_planned where stratum = 'early' and target_day = 365"
    )
    assert (row["n"], row["denominator"]) == counted.row(0)


def test_a_hidden_count_leaves_a_gap_in_the_figure_and_no_number(result):
    shown = result.suppress(5)
    few = shown.frame.filter(pl.col("note").str.starts_with("suppressed"))
    assert few.height > 0 and few["n"].null_count() == few.height
    # What is hidden must not be the rest of what is shown.
    states = shown.frame.filter(pl.col("quantity").str.starts_with("at_"), pl.col("denominator") > 0)
    gone = states.group_by("stratum", "time_day").agg(hidden=pl.col("n").null_count())
    assert 1 not in gone["hidden"].to_list() and (gone["hidden"] > 0).any()
    ways = shown.frame.filter(pl.col("quantity").str.contains(" → "))
    gone = ways.group_by("stratum", "time_day").agg(hidden=pl.col("n").null_count(), all=pl.len())
    assert gone.filter((pl.col("hidden") > 0) & (pl.col("hidden") < pl.col("all"))).height == 0
    assert "%" in shown.plot().alt_text


def test_figures_have_the_same_bytes_and_describe_themselves(result, knees):
    assert png(result.plot(), 40) == png(result.plot(), 40)
    assert "Bone-on-bone" in result.plot().alt_text and "due, not seen" in result.plot().alt_text
    lanes = swimmer(knees, n=12, seed=3)
    assert png(lanes, 40) == png(swimmer(knees, n=12, seed=3), 40) != png(swimmer(knees, n=12, seed=4), 40)
    assert "courses, drawn at random, a lane each" in lanes.alt_text


def test_single_patients_leave_as_pixels_only(knees):
    figure = swimmer(knees, n=10)
    with pytest.raises(UsageError, match="single patients"):
        figures.svg_file(figure, "lanes")

    def strokes(drawn):
        page = pypdf.PdfReader(io.BytesIO(figures.pdf(drawn))).pages[0]
        return len(page.images), page.get_contents().get_data().count(b" l\n")

    pictures, lines = strokes(figure)
    assert pictures == 1
    figure = swimmer(knees, n=10)
    figure.individual = False
    assert strokes(figure)[0] == 0 and strokes(figure)[1] > 3 * lines


def test_an_empty_stage_is_named_once_a_visit_and_has_no_share(result):
    empty = result.frame.filter(stratum="pre_radiographic")
    assert set(empty["note"]) == {"nobody in this stratum"} and empty["estimate"].null_count() == empty.height > 0


def test_wrong_options_are_said(knees):
    with pytest.raises(UsageError, match="draw one course or more"):
        swimmer(knees, n=0)
    with pytest.raises(UsageError, match="leaves no planned visit after baseline"):
        states_by_visit(knees, until_day=20)
