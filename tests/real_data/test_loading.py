"""Every public set goes in through its mapping file alone, and every row is accounted for."""

import re
from collections import Counter
from pathlib import Path

import pytest

from registry import ingest, mapping

MAPPINGS = Path(__file__).resolve().parents[2] / "docs" / "real_data"

# Courses, and rows refused with the reason; everything else is accepted.
EXPECTED = {
    "sports_injury": (127, {}),
    "rheumatoid_arthritis": (302, {}),
    "sciatica": (142, {("measurements", "out_of_range"): 8}),
    "alloauto": (101, {}),
    "ebmt": (2204, {}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_row_is_accepted_or_refused_for_a_known_reason(name, real):
    courses, refused = EXPECTED[name]
    report = real(name).report
    assert report.rows_in == report.accepted + report.rejected
    assert report.rejected == sum(refused.values())
    assert Counter(report.rejections.select("table", "rule").iter_rows()) == refused
    assert real(name).registry.counts()["course"] == courses


@pytest.mark.parametrize("name", EXPECTED)
def test_loading_the_file_again_brings_nothing_new(name, real, tmp_path):
    data = real(name)
    copy = tmp_path / "again.duckdb"
    for ending in ("", ".key"):
        (tmp_path / f"again.duckdb{ending}").write_bytes(Path(f"{data.registry.path}{ending}").read_bytes())
    again = ingest.load(copy, [data.file], mapping_file=data.mapping)
    assert (again.rows_in, again.accepted, again.new) == (data.report.rows_in, data.report.accepted, 0)


def test_impossible_scores_of_the_sciatica_trial_are_refused_by_line(real):
    refused = real("sciatica").report.rejections.filter(rule="out_of_range")
    assert sorted(refused["value"].to_list(), key=int) == ["25", "25", "29", "101", "101", "106", "111", "813"]
    # They stand on six lines; the other scores of those lines are good and kept.
    assert refused["line"].n_unique() == 6


def test_every_mapping_folder_is_loaded_by_a_test_and_told_in_the_readme():
    folders = {path.parent.name for path in MAPPINGS.glob("*/mapping.toml")}
    told = set(re.findall(r"^## `(\w+)`", (MAPPINGS / "README.md").read_text(), flags=re.M))
    assert folders == set(EXPECTED) == told
    assert all(mapping.load(MAPPINGS / folder / "mapping.toml").name == folder for folder in folders)
