"""What is known of each course at its first session."""

import pytest


def test_age_and_body_mass_are_those_of_the_first_session(given):
    given("""
        patients
        patient | born | sex    | height
        Anna    | 1960 | female | 160

        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | body_weight
        Anna    | -    | -10 | 76.8
        Anna    | -    | 90  | 70
    """).derives(
        "course.profile",
        """
        age_year | sex    | bmi
        60       | female | 30
    """,
    )


@pytest.mark.parametrize(
    ("dose", "band"),
    [
        ("49.9", "<50 million"),
        ("50", "50-100 million"),
        ("100", "50-100 million"),
        ("100.1", ">100 million"),
        ("-", "-"),
    ],
)
def test_the_dose_of_the_first_session_falls_into_a_band(given, dose, band):
    given(f"""
        sessions
        patient | side | session | day | dose   | planned
        Anna    | left | 1       | 0   | {dose} | 2
        Anna    | left | 2       | 30  | 400    | 2
    """).derives(
        "course.profile",
        f"""
        dose_viable_million | dose_band
        {dose}              | {band}
    """,
    )


def test_the_dose_of_the_series_leaves_out_boosters(given):
    given("""
        sessions
        patient | side | session | day | dose | planned | intent
        Anna    | left | 1       | 0   | 50   | 2       | initial
        Anna    | left | 2       | 30  | 40   | 2       | planned_series
        Anna    | left | 3       | 200 | 60   | 2       | booster_regression
    """).derives(
        "course.profile",
        """
        dose_viable_million | series_dose_million | n_boosters
        50                  | 90                  | 1
    """,
    )


def test_what_was_not_recorded_is_not_known(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0
    """).derives(
        "course.profile",
        """
        stage | diagnosis | bmi | product | dose_band
        -     | -         | -   | -       | -
    """,
    )


def test_a_second_knee_and_a_second_course_have_profiles_of_their_own(given):
    given("""
        products
        product | donor                | origin
        BMAC    | autologous           | bone_marrow
        UC      | allogeneic_unrelated | umbilical_cord_tissue

        sessions
        patient | side  | course | day | product
        Anna    | left  | 1      | 0   | BMAC
        Anna    | left  | 2      | 500 | UC
        Anna    | right | 1      | 0   | BMAC

        conditions
        patient | side  | diagnosis
        Anna    | left  | primary_OA
        Anna    | right | posttraumatic_OA

        grades
        patient | side  | day | grade
        Anna    | left  | 0   | 2
        Anna    | left  | 500 | 3
        Anna    | right | 0   | 4
    """).derives(
        "course.profile",
        """
        course       | side  | diagnosis        | stage        | product | origin                | age_year
        Anna left 1  | left  | primary_OA       | early        | BMAC    | bone_marrow           | 60
        Anna left 2  | left  | primary_OA       | moderate     | UC      | umbilical_cord_tissue | 61
        Anna right 1 | right | posttraumatic_OA | bone_on_bone | BMAC    | bone_marrow           | 60
    """,
    )
