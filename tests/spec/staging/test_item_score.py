"""Scores computed from questionnaire items: the published formulas, and how many answers they need."""

import pytest


@pytest.mark.parametrize(
    ("instrument", "answers", "scale", "value"),
    [
        ("KOOS", "P1-P9=0", "KOOS/pain", "100"),
        ("KOOS", "P1-P9=4", "KOOS/pain", "0"),
        ("KOOS", "P1-P9=1", "KOOS/pain", "75"),
        ("KOOS", "P1-P8=1 P9=2", "KOOS/pain", "72.2222"),
        ("HOOS", "P1-P10=1", "HOOS/pain", "75"),
        ("WOMAC LK3.1", "F1-F17=2", "WOMAC-LK3.1/function", "34"),
        ("WOMAC LK3.1", "P1-P5=4", "WOMAC-LK3.1/pain", "20"),
        ("OKS", "O1-O12=4", "OKS", "48"),
        ("OKS", "O1-O12=1", "OKS", "12"),
        ("DASH", "D1-D30=5", "DASH", "100"),
        ("EQ-5D-5L", "MO=1 SC=1 UA=1 PD=1 AD=1", "EQ5D5L/lss", "5"),
        ("VISA-A", "V1-V7=10 V8=30", "VISA-A", "100"),
    ],
)
def test_a_full_questionnaire_is_scored_by_its_published_formula(given, instrument, answers, scale, value):
    given(f"""
        answers
        patient | side | day | instrument   | answers
        Anna    | left | 0   | {instrument} | {answers}
    """).derives(
        "staging.item_score",
        f"""
        scale   | n_imputed | value
        {scale} | 0         | {value}
    """,
    )


@pytest.mark.parametrize(
    ("answers", "imputed", "value"),
    [("P1-P5=1", 4, "75"), ("P1-P4=1", 5, "-"), ("P1-P3=0 P4-P5=4", 4, "60")],
)
def test_koos_pain_needs_half_of_its_nine_items_and_takes_the_mean_of_those_answered(given, answers, imputed, value):
    given(f"""
        answers
        patient | side | day | instrument | answers
        Anna    | left | 0   | KOOS       | {answers}
    """).derives(
        "staging.item_score",
        f"""
        scale     | n_imputed | value
        KOOS/pain | {imputed} | {value}
    """,
    )


@pytest.mark.parametrize(
    ("scale", "enough", "too_few"),
    [
        ("symptoms", "S1-S4=2", "S1-S3=2"),
        ("adl", "A1-A9=2", "A1-A8=2"),
        ("sport", "SP1-SP3=2", "SP1-SP2=2"),
        ("qol", "Q1-Q2=2", "Q1=2"),
    ],
)
def test_each_koos_subscale_stands_alone_with_half_of_its_own_items(given, scale, enough, too_few):
    given(f"""
        answers
        patient | side  | day | instrument | answers
        Anna    | left  | 0   | KOOS       | {enough}
        Anna    | right | 0   | KOOS       | {too_few}
    """).derives(
        "staging.item_score",
        f"""
        target     | scale        | value
        Anna left  | KOOS/{scale} | 50
        Anna right | KOOS/{scale} | -
    """,
    )


def test_womac_function_bears_three_missing_answers_but_not_four(given):
    given("""
        answers
        patient | side  | day | instrument  | answers
        Anna    | left  | 0   | WOMAC LK3.1 | F1-F14=2
        Anna    | right | 0   | WOMAC LK3.1 | F1-F13=2
    """).derives(
        "staging.item_score",
        """
        target     | n_answered | n_imputed | value
        Anna left  | 14         | 3         | 34
        Anna right | 13         | 4         | -
    """,
    )


def test_the_oxford_score_bears_two_missing_answers_but_not_three(given):
    given("""
        answers
        patient | side  | day | instrument | answers
        Anna    | left  | 0   | OKS        | O1-O10=3
        Anna    | right | 0   | OKS        | O1-O9=3
    """).derives(
        "staging.item_score",
        """
        target     | n_imputed | value
        Anna left  | 2         | 36
        Anna right | 3         | -
    """,
    )


def test_items_of_unequal_range_count_by_the_points_they_offer(given):
    given("""
        answers
        patient | side | day | instrument | answers
        Anna    | left | 0   | IKDC       | IK1=4 IK2-IK3=10 IK4-IK5=4 IK6=1 IK7-IK8=4 IK9a=0 IK9b=0 IK9c=0 IK9d=0 IK9e=0 IK9f=0 IK9g=0 IK9h=0 IK9i=0 IK10=0
    """).derives(
        "staging.item_score",
        """
        scale | n_imputed | value
        IKDC  | 0         | 47.1264
    """,
    )


def test_a_second_knee_and_a_second_course_have_scores_of_their_own(given):
    given("""
        answers
        patient | side  | day | instrument | answers
        Anna    | left  | 0   | KOOS       | Q1-Q4=4
        Anna    | right | 0   | KOOS       | Q1-Q4=2
        Anna    | left  | 500 | KOOS       | Q1-Q4=0
    """).derives(
        "staging.item_score",
        """
        target     | date    | value
        Anna left  | day 0   | 0
        Anna right | day 0   | 50
        Anna left  | day 500 | 100
    """,
    )
