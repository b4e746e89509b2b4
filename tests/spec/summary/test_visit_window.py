"""Planned visits of each course: due, seen, overdue."""

import pytest


def planned(given, cut: int, expected: str, *, scores: str = "", events: str = "") -> None:
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 0   | 40
        {scores}

        events
        patient | side | day | kind
        {events}

        data cut
        day
        {cut}
    """).derives("summary.visit_window", expected, where="planned_visit = '3 months'")


@pytest.mark.parametrize(
    ("cut", "opened", "due"), [(68, "no", "no"), (69, "yes", "no"), (110, "yes", "no"), (111, "yes", "yes")]
)
def test_a_visit_opens_with_its_window_and_is_due_once_the_window_has_closed(given, cut, opened, due):
    planned(
        given,
        cut,
        f"""
        target_day | open     | due   | seen | due_date
        90         | {opened} | {due} | no   | day 90
    """,
    )


@pytest.mark.parametrize(("day", "seen"), [(68, "no"), (69, "yes"), (111, "yes"), (112, "no")])
def test_a_visit_is_seen_when_a_score_lies_in_its_window(given, day, seen):
    planned(
        given,
        200,
        f"""
        due | seen
        yes | {seen}
    """,
        scores=f"Anna | left | {day} | 60",
    )


@pytest.mark.parametrize(("day", "due"), [(111, "no"), (112, "yes")])
def test_a_visit_whose_window_closes_after_the_end_of_the_course_is_not_due(given, day, due):
    planned(
        given,
        400,
        f"""
        due
        {due}
    """,
        events=f"Anna | left | {day} | TKA",
    )


def test_a_second_knee_and_a_second_course_have_schedules_of_their_own(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 100
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 190 | 60
        Anna    | right | 90  | 60

        data cut
        day
        250
    """).derives(
        "summary.visit_window",
        """
        course       | due | seen | due_date
        Anna left 1  | no  | no   | day 90
        Anna left 2  | yes | yes  | day 190
        Anna right 1 | yes | yes  | day 90
    """,
        where="planned_visit = '3 months'",
    )
