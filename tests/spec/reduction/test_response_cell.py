"""Counts of distinct response intervals: the likelihood of the cohort depends on nothing else."""


def test_a_second_knee_and_a_second_course_add_to_the_counts_of_their_intervals(three_patients):
    three_patients.derives(
        "reduction.response_cell",
        """
        cell | stratum | kind     | left_day | right_day | n
        1    | all     | censored | 90       | 210       | 3
        2    | all     | response | 0        | 90        | 2
    """,
    )


def test_the_counts_add_up_to_the_courses_of_the_cohort(three_patients):
    three_patients.derives(
        "reduction.response_cell",
        """
        cell | n
        1    | 3
        2    | 2
    """,
    )
    assert three_patients.con.sql("select count(*) from reduction.response_course").fetchone() == (5,)
