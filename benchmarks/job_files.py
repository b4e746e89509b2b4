"""Writes the files of the whole-job benchmark: patients of one programme, up to eight visits with three instruments.

Drawn a hundred thousand patients at a time, so that memory does not grow with the files; a clinic's number carries
its part, so that no two patients share one.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

PART = 100_000
# Pain and function of the joint, and the patient's own assessment: what the response definition needs.
_ASKED = ("KOOS", "HOOS", "PtGA")


def write(patients: int, folder: Path, seed: int = 1) -> None:
    """Write the template's files for `patients` patients into `folder`, one file a table and part."""
    from synthetic import Design, simulate

    folder.mkdir(parents=True, exist_ok=True)
    for part in range(0, patients, PART):
        n = min(PART, patients - part)
        made = simulate(Design(patients=n, seed=seed + part, programmes={"osteoarthritis": 1.0}))
        for name, frame in made.tables.items():
            if name == "items" or frame.height == 0 or (part and name in ("centres", "products")):
                continue
            if name == "measurements":
                frame = frame.filter(pl.col("instrument").is_in(_ASKED))
            if "patient" in frame.columns:
                frame = frame.with_columns(pl.format(f"{part // PART:02d}-{{}}", "patient").alias("patient"))
            frame.write_csv(folder / f"{name}_{part // PART:02d}.csv")
    (folder / "load.toml").write_text("extracted_on = 2025-12-31\n", encoding="utf-8")


def month(folder: Path, out: Path) -> int:
    """Write what a month brings into `out`: of one patient in fifty the last scores of `folder` again, a day later on.

    Returns the number of rows.
    """
    out.mkdir()
    scores = pl.read_csv(folder / "measurements_00.csv", infer_schema=False)
    some = scores["patient"].unique(maintain_order=True).gather_every(50)
    rows = (
        scores.filter(pl.col("patient").is_in(some.implode()))
        .group_by("patient", "site", "side", "instrument", "subscale", maintain_order=True)
        .last()
        .with_columns(date=pl.lit("2026-01-15"))
        .select(scores.columns)
    )
    rows.write_csv(out / "measurements.csv")
    (out / "load.toml").write_text("extracted_on = 2026-01-31\n", encoding="utf-8")
    return rows.height
