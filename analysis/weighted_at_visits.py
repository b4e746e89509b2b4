"""Shares in response at planned visits in which who was seen stands for those alike who were not.

Leaving depends on what was last seen: those who gained little stay away, and the share of those who came is too high.
Each course that was seen counts 1 / (the probability of having been seen), from models of leaving and of missing a
visit by stratum and improvement last seen. Who had ended is known without coming, and counts one.

References
----------
Robins, Rotnitzky & Zhao 1995 JASA 90:106 (weighted estimating equations); see :mod:`analysis.numerics.observation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.numerics.exact import exact_share, weighted_share
from analysis.numerics.laws import t_quantile
from analysis.numerics.observation import Observed, observation_weights, weighted_contrasts
from analysis.numerics.share_limits import logit_interval
from analysis.numerics.varying import UNVARYING

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# Stratum, or two with " - " between, and position of the visit.
Cell = tuple[str, int]


@dataclass(frozen=True)
class _Grid:
    """Courses by visits: in response 1, 0 or nan (n, T), improvement (n, T), due and over (n, T)."""

    state: Floats
    improvement: Floats
    due: Bools
    over: Bools
    stratum: NDArray[np.str_]
    patient: NDArray[np.int64]


@dataclass(frozen=True)
class Weighted:
    """Estimates with limits by cell, the largest weight of a course by position of the visit, and notes by cell."""

    of: dict[Cell, tuple[float, float, float]]
    largest: dict[int, float]
    notes: dict[Cell, str]


_FOUR_FIFTHS = 0.8
# Of cells in which nearly all of those seen, or none, are in response.
_EXACT = "nearly all or none of those seen: weighted, exact limits of as many courses as the weights leave"
_SHORT = "; they stand for less than four fifths of those due: hardly anybody like the others was seen"
_NOBODY = "not weighted, since nobody was seen whose target goes on; exact limits, courses taken as independent"


def weighted_shares(
    rows: pl.DataFrame, cells: list[Cell], order: list[str], confidence: float, few: Sequence[Cell] = ()
) -> Weighted:
    """Return weighted shares in response of the cells, and their differences from the first stratum.

    Parameters
    ----------
    rows
        ``reduction.state_visit``.
    cells
        Strata and positions of visits at which there is enough of either answer.
    order
        The strata with anybody seen, in their order.
    few
        Cells of which nearly all or none of those seen are in response: weighted as the others, with exact limits.
    """
    grid, positions = _grid(rows), np.sort(rows["position"].unique().to_numpy())
    of: dict[Cell, tuple[float, float, float]] = {}
    largest, notes = {}, {}
    for t, position in enumerate(positions.tolist()):
        strata = [s for s in order if (s, position) in cells]
        rare = [s for s in order if (s, position) in few]
        here = np.flatnonzero(grid.due[:, t] & np.isin(grid.stratum, [*strata, *rare]))
        if not len(here):
            continue
        made = _weights(grid, here, t)
        largest[position] = float(made.weight.max())
        for stratum in rare:
            of[stratum, position], notes[stratum, position] = _exact(grid, here, t, stratum, made, confidence)
        if not strata:
            continue
        dummies = (grid.stratum[here, None] == np.array([*strata, *rare])).astype(float)
        one = np.eye(len(strata), dummies.shape[1])
        contrasts = np.concatenate([one, one[1:] - one[0]] if strata[0] == order[0] else [one])
        columns, patient = np.arange(dummies.shape[1]), np.unique(grid.patient[here], return_inverse=True)[1]
        state = np.nan_to_num(grid.state[here, t])
        value, error, left = weighted_contrasts(dummies, state, columns, contrasts, patient, made)
        low, high = logit_interval(value[: len(strata)], error[: len(strata)], 1.0, confidence, left + 1)
        reach = t_quantile(0.5 + confidence / 2, left) * error[len(strata) :]
        gap = value[len(strata) :]
        limits = np.concatenate([low, np.maximum(gap - reach, -1)]), np.concatenate([high, np.minimum(gap + reach, 1)])
        names = [*strata, *(f"{s} - {strata[0]}" for s in strata[1:])]
        # Without the first stratum there are no differences from it.
        for name, numbers in zip(
            names, zip(value.tolist(), *map(np.ndarray.tolist, limits), strict=True), strict=False
        ):
            of[name, position] = numbers
            if np.isnan(numbers[1]):
                notes[name, position] = UNVARYING
    return Weighted(of, largest, notes)


def _exact(
    grid: _Grid, here: NDArray[np.int64], t: int, stratum: str, made: Observed, confidence: float
) -> tuple[tuple[float, float, float], str]:
    """Return the weighted share of a stratum nearly all or none of whose seen are in response, and its note."""
    mine = grid.stratum[here] == stratum
    seen, over = mine & (made.weight > 0), grid.over[here, t]
    state = grid.state[here[seen], t]
    if (mine & ~over).any() and not (seen & ~over).any():
        return exact_share(float(state.sum()), len(state), confidence), _NOBODY
    patient = np.unique(grid.patient[here[seen]], return_inverse=True)[1]
    note = _EXACT if made.weight[seen].sum() >= _FOUR_FIFTHS * mine.sum() else _EXACT + _SHORT
    return weighted_share(state, made.weight[seen], patient, confidence), note


def weigh(frame_rows: list[dict[str, Any]], made: Weighted, day_of: dict[float, int]) -> list[dict[str, Any]]:
    """Return rows of shares and differences with the weighted numbers in place of those of whoever came."""
    out = []
    for r in frame_rows:
        found = made.of.get((r["stratum"], day_of.get(r["time_day"], -1)))
        if found and r["quantity"] in ("share_in_response", "difference") and r["estimate"] is not None:
            note = made.notes.get((r["stratum"], day_of[r["time_day"]]), r["note"])
            r = {**r, **dict(zip(("estimate", "low", "high"), found, strict=True)), "note": note}
        out.append(r)
    return out


def _grid(rows: pl.DataFrame) -> _Grid:
    course, position = (rows[c].rank("dense").to_numpy().astype(np.int64) - 1 for c in ("course_id", "position"))
    shape = (int(course.max()) + 1, int(position.max()) + 1)

    def spread(column: str, empty: float) -> Floats:
        out = np.full(shape, empty)
        out[course, position] = rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        return out

    due = np.zeros(shape, dtype=bool)
    due[course, position] = True
    first = rows.unique("course_id").sort("course_id")
    return _Grid(spread("in_response", np.nan), spread("improvement", np.nan), due, spread("over", 0.0) > 0,
                 first["stratum"].to_numpy().astype(str), first["patient_id"].to_numpy())  # fmt: skip


def _weights(grid: _Grid, here: NDArray[np.int64], t: int) -> Observed:
    """Return the weights at visit `t` of the courses `here`: of those who go on from the models, of those over one."""
    over = grid.over[here, t]
    going = here[~over]
    if not len(going):
        return Observed(np.ones(len(here)), np.ones(len(here)), np.zeros((len(here), 0)))
    known = ~np.isnan(grid.state[going]) & ~grid.over[going]
    # Improvement where a state was seen; where its scale was not, what was seen of it before, at first none.
    held = np.zeros(len(going))
    history = np.full((len(going), t + 1), np.nan)
    for k in range(t + 1):
        told = grid.improvement[going, k]
        held = np.where(known[:, k] & ~np.isnan(told), told, held)
        history[:, k] = np.where(known[:, k], held, np.nan)
    strata = np.unique(grid.stratum[here])
    z = np.column_stack([np.ones(len(going)), grid.stratum[going, None] == strata[1:]])
    made = observation_weights(z, history, known[:, t + 1 :].any(axis=1))
    weight, probability = np.ones(len(here)), np.ones(len(here))
    scores = np.zeros((len(here), made.scores.shape[1]))
    weight[~over], probability[~over], scores[~over] = made.weight, made.probability, made.scores
    return Observed(weight, probability, scores)
