"""The day on which a policy stops a course: the first booster, the first rescue, or rescue as a failure."""

import pytest

CASE = """
        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | initial
        Anna    | left | 2       | 150 | booster
        Bert    | left | 1       | 0   | initial

        events
        patient | side | day | kind
        Anna    | left | 120 | corticosteroid_rescue
        Anna    | left | 300 | HA_rescue
        Bert    | left | 200 | PRP_rescue

        cohort
        course
        Anna left 1
        Bert left 1

        question
        booster_policy | rescue_policy
        {policies}
"""


@pytest.mark.parametrize(
    ("policies", "anna", "bert"),
    [
        ("censor | treatment_policy", "150 | censored", None),
        ("treatment_policy | censor", "120 | censored", "200 | censored"),
        ("censor | composite", "120 | ended", "200 | ended"),
    ],
)
def test_the_first_of_what_a_policy_stops_at_stops_a_course(given, policies, anna, bert):
    rows = [f"        {name} left 1 | {told}" for name, told in (("Anna", anna), ("Bert", bert)) if told]
    expected = "\n".join(["        course | stop_day | stop_as", *rows])
    given(CASE.format(policies=policies)).derives("reduction.policy_stop", f"\n{expected}\n    ")


def test_where_every_policy_is_the_treatment_policy_nothing_stops_a_course(given):
    made = given(CASE.format(policies="treatment_policy | treatment_policy"))
    made.derives("reduction.policy_stop", "\n        course | stop_day | stop_as\n    ")


def test_on_the_day_of_a_booster_rescue_as_a_failure_comes_first(given):
    case = CASE.replace("Anna    | left | 120 |", "Anna    | left | 150 |").format(policies="censor | composite")
    given(case).derives("reduction.policy_stop", """
        course      | stop_day | stop_as
        Anna left 1 | 150      | ended
        Bert left 1 | 200      | ended
    """)  # fmt: skip
