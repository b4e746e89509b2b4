"""The severity stage at baseline: by the programme's first scheme, nearest before treatment, else shortly after."""

import pytest


@pytest.mark.parametrize(
    ("day", "stage"), [(-365, "moderate"), (-366, None), (0, "moderate"), (30, "moderate"), (31, None)]
)
def test_a_grade_counts_from_a_year_before_to_thirty_days_after_the_first_session(given, day, stage):
    expected = f"{day} | {stage}" if stage else ""
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        grades
        patient | side | day   | grade
        Anna    | left | {day} | 3
    """).derives(
        "course.stage",
        f"""
        day | stage
        {expected}
    """,
        where="stage_map = 'default'",
    )


def test_the_nearest_grade_before_wins_and_one_after_only_if_there_is_none_before(given):
    given("""
        sessions
        patient | side  | day
        Anna    | left  | 0
        Anna    | right | 0

        grades
        patient | side  | day  | grade
        Anna    | left  | -300 | 1
        Anna    | left  | -100 | 3
        Anna    | left  | 1    | 4
        Anna    | right | 20   | 4
        Anna    | right | 5    | 2
    """).derives(
        "course.stage",
        """
        course       | day  | grade
        Anna left 1  | -100 | 3
        Anna right 1 | 5    | 2
    """,
        where="stage_map = 'default'",
    )


def test_of_several_readers_on_one_day_one_grade_is_taken_and_always_the_same(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        grades
        patient | side | day | grade | reader
        Anna    | left | -5  | 3     | R1
        Anna    | left | -5  | 4     | R2
        Anna    | left | -5  | 2     | R3
    """).derives(
        "course.stage",
        """
        course      | grade
        Anna left 1 | 3
    """,
        where="stage_map = 'default'",
    )


def test_the_programmes_first_scheme_goes_before_a_nearer_grade_of_another(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        grades
        patient | side | day | scheme | grade
        Anna    | left | -90 | KL     | 3
        Anna    | left | -1  | ICRS   | 1
    """).derives(
        "course.stage",
        """
        scheme | stage
        KL     | moderate
    """,
        where="stage_map = 'default'",
    )


def test_a_programme_without_a_scheme_has_one_stage_for_everyone(given):
    given("""
        sessions
        patient | site     | side | programme | day
        Anna    | systemic | n/a  | wellness  | 0
    """).derives(
        "course.stage",
        """
        course          | stage | scheme
        Anna systemic 1 | all   | -
    """,
    )


def test_a_second_knee_and_a_second_course_have_stages_of_their_own(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        grades
        patient | side  | day | grade
        Anna    | left  | -5  | 2
        Anna    | left  | 490 | 4
        Anna    | right | -5  | 3
    """).derives(
        "course.stage",
        """
        course       | stage
        Anna left 1  | early
        Anna left 2  | bone_on_bone
        Anna right 1 | moderate
    """,
        where="stage_map = 'default'",
    )


def test_a_grade_from_before_the_first_course_is_too_old_for_the_second(given):
    given("""
        sessions
        patient | side | course | day
        Anna    | left | 1      | 0
        Anna    | left | 2      | 500

        grades
        patient | side | day | grade
        Anna    | left | -5  | 2
    """).derives(
        "course.stage",
        """
        course      | stage
        Anna left 1 | early
    """,
        where="stage_map = 'default'",
    )
