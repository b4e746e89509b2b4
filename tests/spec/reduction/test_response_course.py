"""The response interval of each course of a cohort, under the policies of the question."""

import pytest


def counted(given, expected: str, *, visits=(), question: str = "", events: str = "", booster: str = "",
            rescue: str = "") -> None:  # fmt: skip
    """Reduce one course; at a visit with pain 80 the definition is met, at one with pain 45 it is not."""
    rows = "\n".join(f"        Anna | left | {day} | {pain} | 50 | 60" for day, pain in ((0, 40), *visits))
    given(f"""
        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | initial
        {booster}

        scores
        patient | side | day | KOOS/pain | KOOS/adl | PtGA
{rows}

        events
        patient | side | day | kind
        {events}

        cohort
        course
        Anna left 1

        question
        end_policy | booster_policy | early_visits | rescue_policy
        {question or "- | - | -"} | {rescue or "-"}
    """).derives(
        "reduction.response_course",
        f"""
        kind | left_day | right_day
        {expected}
    """,
    )


def test_a_response_is_counted_with_its_interval(given):
    counted(given, "response | 90 | 180", visits=((90, 45), (180, 80)))


def test_a_course_that_never_responded_is_censored_at_its_last_assessment_and_watched_for_its_end_until_the_next(given):
    counted(given, "censored | 180 | 410", visits=((90, 45), (180, 45)))


@pytest.mark.parametrize(("policy", "expected"), [("competing", "end | 90 | 200"), ("censor", "censored | 90 | 90")])
def test_an_end_without_response_competes_or_censors_as_the_question_says(given, policy, expected):
    counted(given, expected, visits=((90, 45),), events="Anna | left | 200 | TKA", question=f"{policy} | - | -")


def test_an_end_reported_after_the_course_was_no_longer_watched_does_not_count(given):
    counted(given, "censored | 90 | 210", visits=((90, 45),), events="Anna | left | 211 | TKA")


@pytest.mark.parametrize(("policy", "expected"), [("competing", "end | 0 | 30"), ("censor", "")])
def test_an_end_before_any_visit_counts_only_where_ends_compete(given, policy, expected):
    counted(given, expected, events="Anna | - | 30 | death", question=f"{policy} | - | -")


def test_a_response_on_the_day_of_the_end_is_a_response(given):
    counted(given, "response | 90 | 180", visits=((90, 45), (180, 80)), events="Anna | left | 180 | TKA")


BOOSTER = "Anna | left | 2 | 120 | booster_insufficient"


@pytest.mark.parametrize(
    ("policy", "visits", "expected"),
    [
        ("treatment_policy", ((90, 45), (180, 80)), "response | 90 | 180"),
        ("censor", ((90, 45), (180, 80)), "censored | 90 | 90"),
        ("censor", ((90, 45), (120, 80)), "response | 90 | 120"),
        ("censor", ((90, 80), (180, 45)), "response | 0 | 90"),
        ("censor", ((90, 45), (180, 45)), "censored | 90 | 90"),
    ],
)
def test_a_booster_before_response_is_ignored_or_censors_as_the_question_says(given, policy, visits, expected):
    counted(given, expected, visits=visits, booster=BOOSTER, question=f"- | {policy} | -")


def test_where_early_visits_are_ignored_they_do_not_carry_follow_up_to_the_booster(given):
    early = "Anna | left | 2 | 60 | booster_insufficient"
    counted(given, "censored | 0 | 0", visits=((30, 45), (90, 45)), booster=early, question="- | censor | ignored")


def test_a_booster_after_the_end_of_the_target_does_not_undo_the_end(given):
    counted(
        given, "end | 90 | 100", visits=((90, 45),), booster=BOOSTER,
        events="Anna | left | 100 | other_cell_elsewhere", question="competing | censor | -",
    )  # fmt: skip


def test_a_second_knee_and_a_second_course_are_counted_each_with_its_own_interval(given):
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
        Anna    | right | 0   | 40        | 50       | 60
        Anna    | right | 90  | 45        | 50       | 60
        Anna    | right | 180 | 80        | 50       | 60

        cohort
        course       | stratum
        Anna left 1  | early
        Anna left 2  | early
        Anna right 1 | moderate

        question
        end_policy
        competing
    """).derives(
        "reduction.response_course",
        """
        course       | patient | stratum  | kind     | left_day | right_day
        Anna left 1  | Anna    | early    | censored | 500      | 500
        Anna left 2  | Anna    | early    | response | 0        | 90
        Anna right 1 | Anna    | moderate | response | 90       | 180
    """,
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("treatment_policy", "response | 90 | 180"), ("censor", "censored | 90 | 90"), ("composite", "end | 90 | 120")],
)
def test_a_response_after_rescue_counts_is_not_looked_for_or_cannot_be_as_the_question_says(given, policy, expected):
    rescued = "Anna | left | 120 | corticosteroid_rescue"
    counted(given, expected, visits=((90, 45), (180, 80)), events=rescued, rescue=policy)


def test_rescue_after_the_response_or_when_nobody_watched_any_more_changes_nothing(given):
    late = "Anna | left | 200 | corticosteroid_rescue"
    counted(given, "response | 90 | 180", visits=((90, 45), (180, 80)), events=late, rescue="composite")


def test_rescue_reported_after_the_course_was_no_longer_watched_is_no_failure(given):
    late = "Anna | left | 211 | corticosteroid_rescue"
    counted(given, "censored | 90 | 210", visits=((90, 45),), events=late, rescue="composite")
