"""A clinic with two patients whose files are good, so that each test may spoil one thing and see only that refused."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import postgres
import pytest

from registry import Registry, shared
from registry.errors import RegistryMissing
from registry.ingest import LoadReport, load
from registry.server import address_file

KEY = bytes(range(32))
GOOD = {
    "centres": "centre,country\nZRH,CH\n",
    "patients": (
        "patient,centre,birth_year,sex,height_cm,enrolment_date\n"
        "MRN-4711,ZRH,1960,female,165,2022-01-01\n"
        "MRN-4712,ZRH,1955,male,180,2022-01-01\n"
    ),
    "targets": "patient,site,side,kind\nMRN-4711,knee,left,joint\nMRN-4712,knee,right,joint\n",
    "courses": "patient,site,side,course_no,programme\nMRN-4711,knee,left,1,osteoarthritis\n",
    "products": (
        "product,donor,origin,separation,expanded,donor_is_patient,regulatory_class\n"
        "BMAC,autologous,bone_marrow,density_gradient,no,yes,US_same_surgical_procedure\n"
    ),
    "sessions": (
        "patient,site,side,course_no,session_no,date,intent,route,guidance,product\n"
        "MRN-4711,knee,left,1,1,2022-02-01,initial,intra_articular,ultrasound,BMAC\n"
    ),
    "measurements": (
        "patient,site,side,date,instrument,version,subscale,value,unit\n"
        "MRN-4711,knee,left,2022-01-20,KOOS,,pain,41.5,\n"
        "MRN-4711,knee,left,2022-05-03,KOOS,,pain,72.2222,\n"
        "MRN-4711,,,2022-05-03,EQ-5D-5L,,vas,70,\n"
    ),
    "items": "patient,site,side,date,instrument,version,item,answer\nMRN-4712,knee,right,2022-03-01,KOOS,,P1,2\n",
    "visits": "patient,site,side,date,planned_visit,status\nMRN-4711,knee,left,2022-05-03,3 months,done\n",
    "events": "patient,site,side,date,kind\nMRN-4711,knee,left,2023-06,TKA\n",
    "stages": "patient,site,side,date,scheme,grade,reader\nMRN-4711,knee,left,2022-01-10,KL,3,R1\n",
    "operators": "operator,centre,specialty,years_experience\nOP1,ZRH,orthopaedics,12\n",
    "consents": "patient,version,signed_date,scope,withdrawn_date,withdrawal_scope\nMRN-4711,2,2022-01-01,research,,\n",
    "comorbidities": "patient,comorbidity,onset_date\nMRN-4711,diabetes,2010\n",
    "habits": "patient,date,smoking,nsaid_days_7\nMRN-4711,2022-01-10,former,2\n",
    "prior_treatments": "patient,site,side,kind,number,last_date,response\nMRN-4711,knee,left,PRP,3,2021-06,partial\n",
    "supportive_treatments": (
        "patient,site,side,kind,start_date,end_date,adherence_pct\n"
        "MRN-4711,knee,left,physiotherapy,2022-02-10,2022-04-10,80\n"
    ),
    "goals": (
        "patient,site,side,date,domain,importance,expected_points,attainment,assessed_date\n"
        "MRN-4711,knee,left,2022-01-20,pain,5,20,1,2023-02-01\n"
    ),
    "processing": "product,harvest_site,harvest_volume_ml,same_day,gmp\nBMAC,iliac_posterior,60,yes,yes\n",
    "release_tests": (
        "product,analyte,sampled_date,status,value,unit,limit_low,limit_high,result_date\n"
        "BMAC,viability,2022-02-01,pass,92,%,70,,2022-02-01\n"
    ),
    "imaging_details": (
        "patient,site,side,date,modality,weight_bearing,readers\nMRN-4711,knee,left,2022-01-10,XR,yes,2\n"
    ),
    "laboratory_details": (
        "patient,date,instrument,specimen,assay,lower_limit,fasting\nMRN-4711,2022-01-20,hsCRP,serum,kit A,0.1,yes\n"
    ),
}


class Clinic:
    """A folder of files and a registry to load them into."""

    def __init__(self, folder: Path, registry: Path):
        self.folder = folder
        self.path = registry
        self.address = ""  # of the server, where the record is shared

    def write(self, name: str, content: str | bytes) -> Path:
        file = self.folder / (name if "." in name else f"{name}.csv")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def write_good(self, *names: str) -> None:
        for name in names or GOOD:
            self.write(name, GOOD[name])

    def spoil(self, name: str, old: str, new: str) -> Path:
        assert old in GOOD[name]
        return self.write(name, GOOD[name].replace(old, new))

    def add(self, name: str, **cells: str) -> Path:
        """Append to the file a copy of its last good row in which `cells` differ (those that it has)."""
        header, *rows = GOOD[name].splitlines()
        row = dict(zip(header.split(","), rows[-1].split(","), strict=True))
        row |= {column: cell for column, cell in cells.items() if column in row}
        text = (self.folder / f"{name}.csv").read_text()
        return self.write(name, text + ",".join(row.values()) + "\n")

    def load(self, *paths: Path, **options: Any) -> LoadReport:
        return load(self.path, list(paths) or [self.folder], extracted_on=dt.date(2024, 1, 1), **options)

    def sql(self, query: str) -> pl.DataFrame:
        with Registry.open(self.path) as registry:
            return registry.sql(query)

    def text(self, collected: bool = False) -> str:
        """Return every row of every table as text, or of those not derived: what loading changed shows in it."""
        import duckdb

        with duckdb.connect(str(self.path), read_only=True) as con:
            tables = con.sql("select schema_name || '.' || table_name from duckdb_tables() order by 1").fetchall()
            kept = [t for (t,) in tables if not collected or t.split(".")[0] in ("record", "past", "log", "catalogue")]
            rows = {t: list(map(str, con.sql(f"from {t}").fetchall())) for t in kept}
            if collected:
                rows["log.meta"] = [row for row in rows["log.meta"] if "derived_from" not in row]
            return "\n".join(f"{t} {sorted(some)}" for t, some in rows.items())


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "knees.duckdb"
    Registry.create(path, key=KEY).close()
    return path


@pytest.fixture(scope="session")
def new_clinic(empty_file: Path) -> Callable[[Path], Clinic]:
    def opened(place: Path) -> Clinic:
        (place / "files").mkdir()
        for file in (empty_file, empty_file.with_name("knees.duckdb.key")):
            shutil.copy2(file, place / file.name)
        return Clinic(place / "files", place / empty_file.name)

    return opened


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Clinic, str, Callable[[], object]], None]:
    """Do with a clinic's file what many tests begin with: the first time itself, then by a copy of what came of it."""
    folder = tmp_path_factory.mktemp("once")

    def done(clinic: Clinic, name: str, task: Callable[[], object]) -> None:
        held = folder / name
        if held.exists() and not clinic.address:
            shutil.copy2(held, clinic.path)
            return
        task()
        if not clinic.address:
            shutil.copy2(clinic.path, held)

    return done


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Postgres]:
    """A PostgreSQL server of these tests alone; without PostgreSQL they are skipped."""
    reason = postgres.lacking()
    if reason:
        pytest.skip(reason)
    with postgres.running() as started:
        yield started


@pytest.fixture(scope="session")
def empty_shared(server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A working copy of an empty shared record, and its database: databases of tests are made from it."""
    path, database = tmp_path_factory.mktemp("shared") / "knees.duckdb", server.new()
    Registry.create(path, key=KEY).close()
    shared.share(path, server.address(database))
    return path, database


@pytest.fixture
def shared_clinic(tmp_path: Path, server: postgres.Postgres, empty_shared: tuple[Path, str]) -> Iterator[Clinic]:
    """A clinic that works on a copy of a shared record; in the end the server must hold what the copy holds."""
    (tmp_path / "files").mkdir()
    made = Clinic(tmp_path / "files", tmp_path / "knees.duckdb")
    for suffix in ("", ".key"):
        shutil.copy2(f"{empty_shared[0]}{suffix}", f"{made.path}{suffix}")
    made.address = server.address(server.new(empty_shared[1]))
    address_file(made.path).write_text(made.address)
    yield made
    again = Clinic(made.folder, tmp_path / "again.duckdb")
    shared.join(again.path, made.address)
    with suppress(RegistryMissing):  # where the test spoilt the copy
        if address_file(made.path).exists():
            shared.refresh(made.path)
            assert again.text(collected=True) == made.text(collected=True)


# The central tests of the record run twice: on a registry of its own, and on a working copy of a shared record.
BOTH = ("test_loading", "test_history", "test_defects", "test_opening", "test_reporting", "test_catalogue")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in BOTH and "clinic" in metafunc.fixturenames:
        if "defect" in metafunc.fixturenames:  # what one check finds is a query of the copy
            return
        metafunc.parametrize("clinic", ["file", pytest.param("server", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture
def clinic(request: pytest.FixtureRequest, tmp_path: Path, new_clinic: Callable[[Path], Clinic]) -> Clinic:
    if getattr(request, "param", "file") == "server":
        return request.getfixturevalue("shared_clinic")  # type: ignore[no-any-return]
    return new_clinic(tmp_path)


@pytest.fixture(scope="session")
def refusals() -> Callable[[LoadReport], list[tuple[Any, ...]]]:
    """Show what was refused as (file, line, column, rule, value), and assert that no row was lost."""

    def shown(report: LoadReport) -> list[tuple[Any, ...]]:
        assert report.rows_in == report.accepted + report.rejected
        assert all(f.rows_in == f.accepted + f.rejected for f in report.files)
        for row in report.rejections.iter_rows(named=True):
            assert row["message"] and row["advice"]
        return [tuple(row) for row in report.rejections.select("file", "line", "column", "rule", "value").iter_rows()]

    return shown
