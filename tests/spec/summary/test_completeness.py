"""Completeness by planned visit and stage: due and seen, never the share of those who came."""


def test_a_second_knee_and_a_second_course_are_counted_each_under_its_own_stage(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0
        Bert    | left  | 1      | 0

        grades
        patient | side  | day | grade
        Anna    | left  | 0   | 2
        Anna    | left  | 500 | 3
        Anna    | right | 0   | 2

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 90  | 60
        Anna    | left  | 590 | 60
        Bert    | left  | 90  | 60
    """).derives(
        "summary.completeness",
        """
        stage     | n_due | n_seen
        early     | 2     | 1
        moderate  | 1     | 1
        not known | 1     | 1
    """,
        where="planned_visit = '3 months' and programme = 'osteoarthritis'",
    )


def test_a_course_that_ended_is_no_longer_due(given):
    given("""
        sessions
        patient | side  | day
        Anna    | left  | 0
        Bert    | left  | 0

        events
        patient | side | day | kind
        Bert    | left | 60  | TKA
    """).derives(
        "summary.completeness",
        """
        planned_visit | n_due | n_seen
        3 months      | 1     | 0
    """,
        where="planned_visit = '3 months' and programme = 'osteoarthritis'",
    )
