"""When response began, as the interval (left_day, right_day] between two visits."""

import pytest

# At a visit with pain 80 the definition is met (pain relieved by 40 of 60 points), at one with pain 45 it is not.
BASELINE = """
    sessions
    patient | side | day
    Anna    | left | 0

    scores
    patient | side | day | KOOS/pain | KOOS/adl | PtGA
    Anna    | left | 0   | 40        | 50       | 60
"""


def visits(*days: tuple[int, int]) -> str:
    rows = "\n".join(f"    Anna | left | {day} | {pain} | 50 | 60" for day, pain in days)
    return f"{BASELINE.rstrip()}\n{rows}\n"


def rule(confirmation: str, early: str) -> str:
    return f"confirmation = '{confirmation}' and early_visits = '{early}'"


def test_response_began_between_the_last_visit_without_and_the_first_with(given):
    given(visits((90, 45), (180, 80), (365, 45))).derives(
        "endpoint.response",
        """
        left_day | right_day | status
        90       | 180       | responded
    """,
        where=rule("first", "ignored"),
    )


def test_a_response_at_the_first_visit_began_after_treatment(given):
    given(visits((90, 80), (180, 80))).derives(
        "endpoint.response",
        """
        left_day | right_day | status
        0        | 90        | responded
    """,
        where=rule("confirmed", "ignored"),
    )


def test_a_response_that_never_came_is_censored_at_the_last_assessment_not_the_last_contact(given):
    contacts = """
        visits
        patient | side | day | status
        Anna    | left | 730 | done
    """
    given(visits((90, 45), (180, 45)) + contacts).derives(
        "endpoint.response",
        """
        left_day | right_day | status        | last_assessed_day
        180      | -         | not_responded | 180
    """,
        where=rule("first", "ignored"),
    )


def test_one_crossing_alone_is_a_first_response_and_no_confirmed_one(given):
    given(visits((90, 80), (180, 45), (365, 45))).derives(
        "endpoint.response",
        """
        confirmation | left_day | right_day | status
        confirmed    | 180      | -         | not_responded
        first        | 0        | 90        | responded
    """,
        where="early_visits = 'ignored'",
    )


def test_a_confirmed_response_began_at_the_first_of_the_two_agreeing_visits(given):
    given(visits((90, 80), (180, 45), (270, 80), (365, 80))).derives(
        "endpoint.response",
        """
        left_day | right_day
        180      | 270
    """,
        where=rule("confirmed", "ignored"),
    )


def test_a_response_at_the_last_visit_is_unconfirmed_and_censored_before_it(given):
    given(visits((90, 45), (180, 45), (365, 80))).derives(
        "endpoint.response",
        """
        left_day | right_day | status      | last_assessed_day
        180      | -         | unconfirmed | 365
    """,
        where=rule("confirmed", "ignored"),
    )


def test_whoever_needs_confirming_is_watched_to_the_last_visit_but_one_met_or_not(given):
    given(visits((90, 45), (180, 45), (365, 45))).derives(
        "endpoint.response",
        """
        confirmation | left_day | status
        confirmed    | 180      | not_responded
        first        | 365      | not_responded
    """,
        where="early_visits = 'ignored'",
    )


def test_visits_before_evaluation_is_due_are_ignored_or_counted_as_the_question_says(given):
    given(visits((30, 80), (90, 45), (180, 80))).derives(
        "endpoint.response",
        """
        early_visits | left_day | right_day
        counted      | 0        | 30
        ignored      | 90       | 180
    """,
        where="confirmation = 'first'",
    )


@pytest.mark.parametrize(("day", "status"), [(68, "not_assessed"), (69, "responded")])
def test_a_visit_is_due_from_the_evaluation_day_less_its_tolerance(given, day, status):
    given(visits((day, 80))).derives(
        "endpoint.response",
        f"""
        status
        {status}
    """,
        where=rule("first", "ignored"),
    )


def test_a_visit_that_could_not_be_judged_is_passed_over(given):
    unknown = "    Anna | left | 120 | 52 | - | -"
    given(visits((90, 45)) + unknown + "\n    Anna | left | 180 | 80 | 50 | 60").derives(
        "endpoint.response",
        """
        left_day | right_day
        90       | 180
    """,
        where=rule("first", "ignored"),
    )


def test_a_definition_met_on_the_day_of_the_end_event_is_a_response(given):
    end = """
        events
        patient | side | day | kind
        Anna    | left | 180 | TKA
    """
    given(visits((90, 45), (180, 80)) + end).derives(
        "endpoint.response",
        """
        left_day | right_day | status
        90       | 180       | responded
    """,
        where=rule("first", "ignored"),
    )


def test_an_end_before_any_visit_leaves_the_course_not_assessed(given):
    end = """
        events
        patient | side | day | kind
        Anna    | -    | 20  | death
    """
    given(visits((90, 80)) + end).derives(
        "endpoint.response",
        """
        left_day | right_day | status
        -        | -         | not_assessed
    """,
        where=rule("first", "ignored"),
    )


def test_a_programme_without_a_definition_has_no_response(given):
    given("""
        sessions
        patient | site     | side | programme | day
        Anna    | systemic | n/a  | wellness  | 0
    """).derives(
        "endpoint.response",
        """
        course | status
    """,
    )


def test_a_second_knee_and_a_second_course_respond_each_for_itself(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left  | 0   | 40        | 50       | 60
        Anna    | left  | 90  | 45        | 50       | 60
        Anna    | left  | 500 | 40        | 50       | 60
        Anna    | left  | 590 | 80        | 50       | 60
        Anna    | left  | 680 | 80        | 50       | 60
        Anna    | right | 0   | 40        | 50       | 60
        Anna    | right | 90  | 45        | 50       | 60
        Anna    | right | 180 | 80        | 50       | 60
        Anna    | right | 365 | 80        | 50       | 60
    """).derives(
        "endpoint.response",
        """
        course       | left_day | right_day | status
        Anna left 1  | 90       | -         | not_responded
        Anna left 2  | 0        | 90        | responded
        Anna right 1 | 90       | 180       | responded
    """,
        where=rule("confirmed", "ignored"),
    )
