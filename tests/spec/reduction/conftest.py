import pytest


@pytest.fixture
def three_patients(given):
    """Anna with two knees and a second course, Bert and Cleo with one knee each; everybody is seen on day 90."""
    return given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0
        Bert    | left  | 1      | 0
        Cleo    | left  | 1      | 0

        scores
        patient | side  | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left  | 0   | 40        | 50       | 60
        Anna    | left  | 90  | 80        | 50       | 60
        Anna    | left  | 500 | 40        | 50       | 60
        Anna    | left  | 590 | 80        | 50       | 60
        Anna    | right | 0   | 40        | 50       | 60
        Anna    | right | 90  | 45        | 50       | 60
        Bert    | left  | 0   | 40        | 50       | 60
        Bert    | left  | 90  | 45        | 50       | 60
        Cleo    | left  | 0   | 40        | 50       | 60
        Cleo    | left  | 90  | 45        | 50       | 60

        cohort
        course
        Anna left 1
        Anna left 2
        Anna right 1
        Bert left 1
        Cleo left 1

        question
        end_policy
        competing
    """)


_BOOSTER = """
        patients
        patient | centre
        Anna    | ZRH

        sessions
        patient | side | session | day | intent
        Anna    | left | 1       | 0   | initial
        {sessions}

        default definition
        definition
        KOOS-pain-physio

        data cut
        day
        {cut}

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 0   | 40
        {scores}

        events
        patient | side | day | kind
        {events}

        decisions
        patient | side | day | decision
        {decisions}

        cohort
        course
        Anna left 1

        booster question
        definition
        KOOS-pain-physio
"""


@pytest.fixture
def booster_case(given):
    """One course with a baseline KOOS pain of 40, by its scores, and what a model of the booster question makes of it."""

    def derives(
        model: str, expected: str, *, scores: dict[int, int], sessions="", events="", decisions="", cut=2000
    ) -> None:
        rows = "\n        ".join(f"Anna | left | {day} | {pain}" for day, pain in scores.items())
        case = given(_BOOSTER.format(scores=rows, sessions=sessions, events=events, decisions=decisions, cut=cut))
        case.derives(f"reduction.booster_{model}", expected)

    return derives


@pytest.fixture
def two_knees_two_courses(given):
    """Anna with two knees and a second course of the left one, boosted in the second; nobody responds."""
    return given("""
        sessions
        patient | side  | course | session | day | intent
        Anna    | left  | 1      | 1       | 0   | initial
        Anna    | left  | 2      | 1       | 500 | initial
        Anna    | left  | 2      | 2       | 600 | booster_insufficient
        Anna    | right | 1      | 1       | 0   | initial

        default definition
        definition
        KOOS-pain-physio

        scores
        patient | side  | day | KOOS/pain
        Anna    | left  | 0   | 40
        Anna    | left  | 90  | 42
        Anna    | left  | 500 | 38
        Anna    | left  | 590 | 48
        Anna    | left  | 680 | 49
        Anna    | right | 0   | 30
        Anna    | right | 90  | 33

        cohort
        course       | stratum
        Anna left 1  | early
        Anna left 2  | early
        Anna right 1 | moderate

        booster question
        definition
        KOOS-pain-physio
    """)
