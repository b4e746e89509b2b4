"""The file in which counts leave a centre: a zip of CSV tables that anybody can read before it is sent.

``about.json`` holds the question, its definitions, versions and notes; ``<question>/<reduction>.csv`` the counts.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from analysis.cohort import Stratum
from analysis.reduction import Reduction
from registry.errors import UsageError

FORMAT = "catamnesis counts 1"
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
            if about.get("format") != FORMAT:
                raise UsageError(f"{path.name} has format {about.get('format')!r}; this version reads {FORMAT!r}.")
            return {q: _reduction(path.name, packed, q, told, about) for q, told in about["questions"].items()}
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, UnicodeDecodeError, zipfile.LargeZipFile):
        raise UsageError(f"{path.name} is not a file of counts: `catamnesis reduce` writes them.") from None


def _reduction(
    file: str, packed: zipfile.ZipFile, question: str, told: dict[str, Any], about: dict[str, Any]
) -> Reduction:
    frames = {}
    for name, described in told["frames"].items():
        text = packed.read(f"{question}/{name}.csv")
        if hashlib.sha256(text).hexdigest() != described["sha256"]:
            raise UsageError(f"{file}: {question}/{name}.csv was changed since it was written. Ask for the file again.")
        types = {c: _type(t) for c, t in described["columns"]}
        raw = pl.read_csv(io.BytesIO(text), schema=dict.fromkeys(types, pl.String))
        frames[name] = raw.cast(types)
    flow = pl.DataFrame(told["flow"], schema={"reason": pl.String, "n": pl.UInt32})
    settings = {**told["settings"], "centre": about["centre"]}
    strata = tuple(Stratum(**s) for s in told["settings"]["strata"])
    return Reduction(question, told["placed"], strata, frames, flow, settings, tuple(told["notes"]))


def _type(name: str) -> pl.DataType:
    """Return the type that a column had, from its name, e.g. ``Decimal(precision=38, scale=8)``."""
    decimal = re.fullmatch(r"Decimal\(precision=(\d+), scale=(\d+)\)", name)
    if decimal:
        return pl.Decimal(int(decimal[1]), int(decimal[2]))
    return {"String": pl.String, "Int64": pl.Int64, "Int32": pl.Int32, "UInt32": pl.UInt32, "Float64": pl.Float64}[
        name
    ]()
