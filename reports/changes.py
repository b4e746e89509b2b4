"""What changed between two reports: each number before and now, why it moved, and the same in sentences.

Numbers are those published. What was before is not told where fewer than five make the difference, nor where it would
give such a one away: by the sum of programmes, by that of stages, or as a share of courses of which few are new.
"""

from __future__ import annotations

from typing import Any

from analysis.disclosure import POLICY
from reports.numbers import COUNTED
from reports.phrases import N_
from reports.reasons import CAUSES, causes, reasons
from reports.words import ENGLISH, Words

# A change in a share is told from this on, in points of 100.
_TOLD_POINTS = 0.5
# The headline numbers of each stage: question, quantity, day, and how it is told that one moved.
HEADLINES = {
    "responded_within_12_months": ("time_to_response", "response", 365.0,
     N_("%(programme)s, %(stage)s: %(share)s in response within 12 months, before %(before)s.")),
    "in_response_at_12_months": ("time_in_response", "share_in_response", 365.0,
     N_("%(programme)s, %(stage)s: %(share)s in response at 12 months, before %(before)s.")),
    "ended_within_24_months": ("joint_replacement", "end", 730.0,
     N_("%(programme)s, %(stage)s: %(share)s at the end event within 24 months, before %(before)s.")),
}  # fmt: skip
_TELL = {
    "patient": (N_("%(n)s patients, before %(before)s."), N_("Fewer than %(few)s patients more than before."),
                N_("Fewer than %(few)s patients less than before.")),
    "course": (N_("%(n)s courses, before %(before)s."), N_("Fewer than %(few)s courses more than before."),
               N_("Fewer than %(few)s courses less than before.")),
    "treatment_session": (N_("%(n)s sessions, before %(before)s."), N_("Fewer than %(few)s sessions more than before."),
                          N_("Fewer than %(few)s sessions less than before.")),
    "measurement": (N_("%(n)s measurements, before %(before)s."),
                    N_("Fewer than %(few)s measurements more than before."),
                    N_("Fewer than %(few)s measurements less than before.")),
    "event": (N_("%(n)s events, before %(before)s."), N_("Fewer than %(few)s events more than before."),
              N_("Fewer than %(few)s events less than before.")),
    "adverse_event": (N_("%(n)s adverse events, before %(before)s."),
                      N_("Fewer than %(few)s adverse events more than before."),
                      N_("Fewer than %(few)s adverse events less than before.")),
}  # fmt: skip
Row = dict[str, Any]


def moved(before: dict[str, Any], now: dict[str, Any]) -> list[Row]:
    """Return each number that moved: ``programme, stage, number, before, now, difference, suppressed, why``.

    Counts are of the registry in all, of programmes and of stages; shares are of 1. A number that is hidden in one of
    the two reports is null there. `why` names causes, as :data:`reports.reasons.CAUSES`.
    """
    codes = list(dict.fromkeys([*now["programmes"], *before["programmes"]]))
    pairs = {code: _pair(before, now, code) for code in codes}
    of_stages = {code: _stages(*pairs[code]) for code in codes}
    hidden_stages = {code: _hidden(list(stages.values())) for code, stages in of_stages.items()}
    courses = [(old.get("courses", 0), new.get("courses", 0)) for old, new in pairs.values()]
    patients = [(old.get("patients", 0), new.get("patients", 0)) for old, new in pairs.values()]
    known = all("courses" in old for old in before["programmes"].values())
    # A stage that is hidden alone would be what the programme's courses leave, and so on up to all.
    alone = [sum(hidden_stages[code]) == 1 for code in codes]
    gone = {"courses": _hidden(courses, alone), "patients": _hidden(patients)}
    whole = {"course": sum(gone["courses"]) == 1, "patient": sum(gone["patients"]) == 1}
    rows = []
    for key in COUNTED:
        pair = before["counts"].get(key), now["counts"].get(key)
        kind = "count" if key in whole else key
        found = {w for old, new in pairs.values() for w in causes(before, now, old, new, kind)}
        why = [w for w in CAUSES if w in found]
        rows.append(_row(None, None, key, *pair, why, hidden=whole.get(key, False)))
    for i, code in enumerate(codes if known else []):
        old, new = pairs[code]
        why = causes(before, now, old, new, "count")
        for key, pair in (("patients", patients[i]), ("courses", courses[i])):
            rows.append(_row(code, None, key, *pair, why, hidden=gone[key][i]))
        told = zip(of_stages[code].items(), hidden_stages[code], strict=True)
        why = causes(before, now, old, new, "stage")
        rows += [_row(code, stage, "courses", *pair, why, hidden=hide or gone["courses"][i])
                 for (stage, pair), hide in told]  # fmt: skip
    for code in codes:
        rows += _shares(before, now, code, *pairs[code])
    return [row for row in rows if row["difference"] != 0 and (row["before"], row["now"]) != (None, None)]


def _pair(before: dict[str, Any], now: dict[str, Any], code: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return before["programmes"].get(code, {}), now["programmes"].get(code, {})


def _stages(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[int | None, int | None]]:
    """Return the courses of each stage in the two reports, as Table 1 has them; null is hidden."""
    sizes = [
        {r["stratum"]: r["denominator"] for r in p.get("results", {}).get("describe", {}).get("frame", [])
         if r["quantity"] == "courses" and r["stratum"] != "all"}
        for p in (old, new)
    ]  # fmt: skip
    # Of one of the two there may be no such table: then nothing is compared.
    return {s: (sizes[0].get(s, 0), n) for s, n in sizes[1].items()} if all(sizes) else {}


def _hidden(pairs: list[tuple[int | None, int | None]], also: list[bool] | None = None) -> list[bool]:
    """Return which differences are hidden: of few, not known, and beside these the least other one."""
    gone = [b is None or n is None or _few(n - b) for b, n in pairs]
    gone = [one or other for one, other in zip(gone, also or [False] * len(gone), strict=True)]
    if any(gone):
        others = sorted((abs((n or 0) - (b or 0)), i) for i, (b, n) in enumerate(pairs) if not gone[i] and n != b)
        if others:
            gone[others[0][1]] = True
    return gone


def _few(difference: int) -> bool:
    return 0 < abs(difference) < POLICY.smallest_cell


def _row(
    programme: str | None, stage: str | None, number: str, before: float | None, now: float | None, why: list[str],
    *, hidden: bool,
) -> Row:  # fmt: skip
    few = number not in HEADLINES and before is not None and now is not None and _few(int(now - before))
    same = before is not None and before == now
    hidden = not same and (hidden or few)
    difference = None if hidden or before is None or now is None else now - before
    return {
        "programme": programme,
        "stage": stage,
        "number": number,
        "before": None if hidden else before,
        "now": now,
        "difference": difference,
        "suppressed": difference is None,
        "why": why,
    }


def _shares(
    before: dict[str, Any], now: dict[str, Any], code: str, old: dict[str, Any], new: dict[str, Any]
) -> list[Row]:
    rows = []
    for number, (question, quantity, day, _) in HEADLINES.items():
        earlier, later = (_cells(p.get("results", {}).get(question, {}), quantity, day) for p in (old, new))
        for stage, cell in later.items():
            if stage not in earlier:
                continue
            pair = earlier[stage]["estimate"], cell["estimate"]
            if None not in pair and abs(100 * (pair[1] - pair[0])) < _TOLD_POINTS:
                continue
            counts = [(c.get("n"), c.get("denominator")) for c in (earlier[stage], cell)]
            why, hidden = causes(before, now, old, new, number), _by_few(*counts)
            row = _row(code, stage, number, *pair, why, hidden=hidden)
            # What could not be estimated is null as well, and nothing is hidden of it.
            withheld = any(str(c.get("note") or "").startswith("suppressed") for c in (earlier[stage], cell))
            rows.append(
                {**row, "suppressed": row["difference"] is None and (withheld or (hidden and None not in pair))}
            )
    return rows


def _cells(result: dict[str, Any], quantity: str, day: float) -> dict[str, Row]:
    return {r["stratum"]: r for r in result.get("frame", []) if r["quantity"] == quantity and r["time_day"] == day}


def _by_few(before: tuple[int | None, int | None], now: tuple[int | None, int | None]) -> bool:
    """Say whether few courses make the difference of a share: of all, of those who had it, or of the others."""
    (n_before, of_before), (n_now, of_now) = before, now
    if of_before is None or of_now is None:
        return False
    more = [of_now - of_before]
    if n_before is not None and n_now is not None:
        more += [n_now - n_before, more[0] - (n_now - n_before)]
    return any(_few(n) for n in more)


def changes(before: dict[str, Any], now: dict[str, Any], words: Words = ENGLISH) -> list[str]:
    """Return what changed between two reports in sentences: data, numbers, definitions, versions, and why."""
    rows = moved(before, now)
    found = about(before, now, words)
    for row in (r for r in rows if r["programme"] is None):
        exact, more, less = _TELL[row["number"]]
        old, new = before["counts"].get(row["number"]), row["now"]
        if row["difference"] is not None:
            found.append(words.say(exact, n=words.integer(new), before=words.integer(row["before"])))
        elif old is not None and new is not None and _few(new - old):
            found.append(words.say(more if new > old else less, few=words.integer(POLICY.smallest_cell)))
    found += versions_of(before, now, words)
    for code, programme in now["programmes"].items():
        if code not in before["programmes"]:
            found.append(words.say("%(programme)s is new in the report.", programme=words.plain(programme["label"])))
            continue
        label = words.plain(programme["label"])
        found += definitions(label, before["programmes"][code], programme, words)
        for row in (r for r in rows if r["programme"] == code and r["number"] in HEADLINES):
            if row["difference"] is not None:
                stage = stage_name(programme, row["stage"], words)
                share, earlier = words.percent(row["now"]), words.percent(row["before"])
                told = HEADLINES[row["number"]][3]
                found.append(words.say(told, programme=label, stage=stage, share=share, before=earlier))
        if why := reasons(before["programmes"][code], programme, people(rows, code), words):
            told = N_("%(programme)s, why: %(reasons)s.")
            found.append(words.say(told, programme=label, reasons="; ".join(why)))
    return found + gone(before, now, words)


def stage_name(programme: dict[str, Any], stage: str, words: Words) -> str:
    """Return what a reader calls a stage; a report from before stages had their names in it has the code."""
    return words.plain(programme.get("stages", {}).get(stage, stage.replace("_", " ")))


def people(rows: list[Row], code: str) -> dict[str, int | None]:
    """Return how many more patients and courses a programme has; null where that is hidden."""
    mine = [r for r in rows if r["programme"] == code and r["stage"] is None and r["number"] in ("patients", "courses")]
    return {r["number"]: r["difference"] for r in mine}


def about(before: dict[str, Any], now: dict[str, Any], words: Words) -> list[str]:
    """Return to when the data reach, if that moved."""
    if str(before["data_cut"]) == str(now["data_cut"]):
        return []
    return [words.say("The data now reach to %(day)s; before, to %(before)s.",
                      day=words.date(_day(now)), before=words.date(_day(before)))]  # fmt: skip


def versions_of(before: dict[str, Any], now: dict[str, Any], words: Words) -> list[str]:
    """Return which versions changed, or that the code did under the same one, and whether findings were waived."""
    found = []
    if now["versions"] != before["versions"]:
        parts = [f"{k} {before['versions'].get(k, words.say('none'))} → {v}" for k, v in now["versions"].items()
                 if before["versions"].get(k) != v]  # fmt: skip
        found.append(words.say("Versions: %(versions)s.", versions=", ".join(parts)))
    elif now.get("code") != before.get("code", now.get("code")):
        told = N_("The code changed under the same version (%(before)s → %(code)s).")
        found.append(words.say(told, before=before["code"], code=now["code"]))
    if now.get("waivers") != before.get("waivers", now.get("waivers")):
        found.append(words.say("Findings of the checks were waived, or a waiver ended: open defects are others."))
    return found


def gone(before: dict[str, Any], now: dict[str, Any], words: Words) -> list[str]:
    """Return which programmes are no longer in the report."""
    labels = [words.plain(p["label"]) for code, p in before["programmes"].items() if code not in now["programmes"]]
    return [words.say("%(programme)s is no longer in the report.", programme=label) for label in labels]


def definitions(label: str, before: dict[str, Any], now: dict[str, Any], words: Words) -> list[str]:
    """Return which questions of a programme are answered by another rule, newly, or no longer."""
    old, new, found = before["results"], now["results"], []
    for question, result in new.items():
        said = {"programme": label, "question": _question(question, words)}
        if question not in old:
            # Of a report from before a question was told nothing can be said.
            if set(old) & set(HEADLINE_QUESTIONS) and question in HEADLINE_QUESTIONS:
                found.append(words.say("%(programme)s: %(question)s can now be estimated.", **said))
        elif _rule(old[question], words) != _rule(result, words):
            told = N_("%(programme)s: %(question)s is now by %(rule)s, before by %(before)s.")
            found.append(words.say(told, **said, rule=_rule(result, words), before=_rule(old[question], words)))
    for q in (q for q in old if q not in new):
        told = N_("%(programme)s: %(question)s can no longer be shown.")
        found.append(words.say(told, programme=label, question=_question(q, words)))
    return found


HEADLINE_QUESTIONS = tuple(question for question, *_ in HEADLINES.values())


def _question(question: str, words: Words) -> str:
    return words.plain(question.replace("_", " "))


def _rule(result: dict[str, Any], words: Words) -> str:
    parts = [str(result[k]) for k in ("definition", "definition_version") if result.get(k)]
    if result.get("confirmation"):
        parts.append(words.plain(str(result["confirmation"])))
    return " ".join(parts) or words.say("no definition")


def _day(report: dict[str, Any]) -> str | None:
    return None if report["data_cut"] is None else str(report["data_cut"])
