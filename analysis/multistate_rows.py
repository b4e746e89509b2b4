"""From the moves of a cohort to fitted strata, and from these to rows of the results frame."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analysis.cohort import Stratum, patient_clusters
from analysis.multistate import LIVE, STATES, UNSEEN, WAITING, StratumFit, fit_stratum, joint_variance
from analysis.multistate_laws import Laws
from analysis.multistate_limits import share_limits
from analysis.numerics.panel_markov_likelihood import Kind, PanelMoves
from analysis.numerics.share_limits import difference_limits
from analysis.reduction import gathered
from analysis.result import row
from registry.errors import NotEstimable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# With fewer courses seen, intensities cannot be told from chance: the stratum is counted, not modelled.
FEWEST_COURSES = 10
# With fewer changes that a next visit could confirm, the share confirmed is that of the whole cohort.
_FEWEST_CONFIRMABLE = 10
_KINDS = {"visit": int(Kind.PANEL), "end": int(Kind.DEATH), "alive": int(Kind.CENSORED)}


@dataclass(frozen=True, eq=False)
class Fitted:
    """The strata of a cohort with what was counted and fitted.

    Attributes
    ----------
    strata
        In order, with those nobody is in.
    cells, shares
        Moves, and states at planned visits, as :func:`weighed`.
    fits
        By stratum code; absent where there is nothing to fit, for the reason in `why_not`.
    variance
        Joint covariance of all parameters, clustered by patient; `index` says which of them each stratum's are.
    laws
        What each fit says of a course.
    """

    strata: list[Stratum]
    cells: pl.DataFrame
    shares: pl.DataFrame
    fits: dict[str, StratumFit]
    why_not: dict[str, str]
    variance: Floats
    index: dict[str, Ints]
    confidence: float
    laws: Laws
    _means: dict[tuple[str, float], tuple[Floats, Floats]] = field(default_factory=dict)

    def mean_days(self, code: str, horizon: float) -> tuple[Floats, Floats]:
        """Return the mean days in response of a stratum; numbers, contrasts and the test ask for the same."""
        if (code, horizon) not in self._means:
            self._means[code, horizon] = self.laws.mean_days(code, horizon)
        return self._means[code, horizon]

    def of(self, code: str) -> pl.DataFrame:
        """Return the moves of a stratum."""
        return self.cells.filter(pl.col("stratum") == code)

    def courses(self, code: str) -> int:
        """Return the number of courses of a stratum; each has one move, split or not, from day 0."""
        return count_of(self.of(code).filter(pl.col("start_day") == 0))

    def last_day(self, code: str) -> float:
        """Return the last day on which anybody of a stratum was seen; infinite where all are known to the end."""
        mine = self.of(code)
        if mine.height and count_of(mine.filter(pl.col("kind") == "end")) >= self.courses(code):
            return float("inf")
        return float(mine.filter(pl.col("kind") != "alive")["stop_day"].max() or 0)  # type: ignore[arg-type]

    def error(self, gradient: Floats, code: str) -> Floats:
        """Return standard errors (...,) of quantities of a stratum with gradients (..., p)."""
        here = np.ix_(self.index[code], self.index[code])
        return np.asarray(np.sqrt(np.einsum("...p,pq,...q->...", gradient, self.variance[here], gradient)))

    def difference_error(self, first: Floats, code: str, second: Floats, other: str) -> Floats:
        """Return standard errors (...,) of a difference between strata: their patients may be the same."""
        gradient = np.zeros((*first.shape[:-1], len(self.variance)))
        gradient[..., self.index[code]] = first
        gradient[..., self.index[other]] -= second
        # Patients with the same course in both leave nothing but rounding.
        return np.asarray(np.sqrt(np.maximum(np.einsum("...p,pq,...q->...", gradient, self.variance, gradient), 0.0)))


def count_of(moves: pl.DataFrame) -> int:
    """Return how many courses made these moves; an unconfirmed one counts by its weight."""
    return round(float(moves["n"].sum()))


def fit_cohort(
    strata: list[Stratum], cells: pl.DataFrame, patterns: pl.DataFrame, shares: pl.DataFrame, change_day: Floats,
    confidence: float,
) -> Fitted:  # fmt: skip
    """Fit every stratum that shows enough.

    Raises
    ------
    NotEstimable
        When no stratum can be fitted; the message says why for each.
    """
    names = [s.code for s in strata]
    key = _key(names, cells, patterns, change_day)
    if key not in _KEPT:
        # What is put in last is at the end; the first is what was asked for longest ago.
        for old in list(_KEPT)[: max(len(_KEPT) - _KEPT_FITS + 1, 0)]:
            del _KEPT[old]
        # Small systems: a second thread would only wait for the first.
        with threadpool_limits(1):
            _KEPT[key] = _fit(names, cells, patterns, change_day)
    fits, why, variance = _KEPT[key]
    if not fits:
        reasons = "; ".join(f"{code}: {reason}" for code, reason in why.items())
        raise NotEstimable(f"States over time cannot be estimated. {reasons or 'No course is selected.'}")
    ends = np.cumsum([0, *(f.n_parameters for f in fits.values())])
    index = {code: np.arange(*span) for code, span in zip(fits, pairwise(ends.tolist()), strict=True)}
    return Fitted(strata, cells, shares, fits, why, variance, index, confidence, Laws(fits))


_Fits = tuple[dict[str, StratumFit], dict[str, str], Floats]
# Loss of response and time in response ask the same model of the same moves: the last fits are kept, by all they rest
# on, so that the second question does not fit again.
_KEPT_FITS = 4
_KEPT: dict[bytes, _Fits] = {}


def _key(names: list[str], cells: pl.DataFrame, patterns: pl.DataFrame, change_day: Floats) -> bytes:
    told = hashlib.sha256(repr((names, change_day.tolist(), cells.schema, patterns.schema)).encode())
    for frame in (cells, patterns):
        told.update(frame.hash_rows().to_numpy().tobytes())
    return told.digest()


def _fit(names: list[str], cells: pl.DataFrame, patterns: pl.DataFrame, change_day: Floats) -> _Fits:
    fits: dict[str, StratumFit] = {}
    why: dict[str, str] = {}
    rows: list[Ints] = []
    for code in names:
        mine = cells.filter(pl.col("stratum") == code)
        seen = count_of(mine.filter(pl.col("start_day") == 0, pl.col("kind") == "visit"))
        if mine.height == 0:
            why[code] = "nobody in this stratum"
        elif seen < FEWEST_COURSES:
            were = "course was" if seen == 1 else "courses were"
            why[code] = f"{seen} {were} seen after treatment; at least {FEWEST_COURSES} are needed"
        else:
            try:
                fits[code] = fit_stratum(panel_moves(mine), change_day)
                rows.append(mine["cell"].to_numpy().astype(np.int64) - 1)
            except ValueError as error:
                why[code] = str(error)
    if not fits:
        return {}, why, np.zeros((0, 0))
    gathered = patient_clusters(cells, patterns)
    return fits, why, joint_variance(list(fits.values()), rows, gathered.content, gathered.patients)


def weighed(
    cells: pl.DataFrame, patterns: pl.DataFrame, shares: pl.DataFrame, agreement: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return cells, patterns and shares in which an unconfirmed last change counts by the chance that it holds.

    The chance is the share of such changes that a next visit confirmed (`agreement`: ``stratum, shown_state, n,
    n_agreed``) in the stratum when it has ten of them, else in the cohort, else 1 (mean score, Reilly & Pepe 1995).
    """
    part = _parts(agreement, cells, shares)
    each = _with_weight(cells, part).sort("cell")
    counted = patterns.join(each.select("cell", "weight"), on="cell").with_columns(
        n_courses=pl.col("n_courses") * pl.col("weight")
    )
    keys = ("stratum", "kind", "from_state", "to_state", "start_day", "stop_day")
    moves, people = gathered(
        each.filter(pl.col("weight") > 0).with_columns(n=pl.col("n") * pl.col("weight")),
        counted.filter(pl.col("weight") > 0).drop("weight"),
        keys,
    )
    seen = _with_weight(shares, part).with_columns(n=pl.col("n") * pl.col("weight"))
    seen = seen.group_by("stratum", "planned_visit", "target_day", "state").agg(pl.col("n").sum())
    return moves, people, seen.filter(pl.col("n") > 0).sort("stratum", "target_day", "planned_visit", "state")


def moves_of_courses(moves: pl.DataFrame, agreement: pl.DataFrame) -> pl.DataFrame:
    """Return the moves of single courses (``reduction.panel_move``) with the `weight` that each counts; above zero."""
    return _with_weight(moves, _parts(agreement, moves)).filter(pl.col("weight") > 0)


def _with_weight(frame: pl.DataFrame, part: pl.DataFrame) -> pl.DataFrame:
    shown, chance = pl.col("part") == "shown", pl.col("chance")
    weight = pl.when(pl.col("part") == "whole").then(1.0).when(shown).then(chance).otherwise(1 - chance)
    joined = frame.join(part, left_on=["stratum", "unconfirmed"], right_on=["stratum", "shown_state"], how="left")
    return joined.with_columns(weight=weight)


def _parts(agreement: pl.DataFrame, *counted: pl.DataFrame) -> pl.DataFrame:
    """Return ``stratum, shown_state, chance`` for every unconfirmed change among the frames `counted`."""
    asked = pl.concat(f.select("stratum", shown_state="unconfirmed") for f in counted).unique()
    whole = agreement.group_by("shown_state").agg(n_all=pl.col("n").sum(), agreed_all=pl.col("n_agreed").sum())
    held = asked.join(agreement, on=["stratum", "shown_state"], how="left").join(whole, on="shown_state", how="left")
    enough = pl.col("n") >= _FEWEST_CONFIRMABLE
    return held.select(
        "stratum", "shown_state",
        chance=pl.when(enough).then(pl.col("n_agreed") / pl.col("n"))
        .when(pl.col("n_all") > 0).then(pl.col("agreed_all") / pl.col("n_all"))
        .otherwise(1.0),
    )  # fmt: skip


def panel_moves(cells: pl.DataFrame) -> PanelMoves:
    """Return counted moves for the likelihood; `level`, where there is one, is the row of the covariates."""
    number = {name: i for i, name in enumerate(STATES)} | {"alive": LIVE}
    origin, to = (cells[c].replace_strict(number, return_dtype=pl.Int64).to_numpy() for c in ("from_state", "to_state"))
    kind = cells["kind"].replace_strict(_KINDS, return_dtype=pl.Int64).to_numpy()
    # Seen without response, and never yet in it: waiting, or a response came and went between two visits.
    unseen = (kind == Kind.PANEL) & (to == WAITING)
    start, stop, n = (cells[c].cast(pl.Float64).to_numpy() for c in ("start_day", "stop_day", "n"))
    kind, to = np.where(unseen, int(Kind.CENSORED), kind), np.where(unseen, UNSEEN, to)
    none = np.zeros(cells.height, dtype=np.int64)
    level = cells["level"].cast(pl.Int64).to_numpy() if "level" in cells.columns else none
    return PanelMoves(level, origin, to, start, stop, kind, n)


def state_rows(
    fitted: Fitted, code: str, quantities: dict[str, int], days: Floats,
    law: Callable[[str, Floats], tuple[Floats, Floats]], *, happened: dict[str, list[int]], of: int,
    told_by: Floats, beyond: float, note: str | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return rows for states by day; null beyond day `beyond`.

    `happened` counts by quantity and day, `of` whom; `told_by`, (T,), is how many courses were followed until then.
    """
    value, gradient = law(code, days)
    rows = []
    for name, state in quantities.items():
        error = fitted.error(gradient[:, state], code)
        low, high = share_limits(value[:, state], error, told_by, fitted.confidence, fitted.courses(code))
        low, high = np.where(days > 0, low, 0.0), np.where(days > 0, high, 0.0)  # on day 0 nothing has happened yet
        for i, day in enumerate(days):
            late = day > beyond
            rows.append(
                row(
                    code, name, time_day=float(day), n=min(happened[name][i], of), denominator=of,
                    estimate=None if late else float(value[i, state]),
                    low=None if late else float(low[i]), high=None if late else float(high[i]),
                    note=f"nobody was followed beyond day {fitted.last_day(code):.0f}" if late else note,
                )
            )  # fmt: skip
    return rows


# Of a stratum: estimates, their gradients, and low and high limits, by day.
Judged = tuple[Floats, Floats, Floats, Floats]


def difference_rows(
    fitted: Fitted, quantity: str, days: list[float | None], of: Callable[[str], Judged],
    unknown: Callable[[str, float | None], bool], counted: Callable[[str], int] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return differences of a quantity (T,) from the first stratum fitted, with limits from those of the two.

    `counted` gives of how many courses the quantity of a stratum is; all of them unless it is said.
    """
    codes, counted = list(fitted.fits), counted or fitted.courses
    rows = []
    base, base_gradient, base_low, base_high = of(codes[0])
    base_error = fitted.error(base_gradient, codes[0])
    for code in codes[1:]:
        value, gradient, least, most = of(code)
        error = fitted.error(gradient, code)
        together = fitted.difference_error(gradient, code, base_gradient, codes[0])
        alike = (error**2 + base_error**2 - together**2) / np.maximum(2 * error * base_error, 1e-300)
        low, high = difference_limits(
            (value, least, most), (base, base_low, base_high), np.clip(np.nan_to_num(alike), -1, 1)
        )
        n = counted(code) + counted(codes[0])
        for i, day in enumerate(days):
            if unknown(code, day) or unknown(codes[0], day):
                rows.append(
                    row(f"{code} - {codes[0]}", quantity, time_day=day, denominator=n, note="not known in both")
                )
                continue
            rows.append(
                row(f"{code} - {codes[0]}", quantity, time_day=day, estimate=float(value[i] - base[i]),
                    low=float(low[i]), high=float(high[i]), denominator=n)
            )  # fmt: skip
    return rows


def under_observation(
    fitted: Fitted, days: list[float], *, since: float = 0.0, state: str | None = None
) -> list[dict[str, Any]]:
    """Return how many courses are between two observations, or before an end, on each day after day `since`.

    With `state`, those last seen in it.
    """
    rows = []
    for s in fitted.strata:
        mine = fitted.of(s.code)
        mine = mine if state is None else mine.filter(pl.col("from_state") == state)
        for day in days:
            at = max(since + day, 1)
            n = count_of(mine.filter(pl.col("stop_day") >= at, pl.col("start_day") < at))
            rows.append(row(s.code, "at_risk", time_day=day, n=n, denominator=fitted.courses(s.code)))
    return rows
