"""The numbers of the report for machines, and what changed between two of them and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from analysis import Result
from analysis.result import SMALLEST_CELL, versions
from registry import Registry

# A change in the share that responds is told from this on, in points of 100.
_TOLD_POINTS = 0.5
_DAY = 365.0
_COUNTED = {"patient": "patients", "course": "courses", "treatment_session": "sessions", "measurement": "measurements",
            "event": "events", "adverse_event": "adverse events"}  # fmt: skip


def numbers(registry: Registry, programmes: Iterable[tuple[str, str, list[Result]]]) -> dict[str, Any]:
    """Return every number of the page, small cells suppressed.

    Parameters
    ----------
    registry
        Whose report it is.
    programmes
        Code, label and suppressed results of each programme.
    """
    return {
        "data_cut": registry.data_cut,
        "smallest_cell": SMALLEST_CELL,
        "counts": {k: _shown(n) for k, n in registry.counts().items() if k in _COUNTED},
        "loads": registry.con.sql("select count(*) from log.load").fetchall()[0][0],
        "programmes": {
            code: {
                "label": label,
                "results": {
                    r.question: {
                        "frame": r.frame.to_dicts(),
                        "notes": r.notes,
                        **{k: r.settings.get(k) for k in ("definition", "definition_version", "confirmation")},
                    }
                    for r in results
                },
            }
            for code, label, results in programmes
        },
        "versions": versions(),
    }


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what changed between two reports, why first: data, definitions, versions; then the numbers that moved.

    Numbers are those published, small cells suppressed, so that nothing is told that the two pages do not tell.
    """
    found = []
    if str(before["data_cut"]) != str(now["data_cut"]):
        found.append(f"The data now reach to {now['data_cut']}; before, to {before['data_cut']}.")
    for key, word in _COUNTED.items():
        old, new = before["counts"].get(key), now["counts"].get(key)
        if old is not None and new is not None and old != new:
            found.append(f"{_count(new)} {word}, before {_count(old)}.")
    if now["versions"] != before["versions"]:
        moved = [f"{k} {before['versions'].get(k, 'none')} → {v}" for k, v in now["versions"].items()
                 if before["versions"].get(k) != v]  # fmt: skip
        found.append(f"Versions: {', '.join(moved)}.")
    for code, programme in now["programmes"].items():
        earlier = before["programmes"].get(code)
        if earlier is None:
            found.append(f"{programme['label']} is new in the report.")
            continue
        found += _of_programme(programme["label"], earlier["results"], programme["results"])
    gone = [p["label"] for code, p in before["programmes"].items() if code not in now["programmes"]]
    return found + [f"{label} is no longer in the report." for label in gone]


def _of_programme(label: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    found = []
    for question, result in now.items():
        earlier, name = before.get(question), question.replace("_", " ")
        if earlier is None:
            found.append(f"{label}: {name} can now be estimated.")
        elif _rule(earlier) != _rule(result):
            found.append(f"{label}: {name} is now by {_rule(result)}, before by {_rule(earlier)}.")
    found += [f"{label}: {q.replace('_', ' ')} can no longer be shown." for q in before if q not in now]
    old, new = _responses(before), _responses(now)
    for stratum, share in new.items():
        points = 100 * (share - old.get(stratum, share))
        if abs(points) >= _TOLD_POINTS:
            found.append(
                f"{label}, {stratum.replace('_', ' ')}: {100 * share:.0f} % in response within 12 months, "
                f"before {100 * old[stratum]:.0f} %."
            )
    return found


def _rule(result: dict[str, Any]) -> str:
    parts = [str(result[k]) for k in ("definition", "definition_version", "confirmation") if result.get(k)]
    return " ".join(parts) or "no definition"


def _responses(results: dict[str, Any]) -> dict[str, float]:
    rows = results.get("time_to_response", {}).get("frame", [])
    return {
        r["stratum"]: r["estimate"]
        for r in rows
        if r["quantity"] == "response" and r["time_day"] == _DAY and r["estimate"] is not None
    }


def _shown(n: int) -> int | None:
    return n if n == 0 or n >= SMALLEST_CELL else None


def _count(n: int) -> str:
    return f"{n:,}"
