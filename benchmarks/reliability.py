"""Kills the program at random moments and feeds it spoilt files, and counts what was lost: nothing may be.

    python benchmarks/reliability.py --kills 204 --files 1000
    python benchmarks/reliability.py --only disks cuts logs

Writes docs/reliability.md and its figures in docs/reliability.json. A step is run in a process of its own and killed
(SIGKILL) at a random moment; the registry must then open, verify, and hold what it held before the step or after it,
nothing between. A spoilt file must end in rows accepted and rows refused with file and line, or in one message: never
in a traceback, never with a row lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb

from registry import Registry, copies, cut, derive, ingest
from registry.errors import CatamnesisError, RegistryMissing, of_engine
from registry.migrations import migrate
from synthetic import Design, simulate, sources

OUT = Path(__file__).parents[1] / "docs" / "reliability.md"
STEPS = ("load", "correct", "derive", "check", "cut", "migrate")


def work(step: str, place: Path) -> None:
    """Do one step on the registry of `place`; says when it begins."""
    from registry import checks

    path = place / "r.duckdb"
    do: dict[str, Callable[[], object]] = {
        "load": lambda: ingest.load(path, [place / "second"]),
        "correct": lambda: ingest.load(path, [place / "corrected"], reason="typed wrongly"),
        "derive": lambda: derive(path),
        "check": lambda: checks.keep(path),
        "cut": lambda: cut.cut(path, "one", place / "cuts"),
        "migrate": lambda: migrate(path),
    }
    print("ready", flush=True)
    try:
        do[step]()
    except Exception as error:
        said = str(error) if isinstance(error, CatamnesisError | OSError) else of_engine(error)
        if not said:
            raise
        raise SystemExit(said) from None


def prepared(place: Path) -> None:
    """Write a registry with one load, files of a second load, a corrected file, and the same registry in schema 1."""
    place.mkdir(parents=True)
    made = simulate(Design(patients=240, seed=6))
    sources.write_template(made, place / "all")
    first, second = place / "first", place / "second"
    for folder in (first, second):
        shutil.copytree(place / "all", folder)
    header, *rows = (place / "all" / "measurements.csv").read_text().splitlines()
    half = len(rows) // 2
    (first / "measurements.csv").write_text("\n".join([header, *rows[:half]]) + "\n")
    (second / "measurements.csv").write_text("\n".join([header, *rows]) + "\n")
    Registry.create(place / "r.duckdb", key=b"0123456789abcdef").close()
    ingest.load(place / "r.duckdb", [first])
    derive(place / "r.duckdb")
    (place / "corrected").mkdir()
    value = header.split(",").index("value")
    changed = []
    for row in rows[: half // 2]:
        cells = row.split(",")
        if cells[value] and "pain" in cells:
            cells[value] = "50" if cells[value] != "50" else "52.7778"
        changed.append(",".join(cells))
    (place / "corrected" / "measurements.csv").write_text("\n".join([header, *changed]) + "\n")
    if (place / "all" / "load.toml").exists():
        shutil.copy2(place / "all" / "load.toml", place / "corrected" / "load.toml")
    copies.backup(place / "r.duckdb", place / "old.duckdb")
    with duckdb.connect(str(place / "old.duckdb")) as con:
        con.execute(
            "drop schema past cascade; drop table log.change; drop table log.audit; drop table log.finding; "
            "drop table log.finding_count; alter table log.load drop kind; alter table log.load drop reason; "
            "update log.meta set value = '1' where key = 'schema_version'"
        )


def copied(base: Path, place: Path, step: str) -> None:
    """Make a fresh place for a step."""
    place.mkdir()
    shutil.copy2(base / ("old.duckdb" if step == "migrate" else "r.duckdb"), place / "r.duckdb")
    shutil.copy2(base / "r.duckdb.key", place / "r.duckdb.key")
    for folder in ("second", "corrected"):
        (place / folder).symlink_to(base / folder)


def state(place: Path) -> str:
    """Return what the registry holds, as text; opens it as a user would."""
    path = place / "r.duckdb"
    try:
        registry = Registry.open(path)
    except RegistryMissing as error:
        if "has schema 1" in str(error):
            return "schema 1"
        raise
    with registry:
        problems = registry.verify().problems
        if problems:
            raise AssertionError(f"does not verify: {problems[0]}")
        held = registry.sql(
            "select (select count(*) from log.load) as loads, (select count(*) from log.change) as changes, "
            "(select count(*) from log.audit where action <> 'cut') as entries, "
            "(select count(*) from log.finding) as findings, "
            "(select count(*) from past.measurement) as past, (select sum(value) from record.measurement) as total"
        ).row(0)
        return f"{sorted(registry.counts().items())} {held}"


def run(step: str, place: Path, after: float | None) -> tuple[bool, float]:
    """Run a step and kill it `after` seconds since its beginning; returns whether it was at work then, and its time."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--step", step, "--place", str(place)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.stdout is not None
    child.stdout.readline()
    start = time.perf_counter()
    if after is None:
        _, error = child.communicate()
        if child.returncode:
            raise AssertionError(f"{step} failed: {error[-300:]}")
        return False, time.perf_counter() - start
    time.sleep(after)
    running = child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return running, after


def kills(number: int, seed: int, base: Path) -> dict[str, Counter[str]]:
    """Kill `number` steps and return what was found by step: held before, held after, had ended already."""
    rng, found = random.Random(seed), {step: Counter[str]() for step in STEPS}
    known: dict[str, tuple[str, str, float]] = {}
    for step in STEPS:
        place = base.parent / f"whole-{step}"
        copied(base, place, step)
        before = state(place)
        _, seconds = run(step, place, None)
        known[step] = (before, state(place), seconds)
        shutil.rmtree(place)
    for k in range(number):
        step = STEPS[k % len(STEPS)]
        before, after, seconds = known[step]
        place = base.parent / f"kill-{k}"
        copied(base, place, step)
        running, _ = run(step, place, rng.uniform(0, seconds))
        now = state(place)
        if now not in (before, after):
            raise AssertionError(f"{step} killed: the registry holds neither what it held before nor after: {now}")
        whole = place / "cuts" / "one"
        if step == "cut" and whole.exists() and cut.differences(whole):
            raise AssertionError("a cut that is not whole is to be seen")
        # The step can be done again, whatever it left behind; tried after one kill in four.
        if (k // len(STEPS)) % 4 == 0 and now == before and not whole.exists():
            run(step, place, None)
            if state(place) != after:
                raise AssertionError(f"{step} done again after a kill did not come to the same")
        found[step]["killed while at work" if running else "had ended"] += 1
        found[step]["held before" if now == before else "held after"] += 1
        shutil.rmtree(place)
    return found


_CELLS = (
    "", " ", "0", "-0", "1e999", "nan", "inf", "9" * 30, "1,5", "2/3", "/", "'", '"', "\\", "NULL", "--", ";",
    "2022-02-30", "0000-00-00", "9999-12-31", "22-1-1", "yes", "\ufeff", "é", "\x00", "a\nb", "%s", "${x}", "=1+1",
    "@SUM(A1)", "'); drop table x", "x" * 5000, "\u202e", "🦵",
)  # fmt: skip


def spoilt(text: str, rng: random.Random) -> tuple[bytes, int]:
    """Return a file with one to many things wrong, and how many rows were touched."""
    header, *rows = text.splitlines()
    touched = 0
    for k in range(len(rows)):
        if rng.random() < 0.8:
            cells = rows[k].split(",")
            for _ in range(rng.randint(1, 3)):
                cells[rng.randrange(len(cells))] = rng.choice(_CELLS)
            rows[k] = ",".join(cells)
            touched += 1
    data = ("\n".join([header, *rows]) + "\n").encode("utf-8")
    kind = rng.randrange(12)
    if kind == 0:
        data = data[: rng.randrange(len(data))]
    elif kind == 1:
        at = bytearray(data)
        for _ in range(rng.randint(1, 30)):
            at[rng.randrange(len(at))] = rng.randrange(256)
        data = bytes(at)
    elif kind == 2:
        data = data.replace(b",", rng.choice((b";", b"\t", b"|")))
    elif kind == 3:
        data = data.decode("utf-8").encode(rng.choice(("utf-16", "latin-1", "utf-8-sig")), "replace")
    elif kind == 4:
        data = data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n")))
    elif kind == 5:
        names = header.split(",")
        names[rng.randrange(len(names))] = rng.choice(("", "patient", "x", "date", " value "))
        data = (",".join(names) + "\n" + "\n".join(rows) + "\n").encode("utf-8")
    elif kind == 6:
        data = rng.randbytes(rng.randint(0, 2000))
    return data, touched


def fuzz(number: int, seed: int, base: Path) -> Counter[str]:
    """Load `number` spoilt files, each judged whole and not kept; returns counts of files and rows."""
    rng, found = random.Random(seed), Counter[str]()
    path = base / "fuzz.duckdb"
    made = simulate(Design(patients=20, seed=8))
    files = {p.name: p.read_text() for p in sources.write_template(made, base / "small") if p.suffix == ".csv"}
    Registry.create(path, key=b"0123456789abcdef").close()
    ingest.load(path, [base / "small"])
    folder = base / "spoilt"
    for _ in range(number):
        name = rng.choice(sorted(files))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        header, *rows = files[name].splitlines()
        some = rng.sample(rows, min(len(rows), 30))
        data, touched = spoilt("\n".join([header, *some]), rng)
        (folder / name).write_bytes(data)
        found["rows touched"] += touched
        try:
            report = ingest.load(path, [folder], dry_run=True)
        except CatamnesisError as error:
            if "Traceback" in str(error) or not str(error).strip():
                raise
            found["files refused with one message"] += 1
            continue
        if report.rows_in != report.accepted + report.rejected:
            raise AssertionError(f"{name}: {report.rows_in} in, {report.accepted} accepted, {report.rejected} refused")
        if report.rejections.select("file", "message", "advice").null_count().sum_horizontal()[0]:
            raise AssertionError(f"{name}: a refusal without file, message or advice")
        found["files judged by row"] += 1
        found["rows in"] += report.rows_in
        found["rows accepted"] += report.accepted
        found["rows refused"] += report.rejected
    with Registry.open(path) as registry:
        assert registry.verify().problems == ()
    return found


def load_rate(base: Path, patients: int) -> dict[str, float]:
    """Return rows loaded, seconds it took, and seconds of it for the digests of the chain."""
    from registry import audit

    sources.write_template(simulate(Design(patients=patients, seed=9)), base / "many")
    Registry.create(base / "many.duckdb", key=b"0123456789abcdef").close()
    start = time.perf_counter()
    report = ingest.load(base / "many.duckdb", [base / "many"])
    seconds = time.perf_counter() - start
    with Registry.open(base / "many.duckdb") as registry:
        start = time.perf_counter()
        audit.digests(registry.con, 1)
        digest = time.perf_counter() - start
    return {"rows": float(report.accepted), "seconds": seconds, "digest": digest}


def main() -> None:
    """Run the parts asked for and write the page; figures of parts not asked for stay as they are."""
    import reliability_disk
    from reliability_page import page

    parser = argparse.ArgumentParser(description=__doc__)
    for name, number in (("kills", 204), ("files", 1000), ("patients", 20_000), *reliability_disk.NUMBERS.items()):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--only", nargs="*", help="parts, by the names of the options above; default: all")
    parser.add_argument("--seed", type=int, default=1)
    for name in ("--step", "--on-disk", "--base", "--place"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=OUT)
    a = parser.parse_args()
    if a.step:
        work(a.step, Path(a.place))
        return
    if a.on_disk:
        print(json.dumps(reliability_disk.on_disk(Path(a.on_disk), Path(a.base), a.disks, a.seed)))
        return
    parts = {
        "kills": lambda base: kills(a.kills, a.seed, base),
        "files": lambda base: fuzz(a.files, a.seed, base),
        "patients": lambda base: load_rate(base, a.patients),
        **{name: partial(part, getattr(a, name), a.seed) for name, part in reliability_disk.PARTS.items()},
    }
    kept = a.out.with_suffix(".json")
    found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() and a.only else {}
    with tempfile.TemporaryDirectory() as name:
        base = Path(name) / "base"
        prepared(base)
        for part in a.only or parts:
            found[part] = {"number": getattr(a, part), "found": parts[part](base)}
    kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    a.out.write_text(page(found), encoding="utf-8")
    print(a.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
