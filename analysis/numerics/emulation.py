"""Sequential emulation of a target trial from rows of visits: every eligible visit starts a trial of its own.

A trial compares, from one decision on, those who were treated with those who were not. Covariates are those of its
first row only. What must be weighted away: why some were treated (at the first row), why some of those who waited were
treated later (per protocol they are censored then), and why some were not seen again.

References
----------
Hernán et al. 2008 Epidemiology 19:766; Gran et al. 2010 Stat Med 29:2757 (sequential trials); Danaei et al. 2013 Stat
Methods Med Res 22:70; Hernán 2018 Ann Intern Med 168:737 (clones, censoring, weights).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.weighting import Logistic, gather, logistic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Estimand = Literal["per_protocol", "intention_to_treat"]
Design = Literal["sequential", "clone_censor", "g_formula"]

SEEN, ENDED, LOST, NOT_DUE = range(4)
# A weak prior on standardised covariates (standard deviation 3 on the logit scale): keeps a resample finite.
PRECISION = 0.1
# With fewer decisions for the treatment, or losses, than this the model has a rate and no covariates.
FEWEST_EVENTS = 10
# So many rows show whether they are worth gathering.
_FEW_ROWS = 400


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits in order of course, then day; each array of shape (n,) unless said otherwise.

    Attributes
    ----------
    course
        Number of the course; rows of one course stand together.
    day, zero
        Day of the visit, and of the decision made at or after it, since the first session of the course.
    asked
        Whether a booster could be decided on here: the risk set.
    treated
        Whether it was given within the grace period (per protocol) or decided on (intention to treat).
    before
        Boosters given before the visit.
    booster_day
        Day of the first booster at or after the visit and before the next one; nan if none.
    state
        How the watching went on: 0 seen again, 1 the target ended first, 2 not seen although due, 3 not due.
    stratum
        Number of the stratum.
    x
        Standardised covariates known on the day, shape (n, p).
    n_strata
        Number of strata, with those nobody is in.
    ended_early
        Whether the target ended within the grace period before any booster: in neither arm yet, where clones are used.
    patient
        Number of the patient; that of the course where none is given.
    """

    course: Ints
    day: Floats
    zero: Floats
    asked: Bools
    treated: Bools
    before: Ints
    booster_day: Floats
    state: Ints
    stratum: Ints
    x: Floats
    n_strata: int
    ended_early: Bools
    patient: Ints | None = None

    @property
    def dummies(self) -> Floats:
        """Indicators of the strata, shape (n, s)."""
        return self.dummies_of(slice(None))

    def dummies_of(self, rows: Ints | slice) -> Floats:
        """Indicators of the strata of these rows, shape (rows, s)."""
        return np.asarray(self.stratum[rows, None] == np.arange(self.n_strata), dtype=float)


@dataclass(frozen=True, slots=True)
class Risk:
    """One model of a chance: rows (r,) among the visits, design (r, p), events 0 or 1 (r,), prior precision (p,)."""

    rows: Ints
    design: Floats
    event: Floats
    penalty: Floats


@dataclass(frozen=True, slots=True)
class RiskModels:
    """The models behind the weights: of the decision, of other boosters, of not being seen again (ended or lost).

    `ended` is None where the end is part of the outcome; `ended_early` is the design of visits that ended in the grace
    period, to whom the decision model gives a chance although they are no part of it.
    """

    decision: Risk
    second: Risk
    unasked: Risk
    ended: Risk | None
    lost: Risk
    ended_early: Floats


@dataclass(frozen=True, slots=True)
class Chances:
    """What the weights are made of, for each visit.

    Attributes
    ----------
    treated
        Probability of being treated at a visit of the risk set, shape (n,); 0 elsewhere.
    deviation
        Running sum of minus the log probability of no booster at this visit, shape (n,).
    unseen
        Running sum of minus the log probability of being seen again after this visit, shape (n,).
    decision
        The fitted decision model of visits without an earlier booster.
    others
        Coefficients of the other models, none where they have a rate; a resample starts from them.
    models
        Rows, covariates and events of the models, which a resample shares.
    """

    treated: Floats
    deviation: Floats
    unseen: Floats
    decision: Logistic
    others: tuple[Floats | None, ...]
    models: RiskModels | None = None


@dataclass(frozen=True, slots=True)
class Trials:
    """Trials and the rows that follow them.

    Attributes
    ----------
    start
        Row at which each trial starts, shape (t,).
    trial, row
        Trial and row of each follow-up record, shape (r,).
    arm
        Arm it counts for, shape (r,): 1 treated, 0 waiting.
    time
        Days since the decision, shape (r,).
    """

    start: Ints
    trial: Ints
    row: Ints
    arm: Ints
    time: Floats


def expand(unit: Ints, eligible: Bools, last: Ints) -> tuple[Ints, Ints]:
    """Return trial starts' follow-up as pairs: (number of the trial, row), each from its start to row `last`.

    Parameters
    ----------
    unit
        Person or course of each row, shape (n,); rows of one unit stand together, in order of time.
    eligible
        Rows at which a trial starts, shape (n,).
    last
        Last row that follows a trial started at this row, shape (n,); at most the last row of the unit.
    """
    start = np.flatnonzero(eligible)
    length = last[start] - start + 1
    trial = np.repeat(np.arange(len(start)), length)
    offset = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    row = start[trial] + offset
    assert not len(row) or bool((unit[row] == unit[start][trial]).all()), "rows of a unit must stand together"
    return trial, row


def last_rows(unit: Ints) -> Ints:
    """Return the index of the last row of the unit of each row, shape (n,)."""
    ends = np.flatnonzero(np.append(np.diff(unit) != 0, True))
    return np.asarray(ends[np.searchsorted(ends, np.arange(len(unit)))], dtype=np.int64)


def trials(
    visits: Visits, eligible: Bools, last_day: float, *, estimand: Estimand, design: Design, grace_day: float
) -> Trials:
    """Start a trial at each `eligible` visit, and follow it to `last_day` days after its decision.

    Per protocol, who waits is followed to the first booster and who was boosted to the second; a score on the day of a
    booster was taken before it. With clones, visits within the grace period, when a trial still stands in both arms,
    are left out of either: they say the same of both.
    """
    trial, row = expand(visits.course, eligible, last_rows(visits.course))
    start = np.flatnonzero(eligible)
    time = visits.day[row] - visits.zero[start][trial]
    keep = (row > start[trial]) & (time > (grace_day if design == "clone_censor" else 0)) & (time <= last_day)
    trial, row, time = trial[keep], row[keep], time[keep]
    first = start[trial]
    treated = visits.treated[first]
    if estimand == "per_protocol":
        follows = visits.before[row] <= visits.before[first] + treated
        trial, row, time, treated = trial[follows], row[follows], time[follows], treated[follows]
    return Trials(start, trial, row, treated.astype(np.int64), time)


def chances(visits: Visits, weight: Floats, *, ends_count: bool, start: Chances | None = None) -> Chances:
    """Fit why boosters were given and why courses were not seen again, in all visits, with case weights (n,).

    Parameters
    ----------
    ends_count
        Whether the end of the target is part of the outcome; else it hides the outcome and is weighted for.
    start
        Chances of the whole sample, to start from in a resample.
    """
    models = (start.models if start else None) or risk_models(visits, ends_count=ends_count)
    first = models.decision
    decision = _fit(first, weight[first.rows], None if start is None else start.decision.coefficients)
    given = np.zeros(len(visits.day))
    given[first.rows] = decision.fitted
    given[visits.ended_early] = decision.predict(models.ended_early)
    known = (None,) * 4 if start is None else start.others
    others: list[Floats | None] = []
    for model, begin in zip((models.second, models.unasked), known[:2], strict=True):
        given[model.rows], b = _model_or_rate(model, weight[model.rows], begin)
        others.append(b)
    again = np.ones(len(visits.day))
    for stay, begin in zip((models.ended, models.lost), known[2:], strict=True):
        b = begin
        if stay is not None:
            chance, b = _model_or_rate(stay, weight[stay.rows], begin)
            again[stay.rows] *= 1 - chance
        others.append(b)
    asked = np.zeros(len(visits.day))
    asked[first.rows], asked[visits.ended_early] = given[first.rows], given[visits.ended_early]
    return Chances(
        asked,
        np.cumsum(-np.log1p(-np.minimum(given, 0.999))),
        np.cumsum(-np.log(np.maximum(again, 1e-3))),
        decision,
        tuple(others),
        models,
    )


def risk_models(visits: Visits, *, ends_count: bool) -> RiskModels:
    """Return the rows, covariates and events of the models behind the weights: the same in every resample."""
    design = np.column_stack([visits.dummies, visits.x])
    penalty = np.r_[np.full(design.shape[1] - visits.x.shape[1], 1e-6), np.full(visits.x.shape[1], PRECISION)]
    exposed = ((visits.before > 0) | visits.treated).astype(float)
    after, penalty_after = np.column_stack([design, exposed]), np.r_[penalty, PRECISION]

    def model(at: Bools, event: Bools, x: Floats, prior: Floats) -> Risk:
        rows = np.flatnonzero(at)
        return Risk(rows, x[rows], event[rows].astype(float), prior)

    first = visits.asked & (visits.before == 0) & ~visits.ended_early
    # A booster that nobody was asked about, and a second one: their own model, or a rate where they are few.
    boosted = ~np.isnan(visits.booster_day)
    # Visits before a course was first asked about are no part of any trial, and known only because it was, later.
    opened = _opened(visits)
    stayed = opened & (visits.state != NOT_DUE)
    ended = None if ends_count else model(stayed, visits.state == ENDED, after, penalty_after)
    stayed &= visits.state != ENDED
    return RiskModels(
        decision=model(first, visits.treated, design, penalty),
        second=model(opened & visits.asked & (visits.before > 0), boosted, design, penalty),
        unasked=model(opened & ~visits.asked, boosted, design, penalty),
        ended=ended,
        lost=model(stayed, visits.state == LOST, after, penalty_after),
        ended_early=design[visits.ended_early],
    )


def between(running: Floats, after: Ints, to: Ints) -> Floats:
    """Return the sum of what `running` adds up in rows after `after` (-1: from the first) up to `to`."""
    return running[to] - np.where(after >= 0, running[np.maximum(after, 0)], 0.0)


def _model_or_rate(model: Risk, weight: Floats, start: Floats | None) -> tuple[Floats, Floats | None]:
    """Return probabilities by a logistic model with its coefficients; the plain share where fewer than ten had it."""
    event = model.event
    if not len(event) or not weight.sum() > 0:
        return np.zeros(len(event)), start
    happened = float(weight @ event)
    if min(happened, float(weight.sum()) - happened) < FEWEST_EVENTS:
        return np.full(len(event), happened / float(weight.sum())), start
    fit = _fit(model, weight, start)
    return fit.fitted, fit.coefficients


def _fit(model: Risk, weight: Floats, start: Floats | None) -> Logistic:
    """Fit a logistic model; where covariates are discrete, to weighted counts of distinct rows: the same fit.

    A resample starts from the whole sample's coefficients and takes two Newton steps: the rest is smaller than the
    bootstrap's own error (Andrews 2002 Econometrica 70:119).
    """
    design, outcome = model.design, model.event
    again = start is not None
    options = {"penalty": model.penalty, "tolerance": 1e-9, "start": start, "max_steps": 2 if again else 50,
               "covariance": not again}  # fmt: skip
    if len(design) > _FEW_ROWS and len(np.unique(design[:_FEW_ROWS], axis=0)) < _FEW_ROWS // 4:
        cells = gather(design, outcome, weight)
        if 4 * len(cells.weight) < len(design):
            fit = logistic(cells.design, cells.outcome, cells.weight, **options)  # type: ignore[arg-type]
            return replace(fit, fitted=fit.fitted[cells.cell])
    return logistic(design, outcome, weight, **options)  # type: ignore[arg-type]


def _opened(visits: Visits) -> Bools:
    """Return which visits are the first at which the course was asked about, or later ones."""
    asked = np.cumsum(visits.asked & (visits.before == 0))
    first = np.flatnonzero(np.diff(visits.course, prepend=-1))
    before = np.where(first > 0, asked[np.maximum(first - 1, 0)], 0)
    return np.asarray(asked > np.repeat(before, np.diff(np.append(first, len(asked)))))
