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
from functools import partial
from pathlib import Path

from registry import Registry, derive
from registry.errors import RegistryBusy, UsageError
from reports import run_state
from reports.by_centre import FOLDER, write_centre_reports
from reports.fingerprint import code_and_record, waivers
from reports.run_state import LATEST
from reports.summary import write_report
from reports.words import ENGLISH, Words, languages, words_of

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z-[0-9a-f]{8}")


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
    # Where nothing was published yet, a language that is not known leaves no folder; else it is a failure as others.
    words = words_of(language) if language in languages() or not (out / run_state.STATUS).exists() else ENGLISH
    if keep < 1:
        raise UsageError(f"--keep {keep}: at least the last report is kept.")
    out.mkdir(parents=True, exist_ok=True)
    if (out / LATEST).exists() and not (out / LATEST).is_symlink():
        raise UsageError(f"{out / LATEST} was not made by this command. Give another folder with --out.")
    with _alone(out), run_state.stoppable():
        before = run_state.read(out)
        try:
            # Who looks while it runs, or after it was cut off, is not told of the run before as if it were this one.
            run_state.write(out, "running")
            if before.get("state") == "running":
                when = words.moment(dt.datetime.fromisoformat(before["at"]))
                told = words.html("The report of %(moment)s was cut off, so this is the last good one.", moment=when)
                run_state.banner(out, FOLDER, told)
            words = words_of(language)
            if not derived:
                derive(path)
            done = _publish(path, out, keep, by_centre, language)
        except Exception as error:
            _told_of(out, error, path, words)
            raise
    return done


def _told_of(out: Path, error: Exception, path: Path, words: Words) -> None:
    """Say that a run failed and why, and keep nothing of what was half done: a full disk has room again."""
    for part in out.glob(".*.part"):
        shutil.rmtree(part, ignore_errors=True)
    why = run_state.why(error, path, out)
    told = words.html("The report of %(moment)s failed, so this is the last good one. %(why)s",
                      moment=words.moment(_now()), why=words.said(why))  # fmt: skip
    for say in (partial(run_state.write, out, "failed", why=why), partial(run_state.banner, out, FOLDER, told)):
        try:
            say()
        except OSError as other:
            error.add_note(f"And {out} could not be told of it: {other.strerror or other}.")


def _publish(path: Path, out: Path, keep: int, by_centre: bool, language: str) -> Published:
    with Registry.open(path) as registry:
        if registry.stale():
            raise UsageError(f"{path} was loaded after it was derived. Run: catamnesis derive {path}")
        mark = _fingerprint(registry, by_centre, language)
        last = _last(out)
        if last is not None and last.name.endswith(mark):
            run_state.banner(out, FOLDER, None)
            run_state.write(out, "unchanged", report=last.name)
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
    run_state.banner(out, FOLDER, None)
    told = json.loads((out / name / "numbers.json").read_text("utf-8"))["changes"]
    run_state.write(
        out, "published", report=name, changes=told, **({"centres_without_report": refused} if by_centre else {})
    )
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
