"""The effect of a booster, by stage: what would have happened had everybody been boosted, and had nobody been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from analysis import booster_figures as figures
from analysis.booster_data import Plan, Prepared, prepare
from analysis.booster_flow import decision_flow, origins, without_decision
from analysis.booster_gate import Gate, judge, overlap
from analysis.booster_model import bootstrap, estimate, sandwich_errors
from analysis.booster_naive import explanation, naive_rows
from analysis.booster_question import OUTCOMES, ask
from analysis.booster_rows import Numbers, e_value_rows, effect_rows
from analysis.cohort import (
    By,
    Days,
    Definition,
    Stratum,
    allowed,
    check_confidence,
    check_days,
    check_resampling,
    common_settings,
    definition_of,
    end_label,
    place,
    reduce,
    several,
)
from analysis.numerics.emulation import Design, Estimand
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Situation = Literal["any", "regression", "insufficient"]
Covariate = Literal["stage", "site", "age", "sex", "bmi", "origin", "centre", "symptom_months", "cost_barrier"]


def booster_effect(
    courses: Courses,
    *,
    outcome: str | None = None,
    estimand: Estimand = "per_protocol",
    situation: Situation = "any",
    design: Design | None = None,
    by: By = "stage",
    definition: str | None = None,
    grace_day: int = 30,
    horizon_day: Days = (183, 365),
    covariates: Covariate | tuple[Covariate, ...] = ("stage", "site", "age", "sex", "bmi"),
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 1,
    show_anyway: bool = False,
) -> Result:
    """Estimate the effect of a booster by emulating a trial at each decision, gated by its own diagnostics.

    Every visit without response at which a booster could be decided on, once evaluation was due and before any booster,
    starts a trial: boosted within the grace period against not boosted. Covariates are those of that day, and no later
    one can enter. Why some were boosted, why some who waited were boosted later, and who was not seen again is weighted
    away; the outcome model adjusts for the same covariates. Boosters are given because the benefit fades: the naive
    comparison stands beside, marked.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    outcome
        A scale (``KOOS/pain`` or ``koos_pain``) or a domain (``pain``): mean improvement since the decision, had nobody
        been replaced. ``response``: share in response, a target that ended counts as not. ``end``: risk of joint
        replacement, or the programme's end event; after a death there is none. ``loss``: time to loss or replacement,
        whichever came first; nobody is in response at a decision, so that loss is a score worse than on that day by the
        programme's rule (L5). Default: pain, or the programme's first domain.
    estimand
        ``per_protocol``: boosted within the grace period and not again, against not boosted until the day asked for.
        ``intention_to_treat``: decided on, whatever followed.
    situation
        ``regression``: response was lost; ``insufficient``: there was none yet; ``any``: both, told apart by a
        covariate and counted in the settings.
    design
        ``sequential`` trials; ``clone_censor``: an end within the grace period, before any booster, counts in both
        arms, since it could have come to either; ``g_formula``: outcome regression instead of a weight of the decision.
        Default: sequential for scores, clones for the rest.
    by
        What separates the strata; ``stage`` is the severity at baseline.
    definition
        Response definition that says who is without response; default: the programme's own.
    grace_day
        Days after the decision within which the booster must be given.
    horizon_day
        Days after the decision at which outcomes are compared.
    covariates
        Beside what every model has: baseline, score now, the one before, the best so far, time since treatment and
        since the last session, and whether response was lost.
    show_anyway
        Show the number although a check failed; the failures stay attached.

    Returns
    -------
    Result
        Quantities by stratum and ``time_day`` (days after the decision): ``improvement_boosted`` and ``_waiting`` (or
        ``share_in_response_…``, ``end_…``, ``loss_or_end_…``), ``difference`` (boosted minus waiting; positive is a
        benefit for scores and response, negative for ends and loss), ``ratio``, ``mean_days_…`` in response or
        ``mean_days_free_…`` of loss, ``difference_of_differences`` between strata and their ``test``, ``e_value``; and
        ``naive_…``. `n` counts courses boosted at a decision, `denominator` the courses with an eligible decision.
        ``withheld`` says which checks failed; the attrition ends with the courses that had an eligible decision.

    Raises
    ------
    NotEstimable
        When nobody was eligible, or nobody eligible was boosted.
    UsageError
        When an option is not known.

    References
    ----------
    Hernán & Robins 2016 Am J Epidemiol 183:758; Danaei 2013 Stat Methods Med Res 22:70. See docs/methods/booster.md.

    Examples
    --------
    >>> effect = booster_effect(knees, outcome="response", horizon_day=(182,), resamples=20)
    >>> effect.diagnostics.columns  # what must hold before the number is shown
    ['check', 'value', 'limit', 'passed', 'note']
    >>> effect.withheld == () or effect.frame.filter(quantity="difference")["estimate"].null_count() > 0
    True
    """
    if design is None:
        design = "clone_censor" if outcome in OUTCOMES and estimand == "per_protocol" else "sequential"
    covariates, horizon_day = several(covariates), check_days(horizon_day, "horizon_day", "the decision")
    check_resampling(seed, resamples)
    _check(estimand, situation, design, covariates, grace_day, horizon_day, confidence)
    asking = Asked(outcome, estimand, situation, design, by, definition, grace_day, horizon_day, covariates)
    trial = trial_of(courses, asking)
    strata, kept, chosen, asked = trial.strata, trial.kept, trial.chosen, trial.asked
    rows, naive, data, plan = trial.rows, trial.naive, trial.data, trial.data.plan
    whole = estimate(data, np.ones(len(data.visits.day)))
    again = bootstrap(data, whole, resamples, seed)
    gate = judge(data, whole)
    numbers = Numbers(data, whole, again, confidence)
    frame = effect_rows(numbers, strata, gate, show_anyway)
    frame += e_value_rows(numbers, strata, gate, show_anyway)
    frame += naive_rows(data, naive, strata, confidence)
    table = frame_of(frame)
    open_gate = show_anyway or not gate.closed
    settings = {
        **common_settings(kept, strata, "booster_effect", by),
        **{k: v for k, v in asked.items() if k != "kind"},
        **chosen.settings,
        "estimand": estimand,
        "situation": situation,
        "design": design,
        "grace_day": grace_day,
        "horizon_day": [int(d) for d in plan.days],
        "covariates": list(data.names),
        "adjusted_for": list(covariates),
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        "risk_set": origins(rows, data),
        "decision_flow": decision_flow(rows, data, situation),
        **overlap(data, whole),
        "show_anyway": show_anyway,
        "end_label": end_label(kept),
    }
    return Result(
        question="booster_effect",
        title=f"Effect of a booster by {by}: {settings['outcome_label']}, {estimand.replace('_', ' ')}",
        frame=table,
        settings=settings,
        attrition=kept.exclude(without_decision(kept.ids, rows, data, situation)).flow(),
        diagnostics=diagnostics_of([*gate.checks, *_errors(data, whole, numbers)]),
        curves=frame_of([*(_curves(numbers, strata, gate, show_anyway) if open_gate else []), *gate.balance]),
        notes=_notes(chosen.verified, chosen.definition, chosen.source, settings, table, strata, plan, gate),
        draw=figures.strategies,
        withheld=() if show_anyway else (*gate.closed, *(f"{s}: {why}" for s, why in gate.strata.items())),
    )


@dataclass(frozen=True)
class Asked:
    """What defines the trial: the arguments of :func:`booster_effect` that say who is compared with whom."""

    outcome: str | None
    estimand: Estimand
    situation: Situation
    design: Design
    by: By
    definition: str | None
    grace_day: int
    horizon_day: tuple[int, ...]
    covariates: tuple[Covariate, ...]


@dataclass(frozen=True)
class Trial:
    """The eligible decisions of a cohort: `rows` are ``reduction.booster_visit``, `data` the same as arrays."""

    strata: list[Stratum]
    kept: Courses
    chosen: Definition
    asked: dict[str, Any]
    rows: pl.DataFrame
    naive: pl.DataFrame
    data: Prepared


def trial_of(courses: Courses, a: Asked) -> Trial:
    """Place the courses and gather the decisions that the trial compares."""
    chosen = definition_of(courses, a.definition)
    strata, kept = place(courses, a.by, chosen)
    asked = ask(kept, a.outcome, chosen.definition)
    course_rows, rows, naive = reduce(
        kept, "reduction.booster_course", "reduction.booster_visit", "reduction.booster_naive"
    )
    kept = kept.exclude(course_rows.filter(pl.col("reason").is_not_null()).select("course_id", "reason"))
    days = tuple(float(d) for d in a.horizon_day)
    plan = Plan(str(asked["kind"]), a.estimand, a.design, float(a.grace_day), days, asked.get("worse_by", float("nan")))
    data = _prepared(rows, course_rows, strata, a.covariates, a.by, plan, a.situation)
    return Trial(strata, kept, chosen, asked, rows, naive, data)


def _check(
    estimand: str, situation: str, design: str, covariates: tuple[str, ...], grace_day: int,
    horizon_day: tuple[int, ...], confidence: float,
) -> None:  # fmt: skip
    choose(estimand, allowed(Estimand), "estimand =")
    choose(situation, allowed(Situation), "situation =")
    choose(design, allowed(Design), "design =")
    for name in covariates:
        choose(name, allowed(Covariate), "covariates =")
    if design == "clone_censor" and estimand == "intention_to_treat":
        raise UsageError("design='clone_censor' compares strategies that are followed: use estimand='per_protocol'.")
    if not 0 <= grace_day < min(horizon_day):
        raise UsageError(f"grace_day = {grace_day} must be 0 or more and less than the first of horizon_day.")
    check_confidence(confidence)


def _prepared(
    rows: pl.DataFrame, course_rows: pl.DataFrame, strata: list[Stratum], covariates: tuple[str, ...], by: str,
    plan: Plan, situation: str,
) -> Prepared:  # fmt: skip
    if rows.height == 0:
        raise NotEstimable("No course has a visit at which a booster could be decided on. Reasons are in .attrition.")
    # The strata have their own intercepts: their variable is no covariate beside them.
    data = prepare(
        rows, course_rows, tuple(s.code for s in strata), tuple(c for c in covariates if c != by), plan, situation
    )
    if len(data.start) == 0:
        raise NotEstimable(
            f"No decision is followed by {plan.days[-1]:.0f} days before the data cut (situation: {situation}). "
            "A shorter horizon_day, or a later data cut, is needed."
        )
    boosts = int(data.arm.sum())
    if boosts == 0 or boosts == len(data.start):
        which = "none was" if boosts == 0 else "all were"
        given = "decided" if plan.estimand == "intention_to_treat" else f"given within {plan.grace_day:.0f} days"
        raise NotEstimable(
            f"Of the eligible decisions {which} for a booster {given}: there is nothing to compare. "
            "Record the decisions against a booster too, or widen grace_day."
        )
    return data


def _curves(numbers: Numbers, strata: list[Stratum], gate: Gate, show_anyway: bool) -> list[dict[str, Any]]:
    rows = []
    for s, stratum in enumerate(strata):
        if numbers.why_not(s) or (stratum.code in gate.strata and not show_anyway):
            continue
        of = int(numbers.boosted[s] + numbers.waited[s])
        if numbers.grid[0] > 0:
            # Nothing has happened yet on the day of the decision.
            rows += [row(stratum.code, name, time_day=0.0, estimate=0.0, low=0.0, high=0.0, n=int(numbers.boosted[s]),
                         denominator=of) for name in ("boosted", "waiting", "difference")]  # fmt: skip
        for d, day in enumerate(numbers.grid):
            for name, value in (("boosted", numbers.level(s, d, 0)), ("waiting", numbers.level(s, d, 1)),
                                ("difference", numbers.difference(s, d))):  # fmt: skip
                rows.append(row(stratum.code, name, time_day=float(day), estimate=value[0], low=value[1], high=value[2],
                                n=int(numbers.boosted[s]), denominator=of))  # fmt: skip
    return rows


def _errors(data: Prepared, whole: Any, numbers: Numbers) -> list[dict[str, Any]]:
    """Return for mean outcomes how the resampled standard error compares with the sandwich, as information."""
    sandwich = sandwich_errors(data, whole)
    if sandwich is None:
        return []
    rows = []
    for s, code in enumerate(data.strata):
        d = numbers.at(data.plan.days[-1])
        again = numbers.treated_again[:, s, d] - numbers.waiting_again[:, s, d]
        if numbers.boosted[s] and sandwich[s, -1] > 0:
            ratio = float(np.nanstd(again, ddof=1) / sandwich[s, -1])
            note = "patients resampled, all models refitted; the sandwich takes the weights as known"
            rows.append(check(f"standard error over sandwich in {code}", ratio, "information", True, note))
    return rows


def _notes(
    verified: bool, definition: str, source: str, settings: dict[str, Any], table: pl.DataFrame, strata: list[Stratum],
    plan: Plan, gate: Gate,
) -> tuple[str, ...]:  # fmt: skip
    notes = []
    if not verified:
        notes.append(f"Thresholds of {definition} are not verified against their source: {source}.")
    failed = [*gate.closed, *(f"{s}: {why}" for s, why in gate.strata.items())]
    if failed and settings["show_anyway"]:
        notes.append("A check failed and the number is shown anyway: " + "; ".join(failed) + ".")
    if settings["situation"] == "any":
        notes.append(
            "Boosters for lost response and for insufficient response are pooled here, told apart by a covariate; "
            "situation='regression' or 'insufficient' asks of one."
        )
    notes.append(
        "No unmeasured reason for the booster is assumed, given what was known at the decision. Not randomised: see "
        "the E-value, the negative control and docs/methods/booster.md."
    )
    return (*notes, *explanation(table, strata, plan.outcome))
