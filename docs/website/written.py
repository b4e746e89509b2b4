"""Pages that are written by hand, where each stands in the site, and links between them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from website import catalogues, definitions

ROOT = Path(__file__).parents[2]
# Pages that lie beside docs/.
_OUTSIDE = {
    "README.md": "index.md",
    "GLOSSARY.md": "glossary.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
_REFERENCE = ("index", "command", "registry", "analysis", "reports", "synthetic")
_CATALOGUES = ("responses", "programmes", "instruments", "codes")
_ABOUT = ("threat-model.md", "reliability.md", "performance.md", "contributing.md", "changelog.md")
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def pages() -> dict[str, str]:
    """Return every written page: path in the site to Markdown whose links lead to pages of the site."""
    made = {
        site: relinked((ROOT / source).read_text(encoding="utf-8"), source, site) for source, site in sources().items()
    }
    made["decisions/index.md"] = _decisions(made)
    return made


def sources() -> dict[str, str]:
    """Return where each written page of the repository stands in the site."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    inside = {p.relative_to(ROOT).as_posix(): p.relative_to(ROOT / "docs").as_posix() for p in found}
    return _OUTSIDE | {s: site.replace("README.md", "index.md") for s, site in inside.items()}


def linked_files() -> dict[str, bytes]:
    """Return files of the repository that pages show or link to and that are no page: path in the site to content."""
    files = {}
    for source in sources():
        text = (ROOT / source).read_text(encoding="utf-8")
        for _, target, _ in _LINK.findall(_without_code(text)):
            place = _in_repository(source, target)
            if place and _site_of(place) == f"files/{place}" and (ROOT / place).is_file():
                files[f"files/{place}"] = (ROOT / place).read_bytes()
    return files | {
        p.relative_to(ROOT / "docs").as_posix(): p.read_bytes() for p in (ROOT / "docs" / "figures").glob("*.svg")
    }


def navigation(made: set[str]) -> list[Any]:
    """Return the contents of the site, section by section; each page of `made` is in it once."""

    def of(folder: str) -> list[str]:
        inside = re.compile(rf"{folder}/[^/]+\.md")
        return sorted(p for p in made if inside.fullmatch(p))

    layers: list[Any] = [{layer.capitalize(): of(f"definitions/{layer}")} for layer in definitions.LAYERS]
    return [
        {"Begin": ["index.md", "tutorial.md"]},
        {"How to": of("how-to")},
        {"Notebooks": of("notebooks")},
        {"Methods": [*of("methods"), *of("methods/truth"), "real_data/index.md"]},
        {"Reference": [f"reference/{name}.md" for name in _REFERENCE]},
        {"Definitions": ["definitions/index.md", *layers]},
        {"Data": ["data-dictionary.md", *(f"catalogues/{name}.md" for name in _CATALOGUES), "checks.md"]},
        {"Read before you cite": ["read-before-you-cite.md", "comparison.md", "glossary.md"]},
        {"About": [*of("decisions"), *_ABOUT]},
    ]


def relinked(text: str, source: str, site: str) -> str:
    """Return the text of `source`, a file of the repository, with links as they lead from its page `site`."""
    here = posixpath.dirname(site)

    def lead(match: re.Match[str]) -> str:
        opening, target, closing = match.groups()
        place = _in_repository(source, target)
        if place is None:
            return match.group()
        anchor = f"#{target.split('#', 1)[1]}" if "#" in target else ""
        return f"{opening}{posixpath.relpath(_site_of(place), here or '.')}{anchor}{closing}"

    return _outside_code(text, lambda part: _LINK.sub(lead, part))


def _in_repository(source: str, target: str) -> str | None:
    path = target.split("#")[0]
    if not path or re.match(r"[a-z]+:", path):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path))


def _site_of(place: str) -> str:
    folder, _, name = place.rpartition("/")
    stem, _, kind = name.rpartition(".")
    if place in sources():
        return sources()[place]
    if place == "registry/tables.py":
        return "data-dictionary.md"
    if place == "docs/decisions":
        return "decisions/index.md"
    if folder == "notebooks":
        return f"notebooks/{stem}.md"
    if folder == "docs/figures":
        return f"figures/{name}"
    if folder == "registry/catalogue" and catalogues.page_of(stem):
        return str(catalogues.page_of(stem))
    if place.startswith("sql/") and kind == "sql":
        return definitions.path_of(place[4:-4].replace("/", "."))
    return f"files/{place}"


def _decisions(made: dict[str, str]) -> str:
    titles = [(p, made[p].split("\n", 1)[0].removeprefix("# ")) for p in sorted(made) if p.startswith("decisions/0")]
    listed = "\n".join(f"- [{title}]({posixpath.basename(p)})" for p, title in titles)
    lead = "Short records of what a reviewer would ask about: what was decided, why, and what it costs."
    return f"# Decisions\n\n{lead}\n\n{listed}\n"


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def _outside_code(text: str, change: Any) -> str:
    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else change(part) for part in parts)
