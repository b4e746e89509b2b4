"""The report as a reader meets it: whole without a network, honest about who is missing, small cells hidden."""

import base64
import csv
import hashlib
import json
import re
from pathlib import Path

import axe_core_python
import chromium
import polars as pl
import pypdf
import pytest
from earlier_report import earlier_report

from analysis import disclosure, trajectories
from registry import Registry, catalogue, derive, ingest
from reports.printed import blocks
from reports.summary import write_report
from synthetic import Design, all_programmes, simulate, sources


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    sources.write_clinics(simulate(Design(patients=260, seed=8, programmes=all_programmes())), folder / "clinics")
    Registry.create(folder / "r.duckdb", key=b"k" * 32).close()
    for clinic in sorted((folder / "clinics").iterdir()):
        ingest.load(folder / "r.duckdb", [clinic])
    derive(folder / "r.duckdb")
    with Registry.open(folder / "r.duckdb") as registry:
        return write_report(registry, folder / "out")


@pytest.fixture(scope="module")
def pages(page, tmp_path_factory):
    """The page in a language: English is there, the others are made once, when asked for, after a report before."""
    made = {"en": page}
    before = earlier_report(json.loads((page.parent / "numbers.json").read_text("utf-8")))

    def of(language):
        if language not in made:
            with Registry.open(page.parents[1] / "r.duckdb") as registry:
                made[language] = write_report(registry, tmp_path_factory.mktemp(language), before, language=language)
        return made[language]

    return of


@pytest.fixture(scope="module")
def html(page):
    return page.read_text(encoding="utf-8")


def test_the_page_asks_for_nothing_from_a_network(html):
    fetched = re.findall(r"""(?:src|href|action)\s*=\s*["'](?!#|data:)([^"']+)|url\((?!#|"?#|data:)([^)]+)\)""", html)
    assert fetched == [("report.pdf", "")]
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html
    assert html.count("<script") == 1 and not re.search(r"\bon\w+=|javascript:|innerHTML|fetch\(|eval\(", html)


def test_the_pdf_says_what_the_page_says_and_describes_every_figure(page, html):
    reader = pypdf.PdfReader(page.parent / "report.pdf")
    said = "".join("".join(p.extract_text().split()) for p in reader.pages)
    told = blocks(re.sub("<svg .*?</svg>", "<img>", html, flags=re.DOTALL))
    rows = [row for b in told if b["kind"] == "table" for row in b["rows"]]
    for runs in [b["text"] for b in told if b["kind"] in ("h2", "h3", "soft")] + [r["cells"][0]["text"] for r in rows]:
        # Hyphens at the end of a line are the typesetter's.
        for run in runs:
            text = "".join(run["text"].split())
            assert run["role"] == "swatch" or text in said or text.replace("-", "") in said.replace("-", ""), text
    assert len(rows) > 100 and not any("UTC" in str(b) for b in told)
    assert [e.title for e in reader.outline if not isinstance(e, list)][-2:] == ["Data quality", "Provenance"]
    assert not re.search(r"\bP\d{7}\b|\b[0-9a-f]{24}\b", said)


def test_the_headline_numbers_are_those_of_the_results_each_with_the_courses_it_is_of(page, html):
    rows = json.loads((page.parent / "numbers.json").read_text())["programmes"]["osteoarthritis"]["results"]
    table = re.search(r'aria-label="In numbers, table">(.*?)</table>', html, re.DOTALL)[1]
    cells = re.search(r"Early</td>(.*?)</tr>", table, re.DOTALL)[1].split("</td>")
    asked = (("time_to_response", "response"), ("time_in_response", "share_in_response"))
    for cell, (question, quantity) in zip(cells, asked, strict=False):
        (one,) = (r for r in rows[question]["frame"]
                  if (r["stratum"], r["quantity"], r["time_day"]) == ("early", quantity, 365.0))  # fmt: skip
        told = re.search(
            r'<td[^>]*>(\d+) %<span class="ci">(\d+) to (\d+) %</span><span class="ci of">of (\d+)</span>', cell
        )
        share = [f"{100 * one[k]:.0f}" for k in ("estimate", "low", "high")]
        assert told.groups() == (*share, str(one["denominator"]))


def test_an_outlook_says_beside_each_stage_how_well_it_predicts(html):
    told = re.findall(
        r"<li>(\w+): of (\d+) courses at 12 months, (\d+) % within the range; response predicted and seen ([\d.]+) points",
        html,
    )
    assert told and all(int(n) >= 30 and 50 < int(share) <= 100 for _, n, share, _ in told)


def test_courses_of_a_trajectory_are_those_of_its_model_and_not_those_seen_first(page, html):
    table = re.search(
        r'aria-label="Osteoarthritis: Change from baseline in pain by stage, table">(.*?)</table>', html, re.DOTALL
    )[1]
    told = dict(re.findall(r"</span>([\w-]+)</th><td>(\d+)</td>", table))
    with Registry.open(page.parents[1] / "r.duckdb") as registry:
        known = registry.sql(
            "select stage, count(distinct course_id) as n from course.profile join course.domain_scale using (course_id) "
            "join course.baseline using (course_id, scale) where programme = 'osteoarthritis' and domain = 'pain' "
            "and profile.index_date is not null group by stage"
        )
    held = dict(known.iter_rows())
    assert int(told["Early"]) == held["early"] and int(told["Moderate"]) == held["moderate"]


def test_the_change_of_a_count_of_cells_is_told_in_its_own_unit_and_that_of_a_score_in_points(page, html):
    told = dict(re.findall(r'<h2 id="(\w+)".*?Mean change from baseline at planned visits, ([^;]+);', html, re.DOTALL))
    assert told["transplant"] == "10*9/L" and told["osteoarthritis"] == "points of 100"
    figure = re.search(r'aria-label="([^"]*neutrophil count[^"]*)"', re.sub("<div[^>]*>", "", html))[1]
    assert "10*9/L" in figure and "points of 100" not in figure
    # The scale reaches from 0 to 200, so that a change in its unit is twice that in points.
    with Registry.open(page.parents[1] / "r.duckdb") as registry:
        points = trajectories(registry.courses(programme="transplant"), by="stage").suppress().frame
    results = json.loads((page.parent / "numbers.json").read_text())["programmes"]["transplant"]["results"]
    native = {(r["stratum"], r["time_day"]): r["estimate"] for r in results["trajectories"]["frame"]
              if r["quantity"] == "mean_change" and r["estimate"] is not None}  # fmt: skip
    for r in points.filter(pl.col("quantity") == "mean_change", pl.col("estimate").is_not_null()).to_dicts():
        assert native[r["stratum"], r["time_day"]] == pytest.approx(2 * r["estimate"], rel=1e-3, abs=1e-3)
    assert native and results["trajectories"]["unit_label"] == "10*9/L"


def test_what_became_of_planned_visits_is_told_and_agrees_with_the_courses_and_the_status(page, html):
    with Registry.open(page.parents[1] / "r.duckdb") as registry:
        found = registry.follow_up_visits().filter(programme="osteoarthritis").to_dicts()
        missed = registry.status().filter(pl.col("programme") == "osteoarthritis", pl.col("n_overdue") > 0)
    states = ("seen", "late", "overdue", "missed", "lost", "ended", "not_due")
    table = re.search(r'"Osteoarthritis: Follow-up due, table">(.*?)</table>', html, re.DOTALL)[1]
    rows = {v: re.findall(r"<td>(.*?)</td>", cells) for v, cells in re.findall(r'row">([^<]+)</th>(.*?)</tr>', table)}
    for r in found:
        assert [c.replace("&lt;", "<") for c in rows[r["planned_visit"]]] == disclosure.shown(
            [r[f"n_{s}"] for s in states]
        )
    assert len({sum(r[f"n_{s}"] for s in states) for r in found}) == 1 and sum(r["n_missed"] for r in found) > 20
    # Nothing is due of a course that has ended.
    status = re.search(r'"Osteoarthritis: Course status, table">(.*?)</table>', html, re.DOTALL)[1]
    assert re.search(r"ended</th><td>[^<]+</td><td>–</td>", status) and missed.height > 0
    assert not missed["status"].is_in(["ended", "not_treated", "withdrawn"]).any()


def test_no_name_of_the_code_stands_where_a_reader_expects_words(html):
    text = re.sub(r"<(style|script).*?</\1>|<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL)
    names = re.findall(r"\b(?:bone_on_bone|\w*in_response\w*|response_lost|no_response_yet|log_\w+|bmi)\b", text)
    assert "Bone-on-bone" in text and names == []


def test_every_programme_has_its_section_and_the_wellness_one_is_not_judged(html):
    for programme in all_programmes():
        assert f'id="{programme}"' in html
    assert "described only, never judged as response" in html
    assert 'id="definition-wellness"' not in html


def test_rows_refused_are_counted_with_their_reason(html):
    assert "the value is outside the scale&#39;s range" in html
    assert "12 rows of the clinics&#39; files were refused" in html or "rows of the clinics" in html


def test_products_are_told_by_how_completely_they_are_described_and_rarely_given_ones_are_not(page, html):
    table = re.search(r'aria-label="Description of products, table">(.*?)</table>', html, re.DOTALL)[1]
    with Registry.open(page.parent.parent / "r.duckdb") as registry:
        given = dict(
            registry.sql(
                "select product, count(distinct patient_id) from record.treatment_session s "
                "join record.product p on p.id = s.product_id group by all"
            ).iter_rows()
        )
        # The product's own columns, and nothing else, say what was found of its cells: viability of four items.
        assert registry.sql("select count(viability_pct) = count(*) from record.product").item()
    shown = re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', table)[1:]
    assert shown == sorted(p for p, n in given.items() if n >= 5) and len(shown) >= 3
    cells = re.search(r'<th scope="row">characteristics</th>(.*?)</tr>', table)[1]
    assert re.findall(r"<td>(.*?)</td>", cells) == ["25&nbsp;%"] * len(shown)


def test_every_id_is_used_once_and_every_inner_link_lands(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)


def test_every_definition_is_linked_from_where_its_word_stands_and_told_with_its_source(page, html):
    for programme in set(all_programmes()) - {"wellness"}:
        body = re.search(rf'<section aria-labelledby="{programme}">(.*?)</section>', html, re.DOTALL)[1]
        linked = set(re.findall(rf'href="#defined-{programme}-([\w-]+)"', body))
        assert {"stages", "criteria-of-response", "loss-of-response", "scales", "planned-visits"} <= linked
        told = re.findall(rf'id="defined-{programme}-([\w-]+)".*?</table>', html, re.DOTALL)
        assert {*linked, "events", "response"} <= set(told)
    # Thresholds are those of the catalogue's file.
    rows = csv.DictReader((catalogue.FOLDER / "definition_criterion.csv").read_text("utf-8").splitlines())
    table = re.search(r'id="defined-osteoarthritis-criteria-of-response".*?</table>', html, re.DOTALL)[0]
    for r in (r for r in rows if r["definition"] == "OO-2004"):
        assert f'<td class="text">{float(r["improvement_min"]):g}</td>' in table
    stages = re.search(r'id="defined-osteoarthritis-stages".*?</table>', html, re.DOTALL)[0]
    assert "Kellgren" in stages or "KL" in stages
    # Closed: the page stays a report.
    assert not re.search(r'<details open><summary>[^<]*</summary>\s*<div class="wide dense" id="defined-', html)


def test_figures_are_described_in_words(html):
    figures = re.findall(r"<svg [^>]*>", html)
    assert len(figures) >= 5
    assert all('role="img"' in f and re.search(r'aria-label="[^"]{40,}"', f) for f in figures)


def test_no_patient_number_or_pseudonym_is_on_the_page(html, page):
    assert not re.search(r"\bP\d{7}\b", html + (page.parent / "numbers.json").read_text())
    assert not re.search(r"\b[0-9a-f]{24}\b", html)


def test_no_message_on_the_page_tells_a_count_of_few(html):
    text = re.sub(r"<[^>]+>", " ", html)
    assert re.findall(r"\b(?:only|at most) \d+ (?:courses|were)[^.]*", text) == []
    assert "fewer than 5 courses were seen" in text


def test_the_numbers_file_says_what_the_page_says(page):
    numbers = json.loads((page.parent / "numbers.json").read_text())
    frame = numbers["programmes"]["osteoarthritis"]["results"]["time_to_response"]["frame"]
    small = [r for r in frame if r["n"] is not None and 0 < r["n"] < numbers["smallest_cell"]]
    assert frame and small == []


def test_a_count_hidden_alone_takes_the_next_with_it():
    assert disclosure.shown([40, 3, 12, 0]) == ["40", "<5", "5 or more", "0"]
    assert disclosure.shown([40, 3, 2]) == ["5 or more", "<5", "<5"]
    assert disclosure.shown([4, 4, 0]) == ["few", "few", "0"] and disclosure.total([4, 4, 0]) == "fewer than 10"
    assert disclosure.shown([40, 12]) == ["40", "12"]


def test_a_share_never_gives_a_few_away():
    assert disclosure.share(40, 50) == "80 %"
    assert disclosure.share(48, 50) == "over 90 %"
    assert disclosure.share(2, 50) == "under 10 %"
    assert (disclosure.share(0, 50), disclosure.share(50, 50), disclosure.share(2, 4)) == ("0 %", "100 %", "suppressed")


def test_the_report_of_an_empty_registry_says_so(tmp_path):
    with Registry.create(tmp_path / "r.duckdb") as registry:
        text = write_report(registry, tmp_path / "out").read_text(encoding="utf-8")
    assert "no load yet" in text and ">0</b><span>patients" in text


in_a_browser = pytest.mark.skipif(chromium.PROGRAM is None, reason="headless Chromium is not installed")


@pytest.mark.browser
@in_a_browser
@pytest.mark.parametrize("width", [500, 800, 1280])
def test_nothing_runs_off_the_side_of_the_window(page, tmp_path, width):
    with chromium.page(tmp_path / "profile", width, 900) as browser:
        browser.call("Page.navigate", url=page.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # The links to the programmes take a second line where there is room for one.
        nav = "document.querySelector('nav')"
        assert browser.evaluate(f"innerWidth < 768 || {nav}.scrollWidth <= {nav}.clientWidth")
        # Nothing is complained of, and the page is all that is asked for.
        assert browser.wrong == [] and browser.requests == [page.as_uri()]


@pytest.mark.browser
@in_a_browser
@pytest.mark.parametrize("policy", [True, False])
def test_what_a_page_complains_of_and_asks_for_would_be_heard(html, tmp_path, policy):
    script = "<script>console.error('said'); console.warn('minded'); lost()</script>"
    text = html.replace("</footer>", f"</footer><img src='http://clinic.example/a.png'>{script}")
    file = tmp_path / "index.html"
    file.write_text(text if policy else re.sub("<meta http-equiv[^>]*>", "", text), encoding="utf-8")
    with chromium.page(tmp_path / "profile") as browser:
        browser.call("Page.navigate", url=file.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        heard = "\n".join(browser.wrong)
    assert browser.requests == [file.as_uri(), "http://clinic.example/a.png"]
    # The page's own policy refuses both, and says so; without it they are tried.
    tried = ("console error: said", "console warning: minded", "exception: ReferenceError", "NOT_RESOLVED")
    told = ("img-src", "script-src") if policy else tried
    assert len(browser.wrong) == len(told) and all(t in heard for t in told), heard


@pytest.mark.browser
@in_a_browser
@pytest.mark.parametrize("language", ["en", pytest.param("de", marks=pytest.mark.slow)])
def test_the_headline_numbers_are_seen_whole_at_every_width(pages, tmp_path, language):
    page = pages(language)
    box = "document.querySelector('.brief')"
    with chromium.page(tmp_path / "profile", 1280, 900) as browser:
        browser.call("Page.navigate", url=page.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        for width in (320, 400, 500, 575, 580, 650, 768, 800, 990, 1000, 1280):
            # A window is never narrower than 500, so the width is the page's own.
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
            )
            browser.wait_for(f"innerWidth === {width}", 10)
            assert browser.evaluate(f"{box}.scrollWidth <= {box}.clientWidth && {box}.clientWidth > 200"), width


@pytest.mark.browser
@in_a_browser
@pytest.mark.parametrize("width", [390, pytest.param(768, marks=pytest.mark.slow), 1280])
@pytest.mark.parametrize("language", ["en", "de"])
def test_axe_finds_no_barrier_for_readers_with_disabilities(pages, tmp_path, language, width):
    page = pages(language)
    axe = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text("utf-8")
    with chromium.page(tmp_path / "profile", 1280, 900) as browser:
        # A window is never narrower than 500, so the width is the page's own.
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.call("Page.navigate", url=page.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        assert browser.evaluate("document.documentElement.lang") == language
        assert browser.evaluate("innerWidth") == width
        assert (language == "en") == browser.evaluate("document.getElementById('changed') === null")
        browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        browser.evaluate(axe)
        found = browser.evaluate(
            "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
            ".then(r => ({wrong: r.violations.map(v => [v.id, v.nodes[0].html]), right: r.passes.length}))"
        )
        assert found["wrong"] == [] and found["right"] > 30
        # WCAG 2.2 wants 24 pixels for a finger; the rules above are of 2.1.
        low = "[...document.querySelectorAll('nav a')].filter(a => a.getBoundingClientRect().height < 24).length"
        assert browser.evaluate(low) == 0


@pytest.fixture
def browser(page, tmp_path):
    with chromium.page(tmp_path / "profile", 1100, 900) as opened:
        opened.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        opened.call("Page.navigate", url=page.as_uri())
        opened.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        yield opened
        assert opened.wrong == [] and opened.requests == [page.as_uri()]


@pytest.mark.browser
@in_a_browser
def test_the_contents_say_which_section_is_in_view(browser):
    for section in ("neurological", "quality"):
        browser.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        browser.wait_for(f"document.querySelector('nav [aria-current]')?.hash === '#{section}'", 10)
        assert browser.evaluate("document.querySelectorAll('[aria-current]').length") == 1
        # The contents stay in sight and hide no heading.
        box = "document.{}.getBoundingClientRect()"
        bar, head = box.format("querySelector('nav')"), box.format(f"getElementById('{section}')")
        assert browser.evaluate(f"{bar}.top === 0 && {head}.top >= {bar}.bottom")


@pytest.mark.browser
@in_a_browser
def test_a_link_to_a_definition_opens_it_in_view(browser):
    browser.evaluate("""document.querySelector('a[href="#defined-osteoarthritis-stages"]').click()""")
    box = "document.getElementById('defined-osteoarthritis-stages')"
    browser.wait_for(f"{box}.closest('details').open", 10)
    browser.wait_for(f"{box}.getBoundingClientRect().top >= 0 && {box}.getBoundingClientRect().top < innerHeight", 10)
    assert browser.evaluate("document.querySelectorAll('[id^=defined-]').length") > 30


@pytest.mark.browser
@in_a_browser
def test_a_column_sorts_by_key_down_up_and_as_it_was_with_what_is_hidden_last(browser):
    table = "document.querySelector('[aria-label=\\'Defects, table\\']')"
    numbers = f"[...{table}.querySelectorAll('tbody tr')].map(r => r.cells[1].textContent)"
    way = f"{table}.querySelector('th:nth-child(2)').getAttribute('aria-sort')"
    before = browser.evaluate(numbers)
    known = sorted(int(n.replace(",", "")) for n in before if n[0] != "<")
    browser.evaluate(f"{table}.querySelector('th:nth-child(1) button').focus()")
    browser.press("Tab")
    for said, order in (("descending", known[::-1]), ("ascending", known)):
        browser.press("Enter")
        told = browser.evaluate(numbers)
        assert browser.evaluate(way) == said and sorted(told) == sorted(before)
        assert [int(n.replace(",", "")) for n in told[: len(known)]] == order and len(known) > 2
    browser.press("Enter")
    assert browser.evaluate(way) is None and browser.evaluate(numbers) == before


@pytest.mark.browser
@in_a_browser
def test_a_table_is_copied_as_it_is_shown_and_hidden_cells_stay_hidden(browser, html):
    box = "document.querySelector('[aria-label=\\'In numbers, table\\']')"
    browser.evaluate(f"{box}.nextElementSibling.focus()")
    browser.press("Enter")
    browser.wait_for("document.querySelector('[role=status]').textContent === 'Copied'", 10)
    told = browser.evaluate("navigator.clipboard.readText()")
    # Pages of a server without encryption have no such clipboard: the older way gives the same.
    browser.evaluate("navigator.clipboard.writeText('').then(() => { navigator.clipboard.writeText = null; })")
    browser.press("Enter")
    assert browser.wait_for("navigator.clipboard.readText()", 10).replace("\r", "") == told.replace("\r", "")
    rows = told.splitlines()
    assert rows[0] == "Stage,Responded within 12 months,In response at 12 months,End of the target within 24 months"
    early = next(r for r in rows if r.startswith("Early,"))
    number = r"\d+ % \(\d+ to \d+ %; of \d+\)"
    assert re.fullmatch(rf"Early,{number},{number},(suppressed; of \d+|{number})", early)
    assert sum(r.count("suppressed") for r in rows) == re.search('In numbers, table">(.*?)</table>', html, re.DOTALL)[1].count("suppressed") > 0  # fmt: skip


@pytest.mark.browser
@in_a_browser
def test_without_its_script_the_page_has_the_same_words_and_no_dead_button(page, tmp_path):
    with chromium.page(tmp_path / "profile") as opened:
        opened.call("Emulation.setScriptExecutionDisabled", value=True)
        opened.call("Page.navigate", url=page.as_uri())
        opened.wait_for("document.readyState === 'complete' && document.querySelector('footer') !== null")
        bare = opened.evaluate(
            "document.querySelectorAll('button').length + ' ' + document.querySelectorAll('th').length"
        )
    assert bare == f"0 {page.read_text('utf-8').count('<th ')}"
