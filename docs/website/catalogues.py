"""Pages made from the catalogues and the schema: instruments, codes, checks, the data dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from registry import catalogue
from registry.codebook import codebook

UNVERIFIED = '<span class="unverified">not verified</span>'
Row = dict[str, Any]
_INSTRUMENTS = ("scale", "item", "scoring", "unit_conversion")
_RESPONSES = ("definition", "definition_arm", "definition_criterion", "loss_definition")
_CHECKS = ("defect", "load_rule", "reporting_item")


def pages() -> dict[str, str]:
    """Return a page for each kind of catalogue, and the data dictionary: path in the site to Markdown."""
    return {
        "data-dictionary.md": _dictionary(),
        "catalogues/instruments.md": _instruments(),
        "catalogues/codes.md": _codes(),
        "checks.md": _checks(),
    }


def page_of(catalogue_file: str) -> str | None:
    """Return the page that shows a file of the catalogue, or None if none does."""
    if catalogue_file in _INSTRUMENTS:
        return "catalogues/instruments.md"
    if catalogue_file in _RESPONSES:
        return "catalogues/responses.md"
    if catalogue_file.startswith(("programme", "stage")):
        return "catalogues/programmes.md"
    if catalogue_file == "vocabulary":
        return "catalogues/codes.md"
    return "checks.md" if catalogue_file in _CHECKS else None


def rows(name: str, **equal: str) -> list[Row]:
    """Return the rows of a catalogue, or those in which columns have the values of `equal`."""
    return [r for r in catalogue.read(name).iter_rows(named=True) if all(r[k] == v for k, v in equal.items())]


def table(header: Iterable[str], body: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table; an empty cell stays empty, a bar in a cell is escaped."""
    names = list(header)
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join('' if c is None else str(c).replace('|', chr(92) + '|') for c in row)} |" for row in body]
    return "\n".join(lines)


def listed(found: list[Row], **columns: Callable[[Row], Any]) -> str:
    """Return a Markdown table of `found`: a column for each keyword, its cells by the function given."""
    names = [name.replace("_", " ") for name in columns]
    return table(names, ([cell(r) for cell in columns.values()] for r in found))


def joined(parts: list[str]) -> str:
    """Return the text of a page from its paragraphs."""
    return "\n\n".join(parts) + "\n"


def source(row: Row) -> str:
    """Return where a row is from, marked where it was not checked against that."""
    return str(row["source"]) if row["verified"] == "true" else f"{row['source']} {UNVERIFIED}"


def code(name: str) -> Callable[[Row], str]:
    """Return a cell that shows a column as code."""
    return lambda r: f"`{r[name]}`"


def _dictionary() -> str:
    intro = (
        "# Data dictionary\n\nThe files of the template and the tables of the record: made from the schema, as "
        "`catamnesis template` writes it beside the empty files. What is derived from them is in [definitions]"
        "(definitions/index.md), column by column.\n"
    )
    return intro + codebook().split("\n", 1)[1]


def _instruments() -> str:
    better = {"higher_better": "higher", "lower_better": "lower"}
    parts = [
        "# Instruments",
        "Every scale that can be loaded, with its range, which end is better, and where that is from. A scale that is "
        "not here is refused, with its line; a clinic [adds its own](../how-to/your-own-files.md#a-scale-of-your-own).",
    ]
    scales = rows("scale")
    for domain in dict.fromkeys(r["domain"] for r in scales):
        of_domain = listed(
            [r for r in scales if r["domain"] == domain],
            scale=code("scale"),
            instrument=lambda r: r["label"],
            unit=lambda r: _unit(r["unit"]),
            range=lambda r: f"{r['low']} to {r['high']}",
            better=lambda r: better.get(r["direction"], "–"),
            recall=lambda r: r["recall"],
            licence=lambda r: r["licence"],
            source=source,
        )
        parts += [f"## {domain.replace('_', ' ').capitalize()}", of_domain]
    scored = listed(
        rows("scoring"),
        scale=code("scale"),
        items=lambda r: r["n_items"],
        needed=lambda r: r["n_needed"],
        score_if_all_are_lowest_and_highest=lambda r: f"{r['score_at_low']} and {r['score_at_high']}",
        source=source,
    )
    units = listed(
        rows("unit_conversion"),
        scale=code("scale"),
        unit=lambda r: r["unit"],
        times=lambda r: r["factor"],
        source=lambda r: r["source"],
    )
    rule = "By the published rule; see [`staging.item_score`](../definitions/staging/item_score.md)."
    return joined([*parts, "## Computed from items", rule, scored, "## Other units that are converted", units])


def _codes() -> str:
    parts = ["# Codes", "What a column of codes may hold. Any other value is refused."]
    known = rows("vocabulary")
    for name in dict.fromkeys(r["vocabulary"] for r in known):
        codes = ", ".join(f"`{r['code']}`" for r in known if r["vocabulary"] == name)
        parts += [f"## {name.replace('_', ' ').capitalize()}", codes]
    return joined(parts)


def _checks() -> str:
    defects = sorted(rows("defect"), key=lambda r: (r["category"], r["kind"], r["defect"]))
    return joined(
        [
            "# Checks",
            "A row is judged twice: alone when it is loaded, and against all others by `catamnesis check`.",
            f"## The {len(defects)} checks of the whole registry",
            "Conformance, completeness, plausibility (Kahn 2016). How findings live: "
            "[keep the record](how-to/keep-the-record.md#findings).",
            listed(
                defects,
                check=code("defect"),
                finds_that=lambda r: r["meaning"],
                kind=lambda r: f"{r['category']}, {r['kind']}",
                severity=lambda r: r["severity"],
                limit=lambda r: r["limit_value"],
            ),
            "## Rules by which a row is refused",
            "Besides these: what the [data dictionary](data-dictionary.md) says of each column (form, limits, codes, "
            "what must be filled), two rows of one key, and rows whose patient, target or course is not there.",
            listed(
                rows("load_rule"),
                table=lambda r: r["table_name"].replace("_", " "),
                refused_when=lambda r: r["message"],
                what_to_do=lambda r: r["advice"],
            ),
            "## Items of a full description",
            "What `catamnesis reporting` counts by product: "
            "[what is around a course](how-to/keep-the-record.md#what-is-around-a-course).",
            listed(
                rows("reporting_item"),
                item=code("item"),
                asks_for=lambda r: r["meaning"],
                guideline=lambda r: f"{r['guideline']}, {r['section']}",
                of_each=lambda r: r["unit"],
            ),
        ]
    )


def _unit(unit: str) -> str:
    return {"{score}": "points", "1": ""}.get(unit, unit.strip("{}"))
