"""Treatment sessions by day of their course, and what each of them is: initial, planned, booster, retreatment."""

import pytest


def test_day_zero_is_the_first_session_of_the_course(given):
    given("""
        sessions
        patient | side | planned | session | day | intent
        Anna    | left | 2       | 1       | 10  | initial
        Anna    | left | 2       | 2       | 40  | planned_series
    """).derives(
        "course.session",
        """
        session_no | day | index_date | role
        1          | 0   | day 10     | initial
        2          | 30  | day 10     | planned
    """,
    )


@pytest.mark.parametrize("intent", ["booster_regression", "booster_insufficient", "booster_scheduled"])
def test_a_later_session_meant_as_a_booster_is_one(given, intent):
    given(f"""
        sessions
        patient | side | planned | session | day | intent
        Anna    | left | 3       | 1       | 0   | initial
        Anna    | left | 3       | 2       | 60  | {intent}
    """).derives(
        "course.session",
        """
        session_no | role
        1          | initial
        2          | booster
    """,
    )


def test_the_first_session_is_never_a_booster_whatever_it_was_meant_as(given):
    given("""
        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | booster_scheduled
    """).derives(
        "course.session",
        """
        session_no | role
        1          | initial
    """,
    )


def test_a_session_with_another_product_is_a_retreatment(given):
    given("""
        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | initial
        Anna    | left | 2       | 200 | retreatment_changed_product
    """).derives(
        "course.session",
        """
        session_no | role
        1          | initial
        2          | retreatment
    """,
    )


@pytest.mark.parametrize(("day", "role"), [(90, "planned"), (91, "booster")])
def test_a_session_beyond_the_series_is_a_booster_once_evaluation_was_due(given, day, role):
    given(f"""
        sessions
        patient | side | planned | session | day   | intent
        Anna    | left | 1       | 1       | 0     | initial
        Anna    | left | 1       | 2       | {day} | planned_series
    """).derives(
        "course.session",
        f"""
        day   | role
        0     | initial
        {day} | {role}
    """,
    )


def test_a_course_that_does_not_say_how_many_sessions_were_planned_planned_one(given):
    given("""
        sessions
        patient | side | planned | session | day | intent
        Anna    | left | -       | 1       | 0   | initial
        Anna    | left | -       | 2       | 180 | planned_series
    """).derives(
        "course.session",
        """
        day | role
        0   | initial
        180 | booster
    """,
    )


def test_a_second_knee_and_a_second_course_count_days_from_their_own_first_session(given):
    given("""
        sessions
        patient | side  | course | session | day | intent
        Anna    | left  | 1      | 1       | 0   | initial
        Anna    | right | 1      | 1       | 100 | initial
        Anna    | left  | 2      | 1       | 500 | initial
        Anna    | left  | 2      | 2       | 650 | booster_regression
    """).derives(
        "course.session",
        """
        course       | day | role
        Anna left 1  | 0   | initial
        Anna left 2  | 0   | initial
        Anna left 2  | 150 | booster
        Anna right 1 | 0   | initial
    """,
    )
