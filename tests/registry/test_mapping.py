"""Mapping files: a clinic's own layout becomes ours, and what does not fit is said before anything is loaded."""

import pytest

from registry.errors import UsageError

PATIENTS = """
[[table]]
file = "people.csv"
table = "patients"
separator = ";"
[table.columns]
patient = "id"
centre = { value = "ZRH" }
birth_year = "born"
sex = { column = "sex", codes = { w = "female", m = "male" } }
enrolment_date = { column = "since", format = "%d/%m/%Y" }
"""
PEOPLE = "id;born;sex;since\nA;1960;w;{0}\nB;1961;m;{1}\n"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ("[[table]\n", "is not readable TOML"),
        ('name = "x"\n', "has no [[table]]"),
        (PATIENTS.replace("separator", "seperator"), "option 'seperator' is not known. Did you mean 'separator'?"),
        (f'center = "ZRH"\n{PATIENTS}', "option 'center' is not known. Did you mean 'centre'?"),
        (PATIENTS.replace('"patients"', '"patient"'), "Table 'patient' is not known. Did you mean 'patients'?"),
        (PATIENTS.replace("birth_year", "year_of_birth"), "column 'year_of_birth' is not known"),
        (PATIENTS.replace("codes", "code"), "sex: option 'code' is not known. Did you mean 'codes'?"),
        (PATIENTS.replace('"born"', "1960"), "write the name of their column in quotes, or { value = 1960 }"),
        (PATIENTS.replace('column = "sex", ', ""), "sex: needs column, value, anchor or line"),
        (PATIENTS.replace('separator = ";"', 'encoding = "utf-99"'), "encoding 'utf-99' is not known"),
        (PATIENTS.replace('";"', '"||"'), "separator must be one character, not '||'"),
        (PATIENTS.replace('"born"', '{ column = "born", factor = "ten" }'), "factor must be a number, not 'ten'"),
        (PATIENTS.replace('"born"', '{ column = "born", anchor = "1/1/2000" }'), "anchor must be a date as YYYY-MM-DD"),
        (f'catalogue = "ours"\n{PATIENTS}', "there is no catalogue folder ours"),
        (f'extracted_on = "2024"\n{PATIENTS}', "extracted_on must be a date without quotes"),
        (PATIENTS.replace('file = "people.csv"\n', ""), "needs file and table"),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_says_where_and_what_is_allowed(clinic, mapping, said):
    people = clinic.write("people.csv", PEOPLE.format("01/02/2022", "13/02/2022"))
    with pytest.raises(UsageError) as error:
        clinic.load(people, mapping_file=clinic.write("map.toml", mapping))
    assert said in str(error.value)


def test_a_mapping_that_is_not_there_is_named(clinic):
    with pytest.raises(UsageError, match="There is no mapping file"):
        clinic.load(clinic.write("people.csv", "id\n"), mapping_file=clinic.folder / "none.toml")


@pytest.fixture
def load_people(clinic):
    """Load the people of a clinic whose centre is known, by a mapping."""
    clinic.load(clinic.write("centres", "centre\nZRH\n"))

    def load(people: str, mapping: str = PATIENTS):
        return clinic.load(clinic.write("people.csv", people), mapping_file=clinic.write("map.toml", mapping))

    return load


def test_a_mapping_reads_their_columns_codes_and_dates(clinic, load_people, refusals):
    assert refusals(load_people(PEOPLE.format("01/02/2022", "13/02/2022"))) == []
    held = clinic.sql("select birth_year, sex, enrolment_date::varchar as day from record.patient order by 1")
    assert held.rows() == [(1960, "female", "2022-02-01"), (1961, "male", "2022-02-13")]


def test_a_code_that_the_mapping_does_not_know_is_refused_and_named(load_people, refusals):
    report = load_people(PEOPLE.format("01/02/2022", "13/02/2022").replace(";m;", ";x;"))
    assert refusals(report) == [("people.csv", 3, "sex", "unknown_code", "x [no code in the mapping]")]


def test_a_column_that_mixes_two_orders_of_day_and_month_is_refused_where_it_could_be_either(load_people, refusals):
    rows = refusals(load_people(PEOPLE.format("03/02/2022", "02/13/2022")))
    assert [(line, rule) for _, line, _, rule, _ in rows] == [(2, "date"), (3, "date")]
    assert "the column mixes %d/%m/%Y and %m/%d/%Y: this could be either" in rows[0][4]


def test_dates_of_two_formats_without_a_mapping_are_never_guessed(clinic, refusals):
    clinic.write_good("centres", "targets")
    clinic.spoil("patients", "1955,male,180,2022-01-01", "1955,male,180,01.02.2022")
    found = refusals(clinic.load())
    assert ("patients.csv", 3, "enrolment_date", "date", "01.02.2022") in found
    assert clinic.sql("select enrolment_date::varchar as day from record.patient")["day"].to_list() == ["2022-01-01"]


@pytest.mark.parametrize(
    ("mapping", "lacking"),
    [
        (PATIENTS.replace('"born"', '"geboren"'), "the file lacks geboren (for birth_year)"),
        (
            PATIENTS.replace('separator = ";"', 'separator = ";"\nwhere = { kind = "x" }'),
            "the file lacks kind (for where)",
        ),
        (PATIENTS.replace('birth_year = "born"\n', ""), "the file lacks birth_year"),
    ],
)
def test_a_mapping_that_names_a_column_the_file_lacks_refuses_the_file(load_people, refusals, mapping, lacking):
    report = load_people(PEOPLE.format("01/02/2022", "13/02/2022"), mapping)
    assert [row[3] for row in refusals(report)] == ["missing_column"]
    assert lacking in report.rejections["message"][0]
    assert report.rejected == 2


def test_what_the_mapping_and_the_files_do_not_share_is_noted(clinic):
    clinic.write("people.csv", PEOPLE.format("01/02/2022", "13/02/2022"))
    clinic.write("other.csv", "a\n1\n")
    extra = '[[table]]\nfile = "products.csv"\ntable = "products"\ncolumns = { product = "p" }\n'
    report = clinic.load(mapping_file=clinic.write("map.toml", PATIENTS + extra))
    assert "other.csv: not in the mapping, not read" in report.notes
    assert "the mapping's products.csv for products: no such file was given" in report.notes


def test_rows_that_where_leaves_out_are_counted(load_people):
    chosen = PATIENTS.replace('separator = ";"', 'separator = ";"\nwhere = { sex = "w" }')
    report = load_people(PEOPLE.format("01/02/2022", "13/02/2022"), chosen)
    assert (report.rows_in, report.accepted) == (1, 1)
    assert any(note.startswith("people.csv: 1 row is not selected") for note in report.notes)


def test_folders_that_bring_different_mappings_are_not_loaded_together(clinic, tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for day, folder in enumerate(folders, 1):
        folder.mkdir()
        (folder / "load.toml").write_text(f"extracted_on = 2024-01-0{day}\n")
        (folder / "centres.csv").write_text("centre\nZRH\n")
    with pytest.raises(UsageError, match="Load one folder at a time"):
        clinic.load(*folders)


def test_wide_visits_become_rows_and_empty_cells_are_no_measurements(clinic, refusals):
    clinic.write_good("centres", "patients", "targets")
    clinic.load()
    wide = clinic.write("wide.csv", "id,vas0,vas3,d0,d3\nMRN-4711,6.5,,2022-01-20,\nMRN-4711,,3.25,,2022-04-20\n")
    report = clinic.load(wide, mapping_file=clinic.write("map.toml", """
        [[table]]
        file = "wide.csv"
        table = "measurements"
        columns = { patient = "id", site = { value = "knee" }, side = { value = "left" }, instrument = { value = "VAS" }, subscale = { value = "pain" }, unit = { value = "mm" } }
        wide = [{ value = { column = "vas0", factor = 10 }, date = "d0" }, { value = { column = "vas3", factor = 10 }, date = "d3" }]
    """))  # fmt: skip
    assert refusals(report) == []
    assert "wide.csv: 2 empty cells of wide columns are not measurements" in report.notes
    assert clinic.sql("select value::double as v from record.measurement order by 1")["v"].to_list() == [32.5, 65.0]
