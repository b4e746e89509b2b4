"""Until when the data of each patient may be used: a withdrawal of consent acts by its scope, from its date."""

import pytest

CASE = """
        patients
        patient | withdrawn | scope
        Anna    | 200       | {scope}

        sessions
        patient | side  | course | session | day | intent
        Anna    | left  | 1      | 1       | 0   | initial
        Anna    | left  | 1      | 2       | 250 | booster_regression
        Anna    | right | 1      | 1       | 100 | initial
        Bert    | left  | 1      | 1       | 0   | initial
        Bert    | left  | 2      | 1       | 300 | initial

        data cut
        day
        800

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 90  | 60
        Anna    | left  | 200 | 70
        Anna    | left  | 365 | 50
        Bert    | left  | 365 | 50

        events
        patient | side | day | kind
        Anna    | left | 400 | TKA
"""


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("contact_only", "Anna | - | no"),
        ("future_data", "Anna | day 200 | no"),
        ("all_data", "Anna | day 200 | yes"),
    ],
)
def test_a_second_knee_and_a_second_course_of_a_patient_share_one_consent(given, scope, expected):
    given(CASE.format(scope=scope)).derives(
        "staging.consent", f"patient | until_date | withdrawn_all\n{expected}\n Bert | - | no"
    )


@pytest.mark.parametrize(
    ("scope", "days"), [("contact_only", (90, 200, 365)), ("future_data", (90, 200)), ("all_data", ())]
)
def test_scores_after_the_withdrawal_are_not_used_and_of_all_data_none(given, scope, days):
    rows = "\n".join(f"Anna left 1 | {day}" for day in days)
    given(CASE.format(scope=scope)).derives(
        "course.score", f"course | day\n{rows}",
        where="course_id in (select course_id from course.course join record.patient p on p.id = patient_id "
        "where p.withdrawn_date is not null)",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("contact_only", "Anna left 1 | 800 | 1"), ("future_data", "Anna left 1 | 200 | 0")],
)
def test_who_withdrew_future_data_is_watched_to_that_day_and_no_later_session_counts(given, scope, expected):
    given(CASE.format(scope=scope)).derives(
        "course.course", f"course | potential_follow_up_day | n_boosters\n{expected}", where="potential_follow_up_day in (800, 200)"
        " and course_id in (select course_id from course.session join record.patient p on p.id = patient_id "
        "where p.withdrawn_date is not null and session_no = 1) and index_date = date '2020-01-01'",
    )  # fmt: skip


def test_an_event_after_the_withdrawal_did_not_happen_as_far_as_the_registry_may_know(given):
    given(CASE.format(scope="future_data")).derives("course.event", "course | kind")


def test_an_event_is_known_where_only_contact_was_withdrawn(given):
    given(CASE.format(scope="contact_only")).derives("course.event", "course | kind\n Anna left 1 | TKA")


def test_a_withdrawal_of_one_version_of_the_form_counts_the_first_and_the_widest(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0
        Bert    | left | 0
        Cora    | left | 0

        consents
        patient | version | withdrawn | scope
        Anna    | 1       | 300       | future_data
        Anna    | 2       | 200       | future_data
        Bert    | 1       | 100       | contact_only
        Bert    | 2       | -         | -
        Cora    | 1       | 100       | future_data
        Cora    | 2       | 300       | all_data
    """).derives(
        "staging.consent",
        """
        patient | until_date | withdrawn_all
        Anna    | day 200    | no
        Bert    | -          | no
        Cora    | day 100    | yes
        """,
    )
