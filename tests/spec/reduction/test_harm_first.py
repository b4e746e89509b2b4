"""The first adverse event of each course, its end before one, or the last contact."""

CASE = """
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 200 | 45
        Anna    | left  | 600 | 45
        Anna    | right | 200 | 45

        harms
        patient | side  | day | category   | grade
        Anna    | left  | 20  | pain_flare | 1
        Anna    | left  | 90  | swelling   | 2

        events
        patient | side  | day | kind
        Anna    | right | 150 | TKA

        cohort
        course
        Anna left 1
        Anna left 2
        Anna right 1

        harm question
        category | grade | serious | related to
        -        | 1     | no      | -
"""


def test_a_second_knee_and_a_second_course_have_a_first_event_an_end_or_a_last_contact_of_their_own(given):
    given(CASE).derives(
        "reduction.harm_first",
        """
        course       | cause    | day
        Anna left 1  | event    | 20
        Anna left 2  | censored | 100
        Anna right 1 | over     | 150
    """,
    )
