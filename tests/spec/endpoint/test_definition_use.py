"""Which response definitions are derived: the default of each programme."""


def test_a_programme_derives_its_default_definition_and_one_without_derives_none(given):
    given("").derives(
        "endpoint.definition_use",
        """
        programme      | definition
        osteoarthritis | OO-2004
        tendon         | FUNCTION-MIC
        systemic       | CDAI-50-OR-LOW
        transplant     | ANC-500
        neurological   | NEURO-MIC
    """,
    )


def test_a_second_knee_and_a_second_course_are_judged_by_the_definition_of_their_programme(given):
    given("""
        sessions
        patient | site      | side  | course | programme      | day
        Anna    | knee      | left  | 1      | osteoarthritis | 0
        Anna    | knee      | left  | 2      | osteoarthritis | 500
        Anna    | achilles  | right | 1      | tendon         | 0
    """).derives(
        "endpoint.response",
        """
        course                | definition
        Anna achilles right 1 | FUNCTION-MIC
        Anna left 1           | OO-2004
        Anna left 2           | OO-2004
    """,
        where="confirmation = 'first' and early_visits = 'ignored'",
    )
