"""Disclosure control of rows: who could be recognised by what others know, and what is taken away until nobody can.

Quasi-identifiers are made coarse first (age in bands with an open top, doses and body mass rounded, days since the
first session instead of dates). A patient who still shares them with fewer than `k` - 1 others loses them one after
another, the least needed first. What was done is written down; where it is not enough the rows do not leave.

References
----------
Sweeney 2002 Int J Uncertain Fuzz 10:557 (k-anonymity); Machanavajjhala et al. 2007 ACM TKDD 1:3 (l-diversity); El Emam
& Arbuckle 2013, Anonymizing Health Data (local suppression).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

# What others may know of a patient, the least needed by an analysis first: that goes first.
QUASI_IDENTIFIERS = ("centre", "origin", "diagnosis", "age_band", "site", "sex")
TOP_AGE = 80
_BAND = 10
_NEVER = "true dates, free text, operators, readers, manufacturers, product codes, and the registry's own pseudonyms"


@dataclass(frozen=True)
class Disclosure:
    """What was done to the rows and what remains.

    Attributes
    ----------
    k
        Smallest number of patients that share their quasi-identifiers, in the rows as they leave.
    asked
        The number asked for.
    patients
        Patients in the rows.
    suppressed
        Patients whose value was taken away, by quasi-identifier.
    alike
        Groups of patients who share quasi-identifiers and all had the same outcome: who is known to be in one is known
        to have had it (no l-diversity of 2), with the patients in them.
    """

    k: int
    asked: int
    patients: int
    suppressed: dict[str, int]
    alike: tuple[int, int]

    @property
    def sufficient(self) -> bool:
        """Whether nobody is left in a smaller group than asked for."""
        return self.k >= self.asked


def coarse(courses: pl.DataFrame) -> pl.DataFrame:
    """Return courses with age in bands of ten years open above 80, and body mass and doses rounded."""
    low = (pl.col("age_year") // _BAND) * _BAND
    band = pl.format("{}-{}", low, low + _BAND - 1)
    number = pl.col("dose_viable_million", "series_dose_million").cast(pl.Float64)
    return courses.with_columns(
        pl.when(pl.col("age_year") >= TOP_AGE).then(pl.lit(f"{TOP_AGE}+")).otherwise(band).alias("age_band"),
        pl.col("bmi").cast(pl.Float64).round(0),
        ((number / 5).round(0) * 5).name.keep(),
    ).drop("age_year")


def protect(courses: pl.DataFrame, outcome: pl.Series, k: int) -> tuple[pl.DataFrame, Disclosure]:
    """Take away quasi-identifiers until nobody stands in a group of fewer than `k` patients, or none are left.

    Parameters
    ----------
    courses
        Columns ``patient_id`` and :data:`QUASI_IDENTIFIERS`, one row a course; a patient's rows lose a value together.
    outcome
        What must not be learned of a person, one value a row.
    k
        Patients who must be alike.
    """
    made, suppressed = courses, dict.fromkeys(QUASI_IDENTIFIERS, 0)

    def take(name: str, patients: pl.Series) -> pl.DataFrame:
        lost = pl.col("patient_id").is_in(patients.implode())
        suppressed[name] += made.filter(lost & pl.col(name).is_not_null())["patient_id"].n_unique()
        return made.with_columns(pl.when(~lost).then(pl.col(name)).alias(name))

    for name in QUASI_IDENTIFIERS:
        few = _few(made, k)
        if not len(few):
            break
        made = take(name, few)
    # Those who lost everything may be too few among themselves: the smallest group of others joins them. Who leaves a
    # group makes it smaller, so that it may be another's turn.
    known = pl.any_horizontal(pl.col(name).is_not_null() for name in QUASI_IDENTIFIERS)
    while len(few := _few(made, k)):
        still = made.filter(known & pl.col("patient_id").is_in(few.implode()))["patient_id"]
        others = _sizes(made.filter(known)).filter(~pl.col("patient_id").is_in(few.implode()))
        joining = still if len(still) else others.filter(pl.col("n") == pl.col("n").min())["patient_id"]
        if not len(joining):
            break
        for name in QUASI_IDENTIFIERS:
            made = take(name, joining)
    sizes = _sizes(made)
    groups = made.with_columns(outcome=outcome).group_by(QUASI_IDENTIFIERS).agg(
        pl.col("outcome").n_unique().alias("outcomes"), pl.col("patient_id").n_unique().alias("patients")
    )  # fmt: skip
    same = groups.filter(pl.col("outcomes") == 1)
    smallest = int(str(sizes["n"].min() or 0))
    return made, Disclosure(
        smallest, k, made["patient_id"].n_unique(), suppressed, (same.height, int(same["patients"].sum()))
    )


def _sizes(courses: pl.DataFrame) -> pl.DataFrame:
    """Return each patient's smallest group: a patient with two courses is in the groups of both."""
    counted = pl.col("patient_id").n_unique().over(QUASI_IDENTIFIERS)
    return courses.with_columns(n=counted).group_by("patient_id").agg(pl.col("n").min())


def _few(courses: pl.DataFrame, k: int) -> pl.Series:
    return _sizes(courses).filter(pl.col("n") < k)["patient_id"]


def told(done: Disclosure, left_out: dict[str, int], consent: str, of_dates: str | None) -> str:
    """Return the log of what was done, as Markdown; `of_dates` says what was done to dates, if there are any."""
    taken = [f"| {name} | {n:,} |" for name, n in done.suppressed.items()]
    groups, patients = done.alike
    return "\n".join(
        [
            "# What was done so that nobody is recognised",
            "",
            "**These are rows of patients.** They may not be published; pass them on only under the agreement by which "
            "they left.",
            "",
            f"- {done.patients:,} patients whose consent covers it (`{consent}`); courses left out: "
            + ("; ".join(f"{n:,} {reason}" for reason, n in left_out.items() if n) or "none")
            + ".",
            f"- Never in these files: {_NEVER}. Subjects are numbered anew, in an order that says nothing.",
            f"- Ages are bands of ten years, open above {TOP_AGE}; doses are rounded to 5 million cells, "
            "body mass to 1; times are days since the first session"
            + ("." if of_dates else ", follow-up to the data cut is rounded to 30 days."),
            *([of_dates] if of_dates else []),
            f"- Every patient shares {', '.join(QUASI_IDENTIFIERS)} with at least {done.k - 1} others (asked "
            f"for: {done.asked - 1}). Values taken away for that:",
            "",
            "| quasi-identifier | patients |",
            "|---|---|",
            *taken,
            "",
            f"- In {groups:,} groups of like patients ({patients:,} patients) all had the same outcome of response: "
            "who is known to be in such a group is known to have had it.",
            "",
        ]
    )
