"""How far courses were followed: the day up to which a curve is worth a number, and days that nobody reached."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from registry.errors import UsageError

Floats = NDArray[np.float64]

# With fewer still followed one event moves the curve by a fifth of what is left of it, and more.
FEWEST_FOLLOWED = 5


def settled_to(day: Floats, lost: NDArray[np.bool_], count: Floats) -> float:
    """Return the last day to which at least five are followed, or no more than half were lost from sight before.

    A curve goes on to the last observation, and if that is an event it jumps by all that is left: of 221 courses, 28
    with an event, the last one followed can make "97 %". Where most are known to the end it may well be that.

    Parameters
    ----------
    day, lost, count
        Last day of each observation, whether it was lost from sight then (rather than had its event), and how many
        there are of it, each (n,).

    References
    ----------
    Pocock, Clayton & Altman 2002 Lancet 359:1686: curves end where few are left.
    """
    days, place = np.unique(day, return_inverse=True)
    here, gone = (np.bincount(place, weights=w, minlength=len(days)) for w in (count, count * lost))
    followed, before = np.cumsum(here[::-1])[::-1], np.cumsum(gone) - gone
    if 2 * gone.sum() <= here.sum():
        return float("inf")
    settled = days[(followed >= FEWEST_FOLLOWED) | (2 * before <= here.sum())]
    return float(settled.max(initial=0.0))


def followed_through(day: Floats, lost: NDArray[np.bool_], count: Floats, at: Floats) -> Floats:
    """Return how many were followed through the second half of the time to each day `at`, (T,), at least one.

    Who had an event is known to the end. What a curve says of a day where nothing happened, and how little it can say
    elsewhere, rests on them: sixty lost from sight after three months do not tell that nothing came by two years.

    Parameters
    ----------
    day, lost, count
        As :func:`settled_to`.
    at
        Days asked for, (T,).

    Notes
    -----
    With those watched on the very day a visit a week early would count for nothing (Dorey & Korn 1987 Stat Med 6:679
    take these); half of the time before it is the part in which they were last looked for.
    """
    out = np.empty(len(at))
    for i, t in enumerate(np.maximum(at, 1e-9)):
        seen = np.where(lost, np.clip((day - t / 2) / (t / 2), 0.0, 1.0), 1.0)
        out[i] = max(float(count @ seen), 1.0)
    return out


def check_followed(days: Iterable[float], seen: pl.Series, name: str) -> None:
    """Refuse days beyond the last on which anybody was `seen`, give or take a tenth: nothing could be said of them.

    Raises
    ------
    UsageError
        With the days, and about how long courses were followed: the last day itself is one patient's.
    """
    last = float(seen.cast(pl.Float64).max())  # type: ignore[arg-type]
    beyond = [f"{d:.0f}" for d in days if 0.9 * d > last]
    if beyond:
        raise UsageError(
            f"{name}: nobody was followed to day {', '.join(beyond)}. The last score is within "
            f"{np.ceil(12 * last / 365.25):.0f} months of the first session: name days up to then."
        )
