"""Goals in the report: a row for each number, and between what the share is of those that nobody assessed."""

import dataclasses

import polars as pl
import pytest

from analysis import goals
from registry import Registry, derive
from registry.ingest import load
from reports.description_section import goals_section
from reports.feed import whole_of
from reports.sections import programmes, section_of
from reports.summary import render
from reports.words import words_of
from synthetic import Design, simulate, sources

LABEL = {
    "en": "Main goal attained, of all named (none to all of those not assessed)",
    "de": "Hauptziel erreicht, von allen genannten (keines bis alle der nicht beurteilten)",
}


@pytest.fixture(scope="module")
def attained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("goals")
    made = simulate(Design(patients=300, seed=4, programmes={"osteoarthritis": 1.0}, details=True))
    sources.write_template(made, folder / "files")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    load(folder / "r.duckdb", [folder / "files"])
    derive(folder / "r.duckdb")
    with Registry.open(folder / "r.duckdb") as registry:
        yield goals(registry.courses(programme="osteoarthritis")).suppress()


def test_the_table_has_the_row_that_its_note_refers_to(attained):
    section = goals_section(attained)
    assert "all named" in " ".join(section["notes"])
    assert LABEL["en"] in [r["label"] for r in section["rows"]]


@pytest.mark.parametrize("language", LABEL)
def test_the_page_says_between_which_shares_it_is_and_no_more_where_it_is_hidden(six_programmes, attained, language):
    (row,) = [r for r in programmes(six_programmes) if r[0] == "wellness"]
    section = dataclasses.replace(section_of(six_programmes, *row), goals=attained)
    html = render(six_programmes, [section], None, None, words_of(language), whole_of(six_programmes))
    line = html.split(LABEL[language])[1].split("</tr>")[0]
    shown = attained.frame.filter(pl.col("quantity") == "goal_attained_of_named")
    assert shown["low"].null_count() < shown.height
    for low, high in shown.drop_nulls("low").select("low", "high").iter_rows():
        assert f"{100 * low:.0f}" in line and f"{100 * high:.0f}" in line
    hidden = {"en": "suppressed", "de": "unterdrückt"}[language]
    assert line.count(hidden) == shown["low"].null_count()
