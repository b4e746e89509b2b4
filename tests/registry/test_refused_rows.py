"""A row that cannot be right is refused alone, with its file, line, column, rule and value, and what to do."""

import pytest

from tests.registry.conftest import GOOD

# A good row in which these cells differ is refused: file, cells, then the column, rule and value that must be named.
SPOILED = [
        ("measurements", {"instrument": "KOSS"}, "instrument", "unknown_instrument", "KOSS"),
        ("measurements", {"unit": "stone"}, "unit", "unknown_unit", "stone"),
        ("measurements", {"value": "101"}, "value", "out_of_range", "101"),
        ("measurements", {"value": "-1"}, "value", "out_of_range", "-1"),
        ("measurements", {"value": ""}, "value", "no_value", None),
        ("measurements", {"date": "2043-05-03"}, "date", "future", "2043-05-03"),
        ("measurements", {"date": "2021-12-31"}, "date", "before_enrolment", "2021-12-31"),
        ("measurements", {"date": "03.05.2022"}, "date", "date", "03.05.2022"),
        ("measurements", {"date": "2022-02-30"}, "date", "date", "2022-02-30"),
        ("measurements", {"patient": "MRN-9999"}, "patient", "unknown_patient", None),
        ("measurements", {"site": "knee", "side": "right"}, "side", "unknown_target", "right"),
        ("items", {"answer": "5"}, "answer", "answer_out_of_range", "5"),
        ("items", {"answer": "2/5"}, "answer", "answer_out_of_range", "2/5"),
        ("items", {"answer": "often"}, "answer", "type", "often"),
        ("items", {"answer": "99999999999"}, "answer", "type", "99999999999"),
        ("items", {"item": "P10"}, "item", "unknown_item", "P10"),
        ("visits", {"date": "2021-06-01"}, "date", "before_enrolment", "2021-06-01"),
        ("visits", {"status": "perhaps"}, "status", "unknown_code", "perhaps"),
        ("stages", {"grade": "7"}, "grade", "unknown_grade", "7"),
        ("stages", {"date": "1949-01-01"}, "date", "before_birth", "1949-01-01"),
        ("events", {"date": "2022-13"}, "date", "date", "2022-13"),
        ("events", {"date": "2022", "site": "", "side": ""}, "site", "target_needed", None),
        ("sessions", {"session_no": "2", "product": "SVF"}, "product", "unknown_product", "SVF"),
        ("sessions", {"session_no": "2", "course_no": "4"}, "course_no", "unknown_course", "4"),
        ("sessions", {"session_no": "two"}, "session_no", "type", "two"),
        ("patients", {"patient": "MRN-4713", "sex": "f"}, "sex", "unknown_code", "f"),
        ("patients", {"patient": "MRN-4713", "birth_year": "1860"}, "birth_year", "range", "1860"),
        ("patients", {"patient": "MRN-4713", "birth_year": "2023"}, "birth_year", "birth_after_enrolment", "2023"),
        ("patients", {"patient": ""}, "patient", "required", None),
        ("products", {"product": "X", "expanded": "perhaps"}, "expanded", "type", "perhaps"),
        ("products", {"product": "X", "expanded": "yes", "regulatory_class": "US_361"}, "regulatory_class", "expanded_361", "US_361"),
        ("products", {"product": "X", "donor": "allogeneic_unrelated"}, "donor", "self_but_allogeneic", "allogeneic_unrelated"),
        ("products", {"product": "X", "donor_is_patient": "no"}, "donor", "autologous_but_other", "autologous"),
        ("release_tests", {"analyte": "sterility", "result_date": "2022-01-31"}, "result_date", "result_before_sample", "2022-01-31"),
        ("release_tests", {"analyte": "potency", "value": "60"}, "status", "passed_outside_limits", "pass"),
        ("release_tests", {"analyte": "endotoxin", "value": "", "status": "pending"}, "status", "pending_with_result", "pending"),
        ("release_tests", {"product": "SVF"}, "product", "unknown_product", "SVF"),
        ("consents", {"version": "3", "withdrawn_date": "2021-06-01", "withdrawal_scope": "all_data"}, "withdrawn_date", "withdrawn_before_signed", "2021-06-01"),
        ("consents", {"version": "4", "withdrawn_date": "2023-06-01"}, "withdrawal_scope", "withdrawal_without_scope", None),
        ("supportive_treatments", {"kind": "brace", "end_date": "2022-01-01"}, "end_date", "ended_before_begun", "2022-01-01"),
        ("goals", {"domain": "sport", "date": "2022-01-20", "assessed_date": "2022-01-05"}, "assessed_date", "assessed_before_agreed", "2022-01-05"),
        ("prior_treatments", {"kind": "magnets"}, "kind", "unknown_code", "magnets"),
]  # fmt: skip


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory, new_clinic, refusals):
    """Load the good files with every spoiled row added; returns the report and what was refused, by file and line."""
    clinic = new_clinic(tmp_path_factory.mktemp("spoiled"))
    clinic.write_good()
    for day, (file, cells, *_) in enumerate(SPOILED, 1):
        clinic.add(file, **{"date": f"2022-{6 + day // 28:02}-{1 + day % 28:02}"} | cells)
    report = clinic.load()
    return report, refusals(report)


@pytest.mark.parametrize("case", range(len(SPOILED)), ids=[f"{c[0]}-{c[3]}-{c[4]}" for c in SPOILED])
def test_a_bad_row_is_refused_for_its_own_reason_alone(spoiled, case):
    file, _, column, rule, value = SPOILED[case]
    before = sum(other[0] == file for other in SPOILED[:case])
    line = len(GOOD[file].splitlines()) + 1 + before
    assert [row for row in spoiled[1] if row[:2] == (f"{file}.csv", line)] == [
        (f"{file}.csv", line, column, rule, value)
    ]


def test_beside_the_bad_rows_every_good_row_is_accepted(spoiled):
    report, refused = spoiled
    assert report.rejected == len(SPOILED) == len(refused)
    assert report.accepted == sum(len(text.splitlines()) - 1 for text in GOOD.values())


def test_a_decimal_comma_is_named_as_what_it_is(clinic, refusals):
    clinic.write_good()
    clinic.write(
        "measurements",
        'patient,site,side,date,instrument,subscale,value\nMRN-4711,knee,left,2022-05-03,KOOS,pain,"41,5"\n',
    )
    found = refusals(clinic.load())
    assert ("measurements.csv", 2, "value", "decimal_comma", "41,5") in found


def test_a_date_before_birth_says_where_to_look(clinic):
    clinic.write_good()
    clinic.add("stages", date="1949-01-01")
    (row,) = clinic.load().rejections.to_dicts()
    assert row["message"] == "the date is before the patient's year of birth"
    assert row["advice"] == "check the date and the year of birth in the patients file"


@pytest.mark.parametrize(
    ("file", "cells", "said"),
    [
        ("sessions", {"session_no": "2", "product": "SVF"}, "no accepted product has this code"),
        ("measurements", {"side": "right"}, "this patient has no accepted target with this site and side"),
        ("sessions", {"course_no": "4"}, "this patient has no accepted course with this site, side and course_no"),
        ("measurements", {"patient": "MRN-9999"}, "no accepted patient has this number"),
    ],
)
def test_what_a_row_belongs_to_and_is_not_there_is_named_in_words(clinic, file, cells, said):
    clinic.write_good()
    clinic.add(file, **cells)
    (row,) = clinic.load().rejections.to_dicts()
    assert row["message"] == said


def test_a_reason_that_holds_for_many_rows_is_said_once_with_its_lines_and_the_cause_comes_first(clinic):
    clinic.write_good()
    clinic.spoil("patients", "1960", "1860")
    lines = [line.strip() for line, refusal in clinic.load().lines() if refusal]
    assert lines[0].startswith("patients.csv, line 2, birth_year '1860': it must be between 1900 and 2100")
    at = next(i for i, line in enumerate(lines) if line.startswith("measurements.csv, line 2, patient: no accepted"))
    assert lines[at + 1] == "so 2 more lines of it: 3, 4"


def test_empty_files_of_the_template_are_counted_not_listed(clinic):
    clinic.write_good()
    clinic.write("visits", "patient,site,side,date,planned_visit,status\n")
    clinic.write("goals", "patient,site,side,date,domain\n")
    said = [line for line, _ in clinic.load().lines()]
    assert any(line.endswith("2 empty files of the template") for line in said) and not any(
        "goals.csv" in s for s in said
    )


def test_a_child_of_a_refused_patient_is_refused_because_of_it(clinic, refusals):
    clinic.write_good()
    clinic.spoil("patients", "1955", "1855")
    rules = {(file, rule) for file, _, _, rule, _ in refusals(clinic.load())}
    assert rules == {("patients.csv", "range"), ("targets.csv", "unknown_patient"), ("items.csv", "unknown_patient")}


def test_a_row_given_twice_with_different_content_is_refused_both_times(clinic, refusals):
    clinic.write_good()
    clinic.add("measurements", value="71")
    assert refusals(clinic.load()) == [
        ("measurements.csv", 4, "subscale", "duplicate_key", None),
        ("measurements.csv", 5, "subscale", "duplicate_key", None),
    ]


def test_a_row_that_contradicts_the_record_is_refused_and_the_record_stays(clinic, refusals):
    clinic.write_good()
    clinic.load()
    report = clinic.load(clinic.spoil("measurements", "41.5", "51.5"))
    assert refusals(report) == [("measurements.csv", 2, "subscale", "duplicate_key", None)]
    assert "already holds this row" in report.rejections["message"][0]
    assert clinic.sql("select value from record.measurement order by 1")["value"].cast(float).to_list() == [
        41.5,
        70.0,
        72.2222,
    ]


def test_a_row_given_twice_alike_is_accepted_and_held_once(clinic, refusals):
    clinic.write_good()
    clinic.add("measurements")
    report = clinic.load()
    assert refusals(report) == []
    assert clinic.sql("select count(*) as n from record.measurement")["n"][0] == 3


def test_a_row_that_breaks_two_rules_is_counted_once_and_told_both(clinic):
    clinic.write_good()
    clinic.add("measurements", instrument="KOSS", date="2043-01-01")
    report = clinic.load()
    assert report.rejected == 1
    assert set(report.rejections["rule"]) == {"unknown_instrument", "future"}


@pytest.mark.parametrize(("instrument", "item", "held"), [("KOOS", "P2", 3), ("OKS", "O1", 2), ("VISA-A", "V1", 2)])
def test_of_two_boxes_ticked_the_more_severe_counts_whichever_way_the_codes_run(clinic, instrument, item, held):
    clinic.write_good()
    clinic.add("items", instrument=instrument, item=item, answer="2/3")
    clinic.load()
    assert clinic.sql(f"select answer from record.item_response where item = '{item}'")["answer"].to_list() == [held]


def test_a_month_or_a_year_is_a_date_for_an_event_and_its_precision_is_kept(clinic, refusals):
    clinic.write_good()
    clinic.add("events", date="2023", kind="osteotomy")
    assert refusals(clinic.load()) == []
    held = clinic.sql("select date::varchar as date, date_precision from record.event order by date")
    assert held.rows() == [("2023-01-01", "year"), ("2023-06-01", "month")]


def test_everything_refused_is_kept_with_its_cells_and_without_the_patients_number(clinic):
    clinic.write_good()
    clinic.add("measurements", value="140")
    clinic.load()
    (raw,) = clinic.sql("select raw from log.rejected_row")["raw"]
    assert '"value":"140"' in raw
    assert "MRN" not in raw
