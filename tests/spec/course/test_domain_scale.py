"""The scale that stands for each domain in a course: the first in the programme's order that has a baseline."""


def test_the_first_scale_in_the_programmes_order_that_has_a_baseline_stands_for_its_domain(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | NRS-pain | VAS-pain | KOOS/pain | PtGA
        Anna    | left | 0   | 6        | 58       | -         | 60
        Anna    | left | 90  | 2        | 20       | 80        | 20
    """).derives(
        "course.domain_scale",
        """
        domain | scale
        global | PtGA
        pain   | VAS-pain
    """,
    )


def test_a_domain_without_a_baseline_has_no_scale(given):
    given("""
        sessions
        patient | side | day
        Anna    | left | 0

        scores
        patient | side | day | KOOS/pain
        Anna    | left | 90  | 80
    """).derives(
        "course.domain_scale",
        """
        domain | scale
    """,
    )


def test_a_second_knee_and_a_second_course_choose_scales_of_their_own(given):
    given("""
        sessions
        patient | side  | course | day
        Anna    | left  | 1      | 0
        Anna    | left  | 2      | 500
        Anna    | right | 1      | 0

        scores
        patient | side  | day | KOOS/pain | NRS-pain
        Anna    | left  | 0   | 40        | -
        Anna    | left  | 500 | -         | 6
        Anna    | right | 0   | -         | 7
    """).derives(
        "course.domain_scale",
        """
        course       | scale
        Anna left 1  | KOOS/pain
        Anna left 2  | NRS-pain
        Anna right 1 | NRS-pain
    """,
    )
