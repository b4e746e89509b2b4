"""What was known at the first session of the courses whose response is judged."""


def test_a_second_knee_and_a_second_course_have_the_baseline_and_age_of_their_own_first_session(three_patients):
    three_patients.derives(
        "reduction.response_covariate",
        """
        course       | baseline | age  | sex    | kind
        Anna left 1  | 60.0     | 60.0 | female | response
        Anna left 2  | 60.0     | 61.0 | female | response
        Anna right 1 | 60.0     | 60.0 | female | censored
        Bert left 1  | 60.0     | 60.0 | female | censored
        Cleo left 1  | 60.0     | 60.0 | female | censored
    """,
    )
