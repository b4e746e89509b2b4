"""The visits of a cohort as arrays: who could be decided on, who was boosted, and what followed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.numerics.emulation import ENDED, LOST, NOT_DUE, SEEN, Design, Estimand, Trials, Visits, trials
from analysis.numerics.seen_hazard import Pieces, Watched, pieces, watch
from analysis.numerics.structural import Spells, outcome_design, spell_design, spells

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Visits so long after the last day asked for still inform it.
BEYOND_DAY = 91.0
# Where they are too few for a value of their own, those later than this are left out: they would be taken for the last
# day, when an effect that fades is larger. A visit that was due that day, and came late, stays.
LATE_DAY = 30.0
# A day not asked for gets a value of its own where so many patients in each arm of each stratum were seen near it.
_FEWEST_AT_NODE = 10
# Scores are held to four decimals; half a thousandth of slack keeps an exact tie a loss.
_TIE = 0.0005
STATES = {"seen": SEEN, "ended": ENDED, "lost": LOST, "not_due": NOT_DUE}
# Covariates that every model has: what a clinician sees on the day of the decision.
ALWAYS = ("baseline", "improvement", "previous", "best", "regression", "log_since_session", "log_day")


@dataclass(frozen=True)
class Plan:
    """What is estimated.

    Attributes
    ----------
    outcome
        ``mean`` improvement since the decision, ``share`` in response, ``risk`` of the end of the target, or ``loss``:
        risk of a score worse than at the decision, or of an end, whichever came first.
    days
        Days after the decision asked for, in order.
    worse_by
        Points by which a score must be worse than at the decision to count as loss.
    """

    outcome: str
    estimand: Estimand
    design: Design
    grace_day: float
    days: tuple[float, ...]
    worse_by: float = float("nan")

    @property
    def bounds(self) -> Floats:
        """Days that bound the intervals of the hazard: each day asked for, and at most 100 days apart."""
        marks = [0.0]
        for day in self.days:
            pieces = int(np.ceil((day - marks[-1]) / 100))
            marks.extend(np.linspace(marks[-1], day, pieces + 1)[1:])
        return np.array(marks)


@dataclass(frozen=True)
class Prepared:
    """The visits of a cohort with the trials that start among them.

    Attributes
    ----------
    visits
        Arrays of the visits.
    names
        Names of the covariates, in the order of ``visits.x``.
    start
        Rows at which a trial starts, shape (t,).
    patient
        Number of the patient of each visit, shape (n,).
    y
        Improvement at each visit, or whether in response; nan where not known.
    end, known, ended_day
        Day of the end that is asked about, day until which it is known, and day of any end; shape (n,).
    earliest, best_since, visit_no
        Improvement at the first visit after treatment, the best one since then so far, and number of the visit, for the
        negative control.
    strata
        Codes of the strata.
    """

    plan: Plan
    visits: Visits
    names: tuple[str, ...]
    start: Ints
    patient: Ints
    y: Floats
    end: Floats
    known: Floats
    ended_day: Floats
    earliest: Floats
    best_since: Floats
    visit_no: Ints
    strata: tuple[str, ...]

    @cached_property
    def records(self) -> Trials:
        """Follow-up records with a known outcome (means and shares), where later ones have no node up to the last day.

        Of a loss all: what is seen later bounds it.
        """
        made = self._all_records
        if self.plan.outcome == "loss":
            return made
        here = (made.time <= self.plan.days[-1] + LATE_DAY) | self.beyond[self.stratum[made.trial]]
        return Trials(made.start, made.trial[here], made.row[here], made.arm[here], made.time[here])

    @cached_property
    def _all_records(self) -> Trials:
        last = self.plan.days[-1] + BEYOND_DAY
        eligible = np.zeros(len(self.visits.day), dtype=bool)
        eligible[self.start] = True
        made = trials(
            self.visits, eligible, last, estimand=self.plan.estimand, design=self.plan.design,
            grace_day=self.plan.grace_day,
        )  # fmt: skip
        known = ~np.isnan(self.y[made.row])
        return Trials(made.start, made.trial[known], made.row[known], made.arm[known], made.time[known])

    @cached_property
    def spells(self) -> Spells:
        """Intervals of follow-up: of the end asked about; for shares of any end, after which there is no response."""
        return spells(
            self.visits, self.start, self.end, self.known, self.plan.bounds, estimand=self.plan.estimand,
            design=self.plan.design, grace_day=self.plan.grace_day,
        )  # fmt: skip

    @cached_property
    def watched(self) -> Watched:
        """Intervals between looks up to the first loss: a score worse than at the decision, or an end."""
        last, change = np.array([0.0, self.plan.days[-1] + BEYOND_DAY]), self.y[self.records.row]
        change = change - self.y[self.records.start][self.records.trial]
        ends = spells(
            self.visits, self.start, self.end, self.known, last, estimand=self.plan.estimand, design=self.plan.design,
            grace_day=self.plan.grace_day,
        )  # fmt: skip
        settled = ends.event | np.isinf(self.known[self.start])[ends.trial]
        return watch(self.records, change <= -self.plan.worse_by + _TIE, ends.at(settled))

    @property
    def bands(self) -> Floats:
        """Days that bound the bands of the hazard of loss: those of the hazard of an end, and what follows them."""
        return np.append(self.plan.bounds, self.plan.days[-1] + BEYOND_DAY)

    @cached_property
    def pieces(self) -> Pieces:
        """The design of the hazard of loss, by band."""
        bands = self.bands
        return pieces(self.watched, self.start, self.visits, bands, len(bands) - 2, interact=self.interact)

    @cached_property
    def nodes(self) -> Floats:
        """Days between which effects are linear, shape (k,): those asked for, and others where the data support them.

        Halfway between two days asked for that are far apart (or the decision and the first), where both arms of every
        stratum were seen about then, and where the follow-up used ends, so that later visits inform the last day
        without being taken for it: for the strata seen there. Elsewhere a value would be invented.
        """
        asked = self.plan.days
        middles = [((low + high) / 2, (high - low) / 4) for low, high in pairwise([0.0, *asked]) if high - low > 120]
        found = [day for day, reach in middles if self._seen(day, reach)[self._counted].all() and self._counted.any()]
        return np.unique([*asked, *found, *([asked[-1] + BEYOND_DAY] if self.beyond.any() else [])])

    @cached_property
    def beyond(self) -> Bools:
        """Strata seen so often after the last day asked for that they have a value of their own there, shape (s,)."""
        return self._seen(self.plan.days[-1] + BEYOND_DAY, BEYOND_DAY / 2)

    @cached_property
    def grid(self) -> Floats:
        """Days after the decision at which curves are drawn: straight to the first node, then every fifteen."""
        if self.plan.outcome == "risk":
            return self.plan.bounds[1:]
        if self.plan.outcome == "loss":
            return np.unique(np.r_[0.0, np.arange(15.0, self.plan.days[-1] + 1, 15.0), self.plan.days])
        return np.unique(np.r_[0.0, np.arange(self.nodes[0], self.plan.days[-1] + 1, 15.0), self.plan.days])

    @property
    def _counted(self) -> Bools:
        """Strata with enough boosted patients to have any number, shape (s,)."""
        boosted = [self.patient[self.start[self.arm & (self.stratum == s)]] for s in range(len(self.strata))]
        return np.array([len(np.unique(b)) >= _FEWEST_AT_NODE for b in boosted])

    def _seen(self, day: float, reach: float) -> Bools:
        """Return the strata of whom enough patients were seen in each arm within `reach` of `day`, shape (s,)."""
        made = self._all_records
        near = np.abs(made.time - day) <= reach
        cell = 2 * self.stratum[made.trial[near]] + made.arm[near]
        one_each = np.unique(np.column_stack([cell, self.patient[made.row[near]]]), axis=0)[:, 0]
        seen = np.bincount(one_each, minlength=2 * len(self.strata)).reshape(-1, 2).min(axis=1)
        return np.asarray(seen >= _FEWEST_AT_NODE)

    @cached_property
    def followed(self) -> tuple[Trials, Floats, Floats]:
        """Follow-up records, their outcomes (r,) and the design of the outcome model (r, q)."""
        records, y = self.records, self.y[self.records.row]
        if self.plan.outcome == "mean":
            y = y - self.y[records.start][records.trial]
        last = np.where(self.beyond[self.stratum[records.trial]], np.inf, self.plan.days[-1])
        told = replace(records, time=np.minimum(records.time, last))
        return records, y, outcome_design(told, self.visits, self.nodes, interact=self.interact)

    @cached_property
    def hazard_design(self) -> Floats:
        """Design of the hazard of the end, a row for each of `spells`."""
        return spell_design(self.spells, self.start, self.visits, interact=self.interact)

    def of_patients(self, chosen: Bools) -> Prepared:
        """Return the rows of some patients, `chosen` of shape (patients,), with the nodes of all."""
        at = np.flatnonzero(chosen[self.patient])
        place = np.full(len(self.patient), -1)
        place[at] = np.arange(len(at))
        start = place[self.start]
        v = self.visits
        visits = Visits(
            **{f.name: getattr(v, f.name)[at] for f in fields(v) if f.name != "n_strata"}, n_strata=v.n_strata
        )
        part = replace(
            self, visits=visits, start=start[start >= 0], patient=(np.cumsum(chosen) - 1)[self.patient[at]],
            y=self.y[at], end=self.end[at], known=self.known[at], ended_day=self.ended_day[at],
            earliest=self.earliest[at], best_since=self.best_since[at], visit_no=self.visit_no[at],
        )  # fmt: skip
        part.__dict__["nodes"], part.__dict__["beyond"] = self.nodes, self.beyond
        return part

    @property
    def first_decisions(self) -> Ints:
        """Rows at which a booster could be decided on, none given before, whatever follow-up is left."""
        v = self.visits
        return np.flatnonzero(v.asked & (v.before == 0) & ~v.ended_early)

    @property
    def interact(self) -> bool:
        """Whether covariates modify the effect in the outcome model: the g-formula has nothing else to lean on."""
        return self.plan.design == "g_formula"

    @property
    def arm(self) -> Bools:
        """Whether each trial was treated, shape (t,)."""
        return self.visits.treated[self.start]

    @property
    def stratum(self) -> Ints:
        """Stratum of each trial, shape (t,)."""
        return self.visits.stratum[self.start]


def prepare(
    rows: pl.DataFrame, courses: pl.DataFrame, strata: tuple[str, ...], covariates: tuple[str, ...], plan: Plan,
    situation: str,
) -> Prepared:  # fmt: skip
    """Put ``reduction.booster_visit`` and ``reduction.booster_course`` into arrays.

    A trial starts where a booster could be decided on, in the situation asked about, without an earlier one, and where
    the data cut leaves time for the last day asked for, whoever came and whatever was done next.
    """
    of_course = [c for c in courses.columns if c == "course_id" or c not in rows.columns]
    joined = rows.join(courses.select(of_course), on="course_id").sort("course_id", "visit_day")
    f = {c: joined[c].cast(pl.Float64).to_numpy() for c in (
        "visit_day", "zero_day", "improvement", "booster_day", "end_day", "watched_to_day", "cut_day",
        "next_course_day", "earliest")}  # fmt: skip
    x, names = design_of(joined, covariates)
    delay = f["booster_day"] - f["zero_day"]
    treated = (delay >= 0) & (delay <= plan.grace_day)
    if plan.estimand == "intention_to_treat":
        # Where a log is kept, as decided; elsewhere nobody wrote down more than that it was given.
        logged = joined["decided"].fill_null(False).to_numpy().astype(bool)
        treated = np.where(joined["decided"].is_not_null().to_numpy(), logged, treated)
    asked = joined["asked"].to_numpy() & joined["situation"].is_not_null().to_numpy()
    number = {s: i for i, s in enumerate(strata)}
    before = joined["n_boosters_before"].to_numpy().astype(np.int64)
    ended_day, end, known = _ends(f, joined["end_role"].fill_null("none").to_numpy(), plan)
    without = np.where(np.isnan(f["booster_day"]), np.inf, f["booster_day"])
    within_grace = ended_day <= np.minimum(f["zero_day"] + plan.grace_day, without)
    patient = _numbers(joined["patient_id"])
    visits = Visits(
        course=_numbers(joined["course_id"]),
        day=f["visit_day"],
        zero=f["zero_day"],
        asked=asked,
        treated=treated & asked,
        before=before,
        booster_day=f["booster_day"],
        state=joined["next_state"].replace_strict(STATES, return_dtype=pl.Int64).to_numpy(),
        stratum=joined["stratum"].replace_strict(number, return_dtype=pl.Int64).to_numpy(),
        x=x,
        n_strata=len(strata),
        ended_early=asked & (before == 0) & within_grace & (plan.design == "clone_censor"),
        patient=patient,
    )
    # Rows are in order of course and day.
    since = pl.when(pl.col("visit_no") > 1).then("improvement").cum_max().over("course_id")
    best_since = joined.select(since.cast(pl.Float64))["improvement"].to_numpy()
    meant = asked & (before == 0)
    if situation != "any":
        meant &= (joined["situation"] == situation).fill_null(False).to_numpy()
    meant &= f["cut_day"] - f["zero_day"] >= plan.days[-1]
    met = joined["met"].cast(pl.Float64).to_numpy()
    return Prepared(
        plan, visits, names, np.flatnonzero(meant), patient,
        met if plan.outcome == "share" else f["improvement"], end, known, ended_day,
        f["earliest"], best_since, joined["visit_no"].to_numpy().astype(np.int64), strata,
    )  # fmt: skip


def _ends(f: dict[str, Floats], role: NDArray[np.str_], plan: Plan) -> tuple[Floats, Floats, Floats]:
    """Return, by visit, the day of any end or later course, of the end asked about, and until when it is known.

    Ends reported when nobody watched any more are no ends here: those without one were not watched so long.
    """
    watched = f["watched_to_day"]
    reported = np.where(np.isnan(f["end_day"]), np.inf, f["end_day"])
    reported = np.where(reported <= watched, reported, np.inf)
    later = np.where(np.isnan(f["next_course_day"]), np.inf, f["next_course_day"])
    any_end = np.minimum(reported, later)
    if plan.outcome == "share":
        return any_end, any_end, np.where(np.isfinite(any_end), np.maximum(watched, any_end), watched)
    if plan.outcome == "loss":
        # A death takes nothing away from the target: it competes, and whoever died without a loss never has one.
        died = (role == "death") & np.isfinite(reported)
        own = np.where(died, later, any_end)
        known = np.where(np.isfinite(own), np.maximum(watched, own), watched)
        return any_end, own, np.where(died, np.inf, known)
    # A death or another treatment in its place leaves no target to be replaced: known to have no such end for good.
    own = np.where(role == "end", reported, np.inf)
    known = np.where(np.isfinite(reported) & (role != "end"), np.inf, watched)
    return any_end, own, known


def design_of(rows: pl.DataFrame, covariates: tuple[str, ...]) -> tuple[Floats, tuple[str, ...]]:
    """Return standardised covariates (n, p) of the visits and their names; a missing number is its mean, and marked."""
    columns: list[Floats] = []
    names: list[str] = []
    numbers = {
        "regression": (pl.col("situation") == "regression").fill_null(False).cast(pl.Float64),
        "log_since_session": (pl.col("since_session_day").cast(pl.Float64) + 1).log(),
        "log_day": (pl.col("zero_day").cast(pl.Float64) + 1).log(),
        "female": (pl.col("sex") == "female").cast(pl.Float64),
        "cost_barrier": pl.col("cost_barrier").cast(pl.Float64),
    }
    for name in (*ALWAYS, *("female" if c == "sex" else c for c in covariates)):
        expression = numbers.get(name, pl.col(name))
        values = rows.select(expression.alias(name))[name]
        if values.dtype == pl.String:
            values = values.fill_null("not recorded")
            # Against the commonest level.
            for level in values.value_counts(sort=True)[name][1:].to_list():
                columns.append((values == level).to_numpy().astype(float))
                names.append(f"{name}: {level}")
            continue
        found = values.cast(pl.Float64).to_numpy()
        missing = np.isnan(found)
        if missing.all():
            continue
        if missing.any():
            columns.append(missing.astype(float))
            names.append(f"{name}: not recorded")
        columns.append(np.where(missing, np.nanmean(found), found))
        names.append(name)
    x = np.column_stack(columns)
    spread = x.std(axis=0)
    keep = spread > 1e-9
    return (x[:, keep] - x[:, keep].mean(axis=0)) / spread[keep], tuple(
        n for n, k in zip(names, keep, strict=True) if k
    )


def _numbers(ids: pl.Series) -> Ints:
    return (ids.rank("dense") - 1).to_numpy().astype(np.int64)
