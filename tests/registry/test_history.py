"""Corrections never overwrite, retractions stay known, the record can be read as it was, and tampering is found."""

import datetime as dt
import re

import duckdb
import numpy as np
import pytest

from registry import Registry, history
from registry.errors import UsageError
from registry.server import address_file
from tests.registry.conftest import GOOD

HELD = "from record.measurement where date = '2022-05-03' and subscale = 'pain'"
PAIN = "MRN-4711,knee,left,2022-05-03,KOOS,,pain,72.2222,"


@pytest.fixture
def loaded(clinic, once):
    clinic.write_good()
    once(clinic, "good", clinic.load)
    return clinic


@pytest.fixture
def corrected(loaded, once):
    loaded.spoil("measurements", PAIN, PAIN.replace("72.2222", "77.7778"))
    once(loaded, "corrected", lambda: loaded.load(reason="typed from the wrong form"))
    return loaded


def pain(clinic, as_of=None):
    """The pain score of 3 May, now (from the file itself: nothing need be derived for it) or as it was."""
    if as_of is None:
        with duckdb.connect(str(clinic.path), read_only=True) as con:
            return [float(v) for (v,) in con.sql(f"select value {HELD}").fetchall()]
    with Registry.open(clinic.path, as_of=as_of) as registry:
        return [float(v) for v in registry.sql(f"select value {HELD}")["value"]]


def test_without_a_reason_a_changed_row_is_refused_and_nothing_is_changed(loaded, refusals):
    loaded.spoil("measurements", PAIN, PAIN.replace("72.2222", "77.7778"))
    report = loaded.load()
    assert [r[3] for r in refusals(report)] == ["duplicate_key"] and report.corrected == 0
    assert "--reason" in report.rejections["advice"].item() and pain(loaded) == [72.2222]


def test_a_correction_shows_what_holds_now_and_keeps_who_when_where_what_and_why(corrected):
    assert pain(corrected) == [77.7778]
    with Registry.open(corrected.path) as registry:
        row = registry.changes().row(0, named=True)
        assert registry.changes().height == 1
    told = [row[c] for c in ("load", "kind", "table", "file", "line", "column", "old", "new", "reason")]
    reason = "typed from the wrong form"
    assert told == [2, "corrected", "measurements", "measurements.csv", 3, "value", "72.2222", "77.7778", reason]
    assert (
        row["loaded_by"] and abs(row["loaded_at"] - dt.datetime.now(dt.UTC).replace(tzinfo=None)).total_seconds() < 600
    )


def test_rows_in_are_still_rows_accepted_and_refused_and_corrections_are_counted(loaded, refusals):
    loaded.spoil("measurements", PAIN, PAIN.replace("72.2222", "77.7778"))
    loaded.add("measurements", value="500", date="2022-07-01")
    report = loaded.load(reason="second look")
    assert (report.corrected, report.new, len(refusals(report))) == (1, 1, 1)
    assert "1 new, 1 of them corrections" in next(line for line, _ in report.lines() if " in = " in line)


def test_a_reason_is_given_in_words(loaded):
    with pytest.raises(UsageError, match="Say why values are other now"):
        loaded.load(reason="  ")


def test_of_two_versions_in_one_load_neither_is_taken(loaded, refusals):
    loaded.spoil("measurements", PAIN, PAIN.replace("72.2222", "77.7778") + "\n" + PAIN.replace("72.2222", "80"))
    report = loaded.load(reason="two forms")
    assert {r[3] for r in refusals(report)} == {"duplicate_key"} and pain(loaded) == [72.2222]


def test_the_old_file_loaded_again_does_not_bring_the_old_value_back(corrected):
    corrected.write_good("measurements")
    before = corrected.text()
    report = corrected.load()
    assert (report.new, report.rejected, pain(corrected)) == (0, 0, [77.7778])
    assert any("repeat versions that were corrected since" in note for note in report.notes)
    assert corrected.text() == before


def test_the_record_is_read_as_it_was_after_a_load_or_at_the_end_of_a_day(corrected):
    assert (pain(corrected, 1), pain(corrected, 2), pain(corrected, "1")) == ([72.2222], [77.7778], [72.2222])
    assert pain(corrected, dt.datetime.now(dt.UTC).date()) == [77.7778]
    with Registry.open(corrected.path, as_of=1) as registry:
        assert registry.changes().height == 0 and "after load 1" in registry.notes[0]
        told = registry.verify()
        assert told.problems == () and told.entries == corrected.sql("select count(*) from log.audit").item() - 1
        assert float(
            registry.sql("select worse100 from course.score where day = 91 and scale = 'KOOS/pain'").item()
        ) == pytest.approx(27.7778)


@pytest.mark.parametrize(
    ("when", "why"),
    [
        (9, "There is no load 9"),
        ("2001-01-01", "Nothing had been loaded by 2001-01-01"),
        ("spring", "neither a load's"),
        ((dt.date.today() + dt.timedelta(days=2)).isoformat(), "has not come yet"),
    ],
)
def test_a_day_before_the_first_load_or_to_come_or_no_load_is_said(corrected, when, why):
    with pytest.raises(UsageError, match=why):
        Registry.open(corrected.path, as_of=when)


def test_a_withdrawal_of_consent_comes_as_a_correction_and_takes_the_course_out_from_then_on(loaded):
    loaded.write("patients", "patient,centre,birth_year,sex,height_cm,enrolment_date,withdrawn_date,withdrawal_scope\n"
                             "MRN-4711,ZRH,1960,female,165,2022-01-01,2022-03-01,all_data\n")  # fmt: skip
    report = loaded.load(loaded.folder / "patients.csv", reason="letter of the patient")
    assert report.corrected == 1 and report.rejected == 0
    now, then = (_courses(loaded, when) for when in (None, 1))
    assert (now, then) == (0, 1)


def _courses(clinic, when):
    with Registry.open(clinic.path, as_of=when) as registry:
        return len(registry.courses())


def test_a_retracted_row_leaves_the_record_and_stays_in_the_past_with_the_reason(loaded):
    assert history.retract(loaded.path, "measurements.csv", [3], reason="another patient's form") == 1
    assert (pain(loaded), pain(loaded, 1)) == ([], [72.2222])
    with Registry.open(loaded.path) as registry:
        row = registry.changes().row(0, named=True)
    assert [row[c] for c in ("kind", "file", "line", "column", "reason")] == [
        "retracted", "measurements.csv", 3, None, "another patient's form",
    ]  # fmt: skip


def test_a_retracted_row_does_not_come_back_unsaid_but_with_a_reason(loaded, refusals):
    history.retract(loaded.path, "measurements.csv", [3], reason="another patient's form")
    report = loaded.load()
    assert refusals(report) == [("measurements.csv", 3, None, "retracted", None)] and pain(loaded) == []
    again = loaded.load(reason="it was hers after all")
    assert (again.rejected, pain(loaded)) == (0, [72.2222])
    with Registry.open(loaded.path) as registry:
        told = registry.changes().select("load", "kind", "file", "line", "reason").rows()
    assert told[-1] == (3, "reinstated", "measurements.csv", 3, "it was hers after all")


def test_a_name_that_two_loads_brought_is_not_guessed_at(loaded):
    """Each month brings a measurements.csv: line 3 of which of them?"""
    loaded.write("measurements", GOOD["measurements"].splitlines()[0] + "\n" + "".join(
        f"MRN-4711,knee,left,2022-0{month}-03,KOOS,,pain,70,\n" for month in (6, 7)))  # fmt: skip
    loaded.load(loaded.folder / "measurements.csv")
    before = loaded.text()
    with pytest.raises(UsageError, match=r"came with loads 1, 2, each with such a line\. Nothing was changed"):
        history.retract(loaded.path, "measurements.csv", [3], reason="wrong form")
    assert loaded.text() == before
    assert history.retract(loaded.path, "measurements.csv", [3], reason="wrong form", load=2) == 1
    assert pain(loaded) == [72.2222]
    assert loaded.sql("select count(*) from record.measurement where date = '2022-07-03'").item() == 0


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("measurements.csv", 99, "No row of the record came from measurements.csv, line 99"),
        ("patients.csv", 2, "belong to a row of patient"),
        ("targets.csv", 2, "belong to a row of target"),
    ],
)
def test_what_cannot_be_retracted_is_said_and_nothing_is_done(loaded, file, line, why):
    before = loaded.text()
    with pytest.raises(UsageError, match=why):
        history.retract(loaded.path, file, [line], reason="mistake")
    with pytest.raises(UsageError, match="Say why"):
        history.retract(loaded.path, "measurements.csv", [3], reason="  ")
    assert loaded.text() == before


def test_after_any_course_of_corrections_and_retractions_each_past_state_is_found_again(loaded):
    rng, states = np.random.default_rng(7), {1: pain(loaded)}
    held = loaded.sql("select count(*) from log.audit").item()
    for step in range(2, 12):
        if pain(loaded) and rng.random() < 0.3:
            with Registry.open(loaded.path) as registry:
                line = registry.sql(
                    "select source_line from record.measurement where date = '2022-05-03' and subscale = 'pain'"
                ).item()
            history.retract(loaded.path, "measurements.csv", [line], reason=f"step {step}")
        else:
            loaded.spoil("measurements", PAIN, PAIN.replace("72.2222", str(30 + step)))
            loaded.load(reason=f"step {step}")
        states[step] = pain(loaded)
    assert {n: pain(loaded, n) for n in states} == states
    with Registry.open(loaded.path) as registry:
        found = registry.verify()
    assert found.problems == () and found.entries == held + 10


TAMPERING = {
    "update record.measurement set value = 99 where subscale = 'vas'": "what is held of measurement is not what was loaded",
    "delete from record.measurement where subscale = 'vas'": "brought 3 rows of measurement; the registry holds 2",
    "update past.measurement set value = 1": "load 1: what is held of measurement is not what was loaded",
    "update log.change set old_value = '71'": "load 2: the log of its changes is not what was written",
    "update log.audit set made_by = 'nobody' where action = 'load'": r"entry \d .* does not follow",
    "delete from log.audit where action = 'load'": r"entry \d of the chain is missing",
    "delete from log.audit where action = 'correction'": "load 2 is not in the chain",
    "update log.source_file set file = 'other.csv' where source_file_id = 1": "load 1: its day, its reason or its files",
    "update log.load set extracted_on = '2030-01-01' where load_id = 2": "load 2: its day, its reason or its files",
    "update log.load set reason = 'none' where load_id = 2": "load 2: its day, its reason or its files",
    "delete from log.load where load_id = 2": "load 2 is in the chain but not in the log",
}


@pytest.mark.parametrize("statement", TAMPERING)
def test_what_is_altered_behind_the_programs_back_is_found(corrected, statement):
    with Registry.open(corrected.path) as registry:
        assert registry.verify().problems == ()
    address_file(corrected.path).unlink(missing_ok=True)  # a working copy would mend itself
    with duckdb.connect(str(corrected.path)) as con:
        con.execute(statement)
    with Registry.open(corrected.path) as registry:
        problems = registry.verify().problems
    assert any(re.search(TAMPERING[statement], p) for p in problems), problems


def test_every_entry_of_the_chain_carries_the_hash_of_the_one_before(corrected):
    rows = corrected.sql("select action, previous, hash from log.audit order by seq").rows()
    assert [r[0] for r in rows if r[0] != "share"] == ["create", "load", "correction"]
    assert rows[0][1] == "0" * 64 and [r[1] for r in rows[1:]] == [r[2] for r in rows[:-1]]
