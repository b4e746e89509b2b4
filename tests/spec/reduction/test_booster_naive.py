"""The table by which a booster is naively judged: courses ever boosted against never, at their last visit."""

import pytest


def test_a_course_counts_by_whether_it_was_ever_boosted_with_its_last_score_and_state(booster_case):
    booster_case(
        "naive",
        """
        ever_boosted | n | n_scored | total | n_judged | n_in_response | n_ended
        yes          | 1 | 1        | 30    | 1        | 1             | 0
        """,
        scores={90: 45, 180: 70},
        sessions="Anna | left | 2 | 100 | booster_insufficient",
    )


def test_a_second_knee_and_a_second_course_count_as_courses_of_their_own(two_knees_two_courses):
    two_knees_two_courses.derives(
        "reduction.booster_naive",
        """
        stratum  | ever_boosted | n | total | total_squares
        early    | no           | 1 | -2    | 4
        early    | yes          | 1 | 11    | 121
        moderate | no           | 1 | 3     | 9
    """,
    )


@pytest.mark.parametrize(
    ("scores", "events", "ended", "lost"),
    [({90: 45, 180: 32}, "", 0, 1), ({90: 45, 180: 33}, "", 0, 0), ({90: 45}, "Anna | left | 120 | TKA", 1, 1)],
)
def test_a_last_score_worse_than_the_best_by_the_programmes_rule_is_a_loss_and_so_is_an_end(
    booster_case, scores, events, ended, lost
):
    """Rule L5: 12.68 points; 13 below the best of 45 is a loss, 12 is not."""
    booster_case(
        "naive",
        f"""
        ever_boosted | n | n_ended | n_lost_or_ended
        no           | 1 | {ended} | {lost}
        """,
        scores=scores,
        events=events,
    )


def test_a_score_after_the_end_of_the_target_is_not_its_last(booster_case):
    booster_case(
        "naive",
        """
        ever_boosted | n | n_scored | total | n_ended
        no           | 1 | 1        | 5     | 1
        """,
        scores={90: 45, 180: 90},
        events="Anna | left | 120 | TKA",
    )


def test_an_end_reported_when_nobody_watched_any_more_is_none(booster_case):
    booster_case(
        "naive",
        """
        ever_boosted | n | n_ended | n_lost_or_ended
        no           | 1 | 0       | 0
        """,
        scores={90: 45, 180: 45},
        events="Anna | left | 411 | TKA",
    )
