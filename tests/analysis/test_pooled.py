"""Counts of five centres added up, against the patients of all five in one registry."""

import dataclasses
import json
import zipfile

import numpy as np
import polars as pl
import pytest

import analysis
from analysis import answer, pool, read_counts, reduce_for, write_counts
from analysis.disclosure.small_counts import _joined, coarsened, cost
from analysis.pooled import QUESTIONS
from analysis.reduction import gathered, same_as_one
from registry import Registry, derive, ingest
from registry.errors import UsageError
from synthetic import Design, simulate, sources

SELECTION = {"programme": "osteoarthritis", "min_potential_follow_up_day": 180}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pooled")
    sources.write_template(simulate(Design(patients=350, seed=11)), folder / "files")
    path = folder / "all.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    ingest.load(path, [folder / "files"])
    derive(path)
    with Registry.open(path) as found:
        yield found


@pytest.fixture(scope="module")
def centres(registry):
    return [r[0] for r in registry.con.sql("select distinct centre from course.profile order by 1").fetchall()]


def counts(registry, centres, question, **how):
    return [reduce_for(registry.courses(**SELECTION, centre=c, **how), question) for c in centres]


def largest(one: pl.DataFrame, other: pl.DataFrame, column: str) -> float:
    assert one.height == other.height
    a, b = (f[column].cast(pl.Float64).to_numpy() for f in (one, other))
    assert (np.isnan(a) == np.isnan(b)).all()
    return float(np.nanmax(np.abs(a - b), initial=0))


@pytest.mark.parametrize("question", ["time_to_response", "loss_of_response", "time_in_response", "joint_replacement"])
def test_pooled_counts_give_the_numbers_and_limits_of_pooled_patients(registry, centres, question):
    how = {"resamples": 40} if question in ("time_to_response", "joint_replacement") else {"change_day": (183,)}
    together = getattr(analysis, question)(registry.courses(**SELECTION), **how).frame
    pooled = answer(pool(counts(registry, centres, question)), **how).frame
    assert len(centres) == 5 and together["estimate"].is_not_null().sum() > 5
    # The same sums in the same order; what is left is rounding.
    assert max(largest(pooled, together, c) for c in ("estimate", "low", "high", "n", "denominator")) < 1e-10


def test_pooled_trajectories_are_those_of_pooled_patients(registry, centres):
    """Of patients with one course: what of several can only be told from rows is told."""
    one = registry.con.sql(
        "select course_id, 'a patient of several' as reason from course.profile "
        "qualify count(*) over (partition by patient_id) > 1"
    ).pl()
    whole = analysis.trajectories(registry.courses(**SELECTION).exclude(one)).frame
    parts = [reduce_for(registry.courses(**SELECTION, centre=c).exclude(one), "trajectories") for c in centres]
    pooled = answer(pool(parts)).frame
    assert whole.filter(quantity="mean_change")["estimate"].is_not_null().sum() > 5
    assert max(largest(pooled, whole, c) for c in ("estimate", "low", "high", "n", "denominator")) < 1e-8


def test_pooled_trajectories_say_that_courses_of_a_patient_were_taken_as_independent(registry, centres):
    together = analysis.trajectories(registry.courses(**SELECTION)).frame.filter(quantity="mean_change")
    found = answer(pool(counts(registry, centres, "trajectories")))
    assert largest(found.frame.filter(quantity="mean_change"), together, "estimate") < 1e-8
    assert any("as independent" in note for note in found.notes)


def test_counts_come_back_from_their_file_as_they_were(registry, centres, tmp_path):
    sent = [reduce_for(registry.courses(**SELECTION, centre=centres[0]), q) for q in QUESTIONS]
    path = write_counts(tmp_path / "one.zip", sent, centres[0])
    first = path.read_bytes()
    for r in sent:
        back = read_counts(path)[r.question]
        assert all(back.frames[n].equals(r.frames[n]) and back.frames[n].schema == r.frames[n].schema for n in r.frames)
        assert back.flow.equals(r.flow) and back.strata == r.strata
        assert set(back.frames) == set(r.frames), "rows of courses stay"
    assert write_counts(path, sent, centres[0]).read_bytes() == first


def test_no_row_of_a_course_is_in_the_file(registry, centres, tmp_path):
    sent = [reduce_for(registry.courses(**SELECTION, centre=centres[0]), q) for q in QUESTIONS]
    with zipfile.ZipFile(write_counts(tmp_path / "one.zip", sent, "north")) as packed:
        text = "".join(packed.read(n).decode() for n in packed.namelist())
    who = registry.con.sql("select distinct course_id::varchar, patient_id::varchar from course.profile").fetchall()
    assert "course_id" not in text and "patient_id" not in text
    assert not any(len(i) > 8 and i in text for row in who for i in row)


def test_a_file_that_was_changed_is_refused(registry, centres, tmp_path):
    path = write_counts(tmp_path / "one.zip", counts(registry, centres[:1], "joint_replacement"), "north")
    with zipfile.ZipFile(path) as packed:
        held = {n: packed.read(n) for n in packed.namelist()}
    held["joint_replacement/end_cell.csv"] = held["joint_replacement/end_cell.csv"].replace(b",1\n", b",2\n", 1)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in held.items():
            packed.writestr(name, content)
    with pytest.raises(UsageError, match="was changed since"):
        read_counts(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"patient,score\n1,2\n"])
def test_what_is_no_file_of_counts_is_said_so(content, tmp_path):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UsageError, match="not a file of counts"):
        read_counts(tmp_path / "x.zip")


def test_a_file_of_another_format_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("about.json", json.dumps({"format": "catamnesis counts 9"}))
    with pytest.raises(UsageError, match="this version reads"):
        read_counts(tmp_path / "x.zip")


def test_centres_that_counted_differently_are_refused(registry, centres):
    one, two = (registry.courses(**SELECTION, centre=c) for c in centres[:2])
    asked = reduce_for(one, "time_to_response")
    with pytest.raises(UsageError, match="confirmation is 'confirmed' and 'first'"):
        pool([asked, reduce_for(two, "time_to_response", confirmation="first")])
    other = reduce_for(two, "time_to_response")
    with pytest.raises(UsageError, match="different rules"):
        pool([asked, dataclasses.replace(other, settings={**other.settings, "rules": "another"})])
    with pytest.raises(UsageError, match="same counts"):
        pool([asked, asked])
    with pytest.raises(UsageError, match="selection"):
        pool([asked, reduce_for(registry.courses(programme="osteoarthritis", centre=centres[1]), "time_to_response")])


def test_the_rules_change_with_the_threshold_that_made_the_counts(registry, centres):
    courses = registry.courses(**SELECTION, centre=centres[0])
    before = reduce_for(courses, "time_to_response").settings["rules"]
    con = registry.con
    con.execute("create temp table held as from catalogue.definition_criterion")
    stricter = "select * replace (improvement_min + 1 as improvement_min) from temp.held"
    con.execute(f"create or replace view catalogue.definition_criterion as {stricter}")
    assert reduce_for(courses, "time_to_response").settings["rules"] != before
    con.execute("create or replace view catalogue.definition_criterion as from temp.held")


def test_no_count_of_few_leaves(registry, centres):
    for question in QUESTIONS:
        for r in counts(registry, centres, question):
            for name, frame in coarsened(r).frames.items():
                for column in {"n", "n_patients", "n_agreed", "n_seen", "n_due"} & set(frame.columns):
                    if name == "trajectory_product" and column == "n":
                        frame = frame.filter(left_variable="intercept", right_variable="intercept")
                    few = frame.filter((pl.col(column) > 0) & (pl.col(column) < 5))
                    assert few.height == 0, (question, name, column)


def test_joining_keeps_totals_and_moves_to_the_mean_day():
    """By hand: days 10 and 12 of 2 and 3 courses become 11.2; day 400 of 5 stays."""
    cells = pl.DataFrame({"cell": [1, 2, 3], "day": [10, 12, 400], "n": [2, 3, 5]})
    assert _joined(cells, ("day",), 5)["day"].to_list() == [11, 11, 400]


def test_a_kind_of_few_is_right_on_average_over_centres(registry, centres):
    """Random rounding: three replacements are five in three of five centres, none in the others."""
    whole = counts(registry, centres[:1], "joint_replacement")[0]
    shown = []
    for i in range(400):
        cells = pl.DataFrame({"cell": [1, 2], "stratum": "early", "cause": ["end", "censored"], "day": [90 + i, 700],
                              "n": [3, 40]})  # fmt: skip
        patterns = cells.select(pattern=pl.format("{}x1", "cell"), cell="cell", n_courses=pl.lit(1), n_patients="n")
        made = dataclasses.replace(whole, frames={"end_cell": cells, "end_cluster": patterns})
        coarse = coarsened(made).frames
        shown.append(int(coarse["end_cell"].filter(cause="end")["n"].sum()))
        people = coarse["end_cluster"].join(coarse["end_cell"], on="cell")
        assert (people["n_patients"] * people["n_courses"]).equals(people["n"], check_names=False)
    assert set(shown) == {0, 5}
    # Standard error of the mean of 400 draws of 5 × Bernoulli(0.6): 0.12.
    assert abs(np.mean(shown) - 3) < 0.4


def test_courses_of_a_patient_come_apart_where_few_patients_share_them():
    patterns = pl.DataFrame({"pattern": ["1x1,2x1", "1x1,2x1", "3x2", "1x1"], "cell": [1, 2, 3, 1],
                             "n_courses": [1, 1, 2, 1], "n_patients": [2, 2, 6, 9]})  # fmt: skip
    from analysis.disclosure.small_counts import _apart

    found = {(r["pattern"], r["cell"]): (r["n_courses"], r["n_patients"]) for r in _apart(patterns, 5, []).to_dicts()}
    assert found == {("1x1", 1): (1, 11), ("2x1", 2): (1, 2), ("3x2", 3): (2, 6)}


def test_the_cost_of_small_counts_is_what_the_centre_would_see(registry, centres):
    exact = counts(registry, centres[:1], "trajectories")[0]
    assert cost(exact, exact)["largest_change"].max() == 0
    found = cost(exact, coarsened(exact))
    assert set(found.columns) == {"quantity", "numbers", "lost", "largest_change", "width_ratio"}
    assert found.filter(quantity="mean_change")["width_ratio"][0] > 1, "visits were left out"


def test_cells_that_became_the_same_are_one_and_patterns_follow():
    cells = pl.DataFrame({"cell": [1, 2, 3], "stratum": ["a", "a", "b"], "day": [5, 5, 5], "n": [1, 2, 3]})
    patterns = pl.DataFrame({"pattern": ["1x1,3x1", "1x1,3x1", "2x1", "2x1,3x1", "2x1,3x1"], "cell": [1, 3, 2, 2, 3],
                             "n_courses": 1, "n_patients": [1, 1, 1, 2, 2]})  # fmt: skip
    one, moved = gathered(cells, patterns, ("stratum", "day"))
    assert one["n"].to_list() == [3, 3]
    assert same_as_one(moved).rows() == [("1x1", 1, 1, 1), ("1x1,2x1", 1, 1, 3), ("1x1,2x1", 2, 1, 3)]
