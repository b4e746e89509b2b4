"""Adverse events by grade and relation: each counted in its cell and in every total, a course once in each."""

from tests.spec.reduction.test_harm_event import CASE


def test_events_of_a_second_knee_and_a_second_course_are_in_their_grade_and_relation_and_in_the_totals(given):
    """From the case, for the product: grade 1 possible, grade 2 unlikely, grade 3 definite, grade 2 not stated."""
    given(CASE.format(question="- | 1 | no | product")).derives(
        "reduction.harm_grade",
        """
        grade | relation    | n_events | n_courses
        1     | related     | 1        | 1
        2     | not related | 1        | 1
        2     | not stated  | 1        | 1
        3     | related     | 1        | 1
        1     | any         | 1        | 1
        2     | any         | 2        | 2
        3     | any         | 1        | 1
        any   | related     | 2        | 2
        any   | not related | 1        | 1
        any   | not stated  | 1        | 1
        any   | any         | 4        | 3
    """,
    )


def test_beside_the_counts_stand_the_sums_over_patients_that_their_limits_need(given):
    """Anna has four events in all, three courses of which each has one, and a session in each: 4², 4 x 3, 3², 3 x 3."""
    given(CASE.format(question="- | 1 | no | product")).derives(
        "reduction.harm_grade",
        """
        grade | relation    | events_squared | events_by_sessions | courses_squared | courses_by_courses
        1     | related     | 1              | 3                  | 1               | 3
        2     | not related | 1              | 3                  | 1               | 3
        2     | not stated  | 1              | 3                  | 1               | 3
        3     | related     | 1              | 3                  | 1               | 3
        1     | any         | 1              | 3                  | 1               | 3
        2     | any         | 4              | 6                  | 4               | 6
        3     | any         | 1              | 3                  | 1               | 3
        any   | related     | 4              | 6                  | 4               | 6
        any   | not related | 1              | 3                  | 1               | 3
        any   | not stated  | 1              | 3                  | 1               | 3
        any   | any         | 16             | 12                 | 9               | 9
    """,
    )
