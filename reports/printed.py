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
# Characters that a line of a table holds.
_LINE = 112
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
    """Return the blocks with their drawings; what leads to a figure is marked to stay on its page."""
    pictures = iter(_DRAWING.findall(html))
    told = blocks(_DRAWING.sub(lambda _: "<img>", html))
    for block in told:
        if block["kind"] == "figure":
            block["svg"], block["alt"] = _picture(next(pictures))
    for block, following in pairwise(told):
        block["sticky"] = following["kind"] == "figure"
    return told


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
        found += _block(child)
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
    if node.tag == "footer":
        return [{"kind": "end", "text": _runs(node.children)}]
    return [] if node.attributes.get("aria-hidden") else _blocks(node)


def _table(node: _Node) -> dict[str, Any]:
    head_rows = [tr for part in node.elements("thead") for tr in part.elements("tr")]
    rows = [tr for tr in node.elements("tr") if tr not in head_rows]
    head = [_cell(c) for c in head_rows[0].elements("th", "td")] if head_rows else []
    cells = [[_cell(c) for c in tr.elements("th", "td")] for tr in rows]
    caption = node.elements("caption")
    stacked, beside = (_widths([head, *cells], roles) for roles in (("break", "small"), ("break",)))
    # Limits stand beside their number where there is room for it, else below.
    roomy = sum(beside) <= _LINE
    return {
        "kind": "table",
        "caption": _runs(caption[0].children) if caption else [],
        "head": head,
        "rows": [{"kind": tr.attributes.get("class", ""), "cells": row} for tr, row in zip(rows, cells, strict=True)],
        "widths": beside if roomy else stacked,
        "beside": roomy,
    }


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


def _runs(children: list[_Node | str], role: str = "", lang: str = "") -> list[dict[str, str]]:
    """Return text as runs of one role each, with their language where it is not the page's; white space as joined."""
    runs: list[dict[str, str]] = []
    for child in children:
        if isinstance(child, str):
            runs.append({"role": role, "text": re.sub(r"[ \t\r\n]+", " ", child), **({"lang": lang} if lang else {})})
        elif child.tag == "br":
            runs.append({"role": "break", "text": ""})
        elif child.has("swatch"):
            runs.append({"role": "swatch", "text": _colour(child) or "#000000"})
        elif not child.has("screen"):
            names = [child.tag, *child.attributes.get("class", "").split()]
            named = next((_ROLE[n] for n in names if n in _ROLE), role)
            runs += _runs(child.children, named, child.attributes.get("lang", lang))
    return _trimmed(runs) if not role else [r for r in runs if r["text"] or r["role"] == "break"]


def _trimmed(runs: list[dict[str, str]]) -> list[dict[str, str]]:
    while runs and runs[0]["role"] != "swatch" and not runs[0]["text"].strip(" "):
        runs = runs[1:]
    while runs and runs[-1]["role"] != "swatch" and not runs[-1]["text"].strip(" "):
        runs = runs[:-1]
    if runs and runs[0]["role"] != "swatch":
        runs = [{**runs[0], "text": runs[0]["text"].lstrip(" ")}, *runs[1:]]
    return [*runs[:-1], {**runs[-1], "text": runs[-1]["text"].rstrip(" ")}] if runs else runs
