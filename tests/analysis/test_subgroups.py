"""Subgroups: shrunken as far as chance explains, centres in their funnel, refusals with reasons."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from analysis import adjusted_response, estimand, safety, subgroups, time_to_response
from analysis.result import frame_of, row
from registry import Registry, derive
from registry.errors import NotEstimable, UsageError
from registry.ingest import load
from synthetic import Design, simulate, sources


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    sources.write_template(simulate(Design(patients=900, seed=5, programmes={"osteoarthritis": 1.0})), folder / "files")
    path = folder / "many.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [folder / "files"])
    derive(path)
    return path


@pytest.fixture
def knees(many):
    with Registry.open(many) as registry:
        yield registry.courses(programme="osteoarthritis")


def of(result, quantity, stratum=None):
    rows = result.frame.filter(pl.col("quantity") == quantity)
    return rows if stratum is None else rows.filter(pl.col("stratum") == stratum)


def test_groups_are_drawn_together_and_none_crosses_the_middle(knees):
    result = subgroups(knees, by="origin")
    own = (
        of(result, "response").drop_nulls("estimate").select("stratum", own="estimate", own_low="low", own_high="high")
    )
    pooled = of(result, "pooled_response").filter(pl.col("stratum") != "all").join(own, on="stratum")
    middle = of(result, "pooled_response", "all")["estimate"][0]
    assert pooled.height >= 3
    for r in pooled.iter_rows(named=True):
        # Between its own number and the middle, to the rounding of two medians.
        assert min(r["own"], middle) - 0.01 <= r["estimate"] <= max(r["own"], middle) + 0.01
        assert r["high"] - r["low"] <= (r["own_high"] - r["own_low"]) * 1.05
    spread = pooled["own"].max() - pooled["own"].min()
    assert pooled["estimate"].max() - pooled["estimate"].min() <= spread
    assert "pooled" in result.plot().alt_text
    assert "keeps" in pooled["note"][0]
    assert "drawn together" in dict(estimand(result).iter_rows())["Summary measure"]


def test_centres_stand_in_a_funnel_and_small_ones_are_not_in_what_leaves(knees):
    result = subgroups(knees, by="centre")
    # The synthetic clinics are alike: none far outside.
    assert of(result, "funnel_z")["estimate"].abs().max() < 3.5
    assert 0 < of(result, "funnel_target")["estimate"][0] < 1
    assert "Funnel of" in result.plot().alt_text
    hidden = result.suppress()
    assert "funnel" not in hidden.settings
    few = result.frame.filter(pl.col("quantity") == "funnel_z", pl.col("n") < 5)["stratum"].to_list()
    left = hidden.frame.filter(pl.col("stratum").is_in(few), pl.col("quantity") == "funnel_z")["estimate"]
    assert left.null_count() == len(left)


def test_what_cannot_be_compared_is_refused(knees):
    with pytest.raises(UsageError, match="Stages are an order"):
        subgroups(knees, by="stage")
    with pytest.raises(UsageError, match="1 or more"):
        subgroups(knees, by="origin", horizon_day=0)
    with pytest.raises(NotEstimable, match="three or more are needed"):
        subgroups(knees, by="sex", covariates=("age",))
    with pytest.raises(NotEstimable, match=r"adjusted_response\(by='route'\) compares them as they are"):
        subgroups(knees, by="route", covariates=("age",))
    assert adjusted_response(knees, by="route", covariates=("age",)).frame["estimate"].is_not_null().any()


def test_sources_within_a_stage_are_drawn_together_within_it_and_not_across(knees):
    result = subgroups(knees, by="origin_by_stage")
    pooled = of(result, "pooled_response").filter(pl.col("stratum") != "all")
    assert pooled.height >= 6 and pooled["stratum"].str.contains(" in ").all()
    for stage in ("early", "moderate"):
        middle = of(result, f"pooled_response in {stage}", "all")["estimate"].item()
        mine = pooled.filter(pl.col("stratum").str.ends_with(f" in {stage}"))
        own = of(result, "response").join(mine.select("stratum", pooled="estimate"), on="stratum")
        # Each goes towards the middle of its stage, and none beyond it.
        assert ((own["pooled"] - middle).abs() <= (own["estimate"] - middle).abs() + 1e-9).all()
    early, moderate = (of(result, f"pooled_response in {s}", "all")["low"].item() for s in ("early", "moderate"))
    assert early > moderate
    assert "partially pooled" in result.plot().alt_text
    with pytest.raises(UsageError, match="must not name what separates"):
        subgroups(knees, by="origin_by_stage", covariates=("stage", "age"))


def test_a_comparison_by_what_was_chosen_says_that_nobody_was_randomised_and_one_by_stage_does_not(knees):
    said = "Nobody was randomised to the {}: whoever chose it had reasons"
    assert subgroups(knees, by="origin", covariates=("age",)).notes[1].startswith(said.format("cell source"))
    adjusted = adjusted_response(knees, by="stage", covariates=("age", "route"))
    assert [n for n in adjusted.notes if "randomised" in n] == [adjusted.notes[0]]
    assert adjusted.notes[0].startswith(said.format("route"))
    assert safety(knees).notes[0].startswith(said.format("product"))
    assert not any("randomised" in n for n in time_to_response(knees, resamples=0).notes)


def test_ticks_of_a_forest_are_written_as_they_are(knees):
    figure = subgroups(knees, by="origin", covariates=("age",)).plot()
    figure.draw_without_rendering()
    axis = figure.axes[0].xaxis
    for tick, label in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True):
        assert float(label.get_text().removesuffix(" %")) == pytest.approx(100 * tick, abs=1e-6)
    groups = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert any(name.startswith("bone marrow  (") for name in groups) and "_" not in "".join(groups)


def test_names_of_centres_of_one_size_do_not_lie_on_each_other(knees):
    """Twenty-four centres drawn close together."""
    rng = np.random.default_rng(3)
    rows = [row("all", "funnel_target", estimate=0.46)]
    for k, share in enumerate(rng.normal(0.46, 0.03, 24)):
        half = 0.11 * np.sqrt(75 / rng.integers(60, 90))
        for quantity in ("response", "pooled_response"):
            rows.append(row(f"C{k:02d}", quantity, estimate=share, low=share - half, high=share + half, n=9, denominator=70))  # fmt: skip
    figure = dataclasses.replace(subgroups(knees, by="centre", covariates=("age",)), frame=frame_of(rows)).plot()
    figure.draw_without_rendering()
    names = [t for t in figure.axes[0].texts if t.get_text().startswith("C")]
    boxes = [super(type(t), t).get_window_extent() for t in names]
    assert len(boxes) == 24 and not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


# --- groups in which nobody responded ---------------------------------------------------------------------------------


def without_responses(courses, by: str, code: str):
    """The same courses but for those of a group that responded."""
    adjusted_response(courses, by=by, covariates=("age",))
    rows = courses.registry.con.sql("from reduction.response_covariate").pl()
    gone = rows.filter(pl.col("stratum") == code, pl.col("kind") == "response").select("course_id")
    assert gone.height
    return courses.exclude(gone.with_columns(reason=pl.lit("responded")))


def test_a_group_in_which_nobody_responded_is_shown_as_it_was_seen(knees):
    worst = "adipose_expanded"
    result = subgroups(without_responses(knees, "origin", worst), by="origin")
    own, seen = (of(result, q, worst).row(0, named=True) for q in ("response", "observed_share"))
    assert own["n"] == 0 and own["denominator"] > 50 and own["estimate"] is None
    # Clopper & Pearson of none of n, 1 - (alpha / 2)^(1 / n), with no more than those followed to the day.
    assert (seen["estimate"], seen["low"]) == (0.0, 0.0) and seen["denominator"] == own["denominator"]
    assert 1 - 0.025 ** (1 / seen["denominator"]) < seen["high"] < 0.2
    assert of(result, "observed_share").drop_nulls("estimate").height == 1
    named = [n for n in result.notes if n.startswith("Not modelled")]
    assert len(named) == 1 and "responses: adipose expanded. They are in no" in named[0]
    assert any(n.endswith("of those in which nobody responded too.") for n in result.notes)
    assert not any("so that one without any has an estimate" in n for n in result.notes)
    assert "0 % (95 % CI 0 to" in result.say("observed_share", worst)
    # It leaves, and nothing over all is hidden for its sake.
    left = result.suppress()
    assert of(left, "observed_share", worst)["high"].item() == seen["high"]
    assert of(left, "pooled_response", "all")["estimate"].item() is not None


def test_a_group_of_one_or_two_responses_hides_itself_and_no_number_over_all(knees):
    whole = without_responses(knees, "origin", "adipose_expanded")
    rows = knees.registry.con.sql("from reduction.response_covariate").pl()
    both = set(rows.filter(pl.col("stratum") == "adipose_expanded", pl.col("kind") == "response")["course_id"][:2])
    gone = knees.ids.filter(~knees.ids.is_in(whole.ids.to_list()) & ~knees.ids.is_in(list(both)))
    few = knees.exclude(pl.DataFrame({"course_id": gone}).with_columns(reason=pl.lit("responded")))
    result = subgroups(few, by="origin")
    assert of(result, "response", "adipose_expanded")["n"].item() == 2
    left = result.suppress()
    shown = of(left, "observed_share", "adipose_expanded").row(0, named=True)
    assert shown["estimate"] is None and shown["high"] is None and shown["n"] is None
    assert of(left, "pooled_response", "all")["estimate"].item() is not None


def test_the_forest_has_a_mark_of_its_own_for_it_and_the_funnel_names_it(knees):
    result = subgroups(without_responses(knees, "origin", "adipose_expanded"), by="origin")
    figure = result.plot()
    (axes,) = figure.axes
    words = [t.get_text() for t in axes.get_legend().get_texts()]
    assert "not modelled: as seen, exact limits" in words
    marks = [line for line in axes.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert [float(m.get_xdata()[0]) for m in marks] == [0.0]
    assert axes.get_yticklabels()[-1].get_text().startswith("adipose expanded  (")
    assert "Not modelled, as seen: adipose expanded 0 % (0 to" in figure.alt_text
    plain = subgroups(knees, by="origin").plot()
    assert "not modelled: as seen, exact limits" not in [t.get_text() for t in plain.axes[0].get_legend().get_texts()]
    centre = of(subgroups(knees, by="centre"), "pooled_response")["stratum"][0]
    funnel = subgroups(without_responses(knees, "centre", centre), by="centre").plot()
    assert f"Not modelled, as seen with exact limits: {centre} 0 %" in funnel._supxlabel.get_text()


def test_combinations_draw_in_a_group_in_which_nobody_responded(knees):
    result = subgroups(without_responses(knees, "origin", "adipose_expanded"), by=("origin", "stage"))
    mine = of(result, "pooled_response").filter(pl.col("stratum").str.starts_with("adipose_expanded, "))
    assert mine.height >= 3 and (mine["n"] == 0).all() and mine["estimate"].null_count() == 0
    like = of(result, "pooled_response").filter(pl.col("stratum").str.starts_with("bone_marrow, early"))
    assert mine.filter(pl.col("stratum").str.ends_with("early"))["high"].item() < like["low"].item()


def test_a_forest_within_stages_has_a_block_for_each_with_its_own_middle_the_most_precise_first(knees):
    result = subgroups(knees, by="origin_by_stage")
    (axes,) = result.plot().axes
    labels = [t.get_text() for t in axes.get_yticklabels()]
    heads = [text for text in labels if "(" not in text]
    assert heads == ["Early", "Moderate", "Bone-on-bone"]
    middles = [float(line.get_segments()[0][0, 0]) for line in axes.collections]
    expected = [of(result, f"pooled_response in {s}", "all")["estimate"].item()
                for s in ("early", "moderate", "bone_on_bone")]  # fmt: skip
    assert middles == pytest.approx(expected)
    first = labels[1 : labels.index("Moderate")]
    own = of(result, "response").filter(pl.col("stratum").str.ends_with(" in early"))
    low, high = (np.log(-np.log(1 - own[c].to_numpy())) for c in ("low", "high"))
    order = own["stratum"].to_numpy()[np.argsort(high - low)]
    assert [text.split("  (")[0] for text in first] == [c.removesuffix(" in early").replace("_", " ") for c in order]
    crossed_too = subgroups(knees, by=("origin", "stage")).plot().axes[0]
    assert [t.get_text() for t in crossed_too.get_yticklabels() if "(" not in t.get_text()] == heads


def test_limits_of_figures_of_groups_say_their_confidence_and_the_funnel_ends_near_its_points(knees):
    assert subgroups(knees, by="origin", confidence=0.9).plot()._supxlabel.get_text() == "Bars: 90 % CI"
    result = subgroups(knees, by="centre")
    (axes,) = result.plot().axes
    points = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert axes.get_xlim()[1] < 1.15 * max(points) and axes.get_xlim()[0] > 0.8 * min(points)
    assert "log(−log(1 − share))" in axes.get_xlabel()


# --- several factors at once -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crossed(many):
    with Registry.open(many) as registry:
        yield subgroups(registry.courses(programme="osteoarthritis"), by=("origin", "expanded", "stage", "centre"))


def test_combinations_have_pooled_numbers_small_ones_too_and_their_own_where_enough_responded(crossed):
    own, pooled = of(crossed, "response"), of(crossed, "pooled_response")
    assert pooled["estimate"].null_count() == 0 and pooled.height == own.height > 20
    few = own.filter(pl.col("denominator") < 20)
    assert few.height and few["estimate"].null_count() == few.height
    assert few["note"].str.contains("no number by itself").all()
    assert own["estimate"].drop_nulls().len() > 3
    assert ((pooled["low"] < pooled["estimate"]) & (pooled["estimate"] < pooled["high"])).all()
    # Every course of the cohort is in one combination.
    assert own["denominator"].sum() == crossed.attrition["n"][-1]


def test_a_combination_is_drawn_within_its_stage_whose_severity_stays(crossed):
    """Synthetic responses fall with severity; sources, processing and centres are alike."""
    pooled = of(crossed, "pooled_response").with_columns(stage=pl.col("stratum").str.split(", ").list.get(2))
    by = {stage: g["estimate"] for (stage,), g in pooled.group_by("stage")}
    assert by["early"].min() > by["moderate"].max() > by["bone_on_bone"].max()


def test_factors_have_spreads_and_levels_against_their_mean(crossed):
    spread = of(crossed, "spread")
    assert spread["stratum"].to_list() == ["origin", "expanded", "centre", "each combination"]
    assert (spread["low"] >= 0).all() and (spread["low"] < spread["estimate"]).all()
    ratio = of(crossed, "pooled_hazard_ratio")
    assert ratio["stratum"].str.starts_with("origin: ").sum() == 4
    # The synthetic clinics and sources are alike: one is within all limits but chance.
    assert ((ratio["low"] < 1) & (ratio["high"] > 1)).mean() > 0.8
    assert crossed.diagnostics["passed"].all()


def test_the_forest_of_combinations_is_drawn_and_what_leaves_hides_small_ones(crossed):
    figure = crossed.plot()
    assert "partially pooled" in figure.alt_text
    hidden = crossed.suppress().frame
    small = crossed.frame.filter(pl.col("denominator") < 5)["stratum"]
    assert hidden.filter(pl.col("stratum").is_in(small.implode()))["estimate"].null_count() == len(
        hidden.filter(pl.col("stratum").is_in(small.implode()))
    )
    assert "drawn together" in dict(estimand(crossed).iter_rows())["Summary measure"]


def test_what_cannot_be_crossed_is_refused(knees):
    with pytest.raises(UsageError, match=r"'origine' is not known.*origin"):
        subgroups(knees, by=("origine", "centre"))
    with pytest.raises(UsageError, match="names one twice"):
        subgroups(knees, by=("origin", "origin"))
    with pytest.raises(UsageError, match="Stages are an order"):
        subgroups(knees, by=("stage",))
    with pytest.raises(UsageError, match="must not name what separates"):
        subgroups(knees, by=("origin", "sex"), covariates=("sex",))
    with pytest.raises(NotEstimable, match="Nobody was watched to day 9000"):
        subgroups(knees, by=("origin", "centre"), horizon_day=9000)


def test_one_factor_by_itself_is_the_question_of_one(knees):
    assert subgroups(knees, by=("origin",)).frame.equals(subgroups(knees, by="origin").frame)


def test_a_clinic_with_a_comma_in_its_name_stands_in_its_stage(many):
    with Registry.open(many) as registry:
        registry.con.execute(
            "create table held as from course.profile; drop view course.profile; create table course.profile as "
            "select * replace ('St. Mary, ' || centre as centre) from held"
        )
        result = subgroups(registry.courses(programme="osteoarthritis"), by=("centre", "origin", "stage"))
    blocks = {b["code"]: b["strata"] for b in result.settings["blocks"]}
    assert sum(map(len, blocks.values())) == of(result, "pooled_response").height
    assert all(label.startswith("St. Mary, ") for label in blocks["early"].values())
    assert all(code.endswith(", early") for code in blocks["early"])


@pytest.mark.filterwarnings("error")
def test_of_a_small_registry_combinations_of_one_course_are_drawn_without_a_warning_and_pooled_numbers_come_first(
    knees,
):
    gone = knees.ids[90:]
    few = knees.exclude(pl.DataFrame({"course_id": gone}).with_columns(reason=pl.lit("later")))
    result = subgroups(few, by=("origin", "stage", "centre"))
    pooled = of(result, "pooled_response")
    assert (pooled["denominator"] == 1).any() and pooled["estimate"].is_between(0.01, 0.99).all()
    assert of(result, "response")["estimate"].null_count() == of(result, "response").height
    assert result.frame["quantity"][0] == "pooled_response" and repr(result).index("pooled_response, %") > 0
