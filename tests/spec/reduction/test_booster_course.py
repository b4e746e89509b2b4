"""Which courses can enter a booster trial, and why the others cannot."""

import pytest


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({90: 70, 180: 70}, "in response at every visit: no booster to decide on"),
        ({30: 45}, "never judged once evaluation was due"),
        ({90: 45}, "-"),
    ],
)
def test_a_course_that_cannot_enter_leaves_with_its_reason(booster_case, scores, reason):
    booster_case("course", f"reason\n {reason}", scores=scores)


def test_a_second_knee_and_a_second_course_have_baselines_of_their_own(two_knees_two_courses):
    two_knees_two_courses.derives(
        "reduction.booster_course",
        """
        course       | stratum  | baseline | reason
        Anna left 1  | early    | 60       | -
        Anna left 2  | early    | 62       | -
        Anna right 1 | moderate | 70       | -
    """,
    )


def test_a_later_course_of_the_target_does_not_shorten_the_time_to_the_data_cut(two_knees_two_courses):
    """To ask for time before the next course would be to know, at the decision, what was done later."""
    two_knees_two_courses.derives(
        "reduction.booster_course",
        """
        course       | cut_day | next_course_day
        Anna left 1  | 2000    | 500
        Anna left 2  | 1500    | -
        Anna right 1 | 2000    | -
    """,
    )
