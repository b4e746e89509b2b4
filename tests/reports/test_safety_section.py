"""Adverse events by grade and relation in the report and in a paper's package: the numbers of the table, few of them hidden."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analysis import safety, safety_by_grade
from reports.safety_section import grade_result, grade_section, safety_section
from reports.words import ENGLISH


@pytest.fixture
def knees(six_programmes):
    return six_programmes.courses(programme="osteoarthritis")


def test_the_section_tells_the_suppressed_table_line_by_line(knees):
    made = grade_result(knees)
    section = grade_section(made, ENGLISH)
    assert section["products"] == [s["label"] for s in made.settings["strata"]]
    first = section["rows"][0]
    assert (first["grade"], first["relation"], first["whole"]) == ("any grade", "any relation", True)
    for cell, label in zip(first["cells"], section["products"], strict=True):
        whole = made.frame.filter(
            pl.col("stratum") == label, quantity="events_per_100_sessions: any grade, any relation"
        )
        assert cell["n"] == whole["n"].item() and cell["high"] == whole["high"].item()
    few = [c["n"] for r in section["rows"] for c in r["cells"] if c and c["n"] is not None and 0 < c["n"] < 5]
    assert not few and any(c and c["n"] is None for r in section["rows"] for c in r["cells"])


def test_its_totals_are_those_of_the_table_beside_it(knees):
    beside = safety(knees, by="product").frame.filter(quantity="events_per_100_sessions")
    own = safety_by_grade(knees).frame.filter(quantity="events_per_100_sessions: any grade, any relation")
    columns = ["stratum", "estimate", "low", "high", "n"]
    assert_frame_equal(own.select(columns), beside.select(columns))


def test_below_the_rate_of_a_product_stands_the_one_weighted_for_leaving(knees):
    made = safety(knees, by="product")
    section = safety_section([made], ENGLISH)[0]
    weighted = dict(
        made.frame.filter(quantity="events_per_100_course_years_weighted").select("stratum", "estimate").rows()
    )
    assert weighted
    for line in section["rows"]:
        beside = [c["weighted"]["estimate"] for c in line["cells"] if c["weighted"]]
        assert beside == ([weighted[line["label"]]] if line["label"] in weighted else [])
