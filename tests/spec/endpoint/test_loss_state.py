"""State at each visit under each rule of loss."""

import pytest

# Pain 40 at baseline; at 80 the definition is met, at 45 it is not.


def seen(given, loss: str, expected: str, *visits: tuple[int, int], confirmation: str = "first") -> None:
    rows = "\n".join(f"        Anna | left | {day} | {pain} | 50 | 60" for day, pain in ((0, 40), *visits))
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain | KOOS/adl | PtGA
{rows}
    """).derives(
        "endpoint.loss_state",
        f"""
        day | state
        {expected}
    """,
        where=f"loss = '{loss}' and confirmation = '{confirmation}' and day = (select max(day) from endpoint.assessment)",
    )


@pytest.mark.parametrize(
    ("loss", "pain", "state"),
    [
        ("L1", 69, "response_lost"),
        ("L1", 70, "in_response"),
        ("L2", 60, "response_lost"),
        ("L2", 61, "in_response"),
        ("L3", 52, "response_lost"),
        ("L3", 53, "in_response"),
        ("L4", 68, "response_lost"),
        ("L4", 69, "in_response"),
        ("L5", 67, "response_lost"),
        ("L5", 68, "in_response"),
    ],
)
def test_each_rule_of_loss_says_where_response_ends(given, loss, pain, state):
    seen(given, loss, f"180 | {state}", (90, 80), (180, pain))


def test_a_response_that_never_came_cannot_be_lost(given):
    seen(given, "L1", "180 | no_response_yet", (90, 45), (180, 45))


def test_a_loss_at_the_last_visit_is_not_confirmed(given):
    seen(given, "L1", "270 | in_response", (90, 80), (180, 80), (270, 45), confirmation="confirmed")


def test_a_second_knee_and_a_second_course_lose_their_own_response(given):
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
        Anna    | right | 90  | 80        | 50       | 60
    """).derives(
        "endpoint.loss_state",
        """
        course       | day | state
        Anna left 1  | 90  | in_response
        Anna left 1  | 500 | response_lost
        Anna left 2  | 90  | no_response_yet
        Anna right 1 | 90  | in_response
    """,
        where="loss = 'L1' and confirmation = 'first'",
    )
