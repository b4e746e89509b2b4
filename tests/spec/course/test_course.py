"""Courses in time: first session, next course, data cut."""


def test_follow_up_was_possible_up_to_the_data_cut(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 100

        data cut
        day
        400
    """).derives(
        "course.course",
        """
        course      | index_date | data_cut | potential_follow_up_day
        Anna left 1 | day 100    | day 400  | 300
    """,
    )


def test_the_latest_extraction_is_the_data_cut(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        data cut
        day
        400
        350
    """).derives(
        "course.course",
        """
        data_cut
        day 400
    """,
    )


def test_the_second_knee_stays_open_when_a_second_course_closes_the_first(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        data cut
        day
        900
    """).derives(
        "course.course",
        """
        course       | next_course_day | potential_follow_up_day
        Anna left 1  | 500             | 500
        Anna left 2  | -               | 400
        Anna right 1 | -               | 900
    """,
    )


def test_a_planned_course_without_a_session_closes_nothing(given):
    given("""
        sessions
        patient | side | course | day
        Anna    | left | 1      | 0
        Anna    | left | 3      | 700

        courses
        patient | side | course
        Anna    | left | 2
    """).derives(
        "course.course",
        """
        course      | index_date | next_course_day
        Anna left 1 | day 0      | 700
        Anna left 2 | -          | -
        Anna left 3 | day 700    | -
    """,
    )


def test_planned_sessions_and_boosters_are_counted_apart(given):
    given("""
        sessions
        patient | side | planned | session | day | intent
        Anna    | left | 2       | 1       | 0   | initial
        Anna    | left | 2       | 2       | 30  | planned_series
        Anna    | left | 2       | 3       | 200 | booster_regression
    """).derives(
        "course.course",
        """
        n_planned_sessions | n_boosters | last_planned_session_day
        2                  | 1          | 30
    """,
    )


def test_a_course_may_be_evaluated_earlier_than_its_programme_says(given):
    given("""
        sessions
        patient | side  | day | evaluated from
        Anna    | left  | 0   | 60
        Anna    | right | 0   | -
    """).derives(
        "course.course",
        """
        course       | evaluation_earliest_day
        Anna left 1  | 60
        Anna right 1 | 90
    """,
    )
