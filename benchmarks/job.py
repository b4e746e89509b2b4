"""The whole job, from files to answers and report, as patients grow: ours beside pandas with lifelines, and R.

    python benchmarks/job.py --patients 1000 10000 100000 1000000

The same files in one run, each side in a process of its own: CPU seconds of each step over all threads, wall time and
peak memory. R is left out where there is none, or not its packages. Writes docs/performance.md, docs/performance.json
and docs/figures/performance.svg.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
# Our steps beside theirs; what has no counterpart stands alone.
BESIDE = {
    "import": "import",
    "load": "read",
    "derive": "derive",
    "time_to_response": "response",
    "loss_of_response": "loss",
    "time_in_response": None,
    "joint_replacement": "replacement",
    "booster_effect": "booster",
    "trajectories": "trajectories",
    "report": None,
}
WHAT = {
    "import": ("libraries", "libraries", "libraries"),
    "load": ("every row judged, history, hash chain", "read_csv", "read.csv"),
    "derive": ("all models in SQL, six programmes' endpoints", "baseline, response, ends", "the same"),
    "time_to_response": (
        "NPMLE with competing ends, limits from 200 resamples, test",
        "Turnbull, ends censored, no limits",
        "npsurv, ends censored, no limits",
    ),
    "loss_of_response": (
        "multi-state model of states at visits",
        "Kaplan–Meier of visit dates",
        "msm, three states, no ends",
    ),
    "time_in_response": ("the same, occupation and mean time", "–", "–"),
    "joint_replacement": ("Aalen–Johansen, log-rank test, limits by patient", "Aalen–Johansen", "cuminc"),
    "booster_effect": (
        "sequential trials, five weight models, 200 resamples, gate",
        "one weight model, WLS, sandwich",
        "the same",
    ),
    "trajectories": (
        "unstructured MMRM, sandwich by patient, degrees of freedom",
        "random intercept",
        "gls, unstructured",
    ),
    "report": ("HTML page of all", "–", "–"),
}
PACKAGES = ("npsurv", "msm", "cmprsk", "nlme", "jsonlite")


def ours(folder: Path, report: bool) -> dict[str, Any]:
    """Run our job on the files of `folder`; return CPU and wall seconds of each step, answers and peak memory."""
    steps: dict[str, list[float]] = {}

    def clock(name: str, task: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        answer = task()
        steps[name] = [time.process_time() - cpu, time.perf_counter() - wall]
        return answer

    def libraries() -> Any:
        import analysis
        import registry
        import registry.ingest

        return analysis, registry

    analysis, registry = clock("import", libraries)
    path = folder.parent / "job.duckdb"
    registry.Registry.create(path, key=b"synthetic patients only".ljust(32, b".")).close()
    loaded = clock("load", lambda: registry.ingest.load(path, [folder]))
    clock("derive", lambda: registry.derive(path))
    reg = registry.Registry.open(path)
    courses = reg.courses(programme="osteoarthritis")
    answers = {}
    for name in ("time_to_response", "loss_of_response", "time_in_response", "joint_replacement", "booster_effect",
                 "trajectories"):  # fmt: skip
        result = clock(name, lambda name=name: getattr(analysis, name)(courses))
        answers[name] = result.frame.to_dicts()
    if report:
        from reports.summary import write_report

        clock("report", lambda: write_report(reg, folder.parent / "report"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    reg.close()
    month = _month(folder, path, clock)
    response = {r["stratum"]: r["estimate"] for r in answers["time_to_response"]
                if r["quantity"] == "response" and r["time_day"] == 365}  # fmt: skip
    return {"steps": steps, "rows": loaded.rows_in, "peak_mb": peak, "month": month, "answers": {"response": response}}


def _month(folder: Path, path: Path, clock: Callable[[str, Callable[[], Any]], Any]) -> int:
    """Load what the next month brings and renew what is derived; returns its rows."""
    import job_files

    import registry
    import registry.ingest

    rows = job_files.month(folder, folder.parent / "month")
    clock("load of a month", lambda: registry.ingest.load(path, [folder.parent / "month"]))
    clock("renewal", lambda: registry.derive(path))
    return rows


def apart(command: list[str], memory: str = "") -> dict[str, Any]:
    """Run a command that answers with JSON in its last line; adds the wall time. `memory`: the engine's ceiling."""
    begun = time.perf_counter()
    around = {**_environment(), "CATAMNESIS_MEMORY": memory}
    done = subprocess.run(command, capture_output=True, text=True, env=around, check=False)
    if done.returncode:
        raise SystemExit(f"{command[1]} failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "wall": time.perf_counter() - begun}


def _environment() -> dict[str, str]:
    """Return the environment of a side: one thread for small systems, modules compiled once as anywhere else."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "OPENBLAS_NUM_THREADS": "1"}


def measure(patients: int, limit: int, theirs: bool, memory: str) -> dict[str, Any]:
    """Write files for `patients` patients and run both sides on them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "files"
        # In a process of its own: what drawing the patients needs must not count.
        subprocess.run([sys.executable, __file__, "--draw", str(patients), "--folder", str(folder)], check=True)
        size = sum(p.stat().st_size for p in folder.iterdir())
        mine = apart([sys.executable, __file__, "--ours", "--folder", str(folder)], memory)
        other = in_r = None
        if theirs:
            other = apart([sys.executable, str(HERE / "job_pandas.py"), str(folder), "--limit", str(limit)])
            in_r = apart(["Rscript", str(HERE / "job.R"), str(folder), str(limit)]) if has_r() else None
    return {"patients": patients, "bytes": size, "ours": mine, "theirs": other, "r": in_r}


def has_r() -> bool:
    """Return whether there is an R with the packages that its side of the job needs."""
    if shutil.which("Rscript") is None:
        return False
    asked = f"quit(status = !all(c({', '.join(map(repr, PACKAGES))}) %in% rownames(installed.packages())))"
    return subprocess.run(["Rscript", "-e", asked], capture_output=True, check=False).returncode == 0


def whole(r: dict[str, Any]) -> float:
    """Return our CPU seconds from files to report: the report asks every question itself."""
    return sum(v[0] for k, v in r["ours"]["steps"].items() if k in ("import", "load", "derive", "report"))


def page(made: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = [
        "# Performance of the whole job",
        "",
        f"Made by `{made['command']}` on {made['machine']}; {made['versions']}. The same CSV files (one programme, up "
        "to eight visits with three instruments, sessions, decisions, events; dropout as in the synthetic registry) in "
        "one run, each side in a process of its own. CPU seconds over all threads, and peak memory of the process; "
        f"{'our engine is given ' + made['memory'] if made['memory'] else 'our engine takes what the machine has'}.",
        "",
        "![CPU seconds of the whole job by number of patients](figures/performance.svg)",
        "",
        "| patients | rows | CPU s, ours | of which load | derive | report | six questions apart | wall s | peak MB "
        "| pandas: CPU s | peak MB | R: CPU s | peak MB |",
        "|" + "---|" * 13,
    ]
    for r in made["rows"]:
        s = {k: v[0] for k, v in r["ours"]["steps"].items()}
        asked = sum(s[k] for k in BESIDE if k in s and k not in ("import", "load", "derive", "report"))
        memory = f"{r['ours']['wall']:.0f} | {r['ours']['peak_mb']:,.0f}"
        lines.append(
            f"| {r['patients']:,} | {r['ours']['rows']:,} | {whole(r):.1f} | {s['load']:.1f} "
            f"| {s['derive']:.1f} | {s['report']:.1f} | {asked:.1f} | {memory} | {_sum(r['theirs'])} {_sum(r['r'])}"
        )
    lines += ["", *made["text"], "", *targets_of(made["rows"])]
    for r in made["rows"]:
        if r["theirs"] is None:
            continue
        lines += ["", f"## {r['patients']:,} patients, step by step", ""]
        lines += ["| step | ours | CPU s | pandas, lifelines, statsmodels | CPU s | R | CPU s |", "|" + "---|" * 7]
        for name, other in BESIDE.items():
            if name not in r["ours"]["steps"]:
                continue
            label, own = name.replace("_", " "), r["ours"]["steps"][name][0]
            what = WHAT[name]
            beside = f"{what[1]} | {_took(r['theirs'], other)} | {what[2]} | {_took(r['r'], other)}"
            lines.append(f"| {label} | {what[0]} | {own:.2f} | {beside} |")
        sides = [r["ours"], *(side for side in (r["theirs"], r["r"]) if side)]
        answers = [side["answers"].get("response") or {} for side in sides]
        told = ", ".join(
            f"{s} {' / '.join(f'{a[s]:.3f}' for a in answers)}" for s in answers[1] if all(a.get(s) for a in answers)
        )
        lines += ["", f"Response by 12 months, ours / pandas{' / R' if r['r'] else ''}: {told}."]
        one = r["theirs"]["steps"].get("response")
        if one and "response" not in r["theirs"]["cut"]:
            ratio = 200 * one / r["ours"]["steps"]["time_to_response"][0]
            lines[-1] += (
                f" Limits from 200 resamples, as ours has, would take them 200 such fits: {200 * one:,.0f} s of CPU, "
            )
            lines[-1] += f"{ratio:,.0f} times ours (one fit was run, and multiplied)."
    return "\n".join([*lines, ""])


def _sum(side: dict[str, Any] | None) -> str:
    if side is None:
        return "– | – |"
    cut = f" (cut: {', '.join(side['cut'])})" if side["cut"] else ""
    return f"{sum(side['steps'].values()):.1f}{cut} | {side['peak_mb']:,.0f} |"


def _took(side: dict[str, Any] | None, step: str | None) -> str:
    if side is None or step is None or step not in side["steps"]:
        return "–"
    return f"{side['steps'][step]:.2f}{' (cut)' if step in side['cut'] else ''}"


def figure(made: dict[str, Any], path: Path) -> None:
    """Draw CPU seconds by patients, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "catamnesis"
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots(figsize=(6.4, 3.6), constrained_layout=True)
    x = [r["patients"] for r in made["rows"]]
    parts = {
        "whole job": lambda s: s["import"] + s["load"] + s["derive"] + s["report"],
        "load": lambda s: s["load"],
        "derive": lambda s: s["derive"],
        "report": lambda s: s["report"],
    }
    ends = []
    for (name, of), style in zip(parts.items(), ("-", "--", ":", "-."), strict=True):
        y = [of({k: v[0] for k, v in r["ours"]["steps"].items()}) for r in made["rows"]]
        ax.plot(x, y, style, color="#0b5394", marker="o", markersize=3)
        ends.append((y[-1], name))
    lowest = 0.0
    for y_end, name in sorted(ends):
        # A label a third higher than the one below it does not touch it on this scale.
        lowest = max(y_end, 1.5 * lowest)
        place = {"xytext": (x[-1] * 1.15, lowest), "va": "center", "color": "#0b5394"}
        ax.annotate(name, (x[-1], y_end), **place)
    for side, colour, said, place in (
        ("theirs", "#a61c1c", "pandas: fewer questions,\nno limits, no checks", (14, -88)),
        ("r", "#7a5c00", "R: no limits from\nresamples, no checks", (-8, 4)),
    ):
        beside = [(r["patients"], sum(r[side]["steps"].values())) for r in made["rows"] if r[side]]
        if not beside:
            continue
        ax.plot(*zip(*beside, strict=True), color=colour, marker="s", markersize=3)
        away: dict[str, Any] = {
            "xytext": place,
            "textcoords": "offset points",
            "ha": "right" if place[0] < 0 else "left",
        }
        # Where lines run beside the point its label stands apart.
        if abs(place[1]) > 40:
            away["arrowprops"] = {"arrowstyle": "-", "color": colour, "lw": 0.5}
        ax.annotate(said, beside[-1], color=colour, **away)
    ax.set(xscale="log", yscale="log", xlabel="patients", ylabel="CPU seconds")
    ax.set_xlim(right=x[-1] * 4)
    ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, metadata={"Date": None})


def targets_of(rows: list[dict[str, Any]]) -> list[str]:
    """Return the targets that were set for the job as a table: what was reached, and whether that is enough."""
    import math

    held = {r["patients"]: r for r in rows}
    asked: list[tuple[str, float | None, str, bool]] = []

    def ratio(side: str, patients: int, least: float, name: str) -> None:
        r = held.get(patients)
        times = None if r is None or not r[side] else sum(r[side]["steps"].values()) / whole(r)
        cut = r is not None and r[side] and r[side]["cut"]
        label = f"CPU of {name} over ours, {patients:,} patients" + (f" ({name} cut)" if cut else "")
        asked.append((label, times, f"at least {least:g}", times is not None and times >= least))

    def most(label: str, value: float | None, limit: float) -> None:
        asked.append((label, value, f"at most {limit:g}", value is not None and value <= limit))

    ratio("theirs", 10_000, 50, "pandas")
    ratio("theirs", 100_000, 150, "pandas")
    ratio("r", 100_000, 30, "R")
    ratio("r", 1_000_000, 10, "R")
    big = held.get(1_000_000)
    steps = {k: v[0] for k, v in big["ours"]["steps"].items()} if big else {}
    most("CPU seconds of the whole job, 1,000,000 patients", whole(big) if big else None, 60)
    most("peak GB, the same", big["ours"]["peak_mb"] / 1000 if big else None, 3)
    alone = [v for k, v in steps.items() if k in BESIDE and k not in ("import", "load", "derive", "report")]
    most("CPU seconds of the six questions from the derived registry, the same", sum(alone) if big else None, 15)
    sizes = sorted(held)
    power = None
    if len(sizes) > 1:
        power = math.log(whole(held[sizes[-1]]) / whole(held[sizes[-2]])) / math.log(sizes[-1] / sizes[-2])
    most("power of patients that CPU time grows with", power, 1.05)
    asked.append(("time over that of the engine's own reading of the files and one pass", None, "at most 3", False))
    lines = ["## Targets", "", "| target | asked for | reached | met |", "|---|---|---|---|"]
    for label, value, limit, met in asked:
        reached = "not measured" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        lines.append(f"| {label} | {limit} | {reached} | {'yes' if met else 'no'} |")
    return [
        *lines,
        "",
        "The pandas and R jobs are the smaller ones, as said above: no ratio is of the same answers.",
        "",
    ]


def text_of(rows: list[dict[str, Any]]) -> list[str]:
    """Return what the numbers say, made from them."""
    import math

    total = {r["patients"]: whole(r) for r in rows}
    sizes = sorted(total)
    lines = []
    if len(sizes) > 1:
        a, b = sizes[-2], sizes[-1]
        exponent = math.log(total[b] / total[a]) / math.log(b / a)
        lines.append(f"Growth from {a:,} to {b:,} patients: CPU time goes with patients to the power {exponent:.2f}.")
    last = rows[-1]["ours"]
    lines.append(
        f"At {sizes[-1]:,} patients the load judges {last['rows'] / last['steps']['load'][0]:,.0f} rows a CPU second, "
        "with history and hash chain."
    )
    lines.append(
        f"Then a month more, of one patient in fifty of the first hundred thousand ({last['month']:,} rows), is loaded "
        f"in {last['steps']['load of a month'][0]:.1f} s and what is derived renewed in "
        f"{last['steps']['renewal'][0]:.1f} s of CPU."
    )
    lines.append(
        "The pandas job is the smaller one: no row is judged or kept with its reason, the response has no limits, loss "
        "is taken on visit dates, the mixed model has a random intercept only. For small registries it is therefore "
        "done sooner; what it leaves out is what this project is for. R has the models, each its own; it judges no row "
        "either, gives no limits by resamples, and its mixed model and msm know nothing of two knees of one patient."
    )
    lines.append(
        "Rows are written to the registry's copy table by table as they are judged, so that the memory of a load "
        "follows the ceiling (`--memory`) and not the patients: with 1.5GB a load of a million took 2.5 GB in all, "
        "where rows held to the end took 15 GB. What the peak has beyond it are arrays of the models. A ceiling "
        "costs time where data exceed it. Most of the time is the load (judging and hashing rows), the derivation of "
        "every rule of loss, and what the report shows besides the six questions."
    )
    days = {r.get("measured", "before 28 November 2026") for r in rows}
    if len(days) > 1:
        told = "; ".join(f"{r['patients']:,} patients {r.get('measured', 'before 28 November 2026')}" for r in rows)
        lines.append(f"Measured on: {told}.")
    return lines


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds after which a step of theirs is cut.")
    parser.add_argument("--memory", default="2GB", help="Ceiling of our engine's memory; empty: what the machine has.")
    parser.add_argument("--theirs-up-to", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--add", action="store_true", help="Keep the rows of other sizes that the page has.")
    parser.add_argument("--draw", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.draw:
        sys.path.insert(0, str(HERE))
        import job_files

        job_files.write(a.draw, a.folder)
        return
    if a.ours:
        print(json.dumps(ours(a.folder, report=True), default=str))
        return
    # Not counted: each side compiles its modules once, as on any machine where it has run before.
    measure(200, a.limit, True, a.memory)
    kept = a.out / "performance.json"
    rows = json.loads(kept.read_text(encoding="utf-8"))["rows"] if a.add and kept.exists() else []
    for patients in a.patients:
        made = measure(patients, a.limit, patients <= a.theirs_up_to, a.memory)
        made["measured"] = datetime.date.today().strftime("%d %B %Y").lstrip("0")
        print(json.dumps({k: made[k] for k in ("patients", "bytes")}), flush=True)
        rows = sorted([*(r for r in rows if r["patients"] != patients), made], key=lambda r: r["patients"])
        write(a, rows)


def write(a: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write the numbers, the page and the figure of what has been measured so far."""
    import duckdb
    import lifelines
    import pandas as pd
    import statsmodels

    made = {
        "command": f"python benchmarks/job.py --patients {' '.join(str(r['patients']) for r in rows)}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": f"Python {platform.python_version()}, duckdb {duckdb.__version__}, pandas {pd.__version__}, "
        f"lifelines {lifelines.__version__}, statsmodels {statsmodels.__version__}"
        + "".join(f"; {r['r']['versions']}" for r in rows[:1] if r["r"]),
        "memory": a.memory,
        "rows": rows,
        "text": text_of(rows),
    }
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "figures").mkdir(exist_ok=True)
    (a.out / "performance.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    (a.out / "performance.md").write_text(page(made), encoding="utf-8")
    if any(r["theirs"] for r in rows):
        figure(made, a.out / "figures" / "performance.svg")


if __name__ == "__main__":
    main()
