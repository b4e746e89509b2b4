"""Rows that leave, attacked as an outsider would: all files together, for what was taken away from one column."""

import json
import math
from collections import Counter
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.disclosure import anonymity, proxies
from analysis.disclosure.anonymity import QUASI_IDENTIFIERS, coarse, protect
from analysis.disclosure.datasets import Dataset, Variable
from analysis.disclosure.policy import POLICY
from analysis.disclosure.proxies import naming
from registry import Registry, derive
from registry.errors import UsageError
from registry.ingest import load
from reports.rows import export_rows
from synthetic import Design, simulate, sources

QUASI = ("SITEID", "ORIGIN", "DIAGNOS", "AGEGR1", "TARGET", "SEX")
COURSE = ["USUBJID", "CRSSEQ"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A registry of patients enough for what one column says of another to show."""
    folder = tmp_path_factory.mktemp("many")
    sources.write_template(
        simulate(Design(patients=300, programmes={"osteoarthritis": 1.0}, seed=11)), folder / "files"
    )
    path = folder / "many.duckdb"
    Registry.create(path, key=b"an open secret of the test suite").close()
    load(path, [folder / "files"])
    derive(path)
    return path


def export(path, out, **how):
    how = {"least_diversity": 1} | how
    with Registry.open(path) as registry:
        return export_rows(registry, out, "osteoarthritis", consent="research", **how)


def read(folder: Path) -> dict[str, pd.DataFrame]:
    files = {p.stem: pd.read_csv(p, keep_default_na=False, na_values=[""]) for p in (folder / "csv").iterdir()}
    files["adcrs"] = files["adcrs"].merge(files["adsl"].drop(columns="AGEGR1"), on="USUBJID")
    return files


@pytest.fixture(scope="module")
def truth(many, tmp_path_factory):
    """Every quasi-identifier of every course before anything was taken away."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            anonymity, "protect", lambda courses, sensitive, k, **_: (courses, protect(courses, sensitive, 2)[1])
        )
        made = export(many, tmp_path_factory.mktemp("truth") / "rows", k=2)
    return read(made.folder)["adcrs"].set_index(COURSE)[list(QUASI)]


def rebuilt(files: dict[str, pd.DataFrame], truth: pd.DataFrame) -> tuple[pd.DataFrame, set[str]]:
    """Return courses with what an outsider reads off other columns, and from which columns they read it.

    A rule: all patients with a value in a column whose quasi-identifier is there have the same, and chance would not
    make one such value in a thousand columns. A rule that is wrong of a tenth of those it is used for restores nothing.
    """
    courses = files["adcrs"].set_index(COURSE)
    restored, by = courses[list(QUASI)].copy(), set()
    for name in ("adcrs", "adqs", "adtte", "adae"):
        beside = courses[list(QUASI)].add_prefix("of ").reindex(pd.MultiIndex.from_frame(files[name][COURSE]))
        for column in files[name].columns.difference(["USUBJID"]):
            for quasi in courses[list(QUASI)].columns[courses[list(QUASI)].isna().any()].drop(column, errors="ignore"):
                seen = pd.DataFrame({
                    "value": files[name][column].astype(str).to_numpy(), "quasi": beside[f"of {quasi}"].to_numpy(),
                    "who": files[name]["USUBJID"].to_numpy(),
                }, index=beside.index)  # fmt: skip
                for value, said in rules(seen).items():
                    used = seen.index[seen["quasi"].isna() & (seen["value"] == value)].unique()
                    if (truth.loc[used, quasi] == said).mean() > 0.9:
                        restored.loc[used, quasi] = said
                        by.add(f"{quasi} by {name}.{column}")
    return restored, by


def rules(seen: pd.DataFrame) -> dict[str, str]:
    """Return what each value says, by courses of which the quasi-identifier is there."""
    known = seen.dropna(subset="quasi").drop_duplicates()
    share = known.drop_duplicates(["who", "quasi"])["quasi"].value_counts() / known["who"].nunique()
    lost = set(seen.loc[seen["quasi"].isna(), "value"])
    # Where the column is empty in all courses that lost the value, that it is empty says nothing of one of them.
    tried = known[known["value"].isin(lost if lost != {"nan"} else set())].groupby("value")["quasi"]
    told = tried.agg(["nunique", "size", "first"])
    told = told[told["nunique"] == 1]
    by_chance = told["size"] * told["first"].map(share).astype(float).map(math.log) + math.log(max(tried.ngroups, 1))
    return told.loc[by_chance < math.log(0.001), "first"].to_dict()


def smallest(courses: pd.DataFrame) -> int:
    """Return how many patients share what is known of all courses of one, the fewest."""
    course = courses[list(QUASI)].fillna("-").apply("|".join, axis=1)
    return int(course.groupby("USUBJID").agg(lambda c: " and ".join(sorted(set(c)))).value_counts().min())


@pytest.mark.parametrize("k", [5, 14])
def test_every_patient_is_among_k_alike_after_everything_is_read_off_every_column_of_every_file(
    many, truth, tmp_path, k
):
    made = export(many, tmp_path / "rows", k=k)
    files = read(made.folder)
    courses = files["adcrs"].set_index(COURSE)
    assert courses[list(QUASI)].isna().any().sum() >= 2 and made.disclosure.k == smallest(courses) >= k
    assert (courses[list(QUASI)].fillna("") == truth.where(courses[list(QUASI)].notna(), "")).all(axis=None)
    restored, by = rebuilt(files, truth)
    assert by == set() and smallest(restored) >= k
    told = (made.folder / "DISCLOSURE.md").read_text("utf-8")
    assert "These are rows of patients" in told and f"at least {made.disclosure.k - 1} other patients" in told
    beside = json.loads((made.folder / "ROWS.json").read_text("utf-8"))["disclosure"]["beside"]
    assert beside == made.disclosure.beside and beside["origin: ADCRS.SEPAR"] > 0
    assert all(f"| {what} | {n:,} |" in told for what, n in beside.items())


@pytest.mark.parametrize(("k", "found"), [(5, "ORIGIN by adcrs.DONOR"), (14, "TARGET by adqs.PARAM")])
def test_the_attack_finds_what_is_left_in_other_columns_where_nothing_is_removed_from_them(
    many, truth, tmp_path, monkeypatch, k, found
):
    monkeypatch.setattr(proxies, "remove", lambda made, truth, safe: (made, {}))
    restored, by = rebuilt(read(export(many, tmp_path / "rows", k=k).folder), truth)
    assert found in by and smallest(restored) < k, by


def test_a_value_names_what_was_lost_only_if_all_with_it_have_it_and_chance_would_not_make_it():
    def pairs(n, of_b):
        """n patients with the value b, `of_b` each; as many with c, half of each truth; one with b lost it."""
        rows = [(i, "b", of_b[i % len(of_b)], i == 0) for i in range(n)]
        rows += [(n + i, "c", "xy"[i % 2], False) for i in range(n)]
        return pl.DataFrame(rows, schema=["patient", "value", "truth", "lost"], orient="row")

    assert naming(pairs(40, "x")).to_list() == ["b"]
    assert naming(pairs(40, "xxxxxxxxxy")).to_list() == []
    # Three quarters have x: of 20 with b all have it by chance in 0.75^20 = 0.3 %, of 40 in 0.001 %.
    assert naming(pairs(20, "x")).to_list() == []
    assert naming(pairs(40, "x").with_columns(lost=False)).to_list() == []


def test_an_instrument_of_one_joint_leaves_with_the_joint_be_there_ever_so_few(tmp_path):
    truth = pl.DataFrame({"USUBJID": ["S1", "S2", "S3"], "CRSSEQ": [1, 1, 1], **dict.fromkeys(QUASI_IDENTIFIERS, "a")})
    safe = truth.with_columns(site=pl.Series([None, "a", "a"]), origin=pl.Series(["a", None, "a"]))
    scores = pl.DataFrame(
        {"USUBJID": ["S1", "S1", "S2"], "CRSSEQ": [1, 1, 1], "PARAM": ["KOOS pain", "Other", "KOOS pain"]}
    )
    courses = truth.select("USUBJID", "CRSSEQ", DONOR=pl.lit("autologous"), ROUTE=pl.lit("intra_articular"))
    made = [Dataset(n, n, n, (), (Variable("X", "x"),), f) for n, f in (("ADQS", scores), ("ADCRS", courses))]
    (left, crs), gone = proxies.remove(made, truth, safe)
    assert left.frame.select("USUBJID", "PARAM").rows() == [("S1", "Other"), ("S2", "KOOS pain")]
    assert crs.frame["ROUTE"].is_null().to_list() == [True, False, False]
    assert crs.frame["DONOR"].is_null().to_list() == [False, True, False]
    assert gone == {"site: rows of ADQS by PARAM": 1, "site: ADCRS.ROUTE": 1, "origin: ADCRS.DONOR": 1}


def test_a_patient_known_by_two_courses_together_is_hidden_too():
    """By hand: each course alone is among many, and one patient only has a knee and a hip."""
    rows = [(i, "knee") for i in range(10)] + [(i, "hip") for i in range(9, 20)]
    frame = pl.DataFrame(rows, schema=["patient_id", "site"], orient="row").with_columns(
        pl.lit("a").alias(n) for n in QUASI_IDENTIFIERS if n != "site"
    )
    safe, done = protect(frame, pl.DataFrame({"response": [0, 1] * 10 + [0]}), 3)
    assert safe.filter(patient_id=9)["site"].to_list() == [None, None]
    assert done.k >= 3 and done.suppressed["site"] < 20


def test_one_quasi_identifier_that_says_another_taken_away_goes_with_it():
    """By hand: all with d are of hips, half of those with e; of the one whose site was taken the diagnosis is left."""
    n = 60
    frame = pl.DataFrame({
        "patient_id": range(n), "diagnosis": ["d", "e"] * 30, "site": ["hip", "hip", "hip", "knee"] * 15,
        **{name: ["a"] * n for name in QUASI_IDENTIFIERS if name not in ("diagnosis", "site")},
    })  # fmt: skip
    lost = frame.with_columns(pl.when(pl.col("patient_id") > 0).then("site").alias("site"))
    said = anonymity._said(frame, lost)
    assert said is not None and said[0] == "diagnosis" and said[1].to_list() == [0]
    assert anonymity._said(frame, frame.with_columns(pl.when(pl.col("patient_id") != 1).then("site"))) is None


def test_like_patients_who_all_had_the_same_are_counted_refused_or_made_unlike_as_asked():
    """By hand: the women all responded and one had an end; the men differ, and all were harmed."""
    courses = pl.DataFrame(
        {"patient_id": range(8), **dict.fromkeys(QUASI_IDENTIFIERS[:-1], "a"), "sex": ["f"] * 4 + ["m"] * 4}
    )
    sensitive = pl.DataFrame({"response": [1, 1, 1, 1, 0, 1, 1, 0], "end": [0, 1] + [0] * 6, "harm": [0] * 4 + [1] * 4})
    _, told = protect(courses, sensitive, 2)
    assert told.alike == {"response": (1, 4), "end": (0, 0), "harm": (1, 4)} and not told.diverse
    safe, done = protect(courses, sensitive, 2, take_alike=True)
    assert done.diverse and safe["sex"].null_count() == 8 and done.suppressed["sex"] == 8


def test_rows_in_which_all_alike_had_the_same_are_refused_unless_taken_apart_or_let_go(many, tmp_path):
    told = export(many, tmp_path / "told", k=5)
    groups, patients = told.disclosure.alike["response"]
    assert groups and f"| {groups} | {patients} |" in (told.folder / "DISCLOSURE.md").read_text("utf-8")
    with pytest.raises(UsageError, match=rf"response in {groups} groups \({patients} patients\).*--take-alike"):
        export(many, tmp_path / "refused", k=5, least_diversity=POLICY.least_diversity)
    assert not (tmp_path / "refused").exists()
    taken = export(many, tmp_path / "taken", k=5, least_diversity=2, take_alike=True)
    files = read(taken.folder)
    response = files["adtte"].query("PARAMCD == 'RESPONSE'").set_index(COURSE)["CNSR"]
    courses = files["adcrs"].set_index(COURSE).join(response)
    same = courses.fillna({"CNSR": -1}).fillna("-").groupby(list(QUASI))["CNSR"].agg(["nunique", "max"])
    assert not ((same["nunique"] == 1) & (same["max"] >= 0)).any()
    with pytest.raises(UsageError, match="diversity of 3"):
        export(many, tmp_path / "three", least_diversity=3)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), *(st.sampled_from(["a", "b", "c", None]) for _ in QUASI_IDENTIFIERS)),
        min_size=1, max_size=120,
    ),
    st.integers(2, 8),
)  # fmt: skip
def test_whoever_has_how_many_courses_nobody_stands_among_fewer_than_k_or_it_is_said(rows, k):
    frame = pl.DataFrame(rows, schema=["patient_id", *QUASI_IDENTIFIERS], orient="row").cast(
        dict.fromkeys(QUASI_IDENTIFIERS, pl.String)
    )
    safe, done = protect(frame, pl.DataFrame({"response": [1] * frame.height}), k)
    known = {}
    for patient, *course in safe.select("patient_id", *QUASI_IDENTIFIERS).iter_rows():
        known.setdefault(patient, set()).add(tuple(course))
    assert min(Counter(map(frozenset, known.values())).values()) == done.k
    # Only too few patients in all can leave a group too small.
    assert done.sufficient or frame["patient_id"].n_unique() < k
    # Nothing is invented: a value is what it was, or gone.
    for name in QUASI_IDENTIFIERS:
        kept = safe[name].is_not_null()
        assert safe.filter(kept)[name].to_list() == frame.filter(kept)[name].to_list()


def test_ages_are_bands_with_an_open_top():
    frame = pl.DataFrame({"age_year": [39, 40, 79, 80, 97], "bmi": [27.4] * 5, "dose_viable_million": [62.3] * 5,
                          "series_dose_million": [None] * 5})  # fmt: skip
    made = coarse(frame)
    assert made["age_band"].to_list() == ["30-39", "40-49", "70-79", "80+", "80+"]
    assert made["dose_viable_million"][0] == 60 and made["bmi"][0] == 27 and "age_year" not in made.columns
