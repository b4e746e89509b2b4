"""The study of kills and spoilt files, small: it fails by itself when anything is lost (docs/reliability.md has the large one)."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "reliability.py"


@pytest.mark.slow
def test_steps_killed_at_random_moments_and_spoilt_files_lose_nothing(tmp_path):
    out = tmp_path / "reliability.md"
    command = [sys.executable, str(SCRIPT), "--kills", "12", "--files", "40", "--patients", "300", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "12 steps were killed" in out.read_text(encoding="utf-8")
