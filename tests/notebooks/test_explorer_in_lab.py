"""The explorer in a real JupyterLab, driven by keyboard in headless Chromium; nothing leaves this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

import chromium
import nbformat
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(chromium.PROGRAM is None, reason="Chromium is not installed"),
]
CELL = """from analysis import explore
from registry import Registry

reg = Registry.open("{path}")
ex = explore(reg)
ex"""
FIGURE = "document.querySelector('figure svg')?.innerHTML"
CODE = "document.querySelector('.widget-textarea textarea').value"
RUN = """void (async () => {
    const app = window.jupyterapp;
    await app.restored;
    const open = {path: 'explorer.ipynb', factory: 'Notebook', kernel: {name: 'python3'}};
    const panel = await app.commands.execute('docmanager:open', open);
    await panel.context.ready;
    await panel.sessionContext.ready;
    await app.commands.execute('notebook:run-all-cells');
})()"""
FIELD = """(() => {{ const label = [...document.querySelectorAll('label')].find(l => l.innerText.trim() == '{label}');
    const field = document.getElementById(label.htmlFor) ?? label.parentElement.querySelector('select, input, textarea');
    field.focus(); return document.activeElement === field; }})()"""


@pytest.fixture
def lab(tmp_path, synthetic_file):
    """Address of a JupyterLab on a free port, with a notebook that opens the explorer."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(path=synthetic_file.as_posix()))])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "explorer.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{n}_DIR": str(tmp_path / n.lower()) for n in ("CONFIG", "DATA", "RUNTIME")}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
         "--IdentityProvider.token=open", f"--ServerApp.root_dir={tmp_path}", "--LabApp.expose_app_in_browser=True",
         "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
        env={**os.environ, **own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 180
        while True:
            try:
                urlopen(f"{address}/api?token=open").close()
                break
            except OSError:
                assert time.monotonic() < until, "JupyterLab did not start"
                time.sleep(0.2)
        yield f"{address}/lab?token=open"
    finally:
        server.terminate()
        server.wait(30)


def test_a_choice_made_by_keyboard_changes_the_figure_and_no_request_leaves(lab, tmp_path):
    with chromium.page(tmp_path / "profile") as page:
        page.call("Page.navigate", url=lab)
        page.wait_for("window.jupyterapp !== undefined", 120)
        page.evaluate(RUN)
        page.wait_for(FIGURE, 240)
        before = page.evaluate(f"window.before = {FIGURE}")
        # Arrows belong to the lists, not to JupyterLab's cells.
        page.wait_for("document.querySelector('[data-lm-suppress-shortcuts] select') !== null")
        assert page.wait_for(FIELD.format(label="Site"))
        page.press("ArrowDown")
        page.wait_for(f"{CODE}.includes('site=')", 120)
        after = page.wait_for(f"{FIGURE} != window.before && {FIGURE}", 120)
        page.picture(tmp_path / "response.png")
        assert "Cumulative incidence" in before and "Cumulative incidence" in after

        assert page.wait_for(FIELD.format(label="Follow-up ≥"))
        page.evaluate("document.activeElement.value = 30000;"
                      "document.activeElement.dispatchEvent(new Event('change', {bubbles: true}))")  # fmt: skip
        assert "No course is left" in page.wait_for(
            "document.querySelector('.jupyter-widgets [role=alert]')?.innerText"
        )
        assert page.evaluate("document.querySelector('.jp-OutputArea-output pre')") is None
        assert {urlsplit(url).hostname for url in page.requests} <= {"127.0.0.1", None, ""}
        assert len(page.requests) > 20
