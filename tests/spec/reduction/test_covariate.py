"""What was known at the first session of every course of the cohort, judged or not."""

from registry import sqlmodels


def test_courses_of_which_nothing_was_seen_after_treatment_are_known_too(given):
    given("""
        sessions
        patient | side | course | day
        Anna    | left | 1      | 0
        Bert    | left | 1      | 0

        scores
        patient | side | day | KOOS/pain | KOOS/adl | PtGA
        Anna    | left | 0   | 40        | 50       | 60
        Bert    | left | 0   | 30        | 50       | 60
        Bert    | left | 90  | 70        | 50       | 60

        cohort
        course
        Anna left 1
        Bert left 1
    """).derives(
        "reduction.covariate",
        """
        course      | baseline | sex
        Anna left 1 | 60.0     | female
        Bert left 1 | 70.0     | female
    """,
    )


def test_of_scales_that_are_first_alike_a_judgement_comes_before_a_biomarker_however_the_rows_lie(given):
    record = given("""
        courses
        patient | side | course | programme
        Anna    | left | 1      | systemic

        sessions
        patient | side | course | day | programme
        Anna    | left | 1      | 0   | systemic

        scores
        patient | side | day | EQ5D5L/vas | CDAI | hsCRP
        Anna    | left | 0   | 60         | 30   | 12

        cohort
        course
        Anna left 1
    """)
    for order in ("scale", "scale desc"):
        record.con.execute(
            "create or replace temp table offered as from catalogue.programme_scale; delete from catalogue.programme_scale; "
            f"insert into catalogue.programme_scale from offered order by {order}"
        )
        sqlmodels.run(record.con, sqlmodels.upstream(["reduction.covariate"]))
        chosen = record.con.sql(
            "select baseline.scale from reduction.covariate as known inner join course.baseline as baseline "
            "on known.course_id = baseline.course_id and known.baseline = baseline.worse100"
        ).fetchall()
        assert chosen == [("CDAI",)]
