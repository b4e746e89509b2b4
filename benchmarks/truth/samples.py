"""What the studies of one number against its own truth share: samples in processes, bias and coverage, and the page."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np

OUT = Path(__file__).parents[2] / "docs" / "methods" / "truth"
# Samples of each scenario before the results are written.
_BATCH = 20
# Quantity and stratum; estimate, low, high (nan where there is none) and what is true in that sample.
Number = tuple[str, str, float, float, float, float]


class Named(Protocol):
    """A scenario has a name."""

    @property
    def name(self) -> str:
        """Return the name by which it is asked for."""
        ...


@dataclass(frozen=True)
class Study:
    """A study of bias and coverage.

    Attributes
    ----------
    name
        Of its script and of its files.
    title, text
        Head of the page and what it says before the table.
    scenarios
        Each with a name.
    one
        Returns the numbers of one sample of (scenario, courses, seed).
    digits
        Of the numbers in the page, by a part of the quantity's name; ``""`` for all others.
    """

    name: str
    title: str
    text: str
    scenarios: Sequence[Named]
    one: Callable[[tuple[Any, int, int]], list[Number]]
    digits: dict[str, int]


def summary(scenario: str, courses: int, found: list[list[Number]]) -> list[dict[str, Any]]:
    """Return bias and coverage by quantity and stratum over samples, in the order in which they first came.

    What fewer than one sample in fifty told is left out.
    """
    held: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for numbers in found:
        for quantity, stratum, *values in numbers:
            held.setdefault((quantity, stratum), []).append(tuple(values))
    rows = []
    for (quantity, stratum), values in held.items():
        estimate, low, high, true = np.array(values, dtype=float).T
        told = np.isfinite(estimate)
        if told.sum() < len(found) / 50:
            continue
        off, limited = (estimate - true)[told], told & np.isfinite(low)
        n = int(told.sum())
        # Limits and truth may be the same number, rounded differently.
        inside = (low <= true + 1e-12) & (true - 1e-12 <= high)
        covered = float(inside[limited].mean()) if limited.any() else None
        rows.append(
            {
                "scenario": scenario, "courses": courses, "seeds": len(found), "quantity": quantity,
                "stratum": stratum, "truth": round(float(true[told].mean()), 5), "bias": round(float(off.mean()), 5),
                "error_of_bias": round(float(off.std() / np.sqrt(n)), 5), "sd": round(float(off.std()), 5),
                "coverage": None if covered is None else round(covered, 4),
                "error_of_coverage": None if covered is None else round(
                    float(np.sqrt(covered * (1 - covered) / limited.sum())), 4),
                "answered": round(n / len(found), 4),
            }
        )  # fmt: skip
    return rows


def page(study: Study, made: dict[str, Any]) -> str:
    """Return the results as a page: one row a scenario, size, quantity and stratum."""
    commands = " and ".join(f"`{c}`" for c in made["commands"])
    lines = [
        f"# {study.title}",
        "",
        f"Made by {commands}. {study.text} Coverage is of 95 % limits among the samples that gave a number "
        "(`answered`; what fewer than 2 % gave is left out), with its Monte-Carlo error; SD is that of estimate less "
        "truth. Where fewer samples are shown than the command asks for, it was stopped.",
        "",
        "| scenario | courses | samples | quantity | stratum | truth | bias (MC error) | SD | coverage | answered |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in made["rows"]:
        d = next((n for part, n in study.digits.items() if part and part in r["quantity"]), study.digits[""])
        covered = "" if r["coverage"] is None else f"{100 * r['coverage']:.1f} % ({100 * r['error_of_coverage']:.1f})"
        lines.append(
            f"| {r['scenario']} | {r['courses']:,} | {r['seeds']:,} | {r['quantity']} | {r['stratum']} "
            f"| {r['truth']:.{d}f} | {r['bias']:.{d}f} ({r['error_of_bias']:.{d}f}) | {r['sd']:.{d}f} | {covered} "
            f"| {100 * r['answered']:.0f} % |"
        )
    return "\n".join([*lines, ""])


def run(study: Study) -> None:
    """Run the study as its command line asks and write its results, anew after every batch of samples."""
    parser = argparse.ArgumentParser(description=study.title)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--courses", type=int, nargs="+", default=[150, 1500])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scenarios", nargs="+", default=[s.name for s in study.scenarios])
    parser.add_argument("--add", action="store_true", help="Keep the rows of the file that are not asked for again.")
    parser.add_argument("--out", type=Path, default=OUT / f"{study.name}.json")
    a = parser.parse_args()
    before = json.loads(a.out.read_text(encoding="utf-8")) if a.add else {"commands": [], "rows": []}
    command = f"python benchmarks/truth/{study.name}.py " + " ".join(sys.argv[1:])
    command = re.sub(r" --(processes|out) \S+", "", command).strip()
    commands = [*(c for c in before["commands"] if c != command), command]
    asked = [(s, n) for n in a.courses for s in study.scenarios if s.name in a.scenarios]
    kept = [r for r in before["rows"] if (r["scenario"], r["courses"]) not in {(s.name, n) for s, n in asked}]
    names = [s.name for s in study.scenarios]
    found: dict[tuple[str, int], list[list[Number]]] = {(s.name, n): [] for s, n in asked}
    a.out.parent.mkdir(parents=True, exist_ok=True)
    # Forked processes inherit locks of the engine's threads, and may wait for ever.
    with ProcessPoolExecutor(a.processes, mp_context=get_context("spawn")) as pool:
        # In turn, so that a study that is stopped has as many samples of each.
        for start in range(0, a.seeds, _BATCH):
            for scenario, courses in asked:
                tasks = [(scenario, courses, 1000 + i) for i in range(start, min(start + _BATCH, a.seeds))]
                found[scenario.name, courses] += pool.map(study.one, tasks, chunksize=2)
            new = [r for (name, n), numbers in found.items() for r in summary(name, n, numbers)]
            rows = sorted([*kept, *new], key=lambda r: (-r["courses"], names.index(r["scenario"])))
            made = {"commands": commands, "rows": rows}
            a.out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
            a.out.with_suffix(".md").write_text(page(study, made), encoding="utf-8")
