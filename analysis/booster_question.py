"""What is asked of a booster: by which scale the situation is known, and what the outcome is."""

from __future__ import annotations

from typing import Any

from analysis.cohort import check_one, end_label, programmes_of
from registry import Courses
from registry.errors import NotEstimable, choose

OUTCOMES = {"response": "share", "end": "risk", "loss": "loss"}


def ask(courses: Courses, outcome: str | None, definition: str) -> dict[str, Any]:
    """Write ``cohort.booster``: by which scale the situation is known, and what the outcome is."""
    con = courses.registry.con
    kind = OUTCOMES.get(outcome or "", "mean")
    offered = con.execute(
        "select domain, scale from catalogue.programme_scale where list_contains(?, programme) order by priority",
        [programmes_of(courses)],
    ).fetchall()
    domains = list(dict.fromkeys(str(d) for d, _ in offered))
    known = [r[0] for r in con.sql("select scale from catalogue.scale where direction <> 'none' order by 1").fetchall()]
    scale, domain, loss = None, None, dict[str, Any]()
    if kind == "mean" and outcome is not None:
        plain = {_plain(s): s for s in known}
        if outcome in domains:
            domain = outcome
        elif _plain(outcome) in plain:
            scale = plain[_plain(outcome)]
        else:
            choose(_plain(outcome), [*domains, *OUTCOMES, *plain], "outcome =")
    elif kind == "loss":
        loss = _loss_rule(courses)
        domain = str(loss.pop("domain"))
    else:
        domain = next((d for d in ("pain", "function", "global") if d in domains), domains[0] if domains else None)
    if len(courses) == 0:
        raise NotEstimable(f"No course is left to analyse. {courses.reasons() or 'None was selected.'}")
    if scale is None and domain is None:
        raise NotEstimable("The programme names no scale by which a situation could be known. Name one: outcome='…'.")
    con.execute(
        "create or replace table cohort.booster as select ? as definition, cast(? as varchar) as scale, "
        "cast(? as varchar) as domain",
        [definition, scale, domain],
    )
    if kind in ("risk", "loss"):
        check_one(courses, "end_label")
    label = {
        "share": "share in response",
        "risk": f"risk of {end_label(courses)}",
        "loss": f"risk of loss or {end_label(courses)}",
    }.get(kind, f"improvement of {scale or domain}")
    return {
        "kind": kind,
        "outcome": outcome or domain,
        "outcome_label": label,
        "scale": scale,
        "domain": domain,
        "unit_label": "points of 100" if kind == "mean" else "share",
        "direction": f"a {'negative' if kind in ('risk', 'loss') else 'positive'} difference is a benefit",
        **loss,
    }


def _plain(name: str) -> str:
    return name.lower().replace("/", "_").replace("-", "_").replace(" ", "_")


def _loss_rule(courses: Courses) -> dict[str, Any]:
    """Return the rule by which a score worse than at the decision is a loss: ``loss, domain, worse_by``, its source."""
    found = courses.registry.con.execute(
        "select distinct loss, domain, worsening_min, source, verified from catalogue.loss_definition "
        "where worsening_min is not null and list_contains(?, programme)",
        [programmes_of(courses)],
    ).fetchall()
    if len(found) != 1:
        which = "no rule that says" if not found else "several rules that say"
        raise NotEstimable(
            f"outcome='loss': the programme has {which} by how much a score must worsen to count as loss. "
            "Add one with a source to the catalogue (loss_definition, worsening_min), or ask of one programme."
        )
    loss, domain, points, source, verified = found[0]
    return {"loss": loss, "domain": domain, "worse_by": float(points), "loss_source": source, "loss_verified": verified}
