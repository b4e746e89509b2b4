"""Trajectories: how far a score has changed from baseline at each planned visit, by stratum, whoever came or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from analysis import trajectory_figures
from analysis.cohort import By, Stratum, allowed, check_confidence, common_settings, place_courses, reduce
from analysis.numerics.covariance import StructureName
from analysis.numerics.marginal_means import Method, mean_rows
from analysis.numerics.repeated import MmrmFit
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.trajectory_model import Inference, clustered, fit_with_fallback, interaction_rows
from analysis.trajectory_question import Adjust, IntercurrentPolicy, Measured, Unit, ask
from analysis.trajectory_sums import Sums, Visit, design_of, rows_of, sums_of
from registry import Courses
from registry.errors import NotEstimable, choose

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# A mean of fewer courses at a visit is not reported: its standard error would rest on the model alone.
FEWEST = 5
_COLUMNS: dict[str, str] = {"age": "age", "sex": "female", "bmi": "bmi"}


def trajectories(
    courses: Courses,
    *,
    scale: str | None = None,
    by: By = "stage",
    structure: StructureName = "unstructured",
    adjust: tuple[Adjust, ...] = (),
    visits: tuple[str, ...] | None = None,
    end_policy: IntercurrentPolicy = "hypothetical",
    booster_policy: IntercurrentPolicy = "treatment_policy",
    unit: Unit = "points_of_100",
    degrees_of_freedom: Method = "kenward-roger-linear",
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
    """
    choose(structure, allowed(StructureName), "structure =")
    choose(degrees_of_freedom, allowed(Method), "degrees_of_freedom =")
    check_confidence(confidence)
    strata, kept = place_courses(courses, by)
    policies = {"unit": unit, "end_policy": end_policy, "booster_policy": booster_policy}
    measured = ask(kept, scale, visits, adjust, **policies)
    names = [f"reduction.trajectory_{name}" for name in ("product", "due", "course", "value")]
    products, due, people, values = reduce(kept, *names)
    kept = kept.exclude(people.filter(pl.col("reason").is_not_null()).select("course_id", "reason"))
    data, too_few = enough_visits(products, strata, measured.visits, tuple(_COLUMNS[a] for a in adjust), measured.label)
    design, dependent = design_of(data)
    fit, why = fit_with_fallback(data.sums, design, structure)
    used = people.filter(pl.col("reason").is_null())
    measured = measured.among(used["scale"])
    model = Inference(fit, degrees_of_freedom)
    single = used["patient_id"].n_unique() == used.height
    chosen = model if single else clustered(fit, degrees_of_freedom, rows_of(values, used, data))
    frame = _numbers(strata, data, chosen, due, confidence)
    settings = {
        **common_settings(kept, strata, "trajectories", by),
        **measured.settings(),
        **policies,
        "adjust": list(adjust),
        "visits": [{"visit": v.name, "day": v.day} for v in data.visits],
        **_fit_settings(fit, structure, single, degrees_of_freedom, confidence),
        "estimand": _estimand(measured, by, end_policy, booster_policy),
    }
    return Result(
        question="trajectories",
        title=f"Change from baseline in {measured.label} by {by}",
        frame=frame,
        settings=settings,
        attrition=kept.flow(),
        diagnostics=_diagnostics(data, model, chosen, structure, due),
        curves=_curves(frame, data),
        at_risk=frame.filter(pl.col("quantity") == "seen"),
        notes=_notes(measured, data, [*too_few, *_left_out(dependent)], why, fit, single),
        draw=trajectory_figures.mean_change,
    )


def _fit_settings(fit: MmrmFit, structure: str, single: bool, method: str, confidence: float) -> dict[str, Any]:
    return {
        "structure": structure,
        "structure_used": fit.structure.name,
        "variance": "model" if single else "sandwich clustered by patient (CR2)",
        "degrees_of_freedom": method if single else "Satterthwaite of the sandwich",
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


def _numbers(
    strata: list[Stratum], data: Sums, inference: Inference, due: pl.DataFrame, confidence: float
) -> pl.DataFrame:
    shown = data.seen >= FEWEST
    own = mean_rows(inference.fit.design, data.profiles(data.means))
    common = mean_rows(inference.fit.design, data.profiles(data.n_courses @ data.means / data.n_courses.sum()))
    rows: list[dict[str, Any]] = []
    for stratum in strata:
        if stratum.code not in data.strata:
            rows += [_empty(stratum.code, v, "nobody in this stratum") for v in data.visits]
            continue
        s = data.strata.index(stratum.code)
        rows += _modelled(data, "mean_change", stratum.code, own[s], data.seen[s], inference, confidence)
        if len(data.strata) > 1:
            rows += _modelled(data, "adjusted_change", stratum.code, common[s], data.seen[s], inference, confidence)
        rows += _seen(data, stratum.code, due)
        rows += _naive(data, s, confidence)
    for s in range(1, len(data.strata)):
        name = f"{data.strata[s]} - {data.strata[0]}"
        pair = np.where(shown[s] & shown[0], data.seen[s] + data.seen[0], 0.0)
        rows += _modelled(data, "difference", name, common[s] - common[0], pair, inference, confidence)
    rows.append(_test(data, inference, shown))
    return frame_of(rows)


def _empty(code: str, visit: Visit, note: str, quantity: str = "mean_change", seen: float = 0.0) -> dict[str, Any]:
    return row(code, quantity, time_day=visit.day, denominator=int(seen), note=note)


def _modelled(
    data: Sums, quantity: str, name: str, contrast: Floats, seen: Floats, inference: Inference, confidence: float
) -> list[dict[str, Any]]:
    """Estimates of one stratum or contrast (T, p); visits at which too few were seen have none."""
    enough = np.flatnonzero(seen >= FEWEST)
    found = inference.of(contrast[enough], confidence) if len(enough) else None
    rows = []
    for t, visit in enumerate(data.visits):
        if found is None or t not in enough:
            rows.append(_empty(name, visit, f"fewer than {FEWEST} courses were seen", quantity, seen[t]))
            continue
        k = int(np.searchsorted(enough, t))
        rows.append(
            row(name, quantity, time_day=visit.day, estimate=float(found.estimate[k]), low=float(found.lower[k]),
                high=float(found.upper[k]), denominator=int(seen[t]))
        )  # fmt: skip
    return rows


def _seen(data: Sums, code: str, due: pl.DataFrame) -> list[dict[str, Any]]:
    mine = {p: (seen, of) for p, seen, of in due.filter(stratum=code).select("position", "n_seen", "n_due").iter_rows()}
    rows = []
    for visit in data.visits:
        n, of = mine[visit.position]
        rows.append(
            row(code, "seen", time_day=visit.day, estimate=n / of if of else None, n=n, denominator=of,
                note=None if of else "not due for anybody yet")
        )  # fmt: skip
    return rows


def _naive(data: Sums, s: int, confidence: float) -> list[dict[str, Any]]:
    """Means of whoever came, at each visit and at all of them: comparisons, biased when dropout is informative."""
    everybody = np.ones(len(data.stratum), dtype=bool)
    ways: dict[str, tuple[Bools, str]] = {
        "observed_case": (everybody, "for comparison only: whoever was seen at this visit"),
        "complete_case": (np.asarray(data.sums.observed.all(axis=1)), "for comparison only: seen at every visit"),
    }
    rows = []
    for quantity, (chosen, note) in ways.items():
        n, mean, sd = (x[s] for x in data.raw_change(chosen))
        for t, visit in enumerate(data.visits):
            if n[t] < FEWEST:
                rows.append(_empty(data.strata[s], visit, f"fewer than {FEWEST} courses; {note}", quantity, n[t]))
                continue
            reach = float(stats.t.ppf(0.5 + confidence / 2, n[t] - 1) * sd[t] / np.sqrt(n[t]))
            rows.append(
                row(data.strata[s], quantity, time_day=visit.day, estimate=float(mean[t]), low=float(mean[t] - reach),
                    high=float(mean[t] + reach), denominator=int(n[t]), note=note)
            )  # fmt: skip
    return rows


def _test(data: Sums, inference: Inference, shown: Bools) -> dict[str, Any]:
    rows = interaction_rows(inference.fit.design, data, shown)
    if len(rows) == 0:
        return row("all", "test", note="a test of stratum × visit needs two strata at two visits")
    found = inference.test(rows)
    note = (
        f"stratum × visit: F({found.df_numerator:.0f}, {found.df_denominator:.1f}) = {found.statistic:.3f}; "
        "whether the strata differ by the same amount at all visits"
    )
    return row("all", "test", estimate=found.p_value, denominator=data.sums.n_subjects, note=note)


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


def _notes(measured: Measured, data: Sums, left: list[str], why: str, fit: MmrmFit, single: bool) -> tuple[str, ...]:
    notes = ["Missing scores are taken to depend on what was observed (missing at random); no data can show that."]
    notes += measured.notes() + left
    if why:
        notes.append(f"The covariance is {fit.structure.name}, since the one asked for could not be fitted: {why}")
    if not single:
        notes.append("Some patients have several courses: intervals are clustered by patient.")
    if data.sums.n_unobserved:
        notes.append(f"{data.sums.n_unobserved} courses have a baseline and no score at any of these visits.")
    return tuple(notes)


def _estimand(measured: Measured, by: str, end_policy: str, booster_policy: str) -> str:
    ends = {"hypothetical": "had the target not ended", "treatment_policy": "whatever ended the target"}
    boosters = {"hypothetical": "had no booster been given", "treatment_policy": "whatever boosters were given"}
    return (
        f"mean change from baseline in {measured.label} ({measured.unit_label}, positive is improvement) at each "
        f"planned visit, by {by}, among courses with a baseline, "
        f"{ends[end_policy]} and {boosters[booster_policy]}, while alive"
    )
