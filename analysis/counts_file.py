"""The file in which counts leave a centre: a zip of CSV tables that anybody can read before it is sent.

``about.json`` holds the question, its definitions, versions and notes; ``<question>/<reduction>.csv`` the counts. The
first has a hash of each table and one of itself: they tell a file that came to harm, or that somebody mended by hand,
not one that somebody forged.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from analysis.cohort import Stratum
from analysis.pooled import COLUMNS
from analysis.reduction import Reduction
from registry.errors import UsageError

FORMAT = "catamnesis counts 2"
_READ_ME = """Counts of a clinic's courses of treatment, for a pooled analysis. All of it is text: look before you send.
No row is of a patient unless a count says 1; `small_counts` in about.json says whether counts of few were joined.
A cell is what courses have in common (stratum, days since the first session, what was seen). A pattern names the cells
of a patient's courses and moves. `total` is a sum of products of changes over the courses of a pattern of visits.
"""
# The same counts make the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_counts(
    path: str | Path,
    reductions: Sequence[Reduction],
    centre: str,
) -> Path:
    """Write the counts of one centre for one question or several, to be pooled elsewhere.

    Parameters
    ----------
    path
        The file, e.g. ``north.zip``; replaced as a whole, and for its owner only.
    centre
        Name under which the centre appears in the pooled result.
    Raises
    ------
    UsageError
        When two reductions are for the same question, or there is no such folder.

    Examples
    --------
    >>> counts = reduce_for(knees, "time_to_response")
    >>> write_counts("north.zip", [counts], centre="north")  # doctest: +SKIP
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}. Create it first.")
    about: dict[str, Any] = {"format": FORMAT, "centre": centre, "questions": {}}
    files: dict[str, bytes] = {"README.txt": _READ_ME.encode()}
    for r in reductions:
        if r.question in about["questions"]:
            raise UsageError(f"{r.question} is given twice: write each question once.")
        frames = {}
        for name, frame in r.frames.items():
            text = frame.write_csv().encode()
            files[f"{r.question}/{name}.csv"] = text
            frames[name] = {"columns": [[c, str(t)] for c, t in frame.schema.items()], "rows": frame.height,
                            "sha256": hashlib.sha256(text).hexdigest()}  # fmt: skip
        about["questions"][r.question] = {
            "placed": r.placed,
            "settings": r.settings,
            "flow": r.flow.to_dicts(),
            "notes": list(r.notes),
            "frames": frames,
        }
    about["sha256"] = _hash(about)
    files["about.json"] = json.dumps(about, indent=1, ensure_ascii=False).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in sorted(files):
            packed.writestr(zipfile.ZipInfo(name, _DATE), files[name], zipfile.ZIP_DEFLATED)
    half = path.with_name(f".{path.name}.part")
    half.write_bytes(made.getvalue())
    half.chmod(0o600)
    half.replace(path)
    return path


def read_counts(path: str | Path) -> dict[str, Reduction]:
    """Read a file of counts, by question.

    Raises
    ------
    UsageError
        When it is no such file, is of another format, or was changed since it was written.

    Examples
    --------
    >>> counts = read_counts("north.zip")["time_to_response"]  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"There is no file {path}. `catamnesis reduce REG --out {path.name}` writes one.")
    try:
        with zipfile.ZipFile(path) as packed:
            about = json.loads(packed.read("about.json"))
            _whole(path.name, about)
            return {q: _reduction(path.name, packed, q, told, about) for q, told in about["questions"].items()}
    except _NO_FILE:
        raise UsageError(f"{path.name} is not a file of counts: `catamnesis reduce` writes them.") from None


# What zipfile and json raise at bytes that are not theirs.
_NO_FILE = (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError,
            json.JSONDecodeError, UnicodeDecodeError, RecursionError)  # fmt: skip


def _hash(about: dict[str, Any]) -> str:
    """Return the hash of all that `about` says beside its hash, however it is spaced and ordered."""
    told = json.loads(json.dumps({k: v for k, v in about.items() if k != "sha256"}))
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _whole(file: str, about: object) -> None:
    """Refuse an `about` that is of another format, was changed, or lacks a part."""
    if not isinstance(about, dict) or "format" not in about:
        raise UsageError(
            f"{file} is not a file of counts: its about.json does not say so. `catamnesis reduce` writes them."
        )
    if about["format"] != FORMAT:
        raise UsageError(
            f"{file} has format {about['format']!r}; this version reads {FORMAT!r}. Ask for the file "
            "again, made with this version."
        )
    if about.get("sha256") != _hash(about):
        raise UsageError(f"{file}: about.json was changed on the way, since it was written. Ask for the file again.")
    _is(file, "centre", about.get("centre"), str)
    _is(file, "questions", about.get("questions"), dict)
    for question, told in about["questions"].items():
        if question not in COLUMNS:
            raise UsageError(f"{file} has counts for {question}, which this version cannot answer from counts.")
        for key, kind in (("placed", dict), ("settings", dict), ("flow", list), ("notes", list), ("frames", dict)):
            _is(file, f"{question}, {key}", _is(file, question, told, dict).get(key), kind)


def _is(file: str, what: str, found: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        shown = "is missing" if found is None else f"is {_short(found)}"
        raise UsageError(f"{file} cannot be read: {what} in about.json {shown}. Ask for the file again.")
    return found


def _short(found: object) -> str:
    text = repr(found)
    return text if len(text) < _SHOWN else f"{text[:_SHOWN]}…"


_SHOWN = 60


def _reduction(
    file: str, packed: zipfile.ZipFile, question: str, told: dict[str, Any], about: dict[str, Any]
) -> Reduction:
    frames = {}
    for name, columns in COLUMNS[question].items():
        described = _is(file, f"{question}, frame {name},", told["frames"].get(name), dict)
        frames[name] = _table(file, packed, f"{question}/{name}.csv", described, columns)
    if extra := sorted(set(told["frames"]) - set(frames)):
        raise UsageError(f"{file}: {question} has {', '.join(extra)}, which this version does not know.")
    frames = {name: frames[name] for name in told["frames"]}
    settings = {**_settings(file, question, told["settings"]), "centre": about["centre"]}
    strata = tuple(_stratum(file, question, s) for s in settings["strata"])
    notes = tuple(_is(file, f"{question}, a note", n, str) for n in told["notes"])
    return Reduction(question, told["placed"], strata, frames, _flow(file, question, told["flow"]), settings, notes)


def _settings(file: str, question: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings, with those that pooling and every answer read; a question's own are of the same hash."""
    needed = {"by": str, "data_cut": str, "rules": str, "strata": list, "selection": dict, "versions": dict}
    if question == "trajectories":
        needed |= {"adjust": list, "planned": list, "unit": str, "domain": str}
    for key, kind in needed.items():
        _is(file, f"{question}, {key}", settings.get(key), kind)
    _is(file, f"{question}, version", settings["versions"].get("catamnesis"), str)
    for visit in settings.get("planned", ()):
        told = _is(file, f"{question}, a visit", visit, dict)
        _is(file, f"{question}, name of a visit", told.get("visit"), str)
        _is(file, f"{question}, position of a visit", told.get("position"), int)
        _is(file, f"{question}, day of a visit", told.get("day"), (int, float))
    return settings


def _stratum(file: str, question: str, told: object) -> Stratum:
    _is(file, f"{question}, a stratum", told, dict)
    parts = {k: _is(file, f"{question}, {k} of a stratum", told.get(k), str) for k in ("code", "label", "colour")}  # type: ignore[attr-defined]
    return Stratum(**parts)


def _flow(file: str, question: str, told: list[Any]) -> pl.DataFrame:
    what = f"{question}, flow"
    for r in told:
        _is(file, what, _is(file, what, r, dict).get("reason"), str)
        if not 0 <= _is(file, what, r.get("n"), int) < 2**32:
            raise UsageError(f"{file} cannot be read: {what} has {r['n']} courses. Ask for the file again.")
    if len(told) < 2:  # those there were, and those kept
        raise UsageError(
            f"{file} cannot be read: {what} does not say how many courses were kept. Ask for the file again."
        )
    return pl.DataFrame(told, schema={"reason": pl.String, "n": pl.UInt32})


def _table(file: str, packed: zipfile.ZipFile, name: str, described: dict[str, Any], columns: str) -> pl.DataFrame:
    """Return a table of the file, which has the columns that it must have, and no count below nought."""
    try:
        text = packed.read(name)
    except KeyError:
        raise UsageError(f"{file}: {name} is missing. Ask for the file again.") from None
    if hashlib.sha256(text).hexdigest() != described.get("sha256"):
        raise UsageError(f"{file}: {name} was changed since it was written. Ask for the file again.")
    must = dict(c.split(":") for c in columns.split())
    try:
        types = {c: _type(t) for c, t in described["columns"]}
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{file} cannot be read: the columns of {name} are not told. Ask for the file again."
        ) from None
    if {c: _kind(t) for c, t in types.items()} != must:
        raise UsageError(f"{file}: the columns of {name} are not those of this version: {', '.join(must)}.")
    try:
        raw = pl.read_csv(io.BytesIO(text), schema=dict.fromkeys(types, pl.String))
        frame = raw.cast(types)
    except pl.exceptions.PolarsError:
        raise UsageError(f"{file}: a row of {name} is not of its columns' types. Ask for the file again.") from None
    for c in (c for c in must if c == "n" or c.startswith("n_")):
        if frame[c].null_count() or (frame[c] < 0).any():
            raise UsageError(f"{file}: {c} in {name} is below nought or missing. Ask for the file again.")
    return frame


def _kind(column: pl.DataType) -> str:
    return "text" if column == pl.String else "whole" if column.is_integer() else "sum"


def _type(name: str) -> pl.DataType:
    """Return the type that a column had, from its name, e.g. ``Decimal(precision=38, scale=8)``."""
    decimal = re.fullmatch(r"Decimal\(precision=(\d+), scale=(\d+)\)", name)
    if decimal:
        return pl.Decimal(int(decimal[1]), int(decimal[2]))
    return {"String": pl.String, "Int64": pl.Int64, "Int32": pl.Int32, "UInt32": pl.UInt32, "Float64": pl.Float64}[
        name
    ]()
