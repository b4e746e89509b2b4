"""The summary report as a PDF: the page's own words, tables and figures, set for paper; nothing is computed anew.

Text reaches the typesetter as data, never as markup, so that no name in the data can run or be taken for a command.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

_DRAWING = re.compile(r"<svg .*?</svg>", re.DOTALL)
# Characters that a line of a table holds with limits beside their numbers, with these below, and in small letters;
# those that stand for the gap between columns.
_LINE, _LINE_LARGE, _LINE_SMALL, _GAP = 112, 118, 136, 2
# Rows of one characteristic that stay on one page; more may be parted.
_TOGETHER = 16
_VOID = {"br", "img", "meta", "link", "hr", "input"}
_INLINE = {"b", "span", "s", "a", "br", "i", "code"}
_ROLE = {"b": "bold", "s": "struck", "ci": "small", "soft": "soft", "i": "italic", "code": "code"}


@dataclass
class _Node:
    """An element of the page; `children` are elements and texts."""

    tag: str
    attributes: dict[str, str]
    children: list[_Node | str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        return name in self.attributes.get("class", "").split()

    def elements(self, *tags: str) -> list[_Node]:
        """Return the elements below of these tags, in order."""
        found: list[_Node] = []
        for child in self.children:
            if isinstance(child, _Node):
                found += [child] if child.tag in tags else child.elements(*tags)
        return found


class _Reader(HTMLParser):
    """Read the page into nodes. It is our own page: what is opened is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [_Node("root", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = _Node(tag, {k: v or "" for k, v in attrs})
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def write_pdf(html: str, *, when: dt.date | None, mark: str) -> bytes:
    """Return the page as PDF/A-2a and PDF/UA-1: the same page gives the same bytes.

    Parameters
    ----------
    html
        The summary report, as :func:`reports.summary.render` returns it.
    when
        The day that the file gives as its own: the data cut.
    mark
        What the foot of each page names, so that a printed page can be traced.
    """
    import matplotlib
    import typst

    day = when or dt.date(2000, 1, 1)
    # Only fonts that come along: typst's own, and those that the figures were drawn with.
    drawn_with = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[drawn_with])
    said = re.search(r'<html lang="([^"]+)"', html)
    page = {
        "blocks": _with_figures(html),
        "mark": mark,
        "day": [day.year, day.month, day.day],
        "lang": said[1] if said else "en",
        "on_page": (re.search(r'data-page="([^"]+)"', html) or ["", "p. {}"])[1],
    }
    return bytes(
        typst.compile(
            resources.files("reports").joinpath("templates/summary.typ").read_bytes(),
            font_paths=fonts,
            format="pdf",
            pdf_standards=["a-2a", "ua-1"],
            sys_inputs={"page": json.dumps(page, ensure_ascii=False)},
            timestamp=dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC),
        )
    )


def blocks(html: str) -> list[dict[str, Any]]:
    """Return what stands on the page, in order: headings, paragraphs, tables, figures, boxes, each with its text.

    What is marked ``screen`` is for the screen alone and left out; the navigation becomes a list of contents.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    body = reader.open[0].elements("body")[0]
    return _blocks(body)


def _with_figures(html: str) -> list[dict[str, Any]]:
    """Return the blocks with their drawings; all that leads to a figure is marked to stay on its page."""
    pictures = iter(_DRAWING.findall(html))
    told = blocks(_DRAWING.sub(lambda _: "<img>", html))
    for block in told:
        if block["kind"] == "figure":
            block["svg"], block["alt"] = _picture(next(pictures))
    for block, following in reversed(list(pairwise(told))):
        leads = following["kind"] == "figure" or following.get("sticky", False)
        block["sticky"] = leads and block["kind"] in ("text", "soft")
    anchors = {block["id"] for block in told if "id" in block}
    _land(told, anchors)
    return told


def _land(found: Any, anchors: set[str]) -> None:
    """Take away links to what is not in print."""
    if isinstance(found, dict):
        if found.get("to") not in anchors:
            found.pop("to", None)
        found = list(found.values())
    for inner in found if isinstance(found, list) else []:
        _land(inner, anchors)


def _picture(svg: str) -> tuple[str, str]:
    """Return a drawing fit to stand alone, and its description."""
    said = re.search(r'aria-label="([^"]*)"', svg)
    if "xmlns=" not in svg.split(">", 1)[0]:
        svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return svg, unescape(said[1]) if said else ""


def _blocks(node: _Node) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    loose: list[_Node | str] = []

    def settle() -> None:
        text = _runs(loose)
        if text:
            found.append({"kind": "text", "text": text})
        loose.clear()

    for child in node.children:
        if isinstance(child, str) or (child.tag in _INLINE and not child.has("skip")):
            loose.append(child)
            continue
        settle()
        blocks = _block(child)
        if blocks and "id" in child.attributes:
            blocks[0].setdefault("id", child.attributes["id"])
        found += blocks
    settle()
    return found


def _block(node: _Node) -> list[dict[str, Any]]:
    if node.tag in ("style", "script") or node.has("screen") or node.has("skip"):
        return []
    if node.tag == "nav":
        return [{"kind": "contents", "heading": node.attributes.get("data-heading", "Contents")}]
    if node.tag in ("h1", "h2", "h3", "summary"):
        return [{"kind": node.tag, "text": _runs(node.children)}]
    if node.tag == "p":
        return [{"kind": "soft" if node.has("soft") else "text", "text": _runs(node.children)}]
    if node.tag == "ul":
        return [{"kind": "list", "items": [_runs(li.children) for li in node.elements("li")]}]
    if node.tag == "table":
        return [_table(node)]
    if node.tag == "figure":
        return [{"kind": "figure", "caption": _runs(c.children)} for c in node.elements("figcaption")]
    if node.tag == "dl":
        words = [_runs(n.children) for n in node.elements("dt", "dd")]
        return [{"kind": "terms", "items": [list(pair) for pair in zip(words[::2], words[1::2], strict=True)]}]
    for name in ("cards", "strata"):
        if node.has(name):
            kids = [c for c in node.children if isinstance(c, _Node)]
            return [{"kind": name, "items": [{"text": _runs(k.children), "colour": _colour(k)} for k in kids]}]
    for name in ("first", "held", "box", "side"):
        if node.has(name):
            return [{"kind": name, "blocks": _blocks(node)}]
    if node.tag == "details":
        title, *inner = _blocks(node)
        if inner and "id" in inner[0]:
            title["id"] = inner[0].pop("id")
        return [title, *inner]
    if node.tag == "footer":
        return [{"kind": "end", "text": _runs(node.children)}]
    return [] if node.attributes.get("aria-hidden") else _blocks(node)


def _table(node: _Node) -> dict[str, Any]:
    head_rows = [tr for part in node.elements("thead") for tr in part.elements("tr")]
    rows = [tr for tr in node.elements("tr") if tr not in head_rows]
    head = [_cell(c) for c in head_rows[0].elements("th", "td")] if head_rows else []
    cells = [[_cell(c) for c in tr.elements("th", "td")] for tr in rows]
    _span_groups(rows, cells)
    caption = node.elements("caption")
    stacked, beside = (_widths([head, *cells], roles) for roles in (("break", "small"), ("break",)))
    # Limits stand beside their number where there is room for it, else below.
    roomy = sum(beside) <= _LINE
    return {
        "kind": "table",
        "caption": _runs(caption[0].children) if caption else [],
        "head": head,
        "rows": [{"kind": tr.attributes.get("class", ""), "cells": row} for tr, row in zip(rows, cells, strict=True)],
        "widths": beside if roomy else stacked if sum(stacked) <= _LINE_LARGE else _fit([head, *cells]),
        "beside": roomy,
    }


def _span_groups(rows: list[_Node], cells: list[list[dict[str, Any]]]) -> None:
    """Let the last cell of a characteristic reach over its levels, where theirs are empty: its rows stay together."""
    for first, tr in enumerate(rows):
        last = first + 1
        while last < len(rows) and rows[last].has("level") and not cells[last][-1]["text"]:
            last += 1
        if tr.has("group") and 1 < last - first <= _TOGETHER:
            cells[first][-1]["rows"] = last - first
            for row in cells[first + 1 : last]:
                row.pop()


def _fit(rows: list[list[dict[str, Any]]]) -> list[int]:
    """Return widths that a line in small letters holds, no word broken, in as few lines as can be."""
    whole = [row for row in rows if all(c["span"] == 1 for c in row)]
    texts = [[[_size(line, cell["head"]) for line in _lines(cell)] for cell in row] for row in whole]
    words = [[[_size(w, cell["head"]) for line in _lines(cell) for w in line.split()] for cell in row] for row in whole]
    columns = max(map(len, texts))
    found, floors = (
        [max((n for row in sizes if i < len(row) for n in row[i]), default=1) for i in range(columns)]
        for sizes in (texts, words)
    )

    def height(widths: list[int]) -> int:
        return sum(max(sum(-(-n // w) for n in cell) for cell, w in zip(row, widths, strict=False)) for row in texts)

    while sum(found) + _GAP * columns > _LINE_SMALL:
        narrower = [[n - (i == j) for j, n in enumerate(found)] for i in range(columns) if found[i] > floors[i]]
        if not narrower:
            break
        found = min(narrower, key=lambda widths: (height(widths), max(widths)))
    return [n + _GAP for n in found]


def _lines(cell: dict[str, Any]) -> list[str]:
    """Return the lines of a cell as they are set."""
    told = "".join("\n" * (run["role"] in ("break", "small")) + run["text"] for run in cell["text"])
    return told.strip("\n").split("\n")


def _size(text: str, bold: bool) -> int:
    """Return how many small letters a text takes: capitals and some others are wide, bold letters too."""
    wide = sum(0.45 for c in text if c.isupper() or c in "mw%")
    return max(1, round((len(text) + wide) * (1.15 if bold else 1)))


def _widths(rows: list[list[dict[str, Any]]], starts_line: tuple[str, ...]) -> list[int]:
    """Return the characters that each column needs: its longest line, long texts taken as broken."""
    columns = max((sum(c["span"] for c in row) for row in rows), default=0)
    needs = [4] * columns
    for row in rows:
        for i, cell in enumerate(row):
            length = 0
            for run in cell["text"]:
                length = len(run["text"]) if run["role"] in starts_line else length + len(run["text"])
                if cell["span"] == 1:
                    needs[i] = max(needs[i], min(length, 38 if cell["left"] or i == 0 else 24))
    return [n + 2 for n in needs]


def _cell(node: _Node) -> dict[str, Any]:
    return {
        "text": _runs(node.children, lang=node.attributes.get("lang", "")),
        "span": int(node.attributes.get("colspan", "1")),
        "left": node.has("text"),
        "head": node.tag == "th",
    }


def _colour(node: _Node) -> str | None:
    said = re.search(r"#[0-9a-fA-F]{6}\b", node.attributes.get("style", ""))
    return said[0] if said else None


def _runs(children: list[_Node | str], role: str = "", lang: str = "", to: str = "") -> list[dict[str, str]]:
    """Return text as runs of one role each; white space as joined.

    A run has its language where it is not the page's, and where it leads to if it is a link on the page.
    """
    runs: list[dict[str, str]] = []
    for child in children:
        if isinstance(child, str):
            more = {name: value for name, value in (("lang", lang), ("to", to)) if value}
            runs.append({"role": role, "text": re.sub(r"[ \t\r\n]+", " ", child), **more})
        elif child.tag == "br":
            runs.append({"role": "break", "text": ""})
        elif child.has("swatch"):
            runs.append({"role": "swatch", "text": _colour(child) or "#000000"})
        elif not child.has("screen"):
            names = [child.tag, *child.attributes.get("class", "").split()]
            named = next((_ROLE[n] for n in names if n in _ROLE), role)
            inner = child.attributes.get("href", "")
            leads = inner[1:] if inner.startswith("#") else to
            runs += _runs(child.children, named, child.attributes.get("lang", lang), leads)
    return _trimmed(runs) if not role and not to else [r for r in runs if r["text"] or r["role"] == "break"]


def _trimmed(runs: list[dict[str, str]]) -> list[dict[str, str]]:
    while runs and runs[0]["role"] != "swatch" and not runs[0]["text"].strip(" "):
        runs = runs[1:]
    while runs and runs[-1]["role"] != "swatch" and not runs[-1]["text"].strip(" "):
        runs = runs[:-1]
    if runs and runs[0]["role"] != "swatch":
        runs = [{**runs[0], "text": runs[0]["text"].lstrip(" ")}, *runs[1:]]
    return [*runs[:-1], {**runs[-1], "text": runs[-1]["text"].rstrip(" ")}] if runs else runs
