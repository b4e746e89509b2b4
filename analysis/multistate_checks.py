"""Checks of a multi-state fit: its certificate, what was seen, and how far the fit is from what was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from analysis.multistate import DEAD, ENDED, RESPONSE, live_pearson
from analysis.multistate_rows import Fitted, count_of
from analysis.numerics.survival_counts import at_risk_at
from analysis.result import check


def checks_of(fitted: Fitted) -> list[dict[str, Any]]:
    """Return the certificate of each fit, what was seen, and how far the fit is from what was seen."""
    checks = []
    for s in fitted.strata:
        if s.code not in fitted.fits:
            checks.append(check(f"fit of {s.code}", None, "fitted", False, fitted.why_not[s.code]))
            continue
        f, moves = fitted.fits[s.code], fitted.of(s.code)
        if f.fit is not None:
            note = "; ".join(f.notes) or "every transition was seen"
            checks.append(check(f"certificate of {s.code}", f.fit.newton_decrement, "<= 1e-8", f.fit.converged, note))
            loose = f.undetermined
            checks.append(
                check(f"undetermined in {s.code}", loose, "0", loose == 0, "intensities without a finite error")
            )
            pearson = live_pearson(f)
            note = f"chi-squared {pearson.statistic:.1f}, df between {pearson.df_low} and {pearson.df_high}"
            checks.append(check(f"Pearson of {s.code}", pearson.p_high, ">= 0.01", pearson.p_high >= 0.01, note))
            distance = _distance(fitted, s.code)
            checks.append(check(f"prevalence of {s.code}", distance, "<= 0.1", distance <= 0.1,
                                "largest gap of fitted and seen share in response at a planned visit"))  # fmt: skip
            distance = _ends_apart(fitted, s.code)
            checks.append(check(f"ends of {s.code}", distance, "<= 0.1", distance <= 0.1,
                                "largest gap of the fitted share ended or dead and Kaplan-Meier of it"))  # fmt: skip
        for name, to in (("responses", "in_response"), ("losses", "response_lost")):
            entered = moves.filter(pl.col("to_state") == to, pl.col("from_state") != to)
            n = count_of(entered)
            checks.append(check(f"{name} in {s.code}", n, ">= 10", n >= 10, "fewer leave wide intervals"))
    return checks


def _distance(fitted: Fitted, code: str) -> float:
    mine = fitted.shares.filter(pl.col("stratum") == code).with_columns(pl.col("n").cast(pl.Float64))
    seen = mine.group_by("target_day").agg(
        total=pl.col("n").sum(), held=pl.col("n").filter(pl.col("state") == "in_response").sum()
    )
    # Twenty seen: below that the gap is chance.
    seen = seen.filter(pl.col("total") >= 20).sort("target_day")
    if seen.height == 0:
        return 0.0
    days = seen["target_day"].to_numpy().astype(float)
    share = (seen["held"] / seen["total"]).to_numpy()
    return float(np.abs(fitted.laws.as_seen(code, days)[:, RESPONSE] - share).max())


def _ends_apart(fitted: Fitted, code: str) -> float:
    """Return the largest gap of the fitted share that left for good and Kaplan-Meier of it, while twenty are seen."""
    moves = fitted.of(code).with_columns(pl.col("start_day", "stop_day", "n").cast(pl.Float64))
    start, stop, n = (moves[c].to_numpy() for c in ("start_day", "stop_day", "n"))
    ends = (moves["kind"] == "end").to_numpy()
    if not ends.any():
        return 0.0
    days = np.unique(stop[ends])
    there = at_risk_at(days, start, stop, n)
    gone = np.bincount(np.searchsorted(days, stop[ends]), n[ends], len(days))
    share = 1 - np.cumprod(1 - gone / there)
    told = there >= 20
    if not told.any():
        return 0.0
    law = fitted.laws.as_seen(code, days)[:, [ENDED, DEAD]].sum(axis=1)
    # A step at its day: what is fitted passes between what was before and what is after.
    before = np.append(0.0, share[:-1])
    off = np.maximum(np.maximum(before - law, law - share), 0.0)
    return float(off[told].max())
