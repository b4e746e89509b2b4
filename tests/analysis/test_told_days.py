"""Adjusted numbers end where a stratum is no longer watched: by itself, by dose, in combinations, and as it was seen."""

import numpy as np
import polars as pl
import pytest

from analysis.adjusted_model import design_of, fit_model, observed_rows, told_days
from analysis.adjusted_response import risk_rows
from analysis.cohort import Stratum
from analysis.crossed_subgroups import drawn_across
from analysis.dose_rows import band_rows, curve_rows, fitted_curve, no_design
from analysis.numerics.pooling import partial_pooling
from analysis.subgroups import drawn_together, share_of

EARLY, LATE = Stratum("early", "Early", "#000000"), Stratum("moderate", "Moderate", "#888888")
BOTH = [EARLY, LATE]
DAYS = np.array([91.0, 183.0, 365.0])


def rows_of(last_early: int, n: int = 60) -> pl.DataFrame:
    """Two stages alike, seen on days 60, 120, ..., the early ones no longer than `last_early`; a third never responds."""
    made = []
    for k, stratum in enumerate(("early", "moderate")):
        last = last_early if k == 0 else 420
        for i in range(n):
            responds = 60 * (1 + i % 6) if i % 3 else 1000
            seen = responds <= last
            made.append({
                "course_id": k * n + i, "patient_id": k * n + i, "stratum": stratum,
                "kind": "response" if seen else "none", "left_day": responds - 60 if seen else last,
                "right_day": responds if seen else None, "dose": float(20 + 7 * (i % 17)), "age": 40.0 + i % 31,
                "origin": ("bone_marrow", "adipose")[i % 2], "centre": "ABC"[i // 3 % 3],
            })  # fmt: skip
    return pl.DataFrame(made, infer_schema_length=None)


def value(rows, quantity, stratum, day):
    return next(r for r in rows if (r["quantity"], r["stratum"], r["time_day"]) == (quantity, stratum, day))


def test_a_day_is_told_to_the_last_that_was_watched_and_a_tenth_beyond_as_of_it():
    at = told_days(rows_of(170), BOTH, DAYS)
    assert at["early"].tolist()[:2] == [91.0, 170.0] and np.isnan(at["early"][2])
    assert at["moderate"].tolist() == DAYS.tolist()
    assert np.isnan(told_days(rows_of(170), BOTH, DAYS, near=False)["early"][1])


def test_a_standardised_share_three_days_before_its_day_is_told_as_of_the_last_watched():
    """All that were watched had responded by day 170: the stage does not vanish, and its number is that of the day."""
    rows = rows_of(170)
    design = design_of(rows, ("age",))
    fit, _ = fit_model(rows, design)
    told = risk_rows(fit, design, rows, BOTH, DAYS, 0.95)
    near, last = (value(told, "response", "early", d) for d in (183.0, 365.0))
    exact = value(risk_rows(fit, design, rows, BOTH, np.array([170.0]), 0.95), "response", "early", 170.0)
    assert near["estimate"] == exact["estimate"] and "as of day 170" in near["note"]
    assert last["estimate"] is None and last["note"] == "nobody was watched beyond day 170"
    apart = value(told, "difference", "moderate - early", 183.0)
    both = risk_rows(fit, design, rows, BOTH, np.array([170.0]), 0.95)
    assert apart["estimate"] == value(both, "difference", "moderate - early", 170.0)["estimate"]
    assert "both as of day 170" in apart["note"]
    assert value(told, "difference", "moderate - early", 365.0)["note"] == "not known in both"


def test_no_dose_of_a_stage_has_a_number_where_nobody_of_it_was_watched():
    rows = rows_of(200)
    curve = fitted_curve(rows, no_design(rows))
    told = [
        *curve_rows(curve, rows, BOTH, [40.0, 90.0], DAYS, 0.95),
        *band_rows(rows, design_of(rows, ("age",)), BOTH, DAYS, 0.95),
    ]
    for r in told:
        beyond = r["stratum"] == "early" and r["time_day"] == 365.0
        assert (r["estimate"] is None) == beyond or "courses" in (r["note"] or ""), r
    assert value(told, "response at 40 million", "early", 365.0)["note"] == "nobody was watched beyond day 200"
    assert value(told, "difference 90 - 40 million", "early", 365.0)["estimate"] is None
    assert value(told, "difference 90 - 40 million", "moderate", 365.0)["estimate"] is not None
    # Bands have their differences too, from the first.
    assert any(r["quantity"] == "difference 50-100 million - <50 million" for r in told)


def test_combinations_of_a_stage_end_with_it_and_it_is_in_no_standardised_number():
    rows, used = rows_of(200), BOTH
    told, _, _, _, notes = drawn_across(rows, ("origin", "stage"), used, ("age",), 365, 0.95)
    for r in told:
        if r["quantity"] in ("response", "pooled_response"):
            assert (r["estimate"] is None) == r["stratum"].endswith("early"), r
    assert any("day 365 in Early" in note for note in notes)
    # Not by stage: standardised over who was watched, as if the others were not there.
    whole, _, _, _, _ = drawn_across(rows, ("origin", "centre"), used, ("age",), 365, 0.95)
    share = [r["estimate"] for r in whole if r["quantity"] == "pooled_response"]
    assert max(share) < 0.95


def test_what_was_seen_of_a_small_stage_ends_too_and_allows_for_those_no_longer_watched():
    made = [("none", 130, None)] * 6 + [("none", 400, None)] * 6
    rows = pl.DataFrame([
        {"patient_id": i, "stratum": "early", "kind": k, "left_day": left, "right_day": right}
        for i, (k, left, right) in enumerate(made)
    ], schema_overrides={"right_day": pl.Int64})  # fmt: skip
    seen = observed_rows(rows, {"early": "few"}, [91.0, 365.0, 800.0], 0.95)
    first, year, late = (value(seen, "observed_share", "early", d) for d in (91.0, 365.0, 800.0))
    # Of twelve followed, then of six: 1 - (alpha / 2)^(1 / n).
    assert first["high"] == pytest.approx(1 - 0.025 ** (1 / 12))
    assert year["high"] == pytest.approx(1 - 0.025 ** (1 / 6))
    assert late["estimate"] is None and late["note"] == "nobody was watched beyond day 400"


def test_a_group_near_one_keeps_its_own_error_when_groups_are_drawn_together():
    """Shares on the scale log(-log(1 - share)) with limits that end at 1: partial pooling of the values put in."""
    y, error = np.array([-0.5, -0.3, 0.0, 2.2]), np.array([0.3, 0.3, 0.3, 1.0])
    z = 1.959963984540054
    rows = pl.DataFrame({
        "stratum": list("abcd"), "estimate": share_of(y), "low": share_of(y - z * error),
        "high": share_of(y + z * error), "n": [30] * 4, "denominator": [60] * 4,
    })  # fmt: skip
    frame, _, known = drawn_together(rows, "origin", 365, 0.95)
    want = partial_pooling(y, error, 0.95)
    got = [r["estimate"] for r in frame if r["quantity"] == "pooled_response" and r["stratum"] in "abcd"]
    assert known == 4
    np.testing.assert_allclose(got, share_of(want.estimate), atol=1e-6)


def test_a_stage_in_which_all_responded_is_known_to_the_end():
    """It is told as of the day of its last response, whenever that was, and stays in what is standardised."""
    rows = rows_of(200)
    quick = pl.col("stratum") == "early"
    rows = rows.with_columns(
        kind=pl.when(quick).then(pl.lit("response")).otherwise("kind"),
        left_day=pl.when(quick).then(pl.lit(0)).otherwise("left_day"),
        right_day=pl.when(quick).then(60 + 20 * (pl.col("course_id") % 7)).otherwise("right_day"),
    )
    assert told_days(rows, BOTH, np.array([91.0, 800.0]))["early"].tolist() == [91.0, 180.0]
    seen = observed_rows(rows, {"early": "few"}, [365.0], 0.95)
    share = value(seen, "observed_share", "early", 365.0)
    assert (share["estimate"], share["high"]) == (1.0, 1.0) and "as of day 180" in share["note"]
    early, late = (
        [r["estimate"] for r in drawn_across(rows, ("origin", "centre"), BOTH, ("age",), day, 0.95)[0]
         if r["quantity"] == "pooled_response"] for day in (180, 365)
    )  # fmt: skip
    assert (np.array(late) >= np.array(early) - 1e-6).all()
