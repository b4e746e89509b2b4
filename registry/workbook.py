"""Cells of a workbook that look empty to a reader and are not: errors, and formulas nobody has computed."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def without_value(path: Path, sheet: str) -> dict[int, tuple[str, str]]:
    """Return, by row, the first cell without a value of its own, and what it holds instead.

    A formula has no value when a program wrote it that does not compute; a spreadsheet stores one when it saves. An
    empty text is a value.
    """
    with zipfile.ZipFile(path) as archive:
        part = _part_of(archive, sheet)
        content = archive.read(part) if part else b""
        # Nearly all sheets have neither; to look is cheap.
        if b":f" not in content and b"<f" not in content and b't="e"' not in content:
            return {}
        found: dict[int, tuple[str, str]] = {}
        with archive.open(str(part)) as file:
            for row, place, held in _spoilt(file):
                found.setdefault(row, (place, held))
        return found


def _spoilt(file: IO[bytes]) -> Iterator[tuple[int, str, str]]:
    row = 0
    for event, element in ElementTree.iterparse(file, events=("start", "end")):
        name = _local(element.tag)
        if event == "start":
            row = int(element.get("r", row + 1)) if name == "row" else row
        elif name == "c":
            parts = {_local(child.tag): child.text or "" for child in element}
            kind, place = element.get("t"), element.get("r", "")
            if kind == "e":
                yield row, place, parts.get("v") or "an error"
            elif "f" in parts and not parts.get("v") and kind != "str":
                yield row, place, "a formula that was not computed"
        elif name == "row":
            element.clear()


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """Return the file of a sheet inside the workbook; None where the workbook does not say it in the usual way."""
    try:
        book = ElementTree.fromstring(archive.read("xl/workbook.xml"))
        links = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    except (KeyError, ElementTree.ParseError):
        return None
    targets = {link.get("Id"): link.get("Target", "") for link in links}
    for element in book.iter():
        if _local(element.tag) == "sheet" and element.get("name") == sheet:
            target = targets.get(element.get(_RELATION), "")
            part = target.lstrip("/") if target.startswith("/") else posixpath.join("xl", target)
            return part if part in archive.namelist() else None
    return None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
