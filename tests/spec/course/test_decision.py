"""Decisions by day of the course they concern."""


def test_a_second_knee_and_a_second_course_have_the_decisions_made_while_they_ran(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 100

        decisions
        patient | side  | day | decision
        Anna    | left  | 180 | wait
        Anna    | left  | 680 | booster
        Anna    | right | 280 | conservative
    """).derives(
        "course.decision",
        """
        course       | day | decision
        Anna left 1  | 180 | wait
        Anna left 2  | 180 | booster
        Anna right 1 | 180 | conservative
    """,
    )


def test_a_decision_on_the_day_of_the_next_course_belongs_to_that_one_and_one_before_treatment_to_none(given):
    given("""
        sessions
        patient | side | course | day
        Anna    | left | 1      | 0
        Anna    | left | 2      | 500

        decisions
        patient | side | day | decision
        Anna    | left | -20 | wait
        Anna    | left | 500 | wait
    """).derives("course.decision", "course      | day | decision\n        Anna left 2 | 0   | wait")
