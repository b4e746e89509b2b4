"""What stands first in the summary report: the numbers that a reader looks for, and what to know before quoting one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from analysis import Result, disclosure
from registry import Registry
from reports.words import Words

if TYPE_CHECKING:
    from reports.sections import Section

_YEAR, _TWO_YEARS = 365.0, 730.0
# A curve that fewer courses still hold up moves by more than a twentieth with each of them.
_FEW_AT_RISK = 20
# More is not read; what comes last is told in its own section as well.
_POINTS = 6
# So many programmes have their own share in a sentence; of more the extremes are named.
_EACH = 2


def headlines(sections: list[Section]) -> list[dict[str, Any]]:
    """Return the headline numbers of each programme in which response was judged: a row a stage with somebody in it.

    Each row has three rows of the results frame as ``cells``, or null: responded within a year, in response at a year,
    end of the target within two. Each is of courses of its own, its denominator.
    """
    found = []
    for s in sections:
        if s.response is None:
            continue
        asked = ((s.response, "response", _YEAR), (s.in_response, "share_in_response", _YEAR),
                 (s.replacement, "end", _TWO_YEARS))  # fmt: skip
        rows = []
        for stratum in s.response.settings["strata"]:
            cells = [_number(result, stratum["code"], quantity, day) for result, quantity, day in asked]
            if cells[0] is not None and cells[0]["denominator"] != 0:  # none is nobody; null is few
                rows.append({**stratum, "cells": cells})
        end = s.replacement.settings["end_label"] if s.replacement is not None else None
        found.append({"id": s.programme, "label": s.label, "rows": rows, "end": end})
    return found


def _number(result: Result | None, stratum: str, quantity: str, day: float) -> dict[str, Any] | None:
    if result is None:
        return None
    mine = result.frame.filter(pl.col("stratum") == stratum, pl.col("quantity") == quantity, pl.col("time_day") == day)
    return mine.row(0, named=True) if mine.height else None


def read_first(
    registry: Registry, sections: list[Section], words: Words, changed: Markup | None = None
) -> list[Markup]:
    """Return what a reader must know before quoting a number, the most important first, at most six points.

    What `changed` since the report before, if it is of weight, is the first of them. Written from the data: a point
    that holds for several programmes is told once and names them; each name leads to where the matter is told.
    """
    points = (
        changed,
        _unverified(sections, words),
        _follow_up(sections, words),
        _few_late(sections, words),
        _withheld(sections, words),
        _not_judged(sections, words),
        _refused(registry, words),
    )
    return [point for point in points if point][:_POINTS]


def _names(found: list[tuple[Section, str, str]], words: Words) -> Markup:
    """Return programmes as a list of links, from (section, anchor, what of it)."""
    return Markup("; ").join(_link(anchor, words.said(section.label), what) for section, anchor, what in found)


def _link(anchor: str, text: str, what: str = "") -> Markup:
    link = Markup('<a href="#{}">{}</a>').format(anchor, text)
    return Markup("{} ({})").format(link, what) if what else link


def _judged(found: list[tuple[Section, str, str]], sections: list[Section], words: Words) -> Markup:
    """Return the same in short where it is the same of every programme that is judged, and these are many."""
    judged = [s for s in sections if s.response is not None]
    if len(found) == len(judged) > _EACH and not any(what for *_, what in found):
        return _link(found[0][1], words.say("every programme in which response is judged"))
    return _names(found, words)


def _point(lead: str, told: Markup) -> Markup:
    return Markup("<b>{}</b> {}").format(lead, told)


def _unverified(sections: list[Section], words: Words) -> Markup:
    held = [s for s in sections if s.response is not None and not s.response.settings["definition_verified"]]
    if not held:
        return Markup()
    told = words.html(
        "What counts as response is not yet checked against its paper: %(programmes)s.",
        programmes=_judged([(s, f"definition-{s.programme}", "") for s in held], sections, words),
    )
    return _point(words.say("Thresholds."), told)


def _follow_up(sections: list[Section], words: Words) -> Markup:
    """Return how many of the 12-month visits took place: of one or two programmes each, else the extremes."""
    found = []
    for section in sections:
        due = section.completeness.filter(pl.col("planned_visit") == "12 months")
        n_seen, n_due = int(due["n_seen"].sum()), int(due["n_due"].sum())
        if n_due >= disclosure.POLICY.smallest_cell:
            share = disclosure.share(n_seen, n_due)
            link = _link(f"follow-up-{section.programme}", words.said(section.label))
            # By what is printed: the order tells no more than the numbers do.
            order = int(re.findall(r"\d+", share)[0])
            found.append((order, Markup("{} ({})").format(words.plain(share), link)))
    if not found:
        return Markup()
    parts = [part for _, part in sorted(found, key=lambda f: f[0])]
    if len(parts) > _EACH:
        told = words.html(
            "Of the 12-month visits that were due, between %(least)s and %(most)s took place.",
            least=parts[0],
            most=parts[-1],
        )
    else:
        told = words.html(
            "Of the 12-month visits that were due took place: %(shares)s.", shares=Markup("; ").join(parts)
        )
    return _point(words.say("Follow-up."), told)


def _few_late(sections: list[Section], words: Words) -> Markup:
    found = []
    for section in sections:
        if section.response is None:
            continue
        late = section.response.at_risk.filter(pl.col("time_day") == _TWO_YEARS)
        at_risk = dict(late.select("stratum", "n").iter_rows())
        seen = [s for s in section.response.settings["strata"] if section.sizes.get(s["code"], 0)]
        few = [words.inside(s["label"]) for s in seen if (at_risk.get(s["code"]) or 0) < _FEW_AT_RISK]
        if few:
            found.append((section, f"response-{section.programme}", "" if len(few) == len(seen) else ", ".join(few)))
    if not found:
        return Markup()
    told = words.html(
        "At 24 months fewer than %(n)s courses of a stage are still at risk: %(programmes)s.",
        n=_FEW_AT_RISK,
        programmes=_judged(found, sections, words),
    )
    return _point(words.say("Late numbers."), told)


def _withheld(sections: list[Section], words: Words) -> Markup:
    """Return where the gate kept the effect of a booster back."""
    shown = (pl.col("quantity") == "difference") & pl.col("estimate").is_not_null()
    held = [
        s for s in sections if s.booster is not None and s.booster.withheld and s.booster.frame.filter(shown).is_empty()
    ]
    if not held:
        return Markup()
    told = words.html(
        "Its effect is withheld, since too few were boosted or they were not like those who waited: %(programmes)s.",
        programmes=_names([(s, f"booster-{s.programme}", "") for s in held], words),
    )
    return _point(words.say("Booster."), told)


def _not_judged(sections: list[Section], words: Words) -> Markup:
    """Return which programmes, and which stages of the others, have no response told, and why."""
    found = []
    for section in sections:
        if section.response is None:
            described = section.evidence in section.withheld
            told = (
                words.say("described only: no definition of response is agreed")
                if described
                else words.say("why is told there")
            )
            found.append((section, section.programme, told))
            continue
        empty = [s for s in section.response.settings["strata"] if section.sizes.get(s["code"], 0) == 0]
        if empty:
            stages = ", ".join(words.inside(s["label"]) for s in empty)
            found.append((section, section.programme, words.say("nobody in stage %(stages)s", stages=stages)))
    return _point(words.say("Not judged."), _names(found, words) + ".") if found else Markup()


def _refused(registry: Registry, words: Words) -> Markup:
    refused = registry.rejections().select("file", "line").unique().height
    if not refused:
        return Markup()
    if refused < disclosure.POLICY.smallest_cell:
        few = words.integer(disclosure.POLICY.smallest_cell)
        told = words.say(
            "Fewer than %(few)s rows of the clinics' files were refused; they are in no number below.", few=few
        )
        return _point(words.say("Refused rows."), Markup("{} {}").format(told, _link("quality", words.say("Why"))))
    told = words.say_many(
        "%(n)s row of the clinics' files was refused and is in no number below.",
        "%(n)s rows of the clinics' files were refused and are in no number below.",
        refused,
    )
    return _point(words.say("Refused rows."), Markup("{} {}").format(told, _link("quality", words.say("Why"))))
