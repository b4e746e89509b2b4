"""The publication package: the same bytes again, only aggregates, and readers that we did not write read it."""

import csv
import dataclasses
import hashlib
import json
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import axe_core_python
import chromium
import docx
import numpy as np
import pandas as pd
import polars as pl
import pypdf
import pytest
from bs4 import BeautifulSoup
from rocrate.rocrate import ROCrate

from analysis import (
    booster_effect,
    describe,
    joint_replacement,
    loss_of_response,
    safety,
    time_to_response,
    trajectories,
)
from analysis.booster_protocol import target_checklist
from registry import Registry, derive, ingest
from registry.errors import UsageError
from reports import publication
from reports.checklists import checklists
from reports.publication import export
from reports.reproduction import reproduce
from reports.tables import heading
from reports.words import words_of
from synthetic import Design, simulate, sources


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    design = Design(patients=500, seed=6, programmes={"osteoarthritis": 1.0})
    simulated = simulate(design)
    sources.write_template(simulated, folder / "files")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    ingest.load(folder / "r.duckdb", [folder / "files"])
    derive(folder / "r.duckdb")
    with Registry.open(folder / "r.duckdb") as registry:
        yield registry, export(registry, folder / "out" / "package", "osteoarthritis")


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[1].folder, tmp_path / "package")
    return tmp_path / "package"


def test_a_package_is_made_again_byte_for_byte(made):
    registry, package = made
    again = reproduce(registry, package.folder)
    assert (again.differ, again.why) == ((), ())
    assert len(package.files) > 30


def test_the_manifest_itself_names_its_package_and_the_citation_what_to_cite(made):
    registry, package = made
    with pytest.raises(UsageError, match="is not a package"):
        reproduce(registry, package.folder / "README.md" / "MANIFEST.json")
    cited = (package.folder / "CITATION.cff").read_text("utf-8")
    manifest = json.loads((package.folder / "MANIFEST.json").read_text("utf-8"))
    assert f"date-released: {registry.data_cut}" in cited and f'version: "{manifest["record"]}"' in cited
    assert "CITATION.cff" in manifest["files"]


def test_what_differs_is_named_with_the_reason(made, copy):
    (copy / "numbers" / "time_to_response.csv").write_text("mended by hand")
    manifest = json.loads((copy / "MANIFEST.json").read_text("utf-8"))
    manifest["record"], manifest["versions"]["scipy"] = "other", "0.1"
    (copy / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
    again = reproduce(made[0], copy)
    assert again.differ == ("numbers/time_to_response.csv",)
    assert any("was changed or removed" in w for w in again.why) and "the registry holds other data" in again.why
    assert any(w.startswith("scipy 0.1 then, ") for w in again.why)


def test_the_numbers_are_those_of_the_analysis_read_by_pandas(made):
    registry, package = made
    ours = time_to_response(registry.courses(programme="osteoarthritis")).suppress().frame
    theirs = pd.read_csv(package.folder / "numbers" / "time_to_response.csv", float_precision="round_trip")
    assert list(theirs.columns) == ours.columns and len(theirs) == ours.height
    for column in ("estimate", "low", "high", "time_day", "n", "denominator"):
        mine = ours[column].cast(pl.Float64).to_numpy()
        np.testing.assert_array_equal(theirs[column].to_numpy(float), mine)


def test_the_details_of_the_model_are_in_the_package_described_and_logged(made):
    _, package = made
    theirs = pd.read_csv(package.folder / "numbers" / "trajectories_details.csv")
    means = theirs[(theirs["quantity"] == "mean_change") & theirs["estimate"].notna()]
    assert len(means) and means[["standard_error", "degrees_of_freedom", "t", "p"]].notna().all().all()
    apart = theirs[theirs["quantity"] == "correlation"]
    assert len(apart) and apart["denominator"].isna().all(), "how many were seen at both visits is not told"
    described = json.loads((package.folder / "datapackage.json").read_text())["resources"]
    (found,) = [r for r in described if r["path"] == "numbers/trajectories_details.csv"]
    assert [f["name"] for f in found["schema"]["fields"]] == list(theirs.columns)
    logged = pd.read_csv(package.folder / "disclosure.csv")
    assert (logged["file"] == "numbers/trajectories_details.csv").any()


def test_the_table_says_the_same_in_csv_and_html_and_latex(made):
    tables = made[1].folder / "tables"
    (path,) = tables.glob("table_*_time_to_response.csv")
    rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    for file in sorted(tables.glob("*.csv")):
        told = pd.read_csv(file, dtype=str, keep_default_na=False)
        # What heads several rows spans them in HTML, and is blank below the first in CSV where it is not said again.
        told.iloc[:, 0] = told.iloc[:, 0].replace("", None).ffill()
        as_text = dict.fromkeys(range(len(told.columns)), str)
        (page,) = pd.read_html(file.with_suffix(".html"), converters=as_text, keep_default_na=False)
        assert list(page.columns) == [heading(c) for c in told.columns]
        assert page.to_numpy().tolist() == told.to_numpy().tolist(), file.name
    tex = path.with_suffix(".tex").read_text("utf-8")
    # Of a table over several pages the head stands twice, and the rows after both.
    body = (
        re.search(r".*(?:\\endfoot|\\midrule)\n(.*?)\\(?:bottomrule|end\{longtable\})", tex, re.DOTALL)[1]
        .strip()
        .splitlines()
    )
    assert len(body) == len(rows) - 1
    assert all(line.count(" & ") == len(rows[0]) - 1 and line.endswith(r"\\") for line in body)


def test_the_word_tables_say_what_the_csv_files_say_read_by_python_docx(made):
    folder = made[1].folder / "tables"
    document = docx.Document(folder / "tables.docx")
    files = sorted(folder.glob("*.csv"))
    captions = [p.text for p in document.paragraphs if p.style.name == "Caption"]
    assert [c.split(". ")[0] for c in captions] == [f"Table {i}" for i in range(1, len(files) + 1)]
    hidden = 0
    for path, table in zip(files, document.tables, strict=True):
        _, *rows = csv.reader(path.read_text("utf-8").splitlines())
        above = ""
        for said, row in zip(table.rows[1:], rows, strict=True):
            cells = said.cells
            # A text that repeats the one above it is left blank in the first column.
            assert [c.text for c in cells] == ["" if row[0] == above else row[0], *row[1:]], path.name
            above = row[0] or above
            for cell in cells:
                told = {run.style.name for run in cell.paragraphs[0].runs}
                assert ("Suppressed" in told) == (cell.text == "[c]")
                hidden += "Suppressed" in told
    assert hidden > 20


def filled(package, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((package.folder / "checklists" / f"{name}.csv").read_text("utf-8").splitlines()))


def test_what_a_checklist_says_where_it_is_answered_is_there(made):
    folder, n = made[1].folder, 0
    for name in ("strobe", "record", "target", "mibo"):
        for row in filled(made[1], name):
            said_to_be = row["answer"].startswith(("in the package", "in part"))
            assert bool(row["where"]) == said_to_be or row["answer"].startswith("not applicable"), row
            for place in filter(None, row["where"].split("; ")):
                file, _, section = place.partition(" § ")
                text, n = (folder / file).read_text("utf-8"), n + 1
                where = [line[3:] for line in text.splitlines() if line.startswith("## ")]
                if file.endswith(".csv"):
                    where = [line[0] for line in csv.reader(text.splitlines())]
                assert not section or section in where, place
    assert n > 60


def test_every_item_of_a_statement_is_in_its_checklist_once(made):
    items = {name: [r["item"] for r in filled(made[1], name)] for name in ("strobe", "record", "target")}
    assert all(len(found) == len(set(found)) for found in items.values())
    # Numbers as in the statements: 22 of STROBE (von Elm 2007), 13 of RECORD (Benchimol 2015), 21 of TARGET (Cashin 2025).
    assert {int(re.match(r"\d+", i)[0]) for i in items["strobe"]} == set(range(1, 23)) and len(items["strobe"]) == 34
    assert len(items["record"]) == 13
    assert {int(re.match(r"\d+", i)[0]) for i in items["target"]} == set(range(1, 22))
    assert {r["answer"] for r in filled(made[1], "target")} == {
        "not applicable: no effect of a booster is in the package"
    }
    assert len(filled(made[1], "mibo")) == 1 + made[0].sql("select count(*) from catalogue.reporting_item").item()


def test_a_checklist_says_the_same_in_word_and_html(made):
    for path in (made[1].folder / "checklists").glob("*.csv"):
        rows = list(csv.reader(path.read_text("utf-8").splitlines()))
        (table,) = docx.Document(path.with_suffix(".docx")).tables
        assert [[c.text for c in line.cells] for line in table.rows[1:]] == rows[1:]
        page = BeautifulSoup(path.with_suffix(".html").read_text("utf-8"), "html.parser")
        assert [[cell.text for cell in line.find_all(["th", "td"])] for line in page.find_all("tr")] == [
            [heading(c) for c in rows[0]],
            *rows[1:],
        ]


def test_with_an_effect_of_a_booster_its_protocol_stands_in_the_checklist(made):
    settings = defaultdict(lambda: "as set", horizon_day=[183, 365], risk_set={"log": 40}, covariates=["age"],
                           decision_flow=[{"step": "judged", "n": 90}], design="sequential", resamples=200,
                           versions={"catamnesis": "1"}, estimand="per_protocol", grace_day=30)  # fmt: skip
    result = dataclasses.replace(
        describe(made[0].courses(programme="osteoarthritis")),
        question="booster_effect", title="Effect of a booster", settings=settings, notes=("Not randomised.",),
    )  # fmt: skip
    table = checklists(made[0], "osteoarthritis", {"booster_effect": result}, {}, {})["target"]
    answers = {r["item"]: r for r in table.frame.to_dicts()}
    assert (
        answers["6b"]["answer"]
        == "in the package: A booster within 30 days, and no further one; against none until the day of the outcome"
    )
    assert answers["8"]["answer"] == "in the package: judged: 90"
    assert answers["3"]["where"] == "methods.md § Effect of a booster"
    assert list(answers) == target_checklist(result)["item"].to_list()


def test_the_crate_describes_every_file_as_it_is(made):
    folder = made[1].folder
    crate = json.loads((folder / "ro-crate-metadata.json").read_text("utf-8"))
    nodes = {node["@id"]: node for node in crate["@graph"]}
    assert len(nodes) == len(crate["@graph"])
    # RO-Crate 1.1: a descriptor that conforms to it and is about the root; the root has its five properties.
    descriptor, root = nodes["ro-crate-metadata.json"], nodes["./"]
    assert descriptor["about"] == {"@id": "./"} and descriptor["conformsTo"]["@id"] == "https://w3id.org/ro/crate/1.1"
    assert root["@type"] == "Dataset" and all(root[k] for k in ("name", "description", "datePublished", "license"))
    told = {part["@id"] for part in root["hasPart"]}
    assert told == {*made[1].files, "MANIFEST.json"} - {"ro-crate-metadata.json"}
    for name in told - {"MANIFEST.json"}:
        content = (folder / name).read_bytes()
        assert nodes[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert nodes[name]["contentSize"] == str(len(content)) and "/" in nodes[name]["encodingFormat"]
    linked = re.findall(r'\{"@id": "([^"]+)"\}', json.dumps(crate))
    assert {i for i in linked if not i.startswith("https://w3id.org")} <= set(nodes)


def test_a_reader_of_crates_finds_the_files_and_what_made_them(made):
    crate = ROCrate(made[1].folder)
    assert {e.id for e in crate.data_entities} == {*made[1].files, "MANIFEST.json"} - {"ro-crate-metadata.json"}
    assert "osteoarthritis" in crate.name and str(crate.root_dataset["datePublished"]) == str(made[0].data_cut)
    citation = (Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8")
    software = crate.get("#catamnesis")
    for key, said in (("version", software["version"]), ("license", crate.get(software["license"].id)["identifier"]),
                      ("- name", software["author"]["name"])):  # fmt: skip
        assert re.search(rf"^\s*{key}: (.+)$", citation, re.MULTILINE)[1] == said


def test_the_setting_is_told_with_its_dates_and_the_definitions_with_their_thresholds(made):
    methods = (made[1].folder / "methods.md").read_text("utf-8")
    first, last = re.search(r"all but a few of them between (\S+) and (\S+)\.", methods).groups()
    days = made[0].sql("select index_date::varchar as d from course.profile order by 1")["d"].drop_nulls()
    assert (first, last) == (days[4][:7], days[-5][:7])
    told = (made[1].folder / "definitions.md").read_text("utf-8")
    # Pham 2004, scenario D: half and 20 points in one, or a fifth and 10 points in two of three.
    assert "| OO-2004 | 1 | 1 | 1 | pain | worse100 | 20 | 0.5 |" in told
    assert "| OO-2004 | 2 | 2 | 3 | global | worse100 | 10 | 0.2 |" in told
    assert "## Scales" in told and "| Bone-on-bone | KL | 4 |" in told


def test_shares_are_in_per_cent_and_a_tiny_p_is_not_said_to_be_zero(made):
    (path,) = (made[1].folder / "tables").glob("table_*_time_to_response.csv")
    rows = {(r["quantity"], r["stratum"]): r for r in csv.DictReader(path.read_text("utf-8").splitlines())}
    frame = pl.read_csv(made[1].folder / "numbers" / "time_to_response.csv")
    year = frame.filter(quantity="response", stratum="early", time_day=365.0).row(0, named=True)
    expected = f"{100 * year['estimate']:.1f} ({100 * year['low']:.1f} to {100 * year['high']:.1f})"
    assert rows["response, %", "Early"]["12 months"] == expected
    assert rows["p, strata alike", "all"]["overall"] == "<0.001"
    assert ("difference, percentage points", "Moderate − Early") in rows


def test_no_small_count_and_no_patient_leaves(made):
    registry, package = made
    for path in (package.folder / "numbers").glob("*.csv"):
        numbers = pl.read_csv(path, infer_schema_length=None)
        for column in {"n", "denominator"} & set(numbers.columns):
            n = numbers[column].drop_nulls().cast(pl.Int64)
            assert n.filter(n.is_between(1, 4)).len() == 0, (path.name, column)
    keys = registry.con.sql("select patient_key from record.patient").fetchall()
    text = "".join(
        p.read_text("utf-8") for p in package.folder.rglob("*") if p.suffix in (".csv", ".md", ".json", ".html")
    )
    assert not any(str(key) in text for (key,) in keys)
    flows = re.findall(r"(\d[\d,]*) of [\d,]+ courses were used(?: \(([^)]*)\))?", text)
    assert flows and all(
        int(n.replace(",", "")) >= 5 for _, left in flows for n in re.findall(r"(?:^|; )([\d,]+) ", left)
    )


def test_figures_are_whole_and_of_a_printable_size(made):
    figures = made[1].folder / "figures"
    pages = sorted(figures.glob("*.pdf"))
    assert len(pages) >= 4
    for page in pages:
        data = page.read_bytes()
        assert data.startswith(b"%PDF") and b"CreationDate" not in data
        svg = ET.fromstring(page.with_suffix(".svg").read_text("utf-8"))
        assert svg.tag.endswith("svg") and len(svg.attrib["aria-label"]) > 40
        width, _ = struct.unpack(">II", page.with_suffix(".png").read_bytes()[16:24])
        assert 3.3 * 600 <= width <= 7.5 * 600  # one column of a journal to two
        narrow, _ = struct.unpack(
            ">II", (figures / "single_column" / page.with_suffix(".png").name).read_bytes()[16:24]
        )
        assert narrow == round(86 / 25.4 * 600)


def test_an_effect_that_the_gate_closed_is_left_out_with_its_naive_numbers(made):
    package = made[1]
    assert "booster_effect" in package.left_out
    assert not [f for f in package.files if "booster" in f]
    methods = (package.folder / "methods.md").read_text("utf-8")
    assert "## Not estimated" in methods and package.left_out["booster_effect"] in methods


def test_a_stage_that_nobody_is_in_is_no_failed_check_and_courses_are_of_those_selected(made):
    registry, package = made
    methods = (package.folder / "methods.md").read_text("utf-8")
    assert "\n- Nobody is in: Pre-radiographic.\n" in methods and "pre_radiographic" not in methods
    for path in (package.folder / "tables").glob("*.html"):
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        assert "Pre-radiographic" not in page.find("table").text and "nobody in" not in page.find("table").text
    held, chosen = registry.counts()["course"], len(registry.courses(programme="osteoarthritis"))
    told = set(re.findall(r"The registry holds ([\d,]+) courses, of which ([\d,]+) were selected", methods))
    of = set(re.findall(r" of ([\d,]+) courses were used", methods))
    assert told <= {(f"{held:,}", f"{chosen:,}")} and of <= {f"{held:,}", f"{chosen:,}"} and of


def test_every_analysis_has_its_estimand_and_its_flow_in_the_methods(made):
    methods = (made[1].folder / "methods.md").read_text("utf-8")
    assert methods.count("| attribute | value |") == 5
    answers = [p for p in (made[1].folder / "numbers").iterdir() if not p.stem.endswith("_details")]
    assert methods.count(" courses were used") == len(answers)


def test_latex_takes_the_tables(made, tmp_path):
    latex = shutil.which("pdflatex")
    if latex is None:
        pytest.skip("LaTeX is not installed")
    bodies = [p.read_text("utf-8") for p in sorted((made[1].folder / "tables").glob("*.tex"))]
    needed = {name for body in bodies for name in re.match(r"% Packages: (.+)\.", body)[1].split(", ")}
    assert needed == {"booktabs", "longtable", "pdflscape"}
    head = f"\\documentclass{{article}}\\usepackage[a4paper,margin=20mm]{{geometry}}\\usepackage{{{','.join(needed)}}}"
    (tmp_path / "all.tex").write_text(head + "\\begin{document}" + "".join(bodies) + "\\end{document}", "utf-8")
    # Columns of a table over several pages find their widths in the second run and the third.
    for _ in range(3):
        subprocess.run(
            [latex, "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    # No table runs over the edge of the page, nor over its foot.
    log = (tmp_path / "all.log").read_text("latin-1")
    assert not re.findall(r"Overfull \\[hv]box.*|.*too large.*", log)
    pages = " ".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "all.pdf").pages)
    assert pages.count("[c]") == sum(body.count("[c]") for body in bodies) > 20


def test_libreoffice_shows_every_word_of_the_word_files(made, tmp_path):
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("LibreOffice is not installed")
    files = sorted(made[1].folder.rglob("*.docx"))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = [office, profile, "--headless", "--convert-to", "pdf", "--outdir", str(tmp_path), *map(str, files)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    for file in files:
        pages = [p.extract_text() for p in pypdf.PdfReader(tmp_path / f"{file.stem}.pdf").pages]
        assert all(len(page.split()) > 20 for page in pages), file.name
        # Lines are broken anew, also inside a path: only letters and figures count.
        shown = re.sub(r"[\W_]", "", "".join(pages)).lower()
        document = docx.Document(file)
        told = {c.text for table in document.tables for row in table.rows for c in row.cells}
        told |= {p.text for p in document.paragraphs}
        assert not [t for t in told if re.sub(r"[\W_]", "", t).lower() not in shown], file.name
        marks = sum(c.text == "[c]" for table in document.tables for row in table.rows for c in row.cells)
        explained = sum(p.text.startswith("[c] confidential") for p in document.paragraphs)
        assert "".join(pages).count("[c]") == marks + explained and (marks > 20) == (file.stem == "tables")


def test_a_folder_with_other_files_is_refused_and_a_wrong_programme_told(made, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not of a package"):
        export(made[0], tmp_path, "osteoarthritis")
    assert (tmp_path / "thesis.txt").exists()
    with pytest.raises(UsageError, match="osteoarthritis"):
        export(made[0], tmp_path / "p", "osteoarthrosis")
    with pytest.raises(UsageError, match="is not a package"):
        reproduce(made[0], tmp_path)
    with (
        Registry.create(tmp_path / "empty.duckdb", key=b"k" * 32) as empty,
        pytest.raises(UsageError, match="no course"),
    ):
        export(empty, tmp_path / "p", "osteoarthritis")


def test_where_the_effect_is_shown_so_is_who_was_boosted_before_and_after_weighting(made, monkeypatch):
    shown = {"booster_effect": lambda courses: booster_effect(courses, resamples=20, show_anyway=True)}
    monkeypatch.setattr(publication, "_QUESTIONS", shown)
    found = publication._answers(made[0].courses(programme="osteoarthritis")).found
    table = found["booster_balance"].table()
    assert {"Boosted", "Boosted, weighted", "Waiting", "Waiting, weighted", "smd, weighted"} < set(table.columns)
    counts = found["booster_balance"].frame["n"].drop_nulls()
    assert len(counts) > 50 and counts.filter(counts.is_between(1, 4)).is_empty()


def test_a_hidden_number_has_one_mark_that_every_format_explains(made, tmp_path):
    """Where a table hides a number its first note says what the mark means; no other word or sign stands for it."""
    folder, marked = made[1].folder / "tables", 0
    words = docx.Document(folder / "tables.docx")
    notes = [p.text for p in words.paragraphs]
    for path in sorted(folder.glob("*.csv")):
        cells = [cell for row in csv.reader(path.read_text("utf-8").splitlines()) for cell in row]
        assert not {"·", "suppressed", "– (–)"} & set(cells)
        hidden = cells.count("[c]")
        page = BeautifulSoup(path.with_suffix(".html").read_text("utf-8"), "html.parser")
        tex = path.with_suffix(".tex").read_text("utf-8")
        said = "[c] confidential: fewer than 5, or a number that would give such a one away."
        assert sum(c.text == "[c]" for c in page.find_all("td")) == hidden
        assert (said in [p.text for p in page.find_all("p")]) == (said in tex) == bool(hidden), path.name
        marked += bool(hidden)
    assert marked > 2 and notes.count(said) == marked
    style = words.styles["Suppressed"].font
    assert str(style.color.rgb) == str(words.styles["Normal"].font.color.rgb) and not style.italic


def test_a_figure_with_a_hidden_count_says_what_the_mark_means(made):
    found = 0
    for path in (made[1].folder / "figures").rglob("*.svg"):
        text = path.read_text("utf-8")
        marks = len(re.findall(r">\[c\]<", text))
        # Below a narrow figure a long line is broken.
        text = " ".join(ET.fromstring(text).itertext())
        assert ("([c]: hidden, few)" in " ".join(text.split())) == bool(marks), path.name
        found += bool(marks)
    assert found


def test_what_explains_the_mark_in_a_figure_is_told_in_german_too():
    words = words_of("de")
    told = words.plain("Months since the first session ([c]: hidden, few)")
    assert told == "Monate seit der ersten Sitzung ([c]: nicht ausgewiesen, wenige)"


@pytest.mark.parametrize("question", [time_to_response, loss_of_response, trajectories, joint_replacement, safety])
def test_below_every_figure_with_counts_a_hidden_one_is_marked_and_explained(made, question):
    result = question(made[0].courses(programme="osteoarthritis"))

    def told(counts):
        figure = dataclasses.replace(result, at_risk=counts).plot()
        return [t.get_text() for axes in figure.axes for t in (*axes.texts, axes.xaxis.label) if "[c]" in t.get_text()]

    counts = result.at_risk.with_columns(n=pl.col("n").fill_null(9), denominator=pl.col("denominator").fill_null(9))
    assert told(counts) == []
    last = pl.col("time_day") == counts["time_day"].max()
    *marks, below = told(counts.with_columns(n=pl.when(~last).then("n")))
    assert marks and set(marks) == {"[c]"} and below.endswith(" ([c]: hidden, few)")


LOOK = """(() => {
  const wide = document.querySelector(".wide"), cells = [...document.querySelectorAll("thead th")];
  return {page: document.documentElement.scrollWidth - innerWidth, seen: document.querySelector("h1").getBoundingClientRect().right,
          heads: cells.every(c => c.scope === "col" && c.textContent), rows: document.querySelectorAll("tbody th").length,
          lost: [...document.querySelectorAll("tbody th")].filter(c => !c.scope || !c.textContent).length,
          inside: wide.scrollWidth - wide.clientWidth};
})()"""


@pytest.mark.skipif(chromium.PROGRAM is None, reason="Chromium is not installed")
@pytest.mark.browser
def test_every_html_table_is_quiet_fits_and_has_no_barrier_in_a_browser(made, tmp_path):
    axe = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text("utf-8")
    files = sorted(made[1].folder.rglob("*.html"))
    scrolled = 0
    with chromium.page(tmp_path / "browser") as browser:
        for width in (360, 820, 1400):
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
            )
            for file in files:
                browser.call("Page.navigate", url=file.as_uri())
                browser.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(file.as_uri())}")
                seen = browser.evaluate(LOOK)
                assert seen["page"] <= 0 and seen["seen"] <= width, (file.name, width, seen)
                assert seen["heads"] and seen["rows"] and not seen["lost"], (file.name, seen)
                scrolled += seen["inside"] > 0
                if width != 820:
                    browser.evaluate(axe)
                    found = browser.evaluate(
                        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
                        ".then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))"
                    )
                    assert found == [], (file.name, width)
        assert browser.wrong == []
        assert {r for r in browser.requests if not r.startswith("file:")} == set()
        assert {Path(r).name for r in browser.requests} == {f.name for f in files}
    assert len(files) > 10 and scrolled > 3
