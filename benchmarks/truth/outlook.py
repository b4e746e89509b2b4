"""Are the best, typical and failure case calibrated? Bias and coverage of an outlook against a known truth.

    python benchmarks/truth/outlook.py --seeds 1000

Writes docs/methods/truth/outlook.json and, for reading, outlook.md.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from samples import Number, Study, run

from analysis.outlook import rows_of
from analysis.outlook_likeness import Seen, alike, known_of, weighted_quantile
from analysis.outlook_seen import by_visit
from analysis.outlook_support import why_too_few
from synthetic.outlook_world import AT_RANDOM, NOT_AT_RANDOM, ROUTES, World, make, sample
from synthetic.response_world import STAGES
from synthetic.trajectory_world import ENOUGH, VISITS, Scenario

STAGE = "early"
_NOTHING = dict.fromkeys(("age", "sex", "tissue", "donor", "dose_million", "route"))
PROFILES: dict[str, dict[str, Any]] = {
    STAGE: _NOTHING, f"{STAGE}, aged 60, into the joint": {**_NOTHING, "age": 60.0, "route": ROUTES[0]},
}  # fmt: skip
SHOWN = ("6 months", "12 months", "24 months")
CASES = {"failure_case": 0.1, "typical_case": 0.5, "best_case": 0.9}
_WORSE, _LARGE = 12.68, 300_000
_AT = [k for k, (name, _, _) in enumerate(VISITS) if name in SHOWN]


@lru_cache
def everybody(scenario: Scenario) -> World:
    """Return so many courses of the stage that chance is a thousandth."""
    return make(scenario, _LARGE, 987_654_321, stage=STAGES.index(STAGE))


@lru_cache
def likeness_of_all(scenario: Scenario, profile: str) -> np.ndarray:
    """Return how alike each of everybody is to the profile."""
    who, named = everybody(scenario), {n: v for n, v in PROFILES[profile].items() if v is not None}
    known: dict[str, Any] = {"age": who.age, "route": np.array(ROUTES)[who.route]}
    return alike({n: known[n] for n in named}, named) if named else np.ones(len(who.age))


@lru_cache
def true_numbers(scenario: Scenario, profile: str) -> dict[tuple[str, int], float]:
    """Return what those like the profile would show at each visit had all come and been looked at."""
    who, weight, out = everybody(scenario), likeness_of_all(scenario, profile), {}
    for k in _AT:
        going, change = ~who.over[:, k], who.change[:, k]
        mine = weight * going
        goes_on, held = mine.sum() / weight.sum(), change >= ENOUGH
        before = who.change[:, :k] >= ENOUGH
        found = weighted_quantile(change[going], weight[going], np.array(list(CASES.values())))
        out |= {(case, k): float(q) for case, q in zip(CASES, found, strict=True)}
        shares = {
            "share_in_response": held, "share_sustained": held & before[:, -1],
            "share_response_lost": ~held & before.any(axis=1), "share_worse": change <= -_WORSE,
        }  # fmt: skip
        out |= {(q, k): float(goes_on * np.average(is_so, weights=mine)) for q, is_so in shares.items()}
        out["end", k] = float(1 - goes_on)
        if profile != STAGE:
            near = going & (np.abs(who.age - 60) <= 0.5) & (who.route == 0)
            exact = np.quantile(change[near], list(CASES.values()))
            out |= {(f"{case}, of courses just alike", k): float(q) for case, q in zip(CASES, exact, strict=True)}
    return out


@lru_cache
def scores_of_all(scenario: Scenario, profile: str, visit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the changes of those like the profile that go on, in order, and what share has so much or less."""
    who = everybody(scenario)
    going = ~who.over[:, visit]
    change, weight = who.change[going, visit], likeness_of_all(scenario, profile)[going]
    order = np.argsort(change)
    return change[order], np.cumsum(weight[order]) / weight.sum()


def one(task: tuple[Scenario, int, int]) -> list[Number]:
    """Return the numbers of one sample."""
    scenario, courses, seed = task
    world, rows, profile = sample(scenario, courses, seed)
    mine = profile.filter(stage=STAGE)
    out: list[Number] = []
    for name, named in PROFILES.items():
        known = known_of(mine, named)
        visits = {at.visit: at for at in by_visit(rows, mine, alike(known, named) if known else np.ones(mine.height))}
        true = true_numbers(scenario, name)
        for k in _AT:
            at = visits.get(VISITS[k][0])
            if at is None or why_too_few(at, known, named) is not None:
                continue
            stratum = f"{name}; {at.visit}"
            found = _numbers(at, 200, seed)
            for q, (value, low, high) in found.items():
                if (q, k) in true:
                    out.append((q, stratum, value, low, high, true[q, k]))
            out += [(f"{q}, of courses just alike", stratum, *found[q], true[f"{q}, of courses just alike", k])
                    for q in CASES if name != STAGE]  # fmt: skip
            out += _calibrated(scenario, name, k, stratum, found, "")
            # What the same numbers are of those who came, and of those who came to every visit up to then.
            came = replace(at, stands_for=((at.scored | at.over) * 1.0))
            for how, those in (("those who came: ", came), ("complete case: ", _complete(at, world, k))):
                if those.scored.sum() < 10:
                    continue
                simple = _numbers(those, 0, seed)
                out += [(how + q, stratum, *simple[q], true[q, k]) for q in (*CASES, "share_in_response")]
                out += _calibrated(scenario, name, k, stratum, simple, how)
    return out


def _complete(at: Seen, world: World, visit: int) -> Seen:
    kept = at.over | world.seen[at.course, : visit + 1].all(axis=1)
    return replace(
        at, improvement=np.where(kept, at.improvement, np.nan), state=np.where(kept, at.state, "not_seen"),
        stands_for=(kept & (at.scored | at.over)) * 1.0,
    )  # fmt: skip


def _numbers(at: Seen, resamples: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Return estimate and limits by quantity; without resamples there are no limits."""
    found = rows_of(at, _WORSE, 0.95, max(resamples, 1), np.random.default_rng(seed))
    limits = (lambda r: (r["low"], r["high"])) if resamples else (lambda r: (np.nan, np.nan))
    return {r["quantity"]: (r["estimate"], *limits(r)) for r in found if r["estimate"] is not None}


def _calibrated(
    scenario: Scenario, profile: str, visit: int, stratum: str, found: dict[str, tuple[float, float, float]], how: str
) -> list[Number]:
    """Return what share of those like the profile is below each case, and between failure and best case."""
    change, below = scores_of_all(scenario, profile, visit)
    at = {q: float(np.interp(found[q][0], change, below)) for q in CASES}
    out = [(f"{how}share below {q}", stratum, at[q], np.nan, np.nan, share) for q, share in CASES.items()]
    between = at["best_case"] - at["failure_case"]
    return [*out, (f"{how}share between failure and best case", stratum, between, np.nan, np.nan, 0.8)]


STUDY = Study(
    "outlook",
    "Outlook: are its cases calibrated, and do its limits hold the truth?",
    "From `synthetic/outlook_world.py`, asked of early disease alone and of one aged 60 treated into the joint; the "
    "whole registry, all stages, has as many courses as are shown. Changes depend on baseline, age and route; 16 % of"
    " patients have two courses whose changes correlate at 0.5; 3 % a year end, more of the older; about a third "
    "leave by 12 months. `at_random`: the chance of leaving depends on the change last seen; `not_at_random`: the "
    "same, but who leaves loses ten points from then on that nobody sees. The truth is what all courses as alike as "
    "those behind the numbers would have shown had they come, and, for the three cases, that *of courses just alike* "
    "(60 years old, into the joint). Cases in points of 100, shares of 1. *Share below* a case and *between* them: of"
    " all such courses, seen or not, what share has less than the number given; it should be 0.1, 0.5 and 0.9, and "
    "0.8. *Those who came*: not weighted for observation; *complete case*: who came to every visit up to then (both "
    "for comparison only). In the truth of a response lost or sustained nobody missed a visit.",
    (AT_RANDOM, NOT_AT_RANDOM),
    one,
    {"share": 3, "end": 3, "": 2},
)

if __name__ == "__main__":
    run(STUDY)
