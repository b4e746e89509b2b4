"""A second opinion: the questions that lifelines and statsmodels can answer too, put to them row by row.

Our numbers come from counts and cross-products made in SQL, and estimators of our own. Here the same courses go, a row
each, to programs that others wrote, and the numbers stand side by side: on the reader's own data, not on a published
example. What no other program estimates as asked (response between visits with ends that compete, a booster's effect)
has none; docs/methods/agreement.md says what those were compared with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.cohort import By, check_left, place_courses, reduce
from analysis.numerics.survival_counts import step_values
from analysis.replacement import joint_replacement
from analysis.response import time_to_response
from analysis.response_at_visits import response_at_visits
from analysis.result import Result
from analysis.safety import place_harm, reduce_harm, safety
from analysis.trajectories import trajectories
from registry import Courses
from registry.errors import NotEstimable

Floats = NDArray[np.float64]
Row = dict[str, Any]

_FRAME = {
    "question": pl.String, "quantity": pl.String, "stratum": pl.String, "time_day": pl.Float64,
    "ours": pl.Float64, "theirs": pl.Float64, "difference": pl.Float64, "allowed": pl.Float64, "agrees": pl.Boolean,
    "program": pl.String, "note": pl.String,
}  # fmt: skip
_YEAR = 365.25
_KEY = ["stratum", "time_day"]


def second_opinion(courses: Courses, *, by: By = "stage", most_courses: int = 20_000) -> pl.DataFrame:
    """Put to lifelines and statsmodels what they can answer, and set their numbers beside ours.

    Parameters
    ----------
    courses
        From :meth:`registry.Registry.courses`.
    by
        What separates the strata.
    most_courses
        Of more courses, models that need minutes there (mixed model, estimating equations) are left out, and said.

    Returns
    -------
    polars.DataFrame
        One row a number: ``question, quantity, stratum, time_day, ours, theirs, difference`` (ours less theirs; shares
        of 1, points of 100, events per 100), ``allowed`` (what rounding and their stopping rule explain), ``agrees``,
        ``program`` and ``note``. Where `allowed` is null the other number is of another estimand, the one
        that is often shown: response at the date of the visit, by Kaplan and Meier. Where a question could not be
        compared, one row says why.

    Raises
    ------
    NotEstimable
        When no course is left to ask of.

    Examples
    --------
    >>> beside = second_opinion(knees)
    >>> bool(beside["agrees"].drop_nulls().all())
    True
    """
    _, kept = place_courses(courses, by)
    check_left(kept)
    slow = len(kept) > most_courses
    left = f"left out: it takes minutes for more than {most_courses:,} courses; most_courses= sets another limit"
    rows: list[Row] = []
    for question, put, is_slow in _QUESTIONS:
        try:
            rows += [{"question": question, **r} for r in ([{"note": left}] if slow and is_slow else put(courses, by))]
        except NotEstimable as error:
            rows.append({"question": question, "note": f"not compared: {error}"})
    return pl.DataFrame(rows, schema=_FRAME)


def _replacement(courses: Courses, by: By) -> Iterator[Row]:
    """Cumulative incidence of ends that compete, and of any end: no two programs, no counts in common."""
    from lifelines import KaplanMeierFitter
    from statsmodels.duration.survfunc import CumIncidenceRight

    ours = joint_replacement(courses, by=by, resamples=20)
    people = _rows(courses, "end_course")
    causes = ("end", "death", "switch")
    program, whole = _named("statsmodels", "CumIncidenceRight"), _named("lifelines", "KaplanMeierFitter")
    for stratum, asked in _by_stratum(ours, causes):
        mine = people.filter(pl.col("stratum") == stratum)
        day = mine["day"].cast(pl.Float64).to_numpy()
        cause = mine["cause"].replace_strict({"censored": 0, **{c: i for i, c in enumerate(causes, 1)}}).to_numpy()
        days = np.unique(asked["time_day"].to_numpy())
        if not (cause > 0).any():
            continue
        with np.errstate(divide="ignore", invalid="ignore"):  # in its variance, where nobody is left: not asked for
            theirs = CumIncidenceRight(day, cause)
        for k, name in enumerate(causes[: int(cause.max())]):
            told = step_values(theirs.times, theirs.cinc[k], days, before=0.0)
            yield from _beside(asked.filter(quantity=name), dict(zip(days, told, strict=True)), name, 1e-9, program)
        free = KaplanMeierFitter().fit(day, cause > 0).survival_function_at_times(days).to_numpy()
        either = asked.group_by(_KEY).agg(pl.col("estimate").sum()).sort("time_day")
        yield from _beside(either, dict(zip(days, 1 - free, strict=True)), "any of these", 1e-9, whole)


def _response(courses: Courses, by: By) -> Iterator[Row]:
    """The estimate that is often shown instead: Kaplan-Meier of the dates of visits."""
    from lifelines import KaplanMeierFitter

    ours = time_to_response(courses, by=by, resamples=20)
    people = _rows(courses, "response_course")
    note = "another estimand: response dated by the visit that found it, ends taken for end of follow-up"
    for stratum, asked in _by_stratum(ours, ("response",)):
        mine = people.filter(pl.col("stratum") == stratum)
        responded = (mine["kind"] == "response").to_numpy()
        day = np.where(responded, mine["right_day"].cast(pl.Float64), mine["left_day"].cast(pl.Float64))
        days = asked["time_day"].to_numpy()
        free = KaplanMeierFitter().fit(day, responded).survival_function_at_times(days).to_numpy()
        told = dict(zip(days, 1 - free, strict=True))
        yield from _beside(asked, told, "response", None, _named("lifelines", "KaplanMeierFitter"), note)


def _visits(courses: Courses, by: By) -> Iterator[Row]:
    """Share in response at visits: estimating equations with exchangeable answers of a patient."""
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_estimating_equations import GEE

    ours = response_at_visits(courses, by=by, working="exchangeable")
    if ours.settings["working"] != "exchangeable":
        yield {"note": "not compared: answers of a patient could not be taken for exchangeable"}
        return
    # The model's own cells: where nearly all or none respond, or few were seen, ours has exact limits, or nothing.
    shares = ours.frame.filter(pl.col("note").is_null(), quantity="share_in_response").drop_nulls("estimate")
    cells = shares.select(_KEY).sort(_KEY).with_row_index("cell")
    days = {v["position"]: float(v["day"]) for v in ours.settings["visits"]}
    people = _rows(courses, "state_visit").drop_nulls("in_response")
    people = people.with_columns(time_day=pl.col("position").replace_strict(days, return_dtype=pl.Float64))
    people = people.join(cells, on=_KEY).sort("patient_id")
    exog = np.eye(cells.height)[people["cell"].to_numpy()]
    model = GEE(
        people["in_response"].to_numpy().astype(float), exog, groups=people["patient_id"].to_numpy(),
        family=Binomial(), cov_struct=Exchangeable(),
    )  # fmt: skip
    fit, said = _quietly(lambda: model.fit(maxiter=200, ctol=1e-10))
    if said:
        yield {"note": f"not compared: {said}"}
        return
    told = {
        (c["stratum"], c["time_day"]): 1 / (1 + np.exp(-b)) for c, b in zip(cells.to_dicts(), fit.params, strict=True)
    }
    program = _named("statsmodels", "GEE")
    for stratum, asked in _by_stratum(ours, ("share_in_response",), shares):
        mine = {day: value for (code, day), value in told.items() if code == stratum}
        yield from _beside(asked, mine, "share_in_response", 1e-6, program)


def _changes(courses: Courses, by: By) -> Iterator[Row]:
    """Differences of change at visits: compound symmetry is what a random intercept of the course comes to."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    ours = trajectories(courses, by=by, structure="compound symmetry", variance="model")
    if ours.settings["structure"] != "compound symmetry":
        yield {"note": "not compared: the data do not determine a common correlation between visits"}
        return
    asked = ours.frame.filter(quantity="difference").drop_nulls("estimate")
    visits = {v["visit"]: float(v["day"]) for v in ours.settings["visits"]}
    con = courses.registry.con
    places = con.sql("select position, planned_visit from cohort.trajectory_visit").pl()
    people = (
        _rows(courses, "trajectory_value", "trajectory_course", on="course_id")
        .join(places, on="position").filter(pl.col("planned_visit").is_in(list(visits)))
        .with_columns(
            time_day=pl.col("planned_visit").replace_strict(visits, return_dtype=pl.Float64),
            change=pl.col("change").cast(pl.Float64),
            baseline=pl.col("baseline").cast(pl.Float64),
        )
        .sort("course_id", "time_day")
    )  # fmt: skip
    cells = people.select(_KEY).unique().sort(_KEY).with_row_index("cell")
    days = sorted(visits.values())
    people = people.join(cells, on=_KEY, maintain_order="left")
    at = np.searchsorted(days, people["time_day"].to_numpy())
    baseline = people["baseline"].to_numpy() - people["baseline"].mean()
    exog = np.hstack([np.eye(cells.height)[people["cell"].to_numpy()], np.eye(len(days))[at] * baseline[:, None]])
    model = MixedLM(people["change"].to_numpy(), exog, groups=people["course_id"].to_numpy())
    fit, said = _quietly(lambda: model.fit(reml=True))
    if said:
        yield {"note": f"not compared: {said}"}
        return
    told = {(c["stratum"], c["time_day"]): b for c, b in zip(cells.to_dicts(), fit.fe_params, strict=False)}
    program = _named("statsmodels", "MixedLM")
    for stratum, mine in _by_stratum(ours, ("difference",), asked):
        gaps = {
            day: value - told[other, day]
            for (one, day), value in told.items()
            for other in {code for code, _ in told}
            if f"{one} - {other}" == stratum and (other, day) in told
        }
        yield from _beside(mine, gaps, "difference", 1e-4, program)


def _harm(courses: Courses, by: By) -> Iterator[Row]:
    """Exact limits of rates and shares of adverse events, of the events that count like independent ones."""
    from statsmodels.stats.proportion import proportion_confint
    from statsmodels.stats.rates import confint_poisson

    ours = safety(courses, by=by)
    _, kept = place_harm(courses, by, None, 1, False, None)
    people = reduce_harm(kept)[0].with_columns(
        years=pl.col("watched_day") / _YEAR, one=pl.lit(1), hit=pl.col("n_events") > 0
    )
    counted = {
        "events_per_100_sessions": ("n_events", "n_sessions", 100.0),
        "events_per_100_course_years": ("n_watched_events", "years", 100.0),
        "courses_with_event": ("hit", "one", 1.0),
    }
    for quantity, (events, exposure, per) in counted.items():
        for stratum, asked in _by_stratum(ours, (quantity,)):
            mine = people.filter(pl.col("stratum") == stratum)
            effect = _design_effect(mine, events, None if per == 1 else exposure)
            n, of = (float(mine[c].sum()) / effect for c in (events, exposure))
            exact = proportion_confint(n, of, method="beta") if per == 1 else confint_poisson(n, of, method="exact-c")
            method = "proportion_confint" if per == 1 else "confint_poisson"
            for limit, value in zip(("low", "high"), exact, strict=True):
                here = asked.with_columns(estimate=pl.col(limit))
                yield from _beside(
                    here, {None: per * value}, f"{quantity}, {limit}", 1e-6, _named("statsmodels", method)
                )


def _design_effect(mine: pl.DataFrame, events: str, exposure: str | None) -> float:
    """Return the variance clustered by patient over that of independent events, in a model of nothing but the mean."""
    import statsmodels.api as sm

    y = mine[events].cast(pl.Float64).to_numpy()
    if len(y) < 2 or y.sum() == 0 or (exposure is None and y.all()):
        return 1.0
    offset = None if exposure is None else np.log(mine[exposure].cast(pl.Float64).to_numpy())
    family = sm.families.Binomial() if exposure is None else sm.families.Poisson()
    model = sm.GLM(y, np.ones((len(y), 1)), family=family, offset=offset)
    groups = {"groups": mine["patient_id"].to_numpy(), "use_correction": False}
    to_the_end = {"tol": 1e-12, "tol_criterion": "params"}
    plain, clustered = model.fit(**to_the_end), model.fit(**to_the_end, cov_type="cluster", cov_kwds=groups)
    return max(float(clustered.cov_params()[0, 0] / plain.cov_params()[0, 0]), 1.0)


# Question, how it is put, and whether that takes minutes where courses are many.
_QUESTIONS: tuple[tuple[str, Callable[[Courses, By], Iterator[Row]], bool], ...] = (
    ("joint_replacement", _replacement, False),
    ("response_at_visits", _visits, True),
    ("trajectories", _changes, True),
    ("safety", _harm, False),
    ("time_to_response", _response, False),
)


def _rows(courses: Courses, *names: str, on: str = "") -> pl.DataFrame:
    """Return rows of courses as the question just asked has placed them, before anything was counted."""
    found = reduce(courses, *(f"reduction.{name}" for name in names))
    return found[0] if len(found) == 1 else found[0].join(found[1], on=on)


def _by_stratum(
    ours: Result, quantities: tuple[str, ...], frame: pl.DataFrame | None = None
) -> Iterator[tuple[str, pl.DataFrame]]:
    asked = (ours.frame if frame is None else frame).filter(pl.col("quantity").is_in(quantities)).drop_nulls("estimate")
    for (stratum,), mine in asked.group_by("stratum", maintain_order=True):
        yield str(stratum), mine


def _beside(
    asked: pl.DataFrame,
    told: dict[Any, float],
    quantity: str,
    allowed: float | None,
    program: str,
    note: str | None = None,
) -> Iterator[Row]:
    """Set our estimates beside what was told for their days."""
    for r in asked.iter_rows(named=True):
        if r["time_day"] not in told:
            continue
        gap = float(r["estimate"] - told[r["time_day"]])
        yield {
            "quantity": quantity, "stratum": r["stratum"], "time_day": r["time_day"], "ours": r["estimate"],
            "theirs": float(told[r["time_day"]]), "difference": gap, "allowed": allowed,
            "agrees": None if allowed is None else abs(gap) <= allowed, "program": program, "note": note,
        }  # fmt: skip


def _quietly(fit: Callable[[], Any]) -> tuple[Any, str]:
    """Fit, and return in words what statsmodels warns of: a singular fit or one that did not converge is no opinion."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            made = fit()
        except (np.linalg.LinAlgError, ValueError) as error:
            return None, f"statsmodels failed ({error})"
    return made, f"statsmodels warned ({str(told[0].message).splitlines()[0]})" if told else ""


def _named(package: str, what: str) -> str:
    from importlib.metadata import version

    return f"{package} {version(package)} {what}"
