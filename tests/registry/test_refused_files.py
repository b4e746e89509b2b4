"""A file that cannot be read without guessing is refused whole, with one reason and what to do."""

import io

import polars as pl
import pytest
import xlsxwriter

HEADER = "patient,site,side,date,instrument,version,subscale,value,unit\n"
ROWS = "MRN-4711,knee,left,2022-05-03,KOOS,,pain,72,\nMRN-4711,knee,left,2022-06-03,KOOS,,pain,73,\n"


def workbook(*rows: list[object]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet("measurements")
        for i, row in enumerate(rows):
            sheet.write_row(i, 0, row)
    return buffer.getvalue()


MERGED = workbook(["Baseline", *[None] * 198, "Follow-up"], ["patient", *(f"v{i}" for i in range(199))])


@pytest.mark.parametrize(
    ("name", "content", "rule", "rows", "said"),
    [
        ("measurements.csv", "", "empty_file", 0, "the file is empty"),
        ("measurements.csv", "\n \n", "empty_file", 0, "the file has no header"),
        ("measurements.csv", (HEADER + ROWS.replace("knee", "Knöchel")).encode("cp1252"), "wrong_encoding", 2, "line 2 is not utf-8"),
        ("measurements.csv", (HEADER + ROWS).encode("utf-16"), "wrong_encoding", None, "line 1 is not utf-8"),
        ("measurements.csv", (HEADER + ROWS).replace(",", ";"), "wrong_separator", 2, "separated by ';'"),
        ("measurements.csv", HEADER.replace("unit", "value") + ROWS, "column_twice", 2, "names value more than once"),
        ("measurements.csv", HEADER.replace("unit", "") + ROWS, "header_not_one_row", 2, "1 of 9 columns have no name"),
        ("measurements.csv", HEADER.replace("date,", "") + ROWS.replace("2022-05-03,", "").replace("2022-06-03,", ""), "missing_column", 2, "the file lacks date"),
        ("measurements.csv", HEADER + '"' + ROWS, "broken_quotes", 2, "after line 1 a quote is opened"),
        ("measurements.csv", HEADER + ROWS + '"' + "x\n" * 90_000, "broken_quotes", None, "after line 3 a quote is opened"),
        ("scores.csv", HEADER + ROWS, "unknown_file", 2, "none of the template's"),
        ("measurements.xlsx", b"PK not a workbook", "unreadable_workbook", 0, "not a readable .xlsx"),
        ("measurements.xlsx", workbook(), "empty_file", 0, "the sheet is empty"),
        ("measurements.xlsx", MERGED, "header_not_one_row", 1, "198 of 200 columns have no name (the first is column 2)"),
        ("measurements.parquet", b"PAR1 cut short", "unreadable_parquet", 0, "not a readable Parquet"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_whole(clinic, refusals, name, content, rule, rows, said):
    clinic.write_good("centres", "patients", "targets")
    clinic.write(name, content)
    report = clinic.load()
    ((file, line, _, found, _),) = refusals(report)
    assert (file.split("[")[0], line, found) == (name, 0, rule)
    assert said in report.rejections["message"][0]
    assert rows is None or report.rejected == rows
    assert clinic.sql("select count(*) as n from record.patient")["n"][0] == 2


def test_a_cell_of_a_workbook_with_an_error_or_a_formula_nobody_computed_is_not_taken_for_empty(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    names = ["patient", "site", "side", "date", "instrument", "subscale", "value", "mode"]
    with xlsxwriter.Workbook(clinic.folder / "measurements.xlsx") as book:
        sheet = book.add_worksheet("measurements")
        sheet.write_row(0, 0, names)
        # Computed; an error; never computed; an empty text, which is a value; rows beyond the data are none.
        for i, (formula, value) in enumerate([("=A1", 72), ("=1/0", "#DIV/0!"), ("=A1", ""), ("=A1", 75)], 1):
            sheet.write_row(i, 0, ["MRN-4711", "knee", "left", f"2022-0{4 + i}-03", "KOOS", "pain"])
            sheet.write_formula(i, 6, formula, None, value)
        sheet.write_formula(7, 6, "=1/0", None, "#N/A")
    report = clinic.load()
    file = "measurements.xlsx[measurements]"
    assert [row[:2] + row[3:4] for row in refusals(report)] == [
        (file, 3, "cell_without_value"), (file, 4, "cell_without_value")
    ]  # fmt: skip
    assert report.rejections["message"].to_list() == [
        "cell G3 holds #DIV/0!", "cell G4 holds a formula that was not computed"
    ]  # fmt: skip
    assert clinic.sql("select value::integer as v from record.measurement order by date")["v"].to_list() == [72, 75]


def test_a_ragged_row_is_refused_alone_whether_too_long_or_too_short(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    clinic.write(
        "measurements", HEADER + ROWS + "MRN-4711,knee,left\n" + "MRN-4711,knee,left,2022-07-03,KOOS,,pain,74,,,\n"
    )
    report = clinic.load()
    assert [row[1:4:2] for row in refusals(report)] == [(4, "wrong_number_of_columns"), (5, "wrong_number_of_columns")]
    assert report.rejections["message"].to_list() == [
        "the row has 3 cells, the header 9",
        "the row has 11 cells, the header 9",
    ]


def test_a_line_end_inside_quotes_does_not_shift_the_line_numbers(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    bad = 'MRN-4711,knee,left,2022-07-03,"KO\nSS",,pain,70,\n\nMRN-4711,knee,left,2022-08-03,KOOS,,pain,140,\n'
    clinic.write("measurements", HEADER + ROWS + bad)
    assert [row[1:4:2] for row in refusals(clinic.load())] == [(4, "unknown_instrument"), (7, "out_of_range")]


def test_an_empty_row_of_a_workbook_does_not_shift_the_line_numbers(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    header = HEADER.strip().split(",")
    good = ["MRN-4711", "knee", "left", "2022-05-03", "KOOS", None, "pain", 72, None]
    clinic.write("measurements.xlsx", workbook(header, good, [None], [*good[:3], "2022-06-03", *good[4:7], 140, None]))
    assert [row[:2] for row in refusals(clinic.load())] == [("measurements.xlsx[measurements]", 4)]


def test_columns_without_use_are_noted_and_not_refused(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    clinic.write("measurements", HEADER.replace("\n", ",remark\n") + ROWS.replace(",\n", ",,fine\n"))
    report = clinic.load()
    assert refusals(report) == []
    assert "measurements.csv: no use for 1 columns: remark" in report.notes


def test_a_file_of_another_kind_in_the_folder_is_named_as_not_read(clinic):
    clinic.write_good("centres", "patients")
    clinic.write("measurements.xls", b"old workbook")
    clinic.write("~$patients.xlsx", b"lock of an open workbook")
    assert clinic.load().notes == ("measurements.xls: not a CSV, XLSX or Parquet file, not read",)


def test_a_parquet_column_that_is_no_value_is_refused_with_its_file(clinic, refusals):
    pl.DataFrame({"patient": [["MRN-4711"]], "site": ["knee"]}).write_parquet(clinic.folder / "targets.parquet")
    assert refusals(clinic.load()) == [("targets.parquet", 0, None, "unreadable_parquet", None)]
