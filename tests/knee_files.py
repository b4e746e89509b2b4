"""Small files of the template: patients with a knee each, treated on one day; for tests of what a load changes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

FIRST = dt.date(2023, 1, 1)


def write(folder: Path, people: range, *, pain: int = 60) -> Path:
    """Files of patients with a knee each, treated on the first day, with a score at baseline."""
    tables = {
        "centres": ["centre,country", "ZRH,CH"],
        "patients": ["patient,centre,birth_year,sex,enrolment_date,consent_scope"],
        "targets": ["patient,site,side,kind"],
        "courses": ["patient,site,side,course_no,planned_sessions,programme"],
        "sessions": ["patient,site,side,course_no,session_no,date,intent,route,guidance,product"],
        "products": ["product,donor,origin,separation,expanded", "BMAC,autologous,bone_marrow,density_gradient,false"],
        "measurements": ["patient,site,side,date,instrument,subscale,value,unit"],
    }
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
