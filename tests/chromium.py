"""Drives headless Chromium by its DevTools protocol: open a page, evaluate, press keys, list requests and complaints, take a picture."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import websocket

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_KEYS = {"ArrowDown": 40, "Tab": 9, "Enter": 13}


class Page:
    """One page of the browser."""

    def __init__(self, address: str):
        self._socket = websocket.create_connection(address, timeout=120, suppress_origin=True)
        self._number = 0
        self.requests: list[str] = []
        self.wrong: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": arguments}))
        until = time.monotonic() + 120
        while True:
            assert time.monotonic() < until, f"the browser did not answer {method}"
            told = json.loads(self._socket.recv())
            if "method" in told:
                self._hear(told["method"], told["params"])
            if told.get("id") == self._number:
                return told.get("result", told)

    def _hear(self, event: str, told: dict[str, Any]) -> None:
        """Keep what was asked of a network, and what the page, its policy or the browser complained of."""
        if event in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            self.requests.append(told.get("url") or told["request"]["url"])
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            said = " ".join(str(a.get("value", a.get("description"))) for a in told["args"])
            self.wrong.append(f"console {told['type']}: {said}")
        elif event == "Runtime.exceptionThrown":
            thrown = told["exceptionDetails"]
            self.wrong.append(f"exception: {thrown.get('exception', {}).get('description', thrown['text'])}")
        elif event == "Log.entryAdded":
            self.wrong.append(f"log {told['entry']['source']}: {told['entry']['text']}")

    def evaluate(self, script: str) -> Any:
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60) -> Any:
        until = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < until, f"{script} did not come true in {seconds:.0f} seconds"
            time.sleep(0.1)
        return value

    def press(self, key: str) -> None:
        # A key presses a button only if it has a text.
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=_KEYS[key], **text)

    def close(self) -> None:
        self._socket.close()

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def page(folder: Path, width: int = 1400, height: int = 1300) -> Iterator[Page]:
    """Open an empty page in a browser with a profile of its own, which reaches this machine only."""
    assert PROGRAM is not None
    process = subprocess.Popen(
        [PROGRAM, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}",
         f"--window-size={width},{height}", "--disable-background-networking", "--no-first-run", "--disable-gpu",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = _wait(lambda: (folder / "DevToolsActivePort").read_text().split()[0])
        pages = _wait(lambda: [t for t in _targets(port) if t["type"] == "page"])
        opened = Page(pages[0]["webSocketDebuggerUrl"])
        try:
            yield opened
        finally:
            opened.close()
    finally:
        process.terminate()
        process.wait(20)


def _targets(port: str) -> list[dict[str, Any]]:
    with urlopen(f"http://127.0.0.1:{port}/json") as answer:
        return list(json.load(answer))


def _wait(ask: Callable[[], Any], seconds: float = 30) -> Any:
    until = time.monotonic() + seconds
    while True:
        try:
            if found := ask():
                return found
        except (OSError, IndexError):
            pass
        assert time.monotonic() < until, "the browser did not start"
        time.sleep(0.1)
