"""Goals by the course they were agreed for."""


def test_a_second_knee_and_a_second_course_have_the_goals_agreed_before_or_during_them(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 100

        goals
        patient | side  | day | domain   | attainment | assessed
        Anna    | left  | -20 | pain     | 1          | 365
        Anna    | left  | 200 | sport    | -          | -
        Anna    | left  | 450 | mobility | -1         | 800
        Anna    | right | 100 | sleep    | 0          | 400
    """).derives(
        "course.goal",
        """
        course       | agreed_day | domain   | attainment | assessed_day
        Anna left 1  | -20        | pain     | 1          | 365
        Anna left 1  | 200        | sport    | -          | -
        Anna left 2  | -50        | mobility | -1         | 300
        Anna right 1 | 0          | sleep    | 0          | 300
    """,
    )


def test_what_is_assessed_after_consent_was_withdrawn_for_the_future_is_not_known(given):
    given("""
        patients
        patient | withdrawn | scope
        Anna    | 200       | future_data

        sessions
        patient | side | course | day
        Anna    | left | 1      | 0

        goals
        patient | side | day | domain | attainment | assessed
        Anna    | left | -20 | pain   | 1          | 365
        Anna    | left | 300 | sport  | 1          | 365
    """).derives(
        "course.goal",
        """
        course      | domain | attainment
        Anna left 1 | pain   | -
    """,
    )
