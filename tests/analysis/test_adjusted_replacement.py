"""Joint replacement standardised for covariates: what it recovers, who is in it, and what it refuses."""

import numpy as np
import polars as pl
import pytest
from knee_files import Knee, hand_made

from analysis import adjusted_replacement, estimand, joint_replacement
from registry.errors import NotEstimable, UsageError


@pytest.fixture(scope="module")
def knees(tmp_path_factory):
    """Replaced sooner the worse the baseline (30 against 50 of 100), of which late stages have more.

    Eighty early knees, 20 of them bad; eighty late ones, 60 of them bad. Of the bad half are replaced in a year, of the
    others a tenth, whatever the stage: standardised, the stages are alike.
    """
    made = []
    for stage, bad in (("early", 20), ("moderate", 60)):
        for i in range(80):
            worse = i < bad
            ends = i % 2 == 0 if worse else i % 10 == 0
            made.append(Knee({90: 60, 800: 60}, stage, baseline=30 if worse else 50, end=20 + 4 * i if ends else None))
    with hand_made(tmp_path_factory.mktemp("knees"), made) as registry:
        yield registry.courses()


def value(result, quantity, stratum, day=None):
    mine = result.frame.filter(pl.col("quantity") == quantity, pl.col("stratum") == stratum)
    return (mine if day is None else mine.filter(pl.col("time_day") == day)).row(0, named=True)


def test_stages_that_differ_in_who_was_treated_are_alike_once_standardised(knees):
    crude = value(joint_replacement(knees, horizon_day=(365,)), "difference", "moderate - early", 365)
    found = adjusted_replacement(knees, covariates="baseline", horizon_day=(365,))
    apart = value(found, "difference", "moderate - early", 365)
    assert crude["estimate"] == pytest.approx(32 / 80 - 16 / 80, abs=0.02) and crude["low"] > 0
    assert abs(apart["estimate"]) < 0.05 and apart["low"] < 0 < apart["high"]
    # Half the cohort is bad: 0.5 x 1/2 + 0.5 x 1/10.
    for stage in ("early", "moderate"):
        assert value(found, "end", stage, 365)["estimate"] == pytest.approx(0.3, abs=0.06)
    ratio = value(found, "hazard_ratio", "baseline, per 10 points worse")
    assert ratio["low"] > 1.3


def test_it_says_what_it_estimates_and_draws_it(knees):
    found = adjusted_replacement(knees, covariates="baseline", horizon_day=(365,))
    summary = dict(estimand(found).iter_rows())["Summary measure"]
    assert "standardised for baseline" in summary
    assert "Early" in found.plot().alt_text
    assert value(found, "test", "all")["estimate"] > 0.01
    assert found.diagnostics.filter(check="ends a coefficient")["value"].item() == 48


def test_a_stratum_with_hardly_an_end_is_counted_and_not_modelled(knees):
    few = knees.ids.to_frame().join(
        knees.registry.con.sql(
            "select course_id from endpoint.end_event join course.profile using (course_id) where stage = 'early'"
        ).pl().sort("course_id").tail(-2), on="course_id", how="semi",
    )  # fmt: skip
    found = adjusted_replacement(
        knees.exclude(few.with_columns(reason=pl.lit("left out"))), covariates="baseline", horizon_day=(365,)
    )
    early = value(found, "end", "early", 365)
    assert early["estimate"] is None and early["n"] == 2 and "fewer than 3 ends" in early["note"]
    assert "early" in found.settings["not_modelled"] and "moderate - early" not in found.frame["stratum"].to_list()


@pytest.mark.parametrize("covariates", [(), ("stage",), ("age", "age")])
def test_covariates_that_cannot_be_are_refused(knees, covariates):
    with pytest.raises(UsageError, match="covariates = "):
        adjusted_replacement(knees, covariates=covariates)


def test_where_nobody_was_replaced_the_refusal_says_so(tmp_path):
    with (
        hand_made(tmp_path, [Knee({90: 60})] * 12) as registry,
        pytest.raises(NotEstimable, match="No stratum has 3 ends"),
    ):
        adjusted_replacement(registry.courses())


@pytest.mark.slow
def test_limits_hold_the_standardised_truth_in_simulated_courses():
    """200 samples of 600 courses from two Cox models, seed fixed; a patient's two courses share a covariate and a frailty
    of nothing: coverage 95 %, Monte-Carlo error 1.5 points."""
    from analysis.numerics.cox import fit_cox, risk_sets
    from analysis.numerics.standardised_incidence import Hazard, standardised_incidence

    rng = np.random.default_rng(7)

    def draw(n):
        patient = np.r_[np.arange(n - n // 6), np.arange(n // 6)]
        late = rng.random(n) < 0.5
        x = (rng.normal(0, 1, n)[patient] + 0.5 * late)[:, None]
        end = rng.exponential(np.where(late, 900, 2500) / np.exp(0.6 * x[:, 0]))
        death = rng.exponential(3000 / np.exp(0.4 * x[:, 0]))
        return patient, late, x, end, death

    _, late, x, _, _ = draw(400_000)
    truth = []
    for mean in (2500, 900):
        # Had all been of one stage: competing exponentials.
        a, b = np.exp(0.6 * x[:, 0]) / mean, np.exp(0.4 * x[:, 0]) / 3000
        truth.append(float((a / (a + b) * -np.expm1(-(a + b) * 730)).mean()))
    hold = []
    for _ in range(200):
        patient, late, x, end, death = draw(600)
        left = rng.uniform(200, 1500, 600)
        day, stage = np.minimum(np.minimum(end, death), left), np.where(late, "late", "early")
        hazards = []
        for event in ((end <= death) & (end <= left), (death < end) & (death <= left)):
            rows = risk_sets(x, day, event.astype(int), stratum=stage, ties="breslow")
            hazards.append(Hazard(rows, fit_cox(rows, cluster=patient)))
        found = standardised_incidence(*hazards, x, np.array([730.0]), ["early", "late"], patient)
        one = np.array([found.error(w)[0] for w in np.eye(2)])
        apart = found.error(np.array([-1.0, 1.0]))[0]
        off = found.estimate[:, 0] - truth
        hold.append([*(np.abs(off) < 1.96 * one), abs(off[1] - off[0]) < 1.96 * apart])
    assert (np.abs(np.mean(hold, axis=0) - 0.95) < 0.045).all()
