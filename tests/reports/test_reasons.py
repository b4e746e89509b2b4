"""Why numbers moved, told of real loads: people, edited values, visits reached, definitions and code; never of a few."""

import copy
import datetime as dt
import json
import shutil

import pytest
from knee_files import write

from registry import Registry, derive, ingest
from registry.connection import writing
from registry.history import retract
from reports import numbers as module
from reports.changes import changes
from reports.numbers import numbers
from reports.words import words_of

SECOND = dt.date(2023, 3, 10)


class Case:
    """A registry of thirty patients, and the numbers of the report before."""

    def __init__(self, folder, before=None):
        self.folder, self.path, self.before = folder, folder / "r.duckdb", before

    def load(self, name, people, day=SECOND, **more):
        pain = more.pop("pain", 60)
        report = ingest.load(self.path, [write(self.folder / name, people, pain=pain)], extracted_on=day, **more)
        assert report.rejected == 0, str(report)
        return report

    def numbers(self, before):
        derive(self.path)
        with Registry.open(self.path) as registry:
            # As the report before is kept: in a file.
            return json.loads(
                json.dumps(numbers(registry, [("osteoarthritis", "Osteoarthritis", [])], before), default=str)
            )

    def told(self, **language):
        return [line for line in changes(self.before, self.numbers(self.before), **language) if "more than" not in line]

    @property
    def why(self):
        lines = [line for line in self.told() if line.startswith("Osteoarthritis, why: ")]
        return lines[0].removeprefix("Osteoarthritis, why: ").rstrip(".").split("; ") if lines else []


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    made = Case(tmp_path_factory.mktemp("reasons"))
    Registry.create(made.path, key=b"k" * 32).close()
    made.load("first", range(30))
    made.before = made.numbers(None)
    return made


@pytest.fixture
def case(start, tmp_path):
    shutil.copytree(start.folder, tmp_path / "case")
    return Case(tmp_path / "case", copy.deepcopy(start.before))


def test_of_a_record_that_stays_as_it_is_nothing_is_told(case):
    assert case.told() == []


def test_new_patients_and_courses_are_told(case):
    case.load("more", range(30, 42))
    assert case.why == ["12 new patients", "12 new courses", "12 courses passed 1 month"]


def test_few_new_patients_are_told_as_few_wherever_they_are_counted(case):
    case.load("more", range(30, 31))
    lines = changes(case.before, case.numbers(case.before))
    assert "Fewer than 5 patients more than before." in lines and "Fewer than 5 courses more than before." in lines
    assert case.why == [f"fewer than 5 {what}" for what in ("new patients", "new courses", "courses passed 1 month")]
    assert not any("31" in line or " 1 " in line.replace("passed 1 month", "") for line in lines)


def test_values_corrected_since_are_counted_with_the_kind_of_their_file(case):
    case.load("better", range(17), pain=55, reason="read from the paper again")
    assert case.why == ["17 values corrected (measurements)"]
    case.before = case.numbers(case.before)
    assert case.told() == []
    case.load("again", range(3), pain=50, reason="once more")
    assert case.why == ["fewer than 5 values corrected (measurements)"]


def test_rows_retracted_since_are_counted_with_the_kind_of_their_file(case):
    retract(case.path, "measurements.csv", list(range(2, 9)), reason="of another clinic")
    assert case.why == ["7 rows retracted (measurements)"]


def test_visits_that_courses_passed_since_are_told(case):
    case.load("later", range(30), day=dt.date(2023, 5, 1))
    assert case.why == ["30 courses passed 3 months"]


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        ("update catalogue.definition_criterion set improvement_min = 33 where definition = 'OO-2004' and arm = 1", "criteria of response"),
        ("update catalogue.stage_map set stage = 'early' where scheme = 'KL' and grade = '3'", "stages"),
        ("update catalogue.programme_visit set window_high_day = 45 where planned_visit = '1 month'", "planned visits"),
        pytest.param("update catalogue.programme set evaluation_latest_day = 400", "rules of the programme", marks=pytest.mark.slow),
        pytest.param("update catalogue.scoring set n_needed = 9 where scale = 'KOOS/pain'", "scales and their scoring", marks=pytest.mark.slow),
        pytest.param("update catalogue.loss_definition set worsening_min = 9", "loss of response", marks=pytest.mark.slow),
        pytest.param("delete from catalogue.programme_event where kind = 'TKA'", "events", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_definition_changed_under_the_same_version_is_told_by_what_it_defines(case, edit, kind):
    with writing(case.path) as con:
        con.execute(edit)
    assert case.why == [f"changed in the catalogues: {kind}"]


def test_code_that_changed_under_the_same_version_is_told(case, monkeypatch):
    monkeypatch.setattr(module, "code_hash", lambda: "f" * 64)
    assert case.told() == [f"The code changed under the same version ({case.before['code']} → ffffffffffff)."]


def test_reasons_are_told_in_the_language_of_the_report(case):
    case.load("better", range(17), pain=55, reason="read from the paper again")
    assert case.told(words=words_of("de"))[-1].startswith("Arthrose, warum: 17 Werte berichtigt (")
    case.load("more", range(30, 42))
    assert "Arthrose, warum: 12 neue Patienten; 12 neue Verläufe; " in case.told(words=words_of("de"))[-1]


def test_numbers_of_a_report_from_before_there_were_reasons_give_none(case):
    case.load("more", range(30, 42))
    for key in ("code", "last_load"):
        del case.before[key]
    case.before["programmes"]["osteoarthritis"] = {"label": "Osteoarthritis", "results": {}}
    assert case.why == []
