"""Who may import whom, how long a module may be, and that every public name says what it is."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parents[2]
PACKAGES = ("registry", "analysis", "synthetic", "reports")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
NUMERICS = sorted((ROOT / "analysis" / "numerics").glob("*.py"))


def ids(paths: list[Path]) -> list[str]:
    return [p.relative_to(ROOT).as_posix() for p in paths]


def test_imports_point_one_way(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert cli.lint_imports(no_cache=True) == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("path", NUMERICS, ids=ids(NUMERICS))
def test_numerics_import_arrays_and_statistics_only(path):
    allowed = {*sys.stdlib_module_names, "numpy", "scipy", "lifelines", "statsmodels", "threadpoolctl", "analysis"}
    names = {name.split(".")[0] for name in _imports(path)}
    assert names <= allowed
    assert {n for n in _imports(path) if n.startswith("analysis")} <= {n for n in _imports(path) if ".numerics" in n}


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_no_module_is_longer_than_three_hundred_and_fifty_lines(path):
    # The numerics' longest are reported to their authors rather than failed for a few lines over.
    limit = 380 if "analysis" in path.parts else 350
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_every_module_and_public_name_says_what_it_is(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert path.stat().st_size == 0 or ast.get_docstring(tree)
    public = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and node in tree.body
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("package", ["registry", "synthetic"])
def test_what_a_package_offers_exists_and_is_documented(package):
    module = import_module(package)
    for name in module.__all__:
        assert inspect.getdoc(getattr(module, name))


def test_starting_the_command_does_not_load_the_statistics():
    code = "import sys, registry; print([m for m in ('lifelines', 'statsmodels', 'matplotlib') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


def test_the_sql_folder_is_no_python_package():
    assert list((ROOT / "sql").rglob("*.py")) == []


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return named | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
