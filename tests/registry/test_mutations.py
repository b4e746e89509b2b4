"""Whatever is written into a cell, the row is accepted or refused: never lost, never a traceback."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.registry.conftest import GOOD, Clinic

FILES = ("patients", "sessions", "measurements", "items", "events", "products")
TRICKY = st.sampled_from(
    ["", " ", "0", "-0", "1e999", "nan", "inf", "9" * 30, "1,5", "2/3", "2/", "/", "'", '"', "\\", "null", "NULL", "--", ";",
     "2022-02-30", "0000-00-00", "9999-12-31", "2022-1-1", "yes", "TRUE", "\ufeff", "é", "\u0000", "a\nb", "%s", "${x}"]
)  # fmt: skip
CELLS = TRICKY | st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def spoilt_file(draw: st.DrawFn) -> tuple[str, str]:
    name = draw(st.sampled_from(FILES))
    header, *rows = csv.reader(io.StringIO(GOOD[name]))
    extra = [list(draw(st.sampled_from(rows))) for _ in range(draw(st.integers(1, 4)))]
    for row in extra:
        for _ in range(draw(st.integers(1, 3))):
            row[draw(st.integers(0, len(row) - 1))] = draw(CELLS)
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows, *extra])
    return name, out.getvalue()


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(spoilt=spoilt_file())
def test_a_spoilt_row_is_accepted_or_refused_and_never_lost(spoilt: tuple[str, str], empty_file: Path) -> None:
    _account_for(*spoilt, empty_file)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(spoilt=spoilt_file())
def test_no_spoilt_row_is_ever_lost(spoilt: tuple[str, str], empty_file: Path) -> None:
    _account_for(*spoilt, empty_file)


def _account_for(name: str, text: str, empty_file: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        for file in (empty_file, empty_file.with_name("knees.duckdb.key")):
            shutil.copy2(file, place)
        clinic = Clinic(folder, Path(place) / empty_file.name)
        clinic.write_good()
        clinic.write(name, text)
        report = clinic.load()
        assert report.rows_in == report.accepted + report.rejected
        counted = next(f for f in report.files if f.file == f"{name}.csv")
        written = sum(any(cell.strip() for cell in row) for row in csv.reader(io.StringIO(text))) - 1
        assert counted.rows_in == written
        lines = report.rejections.filter(report.rejections["file"] == counted.file)["line"].n_unique()
        assert lines == counted.rejected
