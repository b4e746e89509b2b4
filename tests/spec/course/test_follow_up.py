"""How far each course was followed: by scores, and by any contact."""


def test_a_visit_without_scores_is_a_contact_but_no_assessment(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 90  | 60
        Anna    | left | 180 | 65

        visits
        patient | side | day | status
        Anna    | left | 365 | done
        Anna    | left | 730 | missed
    """).derives(
        "course.follow_up",
        """
        n_assessed_days | last_assessed_day | last_contact_day
        2               | 180               | 365
    """,
    )


def test_a_scale_outside_the_programme_is_no_assessment(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | body_weight
        Anna    | -    | 90  | 80
    """).derives(
        "course.follow_up",
        """
        n_assessed_days | last_assessed_day | last_contact_day
        0               | -                 | 0
    """,
    )


def test_a_course_that_never_began_was_never_followed(given):
    given("""
        courses
        patient | side | course
        Anna    | left | 1

        visits
        patient | side | day
        Anna    | left | 30
    """).derives(
        "course.follow_up",
        """
        course      | n_assessed_days | last_contact_day
        Anna left 1 | 0               | -
    """,
    )


def test_a_second_knee_and_a_second_course_are_followed_each_for_itself(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 90  | 60
        Anna    | left  | 590 | 60
        Anna    | right | 180 | 60

        visits
        patient | side | day
        Anna    | left | 700
        Anna    | left | 420
    """).derives(
        "course.follow_up",
        """
        course       | n_assessed_days | last_assessed_day | last_contact_day
        Anna left 1  | 1               | 90                | 420
        Anna left 2  | 1               | 90                | 200
        Anna right 1 | 1               | 180               | 180
    """,
    )
