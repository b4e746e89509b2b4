"""Until when each course was watched for its end."""

import pytest


def watched(given, expected: str, *, events: str = "", cut: int = 2000) -> None:
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left | 0   | 40        | 50       | 60
        Anna    | left | 90  | 45        | 50       | 60

        events
        patient | side | day | kind
        {events}

        data cut
        day
        {cut}
    """).derives("endpoint.watch", expected, where="confirmation = 'first' and early_visits = 'ignored'")


@pytest.mark.parametrize(("cut", "watched_to"), [(2000, 210), (150, 150), (95, 95)])
def test_a_course_is_watched_until_its_next_visit_would_have_closed_or_the_data_cut(given, cut, watched_to):
    watched(
        given,
        f"""
        watched_to_day | end_day
        {watched_to}   | -
    """,
        cut=cut,
    )


@pytest.mark.parametrize(("day", "end"), [(210, "210"), (211, "-")])
def test_an_end_counts_while_the_course_was_watched_and_not_after(given, day, end):
    watched(
        given,
        f"""
        end_day
        {end}
    """,
        events=f"Anna | left | {day} | TKA",
    )


def test_a_second_knee_and_a_second_course_are_watched_each_for_itself(given):
    given("""
        sessions
        patient | side  | course | session | day | intent
        Anna    | left  | 1      | 1       | 0   | initial
        Anna    | left  | 2      | 1       | 500 | initial
        Anna    | left  | 2      | 2       | 600 | booster_regression
        Anna    | right | 1      | 1       | 0   | initial

        scores
        patient | side  | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left  | 0   | 40        | 50       | 60
        Anna    | left  | 365 | 45        | 50       | 60
        Anna    | left  | 500 | 40        | 50       | 60
        Anna    | left  | 590 | 45        | 50       | 60
        Anna    | right | 0   | 40        | 50       | 60
        Anna    | right | 90  | 45        | 50       | 60

        events
        patient | side  | day | kind
        Anna    | left  | 650 | TKA
    """).derives(
        "endpoint.watch",
        """
        course       | watched_to_day | end_day | booster_day
        Anna left 1  | 500            | -       | -
        Anna left 2  | 210            | 150     | 100
        Anna right 1 | 210            | -       | -
    """,
        where="confirmation = 'first' and early_visits = 'ignored'",
    )
