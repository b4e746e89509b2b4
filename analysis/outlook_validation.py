"""Validation of an outlook: courses of a stage predicted from those of other patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.disclosure import POLICY
from analysis.numerics.laws import mid_ranks, normal_quantile
from analysis.numerics.weighting import effective_sample_size
from analysis.outlook_likeness import FEWEST_ALIKE, Floats, Seen, alike, sorted_quantile
from analysis.result import check

Bools = NDArray[np.bool_]

# The checks, by which others find them.
PREDICTED, INSIDE, GAP = (
    "courses predicted from others", "share within the 10-90 % range", "calibration in the large",
)  # fmt: skip
THIRDS, APART = "calibration by thirds", "discrimination within the stage"
# Of which shares of a visit, in order.
SHARES = ("in response", "sustained", "response lost", "worse", "ended")
_FOLDS = 5
_MOST_HELD_OUT = 1500


def validate(known: dict[str, NDArray[Any]], seen: list[Seen], worse: float, confidence: float) -> list[dict[str, Any]]:
    """Predict courses of the stage from those of other patients: is the range right, and are the chances?

    Who was seen stands for those alike who were not, among those predicted and those they are predicted from. `worse`
    says by how many points a course is worse.
    """
    at = min(seen, key=lambda s: abs(s.day - 365))
    scored = np.flatnonzero(at.scored)
    known = {name: values[at.place] for name, values in known.items()}
    rng = np.random.default_rng(0)
    fold = rng.integers(0, _FOLDS, int(at.patient.max()) + 1)[at.patient]
    test = np.arange(len(at.state))
    test = test if len(test) <= _MOST_HELD_OUT else np.sort(rng.choice(test, _MOST_HELD_OUT, replace=False))
    scored = scored[np.argsort(at.improvement[scored], kind="stable")]
    told = chances(at, worse)
    # Sums of weights that chances are of: those with the event, then those it is of.
    sums = np.column_stack([t.stands * t.event for t in told] + [t.stands for t in told])
    others = [np.flatnonzero(fold != f) for f in range(_FOLDS)]
    order = [scored[fold[scored] != f] for f in range(_FOLDS)]
    predicted, inside = np.full((len(at.state), len(told)), np.nan), np.full(len(at.state), np.nan)
    for i in test:
        one = {name: values[i] for name, values in known.items()}
        weight = np.zeros(len(at.state))
        train = others[fold[i]]
        weight[train] = alike({n: v[train] for n, v in known.items()}, one) if known else 1.0
        # A fold less than the whole, from which an answer is made.
        if weight[at.scored].sum() < FEWEST_ALIKE * (1 - 1 / _FOLDS):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            predicted[i] = np.divide(*np.split(weight @ sums, 2))
        if at.scored[i]:
            near = order[fold[i]]
            low, high = sorted_quantile(at.improvement[near], weight[near] * at.stands_for[near], np.array([0.1, 0.9]))
            inside[i] = low <= at.improvement[i] <= high
    there = np.flatnonzero(~np.isnan(inside))
    checks = [check(PREDICTED, len(there), ">= 30", len(there) >= 30, at.visit)]
    if len(there) < 30:
        return checks
    covered = float(np.average(inside[there], weights=at.stands_for[there]))
    near_enough = abs(covered - 0.8) <= 0.1
    checks.append(check(INSIDE, covered, "0.7 to 0.9", near_enough, "cross-validated by patient"))
    apart: list[dict[str, Any]] = []
    for name, (t, score) in zip(SHARES, zip(told, predicted.T, strict=True), strict=True):
        of = np.flatnonzero((t.stands > 0) & ~np.isnan(score))
        # Scores without a judged response: of nobody, or of few, there is no share.
        if len(of) < POLICY.smallest_cell:
            continue
        event, weight = t.event[of].astype(float), t.stands[of]
        if name == "in response":
            gap = abs(float(np.average(score[of], weights=weight)) - float(np.average(event, weights=weight)))
            checks.append(check(GAP, gap, "<= 0.05", gap <= 0.05, "predicted against seen share"))
        # With nothing named everybody is predicted alike, and there is nothing to tell apart.
        if known:
            checks.append(calibration(name, score[of], event, weight, fold[of]))
        if known and name == "in response":
            apart = discrimination(score[of], event > 0, fold[of], confidence)
    return [*checks, *apart]


@dataclass(frozen=True)
class Chance:
    """One of the shares of a visit: who has it (n,), and for how many each counts whom it is of, 0 for the others."""

    event: Bools
    stands: Floats


def chances(at: Seen, worse: float) -> list[Chance]:
    """Return the shares of a visit in the order of :data:`SHARES`, each of those it is of."""
    told = at.going & ~np.isnan(at.sustained)
    known = at.going * at.stands_for
    return [
        Chance(at.state == "in_response", known),
        Chance(np.nan_to_num(at.sustained) == 1, told * at.stands_for),
        Chance(at.state == "response_lost", known),
        Chance(at.scored & (np.nan_to_num(at.improvement) <= -worse), at.scored * at.stands_for),
        Chance(at.state == "ended", np.ones(len(at.state))),
    ]


def calibration(name: str, score: Floats, event: Floats, weight: Floats, fold: NDArray[np.int64]) -> dict[str, Any]:
    """Return the check of one chance by thirds of what was predicted: the largest gap to what was seen.

    Thirds are of each fold: between folds predictions differ by what was left out, and go against it.
    It passes where each gap is within five points or what chance leaves (three comparisons, Bonferroni). A third with
    few of one kind is not told: it would say of single patients what became of them.
    """
    what, limit = f"{THIRDS}: {name}", "<= 0.05, or chance"
    folds = [np.flatnonzero(fold == f) for f in np.unique(fold)]
    cut = [np.array_split(of[np.argsort(score[of], kind="stable")], 3) for of in folds]
    parts = [np.concatenate(third) for third in zip(*cut, strict=True)]
    fewest = min(min(event[p].sum(), len(p) - event[p].sum()) for p in parts)
    if fewest < POLICY.smallest_cell:
        return check(what, None, limit, True, f"not told: in a third fewer than {POLICY.smallest_cell} had it, or not")
    gaps, chance, said = [], [], []
    for p in parts:
        expected, found = (float(np.average(v[p], weights=weight[p])) for v in (score, event))
        size = effective_sample_size(weight[p])
        gaps.append(abs(found - expected))
        chance.append(float(normal_quantile(1 - 0.025 / 3)) * np.sqrt(expected * (1 - expected) / size))
        said.append((expected, found))
    passed = all(g <= max(0.05, c) for g, c in zip(gaps, chance, strict=True))
    words = [", ".join(f"{100 * pair[k]:.0f}" for pair in said) for k in (0, 1)]
    return check(what, max(gaps), limit, passed, f"predicted {words[0]} %, seen {words[1]} %, from the lowest third")


def discrimination(score: Floats, event: Bools, fold: NDArray[np.int64], confidence: float) -> list[dict[str, Any]]:
    """Return the check that responders were told from others better than by chance; none without pairs to compare."""
    found = _within_folds(score, event, fold)
    if found is None:
        return []
    area, error = found
    reach = float(normal_quantile(0.5 + confidence / 2)) * error
    low, high = max(area - reach, 0.0), min(area + reach, 1.0)
    better = low > 0.5
    note = (
        f"area under the curve for being in response, {100 * confidence:g} % CI {low:.2f} to {high:.2f}: "
        f"{'better' if better else 'no better'} than chance at telling courses of the stage apart"
    )
    return [check(APART, area, "limits above 0.5", better, note)]


def _within_folds(score: Floats, event: Bools, fold: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return the area under the curve from pairs of one fold, and its standard error (Hanley & McNeil 1982, eq. 2).

    Between folds predictions differ by what was left out.
    """
    areas, pairs, variances = [], [], []
    for f in np.unique(fold):
        here = fold == f
        yes, no = int(event[here].sum()), int((~event[here]).sum())
        if yes and no:
            a = auc(score[here], event[here])
            first, second = a / (2 - a) - a**2, 2 * a**2 / (1 + a) - a**2
            areas.append(a)
            pairs.append(yes * no)
            variances.append((a * (1 - a) + (yes - 1) * first + (no - 1) * second) / (yes * no))
    if not pairs:
        return None
    share = np.array(pairs) / sum(pairs)
    return float(share @ areas), float(np.sqrt(share**2 @ variances))


def auc(score: Floats, event: Bools) -> float:
    """Return the probability that a course with the event scored higher than one without (ties count half)."""
    ranks = mid_ranks(score)
    n = int(event.sum())
    return float((ranks[event].sum() - n * (n + 1) / 2) / (n * (len(event) - n)))
