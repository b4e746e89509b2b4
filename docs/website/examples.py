"""The spec tests of ``sql/`` as examples: rows in and rows expected, under the sentence that names the test.

Tests are run by pytest with this module as a plugin, which writes down what each hands to its helper ``given`` and does
not ask the engine: that the examples hold is shown by the test suite.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).parents[2]
_OUT = "CATAMNESIS_EXAMPLES"
# Names that a test cannot write as the field does.
_SPELT = {
    "koos": "KOOS", "womac": "WOMAC", "oxford": "Oxford", "kl": "KL", "vas": "VAS", "iqr": "IQR", "hoos": "HOOS",
    "anna": "Anna", "bert": "Bert", "sql": "SQL", "ptga": "PtGA", "omeract": "OMERACT", "oarsi": "OARSI",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A titled table of an example: `header`, and `rows` of as many cells."""

    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Example:
    """One run of one spec test.

    Attributes
    ----------
    model
        Table of ``sql/`` that it specifies, e.g. ``course.baseline``.
    sentence
        The name of the test.
    given
        Rows that went in.
    expected
        Rows that must come out, in the columns that matter to the rule.
    where
        Which rows of the model are looked at; ``true``: all.
    """

    model: str
    sentence: str
    given: list[Table]
    expected: Table
    where: str


def collect(tests: Path = ROOT / "tests" / "spec") -> list[Example]:
    """Return every example of the spec tests, in the order of the files.

    Raises
    ------
    RuntimeError
        When pytest does not get through them; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "examples.json"
        path = os.pathsep.join([str(ROOT / "docs"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        asked = ["-q", "-p", "website.examples", "-p", "no:cacheprovider", "-p", "no:xdist"]
        asked += ["--ignore-glob", str(tests / "test_*.py"), str(tests)]
        environment = {**os.environ, "PYTHONPATH": path, _OUT: str(out)}
        command = [sys.executable, "-m", "pytest", *asked]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"The spec tests could not be read:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return [_example(**told) for told in json.loads(out.read_text(encoding="utf-8"))]


def sentence(test: str) -> str:
    """Return the name of a test as a sentence: ``test_koos_needs_half`` is "KOOS needs half."."""
    words = [_SPELT.get(w, w) for w in test.removeprefix("test_").split("_")]
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def _example(test: str, text: str, model: str, expected: str, where: str) -> Example:
    given = [_table(title, table) for title, table in _titled(text)]
    return Example(model, sentence(test), [t for t in given if t.rows], _table("", expected), where)


def _titled(text: str) -> Iterator[tuple[str, str]]:
    for block in filter(str.strip, re.split(r"\n\s*\n", text)):
        title, _, table = block.strip().partition("\n")
        yield title, table


def _table(title: str, text: str) -> Table:
    header, *rows = [[c.strip() for c in line.split("|")] for line in text.splitlines() if line.strip()]
    return Table(title, header, rows)


# -- as a plugin of pytest ----------------------------------------------------------------------------------------

_told: list[dict[str, str]] = []


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Leave out tests that state no example, or run models themselves."""
    items[:] = [
        item for item in items
        if "given" in item.fixturenames and "sqlmodels" not in item.function.__code__.co_names
    ]  # fmt: skip


def pytest_fixture_setup(fixturedef: Any, request: Any) -> Any:
    """Stand in for the registry of the tests: nothing is asked of it."""
    if fixturedef.argname != "empty_registry":
        return None
    fixturedef.cached_result = (MagicMock(), fixturedef.cache_key(request), None)
    return fixturedef.cached_result[0]


def pytest_runtest_setup(item: Any) -> None:
    """Let the helper of this test write down what it is given instead of asking the engine."""
    helper = next(p.Given for p in item.config.pluginmanager.get_plugins() if hasattr(p, "Given"))

    def write_down(self: Any, model: str, expected: str, *, where: str = "true") -> None:
        _told.append(
            {"test": item.originalname, "text": self.text, "model": model, "expected": expected, "where": where}
        )

    def keep_text(self: Any, con: Any, text: str) -> None:
        self.con, self.text = con, text

    helper.__init__, helper.derives = keep_text, write_down


def pytest_runtest_makereport(item: Any, call: Any) -> None:
    """Forgive what a test asks of the engine after it has told its example."""
    if call.excinfo and any(told["test"] == item.originalname for told in _told):
        call.excinfo = None


def pytest_sessionfinish() -> None:
    """Write down every example that was told."""
    if _OUT in os.environ:
        Path(os.environ[_OUT]).write_text(json.dumps(_told), encoding="utf-8")
