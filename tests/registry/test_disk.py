"""A disk that is full, cannot be written, or lost power: one message, nothing lost, and the registry verifies."""

import json
import os
import random
import shutil
import subprocess
import sys

import pytest

from registry import Registry
from registry.errors import RegistryMissing

STEPS = {
    "load": ("load", "r.duckdb", "more", "--extracted-on", "2024-01-02"),
    "derive": ("derive", "r.duckdb"),
    "check": ("check", "r.duckdb", "--keep"),
    "cut": ("cut", "r.duckdb", "one"),
    "backup": ("backup", "r.duckdb", "b.duckdb"),
    "encrypt": ("encrypt", "r.duckdb"),
}
# The command in a process of its own, step by step, and what it said; `hinder` makes the disk what it shall be.
PROGRAM = """
import contextlib, io, json, os, resource, sys
from pathlib import Path
from reports.cli import main

def told(arguments):
    sys.argv, err, code = ["catamnesis", *arguments], io.StringIO(), 0
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return code, err.getvalue()

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def fill(free):
    room = os.statvfs(".")
    Path("filler").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - free)))

steps, hinder, free = json.loads(sys.argv[1]), *sys.argv[2:4]
found = {}
for name, arguments in steps.items():
    os.environ.pop("CATAMNESIS_KEY", None)
    if name == "encrypt":
        os.environ["CATAMNESIS_KEY"] = "a key that is long enough"
    if hinder == "limit":
        limit(int(free))
    if hinder == "fill":
        fill(int(free))
    found[name] = told(arguments)
    if hinder == "limit":
        limit(resource.RLIM_INFINITY)
    if hinder == "fill":
        os.unlink("filler")
os.environ.pop("CATAMNESIS_KEY", None)
print(json.dumps([found, told(["verify", "r.duckdb"]), sorted(p.name for p in Path(".").iterdir())]))
"""


@pytest.fixture
def place(clinic):
    """The folder of a registry with one load, and files that bring more."""
    clinic.write_good()
    clinic.load()
    more = clinic.path.parent / "more"
    more.mkdir()
    header, row, *_ = (clinic.folder / "measurements.csv").read_text().splitlines()
    days = [f"20{y}-{m:02d}-{d:02d}" for y in (23,) for m in range(1, 13) for d in range(1, 28)]
    rows = [row.replace("2022-01-20", day).replace("41.5", str(i % 100)) for i, day in enumerate(days)]
    (more / "measurements.csv").write_text("\n".join([header, *rows]) + "\n")
    for suffix in ("", ".key"):
        clinic.path.with_name(f"knees.duckdb{suffix}").rename(clinic.path.with_name(f"r.duckdb{suffix}"))
    return clinic.path.parent


def asked(place, *steps, on=(), hinder="no", free=0):
    """Return what each step said, what `verify` said then, and which files lie there."""
    told = json.dumps({name: STEPS[name] for name in steps})
    command = [*on, sys.executable, "-c", PROGRAM, told, hinder, str(free)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def nothing_lost(answer, said, there):
    steps, verified, files = answer
    for name, (code, message) in steps.items():
        assert code == 1 and said in message and message.count("\n") == 1, (name, code, message)
    assert verified == [0, ""]
    assert set(files) - {"cuts"} == there


@pytest.mark.parametrize(
    ("share", "steps"),
    [
        pytest.param(0.0004, ("cut", "backup", "encrypt"), id="at once", marks=pytest.mark.slow),
        pytest.param(0.5, ("load", "check", "cut"), id="while the registry is copied", marks=pytest.mark.slow),
        pytest.param(1.001, ("load",), id="while the log is taken in"),
    ],
)
def test_files_that_may_not_grow_end_a_step_in_one_message_and_lose_nothing(place, share, steps):
    """A limit on the size of a file, as a quota is: this share of the registry's."""
    before, there = (place / "r.duckdb").read_bytes(), {p.name for p in place.iterdir()}
    answer = asked(place, *steps, hinder="limit", free=int(share * len(before)))
    nothing_lost(answer, "here is no room on the disk. Nothing half done was kept", there)
    assert (place / "r.duckdb").read_bytes() == before


own_disk = pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0,
    reason="a small disk of one's own needs a system that lets one mount it",
)


def mounted(place, *, size, options=""):
    """Return the command that runs another one in `place`, which then is a disk of this size with the same files."""
    script = (
        f'cp -a . "$0.all" && mount -t tmpfs -o size={size} none . && cd "$PWD" && cp -a "$0.all"/. . && '
        f'mount -o remount,{options or "rw"} "$PWD" && exec "$@"'
    )
    return ["unshare", "-rm", "sh", "-c", script, str(place)]


@own_disk
@pytest.mark.parametrize(
    ("share", "steps"), [(0, ("load", "cut", "backup")), pytest.param(1.02, ("load", "derive"), marks=pytest.mark.slow)]
)
def test_a_full_disk_ends_a_step_in_one_message_and_loses_nothing(place, share, steps):
    """Free is this share of what the registry has."""
    there, free = {p.name for p in place.iterdir()}, int(share * (place / "r.duckdb").stat().st_size)
    answer = asked(place, *steps, on=mounted(place, size="80m"), hinder="fill", free=free)
    nothing_lost(answer, "here is no room on the disk", there)


@own_disk
def test_on_a_disk_that_cannot_be_written_a_registry_is_read_and_nothing_else(place):
    there = {p.name for p in place.iterdir()}
    answer = asked(place, "load", "cut", "backup", on=mounted(place, size="80m", options="ro"))
    nothing_lost(answer, "Read-only file system", there)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_named(place):
    place.chmod(0o500)
    answer = asked(place, "load")
    place.chmod(0o700)
    assert "cannot be written: Permission denied. Nothing was changed" in answer[0]["load"][1]


def cut_short(file, rng):
    """Take a random part off the end of a file, and garble a little before it: what a power cut leaves unwritten."""
    whole = file.read_bytes()
    kept = bytearray(whole[: rng.randrange(len(whole) + 1)])
    if kept and rng.random() < 0.3:
        at = rng.randrange(len(kept))
        kept[at : at + 64] = bytes(len(kept[at : at + 64]))
    file.write_bytes(kept)


@pytest.mark.parametrize("trials", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_what_a_power_cut_leaves_of_a_writers_files_is_never_taken_for_the_registry(place, trials):
    """Killed after its commit, before its copy was put in place; then file and log of the copy lose a part."""
    program = (
        "import os, sys\nfrom registry.connection import writing\n"
        "with writing(sys.argv[1]) as con:\n"
        "    con.execute(\"insert into log.meta values ('new', ''); commit\")\n    os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(place / "r.duckdb")], check=False)
    folder, rng = place / ".r.duckdb.writing", random.Random(4)
    assert {p.name for p in folder.iterdir()} == {"lock", "r.duckdb", "r.duckdb.wal"}
    for _ in range(trials):
        for file in folder.iterdir():
            cut_short(file, rng)
        with Registry.open(place / "r.duckdb") as registry:
            assert registry.verify().problems == () and registry.meta("new") is None
    answer = asked(place, "load", "derive")
    assert [code for code, _ in answer[0].values()] == [0, 0] and answer[1] == [0, ""]


@pytest.mark.parametrize("trials", [5, pytest.param(300, marks=pytest.mark.slow)])
def test_a_log_cut_short_beside_a_registry_gives_the_commits_up_to_there_or_one_message(
    place, trials, tmp_path_factory
):
    """A log is left by other programs only, which write to the file itself: ten commits, then a kill."""
    program = (
        "import duckdb, os, sys\ncon = duckdb.connect(sys.argv[1])\n"
        "for k in range(10):\n    con.execute(\"insert into log.meta values (?, 'x')\", [f'k{k}'])\nos._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(place / "r.duckdb")], check=False)
    log, rng, kept = (place / "r.duckdb.wal").read_bytes(), random.Random(5), set()
    for trial in range(trials):
        short = tmp_path_factory.mktemp("cut") / "r.duckdb"
        shutil.copyfile(place / "r.duckdb", short)
        short.with_name("r.duckdb.wal").write_bytes(log[: rng.randrange(len(log)) if trial else len(log)])
        try:
            with Registry.open(short) as registry:
                keys = registry.sql("select key from log.meta where key like 'k_' order by key")["key"].to_list()
                assert keys == [f"k{k}" for k in range(len(keys))] and registry.verify().problems == ()
                kept.add(len(keys))
        except RegistryMissing as error:
            assert "cannot be read" in str(error)
    assert 10 in kept and len(kept) > 2
