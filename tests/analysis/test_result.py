"""What leaves the room: small cells are hidden, and so is all that would give one away."""

import polars as pl
import pytest

from analysis.result import Result, diagnostics_of, frame_of, row, shown_flow


def result(*rows: dict, question: str = "adjusted_response") -> Result:
    flow = pl.DataFrame({"reason": ["courses", "selected"], "n": [100, 100]})
    strata = [{"code": c, "label": c, "colour": "#000000"} for c in ("early", "late")]
    settings = {"question": question, "strata": strata}
    return Result(question, "A title", frame_of(list(rows)), settings, flow, diagnostics_of([]))


def shown(found: Result) -> list[float | None]:
    return found.suppress().frame["estimate"].to_list()


def share(stratum: str, day: float, n: int, of: int = 50) -> dict:
    return row(stratum, "response", time_day=day, estimate=n / of, low=0.0, high=1.0, n=n, denominator=of)


def test_a_difference_on_a_day_on_which_a_side_is_hidden_is_hidden_and_others_are_not():
    differences = [row("late - early", "difference", time_day=d, estimate=0.1, denominator=100) for d in (91.0, 365.0)]
    found = shown(result(share("early", 91, 2), share("early", 365, 20), share("late", 91, 9), share("late", 365, 25),
                         *differences))  # fmt: skip
    assert found == [None, 0.4, 0.18, 0.5, None, 0.1]


def test_a_range_over_definitions_one_of_which_is_hidden_is_hidden():
    ranges = [row(s, "range", time_day=91.0, estimate=0.2, low=0.04, high=0.3) for s in ("early", "late")]
    found = shown(result(share("early", 91, 2), share("early", 91, 15), share("late", 91, 9), *ranges))
    assert found == [None, 0.3, 0.18, None, 0.2]


def test_many_events_of_a_few_courses_are_hidden():
    found = shown(result(
        row("early", "events_per_100_sessions", estimate=18.0, n=9, denominator=50),
        row("early", "courses_with_event", estimate=0.04, n=2, denominator=50),
        row("late", "events_per_100_sessions", estimate=0.0, n=0, denominator=50),
        row("late", "courses_with_event", estimate=0.0, n=0, denominator=50),
        question="safety",
    ))  # fmt: skip
    assert found == [None, None, 0.0, 0.0]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ({"a": 30, "b": 12}, {"a": 30, "b": 12}),
        ({"a": 30, "b": 3, "c": 4}, {"a": 30, "other reasons, each of few courses": 7}),
        ({"a": 30, "b": 3, "c": 12}, {"a": 30, "other reasons, each of few courses": 15}),
        ({"a": 2}, {"other reasons, each of few courses": 2}),
        ({}, {}),
    ],
    ids=["none small", "two small", "one small takes the next with it", "nothing to join with", "nobody left"],
)
def test_small_reasons_are_put_together_until_the_totals_do_not_give_them_away(left, expected):
    total = 100 - sum(left.values())
    flow = pl.DataFrame([("courses", 100), *left.items(), ("selected", total)], schema=["reason", "n"], orient="row")
    kept = dict(shown_flow(flow).iter_rows())
    assert kept == {"courses": 100, **expected, "selected": total}


def test_shares_are_said_in_per_cent_and_a_range_is_not_called_an_interval():
    found = result(
        row("late - early", "difference", time_day=365.0, estimate=-0.12, low=-0.2, high=-0.04),
        row("early", "range", time_day=365.0, estimate=0.4, low=0.31, high=0.62),
        row("early", "courses_with_event", estimate=0.05, low=0.01, high=0.1),
    )
    assert found.say("difference", "late - early") == "-12 % (95 % CI -20 to -4)"
    assert found.say("range", "early") == "40 % (from 31 to 62)"
    assert found.say("courses_with_event", "early") == "5 % (95 % CI 1 to 10)"
