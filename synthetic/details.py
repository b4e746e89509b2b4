"""What surrounds a course in synthetic patients: consent, habits, what was tried before, how products were made.

It says nothing about outcomes: nothing in it was drawn from the truth, and no truth depends on it.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from registry import catalogue

_TARGET = ["patient", "site", "side"]
# Analyte, unit, the limits that pass, what is found, method; tests of a product sampled on one day.
_RELEASE = (
    ("viability", "%", 70.0, None, (80.0, 98.0), "flow cytometry"),
    ("endotoxin", "EU/mL", None, 5.0, (0.5, 0.5), "LAL"),
    ("sterility", None, None, None, (0.0, 0.0), "culture, 14 days"),
    ("CFU_F", "colonies", 50.0, None, (60.0, 900.0), "colony assay, 14 days"),
    ("CD105", "%", 95.0, None, (96.0, 99.5), "flow cytometry"),
)


def surroundings(tables: dict[str, pl.DataFrame], seed: int, until: dt.date) -> dict[str, pl.DataFrame]:
    """Return the eleven tables around the courses of `tables`, by name of the template's file.

    Nothing in them is later than `until`. Their numbers are drawn from a stream of their own: with and without them the
    other tables are the same bytes.
    """
    rng = np.random.default_rng([seed, 11])
    people = tables["patients"].select("patient", "enrolment_date")
    first = tables["sessions"].group_by(_TARGET, maintain_order=True).agg(pl.col("date").min())
    return {
        "operators": _operators(tables["centres"], rng),
        "consents": _consents(people, rng).filter(pl.col("signed_date") <= until),
        "comorbidities": _comorbidities(people, rng),
        "habits": _habits(people, rng),
        "prior_treatments": _prior(first, rng),
        "supportive_treatments": _supportive(first, until, rng).filter(pl.col("start_date") <= until),
        "goals": _goals(first, until, rng),
        "processing": _processing(tables["products"], rng),
        "release_tests": _release_tests(tables["products"], first["date"].min(), rng),
        "imaging_details": _images(tables["stages"], rng),
        "laboratory_details": _assays(tables["measurements"]),
    }


def _codes(vocabulary: str) -> list[str]:
    return catalogue.read("vocabulary").filter(vocabulary=vocabulary)["code"].to_list()


def _one_of(vocabulary: str, n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    return rng.choice(np.array(_codes(vocabulary)), n)


def _some(frame: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.DataFrame:
    return frame.filter(pl.Series(rng.random(frame.height) < share))


def _before(column: str, days: NDArray[np.int64]) -> pl.Expr:
    return pl.col(column) - pl.duration(days=pl.lit(pl.Series(days)))


def _operators(centres: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    both = centres.select("centre").join(pl.DataFrame({"no": ["1", "2"]}), how="cross")
    return both.select(
        "centre",
        operator=pl.col("centre") + "-" + pl.col("no"),
        specialty=pl.Series(_one_of("specialty", both.height, rng)),
        trained_in_procedure=pl.lit("true"),
        years_experience=pl.Series(rng.integers(1, 25, both.height)),
    )


def _consents(people: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    first = people.select(
        "patient", version=pl.lit("1.0"), signed_date=pl.col("enrolment_date"), scope=pl.lit("research")
    )
    again = _some(first, 0.3, rng).with_columns(version=pl.lit("2.0"), scope=pl.lit("export"))
    return pl.concat([first, again.with_columns(pl.col("signed_date") + pl.duration(days=180))])


def _comorbidities(people: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    some = _some(people, 0.4, rng)
    # A patient tells the year.
    return some.select(
        "patient",
        comorbidity=pl.Series(_one_of("comorbidity", some.height, rng)),
        onset_date=_before("enrolment_date", rng.integers(400, 5000, some.height)).dt.year().cast(pl.String),
    )


def _habits(people: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    smoking = pl.Series("smoking", rng.choice(np.array(_codes("smoking")), people.height, p=[0.55, 0.3, 0.15]))
    return people.select(
        "patient",
        smoking,
        date="enrolment_date",
        pack_years=pl.when(smoking != "never").then(pl.Series(rng.integers(1, 40, people.height))),
        exercise_min_week=pl.Series(rng.integers(0, 30, people.height) * 10),
        work_demand=pl.Series(_one_of("work_demand", people.height, rng)),
        nsaid_days_7=pl.Series(rng.integers(0, 8, people.height)),
    )


def _prior(targets: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    parts = []
    for kind, share in (("physiotherapy", 0.8), ("corticosteroid_injection", 0.4), ("hyaluronic_acid", 0.25)):
        some = _some(targets, share, rng)
        parts.append(
            some.select(
                *_TARGET,
                kind=pl.lit(kind),
                number=pl.Series(rng.integers(1, 6, some.height)),
                last_date=_before("date", rng.integers(60, 900, some.height)).dt.strftime("%Y-%m"),
                response=pl.Series(_one_of("prior_response", some.height, rng)),
            )
        )
    return pl.concat(parts)


def _supportive(targets: pl.DataFrame, until: dt.date, rng: np.random.Generator) -> pl.DataFrame:
    some = _some(targets, 0.6, rng)
    return some.select(
        *_TARGET,
        kind=pl.lit("physiotherapy"),
        start_date=pl.col("date") + pl.duration(days=14),
        end_date=pl.when(pl.col("date") + pl.duration(days=84) <= until).then(pl.col("date") + pl.duration(days=84)),
        adherence_pct=pl.Series(rng.integers(20, 101, some.height)),
    )


def _goals(targets: pl.DataFrame, until: dt.date, rng: np.random.Generator) -> pl.DataFrame:
    n = targets.height
    # Two in three are asked after a year, of those whose year is over; a stream of its own leaves the tables after it.
    later = rng.spawn(1)[0]
    asked = pl.Series(later.random(n) < 0.67) & (pl.col("date") + pl.duration(days=365) <= until)
    return targets.select(
        *_TARGET,
        "date",
        domain=pl.Series(_one_of("goal_domain", n, rng)),
        importance=pl.Series(rng.integers(2, 6, n)),
        expected_points=pl.Series(rng.integers(1, 7, n) * 5),
        expected_case=pl.Series(_one_of("expected_case", n, rng)),
        attainment=pl.when(asked).then(pl.Series(later.choice(np.arange(-2, 3), n, p=[0.1, 0.25, 0.4, 0.2, 0.05]))),
        assessed_date=pl.when(asked).then(pl.col("date") + pl.duration(days=365)),
    )


def _processing(products: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    expanded, own = pl.col("expanded") == "true", pl.col("donor") == "autologous"
    return products.select(
        "product",
        donor_screened=pl.when(~own).then(pl.lit("true")),
        harvest_volume_ml=pl.Series(rng.integers(3, 20, products.height) * 10),
        same_day=pl.when(expanded).then(pl.lit("false")).otherwise(pl.lit("true")),
        serum=pl.when(expanded).then(pl.lit("hPL")),
        culture_days=pl.when(expanded).then(pl.lit(21)),
        population_doublings=pl.when(expanded).then(pl.lit(9)),
        gmp=pl.when(expanded).then(pl.lit("true")).otherwise(pl.lit("false")),
        adjunct=pl.lit("none"),
    )


def _release_tests(products: pl.DataFrame, day: object, rng: np.random.Generator) -> pl.DataFrame:
    parts = []
    for analyte, unit, low, high, found, method in _RELEASE:
        n = products.height
        value = pl.Series(rng.uniform(*found, n).round(1)) if unit else pl.lit(None)
        below = high is not None  # endotoxin: nothing found down to the limit of quantification
        parts.append(
            products.select(
                "product",
                analyte=pl.lit(analyte),
                sampled_date=pl.lit(day, dtype=pl.Date),
                status=pl.lit("pass"),
                value=value.cast(pl.Float64),
                unit=pl.lit(unit, dtype=pl.String),
                comparator=pl.lit("<" if below else None, dtype=pl.String),
                limit_low=pl.lit(low, dtype=pl.Float64),
                limit_high=pl.lit(high, dtype=pl.Float64),
                method=pl.lit(method),
                result_date=pl.lit(day, dtype=pl.Date) + pl.duration(days=14),
            )
        )
    return pl.concat(parts)


def _images(stages: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    read = stages.filter(pl.col("scheme").is_in(["KL", "OARSI_JSN"])).unique([*_TARGET, "date"], maintain_order=True)
    return read.select(
        *_TARGET,
        "date",
        modality=pl.lit("XR"),
        protocol=pl.lit("PA, fixed flexion"),
        weight_bearing=pl.lit("true"),
        readers=pl.Series(rng.integers(1, 3, read.height)),
        blinded=pl.lit("true"),
    )


def _assays(measurements: pl.DataFrame) -> pl.DataFrame:
    drawn = measurements.filter(pl.col("instrument").is_in(["hsCRP", "ANC", "platelets"]))
    return drawn.unique(["patient", "date", "instrument"], maintain_order=True).select(
        "patient",
        "date",
        "instrument",
        specimen=pl.when(pl.col("instrument") == "hsCRP").then(pl.lit("serum")).otherwise(pl.lit("whole_blood")),
        lower_limit=pl.when(pl.col("instrument") == "hsCRP").then(pl.lit(0.1)),
    )
