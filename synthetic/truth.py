"""What is true of the synthetic patients: the law from which they are drawn, and the estimands that follow from it.

Response begins at a time T that is Weibull among those who can respond, and is lost after a further time D; the target
ends (replacement, rescue, relapse) or the patient dies at constant rates. All are continuous: visits only look at them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StageTruth:
    """The law of one severity stage.

    Attributes
    ----------
    share
        Share of courses in this stage.
    respond
        Probability of ever responding.
    response_median_day, response_shape
        Weibull time to response among those who respond.
    keep
        Probability that a response is never lost.
    loss_median_day, loss_shape
        Weibull time from response to loss among those who lose it; after at least 45 days.
    end_per_year
        Rate of the end event before response and after its loss; a third of it while in response.
    booster_points
        What a booster adds to the improvement at its peak, in points of 100.
    grades
        Grades of the programme's scheme in this stage, with equal shares.
    baseline
        Mean of the first domain's score at baseline, 0 (best) to 100 (worst).
    """

    share: float
    respond: float
    response_median_day: float
    keep: float
    loss_median_day: float
    end_per_year: float
    booster_points: float
    grades: tuple[str, ...]
    baseline: float
    response_shape: float = 1.6
    loss_shape: float = 1.5

    def responded(self, day: Floats) -> Floats:
        """Return the probability of having responded by `day` if nothing else ended the course; shape of `day`."""
        return self.respond * self._response_cdf(np.asarray(day, dtype=float))

    def response_incidence(self, day: Floats, *, death_per_year: float = 0.0) -> Floats:
        """Return the cumulative incidence of response by `day` with end and death competing; shape of `day`.

        Before response the end and death rates are constant, so that the incidence is the integral of the response
        density times the probability of no end yet; Simpson's rule on a quarter-day grid.
        """
        day = np.asarray(day, dtype=float)
        grid = np.linspace(0.0, float(day.max()), int(4 * day.max()) + 1)
        rate = (self.end_per_year + death_per_year) / 365.25
        # Integration by parts: F(t) e^{-rt} + r * integral of F e^{-ru}; F is smooth where its density is not.
        cdf = self.responded(grid)
        integrand = cdf * np.exp(-rate * grid)
        steps = np.diff(grid) * (integrand[1:] + integrand[:-1]) / 2
        total = integrand + rate * np.concatenate([[0.0], np.cumsum(steps)])
        return np.asarray(np.interp(day, grid, total))

    def _response_cdf(self, day: Floats) -> Floats:
        scale = self.response_median_day / np.log(2) ** (1 / self.response_shape)
        return np.asarray(1 - np.exp(-((np.maximum(day, 0) / scale) ** self.response_shape)))


@dataclass(frozen=True)
class ProgrammeTruth:
    """The law of one programme: its stages, its targets, what is measured and what can happen."""

    programme: str
    kind: str
    sites: tuple[str, ...]
    sides: tuple[str, ...]
    diagnosis: str
    scheme: str
    stages: dict[str, StageTruth]
    scales: tuple[str, ...]
    extra_scales: tuple[str, ...]
    end_kinds: dict[str, str]
    routes: tuple[str, ...]
    sessions: tuple[int, ...] = (1,)
    session_interval_day: int = 28
    death_per_year: float = 0.004
    peak: tuple[float, float] = (1.3, 2.2)
    extra_days: tuple[int, ...] = ()
    bilateral: float = 0.0
    boosters: bool = True
    age: tuple[float, float] = (62.0, 9.0)
    products: tuple[str, ...] = ("BMAC", "SVF", "AD-MSC", "UC-MSC")
    guidance: tuple[str, ...] = ("ultrasound", "fluoroscopy", "blind")
    weights: dict[str, float] = field(default_factory=dict)


OA = ProgrammeTruth(
    programme="osteoarthritis",
    kind="joint",
    sites=("knee", "knee", "knee", "hip"),
    sides=("left", "right"),
    diagnosis="primary_OA",
    scheme="KL",
    stages={
        "early": StageTruth(0.38, 0.82, 85, 0.35, 420, 0.005, 15, ("1", "2"), 52),
        "moderate": StageTruth(0.36, 0.62, 120, 0.22, 300, 0.025, 10, ("3",), 58),
        "bone_on_bone": StageTruth(0.26, 0.34, 170, 0.10, 190, 0.090, 2, ("4",), 66),
    },
    scales=("KOOS/pain", "KOOS/adl", "PtGA"),
    extra_scales=("VAS-pain", "EQ5D5L/vas", "hsCRP", "minJSW"),
    end_kinds={"knee": "TKA", "hip": "THA"},
    routes=("intra_articular", "intra_articular", "intra_osseous"),
    sessions=(1, 1, 2, 3),
    bilateral=0.16,
)

TENDON = ProgrammeTruth(
    programme="tendon",
    kind="tendon",
    sites=("achilles",),
    sides=("left", "right"),
    diagnosis="tendinopathy",
    scheme="tendon_integrity",
    stages={
        "tendinopathy": StageTruth(0.5, 0.78, 70, 0.6, 380, 0.01, 8, ("tendinopathy",), 50),
        "partial_tear": StageTruth(0.35, 0.6, 100, 0.5, 300, 0.04, 5, ("partial_tear",), 56),
        "full_tear": StageTruth(0.15, 0.25, 140, 0.3, 200, 0.3, 1, ("full_tear",), 64),
    },
    scales=("VISA-A",),
    extra_scales=("VAS-pain", "tendon_thickness"),
    end_kinds={"achilles": "surgical_repair"},
    routes=("intra_tendinous", "peri_tendinous"),
    sessions=(1, 2),
    age=(45.0, 11.0),
    bilateral=0.05,
    guidance=("ultrasound", "blind"),
)

SYSTEMIC = ProgrammeTruth(
    programme="systemic",
    kind="systemic",
    sites=("systemic",),
    sides=("n/a",),
    diagnosis="RA",
    scheme="CDAI_band",
    stages={
        "low_activity": StageTruth(0.2, 0.6, 110, 0.5, 300, 0.02, 4, ("low",), 12),
        "moderate_activity": StageTruth(0.45, 0.55, 130, 0.4, 260, 0.06, 4, ("moderate",), 22),
        "high_activity": StageTruth(0.35, 0.45, 150, 0.3, 200, 0.15, 3, ("high",), 46),
    },
    scales=("CDAI",),
    extra_scales=("hsCRP", "EQ5D5L/vas"),
    end_kinds={"systemic": "immunosuppression_rescue"},
    routes=("IV",),
    sessions=(3, 4),
    session_interval_day=60,
    age=(54.0, 12.0),
    products=("UC-MSC", "AD-MSC"),
    guidance=("not_applicable",),
)

TRANSPLANT = ProgrammeTruth(
    programme="transplant",
    kind="systemic",
    sites=("systemic",),
    sides=("n/a",),
    diagnosis="leukaemia",
    scheme="DRI",
    stages={
        "low_risk": StageTruth(0.3, 0.99, 15, 0.95, 300, 0.08, 0, ("low",), 99.96),
        "intermediate_risk": StageTruth(0.45, 0.97, 16, 0.9, 250, 0.18, 0, ("intermediate",), 99.96),
        "high_risk": StageTruth(0.25, 0.93, 18, 0.85, 200, 0.5, 0, ("high", "very_high"), 99.96),
    },
    scales=("ANC",),
    extra_scales=("platelets", "Karnofsky"),
    end_kinds={"systemic": "relapse"},
    routes=("IV",),
    death_per_year=0.12,
    peak=(4.0, 10.0),
    extra_days=(7, 10, 12, 14, 16, 18, 21, 25),
    age=(48.0, 13.0),
    boosters=False,
    products=("PBSC", "CORD"),
    guidance=("not_applicable",),
)

NEUROLOGICAL = ProgrammeTruth(
    programme="neurological",
    kind="nerve",
    sites=("peripheral_nerve",),
    sides=("left", "right"),
    diagnosis="neuropathy",
    scheme="mTNS_band",
    stages={
        "mild": StageTruth(0.4, 0.6, 130, 0.5, 380, 0.005, 8, ("mild",), 45),
        "moderate_neuro": StageTruth(0.35, 0.45, 160, 0.4, 300, 0.01, 5, ("moderate",), 58),
        "severe": StageTruth(0.25, 0.25, 200, 0.3, 220, 0.02, 2, ("severe",), 68),
    },
    scales=("NPS",),
    extra_scales=("mTNS", "walk10m"),
    end_kinds={"peripheral_nerve": "surgery"},
    routes=("perineural",),
    age=(60.0, 10.0),
    products=("AD-MSC", "UC-MSC"),
    guidance=("ultrasound", "blind"),
)

WELLNESS = ProgrammeTruth(
    programme="wellness",
    kind="wellness",
    sites=("systemic",),
    sides=("n/a",),
    diagnosis="wellness",
    scheme="",
    stages={"all": StageTruth(1.0, 0.0, 180, 0.5, 300, 0.0, 0, (), 45)},
    scales=("PROMIS-GPH",),
    extra_scales=("hsCRP", "sleep"),
    end_kinds={},
    routes=("IV",),
    boosters=False,
    products=("UC-MSC", "AD-MSC"),
    guidance=("not_applicable",),
)

PROGRAMMES = {p.programme: p for p in (OA, TENDON, SYSTEMIC, TRANSPLANT, NEUROLOGICAL, WELLNESS)}
