"""The trials of R's mmrm package as arrays, from the shared reference data."""

import csv
import os
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", REPOSITORY.parent / "shared" / "references"))


def arrays(name: str, outcome: str, *covariates: str) -> tuple[np.ndarray, np.ndarray]:
    """Covariates (n, q), `NAME=VALUE` for a level and `NAME` for a number, after a column of ones; outcomes (n, T)."""
    with (REFERENCES / "data" / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    patients, visits = (list(dict.fromkeys(r[k] for r in rows)) for k in ("USUBJID", "VISITN"))
    visits.sort(key=int)
    y, z = np.full((len(patients), len(visits)), np.nan), np.ones((len(patients), 1 + len(covariates)))
    for row in rows:
        i = patients.index(row["USUBJID"])
        for j, covariate in enumerate(covariates, 1):
            key, _, level = covariate.partition("=")
            z[i, j] = float(row[key] == level) if level else float(row[key])
        if row[outcome] not in ("", "NA"):
            y[i, visits.index(row["VISITN"])] = float(row[outcome])
    return z, y
