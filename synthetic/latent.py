"""The course of the benefit in continuous time: it rises, crosses the response threshold at T, wanes and crosses back.

Improvement is built around its crossing times, so that the time of response and of its loss are known exactly for
every course, whatever the definition's thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from registry import catalogue

Floats = NDArray[np.float64]

# Days over which a booster's effect builds up and wanes; shape of the gain by day since the booster.
_BOOST_DAYS = np.array([0.0, 30.0, 60.0, 150.0, 330.0, 540.0, 900.0])
_BOOST_GAIN = np.array([0.0, 0.6, 1.0, 0.95, 0.6, 0.25, 0.0])


@dataclass(frozen=True)
class Benefit:
    """Improvement of each course over time, in points of 100.

    Attributes
    ----------
    threshold
        Improvement at which the definition is met, shape (n,).
    response_day, loss_day
        When it is crossed upwards and downwards, shape (n,); infinite if never.
    peak
        Height of the plateau in units of the threshold, shape (n,); below 1 for those who never respond.
    """

    threshold: Floats
    response_day: Floats
    loss_day: Floats
    peak: Floats

    def at(self, day: Floats) -> Floats:
        """Return the improvement without boosters at `day`, shape of `day` broadcast with (n,)."""
        day = np.maximum(np.asarray(day, dtype=float), 0.0)
        rises = np.isfinite(self.response_day)
        # exp(-k T) = 1 - 1/peak makes the rise cross the threshold at T exactly.
        peak = np.where(rises, self.peak, 2.0)
        rate = -np.log1p(-1 / peak) / np.where(rises, self.response_day, 120.0)
        height = self.threshold * self.peak
        rise = height * -np.expm1(-rate * day)
        wanes = np.isfinite(self.loss_day)
        up, down = np.where(wanes, self.response_day, 0.0), np.where(wanes, self.loss_day, 1.0)
        start = up + 0.4 * (down - up)
        at_start = height * -np.expm1(-rate * start)
        # The fall from the plateau is exponential, at the pace that crosses the threshold on the day of loss.
        fall = np.log(np.where(wanes, np.maximum(at_start, 1e-9) / np.maximum(self.threshold, 1e-9), 1.0))
        waning = at_start * np.exp(-fall / (down - start) * np.maximum(day - start, 0.0))
        start = np.where(wanes, start, np.inf)
        # Those who never respond still improve a little, and lose it within about two years.
        never = height * -np.expm1(-day / 90.0) * np.exp(-day / 900.0)
        return np.where(rises, np.where(day > start, waning, rise), never)


def boosted(day_since: Floats) -> Floats:
    """Return the share of a booster's full gain `day_since` days after it; zero before. Shape of `day_since`."""
    return np.asarray(np.interp(day_since, _BOOST_DAYS, _BOOST_GAIN, left=0.0, right=0.0))


def threshold(definition: str, baselines: dict[str, Floats], loading: dict[str, float]) -> Floats:
    """Return the improvement (points of 100) at which `definition` is first met, from baselines on 0-100 worst.

    Parameters
    ----------
    baselines
        By scale: baseline on 0 (best) to 100 (worst), shape (n,).
    loading
        By scale: how many points it improves for a point of latent improvement.
    """
    criteria = catalogue.read("definition_criterion").filter(pl.col("definition") == definition)
    arms = catalogue.read("definition_arm").filter(pl.col("definition") == definition)
    best: list[Floats] = []
    for arm, needed in arms.select("arm", "n_needed").iter_rows():
        required = [
            _required(row, baselines, loading)
            for row in criteria.filter(pl.col("arm") == arm).iter_rows(named=True)
            if _scale(row, baselines)
        ]
        if len(required) >= int(needed):
            best.append(np.sort(np.stack(required), axis=0)[int(needed) - 1])
    return np.asarray(np.minimum.reduce(best))


def native(scale: str, worse100: Floats) -> Floats:
    """Return values on the scale itself from 0 (best) to 100 (worst); shape kept."""
    low, high, direction = _limits(scale)
    share = worse100 / 100
    return low + (high - low) * share if direction == "lower_better" else high - (high - low) * share


def _scale(row: dict[str, str | None], baselines: dict[str, Floats]) -> str | None:
    if row["scale"]:
        return row["scale"] if row["scale"] in baselines else None
    offered = catalogue.read("programme_scale").filter(
        (pl.col("domain") == row["domain"]) & pl.col("scale").is_in(list(baselines))
    )
    return str(offered["scale"][0]) if offered.height else None


def _required(row: dict[str, str | None], baselines: dict[str, Floats], loading: dict[str, float]) -> Floats:
    scale = _scale(row, baselines)
    assert scale is not None
    low, high, direction = _limits(scale)
    worse = baselines[scale]
    to100 = 100 / (high - low) if row["basis"] == "native" else 1.0
    base = native(scale, worse) if row["basis"] == "native" else worse
    sign = -1.0 if row["basis"] == "native" and direction == "higher_better" else 1.0
    need = np.zeros_like(worse)
    if row["improvement_min"]:
        need = np.maximum(need, float(row["improvement_min"]) * to100)
    if row["relative_min"]:
        need = np.maximum(need, float(row["relative_min"]) * base * to100)
    if row["level"]:
        need = np.maximum(need, sign * (base - float(row["level"])) * to100)
    return need / loading[scale]


def _limits(scale: str) -> tuple[float, float, str]:
    row = catalogue.read("scale").row(by_predicate=pl.col("scale") == scale, named=True)
    return float(row["low"]), float(row["high"]), str(row["direction"])
