"""Bias and coverage of the effect of a booster against a known truth, beside the naive comparison.

    python benchmarks/truth/booster.py --seeds 1000 --coverage-seeds 300

Writes docs/methods/truth/booster.json and, for reading, booster.md.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from analysis.booster_data import Plan, prepare
from analysis.booster_gate import judge
from analysis.booster_model import bootstrap, estimate
from analysis.booster_rows import Numbers
from synthetic.booster_files import reductions
from synthetic.booster_world import NO_OVERLAP, SCENARIOS, STAGES, STEP_DAY, Scenario, World, make, met, truth

DAYS = (2.0 * STEP_DAY, 4.0 * STEP_DAY)
OUTCOMES = ("mean", "share", "risk")
COVARIATES = ("age", "bmi")
OUT = Path(__file__).parents[2] / "docs" / "methods" / "truth"


def true_difference(scenario: Scenario, outcome: str) -> np.ndarray:
    """Return boosted minus waiting at both days, by stage and overall weight of the stages aside; shape (3, 2)."""
    known = truth(scenario)
    values = {"mean": known.improvement, "share": known.response, "risk": known.ended}[outcome]
    return values[:, 0, [2, 4]] - values[:, 1, [2, 4]]


def one(task: tuple[Scenario, str, int, int, int]) -> dict[str, Any]:
    """Estimate one sample; with `resamples`, also whether the intervals hold the truth."""
    scenario, outcome, patients, seed, resamples = task
    world = make(scenario, patients, seed)
    rows, courses = reductions(world)
    plan = Plan(outcome, "per_protocol", "sequential" if outcome == "mean" else "clone_censor", 30.0, DAYS)
    data = prepare(rows, courses, STAGES, COVARIATES, plan, "any")
    whole = estimate(data, np.ones(len(data.visits.day)))
    at = np.searchsorted(data.grid, DAYS)
    out: dict[str, Any] = {"estimate": (whole.curves.treated - whole.curves.waiting)[:, at].tolist()}
    out["naive"] = naive(world, outcome).tolist()
    gate = judge(data, whole)
    out["closed"], out["stages"] = bool(gate.closed), list(gate.strata)
    if resamples:
        numbers = Numbers(data, whole, bootstrap(data, whole, resamples, seed), 0.95)
        out["limits"] = [[numbers.difference(s, int(d))[1:] for d in at] for s in range(3)]
    return out


def naive(world: World, outcome: str) -> np.ndarray:
    """Return ever against never boosted at the last visit, by stage: what a simple table would show; shape (3,)."""
    last = (world.seen * np.arange(world.pain.shape[1])).max(axis=1)
    now = world.pain[np.arange(len(last)), last]
    value = {
        "mean": world.pain[:, 0] - now,
        "share": met(world.pain[:, 0], now).astype(float),
        "risk": ((world.end_after < 99) & (world.end_after <= last)).astype(float),
    }[outcome]
    ever, there = world.boosted_at < 99, last > 0
    stages = [world.stage == s for s in range(3)]
    return np.array([value[there & ever & here].mean() - value[there & ~ever & here].mean() for here in stages])


def study(
    scenario: Scenario, outcome: str, patients: int, seeds: int, covered: int, resamples: int, pool: Any
) -> dict[str, Any]:
    """Return bias over `seeds` samples and coverage over the first `covered` of them."""
    known = true_difference(scenario, outcome)
    tasks = [(scenario, outcome, patients, 1000 + i, resamples if i < covered else 0) for i in range(seeds)]
    found = list(pool.map(one, tasks, chunksize=5))
    estimates = np.array([f["estimate"] for f in found])
    simple = np.array([f["naive"] for f in found])
    limits = np.array([f["limits"] for f in found if "limits" in f])
    row = {
        "scenario": scenario.name,
        "outcome": outcome,
        "patients": patients,
        "seeds": seeds,
        "truth": known.round(4).tolist(),
        "mean": estimates.mean(axis=0).round(4).tolist(),
        "bias": (estimates.mean(axis=0) - known).round(4).tolist(),
        "sd": estimates.std(axis=0, ddof=1).round(4).tolist(),
        "error_of_bias": (estimates.std(axis=0, ddof=1) / np.sqrt(seeds)).round(4).tolist(),
        "naive": simple.mean(axis=0).round(4).tolist(),
        "naive_bias": (simple.mean(axis=0) - known[:, 1]).round(4).tolist(),
        "withheld": float(np.mean([f["closed"] for f in found])),
    }
    if len(limits):
        inside = (limits[..., 0] <= known) & (known <= limits[..., 1])
        row |= {
            "coverage_seeds": len(limits),
            "resamples": resamples,
            "coverage": inside.mean(axis=0).round(4).tolist(),
            "error_of_coverage": round(float(np.sqrt(0.95 * 0.05 / len(limits))), 4),
        }
    return row


def page(made: dict[str, Any]) -> str:
    """Return the results as a page: one row a scenario, outcome, stage and day."""
    rows, sample, broken = made["rows"], made["rows"][0], made["withheld_where_positivity_is_broken"]
    lines = [
        "# Effect of a booster: bias and coverage against the truth",
        "",
        f"Made by `{made['command']}` from `synthetic/booster_world.py`: {sample['patients']:,} patients a sample, "
        f"{sample['seeds']:,} samples a scenario, coverage of 95 % limits in {sample.get('coverage_seeds', 0)} of them "
        f"with {sample.get('resamples', 0)} resamples each (Monte-Carlo error of a coverage "
        f"{100 * sample.get('error_of_coverage', 0):.1f} points). Truth by intervention: the same noise replayed with "
        "the booster forced, and withheld. Mean: points of improvement; share in response and risk of replacement: "
        "shares of 1. Naive: ever against never boosted at the last visit.",
        "",
        f"Where positivity is broken on purpose the gate withheld {100 * broken:.0f} % of samples; in the scenarios "
        "below it withheld what the last column says (one in a hundred is what its negative control does by chance).",
        "",
        "| scenario | outcome | stage | day | truth | bias (MC error) | SD | coverage | naive bias | withheld |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        digits = 2 if r["outcome"] == "mean" else 3
        for s, stage in enumerate(STAGES):
            for d, day in enumerate(DAYS):
                covered = f"{100 * r['coverage'][s][d]:.1f} %" if "coverage" in r else ""
                naive_bias = f"{r['naive_bias'][s]:.{digits}f}" if d == 1 else ""
                true, bias, error, sd = (r[k][s][d] for k in ("truth", "bias", "error_of_bias", "sd"))
                lines.append(
                    f"| {r['scenario']} | {r['outcome']} | {stage} | {day:.0f} | {true:.{digits}f} | {bias:.{digits}f} "
                    f"({error:.{digits}f}) | {sd:.{digits}f} | {covered} | {naive_bias} | {100 * r['withheld']:.1f} % |"
                )
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--coverage-seeds", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=80)
    parser.add_argument("--patients", type=int, default=1500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT / "booster.json")
    a = parser.parse_args()
    rows = []
    # Forked processes inherit locks of the engine's threads, and may wait for ever.
    with ProcessPoolExecutor(a.processes, mp_context=get_context("spawn")) as pool:
        for scenario in SCENARIOS:
            for outcome in OUTCOMES:
                rows.append(study(scenario, outcome, a.patients, a.seeds, a.coverage_seeds, a.resamples, pool))
                print(json.dumps(rows[-1]), flush=True)
        broken = list(pool.map(one, [(NO_OVERLAP, "mean", a.patients, 1000 + i, 0) for i in range(min(a.seeds, 200))]))
    fired = float(np.mean([f["closed"] for f in broken]))
    command = f"python benchmarks/truth/booster.py --seeds {a.seeds} --coverage-seeds {a.coverage_seeds}"
    command += f" --resamples {a.resamples}"
    made = {"command": command, "rows": rows, "withheld_where_positivity_is_broken": fired}
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    a.out.with_suffix(".md").write_text(page(made), encoding="utf-8")


if __name__ == "__main__":
    main()
