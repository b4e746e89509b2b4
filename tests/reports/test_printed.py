"""The report as a PDF: text of the data stays text, the standards are claimed and kept, the same bytes again."""

import datetime as dt
import io
import re
from html import escape

import pypdf
import pytest

from reports.printed import blocks, write_pdf

DAY = dt.date(2025, 3, 1)
NASTY = ['#import "x": *', "*x*", "_y_", "$a$", "<label>", "@ref", r"\u{41}", "// gone", "/* gone */", "= no heading",
         "#read(\"/etc/passwd\")", "[b]", "`code`", "~", "--- x", "https://x.example"]  # fmt: skip
SVG = '<svg role="img" aria-label="A line that rises from {0} to {1}." viewBox="0 0 10 10"><path d="M0 10L10 0" stroke="#000"/></svg>'


def page(body: str, title: str = "A report") -> str:
    return f'<!doctype html>\n<html lang="en"><head><title>t</title></head><body><h1>{title}</h1>{body}</body></html>'


def made(html: str) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(write_pdf(html, when=DAY, mark="record abc")))


def text(reader: pypdf.PdfReader) -> str:
    return re.sub(r"\s+", " ", " ".join(p.extract_text() for p in reader.pages))


@pytest.mark.parametrize("place", ["<p>{}</p>", "<h2>{}</h2>", "<table><tr><td>{}</td></tr></table>",
                                   '<div class="held"><b>{}</b></div>', "<dl><dt>a</dt><dd>{}</dd></dl>"])  # fmt: skip
def test_a_name_in_the_data_that_looks_like_a_command_comes_out_as_text(place):
    found = text(made(page("".join(place.format(escape(n)) for n in NASTY), title=escape(NASTY[0]))))
    for name in NASTY:
        assert name in found


def test_it_says_that_it_is_an_archive_and_can_be_read_aloud():
    reader = made(page("<h2>One</h2><figure>" + SVG.format(1, 2) + "<figcaption>c</figcaption></figure>"))
    root, xmp = reader.trailer["/Root"], reader.trailer["/Root"]["/Metadata"].get_data().decode()
    for claim in ("<pdfaid:part>2<", "<pdfaid:conformance>A<", "<pdfuaid:part>1<"):
        assert claim in xmp
    assert root["/MarkInfo"]["/Marked"] and root["/Lang"] == "en-GB" and root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata.title == "A report" and reader.metadata.creation_date.date() == DAY
    assert [entry.title for entry in reader.outline] == ["One"]
    assert b"A line that rises from 1 to 2." in b"".join(
        str(o.get_object().get("/Alt", "")).encode() for o in _structure(root["/StructTreeRoot"])
    )


def _structure(node):
    kids = node.get("/K", [])
    for kid in kids if isinstance(kids, list) else [kids]:
        found = kid.get_object() if hasattr(kid, "get_object") else kid
        if isinstance(found, dict):
            yield found
            yield from _structure(found)


def test_it_is_tagged_as_what_it_is():
    html = page("<h2>One</h2><h3>Two</h3><p>words</p><ul><li>a</li></ul><figure>" + SVG.format(1, 2)
                + "<figcaption>c</figcaption></figure><table><thead><tr><th>h</th></tr></thead><tr><td>d</td></tr></table>")  # fmt: skip
    tags = [str(node.get("/S")) for node in _structure(made(html).trailer["/Root"]["/StructTreeRoot"])]
    for tag in ("/H1", "/H2", "/P", "/L", "/LI", "/Figure", "/Caption", "/Table", "/TH", "/TD"):
        assert tag in tags, tag
    assert tags.index("/H1") < tags.index("/H2") < tags.index("/Figure") < tags.index("/Table")


def test_every_font_is_in_the_file_and_nothing_in_it_runs_or_calls():
    reader = made(page("<h2>One</h2><p>Two <b>three</b></p>"))
    for sheet in reader.pages:
        for font in sheet["/Resources"]["/Font"].values():
            (inner,) = font.get_object()["/DescendantFonts"]
            described = inner.get_object()["/FontDescriptor"].get_object()
            assert {"/FontFile2", "/FontFile3"} & set(described)
    assert not {"/JavaScript", "/OpenAction", "/AA"} & set(reader.trailer["/Root"])


def test_the_same_page_gives_the_same_bytes_and_another_word_others():
    one, again, other = (
        write_pdf(page(f"<p>{w}</p>"), when=DAY, mark="record abc") for w in ("word", "word", "another")
    )
    assert one == again != other


def test_what_is_for_the_screen_alone_is_left_out_and_the_rest_keeps_its_order():
    html = page(
        '<a class="skip" href="#c">To the content</a><p class="soft">Data <span class="screen">written now </span>hidden</p>'
        "<nav>links</nav><h2>One</h2><div><p>loose</p> text <b>bold</b></div><details><summary>More</summary><p>in it</p></details>"
    )
    told = [(b["kind"], "".join(r["text"] for r in b.get("text", []))) for b in blocks(html)]
    assert told == [("h1", "A report"), ("soft", "Data hidden"), ("contents", ""), ("h2", "One"), ("text", "loose"),
                    ("text", "text bold"), ("summary", "More"), ("text", "in it")]  # fmt: skip


def table(head: str, rows: list[str]) -> str:
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def test_a_link_leads_to_its_page_and_paper_says_which_one():
    html = page('<nav data-page="sheet {}"></nav><p>See <a href="#there">the <b>rule</b></a>, <a href="#gone">no more</a>.</p>'
                '<h2>One</h2><h2>Two</h2><details><summary>Rule</summary><div id="there">' + table("<th>h</th>", ["<tr><td>d</td></tr>"])
                + "</div></details>")  # fmt: skip
    reader = made(html)
    assert "See the rule, sheet 3, no more." in text(reader)
    links = [a.get_object() for a in reader.pages[0]["/Annots"] if a.get_object()["/Subtype"] == "/Link"]
    leads = [a["/Dest"].get_object()[0].get_object() for a in links if a["/Contents"] == "page 3"]
    assert leads == [reader.pages[2].get_object()] * 2
    assert all(a["/Contents"] for a in links)


def test_the_levels_of_a_characteristic_stay_with_its_name_on_one_page():
    groups = [f'<tr class="group"><td>group {g}.</td><td>1</td><td>0.1</td></tr>' + "".join(
        f'<tr class="level"><td>level {g}.{n}</td><td>1</td><td></td></tr>' for n in range(7)) for g in range(20)]  # fmt: skip
    reader = made(page(table("<th>Name</th><th>n</th><th>SMD</th>", groups)))
    pages = [re.sub(r"\s+", " ", p.extract_text()) for p in reader.pages]
    assert len(pages) > 2
    for g in range(20):
        (at,) = (p for p in pages if f"group {g}." in p)
        assert all(f"level {g}.{n}" in at for n in range(7))


def test_what_leads_to_a_figure_stays_with_it():
    lead = "<h3>Its heading</h3><p>First.</p><p class='soft'>Second.</p><p>Third.</p>".replace("'", '"')
    figure = (
        "<figure>" + SVG.format(1, 2).replace("0 0 10 10", "0 0 10 9") + "<figcaption>Its caption</figcaption></figure>"
    )
    for filler in range(30, 44, 2):
        pages = [p.extract_text() for p in made(page("<h2>One</h2>" + "<p>line</p>" * filler + lead + figure)).pages]
        assert [("Its heading" in p, "First" in p, "Second" in p) for p in pages] == [
            ("Its caption" in p,) * 3 for p in pages
        ]


def test_no_word_of_a_wide_table_is_broken_and_headings_do_not_touch():
    heads = ["Domain", "Scale", "Meaning", "Unit", "Lowest", "Highest", "Direction", "Source", "Verified"]
    row = ["biomarker", "WOMAC-LK3.1-function", "High-sensitivity C-reactive protein in serum", "pg/mL", "0", "100000",
           "higher better", "Nikolelis 2003 BMC Musculoskelet Disord 4:10, same formula as KOOS", "yes"]  # fmt: skip
    cells = "".join(f'<td class="text">{c}</td>' for c in row)
    (sheet,) = made(page(table("".join(f'<th class="text">{h}</th>' for h in heads), [f"<tr>{cells}</tr>"]))).pages
    words = sheet.extract_text().split()
    assert {"WOMAC-LK3.1-function", "pg/mL", "100000", "Musculoskelet", "biomarker"} <= set(words)
    assert [w for w in words if w in heads] == heads


def test_a_long_table_repeats_its_head_on_every_page():
    rows = "".join(f"<tr><td>row {i}</td><td>{i}</td></tr>" for i in range(200))
    reader = made(
        page(f"<table><thead><tr><th>Name of it</th><th>Number</th></tr></thead><tbody>{rows}</tbody></table>")
    )
    assert len(reader.pages) > 2
    assert all("Name of it" in p.extract_text() for p in reader.pages)
    assert "1 / " in text(reader) and "record abc" in reader.pages[-1].extract_text()
