"""Puts a synthetic registry together: the tables a clinic would fill, and the truth they were drawn from."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from registry import catalogue
from synthetic.cohort import CENTRES, DAY_ZERO, PRODUCTS, Design, Drawn, data_cut, draw
from synthetic.details import surroundings
from synthetic.truth import PROGRAMMES
from synthetic.visits import Seen, look

# Measured on the person, not on one joint.
_OF_PATIENT = ("EQ5D5L/vas", "hsCRP", "body_weight")
_HARMS = ("pain_flare", "swelling", "effusion", "fever", "donor_site_pain", "haemarthrosis", "infection_systemic")
_HARM_SHARES = (0.45, 0.25, 0.12, 0.06, 0.08, 0.03, 0.01)


@dataclass(frozen=True, repr=False)
class Synthetic:
    """A synthetic registry.

    Attributes
    ----------
    design
        How it was drawn.
    tables
        By name of the template's file: frames in the template's columns.
    truth
        One row a course: its source key, ``programme, stage, response_day, loss_day, end_day, death_day`` (days since
        the first session, infinite if never) and the improvement at which response begins.

    Examples
    --------
    >>> simulate(Design(patients=20, seed=1)).tables["patients"].height
    20
    """

    design: Design
    tables: dict[str, pl.DataFrame]
    truth: pl.DataFrame

    def __repr__(self) -> str:
        rows = ", ".join(f"{frame.height:,} {name}" for name, frame in self.tables.items())
        return f"Synthetic registry, seed {self.design.seed}: {rows}"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{name}</td><td>{frame.height:,}</td></tr>" for name, frame in self.tables.items())
        return f"<b>Synthetic registry</b>, seed {self.design.seed}; rows by table<table>{rows}</table>"


def simulate(design: Design) -> Synthetic:
    """Draw patients and look at them; same design, same tables.

    Examples
    --------
    >>> simulate(Design(patients=20, seed=1))
    Synthetic registry, seed 1: ...
    """
    rng = np.random.default_rng(design.seed)
    parts: list[dict[str, pl.DataFrame]] = []
    truths: list[pl.DataFrame] = []
    shares = np.array(list(design.programmes.values()), dtype=float)
    counts = np.floor(shares / shares.sum() * design.patients).astype(int)
    counts[0] += design.patients - counts.sum()
    first = 1
    for programme, n in zip(design.programmes, counts, strict=True):
        if n == 0:
            continue
        drawn = draw(design, programme, int(n), first, rng)
        parts.append(_tables(drawn, look(drawn, design, rng), design, rng))
        truths.append(_truth(drawn))
        first += int(n)
    tables = {name: pl.concat([p[name] for p in parts]) for name in parts[0]}
    tables["centres"] = pl.DataFrame({"centre": CENTRES, "country": ["CH", "US", "ES", "JP", "GB"]})
    used = tables["sessions"]["product"].unique()
    tables["products"] = PRODUCTS.filter(pl.col("product").is_in(used.implode()))
    # A score of the person is asked once a day, however many of their joints are treated.
    key = ["patient", "site", "side", "date", "instrument", "version", "subscale"]
    tables["measurements"] = tables["measurements"].unique(key, keep="first", maintain_order=True)
    if design.details:
        tables |= surroundings(tables, design.seed, dt.date.fromisoformat(str(data_cut(design))))
    return Synthetic(design, tables, pl.concat(truths))


def _truth(drawn: Drawn) -> pl.DataFrame:
    return drawn.courses.select("patient", "site", "side", "course_no", "stage").with_columns(
        programme=pl.lit(drawn.law.programme),
        response_day=drawn.benefit.response_day,
        loss_day=drawn.benefit.loss_day,
        end_day=drawn.end_day,
        death_day=drawn.death_day,
        threshold=drawn.benefit.threshold,
    )


def _tables(drawn: Drawn, seen: Seen, design: Design, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    courses = drawn.courses.with_row_index("course").cast({"course": pl.Int64})
    first = courses.filter(pl.col("target_no") == 1, pl.col("course_no") == 1)
    targets = courses.filter(pl.col("course_no") == 1)
    measurements, items = _measurements(drawn, courses, seen, design, rng)
    return {
        "patients": first.select("patient", "centre", "birth_year", "sex", "height_cm", "enrolment_date").with_columns(
            consent_scope=pl.lit("research")
        ),
        "targets": targets.select("patient", "site", "side").with_columns(kind=pl.lit(drawn.law.kind)),
        "conditions": targets.select("patient", "site", "side", "symptom_months").with_columns(
            diagnosis=pl.lit(drawn.law.diagnosis)
        ),
        "stages": _stages(drawn, courses, rng),
        "courses": courses.select("patient", "site", "side", "course_no", "planned_sessions").with_columns(
            programme=pl.lit(drawn.law.programme)
        ),
        "sessions": _sessions(drawn, courses, seen, rng),
        "visits": _dated(seen.visits, courses).select("patient", "site", "side", "date", "planned_visit", "status"),
        "measurements": measurements,
        "items": items,
        "decisions": _dated(seen.decisions, courses).select(
            "patient",
            "site",
            "side",
            "date",
            "trigger",
            "state_at_decision",
            "decision",
            "deciding_factor",
            "cost_barrier",
        ),
        "events": _events(seen, courses),
        "adverse_events": _harms(seen, courses, design, rng),
    }


def _dated(frame: pl.DataFrame, courses: pl.DataFrame) -> pl.DataFrame:
    """Add who and where, and the calendar date of ``day``."""
    who = courses.select("course", "patient", "site", "side", "course_no", "centre", "index_date", "product", "route",
                         "guidance", "dose_viable_million")  # fmt: skip
    return frame.join(who, on="course", how="left", maintain_order="left").with_columns(
        date=pl.col("index_date") + pl.duration(days=pl.col("day"))
    )


def _stages(drawn: Drawn, courses: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    back = rng.integers(0, 15, courses.height)
    dated = courses.with_columns(
        date=pl.col("index_date") - pl.duration(days=pl.lit(pl.Series(back))),
        scheme=pl.lit(drawn.law.scheme),
        reader=pl.lit("R1"),
        modality=pl.lit("XR" if drawn.law.kind == "joint" else "clinical"),
    )
    graded = dated if drawn.law.scheme else dated.clear()
    # One in fifty was never graded: the stage is not known, and the report must say so.
    graded = graded.filter(pl.Series(rng.random(graded.height) >= 0.02))
    return graded.select("patient", "site", "side", "date", "scheme", "grade", "reader", "modality")


def _sessions(drawn: Drawn, courses: pl.DataFrame, seen: Seen, rng: np.random.Generator) -> pl.DataFrame:
    rows = _dated(seen.sessions, courses)
    total = (pl.col("dose_viable_million") / pl.Series(rng.uniform(0.8, 0.97, rows.height))).round(1)
    none = pl.Series(rng.random(rows.height) < 0.04)
    return rows.select(
        "patient", "site", "side", "course_no", "session_no", "date", "intent", "route", "guidance", "product",
        pl.when(~none).then(total).alias("dose_total_million"),
        pl.when(~none).then("dose_viable_million").alias("dose_viable_million"),
        pl.lit("counted").alias("dose_basis"),
    )  # fmt: skip


def _measurements(
    drawn: Drawn, courses: pl.DataFrame, seen: Seen, design: Design, rng: np.random.Generator
) -> tuple[pl.DataFrame, pl.DataFrame]:
    scale = catalogue.read("scale").select("scale", "instrument", "version", "subscale", "unit")
    rows = _dated(seen.scores, courses).join(scale, on="scale", how="left", maintain_order="left")
    with_items = list(CENTRES[: round(design.item_share * len(CENTRES))])
    as_items = pl.col("centre").is_in(with_items) & (pl.col("instrument") == "KOOS")
    person = pl.col("scale").is_in(_OF_PATIENT)
    # The hip has its own questionnaire, of the same form.
    hip = (pl.col("site") == "hip") & (pl.col("instrument") == "KOOS")
    rows = rows.with_columns(instrument=pl.when(hip).then(pl.lit("HOOS")).otherwise("instrument"))
    named = rows.with_columns(
        site=pl.when(~person).then("site"), side=pl.when(~person).then("side"), mode=pl.lit("web")
    )
    columns = ["patient", "site", "side", "date", "instrument", "version", "subscale", "value", "unit", "mode"]
    weight = courses.filter(pl.col("target_no") == 1).select(
        "patient",
        pl.lit(None, dtype=pl.String).alias("site"),
        pl.lit(None, dtype=pl.String).alias("side"),
        pl.col("index_date").alias("date"),
        pl.lit("body_weight").alias("instrument"),
        pl.lit(None, dtype=pl.String).alias("version"),
        pl.lit(None, dtype=pl.String).alias("subscale"),
        pl.col("weight_kg").alias("value"),
        pl.lit("kg").alias("unit"),
        pl.lit("clinic").alias("mode"),
    )
    scores = pl.concat([named.filter(~as_items).select(columns), weight.select(columns)])
    return scores, _items(rows.filter(as_items), rng)


def _items(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Answer the items of KOOS so that their mean is the score: floor(mean + uniform) has that expectation."""
    item = catalogue.read("item").select("scale", pl.col("instrument"), "item").filter(pl.col("instrument") == "KOOS")
    answered = rows.join(item.drop("instrument"), on="scale", how="inner", maintain_order="left")
    mean = (100 - answered["value"].to_numpy()) / 25
    answer = np.clip(np.floor(mean + rng.random(len(mean))), 0, 4).astype(int)
    kept = pl.Series(rng.random(len(mean)) >= 0.02)
    return (
        answered.with_columns(answer=pl.Series(answer, dtype=pl.Int64))
        .filter(kept)
        .select("patient", "site", "side", "date", "instrument", "version", "item", "answer")
    )


def _events(seen: Seen, courses: pl.DataFrame) -> pl.DataFrame:
    rows = _dated(seen.events, courses)
    person = pl.col("kind") == "death"
    return rows.select(
        "patient",
        pl.when(~person).then("site").alias("site"),
        pl.when(~person).then("side").alias("side"),
        "date",
        "kind",
        pl.lit("record").alias("reported_by"),
    )


def _harms(seen: Seen, courses: pl.DataFrame, design: Design, rng: np.random.Generator) -> pl.DataFrame:
    rows = _dated(seen.sessions, courses).filter(pl.Series(rng.random(seen.sessions.height) < 0.11))
    n = rows.height
    grade = np.where(rng.random(n) < 0.72, 1, np.where(rng.random(n) < 0.85, 2, 3))
    return (
        rows.select(
            "patient",
            "site",
            "side",
            (pl.col("date") + pl.duration(days=pl.lit(pl.Series(rng.integers(0, 6, n))))).alias("onset_date"),
            pl.Series("category", np.array(_HARMS)[rng.choice(len(_HARMS), n, p=_HARM_SHARES)]),
            pl.Series("ctcae_grade", grade),
            pl.Series("serious", grade >= 3),
            pl.Series("related_product", np.where(rng.random(n) < 0.5, "possible", "unlikely")),
            pl.Series("related_procedure", np.where(rng.random(n) < 0.7, "probable", "possible")),
        )
        .unique(["patient", "site", "side", "onset_date", "category"], keep="first", maintain_order=True)
        .filter(pl.col("onset_date") <= pl.lit(dt.date.fromisoformat(str(data_cut(design)))))
    )


def all_programmes() -> dict[str, float]:
    """Return shares for a registry of all six programmes, mostly osteoarthritis.

    Examples
    --------
    >>> sorted(all_programmes())[:2]
    ['neurological', 'osteoarthritis']
    """
    return {p: (0.5 if p == "osteoarthritis" else 0.1) for p in PROGRAMMES}


__all__ = ["DAY_ZERO", "Design", "Synthetic", "all_programmes", "data_cut", "simulate"]
