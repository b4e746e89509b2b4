"""What became of every course from visit to visit, as seen: nothing is modelled and nobody is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analysis import state_figures as figures
from analysis.cohort import BoosterPolicy, By, Confirmation, RescuePolicy, Stratum, check_day
from analysis.exposure import exposure_note
from analysis.loss_of_response import reduce_states
from analysis.multistate import STATES
from analysis.reduction import Reduction
from analysis.result import Result, diagnostics_of, frame_of, row
from registry import Courses
from registry.errors import NotEstimable, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOBODY = "nobody in this stratum"
# What a planned visit can show, and why it may show nothing.
SHOWN = (*STATES, "not_seen", "not_due")


def states_by_visit(
    courses: Courses,
    *,
    definition: str | None = None,
    loss: str = "L1",
    by: By = "stage",
    confirmation: Confirmation = "confirmed",
    booster_policy: BoosterPolicy = "treatment_policy",
    rescue_policy: RescuePolicy = "treatment_policy",
    until_day: int = 730,
) -> Result:
    """Count the courses in each state at each planned visit, and those who go from one to another, by stage.

    Each course is somewhere at every visit: in a state, ended, dead, *not seen* though due, or *not due* yet. Shares of
    those seen are biased where those without benefit stay away; here they can be read beside the number who did.

    Parameters
    ----------
    courses, definition, loss, by, confirmation, booster_policy, rescue_policy
        As :func:`analysis.loss_of_response`.
    until_day
        Planned visits up to this day.

    Returns
    -------
    Result
        Quantities ``at_<state>`` (share of the courses due, `n` of `denominator`) at the planned day, and
        ``<state> → <next state>`` (share of all courses of the stratum, from the visit of `time_day` to the next).
        ``plot()`` draws the alluvial figure.

    Raises
    ------
    NotEstimable
        When no course was followed, or the programme has no such rule of loss.

    Examples
    --------
    >>> states = states_by_visit(knees, until_day=365)
    >>> states.say("at_in_response", "early", 365)  # of the courses due, seen or not
    '... %'
    """
    seen = _seen(courses, definition, loss, by, confirmation, booster_policy, rescue_policy, "panel_flow")
    flows, settings = seen.frames["panel_flow"], seen.settings
    check_day(until_day, "until_day")
    flows = flows.filter(pl.col("target_day") <= until_day)
    if flows["target_day"].n_unique() < 2:
        raise UsageError(f"until_day = {until_day} leaves no planned visit after baseline; give a later day.")
    days = sorted(flows["target_day"].unique())
    visits = flows.unique("target_day").sort("target_day").select("target_day", "planned_visit").to_dicts()
    return Result(
        question="states_by_visit",
        title=f"States from visit to visit by {by}: {settings['definition_label']}, loss: {settings['loss_label']}",
        frame=frame_of([r for s in seen.strata for r in _rows(s, flows.filter(stratum=s.code), days)]),
        settings={**settings, "horizon_day": [int(days[-1])], "visits": visits},
        attrition=seen.flow,
        diagnostics=diagnostics_of([]),
        notes=(*exposure_note(by), "As seen: nothing is modelled. Those not seen are counted, not guessed."),
        draw=figures.alluvial,
    )


def swimmer(
    courses: Courses,
    *,
    n: int = 40,
    seed: int = 20040312,
    definition: str | None = None,
    loss: str = "L1",
    confirmation: Confirmation = "confirmed",
    by: By = "stage",
) -> Figure:
    """Draw single courses: what each visit showed, boosters, and how it ended; for the screen, not for print.

    Parameters
    ----------
    n, seed
        How many courses are drawn, at random, in proportion to the strata; the longest watched first in each.
    courses, definition, loss, confirmation, by
        As :func:`states_by_visit`.

    Notes
    -----
    Single courses can point to persons: it is for the screen inside the registry's walls; no export holds it.

    Examples
    --------
    >>> figure = swimmer(knees, n=10)
    >>> figure.savefig("courses.png")  # doctest: +SKIP
    """
    if n < 1:
        raise UsageError(f"n = {n}: draw one course or more.")
    placed = _seen(
        courses,
        definition,
        loss,
        by,
        confirmation,
        "treatment_policy",
        "treatment_policy",
        "panel_watch",
        "panel_visit",
    )
    watch = placed.frames["panel_watch"]
    share = min(1.0, n / watch.height)
    drawn = [
        mine.sample(max(1, round(share * mine.height)), seed=seed).sort("last_day", "course_id", descending=True)
        for s in placed.strata
        if (mine := watch.filter(stratum=s.code)).height
    ]
    lanes = pl.concat(drawn).with_row_index("lane")
    con = courses.registry.con
    con.register("lanes", lanes.select("lane", "course_id"))
    seen = con.sql("select lane, day, coalesce(open_state, state) as state from reduction.panel_visit "
                   "join lanes using (course_id) order by lane, day").pl()  # fmt: skip
    boosts = con.sql(
        "select lane, day from course.session join lanes using (course_id) where role = 'booster' order by all"
    ).pl()
    con.unregister("lanes")
    return figures.swimmer(lanes, seen, boosts, placed.settings, watch.height)


def _seen(
    courses: Courses, definition: str | None, loss: str, by: By, confirmation: Confirmation,
    booster_policy: BoosterPolicy, rescue_policy: RescuePolicy, *reductions: str,
) -> Reduction:  # fmt: skip
    seen = reduce_states(
        courses, *reductions, question="states_by_visit", definition=definition, loss=loss, by=by,
        confirmation=confirmation, booster_policy=booster_policy, rescue_policy=rescue_policy,
    )  # fmt: skip
    if next(iter(seen.frames.values())).height == 0:
        raise NotEstimable("No course was followed after its first session: there is no visit to show.")
    return seen


def _rows(stratum: Stratum, flows: pl.DataFrame, days: list[int]) -> list[dict[str, Any]]:
    """Return the rows of one stratum: states at each visit, then what became of them at the next."""
    total = int(flows.filter(target_day=days[0])["n"].sum())
    if total == 0:
        return [row(stratum.code, "at_in_response", time_day=float(d), n=0, denominator=0, note=_NOBODY) for d in days]
    rows = []
    for day in days:
        here = dict(flows.filter(target_day=day).group_by("state").agg(pl.col("n").sum()).iter_rows())
        due = sum(here.values()) - here.get("not_due", 0)
        for state in SHOWN:
            of = total if state == "not_due" else due
            k = here.get(state, 0)
            rows.append(row(stratum.code, f"at_{state}", time_day=float(day), n=k, denominator=of,
                            estimate=k / of if of else None))  # fmt: skip
    for day, state, then, k in flows.select("target_day", "state", "next_state", "n").sort("target_day").iter_rows():
        if day < days[-1]:
            rows.append(row(stratum.code, f"{state} → {then}", time_day=float(day), n=k, denominator=total,
                            estimate=k / total))  # fmt: skip
    return rows
