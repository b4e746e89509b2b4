"""Joint replacement, or whatever ends a treated target in its programme: how many, how soon, with death competing."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from analysis import figures
from analysis.cohort import (
    By,
    Days,
    Stratum,
    check_confidence,
    check_days,
    check_one,
    check_resampling,
    common_settings,
    end_label,
    patient_clusters,
    place_courses,
    reduce,
)
from analysis.exposure import exposure_note
from analysis.follow_up import followed_through, settled_to
from analysis.numerics.clustered_log_rank import clustered_log_rank
from analysis.numerics.competing import cumulative_incidence
from analysis.numerics.laws import chi2_above
from analysis.numerics.resampling import Clusters, interval_of_probability, resampled_incidence
from analysis.numerics.share_limits import difference_limits, unfollowed
from analysis.numerics.survival_counts import count_events, log_rank
from analysis.reduction import Reduction
from analysis.response import HORIZON_DAYS
from analysis.result import Result, check, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable

Floats = NDArray[np.float64]

# What can end a course, as the reduction calls it, and the quantity it becomes.
_CAUSES = {"end": "end", "death": "death", "switch": "switch"}


def joint_replacement(
    courses: Courses,
    *,
    by: By = "stage",
    horizon_day: Days = HORIZON_DAYS,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 20040312,
) -> Result:
    """Estimate the cumulative incidence of the programme's end event by stage; death and switch of treatment compete.

    Ends are known to the day, so that this is the Aalen-Johansen estimate; courses without an end are censored at the
    last contact of any kind. In osteoarthritis the end is joint replacement or osteotomy; see ``catalogue.programme``.

    Parameters
    ----------
    courses, by, horizon_day, confidence, resamples, seed
        As :func:`analysis.time_to_response`.

    Returns
    -------
    Result
        Quantities ``end``, ``death``, ``switch`` (shares of 1 by day) by stratum, the ``difference`` of ``end`` from
        the first stratum that has anybody, and the log-rank ``test`` of the cause-specific hazard of the end. Limits
        are Greenwood's on the complementary log-log scale when every patient has one course, else from a bootstrap of
        patients; they allow for what those no longer followed may have had. Those of differences come from those of
        the two sides, as if no patient had a course in both.

    Raises
    ------
    NotEstimable
        When no course has any follow-up, or nothing ends the target of the programme.
    UsageError
        When the courses are of programmes with different ends, or an option cannot be.

    References
    ----------
    Aalen & Johansen 1978; Kalbfleisch & Prentice 1980, ch. 7; Newcombe 1998 Stat Med 17:873 (differences).

    Examples
    --------
    >>> replaced = joint_replacement(knees, horizon_day=(365,), resamples=20)
    >>> replaced.say("end", "bone_on_bone", 365)
    '... % (95 % CI ... to ...)'
    """
    return answer_replacement(
        reduce_replacement(courses, by=by),
        horizon_day=horizon_day,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )


def reduce_replacement(courses: Courses, *, by: By = "stage") -> Reduction:
    """Count ends by cause and day, and who was last heard of when."""
    strata, kept = place_courses(courses, by)
    check_one(kept, "end_label")
    if end_label(kept) == "none":
        raise NotEstimable("No event ends the target of this programme, so that there is no incidence of one.")
    cells, patterns = reduce(kept, "reduction.end_cell", "reduction.end_cluster")
    kept = kept.exclude(_unheard(kept))
    return Reduction(
        question="joint_replacement",
        placed={"by": by},
        strata=tuple(strata),
        frames={"end_cell": cells, "end_cluster": patterns},
        flow=kept.flow(),
        settings={**common_settings(kept, strata, "joint_replacement", by), "end_label": end_label(kept)},
        notes=(
            *exposure_note(by),
            "An end counts whenever it was reported; a course without one is censored at its last contact. Where ends "
            "are reported also of those no longer seen, the incidence is overstated.",
        ),
    )


def answer_replacement(
    reduction: Reduction,
    *,
    horizon_day: Days = HORIZON_DAYS,
    confidence: float = 0.95,
    resamples: int = 200,
    seed: int = 20040312,
) -> Result:
    """Estimate the incidence of the end from counted ends; arguments as :func:`joint_replacement`."""
    check_confidence(confidence)
    check_resampling(seed, resamples)
    strata = list(reduction.strata)
    cells, patterns = reduction.frames["end_cell"], reduction.frames["end_cluster"]
    if cells.height == 0:
        raise NotEstimable(f"No course is left to analyse. {reduction.why_nobody() or 'None was selected.'}")
    days = np.array(check_days(horizon_day, "horizon_day"), dtype=float)
    grid = np.unique(np.concatenate([days, np.arange(0, days.max() + 1, 5.0)]))
    single = bool((patterns.group_by("pattern").agg(pl.col("n_courses").sum())["n_courses"] == 1).all())
    patients = None if single else patient_clusters(cells, patterns)
    drawn = None if patients is None else patients.resample(resamples, seed)
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for s in strata:
        mine = cells.filter(pl.col("stratum") == s.code)
        if mine.height == 0:
            rows += [row(s.code, "end", time_day=d, n=0, denominator=0, note="nobody in this stratum") for d in days]
            continue
        here = (cells["stratum"] == s.code).to_numpy()
        every = incidence_rows(s.code, mine, None if drawn is None else drawn[:, here], grid, confidence, _CAUSES)
        rows += [r for r in every if r["time_day"] in days]
        curves += [r for r in every if r["quantity"] == "end"]
    rows += _contrasts([s.code for s in strata], rows)
    rows.append(_test(strata, cells, patients))
    return Result(
        question="joint_replacement",
        title=f"Cumulative incidence of {reduction.settings['end_label']} by {reduction.by}",
        frame=frame_of(rows),
        settings={
            **reduction.settings,
            "horizon_day": [int(d) for d in days],
            "confidence": confidence,
            "variance": "Greenwood" if single else "bootstrap of patients",
            "resamples": resamples,
            "seed": seed,
        },
        attrition=reduction.flow,
        diagnostics=_diagnostics(strata, cells),
        curves=frame_of(curves),
        at_risk=_at_risk(strata, cells, days),
        notes=reduction.notes,
        draw=figures.cumulative_incidence,
    )


def incidence_rows(
    code: str, cells: pl.DataFrame, drawn: Floats | None, days: Floats, confidence: float, causes: dict[str, str]
) -> list[dict[str, Any]]:
    """Return the cumulative incidence of each of `causes`, which compete, by day; the first has rows if none was seen.

    Parameters
    ----------
    cells
        ``cause, day, n`` of one stratum; causes as named in `causes`, or censored.
    drawn
        Resampled counts (times, cells) for the limits; without, they are Greenwood's.
    causes
        The quantity that each cause becomes.
    """
    day = cells["day"].to_numpy().astype(float)
    cause = cells["cause"].replace_strict({"censored": 0, **{c: i for i, c in enumerate(causes, 1)}}).to_numpy()
    count = cells["n"].to_numpy().astype(float)
    n = int(count.sum())
    estimate, spread = _incidence(day, cause, count, days, len(causes))
    again = None if drawn is None else resampled_incidence(day, cause, drawn, days, len(causes))
    rows = []
    # Nobody left after the last event: the estimate stays what it is.
    last_event, last_free = (day[m].max(initial=-1.0) for m in (cause > 0, cause == 0))
    latest = np.inf if last_event > last_free else last_free
    settled = settled_to(day, cause == 0, count)
    told_by = followed_through(day, cause == 0, count, days)
    for k, name in enumerate(causes.values()):
        if not np.any(cause == k + 1) and k > 0:
            continue
        if again is None:
            low, high = _log_log(estimate[:, k], spread[:, k], confidence, told_by)
        else:
            low, high = interval_of_probability(estimate[:, k], again[:, :, k], confidence, n, told_by)
        high = unfollowed(estimate[:, k], high, told_by, n, confidence)
        for i, d in enumerate(days):
            late = d > min(latest, settled)
            beyond = f"nobody was followed beyond day {latest:.0f}"
            happened = int(count[(cause == k + 1) & (day <= d)].sum())
            rows.append(
                row(
                    code, name, time_day=float(d), n=happened, denominator=n,
                    estimate=None if late else float(estimate[i, k]),
                    low=None if late else float(low[i]), high=None if late else float(high[i]),
                    note=None if not late else beyond if d > latest else f"settled up to day {settled:.0f} only",
                )
            )  # fmt: skip
    return rows


def _incidence(
    day: Floats, cause: NDArray[np.int64], count: Floats, days: Floats, causes: int
) -> tuple[Floats, Floats]:
    """Return incidence and standard error by day and cause, each (days, causes)."""
    used = count > 0
    fit = cumulative_incidence(count_events(day[used], cause[used], count=count[used], n_causes=causes))
    # The estimate starts at time 0 or the first exit; before it nothing has happened.
    estimate, spread = fit.at(np.maximum(days, fit.time[0]))
    return estimate[:, 1:], spread[:, 1:]


def _log_log(estimate: Floats, spread: Floats, confidence: float, n: Floats) -> tuple[Floats, Floats]:
    """Limits from errors on the complementary log-log scale; binomial of the `n` followed where nothing happened."""
    inside = (estimate > 0) & (estimate < 1)
    safe = np.where(inside, estimate, 0.5)
    width = special.ndtri(0.5 + confidence / 2) * spread / ((1 - safe) * -np.log1p(-safe))
    centre = np.log(-np.log1p(-safe))
    least = 1 - ((1 - confidence) / 2) ** (1 / n)
    low = np.where(inside, -np.expm1(-np.exp(centre - width)), np.where(estimate > 0, 1 - least, 0.0))
    high = np.where(inside, -np.expm1(-np.exp(centre + width)), np.where(estimate > 0, 1.0, least))
    return low, high


def _contrasts(codes: list[str], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return differences of the incidence of the end from the first stratum that has anybody."""
    ends = {(r["stratum"], r["time_day"]): r for r in rows if r["quantity"] == "end" and r["denominator"]}
    present = [code for code in codes if any(code == stratum for stratum, _ in ends)]
    out = []
    for code, day in ((c, d) for c in present[1:] for s, d in ends if s == c):
        one, other = ends[code, day], ends[present[0], day]
        told: dict[str, Any] = {"note": "not known in both"}
        if one["estimate"] is not None and other["estimate"] is not None:
            sides = [tuple(np.array([r[k]]) for k in ("estimate", "low", "high")) for r in (one, other)]
            low, high = difference_limits(sides[0], sides[1])  # type: ignore[arg-type]
            told = {"estimate": one["estimate"] - other["estimate"], "low": float(low[0]), "high": float(high[0])}
        out.append(row(f"{code} - {present[0]}", "difference", time_day=day,
                       denominator=one["denominator"] + other["denominator"], **told))  # fmt: skip
    return out


def _test(strata: list[Stratum], cells: pl.DataFrame, patients: Clusters | None) -> dict[str, Any]:
    """Return the log-rank test of the cause-specific hazard; by `patients` where some have several courses."""
    order = {s.code: i for i, s in enumerate(strata)}
    group = cells["stratum"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    event = (cells["cause"] == "end").to_numpy().astype(int)
    day, count = cells["day"].to_numpy().astype(float), cells["n"].to_numpy().astype(float)
    if len(np.unique(group)) < 2 or not event.any():
        return row("all", "test", note="a test needs two strata and at least one end")
    try:
        if patients is None:
            test = log_rank(day, event, group, count=count)
            chi, df = test.statistic, test.df
        else:
            chi, df = clustered_log_rank(day, event, group, count, patients)
    except ValueError as error:
        return row("all", "test", note=str(error))
    if df == 0:
        return row("all", "test", note="ends came only where strata do not differ in who was at risk")
    p = float(chi2_above(chi, df))
    note = f"log-rank of the cause-specific hazard on {df} df, chi-squared {chi:.4f}"
    if patients is not None:
        note = f"log-rank of the cause-specific hazard, clustered by patient on {df} df, chi-squared {chi:.4f}"
    return row("all", "test", estimate=p, denominator=int(count.sum()), note=note)


def _at_risk(strata: list[Stratum], cells: pl.DataFrame, days: Floats) -> pl.DataFrame:
    rows = []
    for s in strata:
        mine = cells.filter(pl.col("stratum") == s.code)
        for day in (0.0, *days):
            n = int(mine.filter(pl.col("day") >= day)["n"].sum())
            rows.append(row(s.code, "at_risk", time_day=float(day), n=n, denominator=int(mine["n"].sum())))
    return frame_of(rows)


def _diagnostics(strata: list[Stratum], cells: pl.DataFrame) -> pl.DataFrame:
    checks = []
    for s in strata:
        ends = int(cells.filter(pl.col("stratum") == s.code, pl.col("cause") == "end")["n"].sum())
        checks.append(check(f"ends in {s.code}", ends, ">= 10", ends >= 10, "fewer leave wide intervals"))
    return diagnostics_of(checks)


def _unheard(courses: Courses) -> pl.DataFrame:
    return courses.registry.con.sql(
        "select course_id, case when course.index_date is null then 'no treatment session' "
        "else 'no contact after treatment' end as reason "
        "from cohort.course join course.course as course using (course_id) "
        "where not exists (select 1 from reduction.end_course r where r.course_id = cohort.course.course_id)"
    ).pl()
