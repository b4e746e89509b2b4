"""Limits of what a multi-state model says of a stratum, where few were seen too.

A logit limit from the curvature of a likelihood is too narrow where few moves tell it: six losses of eight seen make a
loss of 0.997 "between 0.95 and 1". It is therefore never narrower than Wilson's for as many courses as were followed.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.numerics.share_limits import logit_interval, wilson

Floats = NDArray[np.float64]
# After these nothing more can happen: who got there is known to the end.
_FINAL = ("ended", "dead")


def followed(moves: pl.DataFrame, days: Floats, since: float = 0.0, *, origin: str | None = None) -> Floats:
    """Return how many courses' worth was seen of the time from day `since` to `days` after it, (T,).

    One followed through, or to its end, is one; one followed half of the time a half.

    Parameters
    ----------
    moves
        ``from_state, to_state, start_day, stop_day, n``.
    origin
        Only moves out of this state count, and whoever left it is known to the end.
    """
    mine = moves if origin is None else moves.filter(pl.col("from_state") == origin)
    start, stop, n = (mine[c].cast(pl.Float64).to_numpy()[:, None] for c in ("start_day", "stop_day", "n"))
    known = pl.col("to_state").is_in(_FINAL) if origin is None else ~pl.col("to_state").is_in([origin, "alive"])
    over = mine.select(known).to_series().to_numpy()[:, None]
    upto = since + np.maximum(days, 1e-9)[None, :]
    seen = np.clip(np.minimum(stop, upto) - np.maximum(start, since), 0.0, None)
    seen += np.where(over & (stop > since), np.clip(upto - stop, 0.0, None), 0.0)
    return np.asarray((n * seen).sum(axis=0) / (upto[0] - since))


def share_limits(
    value: Floats, error: Floats, n: Floats, confidence: float, courses: float = np.inf
) -> tuple[Floats, Floats]:
    """Return limits of probabilities `value` with standard errors `error`, told by `n` courses; shapes alike.

    `courses` is how many the model was fitted to. On the logit scale, but not narrower than Wilson's; where nothing was
    seen to happen, or all, exact (binomial).
    """
    low, high = logit_interval(value, error, 1.0, confidence, courses)
    least, most = wilson(np.clip(value, 0.0, 1.0), n, confidence)
    bound = ((1 - confidence) / 2) ** (1 / np.maximum(n, 1e-9))
    low = np.where(value <= 0, 0.0, np.where(value >= 1, bound, np.fmin(low, least)))
    return low, np.where(value >= 1, 1.0, np.where(value <= 0, 1 - bound, np.fmax(high, most)))
