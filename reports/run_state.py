"""What the folder of published reports says of its runs: in ``status.json`` for operators, in a banner for readers."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from markupsafe import Markup

from registry.errors import CatamnesisError, of_engine
from reports.formats import replace_file

STATUS, LATEST = "status.json", "latest"
_MARK = "<!-- status -->"
_BANNER = re.compile(re.escape(_MARK) + r"(<p class=\"held\" role=\"alert\">.*?</p>)?", re.DOTALL)


class Stopped(CatamnesisError):
    """The run was told to stop: by the keyboard, or by who started it."""


def read(out: Path) -> dict[str, Any]:
    """Return what is said of the last run; nothing where there was none, or it cannot be read."""
    try:
        return dict(json.loads((out / STATUS).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def write(out: Path, state: str, **more: Any) -> None:
    """Say how a run stands, which report `latest` shows and to when its data reach, and since when runs have failed."""
    before, now = read(out), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    content = {"state": state, "at": now, **more, **_shown(out)}
    if state == "running":
        content["process"] = os.getpid()
    if state in ("running", "failed"):
        # What still says running when the next run has the folder to itself was cut off, and failed too.
        ended = state == "failed"
        cut_off = not ended and before.get("state") == "running"
        if cut_off:
            content["before"] = {"state": "cut off", "at": before.get("at")}
        elif "before" in before:
            content["before"] = before["before"]
        failures = int(before.get("failures", 0)) + ended + cut_off
        if failures:
            content["failures"] = failures
            content["failing_since"] = before.get("failing_since") or (before.get("at") if cut_off else now)
    replace_file(out / STATUS, json.dumps(content, ensure_ascii=False, indent=1))


def _shown(out: Path) -> dict[str, Any]:
    """Return which report `latest` shows, and to when its data reach."""
    latest = out / LATEST
    if not latest.is_symlink() or not (latest / "numbers.json").exists():
        return {"latest": None}
    try:
        day = json.loads((latest / "numbers.json").read_text("utf-8"))["data_cut"]
    except (OSError, ValueError, KeyError):
        day = None
    return {"latest": latest.readlink().name, "latest_data_to": day}


def banner(out: Path, folder: str, told: Markup | None) -> None:
    """Put a banner into the pages that `latest` shows, those of centres in `folder` too, or take it out."""
    shown = f'<p class="held" role="alert">{told}</p>' if told else ""
    for page in (out / LATEST / "index.html", *(out / LATEST / folder).glob("*/index.html")):
        if not page.exists():
            continue
        text = page.read_text("utf-8")
        changed = _BANNER.sub(lambda _: _MARK + shown, text, count=1)
        if changed != text:
            replace_file(page.resolve(), changed)


def why(error: BaseException, *places: Path) -> str:
    """Return a failure as it is published: in words that name no patient, and without the folders of the server."""
    if isinstance(error, CatamnesisError):
        said = str(error)
    elif isinstance(error, Exception) and (engine := of_engine(error)):
        said = engine
    elif isinstance(error, OSError) and error.strerror:
        said = f"{error.strerror}; see the log of the run"
    elif isinstance(error, ImportError) and error.name:
        said = f"The Python package {error.name} is missing; see the log of the run"
    else:
        said = f"{type(error).__name__}; see the log of the run"
    for place in places:
        for written in (str(place.resolve()), str(place)):
            said = said.replace(written, place.name)
    return said


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turn the signals by which a run is told to stop into an error, so that it is told as one."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(f"The run was stopped before it was done ({signal.Signals(number).name}).")

    held = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        # Only the main thread may ask for signals; elsewhere whoever runs us does.
        with contextlib.suppress(ValueError):
            held[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
