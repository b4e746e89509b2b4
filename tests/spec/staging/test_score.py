"""Every measured value in the unit of its scale, and as 0 (best) to 100 (worst)."""

import pytest


@pytest.mark.parametrize(
    ("scale", "value", "worse"),
    [
        ("KOOS/pain", "70", "30"),
        ("WOMAC-LK3.1/function", "34", "50"),
        ("OKS", "48", "0"),
        ("NRS-pain", "3", "30"),
        ("EQ5D5L/lss", "5", "0"),
        ("EQ5D5L/index", "-1", "100"),
        ("body_weight", "82", "-"),
    ],
)
def test_a_score_is_turned_so_that_a_hundred_is_worst(given, scale, value, worse):
    given(f"""
        scores
        patient | side | day | {scale}
        Anna    | left | 0   | {value}
    """).derives(
        "staging.score",
        f"""
        scale   | value   | worse100
        {scale} | {value} | {worse}
    """,
    )


@pytest.mark.parametrize(
    ("reported", "value", "scale", "in_own_unit"),
    [
        ("VAS-pain in cm", "4.2", "VAS-pain", "42"),
        ("hsCRP in mg/dL", "0.31", "hsCRP", "3.1"),
        ("ANC in /uL", "500", "ANC", "0.5"),
        ("VAS-pain in mm", "42", "VAS-pain", "42"),
    ],
)
def test_a_value_in_another_unit_is_converted(given, reported, value, scale, in_own_unit):
    given(f"""
        scores
        patient | side | day | {reported}
        Anna    | left | 0   | {value}
    """).derives(
        "staging.score",
        f"""
        scale   | value
        {scale} | {in_own_unit}
    """,
    )


def test_a_score_computed_from_items_takes_the_place_of_the_reported_one(given):
    given("""
        scores
        patient | side | day | KOOS/qol
        Anna    | left | 0   | 44
        Anna    | left | 90  | 60

        answers
        patient | side | day | instrument | answers
        Anna    | left | 0   | KOOS       | Q1-Q4=2
    """).derives(
        "staging.score",
        """
        date   | value | source_table
        day 0  | 50    | item_response
        day 90 | 60    | measurement
    """,
    )


def test_a_reported_score_stays_where_too_few_items_were_answered(given):
    given("""
        scores
        patient | side | day | KOOS/qol
        Anna    | left | 0   | 44

        answers
        patient | side | day | instrument | answers
        Anna    | left | 0   | KOOS       | Q1=2
    """).derives(
        "staging.score",
        """
        value | source_table
        44    | measurement
    """,
    )


def test_a_second_knee_and_a_second_course_keep_the_scores_reported_for_them(given):
    given("""
        scores
        patient | side  | day | KOOS/qol
        Anna    | right | 0   | 25
        Anna    | left  | 500 | 75

        answers
        patient | side | day | instrument | answers
        Anna    | left | 0   | KOOS       | Q1-Q4=2
    """).derives(
        "staging.score",
        """
        target     | date    | value
        Anna left  | day 0   | 50
        Anna right | day 0   | 25
        Anna left  | day 500 | 75
    """,
    )
