"""Why numbers of the report moved: what each programme has now, what was edited since, and this told as reasons."""

from __future__ import annotations

import hashlib
from typing import Any

from analysis.disclosure import POLICY
from registry import Registry
from registry.tables import TABLES
from reports.phrases import N_, NN_
from reports.words import Words

# Rows of the catalogues that a programme rests on, by what they define.
_RESTS_ON = {
    N_("stages"): "select * from catalogue.stage_map semi join (from catalogue.programme_scheme "
    "where programme = $programme) using (scheme) union all by name select * from catalogue.stage "
    "where programme = $programme",
    N_("scales and their scoring"): "select * from catalogue.programme_scale join catalogue.scale using (scale) "
    "left join catalogue.scoring using (scale) left join catalogue.unit_conversion using (scale) "
    "left join catalogue.item using (scale) where programme = $programme",
    N_("planned visits"): "select * from catalogue.programme_visit where programme = $programme",
    N_("rules of the programme"): "select * from catalogue.programme where programme = $programme",
    N_("criteria of response"): "select d.*, a.*, c.* from catalogue.programme p join catalogue.definition d "
    "using (definition) join catalogue.definition_arm a using (definition) join catalogue.definition_criterion c "
    "using (definition, arm) where p.programme = $programme",
    N_("loss of response"): "select * from catalogue.loss_definition where programme = $programme",
    N_("events"): "select * from catalogue.programme_event where programme = $programme",
}
_PEOPLE = {
    "patients": (
        NN_("%(n)s new patient", "%(n)s new patients"),
        N_("fewer than %(few)s new patients"),
        N_("new patients"),
    ),
    "courses": (
        NN_("%(n)s new course", "%(n)s new courses"),
        N_("fewer than %(few)s new courses"),
        N_("new courses"),
    ),
}
_TARGET = (
    "left join (select id, patient_id from record.target union select id, patient_id from past.target) as target "
    "on target.id = held.target_id "
)
_EDITED = {
    "corrected": (N_("%(n)s values corrected (%(files)s)"), N_("fewer than %(few)s values corrected (%(files)s)")),
    "retracted": (N_("%(n)s rows retracted (%(files)s)"), N_("fewer than %(few)s rows retracted (%(files)s)")),
    "reinstated": (
        N_("%(n)s rows recorded again (%(files)s)"),
        N_("fewer than %(few)s rows recorded again (%(files)s)"),
    ),
}

# Why a number can have moved, as the record, the catalogues and the code tell; in the order in which it is told.
CAUSES = {
    "patients": N_("new patients"),
    "courses": N_("new courses"),
    "visits": N_("visits reached"),
    "corrected": N_("values corrected"),
    "retracted": N_("rows retracted"),
    "reinstated": N_("rows recorded again"),
    "definition": N_("another definition"),
    "catalogue": N_("catalogues changed"),
    "version": N_("another version"),
}
# An edit of these files moves courses and stages; what is counted of a record is moved by its own file as well.
_FILES_OF_COURSES = {"patients", "targets", "conditions", "courses", "sessions", "consents"}
_FILES_OF_STAGES = _FILES_OF_COURSES | {"stages", "measurements", "imaging_details", "laboratory_details"}
_FILES_OF_RECORDS = {"treatment_session": "sessions", "measurement": "measurements", "event": "events",
                     "adverse_event": "adverse_events"}  # fmt: skip
# An edit of all files but these can move whether a course responded.
_FILES_BESIDE = {"adverse_events", "release_tests", "processing", "goals", "operators", "habits", "comorbidities"}
# By what of the catalogues each number is moved.
_MOVED_BY = {
    "count": ("rules of the programme",),
    **dict.fromkeys(_FILES_OF_RECORDS, ("rules of the programme",)),
    "stage": ("stages", "rules of the programme"),
    "ended_within_24_months": ("stages", "rules of the programme", "events"),
    "share": (*[k for k in _RESTS_ON if k != "loss of response"],),
    "in_response_at_12_months": tuple(_RESTS_ON),
}
_QUESTIONS = {"responded_within_12_months": "time_to_response", "in_response_at_12_months": "time_in_response"}
_RULE = ("definition", "definition_version", "confirmation")


def standing(registry: Registry, programme: str) -> dict[str, Any]:
    """Return what a programme has now: ``patients, courses``, ``reached`` by visit, and hashes of its ``catalogue``.

    A visit is reached by a course when its window closed before the data cut, and the course had not ended. Few are
    null.
    """
    con, asked = registry.con, {"programme": programme}
    patients, courses = con.execute(
        "select count(distinct patient_id), count(*) from course.course where programme = $programme", asked
    ).fetchall()[0]
    reached = con.execute(
        "select planned_visit, sum(n_due)::bigint, min(target_day)::int from summary.completeness "
        "where programme = $programme and position > 1 group by all order by min(position)",
        asked,
    ).fetchall()
    rows = {kind: con.execute(f"from ({query}) order by all", asked).fetchall() for kind, query in _RESTS_ON.items()}
    return {
        "patients": not_few(patients),
        "courses": not_few(courses),
        "reached": {visit: not_few(n) for visit, n, _ in reached},
        "visit_day": {visit: day for visit, _, day in reached},
        "stages": dict(
            con.execute("select stage, label from catalogue.stage where programme = $programme", asked).fetchall()
        ),
        "catalogue": {kind: hashlib.sha256(str(found).encode()).hexdigest()[:12] for kind, found in rows.items()},
    }


def edited(registry: Registry, programme: str, since: int) -> dict[str, dict[str, Any]]:
    """Return values corrected and rows retracted or recorded again after load `since`: ``n`` and ``files`` by kind.

    Few are null. Those of patients with a course of the programme, and of tables that belong to nobody. Files are
    named as the template names them: a clinic's own name of a file may name a person.
    """
    found = registry.con.execute(
        f"with touched as ({_touched()}) select kind, count(distinct (table_name, row_id, column_name)), "
        "list_sort(list(distinct table_name)) from touched where load_id > $since and (patient_id is null "
        "or patient_id in (select patient_id from record.course where programme = $programme "
        "union all select patient_id from past.course where programme = $programme)) group by kind",
        {"since": since, "programme": programme},
    ).fetchall()
    return {kind: {"n": not_few(n), "files": files} for kind, n, files in found}


def _touched() -> str:
    """Return SQL for the changes of the log with the patient whom each concerns: null where it is nobody."""
    parts = []
    for table in TABLES:
        name, columns = table.__tablename__, {c.name for c in table.__table__.columns}  # type: ignore[attr-defined]
        owner, join = "null::bigint", ""
        if name == "patient":
            owner = "held.id"
        elif "patient_id" in columns:
            owner = "held.patient_id"
        elif "target_id" in columns:
            owner, join = "target.patient_id", _TARGET
        parts.append(
            f"select change.*, {owner} as patient_id from log.change as change join (select * from past.{name} "
            f"union by name select * from record.{name}) as held on held.id = change.row_id {join}"
            f"where change.table_name = '{table.__source__.file}'"
        )
    return " union all ".join(parts)


def reasons(before: dict[str, Any], now: dict[str, Any], people: dict[str, int | None], words: Words) -> list[str]:
    """Return why a programme's numbers may have moved: people, edits, visits, definitions; parts of one sentence.

    Parameters
    ----------
    before, now
        The programme in two numbers files; one from before there were reasons gives none.
    people
        How many more patients and courses there are, null where that is hidden, by :func:`reports.changes.people`.
    """
    told, few = [], words.integer(POLICY.smallest_cell)
    for key, (forms, small, some) in _PEOPLE.items():
        old, new, more = before.get(key), now.get(key), people.get(key)
        if more is not None and more > 0:
            told.append(words.say_many(*forms, more))
        elif more is None and key in people and old is not None and new is not None and new > old:
            told.append(words.say(small, few=few) if new - old < POLICY.smallest_cell else words.say(some))
    for kind, (many, small) in _EDITED.items():
        if edit := now.get("edited", {}).get(kind):
            files = ", ".join(edit["files"]).replace("_", " ")
            known = edit["n"] is not None
            told.append(words.say(many if known else small, few=few, files=files,
                                  n=words.integer(edit["n"]) if known else few))  # fmt: skip
    for visit, n_now in now.get("reached", {}).items():
        n = _more(before.get("reached", {}).get(visit), n_now)
        if n >= POLICY.smallest_cell:
            told.append(words.say("%(n)s courses passed %(visit)s", n=words.integer(n), visit=words.plain(visit)))
        elif n:
            told.append(words.say("fewer than %(few)s courses passed %(visit)s", few=few, visit=words.plain(visit)))
    if kinds := changed_catalogues(before, now):
        told.append(words.say("changed in the catalogues: %(kinds)s", kinds=", ".join(map(words.plain, kinds))))
    return told


def changed_catalogues(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what of the catalogues that a programme rests on changed between two numbers files."""
    rows = before.get("catalogue", {})
    return [k for k, h in now.get("catalogue", {}).items() if k in rows and rows[k] != h]


def causes(before: dict[str, Any], now: dict[str, Any], old: dict[str, Any], new: dict[str, Any],
           number: str) -> list[str]:  # fmt: skip
    """Return which of :data:`CAUSES` can have moved a number of a programme, as far as the record tells.

    Parameters
    ----------
    before, now
        Two numbers files.
    old, new
        The programme in each.
    number
        ``count`` of patients or courses, ``stage``: courses of one, else what is counted or a headline number.
    """
    dated = number not in ("count", "stage")
    found = {"patients": _differs(old, new, "patients"), "courses": _differs(old, new, "courses")}
    found |= {kind: _edits(number, kind, new) for kind in ("corrected", "retracted", "reinstated")}
    # What is asked on a day is known of who reached it; a count of people is not moved by visits.
    known, days = old.get("reached", {}), new.get("visit_day", {})
    last = float("inf") if number in _FILES_OF_RECORDS else 730 if number == "ended_within_24_months" else 365
    found["visits"] = dated and any(
        visit in days and days[visit] <= last and n != known[visit] for visit, n in new.get("reached", {}).items()
        if visit in known
    )  # fmt: skip
    question = _QUESTIONS.get(number)
    rules = [[p.get("results", {}).get(question, {}).get(k) for k in _RULE] for p in (old, new)]
    found["definition"] = question is not None and all(map(any, rules)) and rules[0] != rules[1]
    found["catalogue"] = bool(
        set(changed_catalogues(old, new)) & set(_MOVED_BY[number if number in _MOVED_BY else "share"])
    )
    found["version"] = before["versions"] != now["versions"] or now.get("code") != before.get("code", now.get("code"))
    return [cause for cause in CAUSES if found[cause]]


def _edits(number: str, kind: str, new: dict[str, Any]) -> bool:
    """Say whether rows were edited that a number rests on; a value that was corrected is no row more or less."""
    files = set(new.get("edited", {}).get(kind, {}).get("files", ()))
    if number == "count" or number in _FILES_OF_RECORDS:
        return kind != "corrected" and bool(files & {*_FILES_OF_COURSES, _FILES_OF_RECORDS.get(number, "")})
    return bool(files & _FILES_OF_STAGES if number == "stage" else files - _FILES_BESIDE)


def _differs(old: dict[str, Any], new: dict[str, Any], key: str) -> bool:
    return key in new and old.get(key, 0) != new[key]


def _more(before: int | None, now: int | None) -> int:
    """Return how many more there are; none where one of the two is hidden."""
    return 0 if before is None or now is None else max(0, now - before)


def not_few(n: int) -> int | None:
    """Return a count as the numbers file has it: null for few."""
    return n if n == 0 or n >= POLICY.smallest_cell else None
