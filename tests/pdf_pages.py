"""A PDF as its reader meets it: pages as pictures, where text stands on them, and what they are tagged as."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pypdf
import pypdfium2
from page import validate_pdf_bytes

# Margins of the template in points, and the foot of each page, which stands in the lower one.
LEFT, TOP, BOTTOM, FOOT = 56.7, 51.0, 56.7, 28.0
# A rule at a block's edge is drawn around the edge.
EDGE = 3.0


@dataclass(frozen=True)
class Sheet:
    """A page: `colours` (rows from the top, a pixel a point, 3), `texts` (left, bottom, right, top, text) in points, `said`."""

    colours: np.ndarray
    texts: list[tuple[float, float, float, float, str]]
    said: str

    @property
    def ink(self) -> np.ndarray:
        """Whether a pixel is not white."""
        return (self.colours < 250).any(axis=2)

    def box(self, left: float, bottom: float, right: float, top: float) -> np.ndarray:
        """The colours of a part of the page given in points from the lower left."""
        high = self.colours.shape[0]
        return self.colours[round(high - top) : round(high - bottom), round(left) : round(right)]

    def body(self) -> list[tuple[float, float, float, float, str]]:
        """The texts without the foot."""
        return [t for t in self.texts if t[1] > BOTTOM]


def sheets(pdf: bytes) -> list[Sheet]:
    """Return every page of a PDF."""
    found = []
    for one in pypdfium2.PdfDocument(pdf):
        text = one.get_textpage()
        rects = [text.get_rect(i) for i in range(text.count_rects())]
        texts = [(*r, text.get_text_bounded(*r)) for r in rects]
        found.append(Sheet(one.render(scale=1).to_numpy()[:, :, :3], texts, text.get_text_range()))
    return found


def words(pdf: bytes) -> str:
    """Return the text of all pages, in the order in which it is written."""
    return " ".join(sheet.said for sheet in sheets(pdf))


def tags(pdf: bytes) -> Iterator[dict[str, Any]]:
    """Return the structure elements in reading order, with their kind as ``/S``."""
    todo = [pypdf.PdfReader(io.BytesIO(pdf)).trailer["/Root"]["/StructTreeRoot"]]
    while todo:
        node = todo.pop()
        if "/S" in node:
            yield node
        kids = node.get("/K", [])
        held = [k.get_object() if hasattr(k, "get_object") else k for k in (kids if isinstance(kids, list) else [kids])]
        todo += [k for k in reversed(held) if isinstance(k, dict) and "/K" in k]


def failures(pdf: bytes, profile: str) -> list[str]:
    """Return the rules of a profile ("2a" of PDF/A, "ua1" of PDF/UA) that a PDF breaks, by an independent checker.

    It counts the last byte of a stream as part of the line's end where that byte is a carriage return: such a finding is
    looked at here and dropped where the length is right.
    """
    found = validate_pdf_bytes(pdf, profile=profile).failures
    return [
        f.rule_id for f in found if not (f.rule_id.endswith("STREAM-LENGTH-001") and _length_is_right(pdf, f.object_id))
    ]


def _length_is_right(pdf: bytes, name: Any) -> bool:
    if name is None:
        return False
    held = pdf[pdf.index(b"\n%d %d obj" % (name.object_number, name.generation)) :]
    start = held.index(b"stream\n") + len(b"stream\n")
    length = int(held[:start].split(b"/Length ")[1].split(b"/")[0].split(b">")[0])
    return held[start + length :].startswith(b"\nendstream")
