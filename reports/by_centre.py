"""Reports of single centres beside that of all: for which of them one is written, and why for others none is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analysis.disclosure.complementary import refusals
from registry import Registry
from reports.formats import replace_file
from reports.summary import write_report

FOLDER = "centres"
_PATIENTS = (
    "select centre.centre, count(*) as n from record.patient as patient "
    "join record.centre as centre on patient.centre_id = centre.id group by all order by n, centre"
)


def refused_centres(registry: Registry) -> dict[str, str | None]:
    """Return each centre of the registry, smallest first, with the reason why it has no report, or None."""
    patients = [(str(centre), int(n)) for centre, n in registry.con.sql(_PATIENTS).fetchall()]
    return refusals(patients, registry.counts()["patient"] - sum(n for _, n in patients))


def write_centre_reports(
    path: Path, out: Path, before: Path | None = None, *, language: str = "en"
) -> dict[str, str | None]:
    """Write a report of each centre into a folder of its own under `out`, and ``centres.json`` of who has none and why.

    Parameters
    ----------
    path
        The registry; each centre is read as if no other had sent anything.
    out
        Folder of the centres' folders.
    before
        The same folder of the report before: each page then says what changed at its centre.
    language
        Of the reports.

    Returns
    -------
    dict
        As :func:`refusals`.
    """
    with Registry.open(path) as registry:
        reasons = refused_centres(registry)
    out.mkdir(parents=True, exist_ok=True)
    # The folder above may be served to everybody; whoever holds the reports of all centres could subtract.
    out.chmod(0o700)
    for centre in (c for c, why in reasons.items() if why is None):
        name = folder_of(centre)
        with Registry.open(path, centre=centre) as alone:
            earlier = _numbers(before / name) if before else None
            write_report(alone, out / name, earlier, centre=centre, language=language)
    told = {c: {"folder": None if why else folder_of(c), "why": why} for c, why in reasons.items()}
    replace_file(out / "centres.json", json.dumps(told, ensure_ascii=False, indent=1))
    return reasons


def folder_of(centre: str) -> str:
    """Return the name of a centre's folder: no code of a centre leads elsewhere."""
    return f"centre-{quote(centre, safe='')}"


def _numbers(folder: Path) -> dict[str, Any] | None:
    file = folder / "numbers.json"
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else None
