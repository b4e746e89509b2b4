"""What analyses say in names of their own, in a reader's words: labels of stages, states, what was known."""

from __future__ import annotations

import re
from typing import Any

from analysis.booster_figures import covariate

_STATES = re.compile(r"\b(?:in_response|response_lost|no_response_yet)\b")
_OBSERVED = "share_in_response_observed is of those who came"
_KNOWN = "levels of what was known: "


def readable(text: str, strata: list[dict[str, Any]]) -> str:
    """Return a sentence of an analysis with labels for the codes of its strata, and words for names of the code."""
    labels = {s["code"]: s["label"] for s in strata}
    codes = "|".join(map(re.escape, labels)) or "(?!)"
    # A code stands before a colon, or at the end of the name of a check; elsewhere it may be a word.
    for place in (rf"(?:^|(?<=; )|(?<=: ))(?:{codes})(?=: )", rf"(?:(?<= in )|(?<= of ))(?:{codes})$"):
        text = re.sub(place, lambda m: labels[m[0]], text)
    before, known, names = text.partition(_KNOWN)
    if known:
        text = before + known + ", ".join(covariate(name) for name in names.split(", "))
    text = text.replace(_OBSERVED, "The share seen in response is of those who came")
    return _STATES.sub(lambda m: m[0].replace("_", " "), text)


def readable_checks(checks: list[dict[str, Any]], strata: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of diagnostics with their names as a reader knows them."""
    return [{**c, "check": readable(c["check"], strata)} for c in checks]
