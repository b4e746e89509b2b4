"""Reports of single centres: for whom one is written, and who is not found again by subtraction."""

import pytest

from analysis.disclosure.complementary import refusals
from reports.by_centre import folder_of


@pytest.mark.parametrize(
    ("patients", "of_no_centre", "without"),
    [
        ([("A", 30), ("B", 80)], 0, []),
        ([("A", 3), ("B", 30), ("C", 80)], 0, ["A", "B"]),  # A alone would be all but B and C
        ([("A", 3), ("B", 4), ("C", 30)], 0, ["A", "B"]),  # together seven: A and B are not told apart
        ([("A", 30), ("B", 80)], 2, ["A"]),  # two of no known centre would be all but A and B
        ([("A", 30), ("B", 80)], 9, []),
        ([("A", 4)], 0, ["A"]),
        ([("A", 3), ("B", 30)], 0, ["A", "B"]),
        ([], 4, []),
    ],
)
def test_a_small_centre_has_no_report_and_cannot_be_found_by_subtraction(patients, of_no_centre, without):
    reasons = refusals(patients, of_no_centre)
    assert [c for c, why in reasons.items() if why] == without
    hidden = of_no_centre + sum(n for c, n in patients if reasons[c])
    assert hidden == 0 or hidden >= 5 or all(reasons.values())


def test_the_code_of_a_centre_leads_nowhere_else():
    assert folder_of("ZRH") == "centre-ZRH"
    assert "/" not in folder_of("../../etc") and not folder_of("..").startswith(".")
