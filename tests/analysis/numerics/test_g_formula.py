"""Graft-versus-host disease and death after bone-marrow transplant, by the parametric g-formula of Keil 2014.

Models and order of simulation are those of the paper's appendix (Keil 2014 Epidemiology 25:889, code as corrected by its
authors); data of 137 patients from the package zepid. Numbers to agree with: the same analysis as replicated by the
author of zEpid in statsmodels (2018): log-likelihoods, and a hazard ratio of 0.922 (log -0.0814, Monte-Carlo error
0.016) for preventing the disease against the natural course.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from analysis.numerics.cox import fit_cox, risk_sets
from analysis.numerics.weighting import logistic

_FOUND = importlib.util.find_spec("zepid")
pytestmark = pytest.mark.skipif(_FOUND is None, reason="the package zepid (extra dev) carries the data")
LAST = 1825
# Log-likelihood and rows of each model as printed by statsmodels in that replication.
KNOWN = {"gvhd": (-477.60, 54_617), "d": (-565.43, 108_714), "relapse": (-345.76, 100_930), "platnorm": (-535.65, 6_842),
         "censlost": (-309.40, 108_714)}  # fmt: skip
BASE = ("one", "all", "cmv", "male", "age")
SPLINE = ("agecurs1", "agecurs2")
MODELS = {
    "platnorm": (*BASE, *SPLINE, "gvhdm1", "daysgvhd", "daysnorelapse", "wait"),
    "relapse": (*BASE, "gvhdm1", "daysgvhd", "platnormm1", "daysnoplatnorm", *SPLINE, "day", "daysq", "wait"),
    "gvhd": (*BASE, "platnormm1", "daysnoplatnorm", "relapsem1", "daysnorelapse", *SPLINE, "day", "daysq", "wait"),
    "censlost": (*BASE, "daysgvhd", "daysnoplatnorm", "daysnorelapse", "agesq", "day", "daysq", "daycu", "wait"),
    "d": (*BASE, "gvhd", "platnorm", "daysnoplatnorm", "relapse", "daysnorelapse", "agesq", "day", "daysq", "daycu",
          "wait", "day_gvhd", "daysq_gvhd", "daycu_gvhd"),
}  # fmt: skip


def persons() -> dict[str, np.ndarray]:
    table = np.genfromtxt(Path(_FOUND.origin).parent / "datasets" / "gvhd.dat", names=True)
    p = {name: table[name].astype(float) for name in table.dtype.names}
    age = p["age"]
    cube = {knot: np.maximum(age - knot, 0) ** 3 for knot in (17.0, 25.4, 30.0, 41.4)}
    p |= {"one": np.ones(len(age)), "wait": p["waitdays"] / 30.5, "agesq": age**2}
    p["agecurs1"] = cube[17.0] - cube[30.0] * (41.4 - 17.0) / (41.4 - 30.0)
    p["agecurs2"] = cube[25.4] - cube[41.4] * (41.4 - 25.4) / (41.4 - 30.0)
    return p


def of_day(day: np.ndarray | float, gvhd: np.ndarray) -> dict[str, np.ndarray]:
    powers = {"day": day, "daysq": day**2, "daycu": day**3}
    return powers | {f"{name}_gvhd": value * gvhd for name, value in powers.items()}


def person_days(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One row a patient and day, as the appendix makes them."""
    length = p["t"].astype(int)
    who = np.repeat(np.arange(len(length)), length)
    day = np.concatenate([np.arange(1, n + 1) for n in length]).astype(float)
    f = {name: values[who] for name, values in p.items()}
    for name, of in (("gvhd", "t_gvhd"), ("relapse", "t_rel"), ("platnorm", "t_pla")):
        f[name], f[f"{name}m1"] = (day > f[of]).astype(float), (day - 1 > f[of]).astype(float)
        f[f"daysno{name}"], f[f"days{name}"] = np.minimum(day, f[of]), np.maximum(day - f[of], 0)
    last = day == f["t"]
    f["d"] = last * f["d_dea"]
    f["censlost"] = (last & (f["d"] == 0) & (day != LAST)).astype(float)
    return f | of_day(day, f["gvhd"])


def columns(f: dict[str, np.ndarray], name: str) -> np.ndarray:
    return np.column_stack([f[c] for c in MODELS[name]])


@pytest.fixture(scope="module")
def fits() -> dict:
    f, found = person_days(persons()), {}
    for name in MODELS:
        held = f[f"{name}m1"] == 0 if f"{name}m1" in f else np.ones(len(f["day"]), dtype=bool)
        x, y = columns(f, name)[held], f[name][held]
        # Powers of days to 6e9 stand beside ones: columns are brought to one scale, coefficients back to theirs.
        scale = np.abs(x).max(axis=0)
        fit = logistic(x / scale, y, tolerance=1e-12)
        found[name] = (fit.coefficients / scale, -fit.deviance / 2, len(y))
    return found


def test_the_five_models_of_the_appendix_have_the_likelihoods_of_the_replication(fits):
    assert {name: (round(value, 2), n) for name, (_, value, n) in fits.items()} == KNOWN


def simulate(fits: dict, times: int, seed: int, *, prevented: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return day and death of each of 137 × `times` patients; without loss to follow-up where the disease is prevented."""
    rng = np.random.default_rng(seed)
    p = {name: np.repeat(values, times) for name, values in persons().items()}
    n = len(p["one"])
    state = {f"{a}{name}{b}": np.zeros(n) for name in ("gvhd", "relapse", "platnorm") for a in ("", "days", "daysno")
             for b in (("", "m1") if not a else ("",))}  # fmt: skip
    end, died, here = np.full(n, LAST), np.zeros(n, dtype=bool), np.arange(n)

    def drawn(name: str, f: dict[str, np.ndarray]) -> np.ndarray:
        eta = sum(b * f[c] for b, c in zip(fits[name][0], MODELS[name], strict=True))
        return rng.random(len(eta)) < expit(eta)

    for day in range(1, LAST + 1):
        if day > 1:
            for name in ("gvhd", "relapse", "platnorm"):
                state[f"daysno{name}"] += state[name] == 0
                state[f"days{name}"] += state[name]
        f = p | state | of_day(float(day), state["gvhd"])
        if day > 1:
            state["platnorm"] = np.maximum(state["platnormm1"], drawn("platnorm", f))
            state["relapse"] = np.maximum(state["relapsem1"], drawn("relapse", f))
        if not prevented:
            state["gvhd"] = np.maximum(state["gvhdm1"], drawn("gvhd", f))
        f = p | state | of_day(float(day), state["gvhd"])
        lost = np.zeros(len(here), dtype=bool) if prevented else drawn("censlost", f)
        dead = ~lost & drawn("d", f)
        out = lost | dead
        end[here[out]], died[here[dead]] = day, True
        for name in ("gvhd", "relapse", "platnorm"):
            state[f"{name}m1"] = state[name]
        here = here[~out]
        p, state = ({name: values[~out] for name, values in held.items()} for held in (p, state))
    return end, died


@pytest.mark.slow
def test_preventing_the_disease_lowers_the_hazard_of_death_as_in_the_replication(fits):
    natural, prevented = (simulate(fits, 200, seed, prevented=a) for seed, a in ((1, False), (2, True)))
    observed = persons()
    # 80 of 137 died within five years; the natural course must give that back.
    assert natural[1].mean() == pytest.approx(observed["d_dea"].mean(), abs=0.03)
    time, event = (np.concatenate([natural[k], prevented[k]]) for k in (0, 1))
    arm = np.repeat([0.0, 1.0], len(natural[0]))
    found = fit_cox(risk_sets(arm[:, None], time.astype(float), event))
    # Monte-Carlo errors of 0.016 there and 0.011 here.
    assert found.coefficients[0] == pytest.approx(-0.0814, abs=3 * np.hypot(0.016, 0.011))
