"""Patients by the cells of first adverse events that their courses contribute to."""

from tests.spec.reduction.test_harm_first import CASE


def test_a_second_knee_and_a_second_course_of_one_patient_are_one_pattern(given):
    given(CASE).derives(
        "reduction.harm_first_cluster",
        """
        cell | n_courses | n_patients
        1    | 1         | 1
        2    | 1         | 1
        3    | 1         | 1
    """,
    )
