"""Small files of the template: patients with a knee each, treated on one day; for tests of what a load changes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from registry import Registry, derive
from registry.ingest import load

FIRST = dt.date(2023, 1, 1)


def _begun() -> dict[str, list[str]]:
    """Return the lines that every registry of knees begins with, by file."""
    return {
        "centres": ["centre,country", "ZRH,CH"],
        "patients": ["patient,centre,birth_year,sex,enrolment_date,consent_scope"],
        "targets": ["patient,site,side,kind"],
        "courses": ["patient,site,side,course_no,planned_sessions,programme"],
        "sessions": ["patient,site,side,course_no,session_no,date,intent,route,guidance,product"],
        "products": ["product,donor,origin,separation,expanded", "BMAC,autologous,bone_marrow,density_gradient,false"],
        "measurements": ["patient,site,side,date,instrument,subscale,value,unit"],
    }


def write(folder: Path, people: range, *, pain: int = 60) -> Path:
    """Files of patients with a knee each, treated on the first day, with a score at baseline."""
    tables = _begun()
    for i in people:
        knee = f"P{i},knee,left"
        tables["patients"].append(f"P{i},ZRH,1960,female,{FIRST},research")
        tables["targets"].append(f"{knee},joint")
        tables["courses"].append(f"{knee},1,1,osteoarthritis")
        tables["sessions"].append(f"{knee},1,1,{FIRST},initial,intra_articular,ultrasound,BMAC")
        tables["measurements"].append(f"{knee},{FIRST},KOOS,pain,{pain},{{score}}")
    folder.mkdir()
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


@dataclass(frozen=True)
class Knee:
    """A treated knee: KOOS pain by day since treatment, and what happened on which day; one patient each by default."""

    visits: dict[int, float]
    stage: str | None = "early"
    patient: str | None = None
    side: str = "left"
    baseline: float | None = 40
    end: int | None = None
    death: int | None = None
    booster: int | None = None
    rescue: int | None = None


_GRADE = {"early": 2, "moderate": 3, "bone_on_bone": 4}
KNEE_PAIN_10 = "KOOS-pain-10"


def hand_made(folder: Path, knees: list[Knee]) -> Registry:
    """Load and derive a registry of these knees, data cut at the last thing recorded."""
    tables = _begun() | {
        "stages": ["patient,site,side,date,scheme,grade,reader,modality"],
        "events": ["patient,site,side,date,kind,reported_by"],
    }

    def on(day: int) -> dt.date:
        return FIRST + dt.timedelta(day)

    for i, k in enumerate(knees):
        patient = k.patient or f"P{i}"
        knee = f"{patient},knee,{k.side}"
        tables["patients"].append(f"{patient},ZRH,1960,female,{FIRST},research")
        tables["targets"].append(f"{knee},joint")
        tables["courses"].append(f"{knee},1,1,osteoarthritis")
        tables["sessions"].append(f"{knee},1,1,{FIRST},initial,intra_articular,ultrasound,BMAC")
        if k.booster is not None:
            tables["sessions"].append(f"{knee},1,2,{on(k.booster)},booster,intra_articular,ultrasound,BMAC")
        if k.stage is not None:
            tables["stages"].append(f"{knee},{on(-1)},KL,{_GRADE[k.stage]},R1,XR")
        scores = k.visits if k.baseline is None else {0: k.baseline, **k.visits}
        tables["measurements"] += [f"{knee},{on(day)},KOOS,pain,{value},{{score}}" for day, value in scores.items()]
        if k.end is not None:
            tables["events"].append(f"{knee},{on(k.end)},TKA,record")
        if k.rescue is not None:
            tables["events"].append(f"{knee},{on(k.rescue)},corticosteroid_rescue,record")
        if k.death is not None:
            tables["events"].append(f"{patient},,,{on(k.death)},death,record")
    tables["patients"] = list(dict.fromkeys(tables["patients"]))
    files = folder / "files"
    files.mkdir()
    for name, lines in tables.items():
        (files / f"{name}.csv").write_text("\n".join(lines) + "\n")
    path = folder / "registry.duckdb"
    Registry.create(path, key=b"k" * 32).close()
    assert load(path, [files]).rejected == 0
    derive(path)
    return Registry.open(path)
