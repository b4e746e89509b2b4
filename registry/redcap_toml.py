"""Writes a proposed mapping as TOML that a person reads: a comment wherever there is something to decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PLAIN = ("file", "table", "where", "filled", "first_of", "same_for", "spread", "missing")


def head(
    dictionary: Path, events: Path | None, missing_codes: str, unmatched: tuple[str, ...], identifiers: tuple[str, ...]
) -> str:
    """Return the top of the mapping: the project, and what is not loaded."""
    lines = [
        "# Proposed from the data dictionary: read it, correct it, and load with",
        "#   catamnesis load REG EXPORT.csv --mapping THIS_FILE --dry-run",
        "# CHOOSE stands where only you can know; until it is gone the file is not read.",
        "# extracted_on = 2026-01-31   # the day of the export",
        "",
        "[redcap]",
        f"dictionary = {_quoted(dictionary.name)}",
    ]
    lines += [f"events = {_quoted(events.name)}"] if events else []
    lines += [f"missing_codes = {_quoted(missing_codes)}"] if missing_codes else []
    lines += ["# records = 120   # how many records the project shows: an export with another number is refused", ""]
    if identifiers:
        lines.append(f"# Marked as identifiers, never loaded: {', '.join(identifiers)}")
    if unmatched:
        lines.append(f"# Nothing found for: {', '.join(unmatched)}")
    return "\n".join(lines) + "\n"


def entry(made: dict[str, Any]) -> str:
    """Return one ``[[table]]``."""
    lines = ["[[table]]" + (f"   # {made['form']}" if made.get("form") else "")]
    lines += [f"{k} = {_value(made[k])}" for k in _PLAIN if k in made]
    lines.append("[table.columns]")
    lines += [_field(k, v) for k, v in made["columns"].items()]
    for place in made.get("wide", ()):
        lines += ["[[table.wide]]", *(_field(k, v) for k, v in place.items())]
    return "\n".join(lines) + "\n"


def _field(name: str, spec: Any) -> str:
    if not isinstance(spec, dict):
        return f"{name} = {_value(spec)}"
    open_choices = spec.get("?", ())
    stated = {k: v for k, v in spec.items() if k != "?"}
    comment = f"   # no code of ours for: {', '.join(open_choices)}" if open_choices else ""
    return f"{name} = {_value(stated)}{comment}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return _quoted(str(value))


def _key(name: str) -> str:
    return name if name.replace("_", "a").replace("-", "a").isalnum() and name.isascii() else _quoted(name)


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string: the same escapes.
    return json.dumps(text, ensure_ascii=False)
