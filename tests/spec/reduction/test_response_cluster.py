"""Patients by the set of intervals they contribute, for a bootstrap that resamples patients."""


def test_a_second_knee_and_a_second_course_stay_with_their_patient(three_patients):
    three_patients.derives(
        "reduction.response_cluster",
        """
        pattern | cell | n_courses | n_patients
        1x1     | 1    | 1         | 2
        1x1,2x2 | 1    | 1         | 1
        1x1,2x2 | 2    | 2         | 1
    """,
    )


def test_the_patients_together_reproduce_the_counts_of_every_interval(three_patients):
    three_patients.derives(
        "reduction.response_cluster",
        """
        cell | n_courses | n_patients
        1    | 1         | 1
        1    | 1         | 2
        2    | 2         | 1
    """,
    )
    differing = three_patients.con.sql("""
        select cell, n from reduction.response_cell
        except
        select cell, sum(n_courses * n_patients) from reduction.response_cluster group by cell
    """)
    assert differing.fetchall() == []
