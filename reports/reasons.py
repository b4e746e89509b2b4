"""Why numbers of the report moved: what each programme has now, what was edited since, and this told as reasons."""

from __future__ import annotations

import hashlib
from typing import Any

from analysis.disclosure import POLICY
from registry import Registry
from registry.tables import TABLES
from reports.phrases import N_
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
_PEOPLE = (
    (
        "patients",
        N_("%(n)s new patient"),
        N_("%(n)s new patients"),
        N_("fewer than %(few)s new patients"),
    ),
    ("courses", N_("%(n)s new course"), N_("%(n)s new courses"), N_("fewer than %(few)s new courses")),
)
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


def standing(registry: Registry, programme: str) -> dict[str, Any]:
    """Return what a programme has now: ``patients, courses, reached`` by planned visit, ``catalogue``: hashes of rows.

    A visit is reached by a course when its window closed before the data cut, and the course had not ended. Few are
    null.
    """
    con, asked = registry.con, {"programme": programme}
    patients, courses = con.execute(
        "select count(distinct patient_id), count(*) from course.course where programme = $programme", asked
    ).fetchall()[0]
    reached = con.execute(
        "select planned_visit, sum(n_due)::bigint from summary.completeness where programme = $programme "
        "and position > 1 group by all order by min(position)",
        asked,
    ).fetchall()
    rows = {kind: con.execute(f"from ({query}) order by all", asked).fetchall() for kind, query in _RESTS_ON.items()}
    return {
        "patients": not_few(patients),
        "courses": not_few(courses),
        "reached": {visit: not_few(n) for visit, n in reached},
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


def reasons(before: dict[str, Any], now: dict[str, Any], words: Words) -> list[str]:
    """Return why a programme's numbers may have moved: people, edits, visits, definitions; parts of one sentence.

    Parameters
    ----------
    before, now
        The programme in two numbers files; one from before there were reasons gives none.
    """
    told, few = [], words.integer(POLICY.smallest_cell)
    for key, one, many, small in _PEOPLE:
        n = _more(before.get(key), now.get(key))
        if n >= POLICY.smallest_cell:
            told.append(words.say_many(one, many, n))
        elif n:
            told.append(words.say(small, few=few))
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
    rows = before.get("catalogue", {})
    kinds = [words.plain(k) for k, h in now.get("catalogue", {}).items() if k in rows and rows[k] != h]
    if kinds:
        told.append(words.say("changed in the catalogues: %(kinds)s", kinds=", ".join(kinds)))
    return told


def _more(before: int | None, now: int | None) -> int:
    """Return how many more there are; none where one of the two is hidden."""
    return 0 if before is None or now is None else max(0, now - before)


def not_few(n: int) -> int | None:
    """Return a count as the numbers file has it: null for few."""
    return n if n == 0 or n >= POLICY.smallest_cell else None
