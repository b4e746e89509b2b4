"""Bias and coverage of response and its loss by stage against a known truth, beside what a simple table would show.

    python benchmarks/truth/response.py --seeds 1000

Writes docs/methods/truth/response.json and, for reading, response.md.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from analysis.cohort import Stratum
from analysis.loss_of_response import CHANGE_DAYS
from analysis.loss_rows import loss_contrasts, loss_rows, mean_rows, share_contrasts, share_rows
from analysis.multistate_rows import fit_cohort
from analysis.numerics.interval import NPMLE
from analysis.reduction import Reduction
from analysis.replacement import answer_replacement
from analysis.response import bootstrap_incidence, fit_intervals
from analysis.response_rows import numbers
from registry import sqlmodels
from registry.errors import NotEstimable
from synthetic.response_world import (
    AFTER,
    HORIZON,
    LANDMARK,
    RESPONSE,
    SCENARIOS,
    STAGES,
    Scenario,
    World,
    make,
    reductions,
    truth,
)

STRATA = [Stratum(s, s, "#000000") for s in STAGES]
CONTRASTS = [f"{s} - {STAGES[0]}" for s in STAGES[1:]]
# Quantity of the study: (row of the results frame, row of its contrast, what the truth calls it).
QUANTITIES = {
    "response at 12 months at visits (NPMLE)": ("response", "difference", "shown"),
    "response at 12 months, seen or not (NPMLE)": ("response", "difference", "response"),
    "response at 12 months, seen or not (multi-state)": ("ever_in_response", None, "response"),
    "loss within 12 months of response at 12 months": ("response_lost", "difference", "loss"),
    "in response at 24 months": ("share_in_response", "difference", "share"),
    "mean days in response to 24 months": ("mean_days_in_response", "difference_mean_days", "mean_days"),
    "ended by 24 months (Aalen-Johansen)": ("end", "difference", "end"),
    "ended by 24 months (multi-state)": ("end", None, "end"),
}
_MODELS = (
    "response_cell", "response_cluster", "panel_move", "panel_cell", "panel_cluster", "end_cell", "end_cluster",
)  # fmt: skip
# What is asked of the exact days of ends alone.
_ENDS = "Aalen-Johansen"
_NO_SHARES = pl.DataFrame(
    schema={"stratum": pl.String, "planned_visit": pl.String, "target_day": pl.Int64, "state": pl.String, "n": pl.Int64}
)
_WORLDS = {
    "renewal": "`renewal` is the law of the synthetic registry (loss depends on the time since response, two knees "
    "of a patient are alike): it is not the multi-state model's own.",
    "markov": "`markov` is the multi-state model's own law, with returns.",
    "staying_away": "`staying_away` is `renewal` where those not in response miss visits and leave twice as often.",
}
OUT = Path(__file__).parents[2] / "docs" / "methods" / "truth"


def reduce_sample(world: World) -> dict[str, pl.DataFrame]:
    """Run the project's reductions over the rows that the visits of a sample make."""
    con = duckdb.connect(config={"threads": 1})
    con.execute("create schema reduction")
    for name, frame in reductions(world).items():
        con.register("frame", frame)
        con.execute(f"create table reduction.{name} as from frame")
    sqlmodels.run(con, [m for m in sqlmodels.models() if m in {f"reduction.{name}" for name in _MODELS}])
    found = {name: con.sql(f"from reduction.{name} order by all").pl() for name in _MODELS}
    con.close()
    return found


def one(task: tuple[Scenario, int, int, int, tuple[str, ...]]) -> dict[str, Any]:
    """Return estimates and limits of one sample by quantity and stratum, and the simple numbers beside them."""
    scenario, courses, seed, resamples, wanted = task
    world = make(scenario, courses, seed)
    made = reduce_sample(world)
    rows: dict[str, list[dict[str, Any]]] = {}
    seen = _nonparametric(made, resamples, seed) if any("NPMLE" in q for q in wanted) else []
    ends = _ends(made, resamples, seed) if any(_ENDS in q for q in wanted) else []
    modelled = any("NPMLE" not in q and _ENDS not in q for q in wanted)
    ever, lost, held = _multistate(made) if modelled else ([], [], [])
    for name, found in zip(QUANTITIES, (seen, seen, ever, lost, held, held, ends, held), strict=True):
        rows[name] = found
    out: dict[str, Any] = {"naive": naive(world), "complete": complete_case(world)}
    for name in wanted:
        quantity, contrast, _ = QUANTITIES[name]
        of = [(s, quantity) for s in STAGES] + [(c, contrast) for c in CONTRASTS if contrast]
        out[name] = [_numbers_of(rows[name], stratum, q) for stratum, q in of]
    return out


Rows = list[dict[str, Any]]


def _nonparametric(made: dict[str, pl.DataFrame], resamples: int, seed: int) -> Rows:
    cells, patterns = made["response_cell"], made["response_cluster"]
    fits: dict[str, NPMLE | None] = {s: fit_intervals(cells.filter(stratum=s)) for s in STAGES}
    days = np.array([RESPONSE])
    samples = bootstrap_incidence(cells, patterns, fits, days, resamples, seed)
    return numbers(STRATA, fits, cells, patterns, samples, days, 0.95).rows(named=True)


def _ends(made: dict[str, pl.DataFrame], resamples: int, seed: int) -> Rows:
    """Return rows of the incidence of ends on exact days, as :func:`analysis.joint_replacement` has them."""
    counts = {name: made[name] for name in ("end_cell", "end_cluster")}
    flow = pl.DataFrame({"reason": ["courses", "selected"], "n": [0, 0]})
    reduction = Reduction(
        "joint_replacement", {"by": "stage"}, tuple(STRATA), counts, flow, {"end_label": "end", "by": "stage"}
    )
    found = answer_replacement(reduction, horizon_day=(int(HORIZON),), resamples=resamples, seed=seed)
    return found.frame.rows(named=True)


def _multistate(made: dict[str, pl.DataFrame]) -> tuple[Rows, Rows, Rows]:
    """Return rows of response seen or not, of its loss, and of shares and mean days in response."""
    try:
        fitted = fit_cohort(
            STRATA, made["panel_cell"], made["panel_cluster"], _NO_SHARES, np.array(CHANGE_DAYS, dtype=float), 0.95
        )
    except NotEstimable:
        return [], [], []
    after, horizon, days = np.array([AFTER]), np.array([HORIZON]), np.array([RESPONSE])
    lost = [r for s in STAGES for r in loss_rows(fitted, s, after, LANDMARK)]
    held = [r for s in STAGES for r in [*share_rows(fitted, s, horizon), *mean_rows(fitted, s, HORIZON)]]
    ever = [r for s in STAGES for r in share_rows(fitted, s, days)]
    return ever, lost + loss_contrasts(fitted, after, LANDMARK), held + share_contrasts(fitted, horizon)


def _numbers_of(rows: list[dict[str, Any]], stratum: str, quantity: str | None) -> list[float]:
    for r in rows:
        if r["stratum"] == stratum and r["quantity"] == quantity and r["estimate"] is not None and r["low"] is not None:
            return [float(r["estimate"]), float(r["low"]), float(r["high"])]
    return [np.nan] * 3


def naive(world: World) -> dict[str, list[float]]:
    """Return Kaplan-Meier by stage, visits' dates taken for the events': ends censor, of ends deaths do."""
    state = np.where(world.seen, world.state(world.visit), -1)
    day = np.where(world.seen, world.visit, np.inf)
    held = state == 1
    first = np.where(held, day, np.inf).min(axis=1)
    last = np.where(world.seen, world.visit, 0.0).max(axis=1)
    at = {name: k for k, name in enumerate(("1 month", "3 months", "6 months", "12 months", "24 months", "36 months"))}
    start = at["12 months"]
    stayed = held[:, start]
    lost = np.where((state == 2) & (np.arange(state.shape[1]) > start), day, np.inf).min(axis=1)
    out: dict[str, list[float]] = {"response": [], "loss": [], "end": []}
    over = np.minimum(world.end, world.death)
    watched, ended = np.minimum(np.ceil(over), world.watched), (world.end <= world.death) & (over <= world.watched)
    for s in range(len(STAGES)):
        here = world.stage == s
        out["response"].append(1 - kaplan_meier(np.minimum(first, last)[here], np.isfinite(first)[here], RESPONSE))
        mine = here & stayed
        since = world.visit[:, start]
        out["loss"].append(
            1 - kaplan_meier((np.minimum(lost, last) - since)[mine], np.isfinite(lost)[mine], AFTER)
            if mine.any()
            else np.nan
        )
        out["end"].append(1 - kaplan_meier(watched[here], ended[here], HORIZON))
    return {**out, "shown": out["response"]}


def complete_case(world: World) -> dict[str, list[float]]:
    """Return shares by stage of those who came to the visit in question; of ends, of all who were treated."""
    state = np.where(world.seen, world.state(world.visit), -1)
    held, start, later = state == 1, 3, 4
    responded = held[:, : start + 1].any(axis=1)
    over = np.minimum(world.end, world.death)
    ended = (world.end <= world.death) & (over <= np.minimum(world.watched, HORIZON))
    out: dict[str, list[float]] = {"response": [], "loss": [], "share": [], "end": []}
    for s in range(len(STAGES)):
        here = world.stage == s
        came, both = here & world.seen[:, start], here & held[:, start] & world.seen[:, later]
        again = here & world.seen[:, later]
        for name, of, what in (("response", came, responded), ("loss", both, state[:, later] == 2),
                               ("share", again, held[:, later]), ("end", here, ended)):  # fmt: skip
            out[name].append(float(what[of].mean()) if of.any() else np.nan)
    return {**out, "shown": out["response"]}


def kaplan_meier(time: np.ndarray, event: np.ndarray, day: float) -> float:
    """Return the survival at `day`, written out: what a user of visit dates would compute."""
    held = 1.0
    for t in np.unique(time[event & (time <= day)]):
        held *= 1 - ((time == t) & event).sum() / (time >= t).sum()
    return float(held)


def study(
    scenario: Scenario, courses: int, seeds: int, resamples: int, wanted: tuple[str, ...], pool: Any
) -> list[dict[str, Any]]:
    """Return bias and coverage of each quantity wanted over `seeds` samples of `courses` courses."""
    known = truth(scenario)
    tasks = [(scenario, courses, 1000 + i, resamples, wanted) for i in range(seeds)]
    found = list(pool.map(one, tasks, chunksize=4))
    rows = []
    for name in wanted:
        _, contrast, called = QUANTITIES[name]
        true = known[called]
        if contrast:
            true = np.concatenate([true, true[1:] - true[0]])
        values = np.array([f[name] for f in found], dtype=float)
        answered = np.isfinite(values[..., 0])
        inside = (values[..., 1] <= true + 1e-12) & (true - 1e-12 <= values[..., 2])
        n = np.maximum(answered.sum(axis=0), 1)
        estimate = np.nanmean(values[..., 0], axis=0)
        spread = np.nanstd(values[..., 0], axis=0)
        row = {
            "scenario": scenario.name, "courses": courses, "seeds": seeds, "quantity": name,
            "strata": [*STAGES, *(CONTRASTS if contrast else [])],
            "truth": true.round(4).tolist(), "bias": (estimate - true).round(4).tolist(),
            "error_of_bias": (spread / np.sqrt(n)).round(4).tolist(), "sd": spread.round(4).tolist(),
            "coverage": (np.where(answered, inside, False).sum(axis=0) / n).round(4).tolist(),
            "answered": answered.mean(axis=0).round(4).tolist(),
        }  # fmt: skip
        row |= simple_biases([(f["naive"], f["complete"]) for f in found], called, true)
        rows.append(row)
    return rows


Simple = dict[str, list[float]]


def simple_biases(found: list[tuple[Simple, Simple]], called: str, true: np.ndarray) -> dict[str, list[float]]:
    """Return the biases of Kaplan-Meier and of complete cases over samples, of strata and, if asked, of differences."""
    out = {}
    for k, key in enumerate(("naive_bias", "complete_bias")):
        if called in found[0][k]:
            values = np.array([f[k][called] for f in found], dtype=float)
            if len(true) > len(STAGES):
                values = np.hstack([values, values[:, 1:] - values[:, :1]])
            out[key] = (np.nanmean(values, axis=0) - true).round(4).tolist()
    return out


def page(made: dict[str, Any]) -> str:
    """Return the results as a page: one row a scenario, size, quantity and stratum."""
    shown = {r["scenario"] for r in made["rows"]}
    lines = [
        "# Response and its loss: bias and coverage against the truth",
        "",
        f"Made by `{made['command']}` from `synthetic/response_world.py`; {made['resamples']} resamples for the "
        f"nonparametric estimate. {' '.join(_WORLDS[name] for name in _WORLDS if name in shown)} States are seen "
        "without error at every visit (also at 1 month, which the programmes of the registry do not judge); visits "
        "jitter about 1, 3, 6, 12, 24 and 36 months. *At visits*: response that a visit at 12 months or a planned one "
        "before it would have shown, had nobody missed any; *seen or not*: those too that came and went between two "
        "visits. Coverage is of 95 % limits among the samples that gave a number "
        "(`answered`); its Monte-Carlo error is 0.7 points at 1,000 samples. Beside them, bias of Kaplan–Meier with "
        "the visit's date as the event's date (ends censored; of ends, deaths), and of complete cases: shares of those "
        "who came to the visit, of those who came to both, of ends of all treated.",
        "",
        "| scenario | courses | samples | quantity | stratum | truth | bias (MC error) | SD | coverage | answered "
        "| bias of Kaplan–Meier | bias of complete cases |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in made["rows"]:
        digits = 1 if "days" in r["quantity"] else 3
        for k, stratum in enumerate(r["strata"]):
            simple = [f"{r[key][k]:.{digits}f}" if key in r else "" for key in ("naive_bias", "complete_bias")]
            true, bias, error, sd = (r[key][k] for key in ("truth", "bias", "error_of_bias", "sd"))
            lines.append(
                f"| {r['scenario']} | {r['courses']:,} | {r['seeds']:,} | {r['quantity']} | {stratum} "
                f"| {true:.{digits}f} | {bias:.{digits}f} ({error:.{digits}f}) | {sd:.{digits}f} "
                f"| {100 * r['coverage'][k]:.1f} % | {100 * r['answered'][k]:.0f} % | {' | '.join(simple)} |"
            )
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the study and write its results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--courses", type=int, nargs="+", default=[150, 1500])
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scenarios", nargs="+", default=[s.name for s in SCENARIOS])
    parser.add_argument("--add", action="store_true", help="Keep the other rows of the file.")
    parser.add_argument("--quantities", nargs="+", default=list(QUANTITIES), help="Parts of their names, e.g. NPMLE.")
    parser.add_argument("--out", type=Path, default=OUT / "response.json")
    a = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(a.out.read_text(encoding="utf-8"))["rows"] if a.add else []
    command = f"python benchmarks/truth/response.py --seeds {a.seeds} --resamples {a.resamples}"
    wanted = tuple(name for name in QUANTITIES if any(part in name for part in a.quantities))
    order = [s.name for s in SCENARIOS]
    a.out.parent.mkdir(parents=True, exist_ok=True)
    # Forked processes inherit locks of the engine's threads, and may wait for ever.
    with ProcessPoolExecutor(a.processes, mp_context=get_context("spawn")) as pool:
        for courses in a.courses:
            for scenario in (s for s in SCENARIOS if s.name in a.scenarios):
                new = study(scenario, courses, a.seeds, a.resamples, wanted, pool)
                made_anew = {(scenario.name, courses, name) for name in wanted}
                rows = [r for r in rows if (r["scenario"], r["courses"], r["quantity"]) not in made_anew] + new
                rows.sort(
                    key=lambda r: (order.index(r["scenario"]), -r["courses"], list(QUANTITIES).index(r["quantity"]))
                )
                print(json.dumps(new), flush=True)
                made = {"command": command, "resamples": a.resamples, "rows": rows}
                a.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
                a.out.with_suffix(".md").write_text(page(made), encoding="utf-8")


if __name__ == "__main__":
    main()
