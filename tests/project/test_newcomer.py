"""A newcomer: an empty folder, the installed command, the lines of a page typed as they stand, a clock."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import time_to_response
from registry import Registry

ROOT = Path(__file__).parents[2]
# Of the ten minutes the machine may have two: its CPU seconds, because it may be busy with other things.
MACHINE = 120
COMMAND = 'exec "{python}" -c \'import sys; sys.argv[0] = "catamnesis"; from reports.cli import main; sys.exit(main())\' "$@"\n'


@pytest.fixture
def terminal(tmp_path):
    """Type the blocks of a page into a shell that knows `catamnesis` as installed; returns what it said, and the CPU seconds."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "catamnesis"
    command.write_text("#!/bin/sh\n" + COMMAND.format(python=sys.executable))
    command.chmod(0o755)
    project = tmp_path / "catamnesis"
    project.mkdir()
    (project / "docs").symlink_to(ROOT / "docs")
    path = f"{tmp_path / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OLDPWD": str(tmp_path)}

    def typed(page: str) -> tuple[str, float]:
        found = re.findall(r"^(<!-- not run.*-->\n)?```(sh|python)\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
        lines = [t if kind == "sh" else f"python - <<'END'\n{t}END\n" for skip, kind, t in found if not skip]
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Without -e: refused rows end a command with 3 and a person goes on.
        done = subprocess.run(
            ["bash", "-uc", "\n".join(lines)], cwd=project, env=environment, capture_output=True, text=True
        )
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return done.stdout + done.stderr, ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime

    return typed


@pytest.mark.slow
def test_the_first_figure_of_ones_own_lists_comes_in_under_ten_minutes(terminal, tmp_path):
    """Lists with their own column names, day-first dates, decimal commas and two typing errors."""
    said, seconds = terminal("docs/tutorial.md")
    assert seconds < MACHINE and "Traceback" not in said
    folder = tmp_path / "my-knees"
    figure = (folder / "response.svg").read_text(encoding="utf-8")
    assert all(stage in figure for stage in ("Early", "Moderate", "Bone-on-bone", "At risk"))
    shown = (ROOT / "docs" / "figures" / "tutorial.svg").read_text(encoding="utf-8")
    assert re.findall(r">([^<>]+)</text>", figure) == re.findall(r">([^<>]+)</text>", shown)
    assert "68 % (95 % CI 50 to 83)" in said
    gap = time_to_response(Registry.open(folder / "knees.duckdb").courses()).frame.filter(
        stratum="bone_on_bone - early", quantity="difference", time_day=365.0
    )
    below = [f"{-100 * gap[c][0]:.0f}" for c in ("estimate", "high", "low")]
    page = " ".join((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").split())
    assert "{} points below early ones, and that with limits from {} to {};".format(*below) in page
    assert "joint replacement" in (folder / "report" / "index.html").read_text(encoding="utf-8").lower()


@pytest.mark.slow
def test_one_wide_list_becomes_a_registry_by_the_mapping_of_the_page(terminal, tmp_path):
    said, seconds = terminal("docs/how-to/your-own-files.md")
    assert seconds < MACHINE and "Traceback" not in said and " 0 rejected; " in said
    assert (tmp_path / "catamnesis" / "knees.duckdb").exists()
