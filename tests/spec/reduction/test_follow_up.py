"""Who is due, and what became of them, by planned visit and scale."""


def test_a_second_knee_and_a_second_course_are_asked_each_by_their_own_days(given):
    """Left 1 comes late at 6 and 12 months, then the next course begins; left 2 is overdue at 6 months; right has left."""
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 600
        Anna    | right | 1      | 0

        data cut
        day
        785

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 0   | 40
        Anna    | left  | 28  | 50
        Anna    | left  | 90  | 60
        Anna    | left  | 240 | 60
        Anna    | left  | 599 | 45
        Anna    | left  | 690 | 70
        Anna    | right | 0   | 40
        Anna    | right | 92  | 60

        events
        patient | side  | day | kind
        Anna    | right | 160 | lost_to_followup
    """).derives(
        "reduction.follow_up",
        """
        planned_visit | scale     | n_seen | n_late | n_overdue | n_missed | n_lost | n_ended | n_not_due
        1 month       | KOOS/pain | 1      | 0      | 0         | 2        | 0      | 0       | 0
        3 months      | KOOS/pain | 3      | 0      | 0         | 0        | 0      | 0       | 0
        6 months      | KOOS/pain | 0      | 1      | 1         | 0        | 1      | 0       | 0
        12 months     | KOOS/pain | 0      | 1      | 0         | 0        | 1      | 0       | 1
        24 months     | KOOS/pain | 0      | 0      | 0         | 0        | 1      | 0       | 2
        36 months     | KOOS/pain | 0      | 0      | 0         | 0        | 0      | 0       | 3
    """,
    )


def test_a_course_counts_once_a_visit_and_is_seen_if_one_of_its_scales_was(given):
    """Left was asked two scales and answered one at 1 month, the other late at 3 months; right answered none."""
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | right | 1      | 0

        data cut
        day
        170

        scores
        patient | side  | day | KOOS/pain | PtGA
        Anna    | left  | 0   | 40        | 50
        Anna    | left  | 28  | 50        | -
        Anna    | left  | 130 | -         | 60
        Anna    | right | 0   | 40        | 50
    """).derives(
        "reduction.follow_up_visit",
        """
        planned_visit | n_seen | n_late | n_overdue | n_missed | n_lost | n_ended | n_not_due
        1 month       | 1      | 0      | 0         | 1        | 0      | 0       | 0
        3 months      | 0      | 1      | 0         | 1        | 0      | 0       | 0
        6 months      | 0      | 0      | 0         | 0        | 0      | 0       | 2
        12 months     | 0      | 0      | 0         | 0        | 0      | 0       | 2
        24 months     | 0      | 0      | 0         | 0        | 0      | 0       | 2
        36 months     | 0      | 0      | 0         | 0        | 0      | 0       | 2
    """,
    )
