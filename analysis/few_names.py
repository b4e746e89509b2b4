"""Names that a clinic gives, where few patients stand behind one: the name alone could point to them.

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

    Codes are replaced in frames, settings, notes and checks alike; numbers stay as they are.
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
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    # A frame of strata and quantities has few distinct texts: each is looked at once.
    for name in texts:
        told = {text: _in_text(text, names) for text in frame[name].drop_nulls().unique().to_list()}
        frame = frame.with_columns(pl.col(name).replace({k: v for k, v in told.items() if k != v}))
    return frame


def _in_text(text: str, names: dict[str, str]) -> str:
    """Replace codes that stand alone, not those within a longer word."""
    for code, new in names.items():
        text = re.sub(rf"(?<![\w-]){re.escape(code)}(?![\w-])", new, text)
    return text


def _in_settings(held: Any, names: dict[str, str]) -> Any:
    if isinstance(held, str):
        return _in_text(held, names)
    if isinstance(held, dict):
        return {key: _in_settings(value, names) for key, value in held.items()}
    if isinstance(held, list | tuple):
        return type(held)(_in_settings(value, names) for value in held)
    return held
