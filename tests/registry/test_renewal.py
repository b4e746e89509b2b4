"""What is renewed after a load is what deriving everything anew comes to."""

from __future__ import annotations

import re
import shutil

import duckdb
import numpy as np
import polars as pl
import pytest

from registry import Registry, derive, history, sqlmodels
from registry.derivation import materialised
from registry.ingest import load
from registry.renewal import OF_THE_CUT
from registry.tables import TABLES
from tests.conftest import KEY

OF_PATIENTS = {str(t.__tablename__) for t in TABLES if "patient_id" in t.__table__.columns} | {"patient"}


def differing(path) -> dict[str, int]:
    """Rows that the registry's derived tables and those made anew from a copy do not share, by model."""
    anew = path.with_name("anew.duckdb")
    shutil.copyfile(path, anew)
    derive(anew, whole=True)
    with duckdb.connect() as con:
        con.execute(f"attach '{path}' as a (read_only); attach '{anew}' as b (read_only)")
        query = "select count(*) from ((from a.{0} except all from b.{0}) union all (from b.{0} except all from a.{0}))"
        counts = {name: con.sql(query.format(name)).fetchone()[0] for name in materialised()}
    return {name: n for name, n in counts.items() if n}


def renewed_alone(path) -> bool:
    """Whether the last derivation left rows of unconcerned patients as they were."""
    with duckdb.connect() as con:
        con.execute(f"attach '{path}' as r (read_only)")
        told = con.sql("select detail from r.log.audit where action = 'derive' order by seq desc limit 1").fetchone()
    return '"renewed"' in told[0]


def months(folder, rng) -> tuple[str, list[dict[str, pl.DataFrame]]]:
    """Deal the rows of a template's files out to three loads: what was by a day, a month of a few patients, the rest."""
    files = {p.name: pl.read_csv(p, infer_schema=False) for p in folder.glob("*.csv")}
    patients = files["patients.csv"]["patient"]
    # Of a patient: the load that brings the first rows, and the one that brings what was seen after a day.
    joins = rng.choice(3, patients.len(), p=[0.86, 0.06, 0.08])
    goes_on = np.maximum(joins, rng.choice([1, 2], patients.len(), p=[0.15, 0.85]))
    cut = str(rng.choice(["2023-06-30", "2023-12-31", "2024-06-30"]))
    enrolled = files["patients.csv"]["enrolment_date"] > cut
    when = pl.DataFrame({"patient": patients, "joins": np.where(enrolled, 2, joins), "goes_on": goes_on})
    dealt: list[dict[str, pl.DataFrame]] = [{}, {}, {}]
    for name, frame in files.items():
        due = pl.lit(0)
        if "patient" in frame.columns:
            frame = frame.join(when, on="patient", how="left")
            day = next((c for c in ("date", "onset_date") if c in frame.columns), None)
            late = (pl.col(day).str.slice(0, 7) > cut[:7]).fill_null(False) if day else pl.lit(False)
            due = pl.max_horizontal("joins", pl.when(late).then("goes_on").otherwise(0))
        frame = frame.with_columns(due.cast(pl.Int64).alias("due"))
        for k in range(3):
            part = frame.filter(pl.col("due") == k).drop("due", "joins", "goes_on", strict=False)
            if part.height:
                dealt[k][name] = part
    return cut, dealt


def send(path, folder, frames, day, reason=None):
    folder.mkdir()
    for name, frame in frames.items():
        frame.write_csv(folder / name)
    (folder / "load.toml").write_text(f"extracted_on = {day}\n")
    return load(path, [folder], reason=reason)


@pytest.mark.parametrize("seed", [1, *(pytest.param(k, marks=pytest.mark.slow) for k in range(2, 9))])
def test_after_months_corrections_withdrawals_and_retractions_it_is_as_if_all_were_made_anew(
    template_folder, tmp_path, seed
):
    rng = np.random.default_rng(seed)
    cut, (first, second, third) = months(template_folder, rng)
    path = tmp_path / "r.duckdb"
    Registry.create(path, key=KEY).close()
    send(path, tmp_path / "0", first, cut)
    derive(path)
    assert not renewed_alone(path)
    send(path, tmp_path / "1", second, "2024-12-31")
    derive(path)
    assert renewed_alone(path) and differing(path) == {}
    wrong = first["measurements.csv"].filter(pl.col("value").is_not_null()).sample(8, seed=seed)
    gone = first["patients.csv"].sample(2, seed=seed).with_columns(
        withdrawn_date=pl.lit("2024-05-01"), withdrawal_scope=pl.Series(["all_data", "future_data"])
    )  # fmt: skip
    send(path, tmp_path / "2", {"measurements.csv": wrong.with_columns(value=pl.lit("1")), "patients.csv": gone},
         "2024-12-31", reason="second look")  # fmt: skip
    history.retract(path, "sessions.csv", [3, 9], reason="never given", load=1)
    derive(path)
    assert renewed_alone(path) and differing(path) == {}
    send(path, tmp_path / "3", third, "2025-12-31")
    derive(path)
    assert differing(path) == {}


def test_nothing_new_leaves_every_row_as_it_was(synthetic_file, tmp_path):
    path = tmp_path / "six.duckdb"
    shutil.copyfile(synthetic_file, path)
    derive(path)
    assert renewed_alone(path) and differing(path) == {}


def test_another_catalogue_makes_all_anew(synthetic_file, tmp_path):
    path = tmp_path / "six.duckdb"
    shutil.copyfile(synthetic_file, path)
    with duckdb.connect(str(path)) as con:
        con.execute("update log.meta set value = '1' where key = 'catalogue_changes'")
    derive(path)
    assert not renewed_alone(path)


@pytest.mark.parametrize("name", [n for n in materialised() if not sqlmodels.models()[n].whole])
def test_a_model_made_by_patient_reads_nothing_that_moves_for_others(name):
    model = sqlmodels.models()[name]
    assert not [c for c in OF_THE_CUT if re.search(rf"\b{c}\b", model.query)]
    assert not [t for t in model.reads if t.startswith("log.") or t == "staging.data_cut"]
    assert {t.removeprefix("record.") for t in model.reads if t.startswith("record.")} <= OF_PATIENTS


def test_those_whose_rows_of_a_model_made_whole_are_other_are_renewed_too(synthetic_file, tmp_path):
    path = tmp_path / "six.duckdb"
    shutil.copyfile(synthetic_file, path)
    with duckdb.connect(str(path)) as con:
        (course,) = con.sql("select course_id from endpoint.end_event where role = 'end' order by 1").fetchone()
        for table in ("course.event", "endpoint.end_event"):  # as if the event had been after the data cut
            con.execute(f"delete from {table} where course_id = ?", [course])
    derive(path)
    assert renewed_alone(path) and differing(path) == {}
