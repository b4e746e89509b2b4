"""Trajectories: how far a score has changed from baseline at each planned visit, by stratum, whoever came or not."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import trajectory_figures
from analysis.cohort import (
    By,
    allowed,
    check_confidence,
    common_settings,
    place_courses,
    read,
    reduce,
    several,
)
from analysis.numerics.covariance import StructureName
from analysis.numerics.marginal_means import Method, mean_rows
from analysis.numerics.repeated import MmrmFit
from analysis.reduction import Reduction
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.trajectory_details import FEWEST
from analysis.trajectory_model import CovarianceBy, Inference, Likelihood, check_clustered, clustered, fit_by, method_of
from analysis.trajectory_question import (
    Adjust,
    Contrasts,
    IntercurrentPolicy,
    Measured,
    Unit,
    ask,
    check_adjust,
    compared,
    comparison_notes,
    measured_of,
)
from analysis.trajectory_rows import told
from analysis.trajectory_sums import Sums, complete_of, covariates_of, design_of, enough_visits, rows_of
from registry import Courses
from registry.errors import UsageError, choose

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Variance = Literal["clustered", "sandwich", "model"]


def trajectories(
    courses: Courses,
    *,
    scale: str | None = None,
    by: By = "stage",
    structure: StructureName = "unstructured",
    adjust: Adjust | tuple[Adjust, ...] = (),
    visits: str | tuple[str, ...] | None = None,
    end_policy: IntercurrentPolicy = "hypothetical",
    booster_policy: IntercurrentPolicy = "treatment_policy",
    unit: Unit = "points_of_100",
    covariance_by: CovarianceBy = "all",
    likelihood: Likelihood = "reml",
    degrees_of_freedom: Method | None = None,
    variance: Variance = "clustered",
    reference: str | None = None,
    contrasts: Contrasts = "reference",
    confidence: float = 0.95,
) -> Result:
    """Estimate the mean change from baseline at each planned visit by stratum, and the differences between strata.

    A mixed model for repeated measures, fitted by maximum likelihood to everything that was observed: valid when
    missing scores depend on what was observed (missing at random). A positive change is an improvement.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    scale
        A scale (``KOOS/pain``) or a domain (``function``: each course by the scale that stands for it); default: pain,
        or the first domain of the programme's response definition where it offers no pain scale.
    by
        What separates the strata; ``stage`` is the severity at baseline.
    structure
        Covariance between visits; a simpler one is used, and said, when the data do not determine it.
    adjust
        Covariates beside the baseline: ``age``, ``sex``, ``bmi``, and ``stage`` (× visit) where the strata are others,
        so that products, say, are compared in like stages. Courses lacking one leave, with the reason.
    visits
        Planned visits to analyse; default: all after baseline.
    end_policy
        ``hypothetical``: scores after joint replacement, switch or another end are set aside, as if nothing had ended
        the target; ``treatment_policy``: they count.
    booster_policy
        ``treatment_policy``: scores after boosters count; ``hypothetical``: they are set aside from the first booster.
    unit
        ``points_of_100``: points of the scale's range; ``native``: the scale's own unit. Both improvement-positive.
    covariance_by
        ``all``: the strata share one covariance between visits; ``stratum``: each its own, as where one spreads more
        than another. Where a stratum has too few courses for it, all share one after all, and a note says so.
    likelihood
        ``reml``: restricted maximum likelihood; ``ml``: full, for comparing models of the mean (the diagnostics then
        give log-likelihood and AIC); its variances do not allow for the coefficients, so that limits are narrower.
    degrees_of_freedom
        Small-sample method of the variance of the model, i.e. when every patient has one course. Default:
        ``kenward-roger-linear`` under ``reml``, ``satterthwaite`` under ``ml``, for which Kenward-Roger does not hold.
        A sandwich has Satterthwaite's of its own; another is refused.
    variance
        ``clustered``: by patient where some have several courses, else that of the model; ``sandwich``: empirical, each
        patient a cluster, with one course too, so that limits hold where strata differ in spread; ``model``: a quick
        look that takes courses of a patient for independent. The estimates are the same.
    reference
        Stratum that the others are compared with. Default: the first where strata have an order (stages, bands of
        dose), else the largest, and a note says which.
    contrasts
        ``reference``: the difference of each stratum to the reference; ``pairwise``: those between all others too.

    Returns
    -------
    Result
        Quantities by stratum and ``time_day``: ``mean_change`` (at the stratum's own baseline), ``adjusted_change`` and
        ``difference`` (at the covariates of the whole cohort), ``seen`` (share of courses due), for comparison only
        ``observed_case`` and ``complete_case``, and the ``test`` of stratum × visit. Its ``details`` have standard
        error, degrees of freedom, t and two-sided p of every mean and difference, each ``coefficient`` of the model
        (`term`), and ``covariance`` and ``correlation`` between visits (``time_day``, ``other_day``) by group.

    Raises
    ------
    NotEstimable
        When the scale was not measured, or no visit has enough courses.
    UsageError
        When an option, scale, visit or reference is not known, Kenward-Roger is asked of full likelihood, or a sandwich
        is asked for degrees of freedom of the model.

    References
    ----------
    Mallinckrodt, Clark & David 2001; Kenward & Roger 1997; Bell & McCaffrey 2002. See docs/methods/trajectories.md.

    Examples
    --------
    >>> change = trajectories(knees, scale="pain", by="stage")
    >>> change.say("mean_change", "early", 365)  # points of 100, positive is improvement
    '... (95 % CI ... to ...)'
    >>> change.details.columns[5:10]
    ['estimate', 'standard_error', 'degrees_of_freedom', 't', 'p']
    """
    choose(variance, allowed(Variance), "variance =")
    method_of(degrees_of_freedom, likelihood)
    reduction = reduce_trajectories(
        courses, scale=scale, by=by, adjust=adjust, visits=visits, end_policy=end_policy, booster_policy=booster_policy,
        unit=unit, rows=variance != "model",
    )  # fmt: skip
    return answer_trajectories(
        reduction, structure=structure, covariance_by=covariance_by, likelihood=likelihood,
        degrees_of_freedom=degrees_of_freedom, variance=variance, reference=reference, contrasts=contrasts,
        confidence=confidence,
    )  # fmt: skip


def reduce_trajectories(
    courses: Courses,
    *,
    scale: str | None = None,
    by: By = "stage",
    adjust: Adjust | tuple[Adjust, ...] = (),
    visits: str | tuple[str, ...] | None = None,
    end_policy: IntercurrentPolicy = "hypothetical",
    booster_policy: IntercurrentPolicy = "treatment_policy",
    unit: Unit = "points_of_100",
    rows: bool = True,
) -> Reduction:
    """Add up the cross-products of changes by pattern of visits attended; arguments as :func:`trajectories`.

    Without `rows` those of single courses, which a variance clustered by patient needs, are not read.
    """
    adjust, visits = several(adjust), None if visits is None else several(visits)
    check_adjust(adjust, by)
    strata, kept = place_courses(courses, by)
    policies = {"unit": unit, "end_policy": end_policy, "booster_policy": booster_policy}
    measured = ask(kept, scale, visits, adjust, **policies)
    names = ("product", "pattern", "due", "course")
    products, patterns, due, people = reduce(kept, *(f"reduction.trajectory_{name}" for name in names))
    kept = kept.exclude(people.filter(pl.col("reason").is_not_null()).select("course_id", "reason"))
    used = people.filter(pl.col("reason").is_null())
    values = read(kept, "reduction.trajectory_value") if rows else []
    own = used.group_by("patient_id").agg(n_courses=pl.len()).group_by("n_courses").agg(n=pl.len())
    return Reduction(
        question="trajectories",
        placed={"scale": measured.asked, "by": by, "adjust": list(adjust), "visits": visits, **policies},
        strata=tuple(strata),
        frames={
            "trajectory_product": products,
            "trajectory_due": due,
            "trajectory_complete": complete_of(patterns),
            "trajectory_scale": measured.among(used["scale"]).scales,
            "courses_of_a_patient": own.sort("n_courses"),
        },
        flow=kept.flow(),
        settings={
            **common_settings(kept, strata, "trajectories", by),
            **policies,
            "domain": measured.domain,
            "adjust": list(adjust),
            "planned": [{"visit": v.name, "position": v.position, "day": v.day} for v in measured.visits],
        },
        rows={"trajectory_course": used, "trajectory_value": values[0]} if values else {},
    )


def answer_trajectories(
    reduction: Reduction,
    *,
    structure: StructureName = "unstructured",
    covariance_by: CovarianceBy = "all",
    likelihood: Likelihood = "reml",
    degrees_of_freedom: Method | None = None,
    variance: Variance = "clustered",
    reference: str | None = None,
    contrasts: Contrasts = "reference",
    confidence: float = 0.95,
) -> Result:
    """Estimate mean changes from cross-products; arguments as :func:`trajectories`.

    Where patients have several courses and their rows are not at hand, as for centres pooled, the variance is that of
    the model, which takes courses as independent; a note says so, and ``sandwich`` is refused.
    """
    choose(variance, allowed(Variance), "variance =")
    if variance == "sandwich" and not reduction.rows:
        raise UsageError(
            "variance = 'sandwich' needs the rows of courses, which counts do not hold. Leave it out: the variance is "
            "then that of the model."
        )
    choose(structure, allowed(StructureName), "structure =")
    choose(covariance_by, allowed(CovarianceBy), "covariance_by =")
    method = method_of(degrees_of_freedom, likelihood)
    check_confidence(confidence)
    strata, frames, settings = list(reduction.strata), reduction.frames, reduction.settings
    measured = measured_of(reduction)
    products = frames["trajectory_product"]
    covariates = covariates_of(products, settings["adjust"])
    data, too_few = enough_visits(products, strata, measured.visits, covariates, measured.label)
    labels = {s.code: s.label for s in strata}
    sides = compared(data, reduction.by, labels, reference, contrasts)
    single = bool((frames["courses_of_a_patient"]["n_courses"] == 1).all())
    empirical = bool(reduction.rows) and (variance == "sandwich" or (variance == "clustered" and not single))
    if empirical:
        check_clustered(degrees_of_freedom)
    design, dependent = design_of(data)
    fit, said = fit_by(data, design, structure, likelihood, covariance_by)
    model = Inference(fit, method)
    chosen, due = model, frames["trajectory_due"]
    if empirical:
        rows = rows_of(reduction.rows["trajectory_value"], reduction.rows["trajectory_course"], data)
        chosen = clustered(fit, method, rows)
    complete = frames["trajectory_complete"]
    frame, details = told(strata, data, chosen, due, confidence, sides.pairs, complete)
    # What is compared is drawn: strata alike in what was adjusted for, where that was asked.
    drawn = "adjusted_change" if settings["adjust"] and len(data.strata) > 1 else "mean_change"
    policies = (str(settings["end_policy"]), str(settings["booster_policy"]))
    notes = _notes(measured, data, [*too_few, *_left_out(dependent), *said])
    return Result(
        question="trajectories",
        title=f"Change from baseline in {measured.label} by {reduction.by}",
        frame=frame,
        settings={
            **{k: v for k, v in settings.items() if k != "planned"},
            **measured.settings(),
            "visits": [{"visit": v.name, "day": v.day} for v in data.visits],
            **_fit_settings(fit, (structure, covariance_by), _variance_told(empirical, single), method, confidence),
            "reference": sides.reference or None,
            "contrasts": contrasts,
            "drawn": drawn,
            "estimand": _estimand(measured, reduction.by, *policies),
        },
        attrition=reduction.flow,
        diagnostics=_diagnostics(data, model, chosen, structure, due),
        curves=_curves(frame, data, drawn),
        at_risk=frame.filter(pl.col("quantity") == "seen"),
        details=details,
        notes=(
            *comparison_notes(reduction.by, settings["adjust"]),
            *sides.notes,
            *notes,
            *_of_patients(single, empirical, variance == "clustered" and bool(reduction.rows)),
            *reduction.notes,
        ),
        draw=trajectory_figures.mean_change,
    )


def _of_patients(single: bool, by_patient: bool, offered: bool) -> tuple[str, ...]:
    """Return what is to be said of patients with several courses, or one; `offered`: a sandwich could be asked for."""
    if single and by_patient:
        return ()
    if single:
        other = ("variance='sandwich' asks for the empirical variance, each patient a cluster.",) if offered else ()
        return ("Every patient has one course: the variance is that of the model.", *other)
    if by_patient:
        return ("Some patients have several courses: intervals are clustered by patient.",)
    return ("Some patients have several courses, and their rows were not used: intervals take courses as independent.",)


def _variance_told(empirical: bool, single: bool) -> str:
    """Return whose variance is given; with several courses CR2 is of each course, which is not CR2 of patients."""
    if not empirical:
        return "model"
    return "sandwich (CR2)" if single else "sandwich clustered by patient (scores reduced by course as in CR2)"


def _fit_settings(
    fit: MmrmFit, asked: tuple[str, str], variance: str, method: str, confidence: float
) -> dict[str, Any]:
    return {
        "structure": asked[0],
        "structure_used": fit.structure.name,
        "covariance_by": asked[1],
        "covariance_by_used": "all" if fit.sums.groups == ("all",) else "stratum",
        "likelihood": "reml" if fit.reml else "ml",
        "variance": variance,
        "degrees_of_freedom": method if variance == "model" else "Satterthwaite of the sandwich",
        "confidence": confidence,
    }


def _curves(frame: pl.DataFrame, data: Sums, quantity: str) -> pl.DataFrame:
    """Change at baseline, which is nought, and after it."""
    start = [row(code, quantity, time_day=0.0, estimate=0.0, low=0.0, high=0.0) for code in data.strata]
    return pl.concat([frame_of(start), frame.filter(pl.col("quantity") == quantity)]).sort("stratum", "time_day")


def _diagnostics(data: Sums, model: Inference, chosen: Inference, structure: str, due: pl.DataFrame) -> pl.DataFrame:
    fit = model.fit
    certificate = fit.convergence
    checks = [
        check("Newton decrement", certificate.newton_decrement, "<= 1e-10", certificate.newton_decrement <= 1e-10,
              "twice the rise in log-likelihood that another step promises"),
        check("smallest curvature", certificate.smallest_curvature, "> 0", certificate.smallest_curvature > 0),
        check("covariance as asked", None, structure, fit.structure.name == structure, f"used: {fit.structure.name}"),
        check("courses never seen after treatment", data.sums.n_unobserved, "stated", True,
              "they count in the covariates over which means are taken"),
    ]  # fmt: skip
    if not fit.reml:
        checks.append(check("log-likelihood", fit.loglik, "stated", True, f"AIC {fit.aic:.2f}, by full likelihood"))
    last = data.visits[-1]
    for n, of, code in due.filter(position=last.position).select("n_seen", "n_due", "stratum").iter_rows():
        share = n / of if of else None
        checks.append(
            check(f"seen at {last.name} in {code}", share, ">= 0.6", share is not None and share >= 0.6, f"{n} of {of}")
        )
    if chosen is not model:
        contrasts = mean_rows(fit.design, data.profiles(data.means))[data.seen >= FEWEST]
        ratio = chosen.error(contrasts) / model.error(contrasts)
        note = f"clustered by patient over courses as independent: {ratio.min():.2f} to {ratio.max():.2f}"
        checks.append(check("ratio of standard errors", float(np.median(ratio)), "stated", True, note))
    return diagnostics_of(checks)


def _left_out(dependent: list[str]) -> list[str]:
    return [f"{name} is determined by the other covariates and is left out." for name in dependent]


def _notes(measured: Measured, data: Sums, left: list[str]) -> tuple[str, ...]:
    notes = ["Missing scores are taken to depend on what was observed (missing at random); no data can show that."]
    notes += measured.notes() + left
    if data.sums.n_unobserved:
        notes.append(f"{data.sums.n_unobserved} courses have a baseline and no score at any of these visits.")
    return tuple(notes)


def _estimand(measured: Measured, by: str, end_policy: str, booster_policy: str) -> str:
    ends = {"hypothetical": "had the target not ended", "treatment_policy": "whatever ended the target"}
    boosters = {"hypothetical": "had no booster been given", "treatment_policy": "whatever boosters were given"}
    return (
        f"mean change from baseline in {measured.label} ({measured.unit_label}, positive is improvement) at each "
        f"planned visit, by {by}, among courses with a baseline, "
        f"{ends[end_policy]} and {boosters[booster_policy]}, and had nobody died"
    )
