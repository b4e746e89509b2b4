"""What to expect: best, typical and failure case of courses like one, with how many there are and how well it predicts.

It describes what became of similar courses. It recommends nothing, and refuses where there are too few of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import check_confidence, check_resampling, common_settings, definition_of, place, reduce
from analysis.numerics.exact import effective_size, exact_share
from analysis.numerics.resampling import Bag, bags, interval_of_probability
from analysis.numerics.weighting import effective_sample_size
from analysis.outlook_figures import fan
from analysis.outlook_likeness import (
    Floats,
    Seen,
    alike,
    known_of,
    sorted_quantile,
)
from analysis.outlook_profile import check_profile, profiles_of
from analysis.outlook_seen import by_visit, weight_check
from analysis.outlook_support import quality_note, refusal, visits_without, why_too_few
from analysis.outlook_validation import validate
from analysis.result import Result, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_CASES = {"failure_case": 0.10, "typical_case": 0.50, "best_case": 0.90}
_SHARES = np.array(list(_CASES.values()))
# Numbers of a visit, in order.
_NAMES = (*_CASES, "share_in_response", "share_sustained", "share_response_lost", "share_worse", "end")
_STATES = ("in_response", "response_lost")
# Resamples whose weights are in memory together.
_AT_ONCE = 25


def outlook(
    courses: Courses,
    *,
    stage: str,
    age: float | None = None,
    sex: str | None = None,
    diagnosis: str | None = None,
    baseline: float | None = None,
    product: str | None = None,
    tissue: str | None = None,
    donor: str | None = None,
    dose_million: float | None = None,
    route: str | None = None,
    definition: str | None = None,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 1,
    **others: object,
) -> Result:
    """Describe what became of courses like this one: a range of change and the chances of what can happen, by visit.

    Courses of the same severity stage are weighted by how alike they are in what is named: a normal kernel on age,
    baseline and the logarithm of the dose, and a quarter of the weight for each other thing that differs.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    stage
        Severity stage at baseline, as in ``catalogue.stage``; the one thing that must be the same.
    age
        Age in years.
    sex
        ``female`` or ``male``.
    diagnosis
        Diagnosis of the target: courses with another one count less (a selection of courses leaves them out).
    baseline
        Score at the first session in points of 100, 0 best, of pain or of the programme's first domain.
    product
        The clinic's name of it.
    tissue
        A cell source (``adipose_SVF``), or what its name begins with (``adipose``).
    donor
        Relation of the donor, e.g. ``autologous``.
    dose_million
        Viable cells of the first session, millions.
    route
        Route of the first session, e.g. ``intra_articular``.
    definition
        Response definition; default: the programme's own.
    others
        Nothing else is taken: what is no field of a profile is refused with those there are.

    Returns
    -------
    Result
        By planned visit (``time_day``): ``failure_case``, ``typical_case``, ``best_case`` (10th, 50th and 90th
        percentile of improvement in points of 100), ``share_in_response``, ``share_sustained`` (in response here and
        at the judged visit before), ``share_response_lost``, ``share_worse``,
        ``end`` (shares of 1 of all due). `n` counts the courses behind a case, or those a share counts, and
        `denominator` of how many. ``similar`` gives how many courses like it that is: one just alike counts 1, others
        less. Diagnostics, cross-validated by patient: coverage of the 10-90 % range, calibration in the large and by
        thirds of each share, discrimination for response.

    Raises
    ------
    NotEstimable
        When at every visit fewer than thirty courses are like it, or fewer than ten share a value that is named (a
        number: within 10 years or 10 points, or half to twice the dose) or all of them at once; the message says which.
    UsageError
        When a value is not held by the registry; the message lists those that are.

    References
    ----------
    Kernel-weighted quantiles: Yu & Jones 1998 JASA 93:228. Discrimination: Hanley & McNeil 1982 Radiology 143:29.

    Examples
    --------
    >>> expected = outlook(knees, stage="early", age=60, resamples=20)
    >>> expected.frame.columns[:4]
    ['stratum', 'quantity', 'time_day', 'estimate']
    """
    check_confidence(confidence)
    check_resampling(seed, resamples)
    chosen = definition_of(courses, definition)
    strata, kept = place(courses, "stage", chosen, confirmation="first")
    con = kept.registry.con
    con.execute(
        "create or replace table cohort.outlook as select ? as definition, 'pain' as domain", [chosen.definition]
    )
    domain = _domain(kept)
    con.execute("update cohort.outlook set domain = ?", [domain])
    profile = profiles_of(kept, domain)
    named = {"age": age, "sex": sex, "diagnosis": diagnosis, "baseline": baseline, "product": product,
             "tissue": tissue, "donor": donor, "dose_million": dose_million, "route": route}  # fmt: skip
    check_profile(profile, stage, named, others)
    (rows,) = reduce(kept, "reduction.outlook_visit")
    kept = kept.exclude(_not_behind(profile, rows, stage))
    mine = profile.filter(pl.col("stage") == stage)
    known = known_of(mine, named)
    seen = by_visit(rows, mine, alike(known, named) if known else np.ones(mine.height))
    worse = _worse_points(kept)
    why = [why_too_few(at, known, named) for at in seen]
    reasons = [w for w in why if w is not None]
    if len(reasons) == len(seen):
        raise NotEstimable(refusal(seen, reasons, named=bool(known)))
    rng = np.random.default_rng(seed)
    frame = [
        r
        for at, reason in zip(seen, why, strict=True)
        for r in (_without(at, worse) if reason else rows_of(at, worse, confidence, resamples, rng))
    ]
    label = next((s.label for s in strata if s.code == stage), stage)
    said = ", ".join(
        f"{k.replace('_', ' ')} {v if isinstance(v, str) else f'{v:g}'}" for k, v in named.items() if v is not None
    )
    support = [r["estimate"] for r in frame if r["quantity"] == "similar" and r["estimate"] is not None]
    checks = [*validate(known, seen, worse, confidence), weight_check(seen)]
    settings = {
        # Its rows are of all who are like it, not over strata: a small number among them hides itself alone.
        **common_settings(kept, [replace(s, code="all") for s in strata if s.code == stage], "outlook", "stage"),
        **chosen.settings,
        "profile": {"stage": stage, **{k: v for k, v in named.items() if v is not None}},
        "domain": domain,
        "worse_points": worse,
        "horizon_day": [int(at.day) for at in seen],
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
    }
    return Result(
        question="outlook",
        title=f"What became of courses like this one: {label}" + (f", {said}" if said else ""),
        frame=frame_of(frame),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=diagnostics_of(checks),
        notes=(
            "A description of similar courses, not a recommendation: they were not assigned their treatment at random.",
            "Changes, and states of targets that go on, are of those seen at the visit, who stand for those alike in "
            "what was last seen of them who were not: who stays away for another reason may fare otherwise. Ends are "
            "of all who were due, as reported.",
            quality_note(support, checks),
            *visits_without(seen, why),
        ),
        draw=fan,
    )


def _not_behind(profile: pl.DataFrame, rows: pl.DataFrame, stage: str) -> pl.DataFrame:
    """Return the courses that no number rests on, with the reason."""
    other = profile.filter(pl.col("stage") != stage).select("course_id", reason=pl.lit("another severity stage"))
    due = rows.select("course_id").unique()
    without = profile.join(due, on="course_id", how="anti").select("course_id", reason=pl.lit("no visit due yet"))
    return pl.concat([other, without]).unique("course_id", keep="first", maintain_order=True)


def _domain(courses: Courses) -> str:
    """Return pain where the cohort's programmes offer it, else the first domain of the first programme."""
    found = courses.registry.con.sql(
        "select offered.domain from catalogue.programme_scale as offered "
        "where offered.programme in (select programme from course.profile semi join cohort.course using (course_id)) "
        "order by case when offered.domain = 'pain' then 0 else 1 end, offered.priority, "
        "case when offered.domain = 'biomarker' then 1 else 0 end, offered.domain limit 1"
    ).fetchone()
    if found is None:
        raise NotEstimable("The programme names no scale by which a change could be described.")
    return str(found[0])


def _worse_points(courses: Courses) -> float:
    """Return by how much worse than baseline counts as worse: the catalogue's least worsening, or ten points."""
    found = courses.registry.con.sql(
        "select min(worsening_min) from catalogue.loss_definition where programme in "
        "(select programme from course.profile semi join cohort.course using (course_id))"
    ).fetchone()
    return float(found[0]) if found and found[0] is not None else 10.0


@dataclass(frozen=True)
class _Judged:
    """What the numbers of a visit are made of, put in order once for all resamples.

    Attributes: `by` (n, 9), what each course adds to the sums of weights that shares are of; `scored`, the places of
    those with a change in order of it, `change` itself and for how many each of them `stands`.
    """

    by: Floats
    scored: Ints
    change: Floats
    stands: Floats

    def of(self, held: Bools) -> _Judged:
        """Return the same of the courses `held` (n,)."""
        scored, place = held[self.scored], np.cumsum(held) - 1
        return _Judged(self.by[held], place[self.scored[scored]], self.change[scored], self.stands[scored])

    def numbers(self, weight: Floats) -> Floats:
        """Return by row of `weight` (times, n) the three cases, then the shares in response, sustained, lost, worse
        and ended, (times, 8); nan where none was seen.
        """
        whole, over, ended, going, held, lost, told, kept, worse = (weight @ self.by).T
        scored = weight[:, self.scored] * self.stands
        with np.errstate(divide="ignore", invalid="ignore"):
            goes_on = 1 - over / whole
            shares = [goes_on * held / going, goes_on * kept / told, goes_on * lost / going,
                      goes_on * worse / scored.sum(axis=1), ended / whole]  # fmt: skip
        cases = np.stack([sorted_quantile(self.change[w > 0], w[w > 0], _SHARES) for w in scored])
        numbers = np.column_stack([cases, *shares])
        return np.asarray(np.where(np.isnan(cases[:, :1]), np.nan, numbers))


def _judged(at: Seen, worse: float) -> _Judged:
    over, has_change, going = at.over, at.scored, at.going
    told, held = going & ~np.isnan(at.sustained), [going & (at.state == s) for s in _STATES]
    kept = np.where(told, at.sustained, 0.0)
    worsened = has_change & (at.improvement <= -worse)
    seen = [at.stands_for * is_so for is_so in (going, *held, told, kept, worsened)]
    by = [np.ones(len(over)), over, at.state == "ended", *seen]
    scored = np.flatnonzero(has_change)
    scored = scored[np.argsort(at.improvement[scored], kind="stable")]
    return _Judged(np.column_stack(by).astype(float), scored, at.improvement[scored], at.stands_for[scored])


def _counts(at: Seen, worse: float) -> list[tuple[int, int]]:
    """Return for each of the numbers how many courses it counts, and of how many."""
    scored, going = at.scored, at.going
    cases = [(int(scored.sum()), len(at.state))] * len(_CASES)
    states = [(int((going & (at.state == s)).sum()), int(going.sum())) for s in _STATES]
    worsened = (int((scored & (at.improvement <= -worse)).sum()), int(scored.sum()))
    told = going & ~np.isnan(at.sustained)
    kept = (int(at.sustained[told].sum()), int(told.sum()))
    return [*cases, states[0], kept, states[1], worsened, (int((at.state == "ended").sum()), len(at.state))]


def _without(at: Seen, worse: float) -> list[dict[str, Any]]:
    """Return the rows of a visit at which too few are alike: what was counted, and no estimate."""
    counts = _counts(at, worse)
    counted = zip((*_NAMES, "similar"), (*counts, counts[0]), strict=True)
    return [row("all", q, time_day=at.day, n=n, denominator=of, note="too few like this one") for q, (n, of) in counted]


def rows_of(
    at: Seen, worse: float, confidence: float, resamples: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return the numbers of a visit with their limits, from `resamples` of patients."""
    counts = _counts(at, worse)
    judged, patients = _judged(at, worse), int(at.patient.max()) + 1
    value = judged.numbers(at.likeness[None])[0]
    drawn_again = np.concatenate(
        [_resampled(judged, at, bag, value, patients, rng) for bag in bags(patients, resamples, rng)]
    )
    tail = (1 - confidence) / 2
    low, high = np.full((2, len(value)), np.nan)
    low[:3], high[:3] = np.nanquantile(drawn_again[:, :3], [tail, 1 - tail], axis=0, method="weibull")
    weight = judged.stands * at.likeness[judged.scored]
    least = quantile_limits(judged.change, weight, at.patient[judged.scored], value[:3], confidence)
    low[:3], high[:3] = np.minimum(low[:3], least[0]), np.maximum(high[:3], least[1])
    for i, of in enumerate(_whose(at), start=3):
        if not np.isnan(value[i]):
            effective = effective_sample_size(at.likeness[of] * (1.0 if of.all() else at.stands_for[of]))
            low[i], high[i] = share_limits(value[i], drawn_again[:, i : i + 1], confidence, effective)
    rows = [
        row("all", q, time_day=at.day, estimate=float(value[i]), low=float(low[i]), high=float(high[i]),
            n=counts[i][0], denominator=counts[i][1],
            note=None if not np.isnan(value[i]) else "no visit before this one was judged")
        for i, q in enumerate(_NAMES)
    ]  # fmt: skip
    similar = row("all", "similar", time_day=at.day, estimate=float(at.likeness[at.scored].sum()), n=counts[0][0],
                  denominator=counts[0][1], note="one just like it counts 1, others less")  # fmt: skip
    return [*rows, similar]


def _resampled(judged: _Judged, at: Seen, bag: Bag, value: Floats, patients: int, rng: np.random.Generator) -> Floats:
    """Return the numbers of a bag's resamples, (times, 8), each of as many patients as there are."""
    size, who, likeness, moved = len(bag.patients), at.patient, at.likeness, np.zeros(len(value))
    if size < patients:
        held = np.isin(at.patient, bag.patients)
        judged, likeness = judged.of(held), at.likeness[held]
        who = np.searchsorted(bag.patients, at.patient[held])
        moved = value - judged.numbers(likeness[None])[0]
    again = []
    for turns in np.array_split(bag.turns, max(-(-len(bag.turns) // _AT_ONCE), 1)):
        if size < patients:
            count = rng.multinomial(patients, np.full(size, 1 / size), len(turns))
        else:
            drawn = rng.integers(0, size, (len(turns), patients)) + size * np.arange(len(turns))[:, None]
            count = np.bincount(drawn.ravel(), minlength=len(turns) * size).reshape(len(turns), size)
        again.append(judged.numbers(likeness * count[:, who]))
    found = np.concatenate(again) + moved
    # Moved a little, a share may leave its range; changes have none.
    found[:, len(_CASES) :] = np.clip(found[:, len(_CASES) :], 0.0, 1.0)
    return found


def _whose(at: Seen) -> list[Bools]:
    """Return for each share of whom it is, (k,): what it can be sure of is what these can."""
    told = at.going & ~np.isnan(at.sustained)
    return [at.going, told, at.going, at.scored, np.ones(len(at.state), dtype=bool)]


def quantile_limits(
    change: Floats, weight: Floats, patient: Ints, cases: Floats, confidence: float
) -> tuple[Floats, Floats]:
    """Return limits of the three `cases`, each (3,): quantiles at the exact limits of their shares (Woodruff 1952).

    That there are worse than the worst of the few who were seen no resample tells. `change` (n,) is in order; a share
    is of so many courses as would leave it as open, given the weights and who has two (Korn & Graubard 1998).
    """
    limits = []
    for case, share in zip(cases, _SHARES, strict=True):
        effective = effective_size(change <= case, share, weight, patient)
        ends = exact_share(share * effective, effective, confidence)[1:]
        limits.append(sorted_quantile(change, weight, np.array(ends)))
    low, high = np.array(limits).T
    return low, high


def share_limits(value: float, replicates: Floats, confidence: float, effective: float) -> tuple[float, float]:
    """Return limits of a share from `replicates` (times, 1) of it, of `effective` courses.

    One event of little weight says no more than none would: limits reach at least to what none, or all, leaves open.
    """
    low, high = interval_of_probability(np.array([value]), replicates, confidence, effective)
    possible = 1 - ((1 - confidence) / 2) ** (1 / max(effective, 1.0))
    return float(min(low[0], 1 - possible)), float(max(high[0], possible))
