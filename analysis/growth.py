"""Growth: how a score moves in actual time since the first session, by stratum, with courses that differ in shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import growth_figures
from analysis.cohort import By, Days, Stratum, check_confidence, check_days, common_settings, place_courses, reduce
from analysis.exposure import exposure_note
from analysis.follow_up import check_followed
from analysis.numerics.laws import hotelling_above, t_quantile
from analysis.numerics.random_slope import SlopeFit, course_sums, fit_random_slope
from analysis.numerics.splines import KNOT_SHARES, restricted_cubic
from analysis.numerics.varying import UNVARYING, UNVARYING_ALL, errors_of, wald
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.trajectory_question import IntercurrentPolicy, Measured, Unit, ask
from registry import Courses
from registry.errors import NotEstimable, UsageError

Floats = NDArray[np.float64]

HORIZON_DAYS = (91, 183, 365, 730)
FEWEST = 5
_YEAR = 365.25
_EFFECTS = ("nothing", "its own level", "its own level and pace", *2 * ("its own curve",))


@dataclass(frozen=True)
class Grown:
    """A fitted cohort.

    Attributes
    ----------
    strata
        Codes of the strata in the model, in order.
    knots : (k,)
        Of the spline, in days.
    baseline : (S,)
        Mean baseline by stratum, less that of all.
    patients : (S,), seen
        Patients by stratum; course, stratum and last day of each course, as a frame.
    covariance : (p, p)
        Of the coefficients, clustered by patient.
    """

    fit: SlopeFit
    strata: list[str]
    knots: Floats
    baseline: Floats
    patients: NDArray[np.int64]
    seen: pl.DataFrame
    covariance: Floats

    def basis(self, day: Floats) -> Floats:
        """Return (1, years, curved columns) at days (d,), shape (d, K)."""
        return basis_of(day, self.knots)

    def rows(self, stratum: int, baseline: float, basis: Floats) -> Floats:
        """Return the contrasts (d, p) of a stratum at a baseline; coefficients go by covariate, then basis column."""
        c = np.append(np.eye(len(self.strata))[stratum], baseline)
        return np.asarray((c[None, :, None] * basis[:, None, :]).reshape(len(basis), -1))

    def still_seen(self, code: str, day: float) -> int:
        """Return how many courses of a stratum were seen on that day or later, give or take a tenth of it."""
        return self.seen.filter(pl.col("stratum") == code, pl.col("last") >= 0.9 * day).height


def growth(
    courses: Courses,
    *,
    scale: str | None = None,
    by: By = "stage",
    knots: int = 5,
    horizon_day: Days = HORIZON_DAYS,
    end_policy: IntercurrentPolicy = "hypothetical",
    booster_policy: IntercurrentPolicy = "treatment_policy",
    unit: Unit = "points_of_100",
    confidence: float = 0.95,
) -> Result:
    """Estimate the mean change from baseline as a smooth curve of actual time, by stratum.

    A mixed model: a restricted cubic spline of the days since the first session for each stratum, another for what the
    baseline adds, and for each course its own level, pace and bends. Every score counts on the day it was taken,
    whether or not it falls into the window of a planned visit; valid when missing scores depend on what was observed.

    Parameters
    ----------
    courses, scale, by, end_policy, booster_policy, unit
        As :func:`analysis.trajectories`.
    knots
        Knots of the spline, 3 to 5, at quantiles of the days on which scores were taken.
    horizon_day
        Days to report, none beyond the last on which anybody was seen, give or take a tenth of it.

    Returns
    -------
    Result
        By stratum and day: ``mean_change`` at the stratum's own baseline and ``change_per_year``, the steepness of
        the curve on that day; ``difference`` to the first stratum at the baseline of all; for ``all`` the standard
        deviation between courses (``between_course_sd``) and within one (``within_course_sd``), and the ``test``
        whether curves of the strata are parallel. `denominator` counts the courses still seen then; fewer than five
        have no number.

    Raises
    ------
    NotEstimable
        When no stratum has enough courses with scores after treatment.
    UsageError
        When an option is not known, or a day is beyond what anybody was followed.

    References
    ----------
    Laird & Ware 1982; Harrell 2015; Liang & Zeger 1986. See docs/methods/trajectories.md.

    Examples
    --------
    >>> curve = growth(knees, scale="pain", horizon_day=(183, 365))
    >>> curve.settings["random"]
    'its own curve'
    """
    check_confidence(confidence)
    if knots not in KNOT_SHARES:
        raise UsageError(f"knots = {knots} must be one of {', '.join(map(str, KNOT_SHARES))}.")
    days = np.array(check_days(horizon_day, "horizon_day"), dtype=float)
    strata, kept = place_courses(courses, by)
    policies = {"unit": unit, "end_policy": end_policy, "booster_policy": booster_policy}
    measured = ask(kept, scale, None, (), **policies)
    people, scores = reduce(kept, "reduction.trajectory_course", "reduction.growth_score")
    kept = kept.exclude(people.filter(pl.col("reason").is_not_null()).select("course_id", "reason"))
    used, left = enough_scores(people.filter(pl.col("reason").is_null()), scores, strata, knots)
    kept = kept.exclude(left)
    measured = measured.among(used["scale"])
    if horizon_day is not HORIZON_DAYS:
        check_followed(days, scores.join(used, on="course_id", how="semi")["day"], "horizon_day")
    made, said = fitted(used, scores, [s.code for s in strata], knots)
    frame = numbers(made, strata, days, confidence)
    settings = {
        **common_settings(kept, strata, "growth", by),
        **measured.settings(),
        **policies,
        "knots_day": [round(float(k), 1) for k in made.knots],
        "horizon_day": [int(d) for d in days],
        "random": _EFFECTS[len(made.fit.factor)],
        "variance": "sandwich clustered by patient",
        "confidence": confidence,
    }
    return Result(
        question="growth",
        title=f"Change from baseline in {measured.label} in actual time by {by}",
        frame=frame_of(frame),
        settings=settings,
        attrition=kept.flow(),
        diagnostics=_diagnostics(made, days),
        curves=frame_of(_curves(made, days, confidence)),
        at_risk=frame_of(_at_risk(made, days)),
        notes=(*exposure_note(by), *_notes(measured, said)),
        draw=growth_figures.smooth_change,
    )


def basis_of(day: Floats, knots: Floats) -> Floats:
    """Return (1, years, curved columns) of a restricted cubic spline at days (d,) with knots in days, (d, K)."""
    return np.column_stack([np.ones(len(day)), restricted_cubic(day / _YEAR, knots / _YEAR)])


def enough_scores(
    people: pl.DataFrame, scores: pl.DataFrame, strata: list[Stratum], knots: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the courses that the model uses, and those it cannot, with the reason.

    A stratum needs three courses a coefficient of its own: a level, and a column less than there are knots.
    """
    seen = people.join(scores.select("course_id").unique(), on="course_id", how="semi")
    unseen = people.join(seen, on="course_id", how="anti")
    unseen = unseen.select("course_id", reason=pl.lit("not seen after treatment"))
    size = dict(seen.group_by("stratum").len().iter_rows())
    enough = [s.code for s in strata if size.get(s.code, 0) >= 3 * knots]
    if not enough:
        raise NotEstimable(
            f"No stratum has {3 * knots} courses with a score after treatment, as a curve with {knots} knots needs."
        )
    few = seen.filter(~pl.col("stratum").is_in(enough)).select(
        "course_id", reason=pl.lit("too few courses of the stratum for a curve")
    )
    return seen.filter(pl.col("stratum").is_in(enough)), pl.concat([unseen, few])


def fitted(used: pl.DataFrame, scores: pl.DataFrame, codes: list[str], knots: int) -> tuple[Grown, list[str]]:
    """Fit the curves of the strata `codes` to the scores of the courses `used`; also what was simplified, in words."""
    order = used.sort("course_id").with_row_index("row")
    held = [c for c in codes if (order["stratum"] == c).any()]
    rows = scores.join(order.select("course_id", "row"), on="course_id").sort("row", "day")
    day = rows["day"].cast(pl.Float64).to_numpy()
    at, said = _knots(day, knots)
    baseline = order["baseline"].cast(pl.Float64).to_numpy()
    member = np.column_stack([(order["stratum"] == c).to_numpy().astype(float) for c in held])
    c = np.column_stack([member, baseline - baseline.mean()])
    k = len(at)
    sums = course_sums(
        c, rows["row"].to_numpy().astype(np.int64), basis_of(day, at), rows["change"].cast(pl.Float64).to_numpy()
    )
    columns = np.array([(i, j) for i in range(c.shape[1]) for j in range(k)])
    fit, more = _simplified(sums, columns)
    patient = order["patient_id"].rank("dense").to_numpy().astype(np.int64) - 1
    last = rows.group_by("row").agg(last=pl.col("day").max())
    return Grown(
        fit, held, at, member.T @ c[:, -1] / member.sum(axis=0),
        np.array([order.filter(stratum=s)["patient_id"].n_unique() for s in held]),
        order.join(last, on="row").select("stratum", "last"), fit.clustered(patient),
    ), said + more  # fmt: skip


def _knots(day: Floats, wanted: int) -> tuple[Floats, list[str]]:
    """Return knots at quantiles of the days; fewer, and said so, where days crowd so that they would meet."""
    for k in range(wanted, 2, -1):
        at = np.quantile(day, KNOT_SHARES[k])
        if (np.diff(at) > 1).all():
            fewer = f"Scores crowd on few days: the curve has {k} knots in place of {wanted}."
            return at, [] if k == wanted else [fewer]
    raise NotEstimable("Scores were taken on too few different days for a curve: ask trajectories() by planned visit.")


def _simplified(sums: Any, columns: Any) -> tuple[SlopeFit, list[str]]:
    """Fit with as much of a curve of its own for each course as the data tell from none.

    Level and pace first, or fewer where their variance is at its bound; then bends, one after another, as long as each
    makes the data likelier by more than it has parameters (Akaike). How scores of a course hang together decides what
    is expected of those who left: with level and pace alone it was up to a point too high (docs/methods).
    """
    said: list[str] = []
    try:
        for effects in (2, 1, 0):
            fit = fit_random_slope(sums, columns, effects)
            if effects == 0 or not fit.degenerate:
                break
            what = "in pace" if effects == 2 else "in level"
            said.append(
                f"Courses do not differ {what} by more than chance: the variance is at its bound and is left out."
            )
    except ValueError as error:
        raise NotEstimable(f"The curves cannot be fitted to these courses. {error}") from None
    return _bent(sums, columns, fit), said


def _bent(sums: Any, columns: Any, fit: SlopeFit) -> SlopeFit:
    """Add bends of its own for each course; one fewer than the curve has columns, or few scores left no residual."""
    while 2 <= len(fit.factor) < sums.by.shape[1] - 1:
        try:
            more = fit_random_slope(sums, columns, len(fit.factor) + 1, begin=fit)
        except ValueError:  # the search ran to where the scores of each course lie on its own curve
            break
        if more.loglik - fit.loglik <= len(more.factor):
            break
        fit = more
    return fit


def _limits(made: Grown, rows: Floats, patients: int, confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return estimates of contrasts (r, p) with limits of t with the patients concerned less the curve's columns."""
    value = rows @ made.fit.beta
    reach = t_quantile(0.5 + confidence / 2, max(patients - len(made.knots), 1)) * errors_of(rows, made.covariance)
    return value, value - reach, value + reach


def numbers(made: Grown, strata: list[Stratum], days: Floats, confidence: float) -> list[dict[str, Any]]:
    """Return the rows of the results frame for `days` (d,)."""
    out: list[dict[str, Any]] = []
    here, steep = made.basis(days), (made.basis(days + 0.5) - made.basis(days - 0.5)) * _YEAR
    common = {}
    for stratum in strata:
        if stratum.code not in made.strata:
            out += [row(stratum.code, "mean_change", time_day=float(d), denominator=0, note="no course in the model")
                    for d in days]  # fmt: skip
            continue
        s = made.strata.index(stratum.code)
        common[stratum.code] = made.rows(s, 0.0, here)
        seen = [made.still_seen(stratum.code, d) for d in days]
        for quantity, basis in (("mean_change", here), ("change_per_year", steep)):
            found = _limits(made, made.rows(s, made.baseline[s], basis), int(made.patients[s]), confidence)
            out += _shown(stratum.code, quantity, days, found, seen)
    first = made.strata[0]
    for s, code in enumerate(made.strata[1:], 1):
        patients = int(min(made.patients[0], made.patients[s]))
        found = _limits(made, common[code] - common[first], patients, confidence)
        fewest = [min(made.still_seen(first, d), made.still_seen(code, d)) for d in days]
        both = [made.still_seen(first, d) + made.still_seen(code, d) for d in days]
        out += _shown(f"{code} - {first}", "difference", days, found, [b if f >= FEWEST else f for f, b in
                                                                       zip(fewest, both, strict=True)])  # fmt: skip
    return [*out, *_spread(made, days, here), _test(made)]


def _shown(name: str, quantity: str, days: Floats, found: tuple[Floats, ...], seen: list[int]) -> list[dict[str, Any]]:
    out = []
    for i, day in enumerate(days):
        if seen[i] < FEWEST:
            out.append(row(name, quantity, time_day=float(day), denominator=seen[i],
                           note=f"fewer than {FEWEST} courses were seen so late"))  # fmt: skip
            continue
        value, low, high = (float(x[i]) for x in found)
        told = {"estimate": value, "low": low, "high": high, "note": UNVARYING if np.isnan(low) else None}
        out.append(row(name, quantity, time_day=float(day), denominator=seen[i], **told))
    return out


def _spread(made: Grown, days: Floats, basis: Floats) -> list[dict[str, Any]]:
    """Return how much courses differ from each other by day, and scores of one course from its own curve."""
    effects, of = len(made.fit.factor), made.seen.height
    z = basis[:, :effects]
    between = np.sqrt(np.einsum("de,ef,df->d", z, made.fit.random, z)) if effects else np.zeros(len(days))
    rows = [row("all", "between_course_sd", time_day=float(d), estimate=float(v), denominator=of)
            for d, v in zip(days, between, strict=True)]  # fmt: skip
    return [*rows, row("all", "within_course_sd", estimate=float(np.sqrt(made.fit.residual)), denominator=of)]


def _test(made: Grown) -> dict[str, Any]:
    if len(made.strata) < 2:
        return row("all", "test", note="a test of parallel curves needs two strata")
    k, p = len(made.knots), len(made.fit.beta)
    contrast = np.zeros(((len(made.strata) - 1) * (k - 1), p))
    for i, (s, j) in enumerate((s, j) for s in range(1, len(made.strata)) for j in range(1, k)):
        contrast[i, s * k + j], contrast[i, j] = 1.0, -1.0
    spread, own = contrast @ made.covariance @ contrast.T, contrast**2 @ np.diag(made.covariance)
    statistic, r = wald(contrast @ made.fit.beta, spread, float(own.mean()))
    if r == 0:
        return row("all", "test", denominator=made.seen.height, note=UNVARYING_ALL)
    # What the curves' differences vary is told by the patients of the stratum that has fewest.
    left = max(int(made.patients.min()) - k, 1)
    told, chance = f"T²({r}, {left}) = {statistic:.2f}", hotelling_above(statistic, r, left)
    note = f"stratum × time: Hotelling's {told}; whether the curves of the strata are parallel"
    known = {"note": f"{note}: too few patients"} if np.isnan(chance) else {"note": note, "estimate": chance}
    return row("all", "test", denominator=made.seen.height, **known)


def _curves(made: Grown, days: Floats, confidence: float) -> list[dict[str, Any]]:
    """Return the curves from the first knot, where data begin, as far as five courses were seen."""
    out = []
    grid = np.arange(np.ceil(made.knots[0]), days[-1] + 1, 7.0)
    for s, code in enumerate(made.strata):
        mine = [d for d in grid if made.still_seen(code, d) >= FEWEST]
        if not mine:
            continue
        rows = made.rows(s, made.baseline[s], made.basis(np.array(mine)))
        found = _limits(made, rows, int(made.patients[s]), confidence)
        out += _shown(code, "mean_change", np.array(mine), found, [made.still_seen(code, d) for d in mine])
    return out


def _at_risk(made: Grown, days: Floats) -> list[dict[str, Any]]:
    return [row(c, "at_risk", time_day=d, n=made.still_seen(c, d), denominator=made.seen.filter(stratum=c).height)
            for c in made.strata for d in (0.0, *days.tolist())]  # fmt: skip


def _diagnostics(made: Grown, days: Floats) -> pl.DataFrame:
    fit = made.fit
    here = np.concatenate([made.rows(s, 0.0, made.basis(days)) for s in range(len(made.strata))])
    ratio = errors_of(here, made.covariance) / errors_of(here, fit.covariance)
    note = f"clustered by patient over the model's: {ratio.min():.2f} to {ratio.max():.2f}"
    return diagnostics_of([
        check("Newton decrement", fit.newton_decrement, "<= 1e-6", fit.newton_decrement <= 1e-6,
              "twice the rise in log-likelihood that another step promises"),
        check("random effects", float(len(fit.factor)), "at least 2", len(fit.factor) >= 2,
              f"each course has {_EFFECTS[len(fit.factor)]}"),
        check("ratio of standard errors", float(np.median(ratio)), "stated", True, note),
        check("scores analysed", float(fit.sums.count.sum()), "a count", True,
              f"of {made.seen.height} courses, each on the day it was taken"),
    ])  # fmt: skip


def _notes(measured: Measured, said: list[str]) -> tuple[str, ...]:
    return (
        "Missing scores are taken to depend on what was observed (missing at random); no data can show that.",
        "Every score counts on its day; before the first knot and after the last the curve is a straight line.",
        *measured.notes(),
        *said,
    )
