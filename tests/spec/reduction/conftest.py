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
