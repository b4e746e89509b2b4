"""What became of each course by each planned visit. Definition KOOS-pain-physio: 15 points of KOOS pain."""

import pytest

CASE = """
        sessions
        patient | side | day
        Anna    | left | 0

        default definition
        definition
        KOOS-pain-physio

        data cut
        day
        420

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 0   | 40
        {scores}

        events
        patient | side | day | kind
        {events}

        cohort
        course
        Anna left 1

        outlook question
        definition
        KOOS-pain-physio
"""


def became(given, expected: str, *, scores: dict[int, int], events: str = "") -> None:
    rows = "\n        ".join(f"Anna | left | {day} | {pain}" for day, pain in scores.items())
    given(CASE.format(scores=rows, events=events)).derives(
        "reduction.outlook_visit", expected, where="planned_visit in ('3 months', '6 months', '12 months', '24 months')"
    )


def test_each_visit_due_by_the_data_cut_has_the_change_and_the_state_it_showed(given):
    became(
        given,
        """
        planned_visit | improvement | state
        3 months      | 5           | no_response
        6 months      | 20          | in_response
        12 months     | 2           | response_lost
        """,
        scores={90: 45, 180: 60, 365: 42},
    )


def test_a_response_is_sustained_when_the_judged_visit_before_had_it_too(given):
    became(
        given,
        """
        planned_visit | state       | sustained
        3 months      | in_response | -
        6 months      | in_response | yes
        12 months     | in_response | yes
        """,
        scores={90: 60, 180: 60, 365: 62},
    )


def test_a_response_that_comes_back_is_not_sustained(given):
    became(
        given,
        """
        planned_visit | state         | sustained
        3 months      | in_response   | -
        6 months      | response_lost | no
        12 months     | in_response   | no
        """,
        scores={90: 60, 180: 42, 365: 62},
    )


def test_a_visit_that_was_due_and_missed_stays_without_a_score(given):
    became(
        given,
        "planned_visit | improvement | state\n 3 months | 5 | no_response\n 6 months | - | -\n 12 months | - | -",
        scores={90: 45},
    )


@pytest.mark.parametrize(("kind", "state"), [("TKA", "ended"), ("death", "dead")])
def test_after_the_end_of_the_target_every_visit_due_by_the_data_cut_is_ended(given, kind, state):
    became(
        given,
        f"""
        planned_visit | improvement | state
        3 months      | 5           | no_response
        6 months      | -           | {state}
        12 months     | -           | {state}
        """,
        scores={90: 45},
        events=f"Anna | {'left' if kind == 'TKA' else '-'} | 150 | {kind}",
    )


def test_a_second_knee_and_a_second_course_become_what_they_become(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        default definition
        definition
        KOOS-pain-physio

        data cut
        day
        650

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 0   | 40
        Anna    | left  | 90  | 60
        Anna    | left  | 500 | 40
        Anna    | left  | 590 | 41
        Anna    | right | 0   | 30
        Anna    | right | 90  | 31

        cohort
        course
        Anna left 1
        Anna left 2
        Anna right 1

        outlook question
        definition
        KOOS-pain-physio
    """).derives(
        "reduction.outlook_visit",
        """
        course       | improvement | state
        Anna left 1  | 20          | in_response
        Anna left 2  | 1           | no_response
        Anna right 1 | 1           | no_response
    """,
        where="planned_visit = '3 months'",
    )
