"""Interval observations for tests, and the breast cosmesis data where they are at hand."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from analysis.numerics.interval import IntervalData

REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", Path(__file__).parents[2] / "shared" / "references"))


def data(rows):
    """Rows of (left, right, kind) with an optional count."""
    full = [(*r, 1.0) if len(r) == 3 else r for r in rows]
    left, right, kind, count = (np.array(c, dtype=float) for c in zip(*full, strict=True))
    return IntervalData(left, right, kind.astype(np.int64), count)


def breast_cosmesis(arm):
    path = REFERENCES / "data" / "interval_bcos.csv"
    if not path.exists():
        pytest.skip("the breast cosmesis data of R's interval package are not at hand")
    rows = [r for r in csv.DictReader(path.read_text().splitlines()) if arm in ("all", r["treatment"])]
    right = [float("inf") if r["right"] in ("NA", "Inf") else float(r["right"]) for r in rows]
    return data(
        [(float(r["left"]), 0 if np.isinf(x) else x, 2 if np.isinf(x) else 0) for r, x in zip(rows, right, strict=True)]
    )
