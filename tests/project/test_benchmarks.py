"""The studies whose results are committed still run: each, small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_steps_killed_at_random_moments_and_spoilt_files_lose_nothing(tmp_path):
    """It fails by itself when anything is lost; half an hour, as for docs/reliability.md."""
    out = tmp_path / "reliability.md"
    some = ("--kills", 204, "--files", 1000, "--patients", 300, "--disks", 6, "--cuts", 3, "--logs", 5)
    run("reliability.py", *some, "--out", out)
    told = out.read_text(encoding="utf-8")
    assert "204 steps were killed" in told and "6 steps were run on a disk" in told and "3 loads were killed" in told


@pytest.mark.slow
def test_the_study_of_response_gives_every_quantity_for_every_stage_and_contrast(tmp_path):
    out = tmp_path / "response.json"
    run("truth/response.py", "--seeds", 4, "--resamples", 20, "--courses", 300, "--scenarios", "renewal", "--out", out)
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 6 and all(len(r["bias"]) == len(r["strata"]) for r in rows)
    assert "| renewal | 300 | 4 |" in out.with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_study_of_trajectories_gives_every_quantity_for_every_stage_contrast_and_visit(tmp_path):
    out = tmp_path / "trajectories.json"
    run("truth/trajectories.py", "--seeds", 4, "--imputed", 2, "--courses", 400, "--scenarios", "mixture", "--out", out)
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [r["quantity"] for r in rows] == [
        "mean change", "observed case", "complete case", "imputed at random", "imputed, delta -10",
        "weighted for observation", "growth", "in response, independence", "in response, exchangeable",
        "in response, complete case",
    ]  # fmt: skip
    assert all(len(r["bias"]) == len(r["strata"]) and len(r["bias"][0]) == len(r["visits"]) for r in rows)
    # What is not asked for again stays.
    run("truth/trajectories.py", "--seeds", 2, "--courses", 400, "--scenarios", "mixture", "--parts", "growth", "--add",
        "--out", out)  # fmt: skip
    page = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "| mixture | 400 | 4 | mean change |" in page and "| mixture | 400 | 2 | growth |" in page


@pytest.mark.slow
def test_the_cost_beside_r_is_measured_with_or_without_r(tmp_path):
    out = tmp_path / "cost.md"
    run("cost.py", "--patients", 400, "--out", out)
    assert "| 400 | NPMLE from intervals | npsurv |" in out.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_whole_job_is_measured_beside_pandas_and_both_agree(tmp_path):
    run("job.py", "--patients", 1000, "--limit", 60, "--out", tmp_path)
    row = json.loads((tmp_path / "performance.json").read_text(encoding="utf-8"))["rows"][0]
    ours, theirs = row["ours"]["answers"]["response"], row["theirs"]["answers"]["response"]
    # The same rule on the same files; ends censor in theirs and compete in ours.
    assert all(abs(ours[stage] - theirs[stage]) < 0.03 for stage in theirs)
    assert "| 1,000 |" in (tmp_path / "performance.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "scenario", "quantities"),
    [
        ("dose", "at_random", ["response at 50 million", "crude, stages mixed: difference 100 - 25 million"]),
        ("dose", "groups_differ", ["pooled", "own number", "spread between groups"]),
        ("outlook", "at_random", ["typical_case", "share below best_case", "those who came: typical_case"]),
        ("safety", "at_random", ["events_per_100_course_years", "complete case: mean_events by day 365"]),
    ],
)
def test_the_study_gives_its_numbers_beside_the_naive_ones(tmp_path, study, scenario, quantities):
    out = tmp_path / f"{study}.json"
    run(f"truth/{study}.py", "--seeds", 3, "--courses", 900, "--scenarios", scenario, "--out", out)
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert set(quantities) <= {r["quantity"] for r in rows} and {r["seeds"] for r in rows} == {3}
    assert f"| {scenario} | 900 | 3 | {quantities[0]} |" in out.with_suffix(".md").read_text(encoding="utf-8")
