"""What the estimators cost as patients grow, against R on the same rows in one run.

    python benchmarks/cost.py --patients 10000 100000 1000000

Ours reads the rows from DuckDB, reduces them in SQL and fits; R gets the same rows as vectors in memory and fits.
CPU seconds of the fit (ours: reduction and fit apart), peak memory of the process, and whether both agree. Needs
Rscript with the packages npsurv, survival and msm; without it R's columns are empty. Writes docs/methods/cost.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "methods" / "cost.md"
# Waiting, response, lost, over; intensities without bands: what was seen at visits, and exact ends. R's is the same.
WAYS = ((0, 1), (1, 2), (2, 1), (0, 3), (1, 3), (2, 3))


def rows_of(patients: int, folder: Path) -> dict[str, Path]:
    """Draw patients and write their rows: intervals, ends, and moves between visits; one Parquet file each."""
    from synthetic.response_world import SCENARIOS, make, reductions

    world = make(SCENARIOS[1], patients, 7)
    made = reductions(world)
    response = made["response_course"]
    intervals = response.select(
        "course_id",
        left=pl.col("left_day").cast(pl.Float64),
        right=pl.when(pl.col("kind") == "response").then(pl.col("right_day").cast(pl.Float64)),
    )
    # Time of the first of end and death, or of the last day watched.
    watch = made["panel_watch"]
    ends = watch.select(
        day=pl.col("last_day").cast(pl.Float64),
        cause=pl.when(pl.col("ended_as").is_null()).then(0).when(pl.col("ended_as") == "ended").then(1).otherwise(2),
    )
    code = {"no_response_yet": 0, "in_response": 1, "response_lost": 2}
    visits = made["panel_visit"].select(
        "course_id", "day", state=pl.col("state").replace_strict(code, return_dtype=pl.Int64)
    )
    start = watch.select("course_id", day=pl.lit(0, dtype=pl.Int64), state=pl.lit(0, dtype=pl.Int64))
    last = watch.filter(pl.col("ended_as").is_not_null()).select(
        "course_id", day="last_day", state=pl.lit(3, dtype=pl.Int64)
    )
    seen = (
        pl.concat([start, visits, last])
        .sort("course_id", "day")
        .unique(["course_id", "day"], keep="last", maintain_order=True)
    )
    moves = seen.with_columns(
        next_day=pl.col("day").shift(-1).over("course_id"), next_state=pl.col("state").shift(-1).over("course_id")
    ).drop_nulls()
    files = {}
    for name, frame in (("intervals", intervals), ("ends", ends), ("seen", seen), ("moves", moves)):
        files[name] = folder / f"{name}.parquet"
        frame.write_parquet(files[name])
    return files


def measured(task: Callable[[], Any]) -> tuple[Any, float]:
    """Return what `task` returns, and its CPU seconds over all threads."""
    before = time.process_time()
    answer = task()
    return answer, time.process_time() - before


def ours(files: dict[str, Path]) -> dict[str, Any]:
    """Reduce and fit, and say what each took."""
    from analysis.numerics.competing import aalen_johansen, count_transitions
    from analysis.numerics.interval import IntervalData, npmle
    from analysis.numerics.panel_markov import fit_panel_markov
    from analysis.numerics.panel_markov_likelihood import Kind, PanelModel, PanelMoves

    con = duckdb.connect()
    for name, path in files.items():
        con.execute(f"create table {name} as from '{path}'")
    out: dict[str, Any] = {}
    cells, reduce_s = measured(
        lambda: con.sql('select "left", "right", count(*) as n from intervals group by all order by all').fetchnumpy()
    )
    right = np.ma.filled(cells["right"].astype(float), np.nan)
    data = IntervalData(
        cells["left"],
        np.where(np.isnan(right), cells["left"], right),
        np.where(np.isnan(right), 2, 0),
        cells["n"].astype(float),
    )
    fit, fit_s = measured(lambda: npmle(data))
    out["NPMLE from intervals"] = {"reduce": reduce_s, "fit": fit_s, "cells": len(cells["n"]), "answer": fit.loglik}
    cells, reduce_s = measured(
        lambda: con.sql("select day, cause, count(*) as n from ends group by all order by all").fetchnumpy()
    )
    zero = np.zeros(len(cells["n"]), dtype=int)

    def incidence() -> Any:
        counts = count_transitions(zero, cells["cause"].astype(int), None, cells["day"], count=cells["n"], n_states=3)
        return aalen_johansen(counts)

    found, fit_s = measured(incidence)
    at = float(found.at([730.0])[0][0, 1])
    out["cumulative incidence"] = {"reduce": reduce_s, "fit": fit_s, "cells": len(cells["n"]), "answer": at}
    query = "select state, next_state, next_day - day as days, count(*) as n from moves group by all order by all"
    cells, reduce_s = measured(lambda: con.sql(query).fetchnumpy())
    model = PanelModel(
        ("waiting", "response", "lost", "over"),
        np.array(WAYS),
        np.arange(len(WAYS))[:, None],
        np.zeros((len(WAYS), 0), int),
    )
    kind = np.where(cells["next_state"] == 3, int(Kind.DEATH), int(Kind.PANEL))
    size = len(cells["n"])
    moves = PanelMoves(
        np.zeros(size, int), cells["state"].astype(int), cells["next_state"].astype(int), np.zeros(size),
        cells["days"].astype(float), kind, cells["n"].astype(float),
    )  # fmt: skip
    fit, fit_s = measured(lambda: fit_panel_markov(model, moves, np.zeros((1, 0))))
    out["panel Markov model"] = {"reduce": reduce_s, "fit": fit_s, "cells": size, "answer": fit.minus2loglik}
    return out


def theirs(files: dict[str, Path], folder: Path) -> dict[str, Any] | None:
    """Hand the same rows to R as vectors and return what it took; None without R."""
    if shutil.which("Rscript") is None:
        return None
    for name in ("intervals", "ends", "seen"):
        frame = pl.read_parquet(files[name])
        for column in frame.columns:
            frame[column].cast(pl.Float64).fill_null(float("inf")).to_numpy().tofile(folder / f"{name}.{column}.bin")
    return run_apart(["Rscript", str(HERE / "cost.R"), str(folder)])


def run_apart(command: list[str]) -> dict[str, Any]:
    """Run a command that answers with JSON in its last line; adds the peak memory of its process, MB."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    )
    assert child.stdout is not None
    answer = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed.")
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return {**found, "peak_mb": used.ru_maxrss / 1024}


def page(made: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = [
        "# What the estimators cost",
        "",
        f"Made by `{made['command']}` on {made['machine']}; {made['versions']}. CPU seconds over all threads. "
        "Ours reads the rows from DuckDB, reduces them in SQL (`reduce`) and fits the counts (`fit`); R has the "
        "same rows in memory, and only its fit is counted. The ratio is R's fit to ours with the reduction. "
        "`agree`: largest relative difference of the log-likelihood, of the incidence at 24 months, of −2 log- "
        "likelihood.",
        "",
        "| patients | estimator | R function | cells | reduce | fit | R | ratio | ours / R peak MB | agree |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in made["rows"]:
        theirs = "" if r["r"] is None else f"{r['r']:.2f}"
        ratio = "" if r["r"] is None else f"{r['r'] / max(r['reduce'] + r['fit'], 1e-3):,.0f}"
        agree = "" if r["agree"] is None else f"{r['agree']:.0e}"
        memory = f"{r['peak']:.0f} / " + ("" if r["r_peak"] is None else f"{r['r_peak']:.0f}")
        lines.append(
            f"| {r['patients']:,} | {r['what']} | {r['r_function']} | {r['cells']:,} | {r['reduce']:.2f} "
            f"| {r['fit']:.2f} | {theirs} | {ratio} | {memory} | {agree} |"
        )
    return "\n".join([*lines, "", *made["notes"], ""])


R_FUNCTIONS = {"NPMLE from intervals": "npsurv", "cumulative incidence": "survfit", "panel Markov model": "msm"}


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=OUT)
    a = parser.parse_args()
    if a.rows:
        print(json.dumps(ours({p.stem: p for p in a.rows.glob("*.parquet")})))
        return
    rows = []
    for patients in a.patients:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = rows_of(patients, folder)
            mine = run_apart([sys.executable, __file__, "--rows", name])
            r = theirs(files, folder)
        for what, function in R_FUNCTIONS.items():
            own, other = mine[what], (r or {}).get(what)
            agree = None if other is None else abs(own["answer"] - other["answer"]) / abs(other["answer"])
            rows.append(
                {
                    "patients": patients, "what": what, "r_function": function, "cells": own["cells"],
                    "reduce": own["reduce"], "fit": own["fit"], "r": None if other is None else other["cpu"],
                    "agree": agree, "peak": mine["peak_mb"], "r_peak": None if r is None else r["peak_mb"],
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
        versions = f"Python {platform.python_version()}, duckdb {duckdb.__version__}, numpy {np.__version__}"
        versions += "" if r is None else f", {r['versions']}"
    command = f"python benchmarks/cost.py --patients {' '.join(map(str, a.patients))}"
    notes = [
        "Panel model: four states, intensities without bands, moves seen at visits and exact ends, the same in both. "
        "Peak memory is that of the whole process, ours with the rows in it."
    ]
    made = {
        "command": command,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": versions,
        "rows": rows,
        "notes": notes,
    }
    a.out.write_text(page(made), encoding="utf-8")


if __name__ == "__main__":
    main()
