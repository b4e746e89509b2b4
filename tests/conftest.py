"""What tests of several folders share: one synthetic registry of all six programmes, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry import Registry, derive
from registry.ingest import load
from synthetic import Design, Synthetic, all_programmes, simulate, sources

KEY = b"an open secret of the test suite"


@pytest.fixture(scope="session")
def synthetic_patients() -> Synthetic:
    return simulate(Design(patients=120, programmes=all_programmes(), seed=7))


@pytest.fixture(scope="session")
def template_folder(synthetic_patients: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    sources.write_template(synthetic_patients, folder)
    return folder


@pytest.fixture(scope="session")
def synthetic_file(template_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a registry of 120 synthetic patients of all six programmes, loaded and derived; never to be changed."""
    path = tmp_path_factory.mktemp("registry") / "six.duckdb"
    Registry.create(path, key=KEY).close()
    load(path, [template_folder])
    derive(path)
    return path


@pytest.fixture
def six_programmes(synthetic_file: Path) -> Iterator[Registry]:
    """The registry of all six programmes, opened for reading."""
    with Registry.open(synthetic_file) as registry:
        yield registry
