"""Change at a visit by what is assumed of those not seen: at random, back to baseline, as a reference, or worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import imputation_figures
from analysis.cohort import (
    By,
    allowed,
    check_confidence,
    check_resampling,
    common_settings,
    place_courses,
    reduce,
    several,
)
from analysis.given import is_number, is_whole
from analysis.imputed_model import assumptions, plan_of, under, under_pairs
from analysis.imputed_rows import (
    DELTAS,
    FEWEST,
    Deltas,
    Plan,
    assumed_rows,
    counts,
    grid_rows,
    imputation_checks,
    observed_rows,
)
from analysis.numerics.laws import t_quantile
from analysis.numerics.observation import observation_weights, weighted_contrasts
from analysis.numerics.varying import UNVARYING
from analysis.numerics.weighting import effective_sample_size
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.trajectory_model import Inference, clustered, fit_with_fallback
from analysis.trajectory_question import (
    Adjust,
    IntercurrentPolicy,
    Measured,
    Unit,
    ask,
    check_adjust,
    compared,
    comparison_notes,
    nobody_left,
)
from analysis.trajectory_sums import Sums, Visit, covariates_of, design_of, enough_visits, returned_of, rows_of
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]
_RUBIN = (
    "Where a reference is jumped to or copied, limits by Rubin's rules lose as much to missing scores as at random: "
    "they are wider than estimates vary over repeated samples (conservative; Cro et al. 2019)."
)
# Covariates, changes by visit and patient of each course.
Each = tuple[Floats, Floats, NDArray[np.int64]]


def imputed_change(
    courses: Courses,
    *,
    scale: str | None = None,
    by: By = "stage",
    visit: str = "12 months",
    adjust: Adjust | tuple[Adjust, ...] = (),
    reference: str | None = None,
    deltas: Deltas | None = None,
    own_delta: dict[str, float] | None = None,
    end_policy: IntercurrentPolicy = "hypothetical",
    booster_policy: IntercurrentPolicy = "treatment_policy",
    unit: Unit = "points_of_100",
    imputations: int = 100,
    confidence: float = 0.95,
    seed: int = 20040312,
) -> Result:
    """Estimate the mean change at a visit under several assumptions about scores that were not seen, and where it tips.

    Multiple imputation from the repeated-measures model: each time its parameters are drawn, missing scores imputed,
    and the change regressed on stratum and baseline; Rubin's rules combine. Between visits that were seen a score is
    missing at random under every assumption; after the last one seen it is what the assumption says.

    Parameters
    ----------
    courses, scale, by, adjust, end_policy, booster_policy, unit
        As :func:`analysis.trajectories`. Only courses whose visit was due by the data cut are asked about.
    visit
        The planned visit.
    reference
        Stratum to jump to or to copy: patients not seen again are taken to do from then on as that stratum does, or to
        have been like its patients from the start. Differences are to it; without one, to the stratum that
        :func:`analysis.trajectories` compares with.
    deltas
        What is added to scores after the last visit seen, none above 0; default: 0 to -50 points of 100, in the unit.
    own_delta
        What is added in each stratum, as one assumption more: ``{"early": -5, "moderate": -10}``; others have none.
    imputations
        How often the missing scores are drawn, 10 or more.
    seed
        Where random numbers start from. The same ones serve every assumption, so that they differ by what is assumed
        alone.

    Returns
    -------
    Result
        By stratum, and for differences to the reference: ``missing_at_random``, ``return_to_baseline``,
        ``jump_to_reference`` and ``copy_reference`` (with `reference`), ``delta -10`` and so on (points taken off after
        the last visit seen, in all strata), ``own_delta``, ``tipping_delta`` (the delta at which limits reach zero),
        and ``weighted_for_observation`` (whoever was seen stands for those alike who were not). For differences
        ``delta -10 and -5`` (off the first stratum and the second, for every pair of deltas) and
        ``tipping_delta_alone`` (off the better stratum alone); by stratum, for comparison only, ``observed_case`` (of
        those seen, at the same baseline as the others).

    Raises
    ------
    NotEstimable
        When no course is left, the visit was not due for anybody, or nobody was missing at it.
    UsageError
        When the visit, the reference, a stratum or an option is not known, the reference is the only stratum, or a
        delta is above 0.

    References
    ----------
    Rubin 1987; Carpenter, Roger & Kenward 2013; Cro et al. 2019, 2020; Robins, Rotnitzky & Zhao 1995. See
    docs/methods/missing-scores.md.

    Examples
    --------
    >>> change = imputed_change(knees, scale="pain", visit="6 months", imputations=20)
    >>> change.settings["question"]
    'imputed_change'
    """
    choose(end_policy, allowed(IntercurrentPolicy), "end_policy =")
    check_confidence(confidence)
    check_resampling(seed)
    adjust = several(adjust)
    check_adjust(adjust, by)
    if not is_whole(imputations):
        raise UsageError(f"imputations = {imputations!r} must be a whole number, 10 or more: 100 are usual.")
    if imputations < 10:
        raise UsageError(f"imputations = {imputations} is too few for limits: 100 are usual.")
    strata, kept = place_courses(courses, by)
    if len(kept) == 0:
        raise NotEstimable(nobody_left(kept))
    kept = kept.exclude(not_due(kept, visit))
    if len(kept) == 0:
        raise NotEstimable(f"{visit} was not due for any course by the data cut.")
    strata, kept = place_courses(kept, by)
    policies = {"unit": str(unit), "end_policy": str(end_policy), "booster_policy": str(booster_policy)}
    measured = ask(kept, scale, None, adjust, **policies)
    planned = [v.name for v in measured.visits]
    choose(visit, planned, "visit =")
    names = [f"reduction.trajectory_{name}" for name in ("product", "course", "value")]
    products, people, values = reduce(kept, *names)
    kept = kept.exclude(people.filter(pl.col("reason").is_not_null()).select("course_id", "reason"))
    upto = measured.visits[: planned.index(visit) + 1]
    data, left = enough_visits(products, strata, upto, covariates_of(products, adjust), measured.label)
    if data.visits[-1].name != visit:
        flat = [n for n in left if n.startswith(f"{visit}: changes do not vary")]
        raise NotEstimable(flat[0] if flat else f"Too few courses were seen at {visit} for a mean by stratum.")
    if reference is not None:
        check_reference(reference, data.strata)
    sides = compared(data, by, {s.code: s.label for s in strata}, reference, "reference")
    steps = _steps(courses, measured, deltas)
    own = None if own_delta is None else _own_delta(own_delta, data.strata)
    design, _ = design_of(data)
    fit, why = fit_with_fallback(data.sums, design, "unstructured")
    used = people.filter(pl.col("reason").is_null())
    model = Inference(fit, "satterthwaite")
    single = used["patient_id"].n_unique() == used.height
    each = rows_of(values, used, data)
    chosen = model if single else clustered(fit, "satterthwaite", each)
    plan = plan_of(data, fit, model, chosen, reference, sides.pairs)
    missing = plan.rows.n[~plan.rows.observed[:, -1]].sum()
    if missing == 0:
        raise NotEstimable(f"Everybody due at {visit} was seen: nothing has to be assumed. Use trajectories().")
    made, grids = under_pairs(plan, assumptions(reference is not None, steps, own), steps, imputations, seed)
    day = data.visits[-1].day
    by_weight, weights = weighted(data, plan, each, returned_of(values, used, data), confidence)
    frame = [*assumed_rows(data, plan, made, day, confidence, steps), *by_weight, *observed_rows(data, plan, day)]
    frame += grid_rows(data, plan, grids, day, confidence, steps)
    settings = {
        **common_settings(kept, strata, "imputed_change", by),
        **measured.settings(),
        **policies,
        "visit": visit,
        "adjust": list(adjust),
        "reference": reference,
        "imputations": imputations,
        "compared_with": sides.reference or None,
        "deltas": list(steps),
        "own_delta": own_delta,
        "confidence": confidence,
        "seed": seed,
    }
    return Result(
        question="imputed_change",
        title=f"Change in {measured.label} at {visit} by {by}, by what is assumed of those not seen",
        frame=frame_of(frame),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=pl.concat([imputation_checks(data, plan, made, fit), weights]),
        notes=(
            *comparison_notes(by, adjust),
            *sides.notes,
            "No data can show which assumption is true: a conclusion is as strong as the worst that is believable.",
            *((f"The covariance is {fit.structure.name}: {why}",) if why else ()),
            *(("Limits are widened for patients with several courses by the ratio of their clustered variance.",)
              if not single else ()),
            *((_RUBIN,) if reference is not None else ()),
            *left,
        ),
        draw=imputation_figures.tipping,
    )  # fmt: skip


def check_reference(reference: str, strata: tuple[str, ...]) -> None:
    """Refuse a reference that is no stratum, or the only one: nobody else could do as it does."""
    choose(reference, strata, "reference =")
    if len(strata) == 1:
        raise UsageError(
            f"reference = '{reference}' is the only stratum: nobody else could do as it does. Leave it out, or ask by "
            "what separates courses, e.g. by='stage'."
        )


def not_due(courses: Courses, visit: str) -> pl.DataFrame:
    """Return the courses placed whose `visit` was not due by the data cut, with the reason."""
    return courses.registry.con.execute(
        "select cohort.course_id, 'the visit was not due by the data cut' as reason from cohort.course as cohort "
        "join course.profile as profile using (course_id) "
        "join catalogue.programme_visit as planned on profile.programme = planned.programme "
        "and planned.planned_visit = ? where coalesce(profile.potential_follow_up_day, 0) < planned.window_high_day",
        [visit],
    ).pl()


def _steps(courses: Courses, measured: Measured, deltas: Deltas | None) -> Deltas:
    """Return the deltas asked for from 0 down, or the usual ones as so many hundredths of the range of the scale."""
    if deltas is not None:
        given = deltas if isinstance(deltas, Iterable) else (deltas,)
        if not all(is_number(d) and d <= 0 for d in given):
            raise UsageError(f"deltas = {deltas!r} must be numbers of 0 or below, e.g. (-5, -10): points taken off.")
        return tuple(sorted({0.0, *(float(d) for d in given)}, reverse=True))
    if measured.unit == "points_of_100":
        return DELTAS
    low, high = courses.registry.con.execute(
        "select low, high from catalogue.scale where scale = ?", [measured.scales["scale"][0]]
    ).fetchall()[0]
    if low is None or high is None:
        raise UsageError(f"{measured.label} has no range to take hundredths of: name deltas in its own unit.")
    return tuple(float(d) * (float(high) - float(low)) / 100 for d in DELTAS)


def _own_delta(asked: dict[str, float], strata: tuple[str, ...]) -> Floats:
    """Return what is added in each stratum, (S,)."""
    if not isinstance(asked, Mapping):
        raise UsageError(
            f"own_delta = {asked!r} does not say of which stratum it is: name each, e.g. {{'{strata[0]}': -5}}."
        )
    for code, value in asked.items():
        choose(code, strata, "own_delta: stratum")
        if not is_number(value):
            raise UsageError(f"own_delta of {code} is {value!r}: it must be a number, e.g. -5.")
    return np.array([float(asked.get(code, 0.0)) for code in strata])


def weighted(
    data: Sums, plan: Plan, each: Each, returned: NDArray[np.bool_], confidence: float
) -> tuple[list[dict[str, Any]], pl.DataFrame]:
    """Return the estimates weighted by the inverse probability of having been seen, and checks of the weights."""
    z, y, patient = each
    made = observation_weights(z, y, returned)
    value, error, left = weighted_contrasts(z, y[:, -1], plan.columns, plan.contrasts, patient, made)
    total, seen = counts(data, plan)
    reach = error * t_quantile(0.5 + confidence / 2, left)
    out = []
    for c, who in enumerate(plan.names):
        known: dict[str, Any] = {"note": f"fewer than {FEWEST} courses were seen"}
        if min(seen[c], total[c]) >= FEWEST:
            limits = {"low": float(value[c] - reach[c]), "high": float(value[c] + reach[c])}
            known = {"estimate": float(value[c]), **({"note": UNVARYING} if np.isnan(reach[c]) else limits)}
        out.append(row(who, "weighted_for_observation", time_day=data.visits[-1].day, n=seen[c], denominator=total[c],
                       **known))  # fmt: skip
    largest = float(made.weight.max())
    checks = [check("largest weight", largest, "<= 20", largest <= 20, "inverse probability of having been seen")]
    for i, code in enumerate(data.strata):
        mine = made.weight * z[:, 1 + i]
        effective = effective_sample_size(mine[mine > 0]) / max(seen[i], 1) if (mine > 0).any() else None
        checks.append(check(f"effective share of those seen in {code}", effective, ">= 0.5", (effective or 0) >= 0.5,
                            f"sum of weights over courses due: {mine.sum() / total[i]:.2f}"))  # fmt: skip
    return out, diagnostics_of(checks)


__all__ = ["DELTAS", "Plan", "Visit", "assumptions", "imputed_change", "plan_of", "under", "weighted"]
