"""Builds the site: every page as Markdown in a temporary folder, then HTML by MkDocs; a dead link is a failure."""

from __future__ import annotations

import argparse
import json
import logging
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config

from website import catalogues, definitions, examples, notebooks, programmes, reference, written

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main() -> int:
    """Build the site as the command line says."""
    parser = argparse.ArgumentParser(prog="python docs/website", description="Build the documentation site.")
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of the site; made anew (default: site)")
    parser.add_argument("--skip-notebooks", action="store_true", help="do not run notebooks: pages without outputs")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    build(asked.out, run_notebooks=not asked.skip_notebooks)
    print(f"Site: {asked.out / 'index.html'}")
    return 0


def build(out: Path, *, run_notebooks: bool = True) -> None:
    """Build the site in `out`.

    Raises
    ------
    mkdocs.exceptions.Abort
        When a link or anchor of a page leads nowhere, or a page is in no section.
    """
    made = pages(run_notebooks=run_notebooks)
    with tempfile.TemporaryDirectory() as folder:
        for path, content in made.items():
            place = Path(folder) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        config = load_config(
            str(HERE / "mkdocs.yml"), docs_dir=folder, site_dir=str(out.resolve()), nav=written.navigation(set(made)),
            theme={"name": None, "custom_dir": str(HERE / "theme"), "locale": "en", "search_index_only": True},
            hooks=[str(HERE / "hooks.py")], extra={"version": version("catamnesis")},
        )  # fmt: skip
        config.plugins.on_startup(command="build", dirty=False)
        mkdocs_build(config)
    _search_without_server(out)


def pages(*, run_notebooks: bool) -> dict[str, str | bytes]:
    """Return every page and file of the site: its path to Markdown or bytes."""
    return {
        **written.pages(),
        **written.linked_files(),
        **catalogues.pages(),
        **programmes.pages(),
        **definitions.pages(examples.collect()),
        **reference.pages(),
        **notebooks.pages(run=run_notebooks),
    }


def _search_without_server(out: Path) -> None:
    """Put the search index where a page opened from a folder can read it: a script, not a request."""
    index = json.loads((out / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    entries = [[d["location"], d["title"], re.sub(r"\s+", " ", d["text"]).strip()] for d in index]
    shutil.rmtree(out / "search")
    text = f"window.searchIndex={json.dumps(entries, ensure_ascii=False, separators=(',', ':'))};"
    (out / "assets" / "search-index.js").write_text(text, encoding="utf-8")
