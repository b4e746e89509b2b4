"""Dates in rows that leave: intervals are exact, the offset is the secret's, and nothing beside them undoes it."""

import json
import re
import shutil
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import odmlib.schemas
import pandas as pd
import polars as pl
import pyreadstat
import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.disclosure.date_shift import FEWEST, WEEKS, offsets
from registry import Registry, pseudonyms
from registry.errors import CatamnesisError, UsageError
from reports.cli import app
from reports.rows import export_rows

DATES = {"adcrs": ("TRTSDT",), "adqs": ("ADT",), "adtte": ("LEFTDT", "RIGHTDT"), "adae": ("ASTDT",)}


@pytest.fixture(scope="module")
def made(synthetic_file, tmp_path_factory):
    with Registry.open(synthetic_file) as registry:
        out = tmp_path_factory.mktemp("shifted") / "rows"
        yield export_rows(registry, out, "osteoarthritis", consent="research", dates="shifted")


def csv_of(folder, name):
    dates = list(DATES.get(name, ()))
    return pd.read_csv(folder / "csv" / f"{name}.csv", keep_default_na=False, na_values=[""], parse_dates=dates)


def truth(path):
    """First sessions as they were, with the offset of their patient."""
    with Registry.open(path) as registry:
        rows = registry.sql(
            "select course.course_id, course.index_date, patient.id as patient_id, patient.patient_key "
            "from course.course as course join record.patient as patient on course.patient_id = patient.id "
            "where course.programme = 'osteoarthritis'"
        )
    moved = offsets(pseudonyms.read_key(path), rows.select("patient_id", "patient_key").unique())
    return rows.join(moved, on="patient_id").with_columns(shown=pl.col("index_date") + pl.duration(days="offset_day"))


keys = st.binary(min_size=16, max_size=80)
names = st.lists(st.text(alphabet="0123456789abcdef", min_size=24, max_size=24), min_size=1, max_size=20, unique=True)


@settings(max_examples=15, deadline=None)
@given(keys, names, st.lists(st.dates(date(1990, 1, 1), date(2030, 1, 1)), min_size=2, max_size=5))
def test_whatever_the_secret_a_patient_moves_by_the_same_whole_weeks_and_never_stays(key, patients, dates):
    frame = pl.DataFrame({"patient_id": range(len(patients)), "patient_key": patients})
    moved = dict(offsets(key, frame).iter_rows())
    assert moved == dict(offsets(key, frame.reverse()).iter_rows())
    for days in moved.values():
        assert days % 7 == 0 and 7 <= abs(days) <= 7 * WEEKS
        shown = [d + timedelta(days) for d in dates]
        assert [b - a for a, b in pairwise(shown)] == [b - a for a, b in pairwise(dates)]
        assert [d.weekday() for d in shown] == [d.weekday() for d in dates]


def test_patients_differ_every_offset_is_drawn_alike_and_another_secret_draws_others():
    frame = pl.DataFrame({"patient_id": range(20_000), "patient_key": [f"{i:024x}" for i in range(20_000)]})
    one, other = offsets(b"k" * 32, frame), offsets(b"l" * 32, frame)
    counts = one["offset_day"].value_counts()["count"]
    # 52 offsets, 385 of each expected: five standard deviations of a count are 97.
    assert len(counts) == 2 * WEEKS and (counts - 20_000 / (2 * WEEKS)).abs().max() < 97
    assert (one["offset_day"] == other["offset_day"]).mean() == pytest.approx(1 / (2 * WEEKS), abs=0.01)


def test_every_date_is_its_first_session_moved_plus_its_days(made, synthetic_file):
    courses = csv_of(made.folder, "adcrs")
    shown = courses.dropna(subset="TRTSDT")
    known = truth(synthetic_file)
    # Each first session that leaves is one of the record, moved by the offset of its patient.
    assert set(shown["TRTSDT"].dt.date) <= set(known["shown"]) and len(shown) > 10
    start = courses.set_index(["USUBJID", "CRSSEQ"])["TRTSDT"]
    for name, pairs in (("adqs", {"ADT": "DAY"}), ("adae", {"ASTDT": "DAY"}),
                        ("adtte", {"LEFTDT": "LEFTDAY", "RIGHTDT": "RIGHTDAY"})):  # fmt: skip
        rows = csv_of(made.folder, name)
        begun = start.loc[list(zip(rows["USUBJID"], rows["CRSSEQ"], strict=True))].to_numpy()
        for dated, day in pairs.items():
            both = pd.Series(rows[dated]).notna()
            assert ((rows[dated] - begun).dt.days[both] == rows[day][both]).all()
            assert (both == (pd.Series(begun).notna() & rows[day].notna())).all()


def test_two_courses_of_a_patient_are_as_far_apart_as_they_were(made, synthetic_file):
    known = truth(synthetic_file).group_by("patient_id").agg(pl.col("index_date").sort())
    apart = {
        tuple((d - min(r)).days for d in r) for r in known.filter(pl.col("index_date").list.len() > 1)["index_date"]
    }
    shown = csv_of(made.folder, "adcrs").dropna(subset="TRTSDT").groupby("USUBJID")["TRTSDT"]
    several = [tuple((d - min(x)).days for d in sorted(x)) for _, x in shown if len(x) > 1]
    assert several and all(x in apart for x in several)


def test_nothing_beside_the_dates_gives_the_offset_away(made, synthetic_file):
    with Registry.open(synthetic_file) as registry:
        cut = registry.data_cut
        first = registry.sql("select min(index_date) d from course.course where programme = 'osteoarthritis'")["d"][0]
    assert "POTDAY" not in csv_of(made.folder, "adcrs").columns
    for path in (p for p in made.folder.rglob("*") if p.suffix in (".json", ".md", ".xml")):
        assert str(cut) not in path.read_text("utf-8"), path.name
    stamp = json.loads((made.folder / "cdisc" / "adqs.json").read_text())["datasetJSONCreationDateTime"]
    assert stamp == f"{cut.year}-01-01T00:00:00"
    assert pyreadstat.read_sav(made.folder / "spss" / "adqs.sav")[1].creation_time.date() == date(cut.year, 1, 1)
    rows = [csv_of(made.folder, n)[["USUBJID", c]].rename(columns={c: "d"}) for n, cs in DATES.items() for c in cs]
    span = pd.concat(rows).dropna().groupby("USUBJID")["d"].agg(["min", "max"])
    for early, late in span.itertuples(index=False):
        left = [w for w in range(-WEEKS, WEEKS + 1)
                if w and first <= early.date() - timedelta(7 * w) and late.date() - timedelta(7 * w) <= cut]  # fmt: skip
        assert len(left) >= FEWEST
    assert made.shift.withheld > 0 and len(span) == made.shift.moved


def test_no_date_of_a_patient_is_the_true_one(made, synthetic_file):
    """By the offsets themselves: a date moved by never none is never itself."""
    known = truth(synthetic_file)
    assert (known["shown"] != known["index_date"]).all()
    told = (made.folder / "DISCLOSURE.md").read_text("utf-8")
    assert "Dates are not true" in told and f"{made.shift.moved:,} patients were moved" in told
    assert json.loads((made.folder / "ROWS.json").read_text())["dates"]["shifted"]["withheld"] == made.shift.withheld


def test_every_format_has_the_same_dates_and_the_same_rows_are_the_same_bytes(made, synthetic_file, tmp_path):
    for name, columns in DATES.items():
        ours = csv_of(made.folder, name)
        for read in (pyreadstat.read_dta, pyreadstat.read_sav, pyreadstat.read_xport):
            kind = {"read_dta": "stata/{}.dta", "read_sav": "spss/{}.sav", "read_xport": "sas/{}.xpt"}[read.__name__]
            theirs = read(made.folder / kind.format(name))[0]
            for c in columns:
                assert pd.to_datetime(theirs[c]).fillna(pd.Timestamp(0)).tolist() == (
                    ours[c].fillna(pd.Timestamp(0)).tolist()
                ), (name, kind)
        held = json.loads((made.folder / "cdisc" / f"{name}.json").read_text())
        at = [c["name"] for c in held["columns"]].index(columns[0])
        assert held["columns"][at]["dataType"] == "date"
        assert all(r[at] is None or re.fullmatch(r"\d{4}-\d{2}-\d{2}", r[at]) for r in held["rows"])
    schema = xmlschema.XMLSchema(
        str(Path(odmlib.schemas.__file__).parent / "define" / "2.1" / "define2-1-0.xsd"), validation="lax"
    )
    assert list(schema.iter_errors(str(made.folder / "cdisc" / "define.xml"))) == []
    with Registry.open(synthetic_file) as registry:
        again = export_rows(registry, tmp_path / "rows", "osteoarthritis", consent="research", dates="shifted")
    for path in (p for p in made.folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (again.folder / path.relative_to(made.folder)).read_bytes(), path.name


def test_without_being_asked_no_date_leaves_and_true_dates_are_not_offered(synthetic_file, tmp_path):
    asked = ["rows", str(synthetic_file), "--programme", "osteoarthritis", "--consent", "research", "--out"]
    plain = CliRunner().invoke(app, [*asked, str(tmp_path / "a")])
    assert plain.exit_code == 0 and "ADT," not in (tmp_path / "a" / "csv" / "adqs.csv").read_text()
    told = CliRunner().invoke(app, [*asked, str(tmp_path / "b"), "--dates", "shifted"])
    assert told.exit_code == 0 and re.search(r"dates of \d+ patients moved, of \d+ withheld", told.output)
    refused = CliRunner().invoke(app, [*asked, str(tmp_path / "c"), "--dates", "exact"])
    assert isinstance(refused.exception, UsageError) and not (tmp_path / "c").exists()
    with Registry.open(synthetic_file) as registry, pytest.raises(UsageError, match="Allowed: none, shifted"):
        export_rows(registry, tmp_path / "d", "osteoarthritis", consent="research", dates="exact")


def test_without_the_secret_no_date_is_made_up(synthetic_file, tmp_path, monkeypatch):
    monkeypatch.delenv("CATAMNESIS_PSEUDONYM_KEY", raising=False)
    shutil.copy(synthetic_file, tmp_path / "moved.duckdb")
    with Registry.open(tmp_path / "moved.duckdb") as registry, pytest.raises(CatamnesisError, match="secret"):
        export_rows(registry, tmp_path / "rows", "osteoarthritis", consent="research", dates="shifted")
    assert not (tmp_path / "rows").exists()
