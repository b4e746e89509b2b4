"""What a loss interval says when the loss is plain, not yet there, refuted by the next visit, or nobody can confirm it."""

PAIN_10 = """
default definition
programme | definition
osteoarthritis | KOOS-pain-10
"""


def course_of(pains: dict[int, object], *, more: str = "") -> str:
    """One knee treated on day 0 with KOOS pain (100 is best) by day."""
    scores = "\n".join(f"Anna | left | {day} | {value}" for day, value in pains.items())
    return f"{PAIN_10}\nsessions\npatient | side | day\nAnna | left | 0\n\nscores\npatient | side | day | KOOS/pain\n{scores}\n{more}"


def plain(loss: str, confirmation: str = "first") -> str:
    return f"loss = '{loss}' and confirmation = '{confirmation}'"


def test_loss_lies_between_the_last_visit_that_met_the_criterion_and_the_first_that_did_not(given):
    given(course_of({0: 40, 90: 60, 180: 62, 365: 45})).derives(
        "endpoint.loss",
        """
        course      | response_day | left_day | right_day | status
        Anna left 1 | 90           | 180      | 365       | lost
        """,
        where=plain("L1"),
    )


def test_a_response_that_is_held_is_censored_at_the_last_good_visit(given):
    given(course_of({0: 40, 90: 60, 180: 62})).derives(
        "endpoint.loss",
        """
        course      | response_day | left_day | right_day | status
        Anna left 1 | 90           | 180      | -         | in_response
        """,
        where=plain("L1"),
    )


def test_one_bad_visit_between_good_ones_is_no_confirmed_loss(given):
    given(course_of({0: 40, 90: 60, 180: 62, 365: 45, 730: 60})).derives(
        "endpoint.loss",
        """
        course      | response_day | left_day | right_day | status
        Anna left 1 | 90           | 730      | -         | in_response
        """,
        where=plain("L1", "confirmed"),
    )


def test_a_bad_last_visit_leaves_a_confirmed_loss_open(given):
    given(course_of({0: 40, 90: 60, 180: 62, 365: 45})).derives(
        "endpoint.loss",
        """
        course      | response_day | left_day | right_day | status
        Anna left 1 | 90           | 180      | -         | unconfirmed
        """,
        where=plain("L1", "confirmed"),
    )
