"""Looks through a CSV file before it is read: its header, and which reader can be trusted with it."""

from __future__ import annotations

import csv
from pathlib import Path


def survey(path: Path, encoding: str, separator: str, skip_rows: int) -> tuple[list[str], bool, bool]:
    """Return the header, whether the fast reader can be trusted with the file, and whether cells may need trimming.

    It cannot where quotes may hide line ends, where blank lines shift the count, or where rows differ in their number
    of cells: it refuses longer ones itself, and shorter ones show in the number of separators.
    """
    utf8 = encoding.lower().replace("-", "") == "utf8"
    with path.open(encoding=encoding + "-sig" if utf8 else encoding, newline="") as file:
        for _ in range(skip_rows):
            file.readline()
        plain, first = utf8, file.readline()
        while first and not first.strip():
            plain, first = False, file.readline()
        header = next(csv.reader([first], delimiter=separator), [])
        plain = plain and len(header) > 1 and '"' not in first
        lines, cells, end, trim = int(bool(first)), first.count(separator), "\n", False
        while text := file.read(1 << 24):
            # A line end of two characters must not be cut in two.
            text += file.read(1) if text[-1] == "\r" else ""
            bare = text.replace("\r\n", "\n") if "\r" in text else text
            plain = plain and '"' not in bare and "\r" not in bare
            plain = plain and "\n\n" not in bare and not (end == "\n" and bare[0] == "\n")
            trim = trim or not text.isascii() or any(c in text for c in " \t\v\f\r:")
            lines, cells, end = lines + bare.count("\n"), cells + bare.count(separator), bare[-1]
    return header, plain and cells == (lines + (end != "\n")) * (len(header) - 1), trim
