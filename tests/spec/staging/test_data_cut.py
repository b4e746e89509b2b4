"""The day up to which a centre's data speak."""

import datetime as dt

import pytest

from registry import Registry, derive
from registry.ingest import load

PATIENTS = "patient,centre,birth_year,sex,enrolment_date\n{p},{c},1960,female,2022-01-01\n"
TARGETS = "patient,site,side,kind\n{p},knee,left,joint\n{p},knee,right,joint\n"
COURSES = "patient,site,side,course_no,programme\n{p},knee,left,1,osteoarthritis\n{p},knee,right,1,osteoarthritis\n{p},knee,left,2,osteoarthritis\n"
PRODUCT = "product,donor,origin,separation,expanded\nBMAC,autologous,bone_marrow,none,no\n"
SESSIONS = "patient,site,side,course_no,session_no,date,intent,route,guidance,product\n" + "".join(
    "{p},knee," + row + ",initial,intra_articular,ultrasound,BMAC\n"
    for row in ("left,1,1,2022-01-10", "right,1,1,2022-02-10", "left,2,1,2023-01-10")
)


def send(folder, patient, centre):
    folder.mkdir()
    for name, text in {
        "patients": PATIENTS, "targets": TARGETS, "courses": COURSES, "sessions": SESSIONS, "products": PRODUCT
    }.items():  # fmt: skip
        (folder / f"{name}.csv").write_text(text.replace("{p}", patient).replace("{c}", centre))
    (folder / "centres.csv").write_text(f"centre\n{centre}\n")
    return folder


@pytest.fixture
def two_clinics(tmp_path):
    Registry.create(tmp_path / "r.duckdb").close()
    load(tmp_path / "r.duckdb", [send(tmp_path / "a", "1", "A")], extracted_on=dt.date(2023, 6, 30))
    load(tmp_path / "r.duckdb", [send(tmp_path / "b", "2", "B")], extracted_on=dt.date(2025, 12, 31))
    derive(tmp_path / "r.duckdb")
    return tmp_path


def cuts(folder):
    with Registry.open(folder / "r.duckdb") as registry:
        return registry.con.sql(
            "select centre.centre, course.course_no, target.side, course.data_cut from course.course as course "
            "join record.target as target on target.id = course.target_id "
            "join record.patient as patient on patient.id = course.patient_id "
            "join record.centre as centre on centre.id = patient.centre_id order by all"
        ).fetchall()


def test_a_later_file_of_one_centre_moves_no_other_also_for_the_second_knee_and_the_second_course(two_clinics):
    days = {centre: {day for c, _, _, day in cuts(two_clinics) if c == centre} for centre in "AB"}
    assert days == {"A": {dt.date(2023, 6, 30)}, "B": {dt.date(2025, 12, 31)}}
    assert len(cuts(two_clinics)) == 6


def test_the_same_rows_sent_again_later_move_their_own_centre(two_clinics):
    load(two_clinics / "r.duckdb", [two_clinics / "a"], extracted_on=dt.date(2024, 6, 30))
    derive(two_clinics / "r.duckdb")
    assert {day for c, _, _, day in cuts(two_clinics) if c == "A"} == {dt.date(2024, 6, 30)}
