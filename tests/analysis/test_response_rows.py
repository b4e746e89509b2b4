"""What is determined is shown, what is not is not, and limits do not vanish where nobody responded."""

import numpy as np
import polars as pl
import pytest

from analysis.cohort import Stratum
from analysis.numerics.interval import npmle
from analysis.response_rows import _contrasts, followed_to, interval_data

STRATA = [Stratum("a", "A", "#000000"), Stratum("b", "B", "#111111")]


def cells(*rows):
    names = ("stratum", "kind", "left_day", "right_day", "n")
    return pl.DataFrame([dict(zip(names, r, strict=True)) for r in rows])


def test_when_all_have_responded_the_estimate_holds_for_ever():
    assert followed_to(cells(("a", "response", 0, 90, 8))) == np.inf
    assert followed_to(cells(("a", "response", 0, 90, 8), ("a", "censored", 360, 365, 2))) == 360


def test_nobody_responding_on_both_sides_leaves_a_difference_with_limits():
    rows = cells(("a", "censored", 360, 365, 8), ("b", "censored", 360, 365, 8))
    fits = {s.code: npmle(interval_data(rows.filter(pl.col("stratum") == s.code))) for s in STRATA}
    days = np.array([90.0])
    samples = {s.code: np.zeros((2, 20, 19)) for s in STRATA}
    (found,) = _contrasts(STRATA, fits, rows, samples, days, 0.95)
    # Each side is 0 of 8, whose exact upper limit is 0.369 (Clopper & Pearson 1934).
    assert found["estimate"] == 0 and found["high"] == pytest.approx(0.369, abs=5e-4)
    assert found["low"] == pytest.approx(-0.369, abs=5e-4)
