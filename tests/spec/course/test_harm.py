"""Adverse events by day of the course they concern."""


def test_a_second_knee_and_a_second_course_have_the_events_that_began_in_them(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 100

        harms
        patient | side  | day | category
        Anna    | left  | 3   | pain_flare
        Anna    | left  | 500 | swelling
        Anna    | right | 101 | effusion
    """).derives(
        "course.harm",
        """
        course       | day | category
        Anna left 1  | 3   | pain_flare
        Anna left 2  | 0   | swelling
        Anna right 1 | 1   | effusion
    """,
    )


def test_an_event_of_the_person_belongs_to_the_course_that_had_begun_last_and_one_before_treatment_to_none(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | right | 1      | 100

        harms
        patient | side | day | category
        Anna    | -    | 120 | fever
        Anna    | -    | 50  | allergic
        Anna    | left | -9  | neuro
    """).derives(
        "course.harm",
        """
        course       | day | category
        Anna left 1  | 50  | allergic
        Anna right 1 | 20  | fever
    """,
    )
