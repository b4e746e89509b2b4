"""Who is in a booster trial: counted, hidden where few, drawn, and told in report, package and checklist."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest
from matplotlib.text import Text

from analysis import booster_effect, booster_figures
from analysis.booster_flow import without_decision
from analysis.booster_protocol import target_checklist
from analysis.disclosure.rounding import rounded
from analysis.result import Result
from registry import Registry, derive
from registry.ingest import load
from reports import publication
from reports.booster_section import booster_section
from reports.words import ENGLISH, words_of
from synthetic.booster_files import write
from synthetic.booster_world import DEFINITION, SCENARIOS, STAGES, STEP_DAY, make

LAST = 4 * STEP_DAY


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("world")
    write(make(SCENARIOS[3], 700, 11), folder / "files", log=False)
    Registry.create(folder / "w.duckdb", key=b"an open secret of the test suite").close()
    load(folder / "w.duckdb", [folder / "files"])
    derive(folder / "w.duckdb")
    with Registry.open(folder / "w.duckdb") as opened:
        yield opened


def ask(courses, **options) -> Result:
    return booster_effect(
        courses, definition=DEFINITION, **{"horizon_day": (LAST,), "resamples": 20, "show_anyway": True, **options}
    )


@pytest.fixture(scope="module")
def effect(registry) -> Result:
    return ask(registry.courses(programme="osteoarthritis"))


def size(result: Result, stratum: str) -> int:
    return result.frame.filter(quantity="difference", stratum=stratum, time_day=float(LAST))["denominator"].item()


def test_courses_used_are_those_with_an_eligible_decision_and_the_others_leave_with_a_reason(effect):
    flow = dict(effect.attrition.iter_rows())
    assert flow["selected"] == size(effect, "all") == sum(size(effect, s) for s in STAGES)
    assert flow["courses"] - flow["selected"] == sum(list(flow.values())[1:-1])
    assert flow["data cut too soon after every decision"] > 20
    assert f"(of {flow['selected']:,} courses)" in booster_figures.flow(effect).alt_text


def test_a_course_leaves_for_the_step_that_its_furthest_visit_did_not_pass():
    point = {"met": False, "situation": "regression", "n_boosters_before": 0, "asked": True, "cut_day": 900,
             "zero_day": 100}  # fmt: skip
    other = {1: {}, 2: {"cut_day": 300}, 3: {"asked": False}, 4: {"n_boosters_before": 1},
             5: {"situation": None, "met": True}, 6: {"situation": "insufficient"}}  # fmt: skip
    rows = pl.DataFrame([{"course_id": c, **point, **changed} for c, changed in other.items()])
    # Another visit of the sixth left sooner.
    rows = pl.concat([rows, rows.filter(course_id=4).with_columns(course_id=pl.lit(6, pl.Int64))])
    data = SimpleNamespace(plan=SimpleNamespace(days=(365.0,)))
    found = dict(without_decision(pl.Series(range(1, 8)), rows, data, "regression").iter_rows())
    assert found == {
        2: "data cut too soon after every decision", 3: "no decision recorded where the centre keeps a log",
        4: "boosted before any decision", 5: "no score on a day when a booster could be decided on",
        6: "never in the situation asked about", 7: "no score on a day when a booster could be decided on",
    }  # fmt: skip


@pytest.mark.parametrize("outcome", ["pain", "end"])
def test_every_curve_starts_at_the_decision_with_nothing_changed(registry, outcome):
    curves = ask(registry.courses(programme="osteoarthritis"), outcome=outcome).curves
    for name in ("boosted", "waiting", "difference"):
        first = curves.filter(quantity=name, stratum="moderate").sort("time_day").row(0, named=True)
        assert (first["time_day"], first["estimate"], first["low"], first["high"]) == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ["love", "weights", "flow"])
def test_no_word_of_a_figure_is_cut(effect, name):
    figure = getattr(booster_figures, name)(effect)
    figure.draw_without_rendering()
    words = [a.xaxis.label for a in figure.axes] + [t for a in figure.axes for t in a.texts]
    words += [t for a in figure.axes if a.get_legend() for t in a.get_legend().findobj(Text)]
    words += [t for a in figure.axes if a.axison for t in a.get_yticklabels()]
    assert len(words) > 5
    for box in (w.get_window_extent() for w in words if w.get_text()):
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1


def test_the_median_of_the_weights_does_not_hide_their_quartiles(effect):
    right = booster_figures.weights(effect).axes[1]
    for place, arm in enumerate(("boosted", "waiting")):
        q = effect.settings["weight_quantiles"][arm]
        (box,) = (b for b in right.patches if round(b.get_y() + b.get_height() / 2) == place)
        assert (box.get_x(), box.get_x() + box.get_width()) == pytest.approx((q[1], q[3]))
        assert [q[2], q[2]] in [list(line.get_xdata()) for line in right.lines]
    assert {line.get_marker() for line in right.lines} == {"None"}


def with_settings(effect: Result, left: tuple[int, ...], arms: tuple[int, int], bins: list[float]) -> Result:
    steps = [{"step": "visits judged", "n": sum(left) + sum(arms)}]
    steps += [{"step": f"left: reason {i}", "n": n} for i, n in enumerate(left)]
    steps += [{"step": "eligible decisions", "n": sum(arms)}, {"step": "boosted", "n": arms[0]},
              {"step": "not boosted", "n": arms[1]}]  # fmt: skip
    effect.settings.update(decision_flow=steps, overlap_shares={"boosted": bins, "waiting": bins})
    return effect


@pytest.fixture
def small(effect):
    kept = dict(effect.settings)
    yield effect
    effect.settings.clear()
    effect.settings.update(kept)


def test_few_decisions_that_left_for_a_reason_cannot_be_found_by_subtraction(small):
    shown = with_settings(small, (40, 3, 60), (20, 80), [0.5, 0.5]).suppress().settings["decision_flow"]
    assert [(s["step"], s["n"]) for s in shown] == [
        ("visits judged", 203), ("left: reason 2", 60), ("left: other reasons together", 43),
        ("eligible decisions", 100), ("boosted", 20), ("not boosted", 80),
    ]  # fmt: skip
    few = with_settings(small, (40, 0), (3, 80), [0.5, 0.5]).suppress().settings
    assert [s["n"] for s in few["decision_flow"]] == [123, 40, 0, 83, None, None]
    assert "overlap_shares" not in few and "weight_quantiles" not in few


def test_a_stage_of_few_is_not_what_all_less_the_others_leaves(registry):
    """Three courses of one stage: neither courses nor boosts in all are told, by frame, flow or attrition."""
    few = registry.con.sql("select course_id from course.profile where stage = 'early' order by 1 offset 12").pl()
    courses = registry.courses(programme="osteoarthritis").exclude(few.with_columns(reason=pl.lit("another")))
    whole = ask(courses)
    shown, hidden = whole.suppress(), size(whole, "early")
    assert 0 < hidden < 5 and size(shown, "moderate") == size(whole, "moderate")
    beside = shown.frame.filter(~pl.col("stratum").is_in(STAGES), pl.col("denominator") > 0)
    assert beside.is_empty()
    assert [s["n"] for s in shown.settings["decision_flow"][-2:]] == [None, None]
    told = sum(size(whole, s) for s in ("moderate", "bone_on_bone"))
    assert shown.attrition["n"][-1] - told >= hidden + 5
    assert not shown.diagnostics["note"].str.contains(r"^\d+ decisions").any()
    # Nor how many decisions there were by source, nor what was checked in the stage itself.
    assert any(whole.settings["risk_set"].values()) and not any(shown.settings["risk_set"].values())
    own = shown.diagnostics.filter(pl.col("check").str.ends_with(" in early"))
    assert own.height and own["value"].is_null().all()
    assert shown.diagnostics.filter(pl.col("check").str.ends_with(" in moderate"))["value"].is_not_null().any()
    section = booster_section(shown, "b", ENGLISH)
    assert section["courses"] is None and section["balance"] is None
    assert "courses)" not in booster_figures.flow(shown).alt_text


def test_a_bin_of_few_decisions_is_one_with_those_beside_it(small):
    """Of 20: 2 and 8 beside each other become 5 and 5; none stays none; what is left over joins those before."""
    result = with_settings(small, (40,), (20, 20), [0.1, 0.4, 0.0, 0.35, 0.15])
    shown = result.suppress().settings["overlap_shares"]["boosted"]
    assert shown == pytest.approx([0.25, 0.25, 0.0, 0.25, 0.25])
    assert rounded(result.suppress(), 4).settings["overlap_shares"]["boosted"] == pytest.approx([0.2, 0.2, 0, 0.2, 0.2])


def test_the_section_has_the_flow_the_balance_and_the_weights_in_each_language(effect):
    shown = effect.suppress()
    for words, says in ((ENGLISH, "before weighting"), (words_of("de"), "vor Gewichtung")):
        section = booster_section(shown, "b", words)
        assert section["courses"] == size(effect, "all")
        assert section["decisions"]["end"]["n"] == sum(a["n"] for a in section["decisions"]["arms"])
        assert (
            section["decisions"]["start"]["n"] - sum(s["n"] for s in section["decisions"]["left"])
            == (section["decisions"]["end"]["n"])
        )
        assert says in section["balance"] and words.plain("Share of the arm") in section["weights"]


def test_the_package_draws_who_was_compared_and_not_a_flow_of_courses_without_a_weight(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(publication, "_QUESTIONS", {"booster_effect": ask})
    package = publication.export(registry, tmp_path / "p", "osteoarthritis")
    drawn = sorted(f for f in package.files if f.startswith("figures/figure") and f.endswith(".svg"))
    assert [f.split("_", 2)[2] for f in drawn] == [
        "booster_effect.svg", "booster_decisions.svg", "booster_balance.svg", "booster_weights.svg"
    ]  # fmt: skip
    told = {f: (package.folder / f).read_text("utf-8") for f in drawn}
    assert not any("no row in weights" in text for text in told.values())
    checklist = (package.folder / "checklists" / "target.csv").read_text("utf-8")
    assert "figures/figure_2_booster_decisions.svg" in checklist
    assert "figures/figure_3_booster_balance.svg" in checklist


def answers(result: Result) -> dict[str, str]:
    return dict(target_checklist(result).select("item", "answer").iter_rows())


def test_the_checklist_says_what_was_done_and_of_what_was_not_that_it_was_not(effect):
    told = answers(effect)
    e_value = effect.frame.filter(quantity="e_value", stratum="early")["estimate"].item()
    assert f"early {e_value:.3g} at day {LAST}" in told["7h(ii)"] and "negative control" in told["7h(ii)"]
    assert "was not run here" in told["7h(ii)"] and "clone_censor" not in told["7h(ii)"]
    assert "emulated by sequential trials" in told["1a"]
    assert "weights for boosters later" in told["7h(i)"]
    assert "largest standardised difference" in told["9"] and "size, waiting" in told["9"]
    assert "boosts in" not in told["9"] and "artificially censored" in told["10"]
    # A naive number is no limitation of the effect.
    assert "ever boosted" in " ".join(effect.notes) and "unmeasured reason" in told["16"]
    assert "not the effect" not in told["16"] and "naive" not in told["16"]
    assert "naive_before_after" in told["14"] and "difference_of_differences" in told["14"]
    assert told["11"].endswith("no covariate was missing at a visit")


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        (
            {"estimand": "intention_to_treat"},
            {"10": "nobody censored for a later booster", "7h(i)": "weights for not being seen again",
             "6b": "whatever follows"},
            {"9": "boosts in", "10": "artificially", "7h(i)": "boosters later"},
        ),
        ({"design": "g_formula"}, {"1a": "g-formula", "7h(i)": "Outcome regression"}, {"1a": "sequential"}),
        (
            {"outcome": "end"},
            {"1a": "clones", "6h": "Risks compared", "10": "ends in early", "14": "ratio"},
            {"1a": "sequential", "14": "before_after"},
        ),
    ],
    ids=["intention to treat", "g-formula", "ends"],
)  # fmt: skip
def test_the_checklist_goes_with_what_was_asked(registry, options, said, unsaid):
    told = answers(ask(registry.courses(programme="osteoarthritis"), **options))
    assert all(words in told[item] for item, words in said.items())
    assert not any(words in told[item] for item, words in unsaid.items())
