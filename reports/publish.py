"""The report on a schedule: nothing is done twice, `latest` is always a whole report, and a failure is seen."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from registry import Registry, derive
from registry.errors import CatamnesisError, RegistryBusy, UsageError
from reports.by_centre import FOLDER, write_centre_reports
from reports.fingerprint import code_and_record, waivers
from reports.formats import replace_file
from reports.summary import write_report
from reports.words import words_of

STATUS = "status.json"
LATEST = "latest"
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z-[0-9a-f]{8}")
_MARK = "<!-- status -->"
_BANNER = re.compile(re.escape(_MARK) + r"(<p class=\"held\" role=\"alert\">.*?</p>)?", re.DOTALL)


@dataclass(frozen=True)
class Published:
    """What a run did.

    Attributes
    ----------
    state
        ``published`` or ``unchanged``.
    page
        The page that `latest` now shows.
    changes
        What changed since the report before, in sentences; empty in the first.
    refused
        Centres that got no report of their own, with the reason.
    """

    state: str
    page: Path
    changes: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)


def publish(
    path: Path, out: Path, *, keep: int = 12, by_centre: bool = False, language: str = "en", derived: bool = True
) -> Published:
    """Write a report into a folder of its own under `out` and point ``latest`` to it, unless nothing changed.

    Same record, same derivation and same code give the same fingerprint, and no new report. A failure leaves the last
    good report in place with a banner that says so, and its reason in ``status.json``.

    Parameters
    ----------
    path
        The registry, derived.
    out
        Folder that is served or copied; made if it is not there.
    keep
        Number of reports kept; older ones are removed.
    by_centre
        Whether each centre also gets a report of its own, in ``centres``; see :mod:`reports.by_centre`.
    language
        Of pages and PDFs, one of :func:`reports.words.languages`.
    derived
        Whether the registry is derived already; if not it is derived first, and a failure of that is seen as well.

    Raises
    ------
    UsageError
        When the registry is not there or not derived, `keep` is less than 1, the language is not known, or `out`
        holds something else.
    RegistryBusy
        When another run is publishing into `out`.
    """
    if keep < 1:
        raise UsageError(f"--keep {keep}: at least the last report is kept.")
    words = words_of(language)
    out.mkdir(parents=True, exist_ok=True)
    if (out / LATEST).exists() and not (out / LATEST).is_symlink():
        raise UsageError(f"{out / LATEST} was not made by this command. Give another folder with --out.")
    with _alone(out):
        # Who looks while it runs, or after it was cut off, is not told of the run before as if it were this one.
        _state(out, "running")
        try:
            if not derived:
                derive(path)
            done = _publish(path, out, keep, by_centre, language)
        except Exception as error:
            # Only our own messages are known to name no patient.
            ours = isinstance(error, CatamnesisError)
            why = str(error) if ours else f"{type(error).__name__}; see the log of the run"
            _state(out, "failed", why=why)
            _banner(out, words.html("The report of %(moment)s failed, so this is the last good one. %(why)s",
                                    moment=words.moment(_now()), why=words.said(why)))  # fmt: skip
            raise
    return done


def _publish(path: Path, out: Path, keep: int, by_centre: bool, language: str) -> Published:
    with Registry.open(path) as registry:
        if registry.stale():
            raise UsageError(f"{path} was loaded after it was derived. Run: catamnesis derive {path}")
        mark = _fingerprint(registry, by_centre, language)
        last = _last(out)
        if last is not None and last.name.endswith(mark):
            _banner(out, None)
            _state(out, "unchanged", report=last.name)
            return Published("unchanged", out / LATEST / "index.html")
        name = f"{_now():%Y-%m-%dT%H%M%SZ}-{mark}"
        part = out / f".{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        before = json.loads((last / "numbers.json").read_text("utf-8")) if last is not None else None
        write_report(registry, part, before, language=language)
    refused: dict[str, str] = {}
    if by_centre:
        earlier = last / FOLDER if last is not None else None
        reasons = write_centre_reports(path, part / FOLDER, earlier, language=language)
        refused = {centre: why for centre, why in reasons.items() if why}
    part.rename(out / name)
    _point(out, name)
    _banner(out, None)
    told = json.loads((out / name / "numbers.json").read_text("utf-8"))["changes"]
    _state(out, "published", report=name, changes=told, **({"centres_without_report": refused} if by_centre else {}))
    for old in sorted(p for p in out.iterdir() if _NAME.fullmatch(p.name))[:-keep]:
        shutil.rmtree(old)
    for old in out.glob(".*.part"):
        shutil.rmtree(old, ignore_errors=True)
    return Published("published", out / LATEST / "index.html", tuple(told), refused)


def _fingerprint(registry: Registry, by_centre: bool, language: str) -> str:
    """Return eight digits that change with the record, its derivation, catalogues, code, waivers, and what is asked."""
    asked = "by centre" if by_centre else ""
    parts = [*code_and_record(registry), waivers(registry), asked, language]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:8]


def _last(out: Path) -> Path | None:
    """Return the folder that `latest` points to, if it is whole."""
    latest = out / LATEST
    whole = latest.is_symlink() and all((latest / f).exists() for f in ("index.html", "report.pdf", "numbers.json"))
    return out / latest.readlink() if whole else None


def _point(out: Path, name: str) -> None:
    """Point `latest` to a report in one step: a reader sees the old one or the new one."""
    beside = out / f".{LATEST}"
    beside.unlink(missing_ok=True)
    beside.symlink_to(name, target_is_directory=True)
    beside.replace(out / LATEST)


def _banner(out: Path, told: Markup | None) -> None:
    """Put a banner into the pages that `latest` shows, those of centres too, or take it out."""
    shown = f'<p class="held" role="alert">{told}</p>' if told else ""
    for page in (out / LATEST / "index.html", *(out / LATEST / FOLDER).glob("*/index.html")):
        if not page.exists():
            continue
        text = page.read_text("utf-8")
        changed = _BANNER.sub(lambda _: _MARK + shown, text, count=1)
        if changed != text:
            replace_file(page.resolve(), changed)


def _state(out: Path, state: str, **more: Any) -> None:
    content = {"state": state, "at": _now().isoformat(timespec="seconds"), **more}
    replace_file(out / STATUS, json.dumps(content, ensure_ascii=False, indent=1))


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold `out` for one run; a run that died leaves nothing locked, since the system frees its lock."""
    try:
        import fcntl
    except ImportError:
        raise UsageError("Publishing needs a POSIX system. Here, use: catamnesis report") from None
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RegistryBusy(f"Another run is publishing into {out}. Try again when it has ended.") from None
        file.write(str(os.getpid()))
        file.flush()
        yield


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
