"""Trajectories: how far a score has changed from baseline at each planned visit, by stratum, whoever came or not."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import trajectory_figures
from analysis.cohort import (
    By,
    Stratum,
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
from analysis.trajectory_model import Inference, clustered, fit_with_fallback
from analysis.trajectory_question import Adjust, IntercurrentPolicy, Measured, Unit, ask, measured_of
from analysis.trajectory_rows import FEWEST, numbers
from analysis.trajectory_sums import Sums, Visit, design_of, rows_of, sums_of
from registry import Courses
from registry.errors import NotEstimable, choose

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Variance = Literal["clustered", "model"]
_COLUMNS: dict[str, str] = {"age": "age", "sex": "female", "bmi": "bmi"}


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
    degrees_of_freedom: Method = "kenward-roger-linear",
    variance: Variance = "clustered",
    confidence: float = 0.95,
) -> Result:
    """Estimate the mean change from baseline at each planned visit by stratum, and the differences between strata.

    A mixed model for repeated measures, fitted by restricted maximum likelihood to everything that was observed: valid
    when missing scores depend on what was observed (missing at random). A positive change is an improvement.

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
        Covariates beside the baseline: ``age``, ``sex``, ``bmi``. Courses lacking one leave, with the reason.
    visits
        Planned visits to analyse; default: all after baseline.
    end_policy
        ``hypothetical``: scores after joint replacement, switch or another end are set aside, as if nothing had ended
        the target; ``treatment_policy``: they count.
    booster_policy
        ``treatment_policy``: scores after boosters count; ``hypothetical``: they are set aside from the first booster.
    unit
        ``points_of_100``: points of the scale's range; ``native``: the scale's own unit. Both improvement-positive.
    degrees_of_freedom
        Small-sample method when every patient has one course; otherwise the variance is clustered by patient.
    variance
        ``clustered``: by patient where some have several courses; ``model``: a quick look that takes their courses for
        independent; the estimates are the same, the intervals too narrow.

    Returns
    -------
    Result
        Quantities by stratum and ``time_day``: ``mean_change`` (at the stratum's own baseline), ``adjusted_change`` and
        ``difference`` (at the covariates of the whole cohort), ``seen`` (share of courses due), for comparison only
        ``observed_case`` and ``complete_case``, and the ``test`` of stratum × visit.

    Raises
    ------
    NotEstimable
        When the scale was not measured, or no visit has enough courses.
    UsageError
        When an option, scale or visit is not known.

    References
    ----------
    Mallinckrodt, Clark & David 2001; Kenward & Roger 1997; Bell & McCaffrey 2002. See docs/methods/trajectories.md.

    Examples
    --------
    >>> change = trajectories(knees, scale="pain", by="stage")
    >>> change.say("mean_change", "early", 365)  # points of 100, positive is improvement
    '... (95 % CI ... to ...)'
    """
    choose(variance, allowed(Variance), "variance =")
    reduction = reduce_trajectories(
        courses, scale=scale, by=by, adjust=adjust, visits=visits, end_policy=end_policy, booster_policy=booster_policy,
        unit=unit, rows=variance == "clustered",
    )  # fmt: skip
    return answer_trajectories(
        reduction, structure=structure, degrees_of_freedom=degrees_of_freedom, confidence=confidence
    )


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
    strata, kept = place_courses(courses, by)
    policies = {"unit": unit, "end_policy": end_policy, "booster_policy": booster_policy}
    measured = ask(kept, scale, visits, adjust, **policies)
    products, due, people = reduce(kept, *(f"reduction.trajectory_{name}" for name in ("product", "due", "course")))
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
    degrees_of_freedom: Method = "kenward-roger-linear",
    confidence: float = 0.95,
) -> Result:
    """Estimate mean changes from cross-products; arguments as :func:`trajectories`.

    Where patients have several courses and their rows are not at hand, as for centres pooled, the variance is that of
    the model, which takes courses as independent; a note says so.
    """
    choose(structure, allowed(StructureName), "structure =")
    choose(degrees_of_freedom, allowed(Method), "degrees_of_freedom =")
    check_confidence(confidence)
    strata, frames, settings = list(reduction.strata), reduction.frames, reduction.settings
    measured = measured_of(reduction)
    covariates = tuple(_COLUMNS[a] for a in settings["adjust"])
    data, too_few = enough_visits(frames["trajectory_product"], strata, measured.visits, covariates, measured.label)
    design, dependent = design_of(data)
    fit, why = fit_with_fallback(data.sums, design, structure)
    model = Inference(fit, degrees_of_freedom)
    single = bool((frames["courses_of_a_patient"]["n_courses"] == 1).all())
    chosen, due = model, frames["trajectory_due"]
    if not single and reduction.rows:
        rows = rows_of(reduction.rows["trajectory_value"], reduction.rows["trajectory_course"], data)
        chosen = clustered(fit, degrees_of_freedom, rows)
    frame = numbers(strata, data, chosen, due, confidence)
    policies = (str(settings["end_policy"]), str(settings["booster_policy"]))
    notes = _notes(measured, data, [*too_few, *_left_out(dependent)], why, fit)
    return Result(
        question="trajectories",
        title=f"Change from baseline in {measured.label} by {reduction.by}",
        frame=frame,
        settings={
            **{k: v for k, v in settings.items() if k != "planned"},
            **measured.settings(),
            "visits": [{"visit": v.name, "day": v.day} for v in data.visits],
            **_fit_settings(fit, structure, chosen is model, degrees_of_freedom, confidence),
            "estimand": _estimand(measured, reduction.by, *policies),
        },
        attrition=reduction.flow,
        diagnostics=_diagnostics(data, model, chosen, structure, due),
        curves=_curves(frame, data),
        at_risk=frame.filter(pl.col("quantity") == "seen"),
        notes=(*notes, *_of_patients(single, chosen is not model), *reduction.notes),
        draw=trajectory_figures.mean_change,
    )


def _of_patients(single: bool, by_patient: bool) -> tuple[str, ...]:
    """Return what is to be said of patients with several courses."""
    if single:
        return ()
    if by_patient:
        return ("Some patients have several courses: intervals are clustered by patient.",)
    return ("Some patients have several courses, and their rows were not used: intervals take courses as independent.",)


def _fit_settings(fit: MmrmFit, structure: str, of_model: bool, method: str, confidence: float) -> dict[str, Any]:
    return {
        "structure": structure,
        "structure_used": fit.structure.name,
        "variance": "model" if of_model else "sandwich clustered by patient (CR2)",
        "degrees_of_freedom": method if of_model else "Satterthwaite of the sandwich",
        "confidence": confidence,
    }


def enough_visits(
    products: pl.DataFrame, strata: list[Stratum], visits: list[Visit], adjust: tuple[str, ...], label: str
) -> tuple[Sums, list[str]]:
    """Return the sums over visits that can be analysed, and what is to be said about the others.

    A visit needs twice as many courses as it has coefficients: one a stratum, and the slope of the baseline.
    """
    if products.height == 0:
        raise NotEstimable(f"No course has a baseline of {label} and the covariates asked for.")
    codes = [s.code for s in strata]
    full = sums_of(products, codes, visits, adjust)
    total, needed = full.seen.sum(axis=0), 2 * ((full.seen > 0).sum(axis=0) + 1)
    said = [
        f"{v.name}: {'nobody was seen' if n == 0 else f'only {n:.0f} courses were seen'}; the visit is left out."
        for v, n, least in zip(visits, total, needed, strict=True)
        if n < least
    ]
    enough = [v for v, n, least in zip(visits, total, needed, strict=True) if n >= least]
    if not enough:
        raise NotEstimable(
            f"No planned visit has enough courses with {label} for a mean change by stratum: "
            f"at most {total.max():.0f} were seen, {needed.max():.0f} are needed."
        )
    return sums_of(products, codes, enough, adjust), said


def _curves(frame: pl.DataFrame, data: Sums) -> pl.DataFrame:
    """Change at baseline, which is nought, and after it."""
    start = [row(code, "mean_change", time_day=0.0, estimate=0.0, low=0.0, high=0.0) for code in data.strata]
    return pl.concat([frame_of(start), frame.filter(pl.col("quantity") == "mean_change")]).sort("stratum", "time_day")


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
    last = data.visits[-1]
    for n, of, code in due.filter(position=last.position).select("n_seen", "n_due", "stratum").iter_rows():
        share = n / of if of else None
        checks.append(
            check(f"seen at {last.name} in {code}", share, ">= 0.6", share is not None and share >= 0.6, f"{n} of {of}")
        )
    if chosen is not model:
        contrasts = mean_rows(fit.design, data.profiles(data.means))[data.seen >= FEWEST]
        ratio = chosen.of(contrasts, 0.95).se / model.of(contrasts, 0.95).se
        note = f"clustered by patient over courses as independent: {ratio.min():.2f} to {ratio.max():.2f}"
        checks.append(check("ratio of standard errors", float(np.median(ratio)), "stated", True, note))
    return diagnostics_of(checks)


def _left_out(dependent: list[str]) -> list[str]:
    return [f"{name} is determined by the other covariates and is left out." for name in dependent]


def _notes(measured: Measured, data: Sums, left: list[str], why: str, fit: MmrmFit) -> tuple[str, ...]:
    notes = ["Missing scores are taken to depend on what was observed (missing at random); no data can show that."]
    notes += measured.notes() + left
    if why:
        notes.append(f"The covariance is {fit.structure.name}, since the one asked for could not be fitted: {why}")
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
