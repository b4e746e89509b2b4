"""The table by which a booster is naively judged: courses ever boosted against never, at their last visit."""


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
