"""Names that a clinic gives, where few courses stand behind one: the name alone could point to a patient.

A product's code may be that of a lot made for one patient. Numbers of few are withheld by
:meth:`analysis.Result.suppress`; here the code goes too, and "product of few" stands in its place.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, TypeVar

import polars as pl

# What is named by whoever fills in the files; all other codes are those of a catalogue, or of the registry's centres.
_OWN_WORDS = ("product",)
Shown = TypeVar("Shown", bound="Any")


def without_names_of_few(result: Shown, smallest: int) -> Shown:
    """Return the result with every product that fewer than `smallest` courses had named by that alone.

    Codes are replaced where they stand as codes (strata, levels) and in sentences; numbers stay as they are. A code may
    be a plain word or number, such as ``1``: names of quantities and other settings are not searched for it.
    """
    names = _new_names(result, smallest)
    if not names:
        return result
    frames = {f.name: _in_frame(value, names) for f in dataclasses.fields(result)
              if isinstance(value := getattr(result, f.name), pl.DataFrame)}  # fmt: skip
    told = {name: tuple(_in_text(text, names) for text in getattr(result, name)) for name in ("notes", "withheld")}
    return dataclasses.replace(result, **frames, **told, settings=_in_settings(result.settings, names))


def _new_names(result: Any, smallest: int) -> dict[str, str]:
    few: list[str] = []
    frame: pl.DataFrame = result.frame
    for word in _OWN_WORDS:
        if result.settings.get("by") == word:
            sizes = frame.group_by("stratum", maintain_order=True).agg(pl.col("denominator").max().alias("n"))
            held = [str(s["code"]) for s in result.settings.get("strata", ())]
            few += sizes.filter(pl.col("stratum").is_in(held), pl.col("n").is_between(1, smallest - 1))[
                "stratum"
            ].to_list()
        # Levels of a description: courses that had it, of all.
        levels = frame.filter(pl.col("quantity").str.starts_with(f"{word} = ")).group_by("quantity").agg(n=pl.max("n"))
        few += [q.removeprefix(f"{word} = ").rsplit(": ", 1)[0]
                for q in levels.filter(pl.col("n").is_between(1, smallest - 1))["quantity"].sort()]  # fmt: skip
    codes = list(dict.fromkeys(few))
    return {code: "product of few" + (f" {i}" if len(codes) > 1 else "") for i, code in enumerate(codes, 1)}


def _in_frame(frame: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    tell = {"stratum": _in_strata, "quantity": _in_quantity}
    # A frame of strata and quantities has few distinct texts: each is looked at once.
    for name in (name for name, kind in frame.schema.items() if kind == pl.String):
        told = {text: tell.get(name, _in_text)(text, names) for text in frame[name].drop_nulls().unique().to_list()}
        frame = frame.with_columns(pl.col(name).replace({k: v for k, v in told.items() if k != v}))
    return frame


def _in_strata(text: str, names: dict[str, str]) -> str:
    """Replace a stratum, or the sides of a contrast."""
    return names.get(text) or " - ".join(names.get(side, side) for side in text.split(" - "))


def _in_quantity(text: str, names: dict[str, str]) -> str:
    """Replace the level of a description, ``product = CODE: share``."""
    word, is_level, rest = text.partition(" = ")
    code, colon, what = rest.rpartition(": ")
    return f"{word} = {names.get(code, code)}{colon}{what}" if is_level and word in _OWN_WORDS else text


def _in_text(text: str, names: dict[str, str]) -> str:
    """Replace codes that stand alone in a sentence, not those within a longer word."""
    for code, new in names.items():
        text = re.sub(rf"(?<![\w-]){re.escape(code)}(?![\w-])", new, text)
    return text


def _in_settings(settings: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Replace the codes and labels of strata, and the levels of variables described."""
    shown = dict(settings)
    if settings.get("by") in _OWN_WORDS and "strata" in settings:
        shown["strata"] = [
            {**s, **{k: names.get(str(s[k]), s[k]) for k in ("code", "label")}} for s in settings["strata"]
        ]
    if "variables" in settings:
        shown["variables"] = [
            {**v, "levels": [names.get(level, level) for level in v["levels"]]}
            if v["variable"] in _OWN_WORDS and v["levels"]
            else v
            for v in settings["variables"]
        ]
    return shown
