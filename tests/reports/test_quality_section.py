"""Release tests and viability of products: counted by product, few hidden, and said where nothing is recorded."""

import datetime as dt
import re

import pytest
from knee_files import FIRST, write

from registry import Registry, derive, ingest
from reports.description_section import description_section
from reports.quality_section import quality_section
from reports.summary import render
from reports.words import words_of

VIABILITY = (91, 95, 88, 97, 93, 90, 99)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Three products given to six patients each: seven lots tested and two pending too long, two tested, none tested."""
    folder = tmp_path_factory.mktemp("quality")
    files = write(folder / "files", range(18))
    sessions = (files / "sessions.csv").read_text()
    for i in range(18):
        sessions = re.sub(rf"^(P{i},.*)BMAC$", rf"\1{('LOTS', 'FEW', 'BMAC')[i % 3]}", sessions, flags=re.MULTILINE)
    (files / "sessions.csv").write_text(sessions)
    (files / "products.csv").write_text(
        "product,donor,origin,separation,expanded,viability_pct\n"
        "LOTS,allogeneic_unrelated,bone_marrow,density_gradient,true,80\n"
        "FEW,allogeneic_unrelated,bone_marrow,density_gradient,true,\nBMAC,autologous,bone_marrow,density_gradient,false,\n"
    )
    lines = ["product,analyte,sampled_date,status,value,unit,result_date"]
    for k, value in enumerate(VIABILITY):
        day = FIRST - dt.timedelta(days=100 + k)
        lines.append(f"LOTS,viability,{day},pass,{value},%,{day}")
        lines.append(
            f"LOTS,sterility,{day},{'fail' if k == 0 else 'pending' if k > 1 else 'pass'},,,{day if k < 2 else ''}"
        )
    lines += [f"FEW,viability,{FIRST - dt.timedelta(days=k)},pass,9{k},%,{FIRST}" for k in (1, 2)]
    (files / "release_tests.csv").write_text("\n".join(lines) + "\n")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    report = ingest.load(folder / "r.duckdb", [files], extracted_on=dt.date(2023, 3, 10))
    assert report.rejected == 0, str(report)
    derive(folder / "r.duckdb")
    with Registry.open(folder / "r.duckdb") as opened:
        yield opened


@pytest.fixture(scope="module")
def rows(registry):
    found = quality_section(registry, description_section(registry)["products"], registry.check())
    assert found["limit"] == 30
    return {r["product"]: r for r in found["rows"]}


def test_viability_is_the_median_and_range_of_the_samples_in_which_it_was_measured(rows):
    # By hand: 88 90 91 93 95 97 99.
    assert rows["LOTS"]["viability"] == {"median": 93, "low": 88, "high": 99} and rows["LOTS"]["samples"] == "7"


def test_tests_are_counted_by_what_became_of_them_and_few_are_hidden_with_the_next(rows):
    # Of 14: seven viabilities and one sterility passed, one failed, five are pending, all five for longer than a month.
    # Six are left of the sum: "<5" and "5 or more" would be 1 and 5.
    assert [rows["LOTS"][k] for k in ("passed", "failed", "pending", "late", "not_done")] == [
        "8",
        "few",
        "few",
        "few",
        "0",
    ]


def test_a_product_of_few_samples_or_none_shows_no_viability(rows):
    assert rows["FEW"]["viability"] is None and rows["FEW"]["few"] and rows["FEW"]["samples"] == "fewer than 5"
    assert not rows["BMAC"]["tested"] and rows["BMAC"]["stated"] is None


@pytest.mark.parametrize(
    ("language", "nothing", "share"), [("en", "nothing recorded", "93.0 %"), ("de", "nichts erfasst", "93,0 %")]
)
def test_the_page_has_the_table_and_says_where_nothing_is_recorded(registry, language, nothing, share):
    html = render(registry, [], words=words_of(language))
    table = re.search(
        r'aria-label="(?:Release tests of products|Freigabeprüfungen der Produkte).*?</table>', html, re.DOTALL
    )[0]
    bmac = re.search(r">BMAC</th>(.*?)</tr>", table, re.DOTALL)[1]
    assert bmac.count(nothing) == 2 and share in table and "90" not in table
