"""RO-Crate of a publication package: what each file is, how large, its hash, and what made it; plain JSON-LD."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analysis.disclosure.log import ROW_LEVEL

NAME = "ro-crate-metadata.json"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"
# `sha256` is younger than the context of the specification.
_CONTEXT = [f"{_SPECIFICATION}/context", {"sha256": "https://schema.org/sha256"}]
_ACCESS = "Rows of patients: only under the agreement by which they left, and not for publication."
_WITH_ROWS = "Files whose keyword is row-level hold rows of patients, which are not for publication."
_FORMATS = {
    ".csv": "text/csv",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tex": "text/x-tex",
    ".xml": "application/xml",
    ".parquet": "application/vnd.apache.parquet",
    ".dta": "application/x-stata-dta",
    ".sav": "application/x-spss-sav",
    ".xpt": "application/x-sas-xport",
}


def write_crate(
    folder: Path,
    *,
    title: str,
    day: str,
    record: str,
    cut: dict[str, Any] | None,
    told: dict[str, str],
    last: str,
    level_of: Callable[[str], str],
) -> None:
    """Write ``ro-crate-metadata.json`` over every file of `folder`, by RO-Crate 1.1; the same files, the same bytes.

    Parameters
    ----------
    folder
        The package, whole but for the crate and `last`.
    title
        Of the package.
    day
        The data cut (YYYY-MM-DD), which the crate gives as its date.
    record
        Hash of the record that the numbers were made from.
    cut
        The data cut that it is the record of, as :func:`registry.cut.named` tells it; None for a registry that goes on.
    told
        What files hold, by the name of the file without its ending.
    last
        A file that is written after the crate, since it names the crate's own hash: described without its hash.
    level_of
        Whether a file holds numbers of groups (``aggregate``) or rows of patients (``row-level``).
    """
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    parts = [_file(folder, p, told, level_of) for p in files]
    rows = ROW_LEVEL in {part["keywords"] for part in parts}
    parts.append({"@id": last, "@type": "File", "name": last, "encodingFormat": _FORMATS[Path(last).suffix],
                  "description": "Settings, versions, hashes of record, code and every file",
                  "keywords": level_of(last)})  # fmt: skip
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": title,
        "description": "Aggregate numbers of an outcomes registry, small cells suppressed: tables, figures, numbers, "
        "methods and reporting checklists. " + (_WITH_ROWS if rows else "No row is of a patient."),
        "datePublished": day,
        "license": {"@id": "#licence"},
        "hasPart": [{"@id": part["@id"]} for part in parts],
        "mentions": {"@id": "#made"},
    }
    descriptor = {
        "@id": NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": _SPECIFICATION},
        "about": {"@id": "./"},
    }
    graph = [descriptor, root, *parts, *_software(record, cut)]
    text = json.dumps({"@context": _CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def _file(folder: Path, path: Path, told: dict[str, str], level_of: Callable[[str], str]) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    content = path.read_bytes()
    return {
        "@id": quote(name),
        "@type": "File",
        "name": name,
        "description": told.get(name) or told.get(name.rsplit(".", 1)[0]) or path.stem.replace("_", " "),
        "encodingFormat": _FORMATS.get(path.suffix, "application/octet-stream"),
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
        "keywords": level_of(name),
        **({"conditionsOfAccess": _ACCESS} if level_of(name) == ROW_LEVEL else {}),
    }


def _software(record: str, cut: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return what made the files from what, who wrote it, under which licence; that of the numbers is open."""
    about = importlib.metadata.metadata("catamnesis")
    version = about["Version"]
    return [
        {
            "@id": "#made",
            "@type": "CreateAction",
            "name": "catamnesis export",
            "description": f"Made from the record with the hash {record}; `catamnesis reproduce` makes it again.",
            "instrument": {"@id": "#catamnesis"},
            **({"object": {"@id": "#cut"}} if cut else {}),
            "result": {"@id": "./"},
        },
        *([_cut(cut)] if cut else []),
        {
            "@id": "#catamnesis",
            "@type": "SoftwareApplication",
            "name": "Catamnesis",
            "version": version,
            "softwareVersion": version,
            "author": {"@id": "#authors"},
            "license": {"@id": "https://spdx.org/licenses/Apache-2.0"},
        },
        {"@id": "#authors", "@type": "Organization", "name": about["Author"]},
        {
            "@id": "https://spdx.org/licenses/Apache-2.0",
            "@type": "CreativeWork",
            "name": "Apache License 2.0",
            "identifier": "Apache-2.0",
        },
        {
            "@id": "#licence",
            "@type": "CreativeWork",
            "name": "For the authors to choose",
            "description": "The licence of the numbers is for those to choose who hold the registry; the software that "
            "made them is under Apache-2.0.",
        },
    ]


def _cut(cut: dict[str, Any]) -> dict[str, Any]:
    """Return the data cut as something outside the crate: it holds patients, and stays where it is."""
    return {
        "@id": "#cut",
        "@type": "CreativeWork",
        "name": f"Data cut {cut['name']}",
        "description": f"The registry with data to {cut['data_cut']}, frozen; the hash is of its manifest, which seals "
        "every file. It holds rows of patients and is not part of the crate.",
        "dateCreated": cut["made_at"],
        "sha256": cut["sha256"],
    }
