"""Notebooks as pages: run from top to bottom, with what they showed. A run is kept by the hash of notebook and code."""

from __future__ import annotations

import base64
import hashlib
import re
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from website import written

ROOT = Path(__file__).parents[2]
_KEPT = ROOT / "build" / "notebooks"
_CODE = (
    "registry/**/*.py",
    "registry/**/*.csv",
    "analysis/**/*.py",
    "synthetic/**/*.py",
    "reports/**/*",
    "sql/**/*.sql",
)


def pages(*, run: bool) -> dict[str, str | bytes]:
    """Return a page for each notebook and its pictures: path in the site to Markdown or bytes.

    Parameters
    ----------
    run
        Run those that were not run with this code before; else pages are without outputs.
    """
    made: dict[str, str | bytes] = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = executed(path) if run else nbformat.read(path, as_version=4).cells
        made |= _page(path.stem, cells, run=run)
    return made


def executed(path: Path, kept: Path = _KEPT) -> list[Any]:
    """Return the cells of a notebook with their outputs, run now or by an earlier build of the same code."""
    source = path.read_bytes()
    digest = hashlib.sha256(source + _code()).hexdigest()[:16]
    known = kept / f"{path.stem}-{digest}.ipynb"
    if known.exists():
        return list(nbformat.read(known, as_version=4).cells)
    notebook = nbformat.reads(source.decode(), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute()
    kept.mkdir(parents=True, exist_ok=True)
    for old in kept.glob(f"{path.stem}-*.ipynb"):
        old.unlink()
    known.write_text(nbformat.writes(notebook), encoding="utf-8")
    return list(notebook.cells)


def _code() -> bytes:
    files = sorted(p for pattern in _CODE for p in ROOT.glob(pattern) if p.is_file() and "__pycache__" not in p.parts)
    return b"".join(hashlib.sha256(p.read_bytes()).digest() for p in files)


def _page(stem: str, cells: list[Any], *, run: bool) -> dict[str, str | bytes]:
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    about = stem
    for cell in cells:
        if cell.cell_type == "markdown":
            source = f"notebooks/{stem}.ipynb"
            parts.append(written.relinked(cell.source, source, f"notebooks/{stem}.md"))
            about = (re.findall(r"^#+ (.+)$", cell.source, flags=re.M) or [about])[-1]
        else:
            parts.append(f"```python\n{cell.source}\n```")
            for shown, data in _outputs(cell):
                if shown == "image":
                    name = f"{stem}-{len(pictures) + 1}.png"
                    pictures[f"notebooks/{name}"] = base64.b64decode(data)
                    parts.append(f"![Figure: {about}]({name})")
                else:
                    parts.append(data)
    title, *rest = parts
    how = "As it ran when this site was built." if run else "Without outputs: this site was built without running it."
    note = f'<p class="soft"><code>notebooks/{stem}.ipynb</code>. {how}</p>'
    return {f"notebooks/{stem}.md": "\n\n".join([title, note, *rest]) + "\n", **pictures}


def _outputs(cell: Any) -> Iterator[tuple[str, str]]:
    said = "".join(o.text for o in cell.get("outputs", []) if o.output_type == "stream")
    if said.strip():
        yield "text", f'<pre class="output">{escape(said.rstrip())}</pre>'
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            yield "image", data["image/png"]
        elif "text/html" in data:
            yield "text", f'<div class="output">\n{_harmless(data["text/html"])}\n</div>'
        elif "text/markdown" in data:
            yield "text", data["text/markdown"]
        elif "text/plain" in data:
            yield "text", f'<pre class="output">{escape(data["text/plain"])}</pre>'


def _harmless(html: str) -> str:
    """Take scripts out: a page loads and runs nothing of a notebook's."""
    return re.sub(r"<script\b.*?</script>", "", html, flags=re.S)
