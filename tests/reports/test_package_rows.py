"""A package that logs what it hides, labels its files, and may hold rows of patients; and both made again."""

import json
import re
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from frictionless import Package, system
from rocrate.rocrate import ROCrate
from typer.testing import CliRunner

from analysis import describe, time_to_response
from analysis.disclosure import beside
from analysis.disclosure.beside import found_by_subtraction, refuse_few_between
from registry import Registry
from registry.errors import UsageError
from reports import publication
from reports.cli import app
from reports.publication import export
from reports.reproduction import reproduce
from reports.rows import RowTerms, export_rows

TERMS = RowTerms(consent="research", dates="shifted")


@pytest.fixture(scope="module")
def asked():
    """Two questions are enough: the package is the same otherwise."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publication, "_QUESTIONS", {"characteristics": describe, "time_to_response": time_to_response})
        yield


@pytest.fixture(scope="module")
def registry(synthetic_file):
    with Registry.open(synthetic_file) as opened:
        yield opened


@pytest.fixture(scope="module")
def package(registry, asked, tmp_path_factory):
    return export(registry, tmp_path_factory.mktemp("with") / "package", "osteoarthritis", rows=TERMS)


def manifest(folder: Path, name: str = "MANIFEST.json") -> dict:
    return json.loads((folder / name).read_text("utf-8"))


def test_the_log_counts_the_marks_that_stand_in_the_files_and_nothing_else(package):
    """Counted again by pandas: cells of the numbers whose note says suppressed, cells of tables that say so."""
    told = pd.read_csv(package.folder / "disclosure.csv")
    assert set(told["level"]) == {"aggregate", "row-level"}
    counted = 0
    for path in sorted(package.folder.glob("numbers/*.csv")):
        marks = pd.read_csv(path)["note"].fillna("").str.startswith("suppressed").sum()
        mine = told[
            (told["file"] == f"numbers/{path.name}") & (told["done"] == "withheld") & (told["unit"] == "numbers")
        ]
        assert mine["n"].sum() == marks
        counted += marks
    assert counted > 0
    for path in sorted(package.folder.glob("tables/table_*.csv")):
        cells = pd.read_csv(path, dtype=str).fillna("")
        marks = cells.apply(lambda c: c == "[c]").to_numpy().sum()
        assert told.loc[told["file"] == f"tables/{path.stem}.*", "n"].sum() == marks
    courses, subjects = (pd.read_csv(package.folder / "rows" / "csv" / f"{n}.csv") for n in ("adcrs", "adsl"))
    courses = courses.merge(subjects, on="USUBJID")
    lost = told[told["done"] == "taken away"]
    taken = dict(zip(lost["told"].str.split(",").str[0], lost["n"], strict=True))
    for quasi, column in {"centre": "SITEID", "origin": "ORIGIN", "diagnosis": "DIAGNOS"}.items():
        assert courses.loc[courses[column].isna(), "USUBJID"].nunique() == taken.get(quasi, 0)


def test_every_file_is_labelled_in_manifest_crate_and_data_package(package):
    levels = manifest(package.folder)["levels"]
    assert set(levels) == set(package.files)
    for name in package.files:
        assert levels[name] == ("row-level" if name.startswith("rows/") else "aggregate"), name
    crate = ROCrate(package.folder)
    for entity in crate.data_entities:
        rows = entity.id.startswith("rows/")
        assert entity["description"] and entity["keywords"] == ("row-level" if rows else "aggregate"), entity.id
        assert ("not for publication" in entity.get("conditionsOfAccess", "")) == rows
    described = json.loads((package.folder / "datapackage.json").read_text("utf-8"))["resources"]
    assert {r["path"]: r["level"] for r in described} == {
        p.relative_to(package.folder).as_posix(): "row-level" if p.parts[-3] == "rows" else "aggregate"
        for p in [
            *package.folder.glob("numbers/*.csv"),
            package.folder / "disclosure.csv",
            *package.folder.glob("rows/csv/*.csv"),
        ]
    }
    with system.use_context(trusted=True):
        report = Package(str(package.folder / "datapackage.json")).validate()
    assert report.valid, report.flatten(["type", "message"])


def test_a_package_with_rows_is_made_again_byte_for_byte_with_the_secret_and_not_with_another(
    registry, package, monkeypatch
):
    again = reproduce(registry, package.folder / "MANIFEST.json")
    assert (again.differ, again.why) == ((), ())
    secret = Path(f"{registry.path}.key").read_text().strip()
    assert not [p for p in package.folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]
    monkeypatch.setenv("CATAMNESIS_PSEUDONYM_KEY", "ab" * 32)
    other = reproduce(registry, package.folder)
    assert "rows/csv/adcrs.csv" in other.differ and not [n for n in other.differ if n.startswith(("numbers", "tables"))]
    assert other.why == ("dates were shifted by another secret: give the one of then, beside the registry",)


def test_rows_alone_are_made_again_and_a_changed_file_is_named(registry, tmp_path):
    made = export_rows(registry, tmp_path / "rows", "osteoarthritis", consent="research", k=6)
    again = reproduce(registry, made.folder / "ROWS.json")
    assert (again.differ, again.why) == ((), ())
    assert manifest(made.folder, "ROWS.json")["terms"]["k"] == 6 and (made.folder / "disclosure.csv").exists()
    (made.folder / "csv" / "adae.csv").write_text("mended by hand")
    changed = reproduce(registry, made.folder)
    assert changed.differ == ("csv/adae.csv",) and "was changed or removed" in changed.why[0]
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="is not a package, nor rows"):
        reproduce(registry, tmp_path / "none")


def test_what_may_not_leave_as_rows_keeps_the_whole_package_back(registry, asked, tmp_path):
    for terms, said in (
        (RowTerms(), "No patient's consent covers 'export'"),
        (RowTerms("research", k=5000), "too few"),
    ):
        with pytest.raises(UsageError, match=said):
            export(registry, tmp_path / "p", "osteoarthritis", rows=terms)
    assert list(tmp_path.iterdir()) == []
    done = CliRunner().invoke(app, ["export", str(registry.path), "--programme", "osteoarthritis", "--k", "7"])
    assert done.exit_code != 0 and "say --with-rows too" in str(done.exception)


def test_without_rows_nothing_is_row_level(registry, asked, tmp_path):
    made = export(registry, tmp_path / "p", "osteoarthritis")
    assert set(manifest(made.folder)["levels"].values()) == {"aggregate"} and manifest(made.folder)["rows"] is None
    assert set(pd.read_csv(made.folder / "disclosure.csv")["level"]) == {"aggregate"}
    assert "Rows of patients" not in (made.folder / "DISCLOSURE.md").read_text("utf-8")


def test_rounded_counts_are_multiples_in_every_file_and_made_again(registry, asked, tmp_path):
    made = export(registry, tmp_path / "p", "osteoarthritis", round_counts=5)
    for path in made.folder.glob("numbers/*.csv"):
        counts = pd.read_csv(path).filter(["n", "denominator"])
        assert counts.notna().to_numpy().sum() > 20 and (counts.fillna(0) % 5 == 0).all(axis=None), path.name
    cells = "\n".join(p.read_text("utf-8") for p in made.folder.glob("tables/table_1*.csv"))
    parts = re.findall(r"\b(\d+)/(\d+) \((\d+) %\)", cells)
    assert len(parts) > 20 and all(int(n) % 5 == int(of) % 5 == 0 for n, of, _ in parts)
    assert all(share == f"{100 * int(n) / int(of):.0f}" for n, of, share in parts)
    told = "\n".join((made.folder / name).read_text("utf-8") for name in ("methods.md", "README.md"))
    counted = re.findall(
        r"([\d,]+) (?:of [\d,]+ )?courses\b(?! of)",
        re.sub(r"fewer than \d+", "", told.replace("Numbers of fewer than 5 courses", "")),
    )
    assert counted and all(int(n.replace(",", "")) % 5 == 0 for n in counted)
    assert "multiples of 5" in told and "| rounding | rounded |" in (made.folder / "DISCLOSURE.md").read_text("utf-8")
    assert reproduce(registry, made.folder).differ == ()


def frame(*rows: tuple) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema=["course_id", "patient_id", "stage", "sex", "diagnosis", "site", "origin"], orient="row"
    )


def test_what_counts_by_stage_would_give_back_is_found_by_hand():
    """Of the early, one woman's sex is gone: the table has 6 women, the rows 5. Of the late six are gone, of both."""
    tables = frame(*((i, i, "early" if i < 12 else "late", "fm"[i % 2], "d", "knee", "fat") for i in range(24)))
    rows = tables.with_columns(sex=pl.when(pl.col("course_id") != 0).then("sex"))
    assert found_by_subtraction(tables, rows, 5) == {"sex"}
    six = tables.with_columns(sex=pl.when(pl.col("course_id") < 18).then("sex"))
    assert found_by_subtraction(tables, six, 5) == set()
    women = tables.with_columns(sex=pl.when((pl.col("sex") == "m") | (pl.col("course_id") < 12)).then("sex"))
    assert found_by_subtraction(tables, women, 5) == {"sex"}
    # Everybody has a knee: nothing is given back.
    assert found_by_subtraction(tables, tables.with_columns(site=pl.lit(None, pl.String)), 5) == set()
    with pytest.raises(UsageError, match="Fewer than 5 courses of a stage"):
        refuse_few_between(tables, tables.filter(pl.col("course_id") != 3))
    refuse_few_between(tables, tables.filter(pl.col("course_id") > 5))


def test_of_table_1_beside_rows_no_level_of_what_would_be_given_back_is_left(registry):
    made = describe(registry.courses(programme="osteoarthritis")).suppress()
    shown = beside.without_variables(made, {"origin"}).frame
    gone = shown.filter(pl.col("quantity").str.contains(r"^(?:origin|donor|separation|expanded|product)\b"))
    assert gone.height > 10 and gone["n"].null_count() == gone["estimate"].null_count() == gone.height
    assert shown.filter(pl.col("quantity").str.starts_with("sex")).equals(
        made.frame.filter(pl.col("quantity").str.starts_with("sex"))
    )
