"""Defects across rows: each row was good alone, but two of them contradict each other."""

import pytest

from registry import Registry
from tests.registry.conftest import GOOD


def defects(clinic) -> set[str]:
    clinic.load()
    with Registry.open(clinic.path) as registry:
        return set(registry.check()["defect"])


@pytest.mark.parametrize(
    ("file", "rows", "defect"),
    [
        ("measurements", "MRN-4711,knee,left,2023-07-30,KOOS,,pain,60,\n", "score_after_replacement"),
        ("sessions", "MRN-4711,knee,left,1,2,2023-08-01,planned_series,intra_articular,ultrasound,BMAC\n", "session_after_replacement"),
        ("sessions", "MRN-4711,knee,left,1,2,2022-09-01,booster_regression,intra_articular,ultrasound,BMAC\n", "booster_without_decision"),
        ("courses", "MRN-4711,knee,left,2,osteoarthritis\n", "course_without_session"),
        ("products", "WJ,autologous,whartons_jelly,mechanical,no,yes,US_361\n", "product_donor_conflict"),
        ("items", "".join(f"MRN-4711,knee,left,2022-05-03,KOOS,,P{i},4\n" for i in range(1, 10)), "item_and_score_disagree"),
        ("visits", "MRN-4711,knee,left,2023-12-01,,done\n", "after_death"),
    ],
)  # fmt: skip
def test_rows_that_contradict_each_other_are_found(clinic, file, rows, defect):
    clinic.write_good()
    if defect == "after_death":
        clinic.write("events", GOOD["events"].replace("TKA", "TKA") + "MRN-4711,,,2023-11-01,death\n")
    clinic.write(file, GOOD[file] + rows)
    assert defect in defects(clinic)


def test_courses_that_overlap_are_found(clinic):
    clinic.write_good()
    clinic.write("courses", GOOD["courses"] + "MRN-4711,knee,left,2,osteoarthritis\n")
    more = "MRN-4711,knee,left,1,2,2022-03-15,planned_series,intra_articular,ultrasound,BMAC\n"
    again = "MRN-4711,knee,left,2,1,2022-03-01,initial,intra_articular,ultrasound,BMAC\n"
    clinic.write("sessions", GOOD["sessions"] + more + again)
    assert "overlapping_courses" in defects(clinic)


def test_good_files_have_no_defect(clinic):
    clinic.write_good()
    assert defects(clinic) == set()
