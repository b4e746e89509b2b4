"""Extensions of the engine, loaded from packages that are installed: without a network, of exactly its version."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb


def load(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Load an extension, e.g. ``httpfs``; returns whether it is installed for this version of the engine."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    file = folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.is_file():
        return False
    escaped = str(file).replace("'", "''")
    con.execute(f"load '{escaped}'")
    return True
