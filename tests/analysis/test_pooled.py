"""Counts of five centres added up, against the patients of all five in one registry."""

import dataclasses
import hashlib
import json
import zipfile

import numpy as np
import polars as pl
import pytest

import analysis
from analysis import answer, pool, read_counts, reduce_for, write_counts
from analysis.counts_file import _hash
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


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_answer_from_counts_that_are_not_exact_says_that_it_may_be_off(registry, question):
    """Of one centre too: limits do not know that days were joined."""
    exact = reduce_for(registry.courses(**SELECTION), question, by="all")
    how = {"resamples": 20} if question in ("time_to_response", "joint_replacement") else {}
    coarse = coarsened(exact)
    north = dataclasses.replace(coarse, settings={**coarse.settings, "centre": "north"})
    found, true = answer(pool([north]), **how), answer(pool([exact]), **how)
    (note,) = (n for n in found.notes if n.startswith("The counts of north are not exact"))
    assert note.endswith("may be off by more than their limits say; ask for exact counts.")
    assert not any("not exact" in n for n in true.notes)
    assert all(any(n.startswith("Pooled from") for n in r.notes) for r in (found, true))
    if "time_unit" in found.settings:
        assert (found.settings["time_unit"], true.settings["time_unit"]) == (
            "day, small cells joined",
            "day, not coarsened",
        )


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


def rewritten(path, change, *, hashed):
    """Change about.json, or all that the file holds, and hash it again where `hashed`."""
    with zipfile.ZipFile(path) as packed:
        held = {n: packed.read(n) for n in packed.namelist()}
    about = json.loads(held["about.json"])
    about = change(about) or about
    if hashed:
        about["sha256"] = _hash(about)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in {**held, "about.json": json.dumps(about).encode()}.items():
            packed.writestr(name, content)


def setting(key, value):
    return lambda about: about["questions"]["joint_replacement"]["settings"].__setitem__(key, value)


def told(key, value):
    return lambda about: about["questions"]["joint_replacement"].__setitem__(key, value)


def frame(key, value):
    return lambda about: about["questions"]["joint_replacement"]["frames"]["end_cell"].__setitem__(key, value)


@pytest.mark.parametrize(
    "change",
    [
        setting("rules", "another"),
        told("flow", [{"reason": "courses", "n": 900}, {"reason": "selected", "n": 900}]),
        told("notes", []),
        lambda about: about.__setitem__("centre", "south"),
        lambda about: about.pop("sha256") and None,
    ],
)
def test_what_is_told_of_counts_cannot_change_on_the_way(registry, centres, tmp_path, change):
    path = write_counts(tmp_path / "one.zip", counts(registry, centres[:1], "joint_replacement"), "north")
    rewritten(path, lambda about: None, hashed=False)
    read_counts(path)  # spaced otherwise it is the same
    rewritten(path, change, hashed=False)
    with pytest.raises(UsageError, match=r"one\.zip: about\.json was changed on the way"):
        read_counts(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about: about.pop("centre") and None, "centre in about.json is missing"),
        (lambda about: about.__setitem__("questions", []), "questions in about.json is"),
        (
            lambda about: about["questions"].__setitem__("salaries", {}),
            "counts for salaries, which this version cannot",
        ),
        (lambda about: about["questions"].__setitem__("joint_replacement", 3), "joint_replacement in about.json is 3"),
        (told("flow", None), "flow in about.json is missing"),
        (told("flow", []), "does not say how many"),
        (told("flow", [{"reason": "courses", "n": -3}]), "flow has -3 courses"),
        (told("flow", [{"reason": "courses", "n": "three"}]), "flow in about.json is 'three'"),
        (told("notes", [1]), "a note in about.json is 1"),
        (told("frames", {}), "frame end_cell, in about.json is missing"),
        (setting("strata", [{"a": 1}]), "code of a stratum in about.json is missing"),
        (setting("versions", {}), "version in about.json is missing"),
        (setting("data_cut", 20250104), "data_cut in about.json is 20250104"),
        (frame("columns", [["n", "Boolean"]]), "columns of joint_replacement/end_cell.csv are not told"),
        (frame("columns", [["n", "Int64"]]), "not those of this version"),
        (frame("sha256", 1), "end_cell.csv was changed"),
    ],
)
def test_what_a_file_of_counts_lacks_is_said(registry, centres, tmp_path, change, said):
    path = write_counts(tmp_path / "one.zip", counts(registry, centres[:1], "joint_replacement"), "north")
    rewritten(path, change, hashed=True)
    with pytest.raises(UsageError, match=said):
        read_counts(path)


@pytest.mark.parametrize(("content", "said"), [(b"[]", "not a file of counts"), (b'"x"', "not a file of counts")])
def test_an_about_of_another_shape_is_refused(content, said, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("about.json", content)
    with pytest.raises(UsageError, match=said):
        read_counts(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("cell", "said"), [("-9", "below nought"), ("x", "not of its columns' types"), ("", "missing")]
)
def test_a_count_that_is_none_is_refused(registry, centres, tmp_path, cell, said):
    path = write_counts(tmp_path / "one.zip", counts(registry, centres[:1], "joint_replacement"), "north")
    with zipfile.ZipFile(path) as packed:
        held = {n: packed.read(n) for n in packed.namelist()}
    name = "joint_replacement/end_cell.csv"
    lines = held[name].decode().splitlines()
    held[name] = "\n".join([*lines[:-1], f"{lines[-1].rsplit(',', 1)[0]},{cell}", ""]).encode()
    with zipfile.ZipFile(path, "w") as packed:
        for n, content in held.items():
            packed.writestr(n, content)
    rewritten(path, frame("sha256", hashlib.sha256(held[name]).hexdigest()), hashed=True)
    with pytest.raises(UsageError, match=said):
        read_counts(path)


def test_a_centre_is_not_counted_twice(registry, centres, tmp_path):
    """Its file of last month and of this, or its exact and its coarse counts, are of the same patients."""
    one, two = counts(registry, centres[:2], "joint_replacement")
    north = read_counts(write_counts(tmp_path / "one.zip", [one], "north"))["joint_replacement"]
    again = read_counts(write_counts(tmp_path / "two.zip", [coarsened(one)], "North "))["joint_replacement"]
    other = read_counts(write_counts(tmp_path / "three.zip", [two], "south"))["joint_replacement"]
    with pytest.raises(UsageError, match="North  is the centre of two files: its courses would count twice"):
        pool([north, other, again])
    assert len(pool([north, other]).settings["centres"]) == 2


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
                    few = frame.filter((pl.col(column) > 0) & (pl.col(column) < 5))
                    assert few.height == 0, (question, name, column)


def test_how_many_courses_and_scales_trajectories_have_is_rounded_as_the_flow_is(registry, centres):
    """Exact they would give back what other questions of the same file hide: all courses less the kinds told."""
    for exact in counts(registry, centres, "trajectories"):
        coarse = coarsened(exact)
        for name in ("courses_of_a_patient", "trajectory_scale"):
            assert (coarse.frames[name]["n"] % 5 == 0).all()
            assert coarse.frames[name]["n"].sum() > 0


@pytest.mark.parametrize(("by", "adjust"), [("all", "stage"), ("all", ("stage", "age", "sex")), ("stage", "sex")])
def test_no_covariate_of_few_leaves_nor_what_is_left_of_a_pattern_without_it(registry, centres, by, adjust):
    """Nought-or-one covariates are counted by their sums: alone, beside all of the pattern, and two together."""
    kept = 0
    for centre in [*centres, None]:
        found = registry.courses(**SELECTION, **({"centre": centre} if centre else {}))
        products = coarsened(reduce_for(found, "trajectories", by=by, adjust=adjust)).frames["trajectory_product"]
        keys = ["stratum", "pattern"]
        whole = products.filter(left_variable="intercept", right_variable="intercept").select(*keys, whole="n")
        shown = pl.col("left_variable").str.contains("female|stage ") & pl.col("right_variable").str.contains(
            "female|stage |intercept"
        )
        rows = products.join(whole, on=keys)
        sums = rows.filter(shown).select("whole", k=pl.col("total").cast(pl.Float64))
        each = pl.concat([rows.select("whole", k=pl.col("n").cast(pl.Float64)), sums])
        for k in (pl.col("k"), pl.col("whole") - pl.col("k")):
            assert each.filter(k > 0, k < 5).height == 0, (centre, by, adjust)
        kept += each.height
    assert kept


def test_scores_that_patterns_gave_up_are_not_told_by_those_seen_less_those_sent(registry, centres):
    shown = 0
    for coarse in map(coarsened, counts(registry, centres, "trajectories")):
        own = coarse.frames["trajectory_product"].filter(pl.col("left_variable") == pl.col("right_variable"))
        sent = own.filter(pl.col("left_variable").str.starts_with("visit ")).group_by(
            "stratum", position=pl.col("left_variable").str.slice(6).cast(pl.Int32)
        )
        sent = sent.agg(sent=pl.col("n").sum())
        due = coarse.frames["trajectory_due"].filter(pl.col("n_seen") > 0)
        for frame, column in ((due, "n_seen"), (coarse.frames["trajectory_complete"], "n")):
            gap = frame.join(sent, on=["stratum", "position"], how="left").select(
                k=pl.col(column) - pl.col("sent").fill_null(0)
            )
            assert gap.filter(pl.col("k") != 0, pl.col("k").abs() < 5).height == 0
            shown += gap.height
    assert shown


def test_a_pattern_with_one_course_of_a_stage_gives_up_visits_alone():
    """By hand: of six seen at visits 1 and 2 one is late; six at visit 1 have six late. The others stay as they were."""
    from analysis.disclosure.small_counts import _fewer_visits

    def pattern(visits, n, late):
        names = {"intercept": n, "stage late": late, "baseline": n} | {f"visit {v}": n for v in visits.split(",")}
        pairs = [(a, b) for i, a in enumerate(names) for b in list(names)[i:]]
        return [{"stratum": "all", "pattern": visits, "left_variable": a, "right_variable": b,
                 "n": late if "stage late" in (a, b) else n, "total": float(late if "stage late" in (a, b) else 50 + n)
                 if (a, b) != ("intercept", "intercept") else float(n)} for a, b in pairs]  # fmt: skip

    said = []
    products = pl.DataFrame([*pattern("1,2", 6, 1), *pattern("1", 12, 6), *pattern("2", 8, 0)])
    found = _fewer_visits(products, 5, said)
    whole = found.filter(left_variable="intercept", right_variable="intercept").sort("pattern")
    assert whole.select("pattern", "n").rows() == [("1", 18), ("2", 8)]
    assert found.filter(pattern="1", left_variable="stage late", right_variable="stage late")["n"].to_list() == [7]
    assert said == ["all: scores of patterns of few visits attended were left out at some visits."]
    said = []
    assert _fewer_visits(pl.DataFrame(pattern("1,2", 6, 1)), 5, said).height == 0
    assert said[-1] == "all: courses of patterns or covariates of few are not among the counts."


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
