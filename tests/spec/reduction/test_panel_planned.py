"""The state at each planned visit, and what is said where there was none."""

CASE = """
        sessions
        patient | side  | course | session | day
        Anna    | left  | 1      | 1       | 0
        Anna    | left  | 2      | 1       | 500
        Anna    | right | 1      | 1       | 0

        default definition
        definition
        KOOS-pain-physio

        data cut
        day
        800

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 0   | 40
        Anna    | left  | 90  | 80
        Anna    | left  | 180 | 42
        Anna    | left  | 500 | 40
        Anna    | left  | 590 | 42
        Anna    | right | 0   | 40
        Anna    | right | 90  | 42

        events
        patient | side  | day | kind
        Anna    | right | 200 | TKA

        cohort
        course
        Anna left 1
        Anna left 2
        Anna right 1

        question
        definition       | confirmation
        KOOS-pain-physio | first

        loss question
        loss
        L1
"""


def test_a_second_knee_and_a_second_course_have_each_their_own_states_and_what_is_not_known_is_named(given):
    given(CASE).derives(
        "reduction.panel_planned",
        """
        course       | planned_visit | state
        Anna left 1  | baseline      | no_response_yet
        Anna left 1  | 3 months      | in_response
        Anna left 1  | 6 months      | response_lost
        Anna left 1  | 12 months     | not_seen
        Anna left 1  | 24 months     | not_due
        Anna left 1  | 36 months     | not_due
        Anna left 2  | baseline      | no_response_yet
        Anna left 2  | 3 months      | no_response_yet
        Anna left 2  | 6 months      | not_seen
        Anna left 2  | 12 months     | not_due
        Anna left 2  | 24 months     | not_due
        Anna left 2  | 36 months     | not_due
        Anna right 1 | baseline      | no_response_yet
        Anna right 1 | 3 months      | no_response_yet
        Anna right 1 | 6 months      | not_seen
        Anna right 1 | 12 months     | ended
        Anna right 1 | 24 months     | ended
        Anna right 1 | 36 months     | ended
    """,
    )


def test_courses_are_counted_by_where_they_go_from_one_planned_visit_to_the_next(given):
    given(CASE).derives(
        "reduction.panel_flow",
        """
        position | state           | next_state      | n
        1        | no_response_yet | in_response     | 1
        1        | no_response_yet | no_response_yet | 2
        3        | in_response     | response_lost   | 1
        3        | no_response_yet | not_seen        | 2
        4        | response_lost   | not_seen        | 1
        4        | not_seen        | not_due         | 1
        4        | not_seen        | ended           | 1
        5        | not_seen        | not_due         | 1
        5        | not_due         | not_due         | 1
        5        | ended           | ended           | 1
        6        | not_due         | not_due         | 2
        6        | ended           | ended           | 1
        7        | not_due         | last_visit      | 2
        7        | ended           | last_visit      | 1
    """,
    )
