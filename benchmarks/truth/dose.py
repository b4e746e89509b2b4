"""Bias and coverage of dose and of groups against a known truth, beside crude comparisons.

    python benchmarks/truth/dose.py --seeds 1000

Writes docs/methods/truth/dose.json and, for reading, dose.md.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from samples import Number, Study, run

from analysis.adjusted_model import design_of, enough, fit_model
from analysis.adjusted_response import risk_rows
from analysis.cohort import Stratum
from analysis.crossed_subgroups import drawn_across
from analysis.dose_rows import BANDS, band_rows, curve_rows, fitted_curve, no_design
from analysis.subgroups import drawn_together
from registry.errors import NotEstimable
from synthetic.dose_world import DOSES, GROUPS, HORIZON, SUBGROUPS, Scenario, World, people, risk, sample
from synthetic.response_world import STAGES

AT = [25.0, 50.0, 100.0]
DIFFERENCE = "difference 100 - 25 million"
COVARIATES = ("age", "sex", "baseline")
_DAYS = np.array([HORIZON])
_STAGES, _GROUPS = ([Stratum(c, c, "#000000") for c in codes] for codes in (STAGES, GROUPS))
_EVERYBODY = [Stratum("all", "all", "#000000")]
_LARGE = 300_000


@lru_cache
def everybody(scenario: Scenario) -> World:
    """Return a registry so large that chance is a thousandth."""
    return people(scenario, _LARGE, np.random.default_rng(987_654_321))


@lru_cache
def true_risks(scenario: Scenario) -> dict[tuple[str, str], float]:
    """Return the risk by quantity and stage had everybody been given a dose, or one drawn from those of a band."""
    who = everybody(scenario)
    bands = [who.dose[(who.dose > low) & (who.dose <= high)] for low, high in ((0, 49.99), (49.99, 100), (100, np.inf))]
    rng = np.random.default_rng(1)
    given: dict[str, Any] = {f"response at {d:g} million": d for d in AT}
    given |= {f"response {name}": rng.choice(b, len(who.dose)) for name, b in zip(BANDS, bands, strict=True)}
    out = {}
    for quantity, dose in given.items():
        found = risk(who, scenario, dose=dose)
        out |= {(quantity, s): float(found[who.stage == i].mean()) for i, s in enumerate(STAGES)}
        out[quantity, "all"] = float(found.mean())
    for s in (*STAGES, "all"):
        out[DIFFERENCE, s] = out["response at 100 million", s] - out["response at 25 million", s]
    return out


def one(task: tuple[Scenario, int, int]) -> list[Number]:
    """Return the numbers of one sample."""
    scenario, courses, seed = task
    world, rows = sample(scenario, courses, seed)
    if scenario.crossed:
        return _combinations(scenario, world, rows)
    return _doses(scenario, rows) if scenario.spread is None else _groups(scenario, world, rows)


def _doses(scenario: Scenario, rows: pl.DataFrame) -> list[Number]:
    true, out = true_risks(scenario), []
    with suppress(NotEstimable):
        out += _of(_fitted(rows, _STAGES, COVARIATES, bands=True), true, "")
    with suppress(NotEstimable):
        out += _of(_fitted(rows, _STAGES, ()), true, "not adjusted: ", only=DIFFERENCE)
    with suppress(NotEstimable):
        mixed = rows.with_columns(stratum=pl.lit("all"))
        out += _of(_fitted(mixed, _EVERYBODY, ()), true, "crude, stages mixed: ", only=DIFFERENCE)
    with suppress(NotEstimable):
        whole = rows.filter("whole")
        out += _of(_fitted(whole, _STAGES, COVARIATES), true, "complete case: ")
    return out


def _fitted(
    rows: pl.DataFrame, strata: list[Stratum], covariates: tuple[str, ...], bands: bool = False
) -> list[dict[str, Any]]:
    used, _ = enough(rows, strata)
    rows = rows.filter(pl.col("stratum").is_in([s.code for s in used]))
    design = design_of(rows, covariates) if covariates else no_design(rows)
    curve = fitted_curve(rows, design)
    if curve.fit.horizon < HORIZON:
        return []
    found = curve_rows(curve, rows, used, AT, _DAYS, 0.95)
    return found + (band_rows(rows, design, used, _DAYS, 0.95) if bands else [])


def _of(rows: list[dict[str, Any]], true: dict[tuple[str, str], float], name: str, only: str = "") -> list[Number]:
    return [
        (name + r["quantity"], r["stratum"], r["estimate"], r["low"], r["high"], true[r["quantity"], r["stratum"]])
        for r in rows
        if r["estimate"] is not None and (r["quantity"], r["stratum"]) in true and only in r["quantity"]
    ]


def _groups(scenario: Scenario, world: World, rows: pl.DataFrame) -> list[Number]:
    placed = rows.with_columns(stratum="origin")
    covariates = ("stage", *COVARIATES)
    try:
        used, _ = enough(placed, _GROUPS)
        placed = placed.filter(pl.col("stratum").is_in([s.code for s in used]))
        design = design_of(placed, covariates)
        fit, _ = fit_model(placed, design)
        own = pl.DataFrame(risk_rows(fit, design, placed, used, _DAYS, 0.95, contrasts=False))
        pooled = pl.DataFrame(drawn_together(own, "origin", int(HORIZON), 0.95)[0], infer_schema_length=None)
    except NotEstimable:
        return []
    # Shares are standardised over the courses of the groups that have a number.
    who = replace(everybody(scenario), effect=world.effect)
    here = np.isin(who.group, [GROUPS.index(s.code) for s in used])
    true = {g: float(risk(who, scenario, group=i)[here].mean()) for i, g in enumerate(GROUPS)}
    out: list[Number] = []
    for name, made in (("own number", own), ("pooled", pooled.filter(quantity="pooled_response"))):
        found = made.filter(pl.col("estimate").is_not_null(), pl.col("stratum") != "all")
        out += [(name, r["stratum"], r["estimate"], r["low"], r["high"], true[r["stratum"]])
                for r in found.iter_rows(named=True)]  # fmt: skip
        for extreme, best in (("the best group", True), ("the worst group", False)):
            r = found.sort("estimate", descending=best).row(0, named=True)
            out.append((name, extreme, r["estimate"], r["low"], r["high"], true[r["stratum"]]))
    crude = rows.filter("whole").group_by("origin").agg(n=pl.len(), share=(pl.col("kind") == "response").mean())
    out += [("crude share, complete case", g, share, np.nan, np.nan, true[g])
            for g, n, share in crude.sort("origin").iter_rows() if n >= 10]  # fmt: skip
    (spread,) = pooled.filter(quantity="spread").iter_rows(named=True)
    out.append(("spread between groups", "all", spread["estimate"], spread["low"], spread["high"], _spread(scenario)))
    return out


def _combinations(scenario: Scenario, world: World, rows: pl.DataFrame) -> list[Number]:
    """Return pooled numbers of combinations, those by themselves where they have one, and how much factors differ."""
    number = pl.col("origin").replace_strict({g: i for i, g in enumerate(GROUPS)}, return_dtype=pl.Int64)
    placed = rows.with_columns(
        origin=pl.format("origin {}", number // 2), expanded=pl.format("way {}", number % 2), group=pl.col("origin")
    )
    try:
        used, _ = enough(placed, _STAGES)
        placed = placed.filter(pl.col("stratum").is_in([s.code for s in used]))
        frame, *_ = drawn_across(placed, ("origin", "expanded"), used, COVARIATES, int(HORIZON), 0.95)
    except NotEstimable:
        return []
    who = replace(everybody(scenario), effect=world.effect)
    here = np.isin(who.stage, [STAGES.index(s.code) for s in used])
    true = {f"origin {i // 2}, way {i % 2}": float(risk(who, scenario, group=i)[here].mean()) for i in range(8)}
    names = {"response": "own number", "pooled_response": "pooled"}
    letter = {f"origin {i // 2}, way {i % 2}": g for i, g in enumerate(GROUPS)}
    out: list[Number] = []
    for r in frame:
        if r["estimate"] is not None and r["quantity"] in names:
            name, stratum = names[r["quantity"]], r["stratum"]
            out.append((name, letter[stratum], r["estimate"], r["low"], r["high"], true[stratum]))
        if r["quantity"] == "spread":
            known = dict(zip(("origin", "expanded", "each combination"), scenario.crossed or (), strict=True))
            out.append((f"spread: {r['stratum']}", "all", r["estimate"], r["low"], r["high"], known[r["stratum"]]))
    for extreme, best in (("the best combination", True), ("the worst combination", False)):
        for name in ("own number", "pooled"):
            found = sorted((x for x in out if x[0] == name), key=lambda x: x[2], reverse=best)
            out += [(name, extreme, *found[0][2:])] if found else []
    return out


def _spread(scenario: Scenario) -> float:
    """Return the standard deviation between groups on the scale of the standardised share."""
    if not scenario.spread:
        return 0.0
    effects = np.random.default_rng(2).normal(size=400) * scenario.spread
    who = people(scenario, 5000, np.random.default_rng(3))
    shares = [risk(replace(who, effect=np.array([e])), scenario, group=0).mean() for e in effects]
    return float(np.std(np.log(-np.log1p(-np.array(shares)))))


STUDY = Study(
    "dose",
    "Dose and groups: bias and coverage against the truth",
    "From `synthetic/dose_world.py`: 16 % of patients with two courses that are alike; the sicker, by stage and by "
    "baseline, get more cells, cells help up to a point, severity hinders; visits jitter about those planned, some "
    "are missed, about a third leave within two years, and ends of the target censor. `at_random`: leaving depends on"
    " the stage; `not_at_random`: it is three times as likely before a response, seen or not; `unrecorded_reason`: "
    "another reason for the dose, which nobody recorded, hinders response. *Response at … million* and its "
    "difference: `dose_response` by stage, adjusted for age, sex and baseline, at 12 months; *not adjusted* and "
    "*crude, stages mixed*: the same curve without covariates, and without stages; *complete case*: adjusted, of "
    "those who came to every visit up to 12 months or to their response. A band's truth is the risk had everybody "
    "been given a dose drawn from those of the band. Eight groups of unequal size, of which the first see sicker "
    "patients: `groups_alike`, `groups_differ` (effects drawn anew in every sample, standard deviation 0.35 on the "
    "scale log(−log(1 − share))), `groups_not_at_random` (leaving as above). *Own number*: adjusted for stage, age, "
    "sex and baseline; *pooled*: after partial pooling (`subgroups`); *the best group*: whichever has the highest of "
    "these numbers; the crude share is of complete cases. `combinations`: the same groups as four origins and two "
    "ways of processing (standard deviations on the log hazard 0.35 and 0.35, and 0.2 of a combination's own, drawn "
    "anew in every sample), drawn together across both. Shares are of 1.",
    (*DOSES, *SUBGROUPS),
    one,
    {"": 3},
)

if __name__ == "__main__":
    run(STUDY)
