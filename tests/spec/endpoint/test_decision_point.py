"""Points at which a booster could be decided on. Definition KOOS-pain-physio: 15 points of KOOS pain better than 40."""

import pytest

BASE = """
        patients
        patient | centre
        Anna    | ZRH
        Bert    | ZRH

        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | initial
        {sessions}

        default definition
        definition
        KOOS-pain-physio

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 0   | 40
        {scores}

        events
        patient | side | day | kind
        {events}

        decisions
        patient | side | day | decision | cost in the way
        {decisions}
"""


def points(given, expected: str, *, scores: dict[int, int], sessions="", events="", decisions="") -> None:
    rows = "\n        ".join(f"Anna | left | {day} | {pain}" for day, pain in scores.items())
    given(BASE.format(scores=rows, sessions=sessions, events=events, decisions=decisions)).derives(
        "endpoint.decision_point", expected
    )


def test_without_a_log_each_judged_visit_since_evaluation_was_due_is_a_point(given):
    points(
        given,
        """
        visit_day | day | met | situation    | origin | asked | decided | next_visit_day
        90        | 90  | no  | insufficient | visits | yes   | -       | 180
        180       | 180 | yes | -            | visits | yes   | -       | 365
        365       | 365 | no  | regression   | visits | yes   | -       | -
        """,
        scores={30: 45, 90: 45, 180: 70, 365: 42},
    )


def test_who_met_the_definition_only_later_was_without_response_then(given):
    """The naive query asks who is a non-responder by the confirmed state, which knows the next visit."""
    points(
        given,
        "visit_day | situation\n 90 | insufficient\n 180 | -\n 365 | -",
        scores={90: 45, 180: 70, 365: 70},
    )


@pytest.mark.parametrize(
    ("sessions", "expected"),
    [
        ("Anna | left | 2 | 97 | booster_insufficient", "90 | 97 | 0\n 180 | - | 1"),
        ("Anna | left | 2 | 180 | booster_insufficient", "90 | - | 0\n 180 | 180 | 0"),
        ("Anna | left | 2 | 60 | booster_scheduled", "90 | - | 1\n 180 | - | 1"),
    ],
    ids=["after the visit", "on the day of a visit: the visit came first", "before any point: never a new user again"],
)
def test_a_booster_belongs_to_the_last_visit_on_or_before_its_day(given, sessions, expected):
    points(
        given,
        f"visit_day | booster_day | n_boosters_before\n{expected}",
        scores={90: 45, 180: 45},
        sessions=sessions,
    )


def test_a_target_that_has_ended_has_no_point_on_that_day_or_later(given):
    points(given, "visit_day\n 90", scores={90: 45, 180: 45}, events="Anna | left | 180 | TKA")


def test_whether_the_course_goes_on_does_not_decide_what_is_a_point(given):
    """Immortal time: to ask for a later visit, or for nobody replaced until the booster, would be to know the future."""
    points(given, "visit_day\n 90", scores={90: 45}, events="Anna | left | 95 | TKA")


LOGGED = """
        visit_day | day | situation    | origin       | asked | decided | cost_barrier
        90        | 90  | insufficient | visits       | yes   | -       | -
        180       | 187 | insufficient | decision log | yes   | no      | yes
        270       | 270 | insufficient | decision log | no    | -       | -
        365       | 365 | insufficient | decision log | yes   | yes     | -
"""


def test_where_the_centre_logs_decisions_against_a_booster_its_log_is_the_risk_set_from_the_first_of_them_on(given):
    points(
        given,
        LOGGED,
        scores={90: 45, 180: 45, 270: 45, 365: 45},
        decisions="Anna | left | 187 | wait | true\n        Anna | left | 365 | booster | -",
    )


def test_a_centre_that_logs_only_its_boosters_keeps_no_log(given):
    points(
        given,
        "visit_day | origin | asked | decided\n 90 | visits | yes | -\n 180 | visits | yes | -",
        scores={90: 45, 180: 45},
        decisions="Anna | left | 180 | booster | -",
    )


def test_the_first_decision_after_a_visit_counts_and_one_more_than_thirty_days_after_it_does_not(given):
    points(
        given,
        "visit_day | day | asked | decided\n 90 | 100 | yes | no\n 180 | 180 | no | -",
        scores={90: 45, 180: 45},
        decisions="Anna | left | 100 | wait | -\n Anna | left | 110 | booster | -\n Anna | left | 211 | booster | -",
    )


@pytest.mark.parametrize(
    ("given_before", "expected"),
    [
        ({"sessions": "Anna | left | 2 | 182 | booster_insufficient"}, "180 | 187 | no | no"),
        ({"events": "Anna | left | 185 | TKA"}, "180 | 180 | no | -"),
        ({}, "180 | 187 | yes | no"),
    ],
    ids=["a booster before it: a prevalent user", "the end before it: nobody decided that day", "nothing before it"],
)
def test_a_decision_after_what_it_is_about_has_happened_starts_no_trial(given, given_before, expected):
    points(
        given,
        f"visit_day | day | asked | decided\n {expected}",
        scores={180: 45},
        decisions="Anna | left | 187 | wait | -",
        **given_before,
    )


def test_a_decision_belongs_to_the_last_visit_before_it(given):
    points(
        given,
        "visit_day | day | asked | decided\n 180 | 180 | no | -\n 190 | 195 | yes | no",
        scores={180: 45, 190: 45},
        decisions="Anna | left | 195 | wait | -",
    )


def test_a_log_of_another_programme_at_the_same_centre_is_no_log_of_this_one(given):
    given("""
        patients
        patient | centre
        Anna    | ZRH
        Bert    | ZRH

        courses
        patient | side | course | programme
        Bert    | left | 1      | tendon

        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | initial
        Bert    | left | 1       | 0   | initial

        default definition
        definition
        KOOS-pain-physio

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 0   | 40
        Anna    | left | 90  | 45

        decisions
        patient | side | day | decision
        Bert    | left | 30  | wait
    """).derives("endpoint.decision_point", "visit_day | day | origin | asked\n 90 | 90 | visits | yes")


def test_a_second_knee_and_a_second_course_have_points_of_their_own(given):
    given("""
        sessions
        patient | side  | course | session | day | intent
        Anna    | left  | 1      | 1       | 0   | initial
        Anna    | left  | 2      | 1       | 500 | initial
        Anna    | left  | 2      | 2       | 600 | booster_regression
        Anna    | right | 1      | 1       | 0   | initial

        default definition
        definition
        KOOS-pain-physio

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 0   | 40
        Anna    | left  | 90  | 70
        Anna    | left  | 500 | 40
        Anna    | left  | 590 | 45
        Anna    | right | 0   | 40
        Anna    | right | 90  | 45
    """).derives(
        "endpoint.decision_point",
        """
        course       | visit_day | situation    | met_before | booster_day
        Anna left 1  | 90        | -            | no         | -
        Anna left 1  | 500       | regression   | yes        | -
        Anna left 2  | 90        | insufficient | no         | 100
        Anna right 1 | 90        | insufficient | no         | -
    """,
    )
