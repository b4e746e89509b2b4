"""Scores after treatment, each at the planned visit in whose window it falls."""


def test_of_several_scores_in_a_window_the_nearest_to_its_day_is_the_value_of_the_visit(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 80  | 50
        Anna    | left | 95  | 60
        Anna    | left | 130 | 65
    """).derives(
        "course.planned_score",
        """
        planned_visit | day | value | choice
        3 months      | 80  | 50    | 2
        3 months      | 95  | 60    | 1
    """,
    )


def test_a_second_knee_and_a_second_course_keep_their_own_schedule(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 90  | 50
        Anna    | left  | 680 | 60
        Anna    | right | 180 | 70
    """).derives(
        "course.planned_score",
        """
        course       | planned_visit | day | value
        Anna left 1  | 3 months      | 90  | 50
        Anna left 2  | 6 months      | 180 | 60
        Anna right 1 | 6 months      | 180 | 70
    """,
    )
