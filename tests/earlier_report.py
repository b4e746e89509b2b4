"""A report before the one that is made: what it would have said had less been known, and something been defined otherwise."""

from __future__ import annotations

import copy
import json
from typing import Any


def earlier_report(now: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a report before, so that something of every kind has changed since.

    Twenty patients and courses fewer in all and in the first programme, with a headline share that was far from what it
    is; a few fewer in one stage, another criterion of response, other versions, findings not yet waived.
    """
    before = json.loads(json.dumps(copy.deepcopy(now), default=str))
    before.update(data_cut="2020-01-31", code="0" * 12, waivers="1" * 12, last_load=0)
    before["versions"] = {**before["versions"], "catamnesis": "0.0.9"}
    for key, n in before["counts"].items():
        before["counts"][key] = None if n is None else n - (3 if key == "event" else 20)
    first = next(iter(before["programmes"].values()))
    first["patients"] -= 20
    first["courses"] -= 20
    first["reached"] = {visit: n and max(n - 12, 0) for visit, n in first["reached"].items()}
    first["catalogue"] = {**first["catalogue"], "criteria of response": "0" * 12}
    first["results"]["time_to_response"]["definition_version"] = "0"
    moved = 0
    for row in first["results"]["time_in_response"]["frame"]:
        if row["quantity"] == "share_in_response" and row["time_day"] == 365 and row["estimate"] is not None:
            # The first by courses enough, the second by few.
            row["estimate"], row["low"], row["high"] = 0.01, 0.0, 0.02
            row["denominator"] -= (20, 3)[min(moved, 1)]
            row["n"] = None
            moved += 1
    for i, row in enumerate(r for r in first["results"]["describe"]["frame"] if r["quantity"] == "courses"):
        if row["denominator"] is not None and row["stratum"] != "all":
            row["denominator"] -= (6, 3, 11)[i % 3]
    return before


def with_edits(now: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a report with values corrected, rows retracted, and a few recorded again since the one before."""
    told = copy.deepcopy(now)
    first = next(iter(told["programmes"].values()))
    first["edited"] = {
        "corrected": {"n": 17, "files": ["measurements"]},
        "retracted": {"n": 9, "files": ["adverse_events"]},
        "reinstated": {"n": None, "files": ["events"]},
    }
    return told
