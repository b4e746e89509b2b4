"""Bias and coverage of mean changes and shares in response by stage against a known truth, beside those who came.

    python benchmarks/truth/trajectories.py --seeds 1000 --imputed 300 --parts planned
    python benchmarks/truth/trajectories.py --seeds 300 --parts growth response --add

Writes docs/methods/truth/trajectories.json and, for reading, trajectories.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from analysis.cohort import Stratum
from analysis.growth import enough_scores
from analysis.growth import fitted as fitted_curves
from analysis.growth import numbers as curve_numbers
from analysis.imputed_change import plan_of, under, weighted
from analysis.numerics.exact import exact_share
from analysis.numerics.imputation import Rule
from analysis.response_at_visits import differences, shares
from analysis.response_at_visits import fitted as fitted_shares
from analysis.trajectories import enough_visits
from analysis.trajectory_model import Inference, clustered, fit_with_fallback
from analysis.trajectory_rows import numbers
from analysis.trajectory_sums import Sums, Visit, design_of, returned_of, rows_of
from analysis.weighted_at_visits import weigh, weighted_shares
from registry import sqlmodels
from registry.errors import NotEstimable
from synthetic.trajectory_world import (
    ENOUGH,
    SCENARIOS,
    STAGES,
    VISITS,
    Scenario,
    World,
    growth_scores,
    make,
    reductions,
    response_states,
    truth,
)

STRATA = [Stratum(s, s, "#000000") for s in STAGES]
CONTRASTS = [f"{s} - {STAGES[0]}" for s in STAGES[1:]]
PLANNED = [Visit(name, k + 1, float(day)) for k, (name, day, _) in enumerate(VISITS)]
# Visits of the study, and the one whose missing scores are imputed.
SHOWN = ("6 months", "12 months", "24 months")
IMPUTED = "12 months"
WEIGHTED = "weighted for observation"
GROWTH, COMPLETE, SEEN_WEIGHTED = "growth", "in response, complete case", "in response, weighted for observation"
WORKING = {"in response, independence": "independence", "in response, exchangeable": "exchangeable"}
ASSUMED: dict[str, tuple[Rule, float]] = {
    "imputed at random": ("missing_at_random", 0.0),
    "imputed, delta -10": ("missing_at_random", -10.0),
}
PARTS: dict[str, tuple[str, ...]] = {
    "planned": ("mean change", "observed case", "complete case", *ASSUMED, WEIGHTED),
    "growth": (GROWTH,),
    "response": (*WORKING, SEEN_WEIGHTED, COMPLETE),
}
_WORLDS = {
    "at_random": "`at_random`: normal changes; the chance of leaving depends on the change last seen.",
    "not_at_random": "`not_at_random`: the same, but who leaves loses ten points from then on that nobody sees; no "
    "visit is missed by chance, so that *delta −10* is true.",
    "mixture": "`mixture`: responders and others, between 0 and 100 points, as in the synthetic registry; leaving "
    "depends on the change last seen, but what is missing is no straight line of what was seen.",
}
_MONTH = [v.name for v in PLANNED].index(IMPUTED)
_NOTHING = [np.nan] * 3
OUT = Path(__file__).parents[2] / "docs" / "methods" / "truth"


@lru_cache
def engine() -> duckdb.DuckDBPyConnection:
    """Return the engine of this process, with the schema of the reductions."""
    con = duckdb.connect(config={"threads": 1})
    con.execute("create schema reduction")
    return con


@lru_cache
def known_truth(scenario: Scenario) -> dict[str, np.ndarray]:
    """Return the truth of a scenario, the same for every size."""
    return truth(scenario)


def fitted(world: World, visits: list[Visit]) -> tuple[Sums, Inference, Inference, pl.DataFrame]:
    """Fit the mixed model to a sample as the questions do: sums, model, limits clustered by patient, courses due."""
    made, con = reductions(world), engine()
    for name in ("trajectory_course", "trajectory_value"):
        con.register("frame", made[name])
        con.execute(f"create or replace table reduction.{name} as from frame")
    sqlmodels.run(con, ["reduction.trajectory_product"])
    products = con.sql("from reduction.trajectory_product order by all").pl()
    data, _ = enough_visits(products, STRATA, visits, (), "points")
    design, _ = design_of(data)
    fit, _ = fit_with_fallback(data.sums, design, "unstructured")
    chosen = clustered(fit, "satterthwaite", rows_of(made["trajectory_value"], made["trajectory_course"], data))
    return data, Inference(fit, "satterthwaite"), chosen, made["trajectory_due"]


def one(task: tuple[Scenario, int, int, bool, tuple[str, ...]]) -> dict[str, Any]:
    """Return estimates and limits of one sample by quantity, each (strata and contrasts, visits, 3)."""
    scenario, courses, seed, imputed, parts = task
    world = make(scenario, courses, seed)
    out: dict[str, Any] = {}
    if "planned" in parts:
        with suppress(NotEstimable):
            data, _, chosen, due = fitted(world, PLANNED)
            out |= _modelled(numbers(STRATA, data, chosen, due, 0.95))
        if imputed:
            with suppress(NotEstimable):
                out |= _imputed(world.of(world.due[:, _MONTH]), seed)
    if "growth" in parts:
        with suppress(NotEstimable):
            out[GROWTH] = _grown(scenario, world, seed)
    return out | (_responding(world) if "response" in parts else {})


def _table(rows: list[dict[str, Any]], quantity: str, strata: list[str]) -> list[list[list[float]]]:
    """Return estimate, low and high of `strata` at the visits shown; without limits there is no number."""
    held = {
        (r["stratum"], r["quantity"], r["time_day"]): [r["estimate"], r["low"], r["high"]]
        for r in rows
        if r["low"] is not None
    }
    return [[held.get((s, quantity, v.day), _NOTHING) for v in PLANNED if v.name in SHOWN] for s in strata]


def _modelled(frame: pl.DataFrame) -> dict[str, Any]:
    rows = frame.rows(named=True)
    return {
        "mean change": _table(rows, "mean_change", list(STAGES)) + _table(rows, "difference", CONTRASTS),
        "observed case": _table(rows, "observed_case", list(STAGES)),
        "complete case": _table(rows, "complete_case", list(STAGES)),
    }


def _grown(scenario: Scenario, world: World, seed: int) -> list[list[list[float]]]:
    scores = growth_scores(scenario, world, seed)
    used, _ = enough_scores(reductions(world)["trajectory_course"], scores, STRATA, 5)
    made, _ = fitted_curves(used, scores, list(STAGES), 5)
    rows = curve_numbers(made, STRATA, np.array([v.day for v in PLANNED if v.name in SHOWN]), 0.95)
    return _table(rows, "mean_change", list(STAGES)) + _table(rows, "difference", CONTRASTS)


def _responding(world: World) -> dict[str, Any]:
    """Return shares in response of 100, by estimating equations, and of those who came to every visit up to then."""
    states, con = response_states(world), engine()
    con.register("frame", states)
    con.execute("create or replace table reduction.state_visit as from frame")
    sqlmodels.run(con, ["reduction.state_pattern"])
    patterns = con.sql("from reduction.state_pattern order by all").pl()
    out: dict[str, Any] = {}
    for name, working in WORKING.items():
        with suppress(NotEstimable):
            seen = fitted_shares(states, patterns, working)
            rows = [*shares(STRATA, seen, 0.95), *differences(STRATA, seen, 0.95)]
            found = _table(rows, "share_in_response", list(STAGES)) + _table(rows, "difference", CONTRASTS)
            out[name] = (100 * np.array(found)).tolist()
    with suppress(NotEstimable):
        seen = fitted_shares(states, patterns, "independence")
        made = weighted_shares(states, seen.cells, list(STAGES), 0.95, seen.few)
        days = {float(v["day"]): v["position"] for v in seen.visits}
        rows = weigh([*shares(STRATA, seen, 0.95), *differences(STRATA, seen, 0.95)], made, days)
        found = _table(rows, "share_in_response", list(STAGES)) + _table(rows, "difference", CONTRASTS)
        out[SEEN_WEIGHTED] = (100 * np.array(found)).tolist()
    out[COMPLETE] = [[_complete(world, s, k) for k, v in enumerate(PLANNED) if v.name in SHOWN] for s in range(3)]
    return out


def _complete(world: World, stage: int, visit: int) -> list[float]:
    here = (world.stage == stage) & world.due[:, visit] & world.seen[:, : visit + 1].all(axis=1)
    if not here.any():
        return _NOTHING
    count = int((world.change[here, visit] >= ENOUGH).sum())
    return [100 * x for x in exact_share(count, int(here.sum()), 0.95)]


def _imputed(world: World, seed: int) -> dict[str, Any]:
    data, model, chosen, _ = fitted(world, PLANNED[: _MONTH + 1])
    if data.visits[-1].name != IMPUTED or data.strata != STAGES:
        return {}
    plan = plan_of(data, model.fit, model, chosen, None)
    made = under(plan, ASSUMED, 100, seed)
    out = {
        name: [[[float(e), float(lo), float(hi)]] for e, lo, hi in zip(m.estimate, *m.limits(0.95), strict=True)]
        for name, m in made.items()
    }
    rows = reductions(world)
    people, values = rows["trajectory_course"], rows["trajectory_value"]
    found, _ = weighted(data, plan, rows_of(values, people, data), returned_of(values, people, data), 0.95)
    return {**out, WEIGHTED: [[[r["estimate"], r["low"], r["high"]]] for r in found]}


def study(
    scenario: Scenario, courses: int, seeds: int, imputed: int, parts: tuple[str, ...], pool: Any
) -> Iterator[list[dict[str, Any]]]:
    """Give bias and coverage of each quantity after every 25 of `seeds` samples, imputed in the first `imputed`."""
    known = known_truth(scenario)
    tasks = [(scenario, courses, 1000 + i, i < imputed, parts) for i in range(seeds)]
    found: list[dict[str, Any]] = []
    for start in range(0, seeds, 25):
        found += pool.map(one, tasks[start : start + 25], chunksize=2)
        yield summary(scenario, courses, known, found, min(imputed, len(found)), parts)


def summary(
    scenario: Scenario,
    courses: int,
    known: dict[str, Any],
    found: list[dict[str, Any]],
    imputed: int,
    parts: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Return bias and coverage of each quantity over the samples `found`, of the imputed over the first `imputed`."""
    at = [k for k, v in enumerate(PLANNED) if v.name in SHOWN]
    own, alike, share = known["mean_change"], known["adjusted_change"], 100 * known["in_response"]
    gaps, every = alike[1:] - alike[0], len(found)
    wanted = {
        **{name: (np.concatenate([own, gaps])[:, at], SHOWN, every) for name in ("mean change", GROWTH)},
        **dict.fromkeys(("observed case", "complete case"), (own[:, at], SHOWN, every)),
        **{name: (np.concatenate([alike, gaps])[:, [_MONTH]], (IMPUTED,), imputed) for name in (*ASSUMED, WEIGHTED)},
        **{
            name: (np.concatenate([share, share[1:] - share[0]])[:, at], SHOWN, every)
            for name in (*WORKING, SEEN_WEIGHTED)
        },
        COMPLETE: (share[:, at], SHOWN, every),
    }
    rows = []
    for name in (q for part in parts for q in PARTS[part]):
        true, visits, tried = wanted[name]
        if tried:
            empty = np.full((*true.shape, 3), np.nan)
            values = np.array([f.get(name, empty) for f in found[:tried]], dtype=float)
            rows.append({**_row(name, values, true, visits), "scenario": scenario.name, "courses": courses,
                         "seeds": tried})  # fmt: skip
    return rows


def _row(name: str, values: np.ndarray, true: np.ndarray, visits: tuple[str, ...]) -> dict[str, Any]:
    """Summarise estimates and limits (samples, strata, visits, 3) against the truth (strata, visits)."""
    answered = np.isfinite(values[..., 0])
    n = np.maximum(answered.sum(axis=0), 1)
    inside = answered & (values[..., 1] <= true) & (true <= values[..., 2])
    mean, spread = np.nanmean(values[..., 0], axis=0), np.nanstd(values[..., 0], axis=0)
    coverage = inside.sum(axis=0) / n
    return {
        "quantity": name, "strata": [*STAGES, *CONTRASTS][: len(true)], "visits": list(visits),
        "truth": true.round(3).tolist(), "bias": (mean - true).round(3).tolist(),
        "error_of_bias": (spread / np.sqrt(n)).round(3).tolist(), "sd": spread.round(3).tolist(),
        "half_width": (np.nanmean(values[..., 2] - values[..., 1], axis=0) / 2).round(3).tolist(),
        "coverage": coverage.round(4).tolist(),
        "error_of_coverage": np.sqrt(coverage * (1 - coverage) / n).round(4).tolist(),
        "answered": answered.mean(axis=0).round(4).tolist(),
    }  # fmt: skip


def page(made: dict[str, Any]) -> str:
    """Return the results as a page: one row a scenario, size, quantity, stratum and visit."""
    shown = {r["scenario"] for r in made["rows"]}
    lines = [
        "# Trajectories: bias and coverage against the truth",
        "",
        f"Made by {' and '.join(f'`{c}`' for c in made['commands'])} from `synthetic/trajectory_world.py`: "
        "16 % of patients with two courses whose "
        "scores correlate at 0.5, a data cut, visits missed at random, and about a third who leave by 12 months. "
        f"{' '.join(_WORLDS[name] for name in _WORLDS if name in shown)} In points of 100. *mean change*: the mixed "
        "model (`trajectories`), with differences of stages at the baseline of all; *imputed*: `imputed_change` at 12 "
        "months, 100 imputations, at the baseline of all; *weighted for observation*: its inverse-probability weights; "
        "*observed case*: whoever came to the visit; *complete case*: whoever came to every visit of the model (both "
        "for comparison only); *growth*: the curve in actual time, from the same scores on days about the visit's; "
        f"*in response*: {ENOUGH:.0f} points better than at baseline, in per cent, by estimating equations "
        "(`response_at_visits`) with either working correlation, weighted for observation (the default), and of those "
        "who came to every visit up to then. Coverage is of 95 % limits among the samples that gave a number "
        "(`answered`), with its Monte-Carlo error; "
        "where fewer samples are shown than the command asks for, it was stopped.",
        "",
        "| scenario | courses | samples | quantity | stratum | visit | truth | bias (MC error) | SD | coverage "
        "| answered |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in made["rows"]:
        for i, stratum in enumerate(r["strata"]):
            for k, visit in enumerate(r["visits"]):
                true, bias, error, sd = (r[key][i][k] for key in ("truth", "bias", "error_of_bias", "sd"))
                covered, doubt = 100 * r["coverage"][i][k], 100 * r["error_of_coverage"][i][k]
                lines.append(
                    f"| {r['scenario']} | {r['courses']:,} | {r['seeds']:,} | {r['quantity']} | {stratum} | {visit} "
                    f"| {true:.2f} | {bias:.2f} ({error:.2f}) | {sd:.2f} | {covered:.1f} % ({doubt:.1f}) "
                    f"| {100 * r['answered'][i][k]:.0f} % |"
                )
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--imputed", type=int, default=300, help="Samples of these in which scores are imputed too.")
    parser.add_argument("--courses", type=int, nargs="+", default=[150, 1500])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scenarios", nargs="+", default=[s.name for s in SCENARIOS])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--add", action="store_true", help="Keep the rows of the file that are not asked for again.")
    parser.add_argument("--out", type=Path, default=OUT / "trajectories.json")
    a = parser.parse_args()
    before = json.loads(a.out.read_text(encoding="utf-8")) if a.add else {"commands": [], "rows": []}
    command = re.sub(
        r" --(processes|out) \S+", "", " ".join(["python benchmarks/truth/trajectories.py", *sys.argv[1:]])
    )
    commands = [*(c for c in before["commands"] if c != command), command]
    a.out.parent.mkdir(parents=True, exist_ok=True)
    asked = [(s, n) for n in a.courses for s in SCENARIOS if s.name in a.scenarios]
    again = {(s.name, n, q) for s, n in asked for part in a.parts for q in PARTS[part]}
    rows = [r for r in before["rows"] if _key(r) not in again]
    # Forked processes inherit locks of the engine's threads, and may wait for ever.
    with ProcessPoolExecutor(a.processes, mp_context=get_context("spawn")) as pool:
        # In turn, so that a study that is stopped has as many samples of each.
        for batch in zip(*(study(s, n, a.seeds, a.imputed, tuple(a.parts), pool) for s, n in asked), strict=True):
            made = {"commands": commands, "rows": sorted([*rows, *(r for found in batch for r in found)], key=_order)}
            a.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
            a.out.with_suffix(".md").write_text(page(made), encoding="utf-8")


def _key(r: dict[str, Any]) -> tuple[str, int, str]:
    return r["scenario"], r["courses"], r["quantity"]


def _order(r: dict[str, Any]) -> tuple[int, int, int]:
    quantities = [q for part in PARTS.values() for q in part]
    return r["courses"], [s.name for s in SCENARIOS].index(r["scenario"]), quantities.index(r["quantity"])


if __name__ == "__main__":
    main()
