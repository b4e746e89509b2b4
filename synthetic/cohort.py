"""Draws patients, targets and courses of treatment, with the true time of everything that visits will only look at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synthetic.latent import Benefit, Floats, threshold
from synthetic.truth import PROGRAMMES, ProgrammeTruth

DAY_ZERO = np.datetime64("2021-01-04")

# How many points of 100 each scale improves for a point of latent improvement.
LOADING: dict[str, float] = {
    "KOOS/pain": 1.0, "KOOS/adl": 0.9, "PtGA": 0.95, "VAS-pain": 1.0, "EQ5D5L/vas": 0.5, "VISA-A": 1.0, "CDAI": 1.0,
    "ANC": 1.0, "platelets": 30.0, "Karnofsky": 20.0, "NPS": 1.0, "mTNS": 0.3, "walk10m": 0.2, "PROMIS-GPH": 0.2,
    "sleep": 0.3, "hsCRP": 0.02, "minJSW": 0.0, "tendon_thickness": 0.1, "KOOS/symptoms": 0.8, "KOOS/sport": 0.7,
    "KOOS/qol": 0.8,
}  # fmt: skip

PRODUCTS = pl.DataFrame(
    [
        ("BMAC", "autologous", "bone_marrow", "density_gradient", "false", "true", "US_same_surgical_procedure", 92.0),
        ("SVF", "autologous", "adipose_SVF", "enzymatic", "false", "true", "US_IND", 88.0),
        ("AD-MSC", "autologous", "adipose_expanded", "plastic_adherence", "true", "true", "EU_ATMP_authorised", 91.0),
        ("UC-MSC", "allogeneic_unrelated", "umbilical_cord_tissue", "plastic_adherence", "true", "false", "US_IND",
         87.0),
        ("PBSC", "allogeneic_related", "peripheral_blood", "immunoselection", "false", "false", "other_national", 95.0),
        ("CORD", "allogeneic_unrelated", "cord_blood", "density_gradient", "false", "false", "US_351_BLA", 84.0),
    ],
    schema=["product", "donor", "origin", "separation", "expanded", "donor_is_patient", "regulatory_class",
            "viability_pct"],
    orient="row",
)  # fmt: skip
CENTRES = ("ZRH", "DEN", "MAD", "TYO", "GLA")


@dataclass(frozen=True)
class Design:
    """What is drawn and how it is looked at.

    Attributes
    ----------
    patients
        Number of patients.
    seed
        Same seed, same bytes.
    programmes
        Share of patients by programme.
    noise
        Standard deviation of measurement error, points of 100; zero shows the latent truth.
    visit_jitter
        Standard deviation of the visit date around its target, as a share of the window's half width.
    missed, dropout
        Probability that a visit is missed, and the monthly hazard of leaving, for those in response.
    informative
        By how much both are larger without response: those who do not benefit stay away. One: unrelated to benefit.
    losses, boosters, ends
        Whether response is lost, boosters are given, targets end.
    item_share
        Share of centres that send questionnaire items instead of scores.
    follow_up_years
        Years between the first enrolment and the data cut.
    details
        Whether the tables around a course are written too: consents, habits, what was tried before, release tests.

    Examples
    --------
    >>> Design(patients=500, seed=1).patients
    500
    """

    patients: int = 600
    seed: int = 1
    programmes: dict[str, float] = field(default_factory=lambda: {"osteoarthritis": 1.0})
    noise: float = 4.0
    visit_jitter: float = 0.45
    missed: float = 0.08
    dropout: float = 0.008
    informative: float = 2.0
    losses: bool = True
    boosters: bool = True
    ends: bool = True
    item_share: float = 0.4
    follow_up_years: float = 4.0
    extra_scales: bool = True
    details: bool = False


@dataclass(frozen=True)
class Drawn:
    """Courses of one programme with their truth: everything of shape (n,) unless said otherwise."""

    law: ProgrammeTruth
    courses: pl.DataFrame
    benefit: Benefit
    baselines: dict[str, Floats]
    end_day: Floats
    death_day: Floats


def draw(design: Design, programme: str, n_patients: int, first: int, rng: np.random.Generator) -> Drawn:
    """Draw `n_patients` of one programme; patients are numbered from `first`."""
    law = PROGRAMMES[programme]
    people = _people(law, n_patients, first, design, rng)
    courses = _courses(law, people, design, rng)
    n = courses.height
    stages = list(law.stages)
    stage = courses["stage_index"].to_numpy()

    def by_stage(name: str) -> Floats:
        return np.asarray(np.array([getattr(law.stages[s], name) for s in stages], dtype=float)[stage])

    baselines = _baselines(law, by_stage("baseline"), rng)
    need = threshold_of(law, baselines)
    responds = rng.random(n) < by_stage("respond")
    scale = by_stage("response_median_day") / np.log(2) ** (1 / by_stage("response_shape"))
    response = np.where(responds, scale * rng.weibull(by_stage("response_shape")), np.inf)
    keeps = rng.random(n) < by_stage("keep")
    loss_scale = by_stage("loss_median_day") / np.log(2) ** (1 / by_stage("loss_shape"))
    lasts = 45 + loss_scale * rng.weibull(by_stage("loss_shape"))
    loss = np.where(responds & ~keeps & design.losses, np.where(responds, response, 0) + lasts, np.inf)
    peak = np.where(responds, rng.uniform(*law.peak, n), rng.uniform(0.0, 0.8, n))
    end = _end_days(by_stage("end_per_year"), response, loss, rng) if design.ends else np.full(n, np.inf)
    death = rng.exponential(365.25 / law.death_per_year, n) if design.ends else np.full(n, np.inf)
    # A death belongs to the person: all courses of a patient share it, on the calendar.
    death = _shared_death(courses, death)
    return Drawn(law, courses, Benefit(need, response, loss, peak), baselines, end, death)


def threshold_of(law: ProgrammeTruth, baselines: dict[str, Floats]) -> Floats:
    """Return the improvement at which the programme's default definition is met; 15 where it has none."""
    from registry import catalogue

    definition = dict(catalogue.read("programme").select("programme", "definition").iter_rows())[law.programme]
    if not definition:
        return np.full_like(next(iter(baselines.values())), 15.0)
    return threshold(definition, {s: baselines[s] for s in law.scales}, LOADING)


def _people(law: ProgrammeTruth, n: int, first: int, design: Design, rng: np.random.Generator) -> pl.DataFrame:
    window = int(365.25 * design.follow_up_years) - 60
    enrolled = DAY_ZERO + rng.integers(0, window, n).astype("timedelta64[D]")
    age = np.clip(rng.normal(*law.age, n), 18, 90)
    return pl.DataFrame(
        {
            "patient": pl.Series(np.char.add("P", np.char.zfill(np.arange(first, first + n).astype(str), 7))),
            "centre": np.array(CENTRES)[rng.integers(0, len(CENTRES), n)],
            "birth_year": (enrolled.astype("datetime64[Y]").astype(int) + 1970 - age).astype(int),
            "sex": np.where(rng.random(n) < 0.56, "female", "male"),
            "height_cm": np.round(rng.normal(170, 9, n), 0),
            "weight_kg": np.round(np.clip(rng.normal(81, 14, n), 42, 160), 1),
            "enrolment_date": enrolled,
            "second_target": rng.random(n) < law.bilateral,
            "second_course": rng.random(n) < 0.07,
        }
    )


def _courses(law: ProgrammeTruth, people: pl.DataFrame, design: Design, rng: np.random.Generator) -> pl.DataFrame:
    first = people.with_columns(target_no=pl.lit(1), course_no=pl.lit(1))
    bilateral = people.filter("second_target").with_columns(target_no=pl.lit(2), course_no=pl.lit(1))
    again = people.filter(pl.col("second_course") & ~pl.col("second_target")).with_columns(
        target_no=pl.lit(1), course_no=pl.lit(2)
    )
    courses = pl.concat([first, bilateral, again]).sort("patient", "target_no", "course_no")
    n = courses.height
    shares = np.array([s.share for s in law.stages.values()])
    # A patient's second course has the stage of the first: the joint does not heal between them.
    by_target = rng.choice(len(shares), size=n, p=shares / shares.sum())
    previous = np.arange(n) - (courses["course_no"].to_numpy() == 2)
    stage = by_target[previous]
    site = np.array(law.sites)[rng.integers(0, len(law.sites), n)][previous]
    first_side = rng.integers(0, len(law.sides), n)[previous]
    # The second target of a patient is the same joint on the other side.
    second = courses["target_no"].to_numpy() == 2
    before = np.maximum(np.arange(n) - 1, 0)
    site = np.where(second, site[before], site)
    side = np.where(second, (first_side[before] + 1) % len(law.sides), first_side)
    delay = rng.integers(0, 15, n) + np.where(second, rng.integers(0, 120, n), 0)
    delay = delay + np.where(courses["course_no"].to_numpy() == 2, 420 + rng.integers(0, 200, n), 0)
    index = courses["enrolment_date"].to_numpy().astype("datetime64[D]") + delay.astype("timedelta64[D]")
    product = rng.integers(0, len(law.products), n)
    dose = np.round(np.exp(rng.normal(np.log(60), 0.55, n)), 1)
    kept = index < data_cut(design)
    return courses.with_columns(
        stage_index=stage,
        stage=np.array(list(law.stages))[stage],
        grade=_grades(law, stage, rng),
        site=site,
        side=np.array(law.sides)[side],
        index_date=index,
        product=np.array(law.products)[product],
        route=np.array(law.routes)[rng.integers(0, len(law.routes), n)],
        guidance=np.array(law.guidance)[rng.integers(0, len(law.guidance), n)],
        planned_sessions=np.array(law.sessions)[rng.integers(0, len(law.sessions), n)],
        dose_viable_million=dose,
        symptom_months=rng.integers(6, 180, n),
    ).filter(kept)


def data_cut(design: Design) -> np.datetime64:
    """Return the day on which the clinics wrote their files."""
    return DAY_ZERO + np.timedelta64(int(365.25 * design.follow_up_years), "D")


def _grades(law: ProgrammeTruth, stage: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.str_]:
    u = rng.random(len(stage))
    out = np.full(len(stage), "", dtype="U32")
    for i, truth in enumerate(law.stages.values()):
        if truth.grades:
            chosen = np.array(truth.grades)[(u * len(truth.grades)).astype(int)]
            out = np.where(stage == i, chosen, out)
    return out


def _baselines(law: ProgrammeTruth, mean: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    person = rng.normal(0, 8, len(mean))
    found: dict[str, Floats] = {}
    for scale in law.scales + law.extra_scales:
        if scale == "ANC":
            found[scale] = np.clip(mean + rng.uniform(-0.02, 0.02, len(mean)), 0, 100)
        elif scale == "CDAI":
            # The activity bands are the scale's own: the stage and its baseline must agree.
            spread = np.clip(person / 16, -0.45, 0.45)
            low, high = (
                np.where(mean < 13, 9, np.where(mean < 28, 14.5, 30)),
                np.where(mean < 13, 13, np.where(mean < 28, 28.5, 70)),
            )
            found[scale] = (low + high) / 2 + spread * (high - low)
        else:
            found[scale] = np.clip(mean + person + rng.normal(0, 4, len(mean)), 25, 92)
    return found


def _end_days(rate_per_year: Floats, response: Floats, loss: Floats, rng: np.random.Generator) -> Floats:
    """Draw exact end days: the full rate before response and after loss, a third of it in between."""
    target = rng.exponential(1.0, len(response))
    rate = np.maximum(rate_per_year, 1e-12) / 365.25
    before = np.where(np.isfinite(response), response, np.inf)
    during = np.where(
        np.isfinite(response),
        np.where(np.isfinite(loss), loss, np.inf) - np.where(np.isfinite(response), response, 0),
        0.0,
    )
    used_before = rate * np.where(np.isfinite(before), before, 1e12)
    used_during = rate / 3 * np.where(np.isfinite(during), during, 1e12)
    first = target / rate
    second = np.where(np.isfinite(before), before, 0) + (target - used_before) / (rate / 3)
    third = np.where(np.isfinite(loss), loss, 0) + (target - used_before - used_during) / rate
    return np.where(target < used_before, first, np.where(target < used_before + used_during, second, third))


def _shared_death(courses: pl.DataFrame, death: Floats) -> Floats:
    index = courses["index_date"].to_numpy().astype("datetime64[D]").astype(float)
    on_calendar = pl.DataFrame({"patient": courses["patient"], "day": index + death})
    shared = on_calendar.with_columns(pl.col("day").last().over("patient"))["day"].to_numpy()
    return np.asarray(shared - index)
