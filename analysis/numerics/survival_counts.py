"""Survival curves, log-rank tests and restricted means from counts by time.

Each depends on the data only through how many left at each time for each cause, so a million courses cost as much as
their distinct days. Counts need not be whole; variances read them as frequencies. At risk at t: entry < t <= time.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.numerics.laws import chi2_above, normal_quantile

Floats = NDArray[np.float64]
ConfidenceType = Literal["plain", "log", "log-log"]
# A pair is Fleming-Harrington (rho, gamma): S(t-)^rho (1 - S(t-))^gamma with S the pooled Kaplan-Meier.
LogRankWeight = Literal["log-rank", "gehan", "tarone-ware"] | tuple[float, float]
# Sums of non-integer weights leave this much of the risk set as rounding; less than it is an empty risk set.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Exits by distinct time: the sufficient statistic of every curve in this module.

    Attributes
    ----------
    time : (m,) distinct exit times, increasing, in the unit of the input.
    at_risk : (m,) weight with entry < time <= exit.
    events : (m, K) weight of exits by cause 1..K, in columns 0..K-1.
    censored : (m,) weight of exits with cause 0; at tied times they leave after the events.
    """

    time: Floats
    at_risk: Floats
    events: Floats
    censored: Floats


@dataclass(frozen=True, slots=True)
class Curve:
    """A right-continuous step function with pointwise limits; all arrays (m,), one value per distinct time.

    Attributes
    ----------
    time, at_risk, events : of the counts, events over all causes.
    estimate, std_error : survival or cumulative hazard just after each time; the error is nan once survival is 0.
    lower, upper : limits at `level`; nan where the transformation is not defined.
    """

    time: Floats
    at_risk: Floats
    events: Floats
    estimate: Floats
    std_error: Floats
    lower: Floats
    upper: Floats
    level: float


@dataclass(frozen=True, slots=True)
class RestrictedMean:
    """Mean event-free time up to `tau` and its Greenwood-type variance, in time and time squared."""

    tau: float
    estimate: float
    variance: float


@dataclass(frozen=True, slots=True)
class LogRankTest:
    """Weighted log-rank statistic.

    Attributes
    ----------
    groups : (G,) distinct group labels, sorted; all other arrays are in this order.
    observed, expected : (G,) weighted events, summed over strata.
    variance : (G, G) hypergeometric covariance of observed - expected; rank at most G - 1.
    statistic, df, p_value : quadratic form, rank of the variance, and chi-squared tail.
    """

    groups: NDArray[np.generic]
    observed: Floats
    expected: Floats
    variance: Floats
    statistic: float
    df: int
    p_value: float


def check_rows(time: ArrayLike, count: ArrayLike | None, entry: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Return (time, count, entry) as float arrays (n,), count 1 and entry -inf by default.

    Raises ValueError for lengths that differ, missing numbers, counts negative or all 0, entry not before its exit.
    """
    stop = np.asarray(time, dtype=float)
    weight = np.ones(stop.shape) if count is None else np.asarray(count, dtype=float)
    start = np.full(stop.shape, -np.inf) if entry is None else np.asarray(entry, dtype=float)
    if stop.ndim != 1 or weight.shape != stop.shape or start.shape != stop.shape:
        raise ValueError("time, count and entry must be vectors of one length")
    if not (np.isfinite(stop).all() and np.isfinite(weight).all()) or np.isnan(start).any():
        raise ValueError("time, count and entry must not be missing, and time and count must be finite")
    if (weight < 0).any() or not weight.any():
        raise ValueError("counts must not be negative and at least one must be positive: nobody is under observation")
    if (start >= stop).any():
        raise ValueError(f"row {int(np.argmax(start >= stop))}: entry must be before exit, or the row is never at risk")
    return stop, weight, start


def check_codes(values: ArrayLike, rows: int, largest: int | None = None) -> NDArray[np.intp]:
    """Return values as integers (rows,). Raises ValueError unless they are whole, 0 or more, and at most `largest`."""
    given = np.asarray(values, dtype=float)
    top = np.iinfo(np.int32).max if largest is None else largest
    if given.shape != (rows,) or not ((given >= 0) & (given <= top) & (given == np.floor(given))).all():
        raise ValueError(f"events, causes and states must be {rows} whole numbers between 0 and {top}")
    return given.astype(np.intp)


def as_labels(values: ArrayLike | None, rows: int) -> tuple[NDArray[np.generic], NDArray[np.intp]]:
    """Sorted distinct labels, and the place (rows,) of each row among them. Raises ValueError when one is missing."""
    given = np.zeros(rows, dtype=int) if values is None else np.asarray(values)
    if given.shape != (rows,) or (given != given).any():
        raise ValueError(f"groups, strata, clusters and subjects must be {rows} labels with none missing")
    return np.unique(given, return_inverse=True)


def at_risk_at(at: Floats, entry: Floats, stop: Floats, count: Floats) -> Floats:
    """Weight (k,) with entry < at <= stop, for any times (k,)."""
    tails = []
    for bound in (stop, entry):
        order = np.argsort(bound, kind="stable")
        tail = np.append(np.cumsum(count[order][::-1])[::-1], 0.0)
        tails.append(tail[np.searchsorted(bound[order], at, side="left")])
    return np.asarray(tails[0] - tails[1])


def tabulate(place: tuple[NDArray[np.intp], ...], weight: Floats, shape: tuple[int, ...]) -> Floats:
    """Table of the given shape with weights (n,) added at indices place, each (n,)."""
    cells = np.bincount(np.ravel_multi_index(place, shape), weight, int(np.prod(shape)))
    return np.asarray(cells.reshape(shape), dtype=float)


def count_events(
    time: ArrayLike,
    cause: ArrayLike,
    *,
    count: ArrayLike | None = None,
    entry: ArrayLike | None = None,
    n_causes: int | None = None,
) -> EventCounts:
    """Reduce rows (time, cause, count, entry), one per person or already summed, to counts by distinct time.

    Parameters
    ----------
    time, entry : (n,) exit and left-truncation time in one unit; entry None when all are seen from the start.
    cause : (n,) 0 for censored, 1..K for the event that ended observation.
    count : (n,) persons or weight in the row, 1 by default; rows of 0 are dropped.
    n_causes : K when a cause may be absent from the data.

    Raises ValueError as `check_rows` and `check_codes`.
    """
    stop, weight, start = check_rows(time, count, entry)
    code = check_codes(cause, stop.size, n_causes)
    causes = max(int(code.max()), 1) if n_causes is None else n_causes
    keep = weight > 0
    grid, index = np.unique(stop[keep], return_inverse=True)
    table = tabulate((index, code[keep]), weight[keep], (grid.size, causes + 1))
    return EventCounts(grid, at_risk_at(grid, start, stop, weight), table[:, 1:], table[:, 0])


def _left_after(at_risk: Floats, events: Floats) -> Floats:
    """Weight (m,) surviving the events of each time, exactly 0 when only rounding is left."""
    return np.where(at_risk - events > ROUNDING * at_risk, at_risk - events, 0.0)


def step_values(time: Floats, values: Floats, at: ArrayLike, *, before: float) -> Floats:
    """Right-continuous step function (time, values) at times (k,); `before` holds earlier than the first time."""
    return np.append(before, values)[np.searchsorted(time, np.asarray(at, dtype=float), side="right")]


def survival_limits(estimate: Floats, std_error: Floats, conf: ConfidenceType, level: float) -> tuple[Floats, Floats]:
    """Limits (m,) of probabilities (Kalbfleisch and Prentice 1980, section 1.3); a certain 1 keeps limits of 1."""
    z = normal_quantile(0.5 + level / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        if conf == "plain":
            lower, upper = estimate - z * std_error, estimate + z * std_error
        elif conf == "log":
            factor = np.exp(z * std_error / estimate)
            lower, upper = estimate / factor, estimate * factor
        elif conf == "log-log":
            power = np.exp(z * std_error / (estimate * np.log(estimate)))
            lower, upper = estimate ** (1 / power), estimate**power
        else:
            raise ValueError(f"conf must be plain, log or log-log, not {conf!r}")
    certain = (estimate == 1) & (std_error == 0)
    return np.where(certain, 1.0, np.clip(lower, 0, 1)), np.where(certain, 1.0, np.clip(upper, 0, 1))


def kaplan_meier(counts: EventCounts, *, conf: ConfidenceType = "log-log", level: float = 0.95) -> Curve:
    """Product-limit survival of "no event of any cause" with Greenwood error (Kaplan and Meier 1958)."""
    return _product_limit(counts.time, counts.at_risk, counts.events.sum(axis=1), conf, level)


def _product_limit(time: Floats, at_risk: Floats, events: Floats, conf: ConfidenceType, level: float) -> Curve:
    left = _left_after(at_risk, events)
    with np.errstate(divide="ignore", invalid="ignore"):
        survival = np.cumprod(np.where(at_risk > 0, left / at_risk, 1.0), dtype=float)
        greenwood = np.cumsum(np.where(events > 0, events / (at_risk * left), 0.0))
        error = survival * np.sqrt(greenwood)
    lower, upper = survival_limits(survival, error, conf, level)
    return Curve(time, at_risk, events, survival, error, lower, upper, level)


def reverse_kaplan_meier(
    counts: EventCounts, *, events_first: bool = True, conf: ConfidenceType = "log-log", level: float = 0.95
) -> Curve:
    """Distribution of potential follow-up: Kaplan-Meier of censoring (Schemper and Smith 1996).

    Events leave before the censored of the same time, so that S(t) G(t) is the share still under observation;
    `events_first=False` keeps them at risk of censoring, as flipping the status in R's survfit does.
    """
    events = counts.events.sum(axis=1)
    at_risk = _left_after(counts.at_risk, events) if events_first else counts.at_risk
    return _product_limit(counts.time, at_risk, counts.censored, conf, level)


def nelson_aalen(counts: EventCounts, *, level: float = 0.95) -> Curve:
    """Cumulative hazard sum d/n, variance sum d/n^2, limits on the log scale (Aalen 1978)."""
    events = counts.events.sum(axis=1)
    hazard = np.cumsum(events / counts.at_risk)
    error = np.sqrt(np.cumsum(events / counts.at_risk**2))
    factor = np.exp(
        normal_quantile(0.5 + level / 2) * np.divide(error, hazard, out=np.zeros_like(hazard), where=hazard > 0)
    )
    return Curve(counts.time, counts.at_risk, events, hazard, error, hazard / factor, hazard * factor, level)


def quantile(curve: Curve, p: float = 0.5) -> tuple[float, float, float]:
    """Time at which survival falls to 1 - p with lower and upper limit; the middle of a piece where it equals 1 - p.

    Limits cross likewise (Brookmeyer and Crowley 1982); nan when never reached. Raises ValueError unless 0 < p < 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1, not {p}")

    def crossing(values: Floats) -> float:
        # A quarter written as a product of fractions misses 0.25 by rounding only.
        touched = np.flatnonzero(values <= 1 - p + 1e-9)
        below = np.flatnonzero(values < 1 - p - 1e-9)
        if not touched.size:
            return float("nan")
        return float(curve.time[touched[0]] + curve.time[below[0] if below.size else touched[0]]) / 2

    return crossing(curve.estimate), crossing(curve.lower), crossing(curve.upper)


def restricted_mean(counts: EventCounts, tau: float) -> RestrictedMean:
    """Area under Kaplan-Meier from 0 to tau and its variance (Klein and Moeschberger 2003, eq. 4.5.1-4.5.2).

    Raises ValueError unless tau is positive, and when the curve ends above 0 before tau: the area is then unknown.
    """
    curve = kaplan_meier(counts)
    if tau <= 0 or (tau > curve.time[-1] and curve.estimate[-1] > 0):
        raise ValueError(f"tau={tau} must lie between 0 and the last follow-up at {curve.time[-1]}")
    within = (curve.time >= 0) & (curve.time < tau)
    knots = np.concatenate(([0.0], curve.time[within], [tau]))
    pieces = step_values(curve.time, curve.estimate, knots[:-1], before=1.0) * np.diff(knots)
    after = np.cumsum(pieces[::-1])[::-1][1:]
    left = _left_after(curve.at_risk, curve.events)[within]
    increment = np.divide(curve.events[within], curve.at_risk[within] * left, out=np.zeros_like(left), where=left > 0)
    return RestrictedMean(tau, float(pieces.sum()), float((after**2 * increment).sum()))


def _time_weight(weight: LogRankWeight, at_risk: Floats, events: Floats) -> Floats:
    """Weight (m,) of each event time from pooled counts; S is left-continuous so that it is predictable."""
    if isinstance(weight, tuple):
        before = np.append(1.0, np.cumprod(_left_after(at_risk, events) / at_risk)[:-1])
        return np.asarray(before ** weight[0] * (1 - before) ** weight[1])
    power = {"log-rank": 0.0, "tarone-ware": 0.5, "gehan": 1.0}.get(weight)
    if power is None:
        raise ValueError(f"weight must be log-rank, gehan, tarone-ware or (rho, gamma), not {weight!r}")
    return at_risk**power


def _stratum_sums(at_risk: Floats, events: Floats, weight: LogRankWeight) -> tuple[Floats, Floats, Floats]:
    """Observed (G,), expected (G,) and covariance (G, G) of one stratum from counts (m, G)."""
    n, d = at_risk.sum(axis=1), events.sum(axis=1)
    w = _time_weight(weight, n, d)
    share = at_risk / n[:, None]
    # One person at risk carries no variance; weights below one person are no evidence of any.
    scale = w**2 * d * np.divide(n - d, n - 1, out=np.zeros_like(n), where=n > 1)
    variance = np.diag(scale @ share) - share.T @ (scale[:, None] * share)
    return w @ events, (w * d) @ share, variance


def grouped_tables(
    rows: tuple[Floats, Floats, Floats], kind: ArrayLike, group: ArrayLike, stratum: ArrayLike | None, kinds: int = 1
) -> tuple[NDArray[np.generic], list[tuple[Floats, Floats]]]:
    """Group labels (G,), and for each stratum with an event (at risk (m, G), events (kinds, m, G)) at its event times.

    rows are (time, count, entry) of `check_rows`, kind (n,) is 0 for censored and 1..kinds for events. Raises
    ValueError as `check_codes` and `as_labels`, for fewer than two groups, or no event.
    """
    stop, count, entry = rows
    event = check_codes(kind, stop.size, kinds)
    (labels, code), (_, strata) = as_labels(group, stop.size), as_labels(stratum, stop.size)
    if labels.size < 2 or not event[count > 0].any():
        raise ValueError("a comparison needs at least two groups and one event")
    tables = []
    for k in range(strata.max() + 1):
        here = (strata == k) & (count > 0)
        happened = here & (event > 0)
        at = np.unique(stop[happened])
        members = [here & (code == g) for g in range(labels.size)]
        at_risk = np.stack([at_risk_at(at, entry[m], stop[m], count[m]) for m in members], axis=1)
        place = (event[happened] - 1, np.searchsorted(at, stop[happened]), code[happened])
        if at.size:
            tables.append((at_risk, tabulate(place, count[happened], (kinds, *at_risk.shape))))
    return labels, tables


def log_rank(
    time: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    count: ArrayLike | None = None,
    entry: ArrayLike | None = None,
    stratum: ArrayLike | None = None,
    weight: LogRankWeight = "log-rank",
) -> LogRankTest:
    """Compare hazards of G groups by the (weighted, stratified) log-rank test from rows of counts.

    Rows are one per person or summed; event is 0 or 1. Strata add observed, expected and variance (Mantel 1966;
    weights of Harrington and Fleming 1982).

    Raises ValueError as `check_rows` and `grouped_tables`, or when no event has two groups at risk.
    """
    labels, tables = grouped_tables(check_rows(time, count, entry), event, group, stratum)
    parts = [_stratum_sums(at_risk, events[0], weight) for at_risk, events in tables]
    observed, expected, variance = (np.sum(part, axis=0) for part in zip(*parts, strict=True))
    return LogRankTest(labels, observed, expected, variance, *quadratic_test(observed - expected, variance))


def quadratic_test(score: Floats, variance: Floats) -> tuple[float, int, float]:
    """Statistic, rank and p-value of score' variance^- score for a covariance (G, G) that is singular by nature."""
    values, vectors = np.linalg.eigh(variance)
    kept = values > 1e-10 * np.abs(values).max()
    if not kept.any():
        raise ValueError("no event happened while two groups were at risk: the groups cannot be compared")
    statistic = float(((vectors[:, kept].T @ score) ** 2 / values[kept]).sum())
    return statistic, int(kept.sum()), float(chi2_above(statistic, kept.sum()))
