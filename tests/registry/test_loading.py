"""Loading: nothing twice, nothing half, nothing lost, whatever the kind of file."""

import datetime as dt
import io
from pathlib import Path

import duckdb
import polars as pl
import pytest
import xlsxwriter

from registry import Registry, derive, ingest
from registry.errors import UsageError
from tests.registry.conftest import GOOD


def test_loading_the_same_files_twice_changes_nothing(clinic, refusals):
    clinic.write_good()
    clinic.add("measurements", value="140", date="2022-07-01")
    first = clinic.load()
    before = clinic.text()
    second = clinic.load()
    assert clinic.text() == before
    assert refusals(second) == refusals(first)
    assert (second.new, second.accepted) == (0, first.accepted)


def test_a_later_extraction_of_unchanged_files_moves_the_data_cut_and_nothing_else(clinic):
    clinic.write_good()
    clinic.load()
    report = ingest.load(clinic.path, [clinic.folder], extracted_on=dt.date(2024, 6, 1))
    with Registry.open(clinic.path) as registry:
        assert (report.new, registry.data_cut) == (0, dt.date(2024, 6, 1))


def test_a_file_refused_whole_does_not_move_the_day_up_to_which_the_data_speak(clinic):
    clinic.write_good()
    clinic.load()
    derive(clinic.path)
    (clinic.folder / "later").mkdir()
    (clinic.folder / "later" / "release_tests.csv").write_text("product,analyte\nNOPE,sterility\n")
    report = ingest.load(clinic.path, [clinic.folder / "later"], extracted_on=dt.date(2026, 6, 1))
    assert (report.accepted, report.rejected) == (0, 1)
    with Registry.open(clinic.path) as registry:
        assert registry.data_cut == dt.date(2024, 1, 1)
        assert registry.sql("select distinct data_cut from course.course").item() == dt.date(2024, 1, 1)


def test_a_dry_run_tells_the_same_and_keeps_nothing(clinic, refusals):
    clinic.write_good()
    clinic.add("measurements", value="140", date="2022-07-01")
    before = clinic.text()
    dry = clinic.load(dry_run=True)
    assert clinic.text() == before
    wet = clinic.load()
    assert refusals(dry) == refusals(wet)
    assert dry.to_dict() | {"dry_run": False} == wet.to_dict()


def test_an_error_in_the_middle_keeps_nothing(clinic):
    clinic.write_good()
    before = clinic.text()

    def stop(table: str) -> None:
        if table == "measurements":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clinic.load(progress=stop)
    assert clinic.text() == before


def test_rows_arriving_in_any_order_of_files_meet_their_parents(clinic, refusals):
    clinic.write_good()
    paths = sorted(clinic.folder.iterdir(), reverse=True)
    assert refusals(clinic.load(*paths)) == []


def test_every_row_knows_its_file_its_line_and_its_load(clinic):
    clinic.write_good()
    clinic.load()
    rows = clinic.sql(
        "select f.file, m.source_line, m.load_id from record.measurement m join log.source_file f using (source_file_id) "
        "order by 2"
    )
    assert rows.rows() == [("measurements.csv", line, 1) for line in (2, 3, 4)]


def test_two_files_of_one_name_are_counted_apart(clinic, tmp_path):
    clinic.write_good()
    other = tmp_path / "other"
    other.mkdir()
    (other / "visits.csv").write_text(
        GOOD["visits"].replace("05-03", "06-03") + "MRN-4711,knee,left,2022-07-03,,done\n"
    )
    clinic.load(clinic.folder, other)
    counts = clinic.sql("select rows_in, accepted, rejected from log.source_file where file = 'visits.csv' order by 1")
    assert counts.rows() == [(1, 1, 0), (2, 2, 0)]


def _as_xlsx(frames: dict[str, pl.DataFrame], folder: Path) -> None:
    with xlsxwriter.Workbook(folder / "export.xlsx") as book:
        for name, frame in frames.items():
            frame.write_excel(book, worksheet=name)


def _as_parquet(frames: dict[str, pl.DataFrame], folder: Path) -> None:
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")


@pytest.mark.parametrize("write", [_as_xlsx, _as_parquet])
def test_a_workbook_and_parquet_give_the_rows_that_csv_gives(clinic, new_clinic, tmp_path, refusals, write):
    texts = GOOD | {"events": GOOD["events"].replace("2023-06", "2023-06-05")}
    texts = {name: text.replace("MRN-471", "471") for name, text in texts.items()}
    frames = {name: pl.read_csv(io.BytesIO(text.encode()), try_parse_dates=True) for name, text in texts.items()}
    for name, text in texts.items():
        clinic.write(name, text)
    (tmp_path / "other").mkdir()
    other = new_clinic(tmp_path / "other")
    write(frames, other.folder)
    assert refusals(clinic.load()) == refusals(other.load()) == []
    for table in ("patient", "treatment_session", "measurement", "item_response", "event"):
        query = f"select id, row_hash from record.{table} order by id"
        assert clinic.sql(query).rows() == other.sql(query).rows()


def test_numbers_that_a_spreadsheet_writes_as_decimals_name_the_same_patient_and_course(clinic, refusals):
    for name, text in GOOD.items():
        clinic.write(name, text.replace("MRN-471", "471"))
    clinic.load()
    clinic.write(
        "sessions", GOOD["sessions"].replace("MRN-4711", "4711.0").replace(",1,1,2022-02-01", ",1.0,2.0,2022-03-01")
    )
    clinic.write("items", GOOD["items"].replace("MRN-4712", "4712.0").replace("P1,2", "P2,2.0"))
    assert refusals(clinic.load(clinic.folder / "sessions.csv", clinic.folder / "items.csv")) == []
    assert clinic.sql("select count(distinct course_id) as n from record.treatment_session")["n"][0] == 1
    assert clinic.sql("select count(distinct patient_id) as n from record.item_response")["n"][0] == 1


def test_excel_dates_with_and_without_midnight_are_dates(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    rows = [["patient", "site", "side", "date", "instrument", "subscale", "value"]]
    with xlsxwriter.Workbook(clinic.folder / "measurements.xlsx") as book:
        sheet = book.add_worksheet("measurements")
        sheet.write_row(0, 0, rows[0])
        for i, form in enumerate(("yyyy-mm-dd", "dd.mm.yyyy hh:mm", "d mmm yy"), 1):
            sheet.write_row(i, 0, ["MRN-4711", "knee", "left", None, "KOOS", "pain", 50 + i])
            sheet.write_datetime(i, 3, dt.datetime(2022, i, 1), book.add_format({"num_format": form}))
    assert refusals(clinic.load()) == []
    days = clinic.sql("select date::varchar as day from record.measurement order by 1")["day"]
    assert days.to_list() == ["2022-01-01", "2022-02-01", "2022-03-01"]


@pytest.mark.parametrize("name", ["nothing_there", "notes.txt", "empty_folder"])
def test_a_path_without_a_readable_file_is_a_mistake_said_in_one_line(clinic, tmp_path, name):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty_folder").mkdir()
    with pytest.raises(UsageError, match=name):
        clinic.load(tmp_path / name)


def test_the_loader_stops_when_rows_do_not_add_up(clinic, monkeypatch):
    clinic.write_good()
    before = clinic.text()
    monkeypatch.setattr(ingest, "FileCount", _Wrong)
    with pytest.raises(Exception, match="do not add up"):
        clinic.load()
    assert clinic.text() == before


class _Wrong:
    def __init__(self, file, table, rows_in, accepted, rejected, new, corrected=0):
        self.file, self.table, self.rows_in, self.new, self.corrected = file, table, rows_in, new, corrected
        self.accepted, self.rejected = accepted + 1, rejected


def test_the_file_is_readable_by_plain_duckdb(clinic):
    clinic.write_good()
    clinic.load()
    with duckdb.connect(str(clinic.path), read_only=True) as con:
        assert con.sql("select count(*) from record.measurement").fetchone() == (3,)
