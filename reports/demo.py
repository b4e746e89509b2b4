"""The main job on synthetic patients: five clinics' files in their own layouts become one page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from registry import Registry, derive, ingest
from registry.errors import UsageError
from reports.summary import write_report
from synthetic import Design, all_programmes, simulate, sources

# A demo is made to be repeated: a fixed secret makes its pseudonyms the same each time. Never do this with patients.
_DEMO_KEY = b"synthetic patients only".ljust(32, b".")
_MARK = "written by catamnesis demo"


def run(out: Path, patients: int, seed: int, say: Callable[[str], None]) -> Path:
    """Simulate, load, derive, analyse and report into `out`; returns the page.

    Raises
    ------
    UsageError
        When `out` holds files that an earlier demo did not write.
    """
    _empty(out)
    made = simulate(Design(patients=patients, seed=seed, programmes=all_programmes()))
    folders = sources.write_clinics(made, out / "clinics")
    made.truth.write_csv(out / "truth.csv")
    say(f"1  simulated {patients:,} patients of six programmes as the files of {len(folders)} clinics")
    path = out / "registry.duckdb"
    Registry.create(path, key=_DEMO_KEY).close()
    rows = accepted = rejected = 0
    for folder in folders:
        report = ingest.load(path, [folder])
        counts = f"{report.rows_in:,} rows in = {report.accepted:,} accepted + {report.rejected} rejected"
        say(f"2  loaded {folder.name}: {counts}")
        rows, accepted, rejected = rows + report.rows_in, accepted + report.accepted, rejected + report.rejected
    say(f"2  all clinics: {rows:,} rows in = {accepted:,} accepted + {rejected} rejected (each with its reason)")
    models = derive(path)
    say(f"3  derived {len(models)} tables, {sum(models.values()):,} rows")
    with Registry.open(path) as registry:
        say(f"4  {registry!r}")
        page = write_report(registry, out / "report")
    say(f"5  report: {page}")
    return page


def _empty(out: Path) -> None:
    mark = out / "DEMO.txt"
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise UsageError(f"{out} holds files that the demo did not write. Give another folder with --out.")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    mark.write_text(f"{_MARK}; the next run replaces this folder\n", encoding="utf-8")
