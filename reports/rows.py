"""Rows that leave the registry for analysis elsewhere: coarse, k-anonymous, in days, of those who consented to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from analysis.cohort import definition_of, place, reduce
from registry import Registry, catalogue
from registry.errors import UsageError, choose
from reports import anonymity
from reports.anonymity import Disclosure
from reports.date_shift import Shift, with_dates
from reports.publication import known_programmes
from reports.publish import code_and_record
from reports.row_formats import Dataset, Variable, write

MANIFEST = "ROWS.json"
Covered = Literal["export", "research"]
Dates = Literal["none", "shifted"]
_PARAMETERS = {
    "RESPONSE": "First confirmed response",
    "LOSS": "Loss of response by the definition's own criterion",
    "END": "End of the target: replacement or the like",
}


@dataclass(frozen=True)
class Rows:
    """What was written: the folder, rows by dataset, what disclosure control did, and courses left out with reasons.

    `shift` says what was done to dates, if there are any.
    """

    folder: Path
    rows: dict[str, int]
    disclosure: Disclosure
    left_out: dict[str, int]
    shift: Shift | None


def export_rows(
    registry: Registry, out: Path, programme: str, *, consent: Covered = "export", k: int = 5, dates: Dates = "none"
) -> Rows:
    """Write courses, scores, times and adverse events of a programme, in the formats of :mod:`reports.row_formats`.

    Parameters
    ----------
    out
        Folder that is not there yet, or holds rows written earlier, which are replaced.
    programme
        Whose courses.
    consent
        The scope that a patient must have agreed to; ``research`` says that your agreement lets research rows leave.
    k
        So many patients must share what others may know of each of them.
    dates
        ``none``: days since the first session, and no date. ``shifted``: calendar dates too, all of a patient moved by
        the same weeks (:mod:`reports.date_shift`), for programs that cannot do without. True dates never leave.

    Raises
    ------
    UsageError
        When the folder holds something else, nobody's consent covers it, or too few patients would be left to hide
        among; nothing is written then.
    """
    choose(programme, known_programmes(registry), "programme")
    choose(dates, get_args(Dates), "dates =")
    if k < 2:
        raise UsageError(f"k = {k} hides nobody: 5 is usual, 11 for public files.")
    if registry.stale():
        raise UsageError(f"{registry.path} was loaded after it was derived. Run: catamnesis derive {registry.path}")
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).exists():
        raise UsageError(f"{out} holds files that are not of this command. Give another folder with --out.")
    courses = registry.courses(programme=programme)
    courses = courses.exclude(_not_covered(registry, consent))
    if len(courses) == 0:
        raise UsageError(
            f"No patient's consent covers '{consent}': nothing may leave as rows. If your agreement lets rows of those "
            "who consented to research leave, say --consent research."
        )
    chosen = definition_of(courses, None)
    _, kept = place(courses, "stage", chosen)
    held, scores, times, events = reduce(
        kept, "reduction.row_course", "reduction.row_score", "reduction.row_time", "reduction.row_event"
    )
    responded = times.filter(pl.col("parameter") == "RESPONSE").select("course_id", "status")
    outcome = held.join(responded, on="course_id", how="left")["status"]
    safe, done = anonymity.protect(anonymity.coarse(held), outcome, k)
    if not done.sufficient:
        raise UsageError(
            f"{done.patients} patients are too few for k = {k}: even without what others may know of them a patient "
            f"stands among {done.k}. Nothing was written."
        )
    named = _named(registry, safe)
    day = registry.data_cut
    assert day is not None, "a registry with courses has a data cut"
    study = f"CATAMNESIS.{programme.upper()}"
    datasets, shift = _datasets(study, named, scores, times, events), None
    if dates == "shifted":
        datasets, shift = with_dates(registry, datasets, named)
        # The day of the cut is a true date, and the end of the time in which true dates lie.
        day = day.replace(month=1, day=1)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".rows-") as part:
        write(datasets, Path(part), day, study)
        left_out = dict(kept.flow()[1:-1].iter_rows())
        (Path(part) / "DISCLOSURE.md").write_text(
            anonymity.told(done, left_out, consent, shift.told() if shift else None), encoding="utf-8"
        )
        _manifest(Path(part), registry, programme, done, shift)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(part, out)
    return Rows(out, {d.name: d.frame.height for d in datasets}, done, left_out, shift)


def _not_covered(registry: Registry, consent: Covered) -> pl.DataFrame:
    covers = {"export": ["export"], "research": ["export", "research"]}[consent]
    return registry.con.execute(
        "select course.course_id, 'consent does not cover that rows leave' as reason from course.course as course "
        "join record.patient as patient on course.patient_id = patient.id "
        "where not coalesce(list_contains(?, patient.consent_scope), false)",
        [covers],
    ).pl()


def _named(registry: Registry, courses: pl.DataFrame) -> pl.DataFrame:
    """Return the courses with numbers for subjects and courses that say nothing of the registry's own."""
    _, record = code_and_record(registry)
    order = registry.con.execute(
        "select id as patient_id, row_number() over (order by sha256(? || id::varchar)) as number "
        "from record.patient semi join (select unnest(?::bigint[]) as id) using (id)",
        [str(record), courses["patient_id"].unique().to_list()],
    ).pl()
    joined = courses.join(order, on="patient_id").sort("number", "site", "side", "course_no", nulls_last=True)
    width = len(str(joined["number"].max()))
    return joined.with_columns(
        USUBJID=pl.lit("S") + pl.col("number").cast(pl.String).str.zfill(width),
        CRSSEQ=pl.int_range(1, pl.len() + 1).over("number").cast(pl.Int32),
    )


def _datasets(
    study: str, courses: pl.DataFrame, scores: pl.DataFrame, times: pl.DataFrame, events: pl.DataFrame
) -> list[Dataset]:
    key = courses.select("course_id", "USUBJID", "CRSSEQ")
    return [
        _subjects(study, courses),
        _courses(courses),
        _scores(key.join(scores, on="course_id").sort("USUBJID", "CRSSEQ", "scale", "day")),
        _times(key.join(times, on="course_id").sort("USUBJID", "CRSSEQ", "parameter")),
        _events(key.join(events, on="course_id").sort("USUBJID", "CRSSEQ", "day", "category")),
    ]


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


def _courses(courses: pl.DataFrame) -> Dataset:
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
        "DOSE": ("dose_viable_million", "Viable cells, first session, nearest 5"),
        "DOSETOT": ("series_dose_million", "Viable cells, planned series, nearest 5"),
        "NSESS": ("n_sessions", "Sessions"),
        "NBOOST": ("n_boosters", "Boosters among the sessions"),
        "POTDAY": ("potential_follow_up_day", "Days from first session to the data cut"),
        "LASTDAY": ("last_assessed_day", "Last day with a score"),
    }
    units = {"BMI": "kg/m2", "DOSE": "10*6", "DOSETOT": "10*6", "POTDAY": "d", "LASTDAY": "d"}
    # The day of the data cut minus this would be the date of the first session: to the month it says enough.
    frame = courses.with_columns(
        (pl.col("potential_follow_up_day") // 30 * 30).alias("potential_follow_up_day"),
        pl.when("expanded").then(pl.lit("Y")).when(~pl.col("expanded")).then(pl.lit("N")).alias("expanded"),
    ).select("USUBJID", "CRSSEQ", *(pl.col(ours).alias(name) for name, (ours, _) in columns.items()))
    frame = frame.with_columns(pl.col("NSESS", "NBOOST", "POTDAY", "LASTDAY").cast(pl.Int32))
    variables = tuple(
        Variable(name, label, _seen(frame, name) if name != "AGEGR1" else (), units.get(name, ""))
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
        Variable("PARAMCD", "Scale, code", tuple(codes.values())),
        Variable("PARAM", "Scale"),
        Variable("AVISIT", "Planned visit in whose window it falls"),
        Variable("DAY", "Days since the first session (0: of it)", unit="d"),
        Variable("AVAL", "Score in the scale's own unit"),
        Variable("BASE", "Score at baseline"),
        Variable("IMPROVE", "Change from baseline, better is positive"),
        Variable("ABLFL", "This is the baseline", ("Y",)),
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
        Variable("PARAMCD", "What happened, code", tuple(_PARAMETERS)),
        Variable("PARAM", "What happened"),
        Variable("CNSR", "1: not seen to happen, 0: happened"),
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
        Variable("AETOXGR", "CTCAE grade"),
        Variable("AESER", "Serious", _YES),
        Variable("AERELPR", "Related to the product", _seen(frame, "AERELPR")),
        Variable("AERELPC", "Related to the procedure", _seen(frame, "AERELPC")),
        Variable("AERELHV", "Related to the harvest", _seen(frame, "AERELHV")),
    )
    return Dataset("ADAE", "Adverse events", "One row an event", ("USUBJID", "AESEQ"), variables, frame)


def _manifest(folder: Path, registry: Registry, programme: str, done: Disclosure, shift: Shift | None) -> None:
    code, record = code_and_record(registry)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    told = {
        "kind": "rows of patients: not for publication",
        "programme": programme,
        "data_cut": f"{registry.data_cut:%Y}" if shift else str(registry.data_cut),
        "dates": {"shifted": asdict(shift)} if shift else "none",
        "record": record,
        "code": code,
        "disclosure": asdict(done),
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    }
    text = json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True, default=str)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
