"""Bias and coverage of rates, mean numbers and first adverse events against a known truth, beside simple tables.

    python benchmarks/truth/safety.py --seeds 1000

Writes docs/methods/truth/safety.json and, for reading, safety.md.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import duckdb
import numpy as np
from samples import Number, Study, run

from analysis.cohort import Stratum
from analysis.safety import harm_rows
from registry import sqlmodels
from synthetic.harm_world import PRODUCTS, SCENARIOS, Scenario, World, make, tables

STRATA = [Stratum(p, p, "#000000") for p in PRODUCTS]
DAYS = np.array([91.0, 365.0])
_MODELS = ("harm_course", "harm_event", "harm_first_cell", "harm_first_cluster")
_RUN = {*_MODELS, "harm_asked", "harm_first"}
_NO_LIMITS = (np.nan, np.nan)


@lru_cache
def engine() -> duckdb.DuckDBPyConnection:
    """Return the engine of this process, with the schemas of the reductions and what is asked about: all events."""
    con = duckdb.connect(config={"threads": 1})
    for schema in ("course", "endpoint", "cohort", "reduction"):
        con.execute(f"create schema {schema}")
    con.execute(
        "create table cohort.harm as select cast(null as varchar) as category, 1 as least_grade, false as serious, "
        "cast(null as varchar) as related_to"
    )
    return con


@lru_cache
def true_numbers(scenario: Scenario) -> dict[tuple[str, str, float | None], float]:
    """Return the estimands by quantity, product and day.

    Means and first events had all been watched; rates and the share with an event had events nothing to do with how
    long: both depend on it.
    """
    world, out = make(scenario, 1_500_000, 987_654_321), {}
    fairly = make(replace(scenario, after_events=0.0, unseen=0.0), 1_500_000, 987_654_321)
    first, told = world.first(), fairly.events_by(fairly.watched)
    events = {d: world.events_by(d) for d in DAYS}
    for i, p in enumerate(PRODUCTS):
        here = world.product == i
        seen = fairly.product == i
        out["events_per_100_sessions", p, None] = 100 * told[seen].sum() / fairly.sessions[seen].sum()
        out["events_per_100_course_years", p, None] = 100 * told[seen].sum() / fairly.watched[seen].sum() * 365.25
        out["courses_with_event", p, None] = float((told[seen] > 0).mean())
        weighted = "events_per_100_course_years", "mean_events"
        out[f"{weighted[0]}_weighted", p, None] = out[weighted[0], p, None]
        for d in DAYS:
            out["mean_events", p, d] = out[f"{weighted[1]}_weighted", p, d] = float(events[d][here].mean())
            out["first_event", p, d] = float(((first <= d) & (first <= world.end))[here].mean())
            out["end_before_event", p, d] = float(((world.end <= d) & (world.end < first))[here].mean())
    return out


def one(task: tuple[Scenario, int, int]) -> list[Number]:
    """Return the numbers of one sample."""
    scenario, courses, seed = task
    world, con, true = make(scenario, courses, seed), engine(), true_numbers(scenario)
    for name, frame in tables(world).items():
        con.register("frame", frame)
        con.execute(f"create or replace table {name} as from frame")
    sqlmodels.run(con, [m for m in sqlmodels.models() if m.removeprefix("reduction.") in _RUN])
    made = [con.sql(f"from reduction.{m} order by all").pl() for m in _MODELS]
    frame, _ = harm_rows(*made, STRATA, DAYS, 0.95, seed)
    out: list[Number] = []
    for r in frame:
        key = r["quantity"], r["stratum"], r["time_day"]
        if r["estimate"] is not None and key in true:
            out.append((_named(r["quantity"], r["time_day"]), r["stratum"], r["estimate"], r["low"], r["high"],
                        true[key]))  # fmt: skip
    return out + _simple(world, true)


def _named(quantity: str, day: float | None) -> str:
    return quantity if day is None else f"{quantity} by day {day:.0f}"


def _simple(world: World, true: dict[tuple[str, str, float | None], float]) -> list[Number]:
    """Return what simple tables make of a year: of complete cases, of rates, of all courses, with ends as censoring."""
    out: list[Number] = []
    year, first = DAYS[-1], world.first()
    told = world.events_by(world.watched)
    for i, p in enumerate(PRODUCTS):
        here = world.product == i
        mean, share = (true[q, p, year] for q in ("mean_events", "first_event"))
        whole = here & (world.watched >= year)
        if whole.any():
            out.append((f"complete case: {_named('mean_events', year)}", p,
                        float(world.events_by(year)[whole].mean()), *_NO_LIMITS, mean))  # fmt: skip
            early = (first <= year) & (first <= world.end)
            out.append((f"complete case: {_named('first_event', year)}", p, float(early[whole].mean()), *_NO_LIMITS,
                        share))  # fmt: skip
        if here.any():
            rate = told[here].sum() / np.maximum(world.watched[here], 1).sum() * year
            out.append((f"rate a year taken for {_named('mean_events', year)}", p, float(rate), *_NO_LIMITS, mean))
            seen = (first <= np.minimum(world.watched, year)) & (first <= world.end)
            out.append((f"share of all courses for {_named('first_event', year)}", p, float(seen[here].mean()),
                        *_NO_LIMITS, share))  # fmt: skip
            out.append((f"ends as censoring (Kaplan-Meier) for {_named('first_event', year)}", p,
                        _kaplan_meier(world, first, here, year), *_NO_LIMITS, share))  # fmt: skip
    return out


def _kaplan_meier(world: World, first: np.ndarray, here: np.ndarray, day: float) -> float:
    """Return one less the product-limit estimate in which the end of the target censors."""
    stop = np.minimum(np.minimum(first, np.minimum(world.end, world.watched)), day + 1)[here]
    event = (first[here] <= np.minimum(world.end, world.watched)[here]) & (first[here] <= day)
    times, deaths = np.unique(stop[event], return_counts=True)
    at_risk = (stop[:, None] >= times).sum(axis=0)
    return float(1 - np.prod(1 - deaths / at_risk)) if len(times) else 0.0


STUDY = Study(
    "safety",
    "Safety: bias and coverage against the truth",
    "From `synthetic/harm_world.py`: 16 % of patients with two courses; three products with 0.9, 0.4 and 0.03 events "
    "a year, 40 % of them in the first weeks; targets end at 15 % a year, which leaves courses watched; about a fifth"
    " leave within a year where events do not matter. `all_alike`: events independent, leaving at random; `prone`: "
    "some patients are prone to many (gamma, variance 1); `at_random`: besides, each event that was told doubles the "
    "odds of leaving before the next visit; `not_at_random`: besides, the prone leave more often, events or not. The "
    "truth of means and first events is what all would show if watched; that of rates and of the share with an event "
    "what would be seen of the same events if leaving had nothing to do with them. Rates of 100 sessions and 100 "
    "course-years, shares of 1; `weighted`: for leaving, by the number of events so far. For comparison only: "
    "*complete case*, of courses watched for a year; *rate a year "
    "taken for* the mean number by a year; the *share of all courses*, whoever left; *ends as censoring*, "
    "Kaplan–Meier.",
    SCENARIOS,
    one,
    {"events_per": 2, "": 3},
)

if __name__ == "__main__":
    run(STUDY)
