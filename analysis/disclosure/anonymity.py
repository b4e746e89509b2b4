"""Disclosure control of rows: who could be recognised by what others know, and what is taken away until nobody can.

Quasi-identifiers are made coarse first (age in bands with an open top, doses and body mass rounded, days since the
first session instead of dates). A patient who still shares them with fewer than `k` - 1 others loses them one after
another, the least needed first, and with a value what says it elsewhere (:mod:`analysis.disclosure.proxies`). What was
done is written down; where it is not enough the rows do not leave.

References
----------
Sweeney 2002 Int J Uncertain Fuzz 10:557 (k-anonymity); Machanavajjhala et al. 2007 ACM TKDD 1:3 (l-diversity); El Emam
& Arbuckle 2013, Anonymizing Health Data (local suppression).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from analysis.disclosure.parts import shown
from analysis.disclosure.policy import POLICY
from analysis.disclosure.proxies import naming

QUASI_IDENTIFIERS = POLICY.quasi_identifiers


@dataclass(frozen=True)
class Disclosure:
    """What was done to the rows and what remains.

    Attributes
    ----------
    k
        Smallest number of patients that share the quasi-identifiers of all their courses, in the rows as they leave.
    asked
        The number asked for.
    patients
        Patients in the rows.
    suppressed
        Patients whose value was taken away, by quasi-identifier.
    alike
        By sensitive attribute, groups of patients who share quasi-identifiers and all had it (of response: or all had
        it not), with the patients in them: who is known to be in one is known to have had it (no l-diversity of 2).
    beside
        Patients who lost a value, by the value and where it was said else: cells were emptied there, or rows left out.
    """

    k: int
    asked: int
    patients: int
    suppressed: dict[str, int]
    alike: dict[str, tuple[int, int]]
    beside: dict[str, int] = field(default_factory=dict)

    @property
    def sufficient(self) -> bool:
        """Whether nobody is left in a smaller group than asked for."""
        return self.k >= self.asked

    @property
    def diverse(self) -> bool:
        """Whether no sensitive attribute can be read off being in a group (distinct l-diversity of 2)."""
        return not any(groups for groups, _ in self.alike.values())


def coarse(courses: pl.DataFrame) -> pl.DataFrame:
    """Return courses with age in bands with an open top, and body mass and doses rounded."""
    wide, top = POLICY.age_band, POLICY.top_age
    low = (pl.col("age_year") // wide) * wide
    band = pl.format("{}-{}", low, low + wide - 1)
    dose = POLICY.dose_step_million
    number = pl.col("dose_viable_million", "series_dose_million").cast(pl.Float64)
    return courses.with_columns(
        pl.when(pl.col("age_year") >= top).then(pl.lit(f"{top}+")).otherwise(band).alias("age_band"),
        (pl.col("bmi").cast(pl.Float64) / POLICY.bmi_step).round(0) * POLICY.bmi_step,
        ((number / dose).round(0) * dose).name.keep(),
    ).drop("age_year")


def protect(
    courses: pl.DataFrame, sensitive: pl.DataFrame, k: int, *, take_alike: bool = False
) -> tuple[pl.DataFrame, Disclosure]:
    """Take away quasi-identifiers until nobody stands in a group of fewer than `k` patients, or none are left.

    Parameters
    ----------
    courses
        Columns ``patient_id`` and :data:`QUASI_IDENTIFIERS`, one row a course; a patient's rows lose a value together.
    sensitive
        What must not be learned of a person: columns of 0 or 1 (missing: not known), a row for each of `courses`.
    k
        Patients who must be alike.
    take_alike
        Take away too what makes groups of patients who all had the same (l-diversity of 2).
    """
    made = courses
    known = pl.any_horizontal(pl.col(name).is_not_null() for name in QUASI_IDENTIFIERS)
    while True:
        few = _few(made, k)
        if take_alike and not len(few):
            few = pl.concat(_alike(made, sensitive).values())["patient_id"].unique()
        if not len(few):
            said = _said(courses, made)
            if said is None:
                break
            made = _without(made, *said)
            continue
        still = made.filter(known & pl.col("patient_id").is_in(few.implode()))["patient_id"]
        others = _sizes(made.filter(known)).filter(~pl.col("patient_id").is_in(few.implode()))
        # Those who lost everything may be too few among themselves: the smallest group of others joins them. Who leaves
        # a group makes it smaller, so that it may be another's turn.
        joining = others.join(others.sort("n", "known").select("known").head(1), on="known")["patient_id"]
        if not len(still) and not len(joining):
            break
        made = _less(made, still) if len(still) else _without(made, QUASI_IDENTIFIERS[-1], joining)
    return made, _disclosure(courses, made, sensitive, k)


def _less(courses: pl.DataFrame, patients: pl.Series) -> pl.DataFrame:
    """Take of each of the patients the least needed quasi-identifier that is left."""
    left = [pl.col(name).is_not_null().any().over("patient_id") for name in QUASI_IDENTIFIERS]
    first = pl.coalesce(pl.when(there).then(pl.lit(name)) for name, there in zip(QUASI_IDENTIFIERS, left, strict=True))
    loses = pl.col("patient_id").is_in(patients.implode()) & first.is_not_null()
    return courses.with_columns(
        pl.when(~(loses & (first == name)).fill_null(False)).then(pl.col(name)).alias(name)
        for name in QUASI_IDENTIFIERS
    )


def _without(courses: pl.DataFrame, last: str, patients: pl.Series) -> pl.DataFrame:
    """Take a quasi-identifier, and those less needed, of patients.

    Were a clinic still told of the only patient there without a site, the site would be whichever nobody there has.
    """
    kept = ~pl.col("patient_id").is_in(patients.implode())
    names = QUASI_IDENTIFIERS[: QUASI_IDENTIFIERS.index(last) + 1]
    return courses.with_columns(pl.when(kept).then(pl.col(name)).alias(name) for name in names)


def _disclosure(courses: pl.DataFrame, made: pl.DataFrame, sensitive: pl.DataFrame, k: int) -> Disclosure:
    suppressed = {
        name: made.filter(made[name].is_null() & courses[name].is_not_null())["patient_id"].n_unique()
        for name in QUASI_IDENTIFIERS
    }
    alike = {
        name: (rows.n_unique(["known", *QUASI_IDENTIFIERS]), rows["patient_id"].n_unique())
        for name, rows in _alike(made, sensitive).items()
    }
    smallest = int(str(_sizes(made)["n"].min() or 0))
    return Disclosure(smallest, k, made["patient_id"].n_unique(), suppressed, alike)


def _said(courses: pl.DataFrame, made: pl.DataFrame) -> tuple[str, pl.Series] | None:
    """Return a quasi-identifier that says one taken away, with the patients of whom it does; None: no such."""
    for lost in QUASI_IDENTIFIERS:
        gone = courses[lost].is_not_null() & made[lost].is_null()
        for name in QUASI_IDENTIFIERS:
            if name == lost or not (gone & made[name].is_not_null()).any():
                continue
            pairs = pl.DataFrame({
                "patient": courses["patient_id"], "value": courses[name], "truth": courses[lost],
                "lost": gone & made[name].is_not_null(),
            })  # fmt: skip
            if naming(pairs.drop_nulls("value")).len():
                # All of them, as an emptied cell among others that are not would say what it was.
                return name, pairs.filter("lost")["patient"].unique()
    return None


def _alike(courses: pl.DataFrame, sensitive: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return by attribute the courses in groups that had all the same: of events, that all had it."""
    made = courses.select("patient_id", *QUASI_IDENTIFIERS).with_columns(sensitive)
    made = made.join(_sets(courses), on="patient_id", maintain_order="left")
    found = {}
    for name in sensitive.columns:
        one = pl.col(name).n_unique().over("known", *QUASI_IDENTIFIERS) == 1
        # That nobody had an event says nothing that harms; that nobody responded does.
        told = pl.col(name).is_not_null() if name == "response" else pl.col(name) == 1
        found[name] = made.filter(one & told)
    return found


def _sets(courses: pl.DataFrame) -> pl.DataFrame:
    """Return ``patient_id, known``: what may be known of all courses of a patient, whose rows have one number."""
    of_course = pl.concat_str([pl.col(n).fill_null("\0") for n in QUASI_IDENTIFIERS], separator="\x1f")
    return courses.group_by("patient_id").agg(known=of_course.unique().sort().str.join("\n"))


def _sizes(courses: pl.DataFrame) -> pl.DataFrame:
    """Return ``patient_id, known, n``: how many patients have what this one has in their courses."""
    return _sets(courses).with_columns(n=pl.len().over("known"))


def _few(courses: pl.DataFrame, k: int) -> pl.Series:
    return _sizes(courses).filter(pl.col("n") < k)["patient_id"]


_ATTRIBUTES = {
    "response": "response (all had it, or none)",
    "end": "end of the target (all had it)",
    "harm": "death or a serious adverse event (all had it)",
}


def told(done: Disclosure, left_out: dict[str, int], consent: str, of_dates: str | None) -> str:
    """Return the log of what was done, as Markdown; `of_dates` says what was done to dates, if there are any."""
    few = shown(list(left_out.values()))
    courses = "; ".join(f"{n} {reason}" for n, reason in zip(few, left_out, strict=True) if n != "0") or "none"
    never = f"{', '.join(POLICY.never[:-1])}, and {POLICY.never[-1]}"
    follow_up = "." if of_dates else f", follow-up to the data cut is rounded to {POLICY.follow_up_step_day} days."
    lines = [
        "# What was done so that nobody is recognised",
        "",
        "**These are rows of patients.** They may not be published; pass them on only under the agreement by which "
        "they left.",
        "",
        f"- {done.patients:,} patients whose consent covers it (`{consent}`); courses left out: {courses}.",
        f"- Never in these files: {never}. Subjects are numbered anew, in an order that says nothing.",
        f"- Ages are bands of {POLICY.age_band} years, open above {POLICY.top_age}; doses are rounded to "
        f"{POLICY.dose_step_million} million cells, body mass to {POLICY.bmi_step}; times are days since the "
        f"first session{follow_up}",
        *([of_dates] if of_dates else []),
        f"- Every patient shares {', '.join(QUASI_IDENTIFIERS)} of all courses together with at least {done.k - 1} "
        f"other patients (asked for: {done.asked - 1}). Values taken away for that:",
        "",
        *_table("quasi-identifier | patients", done.suppressed),
        "",
        "- What says elsewhere a value that was taken away went with it: columns are emptied in all courses that lost "
        "the value, rows of scores and times left out. It is said by a column whose value had the same "
        "quasi-identifier in all patients with it, more than chance would make, and by instruments of one part of "
        "the body, route and side (of the site), donor, separation, expansion and relation to harvest (of the origin).",
        "",
        *_table("taken away: where it was said | patients who lost it", done.beside),
        "",
        "- Groups of like patients in which all had the same: who is known to be in one is known to have had it.",
        "",
        "| what | groups | patients |",
        "|---|---|---|",
        *(f"| {_ATTRIBUTES[name]} | {groups:,} | {n:,} |" for name, (groups, n) in done.alike.items()),
        "",
    ]
    return "\n".join(lines)


def _table(head: str, counts: dict[str, int]) -> list[str]:
    return [f"| {head} |", "|---|---|", *(f"| {name} | {n:,} |" for name, n in counts.items())]
