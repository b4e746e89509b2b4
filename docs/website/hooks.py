"""What MkDocs is asked to do to each page: tables that scroll by themselves, and no marks of another system."""

from __future__ import annotations

import re
from typing import Any


def on_page_content(html: str, **_: Any) -> str:
    """Wrap tables, so that a wide one scrolls by itself and by keyboard, and not the page."""
    # Docstrings name objects as Sphinx does; the code beside the role says enough.
    html = re.sub(r":(?:func|meth|class|mod|attr):(?=<code)", "", html)
    return re.sub(r"(?s)<table>.*?</table>", _scrolling, html)


def _scrolling(match: re.Match[str]) -> str:
    return f'<div class="wide" tabindex="0" role="region" aria-label="Table">{match.group()}</div>'
