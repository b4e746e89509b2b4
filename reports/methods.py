"""Methods as run, from the settings of the results: setting and data, each analysis in its estimand; definitions."""

from __future__ import annotations

import polars as pl

from analysis import Result, disclosure, estimand
from analysis.harm_table import HarmTable
from analysis.told import not_selected
from registry import Registry, cut
from registry.errors import UsageError
from reports.readers import readable, readable_checks
from reports.tables import naive_notes

SETTING = "Setting and data"
_DEFINED = {
    "Stages": "select s.label as stage, m.scheme, m.grade, m.source, m.verified from catalogue.stage s "
    "join catalogue.stage_map m using (stage) join catalogue.programme_scheme using (programme, scheme) "
    "where programme = $programme and stage_map = 'default' order by s.position, m.scheme, m.grade",
    "Scales": "select p.domain, p.scale, label, unit, low, high, direction, source, verified "
    "from catalogue.programme_scale p join catalogue.scale s using (scale) where p.programme = $programme "
    "order by p.domain, p.scale",
    "Response": "select definition, version, label, source, verified from catalogue.definition "
    "where list_contains($used, definition) order by definition",
    "Criteria of response": "select definition, arm, n_needed, criterion, c.domain, c.scale, basis, improvement_min, "
    "relative_min, level from catalogue.definition_criterion c join catalogue.definition_arm using (definition, arm) "
    "where list_contains($used, definition) order by all",
    "Loss of response": "select loss, version, label, source, verified from catalogue.loss_definition "
    "where programme = $programme and list_contains($lost, loss) order by loss",
    "Planned visits": "select planned_visit, target_day, window_low_day, window_high_day, source "
    "from catalogue.programme_visit v join catalogue.programme p using (programme) where v.programme = $programme "
    "order by position",
    "Events": "select kind, role, source from catalogue.programme_event e join catalogue.programme p using (programme) "
    "where e.programme = $programme order by role, kind",
}


def methods(registry: Registry, programme: str, found: dict[str, Result], left_out: dict[str, str]) -> str:
    """Return the methods as Markdown: a section for the data, and one for each analysis with its flow and checks."""
    used = {k: v for r in found.values() for k, v in r.settings["versions"].items()}
    versions = ", ".join(f"{k} {v}" for k, v in used.items())
    lines = [
        "# Methods, as run",
        "",
        f"Courses of treatment were followed to {registry.data_cut}, the latest extraction. {source(registry)} "
        "Numbers were made with "
        f"{versions}; each analysis below is told from the settings that made it, in words of ICH E9(R1).",
        *_setting(registry, programme),
    ]
    for result in found.values():
        lines += ["", f"## {result.title}", ""]
        lines.append(_used(result.attrition))
        try:
            lines += ["", "| attribute | value |", "|---|---|"]
            lines += [f"| {a} | {v} |" for a, v in estimand(result).iter_rows()]
        except UsageError:
            lines[-3:] = []
        strata, failed = result.settings["strata"], result.checks_made().filter(~pl.col("passed"))
        checks = "; ".join(f"{r['check']} ({r['limit']})" for r in readable_checks(failed.to_dicts(), strata))
        lines += ["", f"Checks that failed: {checks}." if checks else "All checks passed.", ""]
        lines += [f"- {note}" for note in footnotes(result)[1:]]
    missing = [f"- {name.replace('_', ' ')}: {why}" for name, why in left_out.items()]
    return "\n".join([*lines, *(["", "## Not estimated", "", *missing] if missing else []), ""])


def source(registry: Registry) -> str:
    """Return in a sentence what the data are: a named cut that proves itself, or a registry that goes on."""
    if (made := cut.named(registry)) is None:
        return "The data are those of a registry that goes on: no data cut was named."
    frozen = str(made["made_at"])[:10]
    return (
        f"The data are those of the cut {made['name']}, frozen on {frozen} (SHA-256 of its manifest: {made['sha256']})."
    )


def _used(flow: pl.DataFrame) -> str:
    """Return how many courses were used of those selected, and why the others were not."""
    others = not_selected(flow)
    held, chosen = int(flow["n"][0]), int(flow["n"][0]) - int(others["n"].sum())
    left = flow[1:-1].join(others, on="reason", how="anti", maintain_order="left")

    def why(rows: pl.DataFrame) -> str:
        told = "; ".join(f"{n:,} {reason}" for reason, n in rows.iter_rows() if n)
        return f" ({told})" if told else ""

    before = f"The registry holds {held:,} courses, of which {chosen:,} were selected{why(others)}. "
    return (before if chosen < held else "") + f"{flow['n'][-1]:,} of {chosen:,} courses were used{why(left)}."


def footnotes(result: Result) -> list[str]:
    """Return what stands below a table of a result: the data, the limits, the definition, and the notes."""
    s = result.settings
    few = disclosure.POLICY.smallest_cell
    lines = [f"Data to {s['data_cut']}. Numbers of fewer than {few} courses are not shown."]
    lines += [result.nobody_in] if result.nobody_in else []
    if s.get("round_counts"):
        told = f"Counts are rounded to multiples of {s['round_counts']}, shares are of these or told no finer"
        lines.append(f"{told}: parts may not add up to their total.")
    if "confidence" in s:
        lines.append(f"In brackets: {100 * s['confidence']:.0f} % limits.")
    if isinstance(result, HarmTable):
        of = f"{100 * s['confidence']:.0f} %"
        lines[-1] = (
            f"Events (courses with one); events per 100 sessions with exact {of} limits; of none the upper limit."
        )
    if s.get("definition"):
        lines.append(
            f"Response: {s['definition_label']} ({s['definition']} v{s['definition_version']}"
            + ("" if any(str(s["definition_source"]) in n for n in result.notes) else f"; {s['definition_source']}")
            + ")."
        )
    return [*lines, *naive_notes(result), *(readable(n, s["strata"]) for n in result.notes)]


def _setting(registry: Registry, programme: str) -> list[str]:
    """Return where and when courses were treated, how far they were followed, and what became of the rows sent."""
    # The first and the last month are those of the fifth course from either end: one course could be one person.
    centres, first, last, low, median, high = registry.con.execute(
        "with c as (select p.centre, p.index_date, f.last_contact_day, row_number() over (order by index_date) as up, "
        "row_number() over (order by index_date desc) as down from course.profile p join course.follow_up f "
        "using (course_id) where programme = $programme and index_date is not null) "
        "select count(distinct centre), min(index_date) filter (where up >= $few), "
        "max(index_date) filter (where down >= $few), quantile_cont(last_contact_day, 0.25), "
        "median(last_contact_day), quantile_cont(last_contact_day, 0.75) from c",
        {"programme": programme, "few": disclosure.POLICY.smallest_cell},
    ).fetchall()[0]
    visits = registry.con.execute(
        "select planned_visit, target_day, window_low_day, window_high_day from catalogue.programme_visit "
        "where programme = ? order by position",
        [programme],
    ).fetchall()
    rows, refused = registry.con.sql("select sum(rows_in), sum(rejected) from log.load").fetchall()[0]
    checks = registry.con.sql("select count(*) from catalogue.defect").fetchall()[0][0]
    planned = "; ".join(f"{name} (day {day}, from {a} to {b})" for name, day, a, b in visits)
    began = f", all but a few of them between {first:%Y-%m} and {last:%Y-%m}" if first and last else ""
    quartiles = f"(median; quartiles {low:.0f} and {high:.0f})" if median is not None else ""
    seen = f" From the first session to the last contact there are {median:.0f} days {quartiles}." if quartiles else ""
    return [
        "",
        f"## {SETTING}",
        "",
        f"Courses began at {centres:,} {'centre' if centres == 1 else 'centres'}{began}.{seen} Every course of the "
        "programme to the data cut is in the registry; no size was planned.",
        "",
        f"Planned visits: {planned}.",
        "",
        f"Clinics sent {rows or 0:,} rows; refused on loading by the rules of the catalogue: "
        f"{disclosure.shown([refused or 0])[0]}. {checks} checks across rows found "
        f"{disclosure.shown([registry.check().height])[0]} open findings in the whole registry.",
    ]


def definitions(registry: Registry, programme: str, found: dict[str, Result]) -> str:
    """Return as Markdown the codes and thresholds that the analyses used: stages, scales, response, loss, ends."""
    used = sorted({str(r.settings["definition"]) for r in found.values() if r.settings.get("definition")})
    lost = sorted({str(r.settings["loss"]) for r in found.values() if r.settings.get("loss")})
    lines = [
        f"# Definitions: {programme.replace('_', ' ')}",
        "",
        "As the catalogues of the registry state them. `verified` says whether somebody held a threshold against its "
        "source. Of a definition, one arm is enough, and within it as many criteria as `n_needed`; `improvement_min` "
        "is in points of the basis, `relative_min` a share of the baseline.",
    ]
    for title, shown in defined(registry, programme, used, lost).items():
        lines += ["", f"## {title}", "", f"| {' | '.join(shown.columns)} |", "|" + "---|" * shown.width]
        lines += ["| " + " | ".join(_said(v) for v in row) + " |" for row in shown.iter_rows()]
    return "\n".join([*lines, ""])


def defined(registry: Registry, programme: str, used: list[str], lost: list[str]) -> dict[str, pl.DataFrame]:
    """Return rows of the catalogues by what they define, without empty columns; what has no row is not there.

    Parameters
    ----------
    used, lost
        Definitions of response, and of its loss.
    """
    given, found = {"programme": programme, "used": used, "lost": lost}, {}
    for title, query in _DEFINED.items():
        frame = registry.con.execute(query, {k: v for k, v in given.items() if f"${k}" in query}).pl()
        if frame.height:
            found[title] = frame.select(c.name for c in frame if c.null_count() < frame.height)
    return found


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else str(value)
    return text.rstrip("0").rstrip(".") if "." in text and text.replace(".", "").isdigit() else text.replace("|", "/")
