"""The baseline of each scale: the last value in the window before the first session."""

import pytest


@pytest.mark.parametrize(("day", "found"), [(0, True), (-90, True), (-91, False), (1, False)])
def test_the_baseline_is_at_most_ninety_days_old_and_never_after_treatment(given, day, found):
    expected = f"KOOS/pain | {day} | 40" if found else ""
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day   | KOOS/pain
        Anna    | left | {day} | 40
    """).derives(
        "course.baseline",
        f"""
        scale | day | value
        {expected}
    """,
    )


def test_the_last_of_several_values_is_the_baseline_scale_by_scale(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain | PtGA
        Anna    | left | -60 | 30        | 70
        Anna    | left | -5  | 40        | -
    """).derives(
        "course.baseline",
        """
        scale     | day | value | worse100
        KOOS/pain | -5  | 40    | 60
        PtGA      | -60 | 70    | 70
    """,
    )


def test_a_second_knee_and_a_second_course_have_baselines_of_their_own(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 0   | 40
        Anna    | left  | 480 | 55
        Anna    | right | -1  | 20
    """).derives(
        "course.baseline",
        """
        course       | day | value
        Anna left 1  | 0   | 40
        Anna left 2  | -20 | 55
        Anna right 1 | -1  | 20
    """,
    )
