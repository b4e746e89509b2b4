"""Every study of bias and coverage runs: a page must not show numbers that its command can no longer make."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "benchmarks" / "truth"
# One sample of the smallest size of each; of many worlds one.
COMMANDS = {
    "booster": "--seeds 1 --coverage-seeds 1 --resamples 20 --scenarios 3 --outcomes mean loss --no-positivity",
    "dose": "--seeds 1 --courses 150",
    "outlook": "--seeds 1 --courses 150",
    "response": "--seeds 1 --courses 150 --resamples 20",
    "safety": "--seeds 1 --courses 150",
    "trajectories": "--seeds 1 --imputed 1 --courses 150",
}


def test_every_study_is_asked_for():
    shared = {"samples"}
    assert {p.stem for p in STUDIES.glob("*.py")} - shared == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_study_runs_and_writes_its_page(name, tmp_path):
    out = tmp_path / f"{name}.json"
    command = [sys.executable, f"benchmarks/truth/{name}.py", *COMMANDS[name].split(), "--processes", "1", "--out", out]
    done = subprocess.run([str(c) for c in command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| " in out.with_suffix(".md").read_text(encoding="utf-8")
