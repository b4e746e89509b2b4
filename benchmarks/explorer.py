"""Seconds that each kind of choice in the cohort explorer takes, drawing included.

    catamnesis simulate --patients 100000 --out files; catamnesis init big.duckdb
    catamnesis load big.duckdb files/; catamnesis derive big.duckdb
    python benchmarks/explorer.py big.duckdb

Prints the table of docs/how-to/explore.md: for each view the first question (rows of all courses are made once), then
choices one after the other, as by clicking. CPU seconds beside, since they do not hang on what else the machine does.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from analysis import figures
from analysis.explorer import Choice, Explorer
from registry import Registry

WHOLE = Choice("osteoarthritis")
CHOICES = {
    "first look, all of the programme": WHOLE,
    "all of the programme": WHOLE,
    "one site": replace(WHOLE, site="knee"),
    "and a year of potential follow-up": replace(WHOLE, site="knee", min_potential_follow_up_day=365),
    "and one cell source": replace(WHOLE, site="knee", min_potential_follow_up_day=365, origin="bone_marrow"),
    "by cell source instead of stage": replace(WHOLE, site="knee", by="origin"),
}


def main() -> None:
    """Ask, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("registry", type=Path)
    with Registry.open(parser.parse_args().registry) as registry:
        explorer = Explorer(registry)
        # Libraries of figures are loaded once a session, before the first click.
        figures.svg(
            explorer.look(replace(WHOLE, centre=explorer.values("osteoarthritis")["centre"][-1][0])).figure, "x"
        )
        explorer = Explorer(registry)
        print(
            "| choice | courses | response, s (CPU) | states, s (CPU) | trajectories, s (CPU) |\n|---|---|---|---|---|"
        )
        views = ("response", "states", "trajectories")
        took = {view: [timed(explorer, c, view) for c in CHOICES.values()] for view in views}
        for i, name in enumerate(CHOICES):
            cells = " | ".join(f"{wall:.1f} ({cpu:.1f})" for wall, cpu, _ in (took[v][i] for v in took))
            print(f"| {name} | {took['response'][i][2]:,} | {cells} |")


def timed(explorer: Explorer, choice: Choice, view: str) -> tuple[float, float, int]:
    """Return wall and CPU seconds of one look, drawn as the notebook draws it, and its courses."""
    start, cpu = time.perf_counter(), time.process_time()
    look = explorer.look(choice, view)  # type: ignore[arg-type]
    figures.svg(look.figure, "x")
    return time.perf_counter() - start, time.process_time() - cpu, len(look.courses)


if __name__ == "__main__":
    main()
