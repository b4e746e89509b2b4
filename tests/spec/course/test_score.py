"""Scores by day of the course."""


def test_a_second_knee_and_a_second_course_see_only_their_own_scores(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 90  | 60
        Anna    | left  | 590 | 70
        Anna    | right | 90  | 80
    """).derives(
        "course.score",
        """
        course       | day  | value
        Anna left 1  | 90   | 60
        Anna left 2  | -410 | 60
        Anna left 2  | 90   | 70
        Anna right 1 | 90   | 80
    """,
    )


def test_a_score_on_the_day_of_the_next_course_closes_one_and_opens_the_other(given):
    given("""
        sessions
        patient | side | course | day
        Anna    | left | 1      | 0
        Anna    | left | 2      | 500

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 500 | 55
        Anna    | left | 501 | 56
    """).derives(
        "course.score",
        """
        course      | day | value
        Anna left 1 | 500 | 55
        Anna left 2 | 0   | 55
        Anna left 2 | 1   | 56
    """,
    )


def test_a_score_of_the_whole_patient_counts_for_both_knees(given):
    given("""
        sessions
        patient | side  | day
        Anna    | left  | 0
        Anna    | right | 10

        scores
        patient | side | day | EQ5D5L/vas
        Anna    | -    | 90  | 65
    """).derives(
        "course.score",
        """
        course       | day | value
        Anna left 1  | 90  | 65
        Anna right 1 | 80  | 65
    """,
    )


def test_a_score_of_the_patient_is_not_doubled_where_the_knee_has_its_own_of_that_day(given):
    given("""
        sessions
        patient | side  | day
        Anna    | left  | 0
        Anna    | right | 0

        scores
        patient | side | day | PtGA
        Anna    | -    | 90  | 60
        Anna    | left | 90  | 20
    """).derives(
        "course.score",
        """
        course       | day | value
        Anna left 1  | 90  | 20
        Anna right 1 | 90  | 60
    """,
    )


def test_another_patients_scores_are_not_ours(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | EQ5D5L/vas | KOOS/pain
        Bert    | -    | 90  | 65         | -
        Bert    | left | 90  | -          | 50
    """).derives(
        "course.score",
        """
        course | day | value
    """,
    )
