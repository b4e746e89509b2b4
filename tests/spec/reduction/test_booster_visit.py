"""The visits of a booster question: what was known on the day, and how the watching went on. Baseline is 40."""

import pytest


def test_a_visit_knows_the_scores_up_to_its_day_and_no_later_one(booster_case):
    booster_case(
        "visit",
        """
        visit_day | improvement | previous | best | earliest | visit_no
        30        | 20          | 0        | 20   | 20       | 1
        90        | 5           | 20       | 20   | 20       | 2
        180       | 30          | 5        | 30   | 20       | 3
        """,
        scores={30: 60, 90: 45, 180: 70},
    )


def test_who_never_got_better_has_been_best_at_baseline(booster_case):
    booster_case("visit", "visit_day | improvement | best\n 90 | -10 | 0", scores={90: 30})


@pytest.mark.parametrize(
    ("day", "at_180", "at_270"),
    [(100, "1 | 80", "1 | 170"), (180, "0 | 180", "1 | 90")],
    ids=["between visits", "on the day of a visit: it has not been given yet"],
)
def test_the_clock_of_the_last_session_restarts_with_the_booster(booster_case, day, at_180, at_270):
    booster_case(
        "visit",
        f"""
        visit_day | n_boosters_before | since_session_day
        90        | 0                 | 90
        180       | {at_180}
        270       | {at_270}
        """,
        scores={90: 45, 180: 45, 270: 70},
        sessions=f"Anna | left | 2 | {day} | booster_insufficient",
    )


def test_time_zero_is_the_day_of_the_decision_where_one_was_logged_and_the_visit_elsewhere(booster_case):
    """Counted from the visit, an end in the days before the decision would be one that nobody could have decided on."""
    booster_case(
        "visit",
        """
        visit_day | zero_day | asked | decided
        90        | 90       | yes   | -
        180       | 187      | yes   | no
        """,
        scores={90: 45, 180: 45},
        decisions="Anna | left | 187 | wait",
    )


@pytest.mark.parametrize(
    ("events", "cut", "state"),
    [
        ("", 2000, "lost"),
        ("", 300, "not_due"),
        ("Anna | left | 200 | TKA", 2000, "ended"),
        ("Anna | left | 411 | TKA", 2000, "lost"),
    ],
    ids=["a due visit was missed", "none was due before the cut", "replaced before it", "replaced when nobody watched"],
)
def test_how_the_watching_went_on_after_the_last_visit(booster_case, events, cut, state):
    booster_case(
        "visit",
        f"visit_day | next_state\n 90 | seen\n 180 | {state}",
        scores={90: 45, 180: 45},
        events=events,
        cut=cut,
    )


def test_scores_after_the_end_of_the_target_are_set_aside(booster_case):
    booster_case("visit", "visit_day\n 90", scores={90: 45, 180: 90}, events="Anna | left | 100 | TKA")


def test_a_second_knee_and_a_second_course_are_followed_each_on_its_own(two_knees_two_courses):
    two_knees_two_courses.derives(
        "reduction.booster_visit",
        """
        course       | visit_day | improvement | previous | n_boosters_before | booster_day | next_state
        Anna left 1  | 90        | 2           | 0        | 0                 | -           | seen
        Anna left 1  | 500       | -2          | 2        | 0                 | -           | ended
        Anna left 2  | 90        | 10          | 0        | 0                 | 100         | seen
        Anna left 2  | 180       | 11          | 10       | 1                 | -           | lost
        Anna right 1 | 90        | 3           | 0        | 0                 | -           | lost
    """,
    )
