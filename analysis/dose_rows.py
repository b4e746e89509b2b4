"""The rows of dose and response: the fitted curve, standardised shares at doses, and the published bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.adjusted_model import TOO_FEW, Design, fit_model, shown_at, told_days, watched_to, with_enough
from analysis.cohort import Stratum
from analysis.numerics.interval_likelihood import IntervalFit
from analysis.numerics.interval_regression import RiskEstimate, contrast, standardised_risk
from analysis.numerics.splines import KNOT_SHARES, restricted_cubic
from analysis.result import row

Floats = NDArray[np.float64]

# A fourth knot where there are so many responses, or the curve could not be told from chance.
_RESPONSES_FOR_FOUR_KNOTS = 200
# Courses "near" a dose have between two thirds of it and half as much again; with fewer nothing is said of it.
_NEAR, _FEWEST_NEAR = 1.5, 10
BANDS = ("<50 million", "50-100 million", ">100 million")


@dataclass(frozen=True)
class Curve:
    """A fitted dose curve: the design with the dose's columns last, their knots on log10 dose, means and names."""

    fit: IntervalFit
    x: Floats
    knots: Floats
    centre: Floats
    names: tuple[str, ...]
    cuts: tuple[float, ...]

    def at(self, dose: float) -> Floats:
        """Return the design with everybody given `dose` (million)."""
        x = self.x.copy()
        x[:, -len(self.centre) :] = restricted_cubic(np.log10([dose]), self.knots) - self.centre
        return x


def no_design(rows: pl.DataFrame) -> Design:
    """Return the design without covariates."""
    return Design(np.zeros((rows.height, 0)), (), ())


def fitted_curve(rows: pl.DataFrame, design: Design) -> Curve:
    """Fit the curve to rows of ``reduction.response_covariate`` with `dose` (million) and the design of covariates."""
    log = np.log10(rows["dose"].to_numpy())
    responses = rows.filter(pl.col("kind") == "response").height
    shares = KNOT_SHARES[4 if responses >= _RESPONSES_FOR_FOUR_KNOTS else 3]
    knots = np.unique(np.quantile(log, shares))
    if len(knots) < 3:
        # Few distinct doses: a straight line between the smallest and the largest.
        knots = np.array([log.min(), log.max()])
    basis = restricted_cubic(log, knots)
    centre = basis.mean(axis=0)
    names = ("log10 dose", *(f"log10 dose, bend {j}" for j in range(1, basis.shape[1])))
    x = np.column_stack([design.x, basis - centre])
    fit, cuts = fit_model(rows, Design(x, (*design.names, *names), ()))
    return Curve(fit, x, knots, centre, names, cuts)


def curve_rows(
    curve: Curve, rows: pl.DataFrame, used: list[Stratum], doses: list[float], days: Floats, confidence: float, *,
    contrasts: bool = True, unadjusted: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the standardised risks at doses and days by stratum, and their differences from the first dose."""
    word, at = "unadjusted" if unadjusted else "response", told_days(rows, used, days)
    out = []
    for s in used:
        here = (rows["stratum"] == s.code).to_numpy()
        mine, told = rows.filter(here), _Told(rows, s, days, at[s.code])
        risk = standardised_risk(
            curve.fit, [curve.at(d)[here] for d in doses], told.days, strata=[s.code] * len(doses), level=confidence
        )
        near = [_near(mine, d) for d in doses]
        for i, d in enumerate(doses):
            few = near[i].height < _FEWEST_NEAR
            for t, day in enumerate(days.tolist()):
                shown = told.of(risk, i, t)
                if few:
                    shown = {"note": f"fewer than {_FEWEST_NEAR} courses had a dose near this one"}
                n = near[i].filter(pl.col("kind") == "response", pl.col("right_day") <= day).height
                out.append(
                    row(s.code, f"{word} at {d:g} million", time_day=day, n=n, denominator=near[i].height, **shown)
                )
        for i in range(1, len(doses)) if contrasts and not unadjusted else ():
            if min(near[i].height, near[0].height) < _FEWEST_NEAR:
                continue
            found, both = contrast(curve.fit, risk, i, 0, level=confidence), near[i].height + near[0].height
            name = f"difference {doses[i]:g} - {doses[0]:g} million"
            out += [
                row(s.code, name, time_day=day, denominator=both, **told.difference(found, t))
                for t, day in enumerate(days.tolist())
            ]
    return out


class _Told:
    """The days on which a stratum has a number, and the numbers of these."""

    def __init__(self, rows: pl.DataFrame, stratum: Stratum, asked: Floats, at: Floats):
        self.asked, self.at, self.until = asked, at, watched_to(rows, stratum.code)
        self.days = np.unique(at[~np.isnan(at)])

    def of(self, risk: RiskEstimate, setting: int, t: int) -> dict[str, Any]:
        """Return what is shown of a setting on the day number `t` asked for."""
        return shown_at(risk, setting, self.days, float(self.asked[t]), float(self.at[t]), self.until)

    def difference(self, found: RiskEstimate, t: int) -> dict[str, Any]:
        """Return the same of a difference (T,)."""
        both = RiskEstimate(*(np.asarray(a)[None] for a in (found.estimate, found.std_error, found.lower, found.upper,
                                                             found.gradient)))  # fmt: skip
        return self.of(both, 0, t)


def _near(rows: pl.DataFrame, dose: float) -> pl.DataFrame:
    return rows.filter(pl.col("dose").is_between(dose / _NEAR, dose * _NEAR))


def band_rows(
    rows: pl.DataFrame, design: Design, used: list[Stratum], days: Floats, confidence: float
) -> list[dict[str, Any]]:
    """Return the risks of the published bands, each against the first that has enough responses."""
    band = (
        pl.when(pl.col("dose") < 50).then(pl.lit(BANDS[0])).when(pl.col("dose") <= 100).then(pl.lit(BANDS[1]))
        .otherwise(pl.lit(BANDS[2]))
    )  # fmt: skip
    placed = rows.select(band=band)["band"]
    found = with_enough(rows.with_columns(band=placed), "band")
    enough_in = [b for b in BANDS if b in found]
    few = [b for b in BANDS if b not in enough_in]
    out = [row("dose", f"response {b}", note=f"{TOO_FEW} in the band") for b in few]
    if len(enough_in) < 2:
        return out
    kept = placed.is_in(enough_in).to_numpy()
    some, levels = rows.filter(kept), placed.filter(placed.is_in(enough_in))
    marks = np.column_stack([(levels == b).to_numpy().astype(float) for b in enough_in[1:]])
    x = np.column_stack([design.x[kept], marks])
    fit, _ = fit_model(some, Design(x, (*design.names, *(f"dose {b}" for b in enough_in[1:])), ()))
    at = told_days(rows, used, days)
    for s in used:
        here, told = (some["stratum"] == s.code).to_numpy(), _Told(rows, s, days, at[s.code])
        settings = []
        for j in range(len(enough_in)):
            given = x[here].copy()
            given[:, -marks.shape[1] :] = np.eye(len(enough_in))[j][1:]
            settings.append(given)
        if not here.any():
            continue
        risk = standardised_risk(fit, settings, told.days, strata=[s.code] * len(enough_in), level=confidence)
        held = [some.filter(here & (levels == b).to_numpy()) for b in enough_in]
        for j, b in enumerate(enough_in):
            for t, day in enumerate(days.tolist()):
                n = held[j].filter(pl.col("kind") == "response", pl.col("right_day") <= day).height
                shown = told.of(risk, j, t)
                if held[j].height < _FEWEST_NEAR:
                    shown = {"note": f"fewer than {_FEWEST_NEAR} courses in the band"}
                out.append(row(s.code, f"response {b}", time_day=day, n=n, denominator=held[j].height, **shown))
        for j in range(1, len(enough_in)):
            if min(held[j].height, held[0].height) < _FEWEST_NEAR:
                continue
            apart, both = contrast(fit, risk, j, 0, level=confidence), held[j].height + held[0].height
            name = f"difference {enough_in[j]} - {enough_in[0]}"
            out += [
                row(s.code, name, time_day=day, denominator=both, **told.difference(apart, t))
                for t, day in enumerate(days.tolist())
            ]
    return out
