"""Tables for Word: one document of real tables, each on its own page, and the same bytes again."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docx import Document
from docx.enum.section import WD_ORIENT, WD_SECTION
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Emu, Mm, Pt, RGBColor

from reports.tables import Table, heading, is_suppressed

if TYPE_CHECKING:
    from docx.document import Document as DocumentObject
    from docx.section import Section
    from docx.styles.style import ParagraphStyle
    from docx.table import Table as WordTable
    from docx.table import _Cell
    from docx.text.paragraph import Paragraph

_PAPER = (Mm(210), Mm(297))
_MARGIN = Mm(20)
# Text of this many characters fits across an upright page at the size of the tables.
_UPRIGHT = 112
_INK = RGBColor(0x1C, 0x24, 0x30)
SUPPRESSED = "Suppressed"
NOTE, TEXT, NARROW = "Table note", "Table text", "Table text, narrow"
# Width of a character, in English Metric Units, from which the larger type fits.
_ROOMY = int(Mm(1.45))


def write_tables(path: Path, title: str, tables: Sequence[Table], when: dt.date | None) -> None:
    """Write tables into one document, with captions that Word counts, and header rows that repeat on every page.

    A table that needs the width has a page of its own across. The bytes depend on what is said and on nothing else.

    Parameters
    ----------
    path
        The document, ending in docx.
    title
        Of the document; it stands in its properties and at the foot of every page.
    tables
        In order. A text of a first column that repeats the one above is left blank.
    when
        The day that the document gives as its own: the data cut.
    """
    document = Document()
    _properties(document, title, when)
    _styles(document)
    for i, table in enumerate(tables):
        section = document.sections[0] if i == 0 else document.add_section(WD_SECTION.NEW_PAGE)
        width = _page(section, across=sum(_widths(table)) > _UPRIGHT)
        if i == 0:
            _foot(section.footer.paragraphs[0], title)
        _caption(document, table)
        _table(document, table, width)
        for k, note in enumerate(table.footnotes):
            document.add_paragraph(note, style=NOTE).paragraph_format.space_before = Pt(0 if k else 4)
    buffer = io.BytesIO()
    document.save(buffer)
    path.write_bytes(_same_bytes(buffer))


def _properties(document: DocumentObject, title: str, when: dt.date | None) -> None:
    core = document.core_properties
    day = dt.datetime.combine(when or dt.date(2000, 1, 1), dt.time())
    core.title, core.author, core.last_modified_by, core.comments = title, "Catamnesis", "Catamnesis", ""
    core.created = core.modified = day
    core.language, core.revision = "en-GB", 1
    # The template of the library brings a picture of an empty page.
    parts = document.part.package.rels
    for key in [k for k, r in parts.items() if r.reltype.endswith("/thumbnail")]:
        del parts[key]


def _styles(document: DocumentObject) -> None:
    styles: Any = document.styles
    _font(styles["Normal"], 10, _INK)
    _font(styles["Caption"], 10, _INK)
    styles["Caption"].font.bold = False
    styles["Caption"].paragraph_format.space_after = Pt(5)
    styles["Caption"].paragraph_format.keep_with_next = True
    for name, size, after in ((NOTE, 7.5, 1.5), (TEXT, 8.5, 0), (NARROW, 7.5, 0)):
        style = styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        style.base_style = styles["Normal"]
        _font(style, size, _INK)
        style.paragraph_format.space_after = Pt(after)
        style.paragraph_format.space_before = Pt(0)
    # A style of its own, so that what is hidden is found, and changed all at once.
    styles.add_style(SUPPRESSED, WD_STYLE_TYPE.CHARACTER).font.color.rgb = _INK
    for language in styles.element.iter(qn("w:lang")):
        language.set(qn("w:val"), "en-GB")


def _font(style: ParagraphStyle, size: float, colour: RGBColor) -> None:
    style.font.name, style.font.size, style.font.color.rgb = "Arial", Pt(size), colour
    fonts: Any = style.element.get_or_add_rPr().find(qn("w:rFonts"))
    for key in ("w:asciiTheme", "w:hAnsiTheme", "w:eastAsiaTheme", "w:cstheme"):
        fonts.attrib.pop(qn(key), None)
    fonts.set(qn("w:cs"), "Arial")


def _page(section: Section, across: bool) -> int:
    """Set paper and margins, and return the width left for text."""
    short, long = _PAPER
    section.orientation = WD_ORIENT.LANDSCAPE if across else WD_ORIENT.PORTRAIT
    section.page_width, section.page_height = (long, short) if across else (short, long)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = _MARGIN
    return int(section.page_width - 2 * _MARGIN)


def _foot(paragraph: Paragraph, title: str) -> None:
    paragraph.style = NOTE
    paragraph.add_run(f"{title} · page ")
    _field(paragraph, "PAGE", "1")


def _caption(document: DocumentObject, table: Table) -> None:
    paragraph = document.add_paragraph(style="Caption")
    if table.number is not None:
        paragraph.add_run("Table ").bold = True
        _field(paragraph, "SEQ Table \\* ARABIC", str(table.number))
        paragraph.add_run(". ").bold = True
    paragraph.add_run(table.title)


def _field(paragraph: Paragraph, code: str, shown: str) -> None:
    """Add a field: Word counts it, and shows `shown` until it does."""
    for kind in ("begin", None, "separate", shown, "end"):
        run = paragraph.add_run()
        run.bold = code.startswith("SEQ")
        if kind is None:
            text: Any = OxmlElement("w:instrText")
            text.set(qn("xml:space"), "preserve")
            text.text = f" {code} "
            run._r.append(text)
        elif kind == shown:
            run.text = shown
        else:
            mark: Any = OxmlElement("w:fldChar")
            mark.set(qn("w:fldCharType"), kind)
            run._r.append(mark)


def _widths(table: Table) -> list[int]:
    """Return the characters that each column needs: numbers in one line, words broken where they may be."""
    return [_width([str(v or "") for v in table.frame[c]], heading(c), label=i < 2, prose=table.prose)
            for i, c in enumerate(table.frame.columns)]  # fmt: skip


def _width(cells: list[str], head: str, *, label: bool, prose: bool) -> int:
    if prose:
        return min(max(map(len, [head, *cells])), 60) + 2
    whole = max((len(t) for t in cells if label or (t and not t[0].isalpha())), default=0)
    broken = max((max([-(-len(t) // 3), *map(len, t.split())]) for t in cells), default=0)
    # The head is bold, and wider for it.
    return max(broken, min(whole, 30), max(map(len, head.split())) + 2) + 2


def _table(document: DocumentObject, table: Table, width: int) -> None:
    frame = table.frame
    made = document.add_table(rows=frame.height + 1, cols=frame.width)
    made.autofit = False
    _described(made, table)
    needs = _widths(table)
    # A narrow table is not drawn out over the page.
    unit = min(width / sum(needs), int(Mm(2.1)))
    for i, column in enumerate(made.columns):
        column.width = Emu(int(unit * needs[i]))
    style = TEXT if unit >= _ROOMY else NARROW
    left = [i < 2 or table.prose for i in range(frame.width)]
    cells: list[list[_Cell]] = [list(row.cells) for row in made.rows]
    for i, (cell, column_name) in enumerate(zip(cells[0], frame.columns, strict=True)):
        _say(cell, heading(column_name), style, bold=True, left=left[i])
        _rule(cell, bottom=True)
    above = ""
    for k, (line, values) in enumerate(zip(cells[1:], frame.iter_rows(), strict=True)):
        first = str(values[0] or "")
        new = first != "" and first != above
        together = not table.prose and k + 1 < frame.height and str(frame[k + 1, 0] or "") in ("", first or above)
        for i, (cell, value) in enumerate(zip(line, values, strict=True)):
            again = i == 0 and first == above and not table.prose
            _say(cell, "" if again else str(value if value is not None else ""), style, bold=i == 0, left=left[i])
            # What belongs together stays on one page, and the first lines with the head.
            cell.paragraphs[0].paragraph_format.keep_with_next = together or None
            if new:
                cell.paragraphs[0].paragraph_format.space_before = Pt(2 if table.prose else 4)
        above = first or above
    for row in made.rows:
        # A row is not broken over two pages, and the first is at the head of each.
        row._tr.get_or_add_trPr().append(OxmlElement("w:cantSplit"))
    made.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
    for row_cells in cells:
        for i, cell in enumerate(row_cells):
            cell.width = Emu(int(unit * needs[i]))


def _described(made: WordTable, table: Table) -> None:
    """Give the table its rules above and below, and the words that a screen reader says of it."""
    properties: Any = made._tbl.tblPr
    borders: Any = OxmlElement("w:tblBorders")
    for side in ("top", "bottom"):
        borders.append(_line(side, 12))
    properties.append(borders)
    margins: Any = OxmlElement("w:tblCellMar")
    for side in ("left", "right"):
        margin: Any = OxmlElement(f"w:{side}")
        margin.set(qn("w:w"), "45")
        margin.set(qn("w:type"), "dxa")
        margins.append(margin)
    properties.append(margins)
    for name, words in (("w:tblCaption", table.caption), ("w:tblDescription", " ".join(table.footnotes))):
        said: Any = OxmlElement(name)
        said.set(qn("w:val"), words)
        properties.append(said)


def _line(side: str, eighths: int) -> Any:
    line: Any = OxmlElement(f"w:{side}")
    for key, value in (("val", "single"), ("sz", str(eighths)), ("space", "0"), ("color", "1C2430")):
        line.set(qn(f"w:{key}"), value)
    return line


def _rule(cell: _Cell, bottom: bool) -> None:
    borders: Any = OxmlElement("w:tcBorders")
    borders.append(_line("bottom" if bottom else "top", 6))
    cell._tc.get_or_add_tcPr().append(borders)


def _say(cell: _Cell, text: str, style: str, *, bold: bool, left: bool) -> None:
    paragraph = cell.paragraphs[0]
    paragraph.style = style
    paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if left else WD_ALIGN_PARAGRAPH.RIGHT
    run = paragraph.add_run(text, style=SUPPRESSED if is_suppressed(text) else None)
    run.bold = bold or None


def _same_bytes(buffer: io.BytesIO) -> bytes:
    """Return the archive with the time of every member fixed: a zip file keeps when it was packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.compress_type, member.create_system = zipfile.ZIP_DEFLATED, 0
            new.writestr(member, old.read(name))
    return out.getvalue()
