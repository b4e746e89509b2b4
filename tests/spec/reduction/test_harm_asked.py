"""Which adverse events are asked about, and their relation to the product, the procedure or the harvest."""

import pytest

from tests.spec.reduction.test_harm_event import CASE


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "- | 1 | no | -",
            "Anna left 1 | 2 | 1 | related\n Anna left 1 | 2 | 2 | not related\n"
            " Anna left 2 | 10 | 3 | related\n Anna right 1 | 9 | 2 | not stated",
        ),
        ("- | 2 | no | product", "Anna left 1 | 2 | 2 | not related\n Anna left 2 | 10 | 3 | related\n"
         " Anna right 1 | 9 | 2 | not stated"),
        ("pain_flare | 1 | no | procedure", "Anna left 1 | 2 | 1 | not stated\n Anna right 1 | 9 | 2 | not stated"),
        ("- | 1 | yes | -", "Anna left 2 | 10 | 3 | related"),
    ],
    ids=["all, of a second knee and a second course too", "grade 2 or more", "to the procedure", "serious"],
)  # fmt: skip
def test_each_event_of_a_second_knee_and_a_second_course_too_is_told_with_its_relation(given, question, expected):
    given(CASE.format(question=question)).derives(
        "reduction.harm_asked", f"course | day | grade | relation\n {expected}"
    )
