"""Validation of an outlook: courses of a stage predicted from those of other patients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.laws import mid_ranks
from analysis.outlook_likeness import FEWEST_ALIKE, Floats, Seen, alike, sorted_quantile
from analysis.result import check

Bools = NDArray[np.bool_]

# The checks, by which others find them.
PREDICTED, INSIDE, GAP = (
    "courses predicted from others", "share within the 10-90 % range", "calibration in the large",
)  # fmt: skip
_FOLDS = 5
_MOST_HELD_OUT = 1500


def validate(known: dict[str, NDArray[Any]], seen: list[Seen]) -> list[dict[str, Any]]:
    """Predict courses of the stage from those of other patients: does the range hold eight in ten?

    Who was seen stands for those alike who were not, among those predicted and those they are predicted from.
    """
    at = min(seen, key=lambda s: abs(s.day - 365))
    scored = np.flatnonzero(at.scored)
    known = {name: values[at.place] for name, values in known.items()}
    rng = np.random.default_rng(0)
    fold = rng.integers(0, _FOLDS, int(at.patient.max()) + 1)[at.patient]
    test = scored if len(scored) <= _MOST_HELD_OUT else rng.choice(scored, _MOST_HELD_OUT, replace=False)
    scored = scored[np.argsort(at.improvement[scored], kind="stable")]
    trains = [scored[fold[scored] != f] for f in range(_FOLDS)]
    responded = at.state == "in_response"
    inside, predicted, truth, folds, stands = [], [], [], [], []
    for i in test:
        train = trains[fold[i]]
        one = {name: values[i] for name, values in known.items()}
        weight = alike({n: v[train] for n, v in known.items()}, one) if known else np.ones(len(train))
        # A fold less than the whole, from which an answer is made.
        if weight.sum() < FEWEST_ALIKE * (1 - 1 / _FOLDS):
            continue
        weight = weight * at.stands_for[train]
        low, high = sorted_quantile(at.improvement[train], weight, np.array([0.1, 0.9]))
        inside.append(low <= at.improvement[i] <= high)
        predicted.append(weight[responded[train]].sum() / weight.sum())
        truth.append(responded[i])
        folds.append(fold[i])
        stands.append(at.stands_for[i])
    checks = [check(PREDICTED, len(inside), ">= 30", len(inside) >= 30, at.visit)]
    if len(inside) < 30:
        return checks
    covered, event, score = float(np.average(inside, weights=stands)), np.array(truth), np.array(predicted)
    near = abs(covered - 0.8) <= 0.1
    checks.append(check(INSIDE, covered, "0.7 to 0.9", near, "cross-validated by patient"))
    gap = abs(float(np.average(score, weights=stands)) - float(np.average(event, weights=stands)))
    checks.append(check(GAP, gap, "<= 0.05", gap <= 0.05, "predicted against seen share"))
    area = _within_folds(score, event, np.array(folds))
    # With nothing named everybody is predicted alike, and there is nothing to tell apart.
    if known and area is not None:
        note = "area under the curve for being in response; 0.5 tells nobody apart within the stage"
        checks.append(check("discrimination within the stage", area, "information", True, note))
    return checks


def _within_folds(score: Floats, event: Bools, fold: NDArray[np.int64]) -> float | None:
    """Return the area under the curve from pairs of one fold: between folds predictions differ by what was left out."""
    total, pairs = 0.0, 0
    for f in np.unique(fold):
        here = fold == f
        n = int(event[here].sum()) * int((~event[here]).sum())
        if n:
            total, pairs = total + n * auc(score[here], event[here]), pairs + n
    return total / pairs if pairs else None


def auc(score: Floats, event: Bools) -> float:
    """Return the probability that a course with the event scored higher than one without (ties count half)."""
    ranks = mid_ranks(score)
    n = int(event.sum())
    return float((ranks[event].sum() - n * (n + 1) / 2) / (n * (len(event) - n)))
