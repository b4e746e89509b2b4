"""What changed since the report before, in the summary report: a table of each number with its causes, and in short."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from reports.changes import HEADLINES, Row, about, definitions, gone, moved, people, stage_name, versions_of
from reports.phrases import N_
from reports.reasons import CAUSES, changed_catalogues, reasons
from reports.words import Words

_NUMBERS = {
    "patient": N_("Patients"),
    "course": N_("Courses"),
    "treatment_session": N_("Sessions"),
    "measurement": N_("Measurements"),
    "event": N_("Events"),
    "adverse_event": N_("Adverse events"),
    "patients": N_("Patients"),
    "courses": N_("Courses"),
    "responded_within_12_months": N_("Responded within 12 months"),
    "in_response_at_12_months": N_("In response at 12 months"),
    "ended_within_24_months": N_("End of the target within 24 months"),
}
# A share that moved by so many points of 100, or out of its limits, is told before all else.
_LARGE_POINTS = 10.0
# So many are told by name there; the table has all.
_NAMED = 2
# A longer table is closed at first: it stands before the contents.
_OPEN = 12


def changed_section(before: dict[str, Any], now: dict[str, Any], words: Words) -> dict[str, Any]:
    """Return what the template needs: sentences, rows by programme with the reasons of each, and the first point."""
    rows, lines = moved(before, now), [*about(before, now, words), *versions_of(before, now, words)]
    groups: list[dict[str, Any]] = [
        {"id": None, "label": words.say("In all"), "why": "", "rows": _of(rows, None, now, words)}
    ]
    for code, programme in now["programmes"].items():
        label, earlier = words.plain(programme["label"]), before["programmes"].get(code)
        if earlier is None:
            why = [words.say("%(programme)s is new in the report.", programme=label)]
        else:
            lines += definitions(label, earlier, programme, words)
            why = ["; ".join(reasons(earlier, programme, people(rows, code), words))]
        groups.append({"id": code, "label": label, "why": why[0], "rows": _of(rows, code, now, words)})
    lines += gone(before, now, words)
    groups = [g for g in groups if g["rows"] or g["why"]]
    short = len(rows) <= _OPEN
    return {"data_cut": before["data_cut"], "lines": lines, "groups": groups, "moved": rows, "open": short,
            "hidden": any(r["suppressed"] for r in rows), "point": _point(before, now, rows, words)}  # fmt: skip


def _of(rows: list[Row], programme: str | None, now: dict[str, Any], words: Words) -> list[dict[str, str]]:
    return [_told(r, now, words) for r in rows if r["programme"] == programme]


def _told(row: Row, now: dict[str, Any], words: Words) -> dict[str, str]:
    share = row["number"] in HEADLINES
    hidden = words.plain("suppressed") if row["suppressed"] else "–"
    before, after = (hidden if row[k] is None else words.percent(row[k]) if share else words.integer(row[k])
                   for k in ("before", "now"))  # fmt: skip
    difference = hidden
    if row["difference"] is not None:
        amount = abs(100 * row["difference"]) if share else abs(row["difference"])
        sign = "+" if row["difference"] > 0 else "−"
        told = sign + (words.number(amount) if share else words.integer(amount))
        difference = words.say("%(n)s points", n=told) if share else told
    why = ", ".join(words.say(CAUSES[cause]) for cause in row["why"])
    return {"label": _name(row, now, words), "before": before, "now": after, "difference": difference,
            "why": why or words.say("not told by the record")}  # fmt: skip


def _name(row: Row, now: dict[str, Any], words: Words) -> str:
    label = _NUMBERS[row["number"]]
    number = words.say(label)
    if row["stage"] is None:
        return number
    return words.say(
        "%(stage)s: %(number)s",
        stage=stage_name(now["programmes"][row["programme"]], row["stage"], words),
        number=number,
    )


def _point(before: dict[str, Any], now: dict[str, Any], rows: list[Row], words: Words) -> Markup | None:
    """Return what of it a reader must know before quoting a number; none if nothing of weight changed."""
    parts, ruled = [], []
    for code, programme in now["programmes"].items():
        earlier = before["programmes"].get(code)
        if earlier is None:
            continue
        kinds = changed_catalogues(earlier, programme)
        if kinds or definitions("", earlier, programme, words):
            what = ", ".join(map(words.plain, kinds))
            ruled.append(words.plain(programme["label"]) + (f" ({what})" if what else ""))
    if ruled:
        parts.append(words.say("defined otherwise than before: %(programmes)s", programmes="; ".join(ruled)))
    large = [r for r in rows if r["number"] in HEADLINES and r["difference"] is not None and _is_large(before, r)]
    large.sort(key=lambda r: -abs(r["difference"]))
    named = [
        words.say("%(programme)s, %(number)s: %(before)s → %(now)s",
                  programme=words.plain(now["programmes"][r["programme"]]["label"]), number=_name(r, now, words),
                  before=words.percent(r["before"]), now=words.percent(r["now"]))
        for r in large[:_NAMED]
    ]  # fmt: skip
    if named:
        parts.append(
            words.say_many(
                "%(n)s headline number moved far (%(which)s)",
                "%(n)s headline numbers moved far (%(which)s)",
                len(large),
                which="; ".join(named),
            )
        )
    if not parts:
        return None
    told = words.html("Since the report before (data to %(day)s): %(what)s.",
                      day=words.date(_day(before)), what="; ".join(parts))  # fmt: skip
    link = Markup('<a href="#changed">{}</a>').format(words.say("All changes"))
    return Markup("<b>{}</b> {} {}").format(words.say("Changed."), told, link)


def _is_large(before: dict[str, Any], row: Row) -> bool:
    question, quantity, day, _ = HEADLINES[row["number"]]
    frame = before["programmes"][row["programme"]]["results"][question]["frame"]
    key = (row["stage"], quantity, day)
    limits = [(r.get("low"), r.get("high")) for r in frame if (r["stratum"], r["quantity"], r["time_day"]) == key]
    outside = any(None not in (low, high) and not low <= row["now"] <= high for low, high in limits)
    return outside or abs(100 * row["difference"]) >= _LARGE_POINTS


def _day(report: dict[str, Any]) -> str | None:
    return None if report["data_cut"] is None else str(report["data_cut"])
