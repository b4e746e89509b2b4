"""What the fit of a mixed model for repeated measures costs as patients grow, given its cross-products.

    python benchmarks/mmrm.py --patients 10000 100000 1000000

Patients of three stages at eight visits, some leaving on the way, a tenth of the visits missed. CPU seconds: adding up
the cross-products of patterns in numpy (the registry does it in SQL), and the fit with its Kenward-Roger errors.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from analysis.numerics.marginal_means import linear_estimates
from analysis.numerics.repeated import fit_mmrm
from analysis.numerics.repeated_design import visit_design
from analysis.numerics.repeated_sums import pattern_sums

VISITS = 8


def drawn(patients: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Return covariates (n, 4) and scores (n, 8), nan where not seen."""
    rng = np.random.default_rng(seed)
    stage = rng.integers(0, 3, patients)
    covariates = np.column_stack([np.ones(patients), stage == 1, stage == 2, rng.normal(size=patients)]).astype(float)
    level = np.array([15.0, 10.0, 6.0])[stage][:, None] * np.linspace(0.5, 1, VISITS)
    scores = level + rng.normal(0, 8, (patients, 1)) + rng.normal(0, 10, (patients, VISITS))
    leaves = rng.integers(2, 2 + 3 * VISITS, patients)[:, None]
    scores[(np.arange(VISITS) >= leaves) | (rng.random((patients, VISITS)) < 0.1)] = np.nan
    return covariates, scores


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    names, visits = ("intercept", "moderate", "bone_on_bone", "baseline"), tuple(map(str, range(1, VISITS + 1)))
    design = visit_design(names, visits, by_visit=names, constant=())
    for patients in parser.parse_args().patients:
        covariates, scores = drawn(patients)
        begun = time.process_time()
        sums = pattern_sums(covariates, scores)
        added = time.process_time()
        fit = fit_mmrm(sums, design)
        linear_estimates(fit, np.eye(fit.beta.size), "kenward-roger-linear")
        ended = time.process_time()
        print(f"{patients:>9,} patients, {len(sums.n)} patterns: sums {added - begun:.2f} s, fit {ended - added:.2f} s")


if __name__ == "__main__":
    main()
