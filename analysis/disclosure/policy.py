"""The policy of disclosure control: every number and list that decides what may leave, in one object.

What each rule does, where it comes from and which test holds it is told in ``docs/methods/disclosure.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry.errors import UsageError

# Stands where a number is hidden, in every table and figure alike: "confidential", as the symbols of the UK Government
# Analysis Function have it. It is seen and read aloud, and taken neither for a zero nor for a decimal point.
HIDDEN = "[c]"


@dataclass(frozen=True)
class Policy:
    """What may leave.

    Attributes
    ----------
    smallest_cell
        Fewest courses in a cell whose number may be shown, and of a programme or centre that is told of at all.
    round_counts
        Multiple that counts of a package are rounded to, up to twice `smallest_cell`; None: they are not.
    k
        Patients who must share what others may know of each of them, in rows.
    least_diversity
        2: rows are refused while like patients all had the same outcome; 1: such groups are counted.
    quasi_identifiers
        What others may know of a patient, the least needed by an analysis first: that is taken away first.
    top_age, age_band
        Years: ages are told in bands of `age_band`, from `top_age` on as one.
    dose_step_million, bmi_step, follow_up_step_day
        Multiples that doses (million cells), body mass (kg/m2) and follow-up to the data cut (days) are rounded to.
    shift_weeks, fewest_offsets
        Dates of a patient move by 1 to `shift_weeks` weeks, back or forth; where fewer than `fewest_offsets` of these
        could have made them they do not leave.
    chance
        A column says another if chance would make as much in fewer than this share of columns.
    lines_of_single_patients
        Whether figures of single patients may leave as lines; else they leave as pixels only.
    never
        What leaves in no row.
    """

    smallest_cell: int = 5
    round_counts: int | None = None
    k: int = 5
    least_diversity: int = 2
    quasi_identifiers: tuple[str, ...] = ("centre", "origin", "diagnosis", "age_band", "site", "sex")
    top_age: int = 80
    age_band: int = 10
    dose_step_million: int = 5
    bmi_step: int = 1
    follow_up_step_day: int = 30
    shift_weeks: int = 26
    fewest_offsets: int = 26
    chance: float = 0.001
    lines_of_single_patients: bool = False
    never: tuple[str, ...] = (
        "true dates", "free text", "operators", "readers", "manufacturers", "product codes",
        "the registry's own pseudonyms",
    )  # fmt: skip

    def __post_init__(self) -> None:
        most = 2 * self.smallest_cell
        if self.round_counts is not None and not 2 <= self.round_counts <= most:
            # Above, a count that may be shown would become none.
            raise UsageError(f"Counts can be rounded to multiples of 2 to {most}: 3, 5 and 10 are usual.")
        if self.k < 2:
            raise UsageError(f"k = {self.k} hides nobody: 5 is usual, 11 for public files.")
        if self.least_diversity not in (1, 2):
            raise UsageError(
                f"A diversity of {self.least_diversity} cannot be: who had something or had it not are two kinds. "
                "1 tells of groups that all had the same, 2 refuses them."
            )


POLICY = Policy()
