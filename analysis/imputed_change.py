"""Change at a visit by what is assumed of those not seen: at random, back to baseline, as a reference, or worse."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import imputation_figures
from analysis.cohort import By, allowed, check_confidence, common_settings, place_courses, reduce, several
from analysis.imputed_rows import DELTAS, FEWEST, Plan, assumed_rows, counts, imputation_checks, observed_rows
from analysis.numerics.covariance import covariance_matrix
from analysis.numerics.imputation import Combined, Rows, Rule, blocks_of, combine, complete, least_squares, together
from analysis.numerics.laws import t_quantile
from analysis.numerics.marginal_means import mean_rows
from analysis.numerics.observation import observation_weights, weighted_contrasts
from analysis.numerics.repeated import MmrmFit
from analysis.numerics.repeated_design import dependent_columns
from analysis.numerics.repeated_likelihood import profile
from analysis.numerics.weighting import effective_sample_size
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.trajectories import enough_visits
from analysis.trajectory_model import Inference, clustered, fit_with_fallback
from analysis.trajectory_question import Adjust, IntercurrentPolicy, ask, check_adjust, comparison_notes, nobody_left
from analysis.trajectory_sums import Sums, Visit, covariates_of, design_of, returned_of, rows_of
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]
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
    end_policy: IntercurrentPolicy = "hypothetical",
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
    courses, scale, by, adjust, end_policy
        As :func:`analysis.trajectories`. Only courses whose visit was due by the data cut are asked about.
    visit
        The planned visit.
    reference
        Stratum to jump to or to copy: patients not seen again are taken to do from then on as that stratum does, or to
        have been like its patients from the start.
    imputations, seed
        The same random numbers serve every assumption, so that they differ by what is assumed alone.

    Returns
    -------
    Result
        By stratum, and for differences to the first: ``missing_at_random``, ``return_to_baseline``,
        ``jump_to_reference`` and ``copy_reference`` (with `reference`), ``delta -10`` and so on (points of 100, taken
        off after the last visit seen), and ``weighted_for_observation`` (whoever was seen stands for those alike who
        were not); by stratum ``tipping_delta`` (the delta at which the lower limit reaches zero), and for comparison
        only ``observed_case`` (of those seen, at the same baseline as the others).

    Raises
    ------
    NotEstimable
        When no course is left, the visit was not due for anybody, or nobody was missing at it.
    UsageError
        When the visit, the reference or an option is not known, or the reference is the only stratum.

    References
    ----------
    Rubin 1987; Carpenter, Roger & Kenward 2013; Cro et al. 2020 Stat Med 39:2815; Robins, Rotnitzky & Zhao 1995. See
    docs/methods/missing-scores.md.

    Examples
    --------
    >>> change = imputed_change(knees, scale="pain", visit="6 months", imputations=20)
    >>> change.settings["question"]
    'imputed_change'
    """
    choose(end_policy, allowed(IntercurrentPolicy), "end_policy =")
    check_confidence(confidence)
    adjust = several(adjust)
    check_adjust(adjust, by)
    if imputations < 10:
        raise UsageError(f"imputations = {imputations} is too few for limits: 100 are usual.")
    strata, kept = place_courses(courses, by)
    if len(kept) == 0:
        raise NotEstimable(nobody_left(kept))
    kept = kept.exclude(not_due(kept, visit))
    if len(kept) == 0:
        raise NotEstimable(f"{visit} was not due for any course by the data cut.")
    strata, kept = place_courses(kept, by)
    policies = {"unit": "points_of_100", "end_policy": end_policy, "booster_policy": "treatment_policy"}
    measured = ask(kept, scale, None, adjust, **policies)
    planned = [v.name for v in measured.visits]
    choose(visit, planned, "visit =")
    names = [f"reduction.trajectory_{name}" for name in ("product", "course", "value")]
    products, people, values = reduce(kept, *names)
    kept = kept.exclude(people.filter(pl.col("reason").is_not_null()).select("course_id", "reason"))
    upto = measured.visits[: planned.index(visit) + 1]
    data, left = enough_visits(products, strata, upto, covariates_of(products, adjust), measured.label)
    if data.visits[-1].name != visit:
        raise NotEstimable(f"Too few courses were seen at {visit} for a mean by stratum.")
    if reference is not None:
        check_reference(reference, data.strata)
    design, _ = design_of(data)
    fit, why = fit_with_fallback(data.sums, design, "unstructured")
    used = people.filter(pl.col("reason").is_null())
    model = Inference(fit, "satterthwaite")
    single = used["patient_id"].n_unique() == used.height
    each = rows_of(values, used, data)
    chosen = model if single else clustered(fit, "satterthwaite", each)
    plan = plan_of(data, fit, model, chosen, reference)
    missing = plan.rows.n[~plan.rows.observed[:, -1]].sum()
    if missing == 0:
        raise NotEstimable(f"Everybody due at {visit} was seen: nothing has to be assumed. Use trajectories().")
    made = under(plan, assumptions(reference is not None), imputations, seed)
    day = data.visits[-1].day
    by_weight, weights = weighted(data, plan, each, returned_of(values, used, data), confidence)
    frame = [*assumed_rows(data, plan, made, day, confidence), *by_weight, *observed_rows(data, plan, day)]
    settings = {
        **common_settings(kept, strata, "imputed_change", by),
        **measured.settings(),
        **policies,
        "visit": visit,
        "adjust": list(adjust),
        "reference": reference,
        "imputations": imputations,
        "deltas": list(DELTAS),
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
            "No data can show which assumption is true: a conclusion is as strong as the worst that is believable.",
            *((f"The covariance is {fit.structure.name}: {why}",) if why else ()),
            *(("Limits are widened for patients with several courses by the ratio of their clustered variance.",)
              if not single else ()),
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


def plan_of(data: Sums, fit: MmrmFit, model: Inference, chosen: Inference, reference: str | None) -> Plan:
    """Return the plan of imputing the last visit of `data`; `chosen` is `model`, or has its limits clustered."""
    sums, t = data.sums, len(data.visits) - 1
    q, u = sums.n_covariates, len(data.unseen_n)
    rows = together(
        Rows(
            np.vstack([sums.observed, np.zeros((u, t + 1), dtype=bool)]),
            np.concatenate([sums.n, data.unseen_n]),
            np.concatenate([sums.zz, data.unseen_zz]),
            np.concatenate([sums.zy, np.zeros((u, q, t + 1))]),
            np.concatenate([sums.yy, np.zeros((u, t + 1, t + 1))]),
            np.concatenate([data.returned, data.unseen_returned]),
        )
    )
    # A covariate that the others determine would make the regression of the completed visit singular.
    left = dependent_columns(rows.zz.sum(axis=0)[1:, 1:], [str(k) for k in range(1, q)])
    columns = np.array([k for k in range(1, q) if str(k) not in left], dtype=np.int64)
    profiles = data.profiles(data.n_courses @ data.means / data.n_courses.sum())
    contrasts = [*profiles, *(profiles[s] - profiles[0] for s in range(1, len(data.strata)))]
    names = (*data.strata, *(f"{s} - {data.strata[0]}" for s in data.strata[1:]))
    # Two knees of a patient are not two patients: the clustered variance over the model's says by how much.
    at = mean_rows(fit.design, profiles)[:, t]
    wanted = np.array([*at, *(at[s] - at[0] for s in range(1, len(at)))])
    inflation = (chosen.of(wanted, 0.95).se / model.of(wanted, 0.95).se) ** 2
    swap = None
    if reference is not None:
        swap = np.eye(q)
        for code in data.strata:
            k = data.labels.index(f"stratum={code}")
            swap[k, :] = 0.0
            swap[k, data.labels.index(f"stratum={reference}")] = 1.0
    return Plan(rows, fit, t, columns, np.array(contrasts)[:, columns], names, np.maximum(inflation, 1.0), swap)


def assumptions(refer: bool) -> dict[str, tuple[Rule, float]]:
    """Return what is assumed after the last visit seen, by name: a rule, and points of 100 added."""
    rules: list[Rule] = ["missing_at_random", "return_to_baseline"]
    rules += ["jump_to_reference", "copy_reference"] if refer else []
    return {**{rule: (rule, 0.0) for rule in rules}, **{f"delta {d:g}": (rules[0], d) for d in DELTAS[1:]}}


def under(plan: Plan, wanted: dict[str, tuple[Rule, float]], times: int, seed: int) -> dict[str, Combined]:
    """Return the combined estimates under each assumption, with the same draws under all of them."""
    rng = np.random.default_rng(seed)
    drawn = [_parameters(plan.fit, rng) for _ in range(times)]
    seeds = rng.integers(0, 2**63, times)
    freedom = float(plan.rows.n.sum()) - len(plan.columns)
    blocks = blocks_of(plan.rows, plan.t)
    made = {}
    for name, (rule, delta) in wanted.items():
        pairs = []
        for (mean, sigma), k in zip(drawn, seeds, strict=True):
            done = complete(plan.rows, mean, sigma, plan.t, np.random.default_rng(k), rule=rule, delta=delta,
                            swap=plan.swap, blocks=blocks)  # fmt: skip
            pairs.append(least_squares(done, plan.columns, plan.contrasts))
        estimate, variance = (np.array(x) for x in zip(*pairs, strict=True))
        found = combine(estimate, variance, freedom)
        made[name] = Combined(
            found.estimate, found.error * np.sqrt(plan.inflation), found.df, found.missing_information
        )  # fmt: skip
    return made


def _parameters(fit: MmrmFit, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw mean (T, q) and covariance (T, T) from their approximate posterior: normal in theta, then beta given it."""
    theta = fit.theta.ravel()
    root = np.linalg.cholesky(fit.theta_covariance + 1e-12 * np.eye(len(theta)))
    for _ in range(50):
        drawn = theta + root @ rng.normal(size=len(theta))
        sigma = covariance_matrix(fit.structure, drawn.reshape(fit.theta.shape)[0])
        at = profile(fit.sums, fit.design.maps, sigma[None], fit.reml)
        if at is not None:
            beta = at.beta + np.linalg.cholesky(at.phi) @ rng.normal(size=len(at.beta))
            return fit.design.maps @ beta, sigma
    raise NotEstimable("The covariance between visits is too uncertain to impute from: fewer visits may help.")


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
        limits = {"estimate": float(value[c]), "low": float(value[c] - reach[c]), "high": float(value[c] + reach[c])}
        if min(seen[c], total[c]) < FEWEST:
            limits = {}
        out.append(row(who, "weighted_for_observation", time_day=data.visits[-1].day, n=seen[c], denominator=total[c],
                       **limits))  # fmt: skip
    largest = float(made.weight.max())
    checks = [check("largest weight", largest, "<= 20", largest <= 20, "inverse probability of having been seen")]
    for i, code in enumerate(data.strata):
        mine = made.weight * z[:, 1 + i]
        effective = effective_sample_size(mine[mine > 0]) / max(seen[i], 1) if (mine > 0).any() else None
        checks.append(check(f"effective share of those seen in {code}", effective, ">= 0.5", (effective or 0) >= 0.5,
                            f"sum of weights over courses due: {mine.sum() / total[i]:.2f}"))  # fmt: skip
    return out, diagnostics_of(checks)


__all__ = ["DELTAS", "Plan", "Visit", "assumptions", "imputed_change", "plan_of", "under", "weighted"]
