"""Time to response: how soon, and in how many, the treatment is followed by a response that visits can only bracket."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from analysis import figures
from analysis.cohort import (
    BoosterPolicy,
    By,
    Confirmation,
    Definition,
    EarlyVisits,
    EndPolicy,
    Stratum,
    common_settings,
    definition_of,
    patient_clusters,
    place,
    programmes_of,
    reduce,
)
from analysis.interval import NPMLE, IntervalData, npmle
from analysis.interval_test import interval_test
from analysis.numerics.resampling import interval_of_probability
from analysis.result import REGIONS, Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError

Floats = NDArray[np.float64]

HORIZON_DAYS = (91, 183, 365, 730)
_KINDS = {"response": 0, "end": 1, "censored": 2}


def time_to_response(
    courses: Courses,
    *,
    definition: str | None = None,
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    early_visits: EarlyVisits = "ignored",
    end_policy: EndPolicy = "competing",
    booster_policy: BoosterPolicy = "treatment_policy",
    horizon_day: tuple[int, ...] = HORIZON_DAYS,
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
    horizon_day
        Days at which the incidence is reported.
    resamples, seed
        Bootstrap samples of patients for the intervals; patients, not courses, since two knees are not independent.

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
    """
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence = {confidence} must lie between 0.5 and 1, e.g. 0.95.")
    if resamples < 20:
        raise UsageError(f"resamples = {resamples} is too few for an interval: give 20 or more.")
    chosen = definition_of(courses, definition)
    strata, kept = place(
        courses, by, chosen, confirmation=confirmation, early_visits=early_visits, end_policy=end_policy,
        booster_policy=booster_policy,
    )  # fmt: skip
    cells, patterns = reduce(kept, "reduction.response_cell", "reduction.response_cluster")
    kept = kept.exclude(_not_assessed(kept, chosen))
    if cells.height == 0:
        raise NotEstimable(
            f"No course can be judged by {chosen.definition}: its scales were not measured at baseline and after. "
            f"{_why_nobody(kept)}"
        )
    days = np.array(sorted(set(horizon_day)), dtype=float)
    fits = {s.code: _fit(cells.filter(pl.col("stratum") == s.code)) for s in strata}
    samples = _bootstrap(cells, patterns, fits, _grid(days), resamples, seed)
    settings = {
        **common_settings(kept, strata, "time_to_response", by),
        "definition": chosen.definition,
        "definition_version": chosen.version,
        "definition_label": chosen.label,
        "definition_source": chosen.source,
        "definition_verified": chosen.verified,
        "confirmation": confirmation,
        "early_visits": early_visits,
        "end_policy": end_policy,
        "booster_policy": booster_policy,
        "horizon_day": [int(d) for d in days],
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
    }
    return Result(
        question="time_to_response",
        title=f"Time to response by {by}: {chosen.label}",
        frame=_numbers(strata, fits, cells, patterns, samples, days, confidence),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=_diagnostics(strata, fits, cells),
        curves=_curves(strata, fits, samples, _grid(days), confidence),
        at_risk=_at_risk(strata, cells, days),
        regions=_regions(fits),
        notes=_notes(chosen, confirmation, kept),
        draw=figures.cumulative_incidence,
    )


def _fit(cells: pl.DataFrame) -> NPMLE | None:
    return npmle(_data(cells)) if cells.height else None


def _data(cells: pl.DataFrame, count: Floats | None = None) -> IntervalData:
    return IntervalData(
        left=cells["left_day"].to_numpy().astype(float),
        right=cells["right_day"].to_numpy().astype(float),
        kind=cells["kind"].replace_strict(_KINDS, return_dtype=pl.Int64).to_numpy(),
        count=cells["n"].to_numpy().astype(float) if count is None else count,
    )


def _grid(days: Floats) -> Floats:
    """Return the days at which curves are drawn and resampled: the reported ones and every fifth."""
    return np.unique(np.concatenate([days, np.arange(0, days.max() + 1, 5.0)]))


def _bootstrap(
    cells: pl.DataFrame, patterns: pl.DataFrame, fits: dict[str, NPMLE | None], grid: Floats, times: int, seed: int
) -> dict[str, Floats]:
    """Return resampled incidences by stratum, each (2, times, days): response, and end before response."""
    drawn = patient_clusters(cells, patterns).resample(times, seed)
    out: dict[str, Floats] = {}
    for code, fit in fits.items():
        if fit is None:
            continue
        here = (cells["stratum"] == code).to_numpy()
        mine = cells.filter(here)
        curves = np.full((2, times, len(grid)), np.nan)
        for b in range(times):
            count = drawn[b, here]
            if count.sum() > 0:
                # A hundredth of a log-likelihood unit is far below what resampling itself adds.
                one = npmle(_data(mine, count), tolerance=0.01 / count.sum(), start=fit)
                curves[:, b] = one.incidence(grid), one.end_incidence(grid)
        out[code] = curves
    return out


def _numbers(
    strata: list[Stratum], fits: dict[str, NPMLE | None], cells: pl.DataFrame, patterns: pl.DataFrame,
    samples: dict[str, Floats], days: Floats, confidence: float,
) -> pl.DataFrame:  # fmt: skip
    rows: list[dict[str, Any]] = []
    grid = _grid(days)
    at = np.searchsorted(grid, days)
    for s in strata:
        fit = fits[s.code]
        mine = cells.filter(pl.col("stratum") == s.code)
        n = int(mine["n"].sum())
        if fit is None:
            rows += [
                row(s.code, "response", time_day=d, n=0, denominator=0, note="nobody in this stratum") for d in days
            ]
            continue
        rows += _incidence_rows(
            s.code, "response", fit.incidence(days), samples[s.code][0][:, at], days, mine, confidence
        )
        if (mine["kind"] == "end").any():
            ends = fit.end_incidence(days)
            rows += _incidence_rows(
                s.code, "end_before_response", ends, samples[s.code][1][:, at], days, mine, confidence
            )
        rows.append(_median(s.code, fit, n))
    rows += _contrasts(strata, fits, samples, grid, days, confidence)
    rows += _tests(strata, cells, patterns)
    return frame_of(rows)


def _incidence_rows(
    code: str, quantity: str, estimate: Floats, replicates: Floats, days: Floats, cells: pl.DataFrame, confidence: float
) -> list[dict[str, Any]]:
    n = int(cells["n"].sum())
    low, high = interval_of_probability(estimate, replicates, confidence, n)
    kind = "response" if quantity == "response" else "end"
    happened = cells.filter(pl.col("kind") == kind)
    last = float(cells.select(pl.col("left_day").max()).item() or 0)
    latest = max(last, float(happened["right_day"].max() or 0))  # type: ignore[arg-type]
    rows = []
    for i, day in enumerate(days):
        count = int(happened.filter(pl.col("right_day") <= day)["n"].sum())
        late = day > latest
        rows.append(
            row(
                code, quantity, time_day=float(day), n=count, denominator=n,
                estimate=None if late else float(estimate[i]),
                low=None if late else float(low[i]), high=None if late else float(high[i]),
                note=f"nobody was followed beyond day {latest:.0f}" if late else None,
            )
        )  # fmt: skip
    return rows


def _median(code: str, fit: NPMLE, n: int) -> dict[str, Any]:
    total = np.cumsum(fit.mass)
    k = int(np.searchsorted(total, 0.5 - 1e-12))
    if len(total) == 0 or total[-1] < 0.5 - 1e-12:
        return row(code, "median_day", denominator=n, note="fewer than half are known to have responded")
    left, right = float(fit.left[k]), float(fit.right[k])
    note = f"half had responded in ({left:.0f}, {right:.0f}]; where inside, the visits do not say"
    # The last day of that intersection: by then at least half have certainly responded.
    return row(code, "median_day", estimate=right, denominator=n, note=note)


def _contrasts(
    strata: list[Stratum], fits: dict[str, NPMLE | None], samples: dict[str, Floats], grid: Floats, days: Floats,
    confidence: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """Differences of incidence from the first stratum that has anybody; one bootstrap serves both sides."""
    present = [s for s in strata if fits[s.code] is not None]
    rows = []
    z = float(special.ndtri(0.5 + confidence / 2))
    at = np.searchsorted(grid, days)
    for s in present[1:]:
        reference, fit = fits[present[0].code], fits[s.code]
        assert reference is not None and fit is not None
        difference = fit.incidence(days) - reference.incidence(days)
        spread = np.nanstd(samples[s.code][0][:, at] - samples[present[0].code][0][:, at], axis=0, ddof=1)
        for i, day in enumerate(days):
            rows.append(
                row(
                    f"{s.code} - {present[0].code}", "difference", time_day=float(day), estimate=float(difference[i]),
                    low=float(difference[i] - z * spread[i]), high=float(difference[i] + z * spread[i]),
                    denominator=int(fit.n + reference.n),
                )
            )  # fmt: skip
    return rows


def _tests(strata: list[Stratum], cells: pl.DataFrame, patterns: pl.DataFrame) -> list[dict[str, Any]]:
    order = {s.code: i for i, s in enumerate(strata)}
    joined = patterns.join(cells.drop("n"), on="cell").with_columns(number=pl.col("pattern").rank("dense") - 1)
    data = _data(joined, (joined["n_courses"] * joined["n_patients"]).to_numpy().astype(float))
    group = joined["stratum"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    single = bool((patterns.group_by("pattern").agg(pl.col("n_courses").sum())["n_courses"] == 1).all())
    try:
        test = interval_test(
            data, group, cluster=None if single else joined["number"].to_numpy().astype(np.int64), k=len(strata)
        )
    except ValueError as error:
        return [row("all", "test", note=str(error))]
    how = "permutation variance" if single else "variance clustered by patient"
    note = (
        f"generalised log-rank (Sun) on {test.df} df, chi-squared {test.statistic:.2f}, {how}; ends count as censored"
    )
    return [row("all", "test", estimate=test.p, denominator=int(data.count.sum()), note=note)]


def _curves(
    strata: list[Stratum], fits: dict[str, NPMLE | None], samples: dict[str, Floats], grid: Floats, confidence: float
) -> pl.DataFrame:
    rows = []
    for s in strata:
        fit = fits[s.code]
        if fit is None:
            continue
        low, high = interval_of_probability(fit.incidence(grid), samples[s.code][0], confidence, fit.n)
        n = int(fit.n)
        for day, estimate, lo, hi in zip(grid, fit.incidence(grid), low, high, strict=True):
            rows.append(row(s.code, "response", time_day=day, estimate=estimate, low=lo, high=hi, denominator=n))
    return frame_of(rows)


def _regions(fits: dict[str, NPMLE | None]) -> pl.DataFrame:
    """Return the rectangles inside which the data do not say where a curve runs."""
    parts = [pl.DataFrame(schema=REGIONS)]
    for code, fit in fits.items():
        if fit is not None and len(fit.mass):
            total = np.cumsum(fit.mass)
            columns = (np.full(len(total), code), fit.left, fit.right, total - fit.mass, total)
            parts.append(pl.DataFrame(dict(zip(REGIONS, columns, strict=True)), schema=REGIONS))
    return pl.concat(parts)


def _at_risk(strata: list[Stratum], cells: pl.DataFrame, days: Floats) -> pl.DataFrame:
    """Courses still under observation without response just before each day; those inside an interval are counted."""
    rows = []
    for s in strata:
        mine = cells.filter(pl.col("stratum") == s.code)
        last = (
            pl.when(pl.col("kind") == "response")
            .then("right_day")
            .otherwise(pl.when(pl.col("kind") == "end").then("right_day").otherwise("left_day"))
        )
        for day in (0.0, *days):
            n = int(mine.filter(last >= day)["n"].sum())
            rows.append(row(s.code, "at_risk", time_day=float(day), n=n, denominator=int(mine["n"].sum())))
    return frame_of(rows)


def _diagnostics(strata: list[Stratum], fits: dict[str, NPMLE | None], cells: pl.DataFrame) -> pl.DataFrame:
    checks = []
    for s in strata:
        fit = fits[s.code]
        if fit is None:
            checks.append(check(f"courses in {s.code}", 0, "> 0", False, "nobody in this stratum"))
            continue
        checks.append(
            check(f"certificate of {s.code}", fit.gap, "<= 1e-10", fit.gap <= 1e-10, "log-likelihood within n × gap")
        )
        responses = int(cells.filter(pl.col("stratum") == s.code, pl.col("kind") == "response")["n"].sum())
        checks.append(
            check(f"responses in {s.code}", responses, ">= 10", responses >= 10, "fewer leave wide intervals")
        )
    return diagnostics_of(checks)


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


def _why_nobody(courses: Courses) -> str:
    left = courses.attrition.filter(~pl.col("kept"))["reason"].value_counts(sort=True)
    return "; ".join(f"{n} {reason}" for reason, n in left.iter_rows())


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
