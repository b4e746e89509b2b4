"""The doses that were given, as a histogram beside a curve of dose and response."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analysis.result import row

GIVEN = "doses given, "
_BINS = 14


def doses_given(rows: pl.DataFrame, low: float, high: float) -> list[dict[str, Any]]:
    """Return how many courses had a dose in each of equal steps of its logarithm from `low` to `high`.

    Parameters
    ----------
    rows
        With `dose`, million cells, a row a course.
    low, high
        Doses that are drawn. Some courses lie outside, so that a bar that is hidden is not the rest of the others.
    """
    edges = np.geomspace(low, high, _BINS + 1)
    # A dose on the last edge is in the last step, whatever the rounding of its logarithm.
    edges[0], edges[-1] = low, high
    counts, _ = np.histogram(rows["dose"].to_numpy(), edges)
    return [
        row("all", f"{GIVEN}{a:.6g} to {b:.6g} million", estimate=n / rows.height, n=int(n), denominator=rows.height)
        for n, a, b in zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
    ]
