"""The datasets of rows that leave, with their columns: subjects, courses, scores, times as intervals, events."""

from __future__ import annotations

import polars as pl

from analysis.disclosure import POLICY
from analysis.disclosure.datasets import Dataset, Variable
from registry import catalogue

_PARAMETERS = {
    "RESPONSE": "First confirmed response",
    "LOSS": "Loss of response by the definition's own criterion",
    "END": "End of the target: replacement or the like",
}


def datasets(
    programme: str, study: str, courses: pl.DataFrame, scores: pl.DataFrame, times: pl.DataFrame, events: pl.DataFrame
) -> list[Dataset]:
    """Return the datasets of rows that leave.

    Parameters
    ----------
    programme, study
        Whose courses, and the name of the study in the files.
    courses
        ``reduction.row_course`` made coarse, with ``USUBJID`` and ``CRSSEQ``, one row a course.
    scores, times, events
        ``reduction.row_score``, ``row_time`` and ``row_event``; those of other courses are left out.
    """
    key = courses.select("course_id", "USUBJID", "CRSSEQ")
    return [
        _subjects(study, courses),
        _courses(courses, programme),
        _scores(key.join(scores, on="course_id").sort("USUBJID", "CRSSEQ", "scale", "day")),
        _times(key.join(times, on="course_id").sort("USUBJID", "CRSSEQ", "parameter")),
        _events(key.join(events, on="course_id").sort("USUBJID", "CRSSEQ", "day", "category")),
    ]


_FLAG = {"Y": "Yes", "N": "No"}
# CTCAE 5.0: the grades' own names.
_GRADES = {1: "Mild", 2: "Moderate", 3: "Severe", 4: "Life-threatening", 5: "Death"}
_SUBJECT = Variable("USUBJID", "Subject: a number made for this export")
_COURSE = Variable("CRSSEQ", "Course of treatment of the subject")
_YES = ("Y", "N")


def _subjects(study: str, courses: pl.DataFrame) -> Dataset:
    frame = courses.group_by("USUBJID", maintain_order=True).agg(
        pl.lit(study).first().alias("STUDYID"),
        pl.col("centre").first().alias("SITEID"),
        pl.col("sex").first().alias("SEX"),
        pl.col("age_band").first().alias("AGEGR1"),
        pl.len().cast(pl.Int32).alias("NCOURSE"),
    )
    variables = (
        _SUBJECT,
        Variable("STUDYID", "Study"),
        Variable("SITEID", "Clinic"),
        Variable("SEX", "Sex", _seen(frame, "SEX")),
        Variable("AGEGR1", "Age at the first session, in bands", unit="years"),
        Variable("NCOURSE", "Courses of treatment in these data"),
    )
    return Dataset("ADSL", "Subjects", "One row a subject", ("USUBJID",), variables, frame)


def _courses(courses: pl.DataFrame, programme: str) -> Dataset:
    columns = {
        "TARGET": ("site", "Anatomical site of the target"),
        "SIDE": ("side", "Side"),
        "DIAGNOS": ("diagnosis", "Diagnosis"),
        "STAGE": ("stage", "Severity stage at baseline"),
        "AGEGR1": ("age_band", "Age at the first session, in bands"),
        "BMI": ("bmi", "Body mass index, rounded"),
        "DONOR": ("donor", "Relation of donor to recipient"),
        "ORIGIN": ("origin", "Tissue of origin of the product"),
        "SEPAR": ("separation", "How cells were separated"),
        "EXPANDFL": ("expanded", "Expanded in culture"),
        "ROUTE": ("route", "Route of delivery"),
        "GUIDANCE": ("guidance", "Image guidance"),
        "DOSE": ("dose_viable_million", f"Viable cells, first session, nearest {POLICY.dose_step_million}"),
        "DOSETOT": ("series_dose_million", f"Viable cells, planned series, nearest {POLICY.dose_step_million}"),
        "NSESS": ("n_sessions", "Sessions"),
        "NBOOST": ("n_boosters", "Boosters among the sessions"),
        "POTDAY": ("potential_follow_up_day", "Days from first session to the data cut"),
        "LASTDAY": ("last_assessed_day", "Last day with a score"),
    }
    units = {"BMI": "kg/m2", "DOSE": "10*6", "DOSETOT": "10*6", "POTDAY": "d", "LASTDAY": "d"}
    step = POLICY.follow_up_step_day
    # The day of the data cut minus this would be the date of the first session: to the month it says enough.
    frame = courses.with_columns(
        (pl.col("potential_follow_up_day") // step * step).alias("potential_follow_up_day"),
        pl.when("expanded").then(pl.lit("Y")).when(~pl.col("expanded")).then(pl.lit("N")).alias("expanded"),
    ).select("USUBJID", "CRSSEQ", *(pl.col(ours).alias(name) for name, (ours, _) in columns.items()))
    frame = frame.with_columns(pl.col("NSESS", "NBOOST", "POTDAY", "LASTDAY").cast(pl.Int32))
    stages = catalogue.read("stage").filter(programme=programme)
    words = {"STAGE": dict(stages.select("stage", "label").iter_rows()), "EXPANDFL": _FLAG}
    variables = tuple(
        Variable(name, label, _seen(frame, name) if name != "AGEGR1" else (), units.get(name, ""), words.get(name, {}))
        for name, (_, label) in columns.items()
    )
    return Dataset(
        "ADCRS",
        "Courses of treatment",
        "One row a course",
        ("USUBJID", "CRSSEQ"),
        (_SUBJECT, _COURSE, *variables),
        frame,
    )


def _seen(frame: pl.DataFrame, name: str) -> tuple[str, ...]:
    if frame.schema[name] != pl.String:
        return ()
    return tuple(frame[name].drop_nulls().unique().sort().to_list())


def _scores(rows: pl.DataFrame) -> Dataset:
    names = rows["scale"].unique().sort().to_list()
    codes = {name: f"S{i:02d}" for i, name in enumerate(names, 1)}
    labels = dict(catalogue.read("scale").select("scale", "label").iter_rows())
    frame = rows.select(
        "USUBJID",
        "CRSSEQ",
        pl.col("scale").replace(codes).alias("PARAMCD"),
        pl.col("scale").replace(labels).str.slice(0, 200).alias("PARAM"),
        pl.col("planned_visit").alias("AVISIT"),
        pl.col("day").cast(pl.Int32).alias("DAY"),
        pl.col("value").cast(pl.Float64).alias("AVAL"),
        pl.col("baseline").cast(pl.Float64).alias("BASE"),
        pl.col("improvement").cast(pl.Float64).alias("IMPROVE"),
        pl.when("is_baseline").then(pl.lit("Y")).alias("ABLFL"),
    )
    variables = (
        _SUBJECT,
        _COURSE,
        Variable(
            "PARAMCD", "Scale, code", tuple(codes.values()), words={c: labels.get(n, n) for n, c in codes.items()}
        ),
        Variable("PARAM", "Scale"),
        Variable("AVISIT", "Planned visit in whose window it falls"),
        Variable("DAY", "Days since the first session (0: of it)", unit="d"),
        Variable("AVAL", "Score in the scale's own unit"),
        Variable("BASE", "Score at baseline"),
        Variable("IMPROVE", "Change from baseline, better is positive"),
        Variable("ABLFL", "This is the baseline", ("Y",), words={"Y": "Yes"}),
    )
    return Dataset("ADQS", "Scores", "One row a score", ("USUBJID", "CRSSEQ", "PARAMCD", "DAY"), variables, frame)


def _times(rows: pl.DataFrame) -> Dataset:
    frame = rows.select(
        "USUBJID",
        "CRSSEQ",
        pl.col("parameter").alias("PARAMCD"),
        pl.col("parameter").replace(_PARAMETERS).alias("PARAM"),
        (1 - pl.col("status")).cast(pl.Int32).alias("CNSR"),
        pl.col("left_day").cast(pl.Int32).alias("LEFTDAY"),
        pl.col("right_day").cast(pl.Int32).alias("RIGHTDAY"),
    )
    variables = (
        _SUBJECT,
        _COURSE,
        Variable("PARAMCD", "What happened, code", tuple(_PARAMETERS), words=_PARAMETERS),
        Variable("PARAM", "What happened"),
        Variable("CNSR", "1: not seen to happen, 0: happened", words={0: "Happened", 1: "Not seen to happen"}),
        Variable("LEFTDAY", "Last day known without it", unit="d"),
        Variable("RIGHTDAY", "First day known with it", unit="d"),
    )
    return Dataset(
        "ADTTE", "Times as intervals", "One row a course and event", ("USUBJID", "CRSSEQ", "PARAMCD"), variables, frame
    )


def _events(rows: pl.DataFrame) -> Dataset:
    serious = pl.when("serious").then(pl.lit("Y")).when(~pl.col("serious")).then(pl.lit("N"))
    frame = rows.with_columns(AESEQ=pl.int_range(1, pl.len() + 1).over("USUBJID").cast(pl.Int32)).select(
        "USUBJID",
        "AESEQ",
        "CRSSEQ",
        pl.col("day").cast(pl.Int32).alias("DAY"),
        pl.col("category").alias("AECAT"),
        pl.col("ctcae_grade").cast(pl.Int32).alias("AETOXGR"),
        serious.alias("AESER"),
        pl.col("related_product").alias("AERELPR"),
        pl.col("related_procedure").alias("AERELPC"),
        pl.col("related_harvest").alias("AERELHV"),
    )
    variables = (
        _SUBJECT,
        Variable("AESEQ", "Number of the event of the subject"),
        _COURSE,
        Variable("DAY", "Days since the first session", unit="d"),
        Variable("AECAT", "Category", _seen(frame, "AECAT")),
        Variable("AETOXGR", "CTCAE grade", words=_GRADES),
        Variable("AESER", "Serious", _YES, words=_FLAG),
        Variable("AERELPR", "Related to the product", _seen(frame, "AERELPR")),
        Variable("AERELPC", "Related to the procedure", _seen(frame, "AERELPC")),
        Variable("AERELHV", "Related to the harvest", _seen(frame, "AERELHV")),
    )
    return Dataset("ADAE", "Adverse events", "One row an event", ("USUBJID", "AESEQ"), variables, frame)
