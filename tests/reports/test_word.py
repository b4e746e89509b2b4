"""Tables for Word: what an author needs of a document, read back by python-docx."""

import datetime as dt
import shutil
import subprocess
import zipfile

import docx
import polars as pl
import pypdf
import pytest
from docx.enum.section import WD_ORIENT

from reports.tables import Table
from reports.word import write_tables

DAY = dt.date(2025, 3, 1)
SMALL = Table(
    "Response by stage", pl.DataFrame({"quantity": ["response, %", "response, %"], "3 months": ["50.0", "suppressed"]}),
    ("Data to 2025-03-01.",), 1,
)  # fmt: skip
WIDE = Table("Wide", pl.DataFrame({f"column {i}": ["12.3 (10.1 to 14.5)"] for i in range(9)}), (), 2)


@pytest.fixture
def path(tmp_path):
    write_tables(tmp_path / "tables.docx", "Tables of a paper", [SMALL, WIDE], DAY)
    return tmp_path / "tables.docx"


def test_the_same_tables_give_the_same_bytes_at_another_time(path, tmp_path, monkeypatch):
    monkeypatch.setattr("time.localtime", lambda *_: (2031, 5, 6, 7, 8, 9, 0, 1, 0))
    write_tables(tmp_path / "again.docx", "Tables of a paper", [SMALL, WIDE], DAY)
    assert (tmp_path / "again.docx").read_bytes() == path.read_bytes()
    write_tables(tmp_path / "other.docx", "Tables of a paper", [WIDE], DAY)
    assert (tmp_path / "other.docx").read_bytes() != path.read_bytes()


def test_a_wide_table_lies_across_and_a_narrow_one_stands_upright(path):
    sections = docx.Document(path).sections
    assert [s.orientation for s in sections] == [WD_ORIENT.PORTRAIT, WD_ORIENT.LANDSCAPE]
    assert [round(s.page_width.mm) for s in sections] == [210, 297]


def test_header_rows_repeat_rows_are_not_broken_and_each_table_is_described(path):
    for table, told in zip(docx.Document(path).tables, (SMALL, WIDE), strict=True):
        xml = table._tbl.xml
        assert "<w:tblHeader/>" in table.rows[0]._tr.xml and xml.count("<w:tblHeader/>") == 1
        assert xml.count("<w:cantSplit/>") == len(table.rows)
        assert f'<w:tblCaption w:val="{told.caption}"/>' in xml


def test_the_document_has_a_title_a_language_its_day_and_nothing_that_runs(path):
    document = docx.Document(path)
    core = document.core_properties
    assert (core.title, core.language, core.created.date(), core.modified.date()) == (
        "Tables of a paper", "en-GB", DAY, DAY,
    )  # fmt: skip
    assert 'w:lang w:val="en-GB"' in document.styles.element.xml
    names = zipfile.ZipFile(path).namelist()
    assert not [n for n in names if "vba" in n.lower() or "thumbnail" in n or n.endswith(".bin")]


def test_captions_are_counted_by_word_and_the_notes_follow_the_table(path):
    xml = docx.Document(path).element.xml
    assert xml.count("SEQ Table") == 2
    assert xml.index("Response by stage</w:t>") < xml.index("suppressed</w:t>") < xml.index("Data to 2025-03-01.</w:t>")


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_opens_the_document_with_every_word_on_a_page_of_its_table(path, tmp_path):
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", str(tmp_path), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    pages = pypdf.PdfReader(tmp_path / "tables.pdf").pages
    assert [(round(p.mediabox.width), round(p.mediabox.height)) for p in pages] == [(595, 842), (842, 595)]
    for page, table in zip(pages, (SMALL, WIDE), strict=True):
        words = " ".join(page.extract_text().split()).lower()
        told = [
            table.caption,
            *table.frame.columns,
            *(cell for row in table.frame.rows() for cell in row),
            *table.footnotes,
        ]
        assert not [t for t in told if t.lower() not in words]
