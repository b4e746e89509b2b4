"""The parts of benchmarks/reliability.py that take the disk away: full, not to be written, and without power."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import reliability as whole

from registry.errors import RegistryMissing

ROOM = 100_000_000
_MESSAGES = ("here is no room on the disk", "No space left on device", "Read-only file system")


def disks(number: int, seed: int, base: Path) -> Counter[str]:
    """Run `number` steps with some room on a disk, and each once on one that is read-only; returns what became of them.

    The disk is in memory, mounted for this process alone, which Linux lets one do where user namespaces are allowed.
    """
    with tempfile.TemporaryDirectory() as disk:
        script = f'mount -t tmpfs -o size={ROOM} none "$0" && exec "$@"'
        command = [sys.executable, whole.__file__, "--on-disk", disk, "--base", str(base)]
        command += ["--disks", str(number), "--seed", str(seed)]
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script, disk, *command], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr[-2000:])
    return Counter(json.loads(done.stdout))


def on_disk(disk: Path, base: Path, number: int, seed: int) -> Counter[str]:
    """Do the work of :func:`disks` in the process that has the disk."""
    rng, found = random.Random(seed), Counter[str]()
    known = {step: _known(step, disk / "whole", base) for step in whole.STEPS}
    for k in range(number):
        step, place, filler = whole.STEPS[k % len(whole.STEPS)], disk / "one", disk / "filler"
        whole.copied(base, place, step)
        room = os.statvfs(disk)
        # Up to somewhat more than a step needs: the copy of the registry, the engine's log, and what is taken in.
        free = int(rng.uniform(0, 2.2) * (place / "r.duckdb").stat().st_size)
        filler.write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - free)))
        full = _failed(step, place)
        filler.unlink()
        _judged(step, place, full, known[step], found)
        # With room again the step can be done; tried after one in four.
        if full and k % 4 == 0:
            whole.run(step, place, None)
            assert whole.state(place) == known[step][1], f"{step} done again did not come to the same"
            found["done again"] += 1
        shutil.rmtree(place)
    for step in whole.STEPS:
        place = disk / "one"
        whole.copied(base, place, step)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert _failed(step, place), f"{step} wrote to a disk that cannot be written"
        found["read-only"] += 1
        now = whole.state(place)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert now == known[step][0], f"{step} on a read-only disk: the registry is another"
        shutil.rmtree(place)
    return found


def _known(step: str, place: Path, base: Path) -> tuple[str, str]:
    whole.copied(base, place, step)
    before = whole.state(place)
    whole.run(step, place, None)
    after = whole.state(place)
    shutil.rmtree(place)
    return before, after


def _failed(step: str, place: Path) -> bool:
    """Run a step; returns whether it ended for want of the disk, in one message."""
    command = [sys.executable, whole.__file__, "--step", step, "--place", str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and ("Traceback" in done.stderr or not any(said in done.stderr for said in _MESSAGES)):
        raise AssertionError(f"{step}: {done.stderr[-500:]}")
    return done.returncode != 0


def _judged(step: str, place: Path, full: bool, known: tuple[str, str], found: Counter[str]) -> None:
    now = whole.state(place)
    assert now == known[0 if full else 1], f"{step}: the registry holds neither what it should nor what it held: {now}"
    assert not full or not list(place.glob(".*")), f"{step} left something behind: {list(place.glob('.*'))}"
    found[f"{step} full" if full else f"{step} done"] += 1


def power(number: int, seed: int, base: Path) -> Counter[str]:
    """Kill `number` loads at random moments and cut short what the writer's files held; returns what was found."""
    rng, found = random.Random(seed), Counter[str]()
    place = base.parent / "power"
    whole.copied(base, place, "load")
    before = whole.state(place)
    _, seconds = whole.run("load", place, None)
    after = whole.state(place)
    for k in range(number):
        shutil.rmtree(place)
        whole.copied(base, place, "load")
        whole.run("load", place, rng.uniform(0.3, 1) * seconds)
        files = [f for f in place.glob(".r.duckdb.writing/**/*") if f.is_file()]
        for file in files:
            os.truncate(file, rng.randrange(file.stat().st_size + 1))
        now = whole.state(place)
        assert now in (before, after), f"after a power cut the registry holds something else: {now}"
        found["cut short" if len(files) > 1 else "nothing under way"] += 1
        if k % 4 == 0 and now == before:
            whole.run("load", place, None)
            assert whole.state(place) == after, "a load after a power cut did not come to the same"
    shutil.rmtree(place)
    return found


def logs(number: int, seed: int, base: Path) -> Counter[str]:
    """Cut short the log that another program, killed, left beside a registry after ten commits of its own."""
    rng, found = random.Random(seed), Counter[str]()
    place = base.parent / "logs"
    whole.copied(base, place, "load")
    program = (
        "import duckdb, os, sys; con = duckdb.connect(sys.argv[1]); "
        "[con.execute(\"insert into log.meta values (?, 'x')\", [f'k{k}']) for k in range(10)]; os._exit(9)"
    )
    path, log = place / "r.duckdb", place / "r.duckdb.wal"
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    content, before = log.read_bytes(), path.read_bytes()
    for _ in range(number):
        log.write_bytes(content[: rng.randrange(len(content) + 1)])
        try:
            whole.state(place)
            with whole.Registry.open(path) as registry:
                keys = registry.sql("select key from log.meta where key like 'k_' order by key")["key"].to_list()
            assert keys == [f"k{k}" for k in range(len(keys))], f"a log cut short gave {keys}"
            found["opened"] += 1
        except RegistryMissing:
            found["refused"] += 1
        assert path.read_bytes() == before, "reading changed the file"
    shutil.rmtree(place)
    return found


PARTS: dict[str, Callable[[int, int, Path], Counter[str]]] = {"disks": disks, "cuts": power, "logs": logs}
NUMBERS = {"disks": 60, "cuts": 60, "logs": 200}
