"""Severity grades as stages, by the maps of the catalogue."""

import pytest


@pytest.mark.parametrize(
    ("scheme", "grade", "stage"),
    [
        ("KL", "0", "pre_radiographic"),
        ("KL", "1", "early"),
        ("KL", "2", "early"),
        ("KL", "3", "moderate"),
        ("KL", "4", "bone_on_bone"),
        ("Tonnis", "2", "moderate"),
        ("tendon_integrity", "full_tear", "full_tear"),
        ("DRI", "very_high", "high_risk"),
    ],
)
def test_a_grade_is_a_stage_by_the_default_map(given, scheme, grade, stage):
    given(f"""
        grades
        patient | side | day | scheme   | grade
        Anna    | left | 0   | {scheme} | {grade}
    """).derives(
        "staging.severity",
        f"""
        grade   | stage
        {grade} | {stage}
    """,
        where="stage_map = 'default'",
    )


def test_another_map_may_count_kl_2_as_moderate(given):
    given("""
        grades
        patient | side | day | grade
        Anna    | left | 0   | 2
    """).derives(
        "staging.severity",
        """
        stage_map | stage
        default   | early
        KL-3-late | moderate
    """,
    )


def test_a_second_knee_and_a_second_course_have_grades_of_their_own(given):
    given("""
        grades
        patient | side  | day | grade
        Anna    | left  | 0   | 2
        Anna    | right | 0   | 4
        Anna    | left  | 500 | 3
    """).derives(
        "staging.severity",
        """
        target     | date    | stage
        Anna left  | day 0   | early
        Anna right | day 0   | bone_on_bone
        Anna left  | day 500 | moderate
    """,
        where="stage_map = 'default'",
    )
