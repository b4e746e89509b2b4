"""Definitions in the summary report: the rows of the catalogues that its words rest on, each with its source."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from registry import Registry
from reports.methods import defined
from reports.phrases import N_

_YES, _NO = N_("yes"), N_("no")
# Codes of the catalogues that stand in the tables.
_CODES = (
    N_("higher better"), N_("lower better"), N_("native"), N_("end"), N_("rescue"), N_("death"), N_("points of 100"),
)  # fmt: skip
_TITLES = {
    "Stages": N_("Stages"),
    "Scales": N_("Scales"),
    "Response": N_("Response"),
    "Criteria of response": N_("Criteria of response"),
    "Loss of response": N_("Loss of response"),
    "Planned visits": N_("Planned visits"),
    "Events": N_("Events"),
}
_COLUMNS = {
    "stage": N_("Stage"), "scheme": N_("Grading"), "grade": N_("Grade"), "source": N_("Source"),
    "verified": N_("Verified"), "domain": N_("Domain"), "scale": N_("Scale"), "label": N_("Meaning"),
    "unit": N_("Unit"),
    "low": N_("Lowest"), "high": N_("Highest"), "direction": N_("Direction"), "definition": N_("Definition"),
    "version": N_("Version"), "arm": N_("Arm"), "n_needed": N_("Criteria needed"), "criterion": N_("Criterion"),
    "basis": N_("Basis"), "improvement_min": N_("Least improvement"), "relative_min": N_("Least share of the baseline"),
    "level": N_("Level"), "loss": N_("Loss"), "kind": N_("Kind"), "role": N_("Role"), "planned_visit": N_("Visit"),
    "target_day": N_("Day"), "window_low_day": N_("Window from day"), "window_high_day": N_("Window to day"),
}  # fmt: skip


def defined_section(registry: Registry, programme: str, used: list[str]) -> list[dict[str, Any]]:
    """Return a table for each thing that is defined: ``id, key, title, columns, rows``; the page links to the ids.

    Parameters
    ----------
    used
        Definitions of response that the page uses.
    """
    con = registry.con
    lost = con.execute(
        "select distinct loss from catalogue.loss_definition where programme = ?", [programme]
    ).fetchall()
    tables = defined(registry, programme, used, [str(row[0]) for row in lost])
    return [
        {
            "id": f"{programme}-{title.lower().replace(' ', '-')}",
            "key": title,
            "title": _TITLES[title],
            "columns": [_COLUMNS[name] for name in frame.columns],
            "rows": [[_text(value) for value in row] for row in frame.iter_rows()],
        }
        for title, frame in tables.items()
    ]


def _text(value: object) -> str:
    """Return a value of a catalogue in English, which the page tells in its language; none is a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _YES if value else _NO
    if isinstance(value, Decimal | float):
        return f"{float(value):g}"
    text = {"worse100": "points of 100"}.get(str(value), str(value).strip("{}"))
    return text.replace("_", " ") if text.islower() else text
