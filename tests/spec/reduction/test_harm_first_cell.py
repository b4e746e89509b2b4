"""First adverse events, ends and last contacts, counted by day."""

from tests.spec.reduction.test_harm_first import CASE


def test_a_second_knee_and_a_second_course_are_counted_apart(given):
    given(CASE).derives(
        "reduction.harm_first_cell",
        """
        cause    | day | n
        censored | 100 | 1
        event    | 20  | 1
        over     | 150 | 1
    """,
    )
