"""State at each visit: no response yet, in response, response lost, ended, dead."""

import pytest

# At a visit with pain 80 the definition is met, at one with pain 45 it is not.


def visits(*days: tuple[int, int]) -> str:
    rows = "\n".join(f"    Anna | left | {day} | {pain} | 50 | 60" for day, pain in days)
    return f"""
    sessions
    patient | side | day
    Anna    | left | 0

    scores
    patient | side | day | KOOS/pain | KOOS/adl | PtGA
    Anna    | left | 0   | 40        | 50       | 60
{rows}
"""


def test_one_discordant_visit_changes_the_first_state_and_not_the_confirmed_one(given):
    given(visits((90, 80), (180, 80), (270, 45), (365, 80))).derives(
        "endpoint.state",
        """
        confirmation | day | state
        confirmed    | 90  | in_response
        confirmed    | 180 | in_response
        confirmed    | 270 | in_response
        confirmed    | 365 | in_response
        first        | 90  | in_response
        first        | 180 | in_response
        first        | 270 | response_lost
        first        | 365 | in_response
    """,
    )


def test_a_response_may_be_lost_and_come_back(given):
    given(visits((90, 80), (180, 80), (270, 45), (365, 45), (450, 80), (540, 80))).derives(
        "endpoint.state",
        """
        day | state
        90  | in_response
        180 | in_response
        270 | response_lost
        365 | response_lost
        450 | in_response
        540 | in_response
    """,
        where="confirmation = 'confirmed'",
    )


def test_a_response_seen_once_and_not_again_was_no_confirmed_response(given):
    given(visits((90, 45), (180, 80), (365, 45))).derives(
        "endpoint.state",
        """
        day | state
        90  | no_response_yet
        180 | no_response_yet
        365 | no_response_yet
    """,
        where="confirmation = 'confirmed'",
    )


def test_visits_before_evaluation_is_due_have_no_state(given):
    given(visits((30, 80), (90, 45))).derives(
        "endpoint.state",
        """
        day | state
        90  | no_response_yet
    """,
        where="confirmation = 'first'",
    )


@pytest.mark.parametrize(("kind", "state"), [("TKA", "ended"), ("other_cell_elsewhere", "ended"), ("death", "dead")])
def test_an_end_event_takes_its_exact_day_and_the_visit_of_that_day(given, kind, state):
    end = f"""
        events
        patient | side | day | kind
        Anna    | left | 180 | {kind}
    """
    given(visits((90, 45), (180, 80)) + end).derives(
        "endpoint.state",
        f"""
        day | state           | source_table
        180 | {state}         | event
        90  | no_response_yet | staging.score
    """,
        where="confirmation = 'first'",
    )


def test_a_second_knee_and_a_second_course_have_states_of_their_own(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left  | 0   | 40        | 50       | 60
        Anna    | left  | 90  | 80        | 50       | 60
        Anna    | left  | 500 | 40        | 50       | 60
        Anna    | left  | 590 | 45        | 50       | 60
        Anna    | right | 0   | 40        | 50       | 60
        Anna    | right | 90  | 45        | 50       | 60

        events
        patient | side | day | kind
        Anna    | -    | 900 | death
    """).derives(
        "endpoint.state",
        """
        course       | day | state
        Anna left 1  | 500 | response_lost
        Anna left 1  | 90  | in_response
        Anna left 2  | 400 | dead
        Anna left 2  | 90  | no_response_yet
        Anna right 1 | 90  | no_response_yet
        Anna right 1 | 900 | dead
    """,
        where="confirmation = 'first'",
    )
