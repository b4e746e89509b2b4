"""The numbers of loss and of time in response, with their contrasts, as rows of the results frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.multistate import DEAD, ENDED, LOST, RESPONSE, STATES
from analysis.multistate_limits import followed, share_limits
from analysis.multistate_rows import (
    Fitted,
    Judged,
    count_of,
    difference_rows,
    state_rows,
)
from analysis.numerics.exact import exact_share
from analysis.numerics.laws import chi2_above, hotelling_above, normal_quantile
from analysis.numerics.share_limits import logit_interval
from analysis.numerics.varying import UNVARYING_ALL, wald
from analysis.proportional_loss import Proportional, proportional_loss
from analysis.result import check, row

Floats = NDArray[np.float64]


def loss_rows(fitted: Fitted, code: str, days: Floats, landmark: float) -> list[dict[str, Any]]:
    """Return what becomes of those in response on day `landmark`, by days since it."""
    quantities = {"response_lost": LOST, "end_before_loss": ENDED, "share_dead_before_loss": DEAD}
    moves, responded = fitted.of(code), _responded(fitted, code)
    why = fitted.why_not.get(code)
    if why is None and responded == 0:
        why = "no response was seen: there is nothing to lose"
    if why is not None:
        return [row(code, "response_lost", time_day=d, n=0, denominator=responded, note=why) for d in days.tolist()]
    of = {
        "response_lost": (pl.col("to_state") == "response_lost") & (pl.col("from_state") != "response_lost"),
        "end_before_loss": (pl.col("to_state") == "ended") & (pl.col("from_state") == "in_response"),
        "share_dead_before_loss": (pl.col("to_state") == "dead") & (pl.col("from_state") == "in_response"),
    }
    happened = {
        name: [count_of(moves.filter(what, pl.col("stop_day") <= landmark + d)) for d in days]
        for name, what in of.items()
    }
    return state_rows(
        fitted, code, quantities, days, lambda c, d: fitted.laws.after_response(c, d, landmark), happened=happened,
        of=responded, told_by=_followed_in_response(fitted, code, days, landmark),
        beyond=fitted.last_day(code) - landmark,
    )  # fmt: skip


def _responded(fitted: Fitted, code: str) -> int:
    """Return how many courses of a stratum were ever seen in response."""
    first = pl.col("to_state").is_in(["in_response", "response_lost"])
    return count_of(fitted.of(code).filter(pl.col("from_state") == "no_response_yet", first))


def _followed_in_response(fitted: Fitted, code: str, days: Floats, landmark: float) -> Floats:
    """Return how many courses in response were followed from the landmark on, (T,)."""
    return followed(fitted.of(code), days, landmark, origin="in_response")


def loss_contrasts(fitted: Fitted, days: Floats, landmark: float) -> list[dict[str, Any]]:
    """Return differences of the incidence of loss, ratios of loss intensities, and the test that these are 1."""

    def of(code: str) -> Judged:
        value, gradient = fitted.laws.after_response(code, days, landmark)
        return _judged(fitted, code, value[:, LOST], gradient[:, LOST],
                       _followed_in_response(fitted, code, days, landmark))  # fmt: skip

    def unknown(code: str, day: float | None) -> bool:
        enters = fitted.of(code).filter(pl.col("to_state") == "in_response").height > 0
        return not enters or landmark + (day or 0) > fitted.last_day(code)

    found = difference_rows(fitted, "difference", days.tolist(), of, unknown, lambda code: _responded(fitted, code))
    return found + _intensities(fitted)


def _judged(fitted: Fitted, code: str, value: Floats, gradient: Floats, told_by: Floats) -> Judged:
    low, high = share_limits(value, fitted.error(gradient, code), told_by, fitted.confidence, fitted.courses(code))
    return value, gradient, low, high


def _with_loss(fitted: Fitted) -> list[str]:
    return [code for code, f in fitted.fits.items() if (f.bands >= 0).any()]


def _intensities(fitted: Fitted) -> list[dict[str, Any]]:
    codes = _with_loss(fitted)
    try:
        found = _proportional(fitted)
    except ValueError as error:
        return [row("all", "test", note=f"loss intensities cannot be compared: {error}")]
    z = normal_quantile(0.5 + fitted.confidence / 2)
    rows = []
    for code, log, spread in zip(
        codes[1:], found.log_ratio, np.sqrt(np.maximum(np.diag(found.covariance), 0.0)), strict=True
    ):
        n = fitted.courses(code) + fitted.courses(codes[0])
        if np.isnan(log):
            note = f"{code} and {codes[0]} show losses in different days: no ratio is told"
            rows.append(row(f"{code} - {codes[0]}", "loss_intensity_ratio", denominator=n, note=note))
            continue
        if spread <= 1e-6:
            note = f"patients have the same losses in {code} and {codes[0]}: the ratio has no error"
            rows.append(
                row(f"{code} - {codes[0]}", "loss_intensity_ratio", estimate=float(np.exp(log)), denominator=n,
                    note=note)
            )  # fmt: skip
            continue
        with np.errstate(over="ignore"):  # so little is known that no ratio is too large
            low, high = np.exp(log - z * spread), np.exp(log + z * spread)
        note = f"ratio of {code} to {codes[0]} at all times"
        rows.append(
            row(
                f"{code} - {codes[0]}", "loss_intensity_ratio", estimate=float(np.exp(log)), low=float(low),
                high=float(high), denominator=n, note=note,
            )
        )  # fmt: skip
    note = (
        f"Wald test of equal loss intensities on {found.df} df, chi-squared {found.statistic:.2f}, clustered by patient"
    )
    if not found.df:
        note = "patients have the same losses in all strata: nothing varies between them"
        return [*rows, row("all", "test", denominator=sum(map(fitted.courses, codes)), note=note)]
    compared = [codes[0], *(c for c, log in zip(codes[1:], found.log_ratio, strict=True) if not np.isnan(log))]
    if len(compared) < len(fitted.strata):
        note += f"; only strata with losses in the same days: {', '.join(compared)}"
    return [*rows, row("all", "test", estimate=found.p, denominator=sum(map(fitted.courses, codes)), note=note)]


def _proportional(fitted: Fitted) -> Proportional:
    codes = _with_loss(fitted)
    index = np.concatenate([fitted.index[c] for c in codes or list(fitted.fits)[:1]])
    return proportional_loss([fitted.fits[c] for c in codes], fitted.variance[np.ix_(index, index)])


def proportional_check(fitted: Fitted) -> list[dict[str, Any]]:
    """Return the check that one ratio of loss intensities serves for all time."""
    try:
        found = _proportional(fitted)
    except ValueError:
        return []
    p = float(chi2_above(found.lack_of_fit, found.lack_df)) if found.lack_df else 1.0
    note = "a small value: the ratio of loss intensities changes over time, read the incidences instead"
    return [check("one loss intensity ratio for all time", p, ">= 0.01", p >= 0.01, note)]


def share_rows(fitted: Fitted, code: str, days: Floats) -> list[dict[str, Any]]:
    """Return the probability of each state by day since treatment."""
    quantities = {"share_in_response": RESPONSE, "share_response_lost": LOST, "end": ENDED, "share_dead": DEAD}
    if code in fitted.why_not:
        n, why = fitted.courses(code), fitted.why_not[code]
        return [row(code, "share_in_response", time_day=d, denominator=n, note=why) for d in days.tolist()]
    moves = fitted.of(code)
    happened = {}
    for name, state in quantities.items():
        entered = moves.filter(pl.col("to_state") == STATES[state], pl.col("from_state") != STATES[state])
        first = entered.filter(pl.col("from_state") == "no_response_yet") if state == RESPONSE else entered
        happened[name] = [count_of(first.filter(pl.col("stop_day") <= d)) for d in days]
    ever = {"ever_in_response": happened["share_in_response"]}
    seen: dict[str, Any] = {
        "of": fitted.courses(code),
        "told_by": followed(fitted.of(code), days),
        "beyond": fitted.last_day(code),
    }
    return [
        *state_rows(fitted, code, quantities, days, fitted.laws.occupation, happened=happened, **seen),
        *state_rows(
            fitted, code, {"ever_in_response": RESPONSE}, days, fitted.laws.first_response, happened=ever, **seen
        ),
    ]


def mean_rows(fitted: Fitted, code: str, horizon: float) -> list[dict[str, Any]]:
    """Return the mean days in response up to `horizon`."""
    n = fitted.courses(code)
    if code in fitted.why_not or horizon > fitted.last_day(code):
        why = fitted.why_not.get(code, f"nobody was followed beyond day {fitted.last_day(code):.0f}")
        return [row(code, "mean_days_in_response", time_day=horizon, denominator=n, note=why)]
    value, _, low, high = _mean_judged(fitted, code, horizon)
    loose = fitted.fits[code].undetermined
    note = "an intensity is not determined by the visits: limits are those of a share of as many" if loose else None
    return [row(code, "mean_days_in_response", time_day=horizon, estimate=float(value[0]), low=float(low[0]),
                high=float(high[0]), denominator=n, note=note)]  # fmt: skip


def _responses(fitted: Fitted, code: str) -> int:
    """Return how many courses of a stratum were seen in response for the first time."""
    first = (pl.col("from_state") == "no_response_yet") & (pl.col("to_state") == "in_response")
    return count_of(fitted.of(code).filter(first))


def _mean_judged(fitted: Fitted, code: str, horizon: float) -> Judged:
    """Return the mean days with limits on the logit scale of their share of the horizon."""
    mean, slope = fitted.mean_days(code, horizon)
    told_by = followed(fitted.of(code), np.array([horizon]))
    # How long a response lasts is told by those who had one: their number is what the error is an estimate from.
    responses = max(_responses(fitted, code), 2)
    error = fitted.error(slope, code)
    low, high = logit_interval(mean, error, horizon, fitted.confidence, responses)
    if fitted.fits[code].undetermined:
        # Without an error of its own: no better told than a share of as many courses.
        least, most = share_limits(mean / horizon, error / horizon, told_by, fitted.confidence, responses)
        low, high = horizon * least, horizon * most
    # Where nobody was seen in response: as if those who may have been were so for the whole time.
    most = horizon * share_limits(np.zeros(1), np.zeros(1), told_by, fitted.confidence)[1]
    return mean, slope, np.where(mean <= 0, 0.0, low), np.where(mean <= 0, most, high)


def observed_rows(fitted: Fitted, code: str) -> list[dict[str, Any]]:
    """Return shares in response as seen at each planned visit, those ended counted, with exact binomial limits."""
    mine = fitted.shares.filter(pl.col("stratum") == code).with_columns(pl.col("n").cast(pl.Float64))
    rows = []
    for (day, visit), group in mine.sort("target_day").group_by(["target_day", "planned_visit"], maintain_order=True):
        total = round(float(group["n"].sum()))
        if not group["state"].is_in(STATES[:3]).any() or total == 0:
            continue
        x = min(float(group.filter(pl.col("state") == "in_response")["n"].sum()), total)
        share, low, high = exact_share(x, total, fitted.confidence)
        rows.append(row(code, "share_in_response_observed", time_day=float(str(day)), estimate=share, low=low,
                        high=high, n=round(x), denominator=total, note=f"as seen at the visit of {visit}"))  # fmt: skip
    return rows


def share_contrasts(fitted: Fitted, days: Floats) -> list[dict[str, Any]]:
    """Return differences of the probability of response and of the mean days in it, and the test of equal means."""
    horizon = float(days.max())

    def share(code: str) -> Judged:
        value, gradient = fitted.laws.occupation(code, days)
        return _judged(fitted, code, value[:, RESPONSE], gradient[:, RESPONSE], followed(fitted.of(code), days))

    def mean(code: str) -> Judged:
        return _mean_judged(fitted, code, horizon)

    def unknown(code: str, day: float | None) -> bool:
        return (day or horizon) > fitted.last_day(code)

    rows = difference_rows(fitted, "difference", days.tolist(), share, unknown)
    rows += difference_rows(fitted, "difference_mean_days", [horizon], mean, unknown)
    return [*rows, _mean_test(fitted, horizon)]


def _mean_test(fitted: Fitted, horizon: float) -> dict[str, Any]:
    """Wald test that the mean times in response are the same in all strata fitted."""
    fits = fitted.fits.items()
    codes = [c for c, f in fits if f.fit is not None and not f.undetermined and horizon <= fitted.last_day(c)]
    value, gradients = np.zeros(len(codes)), np.zeros((len(codes), len(fitted.variance)))
    for i, code in enumerate(codes):
        found, gradient = fitted.mean_days(code, horizon)
        value[i] = found[0]
        gradients[i, fitted.index[code]] = gradient[0]
    spread = gradients @ fitted.variance @ gradients.T
    if len(codes) < 2 or not np.isfinite(spread).all() or (np.diag(spread) <= 0).sum() > 1:
        return row("all", "test", note="two strata with a mean time that has an error are needed")
    contrast = np.column_stack([-np.ones(len(codes) - 1), np.eye(len(codes) - 1)])
    d = contrast @ value
    statistic, df = wald(d, contrast @ spread @ contrast.T, float(np.diag(spread).mean()))
    if df == 0:
        return row("all", "test", note=UNVARYING_ALL)
    # How long a response lasts is told by those who had one, in the stratum that has fewest.
    fewest = min(_responses(fitted, code) for code in codes)
    note = f"Wald test of equal mean days in response on {df} df, chi-squared {statistic:.2f}, clustered by patient"
    p = hotelling_above(statistic, df, fewest - 1)
    if np.isnan(p):
        return row("all", "test", note=f"{note}: {fewest} responses in a stratum are too few")
    return row("all", "test", estimate=p, denominator=sum(map(fitted.courses, codes)), note=note)


def note_between_visits(rows: list[dict[str, Any]], visits: list[int], since: float = 0.0) -> list[dict[str, Any]]:
    """Return the rows with a note where a day is further than a tenth of it from every planned visit.

    There the number rests on intensities that are constant between two visits, not on what anybody saw.
    """
    noted = []
    for r in rows:
        day = since + (r["time_day"] or 0.0)
        far = visits and min(abs(day - v) for v in visits) > 0.1 * day and r["estimate"] is not None
        before, after = (
            max((v for v in visits if v < day), default=0),
            min((v for v in visits if v > day), default=None),
        )
        if far and after is not None and r["note"] is None:
            note = f"day {day:.0f} lies between the planned visits of days {before} and {after}: rests on the model"
            r = {**r, "note": note}
        noted.append(r)
    return noted


def curve_days(days: Floats) -> Floats:
    """Return the days at which curves are drawn: the reported ones and every tenth."""
    return np.unique(np.concatenate([days, np.arange(0, days.max() + 1, 10.0)]))
