"""Events by day of each course they concern."""

import pytest


def test_the_death_of_the_patient_concerns_both_knees(given):
    given("""
        sessions
        patient | side  | day
        Anna    | left  | 0
        Anna    | right | 100

        events
        patient | side | day | kind
        Anna    | -    | 400 | death
    """).derives(
        "course.event",
        """
        course       | day | role
        Anna left 1  | 400 | death
        Anna right 1 | 300 | death
    """,
    )


@pytest.mark.parametrize(
    ("date", "known", "day"),
    [("2020-06-15", "day", 96), ("2020-06-01", "month", 111), ("2020-03-01", "month", 20), ("2020-01-01", "year", 295)],
)
def test_an_event_known_to_the_month_or_year_counts_on_its_last_possible_day(given, date, known, day):
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 70

        events
        patient | side | date   | known to the | kind
        Anna    | left | {date} | {known}      | TKA
    """).derives(
        "course.event",
        f"""
        day   | kind
        {day} | TKA
    """,
    )


def test_an_event_known_to_the_year_did_not_happen_after_the_data_cut(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        events
        patient | side | date       | known to the | kind
        Anna    | -    | 2020-01-01 | year         | death

        data cut
        day
        200
    """).derives(
        "course.event",
        """
        day | kind
        200 | death
    """,
    )


def test_an_event_before_the_first_session_is_none_of_the_course(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        events
        patient | side | day | kind
        Anna    | left | -30 | corticosteroid_rescue
    """).derives(
        "course.event",
        """
        course | day | kind
    """,
    )


def test_a_second_knee_and_a_second_course_have_events_of_their_own(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        events
        patient | side  | day | kind
        Anna    | left  | 600 | corticosteroid_rescue
        Anna    | right | 300 | TKA
    """).derives(
        "course.event",
        """
        course       | day | kind
        Anna left 2  | 100 | corticosteroid_rescue
        Anna right 1 | 300 | TKA
    """,
    )
