"""What ended a target's course, on its exact day."""

import pytest


@pytest.mark.parametrize(
    ("kind", "role"),
    [("TKA", "end"), ("osteotomy", "end"), ("death", "death"), ("other_cell_elsewhere", "switch")],
)
def test_replacement_death_and_treatment_elsewhere_end_a_course_on_their_day(given, kind, role):
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        events
        patient | side | day | kind
        Anna    | left | 217 | {kind}
    """).derives(
        "endpoint.end_event",
        f"""
        course      | day | role
        Anna left 1 | 217 | {role}
    """,
    )


@pytest.mark.parametrize("kind", ["corticosteroid_rescue", "lost_to_followup", "withdrawal", "new_injury"])
def test_rescue_and_loss_to_follow_up_do_not_end_a_course(given, kind):
    given(f"""
        sessions
        patient | side | day
        Anna    | left | 0

        events
        patient | side | day | kind
        Anna    | left | 217 | {kind}
    """).derives(
        "endpoint.end_event",
        """
        course | day | role
    """,
    )


def test_the_death_of_the_patient_ends_both_knees(given):
    given("""
        sessions
        patient | side  | day
        Anna    | left  | 0
        Anna    | right | 100

        events
        patient | side | day | kind
        Anna    | -    | 300 | death
    """).derives(
        "endpoint.end_event",
        """
        course       | day | role
        Anna left 1  | 300 | death
        Anna right 1 | 200 | death
    """,
    )


def test_the_first_of_two_ends_counts_and_on_one_day_the_replacement(given):
    given("""
        sessions
        patient | side  | day
        Anna    | left  | 0
        Anna    | right | 0

        events
        patient | side  | day | kind
        Anna    | -     | 300 | death
        Anna    | left  | 300 | TKA
        Anna    | right | 200 | osteotomy
    """).derives(
        "endpoint.end_event",
        """
        course       | day | kind
        Anna left 1  | 300 | TKA
        Anna right 1 | 200 | osteotomy
    """,
    )


def test_what_ends_a_course_is_a_matter_of_its_programme(given):
    given("""
        sessions
        patient | site     | side | programme  | day
        Anna    | systemic | n/a  | transplant | 0
        Bert    | systemic | n/a  | systemic   | 0

        events
        patient | site     | side | day | kind
        Anna    | systemic | n/a  | 90  | immunosuppression_rescue
        Bert    | systemic | n/a  | 90  | immunosuppression_rescue
    """).derives(
        "endpoint.end_event",
        """
        course          | day | role
        Bert systemic 1 | 90  | end
    """,
    )


def test_a_second_knee_and_a_second_course_end_each_for_itself(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        events
        patient | side | day | kind
        Anna    | left | 700 | TKA
    """).derives(
        "endpoint.end_event",
        """
        course      | day | kind
        Anna left 2 | 200 | TKA
    """,
    )
