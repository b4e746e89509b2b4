"""Bias and coverage of the effect of a booster against a known truth, beside the naive comparison.

    python benchmarks/truth/booster.py --seeds 1000 --coverage-seeds 300 --resamples 60

Writes docs/methods/truth/booster.json and, for reading, booster.md. A part of it, e.g. --outcomes loss --scenarios 4,
or a small registry, --patients 250 --outcomes mean --scenarios 0 1, replaces its own rows and leaves the others.
"""

from __future__ import annotations

import argparse
import json
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from analysis.booster_data import Plan, prepare
from analysis.booster_gate import judge
from analysis.booster_model import bootstrap, estimate
from analysis.booster_rows import Numbers
from analysis.numerics.emulation import Design
from synthetic.booster_files import reductions
from synthetic.booster_world import (
    JITTERED,
    LOSS_POINTS,
    NO_OVERLAP,
    SCENARIOS,
    STAGES,
    STEP_DAY,
    Scenario,
    World,
    make,
    met,
    truth,
)

DAYS = (2.0 * STEP_DAY, 4.0 * STEP_DAY)
OUTCOMES = ("mean", "share", "risk", "loss")
WORLDS = (*SCENARIOS, JITTERED)
# Outcomes whose curve is a share of days.
DAYS_OF = {"share": "days in response", "loss": "days free of loss"}
COVARIATES = ("age", "bmi")
PATIENTS = 1500
OUT = Path(__file__).parents[2] / "docs" / "methods" / "truth"


def true_values(scenario: Scenario, outcome: str) -> tuple[np.ndarray, np.ndarray]:
    """Return boosted minus waiting by stage: at both days, shape (3, 2), and in days up to the last, shape (3,).

    Days in response, or free of loss, are the area under the straight lines between the values every 91 days.
    """
    known = truth(scenario)
    values = {"mean": known.improvement, "share": known.response, "risk": known.ended, "loss": known.lost}[outcome]
    difference = values[:, 0] - values[:, 1]
    area = np.trapezoid(difference, dx=STEP_DAY, axis=1)
    return difference[:, [2, 4]], -area if outcome == "loss" else area


def one(task: tuple[Scenario, str, int, int, int]) -> dict[str, Any]:
    """Estimate one sample; with `resamples`, also whether the intervals hold the truth."""
    scenario, outcome, patients, seed, resamples = task
    world = make(scenario, patients, seed)
    rows, courses = reductions(world)
    design: Design = "sequential" if outcome == "mean" else "clone_censor"
    plan = Plan(outcome, "per_protocol", design, 30.0, DAYS, LOSS_POINTS)
    data = prepare(rows, courses, STAGES, COVARIATES, plan, "any")
    whole = estimate(data, np.ones(len(data.visits.day)))
    at = np.searchsorted(data.grid, DAYS)
    out: dict[str, Any] = {"estimate": (whole.curves.treated - whole.curves.waiting)[:, at].tolist()}
    out["naive"] = naive(world, outcome).tolist()
    gate = judge(data, whole)
    out["closed"], out["stages"] = bool(gate.closed), list(gate.strata)
    none = np.full((2, *whole.curves.treated.shape), np.nan)
    again = bootstrap(data, whole, resamples, seed) if resamples else (none, none)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if not resamples else "default")
        numbers = Numbers(data, whole, again, 0.95)
        days = [numbers.mean_days(s, None) for s in range(3)] if outcome in DAYS_OF else []
    out["days"] = [d[0] for d in days]
    if resamples:
        out["limits"] = [[numbers.difference(s, int(d))[1:] for d in at] for s in range(3)]
        out["days_limits"] = [d[1:] for d in days]
    return out


def naive(world: World, outcome: str) -> np.ndarray:
    """Return ever against never boosted at the last visit, by stage: what a simple table would show; shape (3,)."""
    last = (world.seen * np.arange(world.pain.shape[1])).max(axis=1)
    now = world.pain[np.arange(len(last)), last]
    best = np.where(world.seen[:, 1:], world.pain[:, 1:], np.inf).min(axis=1)
    ended = (world.end_after < 99) & (world.end_after <= last)
    value = {
        "mean": world.pain[:, 0] - now,
        "share": met(world.pain[:, 0], now).astype(float),
        "risk": ended.astype(float),
        "loss": (ended | (now - best >= LOSS_POINTS)).astype(float),
    }[outcome]
    ever, there = world.boosted_at < 99, last > 0
    stages = [world.stage == s for s in range(3)]
    return np.array([value[there & ever & here].mean() - value[there & ~ever & here].mean() for here in stages])


def study(
    scenario: Scenario, outcome: str, patients: int, seeds: int, covered: int, resamples: int, pool: Any
) -> dict[str, Any]:
    """Return bias over `seeds` samples and coverage over the first `covered` of them."""
    known, known_days = true_values(scenario, outcome)
    tasks = [(scenario, outcome, patients, 1000 + i, resamples if i < covered else 0) for i in range(seeds)]
    found = list(pool.map(one, tasks, chunksize=5))
    simple = np.array([f["naive"] for f in found])
    limits = np.array([f["limits"] for f in found if "limits" in f])
    row = {
        "scenario": scenario.name,
        "outcome": outcome,
        "patients": patients,
        "seeds": seeds,
        **_bias(np.array([f["estimate"] for f in found]), known, 4),
        "naive": simple.mean(axis=0).round(4).tolist(),
        "naive_bias": (simple.mean(axis=0) - known[:, 1]).round(4).tolist(),
        "withheld": float(np.mean([f["closed"] for f in found])),
        "withheld_by_stage": [float(np.mean([f["closed"] or s in f["stages"] for f in found])) for s in STAGES],
    }
    if len(limits):
        row |= {
            "coverage_seeds": len(limits),
            "resamples": resamples,
            "coverage": _coverage(limits, known),
            "error_of_coverage": round(float(np.sqrt(0.95 * 0.05 / len(limits))), 4),
        }
    if outcome in DAYS_OF:
        row["days"] = _bias(np.array([f["days"] for f in found]), known_days, 2)
        if len(limits):
            row["days"]["coverage"] = _coverage(
                np.array([f["days_limits"] for f in found if "limits" in f]), known_days
            )
    return row


def _bias(estimates: np.ndarray, known: np.ndarray, digits: int) -> dict[str, Any]:
    sd = estimates.std(axis=0, ddof=1)
    return {
        "truth": known.round(digits).tolist(),
        "mean": estimates.mean(axis=0).round(digits).tolist(),
        "bias": (estimates.mean(axis=0) - known).round(digits).tolist(),
        "sd": sd.round(digits).tolist(),
        "error_of_bias": (sd / np.sqrt(len(estimates))).round(digits).tolist(),
    }


def _coverage(limits: np.ndarray, known: np.ndarray) -> Any:
    inside = (limits[..., 0] <= known) & (known <= limits[..., 1])
    return inside.mean(axis=0).round(4).tolist()


def page(made: dict[str, Any]) -> str:
    """Return the results as a page: one row a scenario, outcome, stage and day."""
    rows, broken = made["rows"], made.get("withheld_where_positivity_is_broken")
    commands = list(dict.fromkeys(r["command"] for r in rows))
    gate = [] if broken is None else [
        f"Where positivity is broken on purpose the gate withheld {100 * broken:.0f} % of samples; in the scenarios "
        "below it withheld what the last column says (one in a hundred is what its negative control does by chance).",
        "",
    ]  # fmt: skip
    lines = [
        "# Effect of a booster: bias and coverage against the truth",
        "",
        f"Made by {', '.join(f'`{c}`' for c in commands)} from `synthetic/booster_world.py`; the columns say how many "
        "patients a sample has, how many samples there are, and in how many of them coverage of 95 % limits, each "
        "with its resamples of patients (Monte-Carlo error of a coverage: 1.3 points in 300, 2 in 120). Truth by "
        "intervention: the same noise replayed with the booster forced, and withheld. Mean: points of improvement; "
        "share in response, risk of replacement, and loss (pain worse by 12.68 points than at the decision at one of "
        "the visits so far, or replaced): shares of 1. Naive: ever against never boosted at the last visit. Where "
        "visits are off the grid each is up to 18 days early or late, and the truth is that of the exact day. Bias and "
        "coverage are of all samples, also those in which the gate withheld the number.",
        "",
        *gate,
        "| scenario | patients | outcome | stage | day | truth | bias (MC error) | SD | coverage | naive bias "
        "| samples | withheld |",
        "|" + "---|" * 12,
    ]
    for r in rows:
        digits = 2 if r["outcome"] == "mean" else 3
        for s in range(len(STAGES)):
            for d, day in enumerate(DAYS):
                naive_bias = f"{r['naive_bias'][s]:.{digits}f}" if d == 1 else ""
                held = {k: r[k][s][d] for k in (*_HELD, "coverage") if k in r}
                lines.append(_line(r, r["outcome"], s, f"{day:.0f}", held, digits, naive_bias))
            if "days" in r:
                held = {k: values[s] for k, values in r["days"].items()}
                lines.append(_line(r, DAYS_OF[r["outcome"]], s, f"to {DAYS[1]:.0f}", held, 1, ""))
    return "\n".join([*lines, ""])


_HELD = ("truth", "bias", "error_of_bias", "sd")


def _line(
    r: dict[str, Any], outcome: str, stage: int, day: str, held: dict[str, float], digits: int, naive_bias: str
) -> str:
    true, bias, error, sd = (f"{held[k]:.{digits}f}" for k in _HELD)
    covered = f"{100 * held['coverage']:.1f} %" if "coverage" in held else ""
    samples = f"{r['seeds']:,}" + (f"; {r['coverage_seeds']} × {r['resamples']}" if "coverage_seeds" in r else "")
    # Rows made before the gate looked at stages have one share for all of them.
    withheld = r["withheld_by_stage"][stage] if "withheld_by_stage" in r else r["withheld"]
    return (
        f"| {r['scenario']} | {r['patients']:,} | {outcome} | {STAGES[stage]} | {day} | {true} | {bias} ({error}) "
        f"| {sd} | {covered} | {naive_bias} | {samples} | {100 * withheld:.1f} % |"
    )


def merged(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows by patients, scenario and outcome, large samples first, those made now in place of others."""
    held = {(r["patients"], r["scenario"], r["outcome"]): r for r in [*old, *new]}
    sizes = sorted({patients for patients, _, _ in held}, reverse=True)
    order = [(patients, s.name, outcome) for patients in sizes for s in WORLDS for outcome in OUTCOMES]
    return [held[key] for key in order if key in held]


def main() -> None:
    """Run the study, or the part of it that is named, and write its results beside those held already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--coverage-seeds", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=60)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--outcomes", nargs="+", choices=OUTCOMES, default=OUTCOMES)
    every = range(len(WORLDS))
    parser.add_argument("--scenarios", nargs="+", type=int, choices=every, default=every)
    parser.add_argument("--no-positivity", action="store_true", help="leave the world without overlap as it was")
    parser.add_argument("--out", type=Path, default=OUT / "booster.json")
    a = parser.parse_args()
    held = json.loads(a.out.read_text(encoding="utf-8")) if a.out.exists() else {"rows": []}
    command = f"python benchmarks/truth/booster.py --seeds {a.seeds} --coverage-seeds {a.coverage_seeds}"
    command += f" --resamples {a.resamples}"
    command += f" --patients {a.patients}" if a.patients != PATIENTS else ""
    rows: list[dict[str, Any]] = []
    a.out.parent.mkdir(parents=True, exist_ok=True)
    # Forked processes inherit locks of the engine's threads, and may wait for ever.
    with ProcessPoolExecutor(a.processes, mp_context=get_context("spawn")) as pool:
        if not a.no_positivity:
            tasks = [(NO_OVERLAP, "mean", a.patients, 1000 + i, 0) for i in range(min(a.seeds, 200))]
            fired = float(np.mean([f["closed"] for f in pool.map(one, tasks)]))
            held["withheld_where_positivity_is_broken"] = fired
        for outcome in a.outcomes:
            for scenario in (WORLDS[i] for i in a.scenarios):
                row = study(scenario, outcome, a.patients, a.seeds, a.coverage_seeds, a.resamples, pool)
                rows.append({**row, "command": command})
                made = {**held, "rows": merged(held["rows"], rows)}
                a.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
                a.out.with_suffix(".md").write_text(page(made), encoding="utf-8")
                print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
