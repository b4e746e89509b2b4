"""The gate before the effect of a booster: what must hold before the number is shown, and what would be needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.booster_data import Prepared
from analysis.booster_model import Estimate
from analysis.numerics.arm_weights import decision_weights, own_chance
from analysis.numerics.emulation import Chances
from analysis.numerics.laws import normal_above
from analysis.numerics.structural import next_boosters
from analysis.numerics.weighting import effective_clusters, logistic, sandwich, standardised_difference
from analysis.result import check, row

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEWEST_BOOSTS = 10
FEWEST_EVENTS = 10
LARGEST_DIFFERENCE = 0.1
SMALLEST_CHANCE = 0.01
LARGEST_SHARE_OUTSIDE = 0.05
SMALLEST_EFFECTIVE = 20.0
LARGEST_CENSORED = 0.6
# Within a stratum: a quarter of a standard deviation (Stuart 2010 Stat Sci 25:1), or what chance leaves in so few
# patients. Simulated: of strata as they should be these withhold one in a hundred, of those in which the booster was
# given by a rule and nothing else more than 95 (100 from 600 patients on).
LARGEST_DIFFERENCE_WITHIN = 0.25
_CHANCE_ERRORS = 2.5
LARGEST_SHARE_OUTSIDE_WITHIN = 0.25
SMALLEST_EFFECTIVE_WITHIN = 10.0
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
        Rows of curves for the love plot, by covariate (in `note`): ``balance_before`` and ``balance_after``
        overall, and ``balance_after_within``, the largest of a stratum's after weighting.
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
    within: list[dict[str, Any]] = []
    strata, apart = _strata(data, weight, within)
    # A stratum without a comparison is withheld and not held against the others; without any all are looked at.
    shown = ~np.isin(data.stratum, apart)
    shown = shown if shown.any() else ~shown
    names, before, after = data.names, _balance(data, None, shown), _balance(data, weight, shown)
    worst = names[int(np.argmax(np.abs(after)))] if len(after) else "no covariate varies"
    largest = float(np.abs(after).max(initial=0.0))
    add(
        "largest standardised difference after weighting", largest, f"<= {LARGEST_DIFFERENCE}",
        largest <= LARGEST_DIFFERENCE, f"{worst}; before weighting {np.abs(before).max(initial=0.0):.2f}",
        "more decisions, or fewer covariates that nearly decide on the booster",
    )  # fmt: skip
    chance = whole.chances.treated[data.start][shown]
    outside = float(((chance < SMALLEST_CHANCE) | (chance > 1 - SMALLEST_CHANCE)).mean())
    add(
        "share of decisions without overlap", outside, f"<= {LARGEST_SHARE_OUTSIDE}", outside <= LARGEST_SHARE_OUTSIDE,
        f"probability of the booster below {SMALLEST_CHANCE} or above {1 - SMALLEST_CHANCE}",
        "decisions for and against a booster in like situations: where it is always given, or never, none compares",
    )  # fmt: skip
    for arm, label in ((data.arm & shown, "boosted"), (~data.arm & shown, "waiting")):
        size = effective_clusters(weight[arm], data.patient[data.start][arm])
        add(
            f"effective sample size, {label}", size, f">= {SMALLEST_EFFECTIVE:.0f}", size >= SMALLEST_EFFECTIVE,
            f"patients, of {int(arm.sum())} decisions; largest weight {weight[arm].max(initial=0.0):.1f}",
            "more decisions, or better overlap: a few now carry the whole weight",
        )  # fmt: skip
    if data.plan.estimand == "per_protocol":
        censored = _censored_share(data)
        add(
            "share of follow-up artificially censored", censored, f"<= {LARGEST_CENSORED}",
            censored <= LARGEST_CENSORED, "waiting courses that were boosted later",
            "a shorter horizon, or the intention-to-treat estimand",
        )  # fmt: skip
    p, n = _negative_control(data)
    add(
        "negative control, p", p, "information" if p is None else f">= {_NEGATIVE_CONTROL_P}",
        p is None or p >= _NEGATIVE_CONTROL_P,
        f"score at the first visit, in {n} decisions two visits later or more: given what was known then it decides "
        "on no booster; only strong reasons, or many decisions, show: to pass says little"
        if p is not None else f"needs {_FEWEST_FOR_CONTROL} decisions with three visits before; {n} have them",
        "what was known at the decision does not explain who was boosted: an unmeasured reason is likely",
    )  # fmt: skip
    checks += within
    if strata and len(strata) == len(np.unique(data.stratum)):
        closed.append("No stratum has enough: " + "; ".join(f"{s}: {why}" for s, why in strata.items()))
        strata = {}
    return Gate(checks, tuple(closed), strata, _balance_rows(data, weight))


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


def _balance(data: Prepared, weight: Floats | None, here: Bools) -> Floats:
    """Return standardised differences (p,) among the decisions `here` (t,), before (no `weight`) or after weighting."""
    x, arm = data.visits.x[data.start][here], data.arm[here]
    if arm.sum() < 2 or (~arm).sum() < 2:
        return np.zeros(x.shape[1])
    return standardised_difference(x, arm, None if weight is None else _for_all(data, weight)[here])


def _balance_rows(data: Prepared, weight: Floats) -> list[dict[str, Any]]:
    everybody = np.ones(len(data.start), dtype=bool)
    within = np.array([_balance(data, weight, data.stratum == s) for s in range(len(data.strata))])
    found = {
        "balance_before": _balance(data, None, everybody),
        "balance_after": _balance(data, weight, everybody),
        "balance_after_within": np.take_along_axis(within, np.abs(within).argmax(axis=0)[None], axis=0)[0],
    }
    return [row("all", kind, estimate=float(v), note=name) for kind, values in found.items()
            for name, v in zip(data.names, values, strict=True)]  # fmt: skip


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


def _negative_control(data: Prepared) -> tuple[float | None, int]:
    """Return the p-value of the score of the first visit, two or more before, in the model of who was boosted.

    At every decision without an earlier booster, also those that the data cut leaves too little time for: given what
    was known it decides on no booster, unless through a reason that worsened both. The best score so far, which is
    often that very one, is that of the visits since.
    """
    rows = data.first_decisions[data.visit_no[data.first_decisions] >= 3]
    arm, n = data.visits.treated[rows], len(rows)
    if n < _FEWEST_FOR_CONTROL or min(arm.sum(), (~arm).sum()) < FEWEST_BOOSTS:
        return None, n
    x = data.visits.x[rows][:, [name != "best" for name in data.names]]
    told = np.column_stack([data.earliest[rows], data.best_since[rows]])
    told = (told - told.mean(axis=0)) / np.maximum(told.std(axis=0), 1e-9)
    design = np.column_stack([told, data.visits.dummies[rows], x])
    fit = logistic(design, arm.astype(float), penalty=1e-6)
    variance = sandwich(
        design, arm - fit.fitted, np.ones(n), fit.bread, data.patient[rows], small_sample=True
    )  # fmt: skip
    z = fit.coefficients[0] / np.sqrt(max(variance[0, 0], 1e-300))
    return float(2 * normal_above(abs(z))), n


def _strata(data: Prepared, weight: Floats, checks: list[dict[str, Any]]) -> tuple[dict[str, str], list[int]]:
    """Return the strata withheld, with the reason, and those whose arms do not compare; append the checks."""
    why: dict[str, str] = {}
    apart: list[int] = []
    patient, records = data.patient[data.start], data.records

    def ask(code: str, name: str, value: float, least: float, note: str, reason: str) -> None:
        checks.append(check(f"{name} in {code}", value, f">= {least:.0f}", value >= least, note))
        if value < least:
            why.setdefault(code, reason)

    for i, code in enumerate(data.strata):
        here = data.stratum == i
        if not here.any():
            continue
        for arm, name, who in (
            (data.arm, "boosts", "patients with a decision for a booster"),
            (~data.arm, "waiting decisions", "patients with a decision against a booster"),
        ):
            several = len(np.unique(patient[here & arm]))
            ask(code, name, several, FEWEST_BOOSTS, f"eligible: {who}", f"fewer than {FEWEST_BOOSTS} {who}")
        if not _compared(data, weight, here, code, ask, checks, why):
            apart.append(i)
        if data.plan.outcome == "risk":
            cut = data.spells
            # An end within the grace period stands in both arms and is one end; so are those of one patient's two.
            own = cut.event & here[cut.trial]
            ask(code, "ends", len(np.unique(patient[cut.trial[own]])), FEWEST_EVENTS, "patients, in both arms together",
                f"fewer than {FEWEST_EVENTS} ends seen")  # fmt: skip
            continue
        if data.plan.outcome == "loss":
            lost = data.watched.event & here[data.watched.trial]
            several = len(np.unique(patient[data.watched.trial[lost]]))
            ask(code, "losses", several, FEWEST_EVENTS, "or ends: patients, in both arms together",
                f"fewer than {FEWEST_EVENTS} losses seen")  # fmt: skip
        for day in data.plan.days:
            near = (np.abs(records.time - day) <= NEAR_DAY) & here[records.trial]
            about = f"within {NEAR_DAY:.0f} days of day {day:.0f}"
            seen = min(len(np.unique(patient[records.trial[near & (records.arm == a)]])) for a in (0, 1))
            ask(code, f"outcomes near day {day:.0f}", seen, FEWEST_BOOSTS, "patients, in the smaller arm",
                f"fewer than {FEWEST_BOOSTS} outcomes {about} in one arm")  # fmt: skip
            if data.plan.outcome == "share":
                held, whose = data.y[records.row[near]] > 0, patient[records.trial[near]]
                fewer = min(len(np.unique(whose[held])), len(np.unique(whose[~held])))
                ask(code, f"responses near day {day:.0f}", fewer, FEWEST_EVENTS, "patients, or not in response",
                    f"fewer than {FEWEST_EVENTS} in response, or not, {about}")  # fmt: skip
    return why, apart


def _compared(
    data: Prepared, weight: Floats, here: Bools, code: str, ask: Callable[..., None], checks: list[dict[str, Any]],
    why: dict[str, str],
) -> bool:  # fmt: skip
    """Check effective size, balance and overlap within a stratum; return whether the latter two hold.

    What holds overall may hold in no stratum, and the numbers are by stratum.
    """
    patient, sizes = data.patient[data.start], []
    on = {"boosted": "the weight of those boosted lies on", "waiting": "the weight of those waiting lies on"}
    for arm, label in ((data.arm, "boosted"), (~data.arm, "waiting")):
        sizes.append(effective_clusters(weight[here & arm], patient[here & arm]))
        ask(code, f"effective sample size, {label}", sizes[-1], SMALLEST_EFFECTIVE_WITHIN, "patients",
            f"{on[label]} fewer than {SMALLEST_EFFECTIVE_WITHIN:.0f} patients: more decisions, or better overlap, "
            "would be needed")  # fmt: skip
    if min(sizes) < 1:
        return True
    off = _balance(data, weight, here)
    limit = max(LARGEST_DIFFERENCE_WITHIN, _CHANCE_ERRORS * float(np.sqrt(1 / sizes[0] + 1 / sizes[1])))
    largest, worst = float(np.abs(off).max(initial=0.0)), data.names[int(np.abs(off).argmax())] if len(off) else ""
    note = f"{worst}; a quarter, or {_CHANCE_ERRORS} standard errors of so few patients"
    checks.append(check(
        f"largest standardised difference after weighting in {code}", largest, f"<= {limit:.2f}", largest <= limit, note
    ))  # fmt: skip
    if largest > limit:
        why.setdefault(code, f"boosted and waiting differ in {worst} after weighting: more decisions, or fewer "
                             "covariates that nearly decide on the booster, would be needed")  # fmt: skip
    chance = own_chance(data.visits, data.start[here])
    outside = float(((chance < SMALLEST_CHANCE) | (chance > 1 - SMALLEST_CHANCE)).mean())
    checks.append(check(
        f"share of decisions without overlap in {code}", outside, f"<= {LARGEST_SHARE_OUTSIDE_WITHIN}",
        outside <= LARGEST_SHARE_OUTSIDE_WITHIN, "by a model of its own decisions alone",
    ))  # fmt: skip
    if outside > LARGEST_SHARE_OUTSIDE_WITHIN:
        why.setdefault(code, "a booster is nearly always, or never, given in like situations: decisions for and "
                             "against one would be needed")  # fmt: skip
    return largest <= limit and outside <= LARGEST_SHARE_OUTSIDE_WITHIN
