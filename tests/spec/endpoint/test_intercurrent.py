"""The first booster, rescue and stop of each course."""


def test_the_first_booster_and_the_first_rescue_are_kept_and_the_others_counted(given):
    given("""
        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | initial
        Anna    | left | 2       | 300 | booster_regression
        Anna    | left | 3       | 200 | booster_insufficient

        events
        patient | side | day | kind
        Anna    | left | 150 | corticosteroid_rescue
        Anna    | left | 250 | HA_rescue
        Anna    | left | 400 | lost_to_followup
    """).derives(
        "endpoint.intercurrent",
        """
        role    | day | kind                  | n
        booster | 200 | booster_insufficient  | 2
        rescue  | 150 | corticosteroid_rescue | 2
        stop    | 400 | lost_to_followup      | 1
    """,
    )


def test_a_second_knee_and_a_second_course_have_boosters_and_rescues_of_their_own(given):
    given("""
        sessions
        patient | side  | course | session | day | intent
        Anna    | left  | 1      | 1       | 0   | initial
        Anna    | left  | 2      | 1       | 500 | initial
        Anna    | left  | 2      | 2       | 650 | booster_regression
        Anna    | right | 1      | 1       | 0   | initial
        Anna    | right | 1      | 2       | 180 | booster_regression

        events
        patient | side  | day | kind
        Anna    | left  | 600 | PRP_rescue
        Anna    | right | 90  | opioid_start
    """).derives(
        "endpoint.intercurrent",
        """
        course       | role    | day
        Anna left 2  | booster | 150
        Anna left 2  | rescue  | 100
        Anna right 1 | booster | 180
        Anna right 1 | rescue  | 90
    """,
    )
