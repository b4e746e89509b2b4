"""Made again: a package, or rows, from the registry, compared byte for byte, and why files differ if they do."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry import Registry, cut
from registry.errors import UsageError
from reports import rows
from reports.package_texts import MANIFEST
from reports.packing import digest
from reports.publication import export
from reports.rows import RowTerms, export_rows

# What the manifests hold of where the files came from, and what is said where it is another now.
_WHY = {
    "record": "the registry holds other data",
    "waived": "other findings of the checks are waived",
    "code": "the code or the catalogues are others",
}


@dataclass(frozen=True)
class Reproduced:
    """How a folder made again compares: the files that differ, are missing now or are new; and why, if it is known."""

    differ: tuple[str, ...]
    why: tuple[str, ...]


def reproduce(registry: Registry, folder: Path) -> Reproduced:
    """Make a package, or a folder of rows, again from a registry, and say which files differ and what else did.

    Rows with shifted dates need the secret that they were shifted by, beside the registry or in the environment: it is
    in no folder that left.

    Parameters
    ----------
    folder
        What `export` or `rows` wrote, or its ``MANIFEST.json`` or ``ROWS.json``.

    Raises
    ------
    UsageError
        When there is neither at the folder, or the manifest, given, the registry is not the data cut that it was made
        from, or what was written may no longer leave.
    """
    folder = folder.parent if folder.name in (MANIFEST, rows.MANIFEST) else folder
    manifest = next((name for name in (MANIFEST, rows.MANIFEST) if (folder / name).exists()), None)
    if manifest is None:
        raise UsageError(f"{folder} is not a package, nor rows: it has no {MANIFEST} and no {rows.MANIFEST}.")
    told = json.loads((folder / manifest).read_text("utf-8"))
    _refuse_another(registry, told, folder)
    with tempfile.TemporaryDirectory() as part:
        _again(registry, Path(part) / "again", manifest, told)
        again = json.loads((Path(part) / "again" / manifest).read_text("utf-8"))
    kept = {name: digest(folder / name) if (folder / name).exists() else None for name in told["files"]}
    names = sorted({*kept, *again["files"]})
    differ = tuple(n for n in names if kept.get(n) != again["files"].get(n))
    why = [f"{n} was changed or removed after the folder was made" for n in kept if kept[n] != told["files"][n]]
    for key, words in _WHY.items():
        if key in told and told[key] != again[key]:
            why.append(words)
    before = told["versions"]
    why += [f"{k} {before.get(k)} then, {v} now" for k, v in again["versions"].items() if before.get(k) != v]
    if differ and not why and "shifted" in (told if manifest == rows.MANIFEST else told["rows"] or {}).get("dates", ()):
        why.append("dates were shifted by another secret: give the one of then, beside the registry")
    return Reproduced(differ, tuple(why))


def _refuse_another(registry: Registry, told: dict[str, Any], folder: Path) -> None:
    """Refuse a registry that is not what the folder was made from: a data cut is known by its seal."""
    if "cut" not in told:
        return
    then, now = told["cut"], cut.named(registry)
    if (then or {}).get("sha256") == (now or {}).get("sha256"):
        return
    given = f"the data cut {now['name']} (SHA-256 {now['sha256'][:12]}…)" if now else "a registry that is no data cut"
    if then is None:
        raise UsageError(
            f"{folder.name} was made from a registry, not from a data cut, and {registry.path.name} is {given}. Give "
            "that registry."
        )
    which = f"the data cut {then['name']}" if "name" in then else "a data cut"
    raise UsageError(
        f"{folder.name} was made from {which} (SHA-256 of its manifest {then['sha256'][:12]}…), and "
        f"{registry.path.name} is {given}. Give the folder of that cut; `catamnesis verify` prints the hash of one."
    )


def _again(registry: Registry, out: Path, manifest: str, told: dict[str, Any]) -> None:
    """Write the folder again, by the terms in its manifest."""
    if manifest == rows.MANIFEST:
        if "terms" not in told:
            raise UsageError("These rows do not say under which terms they left: an earlier version wrote them.")
        export_rows(registry, out, told["programme"], **told["terms"])
        return
    terms = RowTerms(**told["rows"]["terms"]) if told.get("rows") else None
    export(registry, out, told["programme"], rows=terms, round_counts=told.get("policy", {}).get("round_counts"))
