"""Style, types, the wheel, and what must not be in any file."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from registry import sqlmodels
from registry.catalogue import KEYS

ROOT = Path(__file__).parents[2]
OWN = (".py", ".sql", ".toml", ".md", ".csv", ".lock", ".R", ".yml", ".html", ".j2", ".typ")


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_ruff_has_nothing_to_say():
    run(
        "ruff",
        "check",
        "--no-cache",
        "registry",
        "synthetic",
        "tests/spec",
        "tests/registry",
        "tests/synthetic",
        "tests/project",
    )


@pytest.mark.slow
def test_ruff_has_nothing_to_say_of_the_whole_project():
    run("ruff", "check", "--no-cache", ".")


def test_mypy_finds_the_registry_typed():
    run("mypy", "registry")


@pytest.mark.slow
def test_mypy_finds_everything_typed():
    run("mypy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return zipfile.ZipFile(built)


def test_the_wheel_brings_every_sql_model_and_catalogue(wheel):
    names = set(wheel.namelist())
    assert {f"registry/sql/{name.replace('.', '/')}.sql" for name in sqlmodels.models()} <= names
    assert {f"registry/catalogue/{name}.csv" for name in KEYS} <= names
    assert {"reports/templates/summary.html", "reports/templates/summary.typ", "reports/checklist_item.csv",
            "reports/numbers.schema.json"} <= names  # fmt: skip


def test_the_wheel_brings_the_four_packages_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"registry", "analysis", "synthetic", "reports"}


def test_the_locked_requirements_name_versions_and_hashes_and_no_place():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-[ief]|--index|--find-links", text, flags=re.M)
    assert re.search(r"^duckdb==1\.5\.5 ", text, flags=re.M)


def test_no_file_names_a_place_on_somebodys_machine():
    place = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/\w+|/tmp/\w+|[A-Z]:\\\\Users")
    named = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in _files()
        for found in place.finditer(path.read_text(encoding="utf-8", errors="replace"))
        if path != Path(__file__)
    ]
    assert named == []


def test_no_file_leaves_work_to_do():
    marks = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
    assert [
        str(p) for p in _files() if p.suffix in (".py", ".sql") and marks.search(p.read_text(encoding="utf-8"))
    ] == []


def _files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if name.endswith(OWN) and (ROOT / name).is_file()]
