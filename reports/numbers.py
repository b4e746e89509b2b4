"""The numbers of the report for machines, and what changed between two of them and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis import Result
from analysis.result import SMALLEST_CELL, versions
from registry import Registry
from reports.phrases import N_
from reports.words import ENGLISH, Words

# A change in the share that responds is told from this on, in points of 100.
_TOLD_POINTS = 0.5
_DAY = 365.0
_COUNTED = {
    "patient": N_("%(n)s patients, before %(before)s."),
    "course": N_("%(n)s courses, before %(before)s."),
    "treatment_session": N_("%(n)s sessions, before %(before)s."),
    "measurement": N_("%(n)s measurements, before %(before)s."),
    "event": N_("%(n)s events, before %(before)s."),
    "adverse_event": N_("%(n)s adverse events, before %(before)s."),
}


def numbers(registry: Registry, programmes: Iterable[tuple[str, str, list[Result]]]) -> dict[str, Any]:
    """Return every number of the page, small cells suppressed.

    Parameters
    ----------
    registry
        Whose report it is.
    programmes
        Code, label and suppressed results of each programme.
    """
    return {
        "data_cut": registry.data_cut,
        "smallest_cell": SMALLEST_CELL,
        "counts": {k: _shown(n) for k, n in registry.counts().items() if k in _COUNTED},
        "loads": registry.con.sql("select count(*) from log.load").fetchall()[0][0],
        "programmes": {
            code: {
                "label": label,
                "results": {
                    r.question: {
                        "frame": r.frame.to_dicts(),
                        "notes": r.notes,
                        **{k: r.settings.get(k) for k in ("definition", "definition_version", "confirmation")},
                    }
                    for r in results
                },
            }
            for code, label, results in programmes
        },
        "versions": versions(),
    }


def changes(before: dict[str, Any], now: dict[str, Any], words: Words = ENGLISH) -> list[str]:
    """Return what changed between two reports, why first: data, definitions, versions; then the numbers that moved.

    Numbers are those published, small cells suppressed, so that nothing is told that the two pages do not tell.
    """
    found = []
    if str(before["data_cut"]) != str(now["data_cut"]):
        told = words.say("The data now reach to %(day)s; before, to %(before)s.",
                         day=words.date(_day(now)), before=words.date(_day(before)))  # fmt: skip
        found.append(told)
    for key, sentence in _COUNTED.items():
        old, new = before["counts"].get(key), now["counts"].get(key)
        if old is not None and new is not None and old != new:
            found.append(words.say(sentence, n=words.integer(new), before=words.integer(old)))
    if now["versions"] != before["versions"]:
        moved = [f"{k} {before['versions'].get(k, words.say('none'))} → {v}" for k, v in now["versions"].items()
                 if before["versions"].get(k) != v]  # fmt: skip
        found.append(words.say("Versions: %(versions)s.", versions=", ".join(moved)))
    for code, programme in now["programmes"].items():
        earlier = before["programmes"].get(code)
        if earlier is None:
            found.append(words.say("%(programme)s is new in the report.", programme=words.plain(programme["label"])))
            continue
        found += _of_programme(words.plain(programme["label"]), earlier["results"], programme["results"], words)
    gone = [words.plain(p["label"]) for code, p in before["programmes"].items() if code not in now["programmes"]]
    return found + [words.say("%(programme)s is no longer in the report.", programme=label) for label in gone]


def _of_programme(label: str, before: dict[str, Any], now: dict[str, Any], words: Words) -> list[str]:
    found = []
    for question, result in now.items():
        earlier, said = before.get(question), {"programme": label, "question": _question(question, words)}
        if earlier is None:
            found.append(words.say("%(programme)s: %(question)s can now be estimated.", **said))
        elif _rule(earlier, words) != _rule(result, words):
            told = N_("%(programme)s: %(question)s is now by %(rule)s, before by %(before)s.")
            found.append(words.say(told, **said, rule=_rule(result, words), before=_rule(earlier, words)))
    for q in (q for q in before if q not in now):
        told = N_("%(programme)s: %(question)s can no longer be shown.")
        found.append(words.say(told, programme=label, question=_question(q, words)))
    old, new = _responses(before), _responses(now)
    for stratum, share in new.items():
        points = 100 * (share - old.get(stratum, share))
        if abs(points) >= _TOLD_POINTS:
            told = N_("%(programme)s, %(stage)s: %(share)s in response within 12 months, before %(before)s.")
            stage = words.plain(stratum).replace("_", " ")
            found.append(words.say(told, programme=label, stage=stage, share=words.percent(share),
                                   before=words.percent(old[stratum])))  # fmt: skip
    return found


def _question(question: str, words: Words) -> str:
    return words.plain(question.replace("_", " "))


def _rule(result: dict[str, Any], words: Words) -> str:
    parts = [str(result[k]) for k in ("definition", "definition_version") if result.get(k)]
    if result.get("confirmation"):
        parts.append(words.plain(str(result["confirmation"])))
    return " ".join(parts) or words.say("no definition")


def _responses(results: dict[str, Any]) -> dict[str, float]:
    rows = results.get("time_to_response", {}).get("frame", [])
    return {
        r["stratum"]: r["estimate"]
        for r in rows
        if r["quantity"] == "response" and r["time_day"] == _DAY and r["estimate"] is not None
    }


def _shown(n: int) -> int | None:
    return n if n == 0 or n >= SMALLEST_CELL else None


def _day(report: dict[str, Any]) -> str | None:
    return None if report["data_cut"] is None else str(report["data_cut"])
