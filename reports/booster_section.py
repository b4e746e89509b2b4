"""The booster in the summary report: its effect by stage if the gate lets it through, what is naive, who is in it."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis import Result
from analysis.booster_figures import eligible_courses, love, weights
from analysis.booster_naive import BEFORE_AFTER, EVER_NEVER
from analysis.booster_protocol import target_trial
from reports.drawn import drawn
from reports.readers import readable
from reports.words import Words


def booster_section(result: Result | None, prefix: str, words: Words) -> dict[str, Any] | None:
    """Return figure, table by stage, who was compared, checks, protocol and notes of a suppressed result."""
    if result is None:
        return None
    last = max(result.settings["horizon_day"])
    rows, strata = [], result.settings["strata"]
    for stratum in strata:
        mine = result.frame.filter(pl.col("stratum") == stratum["code"])
        numbers = {(r["quantity"], r["time_day"]): r for r in mine.select(pl.exclude("stratum")).to_dicts()}
        effect = numbers.get(("difference", float(last)))
        if effect is None or effect["denominator"] == 0:  # nobody; null is few
            continue
        naive = [numbers.get((EVER_NEVER, None)), numbers.get((BEFORE_AFTER, float(last)))]
        arms = [numbers.get((f"improvement_{arm}", float(last))) for arm in ("boosted", "waiting")]
        rows.append({**stratum, "n": effect["n"], "of": effect["denominator"], "effect": effect, "naive": naive,
                     "boosted": arms[0], "waiting": arms[1]})  # fmt: skip
    shown = result.curves.filter(pl.col("quantity") == "difference").height > 0
    flow = result.settings["decision_flow"]
    left = [{"reason": s["step"][6:], "n": s["n"]} for s in flow if s["step"].startswith("left: ")]
    arms = flow[1 + len(left) :]
    told = "overlap_edges" in result.settings
    return {
        "title": result.title,
        "figure": drawn(result, prefix, words) if shown else None,
        "rows": rows,
        "last": last,
        "courses": eligible_courses(result),
        "decisions": {"start": flow[0], "left": left, "end": arms[0], "arms": arms[1:]},
        "balance": drawn(result, f"{prefix}-balance", words, love) if told else None,
        "weights": drawn(result, f"{prefix}-weights", words, weights) if told else None,
        "withheld": [readable(w, strata) for w in result.withheld],
        "checks": [d for d in result.diagnostics.to_dicts() if " in " not in d["check"]],
        "protocol": [{k: readable(v, strata) for k, v in p.items()} for p in target_trial(result).to_dicts()],
        "notes": [readable(n, strata) for n in result.notes],
        "settings": result.settings,
    }
