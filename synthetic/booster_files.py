"""The world of boosters as the files of a clinic, and as the rows that the registry must make of them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from registry import catalogue
from synthetic.booster_world import CUT_DAY, GRADES, LAST, RESPONSE_POINTS, STAGES, World, eligible, end_day

INDEX_DATE = dt.date(2022, 1, 3)
HEIGHT_M = 1.7


def write(world: World, folder: Path, *, log: bool) -> None:
    """Write the world as one CSV file a table, as the template asks, with the day of extraction."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in files(world, log=log).items():
        frame.write_csv(folder / f"{name}.csv")
    day = INDEX_DATE + dt.timedelta(days=CUT_DAY)
    (folder / "load.toml").write_text(f"extracted_on = {day}\n", encoding="utf-8")


def files(world: World, *, log: bool) -> dict[str, pl.DataFrame]:
    """Return the tables of the template by file name.

    Parameters
    ----------
    log
        Whether the clinic records its decisions, also those against a booster.
    """
    n = len(world.stage)
    patient = np.char.add("B", np.char.zfill(np.arange(n).astype(str), 7))
    who = pl.DataFrame({"patient": patient}).with_columns(site=pl.lit("knee"), side=pl.lit("right"))
    course, visit = np.nonzero(world.seen)
    dates = _date(world.day[course, visit])
    boosted = np.flatnonzero(world.boosted_at < 99)
    given = _date(world.day[boosted, world.boosted_at[boosted]] + world.delay[boosted])
    first = who.with_columns(
        course_no=pl.lit(1), date=pl.lit(INDEX_DATE), intent=pl.lit("initial"), session_no=pl.lit(1)
    )
    later = who[boosted].with_columns(
        course_no=pl.lit(1), date=pl.Series(given),
        intent=pl.lit("booster_scheduled"), session_no=pl.lit(2),
    )  # fmt: skip
    ended = np.flatnonzero(np.isfinite(end_day(world)))
    tables = {
        "patients": pl.DataFrame(
            {
                "patient": patient,
                "centre": ["ZRH"] * n,
                "birth_year": (2022 - np.round(world.age)).astype(int),
                "sex": ["female"] * n,
                "height_cm": [170.0] * n,
                "enrolment_date": [INDEX_DATE] * n,
            }
        ),
        "centres": pl.DataFrame({"centre": ["ZRH"], "country": ["CH"]}),
        "targets": who.with_columns(kind=pl.lit("joint")),
        "conditions": who.with_columns(diagnosis=pl.lit("primary_OA")),
        "stages": who.with_columns(
            date=pl.lit(INDEX_DATE), scheme=pl.lit("KL"), grade=pl.Series(np.array(GRADES)[world.stage])
        ),
        "products": pl.DataFrame(
            {
                "product": ["BMAC"],
                "donor": ["autologous"],
                "origin": ["bone_marrow"],
                "separation": ["density_gradient"],
                "expanded": ["false"],
            }
        ),
        "courses": who.with_columns(
            course_no=pl.lit(1), planned_sessions=pl.lit(1), programme=pl.lit("osteoarthritis")
        ),
        "sessions": pl.concat([first, later]).with_columns(
            product=pl.lit("BMAC"), route=pl.lit("intra_articular"), guidance=pl.lit("ultrasound")
        ),
        "measurements": pl.concat(
            [
                who[course].with_columns(
                    date=pl.Series(dates), instrument=pl.lit("KOOS"), subscale=pl.lit("pain"),
                    value=pl.Series(np.round(100 - world.pain[course, visit], 1)),
                ),
                who.with_columns(
                    date=pl.lit(INDEX_DATE), instrument=pl.lit("body_weight"), subscale=pl.lit(None, pl.String),
                    value=pl.Series(np.round(world.bmi * HEIGHT_M**2, 1)),
                ),
            ]
        ),
        "events": who[ended].with_columns(date=pl.Series(_date(end_day(world)[ended].astype(int))), kind=pl.lit("TKA")),
    }  # fmt: skip
    if log:
        tables["decisions"] = _decisions(world, who)
    return tables


def reductions(world: World) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what ``reduction.booster_visit`` and ``reduction.booster_course`` must hold of a world without a log.

    Made from the arrays, by other means than the SQL: that both agree is a test of either. Only courses at which a
    booster could be decided on have rows; courses are numbered as the patients are.
    """
    seen = world.seen
    course, visit = np.nonzero(seen[:, 1:])
    visit = visit + 1
    improvement = np.round(world.pain[:, :1] - world.pain, 1)
    best = np.maximum(np.maximum.accumulate(np.where(seen, improvement, -np.inf)[:, 1:], axis=1), 0)
    met = improvement >= RESPONSE_POINTS
    met[:, 0] = False
    met_before = np.zeros_like(met)
    met_before[:, 1:] = np.maximum.accumulate((met & seen)[:, :-1], axis=1)
    # The last visit before each, and the first of all after treatment, that took place.
    index = np.arange(LAST + 1)
    latest = np.maximum.accumulate(np.where(seen, index, 0), axis=1)
    previous = np.hstack([np.zeros((len(seen), 1), dtype=int), latest[:, :-1]])
    earliest = 1 + np.argmax(seen[:, 1:], axis=1)
    last = (seen * index).max(axis=1)
    end, boosted = end_day(world), world.boosted_at[course]
    last_day = world.day[np.arange(len(seen)), last]
    window = _next_window(last_day)
    at_last = np.where(end <= window, "ended", np.where(window <= CUT_DAY, "lost", "not_due"))
    watched = np.maximum(last_day, np.minimum(window, CUT_DAY))
    given = world.day[np.arange(len(seen)), np.minimum(world.boosted_at, LAST)] + world.delay
    day = world.day[course, visit]
    later = boosted < visit
    without = pl.when(pl.col("met")).then(None)
    visits = pl.DataFrame(
        {
            "course_id": course,
            "patient_id": course,
            "stratum": np.array(STAGES)[world.stage[course]],
            "visit_day": day,
            "zero_day": day,
            "improvement": improvement[course, visit],
            "previous": improvement[course, previous[course, visit]],
            "best": best[course, visit - 1],
            "earliest": improvement[course, earliest[course]],
            "visit_no": np.cumsum(seen[:, 1:], axis=1)[course, visit - 1],
            "met": met[course, visit],
            "met_before": met_before[course, visit],
            "booster_day": np.where(boosted == visit, given[course], -1),
            "n_boosters_before": later.astype(int),
            "since_session_day": day - np.where(later, given[course], 0),
            "next_state": np.where(visit < last[course], "seen", at_last[course]),
            "end_day": np.where(np.isfinite(end[course]), end[course], -1).astype(int),
            "watched_to_day": watched[course].astype(int),
        }
    ).with_columns(
        situation=without.otherwise(
            pl.when("met_before").then(pl.lit("regression")).otherwise(pl.lit("insufficient"))
        ),
        origin=pl.lit("visits"),
        asked=pl.lit(True),
        decided=pl.lit(None, pl.Boolean),
        cost_barrier=pl.lit(None, pl.Boolean),
        booster_day=pl.when(pl.col("booster_day") >= 0).then("booster_day"),
        end_day=pl.when(pl.col("end_day") >= 0).then("end_day"),
        end_role=pl.when(pl.col("end_day") >= 0).then(pl.lit("end")),
        cut_day=pl.lit(CUT_DAY),
        next_course_day=pl.lit(None, pl.Int64),
    )  # fmt: skip
    visits = visits.filter((~pl.col("met")).any().over("course_id")).sort("course_id", "visit_day")
    n = len(world.stage)
    courses = pl.DataFrame(
        {
            "course_id": np.arange(n),
            "patient_id": np.arange(n),
            "stratum": np.array(STAGES)[world.stage],
            "baseline": world.pain[:, 0],
            "age": np.round(world.age),
            "bmi": np.round(np.round(world.bmi * HEIGHT_M**2, 1) / HEIGHT_M**2, 4),
            "sex": ["female"] * n,
            "stage": np.array(STAGES)[world.stage],
            "site": ["knee"] * n,
        }
    ).join(visits.select("course_id").unique(), on="course_id", how="semi")
    return visits, courses


def _date(day: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return np.datetime64(INDEX_DATE) + day.astype("timedelta64[D]")


def _decisions(world: World, who: pl.DataFrame) -> pl.DataFrame:
    parts = []
    for k in range(1, LAST + 1):
        asked = np.flatnonzero(eligible(world, k))
        given = world.boosted_at[asked] == k
        parts.append(
            who[asked].with_columns(
                date=pl.Series(_date(world.day[asked, k])),
                decision=pl.Series(np.where(given, "booster", "wait")),
                cost_barrier=pl.Series(np.where(world.cost[asked], "true", "false")),
            )
        )
    return pl.concat(parts)


def _next_window(day: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return when the window of the next planned visit closes, for visits on `day`; infinite if none is planned."""
    planned = catalogue.read("programme_visit").filter(pl.col("programme") == "osteoarthritis")
    low, high = (planned[c].cast(pl.Float64).to_numpy() for c in ("window_low_day", "window_high_day"))
    return np.asarray(np.where(low > day[:, None], high, np.inf).min(axis=1))
