"""Time to response: how soon, and in how many, the treatment is followed by a response that visits can only bracket."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from analysis import figures
from analysis.cohort import (
    BoosterPolicy,
    By,
    Confirmation,
    Days,
    Definition,
    EarlyVisits,
    EndPolicy,
    RescuePolicy,
    check_confidence,
    check_days,
    check_resampling,
    common_settings,
    definition_of,
    patient_clusters,
    place,
    programmes_of,
    reduce,
)
from analysis.exposure import exposure_note
from analysis.numerics.interval import NPMLE, IntervalData, coarse_ends, npmle
from analysis.reduction import Reduction
from analysis.response_rows import at_risk, curves, diagnostics, grid_of, interval_data, numbers, regions
from analysis.result import Result
from registry import Courses
from registry.errors import NotEstimable, UsageError
from registry.progress import steps

Floats = NDArray[np.float64]

_RESAMPLE_STEPS = 3
# Where a stratum has more distinct ends than this, its resamples are refitted with ends by month.
_FEW_ENDS = 60
_MONTH = 30.0
QUICK = "A quick look: without limits and without a test, which resamples = 200 gives."
HORIZON_DAYS = (91, 183, 365, 730)


def time_to_response(
    courses: Courses,
    *,
    definition: str | None = None,
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    early_visits: EarlyVisits = "ignored",
    end_policy: EndPolicy = "competing",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
    horizon_day: Days = HORIZON_DAYS,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 20040312,
) -> Result:
    """Estimate the cumulative incidence of response by stage, from the intervals between visits.

    Response lies between the last visit without and the first visit with it; the estimate is the nonparametric maximum
    likelihood for such intervals with an exactly timed competing end. Nothing is placed at a midpoint or a visit date.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    definition
        Response definition of the catalogue; default: the programme's own.
    by
        What separates the strata; ``stage`` is the severity at baseline.
    confirmation
        ``confirmed``: the next visit must agree; ``first``: the first crossing, most of which may be measurement error.
    early_visits
        Whether visits before evaluation is due can show a response.
    end_policy
        ``competing``: a replaced or dead target can no longer respond (what happened); ``censor``: what would have
        happened had nothing ended it, if ends were unrelated to response.
    booster_policy
        ``treatment_policy``: whatever boosters were given; ``censor``: stop at the last visit before the first booster.
    rescue_policy
        ``treatment_policy``: whatever rescue was given; ``censor``: stop at the last visit before the first, as if none
        had been needed; ``composite``: rescue is a failure, and counts as an end of the target.
    horizon_day
        Days at which the incidence is reported.
    resamples, seed
        Bootstrap samples of patients for the intervals; patients, not courses, since two knees are not independent.
        0: a quick look, without limits and without the test; the estimates are the same.

    Returns
    -------
    Result
        Quantities ``response``, ``end_before_response`` (shares of 1 by day), ``median_day``, and the ``difference``
        and ``test`` between strata.

    Raises
    ------
    NotEstimable
        When no course can be judged, or the programme has no agreed definition.

    References
    ----------
    Turnbull 1976; Hudgens, Satten & Longini 2001; Sun 1996; Fay & Shaw 2010. See docs/methods/time-to-response.md.

    Examples
    --------
    >>> response = time_to_response(knees, by="stage", horizon_day=(365,), resamples=20)
    >>> response.say("response", "early", 365)
    '... % (95 % CI ... to ...)'
    >>> response.plot().alt_text
    'Cumulative incidence of response over 12 months. At its end: Early ...
    """
    check_resampling(seed, resamples, or_none=True)
    reduction = reduce_response(
        courses, definition=definition, by=by, confirmation=confirmation, early_visits=early_visits,
        end_policy=end_policy, booster_policy=booster_policy, rescue_policy=rescue_policy,
        clusters=resamples > 0,
    )  # fmt: skip
    return answer_response(reduction, horizon_day=horizon_day, confidence=confidence, resamples=resamples, seed=seed)


def reduce_response(
    courses: Courses,
    *,
    definition: str | None = None,
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    early_visits: EarlyVisits = "ignored",
    end_policy: EndPolicy = "competing",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
    clusters: bool = True,
) -> Reduction:
    """Count the intervals in which courses responded; arguments as :func:`time_to_response`.

    Without `clusters` the intervals are not counted by patient: no limits can be resampled from it.
    """
    chosen = definition_of(courses, definition)
    placed = {
        "by": by, "confirmation": confirmation, "early_visits": early_visits, "end_policy": end_policy,
        "booster_policy": booster_policy, "rescue_policy": rescue_policy,
    }  # fmt: skip
    strata, kept = place(courses, definition=chosen, **placed)
    names = ("response_cell", "response_cluster") if clusters else ("response_cell",)
    frames = dict(zip(names, reduce(kept, *(f"reduction.{name}" for name in names)), strict=True))
    kept = kept.exclude(_not_assessed(kept, chosen))
    return Reduction(
        question="time_to_response",
        placed={"definition": chosen.definition, **placed},
        strata=tuple(strata),
        frames=frames,
        flow=kept.flow(),
        settings={**common_settings(kept, strata, "time_to_response", by), **chosen.settings, **placed},
        notes=(*exposure_note(by), *_notes(chosen, confirmation, kept)),
    )


def answer_response(
    reduction: Reduction,
    *,
    horizon_day: Days = HORIZON_DAYS,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 20040312,
) -> Result:
    """Estimate the incidence of response from counted intervals; arguments as :func:`time_to_response`."""
    check_confidence(confidence)
    check_resampling(seed, resamples, or_none=True)
    strata, settings = list(reduction.strata), reduction.settings
    cells = reduction.frames["response_cell"]
    if resamples and "response_cluster" not in reduction.frames:
        raise UsageError("These intervals were not counted by patient: only resamples = 0 can be answered from them.")
    patterns = reduction.frames["response_cluster"] if resamples else None
    if cells.height == 0:
        raise NotEstimable(f"No course can be judged by {settings['definition']}. {reduction.why_nobody()}")
    days = np.array(check_days(horizon_day, "horizon_day"), dtype=float)
    fits = {s.code: fit_intervals(cells.filter(pl.col("stratum") == s.code)) for s in strata}
    samples = None if patterns is None else bootstrap_incidence(cells, patterns, fits, days, resamples, seed)
    asked = {"horizon_day": [int(d) for d in days], "confidence": confidence, "resamples": resamples, "seed": seed}
    return Result(
        question="time_to_response",
        title=f"Time to response by {reduction.by}: {settings['definition_label']}",
        frame=numbers(strata, fits, cells, patterns, samples, days, confidence),
        settings={**settings, **asked},
        attrition=reduction.flow,
        diagnostics=diagnostics(strata, fits, cells),
        curves=curves(strata, fits, cells, samples, grid_of(days), confidence),
        at_risk=at_risk(strata, cells, days),
        regions=regions(fits),
        notes=(*reduction.notes, *(() if resamples else (QUICK,))),
        draw=figures.cumulative_incidence,
    )


def fit_intervals(cells: pl.DataFrame) -> NPMLE | None:
    """Return the estimate of the rows of ``reduction.response_cell`` of one stratum; None if nobody is in it."""
    if cells.height == 0:
        return None
    data = interval_data(cells)
    ends = np.unique(data.right[data.kind == 1])
    if len(ends) <= _FEW_ENDS:
        return npmle(data)
    # The same optimum, certified; sooner from where ends by month lead.
    coarse, _ = coarse_ends(data, np.arange(0.0, float(ends[-1]) + _MONTH, _MONTH))
    return npmle(data, start=npmle(coarse, certify=False))


def bootstrap_incidence(
    cells: pl.DataFrame, patterns: pl.DataFrame, fits: dict[str, NPMLE | None], days: Floats, times: int, seed: int
) -> dict[str, Floats]:
    """Return resampled incidences by stratum, each (2, times, grid of `days`): response, and end before response."""
    grid = grid_of(days)
    drawn = patient_clusters(cells, patterns).resample(times, seed)
    out: dict[str, Floats] = {}
    for code, fit in fits.items():
        if fit is None:
            continue
        here = (cells["stratum"] == code).to_numpy()
        data, into = _for_resamples(interval_data(cells.filter(here)), days)
        counts = drawn[:, here] @ into
        whole = fit if into.shape[0] == into.shape[1] else npmle(data, tolerance=1e-6)
        # Coarser ends move the estimate and its resamples alike: what they say is how far a resample is from it.
        moved = _both(fit, grid) - _both(whole, grid)
        curves = np.full((2, times, len(grid)), np.nan)
        # Small systems: a second thread would only wait for the first.
        with threadpool_limits(1):
            for b in steps(np.flatnonzero(counts.sum(axis=1) > 0), f"resamples of {code}"):
                one = npmle(replace(data, count=counts[b]), start=whole, max_steps=_RESAMPLE_STEPS, certify=False)
                curves[:, b] = np.clip(moved + _both(one, grid), 0, 1)
        out[code] = curves
    return out


def _for_resamples(data: IntervalData, days: Floats) -> tuple[IntervalData, sparse.csr_matrix]:
    ends = np.unique(data.right[data.kind == 1])
    if len(ends) <= _FEW_ENDS:
        return data, sparse.identity(len(data.count), format="csr")
    last = max(float(ends[-1]), float(days[-1]))
    return coarse_ends(data, np.unique(np.concatenate([days, np.arange(0.0, last + _MONTH, _MONTH)])))


def _both(fit: NPMLE, grid: Floats) -> Floats:
    return np.array([fit.incidence(grid), fit.end_incidence(grid)])


def _not_assessed(courses: Courses, definition: Definition) -> pl.DataFrame:
    """Return the courses of the cohort that the reduction could not use, with the reason."""
    return courses.registry.con.execute(
        "select course_id, case when course.index_date is null then 'no treatment session' "
        "when not exists (select 1 from course.baseline b where b.course_id = cohort.course_id) "
        "then 'no baseline score' "
        "when follow_up.n_assessed_days = 0 then 'no assessment after treatment' "
        "when not exists (select 1 from endpoint.assessment a where a.course_id = cohort.course_id "
        "and a.definition = ? and a.met is not null) then 'the definition could not be judged' "
        "else 'no assessment since evaluation was due' end as reason "
        "from cohort.course as cohort join course.course as course using (course_id) "
        "join course.follow_up as follow_up using (course_id) "
        "where not exists (select 1 from reduction.response_course r where r.course_id = cohort.course_id)",
        [definition.definition],
    ).pl()


def _notes(definition: Definition, confirmation: str, courses: Courses) -> tuple[str, ...]:
    notes = []
    if not definition.verified:
        notes.append(
            f"Thresholds of {definition.definition} are not verified against their source: {definition.source}."
        )
    if confirmation == "first":
        notes.append("First crossings are counted: one crossing is mostly measurement error; compare with confirmed.")
    evidence = courses.registry.con.execute(
        "select evidence from catalogue.programme where list_contains(?, programme) and evidence is not null",
        [programmes_of(courses)],
    ).fetchall()
    return (*notes, *(str(e) for (e,) in evidence))
