"""Rows of the results frame for the effect of a booster: both strategies and their difference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.booster_data import Prepared
from analysis.booster_gate import NEAR_DAY, Gate
from analysis.booster_model import Estimate
from analysis.cohort import Stratum
from analysis.numerics.arm_weights import decision_weights
from analysis.numerics.laws import hotelling_above, normal_quantile, t_quantile
from analysis.numerics.share_limits import difference_limits, limits_of_replicates
from analysis.numerics.weighting import e_value, effective_clusters
from analysis.result import row

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES = {"mean": "improvement", "share": "share_in_response", "risk": "end", "loss": "loss_or_end"}
# Days of which the curve is a share: in response, or free of loss.
_DAYS = {"share": "mean_days", "loss": "mean_days_free"}
# Below it a ratio, and the E-value made from it, would rest on the prior.
_SMALLEST_SHARE = 0.005


class Numbers:
    """Point estimates and resamples of one run, by stratum and overall.

    Attributes
    ----------
    treated, waiting
        Shape (s + 1, d): strata in order, then all courses, by grid day.
    treated_again, waiting_again
        The same of the resamples, shape (times, s + 1, d).
    """

    def __init__(self, data: Prepared, whole: Estimate, again: tuple[Floats, Floats], confidence: float):
        self.data, self.confidence = data, confidence
        self.grid = data.grid
        size = np.bincount(data.stratum, minlength=len(data.strata)).astype(float)
        share = size / max(size.sum(), 1)
        self.treated, self.waiting = (_with_all(c, share) for c in (whole.curves.treated, whole.curves.waiting))
        self.treated_again, self.waiting_again = (_with_all(c, share) for c in again)
        if data.plan.outcome != "risk":
            # On the day of the decision nothing has changed yet, and nobody is in response.
            for curve in (self.treated, self.waiting, self.treated_again, self.waiting_again):
                curve[..., 0] = 0.0
        # Courses, not decisions: a course is boosted once at most, and decided on several times.
        course = data.visits.course[data.start]
        self.boosted, self.waited = _courses(data, course)
        # Who was boosted later stands for waiting at the decisions before; two courses of a patient say little more.
        patient = data.patient[data.start]
        self.behind = _by_stratum(data, patient, data.arm), _by_stratum(data, patient, ~data.arm)
        self.factor, self.size = _small_sample(data, whole)

    def at(self, day: float) -> int:
        """Return the position of `day` in the grid."""
        return int(np.searchsorted(self.grid, day))

    def difference(self, s: int, d: int) -> tuple[float, float, float]:
        """Return the difference of stratum `s` at grid position `d`; of shares with limits from those of both sides."""
        one, other = self.treated_again[:, s, d], self.waiting_again[:, s, d]
        if self.data.plan.outcome == "mean":
            return self.around(
                float(self.treated[s, d] - self.waiting[s, d]), one - other, self.compared(s, d, (one, other))
            )
        return _apart(self.level(s, d, 0), self.level(s, d, 1), one, other)

    def around(self, value: float, again: Floats, reach: float) -> tuple[float, float, float]:
        """Return `value` with symmetric limits, `reach` resampled errors away."""
        far = float(reach * np.nanstd(again, ddof=1))
        return value, value - far, value + far

    def _day(self, d: int) -> int:
        """Return the position of the day asked for that grid position `d` belongs to."""
        return min(int(np.searchsorted(self.data.plan.days, self.grid[d])), len(self.data.plan.days) - 1)

    def reach(self, s: int, d: int, arm: int) -> float:
        """Return by how many resampled errors the limits of an arm reach."""
        k = self._day(d)
        return float(self.factor[arm, s, k] * t_quantile(0.5 + self.confidence / 2, self.size[arm, s, k] - 1))

    def together(self, s: int, d: int, sides: tuple[Floats, Floats]) -> tuple[float, float]:
        """Return factor and degrees of freedom of what compares both arms, from the resamples of each.

        Each arm's variance has its own factor and its own effective patients (Welch 1947, Satterthwaite 1946).
        """
        k = self._day(d)
        variance = np.array([np.nanvar(side, ddof=1) for side in sides])
        total = max(float(variance.sum()), 1e-300)
        wider = float(np.sqrt(max((self.factor[:, s, k] ** 2 * variance).sum(), total) / total))
        left = np.maximum(self.size[:, s, k] - 1, 1)
        return wider, max(total**2 / max(float((variance**2 / left).sum()), 1e-300), 1.0) if total > 1e-300 else 1.0

    def compared(self, s: int, d: int, sides: tuple[Floats, Floats]) -> float:
        """Return by how many resampled errors the limits of what compares both arms reach."""
        wider, left = self.together(s, d, sides)
        return wider * float(t_quantile(0.5 + self.confidence / 2, left))

    def level(self, s: int, d: int, arm: int) -> tuple[float, float, float]:
        """Return the outcome of one strategy with its limits."""
        curve, again = ((self.treated, self.treated_again), (self.waiting, self.waiting_again))[arm]
        value = float(curve[s, d])
        if self.data.plan.outcome == "mean":
            return self.around(value, again[:, s, d], self.reach(s, d, arm))
        if self.grid[d] == 0:
            return value, value, value
        low, high = limits_of_replicates(
            value, again[:, s, d], self.wider(s, d, arm), self.behind[arm][s], self.confidence
        )
        return value, low, high

    def wider(self, s: int, d: int, arm: int) -> float:
        """Return how much further than a normal law of the resampled error limits reach: few effective patients."""
        return self.reach(s, d, arm) / float(normal_quantile(0.5 + self.confidence / 2))

    def ratio(self, s: int, d: int) -> tuple[float, float, float]:
        """Return the ratio of shares or risks with limits that are symmetric on the log scale."""
        value = float(self.treated[s, d] / self.waiting[s, d])
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = np.log(self.treated_again[:, s, d]), np.log(self.waiting_again[:, s, d])
        finite = np.isfinite(one) & np.isfinite(other)
        one, other = one[finite], other[finite]
        reach = self.compared(s, d, (one, other)) if len(one) > 2 else np.nan
        _, low, high = self.around(np.log(value), one - other, reach) if len(one) > 2 else (0.0, np.nan, np.nan)
        return value, float(np.exp(low)), float(np.exp(high))

    def why_not(self, s: int) -> str | None:
        """Return why stratum `s` has no estimate at all, whatever is asked to be shown, or None."""
        data = self.data
        if s == len(data.strata):
            missing = [c for i, c in enumerate(data.strata) if (data.stratum == i).any() and self.why_not(i)]
            return f"not known in {', '.join(missing)}" if missing else None
        here = data.stratum == s
        if not data.arm[here].any():
            return "nobody was boosted"
        if data.arm[here].all():
            return "nobody was left waiting"
        records = data.records
        of = data.stratum[records.trial] == s
        if data.plan.outcome != "risk" and not all((of & (records.arm == a)).any() for a in (0, 1)):
            return "no outcome was seen in one arm"
        return None

    def spread(self) -> float:
        """Return the standard deviation of the change near the last day asked for, over all records."""
        records, change, _ = self.data.followed
        near = np.abs(records.time - self.data.plan.days[-1]) <= NEAR_DAY
        return float(np.std(change[near] if near.sum() > 1 else change))

    def mean_days(self, s: int, arm: int | None) -> tuple[float, float, float]:
        """Return the mean days in response, or free of loss, up to the last day asked for, or their difference."""
        up_to = self.grid <= self.data.plan.days[-1]
        grid = self.grid[up_to]

        def area(curve: Floats) -> Floats:
            held = 1 - curve[..., up_to] if self.data.plan.outcome == "loss" else curve[..., up_to]
            return np.asarray(np.trapezoid(held, grid, axis=-1))

        def told(curve: Floats, again: Floats, side: int) -> tuple[float, float, float]:
            n, wider = self.behind[side][s], self.wider(s, int(up_to.sum()) - 1, side)
            value, top = float(area(curve)), float(grid[-1])
            share = value / top
            # A mean of days is told better than a share of as many courses, but no better than by days that vary as
            # the curve says: those free of loss have the variance of a time cut off at the last day.
            least = np.inf
            if self.data.plan.outcome == "loss":
                varies = 2 * np.trapezoid(grid * (1 - curve[up_to]), grid) - value**2
                least = n * share * (1 - share) * top**2 / max(float(varies), 1e-9)
            low, high = limits_of_replicates(share, area(again) / top, wider, least, self.confidence)
            return value, low * top, high * top

        ones, twos = self.treated_again[:, s], self.waiting_again[:, s]
        sides = told(self.treated[s], ones, 0), told(self.waiting[s], twos, 1)
        return _apart(*sides, area(ones), area(twos)) if arm is None else sides[arm]


def effect_rows(numbers: Numbers, strata: list[Stratum], gate: Gate, show_anyway: bool) -> list[dict[str, Any]]:
    """Return levels, differences and ratios by stratum and day; withheld ones keep their row, with the reason."""
    plan = numbers.data.plan
    rows: list[dict[str, Any]] = []
    for s, code in _codes(numbers, strata):
        n, of = int(numbers.boosted[s]), int(numbers.boosted[s] + numbers.waited[s])
        if of == 0:
            rows += [row(code, "difference", time_day=d, n=0, denominator=0, note="nobody in this stratum")
                     for d in plan.days]  # fmt: skip
            continue
        why = numbers.why_not(s) or _why(gate, code, show_anyway)
        failed = gate.strata.get(code) or ("; ".join(gate.closed) if gate.closed else None)
        for quantity, at, (value, low, high) in _numbers_of(numbers, s):
            shown: dict[str, Any] = {"note": why} if why else {"estimate": value, "low": low, "high": high}
            if not why and failed:
                shown["note"] = f"shown although a check failed: {failed}"
            rows.append(row(code, quantity, time_day=at, n=n, denominator=of, **shown))
    return rows + _between_strata(numbers, strata, gate, show_anyway)


def _codes(numbers: Numbers, strata: list[Stratum]) -> list[tuple[int, str]]:
    """Return position and code of the strata, and of all courses together unless they are the one stratum."""
    codes = list(enumerate(s.code for s in strata))
    return codes if len(codes) == 1 else [*codes, (len(codes), "all")]


def _numbers_of(numbers: Numbers, s: int) -> list[tuple[str, float, tuple[float, float, float]]]:
    plan, name = numbers.data.plan, NAMES[numbers.data.plan.outcome]
    kept: list[tuple[str, float, tuple[float, float, float]]] = []
    for day in plan.days:
        d = numbers.at(day)
        kept.append((f"{name}_boosted", day, numbers.level(s, d, 0)))
        kept.append((f"{name}_waiting", day, numbers.level(s, d, 1)))
        kept.append(("difference", day, numbers.difference(s, d)))
        if plan.outcome != "mean" and min(numbers.treated[s, d], numbers.waiting[s, d]) > _SMALLEST_SHARE:
            kept.append(("ratio", day, numbers.ratio(s, d)))
    if plan.outcome in _DAYS:
        last, days = plan.days[-1], _DAYS[plan.outcome]
        kept.append((f"{days}_boosted", last, numbers.mean_days(s, 0)))
        kept.append((f"{days}_waiting", last, numbers.mean_days(s, 1)))
        kept.append((f"difference_{days}", last, numbers.mean_days(s, None)))
    return kept


def e_value_rows(numbers: Numbers, strata: list[Stratum], gate: Gate, show_anyway: bool) -> list[dict[str, Any]]:
    """Return E-values of the effect at the last day asked for: of the estimate, and of the limit nearer to none."""
    plan, rows = numbers.data.plan, []
    d = numbers.at(plan.days[-1])
    spread = numbers.spread()
    for s, code in _codes(numbers, strata):
        if numbers.boosted[s] == 0 or numbers.why_not(s) or _why(gate, code, show_anyway):
            continue
        if plan.outcome == "mean":
            # A limit of few decisions may lie hundreds of standard deviations away: a ratio of e^300 says as much.
            value, low, high = np.exp(np.clip(0.91 * np.array(numbers.difference(s, d)) / spread, -300, 300))
        elif min(numbers.treated[s, d], numbers.waiting[s, d]) > _SMALLEST_SHARE:
            value, low, high = numbers.ratio(s, d)
        else:
            continue
        near = low if value > 1 else high
        crosses = (low - 1) * (high - 1) <= 0
        rows.append(
            row(code, "e_value", time_day=plan.days[-1], estimate=e_value(float(value)),
                low=1.0 if crosses else e_value(float(near)), n=int(numbers.boosted[s]),
                denominator=int(numbers.boosted[s] + numbers.waited[s]),
                note="risk ratio with booster and outcome that an unmeasured reason would need; low: for the limit")
        )  # fmt: skip
    return rows


def _courses(data: Prepared, course: Ints) -> tuple[Ints, Ints]:
    """Return by stratum, then overall, how many eligible courses were boosted, and how many were not."""
    boosted = _by_stratum(data, course, data.arm)
    return boosted, _by_stratum(data, course, np.ones(len(course), dtype=bool)) - boosted


def _by_stratum(data: Prepared, unit: Ints, which: NDArray[np.bool_]) -> Ints:
    """Return by stratum, then overall, how many courses or patients have a decision that `which` names."""
    strata = (*(data.stratum == i for i in range(len(data.strata))), np.ones(len(unit), dtype=bool))
    return np.array([len(np.unique(unit[here & which])) for here in strata])


def _apart(
    one: tuple[float, float, float], other: tuple[float, float, float], ones: Floats, others: Floats
) -> tuple[float, float, float]:
    """Return one minus the other, each with its limits: skewed where a side is near 0 or 1 (MOVER)."""
    known = np.isfinite(ones) & np.isfinite(others)
    varies = known.any() and np.ptp(ones[known]) > 0 and np.ptp(others[known]) > 0
    correlation = float(np.corrcoef(ones[known], others[known])[0, 1]) if varies else 0.0
    sides = [(np.array(v), np.array(low), np.array(high)) for v, low, high in (one, other)]
    low, high = difference_limits(sides[0], sides[1], correlation)
    return one[0] - other[0], float(low), float(high)


def _small_sample(data: Prepared, whole: Estimate) -> tuple[Floats, Floats]:
    """Return what a resampled error is multiplied by, and effective patients, each (2, s + 1, d) as below.

    Few patients carry the weight of an arm, and the models are fitted to them: the resampled error is too small by
    about sqrt(1 - p / m), p covariates in m effective patients, and its limits have as many degrees of freedom as there
    are effective patients. Strata share the coefficients of covariates, and not their chance differences: m is the
    stratum's own. Measured: without both, 95 % intervals covered 92 % of the truth.
    """
    size, p = effective_patients(data, whole), data.visits.x.shape[1]
    return np.maximum(np.sqrt(size / np.maximum(np.maximum(size - p, size / 4), 1.0)), 1.0), np.maximum(size, 2.0)


def effective_patients(data: Prepared, whole: Estimate) -> Floats:
    """Return how many patients carry an arm, (2, s + 1, d): boosted first, by stratum, then overall, and day asked for.

    Boosted: by the weights of the decision. Waiting: of those still followed near the day, by their weights then, if
    they are fewer: whoever waits that long, where others like them were boosted, stands for these too.
    """
    arms = decision_weights(data.start, data.visits, whole.chances, np.ones(len(data.visits.day)))
    patient, strata = data.patient[data.start], len(data.strata)
    late_trial, late = _late(data, whole)

    def carry(weight: Floats, trial: Ints) -> Floats:
        mine = [data.stratum[trial] == i for i in range(strata)] + [np.ones(len(trial), dtype=bool)]
        return np.array([effective_clusters(weight[here], patient[trial[here]]) for here in mine])

    one, other = (np.flatnonzero(arm) for arm in (data.arm, ~data.arm))
    boosted, waiting = carry(arms.treated[one], one), carry(arms.waiting[other], other)
    still = [np.minimum(waiting, carry(whole.weight[here], late_trial[here])) for here in late]
    return np.stack([np.repeat(boosted[:, None], len(late), axis=1), np.column_stack(still)])


def _late(data: Prepared, whole: Estimate) -> tuple[Ints, list[Ints]]:
    """Return the trial of each row that `whole` was fitted to, and which are of waiting near each day asked for."""
    plan = data.plan
    if plan.outcome == "risk":
        cut = data.spells
        return cut.trial, [np.flatnonzero((cut.arm == 0) & (cut.bounds[cut.interval + 1] == day)) for day in plan.days]
    if plan.outcome == "loss":
        seen = data.watched
        near = [(seen.left < day) & (seen.right > day - NEAR_DAY) for day in plan.days]
        return seen.trial, [np.flatnonzero((seen.arm == 0) & here) for here in near]
    records = data.records
    near = [np.abs(records.time - day) <= NEAR_DAY for day in plan.days]
    return records.trial, [np.flatnonzero((records.arm == 0) & here) for here in near]


def _with_all(curves: Floats, share: Floats) -> Floats:
    overall = np.einsum("...sd,s->...d", np.where(share[:, None] > 0, curves, 0.0), share)
    return np.concatenate([curves, overall[..., None, :]], axis=-2)


def _why(gate: Gate, code: str, show_anyway: bool) -> str | None:
    if show_anyway:
        return None
    if gate.closed:
        return "withheld: " + gate.closed[0].split(":")[0]
    if code in gate.strata:
        return f"withheld: {gate.strata[code]}"
    if code == "all" and gate.strata:
        return f"withheld: {', '.join(gate.strata)} has too little"
    return None


def _between_strata(numbers: Numbers, strata: list[Stratum], gate: Gate, show_anyway: bool) -> list[dict[str, Any]]:
    """Return differences of the effect between strata, and the test that all strata have the same effect."""
    plan = numbers.data.plan
    shown = [
        i for i, s in enumerate(strata)
        if numbers.boosted[i] and not numbers.why_not(i) and not _why(gate, s.code, show_anyway)
    ]  # fmt: skip
    if len(shown) < 2:
        return []
    d = numbers.at(plan.days[-1])
    effect = (numbers.treated - numbers.waiting)[shown, d]
    again = (numbers.treated_again - numbers.waiting_again)[:, shown, d]
    again = again[np.isfinite(again).all(axis=1)]
    sides = [(numbers.treated_again[:, i, d], numbers.waiting_again[:, i, d]) for i in shown]
    apart = [numbers.together(i, d, of) for i, of in zip(shown, sides, strict=True)]
    rows = []
    for k in range(1, len(shown)):
        # The wider of both strata's limits: fewer effective patients, fewer degrees of freedom.
        reach = max(w * t_quantile(0.5 + numbers.confidence / 2, left) for w, left in (apart[0], apart[k]))
        value, low, high = numbers.around(float(effect[k] - effect[0]), again[:, k] - again[:, 0], reach)
        rows.append(
            row(f"{strata[shown[k]].code} - {strata[shown[0]].code}", "difference_of_differences",
                time_day=plan.days[-1], estimate=value, low=low, high=high,
                denominator=int(numbers.boosted[shown].sum() + numbers.waited[shown].sum()))
        )  # fmt: skip
    contrast = effect[1:] - effect[0]
    again = again * np.array([wider for wider, _ in apart])
    covariance = np.atleast_2d(np.cov((again[:, 1:] - again[:, :1]).T))
    statistic = float(contrast @ np.linalg.pinv(covariance) @ contrast)
    # The resampled covariance is known as from the resamples, and from the effective patients of a stratum.
    p = hotelling_above(statistic, len(shown) - 1, min(len(again) - 1, *(left for _, left in apart)))
    rows.append(
        row("all", "test", estimate=p, denominator=int((numbers.boosted + numbers.waited)[shown].sum()),
            note=f"same effect in all strata at day {plan.days[-1]:.0f}: Wald chi-squared {statistic:.2f} on "
                 f"{len(shown) - 1} df, patients resampled")
    )  # fmt: skip
    return rows
