"""Pages made from the catalogues and the schema: instruments, response definitions, programmes, checks, the data dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from registry import catalogue
from registry.codebook import codebook

_UNVERIFIED = '<span class="unverified">not verified</span>'
_BASIS = {"worse100": "of 100", "native": "in its own unit"}


def pages() -> dict[str, str]:
    """Return every page made from a catalogue: path in the site to Markdown."""
    return {
        "data-dictionary.md": _dictionary(),
        "catalogues/instruments.md": _instruments(),
        "catalogues/responses.md": _responses(),
        "catalogues/programmes.md": _programmes(),
        "catalogues/codes.md": _codes(),
        "checks.md": _checks(),
    }


def page_of(file: str) -> str | None:
    """Return the page that shows a catalogue file, or None if none does."""
    shown = {
        "scale": "catalogues/instruments.md", "item": "catalogues/instruments.md", "scoring": "catalogues/instruments.md",
        "unit_conversion": "catalogues/instruments.md", "definition": "catalogues/responses.md",
        "definition_arm": "catalogues/responses.md", "definition_criterion": "catalogues/responses.md",
        "loss_definition": "catalogues/responses.md", "vocabulary": "catalogues/codes.md", "defect": "checks.md",
        "load_rule": "checks.md", "reporting_item": "checks.md",
    }  # fmt: skip
    return shown.get(file) or ("catalogues/programmes.md" if file.startswith(("programme", "stage")) else None)


def table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table; an empty cell stays empty, a bar in a cell is escaped."""
    names = list(header)
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join('' if c is None else str(c).replace('|', chr(92) + '|') for c in row)} |" for row in rows]
    return "\n".join(lines)


def _dictionary() -> str:
    intro = (
        "# Data dictionary\n\nThe files of the template and the tables of the record: made from the schema, as "
        "`catamnesis template` writes it beside the empty files. What is derived from them is in [definitions]"
        "(definitions/index.md), column by column.\n"
    )
    return intro + codebook().split("\n", 1)[1]


def _instruments() -> str:
    parts = [
        "# Instruments",
        "Every scale that can be loaded, with its range, which end is better, and where that is from. A scale that is not "
        "here is refused, with its line. A clinic adds its own in a [catalogue folder](../how-to/your-own-files.md#a-scale-of-your-own).",
    ]
    scales = catalogue.read("scale")
    better = {"higher_better": "higher", "lower_better": "lower"}
    for (domain,), rows in scales.group_by(["domain"], maintain_order=True):
        parts += [f"## {str(domain).replace('_', ' ').capitalize()}"]
        parts += [
            table(
                ("scale", "instrument", "unit", "range", "better", "recall", "licence", "source"),
                (
                    (f"`{r['scale']}`", r["label"], _unit(r["unit"]), f"{r['low']} to {r['high']}", better.get(r["direction"], "–"),
                     r["recall"], r["licence"], _source(r))
                    for r in rows.iter_rows(named=True)
                ),
            )
        ]  # fmt: skip
    parts += [
        "## Scores computed from items",
        "By the published rule; see [`staging.item_score`](../definitions/staging/item_score.md).",
    ]
    parts += [
        table(
            ("scale", "items", "items needed", "worst to best of the items", "source"),
            (
                (
                    f"`{r['scale']}`",
                    r["n_items"],
                    r["n_needed"],
                    f"{r['score_at_low']} to {r['score_at_high']}",
                    _source(r),
                )
                for r in catalogue.read("scoring").iter_rows(named=True)
            ),
        ),
        "## Other units that are converted",
        table(
            ("scale", "unit", "times", "source"),
            (
                (f"`{r['scale']}`", r["unit"], r["factor"], r["source"])
                for r in catalogue.read("unit_conversion").iter_rows(named=True)
            ),
        ),
    ]
    return _joined(parts)


def _responses() -> str:
    parts = [
        "# Response definitions",
        "A share of responders belongs to its definition. Each is judged by [`endpoint.assessment`]"
        "(../definitions/endpoint/assessment.md): yes, no, or not known. Scales marked *of 100* are carried to 0 (best) to "
        f"100 (worst) first. A threshold marked {_UNVERIFIED} was not checked against its source, and says so wherever it is used.",
    ]
    arms = {
        (r["definition"], r["arm"]): int(r["n_needed"]) for r in catalogue.read("definition_arm").iter_rows(named=True)
    }
    criteria = catalogue.read("definition_criterion")
    for r in catalogue.read("definition").iter_rows(named=True):
        mine = criteria.filter(pl.col("definition") == r["definition"])
        ways = [_way(rows, arms[r["definition"], arm]) for (arm,), rows in mine.group_by(["arm"], maintain_order=True)]
        parts += [
            f"## {r['definition']}",
            f"**{r['label']}** ({r['population']}), version {r['version']}.",
            f"Met when {ways[0]}" if len(ways) == 1 else "Met in either of two ways:\n\n1. " + "\n2. ".join(ways),
            f"Source: {_source(r)}",
        ]
    parts += [
        "## Loss of response",
        "Rules by which a response, once there, is lost; see [`endpoint.loss`](../definitions/endpoint/loss.md).",
    ]
    parts += [
        table(
            ("rule", "programme", "response is lost when", "threshold", "source"),
            (
                (r["loss"], r["programme"], r["label"], _loss(r), _source(r))
                for r in catalogue.read("loss_definition").iter_rows(named=True)
            ),
        )
    ]
    return _joined(parts)


def _way(rows: pl.DataFrame, needed: int) -> str:
    said = [_criterion(r) for r in rows.iter_rows(named=True)]
    if len(said) == 1:
        return f"{said[0]}."
    how_many = (
        "all of these hold"
        if needed == len(said)
        else "one of these holds"
        if needed == 1
        else f"{needed} of these hold"
    )
    return f"{how_many}: {'; '.join(said)}."


def _criterion(r: dict[str, Any]) -> str:
    what, unit = r["domain"] or f"`{r['scale']}`", _BASIS[r["basis"]]
    asked = []
    if r["improvement_min"] is not None:
        asked.append(f"better by {r['improvement_min']} {unit}")
    if r["relative_min"] is not None:
        asked.append(f"better by {100 * float(r['relative_min']):g} % of its baseline")
    if r["level"] is not None:
        asked.append(f"at {r['level']} {unit} or better")
    return f"{what} {' and '.join(asked)}"


def _loss(r: dict[str, Any]) -> str:
    rules = {
        "peak_lost_min": "{:.0%} of the best improvement lost", "baseline_share_min": "at {:.0%} of the baseline or worse",
        "level": "worse than {:g} of 100", "worsening_min": "worse by {:g} of 100 than at best",
    }  # fmt: skip
    said = [text.format(float(r[name])) for name, text in rules.items() if r[name] is not None]
    return f"{r['domain']}: {', '.join(said)}" if said else "the definition"


def _programmes() -> str:
    parts = [
        "# Programmes",
        "A programme is a set of rows: stages, scales, response definition, end events, visits. Nothing in the code knows a knee.",
    ]
    stages, grades = catalogue.read("stage"), catalogue.read("stage_map")
    for p in catalogue.read("programme").iter_rows(named=True):
        mine = {
            n: catalogue.read(n).filter(pl.col("programme") == p["programme"])
            for n in ("programme_visit", "programme_scale", "programme_event")
        }
        of_stage = stages.filter(pl.col("programme") == p["programme"])
        schemes = catalogue.read("programme_scheme").filter(pl.col("programme") == p["programme"])["scheme"].to_list()
        definition = (
            f"[{p['definition']}](responses.md#{p['definition'].lower().replace('.', '')})"
            if p["definition"]
            else "none is agreed: courses are described"
        )
        parts += [
            f"## {p['label']}",
            f"`{p['programme']}`. End of the target: {p['end_label']}. Default response definition: {definition}. Baseline: the last score "
            f"within {p['baseline_window_day']} days before the first session. Response is judged from day {p['evaluation_earliest_day']} "
            f"(less {p['evaluation_tolerance_day']}) on.{' ' + p['evidence'] if p['evidence'] else ''}",
            "### Stages of " + p["label"].lower(),
            table(
                ("stage", "grades"),
                (
                    (f'<span class="swatch" style="background:{s["colour"]}"></span>{s["label"]}', _grades(grades, schemes, s["stage"]))
                    for s in of_stage.iter_rows(named=True)
                ),
            ),
            "### Visits of " + p["label"].lower(),
            table(
                ("visit", "planned day", "window"),
                ((v["planned_visit"], v["target_day"], f"{v['window_low_day']} to {v['window_high_day']}") for v in mine["programme_visit"].iter_rows(named=True)),
            ),
            "### Scales of " + p["label"].lower(),
            table(
                ("domain", "scales, the first that a course has"),
                ((d, ", ".join(f"`{s}`" for s in rows["scale"])) for (d,), rows in mine["programme_scale"].group_by(["domain"], maintain_order=True)),
            ),
            "### Events of " + p["label"].lower(),
            table(
                ("role", "events"),
                ((role, ", ".join(rows["kind"])) for (role,), rows in mine["programme_event"].group_by(["role"], maintain_order=True)),
            ),
        ]  # fmt: skip
    return _joined(parts)


def _grades(grades: pl.DataFrame, schemes: list[str], stage: str) -> str:
    rows = grades.filter(
        (pl.col("stage_map") == "default") & (pl.col("stage") == stage) & pl.col("scheme").is_in(schemes)
    )
    return "; ".join(
        f"{scheme} {', '.join(of['grade'])}{'' if (of['verified'] == 'true').all() else ' ' + _UNVERIFIED}"
        for (scheme,), of in rows.group_by(["scheme"], maintain_order=True)
    )


def _codes() -> str:
    parts = [
        "# Codes",
        "What a column of codes may hold. A value that is not here is refused, with the codes that are.",
    ]
    for (name,), rows in catalogue.read("vocabulary").group_by(["vocabulary"], maintain_order=True):
        parts += [f"## {str(name).replace('_', ' ')}", ", ".join(f"`{code}`" for code in rows["code"])]
    return _joined(parts)


def _checks() -> str:
    defects = catalogue.read("defect")
    parts = [
        "# Checks",
        "A row is judged twice: alone when it is loaded, and against all others by `catamnesis check`.",
        f"## The {defects.height} checks of the whole registry",
        "Conformance, completeness, plausibility (Kahn 2016). [How findings live](how-to/keep-the-record.md#findings).",
        table(
            ("check", "finds that", "kind", "severity", "limit"),
            (
                (f"`{r['defect']}`", r["meaning"], f"{r['category']}, {r['kind']}", r["severity"], r["limit_value"])
                for r in defects.sort("category", "kind", "defect").iter_rows(named=True)
            ),
        ),
        "## Rules by which a row is refused",
        "Beside these: what the [data dictionary](data-dictionary.md) says of each column (form, limits, codes, what must be filled), "
        "two rows of one key, and rows whose patient, target, course or product is not there.",
        table(
            ("table", "the row is refused when", "what to do"),
            ((r["table_name"].replace("_", " "), r["message"], r["advice"]) for r in catalogue.read("load_rule").iter_rows(named=True)),
        ),
        "## Items of a full description",
        "What `catamnesis reporting` counts, by product ([how](how-to/keep-the-record.md#what-is-around-a-course)).",
        table(
            ("item", "asks for", "guideline, section", "of each"),
            ((f"`{r['item']}`", r["meaning"], f"{r['guideline']}, {r['section']}", r["unit"]) for r in catalogue.read("reporting_item").iter_rows(named=True)),
        ),
    ]  # fmt: skip
    return _joined(parts)


def _source(r: dict[str, Any]) -> str:
    return f"{r['source']}" if r["verified"] == "true" else f"{r['source']} {_UNVERIFIED}"


def _unit(code: str) -> str:
    return {"{score}": "points", "1": ""}.get(code, code.strip("{}"))


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"
