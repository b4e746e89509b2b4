"""Pages of what is judged and by what: response definitions with their thresholds, and the programmes that use them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from website.catalogues import UNVERIFIED, Row, joined, listed, rows, source

_BASIS = {"worse100": "of 100", "native": "in its own unit"}
_LOSS = {
    "peak_lost_min": "{:.0%} of the best improvement lost",
    "baseline_share_min": "at {:.0%} of the baseline or worse",
    "level": "worse than {:g} of 100",
    "worsening_min": "worse by {:g} of 100 than at its best",
}


def pages() -> dict[str, str]:
    """Return the pages of definitions and of programmes: path in the site to Markdown."""
    return {"catalogues/responses.md": _responses(), "catalogues/programmes.md": _programmes()}


def _responses() -> str:
    parts = [
        "# Response definitions",
        "A share of responders belongs to its definition. Each is judged by [`endpoint.assessment`]"
        "(../definitions/endpoint/assessment.md): yes, no, or not known. Scores *of 100* were carried to 0 (best) to "
        f"100 (worst) first. A threshold marked {UNVERIFIED} was not checked against its source, and says so in use.",
    ]
    for r in rows("definition"):
        ways = [_way(r["definition"], arm) for arm in rows("definition_arm", definition=r["definition"])]
        parts += [
            f"## {r['definition']}",
            f"**{r['label']}** ({r['population']}), version {r['version']}.",
            f"Met when {ways[0]}" if len(ways) == 1 else "Met in either of two ways:\n\n1. " + "\n2. ".join(ways),
            f"Source: {source(r)}",
        ]
    lost = listed(
        rows("loss_definition"),
        rule=lambda r: r["loss"],
        programme=lambda r: r["programme"],
        response_is_lost_when=lambda r: r["label"],
        threshold=_lost,
        source=source,
    )
    rule = "Rules by which a response, once there, is lost; see [`endpoint.loss`](../definitions/endpoint/loss.md)."
    return joined([*parts, "## Loss of response", rule, lost])


def _way(definition: str, arm: Row) -> str:
    said = [_criterion(r) for r in rows("definition_criterion", definition=definition, arm=arm["arm"])]
    if len(said) == 1:
        return f"{said[0]}."
    needed = int(arm["n_needed"])
    how_many = (
        "all of these hold" if needed == len(said) else "one of these holds" if needed == 1 else "two of these hold"
    )
    return f"{how_many}: {'; '.join(said)}."


def _criterion(r: Row) -> str:
    asked = []
    if r["improvement_min"] is not None:
        asked.append(f"better by {r['improvement_min']} {_BASIS[r['basis']]}")
    if r["relative_min"] is not None:
        asked.append(f"better by {100 * float(r['relative_min']):g} % of its baseline")
    if r["level"] is not None:
        asked.append(f"at {r['level']} {_BASIS[r['basis']]} or better")
    return f"{r['domain'] or '`' + r['scale'] + '`'} is {' and '.join(asked)}"


def _lost(r: Row) -> str:
    said = [text.format(float(r[name])) for name, text in _LOSS.items() if r[name] is not None]
    return f"{r['domain']}: {', '.join(said)}" if said else "that of the definition"


def _programmes() -> str:
    parts = [
        "# Programmes",
        "A programme is a set of rows: stages, scales, response definition, end events, visits. Nothing in the code "
        "knows a knee.",
    ]
    for p in rows("programme"):
        of = {"programme": p["programme"]}
        label = p["label"].split(",")[0].lower()
        visits = listed(
            rows("programme_visit", **of),
            visit=lambda r: r["planned_visit"],
            planned_day=lambda r: r["target_day"],
            window=lambda r: f"{r['window_low_day']} to {r['window_high_day']}",
        )
        stages = listed(rows("stage", **of), stage=_stage, grades=_grades)
        parts += [f"## {p['label']}", _said(p), f"### Stages: {label}", stages, f"### Visits: {label}", visits]
        parts += [f"### Scales: {label}", _grouped("programme_scale", of, "domain", "scale")]
        parts += [f"### Events: {label}", _grouped("programme_event", of, "role", "kind")]
    return joined(parts)


def _said(p: Row) -> str:
    name = p["definition"]
    definition = f"[{name}](responses.md#{name.lower().replace('.', '')})" if name else "none is agreed"
    return (
        f"`{p['programme']}`. End of the target: {p['end_label']}. Default response definition: {definition}. "
        f"Baseline: the last score within {p['baseline_window_day']} days before the first session. Response is judged "
        f"from day {p['evaluation_earliest_day']} on, {p['evaluation_tolerance_day']} days of tolerance before. "
        f"{p['evidence'] or ''}"
    )


def _stage(r: Row) -> str:
    return f'<span class="swatch" style="background:{r["colour"]}"></span>{r["label"]}'


def _grades(stage: Row) -> str:
    schemes = {r["scheme"] for r in rows("programme_scheme", programme=stage["programme"])}
    found = [r for r in rows("stage_map", stage_map="default", stage=stage["stage"]) if r["scheme"] in schemes]
    said = []
    for scheme, group in groupby(found, key=lambda r: r["scheme"]):
        of = list(group)
        mark = "" if all(r["verified"] == "true" for r in of) else f" {UNVERIFIED}"
        said.append(f"{scheme} {', '.join(r['grade'] for r in of)}{mark}")
    return "; ".join(said)


def _grouped(name: str, of: dict[str, str], by: str, what: str) -> str:
    found = rows(name, **of)
    columns: dict[str, Any] = {
        by: lambda r: r[by],
        "codes": lambda r: ", ".join(f"`{o[what]}`" for o in found if o[by] == r[by]),
    }
    first = [r for i, r in enumerate(found) if r[by] not in {o[by] for o in found[:i]}]
    return listed(first, **columns)
