"""Where each course stands, by which rule: it names what to review, never what to do."""

import pytest

# At a visit with pain 80 the definition is met, at one with pain 45 it is not.


def standing(given, cut: int, status: str, *, visits: tuple[tuple[int, int], ...] = (), events: str = "") -> None:
    rows = "\n".join(f"        Anna | left | {day} | {pain} | 50 | 60" for day, pain in ((0, 40), *visits))
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain | KOOS/adl | PtGA
{rows}

        events
        patient | side | day | kind
        {events}

        data cut
        day
        {cut}
    """).derives(
        "summary.course_status",
        f"""
        course      | status
        Anna left 1 | {status}
    """,
    )


@pytest.mark.parametrize(("cut", "status"), [(89, "too_early"), (90, "not_assessed")])
def test_a_course_is_not_judged_before_its_evaluation_day(given, cut, status):
    standing(given, cut, status)


@pytest.mark.parametrize(
    ("visits", "cut", "status"),
    [
        (((30, 45), (90, 80), (180, 80)), 200, "responding"),
        (((30, 45), (90, 80), (180, 80), (270, 45), (365, 45)), 420, "regressing"),
        (((30, 45), (90, 45), (180, 45)), 365, "insufficient"),
        (((30, 45), (90, 45), (180, 45), (365, 45)), 420, "no_response"),
        (((30, 45), (90, 80)), 120, "insufficient"),
    ],
)
def test_the_status_follows_the_confirmed_state_of_the_latest_visit(given, visits, cut, status):
    standing(given, cut, status, visits=visits)


@pytest.mark.parametrize(
    ("visits", "cut", "status"),
    [
        ((), 111, "lost"),
        (((30, 45),), 111, "not_assessed"),
        (((30, 45),), 210, "lost"),
        (((180, 45),), 210, "insufficient"),
    ],
)
def test_a_course_is_lost_when_the_last_due_visit_and_one_more_were_missed(given, visits, cut, status):
    standing(given, cut, status, visits=visits)


@pytest.mark.parametrize("kind", ["TKA", "death", "other_cell_elsewhere"])
def test_a_course_that_ended_needs_no_review_though_visits_are_missing(given, kind):
    standing(given, 900, "ended", events=f"Anna | left | 150 | {kind}")


def test_a_course_without_a_session_is_not_treated(given):
    given("""
        courses
        patient | side | course
        Anna    | left | 1
    """).derives(
        "summary.course_status",
        """
        status      | rule                | next_due_visit
        not_treated | no session recorded | -
    """,
    )


def test_a_programme_without_a_definition_is_described_and_its_dead_are_ended(given):
    given("""
        sessions
        patient | site     | side | programme | day
        Anna    | systemic | n/a  | wellness  | 0
        Bert    | systemic | n/a  | wellness  | 0

        scores
        patient | day | PROMIS-GPH
        Anna    | 180 | 50

        events
        patient | side | day | kind
        Bert    | -    | 100 | death

        data cut
        day
        300
    """).derives(
        "summary.course_status",
        """
        course          | status         | definition
        Anna systemic 1 | described_only | -
        Bert systemic 1 | ended          | -
    """,
    )


def test_the_next_visit_is_the_first_whose_window_has_not_closed(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        data cut
        day
        100
    """).derives(
        "summary.course_status",
        """
        next_due_visit | next_due_date | n_overdue
        3 months       | day 90        | 1
    """,
    )


def test_a_second_knee_and_a_second_course_stand_each_for_itself(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 400

        scores
        patient | side  | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left  | 500 | 40        | 50       | 60
        Anna    | left  | 590 | 80        | 50       | 60
        Anna    | left  | 650 | 80        | 50       | 60
        Anna    | right | 400 | 40        | 50       | 60
        Anna    | right | 580 | 45        | 50       | 60

        data cut
        day
        660
    """).derives(
        "summary.course_status",
        """
        course       | status
        Anna left 1  | ended
        Anna left 2  | responding
        Anna right 1 | insufficient
    """,
    )


def test_of_a_course_that_ended_nothing_is_overdue(given):
    """Both knees missed the visit of 1 month; the left was replaced since."""
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | right | 1      | 0

        events
        patient | side  | day | kind
        Anna    | left  | 60  | TKA

        data cut
        day
        100
    """).derives(
        "summary.course_status",
        """
        course       | status    | n_overdue
        Anna left 1  | ended        | 0
        Anna right 1 | not_assessed | 1
    """,
    )
