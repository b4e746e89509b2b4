"""The words of the report as lines of text that are kept and compared: what it says, without its numbers."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any

from reports.printed import _with_figures

_DAY = re.compile(r"\d{4}-\d\d-\d\d|\d\d\.\d\d\.\d{4}")
_HEX = re.compile(r"\b[0-9a-f]{12,}\b")
# A count of few is a word of the report; of all else that is a number any may come.
_NUMBER = re.compile(r"(?<![<\w.])[-−+]?\d(?:[\d.,]*\d)?(?:e[-+]\d+)?")
_MARKS = {"h1": "# ", "h2": "\n## ", "h3": "\n### ", "summary": "\n#### "}


def lines(html: str) -> list[str]:
    """Return what the page says, in order, a line a paragraph or row; at the end what is only heard or on buttons.

    Rows of the tables of definitions are the registry's catalogues and left out.
    """
    found: list[str] = []
    for block in _with_figures(html):
        found += _lines(block, defined=any("### Definitions" in t or "### Definitionen" in t for t in found))
    heard = re.findall(r'<(?!svg)[^>]* (?:aria-label|data-(?:copy|copied|refused|sort|heading|page))="([^"]*)"', html)
    return [*found, "\n## Heard, and on buttons", *dict.fromkeys(_plain(t) for t in heard)]


def _lines(block: dict[str, Any], *, defined: bool) -> list[str]:
    kind = block["kind"]
    if kind in _MARKS:
        return [_MARKS[kind] + _text(block["text"], numbers=True)]
    if kind == "table":
        rows = [] if defined else [_row(r["cells"]) for r in block["rows"]]
        named = [_text(block["caption"])] if block["caption"] else []
        return [*named, "| " + " | ".join(_text(c["text"], numbers=True) for c in block["head"]), *rows]
    if kind == "figure":
        return [f"[figure: {_plain(block['alt'])}]", _text(block["caption"])]
    if kind == "terms":
        return [f"{_text(term)}: {_text(said)}" for term, said in block["items"]]
    if kind == "list":
        return ["- " + _text(item) for item in block["items"]]
    if kind in ("cards", "strata"):
        return [f"({kind}) " + "; ".join(_text(item["text"]) for item in block["items"])]
    if "blocks" in block:
        return ["> " + line for inner in block["blocks"] for line in _lines(inner, defined=defined)]
    return [block["heading"]] if kind == "contents" else [_text(block["text"])]


def _row(cells: list[dict[str, Any]]) -> str:
    told = [_text(c["text"], numbers=i == 0) for i, c in enumerate(cells)]
    # A cell without a word is a number, or the mark of a hidden one: which it is, other tests look at.
    return "| " + " | ".join(
        [told[0], *(t if not t or re.search(r"[^\W\d_]", t.replace("[c]", "")) else "#" for t in told[1:])]
    )


def _text(runs: list[dict[str, str]], *, numbers: bool = False) -> str:
    parts = [" " if r["role"] == "break" else f" {r['text']}" if r["role"] == "small" else r["text"]
             for r in runs if r["role"] != "swatch"]  # fmt: skip
    text = " ".join("".join(parts).split())
    return text if numbers else _plain(text)


def _plain(text: str) -> str:
    return _NUMBER.sub("#", _HEX.sub("HASH", _DAY.sub("DAY", text))).replace("\xa0", " ")


def differences(now: list[str], file: Path) -> str:
    """Return how the words differ from those kept, as a diff; none if they do not. With ``KEEP_WORDS=1`` they are kept."""
    if os.environ.get("KEEP_WORDS"):
        file.write_text("\n".join(now) + "\n", encoding="utf-8")
    kept = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return "\n".join(difflib.unified_diff(kept, "\n".join(now).splitlines(), "kept", "now", n=1, lineterm=""))
