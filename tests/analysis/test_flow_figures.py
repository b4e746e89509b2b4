"""Flow of courses as a figure: the numbers of the attrition log in words, small ones together, strata that add up."""

import dataclasses

import polars as pl
import pytest

from analysis import describe, time_to_response
from analysis.flow_figures import draw
from analysis.result import Result, diagnostics_of, frame_of, row


def made(left: dict[str, int], strata: dict[str, int], used: int) -> Result:
    total = used + sum(left.values())
    flow = pl.DataFrame([("courses", total), *left.items(), ("selected", used)], schema=["reason", "n"], orient="row")
    return Result(
        question="describe", title="Who", attrition=flow, diagnostics=diagnostics_of([]),
        frame=frame_of([row(s, "courses", estimate=float(n), n=n, denominator=n) for s, n in strata.items()]),
        settings={"strata": [{"code": s, "label": s.capitalize(), "colour": "black"} for s in strata]},
    )  # fmt: skip


def test_the_flow_says_every_number_of_the_attrition_log_in_order():
    result = made({"another programme": 30, "no stage recorded": 7}, {"early": 40, "late": 23}, 63)
    assert result.plot_flow().alt_text == (
        "Flow of courses. Courses in the registry: 100; left, another programme: 30; Courses selected: 70; "
        "left, no stage recorded: 7; Courses used: 63; Early: 40; Late: 23."
    )


def test_of_a_suppressed_result_small_reasons_stand_together_and_no_stratum_beside_a_hidden_one():
    told = made({"no stage recorded": 20, "no baseline score": 2, "no session": 3}, {"early": 3, "late": 60}, 63)
    shown = told.suppress().plot_flow().alt_text
    assert "other reasons together: 5" in shown and "baseline" not in shown
    assert "Early" not in shown and "Late" not in shown and "Early: 3; Late: 60" in told.plot_flow().alt_text


def seen_at(strata: dict[str, list[int]], used: dict[str, int]) -> Result:
    """A result that knows who was seen at 90 and 365 days, of all of the stratum."""
    days = (90.0, 365.0)
    rows = [row(s, "seen", time_day=d, n=n, denominator=used[s]) for s, ns in strata.items()
            for d, n in zip(days, ns, strict=True)]  # fmt: skip
    return dataclasses.replace(made({}, used, sum(used.values())), at_risk=frame_of(rows))


def test_a_flow_ends_with_who_was_seen_at_each_planned_visit():
    told = seen_at({"early": [35, 30], "late": [20, 12]}, {"early": 40, "late": 23})
    figure = told.plot_flow()
    assert figure.alt_text.endswith(
        "Early: 40; seen at 3 months: 35 of 40 due; seen at 12 months: 30 of 40 due; "
        "Late: 23; seen at 3 months: 20 of 23 due; seen at 12 months: 12 of 23 due."
    )
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert all(figure.bbox.y0 <= b.y0 for b in boxes)
    assert "seen" not in made({}, {"early": 40, "late": 23}, 63).plot_flow().alt_text


def test_over_all_strata_a_visit_is_not_told_at_which_one_is_hidden():
    """The strata do not stand in the flow, so that who was seen is told of all: at a year it would give away the 3."""
    told = seen_at({"early": [35, 30], "late": [20, 3]}, {"early": 40, "late": 23})
    told = dataclasses.replace(told, frame=made({}, {"early": 40, "late": 40}, 63).frame)
    whole, left = (r.plot_flow().alt_text for r in (told, told.suppress()))
    assert "seen at 3 months: 55 of 63 due; seen at 12 months: 33 of 63 due" in whole
    assert "seen at 3 months: 55 of 63 due" in left and "12 months" not in left


def test_strata_that_do_not_add_up_to_the_courses_used_are_not_parts_of_them():
    assert "Early" not in made({}, {"early": 40, "late": 40}, 63).plot_flow().alt_text


@pytest.mark.parametrize("parts", [0, 2, 3, 6])
def test_no_box_or_reason_lies_on_another(parts):
    figure = draw(
        [("All", 900, [("a reason that takes " + "many words " * 8, 5), ("another", 4)]), ("Selected", 891, [])],
        ("Used", 891), [(f"Stratum {k}", 100) for k in range(parts)], "Flow",
    )  # fmt: skip
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].texts if t.get_text()]
    assert len(boxes) == 5 + parts
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    inside = figure.bbox
    assert all(b.x0 >= inside.x0 and b.x1 <= inside.x1 and b.y0 >= inside.y0 and b.y1 <= inside.y1 for b in boxes)


def test_a_description_draws_whom_it_describes_and_a_question_whom_it_used(six_programmes):
    knees = six_programmes.courses(programme="osteoarthritis")
    who = describe(knees, by="route")
    assert f"Courses used: {len(knees)}; intra articular: " in who.plot().alt_text
    response = time_to_response(knees, resamples=0)
    for n in response.attrition["n"]:
        assert f": {n:,}" in response.plot_flow().alt_text
