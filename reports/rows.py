"""Rows that leave the registry for analysis elsewhere: coarse, k-anonymous, in days, of those who consented to it."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from analysis.cohort import definition_of, place, reduce
from analysis.disclosure import POLICY, Policy, anonymity, log, proxies
from analysis.disclosure.anonymity import Disclosure
from analysis.disclosure.beside import found_by_subtraction, refuse_few_between
from analysis.disclosure.datasets import Dataset
from analysis.disclosure.date_shift import Shift, with_dates
from registry import Courses, Registry, cut
from registry.errors import UsageError, choose
from reports.data_package import of_rows, write_package
from reports.fingerprint import code_and_record, versions_of_files
from reports.packing import hashes, refuse_unusable, replaced_when_whole
from reports.row_datasets import datasets
from reports.row_formats import write

MANIFEST = "ROWS.json"
Covered = Literal["export", "research"]
Dates = Literal["none", "shifted"]


@dataclass(frozen=True)
class RowTerms:
    """Under which terms rows leave.

    Attributes
    ----------
    consent
        The scope that a patient must have agreed to; ``research`` says that your agreement lets research rows leave.
    k
        So many patients must share what others may know of each of them.
    dates
        ``none``: days since the first session, and no date. ``shifted``: calendar dates too, all of a patient moved by
        the same weeks (:mod:`analysis.disclosure.date_shift`), for programs that cannot do without; never true ones.
    least_diversity
        2: rows are refused if in a group of like patients all had the same response, or all an end, death or serious
        event. 1: such groups are counted in the log, and leave.
    take_alike
        With `least_diversity` 2, take away what makes those groups, instead of refusing.
    """

    consent: Covered = "export"
    k: int = POLICY.k
    dates: Dates = "none"
    least_diversity: int = POLICY.least_diversity
    take_alike: bool = False

    def __post_init__(self) -> None:
        choose(self.consent, get_args(Covered), "consent =")
        choose(self.dates, get_args(Dates), "dates =")
        Policy(k=self.k, least_diversity=self.least_diversity)  # refuses what hides nobody


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


@dataclass(frozen=True)
class Made:
    """Rows as they leave, not written yet: datasets, courses before and after, what was done, and the day in stamps."""

    programme: str
    terms: RowTerms
    datasets: list[Dataset]
    courses: pl.DataFrame
    disclosure: Disclosure
    left_out: dict[str, int]
    shift: Shift | None
    day: dt.date

    @property
    def study(self) -> str:
        """The name of the study in the files."""
        return f"CATAMNESIS.{self.programme.upper()}"

    @property
    def label(self) -> str:
        """k and the day of the cut; with shifted dates its year, for it is a true date."""
        return f"k={self.disclosure.k}, cut {f'{self.day:%Y}' if self.shift else self.day}"

    @property
    def entries(self) -> list[log.Entry]:
        """What was done, for the log."""
        names = [d.name for d in self.datasets]
        return log.of_rows(self.disclosure, self.shift, self.left_out, self.terms.consent, names)

    def files(self, where: str) -> dict[str, str]:
        """Return what the files hold, by their paths without endings within the folder `where`."""
        kinds = ("csv", "parquet", "stata", "spss", "sas", "cdisc")
        told = f"Rows of patients, k-anonymous ({self.label})"
        named = {f"{where}{kind}/{d.name.lower()}": f"{told}: {d.label}" for kind in kinds for d in self.datasets}
        return named | {f"{where}codebook.md": "What every column of the rows means",
                        f"{where}cdisc/define": "The rows' columns, as Define-XML 2.1",
                        f"{where}DISCLOSURE.md": "What was done to the rows so that nobody is recognised"}  # fmt: skip

    def told(self) -> dict[str, Any]:
        """Return the terms and what was done, for a manifest."""
        dates = {"shifted": asdict(self.shift)} if self.shift else "none"
        return {"terms": asdict(self.terms), "disclosure": asdict(self.disclosure), "dates": dates}


def export_rows(
    registry: Registry,
    out: Path,
    programme: str,
    *,
    consent: Covered = "export",
    k: int = POLICY.k,
    dates: Dates = "none",
    least_diversity: int = POLICY.least_diversity,
    take_alike: bool = False,
) -> Rows:
    """Write courses, scores, times and adverse events of a programme, in the formats of :mod:`reports.row_formats`.

    Parameters
    ----------
    out
        Folder that is not there yet, or holds rows written earlier, which are replaced.
    programme
        Whose courses.
    consent, k, dates, least_diversity, take_alike
        The terms, as :class:`RowTerms` has them.

    Raises
    ------
    UsageError
        When the folder holds something else, nobody's consent covers it, or too few patients would be left to hide
        among; nothing is written then.
    """
    terms = RowTerms(consent, k, dates, least_diversity, take_alike)
    refuse_unusable(registry, out, programme, MANIFEST, "this command")
    made = make_rows(registry, programme, terms)
    with replaced_when_whole(out) as part:
        write_rows(part, made)
        log.frame_of(made.entries).write_csv(part / log.NAME)
        write_package(
            part, name=made.study, title=f"Rows of {made.study}", day=made.day,
            description=f"Rows of patients, k-anonymous ({made.label}): not for publication.",
            resources=of_rows(made.datasets, made.label),
        )  # fmt: skip
        _manifest(part, registry, made)
    return Rows(out, {d.name: d.frame.height for d in made.datasets}, made.disclosure, made.left_out, made.shift)


def make_rows(registry: Registry, programme: str, terms: RowTerms) -> Made:
    """Return the rows of a programme under these terms, disclosure control done.

    Raises
    ------
    UsageError
        When nobody's consent covers it, or too few patients would be left to hide among.
    """
    courses = registry.courses(programme=programme)
    courses = courses.exclude(not_covered(registry, terms.consent))
    if len(courses) == 0:
        raise UsageError(
            f"No patient's consent covers '{terms.consent}': nothing may leave as rows. If your agreement lets rows of "
            "those who consented to research leave, say --consent research."
        )
    _, kept = place(courses, "stage", definition_of(courses, None))
    alike = terms.take_alike and terms.least_diversity > 1
    made, named, done = _protected(registry, kept, programme, terms.k, take_alike=alike)
    _enough(done, terms.least_diversity, terms.take_alike)
    day, shift = registry.data_cut, None
    assert day is not None, "a registry with courses has a data cut"
    if terms.dates == "shifted":
        made, shift = with_dates(registry, made, named)
        # The day of the cut is a true date, and the end of the time in which true dates lie.
        day = day.replace(month=1, day=1)
    return Made(programme, terms, made, named, done, dict(kept.flow()[1:-1].iter_rows()), shift, day)


def beside_tables(courses: Courses, made: Made) -> set[str]:
    """Return the quasi-identifiers that counts of `courses` by stage would give back beside these rows.

    Raises
    ------
    UsageError
        When few courses are in the tables and not in the rows.
    """
    _, kept = place(courses, "stage", definition_of(courses, None))
    (held,) = reduce(kept, "reduction.row_course")
    tables = anonymity.coarse(held)
    refuse_few_between(tables, made.courses)
    return found_by_subtraction(tables, made.courses, made.terms.k)


def write_rows(folder: Path, made: Made) -> None:
    """Write rows in every format, their codebook and what was done, into a folder that is there."""
    write(made.datasets, folder, made.day, made.study, made.label)
    moved = made.shift.told() if made.shift else None
    text = anonymity.told(made.disclosure, made.left_out, made.terms.consent, moved)
    (folder / "DISCLOSURE.md").write_text(text, encoding="utf-8")


def _protected(
    registry: Registry, kept: Courses, programme: str, k: int, *, take_alike: bool
) -> tuple[list[Dataset], pl.DataFrame, Disclosure]:
    """Return the datasets without what names a patient, the courses in them, and what was done."""
    held, scores, times, events = reduce(
        kept, "reduction.row_course", "reduction.row_score", "reduction.row_time", "reduction.row_event"
    )
    held = anonymity.coarse(held)
    safe, done = anonymity.protect(held, _sensitive(held, times, events), k, take_alike=take_alike)
    named = _named(registry, safe)
    truth = named.select("course_id", "USUBJID", "CRSSEQ").join(held, on="course_id", maintain_order="left")
    made, beside = proxies.remove(
        datasets(programme, f"CATAMNESIS.{programme.upper()}", named, scores, times, events), truth, named
    )
    return made, named, replace(done, beside=beside)


def _sensitive(courses: pl.DataFrame, times: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Return ``response, end, harm`` (1: had it), a row for each of `courses`."""
    happened = {
        name: times.filter(pl.col("parameter") == name.upper()).select("course_id", pl.col("status").alias(name))
        for name in ("response", "end")
    }
    harmed = events.filter(pl.col("serious") | (pl.col("ctcae_grade") == 5)).select("course_id", harm=1).unique()
    joined = courses.select("course_id")
    for one in (*happened.values(), harmed):
        joined = joined.join(one, on="course_id", how="left", maintain_order="left")
    return joined.select("response", "end", pl.col("harm").fill_null(0))


def _enough(done: Disclosure, least_diversity: int, take_alike: bool) -> None:
    if not done.sufficient:
        raise UsageError(
            f"{done.patients} patients are too few for k = {done.asked}: even without what others may know of them a "
            f"patient stands among {done.k}. Nothing was written."
        )
    if least_diversity > 1 and not done.diverse:
        alike = ", ".join(f"{name} in {n:,} groups ({who:,} patients)" for name, (n, who) in done.alike.items() if n)
        more = "Nothing more can be taken away:" if take_alike else "Say --take-alike to take away what makes them, or"
        raise UsageError(
            f"In groups of like patients all had the same: {alike}. Nothing was written. {more} say "
            "--least-diversity 1 to let them leave, counted in the log."
        )


def not_covered(registry: Registry, consent: Covered) -> pl.DataFrame:
    """Return ``course_id, reason`` of the courses whose patients did not agree to that scope."""
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
    joined = courses.join(order, on="patient_id").sort(
        # Courses in order of time: an order of sites would name one taken away by its place.
        pl.col("number"), -pl.col("potential_follow_up_day"), pl.col("course_id")
    )  # fmt: skip
    width = len(str(joined["number"].max()))
    return joined.with_columns(
        USUBJID=pl.lit("S") + pl.col("number").cast(pl.String).str.zfill(width),
        CRSSEQ=pl.int_range(1, pl.len() + 1).over("number").cast(pl.Int32),
    )


def _manifest(folder: Path, registry: Registry, made: Made) -> None:
    code, record = code_and_record(registry)
    named = cut.named(registry)
    if named and made.shift:
        # A cut's name and days are true dates; its seal is none.
        named = {"sha256": named["sha256"]}
    told = {
        "kind": "rows of patients: not for publication",
        "level": log.ROW_LEVEL,
        "programme": made.programme,
        "data_cut": f"{registry.data_cut:%Y}" if made.shift else str(registry.data_cut),
        "cut": named,
        "record": record,
        "code": code,
        "versions": versions_of_files(),
        **made.told(),
        "files": hashes(folder),
    }
    text = json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True, default=str)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
