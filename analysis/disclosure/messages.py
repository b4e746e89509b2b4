"""Counts of people in messages and reasons: if one is small, all of the message are said as few or not few."""

from __future__ import annotations

import re

# What small reasons are called where they are put together.
FEW_REASONS = "other reasons together"
# A count in a message: of courses, patients and the like, or at the head of an entry in a list of reasons.
_PEOPLE = "(?:courses?|patients?|decisions?|events?|boosters?|were|was|had|have)"
_NO_PEOPLE = "(?:months?|weeks?|days?|years?|groups?|of)"
_COUNT = re.compile(
    rf"(?:\b(?:only|at most) )?(?<![\w.,/-])(?P<of>\d+)(?= {_PEOPLE}\b)"
    rf"|(?:(?<=; )|(?<=\. )|^)(?P<reason>\d+)(?= (?!{_NO_PEOPLE}\b)[a-z])"
)


def in_few(text: str, smallest: int) -> str:
    """Return a message with its counts of people hidden, if one of them is small: others could give it away."""
    counts = [int(m["of"] or m["reason"]) for m in _COUNT.finditer(text)]
    if not any(0 < n < smallest for n in counts):
        return text
    hidden = iter(f"fewer than {smallest}" if n < smallest else f"{smallest} or more" for n in counts)
    told = _COUNT.sub(lambda _: next(hidden), text)
    return told.replace(f"fewer than {smallest} course was", f"fewer than {smallest} courses were")
