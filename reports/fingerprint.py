"""Hashes by which it is seen that something changed: the code with its catalogues and SQL, and the record."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import zlib
from pathlib import Path

from threadpoolctl import threadpool_info

import analysis
import registry as registry_package
import reports
from analysis.result import versions
from registry import Registry, sqlmodels

# What writes the files of a package: frames, CSV and Parquet; figures, with what places, packs and embeds; Word;
# Stata, SPSS and SAS. JSON, XML and archives are Python's own.
_WRITERS = ("polars", "matplotlib", "kiwisolver", "pillow", "fonttools", "python-docx", "lxml", "pyreadstat")
_CODE = (".py", ".html", ".js", ".csv", ".toml", ".sql", ".typ", ".mo")


def code_and_record(registry: Registry) -> tuple[str, str]:
    """Return a hash of the code with its catalogues and SQL, and one of the loads and the derivation of a registry."""
    record = hashlib.sha256()
    for table in ("log.load", "log.source_file", "log.meta"):
        record.update(str(registry.con.sql(f"from {table} order by all").fetchall()).encode())
    return code_hash(), record.hexdigest()


def waivers(registry: Registry) -> str:
    """Return a hash of the findings that were waived: they are not told of, and no load goes with a waiver."""
    waived = registry.con.sql(
        "select defect, table_name, row_id, message, reason from log.finding where state = 'waived' order by all"
    ).fetchall()
    return hashlib.sha256(str(waived).encode()).hexdigest()


def code_hash() -> str:
    """Return a hash of the code with the catalogues and SQL that it ships."""
    code = hashlib.sha256()
    folders = [Path(str(m.__file__)).parent for m in (registry_package, analysis, reports)]
    for folder in [*folders, sqlmodels.folder()]:
        for file in sorted(p for p in folder.rglob("*") if p.suffix in _CODE):
            code.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return code.hexdigest()


def versions_of_files() -> dict[str, str]:
    """Return the versions on which the bytes of a package depend: of numbers, writers, Python, zlib, and the kernels.

    The last digit of a number may be another with another kernel of linear algebra, which the processor decides.

    Examples
    --------
    >>> versions_of_files()["matplotlib"].split(".")[0]
    '3'
    """
    import scipy.linalg  # noqa: F401  (its kernels are told of only when they are loaded)

    kernels = sorted(
        " ".join(str(k[what]) for what in ("internal_api", "version", "architecture") if k.get(what))
        for k in threadpool_info()
        if k["user_api"] == "blas"
    )
    return {
        **versions(),
        **{name: importlib.metadata.version(name) for name in _WRITERS},
        "python": platform.python_version(),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "machine": f"{platform.system()} {platform.machine()}",
        "blas": ", ".join(dict.fromkeys(kernels)),
    }
