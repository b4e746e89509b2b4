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


def test_processing_is_that_of_the_product_of_the_courses_own_first_session_and_not_known_without_one(given):
    given("""
        products
        product | donor      | origin      | separation        | expanded | viability_pct
        BMAC    | autologous | bone_marrow | density_gradient  | no       | 92.5
        AD      | autologous | synovium    | plastic_adherence | yes      | -

        processing
        product | same day
        BMAC    | yes
        AD      | no

        sessions
        patient | side  | course | day | product
        Anna    | left  | 1      | 0   | BMAC
        Anna    | left  | 2      | 500 | AD
        Anna    | right | 1      | 0   | -

        scores
        patient | side  | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left  | 0   | 40        | 50       | 60
        Anna    | left  | 90  | 80        | 50       | 60
        Anna    | left  | 500 | 40        | 50       | 60
        Anna    | left  | 590 | 80        | 50       | 60
        Anna    | right | 0   | 40        | 50       | 60
        Anna    | right | 90  | 45        | 50       | 60

        cohort
        course
        Anna left 1
        Anna left 2
        Anna right 1

        question
        end_policy
        competing
    """).derives(
        "reduction.response_covariate",
        """
        course       | separation        | expanded     | viability | same_day
        Anna left 1  | density_gradient  | not expanded | 92.5      | same day
        Anna left 2  | plastic_adherence | expanded     | -         | another day
        Anna right 1 | -                 | -            | -         | -
    """,
    )
