"""How many courses an outlook rests on, why that is too few, and how well it predicts: in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.outlook_likeness import FEWEST_ALIKE, WIDTHS, Seen, widths_apart
from analysis.outlook_validation import APART, GAP, INSIDE, PREDICTED, THIRDS

Bools = NDArray[np.bool_]

# As many courses must share each value that is named, and all of them at once: others only stand in for these.
FEWEST_SHARING = 10
# The middle nine in ten of what is recorded: the ends would be single people.
_MIDDLE = [0.05, 0.95]


def why_too_few(at: Seen, known: dict[str, NDArray[Any]], one: dict[str, Any]) -> str | None:
    """Return why the courses seen at a visit cannot stand for `one`; None if they can.

    Each value named must be shared by ten of them: the same code, or a number within a kernel width (10 years; 10
    points; half to twice the dose). All values at once by ten. And the weights must sum to thirty, where 1 is a course
    just alike. `known` has what is named of all courses of the stage.
    """
    scored = at.scored
    there = {name: values[at.place[scored]] for name, values in known.items()}
    shared = [_shares(name, values, one[name]) for name, values in there.items()]
    for name, who in zip(there, shared, strict=True):
        if int(who.sum()) < FEWEST_SHARING:
            few = f"fewer than {FEWEST_SHARING}" if who.any() else "none"
            return f"{few} of the courses of its stage seen {_not_shared(name, known[name], there[name], one[name])}"
    if shared and int(np.logical_and.reduce(shared).sum()) < FEWEST_SHARING:
        return f"fewer than {FEWEST_SHARING} of the courses of its stage seen share all that is named at once"
    if at.likeness[scored].sum() < FEWEST_ALIKE:
        counted = ", where one just alike counts 1 and others less" if shared else ""
        return f"fewer than {FEWEST_ALIKE:.0f} courses are like this one{counted}"
    return None


def _shares(name: str, values: NDArray[Any], one: Any) -> Bools:
    # A dose of just half or twice is near, and half in the computer is not quite so.
    near = np.abs(widths_apart(name, values, one)) <= 1.01 if name in WIDTHS else values == one
    return np.asarray(near, dtype=bool)


def _not_shared(name: str, held: NDArray[Any], there: NDArray[Any], one: Any) -> str:
    """Return which value courses do not share and what there is: in the stage (`held`), or at the visit (`there`)."""
    if name in WIDTHS:
        told = held[~np.isnan(held)]
        low, high = np.quantile(told, _MIDDLE) if len(told) >= 2 * FEWEST_SHARING else (None, None)
        if name == "age":
            near, span = f"are within 10 years of age {one:g}", "of all nine in ten are {:.0f} to {:.0f} years old"
        elif name == "baseline":
            near = f"began within 10 points of {one:g}"
            span = "of all nine in ten began at {:.0f} to {:.0f} of 100, 0 best"
        else:
            near, span = f"had half to twice {one:g} million cells", "of all nine in ten had {:.0f} to {:.0f} million"
        return f"{near}; {'hardly one has it recorded' if low is None else span.format(low, high)}"
    codes, count = np.unique(there[there != ""].astype(str), return_counts=True)
    enough = ", ".join(codes[count >= FEWEST_SHARING])
    return f"have {name} {one}; " + (
        f"at least {FEWEST_SHARING} have {enough}" if enough else "nor have as many another"
    )


def refusal(seen: list[Seen], why: list[str], named: bool) -> str:
    """Return why nothing is said at any visit: the reason at the visit where most were seen, and what to do."""
    if not seen:
        return "No course of this stage has a planned visit due by the data cut."
    if not named:
        return f"{why[0].capitalize()} at every visit. Wait for more courses of its stage."
    most = int(np.argmax([at.scored.sum() for at in seen]))
    return (
        f"Too few courses are like this one at every visit. Where most were seen, at {seen[most].visit}, {why[most]}. "
        "Name less of it, or wait for more courses of its stage."
    )


def visits_without(seen: list[Seen], why: list[str | None]) -> list[str]:
    """Return a note for each reason for which nothing is said, with its visits."""
    by_reason: dict[str, list[str]] = {}
    for at, reason in zip(seen, why, strict=True):
        if reason:
            by_reason.setdefault(reason, []).append(at.visit)
    return [f"{', '.join(visits)}: {reason}, so nothing is said." for reason, visits in by_reason.items()]


def quality_note(support: list[float], checks: list[dict[str, Any]]) -> str:
    """Return how many courses the visits rest on and how well it predicts; `checks` are those of the validation."""
    low, high = min(support), max(support)
    rests = (
        f"Rests on the like of {low:.0f} to {high:.0f} courses a visit"
        if round(low) < round(high)
        else (f"Rests on the like of {high:.0f} courses a visit")
    )
    found = {c["check"]: c for c in checks}
    predicted, inside, gap = (found.get(c) for c in (PREDICTED, INSIDE, GAP))
    if predicted is None or inside is None:
        return f"{rests}; too few can be predicted from those of other patients to say how well it predicts."
    text = (
        f"{rests}. Of {predicted['value']:.0f} at {predicted['note']} predicted from those of other patients, "
        f"{100 * inside['value']:.0f} % were between failure and best case, where 80 % should be; "
    )
    text += (
        "of too few is it known whether they respond to say how well that is predicted."
        if gap is None
        else f"response was predicted within {100 * gap['value']:.1f} points of what was seen."
    )
    if not (inside["passed"] and (gap is None or gap["passed"])):
        text += " That is outside what is accepted (70 to 90 %, 5 points)."
    if off := [name.removeprefix(f"{THIRDS}: ") for name, c in found.items() if THIRDS in name and not c["passed"]]:
        text += f" By thirds of what was predicted these were further off than chance: {', '.join(off)}."
    apart = found.get(APART)
    if apart is not None and not apart["passed"]:
        text += (
            " Who of the stage responds it tells no better than chance: what is named beside the stage hardly says "
            f"(area under the curve {apart['value']:.2f})."
        )
    return text
