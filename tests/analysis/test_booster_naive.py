"""The naive numbers of a booster: never told without their mark, their reason, and a sentence for a clinician."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import polars as pl
import pytest

from analysis.booster_naive import explanation, is_about_naive
from analysis.result import Result, diagnostics_of, frame_of, row
from reports.booster_section import booster_section
from reports.methods import footnotes
from reports.tables import wide
from reports.words import ENGLISH

EARLY = {"code": "early", "label": "Early", "colour": "#0072b2"}
STRATA = [SimpleNamespace(**EARLY)]
LOSING, IMMORTAL = "were already losing", "immortal time"
AT_WORST = "is better the next time even if nothing is done"


def sentences(outcome: str, naive: float | None, ours: float | None, after: float | None = None) -> tuple[str, ...]:
    rows = [row("early", "naive_ever_against_never", estimate=naive)]
    rows += [row("early", "naive_before_after", time_day=365.0, estimate=after)]
    rows += [row("early", "difference", time_day=d, estimate=v, low=v and v - 1, high=v and v + 1)
             for d, v in ((183.0, ours and 9 * ours), (365.0, ours))]  # fmt: skip
    return explanation(frame_of(rows), STRATA, outcome)


@pytest.mark.parametrize(
    ("outcome", "naive", "ours", "why", "not_why"),
    [
        ("mean", -1.7, 3.1, LOSING, IMMORTAL),
        ("mean", 6.0, 3.1, IMMORTAL, LOSING),
        ("share", -0.2, 0.2, LOSING, IMMORTAL),
        ("share", 0.3, 0.2, IMMORTAL, LOSING),
        ("risk", -0.064, -0.04, IMMORTAL, LOSING),
        ("risk", 0.01, -0.04, LOSING, IMMORTAL),
        ("loss", -0.2, -0.1, IMMORTAL, LOSING),
        ("loss", 0.1, -0.1, LOSING, IMMORTAL),
    ],
)
def test_the_reason_goes_with_the_outcome_and_the_side_on_which_the_naive_number_errs(
    outcome, naive, ours, why, not_why
):
    """Of scores and response more is better, of ends and losses less; the last day is compared, not the first."""
    (said,) = sentences(outcome, naive, ours)
    assert said.startswith("Early: ") and why in said and not_why not in said


def test_where_both_agree_it_is_called_chance_and_both_reasons_stand():
    (said,) = sentences("mean", 3.1, 3.1)
    assert "that both agree is chance" in said and LOSING in said and IMMORTAL in said


def test_the_sentence_stands_also_where_there_is_no_number_of_ours():
    """Then the naive number stands alone, and nobody knows on which side it errs."""
    (said,) = sentences("mean", -1.7, None)
    assert "-1.7 points" in said and "no number is shown" in said and LOSING in said and IMMORTAL in said
    assert sentences("mean", None, None) == ()


def test_before_and_after_has_the_warning_of_regression_to_the_mean_whatever_else_is_shown():
    for naive, ours in ((None, None), (-1.7, None), (-1.7, 3.1)):
        assert AT_WORST in sentences("mean", naive, ours, after=25.9)[-1]
    assert all(map(is_about_naive, sentences("mean", -1.7, 3.1, after=25.9)))


@pytest.fixture
def withheld() -> Result:
    """An effect that the gate closed: nothing but the naive numbers has a value."""
    rows = [row("early", "difference", time_day=365.0, n=26, denominator=133, note="withheld: no overlap")]
    rows += [row("early", "naive_ever_against_never", estimate=-2.12, low=-7.27, high=3.03, n=50, denominator=240,
                 note="NAIVE, not the effect: a booster takes time to be given"),
             row("early", "naive_before_after", time_day=365.0, estimate=25.9, low=20.5, high=31.4, n=19,
                 denominator=19, note="NAIVE, not the effect: boosted when at their worst, they regress")]  # fmt: skip
    settings = {
        "question": "booster_effect", "outcome": "pain", "strata": [EARLY], "horizon_day": [365], "definition": "OO",
        "confidence": 0.95, "data_cut": "2025-01-01", "definition_label": "OO", "definition_version": 1, "by": "stage",
        "definition_source": "a paper", "situation": "any", "outcome_label": "improvement of pain", "grace_day": 30,
        "estimand": "per_protocol", "risk_set": {}, "covariates": ["age"], "design": "sequential", "resamples": 20,
        "unit_label": "points of 100", 
        "decision_flow": [{"step": "visits judged", "n": 90}, {"step": "eligible decisions", "n": 90},
                          {"step": "boosted", "n": 26}, {"step": "not boosted", "n": 64}],
    }  # fmt: skip
    frame = frame_of(rows)
    flow = pl.DataFrame({"reason": ["all courses", "used"], "n": [240, 133]})
    return Result("booster_effect", "Effect of a booster", frame, settings, flow, diagnostics_of([]),
                  notes=explanation(frame, STRATA, "mean"), withheld=("no overlap",))  # fmt: skip


def test_a_naive_number_is_never_said_without_its_mark_and_reason(withheld):
    assert (
        withheld.say("naive_before_after", "early", 365)
        == "naive: 25.9 (95 % CI 20.5 to 31.4); not the effect: boosted when at their worst, they regress"
    )
    printed = repr(withheld)
    number = printed.index("25.9 (20.5")
    assert printed.index("naive_before_after") < number < printed.index("naive: not the effect: boosted when at their")
    assert AT_WORST in printed.replace("\n", " ")


def test_a_table_marks_each_naive_cell_and_says_why_below(withheld):
    table = wide(withheld)
    (cell,) = table.filter(quantity="naive: before–after in the boosted")["12 months"]
    assert cell == "naive: 25.9 (20.5 to 31.4)"
    assert (
        "Naive: before–after in the boosted: not the effect: boosted when at their worst, they regress."
        in footnotes(withheld)
    )


def test_the_section_of_the_report_has_both_naive_numbers_and_the_warning(withheld):
    section = booster_section(withheld, "b", ENGLISH)
    assert [c["estimate"] for c in section["rows"][0]["naive"]] == [-2.12, 25.9]
    assert any(AT_WORST in note for note in section["notes"])


def test_a_sentence_leaves_with_the_naive_number_that_is_hidden(withheld):
    few = dataclasses.replace(withheld, frame=withheld.frame.with_columns(n=4))
    assert any("-2.1" in note for note in withheld.suppress().notes)
    assert not any("-2.1" in note for note in few.suppress().notes)
