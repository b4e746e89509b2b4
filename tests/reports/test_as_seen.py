"""The report as it is seen: the PDF's pages as pictures, its standards by a checker that is not ours, its words as kept."""

import base64
import datetime as dt
import io
import re
from collections import Counter
from pathlib import Path

import chromium
import kept_words
import numpy as np
import pdf_pages
import pypdf
import pytest
from earlier_report import earlier_report, with_edits
from pdf_pages import BOTTOM, EDGE, FOOT, LEFT, TOP

from registry import Registry
from reports.changed_section import changed_section
from reports.feed import feed, whole_of
from reports.printed import _with_figures, write_pdf
from reports.sections import programmes, section_of
from reports.summary import render
from reports.words import words_of

LANGUAGES = ("en", "de")
ALL = pytest.param("all", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["some", ALL])
def reports(request, synthetic_file):
    """Page and PDF in each language, after a report before: of two programmes, one judged and one not; the slow run has all six."""
    made = {}
    with Registry.open(synthetic_file) as registry:
        rows = [r for r in programmes(registry) if request.param == "all" or r[0] in ("osteoarthritis", "wellness")]
        sections = [section_of(registry, *row) for row in rows]
        whole = whole_of(registry)
        now = with_edits(feed(registry, sections, whole))
        for words in map(words_of, LANGUAGES):
            since, language = changed_section(earlier_report(now), now, words), words.language
            html = render(registry, sections, since, None, words, whole)
            made[language] = html, write_pdf(html, when=dt.date(2025, 1, 1), mark="record abc")
    return made


@pytest.fixture(params=LANGUAGES)
def report(request, reports):
    return reports[request.param]


@pytest.fixture
def pdf(report):
    return report[1]


@pytest.fixture
def sheets(pdf):
    return pdf_pages.sheets(pdf)


def test_no_page_is_empty(sheets):
    assert len(sheets) > 8
    for number, sheet in enumerate(sheets, 1):
        assert sheet.ink[: -round(BOTTOM)].any(axis=1).sum() > 40, number
        assert len(sheet.body()) > 3, number


def test_nothing_is_in_the_margins_and_nothing_is_cut_at_them(sheets):
    for number, sheet in enumerate(sheets, 1):
        high, wide = sheet.ink.shape
        bare = sheet.ink.copy()
        bare[round(TOP - EDGE) : round(high - FOOT), round(LEFT - EDGE) : round(wide - LEFT + EDGE)] = False
        assert not bare.any(), number
        # What runs off the paper leaves no ink: where its text stands says so.
        for left, bottom, right, top, text in sheet.texts:
            inside = left > LEFT - EDGE and right < wide - LEFT + EDGE and bottom > FOOT and top < high - TOP + EDGE
            assert inside, (number, text)


def test_no_text_lies_on_another(sheets):
    for number, sheet in enumerate(sheets, 1):
        box = np.array([t[:4] for t in sheet.texts])
        over = [np.minimum(box[:, None, i + 2], box[None, :, i + 2]) - np.maximum(box[:, None, i], box[None, :, i])
                for i in (0, 1)]  # fmt: skip
        pairs = np.argwhere(np.triu((over[0] > 1) & (over[1] > 1), k=1))
        assert [(sheet.texts[i][4], sheet.texts[j][4]) for i, j in pairs] == [], number


def test_every_figure_is_whole_on_its_page_in_ink_and_colour(report, sheets):
    html, pdf = report
    pages = pypdf.PdfReader(io.BytesIO(pdf)).pages
    numbers = {p.indirect_reference.idnum: i for i, p in enumerate(pages)}
    figures = [t for t in pdf_pages.tags(pdf) if t["/S"] == "/Figure"]
    assert len(figures) == html.count("<svg ") > 2
    for figure in figures:
        left, bottom, right, top = (float(x) for x in figure["/A"][0]["/BBox"])
        assert LEFT < left < right < 596 - LEFT and BOTTOM < bottom < top < 842 - TOP + EDGE and right - left > 300
        seen = sheets[numbers[figure.raw_get("/Pg").idnum]].box(left, bottom, right, top).astype(int)
        assert (seen.min(axis=2) < 250).mean() > 0.02
        assert (np.ptp(seen, axis=2) > 40).sum() > 50
        assert len(figure["/Alt"]) > 40 and ": ." not in figure["/Alt"]


def test_no_heading_stands_alone_at_the_foot_of_a_page(pdf, sheets):
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    entries = [e for entry in reader.outline for e in (entry if isinstance(entry, list) else [entry])]
    assert len(entries) > 15
    for entry in entries:
        below = [
            t for t in sheets[reader.get_destination_page_number(entry)].body() if t[3] < float(entry["/Top"]) - 16
        ]
        assert below, entry.title


def test_it_breaks_no_rule_of_pdf_a_2a_and_pdf_ua_1_that_the_checker_knows(pdf):
    assert pdf_pages.failures(pdf, "2a") == [] and pdf_pages.failures(pdf, "ua1") == []


def test_the_checker_of_standards_sees_a_figure_without_words_and_a_font_that_is_missing(reports):
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(reports["en"][1]))
    for held in (o.get_object() for o in writer._objects if o is not None):
        if isinstance(held, dict) and held.get("/S") == "/Figure":
            held.pop("/Alt", None)
        if isinstance(held, dict):
            held.pop("/FontFile3", None)
    broken = io.BytesIO()
    writer.write(broken)
    assert "PDFUA1-FIGURE-ALTERNATIVE-TEXT-001" in pdf_pages.failures(broken.getvalue(), "ua1")
    assert "PDFA2A-FONT-EMBEDDING-001" in pdf_pages.failures(broken.getvalue(), "2a")
    wrong = re.sub(rb"/Length (\d+)1/", rb"/Length \g<1>2/", reports["en"][1], count=1)
    assert wrong != reports["en"][1] and pdf_pages.failures(wrong, "2a") != []


def test_tags_say_what_no_rule_asks_for(report):
    html, pdf = report
    found, root = list(pdf_pages.tags(pdf)), pypdf.PdfReader(io.BytesIO(pdf)).trailer["/Root"]
    headings = [t for t in found if t["/S"] in ("/H1", "/H2")]
    told = [b for b in _with_figures(html) if b["kind"] in ("h2", "h3")]
    assert [t["/S"] for t in headings] == ["/H1" if b["kind"] == "h2" else "/H2" for b in told]
    scopes = [a["/Scope"] for t in found if t["/S"] == "/TH" for a in t["/A"] if "/Scope" in a]
    assert len(scopes) == sum(t["/S"] == "/TH" for t in found) > 50 and set(scopes) == {"/Column"}
    # Read aloud, the pages come in their order.
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    order = {p.indirect_reference.idnum: i for i, p in enumerate(reader.pages)}
    pages = [order[t.raw_get("/Pg").idnum] for t in found if "/Pg" in t and t["/S"] in ("/H1", "/H2", "/P", "/Figure")]
    assert pages == sorted(pages) and max(pages) == len(order) - 1
    assert root["/OutputIntents"][0]["/S"] == "/GTS_PDFA1" and not {"/AcroForm", "/AF", "/Encrypt"} & set(root)
    assert b"/URI" not in pdf and b"/EmbeddedFile" not in pdf and b"/JavaScript" not in pdf


def test_paper_has_the_words_of_the_page(report):
    html, pdf = report
    split = re.compile(r"[^\W\d_]+")
    said = Counter(split.findall(pdf_pages.words(pdf)))
    told = Counter()
    for block in _with_figures(html):
        for text in _texts(block):
            told.update(split.findall(text))
    assert sum(told.values()) > 2000 and told - said == Counter()


def _texts(held):
    """The texts of a block: those of its runs, and the heading of the contents."""
    if isinstance(held, dict) and "role" in held:
        return [] if held["role"] == "swatch" else [held["text"]]
    inner = [v for k, v in held.items() if k not in ("svg", "alt")] if isinstance(held, dict) else held
    return [t for v in inner for t in _texts(v)] if isinstance(inner, list) else []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_report_says_what_it_said(reports, language, request):
    if "all" in request.node.callspec.id:
        pytest.skip("the words of two programmes are kept")
    changed = kept_words.differences(
        kept_words.lines(reports[language][0]), Path(__file__).parent / f"words_kept_{language}.txt"
    )
    assert not changed, f"{changed}\n\nIf that is meant: KEEP_WORDS=1 .venv/bin/python -m pytest {__file__} -k said"


@pytest.mark.browser
@pytest.mark.skipif(chromium.PROGRAM is None, reason="headless Chromium is not installed")
def test_on_a_telephone_names_of_rows_stay_in_sight_and_numbers_stand_below_their_words(reports, tmp_path):
    file = tmp_path / "index.html"
    file.write_text(reports["de"][0], encoding="utf-8")
    with chromium.page(tmp_path / "profile", 500, 900) as browser:
        browser.call("Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=False)
        browser.call("Page.navigate", url=file.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        moved = """[...document.querySelectorAll('.wide:not(.brief)')].filter(w => w.scrollWidth > w.clientWidth + 60).map(w => {
            const first = w.querySelector('tbody tr').cells[0], at = first.getBoundingClientRect().left;
            w.scrollLeft = 50; return [w.scrollLeft, first.getBoundingClientRect().left - at]; })"""
        found = browser.evaluate(moved)
        assert len(found) > 3 and all(scrolled == 50 and abs(by) < 2 for scrolled, by in found)
        lines = "[...document.querySelectorAll('.brief tr.level td[data-head]')].map(c => c.offsetHeight)"
        # A line of words and one of numbers; a long reason instead of a number may take more.
        high = Counter(browser.evaluate(lines))
        assert min(high) < 45 and max(high) < 90 and high[min(high)] > 0.8 * high.total()


@pytest.mark.browser
@pytest.mark.skipif(chromium.PROGRAM is None, reason="headless Chromium is not installed")
@pytest.mark.parametrize("width", [500, 800, 1280])
def test_the_contents_mark_the_section_that_was_chosen_also_where_they_are_of_one_line(report, tmp_path, width):
    file = tmp_path / "index.html"
    file.write_text(report[0], encoding="utf-8")
    with chromium.page(tmp_path / "profile", width, 900) as browser:
        browser.call("Page.navigate", url=file.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        links = browser.evaluate("[...document.querySelectorAll('nav a')].map(a => [a.hash, a.offsetTop])")
        assert len(links) > 4 or len({top for _, top in links}) == 1
        for link, _ in links:
            browser.evaluate(f"document.querySelector('nav [href=\"{link}\"]').click()")
            browser.wait_for(f"document.querySelector('nav [aria-current]')?.hash === '{link}'", 10)
            assert browser.evaluate("document.querySelectorAll('[aria-current]').length") == 1
        assert browser.wrong == [] and browser.requests == [file.as_uri()]


@pytest.mark.browser
@pytest.mark.skipif(chromium.PROGRAM is None, reason="headless Chromium is not installed")
@pytest.mark.parametrize("high", [900, 7000, 60000])
def test_in_a_window_of_any_height_the_section_that_is_read_is_marked(reports, tmp_path, high):
    file = tmp_path / "index.html"
    file.write_text(reports["en"][0], encoding="utf-8")
    marked = "document.querySelector('nav [aria-current]')?.hash ?? null"
    with chromium.page(tmp_path / "profile", 1280, 900) as browser:
        browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=high, deviceScaleFactor=1, mobile=False)
        browser.call("Page.navigate", url=file.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('.copy') !== null")
        browser.wait_for(f"innerHeight === {high}", 10)
        last = browser.evaluate("document.documentElement.scrollHeight - innerHeight")
        assert (last == 0) == (high == 60000)
        # Who only scrolls, passes every section in turn: none is left out, and none comes twice.
        seen = []
        for step in range(61 if last else 1):
            browser.evaluate(f"scrollTo(0, {last} * {step} / 60)")
            browser.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
            seen.append(browser.evaluate(marked))
        order = [link for i, link in enumerate(seen) if link and link not in seen[:i]]
        links = browser.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash)")
        assert order == (links if last else []) and seen == sorted(seen, key=lambda h: links.index(h) if h else -1)
        # Who chose one reads that one, wherever the page could stop.
        for link in [*links, *reversed(links)]:
            browser.evaluate(f"document.querySelector('nav [href=\"{link}\"]').click()")
            browser.wait_for(f"{marked} === '{link}'", 10)
            browser.evaluate("new Promise(r => setTimeout(() => requestAnimationFrame(r), 40))")
            assert browser.evaluate(marked) == link


@pytest.mark.browser
@pytest.mark.skipif(chromium.PROGRAM is None, reason="headless Chromium is not installed")
def test_the_boxes_of_counts_fill_their_rows_at_every_width(reports, tmp_path):
    file = tmp_path / "index.html"
    file.write_text(reports["en"][0], encoding="utf-8")
    with chromium.page(tmp_path / "profile", 1280, 900) as browser:
        browser.call("Page.navigate", url=file.as_uri())
        browser.wait_for("document.readyState === 'complete'")
        for width, across in ((390, 2), (768, 3), (1280, 6)):
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
            )
            browser.wait_for(f"innerWidth === {width}", 10)
            tops = browser.evaluate("[...document.querySelectorAll('.card')].map(c => c.getBoundingClientRect().top)")
            assert set(Counter(tops).values()) == {across}, width


@pytest.mark.browser
@pytest.mark.skipif(chromium.PROGRAM is None, reason="headless Chromium is not installed")
def test_the_page_printed_from_a_browser_has_its_definitions_and_no_heading_without_what_follows(reports, tmp_path):
    file = tmp_path / "index.html"
    file.write_text(reports["en"][0], encoding="utf-8")
    with chromium.page(tmp_path / "profile", 1280, 900) as browser:
        browser.call("Page.navigate", url=file.as_uri())
        browser.wait_for("document.readyState === 'complete'")
        headings = set(browser.evaluate("[...document.querySelectorAll('h2, h3, summary')].map(h => h.innerText)"))
        printed = base64.b64decode(browser.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
    pages = pdf_pages.sheets(printed)
    assert len(pages) > 8 and len(headings) > 20
    # Closed on the screen, open on paper.
    assert "Kellgren & Lawrence 1957" in " ".join(pdf_pages.words(printed).split())
    for number, sheet in enumerate(pages, 1):
        last = sheet.said.strip().splitlines()[-1].strip(" ▸▾•")
        assert last not in headings, (number, last)
        assert max(t[2] for t in sheet.texts) < sheet.ink.shape[1] - 20
    # The first page is a page: what to read first, and all headline numbers.
    assert "Read this first" in pages[0].said and "Bone-on-bone" in pages[0].said
