"""The documentation says what is so: README lines run, links lead somewhere, commands are named."""

import ast
import re
import sys
from pathlib import Path

import pytest

from reports import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [p for p in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if ".venv" not in p.parts]


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
    from reports import demo

    monkeypatch.chdir(tmp_path)
    demo.run(tmp_path / "demo", 600, 3, lambda _: None)
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    exec(compile(block, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "Courses:" in out and "used " in out and "% CI" in out
    assert (tmp_path / "response.png").stat().st_size > 10_000
    assert (tmp_path / "demo" / "report" / "index.html").exists()


def test_the_readme_names_every_command_and_only_those_there_are():
    named = set(re.findall(r"catamnesis ([a-z-]+) ", README)) | {"demo"}
    known = {c.name or c.callback.__name__.replace("_", "-") for c in cli.app.registered_commands}
    known |= {group.name for group in cli.app.registered_groups}
    assert named == known


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if not target.startswith(("http", "mailto")):
            place = page.parent / path if path else page
            assert place.exists(), f"{page.name} links to {target}"
            assert not heading or heading in headings(place), f"{page.name} links to {target}"


def headings(page):
    """Return the anchors that a code host makes of the headings of a page."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in found}


def test_every_table_and_column_is_in_the_codebook():
    from registry.codebook import codebook
    from registry.mapping import source_columns
    from registry.tables import TABLES

    text = codebook()
    for table in TABLES:
        part = text.split(f"## {table.__source__.file}\n")[1].split("\n## ")[0]
        assert all(re.search(rf"\| \**{c}\**\*? \|", part) for c in source_columns(table))


def test_the_make_recipes_have_their_plain_equivalent():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for recipe in ("demo", "test", "docs"):
        assert f"make {recipe}" in README and re.search(rf"^{recipe}: \.venv/ready", makefile, flags=re.M)
    assert sys.version_info >= (3, 11)


def test_the_glossary_says_what_a_result_prints():
    """Every column of the results frame, and every quantity that an analysis names in its code."""
    from analysis.result import FRAME

    named = set(re.findall(r"`([a-z_0-9]+)`", (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")))
    calls = [n for p in ROOT.glob("analysis/*.py") for n in ast.walk(ast.parse(p.read_text(encoding="utf-8")))]
    rows = [c.args[1] for c in calls if isinstance(c, ast.Call) and getattr(c.func, "id", "") == "row" and c.args[1:]]
    quantities = {a.value for a in rows if isinstance(a, ast.Constant)}
    assert len(quantities) > 20 and (quantities | set(FRAME)) - named == set()
