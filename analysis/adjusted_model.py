"""The model behind adjusted risks: proportional hazards for interval-censored responses with covariates.

Each stratum has a baseline hazard of its own, constant in pieces, so that strata need not be proportional.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import Stratum, allowed, label_of, several
from analysis.follow_up import followed_through
from analysis.numerics.exact import Clustered, clustered_share
from analysis.numerics.interval import IntervalData
from analysis.numerics.interval_likelihood import IntervalFit
from analysis.numerics.interval_regression import (
    PiecewiseBaseline,
    event_quantiles,
    fit_proportional_hazards,
    wald_test,
)
from analysis.numerics.laws import normal_above, normal_quantile
from analysis.numerics.share_limits import unfollowed
from analysis.numerics.varying import UNVARYING
from analysis.result import row
from registry import Courses
from registry.errors import NotEstimable, UsageError, choose

Floats = NDArray[np.float64]

Covariate = Literal[
    "age", "sex", "bmi", "baseline", "symptom_months", "stage", "site", "origin", "donor", "separation",
    "expanded", "same_day", "viability", "route", "guidance", "dose_band", "centre",
]  # fmt: skip

DEFAULT: tuple[Covariate, ...] = ("age", "sex", "baseline")
# With fewer courses a stratum's own hazard cannot be told from chance, and it is left out; without any response it has
# none. More responses must not be asked for: small strata would have a number only where more responded than the truth.
FEWEST_COURSES, FEWEST_RESPONSES = 20, 3
TOO_FEW = f"fewer than {FEWEST_COURSES} courses, or {FEWEST_RESPONSES} responses"
# As far beyond the last day on which anybody was watched a day is told as that one: nine tenths of the time is seen.
REACH = 0.9
# A logarithm of a ratio that is known so exactly does not vary between patients: what is left is rounding.
_NO_ERROR = 1e-6
# So much of a response is added in the middle of each piece of each stratum: less than one in all.
TRACE = 0.05
# Where the hazard may change, as quantiles of the responses: as many pieces as the data bear, from the first that fits.
_PIECES = ((0.2, 0.4, 0.6, 0.8, 0.93), (0.25, 0.5, 0.75, 0.9), (0.33, 0.67, 0.9), (0.5, 0.85), (0.7,))
_PER = {"age": 10.0, "bmi": 5.0, "baseline": 10.0, "symptom_months": 12.0, "viability": 10.0}
_UNIT = {"age": "10 years", "bmi": "5 kg/m²", "baseline": "10 points worse", "symptom_months": "12 months",
         "viability": "10 % of cells"}  # fmt: skip


@dataclass(frozen=True)
class Design:
    """Covariates of the courses: values (n, p), names, and how many courses have each level named, None of numbers."""

    x: Floats
    names: tuple[str, ...]
    notes: tuple[str, ...]
    having: tuple[int | None, ...] = ()


def covariates_for(given: Covariate | tuple[Covariate, ...] | None, by: str) -> tuple[Covariate, ...]:
    """Return the covariates asked for, one or several; by default age, sex and baseline, but for what separates strata.

    Raises
    ------
    UsageError
        When one is not known, there is none, one is named twice, or `by` is among them.
    """
    covariates = tuple(c for c in DEFAULT if c != by) if given is None else several(given)
    for name in covariates:
        choose(name, allowed(Covariate), "covariates =")
    if len(set(covariates)) < len(covariates):
        raise UsageError(f"covariates = {covariates} names one twice.")
    if not covariates or by in covariates:
        raise UsageError(
            f"covariates = {covariates} must name one or more, and not {by!r}, which separates the strata."
        )
    return covariates


def ratio_row(
    name: str, value: float, error: float, n: int, confidence: float, quantity: str = "hazard_ratio", *,
    having: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return the row of a hazard ratio from its logarithm and the standard error of that, in `n` courses.

    `having` of them have the level that is compared: few could be found by what goes with it.
    """
    counted: dict[str, Any] = {"n": having, "denominator": n}
    with np.errstate(over="ignore"):
        ratio = float(np.exp(value))
    if not error > _NO_ERROR:
        return row(name, quantity, estimate=ratio, **counted, note=UNVARYING)
    z = float(normal_quantile(0.5 + confidence / 2))
    with np.errstate(over="ignore"):
        low, high = float(np.exp(value - z * error)), float(np.exp(value + z * error))
    note = f"p {2 * normal_above(abs(value) / error):.2g}"
    return row(name, quantity, estimate=ratio, low=low, high=high, **counted, note=note)


def lacking(
    courses: Courses, rows: pl.DataFrame, covariates: tuple[str, ...], why: str = "response could not be judged"
) -> pl.DataFrame:
    """Return who leaves: not in `rows`, for the reason `why`, or lacking a covariate."""
    placed = courses.registry.con.sql("select course_id from cohort.course").pl()
    missing = placed.join(rows.select("course_id"), on="course_id", how="anti")
    parts = [missing.select("course_id", reason=pl.lit(why))]
    for name in covariates:
        parts.append(rows.filter(pl.col(name).is_null()).select("course_id", reason=pl.lit(f"{name} not recorded")))
    return pl.concat(parts).unique("course_id", keep="first", maintain_order=True)


def enough(rows: pl.DataFrame, strata: list[Stratum]) -> tuple[list[Stratum], dict[str, str]]:
    """Return the strata with enough courses and responses, and why each other is left out."""
    fit = with_enough(rows, "stratum")
    small = {s.code: TOO_FEW for s in strata if s.code not in fit}
    used = [s for s in strata if s.code not in small]
    if not used:
        raise NotEstimable(
            f"No stratum has {FEWEST_COURSES} courses with {FEWEST_RESPONSES} responses: an adjusted model cannot be "
            "fitted."
        )
    return used, small


def told_days(rows: pl.DataFrame, strata: list[Stratum], days: Floats, *, near: bool = True) -> dict[str, Floats]:
    """Return by stratum, for each of `days`, the day whose number is told of it; nan where there is none.

    Beyond the last day on which anybody of a stratum was watched its hazard is made of nothing. Where that is `near`,
    or all had responded by then, the number of the last day stands: or a stratum would have none for doing so well.
    """
    told = {}
    for s in strata:
        until = watched_to(rows, s.code)
        stands = near & ((until >= REACH * days) | all_responded(rows, s.code))
        told[s.code] = np.where(days <= until, days, np.where(stands, until, np.nan))
    return told


def all_responded(rows: pl.DataFrame, stratum: str) -> bool:
    """Say whether everybody of a stratum responded: it is known to the end."""
    mine = rows.filter(pl.col("stratum") == stratum)
    return mine.height > 0 and bool((mine["kind"] == "response").all())


def shown_at(risk: Any, setting: int, days: Floats, day: float, at: float, until: float) -> dict[str, Any]:
    """Return estimate, limits and note of `day` from a RiskEstimate (A, T) on `days`; `at` as of :func:`told_days`."""
    if np.isnan(at):
        return {"note": f"nobody was watched beyond day {until:.0f}"}
    t = int(np.searchsorted(days, at))
    shown: dict[str, Any] = {
        "estimate": float(risk.estimate[setting, t]),
        "low": float(risk.lower[setting, t]),
        "high": float(risk.upper[setting, t]),
    }
    return shown | ({"note": as_of(day, at).removeprefix("; ")} if at < day else {})


def as_of(day: float, at: float) -> str:
    """Return what a note says of a number of `day` that is that of an earlier one; nothing where it is its own."""
    return f"; as of day {at:.0f}, the last on which anybody was watched" if at < day else ""


def observed_rows(
    rows: pl.DataFrame, small: dict[str, str], days: list[float], confidence: float
) -> list[dict[str, Any]]:
    """Return of each stratum that is not modelled what was seen of it: nobody is left out for how few responded.

    `small` says why of each (:func:`enough`). The share seen to respond by a day is of all its judged courses, with
    exact limits (Clopper & Pearson; clustered by patient) of which the upper allows for those no longer watched; null
    where nobody was.
    """
    out = []
    for code, why in small.items():
        mine = rows.filter(pl.col("stratum") == code)
        told_by = _followed(mine, np.array(days))
        until = watched_to(rows, code) if mine.height else 0.0
        for i, day in enumerate(days):
            by_day = (pl.col("kind") == "response") & (pl.col("right_day") <= day)
            people = mine.group_by("patient_id").agg(n=by_day.sum(), of=pl.len()).sort("patient_id")
            counted = {"time_day": day, "n": int(people["n"].sum()), "denominator": mine.height}
            out.append(row(code, "response", **counted, note=why))
            told: dict[str, Any] = {"note": "nobody in this stratum"}
            if mine.height and until < REACH * day and not all_responded(rows, code):
                told = {"note": f"nobody was watched beyond day {until:.0f}"}
            elif mine.height:
                share, low, high = clustered_share(
                    Clustered.of(people["n"].to_numpy(), people["of"].to_numpy()), confidence
                )
                # Of nobody who responded as much is possible as those followed to the day tell.
                most = 1 - ((1 - confidence) / 2) ** (1 / told_by[i])
                if share > 0:
                    most = float(unfollowed(np.array([share]), np.array([high]), told_by[i : i + 1], mine.height,
                                            confidence)[0])  # fmt: skip
                told = {"estimate": float(share), "low": float(low), "high": float(max(high, most))}
                told["note"] = f"not modelled, {why}: as seen, of all judged, with exact limits" + as_of(day, until)
            out.append(row(code, "observed_share", **counted, **told))
    return out


def not_modelled_notes(rows: pl.DataFrame, small: dict[str, str], strata: list[Stratum]) -> tuple[str, ...]:
    """Return a note that names the strata with courses that are not modelled, and why; none if all are."""
    there = set(rows["stratum"].unique())
    names = [s.label for s in strata if s.code in small and s.code in there]
    if not names:
        return ()
    return (
        f"Not modelled, since they have fewer than {FEWEST_COURSES} courses or fewer than {FEWEST_RESPONSES} "
        f"responses: {', '.join(names)}. They are in no adjusted or pooled number. Beside these stands observed_share, "
        "as it was seen, with exact limits: the worst may be among them.",
    )


def with_enough(rows: pl.DataFrame, column: str) -> list[str]:
    """Return the codes of `column` with enough courses and responses for a hazard of their own."""
    counted = rows.group_by(column).agg(n=pl.len(), responses=(pl.col("kind") == "response").sum())
    enough = (pl.col("n") >= FEWEST_COURSES) & (pl.col("responses") >= FEWEST_RESPONSES)
    return [str(code) for code in counted.filter(enough)[column]]


def design_of(rows: pl.DataFrame, covariates: tuple[str, ...]) -> Design:
    """Return the covariates as centred columns; text against its commonest level."""
    columns, names, notes, having = [], [], [], list[int | None]()
    for name in covariates:
        values = rows[name]
        if values.dtype == pl.String:
            counts = values.value_counts(sort=True)
            reference, levels = str(counts[name][0]), [str(v) for v in counts[name][1:] if v is not None]
            for level in levels:
                columns.append((values == level).to_numpy().astype(float))
                having.append(int((values == level).sum()))
                names.append(f"{name}: {label_of(level, name)} against {label_of(reference, name)}")
        elif values.n_unique() > 1:
            columns.append(values.to_numpy() / _PER[name])
            having.append(None)
            names.append(f"{name}, per {_UNIT[name]}")
        if values.n_unique() < 2:
            notes.append(f"{name} is the same in every course and was left out.")
    if not columns:
        raise NotEstimable("Every covariate is the same in all courses: there is nothing to adjust for.")
    x = np.column_stack(columns)
    return Design(x - x.mean(axis=0), tuple(names), tuple(notes), tuple(having))


def interval_data(rows: pl.DataFrame) -> IntervalData:
    """Return what is known of each course's response; ends censor."""
    event = (rows["kind"] == "response").to_numpy()
    left = rows["left_day"].to_numpy().astype(float)
    right = np.where(event, rows["right_day"].to_numpy().astype(float), left)
    return IntervalData(left, right, np.where(event, 0, 2).astype(np.int64), np.ones(rows.height))


def fit_model(rows: pl.DataFrame, design: Design) -> tuple[IntervalFit, tuple[float, ...]]:
    """Fit with as many pieces as every stratum has responses for: parameters that run away ask for fewer.

    A hazard in pieces, not a smooth one: where everybody who responds has done so, it can be next to nothing.
    """
    data, why = interval_data(rows), ""
    for shares in _PIECES:
        try:
            cuts = event_quantiles(data, shares)
            return fit_pieces(rows, design.x, design.names, cuts), cuts
        except ValueError as error:
            why = str(error)
    raise NotEstimable(f"The adjusted model cannot be fitted: {why} Fewer covariates, or another `by`, may help.")


def fit_pieces(rows: pl.DataFrame, x: Floats, names: tuple[str, ...], cuts: tuple[float, ...]) -> IntervalFit:
    """Fit with a trace of a response in each piece of each stratum, or a piece without any would have no estimate.

    The sandwich clustered by patient is multiplied by patients over their number less the parameters: residuals of so
    many parameters are too small (as of HC1; MacKinnon & White 1985 J Econometrics 29:305).
    """
    data = interval_data(rows)
    trace, stratum = trace_of(rows, cuts)
    patient, n = rows["patient_id"].to_numpy(), len(stratum)
    fit = fit_proportional_hazards(
        data.beside(trace), np.vstack([x, np.zeros((n, x.shape[1]))]), baseline=PiecewiseBaseline(cuts),
        stratum=np.r_[rows["stratum"].to_numpy(), stratum],
        cluster=np.r_[patient, np.arange(n) + patient.max() + 1], names=names,
    )  # fmt: skip
    people = len(np.unique(patient))
    if fit.robust_covariance is None or people <= len(fit.parameters):
        return fit
    return replace(fit, robust_covariance=fit.robust_covariance * people / (people - len(fit.parameters)))


def trace_of(rows: pl.DataFrame, cuts: tuple[float, ...]) -> tuple[IntervalData, NDArray[np.object_]]:
    """Return the trace of a response in the middle of each piece of each stratum, and whose stratum each is."""
    strata = rows["stratum"].unique().sort().to_list()
    at = np.array([middle for s in strata for middle in _middles(cuts, watched_to(rows, s))])
    made = IntervalData(at, at, np.zeros(len(at), dtype=np.int64), np.full(len(at), TRACE))
    return made, np.repeat(np.array(strata, dtype=object), len(cuts) + 1)


def row_of_alike(stratum: str, what: str, fit: IntervalFit, names: list[str], rows: pl.DataFrame) -> dict[str, Any]:
    """Return the row of the test that strata do not differ in `names`.

    The variance of a comparison of strata is known as from the responses of the one that has fewest (Hotelling's T²):
    taken as known it rejected 10 of 100 true hypotheses at 1,500 courses.
    """
    responses = rows.filter(pl.col("kind") == "response").group_by("stratum").len()["len"].to_list()
    found = wald_test(fit, names, min(responses) - 1)
    note = f"{what}: Wald chi-squared {found.statistic:.2f} on {found.df} df, by Hotelling's law of {min(responses)}"
    if np.isnan(found.p_value):
        return row(stratum, "test", denominator=rows.height, note=f"{note}: too few for so many at once")
    return row(stratum, "test", estimate=found.p_value, denominator=rows.height, note=note)


def _middles(cuts: tuple[float, ...], watched: float) -> list[float]:
    """Return the middle of each piece as far as a stratum was watched."""
    return [(low + max(min(high, watched), low + 1)) / 2 for low, high in pairwise([0.0, *cuts, np.inf])]


def _followed(rows: pl.DataFrame, days: Floats) -> Floats:
    """Return how many of these courses were followed to each day, or responded before."""
    responded = (rows["kind"] == "response").to_numpy()
    last = np.where(responded, rows["right_day"].fill_null(0).to_numpy(), rows["left_day"].to_numpy()).astype(float)
    return followed_through(last, ~responded, np.ones(rows.height), days)


def watched_to(rows: pl.DataFrame, stratum: str) -> float:
    """Return the last day on which anybody of a stratum is known to be without response, or to have it."""
    mine = rows.filter(pl.col("stratum") == stratum)
    last = pl.when(pl.col("kind") == "response").then("right_day").otherwise("left_day")
    return float(mine.select(last.max()).item())
