"""What the report hides and by which rule: the log of disclosure control, kept while results are made for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar, cast

from analysis import Result
from analysis.disclosure import log
from analysis.disclosure.log import AGGREGATE, Entry
from analysis.disclosure.messages import FEW_REASONS
from reports.phrases import N_
from reports.words import Words

Shown = TypeVar("Shown", bound=Result)
Hide = Callable[[Any], Any]
# What the numbers file calls results and tables of counts, and what a reader reads instead.
TABLES = {
    "describe": N_("Characteristics at the first session"),
    "goals": N_("Goals"),
    "time_to_response": N_("Response by severity stage"),
    "time_in_response": N_("In response over time"),
    "trajectories": N_("Change from baseline"),
    "booster_effect": N_("Effect of a booster"),
    "joint_replacement": N_("End of the target"),
    "outlook": N_("What to expect"),
    "safety": N_("Adverse events of any grade"),
    "safety_serious": N_("Serious adverse events"),
    "safety_by_grade": N_("Adverse events by grade and relation"),
    "flow": N_("Who is in the data"),
    "completeness": N_("Completeness of follow-up"),
    "due": N_("What became of each planned visit"),
    "status": N_("Where courses stand"),
    "product_quality": N_("Release tests and viability of products"),
    "product_description": N_("How completely products are described"),
    "defects": N_("Open defects"),
    "refused": N_("Rows refused on loading"),
    "loads": N_("Loads"),
    "moved": N_("What changed"),
}
# What the log says of results, so that it can be told in another language.
SAID = (
    N_("threshold"), N_("complementary suppression"), N_("counts in sentences"), N_("names"), N_("rounding"),
    N_("withheld"), N_("joined"), N_("renamed"), N_("rounded"), N_("left out"),
    N_("numbers"), N_("reasons"), N_("notes"), N_("counts"), N_("products"), N_("curves"),
    N_("Of few, or what would give such a number away."),
    N_("How many lack the variable is hidden, and of how many these are."),
    N_("Notes with a small count say few, or are left out."),
    N_("Products that few courses had."),
    N_("Curves, or parts of them, that rest on few courses are not drawn."),
    N_("Numbers at risk below the curves."),
    N_("Small reasons why decisions were left out, and bins of few decisions, are one with others."),
)  # fmt: skip
_TOLD = N_("Of few, or what would give such a number away.")
_JOINED = N_("Small reasons why courses were left out are one.")
_DIFFERENCES = N_("What was before, where fewer than five make the difference, or where it would give such a one away.")


# Questions whose figure is on the page.
_DRAWN = ("time_to_response", "time_in_response", "joint_replacement", "trajectories", "booster_effect")


def suppressed(result: Shown) -> Shown:
    """Return what may leave of a result."""
    return cast(Shown, result.suppress())


def key_of(result: Result) -> str:
    """Return what the numbers file calls a result: its question, apart where only serious events are counted."""
    return result.question + ("_serious" if result.settings.get("serious") else "")


class Hiding:
    """Suppress results of a programme, and keep what that did to each in `entries`."""

    def __init__(self, programme: str) -> None:
        self.programme = programme
        self.entries: list[Entry] = []

    def __call__(self, result: Shown) -> Shown:
        """Return what may leave of a result."""
        shown = suppressed(result)
        place = f"{self.programme}/{key_of(result)}"
        # Why courses were left out is told of the response alone, as the flow.
        self.entries += [e for e in log.of_result(result, shown, place) if e.unit != "reasons"]
        if result.question in _DRAWN:
            # A figure has its marks in itself, not in the numbers file.
            self.entries += [replace(e, n=None) for e in log.of_figure(result, shown, place, pixels=False)]
        return shown


def of_counts(place: str, found: Any) -> list[Entry]:
    """Return what was done to a table of counts of the numbers file, which marks each cell that is suppressed."""
    marks = _marks(found)
    told = _DIFFERENCES if place.endswith("moved") else _TOLD
    made = [Entry(place, AGGREGATE, "threshold", "withheld", marks, "numbers", told)] if marks else []
    if FEW_REASONS in str(found):
        made.append(Entry(place, AGGREGATE, "counts in sentences", "joined", None, "reasons", _JOINED))
    return made


def _marks(found: Any) -> int:
    if isinstance(found, dict):
        return (found.get("suppressed") is True) + sum(map(_marks, found.values()))
    return sum(map(_marks, found)) if isinstance(found, list) else 0


def together(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries with those of one place, rule and deed as one: a result may be suppressed in parts."""
    found: dict[tuple[str, ...], Entry] = {}
    for e in entries:
        key = (e.file, e.rule, e.done, e.unit, e.told)
        if key in found and e.n is not None:
            found[key] = replace(e, n=(found[key].n or 0) + e.n)
        else:
            found.setdefault(key, e)
    return list(found.values())


def hidden_section(entries: Iterable[Entry], labels: dict[str, str], words: Words) -> list[dict[str, Any]]:
    """Return the log by programme, a row for each rule and deed: what was done, to how many, why, and where.

    Parameters
    ----------
    entries
        The log, places as the numbers file calls them.
    labels
        What a reader calls programmes.
    """
    found: dict[str, dict[tuple[str, ...], list[Entry]]] = {}
    for e in entries:
        programme = e.file.partition("/")[0] if "/" in e.file else ""
        found.setdefault(programme, {}).setdefault((e.rule, e.done, e.unit, e.told), []).append(e)
    return [
        {
            "label": words.plain(labels[programme]) if programme else words.say("In all"),
            "rows": [_row(mine, words) for mine in rows.values()],
        }
        for programme, rows in found.items()
    ]


def _row(entries: list[Entry], words: Words) -> dict[str, str]:
    """Return entries of one rule and deed as a row."""
    where = dict.fromkeys(words.say(TABLES[e.file.rpartition("/")[2]]) for e in entries)
    counts, one = [e.n for e in entries if e.n is not None], entries[0]
    return {
        "where": "; ".join(where),
        "rule": words.plain(one.rule),
        "done": words.say("%(what)s %(done)s", what=words.plain(one.unit), done=words.plain(one.done)),
        "n": words.integer(sum(counts)) if counts else "–",
        "told": words.plain(one.told),
    }
