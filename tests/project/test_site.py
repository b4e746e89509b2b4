"""The documentation site: what is made from SQL, catalogues and tests says what they say, and the built pages hold together."""

from __future__ import annotations

import csv
import importlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from website import catalogues, definitions, examples, programmes, reference, written

from registry import sqlmodels

ROOT = Path(__file__).parents[2]
WIDTHS = (390, 820, 1440)


@pytest.fixture(scope="module")
def told():
    return examples.collect()


def test_a_spec_test_is_told_as_its_sentence_its_rows_and_the_rows_expected(told):
    (example,) = [e for e in told if e.sentence.startswith("The last of several values is the baseline")]
    assert example.model == "course.baseline"
    assert [t.title for t in example.given] == ["sessions", "scores"]
    assert example.given[1].rows == [["Anna", "left", "-60", "30", "70"], ["Anna", "left", "-5", "40", "-"]]
    assert example.expected.header == ["scale", "day", "value", "worse100"]
    assert example.expected.rows == [["KOOS/pain", "-5", "40", "60"], ["PtGA", "-60", "70", "70"]]


def test_every_derived_concept_has_examples_and_each_run_of_a_parameter_is_one(told):
    of_model = {e.model for e in told}
    assert {m for m in sqlmodels.models() if not m.startswith("reduction.")} - of_model == {"staging.data_cut"}
    aged = [e for e in told if "ninety days old" in e.sentence]
    assert [e.given[1].rows[0][2] for e in aged] == ["0", "-90", "-91", "1"]
    assert [len(e.expected.rows) for e in aged] == [1, 1, 0, 0]


def test_a_page_of_a_model_shows_what_went_in_and_came_out_and_no_code_of_the_test(told):
    page = definitions.pages(told)["definitions/course/baseline.md"]
    assert "one row for each course × scale" in page and "max_by(before.value, before.day)" in page
    assert "<td>KOOS/pain</td><td>-5</td><td>40</td><td>60</td>" in page
    assert "[`course.score`](score.md)" in page and "catalogues/programmes.md" in page
    assert "derives(" not in page and "2 more cases" not in page and "3 more cases" in page


@pytest.mark.parametrize("package", list(reference.MODULES))
def test_every_name_of_the_reference_is_where_it_is_said_to_be(package):
    for module, names in reference.MODULES[package].items():
        found = importlib.import_module(f"{package}.{module}")
        assert [n for n in names if not getattr(getattr(found, n, None), "__doc__", None)] == []


@pytest.mark.parametrize("model", sorted(sqlmodels.models()))
def test_every_column_of_a_model_is_explained(model):
    assert definitions.columns()[model]
    assert [c for c, _ in definitions.columns()[model] if not definitions.meaning(model, c)] == []


def test_columns_are_explained_once_and_only_those_there_are():
    known = {(m, c) for m, columns in definitions.columns().items() for c, _ in columns}
    with (ROOT / "docs" / "website" / "columns.csv").open(encoding="utf-8", newline="") as file:
        said = [(m, row["column"]) for row in csv.DictReader(file) for m in row["models"].split() or [""]]
    used = known | {("", column) for _, column in known}
    assert [key for key in said if key not in used] == [] and len(said) == len(set(said))


def test_a_response_definition_is_said_in_words():
    """By hand from Pham 2004: high improvement in pain or function, or two of three improved."""
    page = programmes.pages()["catalogues/responses.md"].split("## OO-2004\n")[1].split("\n## ")[0]
    assert "1. one of these holds: pain is better by 20 of 100 and better by 50 % of its baseline; function is" in page
    assert "2. two of these hold: pain is better by 10 of 100 and better by 20 % of its baseline;" in page
    assert "not verified" in page


def test_every_file_of_the_catalogue_has_its_page():
    from registry.catalogue import KEYS

    made = {**catalogues.pages(), **programmes.pages()}
    assert {name: catalogues.page_of(name) in made for name in KEYS} == dict.fromkeys(KEYS, True)


@pytest.mark.parametrize(
    ("source", "link", "leads"),
    [
        ("docs/how-to/redcap.md", "[x](../../registry/catalogue/defect.csv)", "[x](../checks.md)"),
        ("README.md", "[x](docs/how-to/redcap.md#by-the-api)", "[x](how-to/redcap.md#by-the-api)"),
        ("docs/tutorial.md", "[x](../GLOSSARY.md)", "[x](glossary.md)"),
        ("docs/tutorial.md", "[x](../sql/endpoint/response.sql)", "[x](definitions/endpoint/response.md)"),
        ("notebooks/03.ipynb", "[x](../docs/methods/dose.md)", "[x](../methods/dose.md)"),
        ("docs/tutorial.md", "[x](https://example.org/a.md)", "[x](https://example.org/a.md)"),
    ],
)
def test_a_link_to_a_file_of_the_repository_leads_to_its_page(source, link, leads):
    site = "notebooks/03.md" if source.startswith("notebooks") else written.sources()[source]
    assert written.relinked(link, source, site) == leads
    assert written.relinked(f"```\n{link}\n```", source, site) == f"```\n{link}\n```"


# -- the built site -----------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page links to, loads, and offers as anchors."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.loads, self.anchors, self.lacking_alt = [], [], set(), 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        self.anchors |= {said[k] for k in ("id", "name") if said.get(k)}
        if tag == "a" and said.get("href"):
            self.links.append(said["href"])
        if tag in ("script", "img", "link", "iframe", "source", "video", "audio", "embed", "object"):
            self.loads += [said[k] for k in ("src", "href", "data") if said.get(k)]
            self.lacking_alt += tag == "img" and "alt" not in said


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "docs" / "website"), "--skip-notebooks", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {p.relative_to(site).as_posix(): Page(p) for p in site.rglob("*.html")}


@pytest.mark.slow
def test_every_public_name_and_every_command_is_in_the_site(pages, site):
    for package in ("registry", "analysis", "synthetic", "reports"):
        names = [f"{package}.{name}" for name in reference.public(package)]
        names += [f"{package}.{m}.{n}" for m, of in reference.MODULES[package].items() for n in of]
        assert [n for n in names if n not in pages[f"reference/{package}.html"].anchors] == []
    from reports import cli

    text = (site / "reference" / "command.html").read_text(encoding="utf-8")
    assert [p for p, _ in reference._commands(cli.app) if f">catamnesis {p}</h2>" not in text] == []


@pytest.mark.slow
def test_no_page_asks_the_network_for_anything(pages, site):
    asked = [(name, place) for name, page in pages.items() for place in page.loads if re.match(r"(https?:)?//", place)]
    assert asked == []
    files = [p for p in site.rglob("*") if p.suffix in (".css", ".js")]
    assert [
        p.name for p in files if re.search(r"url\(\s*['\"]?(https?:)?//|@import|fetch\(|XMLHttp", p.read_text())
    ] == []


@pytest.mark.slow
def test_every_link_and_anchor_leads_somewhere(pages, site):
    dead = []
    for name, page in pages.items():
        for place in [*page.links, *page.loads]:
            path, _, anchor = unquote(place).partition("#")
            if re.match(r"[a-z]+:", place):
                continue
            target = (site / name).parent.joinpath(path).resolve() if path else site / name
            found = target.relative_to(site.resolve()).as_posix() if path else name
            if not target.exists() or (anchor and found in pages and anchor not in pages[found].anchors):
                dead.append((name, place))
    assert dead == []


@pytest.mark.slow
def test_every_picture_says_what_it_shows_and_every_page_has_one_title(pages, site):
    assert [name for name, page in pages.items() if page.lacking_alt] == []
    titles = {name: len(re.findall(r"<h1\b", (site / name).read_text(encoding="utf-8"))) for name in pages}
    assert {name: n for name, n in titles.items() if n != 1} == {}


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="headless Chromium is not installed")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["index", "tutorial", "definitions/endpoint/response", "reference/analysis", "checks"])
def test_nothing_runs_off_the_side_of_a_page(site, tmp_path, name, width):
    wide, window = _asked(site, f"{name}.html", tmp_path, width, "document.documentElement.scrollWidth").split(" of ")
    assert int(wide) <= int(window)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="headless Chromium is not installed")
def test_search_finds_a_definition_from_a_page_opened_as_a_file(site, tmp_path):
    """No server, no network: the index is a script beside the page."""
    found = _asked(site, "how-to/redcap.html", tmp_path, 1200, "document.querySelector('#found a').href", """
        const box = document.getElementById('query'); box.focus(); box.value = 'decision log';
        box.dispatchEvent(new Event('input'));""")  # fmt: skip
    assert "definitions/endpoint/decision_point.html" in found and found.startswith("file:")


def _asked(site: Path, name: str, tmp_path: Path, width: int, question: str, first: str = "") -> str:
    """Return what a page in Chromium, cut off from the network, answers to a question after two seconds."""
    script = f"<script>window.addEventListener('load', () => {{ {first} setTimeout(() => {{ document.title = {question} + ' of ' + window.innerWidth }}, 1500) }})</script></body>"
    probe = (site / name).with_name("probe.html")
    probe.write_text((site / name).read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    options += [f"--window-size={width},900", "--virtual-time-budget=4000", f"--user-data-dir={tmp_path}/profile"]
    command = ["chromium", *options, "--dump-dom", probe.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    probe.unlink()
    return re.search(r"<title>(.*?)</title>", done.stdout).group(1)
