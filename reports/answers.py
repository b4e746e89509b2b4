"""What the command makes of an answer: a refusal for machines, and the figure as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def withheld(question: str, options: dict[str, Any], courses: Any, why: str) -> dict[str, Any]:
    """Return what `analyse --json` prints of a question that the data cannot answer."""
    return {
        "question": question,
        "frame": [],
        "settings": options,
        "attrition": courses.flow().to_dicts(),
        "diagnostics": [],
        "notes": [],
        "withheld": [why],
    }


def write_figure(result: Any, path: Path) -> None:
    """Write the figure of a result, small cells hidden, as PNG or SVG."""
    from analysis import figures
    from registry.errors import choose

    ending = choose(path.suffix.lower(), (".png", ".svg"), "Ending of the figure's file")
    drawn = result.suppress().plot()
    if ending == ".png":
        path.write_bytes(figures.png(drawn))
    else:
        path.write_text(figures.svg(drawn, path.stem), encoding="utf-8")
