"""When and how courses ended, beside what was known at their first session."""


def test_every_course_that_was_heard_of_has_its_end_and_what_was_known_at_its_own_first_session(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | right | 1      | 0
        Bert    | left  | 1      | 0

        scores
        patient | side  | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left  | 0   | 40        | 50       | 60
        Anna    | right | 0   | 30        | 50       | 60
        Anna    | left  | 200 | 45        | 50       | 60
        Bert    | left  | 0   | 20        | 50       | 60

        events
        patient | side  | day | kind
        Anna    | right | 150 | TKA

        cohort
        course
        Anna left 1
        Anna right 1
        Bert left 1
    """).derives(
        "reduction.end_covariate",
        """
        course       | baseline | cause    | day
        Anna left 1  | 60.0     | censored | 200
        Anna right 1 | 70.0     | end      | 150
    """,
    )
