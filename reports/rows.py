"""Rows that leave the registry for analysis elsewhere: coarse, k-anonymous, in days, of those who consented to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from analysis.cohort import definition_of, place, reduce
from analysis.disclosure import POLICY, Policy, anonymity, proxies
from analysis.disclosure.anonymity import Disclosure
from analysis.disclosure.datasets import Dataset
from analysis.disclosure.date_shift import Shift, with_dates
from registry import Courses, Registry
from registry.errors import UsageError, choose
from reports.fingerprint import code_and_record
from reports.publication import known_programmes
from reports.row_datasets import datasets
from reports.row_formats import write

MANIFEST = "ROWS.json"
Covered = Literal["export", "research"]
Dates = Literal["none", "shifted"]


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

    Raises
    ------
    UsageError
        When the folder holds something else, nobody's consent covers it, or too few patients would be left to hide
        among; nothing is written then.
    """
    _usable(registry, out, programme, dates, k, least_diversity)
    courses = registry.courses(programme=programme)
    courses = courses.exclude(_not_covered(registry, consent))
    if len(courses) == 0:
        raise UsageError(
            f"No patient's consent covers '{consent}': nothing may leave as rows. If your agreement lets rows of those "
            "who consented to research leave, say --consent research."
        )
    _, kept = place(courses, "stage", definition_of(courses, None))
    made, named, done = _protected(registry, kept, programme, k, take_alike=take_alike and least_diversity > 1)
    _enough(done, least_diversity, take_alike)
    day, shift = registry.data_cut, None
    assert day is not None, "a registry with courses has a data cut"
    if dates == "shifted":
        made, shift = with_dates(registry, made, named)
        # The day of the cut is a true date, and the end of the time in which true dates lie.
        day = day.replace(month=1, day=1)
    cut = f"{day:%Y}" if shift else str(day)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".rows-") as part:
        write(made, Path(part), day, _study(programme), f"k={done.k}, cut {cut}")
        left_out = dict(kept.flow()[1:-1].iter_rows())
        (Path(part) / "DISCLOSURE.md").write_text(
            anonymity.told(done, left_out, consent, shift.told() if shift else None), encoding="utf-8"
        )
        _manifest(Path(part), registry, programme, done, shift)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(part, out)
    return Rows(out, {d.name: d.frame.height for d in made}, done, left_out, shift)


def _study(programme: str) -> str:
    return f"CATAMNESIS.{programme.upper()}"


def _usable(registry: Registry, out: Path, programme: str, dates: str, k: int, least_diversity: int) -> None:
    choose(programme, known_programmes(registry), "programme")
    choose(dates, get_args(Dates), "dates =")
    Policy(k=k, least_diversity=least_diversity)  # refuses what hides nobody
    if registry.stale():
        raise UsageError(f"{registry.path} was loaded after it was derived. Run: catamnesis derive {registry.path}")
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).exists():
        raise UsageError(f"{out} holds files that are not of this command. Give another folder with --out.")


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
    made, beside = proxies.remove(datasets(programme, _study(programme), named, scores, times, events), truth, named)
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
    joined = courses.join(order, on="patient_id").sort(
        # Courses in order of time: an order of sites would name one taken away by its place.
        pl.col("number"), -pl.col("potential_follow_up_day"), pl.col("course_id")
    )  # fmt: skip
    width = len(str(joined["number"].max()))
    return joined.with_columns(
        USUBJID=pl.lit("S") + pl.col("number").cast(pl.String).str.zfill(width),
        CRSSEQ=pl.int_range(1, pl.len() + 1).over("number").cast(pl.Int32),
    )


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
