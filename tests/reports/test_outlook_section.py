"""What to expect, on the page of the report: each stage with its own reasons to hide or to refuse."""

import pytest

from analysis import Result
from analysis.disclosure.suppression import shown_flow
from analysis.result import check, diagnostics_of, frame_of, row
from registry.errors import NotEstimable
from reports import outlook_section

STAGES = [{"code": c, "label": c.title(), "colour": "#000"} for c in ("early", "late")]

CHECKS = [
    check("courses predicted from others", 36, ">= 30", True, "12 months"),
    check("share within the 10-90 % range", 0.62, "0.7 to 0.9", False),
    check("calibration in the large", 0.013, "<= 0.05", True),
]


def result(ended: int) -> Result:
    """An outlook of forty courses of which `ended` had ended by a year."""
    cells = [("failure_case", -2.0, 20), ("typical_case", 10.0, 20), ("best_case", 25.0, 20),
             ("share_in_response", 0.5, 20), ("share_sustained", 0.25, 10), ("share_worse", 0.0, 0),
             ("end", ended / 40, ended), ("similar", 40.0, 40)]  # fmt: skip
    rows = [row("all", q, time_day=d, estimate=e, low=0.0, high=1.0, n=n, denominator=40) for q, e, n in cells
            for d in (180.0, 380.0)]  # fmt: skip
    flow = frame_of([]).select(reason="note", n="n")
    return Result("outlook", "", frame_of(rows), {"domain": "pain", "worse_points": 12.68, "strata": STAGES},
                  shown_flow(flow), diagnostics_of(CHECKS[:1] if ended < 5 else CHECKS),
                  notes=("24 months: too few", "Rests on the like of 40", "no recommendation"))  # fmt: skip


@pytest.fixture
def answers(monkeypatch):
    def use(**by_stage):
        def outlook(courses, *, stage):
            if isinstance(by_stage[stage], str):
                raise NotEstimable(by_stage[stage])
            return by_stage[stage]

        monkeypatch.setattr(outlook_section, "outlook", outlook)
        return outlook_section.outlook_result(None, STAGES)

    return use


def test_an_end_of_few_hides_itself_and_not_the_other_numbers_of_its_stage(answers):
    told = outlook_section.outlook_section(answers(early=result(2), late=result(8)))
    early, late = told["rows"]
    assert told["day"] == 380 and told["notes"] == ["no recommendation"]
    assert [c["estimate"] for c in early["cases"]] == [-2.0, 10.0, 25.0]
    assert early["shares"][-1]["estimate"] is None and "suppressed" in early["shares"][-1]["note"]
    assert late["shares"][-1]["estimate"] == 0.2


def test_a_stage_without_an_outlook_says_why_and_no_count_of_few(answers):
    told = outlook_section.outlook_section(answers(early="3 courses are like it; thirty are needed.", late=result(8)))
    assert told["rows"][0]["why"] == "fewer than 5 courses are like it; thirty are needed."
    assert told["rows"][1]["why"] is None


def test_where_no_stage_has_one_there_is_no_section(answers):
    assert outlook_section.outlook_section(answers(early="none", late="none")) is None


def test_each_stage_says_how_well_it_predicts_and_whether_that_is_enough(answers):
    early, late = outlook_section.outlook_section(answers(early=result(2), late=result(8)))["rows"]
    assert early["quality"] is None
    assert late["quality"] == {"n": 36, "visit": "12 months", "inside": 0.62, "gap": 1.3, "passed": False}
