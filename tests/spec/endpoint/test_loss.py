"""When response was lost, as the interval between the last good visit and the first bad."""

VISITS = """
    sessions
    patient | side  | course | day
    Anna    | left  | 1      | 0
    Anna    | left  | 2      | 700
    Anna    | right | 1      | 0

    scores
    patient | side  | day | KOOS/pain | KOOS/adl | PtGA
    Anna    | left  | 0   | 40        | 50       | 60
    Anna    | left  | 90  | 80        | 50       | 60
    Anna    | left  | 180 | 80        | 50       | 60
    Anna    | left  | 365 | 45        | 50       | 60
    Anna    | left  | 700 | 40        | 50       | 60
    Anna    | left  | 790 | 45        | 50       | 60
    Anna    | right | 0   | 40        | 50       | 60
    Anna    | right | 90  | 80        | 50       | 60
    Anna    | right | 365 | 80        | 50       | 60
"""


def test_a_second_knee_and_a_second_course_lose_response_each_for_itself(given):
    given(VISITS).derives(
        "endpoint.loss",
        """
        course       | response_day | left_day | right_day | status
        Anna left 1  | 90           | 180      | 365       | lost
        Anna left 2  | -            | -        | -         | no_response
        Anna right 1 | 90           | 365      | -         | in_response
    """,
        where="loss = 'L1' and confirmation = 'first'",
    )


def test_every_rule_of_loss_of_the_programme_is_derived_under_both_confirmations(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0
    """).derives(
        "endpoint.loss",
        """
        loss | confirmation | status
        L1   | confirmed    | not_assessed
        L1   | first        | not_assessed
        L2   | confirmed    | not_assessed
        L2   | first        | not_assessed
        L3   | confirmed    | not_assessed
        L3   | first        | not_assessed
        L4   | confirmed    | not_assessed
        L4   | first        | not_assessed
        L5   | confirmed    | not_assessed
        L5   | first        | not_assessed
    """,
    )
