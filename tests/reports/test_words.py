"""The words of the report: one catalogue that is current and whole, nothing said past it, and German as one of its languages."""

import ast
import datetime as dt
import gettext
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pypdf
import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from earlier_report import earlier_report, with_edits

from registry import Registry
from registry.errors import UsageError
from reports.changed_section import changed_section
from reports.feed import feed, whole_of
from reports.locale.update import TEMPLATE, as_text, compiled, extracted
from reports.phrases import PHRASES
from reports.printed import write_pdf
from reports.publish import _fingerprint
from reports.sections import programmes, section_of
from reports.summary import render
from reports.words import DOMAIN, FOLDER, Words, languages, words_of

ROOT = Path(__file__).parents[2]
TRANSLATED = [language for language in languages() if language != "en"]


def catalogue(language: str):
    with (FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        return read_po(file, domain=DOMAIN, locale=language)


def forms(message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or [""])


def test_the_template_is_what_code_templates_and_catalogues_say():
    assert TEMPLATE.read_bytes() == as_text(extracted(), header=False), "run: make words"


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_language_has_every_message_with_the_same_places_and_tags(language):
    held = {(m.context, m.id): m for m in catalogue(language) if m.id}
    assert set(held) == {(m.context, m.id) for m in extracted() if m.id}
    for message in held.values():
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        for form in forms(message):
            assert form and not message.fuzzy, ids[0]
            if not message.context:
                for sign in (r"%\(\w+\)s", r"<[^>]+>|&\w+;", "%%"):
                    assert sorted(set(re.findall(sign, form))) == sorted(set(re.findall(sign, ids[-1]))), ids[0]


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_the_report_reads_is_made_from_the_translators_file(language):
    file = FOLDER / language / "LC_MESSAGES" / f"{DOMAIN}.po"
    kept, made = (gettext.GNUTranslations(io.BytesIO(b))._catalog for b in (file.with_suffix(".mo").read_bytes(), compiled(file)))  # fmt: skip
    assert {**kept, "": ""} == {**made, "": ""}, "run: make words"


def said_by_the_code() -> tuple[str, list[re.Pattern]]:
    """All text of code and catalogues, and its texts with fields in them as patterns, a sentence part each."""
    files = [*ROOT.glob("analysis/**/*.py"), *ROOT.glob("registry/**/*.py"), *ROOT.glob("reports/*.py")]
    nodes = [n for f in files if f.name != "phrases.py" for n in ast.walk(ast.parse(f.read_text("utf-8")))]
    texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    others = [
        *ROOT.glob("sql/**/*.sql"),
        *ROOT.glob("registry/catalogue/*.csv"),
        *ROOT.glob("reports/templates/*.html"),
    ]
    filled = ["".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in n.values) for n in nodes if isinstance(n, ast.JoinedStr)]  # fmt: skip
    parts = {
        p.strip().removeprefix("\0 ")
        for text in filled
        for p in re.split("[:;,.()]", plain(text))
        if len(p.strip("\0 ")) > 5
    }
    whole = "\n".join([*texts, *(f.read_text("utf-8") for f in others)])
    return plain(whole), [re.compile(re.escape(p).replace("\0", ".*")) for p in parts]


def plain(text: str) -> str:
    return text.replace("_", " ").lower()


def test_every_phrase_is_still_said_by_an_analysis_or_a_catalogue():
    whole, patterns = said_by_the_code()
    # Counts of few are put into words on their way to the page.
    known = lambda part: part in whole or any(p.fullmatch(part) for p in patterns)  # noqa: E731
    gone = []
    for phrase in PHRASES:
        fixed = re.sub(r"fewer than (?=%)|(?<=s) or more", "", plain(phrase).replace("%%", "%"))
        for part in (p.strip() for piece in re.split(r"%\(\w+\)s", fixed) for p in re.split("[:;,.()]", piece)):
            # An analysis may put three words together from several texts, never a sentence.
            if not known(part) and not (len(part.split()) < 4 and all(w in whole for w in part.split())):
                gone.append((phrase, part))
    assert gone == []


def pseudo() -> Words:
    """A language whose every message is in marks, tag by tag, so that what is said past the catalogue has none."""

    def marked(text: str) -> str:
        return "".join(part if re.fullmatch(r"<[^>]+>|&nbsp;", part) else f"⟦{part}⟧" for part in re.split(r"(<[^>]+>|&nbsp;)", text) if part)  # fmt: skip

    with TEMPLATE.open("rb") as file:
        held = read_po(file, domain=DOMAIN, locale="de")
    for message in held:
        if message.id and not message.context:
            message.string = marked(message.id) if isinstance(message.id, str) else tuple(map(marked, message.id))
    written = io.BytesIO()
    write_mo(written, held)
    return Words("x-marked", gettext.GNUTranslations(io.BytesIO(written.getvalue())))


class Unmarked(HTMLParser):
    """Collects what a page says outside marks: no English parts, no data values, no styles."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.skipping, self.found, self.depth = [], [], 0

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        outside = given.get("lang") == "en" or given.get("translate") == "no" or tag in ("style", "script", "metadata")
        if tag not in ("meta", "br", "path", "use", "rect"):
            self.skipping.append(outside or bool(self.skipping and self.skipping[-1]))
        if not any(self.skipping) and "aria-label" in given:
            self.handle_data(given["aria-label"])

    def handle_endtag(self, tag):
        if tag not in ("meta", "br", "path", "use", "rect"):
            self.skipping.pop()

    def handle_data(self, data):
        if any(self.skipping):
            return
        # A message may hold English parts and values in elements of their own: its marks are then in several texts.
        for part in re.split("([⟦⟧])", data):
            self.depth += {"⟦": 1, "⟧": -1}.get(part, 0)
            if self.depth == 0 and re.search(r"[^\W\d_]", re.sub(r"\de[-+]\d|\[c\]", "", part)):
                self.found.append(" ".join(data.split()))


def pages(file: Path, some: tuple[str, ...]) -> dict[str, str]:
    """The report of some programmes in German and in marks, and the fingerprints by which it is published."""
    with Registry.open(file) as registry:
        sections, whole = (
            [section_of(registry, *row) for row in programmes(registry) if row[0] in some],
            whole_of(registry),
        )
        now = feed(registry, sections, whole)
        before, now, made = earlier_report(now), with_edits(now), {}
        for words in (words_of("de"), pseudo()):
            since = changed_section(before, now, words)
            made[words.language] = render(registry, sections, since, "ZRH", words, whole)
        return made | {f"mark {language}": _fingerprint(registry, False, language) for language in languages()}


@pytest.fixture(scope="module")
def told(synthetic_file):
    return pages(synthetic_file, ("osteoarthritis", "transplant", "wellness"))


def past_the_catalogue(html: str) -> set[str]:
    page = Unmarked()
    page.feed(html)
    assert page.skipping == [] and page.depth == 0
    return set(page.found)


def test_nothing_on_the_page_is_said_past_the_catalogue(told):
    assert past_the_catalogue(told["x-marked"]) == set()
    assert past_the_catalogue(told["x-marked"].replace("⟦Safety⟧", "Safety")) == {"Safety"}


@pytest.mark.slow
def test_nor_is_anything_of_the_other_programmes(synthetic_file):
    others = pages(synthetic_file, ("tendon", "systemic", "neurological"))
    assert past_the_catalogue(others["x-marked"]) == set() and english_in(others["de"]) == []


def english_in(html: str) -> list[str]:
    """What is left in English but where thresholds come from, rows of the catalogues, and what numerics say of a fit."""
    page = re.sub(r'id="defined-.*?</table>', "", html, flags=re.DOTALL)
    said = re.findall(r'<span lang="en">(.*?)</span>', page)
    return [text for text in said if not re.search(r"\d{4}|handbook|verify|programmes|Degenerate", text)]


def test_the_german_page_is_german_with_its_numbers_and_english_is_marked(told):
    html = told["de"]
    assert '<html lang="de">' in html and "<h1>Ergebnisse nach regenerativer Behandlung: Zentrum ZRH</h1>" in html
    for words in ("Verlust des Ansprechens", "Vollständigkeit der Katamnese", "Gelenkersatz", "nicht ausgewiesen"):
        assert words in html
    assert re.search(r"<td>\d+,\d<span class=\"ci\">-?\d+,\d bis \d+,\d</span>", html)
    assert re.search(r"Datenstand: \d\d\.\d\d\.\d{4} ", html) and not re.search(r"\d\.\d+ bis", html)
    assert html.count('<span lang="en">') > 3 and english_in(html) == []
    assert '<th scope="row" lang="en">course without stage</th>' in html


def test_the_german_pdf_says_that_it_is_german_and_which_runs_are_not(told):
    reader = pypdf.PdfReader(io.BytesIO(write_pdf(told["de"], when=dt.date(2025, 1, 1), mark="m")))
    root = reader.trailer["/Root"]
    assert root["/Lang"] == "de" and "Inhalt" in reader.pages[0].extract_text() + reader.pages[1].extract_text()
    tongues, todo = set(), [root["/StructTreeRoot"]]
    while todo:
        node = todo.pop().get_object()
        if isinstance(node, dict):
            tongues.add(node.get("/Lang"))
            kids = node.get("/K", [])
            todo += [k for k in (kids if isinstance(kids, list) else [kids]) if not isinstance(k, int)]
    assert "en" in tongues


def test_another_language_is_another_report(told):
    assert told["mark de"] != told["mark en"]


def test_a_language_that_is_not_there_is_refused_with_the_list():
    with pytest.raises(UsageError, match=r"Language 'xx' is not known\. Allowed: en, de"):
        words_of("xx")


def test_numbers_and_days_are_written_as_in_the_language():
    en, de = words_of("en"), words_of("de")
    assert [w.number(-1234.56) for w in (en, de)] == ["-1,234.6", "-1.234,6"]
    assert [w.text("62.0 [55.0, 1,069.5]") for w in (en, de)] == ["62.0 [55.0, 1,069.5]", "62,0 [55,0; 1.069,5]"]
    assert [w.date("2025-03-01") for w in (en, de)] == ["2025-03-01", "01.03.2025"]
    assert [w.count(3) for w in (en, de)] == ["<5", "<5"] and de.percent(0.054) == "5 %"


@pytest.mark.parametrize(
    ("text", "german"),
    [
        ("suppressed: fewer than 5", "nicht ausgewiesen: weniger als 5"),
        ("fewer than 5 courses have a baseline and no score at any of these visits.",
         "weniger als 5 Verläufe haben einen Ausgangswert, aber an keiner dieser Visiten einen Messwert."),
        ("Early: never seen and left out of the model: response lost → in response, no response yet → dead",
         "Früh: nie beobachtet und daher nicht im Modell: Ansprechen verloren → im Ansprechen, noch kein Ansprechen → verstorben"),
        ("KOOS pain", "KOOS Schmerz"),
        ("Cumulative incidence of response over 24 months. At its end: Early 74 % at 6 months, Moderate not shown.",
         "Kumulative Inzidenz (Ansprechen) über 24 Monate. Am Ende: Früh 74 % nach 6 Monaten, Mittelgradig nicht ausgewiesen."),
        ("Mean change from baseline in pain over 2 planned visits, in points of 100, positive is improvement. At the last visit "
         "with enough courses: Early 16.2 (11.3 to 21.1) at 12 months; Moderate 11.4 (6.0 to 16.8) at 24 months.",
         "Mittlere Veränderung gegenüber dem Ausgangswert (Schmerz) über 2 geplante Visiten, Punkte von 100, positiv ist eine "
         "Besserung. An der letzten Visite mit genügend Verläufen: Früh 16,2 (11,3 bis 21,1), Visite „12 Monate“; Mittelgradig "
         "11,4 (6,0 bis 16,8), Visite „24 Monate“."),
        ("DASH", "DASH"),
        ("a <new> sentence & no word of it", '<span lang="en">a &lt;new&gt; sentence &amp; no word of it</span>'),
        ("Thresholds of X-1 are not verified against their source: a, b & c.",
         'Die Schwellenwerte von <span translate="no">X-1</span> sind nicht an ihrer Quelle geprüft: <span lang="en">a, b &amp; c</span>.'),
    ],
)  # fmt: skip
def test_what_an_analysis_says_is_found_whole_or_by_its_pattern_and_else_marked(text, german):
    assert str(words_of("de").said(text)) == german
    assert str(words_of("en").said("a < b")) == "a &lt; b"
