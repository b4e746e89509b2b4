"""The numbers of the report for machines, and what changed between two of them and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis import Result
from analysis.disclosure import POLICY
from analysis.result import versions
from registry import Registry
from reports.fingerprint import code_hash
from reports.phrases import N_
from reports.reasons import edited, not_few, reasons, standing
from reports.words import ENGLISH, Words

# A change in a share is told from this on, in points of 100.
_TOLD_POINTS = 0.5
# The headline numbers of each stage, and how it is told that one moved.
_HEADLINES = (
    ("time_to_response", "response", 365.0,
     N_("%(programme)s, %(stage)s: %(share)s in response within 12 months, before %(before)s.")),
    ("time_in_response", "share_in_response", 365.0,
     N_("%(programme)s, %(stage)s: %(share)s in response at 12 months, before %(before)s.")),
    ("joint_replacement", "end", 730.0,
     N_("%(programme)s, %(stage)s: %(share)s at the end event within 24 months, before %(before)s.")),
)  # fmt: skip
_FEW_MORE = {
    "patient": N_("Fewer than %(few)s patients more than before."),
    "course": N_("Fewer than %(few)s courses more than before."),
    "treatment_session": N_("Fewer than %(few)s sessions more than before."),
    "measurement": N_("Fewer than %(few)s measurements more than before."),
    "event": N_("Fewer than %(few)s events more than before."),
    "adverse_event": N_("Fewer than %(few)s adverse events more than before."),
}
_FEW_LESS = {
    "patient": N_("Fewer than %(few)s patients less than before."),
    "course": N_("Fewer than %(few)s courses less than before."),
    "treatment_session": N_("Fewer than %(few)s sessions less than before."),
    "measurement": N_("Fewer than %(few)s measurements less than before."),
    "event": N_("Fewer than %(few)s events less than before."),
    "adverse_event": N_("Fewer than %(few)s adverse events less than before."),
}
# What the numbers file tells of a result beside its numbers.
_SETTINGS = ("definition", "definition_version", "confirmation", "unit_label")
_COUNTED = {
    "patient": N_("%(n)s patients, before %(before)s."),
    "course": N_("%(n)s courses, before %(before)s."),
    "treatment_session": N_("%(n)s sessions, before %(before)s."),
    "measurement": N_("%(n)s measurements, before %(before)s."),
    "event": N_("%(n)s events, before %(before)s."),
    "adverse_event": N_("%(n)s adverse events, before %(before)s."),
}


def numbers(
    registry: Registry, programmes: Iterable[tuple[str, str, list[Result]]], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the numbers of the questions that the page answers, small cells suppressed, with what they rest on.

    Parameters
    ----------
    registry
        Whose report it is.
    programmes
        Code, label and suppressed results of each programme.
    before
        The numbers before: what was edited since its last load is told of each programme.
    """
    since = before.get("last_load") if before else None
    return {
        "level": "aggregate",
        "data_cut": registry.data_cut,
        "smallest_cell": POLICY.smallest_cell,
        "counts": {k: not_few(n) for k, n in registry.counts().items() if k in _COUNTED},
        "loads": registry.con.sql("select count(*) from log.load").fetchall()[0][0],
        "last_load": registry.con.sql("select coalesce(max(load_id), 0) from log.load").fetchall()[0][0],
        "code": code_hash()[:12],
        "programmes": {
            code: {
                "label": label,
                **standing(registry, code),
                "edited": {} if since is None else edited(registry, code, since),
                "results": {
                    r.question: {
                        "frame": r.frame.to_dicts(),
                        "notes": r.notes,
                        **{k: r.settings[k] for k in _SETTINGS if k in r.settings},
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
    for key in _COUNTED:
        old, new = before["counts"].get(key), now["counts"].get(key)
        if old is not None and new is not None and old != new:
            found.append(_moved(key, old, new, words))
    if now["versions"] != before["versions"]:
        moved = [f"{k} {before['versions'].get(k, words.say('none'))} → {v}" for k, v in now["versions"].items()
                 if before["versions"].get(k) != v]  # fmt: skip
        found.append(words.say("Versions: %(versions)s.", versions=", ".join(moved)))
    elif now.get("code") != before.get("code", now.get("code")):
        told = N_("The code changed under the same version (%(before)s → %(code)s).")
        found.append(words.say(told, before=before["code"], code=now["code"]))
    for code, programme in now["programmes"].items():
        earlier = before["programmes"].get(code)
        if earlier is None:
            found.append(words.say("%(programme)s is new in the report.", programme=words.plain(programme["label"])))
            continue
        found += _of_programme(words.plain(programme["label"]), earlier["results"], programme["results"], words)
        if why := reasons(earlier, programme, words):
            told = N_("%(programme)s, why: %(reasons)s.")
            found.append(words.say(told, programme=words.plain(programme["label"]), reasons="; ".join(why)))
    gone = [words.plain(p["label"]) for code, p in before["programmes"].items() if code not in now["programmes"]]
    return found + [words.say("%(programme)s is no longer in the report.", programme=label) for label in gone]


def _moved(key: str, before: int, now: int, words: Words) -> str:
    """Return how a count changed; by a few only that it did, so that the difference gives nobody away."""
    if abs(now - before) >= POLICY.smallest_cell:
        return words.say(_COUNTED[key], n=words.integer(now), before=words.integer(before))
    few = words.integer(POLICY.smallest_cell)
    return words.say(_FEW_MORE[key] if now > before else _FEW_LESS[key], few=few)


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
    for question, quantity, day, told in _HEADLINES:
        old, new = (_shares(results.get(question, {}), quantity, day) for results in (before, now))
        for stratum, share in new.items():
            points = 100 * (share - old.get(stratum, share))
            if abs(points) >= _TOLD_POINTS:
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


def _shares(result: dict[str, Any], quantity: str, day: float) -> dict[str, float]:
    return {
        r["stratum"]: r["estimate"]
        for r in result.get("frame", [])
        if r["quantity"] == quantity and r["time_day"] == day and r["estimate"] is not None
    }


def _day(report: dict[str, Any]) -> str | None:
    return None if report["data_cut"] is None else str(report["data_cut"])
