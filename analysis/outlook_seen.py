"""Courses at planned visits, and for how many who were not seen each of those who were stands.

Who gained little stays away, so that percentiles and shares of those who came are too good. Each course with a change
at a visit counts 1 / (the probability of having been seen), from models of leaving and of missing the visit by the
change last seen, among the courses of the stage whose target goes on. Who had ended is known without coming.

References
----------
Robins, Rotnitzky & Zhao 1995 JASA 90:106; see :mod:`analysis.numerics.observation`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from analysis.numerics.observation import observation_weights
from analysis.outlook_likeness import Floats, Seen
from analysis.result import check

# Above it a few courses stand for all who left.
_LARGEST = 10.0


def by_visit(rows: pl.DataFrame, stage: pl.DataFrame, likeness: Floats) -> list[Seen]:
    """Return who was due at each visit of the courses of a stage, and for whom each seen one stands.

    Parameters
    ----------
    rows
        ``reduction.outlook_visit``.
    stage
        The courses of the stage, ``course_id``.
    likeness
        Of each of them to the profile, (its height,).
    """
    known = stage.select("course_id").with_columns(likeness=pl.Series(likeness)).with_row_index("place")
    mine = rows.join(known, on="course_id").sort("position", "course_id")
    out = []
    for (_,), at in mine.group_by("position", maintain_order=True):
        nobody = np.zeros(at.height)
        out.append(
            Seen(
                float(at["target_day"][0]), str(at["planned_visit"][0]),
                at["improvement"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
                at["state"].fill_null("not_seen").to_numpy().astype(str), at["course_id"].to_numpy(),
                at["likeness"].to_numpy(), (at["patient_id"].rank("dense") - 1).to_numpy().astype(np.int64),
                at["sustained"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
                at["place"].to_numpy().astype(np.int64), nobody,
            )
        )  # fmt: skip
    return weighted_for_observation(out)


def weighted_for_observation(seen: list[Seen]) -> list[Seen]:
    """Return the visits, in their order, with the weights of those seen at each."""
    if not seen:
        return []
    change = np.full((1 + max(int(at.place.max()) for at in seen), len(seen)), np.nan)
    for k, at in enumerate(seen):
        change[at.place[at.scored], k] = at.improvement[at.scored]
    out = []
    for k, at in enumerate(seen):
        stands, going = at.over.astype(float), ~at.over
        past = change[at.place[going]]
        if at.scored.any():
            one = np.ones((len(past), 1))
            stands[going] = observation_weights(one, past[:, : k + 1], (~np.isnan(past[:, k + 1 :])).any(axis=1)).weight
        out.append(replace(at, stands_for=stands))
    return out


def weight_check(seen: list[Seen]) -> dict[str, Any]:
    """Return the check of the largest weight that a course has for those not seen."""
    largest = max((float(at.stands_for.max(initial=1.0)) for at in seen), default=1.0)
    note = "for how many of those due one that was seen stands, at most"
    return check("largest weight for those not seen", largest, f"<= {_LARGEST:g}", largest <= _LARGEST, note)
