"""Sessions, time watched and adverse events of each course."""


def test_a_second_knee_and_a_second_course_are_watched_each_to_its_own_last_contact(given):
    given("""
        sessions
        patient | side  | course | session | day
        Anna    | left  | 1      | 1       | 0
        Anna    | left  | 1      | 2       | 30
        Anna    | left  | 2      | 1       | 500
        Anna    | right | 1      | 1       | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 90  | 45
        Anna    | right | 180 | 45

        harms
        patient | side  | day | category
        Anna    | left  | 2   | pain_flare
        Anna    | left  | 510 | fever

        cohort
        course
        Anna left 1
        Anna left 2
        Anna right 1

        harm question
        category
        -
    """).derives(
        "reduction.harm_course",
        """
        course       | n_sessions | watched_day | n_events | n_watched_events
        Anna left 1  | 2          | 90          | 1        | 1
        Anna left 2  | 1          | 1           | 1        | 0
        Anna right 1 | 1          | 180         | 0        | 0
    """,
    )
