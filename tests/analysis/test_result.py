"""What leaves the room: small cells are hidden, and so is all that would give one away."""

import dataclasses
import re

import polars as pl
import pytest

from analysis.disclosure.suppression import shown_flow
from analysis.result import Result, check, diagnostics_of, frame_of, row
from analysis.told import in_words, not_selected, rows_used


def result(*rows: dict, question: str = "adjusted_response", checks: tuple[dict, ...] = ()) -> Result:
    flow = pl.DataFrame({"reason": ["courses", "selected"], "n": [100, 100]})
    strata = [{"code": c, "label": c, "colour": "#000000"} for c in ("early", "late")]
    settings = {"question": question, "strata": strata}
    return Result(question, "A title", frame_of(list(rows)), settings, flow, diagnostics_of(list(checks)))


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
        ({"a": 30, "b": 3, "c": 4}, {"a": 30, "other reasons together": 7}),
        ({"a": 30, "b": 3, "c": 12}, {"a": 30, "other reasons together": 15}),
        ({"a": 2}, {"other reasons together": 2}),
        ({}, {}),
    ],
    ids=["none small", "two small", "one small takes the next with it", "nothing to join with", "nobody left"],
)
def test_small_reasons_are_put_together_until_the_totals_do_not_give_them_away(left, expected):
    total = 100 - sum(left.values())
    flow = pl.DataFrame([("courses", 100), *left.items(), ("selected", total)], schema=["reason", "n"], orient="row")
    kept = dict(shown_flow(flow).iter_rows())
    assert kept == {"courses": 100, **expected, "selected": total}


def test_shares_are_said_in_per_cent_their_differences_in_points_and_a_range_is_not_called_an_interval():
    found = result(
        row("late - early", "difference", time_day=365.0, estimate=-0.12, low=-0.2, high=-0.04),
        row("early", "range", time_day=365.0, estimate=0.4, low=0.31, high=0.62),
        row("early", "courses_with_event", estimate=0.05, low=0.01, high=0.1),
        row("early", "end", estimate=0.004, low=-0.001, high=0.01),
    )
    assert found.say("difference", "late - early") == "-12 percentage points (95 % CI -20 to -4)"
    assert found.say("range", "early") == "40 % (from 31 to 62)"
    assert found.say("courses_with_event", "early") == "5 % (95 % CI 1 to 10)"
    assert found.say("end", "early") == "0 % (95 % CI 0 to 1)"


def test_a_difference_of_scores_has_no_per_cent():
    found = result(row("late - early", "difference", estimate=-4.21, low=-5.57, high=-2.84), question="trajectories")
    assert found.say("difference", "late - early") == "-4.21 (95 % CI -5.57 to -2.84)"


def test_a_day_is_said_with_the_days_between_which_it_is_and_days_as_days():
    note = "half had responded in (0, 71]; where inside, the visits do not say"
    found = result(
        row("early", "median_day", estimate=71.0, note=note),
        row("late", "median_day", note="fewer than half are known to have responded"),
        row("early", "mean_days_in_response", estimate=1433.2, low=1396.0, high=1468.0),
    )
    assert found.say("median_day", "early") == "day 71, in (0, 71]"
    assert found.say("median_day", "late") == "fewer than half are known to have responded"
    assert found.say("mean_days_in_response", "early") == "1,433 days (95 % CI 1,396 to 1,468)"


def test_of_checks_small_counts_are_hidden_and_p_shares_and_ratios_are_not():
    checks = (
        check("negative control, p", 0.78, ">= 0.01", True),
        check("seen at 24 months in early", 0.7, ">= 0.6", True),
        check("responses per parameter", 3.5, "at least 5", False),
        check("smallest curvature", 0.2, "> 0", True),
        check("responses in early", 3, ">= 10", False),
        check("responses in late", 0, ">= 10", False),
        check("events reported after the last contact", 2, "a count", True),
    )
    kept = result(share("early", 91, 20), checks=checks).suppress().diagnostics["value"].to_list()
    assert kept == [0.78, 0.7, 3.5, 0.2, None, 0.0, None]


def test_a_row_without_a_number_to_hide_keeps_its_reason():
    several, settled = "no test: some patients have several courses", "settled up to day 209 only"
    rows = [share("early", 91, 2), row("all", "test", denominator=100, note=several),
            row("late - early", "difference", time_day=91.0, denominator=100, note=settled)]  # fmt: skip
    notes = result(*rows).suppress().frame["note"].to_list()
    # That of the difference tells a day of the hidden side.
    assert notes == ["suppressed: fewer than 5", several, "suppressed: fewer than 5"]
    tested = [rows[0], row("all", "test", estimate=0.2, denominator=100, note="log-rank")]
    assert result(*tested).suppress().frame["note"].to_list() == ["suppressed: fewer than 5"] * 2


def flow_of(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=["reason", "n"], orient="row")


def test_courses_used_are_told_of_those_selected():
    kept = ("no baseline score", 61), ("selected", 725)
    chosen = flow_of(("courses", 2243), ("another programme", 1059), ("another anatomical site", 398), *kept)
    assert rows_used(chosen) == "used 725 of 786 selected courses (2,243 in the registry)"
    assert rows_used(flow_of(("courses", 786), *kept)) == "used 725 of 786 courses"
    joined = flow_of(("courses", 786), ("other reasons together", 61), ("selected", 725))
    assert rows_used(joined) == "used 725 of 786 courses"  # they may hold reasons of both kinds


def test_every_reason_of_a_selection_is_known_as_one(six_programmes):
    values = {"programme": "osteoarthritis", "site": "hip", "side": "left", "diagnosis": "primary_oa", "sex": "male"}
    reasons = set()
    for key, value in {**values, "first_course_only": True, "min_age": 60, "max_age": 60,
                       "min_potential_follow_up_day": 900, "stage": "early"}.items():  # fmt: skip
        held = (
            six_programmes.sql(f"select distinct {key} from course.profile").to_series() if key in values else [value]
        )
        picked = value if value in list(held) else next(v for v in held if v is not None)
        flow = six_programmes.courses(**{key: picked}).flow()
        assert not_selected(flow)["n"].sum() == flow["n"][0] - flow["n"][-1], flow
        reasons |= set(flow["reason"][1:-1])
    assert {"younger than 60", "older than 60", "another severity stage"} <= reasons


def test_in_a_stratum_that_nobody_is_in_nothing_failed():
    checks = (check("courses in early", 0, "> 0", False), check("ends in late", 3, ">= 10", False))
    nobody = row("early", "response", time_day=91.0, n=0, denominator=0, note="nobody in this stratum")
    found = result(nobody, share("late", 91, 3), checks=checks)
    assert found.empty_strata == ["early"] and found.checks_made()["check"].to_list() == ["ends in late"]
    assert "courses in early" not in found._repr_html_()
    # Hidden is not empty.
    assert result(nobody, share("late", 91, 3, of=4)).suppress().empty_strata == ["early"]


def test_printed_are_the_headline_numbers_of_every_stratum_with_somebody_in_it_on_a_screen():
    days = (91.0, 183.0, 365.0, 730.0, 1095.0)
    strata = [row("early", "response", time_day=d, n=0, denominator=0) for d in days]
    strata += [share("late", d, 20) for d in days]
    strata += [row("late", "other", time_day=d, estimate=0.5, note=f"reason {i}") for d in days for i in range(40)]
    strata += [row("late", "difference_days", estimate=12.0, low=3.0, high=21.0, denominator=50)]
    strata += [row("all", "test", estimate=0.00001, note="a test")]
    text = repr(result(*strata)).splitlines()
    assert max(map(len, text)) <= 100 and len(text) < 20
    assert "  late                      50  40 (0 to 100)  40 (0 to 100)  40 (0 to 100)  40 (0 to 100)" in text
    assert "  late                      50  12 (3 to 21)" in text and "test: p < 0.001: a test" in text
    assert text[-2:] == ["nobody is in: early", "all numbers are in .frame, also other"]


def test_what_is_not_known_is_printed_with_its_reason():
    found = result(share("late", 91, 20), row("late", "response", time_day=365.0, denominator=50, note="too early"))
    assert repr(found).splitlines()[-3:-1] == [
        "  late            50  40 (0 to 100)        –",
        "  – too early (late 365)",
    ]


def test_a_product_that_few_had_loses_its_name_wherever_it_stood():
    rows = [
        row("LOT-7", "courses_with_event", estimate=0.5, n=1, denominator=2, note="of LOT-7"),
        row("BMAC", "courses_with_event", estimate=0.2, n=10, denominator=50, note="not of LOT-77"),
        row("all", "product = LOT-7: share", estimate=0.04, n=2, denominator=52),
    ]
    found = result(*rows, question="safety")
    strata = [{"code": c, "label": c, "colour": "#000000"} for c in ("BMAC", "LOT-7")]
    found = dataclasses.replace(
        found, notes=("LOT-7: never seen.",), settings={**found.settings, "by": "product", "strata": strata}
    )
    hidden = found.suppress()
    assert "LOT-7" not in re.sub("LOT-77", "", str(hidden.frame.to_dicts()) + str(hidden.settings) + str(hidden.notes))
    assert hidden.frame["stratum"].to_list() == ["product of few", "BMAC", "all"]
    assert hidden.frame["quantity"][2] == "product = product of few: share"
    assert hidden.settings["strata"][1]["label"] == "product of few" and hidden.frame["note"][1] == "not of LOT-77"
    assert found.suppress(1).frame["stratum"][0] == "LOT-7"


def test_many_quantities_of_one_stratum_are_a_line_each_in_one_table():
    rows = [{**share("late", d, 20), "quantity": f"share_{i}"} for i in range(7) for d in (91, 365)]
    rows[-1] |= {"estimate": None, "low": None, "high": None, "note": "too early"}
    text = repr(result(*rows)).splitlines()
    assert text[-10].split() == ["late", "courses", "day", "91", "day", "365"]
    assert [line.split(",")[0] for line in text[-9:-2]] == [f"share_{i}" for i in range(7)]
    assert text[-3].endswith("50  40 (0 to 100)              –") and text[-2] == "  – too early (share_6, day 365)"


def test_where_only_limits_are_known_they_are_told_with_what_they_are_between():
    between = {**share("late", 365, 20), "estimate": None, "low": 0.25, "high": 0.5, "note": "from none to all"}
    assert in_words(between, {}) == "25 to 50 %, from none to all"
    assert in_words(between | {"note": None}, {}) == "25 to 50 %"
    assert in_words(between | {"low": None}, {}) == "from none to all"
    days = between | {"quantity": "mean_days", "low": 100.0, "high": 1200.0, "note": None}
    assert in_words(days, {}) == "100 to 1,200 days"
    assert any(line.split()[-3:] == ["25", "to", "50"] for line in repr(result(between)).splitlines())


def test_a_product_called_by_a_number_leaves_the_names_of_quantities_and_other_settings_alone():
    rows = [row(code, f"events: grade {g}", n=1, denominator=of) for code, of in (("1", 2), ("2", 50)) for g in (1, 2)]
    strata = [{"code": c, "label": c, "colour": "#000000"} for c in ("1", "2")]
    found = result(*rows, question="safety")
    found = dataclasses.replace(found, settings={**found.settings, "by": "product", "strata": strata, "version": "1"})
    hidden = found.suppress()
    assert hidden.frame["stratum"].to_list() == ["product of few"] * 2 + ["2"] * 2
    assert set(hidden.frame["quantity"]) == {"events: grade 1", "events: grade 2"} and hidden.settings["version"] == "1"


def test_numbers_of_a_stratum_that_only_their_notes_tell_apart_have_these_in_their_line():
    text = repr(result(*({**share("early", 91, 20), "note": f"KOOS-pain-{n} | first"} for n in (10, 12))))
    assert "  early: KOOS-pain-10 | first " in text and "  early: KOOS-pain-12 | first " in text


def test_no_printed_name_is_cut_and_shares_have_one_unit():
    long = "seen: 1 month, 3 months, 6 months, 12 months"
    ratio = row("separation: density gradient against plastic adherence", "hazard_ratio", estimate=1.2, denominator=90)
    printed = repr(result(
        *(row("early", f"{long}{more}", estimate=0.1, denominator=90) for more in ("", ", 24 months")), ratio,
        *(row("early", q, estimate=0.455, denominator=90) for q in ("pooled_response", "unadjusted at 32 million")),
    ))  # fmt: skip
    lines = [line.removesuffix("courses").split("  90  ")[0].strip() for line in printed.splitlines()]
    said = " ".join(lines)
    assert f"{long} early" in said or f"{long}, % early" in said
    assert f"{long}, 24 months" in said and "density gradient against plastic adherence" in said
    assert "0.455" not in printed and "pooled_response, %" in printed and "unadjusted at 32 million, %" in printed
    assert all(len(line) <= 100 for line in printed.splitlines()) and "%" not in lines
