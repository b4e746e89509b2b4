"""Every code block of README and docs does what the page says: commands run in a folder as the page assumes it, Python
against the registry that lies there, and what is shown as output is what comes out.

A block that cannot be run says why, in a comment before it: ``<!-- not run: needs a REDCap server -->``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry import Registry, derive, ingest
from reports import cli, demo
from synthetic import Design, redcap_files, simulate, sources

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
# Exit codes that the page speaks of: rows refused, findings open, a mapping in which a person has to decide; or that the
# day of the test explains: nothing had been loaded in March 2026.
AS_OF = "analyse knees.duckdb time-to-response --programme osteoarthritis --as-of 2026-03-31"
FORESEEN = {
    AS_OF: {0, 2},
    "load": {0, 3},
    # That there is a finding on the line which the page waives is chance.
    "waive": {0, 2},
    "check": {0, 4},
    # Without a key in the environment it says that there is none.
    "encrypt": {0, 1},
    "load knees.duckdb export.csv --mapping load.toml --dry-run": {2, 3},
}
QUICK = ("docs/tutorial.md", "docs/how-to/your-own-files.md")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and why it is not run, if it is not."""

    page: str
    kind: str
    text: str
    why: str | None


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page.relative_to(ROOT).as_posix(), m["kind"], m["text"], m["why"]) for m in found]


ALL = [b for page in PAGES for b in blocks(page)]
RUN = sorted({b.page for b in ALL if b.kind in ("sh", "python") and not b.why})


class Session:
    """A terminal in a folder: commands of ours run in this process, all others in a shell."""

    def __init__(self, folder: Path, read: Callable[[], str], patch: pytest.MonkeyPatch):
        self.read, self.patch, self.said = read, patch, ""
        self.go(folder)

    def go(self, folder: Path) -> None:
        self.patch.setenv("OLDPWD", str(Path.cwd()))
        self.patch.chdir(folder)

    def run(self, text: str) -> None:
        """Run the lines of a block; a document up to END belongs to the line that begins it."""
        for command in re.findall(r"^(.+<<'END'\n(?:.*\n)*?END|.+)$", text, flags=re.M):
            if command.startswith("catamnesis "):
                self.ours(shlex.split(command, comments=True)[1:])
            elif not command.startswith("#"):
                done = subprocess.run(
                    ["bash", "-euc", f"{command}\npwd"], capture_output=True, text=True, env={**os.environ, "PATH": _path()}
                )  # fmt: skip
                assert done.returncode == 0, f"{command}\n{done.stderr}"
                *lines, folder = done.stdout.splitlines()
                self.said += "\n".join(lines) + "\n"
                if folder != str(Path.cwd()):
                    self.go(Path(folder))

    def ours(self, arguments: list[str]) -> None:
        self.patch.setattr(sys, "argv", ["catamnesis", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        self.said += self.read()
        line = " ".join(arguments)
        foreseen = FORESEEN.get(line) or FORESEEN.get(arguments[0], {0})
        assert int(stop.value.code or 0) in foreseen, f"catamnesis {line}\n{self.said[-2000:]}"

    def python(self, text: str) -> None:
        exec(compile(text, "block", "exec"), {})
        self.said += self.read()


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def as_readme_assumes(folder: Path) -> None:
    """The demo beside it, files of a clinic to load, and an old registry."""
    demo.run(folder / "demo", 300, 3, lambda _: None)
    made = simulate(Design(patients=200, programmes={"osteoarthritis": 1.0}, seed=5, details=True))
    sources.write_template(made, folder / "files")
    Registry.create(folder / "old.duckdb").close()
    _redcap(folder)


def as_pooling_assumes(folder: Path) -> None:
    """The registry of this centre, and the counts that another one has sent."""
    for name, seed in (("south", 6), ("knees", 5)):
        made = simulate(Design(patients=200, programmes={"osteoarthritis": 1.0}, seed=seed))
        sources.write_template(made, folder / "files")
        _registry(folder, name)
    asked = ["reduce", "south.duckdb", "--out", "south.zip", "--centre", "south", "--programme", "osteoarthritis"]
    code = "import sys; from reports.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, *asked], cwd=folder, check=True, capture_output=True)


def as_trajectories_assume(folder: Path) -> None:
    made = simulate(Design(patients=300, programmes={"osteoarthritis": 1.0}, seed=5))
    sources.write_template(made, folder / "files")
    _registry(folder)


def as_keeping_assumes(folder: Path) -> None:
    as_readme_assumes(folder)
    _registry(folder)
    (folder / "measurements.csv").write_bytes((folder / "files" / "measurements.csv").read_bytes())


def _redcap(folder: Path) -> None:
    made = simulate(Design(patients=60, programmes={"osteoarthritis": 1.0}, seed=5))
    redcap_files.write_redcap(made, folder / "redcap")
    for path in (folder / "redcap").iterdir():
        if path.name != "load.toml":
            path.rename(folder / path.name)


def _registry(folder: Path, name: str = "knees") -> None:
    path = folder / f"{name}.duckdb"
    Registry.create(path).close()
    ingest.load(path, [folder / "files"])
    derive(path)


def _project(folder: Path) -> None:
    # A terminal that was in the project's folder before.
    (folder / "docs").symlink_to(ROOT / "docs")


PREPARED: dict[str, Callable[[Path], None]] = {
    "README.md": as_readme_assumes,
    "docs/how-to/keep-the-record.md": as_keeping_assumes,
    "docs/how-to/send-rows.md": as_keeping_assumes,
    "docs/how-to/explore.md": as_keeping_assumes,
    "docs/how-to/pool-centres.md": as_pooling_assumes,
    "docs/methods/trajectories.md": as_trajectories_assume,
    "docs/how-to/redcap.md": as_keeping_assumes,
    "docs/tutorial.md": _project,
    "docs/real_data/README.md": _project,
}


@pytest.mark.parametrize(
    "page", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in RUN]
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_blocks_of_a_page_run_one_after_the_other_and_say_what_the_page_shows(page, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "project"
    folder.mkdir()
    PREPARED.get(page, lambda _: None)(folder)
    session = Session(folder, lambda: "".join(capsys.readouterr()), monkeypatch)
    for block in (b for b in ALL if b.page == page and not b.why):
        if block.kind == "sh":
            session.run(block.text)
        elif block.kind == "python":
            session.python(block.text)
        elif block.kind == "text":
            lacking = [line for line in block.text.splitlines() if line.strip() and line not in session.said]
            assert lacking == [], session.said[-3000:]
        elif block.kind == "toml":
            assert tomllib.loads(block.text)


def test_every_block_is_run_or_says_why_not():
    unknown = [f"{b.page}: {b.text[:60]}" for b in ALL if b.kind not in ("sh", "python", "text", "toml") and not b.why]
    assert unknown == []
    assert [b.page for b in ALL if b.kind == "text" and not b.why and b.page not in RUN] == []


def test_the_tutorial_shows_the_mapping_and_the_figure_that_it_uses(tmp_path):
    mapping = (ROOT / "docs" / "tutorial" / "load.toml").read_text(encoding="utf-8")
    (shown,) = [b.text for b in ALL if b.page == "docs/tutorial.md" and b.kind == "toml"]
    assert shown in mapping


def test_the_page_about_mappings_names_every_option():
    from registry import mapping_options as options

    page = (ROOT / "docs" / "how-to" / "your-own-files.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)`", page))
    assert {*options.TOP, *options.ENTRY, *options.FIELD} <= named
