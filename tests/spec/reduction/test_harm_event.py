"""Which adverse events are counted, by category, grade, seriousness and relatedness."""

import pytest

CASE = """
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 2   | 45
        Anna    | left  | 600 | 45

        harms
        patient | side  | day | category   | grade | serious | related
        Anna    | left  | 2   | pain_flare | 1     | no      | possible
        Anna    | left  | 2   | swelling   | 2     | no      | unlikely
        Anna    | left  | 510 | fever      | 3     | yes     | definite
        Anna    | right | 9   | pain_flare | 2     | no      | -

        cohort
        course
        Anna left 1
        Anna left 2
        Anna right 1

        harm question
        category | grade | serious | related to
        {question}
"""


def test_a_second_knee_and_a_second_course_are_counted_apart(given):
    given(CASE.format(question="- | 1 | no | -")).derives(
        "reduction.harm_event",
        """
        course       | day | n | watched
        Anna left 1  | 2   | 2 | yes
        Anna left 2  | 10  | 1 | yes
        Anna right 1 | 9   | 1 | no
    """,
    )


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("pain_flare | 1 | no | -", "Anna left 1 | 2 | 1\n Anna right 1 | 9 | 1"),
        ("- | 2 | no | -", "Anna left 1 | 2 | 1\n Anna left 2 | 10 | 1\n Anna right 1 | 9 | 1"),
        ("- | 1 | yes | -", "Anna left 2 | 10 | 1"),
        ("- | 1 | no | product", "Anna left 1 | 2 | 1\n Anna left 2 | 10 | 1"),
    ],
    ids=["one category", "grade 2 or more", "serious", "at least possibly related; not known is not related"],
)
def test_the_question_says_which_events_count(given, question, expected):
    given(CASE.format(question=question)).derives("reduction.harm_event", f"course | day | n\n {expected}")
