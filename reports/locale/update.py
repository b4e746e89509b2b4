"""Bring the catalogues up to date with what the report says: ``make words``. Needs Babel, a tool of development.

The template, ``catamnesis.pot``, is what the code, the templates and the registry's catalogues say. Each language has a
``catamnesis.po`` for translators and, made from it, the ``catamnesis.mo`` that the report reads.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from reports.words import DOMAIN, FOLDER

ROOT = FOLDER.parents[1]
TEMPLATE = FOLDER / f"{DOMAIN}.pot"
# Columns of the registry's catalogues that the page shows; of the vocabulary, the lists that it can name.
_COLUMNS = {
    "programme.csv": ("label", "end_label", "evidence"),
    "programme_visit.csv": ("planned_visit",),
    "stage.csv": ("label", "stage"),
    "definition.csv": ("label",),
    "scale.csv": ("label",),
    "programme_scale.csv": ("domain",),
    "defect.csv": ("meaning",),
    "load_rule.csv": ("message",),
    "reporting_item.csv": ("section",),
    "vocabulary.csv": ("code",),
}
_LISTS = ("sex", "diagnosis", "site", "donor", "origin", "separation", "route", "guidance")
_KEYWORDS = {**DEFAULT_KEYWORDS, "N_": None, "NN_": (1, 2), "say": None, "html": None, "say_many": (1, 2)}


def of_catalogue(
    fileobj: Any, keywords: Any, comment_tags: Any, options: Any
) -> Iterator[tuple[int, str, str, list[str]]]:
    """Give the texts of a catalogue of the registry to Babel's extraction: the columns that the page shows."""
    name = Path(str(getattr(fileobj, "name", ""))).name
    rows = csv.DictReader(io.StringIO(fileobj.read().decode("utf-8")))
    for row in rows:
        if name == "vocabulary.csv" and row["vocabulary"] not in _LISTS:
            continue
        for column in _COLUMNS.get(name, ()):
            if row[column]:
                text = row[column].replace("_", " ") if column == "code" else row[column]
                yield rows.line_num, "", text, []


def extracted() -> Catalog:
    """Return every message of the report, each with the files that say it."""
    catalog = Catalog(project="Catamnesis", domain=DOMAIN, fuzzy=False)
    with (FOLDER / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    found = extract_from_dir(str(ROOT), methods, options, keywords=_KEYWORDS)
    for name, _, message, comments, context in sorted(found, key=lambda one: (one[0], one[1])):
        catalog.add(message, None, [(name, None)], auto_comments=comments, context=context)  # type: ignore[list-item]
    return catalog


def as_text(catalog: Catalog, *, header: bool) -> bytes:
    """Return a catalogue as the file that is kept: no day and no line number, which would change with nothing said."""
    written = io.BytesIO()
    write_po(written, catalog, width=0, omit_header=not header, include_lineno=False)
    return written.getvalue()


def compiled(file: Path) -> bytes:
    """Return what the report reads, from the translators' file."""
    with file.open("rb") as source:
        catalog = read_po(source, domain=DOMAIN)
    written = io.BytesIO()
    write_mo(written, catalog)
    return written.getvalue()


def main() -> None:
    """Write the template, and every language anew from it; new messages stand in its file untranslated."""
    template = extracted()
    TEMPLATE.write_bytes(as_text(template, header=False))
    for file in sorted(FOLDER.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        with file.open("rb") as source:
            catalog = read_po(source, domain=DOMAIN, locale=file.parents[1].name)
        # What is gone is dropped, and nothing is guessed from what is alike: a wrong word is worse than an English one.
        catalog.update(template, no_fuzzy_matching=True, update_header_comment=False, update_creation_date=False)
        catalog.obsolete.clear()
        file.write_bytes(as_text(catalog, header=True))
        file.with_suffix(".mo").write_bytes(compiled(file))
        missing = sum(
            1 for m in catalog if m.id and not all([m.string] if isinstance(m.string, str) else m.string or [""])
        )
        print(f"{file.parents[1].name}: {len(catalog)} messages, {missing} without a translation")


if __name__ == "__main__":
    main()
