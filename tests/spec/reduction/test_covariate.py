"""What was known at the first session of every course of the cohort, judged or not."""


def test_courses_of_which_nothing_was_seen_after_treatment_are_known_too(given):
    given("""
        sessions
        patient | side | course | day
        Anna    | left | 1      | 0
        Bert    | left | 1      | 0

        scores
        patient | side | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left | 0   | 40        | 50       | 60
        Bert    | left | 0   | 30        | 50       | 60
        Bert    | left | 90  | 70        | 50       | 60

        cohort
        course
        Anna left 1
        Bert left 1
    """).derives(
        "reduction.covariate",
        """
        course      | baseline | sex
        Anna left 1 | 60.0     | female
        Bert left 1 | 70.0     | female
    """,
    )
