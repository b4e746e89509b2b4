"""The gate before the effect of a booster: what must hold before the number is shown, and what would be needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.booster_data import Prepared
from analysis.booster_model import Estimate
from analysis.numerics.emulation import Chances, decision_weights
from analysis.numerics.laws import normal_above
from analysis.numerics.structural import next_boosters
from analysis.numerics.weighting import effective_sample_size, linear, sandwich, standardised_difference
from analysis.result import check, row

Floats = NDArray[np.float64]

FEWEST_BOOSTS = 10
FEWEST_EVENTS = 10
LARGEST_DIFFERENCE = 0.1
SMALLEST_CHANCE = 0.01
LARGEST_SHARE_OUTSIDE = 0.05
SMALLEST_EFFECTIVE = 20.0
LARGEST_CENSORED = 0.6
# An outcome counts for a day asked for when it was seen within so many days of it.
NEAR_DAY = 60.0
_NEGATIVE_CONTROL_P = 0.01
_FEWEST_FOR_CONTROL = 50


@dataclass(frozen=True)
class Gate:
    """What the checks found.

    Attributes
    ----------
    checks
        Rows of the diagnostics frame.
    closed
        Why every number is withheld, empty if none is.
    strata
        Why the numbers of a stratum are withheld, by its code.
    balance
        Rows of curves for the love plot: ``balance_before`` and ``balance_after`` by covariate (in `note`).
    """

    checks: list[dict[str, Any]]
    closed: tuple[str, ...]
    strata: dict[str, str]
    balance: list[dict[str, Any]]


def judge(data: Prepared, whole: Estimate) -> Gate:
    """Check balance, overlap, effective sample size, numbers, censoring and the negative control."""
    checks: list[dict[str, Any]] = []
    closed: list[str] = []

    def add(name: str, value: float | None, limit: str, passed: bool, note: str, needed: str) -> None:
        checks.append(check(name, value, limit, passed, note))
        if not passed:
            shown = "" if value is None else f" {value:.3g}"
            closed.append(f"{name}{shown}, must be {limit}: {needed}")

    weight = _decision_weights(data, whole.chances)
    before, after, names = _balance(data, weight)
    worst = names[int(np.argmax(np.abs(after)))] if len(after) else "no covariate varies"
    largest = float(np.abs(after).max(initial=0.0))
    add(
        "largest standardised difference after weighting", largest, f"<= {LARGEST_DIFFERENCE}",
        largest <= LARGEST_DIFFERENCE, f"{worst}; before weighting {np.abs(before).max(initial=0.0):.2f}",
        "more decisions, or fewer covariates that nearly decide on the booster",
    )  # fmt: skip
    outside = _outside(data, whole)
    add(
        "share of decisions without overlap", outside, f"<= {LARGEST_SHARE_OUTSIDE}", outside <= LARGEST_SHARE_OUTSIDE,
        f"probability of the booster below {SMALLEST_CHANCE} or above {1 - SMALLEST_CHANCE}",
        "decisions for and against a booster in like situations: where it is always given, or never, none compares",
    )  # fmt: skip
    treated = data.arm
    for arm, label in ((treated, "boosted"), (~treated, "waiting")):
        size = effective_sample_size(weight[arm])
        add(
            f"effective sample size, {label}", size, f">= {SMALLEST_EFFECTIVE:.0f}", size >= SMALLEST_EFFECTIVE,
            f"{int(arm.sum())} decisions; largest weight {weight[arm].max(initial=0.0):.1f}",
            "more decisions, or better overlap: a few now carry the whole weight",
        )  # fmt: skip
    if data.plan.estimand == "per_protocol":
        censored = _censored_share(data)
        add(
            "share of follow-up artificially censored", censored, f"<= {LARGEST_CENSORED}",
            censored <= LARGEST_CENSORED, "waiting courses that were boosted later",
            "a shorter horizon, or the intention-to-treat estimand",
        )  # fmt: skip
    p, n = _negative_control(data, weight)
    add(
        "negative control, p", p, "information" if p is None else f">= {_NEGATIVE_CONTROL_P}",
        p is None or p >= _NEGATIVE_CONTROL_P,
        f"score at the first visit, before the decision, in {n} decisions: no booster can have changed it"
        if p is not None else f"needs {_FEWEST_FOR_CONTROL} decisions with three visits before; {n} have them",
        "what was known at the decision does not explain who was boosted: an unmeasured reason is likely",
    )  # fmt: skip
    strata = _strata(data, checks)
    if strata and len(strata) == len(np.unique(data.stratum)):
        closed.append("No stratum has enough: " + "; ".join(f"{s}: {why}" for s, why in strata.items()))
        strata = {}
    balance = [row("all", "balance_before", estimate=b, note=n) for n, b in zip(names, before.tolist(), strict=True)]
    balance += [row("all", "balance_after", estimate=a, note=n) for n, a in zip(names, after.tolist(), strict=True)]
    return Gate(checks, tuple(closed), strata, balance)


def overlap(data: Prepared, whole: Estimate) -> dict[str, Any]:
    """Return for figures the distribution of the probability of the booster by arm, and that of the weights."""
    p = whole.chances.treated[data.start]
    edges = np.linspace(0, 1, 21)
    weight = _decision_weights(data, whole.chances)
    shares = {
        label: (np.histogram(p[arm], edges)[0] / max(arm.sum(), 1)).round(4).tolist()
        for label, arm in (("boosted", data.arm), ("waiting", ~data.arm))
    }
    quantiles = {
        label: np.quantile(weight[arm], [0.01, 0.25, 0.5, 0.75, 0.99]).round(3).tolist() if arm.any() else []
        for label, arm in (("boosted", data.arm), ("waiting", ~data.arm))
    }
    return {"overlap_edges": edges.round(2).tolist(), "overlap_shares": shares, "weight_quantiles": quantiles}


def _decision_weights(data: Prepared, made: Chances) -> Floats:
    """Return the weight of each decision in its own arm, shape (t,)."""
    one, other, _ = decision_weights(data.start, data.visits, made, np.ones(len(data.visits.day)))
    return np.where(data.arm, one, other)


def standing_weights(data: Prepared, made: Chances) -> Floats:
    """Return weights (t,) under which each arm stands for all eligible decisions, as balance is judged."""
    return _for_all(data, _decision_weights(data, made))


def _for_all(data: Prepared, weight: Floats) -> Floats:
    """Return stabilised weights (t,) without the share of boosts that they leave each stratum."""
    size = np.bincount(data.stratum, minlength=len(data.strata))
    share = (np.bincount(data.stratum, data.arm, len(data.strata)) / np.maximum(size, 1))[data.stratum]
    return np.asarray(weight / np.maximum(np.where(data.arm, share, 1 - share), 1e-9))


def _balance(data: Prepared, weight: Floats) -> tuple[Floats, Floats, tuple[str, ...]]:
    x, arm = data.visits.x[data.start], data.arm
    if arm.sum() < 2 or (~arm).sum() < 2:
        return np.zeros(x.shape[1]), np.zeros(x.shape[1]), data.names
    return standardised_difference(x, arm), standardised_difference(x, arm, _for_all(data, weight)), data.names


def _outside(data: Prepared, whole: Estimate) -> float:
    chance = whole.chances.treated[data.start]
    return float(((chance < SMALLEST_CHANCE) | (chance > 1 - SMALLEST_CHANCE)).mean()) if len(chance) else 1.0


def _censored_share(data: Prepared) -> float:
    """Return the share of the waiting courses' time to the last day asked for that a later booster cut off."""
    waiting = data.start[~data.arm]
    if not len(waiting):
        return 0.0
    zero, last = data.visits.zero[waiting], data.plan.days[-1]
    until = np.minimum(np.minimum(data.ended_day[waiting], np.maximum(data.known[waiting], zero)) - zero, last)
    booster = np.minimum(next_boosters(data.visits, waiting)[0] - zero, until)
    total = float(until.sum())
    return float((until - booster).sum()) / total if total > 0 else 0.0


def _negative_control(data: Prepared, weight: Floats) -> tuple[float | None, int]:
    """Return the p-value of an effect of the booster on the score of the first visit, two or more before it."""
    early = data.visit_no[data.start] >= 3
    arm = data.arm[early]
    n = int(early.sum())
    if n < _FEWEST_FOR_CONTROL or arm.sum() < FEWEST_BOOSTS or (~arm).sum() < FEWEST_BOOSTS:
        return None, n
    rows = data.start[early]
    design = np.column_stack([arm.astype(float), data.visits.dummies[rows], data.visits.x[rows]])
    y, w = data.earliest[rows], weight[early]
    fit = linear(design, y, w)
    variance = sandwich(design, y - fit.fitted, w, fit.bread, data.patient[rows], small_sample=True)
    z = fit.coefficients[0] / np.sqrt(max(variance[0, 0], 1e-300))
    return float(2 * normal_above(abs(z))), n


def _strata(data: Prepared, checks: list[dict[str, Any]]) -> dict[str, str]:
    """Return the strata that have too little, with the reason; append a check for each."""
    why: dict[str, str] = {}

    def ask(code: str, name: str, value: int, least: int, note: str, reason: str) -> None:
        checks.append(check(f"{name} in {code}", value, f">= {least}", value >= least, note))
        if value < least:
            why.setdefault(code, reason)

    for i, code in enumerate(data.strata):
        arm = data.arm[data.stratum == i]
        if not len(arm):
            continue
        ask(code, "boosts", int(arm.sum()), FEWEST_BOOSTS, "eligible decisions for a booster",
            f"fewer than {FEWEST_BOOSTS} boosts")  # fmt: skip
        ask(code, "waiting decisions", int((~arm).sum()), FEWEST_BOOSTS, "eligible decisions against a booster",
            f"fewer than {FEWEST_BOOSTS} decisions against a booster")  # fmt: skip
        if data.plan.outcome == "risk":
            cut = data.spells
            # An end within the grace period stands in both arms and is one end.
            own = cut.event & (data.stratum[cut.trial] == i)
            ask(code, "ends", len(np.unique(cut.trial[own])), FEWEST_EVENTS, "in both arms together",
                f"fewer than {FEWEST_EVENTS} ends seen")  # fmt: skip
            continue
        if data.plan.outcome == "loss":
            lost = data.watched.event & (data.stratum[data.watched.trial] == i)
            several = len(np.unique(data.watched.trial[lost]))
            ask(code, "losses", several, FEWEST_EVENTS, "or ends, in both arms together",
                f"fewer than {FEWEST_EVENTS} losses seen")  # fmt: skip
        records = data.records
        for day in data.plan.days:
            near = (np.abs(records.time - day) <= NEAR_DAY) & (data.stratum[records.trial] == i)
            about = f"within {NEAR_DAY:.0f} days of day {day:.0f}"
            seen = min(len(np.unique(records.trial[near & (records.arm == a)])) for a in (0, 1))
            ask(code, f"outcomes near day {day:.0f}", seen, FEWEST_BOOSTS, "in the smaller arm",
                f"fewer than {FEWEST_BOOSTS} outcomes {about} in one arm")  # fmt: skip
            if data.plan.outcome == "share":
                held = data.y[records.row[near]]
                fewer = int(min(held.sum(), (1 - held).sum()))
                ask(code, f"responses near day {day:.0f}", fewer, FEWEST_EVENTS, "or non-responses, in both arms",
                    f"fewer than {FEWEST_EVENTS} in response, or not, {about}")  # fmt: skip
    return why
